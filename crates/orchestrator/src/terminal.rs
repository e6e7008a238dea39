//! The terminal: the ports put together, the operator's session, and one procedure at a time.

use std::sync::Arc;
use std::time::Duration;

use audit_log::{Entry, Outcome, Phase};
use authority_link::AuthorityLine;
use biometric::{CaptureEvent, PalmVerifier, RetryReason, Verification};
use card_reader::{CardReader, Traffic};
use hsm::{Hsm, KeyName};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jpki::{Application, ApplicationChoices, ApplicationError, Resident, SubstitutionTable, TextError, TextField};
use madoguchi_time::{Deadline, SharedClock};
use rand_core::CryptoRngCore;
use resident_register::ResidentRegister;

use crate::driver::{Driver, StepClocks};
use crate::error::ProcedureError;
use crate::journal;
use crate::line::Line;
use crate::logbook::{self, LogBook, LogVerdict, Testimony, What};
use crate::operators::{self, Operator, Role};
use crate::people::{Declined, People, Question};
use crate::plan::Plan;
use crate::procedure::{Applicant, CaseInput};
use crate::progress::{ProcedureReport, Progress};
use crate::session::Session;
use crate::site::{self, SiteConfig, Trust};
use crate::state::StateFolder;

/// How long an operator's log-on may take, all captures together.
const LOG_ON: Duration = Duration::from_secs(60);
/// How long a question to a person may stand.
const QUESTION: Duration = Duration::from_secs(180);
/// How many characters of one application a clerk may have to replace.
const SUBSTITUTES: usize = 32;
/// How long the HSM may take.
const HSM: Duration = Duration::from_secs(10);

/// Everything that the terminal reaches the world through.
pub struct Ports {
    /// Time.
    pub clock: SharedClock,
    /// The card reader.
    pub reader: Box<dyn CardReader>,
    /// The HSM.
    pub hsm: Arc<dyn Hsm>,
    /// The palm-vein device with its matcher.
    pub verifier: Box<dyn PalmVerifier>,
    /// The municipality's register.
    pub register: Box<dyn ResidentRegister>,
    /// The line to the authority.
    pub line: Box<dyn AuthorityLine>,
    /// The resident and the clerk.
    pub people: Box<dyn People>,
    /// The state folder.
    pub state: Box<dyn StateFolder>,
    /// Randomness.
    pub random: Box<dyn CryptoRngCore + Send>,
}

/// Who tells and who is told.
pub type ProgressSink = Box<dyn FnMut(&Progress) + Send>;

/// A new operator.
#[derive(Clone, Debug)]
pub struct EnrolOrder {
    /// 照合ID.
    pub user_id: String,
    /// 操作者ID.
    pub operator_id: String,
    /// What the role may do.
    pub role: Role,
}

/// One terminal, started on its state folder.
pub struct Terminal {
    ports: Ports,
    site: SiteConfig,
    trust: Trust,
    log: LogBook,
    session: Session,
    progress: ProgressSink,
}

impl Terminal {
    /// Takes the state folder, checks the log, and closes what an interrupted procedure left open there.
    ///
    /// # Errors
    /// [`ProcedureError::State`] if the folder is in use or damaged.
    pub fn start(mut ports: Ports, mut progress: ProgressSink) -> Result<Self, ProcedureError> {
        ports.state.lock()?;
        let site = SiteConfig::load(&*ports.state)?;
        let trust = Trust::load(&*ports.state)?;
        let deadline = ports.clock.deadline_in(HSM);
        let mut log = LogBook::open(&mut *ports.state, &*ports.hsm, &site.terminal, deadline)?;
        let open_intents = log.close_interrupted(&mut *ports.state, ports.clock.wall())?;
        if open_intents > 0 || !journal::interrupted(&*ports.state)?.is_empty() {
            progress(&Progress::InterruptionFound { open_intents });
        }
        // A torn line is no line, and goes too.
        journal::erase(&mut *ports.state)?;
        let mut terminal = Self { ports, site, trust, log, session: Session::default(), progress };
        for user_id in operators::put_back(&*terminal.ports.state, terminal.log.retirements()) {
            tracing::warn!(user_id, "a retired operator's record was not retired");
            terminal.note_retirement(&user_id)?;
        }
        Ok(terminal)
    }

