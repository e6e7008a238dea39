//! Where the secret of an invitation comes from. Never from the command line or the environment, which other programs can read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::failure::Failure;

/// The longest secret that is read, in bytes.
const LONGEST: usize = 255;
/// The folder in which systemd puts a service's credentials (systemd.exec(5), `LoadCredential=`). It names no secret itself.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// `--secret`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `prompt`: typed at the terminal, unseen.
    Prompt,
    /// `fd:N`: the next line of a file descriptor that the program was started with.
    Descriptor(u32),
    /// `file:PATH`: a file that its owner alone may read.
    File(PathBuf),
    /// `credential:NAME`: a credential of the service.
    Credential(String),
}

impl FromStr for SecretSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let source = match text.split_once(':') {
            None if text == "prompt" => Some(Self::Prompt),
            Some(("fd", number)) => number.parse().ok().map(Self::Descriptor),
            Some(("file", path)) if !path.is_empty() => Some(Self::File(path.into())),
            Some(("credential", name)) => {
                let is_name = !name.is_empty() && !name.contains('/') && ![".", ".."].contains(&name);
                is_name.then(|| Self::Credential(name.to_owned()))
            }
            _ => None,
        };
        source.ok_or(
            "prompt, fd:N, file:PATH or credential:NAME is needed; a secret itself has no place on a command line",
        )
    }
}

impl SecretSource {
    /// Reads a secret of letters and digits as it was told: in either case, with spaces and hyphens anywhere, O and 0, I, L and 1
    /// mistaken for each other. `prompt` is what a person is asked.
    ///
    /// # Errors
    /// If nothing can be read, or others may read it, too.
    pub(crate) fn read(&self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let line = match self {
            Self::Prompt => {
                let typed = rpassword::prompt_password(prompt).map_err(Failure::NoTerminal)?;
                Zeroizing::new(typed.into_bytes())
            }
            Self::Descriptor(number) => line_of(Path::new(&format!("/proc/self/fd/{number}")))?,
            Self::File(path) => guarded(path)?,
            Self::Credential(name) => match std::env::var_os(CREDENTIALS) {
                Some(folder) => guarded(&Path::new(&folder).join(name))?,
                None => return Err(unreadable(Path::new(name), Some(io::ErrorKind::NotFound.into()))),
            },
        };
        let symbols =
            line.iter().map(u8::to_ascii_uppercase).filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-');
        let mut secret = Zeroizing::new(Vec::with_capacity(LONGEST));
        secret.extend(symbols.map(|symbol| match symbol {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        }));
        Ok(secret)
    }
}

fn guarded(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let metadata = path.metadata().map_err(|error| unreadable(path, Some(error)))?;
    if metadata.mode() & 0o077 != 0 {
        let args = vec![("path", path.display().to_string().into())];
        return Err(Failure::Own { key: "error-secret-exposed", args, source: None });
    }
    line_of(path)
}

/// The first line. Byte by byte, so that what follows stays for whoever reads on; into a buffer that never moves.
fn line_of(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut file = File::open(path).map_err(|error| unreadable(path, Some(error)))?;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = Zeroizing::new([0]);
    while file.read(&mut *byte).map_err(|error| unreadable(path, Some(error)))? == 1 && byte[0] != b'\n' {
        if line.len() == LONGEST {
            return Err(unreadable(path, None));
        }
        line.push(byte[0]);
    }
    Ok(line)
}

fn unreadable(path: &Path, error: Option<io::Error>) -> Failure {
    let args = vec![("path", path.display().to_string().into())];
    Failure::Own { key: "error-secret-unreadable", args, source: error.map(Into::into) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let source = SecretSource::File(path.clone());
        fs::write(&path, "abcde-fgh1i lO\nmore\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(source.read(""), Err(Failure::Own { key: "error-secret-exposed", .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(source.read("").unwrap().as_slice(), b"ABCDEFGH1110");
        fs::remove_file(&path).unwrap();
        assert!(matches!(source.read(""), Err(Failure::Own { key: "error-secret-unreadable", .. })));
    }

    #[test]
    fn a_secret_itself_is_no_source() {
        for text in ["ABCDE-FGHJK", "", "fd:", "fd:x", "file:", "credential:../x", "pass:secret"] {
            assert!(text.parse::<SecretSource>().is_err(), "{text}");
        }
        assert_eq!("fd:3".parse(), Ok(SecretSource::Descriptor(3)));
    }
}
