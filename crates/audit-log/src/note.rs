//! Signed notes (c2sp.org/signed-note) with ECDSA P-256 signatures.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use sha2::{Digest, Sha256};

/// The longest note that is read, in bytes. A checkpoint with 16 signatures has less than 4,000.
const LONGEST_NOTE: usize = 64 * 1024;

/// What leads a signature line: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// What names a key in a note, beside its name: for ECDSA, the first four bytes of the SHA-256 of its SubjectPublicKeyInfo
/// (c2sp.org/signed-note, signature type 0x02).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The public half of a key that signs notes, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    spki: Vec<u8>,
    key: VerifyingKey,
}

/// Why there is no such [`LogKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// Names are not empty and hold neither spaces nor `+` nor control characters. The name was configured wrongly.
    #[error("a name that a signed note can't carry")]
    Name,
    /// The bytes are not the SubjectPublicKeyInfo of a key on P-256. The wrong key was named in the HSM.
    #[error("not a public key on P-256")]
    PublicKey,
}

impl LogKey {
    /// The key `spki` (SubjectPublicKeyInfo, DER), that signs under `name`. A log's key is named as its origin.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn new(name: &str, spki: &[u8]) -> Result<Self, KeyFault> {
        if !is_name(name) {
            return Err(KeyFault::Name);
        }
        let key = VerifyingKey::from_public_key_der(spki).map_err(|_| KeyFault::PublicKey)?;
        Ok(Self { name: name.to_owned(), spki: spki.to_vec(), key })
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key's ID.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(&self.spki));
        KeyId([a, b, c, d])
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// Why a text is not a signed note with a checkpoint. The file was cut or written by something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than any note that is read here.
    #[error("the note is too long")]
    TooLong,
    /// Not text and signatures with an empty line between them, or with control characters.
    #[error("not a signed note")]
    Form,
    /// A signature line is not `— name base64`.
    #[error("signature line {0} is malformed")]
    SignatureLine(usize),
    /// The text is not that of a checkpoint.
    #[error("line {0} of the checkpoint is malformed")]
    CheckpointLine(usize),
    /// Before the checkpoint, for a witness, there is no line `old size`.
    #[error("the line with the old size is malformed")]
    OldSize,
    /// A line of the proof before the checkpoint is not a hash, or there are too many.
    #[error("line {0} of the consistency proof is malformed")]
    ProofLine(usize),
}

/// Why a note is not accepted as signed by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// The note has no signature of the key. Another key signed it, or the key was replaced.
    #[error("the checkpoint is not signed by key {0}")]
    NotSigned(KeyId),
    /// The note has a signature that names the key, and it is wrong. The note was changed, or the signature forged.
    #[error("the checkpoint's signature by key {0} is wrong")]
    Wrong(KeyId),
}

/// A text with signatures, of which nothing has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// With its last newline.
    pub(crate) text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    key: KeyId,
    signature: Vec<u8>,
}

impl Note {
    /// `text`, signed by `key` with `signature`: DER, over SHA-256 of the text.
    pub(crate) fn signed(text: String, key: &LogKey, signature: Vec<u8>) -> Self {
        Self { text, signatures: vec![NoteSignature { name: key.name.clone(), key: key.id(), signature }] }
    }

    pub(crate) fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > LONGEST_NOTE {
            return Err(NoteError::TooLong);
        }
        if note.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Form);
        }
        let end = note.rfind("\n\n").ok_or(NoteError::Form)? + 1;
        let (text, rest) = note.split_at(end);
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(NoteError::Form)?;
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(number, line)| NoteSignature::parse(line).ok_or(NoteError::SignatureLine(number + 1)))
            .collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Checks that `key` signed the text. Signatures of other keys say nothing.
    pub(crate) fn verify(&self, key: &LogKey) -> Result<(), SignatureFault> {
        let id = key.id();
        let mut signed = Err(SignatureFault::NotSigned(id));
        for line in self.signatures.iter().filter(|line| line.key == id && line.name == key.name) {
            let signature = DerSignature::try_from(line.signature.as_slice()).map_err(|_| SignatureFault::Wrong(id))?;
            key.key.verify(self.text.as_bytes(), &signature).map_err(|_| SignatureFault::Wrong(id))?;
            signed = Ok(());
        }
        signed
    }

    /// The keys that the signature lines name.
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.signatures.iter().map(|line| line.key)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, key, signature } in &self.signatures {
            let bytes = [key.0.as_slice(), signature].concat();
            writeln!(f, "{SIGNATURE_PREFIX}{name} {}", STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (key, signature) = bytes.split_first_chunk()?;
        (is_name(name) && !signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            key: KeyId(*key),
            signature: signature.to_vec(),
        })
    }
}
