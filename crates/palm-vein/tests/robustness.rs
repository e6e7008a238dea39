//! Whatever is in a picture or a stored template, there is an answer.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use palm_vein::{MATCH_THRESHOLD, PalmImage, PalmTemplate, QualityIssue, Shot, extract};
use proptest::prelude::*;

fn image(pixel: impl Fn(usize, usize) -> f32) -> PalmImage {
    let pixels = (0..PalmImage::PIXELS).map(|i| pixel(i % PalmImage::WIDTH, i / PalmImage::WIDTH) as u8).collect();
    PalmImage::from_pixels(pixels).expect("as many pixels as a palm image has")
}

/// A bright disc of `radius` pixels with dark stripes, which takes `tilt` radians from upright: no palm, but as good as one
/// for the matcher.
fn striped_disc(x: f32, y: f32, radius: f32, tilt: f32) -> PalmImage {
    image(|column, row| {
        let (dx, dy) = (column as f32 - x, row as f32 - y);
        let across = tilt.cos() * dx + tilt.sin() * dy;
        let along = tilt.cos() * dy - tilt.sin() * dx;
        // The stripes bend, so that no shift along them fits.
        let stripes = 14.0 * (across / 9.0 + (along / 21.0).sin()).sin();
        let fine = 4.0 * ((column as f32 * 0.8).sin() + (row as f32 * 0.8).sin());
        if dx.hypot(dy) < radius { 130.0 + stripes + fine } else { 8.0 }
    })
}

#[test]
fn the_same_pattern_matches_turned_and_shifted_and_another_does_not() {
    let enrolled =
        extract(&Shot::near_infrared(&striped_disc(320.0, 240.0, 150.0, 0.0), 280)).expect("a good picture").template();
    for (x, y, tilt) in [(320.0, 240.0, 0.0), (340.0, 225.0, 0.0), (320.0, 240.0, 0.15), (305.0, 250.0, -0.2)] {
        let moved = extract(&Shot::near_infrared(&striped_disc(x, y, 150.0, tilt), 280)).expect("a good picture");
        assert!(moved.matches(&enrolled), "{} at {x}, {y}, {tilt}", moved.similarity(&enrolled));
    }
    let turned = extract(&Shot::near_infrared(&striped_disc(320.0, 240.0, 150.0, 1.4), 280)).expect("a good picture");
    assert!(turned.similarity(&enrolled) < MATCH_THRESHOLD);
}

#[test]
fn what_is_wrong_with_a_picture_is_named() {
    let issue = |image: PalmImage| extract(&Shot::near_infrared(&image, 280)).err();
    assert_eq!(issue(image(|_, _| 0.0)), Some(QualityIssue::NoHand));
    assert_eq!(issue(image(|_, _| 255.0)), Some(QualityIssue::NoHand));
    assert_eq!(issue(striped_disc(320.0, 240.0, 50.0, 0.0)), Some(QualityIssue::NoHand));
    assert_eq!(issue(striped_disc(320.0, 240.0, 100.0, 0.0)), Some(QualityIssue::TooFar));
    assert_eq!(issue(striped_disc(320.0, 240.0, 220.0, 0.0)), Some(QualityIssue::TooNear));
    assert_eq!(issue(striped_disc(240.0, 240.0, 150.0, 0.0)), Some(QualityIssue::TooLeft));
    assert_eq!(issue(striped_disc(400.0, 240.0, 150.0, 0.0)), Some(QualityIssue::TooRight));
    assert_eq!(issue(striped_disc(320.0, 170.0, 150.0, 0.0)), Some(QualityIssue::OffCentre));
    let scaled = |factor: f32| {
        let original = striped_disc(320.0, 240.0, 150.0, 0.0);
        image(|x, y| f32::from(original.pixels()[y * PalmImage::WIDTH + x]) * factor)
    };
    assert_eq!(issue(scaled(0.5)), Some(QualityIssue::TooDark));
    assert_eq!(issue(scaled(1.7)), Some(QualityIssue::TooBright));
    let plain = |grey: fn(usize, usize) -> f32| {
        image(move |x, y| if (x as f32 - 320.0).hypot(y as f32 - 240.0) < 150.0 { grey(x, y) } else { 8.0 })
    };
    assert_eq!(issue(plain(|x, y| 20.0 + x as f32 / 2.4 + (x * 31 + y * 17) as f32 % 7.0)), Some(QualityIssue::Uneven));
    let skin = |x: usize, y: usize| 130.0 + 2.0 * (x as f32 * 1.1).sin() + 2.0 * (y as f32 * 1.1).sin();
    assert_eq!(issue(plain(skin)), Some(QualityIssue::NoVeins));
    let wave = |x: usize, y: usize| 130.0 + 15.0 * (x as f32 / 16.0).sin() + 15.0 * (y as f32 / 16.0).sin();
    assert_eq!(issue(plain(wave)), Some(QualityIssue::Blurred));
}

#[test]
fn a_template_survives_being_stored_and_damage_is_noticed() {
    let template =
        extract(&Shot::near_infrared(&striped_disc(320.0, 240.0, 150.0, 0.0), 280)).expect("a good picture").template();
    let bytes = template.to_bytes();
    assert_eq!(bytes.len(), PalmTemplate::ENCODED);
    assert!(PalmTemplate::from_bytes(&bytes) == Ok(template));
    assert!(PalmTemplate::from_bytes(&bytes[1..]).is_err());
    assert!(PalmTemplate::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    let mut later = bytes.to_vec();
    later[0] += 2;
    assert!(PalmTemplate::from_bytes(&later).is_err());
    // A code where the mask says that there is no vein.
    let corner = 1;
    let mut unmasked = bytes.to_vec();
    unmasked[corner] ^= 1;
    assert!(PalmTemplate::from_bytes(&unmasked).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_picture_gets_an_answer(
        blobs in proptest::collection::vec((0..640_i32, 0..480_i32, 5..400_i32, any::<u8>()), 0..6),
        noise in 0..128_u32,
        pitch in any::<u16>(),
    ) {
        let picture = image(|x, y| {
            let hit = blobs.iter().rev().find(|(cx, cy, r, _)| (x as i32 - cx).pow(2) + (y as i32 - cy).pow(2) < r * r);
            let speckle = (x as u32).wrapping_mul(2_654_435_761).wrapping_add(y as u32).wrapping_mul(40_503) >> 16;
            hit.map_or(5.0, |blob| f32::from(blob.3)) + (speckle % (noise + 1)) as f32
        });
        for pitch in [pitch, 280] {
            if let Ok(palm) = extract(&Shot::near_infrared(&picture, pitch)) {
                prop_assert!(palm.matches(&palm.template()));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_template_or_are_not(mut bytes in proptest::collection::vec(any::<u8>(), PalmTemplate::ENCODED)) {
        bytes[0] = 1;
        prop_assert!(PalmTemplate::from_bytes(&bytes).is_err(), "random codes don't keep to the mask");
        prop_assert!(PalmTemplate::from_bytes(&bytes[..bytes.len() / 2]).is_err());
    }
}
