//! The fault loops: the issuing procedure under one fault at a time, for every n. Each loop ends when n exceeds what there is.
//!
//! A loop runs any [`Variant`] of the procedure. The product's own must come through all of them; the four deliberate
//! mistakes must each be noticed by at least one.

pub mod reader;
#[cfg(feature = "pcsc")]
pub mod stack;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use card_reader::CardReader;
use jpki::{CertificateKind, IssuingProfile};
use orchestrator::{Plan, Progress, Step};
use sim_card::nvm::Tear;
use sim_card::{Fault, Mistake, SimReaderControl, When};

use crate::checks::Broken;
use crate::line::Mishap;
use crate::stage::{Interlude, OPERATOR, Stage, Start, Watch};
use crate::stale;
use crate::terminal_hsm::remember_signatures;

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

/// The procedure as it is, or with a deliberate mistake.
#[derive(Clone, Copy)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Puts the steps into the variant's order.
    order: fn(Plan) -> Plan,
    /// What the card does wrong.
    mistake: Option<Mistake>,
    /// The kind of card.
    profile: fn() -> IssuingProfile,
    /// The certificates that the disturbed procedure is about.
    kinds: &'static [CertificateKind],
    /// How the memory looks where the power was cut.
    tears: &'static [Tear],
    /// Ends a loop as soon as it has found something.
    until_noticed: bool,
    /// The first place at which a fault strikes, and the last.
    places: (u64, u64),
}

impl Variant {
    /// The product.
    pub const PRODUCT: Self = Self {
        name: "product",
        order: |plan| plan,
        mistake: None,
        profile: IssuingProfile::jpki_2016,
        kinds: &BOTH,
        tears: &[Tear::Untouched, Tear::Garbled],
        until_noticed: false,
        places: (1, u64::MAX),
    };
    /// The old certificate is superseded as soon as the new one is confirmed.
    pub const SUPERSEDE_AT_CONFIRMATION: Self = Self {
        name: "supersede at confirmation",
        order: |plan| swapped(plan, Step::Commit, Step::Supersede),
        ..Self::PRODUCT
    };
    /// The card commits before the authority has been told.
    pub const CONFIRM_AFTER_COMMIT: Self = Self {
        name: "confirm after commit",
        order: |plan| swapped(plan, Step::Confirm, Step::Commit),
        ..Self::PRODUCT
    };
    /// The card commits whatever is pending, whatever it is called.
    pub const UNNAMED_COMMIT: Self =
        Self { name: "unnamed commit", mistake: Some(Mistake::UnnamedCommit), ..Self::PRODUCT };
    /// Both kinds are prepared, and one commit makes both active.
    pub const ONE_COMMIT_FOR_BOTH: Self = Self {
        name: "one commit for both kinds",
        order: interleaved,
        mistake: Some(Mistake::CommitBothKinds),
        ..Self::PRODUCT
    };

    /// The product on a card without a pending slot. That the kinds don't disturb each other, and that every write of the card is
    /// atomic however it is torn, the loops over other cards show.
    pub const SINGLE_SLOT: Self = Self {
        name: "single slot",
        profile: IssuingProfile::jpki_2016_single_slot,
        kinds: &[CertificateKind::Signature],
        tears: &[Tear::Garbled],
        ..Self::PRODUCT
    };
    /// There the authority is never told that the old certificate's key is gone.
    pub const NEVER_SUPERSEDED: Self =
        Self { name: "never superseded", order: without_superseding, until_noticed: true, ..Self::SINGLE_SLOT };
    /// There the card forgets what it has overwritten.
    pub const FORGETFUL_CARD: Self = Self {
        name: "forgetful card",
        mistake: Some(Mistake::ForgetOverwritten),
        until_noticed: true,
        ..Self::SINGLE_SLOT
    };