    /// 照合情報認証: the user ID names the operator, the palm proves it. An unknown ID and a foreign palm look the same. Whoever
    /// was logged on before is logged off first.
    ///
    /// # Errors
    /// [`ProcedureError::LogOnRefused`], [`ProcedureError::NoUsableCapture`], or the sensor's.
    pub fn log_on(&mut self, user_id: &str) -> Result<(), ProcedureError> {
        self.log_off()?;
        let began = self.ports.clock.now();
        let deadline = self.ports.clock.deadline_in(LOG_ON);
        let matched = self.match_palm(user_id, deadline);
        let elapsed = self.ports.clock.now().since(began);
        let outcome = match &matched {
            Ok(_) => "done",
            Err(ProcedureError::LogOnRefused) => "refused",
            Err(ProcedureError::NoUsableCapture(_)) => "no-usable-capture",
            Err(_) => "failed",
        };
        // Only a known ID is logged: what a stranger types may be anything, a card number or a password.
        let known = operators::find(&*self.ports.state, self.log.retirements(), user_id).ok().flatten();
        self.log.acts(known.as_ref().map(|operator| operator.user_id.as_str()));
        let noted = self.log.event(&mut *self.ports.state, What::log_on(outcome), self.ports.clock.wall());
        if matched.is_err() || noted.is_err() {
            self.log.acts(None);
            (self.progress)(&Progress::LogOnRefused);
        }
        // The first error wins.
        let (operator, captures) = matched?;
        noted?;
        self.session.log_on(operator, self.ports.clock.now());
        (self.progress)(&Progress::LoggedOn { operator: user_id.into(), captures, elapsed_ms: millis(elapsed) });
        Ok(())
    }

    fn match_palm(&mut self, user_id: &str, deadline: Deadline) -> Result<(Operator, u32), ProcedureError> {
        let known = operators::find(&*self.ports.state, self.log.retirements(), user_id)?
            .filter(|operator| operator.retired_at.is_none());
        // A stranger's ID gets a capture like any other, compared with somebody's palm and refused whatever comes of it.
        let compared_with = match &known {
            Some(operator) => Some(operator.user_id.clone()),
            None => {
                let all = operators::all(&*self.ports.state, self.log.retirements())?.collect::<Result<Vec<_>, _>>()?;
                all.into_iter().find(|operator| operator.retired_at.is_none()).map(|operator| operator.user_id)
            }
        };
        let Some(compared_with) = compared_with else { return Err(ProcedureError::LogOnRefused) };
        let templates = operators::templates(&*self.ports.state, &*self.ports.hsm, &compared_with, deadline)?
            .ok_or(ProcedureError::LogOnRefused)?;
        let mut captures = 0;
        let verdict = self.ports.verifier.verify(&templates, deadline, &mut |event| {
            watch_capture(&event, &mut captures, &mut self.progress);
        })?;
        match (verdict, known) {
            (Verification::Match, Some(operator)) => Ok((operator, captures)),
            (Verification::Unusable(reason), _) => Err(ProcedureError::NoUsableCapture(reason_key(reason).into())),
            _ => Err(ProcedureError::LogOnRefused),
        }
    }

    /// Issues or renews: takes the application of `resident` and runs `plan`. Whatever comes of it, the terminal's records
    /// are erased at its end and the operator is logged off.
    ///
    /// # Errors
    /// Why it ended early; what was reached is in the log and on the card.
    pub fn run(&mut self, resident: &str, plan: Plan) -> Result<ProcedureReport, ProcedureError> {
        self.procedure(|terminal, procedure| {
            let applicant = terminal.take_application(resident, &plan, procedure)?;
            terminal.case(Some(applicant), plan)
        })
    }

