//! What the tests share: a terminal with its HSM, an issuer of certificates, an application.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use authority_link::{
    Authority, CertificationRequest, IssuerAndSerial, Outgoing, Request, Sent, Terminal, TransactionId,
};
use der::Encode;
use hsm::{Hsm, KeyName, SignatureAlgorithm};
use jiff::Timestamp;
use jpki::{Application, CertificateKind, CertificateText, Sex};
use madoguchi_time::{Deadline, SharedClock, VirtualClock};
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer};
use sim_hsm::{Provision, SoftwareHsm};
use spki::{EncodePublicKey, SubjectPublicKeyInfoOwned};
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

/// The day on which the tests happen.
pub fn now() -> Timestamp {
    "2027-04-01T01:00:00Z".parse().unwrap()
}

pub fn time(timestamp: Timestamp) -> Time {
    let seconds = u64::try_from(timestamp.as_second()).unwrap();
    Time::UtcTime(der::asn1::UtcTime::from_unix_duration(Duration::from_secs(seconds)).unwrap())
}

/// A key from a seed: the same every time.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

pub fn spki(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_public_key_der().unwrap().into_vec()
}

/// Issues certificates.
pub struct Issuer {
    pub key: SigningKey,
    pub name: Name,
    pub certificate: Vec<u8>,
}

/// From when until when a certificate is valid.
pub type Dates = (&'static str, &'static str);
/// Wide enough for peers that go by the machine's clock.
pub const VALID: Dates = ("2020-01-01T00:00:00Z", "2049-01-01T00:00:00Z");
pub const EXPIRED: Dates = ("2026-01-01T00:00:00Z", "2027-03-31T23:59:59Z");

impl Issuer {
    pub fn new(name: &str, seed: u8) -> Self {
        let key = key(seed);
        let name = Name::from_str(name).unwrap();
        let certificate = build(Profile::Root, name.clone(), &spki(&key), VALID, &key, |_| ());
        Self { key, name, certificate }
    }

    /// A certificate for a signer, for a client or (with addresses) for a server.
    pub fn issue(&self, name: &str, spki: &[u8], dates: Dates, addresses: &[&str]) -> Vec<u8> {
        let profile =
            Profile::Leaf { issuer: self.name.clone(), enable_key_agreement: false, enable_key_encipherment: false };
        build(profile, Name::from_str(name).unwrap(), spki, dates, &self.key, |builder| {
            if addresses.is_empty() {
                builder.add_extension(&ExtendedKeyUsage(vec![const_oid::db::rfc5280::ID_KP_CLIENT_AUTH])).unwrap();
            } else {
                let names = addresses.iter().map(|address| match address.parse::<std::net::IpAddr>() {
                    Ok(ip) => GeneralName::from(ip),
                    Err(_) => GeneralName::DnsName(der::asn1::Ia5String::new(address).unwrap()),
                });
                builder.add_extension(&SubjectAltName(names.collect())).unwrap();
                builder.add_extension(&ExtendedKeyUsage(vec![const_oid::db::rfc5280::ID_KP_SERVER_AUTH])).unwrap();
            }
        })
    }
}

