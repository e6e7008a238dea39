//! The HSM that dies in the middle of a procedure. It is SoftHSM2 in a process of its own behind p11-kit's remoting, and is killed at
//! every call that the line to it carries, from log-on to log-off: before it has heard of the call, and before its answer is there.
//!
//! * Started again by its supervisor, it is not missed: the procedure ends as one in which nothing died, to the last entry of the log.
//! * As long as it stays away, the terminal says so and takes no new work; when it is back, the same terminal goes on.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is to be a panic")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, thread};

use audit_log::Entry;
use authority_link::message::PkiMessage;
use hsm::{HsmError, KeyKind, KeyName};
use hsm_pkcs11::{Pin, Pkcs11Hsm, TokenSelector};
use jpki::{CertificateKind, IssuingProfile};
use libtest_mimic::{Arguments, Failed, Trial};
use madoguchi_tests::checks::Broken;
use madoguchi_tests::stage::{self, Hsms, MANAGER, OPERATOR};
use madoguchi_tests::{Stage, Start};
use madoguchi_time::{Deadline, SystemClock};
use orchestrator::{EnrolOrder, Plan, ProcedureError, Role, logbook};
use private_softhsm2::relay::{Kill, Relay};
use private_softhsm2::{CONFIGURATION, Home};

/// Runs one of the cases, in this process.
const COMMAND: &str = "case";
const TOKEN: &str = "terminal";
const PIN: &str = "user-1234";
const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

type Case = (&'static str, fn(&World));

const CASES: [Case; 6] = [
    ("first_issue_dies_before_every_call", |world| world.is_not_missed(Start::Fresh, Kill::BeforeTheCall)),
    ("first_issue_dies_before_every_answer", |world| world.is_not_missed(Start::Fresh, Kill::BeforeTheAnswer)),
    ("renewal_dies_before_every_answer", |world| world.is_not_missed(Start::Issued, Kill::BeforeTheAnswer)),
    ("it_stays_away_from_every_call_on", World::stays_away),
    ("while_it_is_away_no_work_is_taken", World::takes_no_work),
    ("it_dies_under_eight_procedures_at_once", World::dies_under_eight),
];

fn main() -> ExitCode {
    if let [COMMAND, name] = env::args().skip(1).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        let (_, case) = CASES.into_iter().find(|(case, _)| *case == name).expect("a case");
        case(&World::new());
        return ExitCode::SUCCESS;
    }
    let trials = CASES.map(|(name, _)| Trial::test(name, move || in_a_process_of_its_own(name)));
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// p11-kit's client knows one server for a process.
fn in_a_process_of_its_own(name: &str) -> Result<(), Failed> {
    let home = Home::new();
    home.token(TOKEN, PIN);
    let output = home.command(env::current_exe()?).args([COMMAND, name]).output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned().into()) }
}

/// One terminal's keys at the end of the line.
struct World {
    relay: Relay,
    hsm: Arc<Pkcs11Hsm>,
}

/// What is left of a procedure.
#[derive(Debug, PartialEq)]
struct Traces {
    log: Vec<Entry>,
    /// The messages that the authority has heard, by name.
    heard: Vec<&'static str>,
    issued: [usize; 2],
}

impl World {
    fn new() -> Self {
        let configuration = env::var_os(CONFIGURATION).expect("the environment of a case");
        let relay = Relay::start(Path::new(&configuration).parent().expect("in a folder"));
        // The line does not carry all that is asked of new keys; they are made past it.
        let past = open(private_softhsm2::module());
        let terminal = [KeyName::TERMINAL_SIGNING, KeyName::TERMINAL_TLS, KeyName::LOG_SIGNING]
            .map(|name| (KeyName::new(name), KeyKind::EcP256))
            .into_iter()
            .chain([(KeyName::new(KeyName::RESIDENT_REFERENCE), KeyKind::Hmac)]);
        for (name, kind) in terminal.chain(authority::required_keys(&IssuingProfile::jpki_next())) {
            past.generate(&name, kind, soon()).unwrap().unwrap();
        }
        drop(past);
        Self { relay, hsm: Arc::new(open(private_softhsm2::client())) }
    }

