//! Making an authority, and finding it again: the state folder.
//!
//! ```text
//! authority.toml          settings; written last, so that a folder without it holds no authority
//! store.sqlite            certificates, answers, terminals, witnessed checkpoints, alarms (with -wal and -shm while
//! open) certificates/*.pem      the authority's own certificates, public terminals/NAME/*.pem    what each terminal
//! needs, public: its own certificates and those that it must trust
//! ```
//!
//! Private keys are in the HSM. The program `madoguchi-authority` has a software HSM, and keeps its file here as
//! `hsm.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use der::pem::LineEnding;
use der::{Decode, DecodePem, Encode, EncodePem};
use hsm::{Hsm, KeyKind, KeyName, SignatureAlgorithm};
use jiff::{SignedDuration, Timestamp, ToSpan};
use jpki::{CertificateKind, CertificateProfile, IssuingProfile, KeyAlgorithm, Municipality, Validity, validity};
use madoguchi_time::SharedClock;
use p256::pkcs8::DecodePublicKey;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use x509_cert::certificate::Certificate;

use crate::authority::Authority;
use crate::certificate::{self, CertificationAuthority, Purpose};
use crate::enrolling::{Guest, Invited};
use crate::error::{RegistrationFault, SetupError};
use crate::ocsp::Responder;
use crate::profile::Names;
use crate::signer::{Keys, Signer};
use crate::store::{Sequence, SqliteStore, State, Store, Terminal, TerminalCertificate, TerminalId};

/// Names of the authority's keys in the HSM.
pub mod key {
    /// Signs 署名用電子証明書 and their CRLs.
    pub const SIGNATURE_CA: &str = "authority-signature-ca";
    /// Signs 利用者証明用電子証明書 and their CRLs.
    pub const AUTHENTICATION_CA: &str = "authority-authentication-ca";
    /// Signs OCSP answers about either kind (ECDSA P-256).
    pub const OCSP: &str = "authority-ocsp";
    /// Signs the certificates of terminals and of the authority's services (ECDSA P-256).
    pub const INFRASTRUCTURE_CA: &str = "authority-infrastructure-ca";
    /// Protects the authority's CMP messages (ECDSA P-256).
    pub const CMP: &str = "authority-cmp";
    /// The authority's end of the TLS line (ECDSA P-256).
    pub const TLS: &str = "authority-tls";
}

/// The keys that the HSM of an authority must hold.
#[must_use]
pub fn required_keys(issuing: &IssuingProfile) -> Vec<(KeyName, KeyKind)> {
    let ca = match issuing.algorithm {
        KeyAlgorithm::Rsa2048 => KeyKind::Rsa2048,
        KeyAlgorithm::EcP384 => KeyKind::EcP384,
    };
    let services = [key::OCSP, key::INFRASTRUCTURE_CA, key::CMP, key::TLS].map(|name| (name, KeyKind::EcP256));
    [(key::SIGNATURE_CA, ca), (key::AUTHENTICATION_CA, ca)]
        .into_iter()
        .chain(services)
        .map(|(name, kind)| (KeyName::new(name), kind))
        .collect()
}

/// Settings of an authority: `authority.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The HSM with its keys, if its composition root knows several: a PKCS #11 URI. No secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsm: Option<String>,
    /// Where the state of authentication certificates can be asked for; goes into each of them.
    pub ocsp_url: String,
    /// What is not confirmed after so many seconds is revoked.
    pub confirm_within_seconds: u32,
    /// How far messageTime may be from the authority's clock, in seconds.
    pub clock_tolerance_seconds: u32,
    /// Accept CMP messages on the plain HTTP listener too, protected by their signature alone. For foreign clients
    /// under test.
    pub plain_http_cmp: bool,
    /// The first serial number of each kind.
    pub first_serial: u32,
    /// How many years it issues under one certificate, which then outlives what it has issued: 4 years and the 6 of
    /// the longest certificate make the 10 years of JPKI's roots.
    pub issuing_years: u8,
    /// How many days the certificates are valid that terminals fetch for themselves: they renew them when a third is left.
    pub terminal_certificate_days: u16,
    /// For which generation of cards it issues.
    pub issuing: IssuingProfile,
    /// Names and policies of its certificates.
    pub certificates: CertificateProfile,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hsm: None,
            ocsp_url: "http://127.0.0.1:18080/ocsp".to_owned(),
            confirm_within_seconds: 3_600,
            clock_tolerance_seconds: 300,
            plain_http_cmp: false,
            first_serial: 2_000_001,
            issuing_years: 4,
            terminal_certificate_days: 730,
            issuing: IssuingProfile::jpki_2016(),
            certificates: CertificateProfile::simulator(),
        }
    }
}

