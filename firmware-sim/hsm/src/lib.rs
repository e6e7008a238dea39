//! A software HSM behind the HSM port
