//! The HSM goes, or the disk is full, at every place in turn: a clear error, and the next visit settles what was open.

use hsm::HsmError;
use jpki::CertificateKind;
use madoguchi_tests::{Stage, Start};
use orchestrator::{Plan, ProcedureError, StateError, logbook};

use crate::{BOTH, stage};

/// What the card's visit is for.
fn plan(start: Start) -> Plan {
    match start {
        Start::Fresh => Plan::issue(&BOTH),
        Start::Issued => Plan::renew(&BOTH),
    }
}

/// After the breakdown is mended: one visit settles what was open, one issues what is still missing.
fn settle(stage: &mut Stage, case: &str) {
    for _ in 0..2 {
        match stage.run(0, Plan::issue(&BOTH)) {
            Ok(_) | Err(ProcedureError::AlreadyIssued(_)) => {}
            Err(error) => panic!("{case}: {error:?}"),
        }
    }
    for check in [Stage::check_settled, Stage::check_nothing_left] {
        check(stage).unwrap_or_else(|broken| panic!("{case}: {broken}"));
    }
    stage.check_accounted(0).unwrap_or_else(|broken| panic!("{case}: {broken}"));
}

/// The same without a visit: the fault loops have that for the same writes. Starting closes the accounts and erases the rest.
fn start_again(stage: &mut Stage, case: &str) {
    stage.start(0).unwrap_or_else(|error| panic!("{case}: {error:?}"));
    stage.check_accounted(0).unwrap_or_else(|broken| panic!("{case}: {broken}"));
    stage.check_nothing_left().unwrap_or_else(|broken| panic!("{case}: {broken}"));
}

/// Breaks something at its n-th use, for every n, and runs the procedure. `mend` tells whether it had come to that. Gives the
/// number of uses.
fn breaks_down_everywhere(
    start: Start,
    break_at: fn(&Stage, u64),
    mend: fn(&Stage) -> bool,
    is_expected: fn(&ProcedureError) -> bool,
    afterwards: fn(&mut Stage, &str),
) -> u64 {
    let worked: &[CertificateKind] = if start == Start::Issued { &BOTH } else { &[] };
    for n in 0.. {
        let mut stage = stage(start);
        break_at(&stage, n);
        let ended = stage.run(0, plan(start));
        if !mend(&stage) {
            ended.unwrap();
            return n;
        }
        let case = format!("{start:?}, after {n}");
        match &ended {
            // It was needed for nothing but showing the end of the log to the authority.
            Ok(report) => assert_eq!(report.certificates.len(), 2, "{case}"),
            Err(error) => assert!(is_expected(error), "{case}: {error:?}"),
        }
        stage.check_agreement(worked).unwrap_or_else(|broken| panic!("{case}: {broken}"));
        afterwards(&mut stage, &case);
    }
    unreachable!("a loop without end")
}

#[test]
fn the_hsm_may_go_at_any_call() {
    for start in [Start::Fresh, Start::Issued] {
        let calls = breaks_down_everywhere(
            start,
            |stage, n| stage.hsm_plug(0).unplug_after(n),
            |stage| stage.hsm_plug(0).plug_in(),
            |error| matches!(error, ProcedureError::Hsm(HsmError::Unreachable)),
            settle,
        );
        println!("{start:?}: the HSM went at each of {calls} calls");
        assert!(calls > 10);
    }
}

#[test]
fn the_disk_may_be_full_at_any_write() {
    for start in [Start::Fresh, Start::Issued] {
        let writes = breaks_down_everywhere(
            start,
            |stage, n| stage.disk(0).cut_at_write(n + 1),
            |stage| stage.disk(0).mend(),
            |error| matches!(error, ProcedureError::State(StateError::DiskFull(_))),
            start_again,
        );
        println!("{start:?}: the disk was full at each of {writes} writes");
        assert!(writes > 30);
    }
}

/// Nothing takes effect that could not be written down before.
#[test]
fn what_can_not_be_written_down_is_not_done() {
    for n in 1..=12 {
        let mut stage = stage(Start::Fresh);
        let told = stage.record();
        let mut terminal = stage.start(0).unwrap();
        terminal.log_on(madoguchi_tests::stage::OPERATOR).unwrap();
        stage.disk(0).cut_at_write(n);
        let number = stage.resident.number.clone();
        let ended = terminal.run(&number, Plan::issue(&BOTH));
        assert!(matches!(ended, Err(ProcedureError::State(StateError::DiskFull(_)))), "{n}: {ended:?}");
        let entries = logbook::entries(&*madoguchi_tests::stage::folder(&stage.disk(0))).unwrap_or_default();
        let intended = |step: &str| entries.iter().filter(|entry| entry.step.as_str() == step).count();
        let told = told.lock().unwrap();
        for (step, ins) in [("set-pin", "12"), ("verify-pin", "20"), ("generate-key", "14")] {
            let done = told.iter().filter(|told| {
                matches!(told, orchestrator::Progress::Apdu { header, status, .. }
                    if header.starts_with("84") && header[2..4] == *ins && status == "9000")
            });
            assert!(done.count() <= intended(step), "{n}: {step}");
        }
    }
}
