//! A card on the bench, and a terminal that speaks to it through the host's own crates: two implementations meet.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use apdu::{CommandApdu, Encoding, ResponseApdu, StatusWord};
use der::asn1::{BitString, OctetString};
use der::{Decode, Encode};
use jiff::Timestamp;
use jiff::civil::date;
use jpki::card::{self, AID_JPKI, ins, tag};
use jpki::{CertificateKind, Sex};
use madoguchi_time::VirtualClock;
use secure_channel::kdf::session_keys;
use secure_channel::{Handshake, SecureChannel};
use sha2::{Digest, Sha256};
use sim_card::nvm::{MemoryNvm, Nvm, NvmError, PAGE, PAGES, Page};
use sim_card::{Card, CardProfile, KeyAlgorithm, Personalisation, PooledKeys, StaticKeySet};
use zeroize::Zeroizing;

pub(crate) const KEY_VERSION: u8 = 0x30;
pub(crate) const TRANSACTION: [u8; 16] = *b"transaction 0001";
pub(crate) const SIGN_PIN: &[u8] = b"ABC123";
pub(crate) const AUTH_PIN: &[u8] = b"1234";

/// Real keys, made once for all tests of a file.
pub(crate) static POOL: LazyLock<PooledKeys> = LazyLock::new(|| PooledKeys::generate(KeyAlgorithm::Rsa2048, 4, 1));

pub(crate) fn personalisation(profile: CardProfile) -> Personalisation {
    let key = |first: u8| Zeroizing::new((first..).take(profile.scp03_key_length).collect());
    Personalisation {
        serial: "SIM000000000001".into(),
        municipality: "13221".into(),
        expiry: date(2035, 2, 17),
        keys: StaticKeySet { enc: key(0x40), mac: key(0x80), dek: key(0xC0), import: Some(key(0x10)) },
        profile,
        key_version: KEY_VERSION,
        diversification: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        sign_ca: vec![0x5C; 1200],
        auth_ca: vec![0xAC; 300],
        name: "黒桐　幹也".into(),
        address: "東京都清瀬市観布子南１２－７－２０２".into(),
        birth: date(1980, 2, 17),
        sex: Sex::Male,
        my_number: "123456789018".into(),
        check_number_b: "55021720352285".into(),
        face_input_pin: "4321".into(),
        juki_pin: "5678".into(),
        face: false,
        rng_seed: [7; 32],
    }
}

/// A memory that a test can look into while the card uses it.
#[derive(Clone, Default)]
pub(crate) struct SharedMemory(Arc<Mutex<MemoryNvm>>);

impl SharedMemory {
    /// A memory of its own, with the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }

    pub(crate) fn holds(&self, needle: &[u8]) -> bool {
        let mut memory = Vec::new();
        for page in 0..PAGES {
            let mut buffer = [0; PAGE];
            self.read(page, &mut buffer).unwrap();
            memory.extend_from_slice(&buffer);
        }
        memory.windows(needle.len()).any(|window| window == needle)
    }
}

impl Nvm for SharedMemory {
    fn read(&self, page: usize, into: &mut Page) -> Result<(), NvmError> {
        self.0.lock().unwrap().read(page, into)
    }

    fn write(&mut self, page: usize, from: &Page) -> Result<(), NvmError> {
        self.0.lock().unwrap().write(page, from)
    }

    fn flush(&mut self) -> Result<(), NvmError> {
        Ok(())
    }
}

/// A terminal with a card in it.
pub(crate) struct Terminal {
    pub(crate) card: Card,
    pub(crate) memory: SharedMemory,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) channel: Option<SecureChannel>,
    /// Split long commands into chains, instead of sending them in one extended APDU.
    pub(crate) chains: bool,
}

impl Terminal {
    pub(crate) fn new(profile: CardProfile) -> Self {
        Self::with_keys(profile, POOL.clone())
    }

    pub(crate) fn with_keys(profile: CardProfile, keys: PooledKeys) -> Self {
        let memory = SharedMemory::default();
        personalisation(profile).write(memory.clone()).unwrap();
        Self::with_memory(memory, keys)
    }

    pub(crate) fn with_memory(memory: SharedMemory, keys: PooledKeys) -> Self {
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
        let card = Card::power_on(memory.clone(), clock.clone(), keys).unwrap();
        Self { card, memory, clock, channel: None, chains: false }
    }

    pub(crate) fn jpki_2016() -> Self {
        Self::new(CardProfile::jpki_2016())
    }

    /// Bytes in hex to the card, its whole answer in hex.
    pub(crate) fn hex(&mut self, command: &str) -> String {
        let command = hex::decode(command.replace(' ', "")).unwrap();
        hex::encode_upper(self.card.transmit(&command))
    }

