//! Whoever fails to log on: the lock, the waits, the release. And the second person.

use std::time::Duration;

use biometric::Verification;
use madoguchi_tests::stage::{MANAGER, OPERATOR};
use madoguchi_tests::{Stage, Start};
use orchestrator::operators::{self, Listed};
use orchestrator::{EnrolOrder, ProcedureError, Role, Terminal};

use crate::stage;

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than any wait.
const LONG: Duration = Duration::from_secs(120);

fn fail(stage: &Stage, terminal: &mut Terminal, user_id: &str) {
    stage.palms.answer_next(Ok(Verification::NoMatch));
    let error = terminal.log_on(user_id).unwrap_err();
    assert!(matches!(error, ProcedureError::LogOnRefused), "{error:?}");
}

fn lock(stage: &Stage, terminal: &mut Terminal, user_id: &str) {
    for _ in 0..3 {
        stage.wait(LONG);
        fail(stage, terminal, user_id);
    }
    stage.wait(LONG);
}

fn locked(stage: &Stage) -> Vec<String> {
    let folder = madoguchi_tests::stage::folder(&stage.disk(0));
    let listed = operators::list(&*folder, 3).unwrap().into_iter();
    listed.filter(|listed| listed.locked).map(|Listed { operator, .. }| operator.user_id).collect()
}

fn last_detail(stage: &Stage) -> String {
    let entries = stage.entries(0).unwrap();
    entries.last().unwrap().detail.as_ref().unwrap().to_string()
}

#[test]
fn three_refusals_lock_until_an_access_manager_releases() {
    let mut stage = stage(Start::Fresh);
    let before = stage.disk(0).files();
    let mut terminal = stage.start(0).unwrap();
    for _ in 0..2 {
        fail(&stage, &mut terminal, OPERATOR);
        fail(&stage, &mut terminal, OPERATOR);
        // Success forgives.
        terminal.log_on(OPERATOR).unwrap();
    }
    lock(&stage, &mut terminal, OPERATOR);
    assert_eq!(locked(&stage), [OPERATOR]);

    // The right palm, too, is captured, compared and refused like any other; the log knows why.
    let compared = stage.palms.compared_with();
    assert!(matches!(terminal.log_on(OPERATOR), Err(ProcedureError::LogOnRefused)));
    assert_eq!(stage.palms.compared_with().len(), compared.len() + 1);
    assert_eq!(stage.palms.compared_with().last(), compared.last());
    assert_eq!(last_detail(&stage), "locked");

    // Neither a restart helps, nor an earlier folder of operators, nor time.
    drop(terminal);
    let mut files = stage.disk(0).files();
    files.extend(before.into_iter().filter(|(name, _)| name.starts_with("operators/")));
    stage.disk(0).restore(files);
    stage.wait(24 * HOUR);
    let mut terminal = stage.start(0).unwrap();
    assert!(matches!(terminal.log_on(OPERATOR), Err(ProcedureError::LogOnRefused)));

    assert!(matches!(terminal.release_operator(OPERATOR), Err(ProcedureError::NotAllowed)));
    stage.wait(LONG);
    terminal.log_on(MANAGER).unwrap();
    assert!(matches!(terminal.second_person(OPERATOR), Err(ProcedureError::LogOnRefused)), "nor may he vouch");
    assert!(matches!(terminal.release_operator("0999"), Err(ProcedureError::UnknownOperator)));
    terminal.release_operator(OPERATOR).unwrap();
    assert!(locked(&stage).is_empty());
    terminal.log_on(OPERATOR).unwrap();
    drop(terminal);
    stage.check_accounted(0).unwrap();
}

/// Whoever cuts the refusals off the log gets no more attempts, but a log that is not in order.
#[test]
fn refusals_can_not_be_cut_off() {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    fail(&stage, &mut terminal, OPERATOR);
    fail(&stage, &mut terminal, "5tranger");
    drop(terminal);
    for lines in [1, 2] {
        let whole = stage.disk(0).files();
        stage.disk(0).tamper("log/entries.jsonl", |log| {
            for _ in 0..lines {
                log.pop();
                log.truncate(log.iter().rposition(|byte| *byte == b'\n').unwrap() + 1);
            }
        });
        assert!(matches!(stage.start(0).map(drop), Err(ProcedureError::Log(_))), "{lines} lines");
        stage.disk(0).restore(whole);
    }
    stage.start(0).unwrap().log_on(OPERATOR).unwrap();
}

