//! Veins grown by space colonisation (Runions et al. 2005) and given calibres from their tips by Murray's law.

use rand::Rng;

use super::super::maths::{hypot, power, square};
use super::super::outline::{Outline, Point};
use super::super::random::{Field, Stream, normal};
use super::{Segment, squared_distance};

/// Calibre of the widest vein, mm.
const MAX_RADIUS: f32 = 1.6;
/// Depths that occur, mm.
const DEPTHS: [f32; 2] = [0.7, 5.0];
/// Length of one step of growth, mm.
const STEP: f32 = 1.3;
/// Growth ends after so many rounds even if free attractors are left.
const MAX_ROUNDS: usize = 160;

/// What makes one person's veins differ in kind from another's.
struct Habit {
    attractors: u32,
    kill_distance: f32,
    influence_distance: f32,
    tortuosity: f32,
    /// Exponent of Murray's law.
    murray: f32,
    tip_radius: f32,
}

struct Node {
    at: Point,
    parent: Option<usize>,
    direction: Point,
    children: Vec<usize>,
}

/// Grows veins inside `outline`.
pub(super) fn grow(rng: &mut Stream, outline: &Outline) -> Vec<Segment> {
    let habit = Habit {
        attractors: rng.gen_range(900..=1300_u32),
        kill_distance: rng.gen_range(2.7..4.2),
        influence_distance: rng.gen_range(14.0..24.0),
        tortuosity: rng.gen_range(0.25..0.6),
        murray: rng.gen_range(2.7..3.2),
        tip_radius: rng.gen_range(0.34..0.50),
    };
    let attractors = scatter_attractors(rng, &habit, outline);
    let nodes = colonise(rng, &habit, outline, attractors);
    let radii = calibres(&nodes, &habit);

    let depth_field = Field::new(rng, 32.0);
    let mean_depth = rng.gen_range(1.8..2.4);
    let depth = |at: Point| (mean_depth + 0.5 * depth_field.at(at[0], at[1])).clamp(DEPTHS[0], DEPTHS[1]);
    let mut segments: Vec<Segment> = nodes
        .iter()
        .enumerate()
        .filter_map(|(i, node)| {
            let parent = &nodes[node.parent?];
            Some(Segment { from: parent.at, to: node.at, radius: radii[i], depth: depth(node.at) })
        })
        .collect();
    for (tip, other) in anastomoses(rng, &nodes) {
        let (from, to) = (nodes[tip].at, nodes[other].at);
        segments.push(Segment { from, to, radius: radii[tip], depth: depth(to) });
    }
    segments
}

fn scatter_attractors(rng: &mut Stream, habit: &Habit, outline: &Outline) -> Vec<Point> {
    let density = Field::new(rng, 26.0);
    let [half_width, half_height] = [0.75 * outline.width, 0.75 * outline.length];
    let wanted = habit.attractors as usize;
    let mut attractors = Vec::with_capacity(wanted);
    while attractors.len() < wanted {
        let at = [rng.gen_range(-half_width..half_width), rng.gen_range(-half_height..half_height)];
        if outline.distance(at) < -2.0 && rng.r#gen::<f32>() < 0.75 + 0.3 * density.at(at[0], at[1]) {
            attractors.push(at);
        }
    }
    attractors
}

/// Where veins enter: at the wrist, at the borders of the palm, and between the fingers.
fn roots(rng: &mut Stream, outline: &Outline) -> Vec<Node> {
    let mut roots = Vec::new();
    let mut root = |at: Point, direction: Point| roots.push(Node { at, parent: None, direction, children: Vec::new() });
    let wrist_roots = rng.gen_range(3..=6_u8);
    for i in 0..wrist_roots {
        let across = (f32::from(i) + rng.gen_range(0.2..0.8)) / f32::from(wrist_roots) * 2.0 - 1.0;
        root([across * (outline.wrist_half_width() - 3.0), 0.74 * outline.length], [0.0, -1.0]);
    }
    for _ in 0..rng.gen_range(1..=3_u8) {
        let side = if rng.r#gen() { 1.0 } else { -1.0 };
        let y = rng.gen_range(-0.3..0.35) * outline.length;
        let mut x = side * outline.width * 0.6;
        while outline.distance([x, y]) > -2.0 && x * side > 0.0 {
            x -= side;
        }
        root([x, y], [-side, 0.0]);
    }
    let bases = outline.finger_bases();
    for _ in 0..rng.gen_range(1..=3_u8) {
        let gap = rng.gen_range(0..3_u8) as usize;
        let middle = |axis: usize| 0.5 * (bases[gap][axis] + bases[gap + 1][axis]);
        root([middle(0) + normal(rng), middle(1) + 3.0], [0.0, 1.0]);
    }
    roots
}

