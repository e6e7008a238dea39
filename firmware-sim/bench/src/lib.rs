//! The terminal composed with simulators: the program `madoguchi-sim`.
//!
//! * [`world`]: a municipality, an authority, operators and cards, made of one seed. [`people`], [`palms`]: who comes to the counter.
//! * [`composition`]: the composition root, with simulators behind every port.
//! * [`terminal`]: one procedure in a process of its own. [`authority`]: the authority in another.
//! * [`serving`]: the card in a virtual reader of pcscd.
//! * [`evaluation`]: how well the matcher tells palms in pictures apart. [`rendering`]: pictures of synthetic palms.
//! * [`token`]: real tokens in the place of software HSMs. [`residue`]: the search for what must be gone.

pub mod authority;
mod children;
pub mod commands;
pub mod composition;
mod demo;
pub mod evaluation;
mod failure;
mod kill;
pub mod line;
mod making;
pub mod palms;
pub mod people;
pub mod rendering;
pub mod residents;
pub mod residue;
mod sensing;
pub mod serving;
pub mod terminal;
pub mod token;
pub mod world;