    /// The product on a card whose keys the HSM makes.
    pub const IMPORTED: Self = Self {
        name: "imported",
        profile: || IssuingProfile::jpki_next().imported(),
        tears: &[Tear::Garbled],
        kinds: &[CertificateKind::Signature],
        ..Self::PRODUCT
    };
    /// The same without a pending slot.
    pub const IMPORTED_SINGLE_SLOT: Self = Self {
        name: "imported, single slot",
        profile: || IssuingProfile::jpki_next().single_slot().imported(),
        ..Self::IMPORTED
    };

    /// The four deliberate mistakes.
    pub const MISTAKES: [Self; 4] =
        [Self::SUPERSEDE_AT_CONFIRMATION, Self::CONFIRM_AFTER_COMMIT, Self::UNNAMED_COMMIT, Self::ONE_COMMIT_FOR_BOTH];

    /// The same, with faults at the places from `first` to `last` only: for commands that no other variant has.
    #[must_use]
    pub const fn between(self, first: u64, last: u64) -> Self {
        Self { places: (first, last), ..self }
    }

    fn plan(self, start: Start) -> Plan {
        (self.order)(match start {
            Start::Fresh => Plan::issue(self.kinds),
            Start::Issued => Plan::renew(self.kinds),
        })
    }

    fn stage(self, start: Start) -> Stage {
        remember_signatures();
        let stage = Stage::new(&(self.profile)(), start);
        if let Some(mistake) = self.mistake {
            stage.control(0).with_card(|card| card.make_mistake(mistake));
        }
        stage
    }
}

/// The plan with two neighbouring steps in each other's place.
fn swapped(plan: Plan, first: Step, second: Step) -> Plan {
    let swap = |step| match step {
        step if step == first => second,
        step if step == second => first,
        step => step,
    };
    let steps = plan.steps().iter().map(|(kind, step)| (*kind, swap(*step))).collect();
    plan.reordered(steps)
}

/// The plan without its last step.
fn without_superseding(plan: Plan) -> Plan {
    let steps = plan.steps().iter().copied().filter(|(_, step)| *step != Step::Supersede).collect();
    plan.reordered(steps)
}

/// Step by step for both kinds, until each is on the card; then one kind after the other.
fn interleaved(plan: Plan) -> Plan {
    let early = |step: Step| step < Step::Confirm;
    let mut steps: Vec<_> = plan.steps().iter().copied().filter(|(_, step)| early(*step)).collect();
    steps.sort_by_key(|(kind, step)| (*step, *kind));
    steps.extend(plan.steps().iter().copied().filter(|(_, step)| !early(*step)));
    plan.reordered(steps)
}

/// What a loop found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How many cases were played.
    pub cases: usize,
    /// In how many of them the fault struck.
    pub struck: usize,
    /// What was broken, with the case in which it was.
    pub broken: Vec<String>,
}

impl Findings {
    fn note(&mut self, case: &str, checked: Result<(), Broken>) {
        if let Err(broken) = checked {
            self.broken.push(format!("{case}: {broken}"));
        }
    }

    /// Adds another loop's findings.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.struck += other.struck;
        self.broken.extend(other.broken);
        self
    }
}

/// How the job looks when it has been interrupted, and when it has been taken up.
fn settle(findings: &mut Findings, case: &str, variant: Variant, stage: &mut Stage, place: usize, start: Start) {
    settle_after(false, findings, case, variant, stage, place, start);
}

/// The same; `cut_off` if the terminal could not write any more.
fn settle_after(
    cut_off: bool,
    findings: &mut Findings,
    case: &str,
    variant: Variant,
    stage: &mut Stage,
    place: usize,
    start: Start,
) {
    let worked: &[CertificateKind] = if start == Start::Issued { &BOTH } else { &[] };
    findings.note(case, stage.check_agreement(worked));
    // Before anybody cleans up: the run itself has closed its accounts and erased its records, unless it was cut off there.
    if !cut_off {
        for place in 0..stage.places() {
            findings.note(case, stage.check_accounted(place));
        }
        findings.note(case, stage.check_nothing_left());
    }
    stage.carry_card(place);
    // One visit settles what was open, one issues what is still missing.
    for _ in 0..2 {
        let ended = stage.run(place, (variant.order)(Plan::issue(&BOTH)));
        if ended.is_ok() && stage.check_settled().is_ok() {
            break;
        }
    }
    findings.note(case, stage.check_settled());
    for place in 0..stage.places() {
        findings.note(case, stage.check_accounted(place));
    }
    findings.note(case, stage.check_undoubted());
    findings.note(case, stage.check_nothing_left());
    findings.cases += 1;
}

