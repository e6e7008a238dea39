//! The terminal composed with simulators

pub mod people;
pub mod residents;
pub mod residue;
pub mod world;
