//! Writes a contact sheet of synthetic palms: `contact_sheet OUT.png [SEED] [A|B]`. Times go to the standard output.

use std::fs::File;
use std::io::BufWriter;
use std::time::Instant;

use palm_vein::PalmImage;
use sim_palm_sensor::synth::{
    Artefact, Family, Forgery, Frames, Level, Negative, PalmSeeds, Side, SyntheticPalm, Veins,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: contact_sheet OUT.png [SEED] [A|B]")?;
    let seed: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let family = if arguments.next().as_deref() == Some("B") { Family::B } else { Family::A };
    let mut rows: Vec<Vec<PalmImage>> = Vec::new();
    let mut add = |frames: Vec<Frames>| {
        let (near_infrared, red) = frames.into_iter().map(|frames| (frames.near_infrared, frames.red)).unzip();
        rows.extend([near_infrared, red]);
    };
    for side in [Side::Right, Side::Left] {
        for person in [seed, seed + 1] {
            let start = Instant::now();
            let palm = SyntheticPalm::new(PalmSeeds::of_person(person, side).in_family(family));
            println!("grown in {:?}", start.elapsed());
            let mut frames = Vec::new();
            for level in Level::ALL {
                let start = Instant::now();
                frames.push(palm.capture(level, 0, Veins::Normal));
                println!("  {level:?}: two frames in {:?}", start.elapsed());
            }
            frames.push(palm.capture(Level::L1, 0, Veins::Faint));
            frames.extend(Negative::ALL.map(|negative| {
                let (seeds, veins) = negative.of(palm.seeds());
                SyntheticPalm::new(seeds).capture(Level::L1, 0, veins)
            }));
            add(frames);
        }
    }
    let victim = SyntheticPalm::new(PalmSeeds::of_person(seed, Side::Left).in_family(family));
    add(Artefact::ALL
        .map(|artefact| {
            let start = Instant::now();
            let forgery = Forgery::new(artefact, &victim);
            println!("{artefact:?} made in {:?}", start.elapsed());
            forgery.capture(Level::L1, 0)
        })
        .into());

    let (width, height) = (PalmImage::WIDTH / 2, PalmImage::HEIGHT / 2);
    let columns = rows.first().map_or(0, Vec::len);
    let mut sheet = vec![0; columns * width * rows.len() * height];
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.iter().enumerate() {
            for y in 0..height {
                for x in 0..width {
                    let at = |dx, dy| u32::from(image.pixels()[(2 * y + dy) * PalmImage::WIDTH + 2 * x + dx]);
                    let mean = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4;
                    sheet[(row * height + y) * columns * width + column * width + x] = mean as u8;
                }
            }
        }
    }
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, (columns * width) as u32, (rows.len() * height) as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header()?.write_image_data(&sheet)?;
    Ok(())
}
