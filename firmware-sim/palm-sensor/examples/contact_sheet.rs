//! Writes a contact sheet of synthetic palms: one person a row, one level a column. `contact_sheet OUT.png [SEED]`

use std::fs::File;
use std::io::BufWriter;
use std::time::Instant;

use palm_vein::PalmImage;
use sim_palm_sensor::synth::{Level, PalmSeeds, Side, SyntheticPalm, Veins};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: contact_sheet OUT.png [SEED]")?;
    let seed: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let columns = [
        (Level::L0, Veins::Normal),
        (Level::L1, Veins::Normal),
        (Level::L2, Veins::Normal),
        (Level::L3, Veins::Normal),
        (Level::L1, Veins::Faint),
        (Level::L1, Veins::Removed),
    ];
    let rows = 4;
    let (width, height) = (PalmImage::WIDTH / 2, PalmImage::HEIGHT / 2);
    let mut sheet = vec![0; columns.len() * width * rows * height];
    for row in 0..rows {
        let side = if row % 2 == 0 { Side::Right } else { Side::Left };
        let start = Instant::now();
        let palm = SyntheticPalm::new(PalmSeeds::of_person(seed + row as u64, side));
        println!("palm {row}: grown in {:?}", start.elapsed());
        for (column, (level, veins)) in columns.iter().enumerate() {
            let start = Instant::now();
            let image = palm.photograph(*level, 0, *veins);
            println!("  {level:?} {veins:?}: {:?}", start.elapsed());
            for y in 0..height {
                for x in 0..width {
                    let at = |dx, dy| u32::from(image.pixels()[(2 * y + dy) * PalmImage::WIDTH + 2 * x + dx]);
                    let mean = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4;
                    sheet[(row * height + y) * columns.len() * width + column * width + x] = mean as u8;
                }
            }
        }
    }
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, (columns.len() * width) as u32, (rows * height) as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header()?.write_image_data(&sheet)?;
    Ok(())
}
