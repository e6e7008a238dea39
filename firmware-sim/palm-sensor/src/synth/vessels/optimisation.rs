//! Veins grown by constrained constructive optimisation (Schreiner and Buxbaum 1993): ends are added one by one, each
//! where the whole tree grows least in volume. Stems are the palmar arch and its kin; calibres follow from the stem
//! downwards by Murray's law.

use rand::Rng;

use super::super::maths::power;
use super::super::outline::{Outline, Point, segment_distance};
use super::super::random::{Field, Stream, normal};
use super::{Segment, squared_distance};

/// Depths that occur, mm.
const DEPTHS: [f32; 2] = [0.7, 5.0];
/// Calibres that occur, mm.
const RADII: [f32; 2] = [0.30, 1.55];
/// Length of the pieces that a branch is drawn in, mm.
const PIECE: f32 = 1.4;
/// Branches near a new end that are tried.
const NEIGHBOURS: usize = 12;
/// Nothing branches so near to an end, mm.
const SHORTEST: f32 = 1.2;

/// What makes one person's veins differ in kind from another's.
struct Habit {
    ends: u32,
    /// Exponent of Murray's law.
    murray: f32,
    stem_radius: f32,
    tortuosity: f32,
    mean_depth: f32,
}

/// A stretch between two bifurcations.
struct Branch {
    from: Point,
    to: Point,
    parent: Option<usize>,
    /// Ends that it feeds: its flow.
    ends: u32,
}

/// Grows veins inside `outline`.
pub(super) fn grow(rng: &mut Stream, outline: &Outline) -> Vec<Segment> {
    let habit = Habit {
        ends: rng.gen_range(110..=190),
        murray: rng.gen_range(2.6..3.0),
        stem_radius: rng.gen_range(1.15..1.5),
        tortuosity: rng.gen_range(0.5..1.3),
        mean_depth: rng.gen_range(0.9..1.5),
    };
    let mut tree = stems(rng, outline);
    let density = Field::new(rng, 30.0);
    // Room around an end shrinks when none is left.
    let mut room = 0.9 * outline.width / f32::from(habit.ends as u16).sqrt();
    let mut failures = 0;
    let mut added = 0;
    while added < habit.ends && room > 1.5 {
        let half = [0.75 * outline.width, 0.75 * outline.length];
        let end = [rng.gen_range(-half[0]..half[0]), rng.gen_range(-half[1]..half[1])];
        let is_wanted = outline.distance(end) < -2.0 && rng.r#gen::<f32>() < 0.7 + 0.35 * density.at(end[0], end[1]);
        if is_wanted && is_free(&tree, end, room) && tree_grows_to(&mut tree, &habit, outline, end) {
            added += 1;
            failures = 0;
        } else {
            failures += 1;
            if failures > 60 {
                room *= 0.93;
                failures = 0;
            }
        }
    }
    draw(rng, &habit, &tree)
}

/// The stems: from the wrist into the arch of the palm, from the wrist along the ball of the thumb, from between the
/// fingers downwards.
fn stems(rng: &mut Stream, outline: &Outline) -> Vec<Branch> {
    let mut tree = Vec::new();
    let mut chain = |rng: &mut Stream, points: &[Point]| {
        let mut parent = None;
        let jittered: Vec<Point> = points
            .iter()
            .map(|[x, y]| [x * outline.width + 2.5 * normal(rng), y * outline.length + 2.5 * normal(rng)])
            .collect();
        for pair in jittered.windows(2) {
            tree.push(Branch { from: pair[0], to: pair[1], parent, ends: 1 });
            parent = Some(tree.len() - 1);
        }
    };
    let ulnar = [[0.20, 0.74], [0.25, 0.52], [0.30, 0.30], [0.30, 0.10]];
    let arch = [[0.20, -0.06], [0.05, -0.12], [-0.10, -0.12], [-0.22, -0.04], [-0.27, 0.08]];
    match rng.gen_range(0..3_u8) {
        // A whole arch, one that ends half way, and none.
        0 => chain(rng, &[ulnar.as_slice(), &arch].concat()),
        1 => chain(rng, &[ulnar.as_slice(), &arch[..3]].concat()),
        _ => chain(rng, &ulnar),
    }
    chain(rng, &[[-0.16, 0.74], [-0.20, 0.52], [-0.24, 0.32]]);
    if rng.gen_bool(0.7) {
        chain(rng, &[[0.02, 0.74], [0.02, 0.52], [0.0, 0.34], [0.02, 0.18]]);
    }
    let bases = outline.finger_bases().map(|[x, y]| [x / outline.width, y / outline.length]);
    for gap in 0..3 {
        if rng.gen_bool(0.6) {
            let x = 0.5 * (bases[gap][0] + bases[gap + 1][0]);
            let y = 0.5 * (bases[gap][1] + bases[gap + 1][1]);
            chain(rng, &[[x, y + 0.04], [0.95 * x, y + 0.13]]);
        }
    }
    tree
}

fn is_free(tree: &[Branch], end: Point, room: f32) -> bool {
    tree.iter().all(|branch| segment_distance(branch.from, branch.to, end).1 > room)
}

