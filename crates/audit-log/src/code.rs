use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A short name from a fixed vocabulary: a step, a detail, an operator's ID, a procedure.
///
/// At most 64 letters, digits, `.`, `_` and `-` of ASCII: enough for every code, and too little for a name or an address,
/// so that a slip in a caller does not put personal data into the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Code(Cow<'static, str>);

/// The longest code, in bytes.
const LONGEST: usize = 64;

/// A text is not a [`Code`]. The text is not repeated here: it may be what must not be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a code of 1 to 64 ASCII letters, digits, '.', '_' and '-'")]
pub struct NotACode;

impl Code {
    /// The code `text`.
    ///
    /// # Errors
    /// [`NotACode`] for a text that is not one.
    pub fn new(text: impl Into<String>) -> Result<Self, NotACode> {
        let text = text.into();
        if is_code(text.as_bytes()) { Ok(Self(Cow::Owned(text))) } else { Err(NotACode) }
    }

    /// A code that is written in the program.
    ///
    /// # Panics
    /// For a text that is not a code. Put it into a `const`, and the compiler finds it.
    #[must_use]
    pub const fn literal(text: &'static str) -> Self {
        assert!(is_code(text.as_bytes()), "not a code");
        Self(Cow::Borrowed(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_code(text: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() {
        if !(text[at].is_ascii_alphanumeric() || matches!(text[at], b'.' | b'_' | b'-')) {
            return false;
        }
        at += 1;
    }
    !text.is_empty() && text.len() <= LONGEST
}

impl TryFrom<String> for Code {
    type Error = NotACode;

    fn try_from(text: String) -> Result<Self, NotACode> {
        Self::new(text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
