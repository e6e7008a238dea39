//! Who sits at the terminal: log-on and its refusals, the lock, log-off after each job, who may register whom.

use std::time::Duration;

use audit_log::{Actor, Entry};
use biometric::{RetryReason, SensorError, Verification};
use madoguchi_tests::stage::{MANAGER, OPERATOR};
use madoguchi_tests::{Stage, Start};
use orchestrator::{EnrolOrder, Plan, ProcedureError, Progress, Role, StateError, Step};

use crate::{BOTH, stage};

/// The site's limit.
const IDLE: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);

fn order(user_id: &str, role: Role) -> EnrolOrder {
    EnrolOrder { user_id: user_id.into(), operator_id: "counter".into(), role }
}

/// Steps and details of the entries from the `from`-th on.
fn told(entries: &[Entry], from: usize) -> Vec<(&str, Option<&str>, bool)> {
    let told = |entry: &'_ Entry| matches!(entry.actor, Actor::Operator(_));
    let entries = entries[from..].iter();
    entries.map(|entry| (entry.step.as_str(), entry.detail.as_ref().map(|d| d.as_str()), told(entry))).collect()
}

#[test]
fn log_on_is_refused_alike_whether_the_id_or_the_palm_is_wrong() {
    const STRANGER: &str = "5tranger";
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    terminal.log_on(MANAGER).unwrap();
    let second = terminal.second_person(OPERATOR).unwrap();
    terminal.enrol_operator(order("0999", Role::Operator), Some(second)).unwrap();
    terminal.retire_operator("0999").unwrap();
    terminal.log_off().unwrap();

    let refused: fn(&ProcedureError) -> bool = |error| matches!(error, ProcedureError::LogOnRefused);
    let unusable: fn(&ProcedureError) -> bool =
        |error| matches!(error, ProcedureError::NoUsableCapture(reason) if reason == "too-near");
    let gone: fn(&ProcedureError) -> bool = |error| matches!(error, ProcedureError::Sensor(SensorError::Gone));
    let too_near = || Ok(Verification::Unusable(RetryReason::TooNear));
    for (case, user_id, palm, is_expected, detail, is_known) in [
        ("another's palm", OPERATOR, Ok(Verification::NoMatch), refused, "refused", true),
        ("an unknown ID", STRANGER, Ok(Verification::NoMatch), refused, "refused", false),
        ("an unknown ID with somebody's palm", STRANGER, Ok(Verification::Match), refused, "refused", false),
        ("an ID that is none", "../../etc/passwd", Ok(Verification::Match), refused, "refused", false),
        ("no ID", "", Ok(Verification::Match), refused, "refused", false),
        ("a retired operator", "0999", Ok(Verification::Match), refused, "refused", true),
        ("a bad capture", OPERATOR, too_near(), unusable, "no-usable-capture", true),
        ("a bad capture, an unknown ID", STRANGER, too_near(), unusable, "no-usable-capture", false),
        ("no sensor", OPERATOR, Err(SensorError::Gone), gone, "failed", true),
        ("no sensor, an unknown ID", STRANGER, Err(SensorError::Gone), gone, "failed", false),
    ] {
        // Nobody has to wait because of the case before.
        stage.wait(Duration::from_secs(120));
        let before = (stage.entries(0).unwrap().len(), stage.palms.compared_with().len());
        stage.palms.answer_next(palm);
        let error = terminal.log_on(user_id).unwrap_err();
        assert!(is_expected(&error), "{case}: {error:?}");
        assert!(matches!(terminal.settle(), Err(ProcedureError::NotLoggedOn)), "{case}");
        let entries = stage.entries(0).unwrap();
        assert_eq!(told(&entries, before.0), [("log-on", Some(detail), is_known)], "{case}");
        assert_eq!(stage.palms.compared_with().len(), before.1 + 1, "{case}: a palm is captured whatever the ID");
    }
    for (name, content) in stage.disk(0).files() {
        let typed = content.windows(STRANGER.len()).any(|window| window == STRANGER.as_bytes());
        assert!(!typed, "what a stranger typed is in {name}");
    }
    // None of this keeps the right person out.
    terminal.log_on(OPERATOR).unwrap();
}

