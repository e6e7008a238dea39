//! The issuing commands: `docs/protocols/card-issuing.md`. All at the full security level, each one transaction.

use jpki::CertificateKind;
use jpki::card::{MAX_CERTIFICATE, TRANSACTION_ID_LENGTH, ins, kind, tag};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::aes_key::AesKey;
use crate::apdu::Command;
use crate::application::Content;
use crate::key_wrap;
use crate::keys::PrivateKey;
use crate::pin::{PinId, Verified};
use crate::profile::key_generation_share;
use crate::resident::{compare, signature};
use crate::scp03::Channel;
use crate::state::{Answer, Chip, Failure, Session, done, object, reference, uniform};
use crate::static_keys::KeyTable;
use crate::store::Change;
use crate::sw::Sw;
use crate::tlv;

/// Length of the names that slots' contents have.
const NAME: usize = 32;

/// Is this an instruction of this page that no resident's command has?
pub(crate) fn is_issuing_only(instruction: u8) -> bool {
    matches!(
        instruction,
        ins::GET_SLOT_STATUS
            | ins::SET_INITIAL_PIN
            | ins::GENERATE_KEY_PAIR
            | ins::IMPORT_KEY_PAIR
            | ins::GET_PENDING_PUBLIC_KEY
            | ins::SIGN_WITH_PENDING_KEY
            | ins::WRITE_PENDING_CERTIFICATE
            | ins::GET_PENDING_CERTIFICATE
            | ins::COMMIT
            | ins::UNBLOCK_PIN
    )
}

/// Performs a command that came through the channel at the full level; `verified` are the PINs verified in it.
pub(crate) fn perform(
    chip: &mut Chip,
    session: &mut Session,
    channel: &Channel,
    verified: &mut Verified,
    command: &Command,
) -> Answer {
    if command.ins == ins::VERIFY {
        return verify(chip, session, verified, command);
    }
    let has_algorithm = matches!(command.ins, ins::GENERATE_KEY_PAIR | ins::IMPORT_KEY_PAIR);
    if !is_issuing_only(command.ins) && command.ins != ins::DISCARD {
        return Err(Sw::INS.into());
    }
    let kind = match command.p1 {
        kind::SIGNATURE => CertificateKind::Signature,
        kind::AUTHENTICATION => CertificateKind::Authentication,
        _ => return Err(Sw::P1_P2.into()),
    };
    if !has_algorithm && command.p2 != 0 {
        return Err(Sw::P1_P2.into());
    }
    let mut slot = Slot { chip, kind };
    let data = &*command.data;
    match command.ins {
        ins::GET_SLOT_STATUS => no_data(data).and_then(|()| slot.status()),
        ins::SET_INITIAL_PIN => slot.set_initial_pin(data, verified),
        ins::GENERATE_KEY_PAIR => slot.generate(command.p2, data),
        ins::IMPORT_KEY_PAIR => slot.import(command.p2, data, channel.key_version),
        ins::GET_PENDING_PUBLIC_KEY => no_data(data).and_then(|()| Ok(Zeroizing::new(slot.pending_spki()?))),
        ins::SIGN_WITH_PENDING_KEY => slot.sign(data, *verified),
        ins::WRITE_PENDING_CERTIFICATE => slot.write_certificate(data),
        ins::GET_PENDING_CERTIFICATE => no_data(data).and_then(|()| slot.certificate()),
        ins::COMMIT => slot.commit(data),
        ins::DISCARD => slot.discard(data),
        _ => slot.unblock_pin(data, verified),
    }
}

/// VERIFY inside the channel.
fn verify(chip: &mut Chip, session: &mut Session, verified: &mut Verified, command: &Command) -> Answer {
    let short = reference(command.p2).ok().flatten().filter(|_| command.p1 == 0).ok_or(Sw::P1_P2)?;
    let Some(Content::Pin(pin)) = session.application.file(u16::from(short)).map(|file| file.content) else {
        return Err(Sw::NOT_FOUND.into());
    };
    compare(chip, verified, pin, &command.data)
}

fn no_data(data: &[u8]) -> Result<(), Failure> {
    if data.is_empty() { Ok(()) } else { Err(Sw::WRONG_LENGTH.into()) }
}

fn name(data: &[u8]) -> Result<[u8; NAME], Failure> {
    data.try_into().map_err(|_| Sw::WRONG_LENGTH.into())
}

