//! Palm veins: image, quality, template, score

mod image;

pub use image::{PalmImage, WrongSize};
