//! The terminal's own two certificates: that of its end of the line, and that of its messages.
//!
//! A new terminal fetches them from the authority under an invitation ([`OwnCertificates::enrol`]), and renews them, each with a new
//! key, when a third of their life is left ([`OwnCertificates::renew`]). Every certificate goes its own way, in the order of
//! `docs/protocols/authority.md` §4.4: asked for, checked, confirmed, proved on the line, in use; only then is the one before it
//! superseded, and its key destroyed. What is under way is in the state folder, so that it is gone on with after an interruption at
//! any point; until a new certificate is in use the old one is, and both are good.
//!
//! Which key goes with a certificate is never written down: it is the one in the HSM whose public half the certificate has.

mod error;
mod fetching;
mod files;

use std::time::Duration;

use authority_link::{AuthorityLine, Purpose, TlsClient, TlsLine, TlsLineConfig, TlsSetupError};
use der::Decode;
use hsm::{Hsm, HsmError, KeyCustody, KeyName};
use jiff::Timestamp;
use madoguchi_time::{Deadline, SharedClock};
use rand_core::CryptoRngCore;
use serde::Serialize;
use std::sync::Arc;
use x509_cert::Certificate;

pub use self::error::IdentityError;
pub use self::fetching::{Fetched, Invitation};
pub use self::files::AuthorityFiles;

use crate::site::SiteConfig;
use crate::state::{StateError, StateFolder};

/// How long the HSM may take for one operation.
const HSM: Duration = Duration::from_secs(10);

/// Opens a line to the authority, on which the terminal is who the certificate says; without one it may only ask for its first.
pub type OpenLine<'a> = &'a dyn Fn(Option<TlsClient>) -> Result<Box<dyn AuthorityLine>, IdentityError>;

/// What fetching certificates works with. The state folder is taken for the time.
pub struct OwnCertificates<'a> {
    /// The terminal's state folder.
    pub state: &'a mut dyn StateFolder,
    /// Its HSM.
    pub hsm: &'a dyn Hsm,
    /// The same, to make and destroy keys in; without it keys must be there, and stay.
    pub custody: Option<&'a dyn KeyCustody>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: &'a mut dyn CryptoRngCore,
    /// Lines to the authority.
    pub open: OpenLine<'a>,
}

/// One of the terminal's own certificates, as far as it can be told from the state folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnStatus {
    /// What it is for: `messages` or `line`.
    pub purpose: &'static str,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Has it expired?
    pub expired: bool,
    /// Is less than a third of its life left, so that it is to be renewed?
    pub due: bool,
    /// Is its successor, or it itself, under way?
    pub under_way: bool,
}

/// The stable name of a purpose.
#[must_use]
pub const fn purpose_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Messages => "messages",
        Purpose::Line => "line",
    }
}

/// The terminal's own certificates; one that is missing is left out.
///
/// # Errors
/// If one can't be read.
pub fn status(state: &dyn StateFolder, now: Timestamp) -> Result<Vec<OwnStatus>, StateError> {
    let mut all = Vec::new();
    for purpose in Purpose::BOTH {
        let Some(der) = files::own(state, purpose)? else { continue };
        let certificate = Certificate::from_der(&der).map_err(|_| files::damaged(purpose))?;
        let (not_before, not_after) = authority_link::validity(&certificate);
        all.push(OwnStatus {
            purpose: purpose_name(purpose),
            not_before,
            not_after,
            expired: now > not_after,
            due: is_due(not_before, not_after, now),
            under_way: files::pending(state, purpose)?.is_some(),
        });
    }
    Ok(all)
}