/// Lets `watch` look at the stage whenever the terminal tells something.
fn check_at_every_step(stage: &Arc<Mutex<Stage>>, start: Start) -> Arc<Mutex<Findings>> {
    let findings: Arc<Mutex<Findings>> = Arc::default();
    let worked: &[CertificateKind] = if start == Start::Issued { &BOTH } else { &[] };
    let (seen, noted) = (Arc::downgrade(stage), findings.clone());
    let watch: Watch = Arc::new(Mutex::new(move |progress: &Progress| {
        // A stage that is busy with the other terminal is looked at from there.
        if let Some(stage) = seen.upgrade()
            && let Ok(stage) = stage.try_lock()
            && let Ok(mut findings) = noted.lock()
        {
            findings.cases += 1;
            findings.note(&format!("at {progress:?}"), stage.check_agreement(worked));
        }
    }));
    if let Ok(mut stage) = stage.lock() {
        stage.watch = watch;
    }
    findings
}

/// No fault at all, looked at whenever the terminal tells something.
///
/// # Panics
/// If the stage breaks down.
#[must_use]
pub fn undisturbed(variant: Variant) -> Findings {
    let mut all = Findings::default();
    for start in [Start::Fresh, Start::Issued] {
        let stage = Arc::new(Mutex::new(variant.stage(start)));
        let steps = check_at_every_step(&stage, start);
        let (mut terminal, number) = {
            let mut stage = stage.lock().expect("a stage");
            (stage.start(0).expect("a terminal"), stage.resident.number.clone())
        };
        let run = terminal.log_on(OPERATOR).and_then(|()| terminal.run(&number, variant.plan(start)));
        drop(terminal);
        let mut steps = steps.lock().expect("findings");
        steps.note("undisturbed", run.map(drop).map_err(|error| format!("{error:?}")));
        settle(&mut steps, "undisturbed", variant, &mut stage.lock().expect("a stage"), 0, start);
        all = all.and(std::mem::take(&mut *steps));
    }
    all
}

/// Plays case after case, each with its fault one place further, until a fault finds nothing left to strike.
fn for_every_place(variant: Variant, mut play: impl FnMut(u64, &mut Findings) -> bool) -> Findings {
    let mut findings = Findings::default();
    for n in variant.places.0..=variant.places.1 {
        if !play(n, &mut findings) {
            break;
        }
        findings.struck += 1;
        if variant.until_noticed && !findings.broken.is_empty() {
            break;
        }
    }
    findings
}

/// The card leaves at the n-th APDU and comes back to the same terminal.
#[must_use]
pub fn card_leaves_and_comes_back(variant: Variant, start: Start) -> Findings {
    for_every_place(variant, |n, findings| {
        When::BOTH.map(|when| {
            let mut stage = variant.stage(start);
            let control = stage.control(0);
            control.return_when_awaited(true);
            control.arm(n, Fault::Remove(when));
            // Whether this run reaches its end is not the question; what it leaves is.
            let _ = stage.run(0, variant.plan(start));
            let struck = disarm(&control);
            settle(findings, &format!("{start:?}, APDU {n}, {when:?}"), variant, &mut stage, 0, start);
            struck
        }) != [false; 2]
    })
}

/// Takes the reader's faults back. Had they struck?
fn disarm(control: &SimReaderControl) -> bool {
    let struck = control.armed() == 0;
    control.disarm();
    struck
}

