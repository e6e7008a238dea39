//! Counter procedures as state machines, and the driver that runs them
