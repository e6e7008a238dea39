//! A simulated world: residents, operators, cards, an authority, all made from one seed.

pub mod parts;