    /// One procedure from its first entry to log-off.
    fn procedure(
        &mut self,
        prepare: impl FnOnce(&mut Self, &str) -> Result<CaseInput, ProcedureError>,
    ) -> Result<ProcedureReport, ProcedureError> {
        let outcome = self.while_logged_on(prepare);
        let erased = self.erase_records();
        let logged_off = self.log_off();
        if !matches!(outcome, Err(ProcedureError::AuthorityUnreachable(_) | ProcedureError::NotLoggedOn)) {
            self.have_witnessed();
        }
        self.ports.line.close();
        // The first error wins.
        let report = outcome?;
        erased.and(logged_off).map(|()| report)
    }

    /// Shows the authority how the log ends, so that cutting off even the last entries is found. If it does not hear of it, the
    /// next exchange tells it.
    fn have_witnessed(&mut self) {
        if let Err(error) = self.testimony() {
            tracing::warn!(%error, "the end of the log is not witnessed yet");
        }
    }

    /// Shows the authority the log as it is now. The answer is what it had witnessed before.
    fn testimony(&mut self) -> Result<Testimony, ProcedureError> {
        let deadline = self.ports.clock.deadline_in(HSM);
        let checkpoint = self.log.checkpoint(&mut *self.ports.state, &*self.ports.hsm, deadline)?;
        let Ports { clock, hsm, line, random, .. } = &mut self.ports;
        let mut line = Line::new(&mut **line, &**hsm, &**clock, &self.trust)?;
        let testimony = line.testimony(&mut **random, &mut self.log, &checkpoint)?;
        self.log.keep_witnessed(&mut *self.ports.state)?;
        Ok(testimony)
    }

    fn while_logged_on(
        &mut self,
        prepare: impl FnOnce(&mut Self, &str) -> Result<CaseInput, ProcedureError>,
    ) -> Result<ProcedureReport, ProcedureError> {
        self.lock_if_idle()?;
        let now = self.ports.clock.now();
        let operator = self.session.active(now, self.site.idle_limit()).ok_or(ProcedureError::NotLoggedOn)?;
        if operator.role != Role::Operator {
            return Err(ProcedureError::NotAllowed);
        }
        let mut number = [0; 8];
        self.ports.random.fill_bytes(&mut number);
        let procedure = hex::encode(number);
        self.log.event(&mut *self.ports.state, What::begun(&procedure), self.ports.clock.wall())?;
        let outcome = prepare(self, &procedure).and_then(|input| self.drive(&procedure, input));
        let ended = outcome.as_ref().map_or_else(ProcedureError::code, |_| "done");
        let noted = self.log.event(&mut *self.ports.state, What::ended(&procedure, ended), self.ports.clock.wall());
        let report = outcome?;
        noted.map(|()| report)
    }

    fn case(&mut self, applicant: Option<Applicant>, plan: Plan) -> Result<CaseInput, ProcedureError> {
        let mut entropy = [0; 32];
        self.ports.random.fill_bytes(&mut entropy);
        Ok(CaseInput {
            plan,
            applicant,
            profile: self.site.profile()?,
            environment: self.site.environment()?,
            municipality: self.site.municipality.clone(),
            issuers: self.trust.issuers.clone(),
            began: self.ports.clock.wall(),
            entropy,
        })
    }

    fn take_application(&mut self, number: &str, plan: &Plan, procedure: &str) -> Result<Applicant, ProcedureError> {
        let began = self.ports.clock.now();
        self.ask(Question::ApplicantIsHere)?;
        let wall = self.ports.clock.wall();
        // Looking at a resident's data is an entry too, made before the look.
        let key = KeyName::new(KeyName::RESIDENT_REFERENCE);
        let reference = self.ports.hsm.mac(&key, number.as_bytes(), self.ports.clock.deadline_in(HSM))?;
        self.log.event(&mut *self.ports.state, What::viewed(procedure, reference), wall)?;
        let resident = self.ports.register.find(number)?.ok_or(ProcedureError::UnknownResident)?;

        let now = japan(wall);
        for kind in plan.kinds() {
            jpki::eligible(&resident, kind, now.date())
                .map_err(|reason| ProcedureError::NotEligible { kind, reason })?;
        }
        let application = self.with_substitutes(&resident, now.date())?;
        let substituted = substituted_positions(&application);
        if substituted > 0 {
            self.ask(Question::SubstitutedCharacters(substituted))?;
        }
        let request = site::next_request_number(&mut *self.ports.state)?;
        let elapsed = self.ports.clock.now().since(began);
        (self.progress)(&Progress::ApplicationTaken { kinds: plan.kinds(), substituted, elapsed_ms: millis(elapsed) });
        let request_name = format!("{}{request:05}{}", now.strftime("%Y%m%d%H%M%S"), self.site.window);
        Ok(Applicant { resident, application, request_name })
    }

