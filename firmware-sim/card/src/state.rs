//! What a card knows while it has power, what it keeps without, and how commands answer.

use jpki::CertificateKind;
use madoguchi_time::SharedClock;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::application::{APPLICATIONS, Access, Application, Content, File, Source};
use crate::keys::{KeySource, PrivateKey};
use crate::mistake::Mistakes;
use crate::nvm::NvmError;
use crate::pin::{PinId, Verified};
use crate::profile::CardProfile;
use crate::scp03::{Channel, Handshake};
use crate::session_key::Messaging;
use crate::store::{Change, ObjectId, Store};
use crate::sw::Sw;

/// Objects that are no EFs.
pub(crate) mod object {
    use super::{CertificateKind, ObjectId};

    pub(crate) const PROFILE: ObjectId = ObjectId(0x0001);
    /// The table of static keys.
    pub(crate) const STATIC_KEYS: ObjectId = ObjectId(0x0002);
    /// The last used sequence counter of the static keys, 3 bytes.
    pub(crate) const SEQUENCE: ObjectId = ObjectId(0x0003);
    pub(crate) const RNG_SEED: ObjectId = ObjectId(0x0004);
    /// Key generations so far, 8 bytes.
    pub(crate) const GENERATIONS: ObjectId = ObjectId(0x0005);

    pub(crate) const fn active_key(kind: CertificateKind) -> ObjectId {
        slot(0x10, kind)
    }

    pub(crate) const fn active_certificate(kind: CertificateKind) -> ObjectId {
        slot(0x12, kind)
    }

    pub(crate) const fn pending_key(kind: CertificateKind) -> ObjectId {
        slot(0x14, kind)
    }

    pub(crate) const fn pending_certificate(kind: CertificateKind) -> ObjectId {
        slot(0x16, kind)
    }

    pub(crate) const fn pending_transaction(kind: CertificateKind) -> ObjectId {
        slot(0x18, kind)
    }

    /// SHA-256 of the certificate that was overwritten, on a card without a pending slot.
    pub(crate) const fn overwritten(kind: CertificateKind) -> ObjectId {
        slot(0x1A, kind)
    }

    /// A data object that STORE DATA has put there.
    pub(crate) const fn stored_data(place: usize) -> ObjectId {
        ObjectId(0x0040 + place as u16)
    }

    const fn slot(base: u16, kind: CertificateKind) -> ObjectId {
        ObjectId(base + kind as u16)
    }
}

/// Why a command did not end with 9000.
pub(crate) enum Failure {
    /// The card says so.
    Status(Sw),
    /// The memory failed.
    Memory(NvmError),
}

impl From<Sw> for Failure {
    fn from(sw: Sw) -> Self {
        Self::Status(sw)
    }
}

impl From<NvmError> for Failure {
    fn from(error: NvmError) -> Self {
        Self::Memory(error)
    }
}

/// The data of an answer that ends with 9000, or why there is none.
pub(crate) type Answer = Result<Zeroizing<Vec<u8>>, Failure>;

/// An answer without data.
pub(crate) fn done() -> Answer {
    Ok(Zeroizing::default())
}

/// What a card is made of apart from its state of the moment.
pub(crate) struct Chip {
    pub(crate) store: Store,
    pub(crate) profile: CardProfile,
    pub(crate) clock: SharedClock,
    pub(crate) keys: Box<dyn KeySource>,
    pub(crate) mistakes: Mistakes,
}

impl Chip {
    /// An EF's bytes.
    pub(crate) fn content(&self, source: Source) -> Answer {
        Ok(match source {
            Source::Object(id) => self.store.get(id)?.unwrap_or_default(),
            Source::Constant(bytes) => Zeroizing::new(bytes.to_vec()),
            Source::Certificate(kind) => self.store.get(object::active_certificate(kind))?.unwrap_or_default(),
            Source::Availability => {
                let present = |kind| if self.store.has(object::active_certificate(kind)) { 0x8F } else { 0x00 };
                Zeroizing::new(vec![present(CertificateKind::Signature), present(CertificateKind::Authentication), 0])
            }
        })
    }

    /// The key in this object.
    pub(crate) fn key(&self, id: ObjectId) -> Result<Option<PrivateKey>, NvmError> {
        let Some(stored) = self.store.get(id)? else { return Ok(None) };
        PrivateKey::from_stored(&stored).map(Some).ok_or(NvmError::Damaged { object: id.0 })
    }

    /// A generator of random numbers for the next key generation, and the change that makes it count. A generation that is cut
    /// short gives the same key when it is repeated.
    pub(crate) fn generation_rng(&self) -> Result<(ChaCha20Rng, Change), NvmError> {
        let seed = self.store.get(object::RNG_SEED)?.unwrap_or_default();
        let count = self.store.get(object::GENERATIONS)?;
        let count = count.and_then(|bytes| bytes.as_slice().try_into().ok().map(u64::from_be_bytes)).unwrap_or(0);
        let input =
            Sha256::new().chain_update(b"key generation").chain_update(&*seed).chain_update(count.to_be_bytes());
        let rng = ChaCha20Rng::from_seed(input.finalize().into());
        Ok((rng, Change::put(object::GENERATIONS, (count + 1).to_be_bytes())))
    }
}

/// A number in 0..1.
pub(crate) fn uniform(rng: &mut dyn RngCore) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// What is gone after a reset.
pub(crate) struct Session {
    pub(crate) application: &'static Application,
    /// The file selected last.
    pub(crate) current: Option<&'static File>,
    /// PINs verified outside secure channels.
    pub(crate) verified: Verified,
    pub(crate) channel: ChannelState,
    /// The session key that was delivered to this application.
    pub(crate) messaging: Option<Messaging>,
}

/// The secure channel.
#[derive(Default)]
pub(crate) enum ChannelState {
    #[default]
    Closed,
    Started(Box<Handshake>),
    /// Open, with the PINs verified inside it.
    Open(Box<Channel>, Verified),
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            application: &APPLICATIONS[0],
            current: None,
            verified: Verified::default(),
            channel: ChannelState::Closed,
            messaging: None,
        }
    }

    pub(crate) fn select(&mut self, application: &'static Application) {
        *self = Self { application, ..Self::new() };
    }

    /// The file that P1 or P2 means: by its short identifier, or the current one.
    pub(crate) fn file(&mut self, short: Option<u8>) -> Result<&'static File, Sw> {
        if let Some(short) = short {
            self.current = Some(self.application.file(u16::from(short)).ok_or(Sw::FILE_NOT_FOUND)?);
        }
        self.current.ok_or(Sw::NO_CURRENT_EF)
    }

    /// The PIN that P2 of VERIFY or CHANGE means.
    pub(crate) fn pin(&mut self, p2: u8) -> Result<PinId, Sw> {
        match self.file(reference(p2)?)?.content {
            Content::Pin(pin) => Ok(pin),
            _ => Err(Sw::FILE_STRUCTURE),
        }
    }

    pub(crate) fn may_read(&self, access: Access) -> bool {
        match access {
            Access::Free => true,
            Access::AnyOf(pins) => pins.iter().any(|pin| self.verified.has(*pin)),
        }
    }
}

/// P2 of VERIFY, CHANGE and the signing command: `80` and a short identifier, 0 for the current file.
pub(crate) fn reference(p2: u8) -> Result<Option<u8>, Sw> {
    match p2 {
        0x80 => Ok(None),
        0x81..=0x9E => Ok(Some(p2 & 0x1F)),
        _ => Err(Sw::P1_P2),
    }
}
