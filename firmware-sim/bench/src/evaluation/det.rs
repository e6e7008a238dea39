//! The DET curve as a picture: false non-match rate over false match rate, both on a scale of normal deviates (Martin et
//! al. 1997), so that curves are nearly straight.

use palm_vein::evaluation::Scores;

/// Marks of both axes.
const MARKS: [f64; 9] = [1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6];
/// Both axes begin and end here.
const RANGE: [f64; 2] = [4e-6, 0.65];
/// The picture's edge, and where the axes lie in it.
const SIZE: f64 = 560.0;
const MARGIN: [f64; 2] = [70.0, 20.0];
const COLOURS: [&str; 8] = ["#0b5fa5", "#c8501e", "#2f7d32", "#7b3fa0", "#a0722a", "#c2185b", "#00838f", "#616161"];

/// Draws the DET curves of trials, each with its name. Where a rate is 0 the curve ends.
#[must_use]
pub fn det_svg(curves: &[(&str, &Scores)]) -> String {
    let mut svg = String::new();
    let [low, high] = RANGE.map(deviate);
    let place = |rate: f64| {
        MARGIN[0] + (deviate(rate.clamp(RANGE[0], RANGE[1])) - low) / (high - low) * (SIZE - MARGIN[0] - MARGIN[1])
    };
    let (x, y) = (place, |rate: f64| SIZE - place(rate));
    let mut line = |text: std::fmt::Arguments<'_>| {
        svg.push_str(&text.to_string());
        svg.push('\n');
    };
    line(format_args!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" font-family="sans-serif" font-size="12">
<rect width="{SIZE}" height="{SIZE}" fill="#fff"/>"##
    ));
    let (start, end) = (place(RANGE[0]), place(RANGE[1]));
    for mark in MARKS {
        let at = place(mark);
        let label = if mark < 1e-3 { format!("{mark:.0e}") } else { format!("{} %", 100.0 * mark) };
        line(format_args!(
            r##"<path d="M{at:.1} {:.1}V{:.1}M{start:.1} {:.1}H{end:.1}" stroke="#ddd"/>
<text x="{at:.1}" y="{:.1}" text-anchor="middle">{label}</text><text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"##,
            SIZE - start,
            SIZE - end,
            SIZE - at,
            SIZE - start + 18.0,
            start - 6.0,
            SIZE - at + 4.0,
        ));
    }
    line(format_args!(
        r##"<rect x="{start:.1}" y="{:.1}" width="{:.1}" height="{:.1}" fill="none" stroke="#444"/>
<text x="{:.1}" y="{:.1}" text-anchor="middle">False match rate (FMR)</text>
<text transform="translate(16 {:.1}) rotate(-90)" text-anchor="middle">False non-match rate (FNMR)</text>"##,
        SIZE - end,
        end - start,
        end - start,
        0.5 * (start + end),
        SIZE - 18.0,
        SIZE - 0.5 * (start + end),
    ));
    for (number, (name, scores)) in curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let mut path = String::new();
        let mut last = None;
        for rates in scores.curve().iter().filter(|rates| rates.fmr() > 0.0 && rates.fnmr() > 0.0) {
            let at = (x(rates.fmr()), y(rates.fnmr()));
            // Points that can't be told from the one before would only make the file larger.
            let is_near = |(left, above): (f64, f64)| (left - at.0).abs() + (above - at.1).abs() < 0.5;
            if last.is_some_and(is_near) {
                continue;
            }
            path.push_str(&format!("{}{:.1} {:.1}", if path.is_empty() { "M" } else { "L" }, at.0, at.1));
            last = Some(at);
        }
        line(format_args!(r##"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"##));
        let y = SIZE - end + 20.0 + 17.0 * number as f64;
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        line(format_args!(
            r##"<text x="{:.1}" y="{y:.1}" text-anchor="end" fill="{colour}">{name}</text>"##,
            end - 8.0
        ));
    }
    line(format_args!("</svg>"));
    svg
}

/// The standard normal deviate below which a draw lies with this probability (between 0 and 1).
fn deviate(probability: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        *(if distribution(middle) < probability { &mut low } else { &mut high }) = middle;
    }
    low
}

/// The normal distribution function, by its series: 1/2 + φ(z)·(z + z³/3 + z⁵/(3·5) + …).
fn distribution(deviate: f64) -> f64 {
    let (mut term, mut sum) = (deviate, deviate);
    for odd in (3..400).step_by(2) {
        term *= deviate * deviate / f64::from(odd);
        sum += term;
    }
    0.5 + sum * (-0.5 * deviate * deviate).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use palm_vein::evaluation::Comparison;

    use super::*;

    #[test]
    fn deviates_are_those_of_the_tables() {
        for (probability, expected) in [(0.5, 0.0), (0.158_655_25, -1.0), (0.025, -1.959_964), (1e-5, -4.264_891)] {
            assert!((deviate(probability) - expected).abs() < 1e-5, "{probability}");
        }
    }

    #[test]
    fn a_curve_is_a_line_between_the_axes() {
        let comparison = |number: u32, score: u32| Comparison { reference: 0, probe: number % 2, score: score as f32 };
        let scores =
            Scores::new((0..200).map(|number| comparison(number, number * 7919 % 100 + 20 * (1 - number % 2))));
        let svg = det_svg(&[("L1 <normal>", &scores)]);
        assert!(svg.contains("L1 &lt;normal>"));
        let path = svg.lines().find(|line| line.contains("stroke-width")).expect("a curve");
        let numbers = path.split(['M', 'L', ' ', '"']).filter_map(|part| part.parse::<f64>().ok()).collect::<Vec<_>>();
        assert!(numbers.len() > 20 && numbers.iter().all(|place| (0.0..=SIZE).contains(place)), "{path}");
    }
}
