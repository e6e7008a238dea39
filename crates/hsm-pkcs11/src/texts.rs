//! Which texts of the message catalogue explain what is found here: keys, and their arguments.

use hsm::HsmError;
use hsm::custody::Ability;

use crate::{Capabilities, KeyWrap, OpenError, PinError, TokenError, UriError};

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
        TokenError::NotStarted { path, .. } => ("error-hsm-not-started", vec![("path", path.clone())]),
        TokenError::OtherParameters => ("error-hsm-other-parameters", vec![]),
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
    /// What the token does inside, and what not: each has a text in the message catalogue.
    #[must_use]
    pub fn abilities(&self) -> Vec<Ability> {
        let strong = |code| Ability { code, is_weaker: false };
        let weaker = |code| Ability { code, is_weaker: true };
        let able = |is, yes, no| strong(if is { yes } else { no });
        let mut abilities = vec![
            match (self.sp800_108, self.aes_cmac) {
                (true, _) => strong("derives-inside"),
                (false, true) => weaker("derives-outside"),
                (false, false) => strong("derives-nothing"),
            },
            if self.ecdsa_sha256 && self.ecdsa_sha384 { strong("hashes-inside") } else { weaker("hashes-outside") },
            match self.key_wrap {
                KeyWrap::Exact => strong("wraps-exactly"),
                KeyWrap::ToBeTrimmed => strong("wraps-with-zeros"),
                KeyWrap::None => strong("wraps-nothing"),
            },
            able(self.key_changeover, "sends-card-keys", "sends-no-card-keys"),
            able(self.ec_p256, "signs-p256", "signs-no-p256"),
            able(self.ec_p384, "signs-p384", "signs-no-p384"),
            able(self.rsa_2048, "signs-rsa-2048", "signs-no-rsa-2048"),
            able(self.hmac_sha256, "authenticates", "authenticates-not"),
        ];
        if self.readable_children {
            abilities.insert(1, weaker("derives-readable"));
        }
        abilities
    }
}
