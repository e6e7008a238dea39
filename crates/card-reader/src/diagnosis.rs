//! What keeps card readers from working, found out by looking at the system: for those who have to mend it.
//!
//! An adapter looks, and hands over [`Finding`]s; programs show them in the person's language. A finding is data, never a
//! text, and each has a stable [`name`](Finding::name) for machines.

use crate::CardIdentity;

/// One thing that was found. An adapter names what is wrong with the system first, then each reader that it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The system's service for card readers (`pcscd`) can't be reached.
    NoService {
        /// Is its program there? If so, it only has to be started.
        installed: bool,
    },
    /// The service runs and does not let this user in.
    NotAuthorized(Denial),
    /// The service runs and sees no reader at all.
    NoReader,
    /// A reader.
    Reader {
        /// Its name, as the service gives it. Of a reader that the service does not see: what the device says of itself.
        name: String,
        /// How it is.
        state: ReaderState,
    },
}

/// Who refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// polkit's rules for `org.debian.pcsc-lite.access_pcsc` or `access_card`: only who sits at the machine's own screen is let in.
    Polkit,
    /// The permissions of the service's socket.
    Socket {
        /// Where it is.
        path: String,
        /// The group whose members may use it, if there is one.
        group: Option<String>,
    },
}

/// How a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderState {
    /// Ready, without a card.
    Empty,
    /// Ready, with a card that has 公的個人認証AP.
    Card(CardIdentity),
    /// With a card of another kind: a bank's, a driver's, a transport card.
    UnknownCard(CardIdentity),
    /// With a card that says nothing.
    Mute,
    /// Another program has it to itself.
    Held(Holder),
    /// A command that never came back blocks it.
    Stuck,
    /// The service sees it and can't use it: a driver at fault, or a failed device.
    Failed,
}

/// Who has a reader to himself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// By what means.
    pub kind: HolderKind,
    /// The program's name, if it could be found out.
    pub program: Option<String>,
    /// Its process, if it could be found out.
    pub pid: Option<u32>,
}

/// By what means a reader is held. Each has another mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HolderKind {
    /// Another client of the service opened the card exclusively, or is in the middle of a transaction: a browser's PKCS#11 module,
    /// an e-tax client, another terminal program.
    Client,
    /// GnuPG's `scdaemon`, which keeps a card open for as long as it runs.
    GnuPg,
    /// A program drives the USB device itself, past the service, which therefore does not see the reader: `scdaemon` with its own CCID
    /// driver, a virtual machine's pass-through, a second service.
    Usb,
    /// A kernel driver has the device: `pn533` and `port100` take some contactless readers.
    Kernel,
    /// It could not be found out.
    Unknown,
}

impl Finding {
    /// A stable name, for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoService { installed: false } => "service-not-installed",
            Self::NoService { installed: true } => "service-not-running",
            Self::NotAuthorized(Denial::Polkit) => "refused-by-polkit",
            Self::NotAuthorized(Denial::Socket { .. }) => "socket-not-permitted",
            Self::NoReader => "no-reader",
            Self::Reader { state, .. } => state.name(),
        }
    }

    /// Can this, as it is, be worked with? An empty reader can.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        matches!(self, Self::Reader { state: ReaderState::Empty | ReaderState::Card(_), .. })
    }
}

impl ReaderState {
    /// A stable name, for machines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Card(_) => "card",
            Self::UnknownCard(_) => "unknown-card",
            Self::Mute => "mute",
            Self::Held(holder) => match holder.kind {
                HolderKind::Client => "held-by-client",
                HolderKind::GnuPg => "held-by-gnupg",
                HolderKind::Usb => "held-over-usb",
                HolderKind::Kernel => "held-by-kernel",
                HolderKind::Unknown => "held",
            },
            Self::Stuck => "stuck",
            Self::Failed => "failed",
        }
    }
}