#[test]
fn an_idle_terminal_locks() {
    let mut stage = stage(Start::Fresh);
    let number = stage.resident.number.clone();
    let mut terminal = stage.start(0).unwrap();
    for asked in [true, false] {
        let from = stage.entries(0).unwrap().len();
        terminal.log_on(OPERATOR).unwrap();
        stage.wait(IDLE - SECOND);
        assert!(!terminal.lock_if_idle().unwrap());
        stage.wait(SECOND);
        if asked {
            assert!(terminal.lock_if_idle().unwrap());
            assert!(!terminal.lock_if_idle().unwrap(), "locked already");
        }
        let error = terminal.run(&number, Plan::issue(&BOTH)).unwrap_err();
        assert!(matches!(error, ProcedureError::NotLoggedOn), "{error:?}");
        let entries = stage.entries(0).unwrap();
        let expected = [("log-on", Some("done"), true), ("lock", None, true), ("log-off", None, true)];
        assert_eq!(told(&entries, from), expected);
    }
    assert_eq!(stage.control(0).apdus(), 0);

    terminal.log_on(OPERATOR).unwrap();
    stage.wait(IDLE - SECOND);
    terminal.run(&number, Plan::issue(&BOTH)).unwrap();
    drop(terminal);
    stage.check_settled().unwrap();

    // A site may choose a shorter time.
    stage.disk(0).tamper("terminal.toml", |text| {
        let shorter = String::from_utf8(text.clone()).unwrap().replace("lock-after-s = 300", "lock-after-s = 20");
        *text = shorter.into_bytes();
    });
    let mut terminal = stage.start(0).unwrap();
    terminal.log_on(OPERATOR).unwrap();
    stage.wait(Duration::from_secs(20));
    assert!(terminal.lock_if_idle().unwrap());
}

#[test]
fn a_lock_closes_the_access_managers_doors_too() {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    let from = stage.entries(0).unwrap().len();
    terminal.log_on(MANAGER).unwrap();
    stage.wait(IDLE);
    let error = terminal.enrol_operator(order("0500", Role::AccessManager), None).unwrap_err();
    assert!(matches!(error, ProcedureError::NotAllowed), "{error:?}");
    let entries = stage.entries(0).unwrap();
    assert_eq!(told(&entries, from), [("log-on", Some("done"), true), ("lock", None, true)]);
    assert_eq!(terminal.operators().unwrap().len(), 2);
}

/// A card may make keys for longer than anybody may idle. That is not idling.
#[test]
fn nothing_locks_while_a_card_makes_its_keys() {
    let mut stage = stage(Start::Fresh);
    let clock = stage.clock.clone();
    stage.watch = std::sync::Arc::new(std::sync::Mutex::new(move |told: &Progress| {
        if matches!(told, Progress::StepStarted { step: Step::GenerateKey, .. }) {
            clock.advance(Duration::from_secs(175));
        }
    }));
    let before = stage.now();
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    assert!(stage.now().duration_since(before).unsigned_abs() > IDLE);
    let entries = stage.entries(0).unwrap();
    assert!(!entries.iter().any(|entry| entry.step.as_str() == "lock"));
    stage.check_settled().unwrap();
}

#[test]
fn whoever_logs_on_ends_what_was_before() {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    let from = stage.entries(0).unwrap().len();
    terminal.log_on(OPERATOR).unwrap();
    terminal.log_on(MANAGER).unwrap();
    stage.wait(IDLE);
    // A refused palm opens no lock, and leaves nobody's session open.
    stage.palms.answer_next(Ok(Verification::NoMatch));
    terminal.log_on(MANAGER).unwrap_err();
    assert!(matches!(terminal.settle(), Err(ProcedureError::NotLoggedOn)));
    let entries = stage.entries(0).unwrap();
    let (on, off) = (("log-on", Some("done"), true), ("log-off", None, true));
    assert_eq!(told(&entries, from), [on, off, on, off, ("log-on", Some("refused"), true)]);
}

#[test]
fn the_operator_is_logged_off_after_each_job() {
    let mut stage = stage(Start::Fresh);
    let number = stage.resident.number.clone();
    let mut terminal = stage.start(0).unwrap();
    terminal.log_on(OPERATOR).unwrap();
    terminal.run(&number, Plan::issue(&BOTH)).unwrap();
    assert!(matches!(terminal.run(&number, Plan::renew(&BOTH)), Err(ProcedureError::NotLoggedOn)));
    let entries = stage.entries(0).unwrap();
    assert_eq!(told(&entries, entries.len() - 2), [("end", Some("done"), true), ("log-off", None, true)]);

    terminal.log_on(OPERATOR).unwrap();
    terminal.settle().unwrap();
    assert!(matches!(terminal.settle(), Err(ProcedureError::NotLoggedOn)));
    drop(terminal);
    stage.check_settled().unwrap();
}

#[test]
fn roles_are_kept_apart() {
    let mut stage = stage(Start::Fresh);
    let number = stage.resident.number.clone();
    let mut terminal = stage.start(0).unwrap();
    assert!(matches!(terminal.enrol_operator(order("0500", Role::Operator), None), Err(ProcedureError::NotAllowed)));
    terminal.log_on(OPERATOR).unwrap();
    assert!(matches!(terminal.enrol_operator(order("0500", Role::Operator), None), Err(ProcedureError::NotAllowed)));
    assert!(matches!(terminal.retire_operator(MANAGER), Err(ProcedureError::NotAllowed)));
    terminal.log_on(MANAGER).unwrap();
    assert!(matches!(terminal.run(&number, Plan::issue(&BOTH)), Err(ProcedureError::NotAllowed)));
    assert!(matches!(terminal.retire_operator(OPERATOR), Err(ProcedureError::NotAllowed)), "logged off by the refusal");
    assert_eq!(stage.control(0).apdus(), 0);
}

