//! An authority with its own keys and without its own good will: what the terminal's checks are for.

use std::sync::Arc;
use std::time::Duration;

use authority::key;
use authority_link::message::{PkiBody, PkiMessage, RawSequence, Unprotected};
use authority_link::signature::algorithm_identifier;
use der::asn1::BitString;
use der::{Decode, Encode};
use hsm::{Hsm, KeyName, SignatureAlgorithm};
use jpki::CertificateKind;
use madoguchi_tests::Stage;
use madoguchi_time::{Clock, VirtualClock};
use sim_hsm::SoftwareHsm;
use x509_cert::certificate::{Certificate, TbsCertificate};

/// Whoever has the authority's HSM.
#[derive(Clone)]
pub(crate) struct Liar {
    hsm: Arc<SoftwareHsm>,
    clock: Arc<VirtualClock>,
}

impl Liar {
    pub(crate) fn of(stage: &Stage) -> Self {
        Self { hsm: stage.authority_hsm(), clock: stage.clock.clone() }
    }

    /// Puts something else in the place of the certificate that an answer carries, if it carries one.
    pub(crate) fn replace_certificate(&self, answer: Vec<u8>, change: impl FnOnce(Certificate) -> Vec<u8>) -> Vec<u8> {
        let mut message = PkiMessage::from_bytes(&answer).unwrap();
        let PkiBody::Ip(content) = &mut message.body else { return answer };
        let granted = content.response[0].certified_key_pair.as_mut().unwrap();
        let honest = Certificate::from_der(&granted.certificate.der().unwrap()).unwrap();
        granted.certificate = RawSequence::new(&change(honest)).unwrap();
        self.protect(message)
    }

    /// Signs a certificate as the authority of `kind` does.
    pub(crate) fn certify(&self, kind: CertificateKind, tbs_certificate: TbsCertificate) -> Certificate {
        let key = match kind {
            CertificateKind::Signature => key::SIGNATURE_CA,
            CertificateKind::Authentication => key::AUTHENTICATION_CA,
        };
        let signature = self.sign(key, SignatureAlgorithm::RsaPkcs1Sha256, &tbs_certificate.to_der().unwrap());
        Certificate {
            signature_algorithm: tbs_certificate.signature.clone(),
            signature: BitString::from_bytes(&signature).unwrap(),
            tbs_certificate,
        }
    }

    /// Protects a message as the authority does.
    pub(crate) fn protect(&self, message: PkiMessage) -> Vec<u8> {
        self.protect_with(key::CMP, message)
    }

    /// Protects a message with any of the authority's keys on P-256.
    pub(crate) fn protect_with(&self, key: &str, message: PkiMessage) -> Vec<u8> {
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        let mut header = message.header;
        header.protection_alg = algorithm_identifier(algorithm);
        let extra_certs = message.extra_certs.unwrap_or_default();
        let unprotected = Unprotected { header, body: message.body, extra_certs };
        let signature = self.sign(key, algorithm, &unprotected.to_be_protected().unwrap());
        unprotected.protect(&signature).unwrap().to_vec()
    }

    fn sign(&self, key: &str, algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
        let deadline = self.clock.deadline_in(Duration::from_secs(10));
        self.hsm.sign(&KeyName::new(key), algorithm, message, deadline).unwrap()
    }
}
