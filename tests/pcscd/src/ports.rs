//! Free TCP ports, in pairs: a vpcd reader has two slots, and listens for the second one on the next port.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Below what the kernel gives to outgoing connections, above what services use.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// So many ports that are free now, and so are the ports after them. Somebody else may take them yet.
pub(crate) fn free_pairs(count: usize) -> io::Result<Vec<u16>> {
    let mut found = BTreeSet::new();
    for attempt in 0..10 * u64::from(RANGE.end - RANGE.start) {
        if found.len() == count {
            return Ok(found.into_iter().collect());
        }
        // Where the search starts differs from test to test, as they run side by side.
        let pairs = u64::from((RANGE.end - RANGE.start) / 2);
        let offset = u16::try_from(RandomState::new().hash_one(attempt) % pairs).map_err(io::Error::other)?;
        let port = RANGE.start + 2 * offset;
        if is_free(port) && is_free(port + 1) {
            found.insert(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free ports for virtual readers"))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