#[test]
fn an_access_manager_registers_and_retires() {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    terminal.log_on(MANAGER).unwrap();
    for user_id in ["", "abc", "12345678901234567", "with space", "../0417", "０４１７", "a/b.json", OPERATOR] {
        let second = terminal.second_person(OPERATOR).unwrap();
        let error = terminal.enrol_operator(order(user_id, Role::Operator), Some(second)).unwrap_err();
        assert!(matches!(error, ProcedureError::UserIdNotFree), "{user_id}: {error:?}");
    }
    assert!(matches!(terminal.retire_operator("0500"), Err(ProcedureError::UnknownOperator)));

    let second = terminal.second_person(OPERATOR).unwrap();
    terminal.enrol_operator(order("0500", Role::Operator), Some(second)).unwrap();
    let record = stage.disk(0).files().remove("operators/0500.json").unwrap();
    let sealed = sealed_in(&record);
    assert!(sealed.len() > 128, "templates are kept, sealed");
    terminal.retire_operator("0500").unwrap();
    assert!(terminal.operators().unwrap().iter().any(|of| of.user_id == "0500" && of.retired_at.is_some()));
    for (name, content) in stage.disk(0).files() {
        assert!(!content.windows(sealed.len()).any(|window| window == sealed.as_bytes()), "{name} has them still");
    }
    assert!(matches!(terminal.log_on("0500"), Err(ProcedureError::LogOnRefused)));
    terminal.log_on(MANAGER).unwrap();
    let second = terminal.second_person(OPERATOR).unwrap();
    let again = terminal.enrol_operator(order("0500", Role::Operator), Some(second));
    assert!(matches!(again, Err(ProcedureError::UserIdNotFree)), "an ID names one person for ever");

    let entries = stage.entries(0).unwrap();
    for step in ["enrol-operator", "retire-operator"] {
        let of =
            |entry: &&Entry| entry.step.as_str() == step && entry.detail.as_ref().is_some_and(|d| d.as_str() == "0500");
        let [entry] = entries.iter().filter(of).collect::<Vec<_>>()[..] else { panic!("{step}") };
        assert!(matches!(&entry.actor, Actor::Operator(id) if id.as_str() == MANAGER), "{step}");
    }
    drop(terminal);
    stage.check_accounted(0).unwrap();
}

/// The hex of the sealed templates.
pub(crate) fn sealed_in(record: &[u8]) -> String {
    let text = std::str::from_utf8(record).unwrap();
    let (_, rest) = text.split_once(r#""sealed": ""#).unwrap();
    rest.split_once('"').unwrap().0.into()
}

#[test]
fn the_first_to_be_registered_is_an_access_manager() {
    let mut stage = stage(Start::Fresh);
    let mut files = stage.disk(0).files();
    files.retain(|name, _| !name.starts_with("operators/"));
    stage.disk(0).restore(files.clone());
    // Whoever empties the folder does not become the first: the log knows better.
    let mut terminal = stage.start(0).unwrap();
    assert!(matches!(terminal.log_on(OPERATOR), Err(ProcedureError::LogOnRefused)), "nobody can log on");
    assert!(matches!(
        terminal.enrol_operator(order("0100", Role::AccessManager), None),
        Err(ProcedureError::NotAllowed)
    ));
    drop(terminal);

    files.retain(|name, _| !name.starts_with("log/"));
    stage.disk(0).restore(files);
    let mut terminal = stage.start(0).unwrap();
    assert!(matches!(terminal.enrol_operator(order("0100", Role::Operator), None), Err(ProcedureError::NotAllowed)));
    terminal.enrol_operator(order("0100", Role::AccessManager), None).unwrap();
    assert!(matches!(
        terminal.enrol_operator(order("0200", Role::AccessManager), None),
        Err(ProcedureError::NotAllowed)
    ));
    terminal.log_on("0100").unwrap();
    terminal.enrol_operator(order("0200", Role::AccessManager), None).unwrap();
}

#[test]
fn a_second_program_on_the_same_folder_is_told_so() {
    let mut stage: Stage = stage(Start::Fresh);
    let first = stage.start(0).unwrap();
    let before = stage.disk(0).files();
    let error = stage.start(0).map(drop).unwrap_err();
    assert!(matches!(error, ProcedureError::State(StateError::InUse(_))), "{error:?}");
    assert_eq!(stage.disk(0).files(), before);
    drop(first);
    stage.start(0).unwrap();
}
