//! Where a token's PIN comes from. Never from the command line or the environment, which other programs can read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::Pin;
use crate::uri::UriError;

/// The longest PIN that is read, in bytes.
const LONGEST: usize = 255;
/// The folder in which systemd puts a service's credentials (systemd.exec(5), `LoadCredential=`). It names no secret itself.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a PIN comes from: `pin-source` of a PKCS #11 URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// `fd:N`: the next line of a file descriptor that the program was started with. Nothing behind the line is read.
    Descriptor(u32),
    /// `credential:NAME`: a credential of the service.
    Credential(String),
    /// `file:PATH`: a file that its owner alone may read.
    File(PathBuf),
    /// `prompt`: typed at the terminal, unseen.
    Prompt,
}

/// Why there is no PIN.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The source can't be read: no such file, descriptor or credential, or no terminal to ask at.
    #[error("the HSM's PIN can't be read from {pin_source}")]
    Unreadable {
        /// Which.
        pin_source: PinSource,
        /// Its cause.
        #[source]
        cause: io::Error,
    },
    /// Others than its owner may read or write the file.
    #[error("others may read the HSM's PIN in {}", .0.display())]
    Exposed(PathBuf),
    /// What was read is no PIN: nothing, too long, or no text.
    #[error("what {0} gives is no PIN")]
    NotAPin(PinSource),
}

impl PinSource {
    /// Reads the PIN of the token that people call `token`.
    pub(crate) fn read(&self, token: &str) -> Result<Pin, PinError> {
        let line = match self {
            Self::Descriptor(number) => self.line_of(Path::new(&format!("/proc/self/fd/{number}")))?,
            Self::Credential(name) => {
                let folder =
                    std::env::var_os(CREDENTIALS).ok_or_else(|| self.unreadable(io::ErrorKind::NotFound.into()))?;
                self.guarded(&Path::new(&folder).join(name))?
            }
            Self::File(path) => self.guarded(path)?,
            Self::Prompt => {
                let typed = rpassword::prompt_password(format!("HSM PIN ({token}): "));
                Zeroizing::new(typed.map_err(|cause| self.unreadable(cause))?.into_bytes())
            }
        };
        let text = std::str::from_utf8(&line).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control));
        text.map(Pin::from).ok_or_else(|| PinError::NotAPin(self.clone()))
    }

    fn guarded(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, PinError> {
        let metadata = path.metadata().map_err(|cause| self.unreadable(cause))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(PinError::Exposed(path.to_owned()));
        }
        self.line_of(path)
    }

    /// The first line. Byte by byte, so that what follows stays for whoever reads on; into a buffer that never moves.
    fn line_of(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, PinError> {
        let mut file = File::open(path).map_err(|cause| self.unreadable(cause))?;
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
        let mut byte = Zeroizing::new([0]);
        while file.read(&mut *byte).map_err(|cause| self.unreadable(cause))? == 1 && byte[0] != b'\n' {
            if line.len() == LONGEST {
                return Err(PinError::NotAPin(self.clone()));
            }
            line.push(byte[0]);
        }
        Ok(line)
    }

    fn unreadable(&self, cause: io::Error) -> PinError {
        PinError::Unreadable { pin_source: self.clone(), cause }
    }
}

impl FromStr for PinSource {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let source = match text.split_once(':') {
            Some(("fd", number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().ok().map(Self::Descriptor)
            }
            Some(("credential", name)) => {
                let is_name = !name.is_empty() && !name.contains('/') && ![".", ".."].contains(&name);
                is_name.then(|| Self::Credential(name.to_owned()))
            }
            Some(("file", path)) => path.starts_with('/').then(|| Self::File(path.into())),
            _ if text == "prompt" => Some(Self::Prompt),
            _ => text.starts_with('/').then(|| Self::File(text.into())),
        };
        source.ok_or(UriError::PinSource)
    }
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptor(number) => write!(f, "fd:{number}"),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Prompt => f.write_str("prompt"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_pin_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        let source = PinSource::File(path.clone());
        assert!(matches!(source.read("t"), Err(PinError::Unreadable { .. })));
        fs::write(&path, "user-1234\nsomething else\n").unwrap();
        for (mode, sound) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match source.read("t") {
                Ok(pin) => assert!(sound && pin.expose_secret() == "user-1234", "{mode:o}"),
                Err(error) => assert!(!sound && matches!(error, PinError::Exposed(_)), "{mode:o}: {error}"),
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for no_pin in [&b""[..], b"\n", b"a\tb\n", b"\xFF\n", &[b'1'; LONGEST + 1]] {
            fs::write(&path, no_pin).unwrap();
            assert!(matches!(source.read("t"), Err(PinError::NotAPin(_))), "{no_pin:?}");
        }
    }

    #[test]
    fn of_a_descriptor_one_line_is_read_and_no_more() {
        let (mut rest, mut writer) = io::pipe().unwrap();
        writer.write_all(b"first-pin\nsecond-pin\nrest").unwrap();
        drop(writer);
        let source = PinSource::Descriptor(u32::try_from(rest.as_raw_fd()).unwrap());
        assert_eq!(source.read("t").unwrap().expose_secret(), "first-pin");
        assert_eq!(source.read("t").unwrap().expose_secret(), "second-pin");
        let mut left = String::new();
        rest.read_to_string(&mut left).unwrap();
        assert_eq!(left, "rest");
        let closed = PinSource::Descriptor(9_999);
        assert!(matches!(closed.read("t"), Err(PinError::Unreadable { .. })));
    }
}
