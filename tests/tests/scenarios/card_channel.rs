//! The terminal's side of SCP03 against the card's, and the next generation of cards.

use std::sync::Arc;
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::{CardCapabilities, CardReader, CardTransaction, Disposition, exchange};
use hsm::{AesLength, Hsm};
use jiff::civil::date;
use jpki::card::{self, ins};
use jpki::{CertificateKind, IssuingProfile, Sex};
use madoguchi_sim::world::parts::CARD_KEY_VERSION;
use madoguchi_tests::{Stage, Start};
use madoguchi_time::{Clock, Deadline, VirtualClock};
use orchestrator::{Plan, Progress};
use secure_channel::{Handshake, SecureChannel};
use sim_card::{Card, CardProfile, KeyAlgorithm, Personalisation, PooledKeys, Scp03Mode, SimReader, StaticKeySet};
use sim_hsm::{Provision, SoftwareHsm};

use crate::BOTH;

/// A reader that passes short commands only.
const SHORT: CardCapabilities = CardCapabilities { extended_length: false, max_command: 261 };
/// A reader that passes commands of any length.
const EXTENDED: CardCapabilities = CardCapabilities { extended_length: true, max_command: 65_535 };

/// A card whose keys are as long as `length` says, under a master of that length.
fn card(hsm: &SoftwareHsm, clock: &Arc<VirtualClock>, length: AesLength, mode: Scp03Mode) -> Card {
    let diversification = [3; 10];
    let keys = hsm.card_static_keys(CARD_KEY_VERSION, &diversification, length.bytes()).unwrap();
    let profile = CardProfile { scp03_key_length: length.bytes(), scp03_mode: mode, ..CardProfile::jpki_next() };
    let personalisation = Personalisation {
        serial: "SIM000000000001".into(),
        municipality: "13999".into(),
        expiry: date(2036, 3, 31),
        profile,
        key_version: CARD_KEY_VERSION,
        diversification,
        keys: StaticKeySet { enc: keys.enc.clone(), mac: keys.mac.clone(), dek: keys.dek.clone(), import: None },
        sign_ca: Vec::new(),
        auth_ca: Vec::new(),
        name: "架空　花子".into(),
        address: "東京都みどり区架空町１".into(),
        birth: date(1986, 7, 9),
        sex: Sex::Female,
        my_number: "123456789018".into(),
        check_number_b: "61070920369999".into(),
        face_input_pin: "4321".into(),
        juki_pin: "5678".into(),
        face: false,
        rng_seed: [5; 32],
    };
    let keys = PooledKeys::generate(KeyAlgorithm::P384, 1, 1);
    Card::power_on(personalisation.into_memory().unwrap(), clock.clone(), keys).unwrap()
}

/// One transaction with a card, and the channel in it.
struct Session<'t> {
    transaction: Box<dyn CardTransaction + 't>,
    capabilities: CardCapabilities,
    channel: SecureChannel,
    deadline: Deadline,
}

impl<'t> Session<'t> {
    /// Selects 公的個人認証AP and opens a channel at `level`.
    fn open(
        mut transaction: Box<dyn CardTransaction + 't>,
        capabilities: CardCapabilities,
        hsm: &SoftwareHsm,
        (length, mode, level): (AesLength, Scp03Mode, u8),
        deadline: Deadline,
    ) -> Self {
        let mut send = |command: &CommandApdu| exchange(&mut *transaction, capabilities, command, deadline).unwrap();
        let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(card::AID_JPKI);
        assert_eq!(send(&select).status, StatusWord::OK);
        let (handshake, command) = Handshake::begin(CARD_KEY_VERSION, vec![0x5A; mode.length()]);
        let negotiated = handshake.answered(&send(&command)).unwrap();
        let keys = hsm.derive_session(&negotiated.derivation(length.bytes()), deadline).unwrap();
        let (authenticating, command) = negotiated.authenticate(keys, level).unwrap();
        let mut channel = authenticating.opened(&send(&command)).unwrap();
        if capabilities.extended_length {
            channel.allow_extended_length();
        }
        Self { transaction, capabilities, channel, deadline }
    }

    fn send(&mut self, command: &CommandApdu) -> ResponseApdu {
        let wrapped = self.channel.wrap(command).unwrap();
        let answer = exchange(&mut *self.transaction, self.capabilities, &wrapped, self.deadline).unwrap();
        self.channel.unwrap(&answer).unwrap()
    }

    /// An issuing command for 利用者証明用.
    fn issue(&mut self, ins: u8, p2: u8, data: &[u8]) -> ResponseApdu {
        let command = CommandApdu::new(0x84, ins, CertificateKind::Authentication.p1(), p2).with_data(data);
        self.send(&command.with_le(if self.capabilities.extended_length { 65_536 } else { 256 }))
    }
}

