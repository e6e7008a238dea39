//! An HSM at the end of a line: SoftHSM2 in a process of its own, which `p11-kit server` runs, and a relay between that and p11-kit's
//! client. The relay counts the calls, and kills the server at a chosen one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::module;

/// When the server is killed.
#[derive(Clone, Copy, Debug)]
pub enum Kill {
    /// It has not heard of the call.
    BeforeTheCall,
    /// It has done what it was told.
    BeforeTheAnswer,
}

impl Kill {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::BeforeTheCall, Self::BeforeTheAnswer];
}

/// The line, and the server that it starts and kills.
pub struct Relay(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Default)]
struct Plan {
    calls: u64,
    deaths: usize,
    kill: Option<Planned>,
    away: bool,
    held: bool,
    servers: usize,
    server: Option<Child>,
}

/// A kill to come.
#[derive(Clone, Copy)]
struct Planned {
    kill: Kill,
    /// The number of the call.
    at: u64,
    then: Then,
}

/// What comes after a kill.
#[derive(Clone, Copy)]
enum Then {
    /// The server is started again for the next connection.
    Restarted,
    /// It stays away.
    Away,
    /// It is started again, and killed again so many calls later.
    KilledAgain(u64),
}

/// Where p11-kit's client looks for its server.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("client")
}

impl Relay {
    /// Listens where p11-kit's client looks for its server, if it was told of this folder. The server has the tokens that this
    /// process's environment names.
    ///
    /// # Panics
    /// If that is not possible.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let listener = UnixListener::bind(socket(folder)).expect("a socket");
        let shared = Arc::new(Shared { folder: folder.to_owned(), plan: Mutex::default(), changed: Condvar::new() });
        let relay = Self(Arc::clone(&shared));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, shared) = (client.expect("a client"), Arc::clone(&shared));
                // A line that breaks is what the tests are about.
                thread::spawn(move || {
                    let _ = shared.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        relay
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.plan().calls
    }

    /// How often the server was killed.
    #[must_use]
    pub fn deaths(&self) -> usize {
        self.0.plan().deaths
    }

    /// Kills the server at the `at`-th call from now. Its supervisor starts it again for the next connection.
    pub fn kill(&self, kill: Kill, at: u64) {
        self.plan_to(kill, at, Then::Restarted);
    }

    /// The same; the server stays away until [`Relay::away`] says otherwise.
    pub fn kill_for_good(&self, kill: Kill, at: u64) {
        self.plan_to(kill, at, Then::Away);
    }

    /// Kills the server at every so many calls, until [`Relay::disarm`].
    pub fn kill_every(&self, kill: Kill, calls: u64) {
        self.plan_to(kill, calls, Then::KilledAgain(calls));
    }

    fn plan_to(&self, kill: Kill, at: u64, then: Then) {
        let mut plan = self.0.plan();
        let at = plan.calls + at;
        plan.kill = Some(Planned { kill, at, then });
    }

    /// Takes a kill back that is still to come. Had it come?
    #[must_use]
    pub fn disarm(&self) -> bool {
        self.0.plan().kill.take().is_none()
    }

    /// No server is there any more, or it is there again.
    pub fn away(&self, away: bool) {
        let mut plan = self.0.plan();
        plan.away = away;
        if away {
            plan.stop();
        }
    }

    /// Calls get no answer, or get them at last.
    pub fn hold(&self, held: bool) {
        self.0.plan().held = held;
        self.0.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.away(true);
    }
}

impl Plan {
    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // It has a process for every connection.
        let group = Pid::from_raw(i32::try_from(server.id()).expect("a process")).expect("a process");
        kill_process_group(group, Signal::KILL).expect("killed");
        server.wait().expect("ended");
        self.deaths += 1;
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the server, which is started if it is not there.
    fn server(&self) -> io::Result<UnixStream> {
        let mut plan = self.plan();
        if plan.away {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if plan.server.is_none() {
            plan.servers += 1;
            let socket = self.folder.join(format!("server-{}", plan.servers));
            let mut server = Command::new("p11-kit")
                .args(["server", "--foreground", "--name"])
                .arg(&socket)
                .arg("--provider")
                .arg(module())
                .arg("pkcs11:")
                .stdout(Stdio::piped())
                .process_group(0)
                .spawn()
                .expect("p11-kit is not installed: run tests/install-peers");
            // It says where it listens as soon as it does.
            let mut said = BufReader::new(server.stdout.take().expect("piped"));
            let mut line = String::new();
            said.read_line(&mut line).expect("a line");
            plan.server = Some(server);
        }
        UnixStream::connect(self.folder.join(format!("server-{}", plan.servers)))
    }

    fn serve(&self, mut client: &UnixStream) -> io::Result<()> {
        let mut server = self.server()?;
        // Each says which version it speaks, in one byte.
        let mut version = [0];
        client.read_exact(&mut version)?;
        server.write_all(&version)?;
        server.read_exact(&mut version)?;
        client.write_all(&version)?;
        loop {
            let call = frame(&mut client)?;
            let kill = {
                let mut plan = self.plan();
                while plan.held {
                    plan = self.changed.wait(plan).unwrap_or_else(PoisonError::into_inner);
                }
                plan.calls += 1;
                let calls = plan.calls;
                let planned = plan.kill.take_if(|planned| planned.at == calls);
                match planned {
                    Some(Planned { then: Then::Away, .. }) => plan.away = true,
                    Some(Planned { kill, at, then: Then::KilledAgain(later) }) => {
                        plan.kill = Some(Planned { kill, at: at + later, then: Then::KilledAgain(later) });
                    }
                    _ => {}
                }
                let kill = planned.map(|planned| planned.kill);
                if matches!(kill, Some(Kill::BeforeTheCall)) {
                    plan.stop();
                    return Ok(());
                }
                kill
            };
            server.write_all(&call)?;
            let answer = frame(&mut server)?;
            if kill.is_some() {
                self.plan().stop();
                return Ok(());
            }
            client.write_all(&answer)?;
        }
    }
}

/// A call or its answer: its number, the length of its options, the length of its data, then both.
fn frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    const HEADER: usize = 12;
    let mut frame = vec![0; HEADER];
    from.read_exact(&mut frame)?;
    let length = |at: usize| frame[at..at + 4].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let body = length(4) + length(8);
    frame.resize(HEADER + body, 0);
    from.read_exact(&mut frame[HEADER..])?;
    Ok(frame)
}