    /// One command, chained and fetched as needed.
    pub(crate) fn send(&mut self, command: &CommandApdu) -> ResponseApdu {
        let parts = if self.chains { command.chain(255) } else { vec![command.clone()] };
        let (last, first) = parts.split_last().unwrap();
        for part in first {
            let answer = self.transmit(part);
            if answer.status != StatusWord::OK {
                return answer;
            }
        }
        let mut answer = self.transmit(last);
        let mut data = answer.data.to_vec();
        while let Some(more) = answer.status.more_data() {
            answer = self.transmit(&CommandApdu::new(0x00, 0xC0, 0x00, 0x00).with_le(u32::from(more)));
            data.extend_from_slice(&answer.data);
        }
        ResponseApdu::new(data, answer.status)
    }

    fn transmit(&mut self, command: &CommandApdu) -> ResponseApdu {
        let encoding = if self.chains { Encoding::Short } else { command.encoding() };
        let answer = self.card.transmit(&command.to_bytes(encoding).unwrap());
        // A card without power answers nothing; a real reader reports a removal then.
        if answer.is_empty() { ResponseApdu::new([], StatusWord(0)) } else { ResponseApdu::parse(&answer).unwrap() }
    }

    pub(crate) fn select(&mut self, aid: &[u8]) -> u16 {
        self.channel = None;
        self.send(&CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(aid)).status.0
    }

    pub(crate) fn select_ef(&mut self, fid: u16) -> u16 {
        self.send(&CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data(fid.to_be_bytes())).status.0
    }

    pub(crate) fn verify(&mut self, fid: u16, pin: &[u8]) -> u16 {
        assert_eq!(self.select_ef(fid), 0x9000);
        self.send(&CommandApdu::new(0x00, 0x20, 0x00, 0x80).with_data(pin)).status.0
    }

    pub(crate) fn read(&mut self, fid: u16) -> Result<Vec<u8>, u16> {
        let status = self.select_ef(fid);
        if status != 0x9000 {
            return Err(status);
        }
        let mut content = Vec::new();
        loop {
            let [hi, lo] = (content.len() as u16).to_be_bytes();
            let answer = self.send(&CommandApdu::new(0x00, 0xB0, hi, lo).with_le(256));
            match answer.status.0 {
                0x9000 => content.extend_from_slice(&answer.data),
                0x6B00 => return Ok(content),
                other => return Err(other),
            }
        }
    }

    /// Selects 公的個人認証AP and opens a channel.
    pub(crate) fn open(&mut self) {
        assert_eq!(self.select(&AID_JPKI), 0x9000);
        self.open_at(0x33).unwrap();
    }

    /// Opens a channel in the selected application.
    pub(crate) fn open_at(&mut self, level: u8) -> Result<(), u16> {
        let keys = personalisation(self.card.profile().clone()).keys.clone();
        self.open_with(KEY_VERSION, &keys, level)
    }

    /// The same with these static keys.
    pub(crate) fn open_with(&mut self, version: u8, keys: &StaticKeySet, level: u8) -> Result<(), u16> {
        let profile = self.card.profile().clone();
        let host_challenge: Vec<u8> = (0x10..).take(profile.scp03_mode.length()).collect();
        let (handshake, command) = Handshake::begin(version, host_challenge);
        let answer = self.send(&command);
        let negotiated = handshake.answered(&answer).map_err(|_| answer.status.0)?;
        let derivation = negotiated.derivation(profile.scp03_key_length);
        let session =
            session_keys(&keys.enc, &keys.mac, &derivation.host_challenge, &derivation.card_challenge).unwrap();
        // 0 where the card does not prove that it has the keys.
        let (authenticating, command) = negotiated.authenticate(session, level).map_err(|_| 0_u16)?;
        let answer = self.send(&command);
        self.channel = Some(authenticating.opened(&answer).map_err(|_| answer.status.0)?);
        Ok(())
    }