/// Grows the roots towards the attractors until every attractor is reached or out of reach.
fn colonise(rng: &mut Stream, habit: &Habit, outline: &Outline, attractors: Vec<Point>) -> Vec<Node> {
    let bend = [Field::new(rng, 18.0), Field::new(rng, 18.0)];
    let mut nodes = roots(rng, outline);
    // Each attractor with the nearest node and the square of the distance to it.
    let mut attractors: Vec<(Point, usize, f32)> = attractors.into_iter().map(|at| (at, 0, f32::MAX)).collect();
    let mut seen = 0;
    let mut idle_rounds = 0;
    for _ in 0..MAX_ROUNDS {
        for (at, nearest, distance) in &mut attractors {
            for (i, node) in nodes.iter().enumerate().skip(seen) {
                let to_node = squared_distance(node.at, *at);
                if to_node < *distance {
                    (*nearest, *distance) = (i, to_node);
                }
            }
        }
        seen = nodes.len();
        attractors.retain(|(_, _, distance)| *distance > square(habit.kill_distance));

        let mut pull = vec![[0.0; 2]; nodes.len()];
        for (at, nearest, distance) in &attractors {
            if *distance < square(habit.influence_distance) {
                for axis in 0..2 {
                    pull[*nearest][axis] += (at[axis] - nodes[*nearest].at[axis]) / distance.sqrt();
                }
            }
        }
        for (i, pull) in pull.into_iter().enumerate() {
            if pull == [0.0; 2] || nodes[i].children.len() >= 3 {
                continue;
            }
            let at = nodes[i].at;
            let strength = hypot(pull[0], pull[1]).max(1e-6);
            let wanted = [0, 1].map(|axis: usize| {
                pull[axis] / strength
                    + 0.45 * nodes[i].direction[axis]
                    + habit.tortuosity * bend[axis].at(at[0], at[1])
                    + 0.2 * normal(rng)
            });
            let length = hypot(wanted[0], wanted[1]).max(1e-6);
            let direction = wanted.map(|component| component / length);
            let tip = [at[0] + STEP * direction[0], at[1] + STEP * direction[1]];
            let crowded =
                nodes[i].children.iter().any(|&child| squared_distance(nodes[child].at, tip) < square(0.4 * STEP));
            if !crowded && outline.distance(tip) < -1.0 {
                let child = nodes.len();
                nodes[i].children.push(child);
                nodes.push(Node { at: tip, parent: Some(i), direction, children: Vec::new() });
            }
        }
        // Nodes pulled both ways get unstuck by chance: a few rounds without growth are no end.
        idle_rounds = if nodes.len() == seen { idle_rounds + 1 } else { 0 };
        if idle_rounds > 4 {
            break;
        }
    }
    nodes
}

/// Radii by Murray's law: the powers of the branches' radii add up to that of the stem. Nodes come after their parents.
fn calibres(nodes: &[Node], habit: &Habit) -> Vec<f32> {
    let mut powers = vec![0.0_f32; nodes.len()];
    let tip = power(habit.tip_radius, habit.murray);
    for (i, node) in nodes.iter().enumerate().rev() {
        if node.children.is_empty() {
            powers[i] = tip;
        }
        if let Some(parent) = node.parent {
            powers[parent] += powers[i];
        }
    }
    powers.into_iter().map(|total| power(total, 1.0 / habit.murray).min(MAX_RADIUS)).collect()
}

/// Nearly half of the tips join another vein nearby: (tip, other node).
fn anastomoses(rng: &mut Stream, nodes: &[Node]) -> Vec<(usize, usize)> {
    const SHARE: f64 = 0.45;
    const REACH: f32 = 7.0;
    let mut joints = Vec::new();
    for (i, tip) in nodes.iter().enumerate() {
        if !tip.children.is_empty() || !rng.gen_bool(SHARE) {
            continue;
        }
        let nearest = nodes
            .iter()
            .enumerate()
            .filter_map(|(j, node)| {
                let (dx, dy) = (node.at[0] - tip.at[0], node.at[1] - tip.at[1]);
                let distance = hypot(dx, dy);
                let ahead = dx * tip.direction[0] + dy * tip.direction[1] > 0.35 * distance;
                (j != i && distance > STEP && distance < REACH && ahead).then_some((distance, j))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0));
        joints.extend(nearest.map(|(_, j)| (i, j)));
    }
    joints
}
