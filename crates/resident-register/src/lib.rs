//! The resident register port and its CSV backend
