//! What somebody finds out who relies on the certificates: with the card, the certificates, and the authority's public answers.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authority_link::signature::{self, SignatureError};
use cli::{CertificateFace, Failure};
use der::pem::LineEnding;
use der::{Decode, Encode, EncodePem};
use jiff::Timestamp;
use jpki::{
    Application, ApplicationChoices, CertificateError, CertificateKind, CertificateView, Person, Resident,
    SubstitutionTable, validity,
};
use madoguchi_time::{ElapsingClock, SharedClock, SystemClock};
use orchestrator::{DiskFolder, LogVerdict, Ports, ProcedureError, SiteConfig, Terminal, identity};
use rand::RngCore;
use resident_register::CsvRegister;
use sim_card::SimReader;
use spki::AlgorithmIdentifierOwned;
use x509_cert::certificate::Certificate;

use super::chain::{self, ChainFault};
use super::holder::{Holder, HolderError};
use super::ocsp::{self, OcspFault};
use crate::authority::RunningAuthority;
use crate::failure::{failure, of_line};
use crate::line::{self, Whereabouts};
use crate::palms;
use crate::people::{Persona, SimPeople};
use crate::token::Tokens;
use crate::world::{World, WorldError, parts};

/// How long the HSM may take to find a key.
const HSM: Duration = Duration::from_secs(10);

/// What the card and the certificates on it are good for.
#[derive(Default)]
pub(super) struct Proved {
    /// 電子署名 verifies.
    pub(super) signature: bool,
    /// 電子利用者証明 verifies.
    pub(super) authentication: bool,
    /// Both certificates verify under their authorities, and the one for signatures names the applicant.
    pub(super) certificates: bool,
    /// The authority says that both are valid.
    pub(super) authority_status: bool,
    /// The certificates, with what a person reads on them.
    pub(super) certificates_read: Vec<ReadCertificate>,
}

/// A certificate that was read from the card.
pub(super) struct ReadCertificate {
    pub(super) kind: CertificateKind,
    pub(super) face: CertificateFace,
    pub(super) certificate: Certificate,
}