/// Is less than a third of its life left?
fn is_due(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> bool {
    let life = not_after.duration_since(not_before);
    not_after.duration_since(now).as_secs() < life.as_secs() / 3
}

/// The key that goes with one of the terminal's own certificates: the one in the HSM with its public half.
///
/// # Errors
/// [`HsmError::NoSuchKey`] if the HSM has none: it is another one than at the enrolment.
pub fn key_of(
    hsm: &dyn Hsm,
    certificate: &[u8],
    purpose: Purpose,
    deadline: Deadline,
) -> Result<KeyName, IdentityError> {
    use der::Encode;

    let certificate = Certificate::from_der(certificate).map_err(|_| files::damaged(purpose))?;
    let spki = certificate.tbs_certificate.subject_public_key_info.to_der().map_err(|_| files::damaged(purpose))?;
    let first = key_name(purpose, 1);
    match hsm.public_key(&first, deadline) {
        Ok(public) if public == spki => return Ok(first),
        Ok(_) | Err(HsmError::NoSuchKey(_)) => {}
        Err(error) => return Err(error.into()),
    }
    for name in hsm.keys(deadline)?.into_iter().filter(|name| generation(purpose, name) > 1) {
        if hsm.public_key(&name, deadline)? == spki {
            return Ok(name);
        }
    }
    Err(HsmError::NoSuchKey(first).into())
}

/// The name of the key that goes with the certificate in use for a purpose, if there is one.
///
/// # Errors
/// As [`key_of`].
pub fn key_in_use(
    state: &dyn StateFolder,
    hsm: &dyn Hsm,
    purpose: Purpose,
    deadline: Deadline,
) -> Result<Option<KeyName>, IdentityError> {
    files::own(state, purpose)?.map(|certificate| key_of(hsm, &certificate, purpose, deadline)).transpose()
}

/// The name of the n-th key for a purpose: the first goes without a number.
fn key_name(purpose: Purpose, generation: u32) -> KeyName {
    let first = match purpose {
        Purpose::Messages => KeyName::TERMINAL_SIGNING,
        Purpose::Line => KeyName::TERMINAL_TLS,
    };
    match generation {
        1 => KeyName::new(first),
        later => KeyName::new(format!("{first}-{later}")),
    }
}

/// The number of a key for a purpose; 0 for any other key.
fn generation(purpose: Purpose, name: &KeyName) -> u32 {
    let first = key_name(purpose, 1);
    match name.as_str().strip_prefix(first.as_str()) {
        Some("") => 1,
        Some(rest) => rest.strip_prefix('-').and_then(|number| number.parse().ok()).unwrap_or(0),
        None => 0,
    }
}

/// Who the terminal is on the line, by the certificate in use.
///
/// # Errors
/// [`IdentityError::NotEnrolled`], [`IdentityError::Expired`]; [`IdentityError::Hsm`] if the HSM lacks the key.
pub fn line_client(
    state: &dyn StateFolder,
    hsm: &dyn Hsm,
    now: Timestamp,
    deadline: Deadline,
) -> Result<TlsClient, IdentityError> {
    let certificate = files::own(state, Purpose::Line)?.ok_or(IdentityError::NotEnrolled)?;
    refuse_expired(&certificate, Purpose::Line, now)?;
    let key = key_of(hsm, &certificate, Purpose::Line, deadline)?;
    Ok(TlsClient { certificate, key })
}

/// Has this certificate of the terminal's expired?
///
/// # Errors
/// [`IdentityError::Expired`] if so.
pub(crate) fn refuse_expired(certificate: &[u8], purpose: Purpose, now: Timestamp) -> Result<(), IdentityError> {
    let certificate = Certificate::from_der(certificate).map_err(|_| files::damaged(purpose))?;
    let (_, not_after) = authority_link::validity(&certificate);
    if now > not_after { Err(IdentityError::Expired { purpose: purpose_name(purpose), not_after }) } else { Ok(()) }
}

/// Sets up the line to the authority that `terminal.toml` and `trust/` name. It is not connected yet.
///
/// # Errors
/// [`IdentityError::State`] if a certificate is missing or the address can't be understood; [`IdentityError::Line`].
pub fn open_line(
    state: &dyn StateFolder,
    site: &SiteConfig,
    client: Option<TlsClient>,
    hsm: Arc<dyn Hsm>,
    clock: SharedClock,
) -> Result<TlsLine, IdentityError> {
    let config = line_config(state, site, client)?;
    TlsLine::new(config, hsm, clock).map_err(|error| match error {
        TlsSetupError::Host(_) => wrong_setting("authority-name: neither a name nor an address").into(),
        other => IdentityError::Line(other.into()),
    })
}

/// The line's settings by `terminal.toml` and `trust/`.
///
/// # Errors
/// If a certificate is missing or the address can't be understood.
pub fn line_config(
    state: &dyn StateFolder,
    site: &SiteConfig,
    client: Option<TlsClient>,
) -> Result<TlsLineConfig, StateError> {
    let port = site.authority_address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let authority = AuthorityFiles::load(state)?;
    Ok(TlsLineConfig {
        host: site.authority_name.clone(),
        port: port.ok_or_else(|| wrong_setting("authority-address: host:port is needed"))?,
        trust_anchor: authority.infrastructure_ca,
        server_certificate: authority.line_server,
        client,
    })
}

fn wrong_setting(problem: &str) -> StateError {
    StateError::Damaged { file: "terminal.toml".to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_from_the_second_on() {
        for (name, purpose, expected) in [
            ("terminal-tls", Purpose::Line, 1),
            ("terminal-tls-2", Purpose::Line, 2),
            ("terminal-tls-17", Purpose::Line, 17),
            ("terminal-tls-x", Purpose::Line, 0),
            ("terminal-tlsx", Purpose::Line, 0),
            ("terminal-signing", Purpose::Line, 0),
            ("terminal-signing-3", Purpose::Messages, 3),
        ] {
            let name = KeyName::new(name);
            assert_eq!(generation(purpose, &name), expected, "{name}");
            if expected > 0 {
                assert_eq!(key_name(purpose, expected), name);
            }
        }
    }

    #[test]
    fn a_certificate_is_due_when_less_than_a_third_of_its_life_is_left() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (now, expected) in [(0, false), (600, false), (601, true), (900, true), (901, true)] {
            assert_eq!(is_due(at(0), at(900), at(now)), expected, "{now}");
        }
    }
}