/// Runs the procedure at the first terminal while the card is away from its n-th APDU on. As soon as the terminal waits for
/// the card, `elsewhere` happens at the second one; then the card comes back. Had the card left?
fn while_the_card_is_away(
    stage: &Arc<Mutex<Stage>>,
    plan: Plan,
    n: u64,
    elsewhere: impl Fn(&mut Stage) + Send + 'static,
) -> bool {
    let (control, number) = {
        let stage = stage.lock().expect("a stage");
        (stage.control(0), stage.resident.number.clone())
    };
    control.arm(n, Fault::Remove(When::AfterExecution));
    let (shared, away) = (stage.clone(), control.clone());
    let interlude = move |reader| -> Box<dyn CardReader> {
        Box::new(Interlude {
            reader,
            waits: 0,
            happens: move |waits| {
                if waits > 0 && !away.has_card() {
                    let mut stage = shared.lock().expect("a stage");
                    stage.carry_card(1);
                    elsewhere(&mut stage);
                    stage.carry_card(0);
                }
            },
        })
    };
    let mut terminal = stage.lock().expect("a stage").start_with(0, interlude).expect("a terminal");
    let _ = terminal.log_on(OPERATOR).and_then(|()| terminal.run(&number, plan));
    drop(terminal);
    disarm(&control)
}

/// The card leaves at the n-th APDU; a second terminal, which knows nothing, works with it; then it comes back to the first,
/// which goes on.
///
/// # Panics
/// If the stage breaks down.
#[must_use]
pub fn card_visits_a_second_terminal(variant: Variant, start: Start) -> Findings {
    for_every_place(variant, |n, findings| {
        let stage = Arc::new(Mutex::new(variant.stage(start)));
        let struck = while_the_card_is_away(&stage, variant.plan(start), n, move |stage| {
            let _ = stage.run(1, variant.plan(start));
        });
        let mut stage = stage.lock().expect("a stage");
        settle(findings, &format!("{start:?}, APDU {n}"), variant, &mut stage, 1, start);
        struck
    })
}

/// A renewal; after the n-th APDU a terminal with a stale idea of the card commits the certificate that it believes to be
/// pending, which has been active for long.
///
/// # Panics
/// If the stage breaks down.
#[must_use]
pub fn stale_terminal_commits(variant: Variant) -> Findings {
    let start = Start::Issued;
    for_every_place(variant, |n, findings| {
        let stage = Arc::new(Mutex::new(variant.stage(start)));
        let believed = {
            let stage = stage.lock().expect("a stage");
            BOTH.map(|kind| (kind, stage.control(0).slots(kind).and_then(|slots| slots.active)))
        };
        let noted: Arc<Mutex<Findings>> = Arc::default();
        let noting = noted.clone();
        let struck = while_the_card_is_away(&stage, variant.plan(start), n, move |stage| {
            for (kind, name) in believed {
                stale::commit(stage, 1, kind, name.expect("was issued"));
            }
            let checked = stage.check_agreement(&BOTH);
            noting.lock().expect("findings").note(&format!("stale commit at APDU {n}"), checked);
        });
        findings.broken.append(&mut noted.lock().expect("findings").broken);
        let mut stage = stage.lock().expect("a stage");
        settle(findings, &format!("stale terminal at APDU {n}"), variant, &mut stage, 0, start);
        struck
    })
}

/// The n-th message to the authority, or its answer, meets a mishap: once, or however often it is repeated.
#[must_use]
pub fn messages_meet_mishaps(variant: Variant, start: Start) -> Findings {
    let kinds = Mishap::ALL.into_iter().flat_map(|mishap| [(mishap, false), (mishap, true)]);
    let loops = kinds.map(|(mishap, stubborn)| {
        for_every_place(variant, |n, findings| {
            let mut stage = variant.stage(start);
            stage.post.arm(n, mishap, stubborn);
            let _ = stage.run(0, variant.plan(start));
            let struck = stage.post.disarm() == 0;
            let case = format!("{start:?}, message {n} {mishap:?}, stubborn: {stubborn}");
            if n % 2 == 0 {
                // What was delayed arrives before the job is taken up; else after all is done.
                stage.post.deliver_delayed();
            }
            settle(findings, &case, variant, &mut stage, 0, start);
            stage.post.deliver_delayed();
            findings.note(&case, stage.check_settled());
            struck
        })
    });
    loops.fold(Findings::default(), Findings::and)
}

