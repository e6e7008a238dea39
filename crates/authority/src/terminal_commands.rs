//! `terminal invite` and `terminal list`.

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use jpki::Municipality;
use rand_core::OsRng;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::enrolling::Guest;
use crate::error::SetupError;
use crate::setup;
use crate::store::{Invitation, PersonId, State, TerminalCertificate, TerminalId};

/// Symbols of a secret between two hyphens, for whoever reads it out.
const GROUP: usize = 5;

#[derive(Args)]
pub(crate) struct Invite {
    /// The terminal's name
    pub(crate) name: String,
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// 受付窓口識別記号, 9 characters; it starts with the municipality's code
    #[arg(long)]
    window: String,
    /// The prefecture in Latin letters, as in certificates
    #[arg(long)]
    prefecture: String,
    /// The municipality in Latin letters, as in certificates
    #[arg(long)]
    city: String,
    /// ID of the administrator who invites
    #[arg(long, value_name = "ID")]
    pub(crate) by: String,
    /// For how many hours the terminal may come
    #[arg(long, value_name = "HOURS", default_value_t = 72, value_parser = clap::value_parser!(u16).range(1..=720))]
    valid_hours: u16,
    /// A foreign CMP client under test, which has no log
    #[arg(long)]
    test_peer: bool,
    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Invites, and gives what the installer must be told, the secret among it.
pub(crate) fn invite(authority: &Authority, order: &Invite, by: PersonId, now: Timestamp) -> Result<Value, SetupError> {
    let guest = Guest {
        name: order.name.clone(),
        window: order.window.clone(),
        municipality: Municipality {
            code: order.window.chars().take(5).collect(),
            prefecture: order.prefecture.clone(),
            city: order.city.clone(),
        },
        test_peer: order.test_peer,
        by,
        valid_for: SignedDuration::from_hours(order.valid_hours.into()),
    };
    let invited = setup::invite_terminal(&order.state, authority, &guest, now, &mut OsRng)?;
    let groups = invited.secret.as_bytes().chunks(GROUP).map(String::from_utf8_lossy);
    let folder = TerminalId::new(&order.name).map(|id| setup::terminal_folder(&order.state, &id));
    Ok(json!({
        "terminal": order.name,
        "reference": invited.reference,
        "secret": groups.collect::<Vec<_>>().join("-"),
        "expires_at": invited.expires_at.to_string(),
        "certificates": folder.map(|folder| folder.display().to_string()),
    }))
}

/// The allow-list, with the certificates that terminals have, and who is invited.
pub(crate) fn list(authority: &Authority, now: Timestamp) -> Result<Value, SetupError> {
    let store = authority.store();
    let invitations = store.invitations()?;
    let mut terminals = Vec::new();
    for terminal in store.terminals()? {
        let certificates = store.terminal_certificates(&terminal.id)?;
        let invitation = invitations.iter().find(|invitation| invitation.terminal == terminal.id);
        terminals.push(json!({
            "name": terminal.id.as_str(),
            "window": terminal.window,
            "municipality": terminal.municipality.code,
            "authorised": terminal.authorised,
            "test_peer": terminal.test_peer,
            "certificates": certificates.iter().map(|own| certificate(own, now)).collect::<Vec<_>>(),
            "invitation": invitation.map(|invitation| described(invitation, now)),
        }));
    }
    Ok(json!({ "terminals": terminals }))
}

fn certificate(own: &TerminalCertificate, now: Timestamp) -> Value {
    let state = match own.state {
        State::Issued => "issued",
        State::Valid if own.is_valid(now) => "valid",
        State::Valid => "expired",
        State::Revoked => "revoked",
        State::Superseded => "superseded",
    };
    let purpose = match own.purpose {
        authority_link::Purpose::Messages => "messages",
        authority_link::Purpose::Line => "line",
    };
    json!({
        "serial": own.serial,
        "purpose": purpose,
        "state": state,
        "predecessor": own.predecessor,
        "not_after": own.not_after.to_string(),
    })
}

fn described(invitation: &Invitation, now: Timestamp) -> Value {
    let state = match (invitation.used_at, invitation.is_open(now)) {
        (Some(_), _) => "used",
        (None, true) => "open",
        (None, false) => "expired",
    };
    json!({
        "reference": invitation.reference,
        "state": state,
        "by": invitation.by.as_str(),
        "expires_at": invitation.expires_at.to_string(),
    })
}