    fn stage(&self, start: Start) -> Stage {
        let hsms = Hsms { terminal: Some(self.hsm.clone()), authority: None };
        Stage::with_hsms(&IssuingProfile::jpki_next(), start, &hsms)
    }

    fn is_not_missed(&self, start: Start, kill: Kill) {
        let mut stage = self.stage(start);
        stage.run(0, plan(start)).expect("nothing dies");
        let undisturbed = traces(&stage);
        for at in 1.. {
            let case = format!("{start:?}, {kill:?} {at}");
            let mut stage = self.stage(start);
            self.relay.kill(kill, at);
            let ended = stage.run(0, plan(start));
            let struck = self.relay.disarm();
            ended.unwrap_or_else(|error| panic!("{case}: {error:?}"));
            assert_eq!(traces(&stage), undisturbed, "{case}");
            in_order(&stage).unwrap_or_else(|broken| panic!("{case}: {broken}"));
            if !struck {
                println!("{start:?}: killed at each of {} calls, {kill:?}", at - 1);
                assert!(at > 100);
                break;
            }
        }
    }

    fn stays_away(&self) {
        let mut refused = 0;
        for at in 1.. {
            let kill = Kill::BOTH[at as usize % 2];
            let case = format!("{kill:?} {at}, for good");
            let mut stage = self.stage(Start::Fresh);
            let number = stage.resident.number.clone();
            let mut terminal = stage.start(0).unwrap();
            self.relay.kill_for_good(kill, at);
            let ended = terminal.log_on(OPERATOR).and_then(|()| terminal.run(&number, Plan::issue(&BOTH)));
            if !self.relay.disarm() {
                ended.unwrap();
                println!("killed for good at each of {} calls, {refused} procedures ended early", at - 1);
                break;
            }
            match &ended {
                // It was needed for nothing but signing the end of the log.
                Ok(report) => assert_eq!(report.certificates.len(), 2, "{case}"),
                Err(error) => {
                    assert!(is_away(error), "{case}: {error:?}");
                    refused += 1;
                }
            }
            let in_between = stage.check_agreement(&[]).and_then(|()| stage.check_nothing_left());
            in_between.unwrap_or_else(|broken| panic!("{case}: {broken}"));
            assert_eq!(terminal.log_on(OPERATOR).map_err(|error| is_away(&error)), Err(true), "{case}");

            self.relay.away(false);
            // One visit settles what was open, one issues what is still missing.
            for _ in 0..2 {
                terminal.log_on(OPERATOR).unwrap_or_else(|error| panic!("{case}: {error:?}"));
                match terminal.run(&number, Plan::issue(&BOTH)) {
                    Ok(_) | Err(ProcedureError::AlreadyIssued(_)) => {}
                    Err(error) => panic!("{case}: {error:?}"),
                }
            }
            in_order(&stage).unwrap_or_else(|broken| panic!("{case}: {broken}"));
        }
        assert!(refused > 100);
    }