    /// Makes the application; where the table has no 代替文字, the clerk chooses one.
    fn with_substitutes(&mut self, resident: &Resident, applied_on: Date) -> Result<Application, ProcedureError> {
        let mut choices = ApplicationChoices::default();
        for _ in 0..SUBSTITUTES {
            let made = Application::from_resident(resident, applied_on, SubstitutionTable::builtin(), &choices);
            let Err(ApplicationError::Text { field, reason: TextError::NoSubstitute { position } }) = made else {
                return Ok(made?);
            };
            let deadline = self.ports.clock.deadline_in(QUESTION);
            let chosen = self.ports.people.choose_substitute(field, position, deadline);
            let chosen = chosen.map_err(|Declined| ProcedureError::Cancelled)?;
            let of_text = match field {
                TextField::Name => &mut choices.name,
                TextField::Alias => &mut choices.alias,
                TextField::Address => &mut choices.address,
            };
            *of_text = std::mem::take(of_text).with_choice(position, &chosen);
        }
        Err(ProcedureError::Cancelled)
    }

    /// Asks the clerk. No is as good as a cancellation.
    fn ask(&mut self, question: Question) -> Result<(), ProcedureError> {
        let deadline = self.ports.clock.deadline_in(QUESTION);
        match self.ports.people.confirm(question, deadline) {
            Ok(true) => Ok(()),
            Ok(false) | Err(Declined) => Err(ProcedureError::Cancelled),
        }
    }

    fn drive(&mut self, procedure: &str, input: CaseInput) -> Result<ProcedureReport, ProcedureError> {
        let keys = self.site.card_keys()?;
        let Ports { clock, reader, hsm, line, people, state, random, .. } = &mut self.ports;
        let mut driver = Driver {
            clock: &**clock,
            hsm: &**hsm,
            people: &mut **people,
            state: &mut **state,
            random: &mut **random,
            site: &self.site,
            keys,
            line: Line::new(&mut **line, &**hsm, &**clock, &self.trust)?,
            log: &mut self.log,
            progress: &mut *self.progress,
            procedure: procedure.into(),
            holder_birth: input.applicant.as_ref().map(|applicant| applicant.resident.birth),
            clocks: StepClocks::default(),
            traffic: Traffic::default(),
            messages: 0,
        };
        let outcome = driver.run(&mut **reader, input);
        match outcome.failure {
            None => Ok(outcome.report),
            Some(failure) => Err(failure),
        }
    }

    /// Looks at the card and settles what is pending, without issuing anything.
    ///
    /// # Errors
    /// As [`Terminal::run`].
    pub fn settle(&mut self) -> Result<ProcedureReport, ProcedureError> {
        self.procedure(|terminal, _| terminal.case(None, Plan::settle()))
    }

