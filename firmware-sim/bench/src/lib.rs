//! The terminal composed with simulators

pub mod people;
pub mod world;
