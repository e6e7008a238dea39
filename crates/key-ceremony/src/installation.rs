use hsm::{AesLength, KeyKind, KeyName};

use crate::CeremonyError;

/// Whose HSM it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// A terminal or an authority.
    pub kind: InstallationKind,
    /// Its name, as people know it.
    pub name: String,
    /// The keys that it can't do without, and that it makes itself.
    pub required: Vec<(KeyName, KeyKind)>,
    /// The keys for which it has certificates, where that is not all that are required: of a terminal.
    pub certified: Vec<KeyName>,
    /// Versions of the master keys that its cards are under: of a terminal.
    pub card_versions: Vec<u8>,
    /// Is all of it simulated? The record says so.
    pub is_simulated: bool,
}

/// What holds keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallationKind {
    /// 統合端末.
    Terminal,
    /// 認証局.
    Authority,
}

impl InstallationKind {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Authority => "authority",
        }
    }
}

/// What a key is needed for, that can't be retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyUse {
    /// It signs the log. Under another key the log would be another log: its witness would raise the alarm.
    Log,
    /// It keys the references to residents in the log. Without it nobody can say any more who looked at whose data.
    References,
    /// It seals the operators' palms. Without it nobody could log on, nor the two persons be known.
    Templates,
    /// The cards of this site are under it.
    Cards,
    /// A certificate is for it, the terminal's or one of the authority's.
    Certificates,
}

impl KeyUse {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::References => "references",
            Self::Templates => "templates",
            Self::Cards => "cards",
            Self::Certificates => "certificates",
        }
    }
}

impl Installation {
    /// A terminal whose cards are under these versions of their master key. Those are not made when it is set up: whoever personalises
    /// the cards brings the first one in.
    #[must_use]
    pub fn terminal(name: &str, card_versions: &[u8]) -> Self {
        let required = [
            (KeyName::LOG_SIGNING, KeyKind::EcP256),
            (KeyName::RESIDENT_REFERENCE, KeyKind::Hmac),
            (KeyName::TEMPLATE_SEALING, KeyKind::RecordKey),
            (KeyName::TERMINAL_SIGNING, KeyKind::EcP256),
            (KeyName::TERMINAL_TLS, KeyKind::EcP256),
        ];
        Self {
            kind: InstallationKind::Terminal,
            name: name.to_owned(),
            required: required.map(|(name, kind)| (KeyName::new(name), kind)).to_vec(),
            certified: Vec::new(),
            card_versions: card_versions.to_vec(),
            is_simulated: false,
        }
    }

    /// An authority with these keys.
    #[must_use]
    pub fn authority(name: &str, required: Vec<(KeyName, KeyKind)>) -> Self {
        Self {
            kind: InstallationKind::Authority,
            name: name.to_owned(),
            required,
            certified: Vec::new(),
            card_versions: Vec::new(),
            is_simulated: false,
        }
    }

    /// It has a certificate for `key`, which stands in the place of the required key `first`: the same one, or a successor of it.
    #[must_use]
    pub fn with_certified(mut self, first: &KeyName, key: KeyName) -> Self {
        if let Some((name, _)) = self.required.iter_mut().find(|(name, _)| name == first) {
            name.clone_from(&key);
        }
        self.certified.push(key);
        self
    }

    /// May an installation of this kind hold a key of that name? Those beside the required ones begin with `terminal-` or
    /// `authority-`, and have up to 64 lower-case letters, digits and hyphens.
    #[must_use]
    pub fn may_hold(&self, key: &KeyName) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let name = key.as_str();
        self.required.iter().any(|(required, _)| required == key)
            || self.kind == InstallationKind::Terminal && key.card_version().is_some()
            || name.starts_with(&format!("{}-", self.kind.code())) && name.len() <= 64 && name.bytes().all(is_plain)
    }

    /// The kind of the key to be made under this name: what is asked for, if it fits, else what fits the name.
    ///
    /// # Errors
    /// [`CeremonyError::UnknownKey`].
    pub fn kind_of(&self, key: &KeyName, asked: Option<KeyKind>) -> Result<KeyKind, CeremonyError> {
        let required = self.required.iter().find(|(name, _)| name == key).map(|(_, kind)| *kind);
        let fits = match (required, key.card_version()) {
            (Some(required), _) => asked.is_none_or(|asked| asked == required).then_some(required),
            (None, Some(_)) if self.may_hold(key) => match asked.unwrap_or(KeyKind::CardMaster(AesLength::Aes256)) {
                master @ KeyKind::CardMaster(_) => Some(master),
                _ => None,
            },
            (None, None) if self.may_hold(key) => match asked.unwrap_or(KeyKind::EcP256) {
                pair @ (KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::Rsa2048) => Some(pair),
                _ => None,
            },
            _ => None,
        };
        fits.ok_or_else(|| CeremonyError::UnknownKey(key.clone()))
    }

    /// For what the key is needed, so that it can't be retired.
    #[must_use]
    pub fn use_of(&self, key: &KeyName) -> Option<KeyUse> {
        match (self.kind, key.as_str()) {
            (InstallationKind::Terminal, KeyName::LOG_SIGNING) => Some(KeyUse::Log),
            (InstallationKind::Terminal, KeyName::RESIDENT_REFERENCE) => Some(KeyUse::References),
            (InstallationKind::Terminal, KeyName::TEMPLATE_SEALING) => Some(KeyUse::Templates),
            (InstallationKind::Terminal, _) if self.certified.contains(key) => Some(KeyUse::Certificates),
            (InstallationKind::Terminal, _) => {
                key.card_version().filter(|version| self.card_versions.contains(version)).map(|_| KeyUse::Cards)
            }
            (InstallationKind::Authority, _) => {
                self.required.iter().any(|(name, _)| name == key).then_some(KeyUse::Certificates)
            }
        }
    }
}
