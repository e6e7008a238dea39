//! What is sent and received leaves nothing in this process's memory once it is dropped. One test in one process: it looks
//! into all of it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use authority_link::message::{
    CertRepMessage, CertResponse, CertifiedKeyPair, PkiBody, PkiMessage, PkiStatusInfo, RawSequence, Unprotected,
};
use authority_link::{Answer, CertificationRequest, Request, open_answer};
use common::{REQUEST_NAME, World, application, key, now, spki};
use jpki::{Application, CertificateKind, CertificateText};
use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::Signer;

/// What no literal of the test binary, and no constant of anybody, looks like.
const MASK: u8 = 0x5C;

/// A text that is nowhere in memory but where somebody has unmasked it.
struct Canary(Vec<u8>);

impl Canary {
    /// A text of hiragana that follows from the seed.
    fn new(mut seed: u32) -> Self {
        let masked = (0..24).flat_map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // U+3041 to U+307F: E3 81 81 to E3 81 BF.
            [0xE3 ^ MASK, 0x81 ^ MASK, (0x81 + (seed >> 26) as u8 % 63) ^ MASK]
        });
        Self(masked.collect())
    }

    fn text(&self) -> CertificateText {
        // To its final size at once, so that nothing is left where it grew.
        let mut text = String::with_capacity(self.0.len());
        for character in self.0.chunks(3) {
            let character: Vec<u8> = character.iter().map(|byte| byte ^ MASK).collect();
            text.push_str(std::str::from_utf8(&character).unwrap());
        }
        CertificateText { text, substituted: "0".repeat(24) }
    }

    /// How often it is in this process's writable memory.
    fn count(&self) -> usize {
        let mut memory = File::open("/proc/self/mem").unwrap();
        let mut window = vec![0u8; 1 << 20];
        let own = window.as_ptr() as u64..window.as_ptr() as u64 + window.len() as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut count = 0;
        for map in maps.lines().filter(|map| map.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw"))) {
            let (from, to) = map.split(' ').next().unwrap().split_once('-').unwrap();
            let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            let mut at = from;
            while at < to {
                let length = usize::try_from(to - at).unwrap().min(window.len());
                if memory.seek(SeekFrom::Start(at)).is_err() || memory.read_exact(&mut window[..length]).is_err() {
                    break;
                }
                for (offset, found) in window[..length].windows(self.0.len()).enumerate() {
                    let here = at + offset as u64;
                    let is_it = found.iter().zip(&self.0).all(|(byte, masked)| byte ^ MASK == *masked);
                    count += usize::from(is_it && !own.contains(&here));
                }
                // The next window overlaps this one, so that nothing hides on the seam.
                at += if length == window.len() { (length - self.0.len()) as u64 } else { length as u64 };
            }
            window.fill(0);
        }
        count
    }
}

fn personal(canaries: &[Canary; 3]) -> Application {
    Application {
        name: canaries[0].text(),
        alias: Some(canaries[1].text()),
        address: canaries[2].text(),
        ..application()
    }
}

/// Drafts, proves, protects, sends, and opens the answer, which holds the same items again.
fn exchange(world: &World, canaries: &[Canary; 3]) {
    let application = personal(canaries);
    let card = key(9);
    let draft = CertificationRequest::draft(
        CertificateKind::Signature,
        &application,
        &spki(&card),
        REQUEST_NAME,
        &world.ca.certificate,
        None,
    )
    .unwrap();
    let proof: DerSignature = card.sign(draft.to_be_proved());
    let request = draft.prove(proof.as_bytes()).unwrap();
    let sent = world.send(Request::Certification(Box::new(request)));

    // The authority sends back, in the place of the certificate, the whole request: whatever was in it is in the answer.
    let asked = PkiMessage::from_bytes(sent.bytes()).unwrap();
    let certified = CertifiedKeyPair { certificate: RawSequence::new(sent.bytes()).unwrap() };
    let response = CertResponse {
        cert_req_id: 0,
        status: PkiStatusInfo::accepted(),
        certified_key_pair: Some(certified),
        rsp_info: None,
    };
    let mut header = asked.header.clone();
    std::mem::swap(&mut header.sender, &mut header.recipient);
    header.recip_nonce = header.sender_nonce.take();
    header.sender_kid = None;
    let answer = Unprotected {
        header,
        body: PkiBody::Ip(CertRepMessage { ca_pubs: None, response: vec![response] }),
        extra_certs: vec![RawSequence::new(&world.authority_certificate).unwrap()],
    };
    let signature: DerSignature = world.authority_key.sign(&answer.to_be_protected().unwrap());
    let answer = answer.protect(signature.as_bytes()).unwrap();
    let answer = open_answer(&answer, sent.expected(), &world.authority(), now()).unwrap();
    assert!(matches!(answer, Answer::Issued { .. }));
    assert!(canaries[0].count() >= 3, "application, request and answer are in memory now");
}

#[test]
fn nothing_of_an_exchange_is_left_in_memory() {
    // The search finds what is there, and what has been freed without being wiped.
    let planted = Canary::new(0);
    assert_eq!(planted.count(), 0);
    let mut buffer = Vec::with_capacity(256);
    buffer.resize(128, 0u8);
    buffer.extend(planted.0.iter().map(|byte| byte ^ MASK));
    assert_eq!(planted.count(), 1);
    drop(std::hint::black_box(buffer));
    assert_eq!(planted.count(), 1);

    let world = World::new();
    let canaries = [1, 2, 3].map(Canary::new);
    exchange(&world, &canaries);
    assert_eq!(canaries.map(|canary| canary.count()), [0, 0, 0]);
}