/// Why something is not proved.
#[derive(Debug, thiserror::Error)]
enum ProofFault {
    #[error(transparent)]
    Holder(#[from] HolderError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Der(#[from] der::Error),
    #[error(transparent)]
    Ocsp(#[from] OcspFault),
    #[error(transparent)]
    Chain(#[from] ChainFault),
    #[error("the card carries the certificate of another authority")]
    OtherAuthority,
    #[error("the certificate does not say of the applicant what it should")]
    OtherPerson,
    #[error("the certificate is not valid today")]
    NotValidToday,
    #[error("the certificate can't be kept")]
    Io(#[from] io::Error),
}

/// The file in which the holder of the card keeps a certificate.
pub(super) fn file_of(world: &World, kind: CertificateKind) -> PathBuf {
    let name = match kind {
        CertificateKind::Signature => "signature.pem",
        CertificateKind::Authentication => "authentication.pem",
    };
    world.folder().holder().join(name)
}

/// Puts the card into another reader, and tries everything that it is for.
pub(super) fn of_card(world: &World, applicant: &Resident, authority: &RunningAuthority) -> Result<Proved, Failure> {
    let card = world.card_on_reader(SystemClock::shared()).map_err(failure)?;
    let card = card.ok_or_else(|| failure(WorldError::NotMade(world.folder().holder())))?;
    let mut proved = Proved::default();
    let mut holder = match Holder::new(card, world.issuing().algorithm) {
        Ok(holder) => holder,
        Err(fault) => {
            tracing::error!(%fault, "the card");
            return Ok(proved);
        }
    };
    let mut certificates = true;
    let mut status = true;
    for kind in CertificateKind::BOTH {
        let pin = parts::chosen_pin(world.seed(), &applicant.number, kind);
        let signed = sign_and_verify(&mut holder, kind, &pin);
        let checked = check(&mut holder, kind, &pin, applicant, world);
        let (read, issuer) = match checked {
            Ok((read, issuer)) => (read, issuer),
            Err(fault) => {
                tracing::error!(%fault, ?kind, "the certificate");
                (certificates, status) = (false, false);
                continue;
            }
        };
        let answer = ocsp::ask(authority.http, &issuer, &read.certificate);
        status &= holds("the authority's answer", kind, answer);
        proved.certificates_read.push(read);
        let verifies = holds("the signature", kind, signed);
        match kind {
            CertificateKind::Signature => proved.signature = verifies,
            CertificateKind::Authentication => proved.authentication = verifies,
        }
    }
    (proved.certificates, proved.authority_status) = (certificates, status);
    Ok(proved)
}

fn holds<E: std::fmt::Display>(what: &str, kind: CertificateKind, result: Result<(), E>) -> bool {
    result.inspect_err(|fault| tracing::error!(%fault, ?kind, "{what}")).is_ok()
}

/// A signature by the card over something new, verified under its certificate.
fn sign_and_verify(holder: &mut Holder, kind: CertificateKind, pin: &str) -> Result<(), ProofFault> {
    let mut message = [0; 64];
    rand::rngs::OsRng.fill_bytes(&mut message);
    let signature = holder.sign(kind, pin, &message)?;
    let certificate = Certificate::from_der(&holder.certificate(kind, pin)?)?;
    let key = certificate.tbs_certificate.subject_public_key_info.to_der()?;
    // The hash that goes with the key is the one that the issuer uses too.
    let algorithm = AlgorithmIdentifierOwned { oid: certificate.signature_algorithm.oid, parameters: None };
    Ok(signature::verify(&key, &algorithm, &message, &signature)?)
}

/// The certificate under its authority's, which is the one that everybody knows; and the holder's own copy of it.
fn check(
    holder: &mut Holder,
    kind: CertificateKind,
    pin: &str,
    applicant: &Resident,
    world: &World,
) -> Result<(ReadCertificate, Certificate), ProofFault> {
    let der = holder.certificate(kind, pin)?;
    let view = CertificateView::parse(&der)?;
    let certificate = Certificate::from_der(&der)?;
    let issuer = Certificate::from_der(&holder.authority(kind)?)?;
    if issuer != published_authority(world, kind)? {
        return Err(ProofFault::OtherAuthority);
    }
    chain::check_issuer(&certificate, &issuer)?;
    let now = Timestamp::now();
    if !(view.not_before..=view.not_after).contains(&now) {
        return Err(ProofFault::NotValidToday);
    }
    if !says_what_it_should(kind, view.person.as_ref(), applicant, now) {
        return Err(ProofFault::OtherPerson);
    }
    keep(&file_of(world, kind), &certificate)?;
    Ok((ReadCertificate { kind, face: CertificateFace::from(&view), certificate }, issuer))
}

/// A certificate for signatures names its holder with everything that was applied for, one for authentication nobody.
fn says_what_it_should(kind: CertificateKind, person: Option<&Person>, applicant: &Resident, now: Timestamp) -> bool {
    let (table, choices) = (SubstitutionTable::builtin(), ApplicationChoices::default());
    let application = Application::from_resident(applicant, validity::japanese_day(now), table, &choices);
    match (kind, person, application) {
        (CertificateKind::Authentication, None, _) => true,
        (CertificateKind::Signature, Some(person), Ok(application)) => {
            person.name == application.name
                && person.alias == application.alias
                && person.address == application.address
                && (person.birth, person.sex) == (application.birth, application.sex)
        }
        _ => false,
    }
}

/// The certification authority's certificate as the authority publishes it.
fn published_authority(world: &World, kind: CertificateKind) -> Result<Certificate, ProofFault> {
    let name = match kind {
        CertificateKind::Signature => "signature-ca.pem",
        CertificateKind::Authentication => "authentication-ca.pem",
    };
    let pem = fs::read(world.folder().authority().join("certificates").join(name))?;
    Ok(der::DecodePem::from_pem(pem)?)
}

fn keep(path: &std::path::Path, certificate: &Certificate) -> Result<(), ProofFault> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let pem = certificate.to_pem(LineEnding::LF)?;
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(pem.as_bytes())?)
}

/// The operation history, verified by a terminal that starts anew, and compared with the authority's witness.
pub(super) fn of_log(world: &World, tokens: &Tokens, authority: &RunningAuthority) -> Result<LogVerdict, Failure> {
    let clock: SharedClock = ElapsingClock::shared();
    let state = DiskFolder::open(world.folder().root())?;
    let site = SiteConfig::load(&state)?;
    let hsm = world.hsm(tokens).map_err(failure)?;
    let whereabouts = Whereabouts::At(authority.cmp);
    let folder = world.folder().authority();
    let client = identity::line_client(&state, &*hsm, clock.wall(), clock.deadline_in(HSM));
    let client = client.map_err(ProcedureError::from)?;
    let line = line::open((&state, &site), Some(client), &folder, whereabouts, Arc::clone(&hsm), Arc::clone(&clock))
        .map_err(of_line)?;
    let (sensor, _) = palms::sensor(world.palms(), Arc::clone(&clock)).map_err(ProcedureError::from)?;
    let ports = Ports {
        reader: Box::new(SimReader::new("SIM-READER", Arc::clone(&clock))),
        verifier: Box::new(sensor),
        register: Box::new(CsvRegister::open(world.folder().register()).map_err(ProcedureError::from)?),
        people: Box::new(SimPeople::new(Persona::default())),
        state: Box::new(state),
        random: Box::new(rand::rngs::OsRng),
        clock,
        hsm,
        line,
    };
    Ok(Terminal::start(ports, Box::new(|_| {}))?.verify_log()?)
}