    /// Terminals and authorities all have their keys in the one token, which is killed again and again.
    fn dies_under_eight(&self) {
        /// Whoever has to begin anew comes through before the next one strikes.
        const CALLS_BETWEEN: u64 = 250;
        let deaths = self.relay.deaths();
        self.relay.kill_every(Kill::BeforeTheAnswer, CALLS_BETWEEN);
        thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    let hsms = Hsms { terminal: Some(self.hsm.clone()), authority: Some(self.hsm.clone()) };
                    let mut stage = Stage::with_hsms(&IssuingProfile::jpki_next(), Start::Fresh, &hsms);
                    let ended = stage.run(0, Plan::issue(&BOTH)).and_then(|_| stage.run(0, Plan::renew(&BOTH)));
                    ended.unwrap_or_else(|error| panic!("{number}: {error:?}"));
                    in_order(&stage).unwrap_or_else(|broken| panic!("{number}: {broken}"));
                    assert_eq!(BOTH.map(|kind| stage.issued(kind)), [2, 2]);
                });
            }
        });
        let _ = self.relay.disarm();
        let deaths = self.relay.deaths() - deaths;
        println!("killed {deaths} times under eight procedures");
        assert!(deaths > 10, "{deaths}");
    }

    fn takes_no_work(&self) {
        let mut stage = self.stage(Start::Fresh);
        let number = stage.resident.number.clone();
        let mut terminal = stage.start(0).unwrap();
        let before = traces(&stage);
        let (palms, enrolled) = (stage.palms.compared_with().len(), stage.palms.enrolled());

        terminal.log_on(OPERATOR).unwrap();
        self.relay.away(true);
        let refused = terminal.run(&number, Plan::issue(&BOTH)).map(drop);
        assert!(refused.as_ref().is_err_and(is_away), "{refused:?}");
        // Nobody was asked, nothing was begun, and the authority has heard of nothing.
        assert_eq!(stage.conversation.take(), []);
        let after = traces(&stage);
        let added: Vec<_> = after.log[before.log.len()..].iter().map(|entry| entry.step.as_str()).collect();
        assert_eq!(added, ["log-on", "log-off"]);
        assert_eq!(after.heard, before.heard);
        assert_eq!(stage.palms.compared_with().len(), palms + 1);

        // Nobody is asked for a palm that could not be compared.
        let refused = terminal.log_on(OPERATOR);
        assert!(refused.as_ref().is_err_and(is_away), "{refused:?}");
        assert_eq!(stage.palms.compared_with().len(), palms + 1);

        self.relay.away(false);
        terminal.log_on(MANAGER).unwrap();
        let second = terminal.second_person(OPERATOR).unwrap();
        self.relay.away(true);
        let order = EnrolOrder { user_id: "0500".into(), operator_id: "counter".into(), role: Role::Operator };
        let refused = terminal.enrol_operator(order.clone(), Some(second)).map(drop);
        assert!(refused.as_ref().is_err_and(is_away), "{refused:?}");
        assert_eq!(stage.palms.enrolled(), enrolled);

        // The same terminal goes on.
        self.relay.away(false);
        let second = terminal.second_person(OPERATOR).unwrap();
        terminal.enrol_operator(order, Some(second)).unwrap();
        terminal.log_on("0500").unwrap();
        terminal.run(&number, Plan::issue(&BOTH)).unwrap();
        in_order(&stage).unwrap();
    }
}

fn is_away(error: &ProcedureError) -> bool {
    matches!(error, ProcedureError::Hsm(HsmError::Unreachable))
}

/// What is disturbed. One kind stands for both in a renewal.
fn plan(start: Start) -> Plan {
    match start {
        Start::Fresh => Plan::issue(&BOTH),
        Start::Issued => Plan::renew(&[CertificateKind::Signature]),
    }
}

fn traces(stage: &Stage) -> Traces {
    let name = |message: &Vec<u8>| PkiMessage::from_bytes(message).map_or("nonsense", |message| message.body.name());
    Traces {
        log: logbook::entries(&*stage::folder(&stage.disk(0))).unwrap(),
        heard: stage.post.heard().iter().map(name).collect(),
        issued: BOTH.map(|kind| stage.issued(kind)),
    }
}

fn in_order(stage: &Stage) -> Result<(), Broken> {
    stage.check_settled()?;
    stage.check_accounted(0)?;
    stage.check_undoubted()?;
    stage.check_nothing_left()
}

fn soon() -> Deadline {
    SystemClock::shared().deadline_in(Duration::from_secs(60))
}

fn open(module: PathBuf) -> Pkcs11Hsm {
    let selector = TokenSelector { module, label: Some(TOKEN.into()), ..TokenSelector::default() };
    Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared()).expect("a token")
}
