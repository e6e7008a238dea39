//! Nothing that comes over the line makes either end panic, and nothing is read that is not written back the same.

mod common;

use authority_link::items::RequestedCertificate;
use authority_link::message::{PkiBody, PkiMessage, RawSequence};
use authority_link::{Authority, CertificateState, Request, Sent, open_answer, signature, state};
use common::{World, key, now};
use der::Decode;
use jpki::CertificateKind;
use proptest::prelude::*;
use spki::AlgorithmIdentifierOwned;
use std::sync::LazyLock;
use x509_cert::Certificate;

/// Messages to be spoiled: OpenSSL's, and requests of ours.
fn specimens() -> Vec<Vec<u8>> {
    let world = World::new();
    let certification = world.certification(CertificateKind::Signature, &key(9), None);
    let ours = [Request::Certification(Box::new(certification)), Request::StateOf([1; 32]), Request::Unsettled];
    let fixtures: [&[u8]; 10] = [
        include_bytes!("fixtures/ir.der"),
        include_bytes!("fixtures/ip.der"),
        include_bytes!("fixtures/p10cr.der"),
        include_bytes!("fixtures/certConf-rejection.der"),
        include_bytes!("fixtures/rr.der"),
        include_bytes!("fixtures/rp.der"),
        include_bytes!("fixtures/genp.der"),
        include_bytes!("fixtures/error.der"),
        include_bytes!("fixtures/pollRep.der"),
        include_bytes!("fixtures/ip-rejection.der"),
    ];
    let ours = ours.into_iter().map(|request| world.send(request).bytes().to_vec());
    fixtures.iter().map(|fixture| fixture.to_vec()).chain(ours).collect()
}

/// Both ends of the line.
struct Ends {
    sent: Sent,
    authority: Authority,
}

impl Ends {
    fn new() -> Self {
        let world = World::new();
        Self { sent: world.send(Request::StateOf([1; 32])), authority: world.authority() }
    }

    /// Everything that either end does with bytes from the line.
    fn take(&self, bytes: &[u8]) {
        let _ = open_answer(bytes, self.sent.expected(), &self.authority, now());
        let Ok(message) = PkiMessage::from_bytes(bytes) else { return };
        assert_eq!(message.to_bytes().as_deref().map(Vec::as_slice), Ok(bytes));
        let _ = state::checkpoint_of(&message.header);
        read_body(&message.body);
    }
}

fn read_body(body: &PkiBody) {
    match body {
        PkiBody::Ir(requests) | PkiBody::Cr(requests) => {
            for request in requests {
                let _ = RequestedCertificate::read(request, jiff::civil::date(2027, 4, 1));
            }
        }
        PkiBody::Genm(infos) | PkiBody::Genp(infos) => {
            for info in infos {
                let _ = (state::asked_certificate(info), CertificateState::from_info(info));
                let _ = (state::read_unsettled(info), state::read_witnessed_checkpoint(info));
            }
        }
        _ => {}
    }
}

#[test]
fn every_truncation_and_every_changed_byte_is_survived() {
    let ends = Ends::new();
    for specimen in specimens() {
        for position in 0..specimen.len() {
            ends.take(&specimen[..position]);
            let mut changed = specimen.clone();
            // The high bit spoils lengths, the low one tags and values.
            changed[position] ^= if position % 2 == 0 { 0x80 } else { 0x01 };
            ends.take(&changed);
        }
    }
}

#[test]
fn every_changed_certificate_of_a_signer_is_refused() {
    let issuer = Certificate::from_der(include_bytes!("fixtures/ca-certificate.der")).unwrap();
    let message = PkiMessage::from_bytes(include_bytes!("fixtures/genm.der")).unwrap();
    let signer = message.extra_certs.as_ref().unwrap()[0].der().unwrap();
    for position in 0..signer.len() {
        let mut changed = signer.clone();
        changed[position] ^= 0x01;
        let Ok(certificate) = RawSequence::new(&changed) else { continue };
        let message = PkiMessage { extra_certs: Some(vec![certificate]), ..message.clone() };
        message.verify_issued_by(&issuer, now()).unwrap_err();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        static ENDS: LazyLock<Ends> = LazyLock::new(Ends::new);
        ENDS.take(&bytes);
    }

    #[test]
    fn any_key_and_signature_are_survived(
        spki in prop::collection::vec(any::<u8>(), 0..128),
        other in prop::collection::vec(any::<u8>(), 0..128),
        changed in 0usize..91,
        to in any::<u8>(),
    ) {
        let mut near = common::spki(&key(9));
        near[changed] = to;
        for oid in ["1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12"] {
            let algorithm = AlgorithmIdentifierOwned { oid: der::asn1::ObjectIdentifier::new_unwrap(oid), parameters: None };
            for spki in [&spki, &near] {
                prop_assert!(signature::verify(spki, &algorithm, b"message", &other).is_err());
            }
        }
    }
}
