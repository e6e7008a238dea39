//! What is particular to one terminal: its window, its municipality, its limits. `terminal.toml` in the state folder.

use std::collections::BTreeMap;
use std::time::Duration;

use authority_link::Authority;
use jpki::{CertificateKind, CertificateProfile, IssuingProfile, Municipality, PinRules};
use serde::{Deserialize, Serialize};

use crate::card::CardKeys;
use crate::session::MAX_IDLE;
use crate::state::{StateError, StateFolder};

const FILE: &str = "terminal.toml";
const COUNTER: &str = "request-counter";

/// `terminal.toml`. Unknown keys are refused, so that a typing error does not pass for a default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SiteConfig {
    /// The terminal's name at the authority.
    pub terminal: String,
    /// 受付窓口識別記号: 9 letters and digits, the first five the municipality's code.
    pub window: String,
    /// Which generation of cards and certificates: a name that [`IssuingProfile::named`] knows.
    pub profile: String,
    /// Whose certificates: `production`, `test`, `sim`.
    pub environment: String,
    /// Length of the challenges of the card channel: 8 (S8) or 16 (S16).
    #[serde(default = "default_challenge")]
    pub card_challenge_length: usize,
    /// The municipality, as certificates name it.
    pub municipality: Municipality,
    /// Version of the master key in the HSM that this site's cards are under.
    pub card_key_version: u8,
    /// Versions that cards may still have. They are served with those, and `card rekey` changes them over to the one above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_card_key_versions: Vec<u8>,
    /// Host name of the authority's end of the line, as in its certificate.
    pub authority_name: String,
    /// Address and port of the authority's end of the line.
    pub authority_address: String,
    /// The card reader to use, by its name or a part of it; any known one if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_reader: Option<String>,
    /// The HSM: a PKCS #11 URI (RFC 7512) that names its token and where its PIN comes from; never the PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsm: Option<String>,
    /// Seconds without activity after which the screen locks; 300 at most.
    #[serde(default = "default_idle")]
    pub lock_after_s: u64,
    /// After how many refused log-ons in a row an operator is locked until an アクセス管理責任者 releases them; 1 to 10.
    #[serde(default = "default_refusals")]
    pub refusals_until_locked: u32,
    /// Which PINs are refused.
    #[serde(default)]
    pub pin_rules: PinRules,
}

fn default_idle() -> u64 {
    MAX_IDLE.as_secs()
}

fn default_refusals() -> u32 {
    3
}

fn default_challenge() -> usize {
    8
}

/// Certificates in the state folder's `trust/`, DER.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Certificate of the key that protects this terminal's messages.
    pub terminal_signing: Vec<u8>,
    /// The one certificate that protects the authority's messages.
    pub authority_signing: Vec<u8>,
    /// The two certification authorities.
    pub issuers: BTreeMap<CertificateKind, Vec<u8>>,
}