    /// Registers an operator's palm. Somebody with the role アクセス管理責任者 must be logged on, unless this is the first, who then
    /// must have that role.
    ///
    /// # Errors
    /// [`ProcedureError::NotAllowed`], or the sensor's.
    pub fn enrol_operator(&mut self, order: EnrolOrder) -> Result<Operator, ProcedureError> {
        let first = self.nobody_was_ever_enrolled()?;
        if !first && !self.is_access_manager()? {
            return Err(ProcedureError::NotAllowed);
        }
        if first && order.role != Role::AccessManager {
            return Err(ProcedureError::NotAllowed);
        }
        let (state, retirements) = (&*self.ports.state, self.log.retirements());
        let is_known = operators::find(state, retirements, &order.user_id)?.is_some();
        // Who was retired stays retired, even if the record is gone.
        if !operators::is_user_id(&order.user_id) || is_known || retirements.of(&order.user_id).is_some() {
            return Err(ProcedureError::UserIdNotFree);
        }
        let deadline = self.ports.clock.deadline_in(LOG_ON);
        let mut captures = 0;
        let templates = self.ports.verifier.enrol(deadline, &mut |event| {
            watch_capture(&event, &mut captures, &mut self.progress);
        })?;
        let operator = Operator {
            user_id: order.user_id,
            operator_id: order.operator_id,
            role: order.role,
            enrolled_at: self.ports.clock.wall(),
            retired_at: None,
        };
        let what = What::operator(What::ENROL_OPERATOR, &operator.user_id);
        let intent = self.log.intend(&mut *self.ports.state, what, self.ports.clock.wall())?;
        let done = operators::enrol(
            &mut *self.ports.state,
            &*self.ports.hsm,
            operator.clone(),
            &templates,
            &mut *self.ports.random,
            deadline,
        );
        self.log.close(&mut *self.ports.state, intent, outcome_of(&done), None, self.ports.clock.wall())?;
        done.map(|()| operator)
    }

    /// Retires an operator: the templates are erased. Who retires themselves is logged off.
    ///
    /// # Errors
    /// [`ProcedureError::NotAllowed`] unless an アクセス管理責任者 is logged on, [`ProcedureError::LastAccessManager`] if nobody else
    /// has that role.
    pub fn retire_operator(&mut self, user_id: &str) -> Result<Operator, ProcedureError> {
        if !self.is_access_manager()? {
            return Err(ProcedureError::NotAllowed);
        }
        let operator = operators::find(&*self.ports.state, self.log.retirements(), user_id)?;
        let operator = operator.ok_or(ProcedureError::UnknownOperator)?;
        if operator.is_active_manager() && !self.has_another_manager(user_id)? {
            return Err(ProcedureError::LastAccessManager);
        }
        let retired = self.note_retirement(user_id)?;
        let now = self.ports.clock.now();
        if self.session.active(now, self.site.idle_limit()).is_some_and(|operator| operator.user_id == user_id) {
            self.log_off()?;
        }
        Ok(retired)
    }

    /// Without one, nobody could register or retire anybody. A record that is damaged is nobody's.
    fn has_another_manager(&self, user_id: &str) -> Result<bool, ProcedureError> {
        let mut all = operators::all(&*self.ports.state, self.log.retirements())?;
        Ok(all.any(|operator| operator.is_ok_and(|other| other.user_id != user_id && other.is_active_manager())))
    }

    fn note_retirement(&mut self, user_id: &str) -> Result<Operator, ProcedureError> {
        let at = self.ports.clock.wall();
        let intent = self.log.intend(&mut *self.ports.state, What::operator(What::RETIRE_OPERATOR, user_id), at)?;
        let done = operators::retire(&mut *self.ports.state, user_id, at).map_err(ProcedureError::from);
        self.log.close(&mut *self.ports.state, intent, outcome_of(&done), None, self.ports.clock.wall())?;
        done
    }

    fn is_access_manager(&mut self) -> Result<bool, ProcedureError> {
        self.lock_if_idle()?;
        let operator = self.session.active(self.ports.clock.now(), self.site.idle_limit());
        Ok(operator.is_some_and(|operator| operator.role == Role::AccessManager))
    }

    /// The log knows too: whoever empties the folder of operators does not become the first.
    fn nobody_was_ever_enrolled(&self) -> Result<bool, ProcedureError> {
        if operators::all(&*self.ports.state, self.log.retirements())?.next().transpose()?.is_some() {
            return Ok(false);
        }
        let is_enrolment = |entry: &Entry| {
            let done = matches!(entry.phase, Phase::Outcome { outcome: Outcome::Done, .. });
            done && entry.step.as_str() == What::ENROL_OPERATOR
        };
        Ok(!logbook::entries(&*self.ports.state)?.iter().any(is_enrolment))
    }

