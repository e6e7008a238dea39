//! Who is retired stays so, and one who can register others is always left.

use audit_log::{Actor, Entry, Outcome, Phase};
use madoguchi_tests::stage::{MANAGER, OPERATOR};
use madoguchi_tests::{Stage, Start};
use orchestrator::{EnrolOrder, ProcedureError, Role, Terminal};

use crate::session::sealed_in;
use crate::stage;

const LEAVER: &str = "0500";
const RECORD: &str = "operators/0500.json";

fn enrol(terminal: &mut Terminal, user_id: &str, role: Role) {
    let order = EnrolOrder { user_id: user_id.into(), operator_id: "counter".into(), role };
    // The operator who is there from the start stands by.
    let second = terminal.second_person(OPERATOR).unwrap();
    terminal.enrol_operator(order, Some(second)).unwrap();
}

fn is_retired(terminal: &Terminal, user_id: &str) -> bool {
    let all = terminal.operators().unwrap();
    all.iter().find(|operator| operator.user_id == user_id).unwrap().retired_at.is_some()
}

/// The entries about one operator's retirement.
fn retirements(entries: &[Entry]) -> Vec<&Entry> {
    let intent = |entry: &Entry| match entry.phase {
        Phase::Outcome { intent, .. } => intent,
        _ => entry.index,
    };
    let is_about = |entry: &&Entry| {
        let of = &entries[intent(entry) as usize];
        of.step.as_str() == "retire-operator" && of.detail.as_ref().is_some_and(|id| id.as_str() == LEAVER)
    };
    entries.iter().filter(is_about).collect()
}

#[test]
fn the_last_access_manager_can_not_leave() {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    terminal.log_on(MANAGER).unwrap();
    enrol(&mut terminal, LEAVER, Role::Operator);
    let before = stage.disk(0).files();
    for _ in 0..2 {
        let error = terminal.retire_operator(MANAGER).unwrap_err();
        assert!(matches!(error, ProcedureError::LastAccessManager), "{error:?}");
        assert_eq!(stage.disk(0).files(), before, "nothing is done");
    }
    // One who is retired, or whose record is damaged, is nobody to leave it to.
    enrol(&mut terminal, "0600", Role::AccessManager);
    enrol(&mut terminal, "0700", Role::AccessManager);
    terminal.retire_operator("0600").unwrap();
    let whole = stage.disk(0).files();
    stage.disk(0).tamper("operators/0700.json", |record| record.truncate(9));
    assert!(matches!(terminal.retire_operator(MANAGER), Err(ProcedureError::LastAccessManager)));
    stage.disk(0).restore(whole);
    terminal.retire_operator(MANAGER).unwrap();
    assert!(is_retired(&terminal, MANAGER));
    // Who has retired themselves is logged off.
    assert!(matches!(terminal.retire_operator(LEAVER), Err(ProcedureError::NotAllowed)));
    assert!(matches!(terminal.log_on(MANAGER), Err(ProcedureError::LogOnRefused)));
    terminal.log_on("0700").unwrap();
    assert!(matches!(terminal.retire_operator("0700"), Err(ProcedureError::LastAccessManager)));
    terminal.retire_operator(LEAVER).unwrap();
    drop(terminal);
    stage.check_accounted(0).unwrap();
}

/// A stage on which somebody was retired, and the record from before.
fn left() -> (Stage, Vec<u8>) {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    terminal.log_on(MANAGER).unwrap();
    enrol(&mut terminal, LEAVER, Role::AccessManager);
    let record = stage.disk(0).files().remove(RECORD).unwrap();
    terminal.log_on(LEAVER).unwrap();
    terminal.log_on(MANAGER).unwrap();
    terminal.retire_operator(LEAVER).unwrap();
    terminal.log_off().unwrap();
    drop(terminal);
    (stage, record)
}

fn put(stage: &Stage, record: &[u8]) {
    let mut files = stage.disk(0).files();
    files.insert(RECORD.into(), record.to_vec());
    stage.disk(0).restore(files);
}

#[test]
fn a_record_that_is_put_back_brings_nobody_back() {
    let (mut stage, record) = left();
    let sealed = sealed_in(&record);
    assert!(sealed.len() > 128, "it has templates that open");
    // While the terminal runs,
    let mut terminal = stage.start(0).unwrap();
    put(&stage, &record);
    assert!(matches!(terminal.log_on(LEAVER), Err(ProcedureError::LogOnRefused)));
    assert!(is_retired(&terminal, LEAVER));
    drop(terminal);
    let folder = madoguchi_tests::stage::folder(&stage.disk(0));
    let listed = orchestrator::operators::list(&*folder, 3).unwrap();
    let mut operators = listed.iter().map(|listed| &listed.operator);
    assert!(operators.any(|operator| operator.user_id == LEAVER && operator.retired_at.is_some()));

    // and at its next start, which erases the templates again, and says so.
    let mut terminal = stage.start(0).unwrap();
    for (name, content) in stage.disk(0).files() {
        assert!(!content.windows(sealed.len()).any(|window| window == sealed.as_bytes()), "{name}");
    }
    let entries = stage.entries(0).unwrap();
    let noted = retirements(&entries);
    assert_eq!(noted.iter().map(|entry| &entry.actor).filter(|actor| **actor == Actor::System).count(), 2);
    assert!(matches!(noted[3].phase, Phase::Outcome { outcome: Outcome::Done, .. }));
    assert!(matches!(terminal.log_on(LEAVER), Err(ProcedureError::LogOnRefused)));

    // Nor does the ID become free when the record is gone.
    let mut files = stage.disk(0).files();
    files.remove(RECORD);
    stage.disk(0).restore(files);
    terminal.log_on(MANAGER).unwrap();
    let order = EnrolOrder { user_id: LEAVER.into(), operator_id: "counter".into(), role: Role::Operator };
    let second = terminal.second_person(OPERATOR).unwrap();
    assert!(matches!(terminal.enrol_operator(order, Some(second)), Err(ProcedureError::UserIdNotFree)));
    drop(terminal);
    stage.start(0).unwrap().log_on(OPERATOR).unwrap();
    assert_eq!(retirements(&stage.entries(0).unwrap()).len(), 4, "what is gone needs no retiring");
    stage.check_accounted(0).unwrap();
}

/// The power goes at each write of a retirement. Once the intent is durable it is carried out, at the next start at the latest.
#[test]
fn a_retirement_that_was_interrupted_is_carried_out() {
    let mut carried_out = 0;
    for n in 1.. {
        let mut stage = stage(Start::Fresh);
        let mut terminal = stage.start(0).unwrap();
        terminal.log_on(MANAGER).unwrap();
        enrol(&mut terminal, LEAVER, Role::Operator);
        stage.disk(0).cut_at_write(n);
        let done = terminal.retire_operator(LEAVER);
        drop(terminal);
        let was_cut = stage.disk(0).mend();
        let was_intended = retirements(&stage.entries(0).unwrap_or_default()).len();
        let mut terminal = stage.start(0).unwrap();
        assert_eq!(is_retired(&terminal, LEAVER), was_intended > 0, "write {n}");
        assert_eq!(terminal.log_on(LEAVER).is_ok(), was_intended == 0, "write {n}");
        assert!(was_intended > 0 || done.is_err(), "write {n}");
        carried_out += usize::from(was_intended == 1);
        drop(terminal);
        stage.check_accounted(0).unwrap();
        if !was_cut {
            break;
        }
    }
    assert_eq!(carried_out, 2, "cut at the record, and at the outcome");
}
