//! Which texts of the message catalogue explain what is found here: keys, and their arguments.

use hsm::HsmError;

use crate::{Capabilities, OpenError, PinError, TokenError, UriError};

impl OpenError {
    /// The key of the text that explains it, with its arguments.
    #[must_use]
    pub fn text(&self) -> (&'static str, Vec<(&'static str, String)>) {
        match self {
            Self::Uri(UriError::PinValue) => ("error-hsm-pin-in-uri", vec![]),
            Self::Uri(error) => ("error-hsm-uri", vec![("problem", error.to_string())]),
            Self::Pin(PinError::Unreadable { pin_source, .. }) => {
                ("error-hsm-pin-unreadable", vec![("source", pin_source.to_string())])
            }
            Self::Pin(PinError::Exposed(path)) => ("error-hsm-pin-exposed", vec![("path", path.display().to_string())]),
            Self::Pin(PinError::NotAPin(source)) => ("error-hsm-not-a-pin", vec![("source", source.to_string())]),
            Self::Token(error) => of_token(error),
        }
    }
}

fn of_token(error: &TokenError) -> (&'static str, Vec<(&'static str, String)>) {
    match error {
        TokenError::Module { path, .. } => ("error-hsm-no-module", vec![("path", path.clone())]),
        TokenError::NoToken => ("error-hsm-no-token", vec![]),
        TokenError::SeveralTokens(count) => ("error-hsm-several-tokens", vec![("count", count.to_string())]),
        TokenError::PinRefused => ("error-hsm-pin-refused", vec![]),
        TokenError::PinBlocked => ("error-hsm-pin-blocked", vec![]),
        TokenError::Hsm(HsmError::Timeout) => ("error-hsm-timeout", vec![]),
        TokenError::Hsm(HsmError::Unreachable) => ("error-hsm-unreachable", vec![]),
        _ => ("error-hsm-failed", vec![]),
    }
}

impl Capabilities {
    /// The keys of the texts that say what the token does inside, and what not.
    #[must_use]
    pub fn texts(&self) -> [&'static str; 2] {
        [
            if self.sp800_108 { "doctor-hsm-derives-inside" } else { "doctor-hsm-derives-outside" },
            if self.ecdsa_sha256 && self.ecdsa_sha384 {
                "doctor-hsm-hashes-inside"
            } else {
                "doctor-hsm-hashes-outside"
            },
        ]
    }
}
