//! The authority: CMP server, certificate store, OCSP, CRL
