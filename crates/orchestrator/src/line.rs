//! The line to the authority: messages protected by the HSM, asked again when they are lost, answers opened.

use std::time::Duration;

use audit_log::SignedCheckpoint;
use authority_link::message::{Failure, FailureInfo};
use authority_link::state::PROOF_WANTED;
use authority_link::{
    Answer, Authority, AuthorityLine, Confirmation, Opened, Purpose, Request, Sent, Terminal, TransactionId,
};
use hsm::{Hsm, KeyName, SignatureAlgorithm};
use madoguchi_time::{Clock, Recovery};
use rand_core::CryptoRngCore;

use crate::error::ProcedureError;
use crate::identity;
use crate::logbook::{LogBook, Testimony};
use crate::procedure::AuthorityCall;
use crate::progress::Progress;
use crate::site::Trust;

/// How often one message is sent. Sending the same bytes again is harmless: the authority recognises them.
const ATTEMPTS: u32 = 3;
/// How often a request is made: the authority may want another proof, and once more if a late message has moved it meanwhile.
const PROOFS: u32 = 3;
/// How long one exchange may take.
const EXCHANGE: Duration = Duration::from_secs(30);
/// How long the HSM may take.
const HSM: Duration = Duration::from_secs(10);

/// The line of one procedure.
pub(crate) struct Line<'a> {
    line: &'a mut dyn AuthorityLine,
    hsm: &'a dyn Hsm,
    clock: &'a dyn Clock,
    terminal: Terminal,
    /// The name of the key that protects the messages.
    key: KeyName,
    authority: Authority,
}

