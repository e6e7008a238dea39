//! The line to the authority: CMP messages and a client over mutual TLS
