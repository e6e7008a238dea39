use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use command_fds::{CommandFdExt, FdMapping};

use crate::{ports, protocol};

/// The most readers that one instance can have: pcscd has room for 16, and each takes two, one for each slot.
pub const MAX_READERS: usize = 8;
/// Where the library looks for pcscd, if set.
pub(crate) const SOCKET_VARIABLE: &str = "PCSCLITE_CSOCK_NAME";
/// The socket's name in its folder.
pub(crate) const SOCKET_NAME: &str = "pcscd.comm";
/// vsmartcard's driver. Its state is in static variables: each reader needs a copy of the file, which the linker takes for
/// another library.
const DRIVER: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
/// Debian keeps it out of an ordinary user's path.
const PROGRAM: &str = "/usr/sbin/pcscd";
/// The system's folder. pcscd wants it to be there, and does not start if it can't make it; nothing is put there.
const SYSTEM_FOLDER: &str = "/run/pcscd";
/// Ports may be taken between the search and the start.
const ATTEMPTS: u32 = 5;
/// Runs pcscd with its socket (descriptor 3), sends it the signals that its owner asks for, and ends it with its owner:
/// standard input is a pipe of which the owner holds the other end. `LISTEN_PID` has to be the number of pcscd's own process.
const WATCH: &str = r#"
"$@" </dev/null &
exec 3<&-
while read -r signal; do kill -s "$signal" $!; done
kill -s KILL $! 2>/dev/null
wait
"#;
const RUN: &str = r#"LISTEN_PID=$$ exec "$0" --foreground --info --config "$1""#;

/// A virtual reader of a [`PrivatePcscd`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualReader {
    /// Its name in PC/SC, `SIM-PCD-0 00 00` for the first.
    pub name: String,
    /// The TCP port on which it waits for a card, on every address of this machine.
    pub port: u16,
}

/// A running pcscd with virtual readers. It ends when this is dropped, or when this process ends, however that happens.
#[derive(Debug)]
pub struct PrivatePcscd {
    folder: PathBuf,
    readers: Vec<VirtualReader>,
    process: Mutex<Option<Child>>,
    /// Readers without a [`Lease`](crate::Lease).
    pub(crate) free: Mutex<Vec<usize>>,
    pub(crate) returned: Condvar,
}

impl PrivatePcscd {
    /// Starts one with so many readers ([`MAX_READERS`] at most), and returns when programs can use it.
    ///
    /// # Errors
    /// If it does not start; its own log is in the message.
    pub fn start(readers: usize) -> io::Result<Self> {
        Self::start_in(Self::new_folder()?, readers)
    }

    pub(crate) fn new_folder() -> io::Result<PathBuf> {
        Ok(tempfile::Builder::new().prefix("pcscd-").tempdir()?.keep())
    }