    /// Locks the screen if nobody has done anything for too long. Every procedure asks first; whoever shows a screen asks now
    /// and then.
    ///
    /// # Errors
    /// If the log can't be written; the screen is locked all the same.
    pub fn lock_if_idle(&mut self) -> Result<bool, ProcedureError> {
        let locked = self.session.lock_if_idle(self.ports.clock.now(), self.site.idle_limit());
        if locked {
            self.log.event(&mut *self.ports.state, What::locked(), self.ports.clock.wall())?;
        }
        Ok(locked)
    }

    /// Logs the operator off. No error if nobody is logged on.
    ///
    /// # Errors
    /// If the log can't be written; nobody is logged on all the same.
    pub fn log_off(&mut self) -> Result<(), ProcedureError> {
        if self.session.log_off().is_some() {
            let noted = self.log.event(&mut *self.ports.state, What::log_off(), self.ports.clock.wall());
            self.log.acts(None);
            noted?;
            let deadline = self.ports.clock.deadline_in(HSM);
            self.log.checkpoint(&mut *self.ports.state, &*self.ports.hsm, deadline)?;
            (self.progress)(&Progress::LoggedOff);
        }
        Ok(())
    }

    /// Erases what the procedure kept: the journal. Everything else was in memory and is wiped where it was held.
    fn erase_records(&mut self) -> Result<(), ProcedureError> {
        journal::erase(&mut *self.ports.state)?;
        (self.progress)(&Progress::Erased);
        Ok(())
    }

    /// Verifies the whole log, and compares it with what the authority witnessed. If the authority was ever shown another log in
    /// this terminal's name, that is a fault until somebody has acknowledged it there.
    ///
    /// # Errors
    /// If the authority can't be asked or the folder can't be read; what is wrong with the log is in the verdict.
    pub fn verify_log(&mut self) -> Result<LogVerdict, ProcedureError> {
        let testimony = self.testimony();
        self.ports.line.close();
        self.log.verify(&*self.ports.state, &testimony?)
    }

    /// The operators of this terminal.
    ///
    /// # Errors
    /// If a record is damaged.
    pub fn operators(&self) -> Result<Vec<Operator>, ProcedureError> {
        Ok(operators::all(&*self.ports.state, self.log.retirements())?.collect::<Result<_, _>>()?)
    }
}

/// How many characters of the application are 代替文字.
fn substituted_positions(application: &Application) -> usize {
    let texts = [Some(&application.name), application.alias.as_ref(), Some(&application.address)];
    texts.into_iter().flatten().map(|text| text.substituted.bytes().filter(|digit| *digit == b'1').count()).sum()
}

/// A reason as a key of the message catalogue.
fn reason_key(reason: RetryReason) -> &'static str {
    match reason {
        RetryReason::NoHand => "no-hand",
        RetryReason::TooNear => "too-near",
        RetryReason::TooFar => "too-far",
        RetryReason::TooLeft => "too-left",
        RetryReason::TooRight => "too-right",
        RetryReason::OffCentre => "off-centre",
        RetryReason::Moving => "moving",
        RetryReason::Tilted => "tilted",
        RetryReason::TooDark => "too-dark",
        RetryReason::TooBright => "too-bright",
        RetryReason::Covered => "covered",
        RetryReason::NoVeins => "no-veins",
        _ => "unusable",
    }
}

fn watch_capture(event: &CaptureEvent, captures: &mut u32, progress: &mut ProgressSink) {
    match event {
        CaptureEvent::Begin { .. } => *captures += 1,
        CaptureEvent::Retry(reason) => {
            progress(&Progress::CaptureRetried { capture: *captures, reason: reason_key(*reason).into() });
        }
        CaptureEvent::NotRecognised => {
            progress(&Progress::CaptureRetried { capture: *captures, reason: "not-recognised".into() });
        }
        _ => {}
    }
}

fn outcome_of<T>(done: &Result<T, ProcedureError>) -> Outcome {
    if done.is_ok() { Outcome::Done } else { Outcome::Failed }
}

/// Japan's date and time: UTC+9 all year.
fn japan(at: jiff::Timestamp) -> jiff::Zoned {
    at.to_zoned(TimeZone::fixed(Offset::constant(9)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
