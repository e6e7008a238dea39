//! Cards for the fuzz targets, and a terminal's end of the secure channel to them.

use std::sync::{Arc, LazyLock};

use aes_kw::{KekAes128, KekAes192, KekAes256};
use apdu::{CommandApdu, ResponseApdu, StatusWord};
use jiff::Timestamp;
use jiff::civil::date;
use jpki::CertificateKind;
use jpki::card::{AID_JPKI, ins};
use madoguchi_time::VirtualClock;
use rsa::pkcs8::EncodePrivateKey;
use secure_channel::kdf::session_keys;
use secure_channel::{ChannelError, Handshake, SecureChannel};
use sha2::{Digest, Sha256};
use sim_card::nvm::{MemoryNvm, Nvm, PAGES};
use sim_card::{Card, CardProfile, KeyAlgorithm, Personalisation, PooledKeys, PrivateKey, StaticKeySet};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{BitString, Null, ObjectIdentifier, UtcTime};
use x509_cert::der::{Any, Decode, Encode};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

/// Version of the cards' static keys.
const KEY_VERSION: u8 = 0x30;
/// The transaction of the certificates that are on the cards.
const TRANSACTION: [u8; 16] = *b"transaction 0001";

/// A kind of card, with both certificates on it.
pub struct Model {
    profile: CardProfile,
    /// Keys that the card "generates", in this order.
    keys: Vec<PrivateKey>,
    memory: MemoryNvm,
}

/// Made once in a process; always the same.
static MODELS: LazyLock<Vec<Model>> =
    LazyLock::new(|| PROFILES.iter().enumerate().map(|(seed, profile)| Model::new(profile(), seed)).collect());

/// The kinds of cards.
const PROFILES: &[fn() -> CardProfile] = &[
    CardProfile::jpki_2016,
    CardProfile::jpki_next,
    CardProfile::jpki_2016_single_slot,
    || CardProfile::jpki_2016().importing("jpki-2016-imported"),
    || CardProfile { pending_slot: false, ..CardProfile::jpki_next().importing("jpki-next-single-slot-imported") },
];

