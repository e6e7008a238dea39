//! Holds synthetic palms against pictures of real ones: `calibration [IDENTITIES]` prints medians and the middle 80 % of
//! each statistic, by family, level and light, and the shortest times that a palm and a frame took; `calibration FILE.png …`
//! prints the statistics of pictures.

use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant};

use sim_palm_sensor::read_png;
use sim_palm_sensor::synth::{Family, Level, PalmSeeds, Side, SyntheticPalm, Veins, Wavelength, statistics};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let identities = arguments.first().map_or(Ok(40), |text| text.parse());
    let Ok(identities) = identities else {
        for path in &arguments {
            let image = read_png(BufReader::new(File::open(path)?))?;
            println!("{path}: {:?}", statistics::measure(&image));
        }
        return Ok(());
    };
    println!("{:<24}{:>24}{:>22}{:>22}", "", "valley contrast", "noise, grey levels", "valley scale, px");
    for family in [Family::A, Family::B] {
        let (mut growth, mut taking) = (Duration::MAX, Duration::MAX);
        let palms: Vec<SyntheticPalm> = (0..identities)
            .map(|seed| {
                let seeds = PalmSeeds::of_person(seed, Side::Right).in_family(family);
                fastest(&mut growth, || SyntheticPalm::new(seeds))
            })
            .collect();
        for wavelength in Wavelength::ALL {
            for (level, veins) in [
                (Level::L0, Veins::Normal),
                (Level::L1, Veins::Normal),
                (Level::L2, Veins::Normal),
                (Level::L3, Veins::Normal),
                (Level::L1, Veins::Faint),
                (Level::L1, Veins::Removed),
            ] {
                let measured: Vec<_> = palms
                    .iter()
                    .map(|palm| fastest(&mut taking, || palm.frame(wavelength, level, 0, veins)))
                    .filter_map(|frame| statistics::measure(&frame))
                    .collect();
                let name = format!("{family:?} {} {level:?} {veins:?}", wavelength.nanometres());
                let column = |get: fn(&statistics::PictureStatistics) -> f32, digits: usize| {
                    let mut values: Vec<f32> = measured.iter().map(get).collect();
                    values.sort_by(f32::total_cmp);
                    let at = |share: f32| values.get((share * values.len() as f32) as usize).copied().unwrap_or(0.0);
                    format!("{:.digits$} [{:.digits$}, {:.digits$}]", at(0.5), at(0.1), at(0.9))
                };
                println!(
                    "{name:<24}{:>24}{:>22}{:>22}",
                    column(|s| s.valley_contrast, 3),
                    column(|s| s.noise, 1),
                    column(|s| s.valley_scale, 1)
                );
            }
        }
        println!("{family:?}: a palm grown in {growth:.1?}, a frame taken in {taking:.1?}, at the fastest");
    }
    Ok(())
}

fn fastest<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *time = start.elapsed().min(*time);
    result
}