impl Config {
    pub(crate) fn confirm_within(&self) -> SignedDuration {
        SignedDuration::from_secs(self.confirm_within_seconds.into())
    }

    pub(crate) fn clock_tolerance(&self) -> SignedDuration {
        SignedDuration::from_secs(self.clock_tolerance_seconds.into())
    }

    /// What the certification authorities sign with: the algorithm family of the keys that they certify.
    fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self.issuing.algorithm {
            KeyAlgorithm::Rsa2048 => SignatureAlgorithm::RsaPkcs1Sha256,
            KeyAlgorithm::EcP384 => SignatureAlgorithm::EcdsaP384Sha384,
        }
    }
}

/// A terminal that is to be put on the allow-list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalRegistration {
    /// Its name: 1 to 64 of `A-Z a-z 0-9 - _ .`.
    pub name: String,
    /// 受付窓口識別記号: 9 capital letters and digits, the municipality's code first.
    pub window: String,
    /// The municipality for which it works.
    pub municipality: Municipality,
    /// SubjectPublicKeyInfo (DER, ECDSA P-256) that will protect its CMP messages.
    pub signing_key: Vec<u8>,
    /// SubjectPublicKeyInfo (DER, ECDSA P-256) of its end of the TLS line.
    pub tls_key: Vec<u8>,
    /// SubjectPublicKeyInfo (DER, ECDSA P-256) that signs the checkpoints of its log; none for a test peer, which has
    /// no log.
    pub log_key: Option<Vec<u8>>,
    /// A foreign CMP implementation under test; see `docs/protocols/authority.md`.
    pub test_peer: bool,
}

/// What a terminal needs to speak with the authority. All of it is public.
#[derive(Clone, PartialEq, Eq)]
pub struct TerminalCredentials {
    /// The terminal's name.
    pub terminal: TerminalId,
    /// Certificate of its TLS key, DER.
    pub tls_certificate: Vec<u8>,
    /// Certificate of its CMP key, DER.
    pub signing_certificate: Vec<u8>,
}

/// The authority's own certificates, DER. All of it is public.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityCertificates {
    /// 署名用認証局.
    pub signature_ca: Vec<u8>,
    /// 利用者証明用認証局.
    pub authentication_ca: Vec<u8>,
    /// Issues the certificates of terminals and services; the trust anchor of the TLS line.
    pub infrastructure_ca: Vec<u8>,
    /// Protects the authority's CMP messages.
    pub cmp: Vec<u8>,
    /// The authority's end of the TLS line.
    pub tls: Vec<u8>,
}

/// The certificates that the authority itself uses, with their keys.
pub(crate) struct Credentials {
    /// In the order of [`CertificateKind::BOTH`], each with its responder.
    pub(crate) authorities: [(CertificationAuthority, Responder); 2],
    pub(crate) infrastructure: Certificate,
    pub(crate) infrastructure_signer: Signer,
    pub(crate) cmp: Certificate,
    pub(crate) cmp_signer: Signer,
    pub(crate) tls: Certificate,
    pub(crate) tls_signer: Signer,
}

const CONFIG: &str = "authority.toml";
const STORE: &str = "store.sqlite";
const CERTIFICATES: &str = "certificates";
const TERMINALS: &str = "terminals";

