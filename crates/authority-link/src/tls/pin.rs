//! Exactly one counterpart.

use std::sync::Arc;

use der::{Decode, Encode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

/// Verifies the peer's certificate as usual (one trust anchor, name, dates), and that its key is the one that is known.
#[derive(Debug)]
pub(super) struct PinnedServer {
    usual: Arc<WebPkiServerVerifier>,
    key: [u8; 32],
}

impl PinnedServer {
    /// The server whose key is that of `server`; its certificate is issued by the holder of `anchor`. Both DER.
    pub(super) fn new(anchor: &[u8], server: &[u8], provider: &Arc<CryptoProvider>) -> Option<Self> {
        let mut anchors = RootCertStore::empty();
        anchors.add(CertificateDer::from(anchor)).ok()?;
        let usual =
            WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), Arc::clone(provider)).build().ok()?;
        Some(Self { usual, key: key_hash(server)? })
    }
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // First the key: a foreign peer with an expired certificate is foreign before it is expired.
        if key_hash(end_entity) != Some(self.key) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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

/// SHA-256 of a certificate's SubjectPublicKeyInfo: the same for every certificate of the same key.
fn key_hash(certificate: &[u8]) -> Option<[u8; 32]> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let spki = certificate.tbs_certificate.subject_public_key_info.to_der().ok()?;
    Some(Sha256::digest(spki).into())
}
