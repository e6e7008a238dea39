use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::note::{Note, NoteError, SignatureFault};
use crate::{KeyId, LogKey, TreeHash};

/// What a log was at one moment: which log, how many entries, and the root over them (c2sp.org/tlog-checkpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: TreeHash,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text of a checkpoint. Extension lines are let pass: they are signed, and say nothing here.
    fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split_terminator('\n');
        let mut line = |number| lines.next().filter(|line| !line.is_empty()).ok_or(NoteError::CheckpointLine(number));
        let (origin, size, root) = (line(1)?, line(2)?, line(3)?);
        if let Some(empty) = lines.position(str::is_empty) {
            return Err(NoteError::CheckpointLine(empty + 4));
        }
        let read = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        Ok(Self {
            origin: origin.to_owned(),
            size: read.ok_or(NoteError::CheckpointLine(2))?,
            root: TreeHash(root.ok_or(NoteError::CheckpointLine(3))?),
        })
    }
}

/// A checkpoint with its signatures: written and read as the text of a signed note.
///
/// What was read is not verified. A verifier takes what it says from [`verify`](Self::verify) alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// The state `size`, `root` of the log of `key`, signed by `sign`: it gets the message, and gives its ECDSA P-256 / SHA-256
    /// signature in DER.
    ///
    /// # Errors
    /// What `sign` returns.
    pub fn sign<E>(
        size: u64,
        root: TreeHash,
        key: &LogKey,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let checkpoint = Checkpoint { origin: key.name().to_owned(), size, root };
        let text = checkpoint.text();
        let signature = sign(text.as_bytes())?;
        Ok(Self { checkpoint, note: Note::signed(text, key, signature) })
    }

    /// What it says, if `key` has signed it.
    ///
    /// # Errors
    /// [`SignatureFault`].
    pub fn verify(&self, key: &LogKey) -> Result<&Checkpoint, SignatureFault> {
        self.note.verify(key).map(|()| &self.checkpoint)
    }

    /// What it says, whoever signed it: for who made it, and for finding the key to verify it with.
    #[must_use]
    pub fn claimed(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The IDs of the keys that signed it, by its own account.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.note.key_ids()
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.note, f)
    }
}

impl FromStr for SignedCheckpoint {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        Ok(Self { checkpoint: Checkpoint::parse(&note.text)?, note })
    }
}