/// The own certificates by file name (and label in errors), in the order in which they are numbered.
mod file {
    pub(super) const INFRASTRUCTURE_CA: &str = "infrastructure-ca";
    pub(super) const CMP: &str = "cmp";
    pub(super) const TLS: &str = "tls";
    pub(super) const CA: [&str; 2] = ["authentication-ca", "signature-ca"];
    pub(super) const OCSP: [&str; 2] = ["authentication-ocsp", "signature-ocsp"];
}

/// Does the folder `dir` hold an authority?
#[must_use]
pub fn exists(dir: &Path) -> bool {
    dir.join(CONFIG).exists()
}

/// Where a terminal finds the certificates that it needs.
#[must_use]
pub fn terminal_folder(dir: &Path, terminal: &TerminalId) -> PathBuf {
    dir.join(TERMINALS).join(terminal.as_str())
}

/// Makes an authority in the folder `dir`, which must not hold one: its certificates from keys that the HSM holds
/// already (see [`required_keys`]), an empty store, and the given terminals.
///
/// # Errors
/// See [`SetupError`].
pub fn initialise(
    dir: &Path,
    hsm: Arc<dyn Hsm>,
    clock: SharedClock,
    config: &Config,
    terminals: &[TerminalRegistration],
) -> Result<Vec<TerminalCredentials>, SetupError> {
    if exists(dir) {
        return Err(SetupError::AlreadyInitialised(dir.to_owned()));
    }
    let keys = Keys::new(hsm, clock.clone());
    create_dir(&dir.join(CERTIFICATES))?;
    let store = open_store(dir, config)?;
    let now = clock.wall();
    for (name, certificate) in own_certificates(&keys, &store, config, now)? {
        write_certificate(&dir.join(CERTIFICATES), name, &certificate)?;
    }
    let authority = Authority::assemble(Arc::new(store), &keys, config.clone(), |name| {
        read_certificate(&dir.join(CERTIFICATES), name)
    })?;
    let mut credentials = Vec::with_capacity(terminals.len());
    for terminal in terminals {
        credentials.push(add_terminal(dir, &authority, terminal, now)?);
    }
    let config_path = dir.join(CONFIG);
    let text = toml::to_string(config).map_err(|_| SetupError::Damaged(config_path.clone()))?;
    write(&config_path, text.as_bytes())?;
    Ok(credentials)
}

/// Opens the authority in the folder `dir`.
///
/// # Errors
/// See [`SetupError`].
pub fn open(dir: &Path, hsm: Arc<dyn Hsm>, clock: SharedClock) -> Result<Authority, SetupError> {
    let config = read_config(dir)?;
    let store = open_store(dir, &config)?;
    let keys = Keys::new(hsm, clock);
    Authority::assemble(Arc::new(store), &keys, config, |name| read_certificate(&dir.join(CERTIFICATES), name))
}

/// The own certificates of the authority in the folder `dir`, which needs no HSM.
///
/// # Errors
/// [`SetupError::NotInitialised`], [`SetupError::Io`], [`SetupError::Damaged`].
pub fn certificates(dir: &Path) -> Result<AuthorityCertificates, SetupError> {
    if !exists(dir) {
        return Err(SetupError::NotInitialised(dir.to_owned()));
    }
    let read = |name| Ok::<_, SetupError>(read_certificate(&dir.join(CERTIFICATES), name)?.to_der()?);
    let [authentication_ca, signature_ca] = file::CA;
    Ok(AuthorityCertificates {
        signature_ca: read(signature_ca)?,
        authentication_ca: read(authentication_ca)?,
        infrastructure_ca: read(file::INFRASTRUCTURE_CA)?,
        cmp: read(file::CMP)?,
        tls: read(file::TLS)?,
    })
}