fn sha256(bytes: &[u8]) -> [u8; NAME] {
    Sha256::digest(bytes).into()
}

/// Both slots and the PIN of one kind; on a card without a pending slot, the one slot, whose key is kept as a pending one until its
/// certificate comes.
struct Slot<'a> {
    chip: &'a mut Chip,
    kind: CertificateKind,
}

impl Slot<'_> {
    fn pin(&self) -> PinId {
        PinId::of(self.kind)
    }

    fn overwrites(&self) -> bool {
        !self.chip.profile.pending_slot
    }

    /// §4.
    fn status(&self) -> Answer {
        let store = &self.chip.store;
        let active = store.get(object::active_certificate(self.kind))?;
        let transaction = store.get(object::pending_transaction(self.kind))?;
        let certificate = store.get(object::pending_certificate(self.kind))?;
        let mut body = Vec::new();
        let mut put = |tag: u8, value: &[u8]| tlv::push(&mut body, u16::from(tag), value);
        put(tag::ACTIVE, &[u8::from(active.is_some())]);
        if let Some(active) = active {
            put(tag::ACTIVE_CERTIFICATE, &sha256(&active));
        }
        put(tag::PENDING, &[u8::from(transaction.is_some()) + u8::from(certificate.is_some())]);
        if let Some(transaction) = transaction {
            put(tag::PENDING_TRANSACTION, &transaction);
            put(tag::PENDING_KEY, &sha256(&self.pending_spki()?));
        }
        if let Some(certificate) = certificate {
            put(tag::PENDING_CERTIFICATE, &sha256(&certificate));
        }
        put(tag::PIN_SET, &[u8::from(self.pin().is_set(store))]);
        put(tag::TRIES_LEFT, &[self.pin().tries_left(store)?]);
        put(tag::ALGORITHM, &[self.chip.profile.algorithm.code()]);
        put(tag::HAS_PENDING_SLOT, &[u8::from(!self.overwrites())]);
        if let Some(overwritten) = store.get(object::overwritten(self.kind))? {
            put(tag::OVERWRITTEN_CERTIFICATE, &overwritten);
        }
        put(tag::MAKES_KEYS, &[u8::from(self.chip.profile.makes_keys)]);
        let mut template = Zeroizing::new(Vec::new());
        tlv::push(&mut template, u16::from(tag::STATUS), &body);
        Ok(template)
    }

    fn set_initial_pin(&mut self, pin: &[u8], verified: &mut Verified) -> Answer {
        if self.chip.store.has(object::active_certificate(self.kind)) {
            return Err(Sw::CONDITIONS.into());
        }
        self.set_pin(pin, verified)
    }

    fn unblock_pin(&mut self, pin: &[u8], verified: &mut Verified) -> Answer {
        if !self.pin().is_set(&self.chip.store) {
            return Err(Sw::CONDITIONS.into());
        }
        self.set_pin(pin, verified)
    }

    fn set_pin(&mut self, pin: &[u8], verified: &mut Verified) -> Answer {
        if !self.pin().accepts(pin) {
            return Err(Sw::BAD_DATA.into());
        }
        verified.set(self.pin(), false);
        self.chip.store.transact(self.pin().setting(pin).into())?;
        done()
    }

    fn generate(&mut self, algorithm: u8, data: &[u8]) -> Answer {
        if !self.chip.profile.makes_keys {
            return Err(Sw::NOT_SUPPORTED.into());
        }
        self.ready_for_key(algorithm)?;
        let (transaction, rest) = self.transaction(data)?;
        no_data(rest)?;
        let (mut rng, counted) = self.chip.generation_rng()?;
        let timing = self.chip.profile.timing;
        let time = timing.key_generation_mean.mul_f64(key_generation_share(uniform(&mut rng)));
        let key = self.chip.keys.key_pair(self.chip.profile.algorithm, &mut rng);
        self.chip.clock.elapse(time);
        self.store_key(&key, transaction, Some(counted))
    }

    /// `key_version` is that of the channel: its key-import key opens what comes.
    fn import(&mut self, algorithm: u8, data: &[u8], key_version: u8) -> Answer {
        if self.chip.profile.makes_keys {
            return Err(Sw::NOT_SUPPORTED.into());
        }
        self.ready_for_key(algorithm)?;
        let (transaction, rest) = self.transaction(data)?;
        let (public_name, wrapped) = rest.split_first_chunk::<NAME>().ok_or(Sw::WRONG_LENGTH)?;
        let table = KeyTable::load(self.chip)?.ok_or(Sw::CONDITIONS)?;
        let import = table.set(key_version).and_then(|set| AesKey::new(set.import())).ok_or(Sw::CONDITIONS)?;
        let unwrapped = key_wrap::unwrap(&import, wrapped).ok_or(Sw::KEY_CHECK)?;
        let key = PrivateKey::from_pkcs8(self.chip.profile.algorithm, &unwrapped).ok_or(Sw::BAD_DATA)?;
        if sha256(&key.spki().map_err(|_| Sw::UNKNOWN)?) != *public_name {
            return Err(Sw::BAD_DATA.into());
        }
        self.store_key(&key, transaction, None)
    }

    /// Splits off the transaction ID, and what is to be overwritten, which must be named as it is.
    fn transaction<'d>(&self, data: &'d [u8]) -> Result<([u8; TRANSACTION_ID_LENGTH], &'d [u8]), Failure> {
        let (transaction, rest) = data.split_first_chunk::<TRANSACTION_ID_LENGTH>().ok_or(Sw::WRONG_LENGTH)?;
        let Some(content) = self.content().filter(|_| self.overwrites()).transpose()? else {
            return Ok((*transaction, rest));
        };
        let (named, rest) = rest.split_first_chunk::<NAME>().ok_or(Sw::WRONG_LENGTH)?;
        if *named != content {
            return Err(Sw::NOT_FOUND.into());
        }
        Ok((*transaction, rest))
    }

    /// May a new key come into the pending slot, or over what is in the only one?
    fn ready_for_key(&self, algorithm: u8) -> Result<(), Sw> {
        if algorithm != self.chip.profile.algorithm.code() {
            return Err(Sw::NOT_SUPPORTED);
        }
        let occupied = self.chip.store.has(object::pending_key(self.kind)) && !self.overwrites();
        if occupied || !self.pin().is_set(&self.chip.store) {
            return Err(Sw::CONDITIONS);
        }
        Ok(())
    }

    fn store_key(
        &mut self,
        key: &PrivateKey,
        transaction: [u8; TRANSACTION_ID_LENGTH],
        counted: Option<Change>,
    ) -> Answer {
        let spki = key.spki().map_err(|_| Sw::UNKNOWN)?;
        let stored = key.to_stored().ok_or(Sw::UNKNOWN)?;
        let mut changes = vec![
            Change::Put(object::pending_key(self.kind), stored),
            Change::put(object::pending_transaction(self.kind), transaction),
        ];
        changes.extend(counted);
        if self.overwrites()
            && let Some(overwritten) = self.chip.store.get(object::active_certificate(self.kind))?
        {
            // A key that overwrites a key without a certificate takes over what that one has overwritten.
            if !self.chip.mistakes.forget_overwritten {
                changes.push(Change::put(object::overwritten(self.kind), sha256(&overwritten)));
            }
            changes.push(Change::Delete(object::active_key(self.kind)));
            changes.push(Change::Delete(object::active_certificate(self.kind)));
        }
        self.chip.store.transact(changes)?;
        Ok(Zeroizing::new(sha256(&spki).to_vec()))
    }

    fn pending_key(&self) -> Result<PrivateKey, Failure> {
        let only = match self.chip.key(object::pending_key(self.kind))? {
            None if self.overwrites() => self.chip.key(object::active_key(self.kind))?,
            pending => pending,
        };
        Ok(only.ok_or(Sw::NOT_FOUND)?)
    }

    /// The certificate in the slot that this page's commands work on.
    fn written_certificate(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let id = if self.overwrites() { object::active_certificate } else { object::pending_certificate };
        Ok(self.chip.store.get(id(self.kind))?)
    }

    /// The name of what is in that slot.
    fn content(&self) -> Option<Result<[u8; NAME], Failure>> {
        match self.written_certificate() {
            Ok(Some(certificate)) => Some(Ok(sha256(&certificate))),
            Ok(None) if !self.chip.store.has(object::pending_key(self.kind)) => None,
            Ok(None) => Some(self.pending_spki().map(|spki| sha256(&spki))),
            Err(failure) => Some(Err(failure)),
        }
    }

    fn pending_spki(&self) -> Result<Vec<u8>, Failure> {
        Ok(self.pending_key()?.spki().map_err(|_| Sw::UNKNOWN)?)
    }

    fn sign(&self, input: &[u8], verified: Verified) -> Answer {
        if !verified.has(self.pin()) {
            return Err(Sw::SECURITY_STATUS.into());
        }
        signature(self.chip, &self.pending_key()?, input)
    }

    fn write_certificate(&mut self, data: &[u8]) -> Answer {
        let (key_name, rest) = data.split_first_chunk::<NAME>().ok_or(Sw::WRONG_LENGTH)?;
        let (certificate_name, certificate) = rest.split_first_chunk::<NAME>().ok_or(Sw::WRONG_LENGTH)?;
        let spki = self.pending_spki()?;
        if sha256(&spki) != *key_name {
            return Err(Sw::NOT_FOUND.into());
        }
        if certificate.len() > MAX_CERTIFICATE {
            return Err(Sw::NO_MEMORY.into());
        }
        if sha256(certificate) != *certificate_name
            || certified_key(certificate).is_none_or(|certified| certified != spki)
        {
            return Err(Sw::BAD_DATA.into());
        }
        match self.written_certificate()? {
            Some(written) if *written == certificate => return done(),
            Some(_) => return Err(Sw::CONDITIONS.into()),
            None => {}
        }
        let written = Change::put(object::pending_certificate(self.kind), certificate);
        let mut changes = vec![written];
        if self.overwrites() {
            // There is no other slot to wait in: the holder has it at once.
            changes.extend(activation(self.kind));
            changes.push(Change::Delete(object::overwritten(self.kind)));
        }
        self.chip.store.transact(changes)?;
        done()
    }

    fn certificate(&self) -> Answer {
        Ok(self.written_certificate()?.ok_or(Sw::NOT_FOUND)?)
    }

    fn commit(&mut self, data: &[u8]) -> Answer {
        let name = name(data)?;
        let pending = self.chip.store.get(object::pending_certificate(self.kind))?;
        if pending.is_some_and(|certificate| sha256(&certificate) == name || self.chip.mistakes.unnamed_commit) {
            let mut changes = activation(self.kind);
            if self.chip.mistakes.commit_both_kinds {
                let complete = |kind: &CertificateKind| self.chip.store.has(object::pending_certificate(*kind));
                changes = CertificateKind::BOTH.into_iter().filter(complete).flat_map(activation).collect();
            }
            self.chip.store.transact(changes)?;
            return done();
        }
        let active = self.chip.store.get(object::active_certificate(self.kind))?;
        if active.is_some_and(|certificate| sha256(&certificate) == name) { done() } else { Err(Sw::NOT_FOUND.into()) }
    }

    fn discard(&mut self, data: &[u8]) -> Answer {
        let name = name(data)?;
        let content = self.content().ok_or(Sw::NOT_FOUND)??;
        if content != name && !self.chip.mistakes.unnamed_commit {
            return Err(Sw::NOT_FOUND.into());
        }
        let mut objects = vec![
            object::pending_key(self.kind),
            object::pending_certificate(self.kind),
            object::pending_transaction(self.kind),
        ];
        if self.overwrites() {
            objects.extend([
                object::active_key(self.kind),
                object::active_certificate(self.kind),
                object::overwritten(self.kind),
            ]);
        }
        self.chip.store.transact(objects.into_iter().map(Change::Delete).collect())?;
        done()
    }
}

/// What makes a complete pending slot the active one.
fn activation(kind: CertificateKind) -> Vec<Change> {
    vec![
        Change::Move { from: object::pending_key(kind), to: object::active_key(kind) },
        Change::Move { from: object::pending_certificate(kind), to: object::active_certificate(kind) },
        Change::Delete(object::pending_transaction(kind)),
    ]
}

/// SubjectPublicKeyInfo of a certificate, as it stands there (RFC 5280 §4.1). A full decoder would leave copies of the
/// holder's name behind.
fn certified_key(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const VERSION: u8 = 0xA0;
    let (body, []) = tlv::take(certificate, SEQUENCE)? else { return None };
    let (mut rest, signature) = tlv::take(body, SEQUENCE)?;
    // Version, serial number, algorithm, issuer, validity, subject.
    for tag in [VERSION, INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        (_, rest) = tlv::take(rest, tag)?;
    }
    let (_, after) = tlv::take(rest, SEQUENCE)?;
    let (_, value) = tlv::take(signature, SEQUENCE)?;
    let (_, []) = tlv::take(value, BIT_STRING)? else { return None };
    Some(&rest[..rest.len() - after.len()])
}
