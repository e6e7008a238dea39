//! A simulated card: its operating system as a library, bytes in, bytes out