/// An authority that leaves nothing: its store is in memory.
///
/// # Errors
/// See [`SetupError`].
pub fn in_memory(
    hsm: Arc<dyn Hsm>,
    clock: SharedClock,
    config: &Config,
    terminals: &[TerminalRegistration],
) -> Result<(Authority, Vec<TerminalCredentials>), SetupError> {
    let store = SqliteStore::in_memory([config.first_serial.into(); 2])?;
    let now = clock.wall();
    let keys = Keys::new(hsm, clock);
    let certificates = own_certificates(&keys, &store, config, now)?;
    let authority = Authority::assemble(Arc::new(store), &keys, config.clone(), |name| {
        let found = certificates.iter().find(|(own, _)| *own == name).map(|(_, certificate)| certificate.clone());
        found.ok_or_else(|| SetupError::NotInitialised(PathBuf::from(name)))
    })?;
    let credentials = terminals.iter().map(|terminal| register(&authority, terminal, now));
    let credentials = credentials.collect::<Result<_, _>>()?;
    Ok((authority, credentials))
}

/// Puts one terminal more on the allow-list of the authority in `dir`, or replaces the one of that name.
///
/// # Errors
/// See [`SetupError`].
pub fn add_terminal(
    dir: &Path,
    authority: &Authority,
    registration: &TerminalRegistration,
    now: Timestamp,
) -> Result<TerminalCredentials, SetupError> {
    let credentials = register(authority, registration, now)?;
    let folder = terminal_folder(dir, &credentials.terminal);
    create_dir(&folder)?;
    for (name, certificate) in
        [("client-tls", &credentials.tls_certificate), ("client-signing", &credentials.signing_certificate)]
    {
        write_certificate(&folder, name, &Certificate::from_der(certificate)?)?;
    }
    write_authoritys(dir, &folder)?;
    Ok(credentials)
}

fn register(
    authority: &Authority,
    registration: &TerminalRegistration,
    now: Timestamp,
) -> Result<TerminalCredentials, SetupError> {
    let id = check(registration)
        .map_err(|fault| SetupError::BadRegistration { terminal: registration.name.clone(), fault })?;
    let terminal = Terminal {
        id: id.clone(),
        window: registration.window.clone(),
        municipality: registration.municipality.clone(),
        log_key: registration.log_key.clone(),
        test_peer: registration.test_peer,
        authorised: true,
    };
    // Certificates that an administrator carries about live as long as the authority's own: nothing renews them by itself.
    let period = lifetime(authority.config(), now);
    let issue = |purpose, key: &[u8]| {
        let issued = authority.certify_terminal(&id, purpose, key, period)?;
        Ok::<_, SetupError>(TerminalCertificate { state: State::Valid, confirmed_at: Some(now), ..issued })
    };
    let line = issue(authority_link::Purpose::Line, &registration.tls_key)?;
    let messages = issue(authority_link::Purpose::Messages, &registration.signing_key)?;
    let credentials = TerminalCredentials {
        terminal: id.clone(),
        tls_certificate: line.certificate.clone(),
        signing_certificate: messages.certificate.clone(),
    };
    authority.store().register_terminal(&terminal, Some(&[line, messages]), now)?;
    Ok(credentials)
}

/// [`Authority::invite`]s a terminal, and lays the authority's certificates ready for it in its folder of the authority in `dir`.
///
/// # Errors
/// See [`SetupError`].
pub fn invite_terminal(
    dir: &Path,
    authority: &Authority,
    guest: &Guest,
    now: Timestamp,
    rng: &mut dyn CryptoRngCore,
) -> Result<Invited, SetupError> {
    let invited = authority.invite(guest, now, rng)?;
    let folder = dir.join(TERMINALS).join(&guest.name);
    create_dir(&folder)?;
    write_authoritys(dir, &folder)?;
    Ok(invited)
}

/// The authority's certificates, for a terminal to trust.
fn write_authoritys(dir: &Path, folder: &Path) -> Result<(), SetupError> {
    for name in file::CA.into_iter().chain([file::INFRASTRUCTURE_CA, file::CMP, file::TLS]) {
        write_certificate(folder, name, &read_certificate(&dir.join(CERTIFICATES), name)?)?;
    }
    Ok(())
}

