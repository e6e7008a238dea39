//! Card and authority agree, whatever is lost: the issuing procedure under one fault at a time, for every n.
//!
//! Each loop ends when n exceeds what there is, and prints its count.

use std::sync::{Arc, Mutex};

use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::line::Mishap;
use madoguchi_tests::stage::{Interlude, OPERATOR};
use madoguchi_tests::{Stage, Start};
use orchestrator::{Plan, Progress};
use sim_card::{Fault, When};

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

fn plan(start: Start) -> Plan {
    match start {
        Start::Fresh => Plan::issue(&BOTH),
        Start::Issued => Plan::renew(&BOTH),
    }
}

fn stage(start: Start) -> Stage {
    Stage::new(&IssuingProfile::jpki_2016(), start)
}

/// Brings an interrupted job to its end: what any terminal does when it meets the card again.
fn complete(stage: &mut Stage, place: usize, start: Start) {
    stage.carry_card(place);
    let issued_before = match start {
        Start::Fresh => 0,
        Start::Issued => 1,
    };
    // Whatever the fault left, two visits are enough: one settles, one issues what is missing.
    for _ in 0..2 {
        let settled = stage.run(place, Plan::issue(&BOTH));
        if stage.check_settled().is_ok() && settled.is_ok() {
            break;
        }
    }
    assert!(BOTH.iter().all(|kind| stage.issued(*kind) > issued_before || start == Start::Issued));
}

fn check(stage: &Stage, what: &str) {
    for checked in [stage.check_settled(), stage.check_accounted(0), stage.check_accounted(1), stage.check_nothing_left()] {
        checked.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    }
}

#[test]
fn undisturbed_issue_and_renewal() {
    for start in [Start::Fresh, Start::Issued] {
        let mut stage = stage(start);
        let report = stage.run(0, plan(start)).unwrap();
        println!("{start:?}: {} APDUs, {} bytes out, {} in, {} messages", report.apdus, report.bytes_out, report.bytes_in, report.messages);
        check(&stage, "undisturbed");
    }
}

#[test]
fn the_card_leaves_at_every_apdu_and_comes_back() {
    for start in [Start::Fresh, Start::Issued] {
        let mut cases = 0;
        for n in 1.. {
            let mut struck = false;
            for when in When::BOTH {
                let mut stage = stage(start);
                let control = stage.control(0);
                control.return_when_awaited(true);
                control.arm(n, Fault::Remove(when));
                let _ = stage.run(0, plan(start));
                struck |= control.armed() == 0;
                control.disarm();
                complete(&mut stage, 0, start);
                check(&stage, &format!("{start:?}, card away at APDU {n}, {when:?}"));
                cases += 1;
            }
            if !struck {
                break;
            }
        }
        println!("{start:?}: {cases} cases");
    }
}

#[test]
fn the_card_goes_to_a_second_terminal_and_comes_back_to_the_first() {
    for start in [Start::Fresh, Start::Issued] {
        let mut cases = 0;
        for n in 1.. {
            let stage = Arc::new(Mutex::new(stage(start)));
            let (control, number) = {
                let stage = stage.lock().unwrap();
                (stage.control(0), stage.resident.number.clone())
            };
            control.arm(n, Fault::Remove(When::AfterExecution));
            let elsewhere = stage.clone();
            let away = control.clone();
            let terminal = stage.lock().unwrap().start_with(0, |reader| {
                Box::new(Interlude {
                    reader,
                    waits: 0,
                    happens: move |waits| {
                        if waits > 0 && !away.has_card() {
                            let mut stage = elsewhere.lock().unwrap();
                            stage.carry_card(1);
                            let _ = stage.run(1, plan(start));
                            stage.carry_card(0);
                        }
                    },
                })
            });
            let mut terminal = terminal.unwrap();
            terminal.log_on(OPERATOR).unwrap();
            let _ = terminal.run(&number, plan(start));
            drop(terminal);
            let struck = control.armed() == 0;
            control.disarm();
            let mut stage = stage.lock().unwrap();
            complete(&mut stage, 1, start);
            check(&stage, &format!("{start:?}, card at the other terminal from APDU {n}"));
            cases += 1;
            if !struck {
                break;
            }
        }
        println!("{start:?}: {cases} cases");
    }
}

#[test]
fn every_message_meets_every_mishap() {
    for start in [Start::Fresh, Start::Issued] {
        let mut cases = 0;
        for mishap in Mishap::ALL {
            for stubborn in [false, true] {
                for n in 1.. {
                    let mut stage = stage(start);
                    stage.post.arm(n, mishap, stubborn);
                    let _ = stage.run(0, plan(start));
                    let struck = stage.post.disarm() == 0;
                    stage.check_agreement(&[]).unwrap();
                    complete(&mut stage, 0, start);
                    stage.post.deliver_delayed();
                    check(&stage, &format!("{start:?}, message {n} {mishap:?}, stubborn: {stubborn}"));
                    cases += 1;
                    if !struck {
                        break;
                    }
                }
            }
        }
        println!("{start:?}: {cases} cases");
    }
}

#[test]
fn the_invariants_hold_at_every_step() {
    for start in [Start::Fresh, Start::Issued] {
        let stage = Arc::new(Mutex::new(stage(start)));
        let broken: Arc<Mutex<Vec<String>>> = Arc::default();
        let number = stage.lock().unwrap().resident.number.clone();
        let mut terminal = stage.lock().unwrap().start(0).unwrap();
        let (seen, collected) = (stage.clone(), broken.clone());
        let worked: &[CertificateKind] = if start == Start::Issued { &BOTH } else { &[] };
        let watch = stage.lock().unwrap().watch.clone();
        let steps = Arc::new(Mutex::new(0_u32));
        let counted = steps.clone();
        stage.lock().unwrap().watch = watch;
        let watch: Arc<Mutex<dyn FnMut(&Progress) + Send>> = Arc::new(Mutex::new(move |_: &Progress| {
            *counted.lock().unwrap() += 1;
            if let Err(why) = seen.lock().unwrap().check_agreement(worked) {
                collected.lock().unwrap().push(why);
            }
        }));
        drop(terminal);
        stage.lock().unwrap().watch = watch;
        terminal = stage.lock().unwrap().start(0).unwrap();
        terminal.log_on(OPERATOR).unwrap();
        terminal.run(&number, plan(start)).unwrap();
        assert!(broken.lock().unwrap().is_empty(), "{:?}", broken.lock().unwrap());
        println!("{start:?}: checked at {} moments", steps.lock().unwrap());
    }
}