fn build(
    profile: Profile,
    subject: Name,
    spki: &[u8],
    (from, until): Dates,
    signer: &SigningKey,
    extend: impl FnOnce(&mut CertificateBuilder<'_, SigningKey>),
) -> Vec<u8> {
    let validity = Validity { not_before: time(from.parse().unwrap()), not_after: time(until.parse().unwrap()) };
    let spki = SubjectPublicKeyInfoOwned::try_from(spki).unwrap();
    let serial = SerialNumber::from(4711u32);
    let mut builder = CertificateBuilder::new(profile, serial, validity, subject, spki, signer).unwrap();
    extend(&mut builder);
    builder.build::<DerSignature>().unwrap().to_der().unwrap()
}

pub fn application() -> Application {
    let text = |text: &str, substituted: &str| CertificateText { text: text.into(), substituted: substituted.into() };
    Application {
        name: text("山﨑　花子", "01000"),
        alias: Some(text("山田　花子", "00000")),
        address: text("東京都架空市本町１－２－３", "0000000000000"),
        birth: "1980-02-17".parse().unwrap(),
        sex: Sex::Female,
        applied_on: "2027-04-01".parse().unwrap(),
    }
}

pub const TRANSACTION: TransactionId = TransactionId([0x5A; 16]);
pub const NONCE: [u8; 16] = [0xA5; 16];
pub const CHECKPOINT: &str = "log.example/terminal-1\n42\nBASE64==\n";
pub const REQUEST_NAME: &str = "2027040110000000017132210001";

/// A terminal, its HSM, and the two ends' certificates.
pub struct World {
    pub hsm: Arc<dyn Hsm>,
    pub clock: SharedClock,
    pub infrastructure: Issuer,
    /// 署名用認証局, for both kinds in these tests.
    pub ca: Issuer,
    pub terminal: Terminal,
    pub authority_key: SigningKey,
    pub authority_certificate: Vec<u8>,
}

impl World {
    pub fn new() -> Self {
        let clock: SharedClock = VirtualClock::at(now());
        let hsm = SoftwareHsm::in_memory(&Provision::terminal([7; 32])).unwrap().with_clock(Arc::clone(&clock));
        let infrastructure = Issuer::new("CN=Infrastructure,O=JPKI-SIM,C=JP", 1);
        let signing = KeyName::new(KeyName::TERMINAL_SIGNING);
        let public = hsm.public_key(&signing, clock.deadline_in(Duration::from_secs(5))).unwrap();
        let certificate = infrastructure.issue("CN=terminal 1,O=JPKI-SIM,C=JP", &public, VALID, &[]);
        let authority_key = key(2);
        let authority_certificate =
            infrastructure.issue("CN=authority,O=JPKI-SIM,C=JP", &spki(&authority_key), VALID, &[]);
        let terminal =
            Terminal::new(&certificate, SignatureAlgorithm::EcdsaP256Sha256, &authority_certificate).unwrap();
        Self {
            hsm: Arc::new(hsm),
            clock,
            infrastructure,
            ca: Issuer::new("OU=JPKI for digital signature,O=JPKI-SIM,C=JP", 3),
            terminal,
            authority_key,
            authority_certificate,
        }
    }

    pub fn authority(&self) -> Authority {
        Authority::pinned(&self.authority_certificate).unwrap()
    }

    pub fn deadline(&self) -> Deadline {
        self.clock.deadline_in(Duration::from_secs(20))
    }

    /// A request for the card's key `card`, proved by it.
    pub fn certification(
        &self,
        kind: CertificateKind,
        card: &SigningKey,
        predecessor: Option<&IssuerAndSerial>,
    ) -> CertificationRequest {
        let draft = CertificationRequest::draft(
            kind,
            &application(),
            &spki(card),
            REQUEST_NAME,
            &self.ca.certificate,
            predecessor,
        )
        .unwrap();
        let proof: DerSignature = card.sign(draft.to_be_proved());
        draft.prove(proof.as_bytes()).unwrap()
    }

    pub fn address(&self, request: Request) -> Outgoing {
        self.terminal.address(request, TRANSACTION, NONCE, now(), CHECKPOINT).unwrap()
    }

    /// Protects a message with the terminal's key in the HSM.
    pub fn protect(&self, outgoing: Outgoing) -> Sent {
        let key = KeyName::new(KeyName::TERMINAL_SIGNING);
        let algorithm = self.terminal.algorithm();
        let signature = self.hsm.sign(&key, algorithm, outgoing.to_be_protected(), self.deadline()).unwrap();
        outgoing.protect(&signature).unwrap()
    }

    pub fn send(&self, request: Request) -> Sent {
        self.protect(self.address(request))
    }
}