impl Model {
    /// One of them.
    #[must_use]
    pub fn number(number: u8) -> &'static Self {
        &MODELS[usize::from(number) % MODELS.len()]
    }

    fn new(profile: CardProfile, seed: usize) -> Self {
        let mut keys = Vec::new();
        let mut source = PooledKeys::generate(profile.algorithm, 3, seed as u64);
        let mut unused = rand_core::OsRng;
        for _ in 0..3 {
            keys.push(sim_card::KeySource::key_pair(&mut source, profile.algorithm, &mut unused));
        }
        let nvm = personalisation(&profile).into_memory().expect("every field is as it should be");
        let card = Card::power_on(nvm, clock(), PooledKeys::new(keys.clone())).expect("a card");
        let mut model = Self { profile, keys, memory: MemoryNvm::new() };
        model.memory = copy(&*model.issued(card).into_nvm());
        model
    }

    /// A card of this kind.
    #[must_use]
    pub fn card(&self) -> Card {
        let keys = PooledKeys::new(self.keys.clone());
        Card::power_on(self.memory.clone(), clock(), keys).expect("a card")
    }

    /// The algorithm of its keys.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.profile.algorithm
    }

    /// One of the keys that the card generates.
    #[must_use]
    pub fn key(&self, number: u8) -> &PrivateKey {
        &self.keys[usize::from(number) % self.keys.len()]
    }

    /// SubjectPublicKeyInfo of that key, DER.
    #[must_use]
    pub fn spki(&self, number: u8) -> Vec<u8> {
        self.key(number).spki().expect("a public key")
    }

    /// The instruction that brings a key pair into a slot of this card.
    #[must_use]
    pub fn key_instruction(&self) -> u8 {
        if self.profile.makes_keys { ins::GENERATE_KEY_PAIR } else { ins::IMPORT_KEY_PAIR }
    }

    /// That key as IMPORT has it behind the transaction ID: its name, and the private key wrapped for this card.
    #[must_use]
    pub fn wrapped(&self, number: u8) -> Vec<u8> {
        let pkcs8 = match self.key(number) {
            PrivateKey::Rsa(key) => key.to_pkcs8_der(),
            PrivateKey::P384(key) => key.to_pkcs8_der(),
        };
        let plain = pkcs8.expect("a private key");
        let import = static_keys(&self.profile).import.clone().expect("every card of this crate has one");
        let wrapped = match import.len() {
            16 => KekAes128::try_from(import.as_slice()).and_then(|kek| kek.wrap_with_padding_vec(plain.as_bytes())),
            24 => KekAes192::try_from(import.as_slice()).and_then(|kek| kek.wrap_with_padding_vec(plain.as_bytes())),
            _ => KekAes256::try_from(import.as_slice()).and_then(|kek| kek.wrap_with_padding_vec(plain.as_bytes())),
        };
        [sha256(&self.spki(number)), wrapped.expect("a key of AES")].concat()
    }

    /// Opens a channel in 公的個人認証AP.
    ///
    /// # Errors
    /// What the card refuses, and what it can't prove.
    pub fn open(&self, card: &mut Card, level: u8) -> Result<SecureChannel, ChannelError> {
        send(card, &select(&AID_JPKI));
        let keys = static_keys(&self.profile);
        let challenge: Vec<u8> = (0x10..).take(self.profile.scp03_mode.length()).collect();
        let (handshake, command) = Handshake::begin(KEY_VERSION, challenge);
        let negotiated = handshake.answered(&send(card, &command))?;
        let derivation = negotiated.derivation(self.profile.scp03_key_length);
        let session = session_keys(&keys.enc, &keys.mac, &derivation.host_challenge, &derivation.card_challenge)
            .expect("keys of the right length");
        let (authenticating, command) = negotiated.authenticate(session, level)?;
        authenticating.opened(&send(card, &command))
    }

    /// The card with PINs, keys and certificates of both kinds.
    fn issued(&self, mut card: Card) -> Card {
        let mut channel = self.open(&mut card, 0x33).expect("a new card opens a channel");
        let mut issue = |ins: u8, p1: u8, p2: u8, data: &[u8]| {
            let command = CommandApdu::new(0x80, ins, p1, p2).with_data(data).with_le(256);
            let answer = exchange(&mut card, &channel.wrap(&command).expect("a command"), Way::InOnePiece);
            let answer = channel.unwrap(&answer).expect("an authentic answer");
            assert_eq!(answer.status, StatusWord::OK, "{command}");
        };
        for (number, kind) in [(0, CertificateKind::Authentication), (1, CertificateKind::Signature)] {
            issue(ins::SET_INITIAL_PIN, kind.p1(), 0, pin(kind));
            let wrapped = if self.profile.makes_keys { Vec::new() } else { self.wrapped(number) };
            let data = [&TRANSACTION[..], &wrapped].concat();
            issue(self.key_instruction(), kind.p1(), self.profile.algorithm.code(), &data);
            let certificate = certificate(&self.spki(number), number);
            issue(ins::WRITE_PENDING_CERTIFICATE, kind.p1(), 0, &named(&self.spki(number), &certificate));
            issue(ins::COMMIT, kind.p1(), 0, &sha256(&certificate));
        }
        card
    }
}

/// The PIN on the cards.
#[must_use]
pub const fn pin(kind: CertificateKind) -> &'static [u8] {
    match kind {
        CertificateKind::Signature => b"ABC123",
        CertificateKind::Authentication => b"1234",
    }
}

/// SELECT by application identifier.
#[must_use]
pub fn select(aid: &[u8]) -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(aid)
}

/// Sends a command in its shortest form and returns the answer, which must be one.
pub fn send(card: &mut Card, command: &CommandApdu) -> ResponseApdu {
    let bytes = command.to_bytes(command.encoding()).expect("it was made to fit");
    transmit(card, &bytes).expect("a card with power")
}

/// How a command travels.
#[derive(arbitrary::Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In its shortest form.
    InOnePiece,
    /// As a chain of short commands.
    Chained,
}

/// Sends a command and puts the answer together. A part that is refused ends a chain.
pub fn exchange(card: &mut Card, command: &CommandApdu, way: Way) -> ResponseApdu {
    let parts = match way {
        Way::InOnePiece => vec![command.clone()],
        Way::Chained => command.chain(255),
    };
    let mut answer = ResponseApdu::from(StatusWord::OK);
    for part in parts {
        answer = send(card, &part);
        if part.is_chained() && !answer.status.is_ok() {
            return answer;
        }
    }
    let mut data = answer.data.to_vec();
    while let Some(more) = answer.status.more_data() {
        answer = send(card, &CommandApdu::new(0x00, 0xC0, 0x00, 0x00).with_le(more.into()));
        data.extend_from_slice(&answer.data);
    }
    ResponseApdu::new(data, answer.status)
}

