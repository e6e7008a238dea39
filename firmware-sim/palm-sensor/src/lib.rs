//! A simulated palm-vein sensor: its firmware as a library, and synthetic palms.

pub mod synth;
