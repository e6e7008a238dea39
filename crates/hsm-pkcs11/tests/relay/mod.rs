//! A relay between p11-kit's client and servers that it starts and kills.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::common::softhsm2;

/// When the server is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kill {
    /// It has not heard of the call.
    BeforeTheCall,
    /// It has done what it was told.
    BeforeTheAnswer,
}

pub(crate) struct Relay(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Default)]
struct Plan {
    calls: usize,
    deaths: usize,
    /// The kill to come, and the number of the call.
    kill: Option<(Kill, usize)>,
    away: bool,
    held: bool,
    servers: usize,
    server: Option<Child>,
}

impl Relay {
    /// Listens where the client looks for its server.
    pub(crate) fn start(folder: &Path) -> Self {
        let listener = UnixListener::bind(folder.join("client")).expect("a socket");
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
    pub(crate) fn calls(&self) -> usize {
        self.0.plan().calls
    }

    /// How often the server was killed.
    pub(crate) fn deaths(&self) -> usize {
        self.0.plan().deaths
    }

    /// Kills the server at the `at`-th call from now. It is started again for the next connection.
    pub(crate) fn kill(&self, kill: Kill, at: usize) {
        let mut plan = self.0.plan();
        plan.kill = Some((kill, plan.calls + at));
    }

    /// No server is there any more, or it is there again.
    pub(crate) fn away(&self, away: bool) {
        let mut plan = self.0.plan();
        plan.away = away;
        if away {
            plan.stop();
        }
    }

    /// Calls get no answer, or get them at last.
    pub(crate) fn hold(&self, held: bool) {
        self.0.plan().held = held;
        self.0.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.0.plan().stop();
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
        self.plan.lock().unwrap()
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
                .arg(softhsm2())
                .arg("pkcs11:")
                .stdout(Stdio::piped())
                .process_group(0)
                .spawn()
                .expect("p11-kit (run tests/install-peers)");
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
                    plan = self.changed.wait(plan).unwrap();
                }
                plan.calls += 1;
                let calls = plan.calls;
                let kill = plan.kill.take_if(|(_, at)| *at == calls).map(|(kill, _)| kill);
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
    let mut frame = vec![0; 12];
    from.read_exact(&mut frame)?;
    let length = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap()) as usize;
    let body = length(4) + length(8);
    frame.resize(12 + body, 0);
    from.read_exact(&mut frame[12..])?;
    Ok(frame)
}
