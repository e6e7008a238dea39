//! The fault loops through the real stack: terminal, adapter, PC/SC library, pcscd, a virtual reader's driver, card. They
//! take real time: pcscd looks for a card every 400 ms, so many readers work side by side.

use std::ffi::CString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use card_reader_pcsc::{PcscReader, ReaderChoice};
use jiff::Timestamp;
use madoguchi_time::{Clock, Moment, SharedClock, VirtualClock};
use orchestrator::{Plan, ProcedureError, ProcedureReport};
use pcsc::{Context, Protocols, ReaderState, Scope, ShareMode, State};
use private_pcscd::{Lease, PrivatePcscd};
use sim_card::When;
use sim_card::vpcd::{VpcdControl, VpcdRunner};

use super::{BOTH, Findings, Variant, settle};
use crate::checks::Broken;
use crate::reader::WatchedReader;
use crate::stage::{Interlude, OPERATOR, Stage, Start};

/// The terminal with the real reader.
const PLACE: usize = 0;
const STARTS: [Start; 2] = [Start::Fresh, Start::Issued];
/// Nothing in a reader takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one question for changes may stand.
const LOOK: Duration = Duration::from_secs(1);
/// For how long another program keeps the card: until pcscd has looked for it so often.
const KEPT: u64 = 2;

/// Time as it passes, with the date of the stage.
#[derive(Debug)]
pub struct RealTime {
    began: Instant,
    stage: Arc<VirtualClock>,
}

impl RealTime {
    /// The clock of a terminal on this stage whose reader takes real time.
    #[must_use]
    pub fn shared(stage: &Stage) -> SharedClock {
        Arc::new(Self { began: Instant::now(), stage: stage.clock.clone() })
    }
}

impl Clock for RealTime {
    fn now(&self) -> Moment {
        Moment::since_start(self.began.elapsed())
    }

    fn wall(&self) -> Timestamp {
        self.stage.wall()
    }

    fn elapse(&self, _duration: Duration) {}
}

/// A stage whose card goes to a virtual reader.
struct Desk {
    stage: Stage,
    start: Start,
    runner: VpcdRunner,
    lease: Lease,
    context: Context,
}

impl Desk {
    /// The card lies on the desk.
    fn new(start: Start, lease: Lease) -> Self {
        let stage = Variant::PRODUCT.stage(start);
        let card = stage.control(PLACE).remove().expect("a card");
        let runner = VpcdRunner::new(card, format!("127.0.0.1:{}", lease.port));
        let context = Context::establish(Scope::System).expect("the service runs");
        let desk = Self { stage, start, runner, lease, context };
        // The card of the case before may have been there a moment ago.
        desk.wait_until_empty();
        desk
    }

    fn control(&self) -> VpcdControl {
        self.runner.control()
    }

    fn reader_name(&self) -> CString {
        CString::new(self.lease.name.as_str()).expect("a name")
    }

    fn wait_until_empty(&self) {
        wait_until(&self.context, self.reader_name(), |state| state.contains(State::EMPTY));
    }

    /// Runs the procedure. The card goes into the reader whenever the terminal waits for one; then `happens` is told how
    /// often that has been before.
    fn run(
        &mut self,
        plan: Plan,
        watch: &WatchedReader,
        mut happens: impl FnMut(u32) + Send + 'static,
    ) -> Result<ProcedureReport, ProcedureError> {
        let clock = RealTime::shared(&self.stage);
        let reader = PcscReader::new(ReaderChoice::Named(self.lease.name.clone()), clock.clone());
        let control = self.control();
        let interlude = Interlude {
            reader: watch.watch(Box::new(reader)),
            waits: 0,
            happens: move |waits| {
                control.insert().expect("the virtual reader listens");
                happens(waits);
            },
        };
        let mut ports = self.stage.ports(PLACE);
        ports.reader = Box::new(interlude);
        ports.clock = clock;
        let number = self.stage.resident.number.clone();
        let mut terminal = self.stage.start_on(ports)?;
        terminal.log_on(OPERATOR)?;
        terminal.run(&number, plan)
    }

