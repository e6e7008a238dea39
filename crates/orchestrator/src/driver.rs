//! The driver: does what a procedure says, over the ports, and accounts for it.
//!
//! Before anything that takes effect there is an intent in the log and a line in the journal, both durable; after it,
//! exactly one outcome. If those can't be written, the effect does not happen.

use std::time::Duration;

use audit_log::Outcome as LogOutcome;
use card_reader::{CardError, CardReader, Traffic};
use hsm::{CardKeyPairKind, Hsm};
use jpki::{CertificateKind, Pin};
use madoguchi_time::{Clock, Deadline, Moment, Recovery};
use rand_core::CryptoRngCore;

use crate::card::{CardKeys, CardSession, SessionError};
use crate::error::ProcedureError;
use crate::journal::{self, JournalLine};
use crate::line::{Line, failure_name};
use crate::logbook::{Intent, LogBook, What};
use crate::people::{Declined, People, Question};
use crate::plan::Step;
use crate::procedure::{Action, AuthorityCall, CardCommand, CardReply, Event, Machine, Outcome, PinWanted};
use crate::progress::Progress;
use crate::site::SiteConfig;
use crate::state::StateFolder;

/// How long a person may take to present a card, or to enter PINs.
const PERSON: Duration = Duration::from_secs(180);
/// How long one command may take. RSA key generation takes a minute and more on some cards.
const CARD: Duration = Duration::from_secs(180);
/// How long the HSM may take for a key pair. RSA keys need many seconds in some modules.
const KEY_PAIR: Duration = Duration::from_secs(90);
/// The step of having a key pair made in the HSM. On other cards there is `generate-key` instead: the log tells where a key was made.
const MAKE_KEY: &str = "make-key";
/// How often a resident may choose a PIN that breaks a rule before the procedure ends.
const PIN_CHOICES: u8 = 5;

/// Runs one procedure.
pub(crate) struct Driver<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) hsm: &'a dyn Hsm,
    pub(crate) people: &'a mut dyn People,
    pub(crate) state: &'a mut dyn StateFolder,
    pub(crate) random: &'a mut (dyn CryptoRngCore + Send),
    pub(crate) site: &'a SiteConfig,
    pub(crate) keys: CardKeys,
    pub(crate) line: Line<'a>,
    pub(crate) log: &'a mut LogBook,
    pub(crate) progress: &'a mut (dyn FnMut(&Progress) + Send),
    /// The procedure's number, for log and journal.
    pub(crate) procedure: String,
    /// For the rules of new PINs; nobody's if nothing is issued.
    pub(crate) holder_birth: Option<jiff::civil::Date>,
    pub(crate) clocks: StepClocks,
    pub(crate) traffic: Traffic,
    pub(crate) messages: u64,
}

/// When the things began whose time is told.
#[derive(Default)]
pub(crate) struct StepClocks {
    step: Option<Moment>,
    card: Option<Moment>,
}

