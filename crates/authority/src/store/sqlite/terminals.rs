//! Terminals, their own certificates and invitations in SQLite.

use authority_link::Purpose;
use jiff::Timestamp;
use jpki::Municipality;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use zeroize::Zeroizing;

use super::{decoded, state_of, timestamp};
use crate::store::{
    Change, Digest, Invitation, PersonId, State, StoreError, Terminal, TerminalCertificate, TerminalCertificateKey,
    TerminalDecision, TerminalId,
};

const COLUMNS: &str = "serial, terminal, purpose, certificate, sha256, public_key, state, predecessor, txid, nonce, \
                       issued_at, not_after, confirmed_at, revoked_at";

pub(super) fn register(
    connection: &mut Connection,
    terminal: &Terminal,
    certificates: Option<&[TerminalCertificate]>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    put(&transaction, terminal, "log_key = ?6")?;
    if let Some(certificates) = certificates {
        replace_certificates(&transaction, terminal, certificates, at)?;
    }
    Ok(transaction.commit()?)
}

fn replace_certificates(
    transaction: &Transaction<'_>,
    terminal: &Terminal,
    certificates: &[TerminalCertificate],
    at: Timestamp,
) -> Result<(), StoreError> {
    let id = terminal.id.as_str();
    transaction.execute("DELETE FROM invitation WHERE terminal = ?1", [id])?;
    transaction.execute(
        "UPDATE terminal_certificate SET state = ?2, revoked_at = ?3 WHERE terminal = ?1 AND state IN (?4, ?5)",
        params![id, State::Revoked as i64, at.as_second(), State::Issued as i64, State::Valid as i64],
    )?;
    for certificate in certificates {
        if !insert(transaction, certificate)? {
            return Err(StoreError::Duplicate);
        }
    }
    Ok(())
}

pub(super) fn invite(
    connection: &mut Connection,
    terminal: &Terminal,
    invitation: &Invitation,
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    put(&transaction, terminal, "log_key = coalesce(log_key, ?6)")?;
    transaction.execute(
        "INSERT OR REPLACE INTO invitation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            invitation.terminal.as_str(),
            invitation.reference,
            *invitation.secret,
            invitation.by.as_str(),
            invitation.at.as_second(),
            invitation.expires_at.as_second(),
            invitation.used_at.map(Timestamp::as_second),
        ],
    )?;
    Ok(transaction.commit()?)
}

/// `log_key` says what becomes of the key of the log, where the terminal is there already.
fn put(transaction: &Transaction<'_>, terminal: &Terminal, log_key: &str) -> Result<(), StoreError> {
    let put = transaction.execute(
        &format!(
            "INSERT INTO terminal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE
             SET window = ?2, code = ?3, prefecture = ?4, city = ?5, {log_key}, test_peer = ?7, authorised = ?8"
        ),
        params![
            terminal.id.as_str(),
            terminal.window,
            terminal.municipality.code,
            terminal.municipality.prefecture,
            terminal.municipality.city,
            terminal.log_key,
            terminal.test_peer,
            terminal.authorised,
        ],
    );
    match put {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Err(StoreError::Duplicate),
        other => Ok(other.map(|_| ())?),
    }
}

pub(super) fn one(connection: &Connection, id: &TerminalId) -> Result<Option<Terminal>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM terminal WHERE id = ?1")?;
    Ok(statement.query_row([id.as_str()], terminal_of).optional()?)
}

