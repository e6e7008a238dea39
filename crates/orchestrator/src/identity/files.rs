//! What is kept in `trust/` of the state folder.

use authority_link::{Authority, Purpose};
use serde::{Deserialize, Serialize};

use crate::state::{StateError, StateFolder};

/// The files of the certificates in use, DER.
const fn own_file(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Messages => "trust/terminal-signing.der",
        Purpose::Line => "trust/line-client.der",
    }
}

/// The files of what is under way.
const fn pending_file(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Messages => "trust/pending-messages.json",
        Purpose::Line => "trust/pending-line.json",
    }
}

/// The authority's certificates, which the terminal must have before it can speak with the authority: DER, all of them public. They
/// come with the invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFiles {
    /// Issues the certificates of terminals and services; the trust anchor of the line.
    pub infrastructure_ca: Vec<u8>,
    /// The authority's end of the line.
    pub line_server: Vec<u8>,
    /// Protects the authority's messages.
    pub messages: Vec<u8>,
    /// 署名用認証局.
    pub signature_ca: Vec<u8>,
    /// 利用者証明用認証局.
    pub authentication_ca: Vec<u8>,
}

/// In the order of [`AuthorityFiles`].
const AUTHORITY: [&str; 5] = [
    "trust/line-anchor.der",
    "trust/line-server.der",
    "trust/authority-signing.der",
    "trust/sign-ca.der",
    "trust/auth-ca.der",
];

impl AuthorityFiles {
    /// Reads them.
    ///
    /// # Errors
    /// [`StateError::Damaged`] naming the one that is missing or is no certificate.
    pub fn load(state: &dyn StateFolder) -> Result<Self, StateError> {
        let read = |file: &str| {
            let content = state.read(file)?.ok_or_else(|| problem(file, "it is missing"))?;
            Authority::pinned(&content).map_err(|_| problem(file, "it is no certificate"))?;
            Ok::<_, StateError>(content.to_vec())
        };
        let [anchor, server, messages, signature, authentication] = AUTHORITY;
        Ok(Self {
            infrastructure_ca: read(anchor)?,
            line_server: read(server)?,
            messages: read(messages)?,
            signature_ca: read(signature)?,
            authentication_ca: read(authentication)?,
        })
    }

    /// Writes them.
    ///
    /// # Errors
    /// If one can't be written.
    pub fn save(&self, state: &mut dyn StateFolder) -> Result<(), StateError> {
        let Self { infrastructure_ca, line_server, messages, signature_ca, authentication_ca } = self;
        let contents = [infrastructure_ca, line_server, messages, signature_ca, authentication_ca];
        AUTHORITY.iter().zip(contents).try_for_each(|(file, content)| state.replace(file, content))
    }
}

/// The certificate in use for a purpose, if there is one.
pub(super) fn own(state: &dyn StateFolder, purpose: Purpose) -> Result<Option<Vec<u8>>, StateError> {
    Ok(state.read(own_file(purpose))?.map(|content| content.to_vec()))
}

/// Takes a certificate into use: whole or not at all.
pub(super) fn take_into_use(
    state: &mut dyn StateFolder,
    purpose: Purpose,
    certificate: &[u8],
) -> Result<(), StateError> {
    state.replace(own_file(purpose), certificate)
}

pub(super) fn damaged(purpose: Purpose) -> StateError {
    problem(own_file(purpose), "it is no certificate")
}

fn problem(file: &str, problem: &str) -> StateError {
    StateError::Damaged { file: file.to_owned(), problem: problem.to_owned() }
}

/// By which request a certificate is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Occasion {
    /// The first certificate of a terminal, under an invitation (ir).
    Invitation,
    /// The second one (cr).
    Addition,
    /// A successor (kur).
    Renewal,
}

/// A certificate that is being fetched. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Pending {
    pub(super) occasion: Occasion,
    /// The name of its key in the HSM.
    pub(super) key: String,
    /// The certificate that it replaces.
    #[serde(with = "optional_hex", default, skip_serializing_if = "Option::is_none")]
    pub(super) predecessor: Option<Vec<u8>>,
    /// The request as it is sent: to repeat it is to send the same bytes.
    #[serde(with = "hex")]
    pub(super) request: Vec<u8>,
    /// What was issued, once it is here and checked.
    #[serde(with = "optional_hex", default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<Vec<u8>>,
    /// The confirmation as it is sent.
    #[serde(with = "optional_hex", default, skip_serializing_if = "Option::is_none")]
    pub(super) confirmation: Option<Vec<u8>>,
    /// Has the authority heard the confirmation?
    #[serde(default)]
    pub(super) confirmed: bool,
}

mod optional_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => hex::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| hex::decode(text).map_err(serde::de::Error::custom)).transpose()
    }
}

/// What is under way for a purpose. If that can't be read it is begun anew, which is always safe.
pub(super) fn pending(state: &dyn StateFolder, purpose: Purpose) -> Result<Option<Pending>, StateError> {
    let file = pending_file(purpose);
    let Some(content) = state.read(file)? else { return Ok(None) };
    let read = serde_json::from_slice(&content);
    Ok(read.inspect_err(|error| tracing::warn!(file, %error, "begun anew: what was under way can't be read")).ok())
}

/// Keeps it.
pub(super) fn keep(state: &mut dyn StateFolder, purpose: Purpose, pending: &Pending) -> Result<(), StateError> {
    let file = pending_file(purpose);
    let content = serde_json::to_vec(pending).map_err(|error| problem(file, &error.to_string()))?;
    state.replace(file, &content)
}

/// It is over.
pub(super) fn forget(state: &mut dyn StateFolder, purpose: Purpose) -> Result<(), StateError> {
    state.erase(pending_file(purpose))
}
