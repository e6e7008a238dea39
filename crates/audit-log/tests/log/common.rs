//! What the tests of a log share: a key, and a small log that a terminal might have written.

use std::convert::Infallible;

use audit_log::{
    Actor, Certified, Code, Log, LogKey, NewEntry, Outcome, ResidentReference, SignedCheckpoint, TreeHash,
};
use jiff::Timestamp;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::EncodePublicKey;

/// Somebody who can sign checkpoints: the HSM, or a forger with a key of their own.
pub(crate) struct Notary {
    signer: SigningKey,
    pub(crate) key: LogKey,
}

impl Notary {
    pub(crate) fn new(seed: u8, origin: &str) -> Self {
        let signer = SigningKey::from_slice(&[seed; 32]).unwrap();
        let spki = signer.verifying_key().to_public_key_der().unwrap();
        Self { key: LogKey::new(origin, spki.as_bytes()).unwrap(), signer }
    }

    pub(crate) fn sign(&self, size: u64, root: TreeHash) -> SignedCheckpoint {
        let sign = |message: &[u8]| {
            let signature: DerSignature = self.signer.sign(message);
            Ok::<_, Infallible>(signature.as_bytes().to_vec())
        };
        SignedCheckpoint::sign(size, root, &self.key, sign).unwrap()
    }

    /// The checkpoint of the first `size` entries of `log`.
    pub(crate) fn certify(&self, log: &Log, size: u64) -> Certified {
        Certified { checkpoint: self.sign(size, log.tree().root(size).unwrap()), key: self.key.clone() }
    }
}

/// A log with its lines, as a store keeps it.
#[derive(Clone, Default)]
pub(crate) struct Written {
    pub(crate) log: Log,
    pub(crate) lines: Vec<String>,
}

impl Written {
    pub(crate) fn append(&mut self, entry: NewEntry) -> u64 {
        let time = Timestamp::from_millisecond(1_800_000_000_123 + i64::try_from(self.lines.len()).unwrap()).unwrap();
        let prepared = self.log.prepare(entry, time).unwrap();
        self.lines.push(prepared.line().to_owned());
        self.log.commit(prepared).unwrap().index
    }

    pub(crate) fn close(&mut self, intent: u64, outcome: Outcome) {
        let entry = self.log.outcome(intent, operator(), outcome).unwrap();
        self.append(entry);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lines.concat().into_bytes()
    }

    /// A log of lines that somebody else wrote, whatever they say.
    pub(crate) fn of(lines: &[String]) -> Self {
        let (log, torn) = Log::from_lines(lines.concat().as_bytes()).unwrap();
        assert_eq!(torn, None);
        Self { log, lines: lines.to_vec() }
    }
}

pub(crate) fn operator() -> Actor {
    Actor::Operator(Code::literal("0417"))
}

/// A log of 3 · `procedures` + 1 entries without open intents.
pub(crate) fn written(procedures: u8) -> Written {
    let mut written = Written::default();
    written.append(NewEntry::event(Actor::System, Code::literal("start")));
    for number in 0..procedures {
        let procedure = Code::new(format!("p-{number}")).unwrap();
        let resident = ResidentReference([number; 32]);
        let view = NewEntry::event(operator(), Code::literal("view-resident"));
        written.append(view.procedure(procedure.clone()).resident(resident));
        let intent = NewEntry::intent(operator(), Code::literal("card-commit")).detail(Code::literal("signature"));
        let intent = written.append(intent.procedure(procedure).resident(resident));
        written.close(intent, Outcome::Done);
    }
    written
}