pub(crate) fn check_place(window: &str, municipality: &Municipality) -> Result<(), RegistrationFault> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let names = [&municipality.prefecture, &municipality.city];
    if municipality.code.len() != 5 || !digits(&municipality.code) || names.iter().any(|name| name.is_empty()) {
        return Err(RegistrationFault::Municipality);
    }
    let symbols = window.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if window.len() != 9 || !symbols || !window.starts_with(&municipality.code) {
        return Err(RegistrationFault::Window);
    }
    Ok(())
}

fn check(registration: &TerminalRegistration) -> Result<TerminalId, RegistrationFault> {
    check_place(&registration.window, &registration.municipality)?;
    if registration.log_key.is_none() && !registration.test_peer {
        return Err(RegistrationFault::NoLog);
    }
    for key in [&registration.signing_key, &registration.tls_key].into_iter().chain(&registration.log_key) {
        p256::PublicKey::from_public_key_der(key).map_err(|_| RegistrationFault::Key)?;
    }
    TerminalId::new(&registration.name).ok_or(RegistrationFault::Name)
}

impl Credentials {
    /// Brings the certificates, which `certificate` finds by name, together with their keys.
    pub(crate) fn assemble(
        keys: &Keys,
        config: &Config,
        mut certificate: impl FnMut(&'static str) -> Result<Certificate, SetupError>,
    ) -> Result<Self, SetupError> {
        let mut matched = |name: &'static str, signer: &Signer| {
            let certificate = certificate(name)?;
            if certificate.tbs_certificate.subject_public_key_info != *signer.public_key() {
                return Err(SetupError::KeyMismatch { certificate: name });
            }
            Ok(certificate)
        };
        let signers = Signers::find(keys, config)?;
        let mut authority = |index: usize| {
            let signer = &signers.ca[index];
            let ca = CertificationAuthority {
                kind: CertificateKind::BOTH[index],
                certificate: matched(file::CA[index], signer)?,
                signer: signer.clone(),
            };
            let certificate = matched(file::OCSP[index], &signers.ocsp)?;
            Ok::<_, SetupError>((ca, Responder { certificate, signer: signers.ocsp.clone() }))
        };
        Ok(Self {
            authorities: [authority(0)?, authority(1)?],
            infrastructure: matched(file::INFRASTRUCTURE_CA, &signers.infrastructure)?,
            cmp: matched(file::CMP, &signers.cmp)?,
            tls: matched(file::TLS, &signers.tls)?,
            infrastructure_signer: signers.infrastructure,
            cmp_signer: signers.cmp,
            tls_signer: signers.tls,
        })
    }

    /// The authority that issues a kind, with its responder.
    pub(crate) fn authority(&self, kind: CertificateKind) -> &CertificationAuthority {
        let [(authentication, _), (signature, _)] = &self.authorities;
        match kind {
            CertificateKind::Authentication => authentication,
            CertificateKind::Signature => signature,
        }
    }
}

/// The authority's keys.
struct Signers {
    /// In the order of [`CertificateKind::BOTH`].
    ca: [Signer; 2],
    ocsp: Signer,
    infrastructure: Signer,
    cmp: Signer,
    tls: Signer,
}

impl Signers {
    fn find(keys: &Keys, config: &Config) -> Result<Self, SetupError> {
        let ca = |name| keys.signer(name, config.signature_algorithm());
        let service = |name| keys.signer(name, SignatureAlgorithm::EcdsaP256Sha256);
        Ok(Self {
            ca: [ca(key::AUTHENTICATION_CA)?, ca(key::SIGNATURE_CA)?],
            ocsp: service(key::OCSP)?,
            infrastructure: service(key::INFRASTRUCTURE_CA)?,
            cmp: service(key::CMP)?,
            tls: service(key::TLS)?,
        })
    }
}

