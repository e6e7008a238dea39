use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hsm::custody::{Ability, Fingerprint, HeldKey, Honesty};
use hsm::{HsmIdentity, KeyCustody};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{CeremonyError, Installation};

/// What the file is.
pub const FORMAT: &str = "madoguchi-key-ceremony";
/// Version of the format. Members may be added to it; none changes its meaning.
pub const VERSION: u32 = 1;

/// The record of a ceremony. No secret is in it, and of persons only who the two were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Nothing in it is real: the HSM, or the whole installation, is simulated.
    pub simulated: bool,
    /// What was done.
    pub act: Act,
    /// `terminal` or `authority`.
    pub installation: String,
    /// The installation's name.
    pub name: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When the last key was made or destroyed.
    pub ended_at: Timestamp,
    /// The two persons.
    pub persons: [Person; 2],
    /// How the two are known.
    pub persons_proved_by: PersonsProof,
    /// Who made the HSM.
    pub hsm_manufacturer: String,
    /// Its model.
    pub hsm_model: String,
    /// Its serial number.
    pub hsm_serial: String,
    /// What the HSM does and does not do, by stable names.
    pub abilities: Vec<String>,
    /// Those among them that are ways round, and cost security.
    pub weaker_modes: Vec<String>,
    /// What was tried to get keys out of the HSM, in vain; nothing if it was not tried in this ceremony.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honesty: Option<Trial>,
    /// The keys.
    pub keys: Vec<KeyEntry>,
    /// Why a key was retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The log of all acts as it was when the ceremony began: of an authority, whose log has no witness but those who sign this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogPosition>,
    /// Version of the program.
    pub program: String,
}

/// A log at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// How many entries it had.
    pub entries: u64,
    /// The root of the Merkle tree over them (RFC 9162 §2.1), in hexadecimal.
    pub root: String,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The keys that an installation needs were made, or found.
    Init,
    /// One key was made.
    Create,
    /// One key was destroyed.
    Retire,
}

/// Who was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// 照合ID of an operator, or the name that was given.
    pub id: String,
    /// The operator's role, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl Person {
    /// Two persons as they said who they are.
    ///
    /// # Errors
    /// [`CeremonyError::SamePerson`] if they are one, or one has no name.
    pub fn declared(names: [&str; 2]) -> Result<[Self; 2], CeremonyError> {
        let [first, second] = names.map(str::trim);
        if first.is_empty() || second.is_empty() || first == second {
            return Err(CeremonyError::SamePerson);
        }
        Ok([first, second].map(|id| Self { id: id.to_owned(), role: None }))
    }
}

/// How the persons of a ceremony are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonsProof {
    /// Each showed a palm that is enrolled.
    Palms,
    /// They said who they are. The program has proved neither; their signatures do.
    Declared,
}

/// What was tried to get keys out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Attempts that were refused; none if nothing was tried, as of a simulator.
    pub refused: usize,
    /// Ways that prove nothing, because they fail with a key that may leave the HSM, too.
    pub without_control: Vec<String>,
    /// The program may derive keys of cards that can be read; the master does not come out by that.
    pub readable_children: bool,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// Its name.
    pub name: String,
    /// Its kind, by its stable name.
    pub kind: String,
    /// What became of it.
    pub deed: Deed,
    /// How it got into the HSM: `made-inside`, `brought-in`, `unknown`.
    pub origin: String,
    /// By what it is known.
    pub fingerprint: KeyFingerprint,
    /// The public half: SubjectPublicKeyInfo, DER in Base64. With it, signatures can be verified when the key is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// What the HSM says of its protection.
    pub attributes: BTreeMap<String, String>,
}

/// The fingerprint of a key, as [`hsm::custody::fingerprint`] makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFingerprint {
    /// `spki-sha256` or `check-value`.
    #[serde(rename = "type")]
    pub kind: String,
    /// In hexadecimal.
    pub value: String,
}

/// What became of a key in a ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Made.
    Created,
    /// It was there: made in a ceremony that was interrupted, or earlier.
    Found,
    /// Destroyed.
    Retired,
}

impl KeyEntry {
    pub(crate) fn new(key: &HeldKey, deed: Deed, fingerprint: &Fingerprint, public_key: Option<&[u8]>) -> Self {
        Self {
            name: key.name.to_string(),
            kind: key.kind.code().to_owned(),
            deed,
            origin: key.origin.code().to_owned(),
            fingerprint: KeyFingerprint { kind: fingerprint.code().to_owned(), value: fingerprint.to_string() },
            public_key: public_key.map(|spki| STANDARD.encode(spki)),
            attributes: key.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
    }
}

impl From<&Honesty> for Trial {
    fn from(honesty: &Honesty) -> Self {
        let Honesty { refused, without_control, readable_children } = honesty.clone();
        Self { refused, without_control, readable_children }
    }
}

/// A record as it is kept: its bytes, and their hash, which goes into the log and onto the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The record.
    pub record: Record,
    /// The JSON document, which is the file.
    pub json: Vec<u8>,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
}

impl Record {
    /// The record of a ceremony that begins `now`. Its keys are still to come.
    #[must_use]
    pub fn begin(
        act: Act,
        installation: &Installation,
        custody: &(impl KeyCustody + ?Sized),
        persons: [Person; 2],
        persons_proved_by: PersonsProof,
        now: Timestamp,
    ) -> Self {
        let HsmIdentity { manufacturer, model, serial } = custody.identity();
        let abilities = custody.abilities();
        let codes = |wanted: fn(&Ability) -> bool| {
            let of = abilities.iter().filter(|ability| wanted(ability));
            of.map(|ability| ability.code.to_owned()).collect()
        };
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            simulated: installation.is_simulated || serial.starts_with("SIM-"),
            act,
            installation: installation.kind.code().to_owned(),
            name: installation.name.clone(),
            began_at: now,
            ended_at: now,
            persons,
            persons_proved_by,
            hsm_manufacturer: manufacturer,
            hsm_model: model,
            hsm_serial: serial,
            abilities: codes(|_| true),
            weaker_modes: codes(|ability| ability.is_weaker),
            honesty: None,
            keys: Vec::new(),
            reason: None,
            log: None,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Reads the file of a record.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(json: &[u8]) -> Result<Sealed, serde_json::Error> {
        let record: Self = serde_json::from_slice(json)?;
        if record.format != FORMAT || record.version != VERSION {
            return Err(serde::de::Error::custom("not a record of a key ceremony, or of another version"));
        }
        Ok(Sealed { record, json: json.to_vec(), sha256: Sha256::digest(json).into() })
    }

    /// Closes the record at its `end`.
    ///
    /// # Errors
    /// None that a record can have: all its members can be written.
    pub fn seal(mut self, end: Timestamp) -> Result<Sealed, serde_json::Error> {
        self.ended_at = end;
        let mut json = serde_json::to_vec_pretty(&self)?;
        json.push(b'\n');
        Ok(Sealed { sha256: Sha256::digest(&json).into(), record: self, json })
    }
}

impl Sealed {
    /// SHA-256 of the file, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(self.sha256)
    }

    /// The name of its files, without their extension: when it began, and what was done. One that sorts by time.
    #[must_use]
    pub fn file_stem(&self) -> String {
        let act = match self.record.act {
            Act::Init => "init",
            Act::Create => "create",
            Act::Retire => "retire",
        };
        format!("{}-{act}", self.record.began_at.strftime("%Y%m%dT%H%M%S%3fZ"))
    }
}
