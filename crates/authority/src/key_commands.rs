//! `hsm init`, `hsm keys list|create|retire`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hsm::{KeyCustody, KeyKind, KeyName};
use key_ceremony::{Deed, KeyEntry};
use madoguchi_time::Clock;
use serde_json::json;

use crate::ceremonies::{self, Ceremonies, Ceremony};
use crate::cli::{CommandError, Folder, Generation};
use crate::setup;

#[derive(Subcommand)]
pub(crate) enum HsmCommand {
    /// Try whether the HSM keeps its keys, and make those that the authority needs
    Init {
        #[command(flatten)]
        folder: Folder,
        /// For which cards it will issue, if it is not made yet
        #[arg(long, value_enum, default_value_t = Generation::Jpki2016)]
        generation: Generation,
        #[command(flatten)]
        persons: TwoPersons,
    },
    /// The HSM's keys
    #[command(subcommand)]
    Keys(KeysCommand),
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// List the keys, with fingerprints
    List(Folder),
    /// Make a key
    Create {
        /// Its name, which begins with authority-
        name: String,
        /// Its kind: ec-p256, ec-p384 or rsa-2048 [default: as its name says, else ec-p256]
        #[arg(long, value_name = "KIND", value_parser = kind)]
        kind: Option<KeyKind>,
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        persons: TwoPersons,
    },
    /// Destroy a key that the authority does not need, for good
    Retire {
        /// Its name
        name: String,
        /// Why. It stands in the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        persons: TwoPersons,
    },
}

/// Who holds the ceremony: they sign its page. That they are who they say is not proved here.
#[derive(Args)]
pub(crate) struct TwoPersons {
    /// Name of the one who holds the ceremony
    #[arg(long, value_name = "NAME")]
    pub(crate) custodian: String,
    /// Name of the second person, who is there from beginning to end
    #[arg(long, value_name = "NAME")]
    pub(crate) second_person: String,
}

impl TwoPersons {
    pub(crate) fn names(&self) -> [&str; 2] {
        [&self.custodian, &self.second_person]
    }
}

fn kind(code: &str) -> Result<KeyKind, String> {
    KeyKind::from_code(code).ok_or_else(|| "ec-p256, ec-p384 or rsa-2048".to_owned())
}

impl HsmCommand {
    pub(crate) fn folder(&self) -> &Folder {
        match self {
            Self::Init { folder, .. }
            | Self::Keys(
                KeysCommand::List(folder) | KeysCommand::Create { folder, .. } | KeysCommand::Retire { folder, .. },
            ) => folder,
        }
    }

    /// Makes an empty module of its own for the authority, if it has neither that nor a token?
    pub(crate) fn may_begin(&self) -> bool {
        matches!(self, Self::Init { .. })
    }

    pub(crate) fn execute(
        &self,
        custody: &dyn KeyCustody,
        clock: &dyn Clock,
        out: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let folder = self.folder();
        let issuing = match (setup::exists(&folder.state), self) {
            (false, Self::Init { generation, .. }) => generation.issuing(),
            _ => setup::read_config(&folder.state)?.issuing,
        };
        let open = || Ceremonies::open(&folder.state, setup::required_keys(&issuing), custody, clock);
        let held = match self {
            Self::Init { persons, .. } => open()?.init(persons.names())?,
            Self::Keys(KeysCommand::Create { name, kind, persons, .. }) => {
                open()?.create(persons.names(), &KeyName::new(name), *kind)?
            }
            Self::Keys(KeysCommand::Retire { name, reason, persons, .. }) => {
                open()?.retire(persons.names(), &KeyName::new(name), reason)?
            }
            Self::Keys(KeysCommand::List(_)) => return list(&ceremonies::list(custody, clock)?, folder.json, out),
        };
        tell(&held, folder.json, out)
    }
}

fn list(keys: &[KeyEntry], as_json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    if as_json {
        return Ok(writeln!(out, "{}", json!({ "keys": keys }))?);
    }
    for key in keys {
        writeln!(out, "{}  {}  {}  {}", key.name, key.kind, key.origin, key.fingerprint.value)?;
    }
    Ok(())
}

/// What was done, and what is to be signed.
pub(crate) fn tell(held: &Ceremony, as_json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    let shown = |path: &Path| PathBuf::from(path).display().to_string();
    let (record_file, page_file) = (shown(&held.record_file), shown(&held.page_file));
    if as_json {
        let document = json!({
            "record_file": record_file,
            "page_file": page_file,
            "record_sha256": held.sealed.digest(),
            "record": held.sealed.record,
        });
        return Ok(writeln!(out, "{document}")?);
    }
    for key in &held.sealed.record.keys {
        let deed = match key.deed {
            Deed::Created => "made",
            Deed::Found => "was there",
            Deed::Retired => "destroyed",
        };
        writeln!(out, "{}  {}  {deed}  {}", key.name, key.kind, key.fingerprint.value)?;
    }
    Ok(writeln!(out, "to be printed and signed: {page_file}\nSHA-256 of the record: {}", held.sealed.digest())?)
}
