//! The authority's end of the TLS line: TLS 1.3 only, its key in the HSM, and only terminals of the allow-list at the
//! other end.

use std::sync::Arc;

use authority_link::Purpose;
use der::Encode;
use jiff::Timestamp;
use madoguchi_time::SharedClock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureAlgorithm,
    SignatureScheme,
};
use sha2::{Digest as _, Sha256};

use crate::authority::Authority;
use crate::error::SetupError;
use crate::signer::Signer;
use crate::store::{State, TerminalCertificateKey, TerminalId};

/// The TLS settings of an authority.
pub(super) fn config(authority: &Arc<Authority>, clock: &SharedClock) -> Result<ServerConfig, SetupError> {
    let credentials = authority.credentials();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = AllowList::new(authority, &provider)?;
    let signing: Arc<dyn SigningKey> = Arc::new(HsmSigner(credentials.tls_signer.clone()));
    let chain = vec![CertificateDer::from(credentials.tls.to_der()?)];
    let certified = OneCertificate(Arc::new(CertifiedKey::new(chain, signing)));
    let time = Arc::new(WallTime(Arc::clone(clock)));
    let mut config = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| SetupError::Tls(error.into()))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(certified));
    // Every connection is looked up in the allow-list anew.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The terminal whose certificate this is, if it is on the allow-list.
pub(super) fn terminal(authority: &Authority, certificate: &[u8]) -> Option<TerminalId> {
    let sha256 = Sha256::digest(certificate).into();
    let own = authority.store().terminal_certificate(TerminalCertificateKey::Certificate(&sha256)).ok()??;
    let terminal = authority.store().terminal(&own.terminal).ok()??;
    let is_good = own.purpose == Purpose::Line && own.state == State::Valid && terminal.authorised;
    is_good.then_some(terminal.id)
}

/// Verifies a client's certificate as usual, and that it is a registered terminal's. Who shows none may ask for a first one, and for
/// nothing else.
struct AllowList {
    usual: Arc<dyn ClientCertVerifier>,
    authority: Arc<Authority>,
}

impl AllowList {
    fn new(authority: &Arc<Authority>, provider: &Arc<CryptoProvider>) -> Result<Self, SetupError> {
        let mut anchors = RootCertStore::empty();
        let anchor = CertificateDer::from(authority.credentials().infrastructure.to_der()?);
        anchors.add(anchor).map_err(|error| SetupError::Tls(error.into()))?;
        let usual = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), Arc::clone(provider))
            .build()
            .map_err(|error| SetupError::Tls(error.into()))?;
        Ok(Self { usual, authority: Arc::clone(authority) })
    }
}

impl std::fmt::Debug for AllowList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AllowList")
    }
}

impl ClientCertVerifier for AllowList {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.usual.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.usual.verify_client_cert(end_entity, intermediates, now)?;
        match terminal(&self.authority, end_entity) {
            Some(_) => Ok(verified),
            None => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Only TLS 1.3 is offered.
        Err(Error::General("TLS 1.2 is not spoken on this line".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// The TLS key in the HSM, ECDSA P-256.
#[derive(Clone)]
struct HsmSigner(Signer);

impl std::fmt::Debug for HsmSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HsmSigner")
    }
}

impl SigningKey for HsmSigner {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        offered.contains(&scheme).then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for HsmSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message).map_err(|error| {
            tracing::error!(%error, "the HSM did not sign a handshake");
            Error::General("the HSM did not sign".into())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// The wall clock of the composition, for the dates of certificates.
#[derive(Debug)]
struct WallTime(SharedClock);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(Timestamp::as_second(self.0.wall())).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}