pub(super) fn all(connection: &Connection) -> Result<Vec<Terminal>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM terminal ORDER BY id")?;
    let rows = statement.query_map([], terminal_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn certificate(
    connection: &Connection,
    by: TerminalCertificateKey<'_>,
) -> Result<Option<TerminalCertificate>, StoreError> {
    let select = |condition: &str| format!("SELECT {COLUMNS} FROM terminal_certificate WHERE {condition}");
    let found = match by {
        TerminalCertificateKey::Certificate(sha256) => {
            connection.prepare_cached(&select("sha256 = ?1"))?.query_row([sha256], certificate_of)
        }
        TerminalCertificateKey::Transaction(id) => {
            connection.prepare_cached(&select("txid = ?1"))?.query_row([id], certificate_of)
        }
        TerminalCertificateKey::Serial(serial) => {
            connection.prepare_cached(&select("serial = ?1"))?.query_row([serial], certificate_of)
        }
    };
    Ok(found.optional()?)
}

pub(super) fn certificates_of(
    connection: &Connection,
    terminal: &TerminalId,
) -> Result<Vec<TerminalCertificate>, StoreError> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM terminal_certificate WHERE terminal = ?1 ORDER BY serial"))?;
    let rows = statement.query_map([terminal.as_str()], certificate_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn certificates_for(
    connection: &Connection,
    public_key: &Digest,
) -> Result<Vec<TerminalCertificate>, StoreError> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM terminal_certificate WHERE public_key = ?1 ORDER BY serial"))?;
    let rows = statement.query_map([public_key], certificate_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn invitations(connection: &Connection) -> Result<Vec<Invitation>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT terminal, reference, secret, by, at, expires_at, used_at FROM invitation ORDER BY terminal",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Invitation {
            terminal: TerminalId(row.get(0)?),
            reference: row.get(1)?,
            secret: Zeroizing::new(row.get(2)?),
            by: PersonId(row.get(3)?),
            at: timestamp(row, 4)?,
            expires_at: timestamp(row, 5)?,
            used_at: optional_timestamp(row, 6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn sweep(connection: &mut Connection, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .execute("UPDATE invitation SET secret = x'' WHERE expires_at < ?1 AND secret <> x''", [now.as_second()])?;
    let swept = transaction.execute(
        "UPDATE terminal_certificate SET state = ?1, revoked_at = ?2 WHERE state = ?3 AND issued_at <= ?4",
        params![State::Revoked as i64, now.as_second(), State::Issued as i64, before.as_second()],
    )?;
    transaction.commit()?;
    Ok(swept)
}

/// Whether the premises of what concerns terminals held, and it was made.
pub(super) fn apply(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<bool> {
    for decision in &change.terminal_decisions {
        if !decide(transaction, decision)? {
            return Ok(false);
        }
    }
    if let Some(certificate) = &change.terminal_certificate
        && !insert(transaction, certificate)?
    {
        return Ok(false);
    }
    if let Some((terminal, log_key)) = &change.log_key {
        let set = "UPDATE terminal SET log_key = ?2 WHERE id = ?1 AND log_key IS NULL";
        if transaction.prepare_cached(set)?.execute(params![terminal.as_str(), log_key])? != 1 {
            return Ok(false);
        }
    }
    if let Some((reference, at)) = &change.used_invitation {
        let set = "UPDATE invitation SET used_at = ?2, secret = x'' WHERE reference = ?1 AND used_at IS NULL";
        if transaction.prepare_cached(set)?.execute(params![reference, at.as_second()])? != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn decide(transaction: &Transaction<'_>, decision: &TerminalDecision) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(
        "UPDATE terminal_certificate SET state = ?3, confirmed_at = coalesce(?4, confirmed_at), revoked_at = ?5
         WHERE serial = ?1 AND state = ?2",
    )?;
    let at = decision.at.as_second();
    let is_confirmed = decision.to == State::Valid;
    let changed = statement.execute(params![
        decision.serial,
        decision.from as i64,
        decision.to as i64,
        is_confirmed.then_some(at),
        (!is_confirmed).then_some(at),
    ])?;
    Ok(changed == 1)
}

/// Whether nobody else, and no certificate for another purpose, has the key.
fn insert(transaction: &Transaction<'_>, certificate: &TerminalCertificate) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO terminal_certificate SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
         WHERE NOT EXISTS (SELECT 1 FROM terminal_certificate
                           WHERE public_key = ?6 AND (terminal <> ?2 OR purpose <> ?3))",
    )?;
    let inserted = statement.execute(params![
        certificate.serial,
        certificate.terminal.as_str(),
        code(certificate.purpose),
        certificate.certificate,
        certificate.sha256,
        certificate.public_key,
        certificate.state as i64,
        certificate.predecessor,
        certificate.transaction,
        certificate.nonce,
        certificate.issued_at.as_second(),
        certificate.not_after.as_second(),
        certificate.confirmed_at.map(Timestamp::as_second),
        certificate.revoked_at.map(Timestamp::as_second),
    ])?;
    Ok(inserted == 1)
}

fn terminal_of(row: &Row<'_>) -> rusqlite::Result<Terminal> {
    Ok(Terminal {
        id: TerminalId(row.get(0)?),
        window: row.get(1)?,
        municipality: Municipality { code: row.get(2)?, prefecture: row.get(3)?, city: row.get(4)? },
        log_key: row.get(5)?,
        test_peer: row.get(6)?,
        authorised: row.get(7)?,
    })
}

fn certificate_of(row: &Row<'_>) -> rusqlite::Result<TerminalCertificate> {
    Ok(TerminalCertificate {
        serial: row.get(0)?,
        terminal: TerminalId(row.get(1)?),
        purpose: decoded(row, 2, |value| Purpose::BOTH.into_iter().find(|purpose| code(*purpose) == value))?,
        certificate: row.get(3)?,
        sha256: row.get(4)?,
        public_key: row.get(5)?,
        state: state_of(row, 6)?,
        predecessor: row.get(7)?,
        transaction: row.get(8)?,
        nonce: row.get(9)?,
        issued_at: timestamp(row, 10)?,
        not_after: timestamp(row, 11)?,
        confirmed_at: optional_timestamp(row, 12)?,
        revoked_at: optional_timestamp(row, 13)?,
    })
}

const fn code(purpose: Purpose) -> i64 {
    match purpose {
        Purpose::Messages => 1,
        Purpose::Line => 2,
    }
}

fn optional_timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| timestamp(row, column)).transpose()
}