    /// Takes the card out, gives the reader to others and looks at what was left: all is done, or can be settled.
    fn close(self, findings: &mut Findings, name: &str, done: bool) {
        let Self { mut stage, start, runner, lease, .. } = self;
        stage.control(PLACE).insert(runner.finish().expect("the card"));
        drop(lease);
        if done {
            findings.note(name, stage.check_settled());
            for place in 0..stage.places() {
                findings.note(name, stage.check_accounted(place));
            }
            findings.note(name, stage.check_nothing_left());
            findings.cases += 1;
        } else {
            settle(findings, name, Variant::PRODUCT, &mut stage, PLACE, start);
        }
    }
}

/// One procedure that nothing disturbs. How many APDUs reach the card?
///
/// # Panics
/// If the procedure does not come to its end.
#[must_use]
pub fn undisturbed(pcscd: &Arc<PrivatePcscd>, start: Start) -> u64 {
    let mut findings = Findings::default();
    let mut desk = Desk::new(start, pcscd.lease());
    let watch = WatchedReader::new(&desk.stage.conversation);
    desk.run(Variant::PRODUCT.plan(start), &watch, |_| {}).expect("issued");
    let apdus = desk.control().activity().apdus;
    desk.close(&mut findings, "undisturbed", true);
    assert!(findings.broken.is_empty(), "{:?}", findings.broken);
    apdus
}

/// The card is taken away before every APDU of an issue and after every APDU of a renewal, and put back. (A card that leaves
/// before an APDU has done as much as one that leaves after the one before.) So many readers work side by side.
///
/// # Panics
/// If the stage breaks down.
#[must_use]
pub fn card_leaves_and_comes_back(pcscd: &Arc<PrivatePcscd>, readers: usize) -> Findings {
    let places = |start| (1..=undisturbed(pcscd, start)).map(move |n| (start, n));
    let cases: Vec<_> = STARTS.into_iter().flat_map(places).collect();
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Findings::default());
    thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                while let Some(&(start, n)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let when = if start == Start::Fresh { When::BeforeExecution } else { When::AfterExecution };
                    let found = card_leaves(Desk::new(start, pcscd.lease()), n, when);
                    let mut all = all.lock().expect("findings");
                    *all = std::mem::take(&mut *all).and(found);
                }
            });
        }
    });
    all.into_inner().expect("findings")
}

fn card_leaves(mut desk: Desk, n: u64, when: When) -> Findings {
    let mut findings = Findings::default();
    let name = format!("{:?}, card away at APDU {n}, {when:?}", desk.start);
    let watch = WatchedReader::new(&desk.stage.conversation);
    desk.control().remove_after(n, when);
    let ended = desk.run(Variant::PRODUCT.plan(desk.start), &watch, |_| {});
    findings.struck = usize::from(desk.control().armed() == 0);
    findings.note(&name, ended.as_ref().map(drop).map_err(|error| format!("it ended with {error:?}")));
    findings.note(&name, watch.check_no_replay());
    desk.close(&mut findings, &name, ended.is_ok());
    findings
}

/// What another program does with the card while the terminal does not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Resets it, and lets it go.
    Reset,
    /// Selects an application, and lets it go as it is.
    Select,
    /// Opens it for itself alone, keeps it for a while, and switches it off.
    Keep,
}

impl Meddling {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reset, Self::Select, Self::Keep];

    fn happen(self, reader: &CString, control: &VpcdControl) {
        let context = Context::establish(Scope::System).expect("the service runs");
        // The terminal lets go of the card by and by: who wants it alone waits for that.
        let mode = if self == Self::Keep { ShareMode::Exclusive } else { ShareMode::Shared };
        wait_until_unused(&context, reader);
        let card = context.connect(reader, mode, Protocols::ANY).expect("there is a card");
        let disposition = match self {
            Self::Reset => pcsc::Disposition::ResetCard,
            Self::Select => {
                let select = [&[0x00, 0xA4, 0x04, 0x0C, 0x0A][..], &jpki::card::AID_COMMON].concat();
                card.transmit(&select, &mut [0; 256]).expect("an answer");
                pcsc::Disposition::LeaveCard
            }
            Self::Keep => pcsc::Disposition::UnpowerCard,
        };
        let let_go = move || card.disconnect(disposition).map_err(|(_, error)| error).expect("the card is there");
        if self == Self::Keep {
            let (control, polls) = (control.clone(), control.activity().polls);
            thread::spawn(move || {
                assert!(
                    control.wait_until(PATIENCE, |activity| activity.polls >= polls + KEPT),
                    "pcscd looks for cards"
                );
                let_go();
            });
        } else {
            let_go();
        }
    }
}

