//! The store in an embedded SQLite database.

mod terminals;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jpki::CertificateKind;
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    Acknowledgement, Alarm, AlarmKind, Answer, Applied, Change, Decision, Digest, Invitation, Issue, IssueKey,
    PersonId, Revocation, RevocationReason, Sequence, State, Store, StoreError, Terminal, TerminalCertificate,
    TerminalCertificateKey, TerminalId, Unsettled, Witness,
};

/// `PRAGMA user_version` of the schema below.
const VERSION: i64 = 2;
/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Times are whole seconds since 1970; serials are counters.
const SCHEMA: &str = "
CREATE TABLE issue (
    txid          BLOB NOT NULL PRIMARY KEY,
    kind          INTEGER NOT NULL,
    serial        INTEGER NOT NULL,
    certificate   BLOB NOT NULL,
    sha256        BLOB NOT NULL UNIQUE,
    public_key    BLOB NOT NULL UNIQUE,
    state         INTEGER NOT NULL,
    predecessor   INTEGER,
    terminal      TEXT NOT NULL,
    municipality  TEXT NOT NULL,
    nonce         BLOB NOT NULL,
    issued_at     INTEGER NOT NULL,
    not_after     INTEGER NOT NULL,
    confirmed_at  INTEGER,
    revoked_at    INTEGER,
    reason        INTEGER,
    UNIQUE (kind, serial)
) STRICT;
CREATE INDEX issue_successor ON issue (kind, predecessor) WHERE predecessor IS NOT NULL;
CREATE INDEX issue_unconfirmed ON issue (issued_at) WHERE state = 0;
CREATE INDEX issue_revoked ON issue (kind, municipality) WHERE state IN (2, 3);
CREATE TABLE answer (
    request   BLOB NOT NULL PRIMARY KEY,
    txid      BLOB NOT NULL,
    opens     INTEGER NOT NULL,
    terminal  TEXT NOT NULL,
    response  BLOB NOT NULL,
    at        INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX answer_opening ON answer (txid) WHERE opens = 1;
CREATE TABLE sequence (name TEXT NOT NULL PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE terminal (
    id                   TEXT NOT NULL PRIMARY KEY,
    window               TEXT NOT NULL UNIQUE,
    code                 TEXT NOT NULL,
    prefecture           TEXT NOT NULL,
    city                 TEXT NOT NULL,
    log_key              BLOB,
    test_peer            INTEGER NOT NULL,
    authorised           INTEGER NOT NULL
) STRICT;
CREATE TABLE terminal_certificate (
    serial        INTEGER NOT NULL PRIMARY KEY,
    terminal      TEXT NOT NULL,
    purpose       INTEGER NOT NULL,
    certificate   BLOB NOT NULL,
    sha256        BLOB NOT NULL UNIQUE,
    public_key    BLOB NOT NULL,
    state         INTEGER NOT NULL,
    predecessor   INTEGER,
    txid          BLOB UNIQUE,
    nonce         BLOB NOT NULL,
    issued_at     INTEGER NOT NULL,
    not_after     INTEGER NOT NULL,
    confirmed_at  INTEGER,
    revoked_at    INTEGER
) STRICT;
CREATE INDEX terminal_certificate_of ON terminal_certificate (terminal);
CREATE INDEX terminal_certificate_for ON terminal_certificate (public_key);
CREATE TABLE invitation (
    terminal    TEXT NOT NULL PRIMARY KEY,
    reference   TEXT NOT NULL UNIQUE,
    secret      BLOB NOT NULL,
    by          TEXT NOT NULL,
    at          INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT;
CREATE TABLE witness (
    terminal      TEXT NOT NULL PRIMARY KEY,
    origin        TEXT NOT NULL,
    size          INTEGER NOT NULL,
    root          BLOB NOT NULL,
    checkpoint    TEXT NOT NULL
) STRICT;
CREATE TABLE alarm (
    id              INTEGER PRIMARY KEY,
    terminal        TEXT NOT NULL,
    kind            INTEGER NOT NULL,
    witnessed_size  INTEGER NOT NULL,
    offered_size    INTEGER NOT NULL,
    witnessed       TEXT,
    offered         TEXT NOT NULL,
    at              INTEGER NOT NULL,
    acknowledged_by TEXT,
    acknowledged_at INTEGER
) STRICT;
CREATE INDEX alarm_open ON alarm (terminal) WHERE acknowledged_at IS NULL;
";

const ISSUE_COLUMNS: &str = "txid, kind, serial, certificate, sha256, public_key, state, predecessor, terminal, \
                             municipality, nonce, issued_at, not_after, confirmed_at, revoked_at, reason";

/// The store in one SQLite file, in write-ahead mode, with every commit synchronised to the disk.
pub struct SqliteStore(Mutex<Connection>);

impl SqliteStore {
    /// Opens the store at `path`, or makes a new one. `first_serials` are the first serials of a new store,
    /// authentication then signature.
    ///
    /// # Errors
    /// If the file is damaged, or can't be opened or written.
    pub fn open(path: &Path, first_serials: [u64; 2]) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        Self::prepare(connection, first_serials)
    }

    /// A store in memory, for tests and for runs that leave nothing.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn in_memory(first_serials: [u64; 2]) -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, first_serials)
    }

    fn prepare(mut connection: Connection, first_serials: [u64; 2]) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // The secrets of invitations are gone when they are erased.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                for (kind, first) in CertificateKind::BOTH.into_iter().zip(first_serials) {
                    let name = sequence_name(Sequence::Serial(kind));
                    transaction.execute("INSERT INTO sequence (name, next) VALUES (?1, ?2)", params![name, first])?;
                }
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            VERSION => {}
            found if found < VERSION => return Err(StoreError::TooOld { found, known: VERSION }),
            found => return Err(StoreError::TooNew { found, known: VERSION }),
        }
        transaction.commit()?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere rolls its transaction back when it unwinds: the connection is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for SqliteStore {
    fn apply(&self, change: &Change) -> Result<Applied, StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match apply(&transaction, change) {
            Ok(Applied::Done) => {
                transaction.commit()?;
                Ok(Applied::Done)
            }
            Ok(Applied::Conflict) => Ok(Applied::Conflict),
            // A uniqueness rule is a premise of the change.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(Applied::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    fn answer(&self, request: &Digest) -> Result<Option<Answer>, StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT request, txid, opens, terminal, response, at FROM answer WHERE request = ?1")?;
        let answer = statement.query_row([request], |row| {
            Ok(Answer {
                request: row.get(0)?,
                transaction: row.get(1)?,
                opens: row.get(2)?,
                terminal: TerminalId(row.get(3)?),
                response: row.get(4)?,
                at: timestamp(row, 5)?,
            })
        });
        Ok(answer.optional()?)
    }

    fn transaction_known(&self, transaction: &[u8]) -> Result<bool, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM answer WHERE txid = ?1 AND opens = 1)")?;
        Ok(statement.query_row([transaction], |row| row.get(0))?)
    }

    fn issue(&self, by: IssueKey<'_>) -> Result<Option<Issue>, StoreError> {
        let connection = self.connection();
        let select = |condition: &str| format!("SELECT {ISSUE_COLUMNS} FROM issue WHERE {condition}");
        let issue = match by {
            IssueKey::Transaction(id) => connection.prepare_cached(&select("txid = ?1"))?.query_row([id], issue_of),
            IssueKey::Certificate(sha256) => {
                connection.prepare_cached(&select("sha256 = ?1"))?.query_row([sha256], issue_of)
            }
            IssueKey::Serial(kind, serial) => connection
                .prepare_cached(&select("kind = ?1 AND serial = ?2"))?
                .query_row(params![code(kind), serial], issue_of),
        };
        Ok(issue.optional()?)
    }

    fn public_key_known(&self, public_key: &Digest) -> Result<bool, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM issue WHERE public_key = ?1)")?;
        Ok(statement.query_row([public_key], |row| row.get(0))?)
    }

    fn successors(&self, kind: CertificateKind, serial: u64) -> Result<Vec<Issue>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {ISSUE_COLUMNS} FROM issue WHERE kind = ?1 AND predecessor = ?2 ORDER BY serial"
        ))?;
        let issues = statement.query_map(params![code(kind), serial], issue_of)?;
        Ok(issues.collect::<Result<_, _>>()?)
    }

    fn allocate(&self, sequence: Sequence<'_>) -> Result<u64, StoreError> {
        let next = self.connection().query_row(
            "INSERT INTO sequence (name, next) VALUES (?1, 2)
             ON CONFLICT (name) DO UPDATE SET next = next + 1 RETURNING next - 1",
            [sequence_name(sequence)],
            |row| row.get(0),
        )?;
        Ok(next)
    }

    fn unconfirmed(&self, before: Timestamp) -> Result<Vec<Issue>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {ISSUE_COLUMNS} FROM issue WHERE state = 0 AND issued_at <= ?1 ORDER BY issued_at, serial"
        ))?;
        let issues = statement.query_map([before.as_second()], issue_of)?;
        Ok(issues.collect::<Result<_, _>>()?)
    }

    fn unsettled(&self, now: Timestamp) -> Result<Vec<Unsettled>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT n.kind, n.serial, n.sha256, p.serial, n.municipality, n.terminal, n.confirmed_at FROM issue n
             JOIN issue p ON p.kind = n.kind AND p.serial = n.predecessor
             WHERE n.predecessor IS NOT NULL AND n.state = 1 AND p.state = 1 AND p.not_after >= ?1 AND n.not_after >= ?1
             ORDER BY n.confirmed_at, n.kind, n.serial",
        )?;
        let rows = statement.query_map([now.as_second()], |row| {
            Ok(Unsettled {
                kind: kind_of(row, 0)?,
                serial: row.get(1)?,
                sha256: row.get(2)?,
                predecessor: row.get(3)?,
                municipality: row.get(4)?,
                terminal: TerminalId(row.get(5)?),
                confirmed_at: timestamp(row, 6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn revoked(
        &self,
        kind: CertificateKind,
        municipality: &str,
        now: Timestamp,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT serial, revoked_at, reason FROM issue
             WHERE kind = ?1 AND municipality = ?2 AND state IN (2, 3) AND not_after >= ?3 ORDER BY serial",
        )?;
        let rows = statement.query_map(params![code(kind), municipality, now.as_second()], |row| {
            Ok((row.get(0)?, Revocation { at: timestamp(row, 1)?, reason: reason_of(row, 2)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn register_terminal(
        &self,
        terminal: &Terminal,
        certificates: Option<&[TerminalCertificate]>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        terminals::register(&mut self.connection(), terminal, certificates, at)
    }

    fn invite(&self, terminal: &Terminal, invitation: &Invitation) -> Result<(), StoreError> {
        terminals::invite(&mut self.connection(), terminal, invitation)
    }

    fn terminal(&self, id: &TerminalId) -> Result<Option<Terminal>, StoreError> {
        terminals::one(&self.connection(), id)
    }

    fn terminals(&self) -> Result<Vec<Terminal>, StoreError> {
        terminals::all(&self.connection())
    }

    fn terminal_certificate(&self, by: TerminalCertificateKey<'_>) -> Result<Option<TerminalCertificate>, StoreError> {
        terminals::certificate(&self.connection(), by)
    }

    fn terminal_certificates(&self, terminal: &TerminalId) -> Result<Vec<TerminalCertificate>, StoreError> {
        terminals::certificates_of(&self.connection(), terminal)
    }

    fn terminal_certificates_for(&self, public_key: &Digest) -> Result<Vec<TerminalCertificate>, StoreError> {
        terminals::certificates_for(&self.connection(), public_key)
    }

    fn invitations(&self) -> Result<Vec<Invitation>, StoreError> {
        terminals::invitations(&self.connection())
    }

    fn sweep_terminals(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
        terminals::sweep(&mut self.connection(), before, now)
    }

    fn witness(&self, terminal: &TerminalId) -> Result<Option<Witness>, StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT terminal, origin, size, root, checkpoint FROM witness WHERE terminal = ?1")?;
        let witness = statement.query_row([terminal.as_str()], |row| {
            Ok(Witness {
                terminal: TerminalId(row.get(0)?),
                origin: row.get(1)?,
                size: row.get(2)?,
                root: row.get(3)?,
                checkpoint: row.get(4)?,
                follows: None,
            })
        });
        Ok(witness.optional()?)
    }

    fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT * FROM alarm ORDER BY id")?;
        let rows = statement.query_map([], alarm_of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn open_alarm(&self, terminal: &TerminalId) -> Result<Option<Alarm>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT * FROM alarm WHERE terminal = ?1 AND acknowledged_at IS NULL ORDER BY id LIMIT 1",
        )?;
        Ok(statement.query_row([terminal.as_str()], alarm_of).optional()?)
    }

    fn counts(&self) -> Result<Vec<(CertificateKind, State, u64)>, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT kind, state, count(*) FROM issue GROUP BY kind, state ORDER BY 1, 2")?;
        let rows = statement.query_map([], |row| Ok((kind_of(row, 0)?, state_of(row, 1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<Applied> {
    if let Some(issue) = &change.issue {
        insert_issue(transaction, issue)?;
    }
    if let Some(decision) = &change.decision
        && !decide(transaction, decision)?
    {
        return Ok(Applied::Conflict);
    }
    if let Some(answer) = &change.answer {
        transaction.prepare_cached("INSERT INTO answer VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            answer.request,
            answer.transaction,
            answer.opens,
            answer.terminal.as_str(),
            answer.response,
            answer.at.as_second(),
        ])?;
    }
    if !terminals::apply(transaction, change)? {
        return Ok(Applied::Conflict);
    }
    if let Some(witness) = &change.witness
        && !remember(transaction, witness)?
    {
        return Ok(Applied::Conflict);
    }
    if let Some(alarm) = &change.alarm {
        raise(transaction, alarm)?;
    }
    if let Some((terminal, Acknowledgement { by, at })) = &change.acknowledgement {
        transaction
            .prepare_cached(
                "UPDATE alarm SET acknowledged_by = ?2, acknowledged_at = ?3
                 WHERE terminal = ?1 AND acknowledged_at IS NULL",
            )?
            .execute(params![terminal.as_str(), by.as_str(), at.as_second()])?;
    }
    Ok(Applied::Done)
}

/// Whether the witness still stood where it did, and moved on.
fn remember(transaction: &Transaction<'_>, witness: &Witness) -> rusqlite::Result<bool> {
    let mut stands = transaction.prepare_cached("SELECT size FROM witness WHERE terminal = ?1")?;
    let stands: Option<u64> = stands.query_row([witness.terminal.as_str()], |row| row.get(0)).optional()?;
    if stands != witness.follows {
        return Ok(false);
    }
    transaction.prepare_cached("INSERT OR REPLACE INTO witness VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        witness.terminal.as_str(),
        witness.origin,
        witness.size,
        witness.root,
        witness.checkpoint,
    ])?;
    Ok(true)
}

fn raise(transaction: &Transaction<'_>, alarm: &Alarm) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO alarm SELECT NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL WHERE NOT EXISTS (
            SELECT 1 FROM alarm
            WHERE terminal = ?1 AND kind = ?2 AND witnessed IS ?5 AND offered = ?6 AND acknowledged_at IS NULL)",
    )?;
    statement.execute(params![
        alarm.terminal.as_str(),
        alarm.kind as i64,
        alarm.witnessed_size,
        alarm.offered_size,
        alarm.witnessed,
        alarm.offered,
        alarm.at.as_second(),
    ])?;
    Ok(())
}

fn insert_issue(transaction: &Transaction<'_>, issue: &Issue) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO issue VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    statement.execute(params![
        issue.transaction,
        code(issue.kind),
        issue.serial,
        issue.certificate,
        issue.sha256,
        issue.public_key,
        issue.state as i64,
        issue.predecessor,
        issue.terminal.as_str(),
        issue.municipality,
        issue.nonce,
        issue.issued_at.as_second(),
        issue.not_after.as_second(),
        issue.confirmed_at.map(Timestamp::as_second),
        issue.revocation.map(|revocation| revocation.at.as_second()),
        issue.revocation.map(|revocation| revocation.reason as i64),
    ])?;
    Ok(())
}

/// Whether the decision's premises held, and it was made.
fn decide(transaction: &Transaction<'_>, decision: &Decision) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(
        "UPDATE issue SET state = ?4, confirmed_at = coalesce(?5, confirmed_at), revoked_at = ?6, reason = ?7
         WHERE kind = ?1 AND serial = ?2 AND state = ?3
         AND (?8 IS NULL OR EXISTS (SELECT 1 FROM issue n WHERE n.kind = ?1 AND n.serial = ?8 AND n.state = 1))",
    )?;
    let confirmed_at = (decision.to == State::Valid).then(|| decision.at.as_second());
    let changed = statement.execute(params![
        code(decision.kind),
        decision.serial,
        decision.from as i64,
        decision.to as i64,
        confirmed_at,
        decision.revocation.map(|revocation| revocation.at.as_second()),
        decision.revocation.map(|revocation| revocation.reason as i64),
        decision.while_valid,
    ])?;
    Ok(changed == 1)
}

fn issue_of(row: &Row<'_>) -> rusqlite::Result<Issue> {
    let revocation = match row.get::<_, Option<i64>>(14)? {
        Some(_) => Some(Revocation { at: timestamp(row, 14)?, reason: reason_of(row, 15)? }),
        None => None,
    };
    Ok(Issue {
        transaction: row.get(0)?,
        kind: kind_of(row, 1)?,
        serial: row.get(2)?,
        certificate: row.get(3)?,
        sha256: row.get(4)?,
        public_key: row.get(5)?,
        state: state_of(row, 6)?,
        predecessor: row.get(7)?,
        terminal: TerminalId(row.get(8)?),
        municipality: row.get(9)?,
        nonce: row.get(10)?,
        issued_at: timestamp(row, 11)?,
        not_after: timestamp(row, 12)?,
        confirmed_at: row.get::<_, Option<i64>>(13)?.map(|_| timestamp(row, 13)).transpose()?,
        revocation,
    })
}

fn sequence_name(sequence: Sequence<'_>) -> String {
    match sequence {
        Sequence::Serial(kind) => format!("serial {}", code(kind)),
        Sequence::InfrastructureSerial => "serial infrastructure".to_owned(),
        Sequence::Crl(kind, municipality) => format!("crl {} {municipality}", code(kind)),
    }
}

fn code(kind: CertificateKind) -> i64 {
    i64::from(kind.p1())
}

fn kind_of(row: &Row<'_>, column: usize) -> rusqlite::Result<CertificateKind> {
    decoded(row, column, |value| CertificateKind::BOTH.into_iter().find(|kind| code(*kind) == value))
}

fn state_of(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let states = [State::Issued, State::Valid, State::Revoked, State::Superseded];
    decoded(row, column, |value| states.into_iter().find(|state| *state as i64 == value))
}

fn reason_of(row: &Row<'_>, column: usize) -> rusqlite::Result<RevocationReason> {
    decoded(row, column, RevocationReason::from_code)
}

fn alarm_of(row: &Row<'_>) -> rusqlite::Result<Alarm> {
    let kinds = [AlarmKind::RolledBack, AlarmKind::Forked, AlarmKind::KeyReplaced];
    let acknowledged = match row.get(8)? {
        Some(by) => Some(Acknowledgement { by: PersonId(by), at: timestamp(row, 9)? }),
        None => None,
    };
    Ok(Alarm {
        terminal: TerminalId(row.get(1)?),
        kind: decoded(row, 2, |value| kinds.into_iter().find(|kind| *kind as i64 == value))?,
        witnessed_size: row.get(3)?,
        offered_size: row.get(4)?,
        witnessed: row.get(5)?,
        offered: row.get(6)?,
        at: timestamp(row, 7)?,
        acknowledged,
    })
}

fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    decoded(row, column, |value| Timestamp::from_second(value).ok())
}

fn decoded<T>(row: &Row<'_>, column: usize, decode: impl FnOnce(i64) -> Option<T>) -> rusqlite::Result<T> {
    let value = row.get(column)?;
    decode(value).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, value))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            _ => match error {
                rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(
                    _,
                    _,
                    Type::Null | Type::Blob | Type::Text | Type::Integer | Type::Real,
                ) => Self::Damaged,
                other => Self::Failed(Box::new(other)),
            },
        }
    }
}
