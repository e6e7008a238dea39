//! A Merkle log with signed checkpoints
