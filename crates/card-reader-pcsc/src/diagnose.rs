//! Why can't a reader be used? Looks at the service, at every reader that it sees, and at the system around it.

mod system;

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use apdu::CommandApdu;
use card_reader::diagnosis::{Denial, Finding, ReaderState};
use card_reader::{CardError, CardIdentity, CardReader, Disposition};
use jpki::card::{AID_JPKI, ATR};
use madoguchi_time::{Deadline, SharedClock};
use pcsc::State;

use self::system::System;
use crate::choice::ReaderChoice;
use crate::monitor::{MonitorThread, Seen};
use crate::reader::PcscReader;

/// How long one reader is tried.
const PER_READER: Duration = Duration::from_secs(3);
/// Where the library looks for the service if nothing else is said (`PCSCLITE_CSOCK_NAME`).
const SOCKET: &str = "/run/pcscd/pcscd.comm";

/// Looks at the system's service for card readers and at every reader: what a program for administrators shows.
///
/// What is wrong with the system as a whole comes first, then each reader, then devices that the service does not see. A card
/// that nobody uses is opened and asked for 公的個人認証AP; one that another program has open is left alone.
///
/// Which program holds a reader is found among the processes of this user; as root, among all.
#[must_use]
pub fn diagnose(clock: &SharedClock, deadline: Deadline) -> Vec<Finding> {
    let system = System::of_this_machine();
    let mut findings = Vec::new();
    let mut sees_readers = false;
    match MonitorThread::new(ReaderChoice::Any).look_now(deadline.remaining(&**clock)) {
        Err(error) => findings.push(service(&error, &system)),
        Ok(seen) if seen.is_empty() => findings.push(Finding::NoReader),
        Ok(seen) => {
            sees_readers = true;
            for reader in seen {
                let deadline = deadline.earlier(clock.deadline_in(PER_READER));
                findings.push(match state(&reader, clock, deadline, &system) {
                    Ok(state) => Finding::Reader { name: reader.name, state },
                    Err(denial) => Finding::NotAuthorized(denial),
                });
            }
        }
    }
    // What the service refuses as a whole is said once, and first.
    findings.sort_by_key(|finding| matches!(finding, Finding::Reader { .. }));
    findings.dedup();
    findings.extend(system.unseen_devices(sees_readers));
    findings
}

/// Why the service can't be asked.
fn service(error: &CardError, system: &System) -> Finding {
    match error {
        CardError::NotAuthorized => Finding::NotAuthorized(Denial::Polkit),
        CardError::NoService => {
            let path = std::env::var_os("PCSCLITE_CSOCK_NAME").unwrap_or_else(|| OsString::from(SOCKET));
            let path = PathBuf::from(path);
            let reached = UnixStream::connect(&path).map(drop);
            unreached(reached, path, system)
        }
        // It is there and does not answer.
        _ => Finding::NoService { installed: true },
    }
}

/// What the socket tells that the library does not.
fn unreached(reached: io::Result<()>, path: PathBuf, system: &System) -> Finding {
    match reached {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let group = system.group_of(&path);
            Finding::NotAuthorized(Denial::Socket { path: path.display().to_string(), group })
        }
        Err(_) => Finding::NoService { installed: system.has_service() },
        // It listens, and hangs up on us: so does pcscd if polkit says no.
        Ok(()) if system.has_polkit_rule() => Finding::NotAuthorized(Denial::Polkit),
        Ok(()) => Finding::NoService { installed: true },
    }
}

fn state(reader: &Seen, clock: &SharedClock, deadline: Deadline, system: &System) -> Result<ReaderState, Denial> {
    if reader.state.intersects(State::UNAVAILABLE | State::UNKNOWN) {
        return Ok(ReaderState::Failed);
    }
    if !reader.has_card() {
        return Ok(ReaderState::Empty);
    }
    let identity = CardIdentity { atr: reader.atr.clone() };
    if reader.state.contains(State::EXCLUSIVE) {
        return Ok(ReaderState::Held(system.client()));
    }
    let found = match look_at_card(reader, clock, deadline) {
        Ok(Some(true)) => ReaderState::Card(identity),
        Ok(Some(false)) | Err(CardError::UnsupportedCard) => ReaderState::UnknownCard(identity),
        Ok(None) | Err(CardError::Busy) => ReaderState::Held(system.client()),
        Err(CardError::NoCard | CardError::Removed) => ReaderState::Empty,
        Err(CardError::Mute) => ReaderState::Mute,
        Err(CardError::Timeout | CardError::ReaderStuck) => ReaderState::Stuck,
        Err(CardError::NotAuthorized) => return Err(Denial::Polkit),
        Err(_) => ReaderState::Failed,
    };
    Ok(found)
}

/// Has the card 公的個人認証AP? `None` if that can't be asked without disturbing the program that uses it.
fn look_at_card(reader: &Seen, clock: &SharedClock, deadline: Deadline) -> Result<Option<bool>, CardError> {
    let mut port = PcscReader::new(ReaderChoice::Named(reader.name.clone()), Arc::clone(clock));
    let mut connection = port.connect(deadline)?;
    let mut transaction = connection.begin(deadline)?;
    if reader.in_use() {
        // To select an application would end that program's own.
        transaction.end(Disposition::Leave)?;
        return Ok((reader.atr == ATR).then_some(true));
    }
    let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI);
    let answer = transaction.transmit(&select, deadline)?;
    transaction.end(Disposition::Leave)?;
    Ok(Some(answer.status.is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_tells_why_the_service_is_not_reached() {
        let folder = tempfile::tempdir().expect("a folder");
        let system = System::at(folder.path());
        let finding = |reached: io::Result<()>| unreached(reached, PathBuf::from("/run/pcscd/pcscd.comm"), &system);
        let failed = |kind: io::ErrorKind| Err(io::Error::from(kind));
        assert_eq!(finding(failed(io::ErrorKind::NotFound)).name(), "service-not-installed");
        assert_eq!(finding(failed(io::ErrorKind::PermissionDenied)).name(), "socket-not-permitted");
        assert_eq!(finding(Ok(())).name(), "service-not-running");

        let put = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, "").expect("written");
        };
        put("usr/sbin/pcscd");
        assert_eq!(finding(failed(io::ErrorKind::ConnectionRefused)).name(), "service-not-running");
        put("usr/share/polkit-1/actions/org.debian.pcsc-lite.policy");
        assert_eq!(finding(Ok(())).name(), "refused-by-polkit");
        assert_eq!(service(&CardError::Timeout, &system).name(), "service-not-running");
    }
}
