//! The terminal composed with simulators