    /// The same with its socket in this folder.
    pub(crate) fn start_in(folder: PathBuf, readers: usize) -> io::Result<Self> {
        assert!(readers <= MAX_READERS, "pcscd has room for {MAX_READERS} virtual readers");
        // For the user that pcscd runs as.
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        fs::create_dir_all(folder.join("conf"))?;
        let mut pcscd = Self {
            folder,
            readers: Vec::new(),
            process: Mutex::default(),
            free: Mutex::new((0..readers).rev().collect()),
            returned: Condvar::new(),
        };
        let mut attempt = 1;
        loop {
            pcscd.choose(&ports::free_pairs(readers)?)?;
            match pcscd.restart() {
                Ok(()) => return Ok(pcscd),
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn choose(&mut self, ports: &[u16]) -> io::Result<()> {
        self.readers.clear();
        for (index, &port) in ports.iter().enumerate() {
            fs::copy(DRIVER, self.driver(index))?;
            // pcscd adds the number of the reader of that name, and the slot.
            self.readers.push(VirtualReader { name: format!("{} 00 00", friendly_name(index)), port });
        }
        Ok(())
    }

    fn configure(&self, readers: usize) -> io::Result<()> {
        let mut conf = String::new();
        for (index, reader) in self.readers.iter().enumerate().take(readers) {
            let (name, port, driver) = (friendly_name(index), reader.port, self.driver(index));
            // Writing to a string can't fail.
            let _ = write!(
                conf,
                "FRIENDLYNAME \"{name}\"\nDEVICENAME /dev/null:{port:#06X}\nLIBPATH {}\nCHANNELID {port:#06X}\n\n",
                driver.display()
            );
        }
        fs::write(self.folder.join("conf/vpcd"), conf)
    }

    fn driver(&self, index: usize) -> PathBuf {
        self.folder.join(format!("vpcd-{index}.so"))
    }

    /// All readers.
    #[must_use]
    pub fn readers(&self) -> &[VirtualReader] {
        &self.readers
    }

    /// The name in PC/SC of the reader with this index.
    #[must_use]
    pub fn reader_name(&self, index: usize) -> &str {
        &self.readers[index].name
    }

    /// The TCP port of the reader with this index: connecting is inserting a card.
    #[must_use]
    pub fn port(&self, index: usize) -> u16 {
        self.readers[index].port
    }

    /// Waits until programs see a card in the reader with this index.
    ///
    /// # Errors
    /// If none comes within half a minute, or pcscd has ended.
    pub fn wait_for_card(&self, index: usize) -> io::Result<()> {
        protocol::wait_for_card(&self.socket(), self.reader_name(index))
    }

    /// The socket on which pcscd serves programs: what `PCSCLITE_CSOCK_NAME` has to say.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET_NAME)
    }

    /// Leads a program to this pcscd.
    pub fn env<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(SOCKET_VARIABLE, self.socket())
    }

    /// What pcscd has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Kills pcscd, as a crash would: its cards are gone from their readers, its socket's file stays.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            drop(process.stdin.take());
            // It can't be waited for only if somebody else has done so.
            let _ = process.wait();
        }
    }

    /// Stops pcscd in the middle of whatever it does, until [`PrivatePcscd::thaw`]: programs wait for an answer.
    ///
    /// # Errors
    /// If it does not run.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal("STOP")
    }

    /// Lets pcscd go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        match self.process().as_mut().and_then(|process| process.stdin.as_mut()) {
            Some(watch) => writeln!(watch, "{name}"),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Starts pcscd anew, after [`PrivatePcscd::kill`] or without: same socket, same readers, same ports.
    ///
    /// # Errors
    /// If it does not start; its own log is in the message.
    pub fn restart(&self) -> io::Result<()> {
        self.restart_with(self.readers.len())
    }

    /// The same with the first so many of its readers, as if the others were unplugged.
    ///
    /// # Errors
    /// If it does not start; its own log is in the message.
    pub fn restart_with(&self, readers: usize) -> io::Result<()> {
        self.kill();
        let started = self.configure(readers).and_then(|()| self.spawn()).and_then(|()| self.ready(readers));
        started
            .inspect_err(|_| self.kill())
            .map_err(|error| io::Error::new(error.kind(), format!("pcscd did not start: {error}\n{}", self.log())))
    }

    fn spawn(&self) -> io::Result<()> {
        let socket = self.socket();
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
        let log = File::options().create(true).append(true).open(self.log_path())?;

        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]);
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all(SYSTEM_FOLDER)?;
            // As root it would take the system's pid file for its own.
            command.args(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        }
        command
            .args(["sh", "-c", RUN, PROGRAM])
            .arg(self.folder.join("conf"))
            .env("LISTEN_FDS", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(listener), child_fd: 3 }])
            .map_err(io::Error::other)?;
        *self.process() = Some(command.spawn()?);
        Ok(())
    }

    /// Waits until pcscd answers, and checks that it has our readers.
    fn ready(&self, readers: usize) -> io::Result<()> {
        let names = protocol::reader_names(&self.socket())?;
        match self.readers.iter().take(readers).find(|reader| !names.contains(&reader.name)) {
            Some(missing) => Err(io::Error::new(io::ErrorKind::NotFound, format!("no {}: {names:?}", missing.name))),
            None => Ok(()),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn friendly_name(index: usize) -> String {
    format!("SIM-PCD-{index}")
}

impl Drop for PrivatePcscd {
    fn drop(&mut self) {
        self.kill();
        // What can't be removed stays in the system's folder for temporary files, which is what that is for.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
