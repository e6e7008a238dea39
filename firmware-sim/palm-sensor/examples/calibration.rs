//! Holds synthetic palms against pictures of real ones: `calibration [IDENTITIES]` prints medians and the middle 80 % of
//! each statistic, by family, level and light; `calibration FILE.png …` those of pictures.

use std::fs::File;
use std::io::BufReader;

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
        let palms: Vec<SyntheticPalm> = (0..identities)
            .map(|seed| SyntheticPalm::new(PalmSeeds::of_person(seed, Side::Right).in_family(family)))
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
                    .filter_map(|palm| statistics::measure(&palm.frame(wavelength, level, 0, veins)))
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
    }
    Ok(())
}