/// Every level with every key length in both modes, over readers that pass long commands and over those that don't.
#[test]
fn the_terminals_channel_is_the_cards() {
    let mut channels = 0;
    for length in [AesLength::Aes128, AesLength::Aes192, AesLength::Aes256] {
        let provision = Provision::terminal([9; 32]).with_card_master(CARD_KEY_VERSION, length);
        let hsm = SoftwareHsm::in_memory(&provision).unwrap();
        for mode in [Scp03Mode::S8, Scp03Mode::S16] {
            for capabilities in [EXTENDED, SHORT] {
                let clock = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
                let deadline = clock.deadline_in(Duration::from_secs(3600));
                let mut reader = SimReader::new("SIM-READER", clock.clone()).with_capabilities(capabilities);
                reader.control().insert(card(&hsm, &clock, length, mode));
                let mut connection = reader.connect(deadline).unwrap();
                for level in [0x01, 0x03, 0x11, 0x13, 0x33] {
                    let case = format!("{length:?}, {mode:?}, level {level:02X}, {capabilities:?}");
                    let transaction = connection.begin(deadline).unwrap();
                    let agreed = (length, mode, level);
                    let mut session = Session::open(transaction, capabilities, &hsm, agreed, deadline);
                    assert_eq!(session.channel.level(), level);
                    if level == card::ISSUING_SECURITY_LEVEL {
                        issue_through(&mut session, &case);
                    } else {
                        // The card believes what comes, and refuses to issue at less than the full level; more than once, so
                        // that both sides count alike.
                        for _ in 0..3 {
                            let refused = session.issue(ins::SET_INITIAL_PIN, 0, b"2580").status;
                            assert_eq!(refused, StatusWord::SECURITY_STATUS_NOT_SATISFIED, "{case}");
                        }
                    }
                    session.transaction.end(Disposition::Reset).unwrap();
                    channels += 1;
                }
            }
        }
    }
    assert_eq!(channels, 60);
}

/// A PIN, a key, a long certificate and back, through the channel.
fn issue_through(session: &mut Session<'_>, case: &str) {
    let ok = |answer: ResponseApdu| {
        assert_eq!(answer.status, StatusWord::OK, "{case}");
        answer.data
    };
    ok(session.issue(ins::SET_INITIAL_PIN, 0, b"2580"));
    let name = ok(session.issue(ins::GENERATE_KEY_PAIR, card::algorithm::EC_P384, &[7; 16]));
    let spki = ok(session.issue(ins::GET_PENDING_PUBLIC_KEY, 0, &[]));
    assert_eq!(*name, sha256(&spki), "{case}");
    // Longer than any short answer, and not a multiple of a block.
    let certificate = long_certificate(&spki);
    ok(session.issue(
        ins::WRITE_PENDING_CERTIFICATE,
        0,
        &[&sha256(&spki), &sha256(&certificate), &certificate[..]].concat(),
    ));
    assert_eq!(*ok(session.issue(ins::GET_PENDING_CERTIFICATE, 0, &[])), certificate, "{case}");
    // A name that is not the pending one's is refused, through the same channel.
    assert!(!session.issue(ins::COMMIT, 0, &sha256(b"another")).status.is_ok(), "{case}");
    ok(session.issue(ins::COMMIT, 0, &sha256(&certificate)));
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).to_vec()
}

/// A certificate over this key, which nobody has signed: a card does not look at signatures.
fn long_certificate(spki: &[u8]) -> Vec<u8> {
    use der::asn1::{BitString, ObjectIdentifier, OctetString};
    use der::{Decode, Encode};
    use x509_cert::certificate::{Certificate, TbsCertificate, Version};
    use x509_cert::ext::Extension;
    use x509_cert::serial_number::SerialNumber;
    use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
    use x509_cert::time::Validity;

    let algorithm = AlgorithmIdentifierOwned { oid: const_oid::db::rfc5912::ECDSA_WITH_SHA_384, parameters: None };
    let filler = Extension {
        extn_id: ObjectIdentifier::new_unwrap("1.2.3.4"),
        critical: false,
        extn_value: OctetString::new(vec![0x5A; 1501]).unwrap(),
    };
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::from(1_u8),
        signature: algorithm.clone(),
        issuer: Default::default(),
        validity: Validity::from_now(Duration::ZERO).unwrap(),
        subject: Default::default(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(spki).unwrap(),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(vec![filler]),
    };
    let signature = BitString::from_bytes(&[0x55; 96]).unwrap();
    Certificate { tbs_certificate, signature_algorithm: algorithm, signature }.to_der().unwrap()
}

/// Issue and renewal by both generations, over a reader that passes long commands and over one that does not.
#[test]
fn both_generations_are_issued_to_and_renewed_over_any_reader() {
    for profile in [IssuingProfile::jpki_2016(), IssuingProfile::jpki_next()] {
        let mut apdus = Vec::new();
        for capabilities in [EXTENDED, SHORT] {
            let mut stage = Stage::new(&profile, Start::Fresh);
            drop(stage.control(0).open("SIM-READER").with_capabilities(capabilities));
            let told = stage.record();
            let issued = stage.run(0, Plan::issue(&BOTH)).unwrap();
            assert_eq!(issued.certificates.len(), 2);
            let longest = told
                .lock()
                .unwrap()
                .iter()
                .filter_map(|told| match told {
                    Progress::Apdu { sent, .. } => Some(*sent),
                    _ => None,
                })
                .max();
            assert_eq!(longest > Some(261), capabilities.extended_length, "{longest:?}");
            stage.check_settled().unwrap();
            let renewed = stage.run(0, Plan::renew(&BOTH)).unwrap();
            assert_eq!(renewed.certificates.len(), 2);
            stage.check_settled().unwrap();
            stage.check_nothing_left().unwrap();
            stage.check_accounted(0).unwrap();
            for certificate in &issued.certificates {
                let birthdays = certificate.not_after.duration_since(certificate.not_before).as_hours() / (365 * 24);
                assert_eq!(birthdays + 1, i64::from(profile.validity.birthdays), "{}", profile.name);
            }
            apdus.push(issued.apdus);
        }
        assert!(apdus[0] < apdus[1], "{}: {apdus:?}", profile.name);
        println!("{}: {} APDUs, {} without extended length", profile.name, apdus[0], apdus[1]);
    }
}