/// Connects `end` to the branch where that costs least volume, if it can be connected at all.
fn tree_grows_to(tree: &mut Vec<Branch>, habit: &Habit, outline: &Outline, end: Point) -> bool {
    let mut nearest: Vec<(f32, usize)> =
        tree.iter().enumerate().map(|(i, branch)| (segment_distance(branch.from, branch.to, end).1, i)).collect();
    nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut joints: Vec<(f32, usize, Point)> = Vec::new();
    for &(_, target) in nearest.iter().take(NEIGHBOURS) {
        let upstream = cost_upstream(tree, habit, target);
        let Branch { from, to, ends, .. } = tree[target];
        for along in [0.2, 0.4, 0.6, 0.8] {
            for towards in [0.0, 0.12, 0.28] {
                let on_branch = mix(from, to, along);
                let joint = mix(on_branch, end, towards);
                let lengths = [length(from, joint), length(joint, to), length(joint, end)];
                if lengths.iter().any(|&length| length < SHORTEST) || outline.distance(joint) > -1.5 {
                    continue;
                }
                let volume =
                    lengths[0] * area(habit, ends + 1) + lengths[1] * area(habit, ends) + lengths[2] * area(habit, 1)
                        - length(from, to) * area(habit, ends);
                joints.push((volume + upstream, target, joint));
            }
        }
    }
    joints.sort_by(|a, b| a.0.total_cmp(&b.0));
    let possible = joints.into_iter().find(|&(_, target, joint)| {
        tree.iter().enumerate().all(|(i, other)| i == target || !cross(joint, end, other.from, other.to))
    });
    let Some((_, target, joint)) = possible else {
        return false;
    };
    connect(tree, target, joint, end);
    true
}

/// Splits `target` at `joint` and adds a branch from there to `end`.
fn connect(tree: &mut Vec<Branch>, target: usize, joint: Point, end: Point) {
    let lower = tree.len();
    let Branch { to, ends, .. } = tree[target];
    for branch in tree.iter_mut().filter(|branch| branch.parent == Some(target)) {
        branch.parent = Some(lower);
    }
    tree[target].to = joint;
    tree.push(Branch { from: joint, to, parent: Some(target), ends });
    tree.push(Branch { from: joint, to: end, parent: Some(target), ends: 1 });
    let mut above = Some(target);
    while let Some(branch) = above {
        tree[branch].ends += 1;
        above = tree[branch].parent;
    }
}

/// Volume by which the branches above `target` grow for one end more.
fn cost_upstream(tree: &[Branch], habit: &Habit, target: usize) -> f32 {
    let mut cost = 0.0;
    let mut above = tree[target].parent;
    while let Some(branch) = above {
        let Branch { from, to, ends, parent } = tree[branch];
        cost += length(from, to) * (area(habit, ends + 1) - area(habit, ends));
        above = parent;
    }
    cost
}

/// Square of the radius, against that of an end.
fn area(habit: &Habit, ends: u32) -> f32 {
    power(ends as f32, 2.0 / habit.murray)
}

/// Do two stretches cross? Touching at the ends doesn't count.
fn cross(a: Point, b: Point, c: Point, d: Point) -> bool {
    let turn = |p: Point, q: Point, r: Point| (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
    turn(a, b, c) * turn(a, b, d) < 0.0 && turn(c, d, a) * turn(c, d, b) < 0.0
}

/// Bends the branches, and gives them calibres and depths.
fn draw(rng: &mut Stream, habit: &Habit, tree: &[Branch]) -> Vec<Segment> {
    let bends = [[(); 2].map(|()| Field::new(rng, 30.0)), [(); 2].map(|()| Field::new(rng, 9.0))];
    let bent = |at: Point| {
        [0, 1].map(|axis: usize| {
            at[axis]
                + habit.tortuosity * (1.3 * bends[0][axis].at(at[0], at[1]) + 0.45 * bends[1][axis].at(at[0], at[1]))
        })
    };
    let depths = Field::new(rng, 24.0);
    let most_ends = tree.iter().map(|branch| branch.ends).max().unwrap_or(1) as f32;
    let mut segments = Vec::new();
    for branch in tree {
        let radius = habit.stem_radius * power(branch.ends as f32 / most_ends, 1.0 / habit.murray);
        let radius = radius.clamp(RADII[0], RADII[1]);
        // The last stretch comes to the skin, or leaves it.
        let slope = if branch.ends == 1 { 0.8 * normal(rng) } else { 0.0 };
        let pieces = (length(branch.from, branch.to) / PIECE).ceil().max(1.0) as u16;
        let place = |piece: u16| mix(branch.from, branch.to, f32::from(piece) / f32::from(pieces));
        for piece in 0..pieces {
            let (from, to) = (bent(place(piece)), bent(place(piece + 1)));
            let along = (f32::from(piece) + 0.5) / f32::from(pieces);
            let depth = habit.mean_depth + 0.8 * radius + 0.4 * depths.at(from[0], from[1]) + slope * along;
            segments.push(Segment { from, to, radius, depth: depth.clamp(DEPTHS[0], DEPTHS[1]) });
        }
    }
    segments
}

fn mix(a: Point, b: Point, share: f32) -> Point {
    [0, 1].map(|axis: usize| a[axis] + share * (b[axis] - a[axis]))
}

fn length(a: Point, b: Point) -> f32 {
    squared_distance(a, b).sqrt()
}