/// Sends any bytes. Whatever they are, a card with power answers with a status word, and with no more than was asked for.
/// `None` from a card without power.
pub fn transmit(card: &mut Card, bytes: &[u8]) -> Option<ResponseApdu> {
    let had_power = card.has_power();
    let answer = card.transmit(bytes);
    assert_eq!(card.has_power(), had_power, "a command takes nobody's power");
    if !had_power {
        assert!(answer.is_empty());
        return None;
    }
    // What fits into a message of two bytes of length.
    assert!(answer.len() <= 0xFFFF);
    let answer = ResponseApdu::parse(&answer).expect("a status word");
    // ISO/IEC 7816-4 §5.1.3: 60, and what does not begin with 6 or 9, are none.
    let sw1 = answer.status.0 >> 8;
    assert!((0x61..=0x6F).contains(&sw1) || (0x90..=0x9F).contains(&sw1), "{answer}");
    match CommandApdu::parse(bytes) {
        Ok(command) => {
            if let Some(le) = command.le() {
                assert!(answer.data.len() <= le as usize, "{command}: {answer}");
            }
        }
        Err(_) => assert_eq!(answer, ResponseApdu::from(StatusWord(0x6700))),
    }
    let has_data = answer.status.is_ok() || answer.status.is_warning() || answer.status.more_data().is_some();
    assert!(has_data || answer.data.is_empty(), "{answer}");
    Some(answer)
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// The data of WRITE PENDING CERTIFICATE.
#[must_use]
pub fn named(spki: &[u8], certificate: &[u8]) -> Vec<u8> {
    [&sha256(spki), &sha256(certificate), certificate].concat()
}

/// A certificate over a key. Nobody has signed it: a card does not look.
#[must_use]
pub fn certificate(spki: &[u8], serial: u8) -> Vec<u8> {
    let algorithm = AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
        parameters: Some(Any::from(Null)),
    };
    let time =
        Time::UtcTime(UtcTime::from_unix_duration(std::time::Duration::from_secs(1_000_000_000)).expect("a time"));
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[serial]).expect("short"),
        signature: algorithm.clone(),
        issuer: Default::default(),
        validity: Validity { not_before: time, not_after: time },
        subject: Default::default(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(spki).expect("a public key"),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: None,
    };
    let signature = BitString::from_bytes(&[0x55; 256]).expect("short");
    Certificate { tbs_certificate, signature_algorithm: algorithm, signature }.to_der().expect("short")
}

fn clock() -> Arc<VirtualClock> {
    VirtualClock::at(Timestamp::UNIX_EPOCH)
}

fn static_keys(profile: &CardProfile) -> StaticKeySet {
    let key = |first: u8| Zeroizing::new((first..).take(profile.scp03_key_length).collect());
    StaticKeySet { enc: key(0x40), mac: key(0x80), dek: key(0xC0), import: Some(key(0x10)) }
}

fn personalisation(profile: &CardProfile) -> Personalisation {
    Personalisation {
        serial: "SIM000000000001".into(),
        municipality: "13221".into(),
        expiry: date(2035, 2, 17),
        profile: profile.clone(),
        key_version: KEY_VERSION,
        diversification: [0; 10],
        keys: static_keys(profile),
        sign_ca: vec![0x5C; 300],
        auth_ca: vec![0xAC; 300],
        name: "黒桐　幹也".into(),
        address: "東京都清瀬市観布子南１２－７－２０２".into(),
        birth: date(1980, 2, 17),
        sex: jpki::Sex::Male,
        my_number: "123456789018".into(),
        check_number_b: "55021720352285".into(),
        face_input_pin: "4321".into(),
        juki_pin: "8765".into(),
        face: true,
        rng_seed: [7; 32],
    }
}

fn copy(nvm: &dyn Nvm) -> MemoryNvm {
    let mut memory = MemoryNvm::new();
    for number in 0..PAGES {
        let mut page = [0; sim_card::nvm::PAGE];
        nvm.read(number, &mut page).expect("a page");
        memory.write(number, &page).expect("a page");
    }
    memory
}
