//! A simulated palm-vein sensor with synthetic palms
