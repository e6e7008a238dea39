//! What is issued is what was applied for, by the terminal's own check and in both generations.
