//! Requests that are not granted.