/// Signs the authority's own certificates.
fn own_certificates(
    keys: &Keys,
    store: &dyn Store,
    config: &Config,
    now: Timestamp,
) -> Result<Vec<(&'static str, Certificate)>, SetupError> {
    let signers = Signers::find(keys, config)?;
    let names = Names(config.certificates.clone());
    let period = lifetime(config, now);
    let mut certificates = Vec::with_capacity(7);
    for (index, kind) in CertificateKind::BOTH.into_iter().enumerate() {
        let signer = signers.ca[index].clone();
        let certificate = certificate::root(&names, kind, &signer, store.allocate(Sequence::Serial(kind))?, period)?;
        let authority = CertificationAuthority { kind, certificate, signer };
        let serial = store.allocate(Sequence::Serial(kind))?;
        let responder = certificate::ocsp_responder(&names, &authority, signers.ocsp.public_key(), serial, period)?;
        certificates.push((file::CA[index], authority.certificate));
        certificates.push((file::OCSP[index], responder));
    }
    let serial = store.allocate(Sequence::InfrastructureSerial)?;
    let issuer = certificate::infrastructure_root(&names, &signers.infrastructure, serial, period)?;
    for (name, purpose, common_name, signer) in [
        (file::CMP, Purpose::CmpServer, "CMP", &signers.cmp),
        (file::TLS, Purpose::TlsServer, "localhost", &signers.tls),
    ] {
        let key = signer.public_key();
        let serial = store.allocate(Sequence::InfrastructureSerial)?;
        let issuer = (&issuer, &signers.infrastructure);
        let certificate = certificate::infrastructure(&names, issuer, purpose, common_name, key, serial, period)?;
        certificates.push((name, certificate));
    }
    certificates.push((file::INFRASTRUCTURE_CA, issuer));
    Ok(certificates)
}

/// From now to the end of a day before the same day (Japanese time) some years on, as the roots of JPKI have it.
fn lifetime(config: &Config, now: Timestamp) -> Validity {
    let years = i32::from(config.issuing_years) + i32::from(config.issuing.validity.birthdays_at_renewal);
    let last_day = validity::japanese_day(now).saturating_add(years.years()).saturating_sub(1.day());
    Validity { not_before: now, not_after: validity::end_of_day(last_day).unwrap_or(Timestamp::MAX) }
}

fn open_store(dir: &Path, config: &Config) -> Result<SqliteStore, SetupError> {
    Ok(SqliteStore::open(&dir.join(STORE), [config.first_serial.into(); 2])?)
}

/// The settings of the authority in `dir`.
///
/// # Errors
/// [`SetupError::NotInitialised`], [`SetupError::Io`], [`SetupError::Damaged`].
pub fn read_config(dir: &Path) -> Result<Config, SetupError> {
    let path = dir.join(CONFIG);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(SetupError::NotInitialised(dir.to_owned()));
        }
        other => other.map_err(|source| SetupError::Io { path: path.clone(), source })?,
    };
    toml::from_str(&text).map_err(|_| SetupError::Damaged(path))
}

fn read_certificate(dir: &Path, name: &str) -> Result<Certificate, SetupError> {
    let path = dir.join(format!("{name}.pem"));
    let pem = fs::read(&path).map_err(|source| SetupError::Io { path: path.clone(), source })?;
    Certificate::from_pem(pem).map_err(|_| SetupError::Damaged(path))
}

fn write_certificate(dir: &Path, name: &str, certificate: &Certificate) -> Result<(), SetupError> {
    write(&dir.join(format!("{name}.pem")), certificate.to_pem(LineEnding::LF)?.as_bytes())
}

fn create_dir(path: &Path) -> Result<(), SetupError> {
    fs::create_dir_all(path).map_err(|source| SetupError::Io { path: path.to_owned(), source })
}

fn write(path: &Path, contents: &[u8]) -> Result<(), SetupError> {
    fs::write(path, contents).map_err(|source| SetupError::Io { path: path.to_owned(), source })
}
