//! The terminal: the ports put together, the operator's session, and one procedure at a time.

mod keys;
mod log_on;
mod management;

use std::sync::Arc;
use std::time::Duration;

use audit_log::Outcome;
use authority_link::AuthorityLine;
use biometric::PalmVerifier;
use card_reader::{CardReader, Traffic};
use hsm::{Hsm, KeyName};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jpki::{Application, ApplicationChoices, ApplicationError, Resident, SubstitutionTable, TextError, TextField};
use madoguchi_time::SharedClock;
use rand_core::CryptoRngCore;
use resident_register::ResidentRegister;

use crate::driver::{Driver, StepClocks};
use crate::error::ProcedureError;
use crate::journal;
use crate::line::Line;
use crate::logbook::{LogBook, LogVerdict, Testimony, What};
use crate::operators::{self, Role};
use crate::people::{Declined, People, Question};
use crate::plan::Plan;
use crate::procedure::{Action, Applicant, CaseInput, KeyChangeover, Machine, Procedure, Versions};
use crate::progress::{ProcedureReport, Progress};
use crate::session::Session;
use crate::site::{self, SiteConfig, Trust};
use crate::state::StateFolder;

pub use self::log_on::SecondPerson;
pub use self::management::EnrolOrder;

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
        log.starts_at(ports.clock.wall());
        let open_intents = log.close_interrupted(&mut *ports.state, ports.clock.wall())?;
        log.note_weaker_modes(&mut *ports.state, &*ports.hsm, ports.clock.wall())?;
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

    /// Issues or renews: takes the application of `resident` and runs `plan`. Whatever comes of it, the terminal's records
    /// are erased at its end and the operator is logged off.
    ///
    /// # Errors
    /// Why it ended early; what was reached is in the log and on the card.
    pub fn run(&mut self, resident: &str, plan: Plan) -> Result<ProcedureReport, ProcedureError> {
        self.procedure(|terminal, procedure| {
            let applicant = terminal.take_application(resident, &plan, procedure)?;
            let birth = applicant.resident.birth;
            let input = terminal.case(Some(applicant), plan)?;
            terminal.drive(procedure, Procedure::begin(input), Some(birth))
        })
    }

    /// One procedure from its first entry to log-off.
    fn procedure(
        &mut self,
        work: impl FnOnce(&mut Self, &str) -> Result<ProcedureReport, ProcedureError>,
    ) -> Result<ProcedureReport, ProcedureError> {
        let outcome = self.while_logged_on(work);
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
        work: impl FnOnce(&mut Self, &str) -> Result<ProcedureReport, ProcedureError>,
    ) -> Result<ProcedureReport, ProcedureError> {
        self.lock_if_idle()?;
        let now = self.ports.clock.now();
        let operator = self.session.active(now, self.site.idle_limit()).ok_or(ProcedureError::NotLoggedOn)?;
        if operator.role != Role::Operator {
            return Err(ProcedureError::NotAllowed);
        }
        self.hsm_is_there()?;
        let mut number = [0; 8];
        self.ports.random.fill_bytes(&mut number);
        let procedure = hex::encode(number);
        self.log.event(&mut *self.ports.state, What::begun(&procedure), self.ports.clock.wall())?;
        let outcome = work(self, &procedure);
        let ended = outcome.as_ref().map_or_else(ProcedureError::code, |_| "done");
        let noted = self.log.event(&mut *self.ports.state, What::ended(&procedure, ended), self.ports.clock.wall());
        let report = outcome?;
        noted.map(|()| report)
    }

    /// Has the HSM sign the log as it is. A terminal whose HSM is away takes no new work, and says so before anybody is asked
    /// anything and before anything is begun.
    fn hsm_is_there(&mut self) -> Result<(), ProcedureError> {
        let deadline = self.ports.clock.deadline_in(HSM);
        self.log.checkpoint(&mut *self.ports.state, &*self.ports.hsm, deadline).map(drop)
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

    /// Runs a procedure, of an applicant with this birthday if there is one, from its first action on.
    fn drive(
        &mut self,
        procedure: &str,
        begun: (impl Machine, Action),
        holder_birth: Option<Date>,
    ) -> Result<ProcedureReport, ProcedureError> {
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
            holder_birth,
            clocks: StepClocks::default(),
            traffic: Traffic::default(),
            messages: 0,
        };
        let outcome = driver.run(&mut **reader, begun);
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
        self.procedure(|terminal, procedure| {
            let input = terminal.case(None, Plan::settle())?;
            terminal.drive(procedure, Procedure::begin(input), None)
        })
    }

    /// Card key changeover: the card gets the static keys of the site's current version, and loses those of previous ones.
    ///
    /// # Errors
    /// [`ProcedureError::CardKeysNotProved`] if the new ones open no channel; else as [`Terminal::run`].
    pub fn rekey(&mut self) -> Result<ProcedureReport, ProcedureError> {
        self.procedure(|terminal, procedure| {
            let keys = terminal.site.card_keys()?;
            let versions = Versions { current: keys.version, previous: keys.previous };
            terminal.drive(procedure, KeyChangeover::begin(versions), None)
        })
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
}

/// How many characters of the application are 代替文字.
fn substituted_positions(application: &Application) -> usize {
    let texts = [Some(&application.name), application.alias.as_ref(), Some(&application.address)];
    texts.into_iter().flatten().map(|text| text.substituted.bytes().filter(|digit| *digit == b'1').count()).sum()
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
