//! As much of the protocol between pcscd and its library as tells that it is ready, which readers it has, and where a card is.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// `CMD_VERSION`, `CMD_GET_READERS_STATE` and `CMD_WAIT_READER_STATE_CHANGE` (pcsc-lite, `winscard_msg.h`).
const VERSION: u32 = 0x11;
const READERS: u32 = 0x12;
/// Answered with all states at once, and with [`CHANGED_LEN`] bytes when one has changed.
const WAIT: u32 = 0x13;
const CHANGED_LEN: usize = 8;
/// The protocol's version, stable since pcsc-lite 1.8.24. pcscd answers other versions, too.
const MAJOR: u32 = 4;
const MINOR: u32 = 4;
/// Length of the answer to `CMD_VERSION`: two version numbers and a code.
const VERSION_LEN: usize = 12;
/// A reader's entry (`struct pubReaderStatesList`): the name, a counter, two states, the ATR, its length, the protocol.
const ENTRY_LEN: usize = 128 + 4 + 4 + 4 + 36 + 4 + 4;
const NAME_LEN: usize = 128;
/// The first of the two states, and the bit that says that there is a card (`SCARD_PRESENT`).
const STATE: std::ops::Range<usize> = 132..136;
const PRESENT: u32 = 0x04;
/// Entries in the answer, used or not.
const ENTRIES: usize = 16;
/// A machine under load may take long to start a program; a pcscd that failed closes the socket.
const PATIENCE: Duration = Duration::from_secs(30);

/// The names of all readers; answered only once pcscd has started them.
pub(crate) fn reader_names(socket: &Path) -> io::Result<Vec<String>> {
    let entries = readers(&mut open(socket)?, READERS)?;
    Ok(entries.chunks_exact(ENTRY_LEN).map(name).filter(|name| !name.is_empty()).collect())
}

/// Returns once programs see a card in the reader of this name.
pub(crate) fn wait_for_card(socket: &Path, reader: &str) -> io::Result<()> {
    let mut stream = open(socket)?;
    loop {
        let entries = readers(&mut stream, WAIT)?;
        let state = entries.chunks_exact(ENTRY_LEN).find(|entry| name(entry) == reader).map(|entry| &entry[STATE]);
        if state.and_then(|state| state.try_into().ok()).is_some_and(|state| u32::from_ne_bytes(state) & PRESENT != 0) {
            return Ok(());
        }
        stream.read_exact(&mut [0; CHANGED_LEN])?;
    }
}

fn open(socket: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&words([12, VERSION, MAJOR, MINOR, 0]))?;
    stream.read_exact(&mut [0; VERSION_LEN])?;
    Ok(stream)
}

/// The entries of all readers.
fn readers(stream: &mut UnixStream, command: u32) -> io::Result<[u8; ENTRIES * ENTRY_LEN]> {
    stream.write_all(&words([0, command]))?;
    let mut entries = [0; ENTRIES * ENTRY_LEN];
    stream.read_exact(&mut entries)?;
    Ok(entries)
}

fn name(entry: &[u8]) -> String {
    let name = entry[..NAME_LEN].split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}