    /// An issuing command through the channel.
    pub(crate) fn issue(&mut self, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Result<Vec<u8>, u16> {
        self.issue_in_class(0x80, ins, p1, p2, data)
    }

    /// The same with another class.
    pub(crate) fn issue_in_class(&mut self, cla: u8, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Result<Vec<u8>, u16> {
        let mut channel = self.channel.take().expect("a channel");
        let command = CommandApdu::new(cla, ins, p1, p2).with_data(data).with_le(256);
        let answer = self.send(&channel.wrap(&command).unwrap());
        let answer = channel.unwrap(&answer).expect("an authentic answer");
        self.channel = Some(channel);
        if answer.status == StatusWord::OK { Ok(answer.data.to_vec()) } else { Err(answer.status.0) }
    }

    /// A command through the channel that may find the card without power. Was it done?
    pub(crate) fn attempt(&mut self, ins: u8, p1: u8, p2: u8, data: &[u8]) -> bool {
        let mut channel = self.channel.take().expect("a channel");
        let command = CommandApdu::new(0x80, ins, p1, p2).with_data(data).with_le(256);
        let answer = self.send(&channel.wrap(&command).unwrap());
        channel.unwrap(&answer).is_ok_and(|answer| answer.status.is_ok())
    }

    pub(crate) fn status(&mut self, kind: CertificateKind) -> Status {
        Status::parse(&self.issue(ins::GET_SLOT_STATUS, kind.p1(), 0, &[]).unwrap())
    }

    pub(crate) fn set_pins(&mut self) {
        for kind in CertificateKind::BOTH {
            self.issue(ins::SET_INITIAL_PIN, kind.p1(), 0, pin(kind)).unwrap();
        }
    }

    /// A key pair in the pending slot: SPKI.
    pub(crate) fn generate(&mut self, kind: CertificateKind) -> Vec<u8> {
        let algorithm = self.card.profile().algorithm.code();
        let name = self.issue(ins::GENERATE_KEY_PAIR, kind.p1(), algorithm, &TRANSACTION).unwrap();
        let spki = self.issue(ins::GET_PENDING_PUBLIC_KEY, kind.p1(), 0, &[]).unwrap();
        assert_eq!(name, sha256(&spki));
        spki
    }

    pub(crate) fn write_certificate(
        &mut self,
        kind: CertificateKind,
        spki: &[u8],
        certificate: &[u8],
    ) -> Result<Vec<u8>, u16> {
        self.issue(ins::WRITE_PENDING_CERTIFICATE, kind.p1(), 0, &certificate_data(spki, certificate))
    }

    /// Everything from an empty slot to an active certificate.
    pub(crate) fn issue_certificate(&mut self, kind: CertificateKind, serial: u8) -> Vec<u8> {
        let spki = self.generate(kind);
        let certificate = certificate(&spki, serial);
        self.write_certificate(kind, &spki, &certificate).unwrap();
        self.issue(ins::COMMIT, kind.p1(), 0, &sha256(&certificate)).unwrap();
        certificate
    }
}

pub(crate) fn pin(kind: CertificateKind) -> &'static [u8] {
    match kind {
        CertificateKind::Signature => SIGN_PIN,
        CertificateKind::Authentication => AUTH_PIN,
    }
}

pub(crate) fn pin_reference(kind: CertificateKind) -> u8 {
    match kind {
        CertificateKind::Signature => 0x80 | card::fid::SIGN_PIN as u8,
        CertificateKind::Authentication => 0x80 | card::fid::AUTH_PIN as u8,
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

pub(crate) fn certificate_data(spki: &[u8], certificate: &[u8]) -> Vec<u8> {
    [&sha256(spki), &sha256(certificate), certificate].concat()
}

/// A certificate over this key. Nobody has signed it: a card does not look.
pub(crate) fn certificate(spki: &[u8], serial: u8) -> Vec<u8> {
    padded_certificate(spki, serial, 0)
}

/// The same, made longer by an extension of `filling` bytes.
pub(crate) fn padded_certificate(spki: &[u8], serial: u8, filling: usize) -> Vec<u8> {
    use x509_cert::certificate::{Certificate, TbsCertificate, Version};
    use x509_cert::ext::Extension;
    use x509_cert::serial_number::SerialNumber;
    use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
    use x509_cert::time::{Time, Validity};

    let algorithm = AlgorithmIdentifierOwned {
        oid: der::asn1::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
        parameters: Some(der::Any::null()),
    };
    let time = Time::UtcTime(der::asn1::UtcTime::from_unix_duration(Duration::from_secs(1_000_000_000)).unwrap());
    let filler = Extension {
        extn_id: der::asn1::ObjectIdentifier::new_unwrap("1.2.3.4"),
        critical: false,
        extn_value: OctetString::new(vec![0; filling]).unwrap(),
    };
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[serial]).unwrap(),
        signature: algorithm.clone(),
        issuer: Default::default(),
        validity: Validity { not_before: time, not_after: time },
        subject: Default::default(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(spki).unwrap(),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(vec![filler]),
    };
    let signature = BitString::from_bytes(&[0x55; 256]).unwrap();
    Certificate { tbs_certificate, signature_algorithm: algorithm, signature }.to_der().unwrap()
}

/// The status template of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) active: Option<Vec<u8>>,
    pub(crate) pending: u8,
    pub(crate) transaction: Option<Vec<u8>>,
    pub(crate) pending_key: Option<Vec<u8>>,
    pub(crate) pending_certificate: Option<Vec<u8>>,
    pub(crate) pin_set: bool,
    pub(crate) tries_left: u8,
}

impl Status {
    fn parse(template: &[u8]) -> Self {
        let (outer, rest) = apdu::tlv::Tlv::parse(template).unwrap();
        assert!(rest.is_empty());
        let find = |tag: u8| outer.find(u16::from(tag)).and_then(|found| found.bytes()).map(<[u8]>::to_vec);
        let byte = |tag: u8| find(tag).unwrap()[0];
        let status = Self {
            active: find(tag::ACTIVE_CERTIFICATE),
            pending: byte(tag::PENDING),
            transaction: find(tag::PENDING_TRANSACTION),
            pending_key: find(tag::PENDING_KEY),
            pending_certificate: find(tag::PENDING_CERTIFICATE),
            pin_set: byte(tag::PIN_SET) == 1,
            tries_left: byte(tag::TRIES_LEFT),
        };
        assert_eq!(byte(tag::ACTIVE) == 1, status.active.is_some());
        assert_eq!(byte(tag::HAS_PENDING_SLOT), 1);
        status
    }
}
