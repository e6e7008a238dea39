//! `palm render`: pictures that `palm evaluate` takes, and the contact sheet of the documentation.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use madoguchi_sim::evaluation::Picture;
use madoguchi_sim::rendering::{ContactSheet, RED_SUFFIX, contact_sheet};
use sim_palm_sensor::synth::Family;

/// If this fails, the pictures have changed: `madoguchi-sim palm render --persons 1 --out DIR` writes the new sheet, and all
/// figures for palms have to be measured again.
#[test]
fn the_sheet_in_the_documentation_shows_these_palms() {
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples/palms.png");
    let mut png = png::Decoder::new(BufReader::new(File::open(documented).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; png.output_buffer_size().unwrap()];
    let info = png.next_frame(&mut pixels).unwrap();
    assert_eq!(info.width as usize, ContactSheet::WIDTH);
    assert!(pixels == contact_sheet(Family::A, 1, 1).pixels(), "docs/samples/palms.png shows other palms");
}

#[test]
fn folders_are_those_that_are_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("palms");
    let run = Command::new(env!("CARGO_BIN_EXE_madoguchi-sim"))
        .args(["palm", "render", "--persons", "1", "--seed", "9", "--family", "b", "--level", "L0", "--negatives"])
        .args(["--json", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&told["ok"], &told["simulated"], &told["family"]), (&true.into(), &true.into(), &"B".into()), "{told}");

    let mut files = 1;
    let folders = ["gallery", "probes"].map(str::to_owned).into_iter().chain(
        ["veins-removed", "same-skin-other-veins", "other-skin-same-veins"].map(|name| format!("negatives/{name}")),
    );
    for name in folders {
        let pictures = Picture::list(&out.join(&name), Some(RED_SUFFIX)).unwrap();
        let subjects: Vec<&str> = pictures.iter().map(|picture| picture.subject.as_str()).collect();
        assert_eq!(subjects, ["B9L", "B9L", "B9L", "B9R", "B9R", "B9R"], "{name}");
        files += 2 * pictures.len();
    }
    assert_eq!(told["pictures"], files - 1);
    assert!(out.join("contact-sheet.png").exists());
}
