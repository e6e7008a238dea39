//! The authority as the witness of the terminals' logs.