/// What came of one call.
pub(crate) struct Answered {
    pub(crate) result: Result<Answer, ProcedureError>,
    pub(crate) messages: u64,
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl<'a> Line<'a> {
    pub(crate) fn new(
        line: &'a mut dyn AuthorityLine,
        hsm: &'a dyn Hsm,
        clock: &'a dyn Clock,
        trust: &Trust,
    ) -> Result<Self, ProcedureError> {
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        let terminal = Terminal::new(&trust.terminal_signing, algorithm, &trust.authority_signing)
            .map_err(ProcedureError::AuthorityNotTrusted)?;
        let authority = Authority::pinned(&trust.authority_signing).map_err(ProcedureError::AuthorityNotTrusted)?;
        // An authority whose own certificate has expired is told as that: a new certificate of this terminal's would not help.
        let now = clock.wall();
        if identity::refuse_expired(&trust.authority_signing, Purpose::Messages, now).is_ok() {
            identity::refuse_expired(&trust.terminal_signing, Purpose::Messages, now)?;
        }
        let key = identity::key_of(hsm, &trust.terminal_signing, Purpose::Messages, clock.deadline_in(HSM))?;
        Ok(Self { line, hsm, clock, terminal, key, authority })
    }

    /// Asks, and asks again with the same bytes if the message or its answer was lost. If the authority wants another proof that
    /// `checkpoint` continues what it has witnessed, the same is asked with that.
    pub(crate) fn ask(
        &mut self,
        call: AuthorityCall,
        random: &mut dyn CryptoRngCore,
        log: &mut LogBook,
        checkpoint: &SignedCheckpoint,
        progress: &mut dyn FnMut(&Progress),
    ) -> Answered {
        let mut answered = Answered {
            result: Err(ProcedureError::AuthorityRefused { failure: String::new() }),
            messages: 0,
            sent: 0,
            received: 0,
        };
        let (request, transaction) = into_request(call, random);
        for _ in 0..PROOFS {
            let sent = match self.protect(request.clone(), transaction, random, &log.shown(checkpoint)) {
                Ok(sent) => sent,
                Err(error) => {
                    answered.result = Err(error);
                    return answered;
                }
            };
            let wants_proof = self.send(&sent, log, &mut answered, progress);
            if !wants_proof {
                break;
            }
        }
        answered
    }

    /// Sends one message, and again if it or its answer was lost. Is another proof wanted?
    fn send(
        &mut self,
        sent: &Sent,
        log: &mut LogBook,
        answered: &mut Answered,
        progress: &mut dyn FnMut(&Progress),
    ) -> bool {
        for attempt in 1..=ATTEMPTS {
            if attempt > 1 {
                progress(&Progress::AuthorityRetried { attempt });
            }
            answered.messages += 1;
            answered.sent += sent.bytes().len();
            let (opened, again) = self.exchange(sent, &mut answered.received);
            match opened {
                Ok(opened) => {
                    let wants_proof = wants_proof(&opened, log);
                    answered.result = Ok(opened.answer);
                    return wants_proof;
                }
                Err(error) => answered.result = Err(error),
            }
            if !again {
                break;
            }
        }
        false
    }

    /// What the authority knows of this terminal's log.
    pub(crate) fn testimony(
        &mut self,
        random: &mut dyn CryptoRngCore,
        log: &mut LogBook,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Testimony, ProcedureError> {
        let mut refusal = FailureInfo::default();
        for _ in 0..PROOFS {
            let transaction = TransactionId(draw(random));
            let sent = self.protect(Request::WitnessedCheckpoint, transaction, random, &log.shown(checkpoint))?;
            let opened = self.exchange(&sent, &mut 0).0?;
            let wants_proof = wants_proof(&opened, log);
            match opened.answer {
                Answer::Checkpoint(checkpoint) => {
                    let alarm = opened.witness.and_then(|witness| witness.alarm);
                    return Ok(Testimony { checkpoint, alarm });
                }
                Answer::Refused { failure, .. } if wants_proof => refusal = failure,
                Answer::Refused { failure, .. } => return Err(refused(failure)),
                _ => return Err(ProcedureError::AuthorityRefused { failure: "unexpectedAnswer".into() }),
            }
        }
        Err(refused(refusal))
    }

    fn protect(
        &self,
        request: Request,
        transaction: TransactionId,
        random: &mut dyn CryptoRngCore,
        checkpoint: &str,
    ) -> Result<Sent, ProcedureError> {
        let outgoing = self
            .terminal
            .address(request, transaction, draw(random), self.clock.wall(), checkpoint)
            .map_err(ProcedureError::AuthorityNotTrusted)?;
        let deadline = self.clock.deadline_in(HSM);
        let signature = self.hsm.sign(&self.key, self.terminal.algorithm(), outgoing.to_be_protected(), deadline)?;
        outgoing.protect(&signature).map_err(ProcedureError::AuthorityNotTrusted)
    }

    /// One exchange, and whether it is worth another.
    fn exchange(&mut self, sent: &Sent, received: &mut usize) -> (Result<Opened, ProcedureError>, bool) {
        let answer = match self.line.exchange(sent.bytes(), self.clock.deadline_in(EXCHANGE)) {
            Ok(answer) => answer,
            Err(error) => {
                let again = matches!(error.recovery(), Recovery::Retry | Recovery::Reconnect);
                return (Err(ProcedureError::AuthorityUnreachable(Box::new(error))), again);
            }
        };
        *received += answer.len();
        match authority_link::open(&answer, sent.expected(), &self.authority, self.clock.wall()) {
            Ok(opened) => (Ok(opened), false),
            Err(error) => {
                let again = error.recovery() == Recovery::Retry;
                (Err(ProcedureError::AuthorityNotTrusted(error)), again)
            }
        }
    }
}

/// Takes in what the authority says of the log. Was the request refused for nothing but a proof that begins elsewhere?
fn wants_proof(opened: &Opened, log: &mut LogBook) -> bool {
    let Some(witness) = &opened.witness else { return false };
    log.told(witness);
    matches!(&opened.answer, Answer::Refused { code: Some(PROOF_WANTED), .. })
}

/// A refusal by the name that RFC 9810 §5.2.3 gives its first reason.
pub(crate) fn refused(failure: FailureInfo) -> ProcedureError {
    ProcedureError::AuthorityRefused { failure: failure_name(failure) }
}

pub(crate) fn failure_name(failure: FailureInfo) -> String {
    failure.iter().next().map_or("unspecified", Failure::name).into()
}

fn into_request(call: AuthorityCall, random: &mut dyn CryptoRngCore) -> (Request, TransactionId) {
    match call {
        AuthorityCall::StateOf(name) => (Request::StateOf(name), TransactionId(draw(random))),
        AuthorityCall::Certify(_, transaction, request) => {
            (Request::Certification(request), TransactionId(transaction))
        }
        AuthorityCall::Confirm { transaction, certificate, accept, .. } => {
            let confirmation = Confirmation::by_sha256(certificate);
            let confirmation = if accept { confirmation } else { confirmation.rejecting(Failure::BadCertTemplate) };
            (Request::Confirm(confirmation), TransactionId(transaction))
        }
        AuthorityCall::Supersede(_, certificate) => (Request::Supersede(certificate), TransactionId(draw(random))),
        AuthorityCall::Retire(_, certificate) => (Request::Retire(certificate), TransactionId(draw(random))),
    }
}

fn draw<const N: usize>(random: &mut dyn CryptoRngCore) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill_bytes(&mut bytes);
    bytes
}