#[test]
fn each_further_refusal_at_a_terminal_costs_more_time_whatever_the_id() {
    const WAITS: [u64; 6] = [15, 30, 60, 120, 120, 120];
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    let ids = ["5tranger", MANAGER, "", OPERATOR];
    for user_id in ids {
        fail(&stage, &mut terminal, user_id);
    }
    for (seconds, user_id) in WAITS.into_iter().zip(ids.into_iter().cycle()) {
        let wait = Duration::from_secs(seconds);
        // A restart does not shorten it.
        drop(terminal);
        terminal = stage.start(0).unwrap();
        let compared = stage.palms.compared_with().len();
        for asked in [user_id, MANAGER] {
            match terminal.log_on(asked) {
                Err(ProcedureError::LogOnDelayed { wait: rest }) => assert_eq!(rest, wait),
                other => panic!("{other:?}"),
            }
            assert_eq!(last_detail(&stage), "delayed");
        }
        assert_eq!(stage.palms.compared_with().len(), compared, "no palm is asked for meanwhile");
        stage.wait(wait - Duration::from_millis(1));
        assert!(matches!(terminal.log_on(user_id), Err(ProcedureError::LogOnDelayed { .. })));
        stage.wait(Duration::from_millis(1));
        fail(&stage, &mut terminal, "5tranger");
    }
    stage.wait(LONG);
    terminal.log_on(MANAGER).unwrap();
    fail(&stage, &mut terminal, "5tranger");
    terminal.log_on(MANAGER).unwrap();
}

#[test]
fn whom_nobody_can_release_is_locked_for_an_hour() {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    lock(&stage, &mut terminal, MANAGER);
    stage.wait(HOUR - 2 * LONG - Duration::from_millis(1));
    assert!(matches!(terminal.log_on(MANAGER), Err(ProcedureError::LogOnRefused)));
    stage.wait(LONG + Duration::from_millis(1));
    terminal.log_on(MANAGER).unwrap();

    // With another access manager there is somebody who can.
    let second = terminal.second_person(OPERATOR).unwrap();
    let another = EnrolOrder { user_id: "0700".into(), operator_id: "counter".into(), role: Role::AccessManager };
    terminal.enrol_operator(another, Some(second)).unwrap();
    lock(&stage, &mut terminal, MANAGER);
    stage.wait(24 * HOUR);
    assert!(matches!(terminal.log_on(MANAGER), Err(ProcedureError::LogOnRefused)));
    stage.wait(LONG);
    terminal.log_on("0700").unwrap();
    terminal.release_operator(MANAGER).unwrap();
    terminal.log_on(MANAGER).unwrap();
}

#[test]
fn an_enrolment_takes_a_second_person() {
    let mut stage = stage(Start::Fresh);
    let mut terminal = stage.start(0).unwrap();
    let order = || EnrolOrder { user_id: "0500".into(), operator_id: "counter".into(), role: Role::Operator };
    assert!(matches!(terminal.second_person(OPERATOR), Err(ProcedureError::NotLoggedOn)));
    terminal.log_on(MANAGER).unwrap();
    assert!(matches!(terminal.enrol_operator(order(), None), Err(ProcedureError::SecondPersonNeeded)));
    assert!(matches!(terminal.second_person(MANAGER), Err(ProcedureError::SecondPersonNeeded)));
    stage.palms.answer_next(Ok(Verification::NoMatch));
    assert!(matches!(terminal.second_person(OPERATOR), Err(ProcedureError::LogOnRefused)));

    // Who vouched for somebody else's act can't be the one who acts.
    let second = terminal.second_person(OPERATOR).unwrap();
    let acting = EnrolOrder { user_id: "0700".into(), operator_id: "counter".into(), role: Role::AccessManager };
    terminal.enrol_operator(acting, Some(second)).unwrap();
    let second = terminal.second_person("0700").unwrap();
    terminal.log_on("0700").unwrap();
    assert!(matches!(terminal.enrol_operator(order(), Some(second)), Err(ProcedureError::SecondPersonNeeded)));

    terminal.log_on(MANAGER).unwrap();
    let second = terminal.second_person(OPERATOR).unwrap();
    terminal.enrol_operator(order(), Some(second)).unwrap();
    let entries = stage.entries(0).unwrap();
    let end: Vec<(String, String)> = entries[entries.len() - 3..]
        .iter()
        .map(|entry| (format!("{:?}", entry.actor), entry.step.to_string()))
        .collect();
    let by = |id: &str| format!("Operator(Code(\"{id}\"))");
    let (second, first) = ((by(OPERATOR), "second-person".into()), (by(MANAGER), "enrol-operator".into()));
    assert_eq!(end, [second, first.clone(), first]);
}