impl Driver<'_> {
    /// Runs a procedure from its first action to its end. What it reached and why it ended is the answer.
    pub(crate) fn run<M: Machine>(
        &mut self,
        reader: &mut dyn CardReader,
        (mut procedure, mut action): (M, Action),
    ) -> Outcome {
        loop {
            (procedure, action) = match action {
                Action::Finish(mut outcome) => {
                    outcome.report.apdus = self.traffic.apdus;
                    outcome.report.bytes_out = self.traffic.bytes_out;
                    outcome.report.bytes_in = self.traffic.bytes_in;
                    outcome.report.messages = self.messages;
                    return outcome;
                }
                Action::BeginCard => self.with_card(reader, procedure),
                Action::AskFaceCode => {
                    let answer = self.people.card_face_code(self.deadline(PERSON));
                    self.step(procedure, answer.map_or(Event::Declined, Event::FaceCode))
                }
                Action::AskPins(wanted) => {
                    let event = self.ask_pins(&wanted);
                    self.step(procedure, event)
                }
                Action::AskOverwrite => {
                    let answer = self.people.confirm(Question::OverwritesInPlace, self.deadline(PERSON));
                    self.step(procedure, if answer == Ok(true) { Event::Agreed } else { Event::Declined })
                }
                Action::Authority(call) => {
                    let event = self.authority(call);
                    self.step(procedure, event)
                }
                // The machine sends commands only while it holds a card.
                Action::Card(_) | Action::MakeKeyPair(..) | Action::EndCard => self.step(procedure, Event::CardLost),
            };
        }
    }

    /// Everything between the beginning and the end of one card transaction.
    fn with_card<M: Machine>(&mut self, reader: &mut dyn CardReader, procedure: M) -> (M, Action) {
        let deadline = self.deadline(PERSON);
        if let Err(error) = reader.wait_for_card(deadline) {
            // That no card came is not a card that left.
            return self.step(procedure, Event::CardFailed(error));
        }
        self.clocks.card = Some(self.clock.now());
        let mut connection = match reader.connect(self.deadline(CARD)) {
            Ok(connection) => connection,
            Err(error) => return self.step(procedure, not_opened(error)),
        };
        let capabilities = connection.capabilities();
        let transaction = match connection.begin(self.deadline(CARD)) {
            Ok(transaction) => transaction,
            Err(error) => return self.step(procedure, not_opened(error)),
        };
        let mut session = CardSession::new(transaction, capabilities, self.keys.clone());
        let (mut procedure, mut action) = self.step(procedure, Event::CardReady);
        loop {
            let event = match action {
                Action::Card(command) => self.card(&mut session, command),
                Action::MakeKeyPair(kind, algorithm) => self.make_key_pair(&session, kind, algorithm),
                Action::Authority(call) => self.authority(call),
                Action::EndCard => {
                    end(session);
                    return self.step(procedure, Event::CardEnded);
                }
                action => {
                    // The machine gave the card up; if it is still there, nothing that was verified stays open.
                    end(session);
                    return (procedure, action);
                }
            };
            (procedure, action) = self.step(procedure, event);
        }
    }

    fn step<M: Machine>(&mut self, procedure: M, event: Event) -> (M, Action) {
        let (mut procedure, action) = procedure.step(event);
        for told in procedure.told() {
            let told = self.timed(told);
            (self.progress)(&told);
        }
        (procedure, action)
    }

    /// Fills in the times that the machine, which has no clock, leaves open.
    fn timed(&mut self, mut told: Progress) -> Progress {
        let now = self.clock.now();
        let since = |from: Option<Moment>| {
            from.map_or(0, |from| u64::try_from(now.since(from).as_millis()).unwrap_or(u64::MAX))
        };
        match &mut told {
            Progress::StepStarted { .. } => self.clocks.step = Some(now),
            // A check is done on the spot, without a start of its own.
            Progress::StepDone { step, elapsed_ms, .. } if *step != Step::Check => {
                *elapsed_ms = since(self.clocks.step)
            }
            Progress::CardRecognised { elapsed_ms, .. } => *elapsed_ms = since(self.clocks.card),
            _ => {}
        }
        told
    }

    fn card(&mut self, session: &mut CardSession<'_>, command: CardCommand) -> Event {
        let intended = match (command.is_accounted(), command.key_version()) {
            (false, _) => Ok(None),
            (true, None) => self.intend(command.kind(), command.name(), None).map(Some),
            (true, Some(version)) => self.intend_keys(command.name(), version).map(Some),
        };
        let intent = match intended {
            Ok(intent) => intent,
            Err(error) => return Event::Failed(Box::new(error)),
        };
        let mut challenge = [0; 32];
        self.random.fill_bytes(&mut challenge);
        let performed = session.perform(&command, self.hsm, &challenge, self.deadline(CARD));
        self.tell_traffic(session);
        let outcome = match &performed {
            Ok(CardReply::Done(_)) => (LogOutcome::Done, None),
            Ok(CardReply::Refused(status)) => (LogOutcome::Refused, Some(format!("{:04X}", status.0))),
            Ok(CardReply::Nonsense) | Err(_) => (LogOutcome::Unknown, None),
        };
        if let Err(error) = self.account(intent, outcome) {
            return Event::Failed(Box::new(error));
        }
        match performed {
            Ok(reply) => Event::Card(reply),
            Err(SessionError::Card(error)) => lost_or_failed(error),
            Err(SessionError::Channel(error)) if matches!(command, CardCommand::OpenChannel) => {
                tracing::warn!(%error, "the card does not open a channel with this terminal's keys");
                Event::Failed(Box::new(ProcedureError::WrongCard))
            }
            // New keys that open nothing are what a changeover tries for.
            Err(SessionError::Channel(error)) if matches!(command, CardCommand::OpenDomain(_)) => {
                tracing::warn!(%error, "the card does not open a channel with this key version");
                Event::Card(CardReply::Nonsense)
            }
            // In the middle of a session a broken channel is a bad contact or somebody in between: look anew.
            Err(SessionError::Channel(error)) => {
                tracing::warn!(%error, "the channel to the card broke");
                Event::CardLost
            }
            Err(SessionError::Hsm(error)) => Event::Failed(Box::new(error.into())),
        }
    }

    /// The HSM makes a key pair for the card in `session`. That it was made there, the log keeps.
    fn make_key_pair(&mut self, session: &CardSession<'_>, kind: CertificateKind, algorithm: CardKeyPairKind) -> Event {
        let Some(key_set) = session.key_set() else { return Event::CardLost };
        let intent = match self.intend(Some(kind), MAKE_KEY, None) {
            Ok(intent) => intent,
            Err(error) => return Event::Failed(Box::new(error)),
        };
        let made = self.hsm.make_card_key_pair(algorithm, key_set, self.deadline(KEY_PAIR));
        let outcome = if made.is_ok() { LogOutcome::Done } else { LogOutcome::Failed };
        if let Err(error) = self.account(Some(intent), (outcome, None)) {
            return Event::Failed(Box::new(error));
        }
        made.map_or_else(|error| Event::Failed(Box::new(error.into())), Event::KeyPairMade)
    }

    fn authority(&mut self, call: AuthorityCall) -> Event {
        let intent = match call.effect() {
            Some((kind, step)) => match self.intend(Some(kind), step, call.transaction()) {
                Ok(intent) => Some(intent),
                Err(error) => return Event::Failed(Box::new(error)),
            },
            None => None,
        };
        let deadline = self.deadline(CARD);
        let checkpoint = match self.log.checkpoint(self.state, self.hsm, deadline) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                // Nothing was sent. That this can't be written down either changes nothing about the first error.
                let _ = self.account(intent, (LogOutcome::Failed, None));
                return Event::Failed(Box::new(error));
            }
        };
        let name = call.name();
        let answered = self.line.ask(call, self.random, self.log, &checkpoint, self.progress);
        self.messages += answered.messages;
        (self.progress)(&Progress::Message { kind: name.into(), sent: answered.sent, received: answered.received });
        let outcome = match &answered.result {
            Ok(authority_link::Answer::Refused { failure, .. }) => (LogOutcome::Refused, Some(failure_name(*failure))),
            Ok(_) => (LogOutcome::Done, None),
            Err(_) if answered.messages == 0 => (LogOutcome::Failed, None),
            Err(_) => (LogOutcome::Unknown, None),
        };
        if let Err(error) = self.account(intent, outcome) {
            return Event::Failed(Box::new(error));
        }
        match answered.result {
            Ok(answer) => Event::Authority(answer, self.clock.wall()),
            Err(error) => Event::AuthorityFailed(Box::new(error)),
        }
    }

    /// Journal line and log intent, both durable, before an effect.
    fn intend(
        &mut self,
        kind: Option<CertificateKind>,
        step: &'static str,
        transaction: Option<String>,
    ) -> Result<Intent, ProcedureError> {
        let line = JournalLine { procedure: self.procedure.clone(), step: step.into(), transaction };
        journal::note(self.state, &line)?;
        let what = What::step(&self.procedure, kind, step);
        self.log.intend(self.state, what, self.clock.wall())
    }

    /// The same before the keys of a version are changed.
    fn intend_keys(&mut self, step: &'static str, version: u8) -> Result<Intent, ProcedureError> {
        let line = JournalLine { procedure: self.procedure.clone(), step: step.into(), transaction: None };
        journal::note(self.state, &line)?;
        let version = format!("{version:02x}");
        let what = What::keys(&self.procedure, step, &version);
        self.log.intend(self.state, what, self.clock.wall())
    }

    /// The one outcome after an effect.
    fn account(
        &mut self,
        intent: Option<Intent>,
        (outcome, detail): (LogOutcome, Option<String>),
    ) -> Result<(), ProcedureError> {
        match intent {
            Some(intent) => self.log.close(self.state, intent, outcome, detail.as_deref(), self.clock.wall()),
            None => Ok(()),
        }
    }

    /// Asks for every PIN that is wanted, before the card is held. A PIN that breaks a rule is refused and asked for again.
    fn ask_pins(&mut self, wanted: &[PinWanted]) -> Event {
        let mut pins = Vec::with_capacity(wanted.len());
        for pin in wanted {
            match self.ask_pin(*pin) {
                Ok(pin_entered) => pins.push((pin.kind, pin_entered)),
                Err(Declined) => return Event::Declined,
            }
        }
        Event::Pins(pins)
    }

    fn ask_pin(&mut self, wanted: PinWanted) -> Result<Pin, Declined> {
        for _ in 0..PIN_CHOICES {
            let deadline = self.deadline(PERSON);
            let typed = match wanted.known {
                None => self.people.choose_pin(wanted.kind, deadline)?,
                Some(tries_left) => self.people.enter_pin(wanted.kind, tries_left, deadline)?,
            };
            let checked = Pin::new(wanted.kind, &typed).and_then(|pin| match wanted.known {
                None => self.holder_birth.map_or(Ok(()), |birth| self.site.pin_rules.check(&pin, birth)).map(|()| pin),
                Some(_) => Ok(pin),
            });
            match checked {
                Ok(pin) => return Ok(pin),
                Err(reason) => self.people.pin_refused(wanted.kind, &reason),
            }
        }
        Err(Declined)
    }

    fn tell_traffic(&mut self, session: &mut CardSession<'_>) {
        for exchange in session.take_exchanges() {
            self.traffic.apdus += 1;
            self.traffic.bytes_out += exchange.sent as u64;
            self.traffic.bytes_in += exchange.received as u64;
            (self.progress)(&Progress::Apdu {
                header: exchange.header,
                sent: exchange.sent,
                received: exchange.received,
                status: exchange.status,
            });
        }
    }

    fn deadline(&self, allowance: Duration) -> Deadline {
        self.clock.deadline_in(allowance)
    }
}

/// Ends a card transaction with a reset. A card that is gone needs none, and that it could not be reset changes nothing.
fn end(session: CardSession<'_>) {
    if let Err(error) = session.end() {
        tracing::debug!(%error, "ending the card transaction");
    }
}

/// A card that has gone again is waited for. One that does not react or can't be used, and a reader that is stuck, stay so
/// at the next attempt: they are reported as what they are.
fn not_opened(error: CardError) -> Event {
    let gone = matches!(error, CardError::NoCard) || error.recovery() == Recovery::Reconnect;
    if gone { Event::CardLost } else { Event::CardFailed(error) }
}

fn lost_or_failed(error: CardError) -> Event {
    match error.recovery() {
        Recovery::Reconnect | Recovery::AskPerson => Event::CardLost,
        _ => Event::CardFailed(error),
    }
}