impl SiteConfig {
    /// Reads `terminal.toml`.
    ///
    /// # Errors
    /// [`StateError::Damaged`] naming what is wrong with it.
    pub fn load(state: &dyn StateFolder) -> Result<Self, StateError> {
        let damaged = |problem: String| StateError::Damaged { file: FILE.into(), problem };
        let content = state.read(FILE)?.ok_or_else(|| damaged("it is missing".into()))?;
        let text = std::str::from_utf8(&content).map_err(|_| damaged("it is not UTF-8".into()))?;
        let site: Self = toml::from_str(text).map_err(|e| damaged(e.message().into()))?;
        if site.window.len() != 9 || !site.window.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(damaged("window: 9 letters and digits are needed".into()));
        }
        if site.lock_after_s == 0 || site.idle_limit() > MAX_IDLE {
            return Err(damaged("lock-after-s: 1 to 300 seconds".into()));
        }
        if !(1..=10).contains(&site.refusals_until_locked) {
            return Err(damaged("refusals-until-locked: 1 to 10".into()));
        }
        site.profile()?;
        site.environment()?;
        if ![8, 16].contains(&site.card_challenge_length) {
            return Err(damaged("card-challenge-length: 8 or 16".into()));
        }
        Ok(site)
    }

    /// Writes `terminal.toml`.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn save(&self, state: &mut dyn StateFolder) -> Result<(), StateError> {
        let text = toml::to_string_pretty(self)
            .map_err(|e| StateError::Damaged { file: FILE.into(), problem: e.to_string() })?;
        state.replace(FILE, text.as_bytes())
    }

    /// The issuing profile that the site uses.
    ///
    /// # Errors
    /// If there is no profile of that name.
    pub fn profile(&self) -> Result<IssuingProfile, StateError> {
        IssuingProfile::named(&self.profile).ok_or_else(|| StateError::Damaged {
            file: FILE.into(),
            problem: format!("profile: there is no profile {:?}", self.profile),
        })
    }

    /// The names and policies of the authority's certificates.
    ///
    /// # Errors
    /// If there is no environment of that name.
    pub fn environment(&self) -> Result<CertificateProfile, StateError> {
        CertificateProfile::named(&self.environment).ok_or_else(|| StateError::Damaged {
            file: FILE.into(),
            problem: format!("environment: there is no environment {:?}", self.environment),
        })
    }

    /// After which idle time the screen locks.
    #[must_use]
    pub fn idle_limit(&self) -> Duration {
        Duration::from_secs(self.lock_after_s)
    }

    /// Which keys open this site's cards.
    ///
    /// # Errors
    /// As [`SiteConfig::profile`].
    pub fn card_keys(&self) -> Result<CardKeys, StateError> {
        let profile = self.profile()?;
        Ok(CardKeys {
            version: self.card_key_version,
            previous: self.previous_card_key_versions.clone(),
            length: usize::from(profile.channel_key_bits / 8),
            challenge: self.card_challenge_length,
            algorithm: profile.algorithm.p2(),
        })
    }
}

impl Trust {
    /// Reads the certificates of `trust/`.
    ///
    /// # Errors
    /// [`StateError::Damaged`] naming the one that is missing or can't be read.
    pub fn load(state: &dyn StateFolder) -> Result<Self, StateError> {
        let certificate = |name: &str| {
            let file = format!("trust/{name}.der");
            let damaged = |file, problem: &str| StateError::Damaged { file, problem: problem.into() };
            let Some(der) = state.read(&file)? else { return Err(damaged(file, "it is missing")) };
            // Found here, not in the middle of a procedure.
            match Authority::pinned(&der) {
                Ok(_) => Ok(der.to_vec()),
                Err(_) => Err(damaged(file, "it is no certificate")),
            }
        };
        Ok(Self {
            terminal_signing: certificate("terminal-signing")?,
            authority_signing: certificate("authority-signing")?,
            issuers: BTreeMap::from([
                (CertificateKind::Signature, certificate("sign-ca")?),
                (CertificateKind::Authentication, certificate("auth-ca")?),
            ]),
        })
    }
}

impl Trust {
    /// Writes the certificates to `trust/`.
    ///
    /// # Errors
    /// If one can't be written.
    pub fn save(&self, state: &mut dyn StateFolder) -> Result<(), StateError> {
        let issuer = |kind| self.issuers.get(&kind).map_or(&[][..], Vec::as_slice);
        state.replace("trust/terminal-signing.der", &self.terminal_signing)?;
        state.replace("trust/authority-signing.der", &self.authority_signing)?;
        state.replace("trust/sign-ca.der", issuer(CertificateKind::Signature))?;
        state.replace("trust/auth-ca.der", issuer(CertificateKind::Authentication))
    }
}

/// The next request number of this window, 0–99999, durably counted: a number that was drawn is never drawn again that day.
///
/// # Errors
/// If the counter can't be read or written.
pub fn next_request_number(state: &mut dyn StateFolder) -> Result<u32, StateError> {
    let last = match state.read(COUNTER)? {
        None => 0,
        Some(content) => std::str::from_utf8(&content)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
            .ok_or_else(|| StateError::Damaged { file: COUNTER.into(), problem: "it is no number".into() })?,
    };
    let next = (last + 1) % 100_000;
    state.replace(COUNTER, next.to_string().as_bytes())?;
    Ok(next)
}
