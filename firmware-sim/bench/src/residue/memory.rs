//! The memory of another process: every readable page that belongs to it alone. A process can't search itself: it would
//! find what it searches for.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use super::{Found, Needles, SearchError};

/// How much is read at once; a text that lies across the seam is found too.
const PIECE: usize = 8 << 20;
/// Longer than any encoding of anything that is searched for.
const SEAM: usize = 8 << 10;

/// Searches the memory of the process `pid`, which is a child of this one or belongs to the same user. How many bytes were
/// searched is the answer.
///
/// # Errors
/// If the system does not allow it.
pub fn search_process(needles: &Needles, pid: u32, found: &mut Vec<Found>) -> Result<u64, SearchError> {
    let denied = |source| SearchError::Memory { pid, source };
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(denied)?;
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(denied)?;
    let mut searched = 0;
    let mut piece = vec![0; PIECE];
    for (start, end, name) in maps.lines().filter_map(region) {
        let place = format!("memory of process {pid} ({name})");
        let mut at = start;
        while at < end {
            let wanted = PIECE.min(usize::try_from(end - at).unwrap_or(PIECE));
            // A page that can't be read is one that the process itself can't read.
            let Ok(read) = memory.read_at(&mut piece[..wanted], at) else { break };
            if read == 0 {
                break;
            }
            needles.search(&piece[..read], &place, found);
            searched += read as u64;
            at += if read > SEAM && at + (read as u64) < end { (read - SEAM) as u64 } else { read as u64 };
        }
    }
    if searched == 0 {
        return Err(denied(std::io::ErrorKind::PermissionDenied.into()));
    }
    Ok(searched)
}

/// Start, end and name of a region that the process can write, or could: code and constants of programs are the same for
/// everybody.
fn region(line: &str) -> Option<(u64, u64, &str)> {
    let mut fields = line.splitn(6, ' ').map(str::trim);
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let name = fields.nth(3).unwrap_or("").trim();
    let kernels_own = ["[vvar]", "[vsyscall]", "[vdso]", "[vvar_vclock]"].contains(&name);
    if !permissions.starts_with("rw") || kernels_own {
        return None;
    }
    let name = if name.is_empty() { "anonymous" } else { name };
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?, name))
}