/// Power is cut at the card's n-th memory write.
///
/// # Panics
/// If the stage breaks down.
#[must_use]
pub fn power_cut_at_card_writes(variant: Variant, start: Start) -> Findings {
    for_every_place(variant, |n, findings| {
        let cut = |tear: &Tear| {
            let mut stage = variant.stage(start);
            let control = stage.control(0);
            control.return_when_awaited(true);
            let switch = control.with_card(|card| card.power_switch()).expect("a card");
            switch.cut_at_write(n, *tear);
            let _ = stage.run(0, variant.plan(start));
            let struck = !switch.cancel();
            settle(findings, &format!("{start:?}, write {n}, {tear:?}"), variant, &mut stage, 0, start);
            struck
        };
        variant.tears.iter().map(cut).filter(|struck| *struck).count() > 0
    })
}

/// The terminal's power is cut at its n-th write to journal or log; it is started again on the same folder.
#[must_use]
pub fn terminal_stops_at_writes(variant: Variant, start: Start) -> Findings {
    for_every_place(variant, |n, findings| {
        let mut stage = variant.stage(start);
        stage.disk(0).cut_at_write(n);
        let _ = stage.run(0, variant.plan(start));
        let struck = stage.disk(0).mend();
        settle_after(true, findings, &format!("{start:?}, write {n}"), variant, &mut stage, 0, start);
        struck
    })
}

/// The HSM is gone after its n-th call, and is there again when the job is taken up.
#[must_use]
pub fn hsm_goes(variant: Variant, start: Start) -> Findings {
    for_every_place(variant, |n, findings| {
        let mut stage = variant.stage(start);
        stage.hsm_plug(0).unplug_after(n - 1);
        let _ = stage.run(0, variant.plan(start));
        let struck = stage.hsm_plug(0).plug_in();
        settle(findings, &format!("{start:?}, HSM gone after call {}", n - 1), variant, &mut stage, 0, start);
        struck
    })
}

/// Every pair: the m-th message meets a mishap, and the card leaves at the n-th APDU and comes back to the other terminal.
#[must_use]
pub fn pairs_of_faults(variant: Variant, start: Start) -> Findings {
    let mut all = Findings::default();
    for m in 1.. {
        let mut message_struck = false;
        all = all.and(for_every_place(variant, |n, findings| {
            let mut stage = variant.stage(start);
            let control = stage.control(0);
            control.return_when_awaited(true);
            control.arm(n, Fault::Remove(When::AfterExecution));
            // Alternately, so that all pairs of positions meet both sides of a loss.
            let mishap = if (m + n) % 2 == 0 { Mishap::RequestLost } else { Mishap::AnswerLost };
            stage.post.arm(m, mishap, true);
            let _ = stage.run(0, variant.plan(start));
            message_struck |= stage.post.disarm() == 0;
            let struck = disarm(&control);
            settle(findings, &format!("{start:?}, message {m}, APDU {n}"), variant, &mut stage, 1, start);
            struck
        }));
        if !message_struck {
            break;
        }
    }
    all
}

/// The authority gives up on what was not confirmed, long after the card was taken away at the n-th APDU.
#[must_use]
pub fn authority_gives_up(variant: Variant, start: Start) -> Findings {
    for_every_place(variant, |n, findings| {
        let mut stage = variant.stage(start);
        let control = stage.control(0);
        control.arm(n, Fault::Remove(When::AfterExecution));
        let _ = stage.run(0, variant.plan(start));
        let struck = disarm(&control);
        stage.wait(Duration::from_secs(24 * 3600));
        let case = format!("{start:?}, given up after APDU {n}");
        findings.note(&case, stage.authority.expire_unconfirmed(stage.now()).map(drop).map_err(|e| e.to_string()));
        settle(findings, &case, variant, &mut stage, 1, start);
        struck
    })
}
