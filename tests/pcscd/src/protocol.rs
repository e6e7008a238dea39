//! As much of the protocol between pcscd and its library as tells that it is ready and which readers it has.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// `CMD_VERSION` and `CMD_GET_READERS_STATE` (pcsc-lite, `winscard_msg.h`).
const VERSION: u32 = 0x11;
const READERS: u32 = 0x12;
/// The protocol's version, stable since pcsc-lite 1.8.24. pcscd answers other versions, too.
const MAJOR: u32 = 4;
const MINOR: u32 = 4;
/// Length of the answer to `CMD_VERSION`: two version numbers and a code.
const VERSION_LEN: usize = 12;
/// A reader's entry (`struct pubReaderStatesList`): the name, a counter, two states, the ATR, its length, the protocol.
const ENTRY_LEN: usize = 128 + 4 + 4 + 4 + 36 + 4 + 4;
const NAME_LEN: usize = 128;
/// Entries in the answer, used or not.
const ENTRIES: usize = 16;
/// A machine under load may take long to start a program; a pcscd that failed closes the socket.
const PATIENCE: Duration = Duration::from_secs(30);

/// The names of all readers; answered only once pcscd has started them.
pub(crate) fn reader_names(socket: &Path) -> io::Result<Vec<String>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;

    stream.write_all(&words([12, VERSION, MAJOR, MINOR, 0]))?;
    stream.read_exact(&mut [0; VERSION_LEN])?;
    stream.write_all(&words([0, READERS]))?;
    let mut entries = [0; ENTRIES * ENTRY_LEN];
    stream.read_exact(&mut entries)?;

    let names = entries.chunks_exact(ENTRY_LEN).map(|entry| {
        let name = entry[..NAME_LEN].split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    });
    Ok(names.filter(|name| !name.is_empty()).collect())
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}