/// Waits until no program has the card open.
fn wait_until_unused(context: &Context, reader: &CString) {
    wait_until(context, reader.clone(), |state| !state.intersects(State::INUSE | State::EXCLUSIVE));
}

fn wait_until(context: &Context, reader: CString, is_wanted: impl Fn(State) -> bool) {
    let mut states = [ReaderState::new(reader, State::UNAWARE)];
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "the service did not see it: {:?}", states[0].event_state());
        match context.get_status_change(LOOK, &mut states) {
            Ok(()) if is_wanted(states[0].event_state()) => return,
            Ok(()) => states[0].sync_current_state(),
            // A change between its look and its wait escapes the client library; the next look has it.
            Err(error) => assert_eq!(error, pcsc::Error::Timeout, "the service says what changes"),
        }
    }
}

/// Another program meddles with the card while people enter PINs: the procedure goes on as if nothing had been.
///
/// # Panics
/// If the stage breaks down.
#[must_use]
pub fn another_program_meddles(pcscd: &Arc<PrivatePcscd>) -> Findings {
    let mut findings = Findings::default();
    for (start, meddling) in STARTS.into_iter().flat_map(|start| Meddling::ALL.map(|meddling| (start, meddling))) {
        let mut desk = Desk::new(start, pcscd.lease());
        let name = format!("{start:?}, another program: {meddling:?}");
        let watch = WatchedReader::new(&desk.stage.conversation);
        let (reader, control) = (desk.reader_name(), desk.control());
        let happened = Arc::new(AtomicUsize::new(0));
        let happening = happened.clone();
        let ended = desk.run(Variant::PRODUCT.plan(start), &watch, move |waits| {
            if waits == 1 {
                meddling.happen(&reader, &control);
                happening.fetch_add(1, Ordering::Relaxed);
            }
        });
        findings.struck += happened.load(Ordering::Relaxed);
        findings.note(&name, ended.map(drop).map_err(|error| format!("it ended with {error:?}")));
        findings.note(&name, watch.check_no_replay());
        desk.close(&mut findings, &name, true);
    }
    findings
}

/// pcscd dies before some command of a procedure, named by its instruction, and is started anew: the terminal says that the
/// service or the reader has gone, and the next procedure, with the new pcscd, settles what was left.
///
/// # Panics
/// If the stage breaks down.
#[must_use]
pub fn service_dies(pcscd: &Arc<PrivatePcscd>, places: &[(Start, u8)]) -> Findings {
    let mut findings = Findings::default();
    for &(start, instruction) in places {
        let mut desk = Desk::new(start, pcscd.lease());
        let name = format!("{start:?}, pcscd dies at instruction {instruction:02X}");
        let watch = WatchedReader::new(&desk.stage.conversation);
        let dying = pcscd.clone();
        watch.before(instruction, move || dying.kill());
        let ended = desk.run(Variant::PRODUCT.plan(start), &watch, |_| {});
        findings.note(&name, says_that_it_has_gone(&ended));
        findings.note(&name, watch.check_no_replay());
        findings.note(&name, desk.stage.check_accounted(PLACE));

        pcscd.restart().expect("pcscd starts");
        desk.control().remove();
        desk.context = Context::establish(Scope::System).expect("the service runs");
        let watch = WatchedReader::new(&desk.stage.conversation);
        let settled = desk.run(Plan::issue(&BOTH), &watch, |_| {});
        findings.struck += 1;
        let done = match settled {
            Ok(_) | Err(ProcedureError::AlreadyIssued(_)) => true,
            Err(error) => {
                findings.note(&name, Err(format!("it was not settled: {error:?}")));
                false
            }
        };
        findings.note(&name, watch.check_no_replay());
        desk.close(&mut findings, &name, done);
    }
    findings
}

fn says_that_it_has_gone(ended: &Result<ProcedureReport, ProcedureError>) -> Result<(), Broken> {
    use card_reader::CardError::{NoService, ReaderGone};
    match ended {
        Err(ProcedureError::Reader(NoService | ReaderGone)) => Ok(()),
        other => Err(format!("it ended with {other:?}")),
    }
}
