//! Entries: one way to write each, and no room for what must not be logged.

use crate::common::{Written, operator, written};
use audit_log::{
    AccountingFault, Actor, AppendError, Code, Entry, EntryError, LineFault, Log, NewEntry, Outcome, Phase,
    ResidentReference, TornLine, TreeHash, open_intents,
};
use jiff::Timestamp;

#[test]
fn an_entry_has_one_form() {
    let mut log = Written::default();
    log.append(NewEntry::event(Actor::System, Code::literal("start")));
    let intent = NewEntry::intent(operator(), Code::literal("card-commit"))
        .procedure(Code::literal("0f1e"))
        .resident(ResidentReference([0xab; 32]))
        .detail(Code::literal("signature"));
    let intent = log.append(intent);
    log.close(intent, Outcome::Unknown);
    let resident = "ab".repeat(32);
    let expected = [
        r#"{"actor":"system","index":0,"phase":"event","step":"start","time":"2027-01-15T08:00:00.123Z"}"#.to_owned(),
        format!(
            r#"{{"actor":"operator:0417","detail":"signature","index":1,"phase":"intent","procedure":"0f1e","resident":"{resident}","step":"card-commit","time":"2027-01-15T08:00:00.124Z"}}"#
        ),
        format!(
            r#"{{"actor":"operator:0417","index":2,"intent":1,"outcome":"unknown","phase":"outcome","procedure":"0f1e","resident":"{resident}","step":"card-commit","time":"2027-01-15T08:00:00.125Z"}}"#
        ),
    ];
    assert_eq!(log.lines, expected.each_ref().map(|line| format!("{line}\n")));
    for line in &expected {
        let entry = Entry::from_line(line.as_bytes()).unwrap();
        assert_eq!(entry.to_line(), *line);
        assert_eq!(entry.leaf(), TreeHash::leaf(line.as_bytes()));
        // RFC 8785: the fields stand in the order of their names, which is also that of a sorted map.
        let sorted: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&sorted).unwrap(), *line);
    }
    assert_eq!(
        Entry::from_line(expected[2].as_bytes()).unwrap().phase,
        Phase::Outcome { intent: 1, outcome: Outcome::Unknown }
    );
}

#[test]
fn other_forms_are_refused() {
    let good = r#"{"actor":"operator:0417","index":2,"intent":1,"outcome":"done","phase":"outcome","step":"s","time":"2027-01-15T08:00:00.123Z"}"#;
    Entry::from_line(good.as_bytes()).unwrap();
    for (from, to, canonical) in [
        (r#""index":2"#, r#""index": 2"#, false),
        (r#""index":2"#, r#""index":2.0"#, true),
        (r#""index":2"#, r#""index":-2"#, true),
        (r#""step":"s""#, r#""step":"\u0073""#, false),
        (".123Z", ".1230Z", false),
        (".123Z", ".123456Z", false),
        (".123Z", ".123+00:00", false),
        (".123Z", ".123", true),
        ("2027-01-15", "2027-02-30", true),
        (r#""index":2,"intent":1"#, r#""intent":1,"index":2"#, false),
        (r#""index":2,"#, r#""index":2,"name":"x","#, true),
        (r#""index":2,"#, r#""index":2,"index":2,"#, true),
        (r#""index":2,"#, "", true),
        (r#""index":2,"#, r#""detail":null,"index":2,"#, false),
        (r#""intent":1,"#, "", true),
        (r#""outcome":"done","#, "", true),
        (r#""phase":"outcome""#, r#""phase":"event""#, true),
        (r#""phase":"outcome""#, r#""phase":"intent""#, true),
        (r#""outcome":"done""#, r#""outcome":"Done""#, true),
        ("operator:0417", "0417", true),
        ("operator:0417", "operator:", true),
        ("operator:0417", "operator:窓口", true),
        (r#""step":"s""#, r#""step":"two words""#, true),
        (r#""step":"s""#, r#""resident":"00","step":"s""#, true),
        ("}", "} ", false),
        ("}", "}}", true),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from}");
        match Entry::from_line(changed.as_bytes()) {
            Err(EntryError::Syntax(_)) if canonical => {}
            Err(EntryError::NotCanonical) if !canonical => {}
            other => panic!("{changed}: {other:?}"),
        }
    }
}

#[test]
fn codes_leave_no_room_for_personal_data() {
    for text in ["", "窓口 花子", "Hanako Madoguchi", "東京都", "ﾏﾄﾞｸﾞﾁ", "a\n", "a:b", "\u{0}", &"a".repeat(65)]
    {
        assert!(Code::new(text).is_err(), "{text:?}");
    }
    for text in ["a", "0417", "genm.card-status", "CR_01", &"a".repeat(64)] {
        assert_eq!(Code::new(text).unwrap().as_str(), text);
    }
}

/// An entry is in the log once the store has it; one that could not be written has never been.
#[test]
fn an_entry_is_taken_in_when_it_is_written() {
    let mut log = written(1).log;
    let before = (log.size(), log.tree().root(log.size()));
    let now = Timestamp::UNIX_EPOCH;
    let intent = || NewEntry::intent(operator(), Code::literal("step"));
    let lost = log.prepare(intent(), now).unwrap();
    assert_eq!((log.size(), log.tree().root(log.size())), before);
    assert_eq!(log.open_intents().count(), 0);
    let kept = log.prepare(intent(), now).unwrap();
    assert_eq!(kept.entry().index, log.size());
    let index = log.commit(kept).unwrap().index;
    assert_eq!(log.open_intents().map(|open| open.index).collect::<Vec<_>>(), [index]);
    assert_eq!(log.commit(lost).unwrap_err(), AppendError::OutOfTurn { prepared: index, size: index + 1 });

    let outcome = log.outcome(index, Actor::System, Outcome::Failed).unwrap();
    let again = outcome.clone();
    let prepared = log.prepare(outcome, now).unwrap();
    log.commit(prepared).unwrap();
    assert_eq!(log.prepare(again, now).unwrap_err(), AppendError::NotOpen(index));
    for not_open in [0, index, index + 1, 99] {
        assert_eq!(log.outcome(not_open, Actor::System, Outcome::Done).unwrap_err(), AppendError::NotOpen(not_open));
    }
}

/// Whatever byte the last write stopped at: the whole lines are read, and the rest is named.
#[test]
fn a_torn_line_is_named() {
    let whole = written(2);
    let bytes = whole.bytes();
    let before_last = bytes.len() - whole.lines.last().unwrap().len();
    for end in before_last..=bytes.len() {
        let (log, torn) = Log::from_lines(&bytes[..end]).unwrap();
        let (size, expected) = match end {
            _ if end == bytes.len() => (whole.log.size(), None),
            _ if end == before_last => (whole.log.size() - 1, None),
            _ => (whole.log.size() - 1, Some(TornLine { offset: before_last, length: end - before_last })),
        };
        assert_eq!((log.size(), torn), (size, expected), "cut at {end}");
        assert_eq!(log.tree().root(size), whole.log.tree().root(size));
    }
    let (log, torn) = Log::from_lines(b"no line yet").unwrap();
    assert_eq!((log.size(), torn), (0, Some(TornLine { offset: 0, length: 11 })));
    let (log, torn) = Log::from_lines(b"").unwrap();
    assert_eq!((log.size(), torn), (0, None));
}

/// A log that is read goes on as the one that was written would.
#[test]
fn a_log_is_taken_up_where_it_ended() {
    let mut whole = written(3);
    let open = NewEntry::intent(operator(), Code::literal("card-commit")).procedure(Code::literal("p-9"));
    let open = whole.append(open.resident(ResidentReference([9; 32])));
    let (read, _) = Log::from_lines(&whole.bytes()).unwrap();
    assert!(read.open_intents().eq(whole.log.open_intents()));
    let mut read = Written { log: read, lines: whole.lines.clone() };
    for log in [&mut whole, &mut read] {
        log.close(open, Outcome::Done);
    }
    assert_eq!(read.lines, whole.lines);
    assert_eq!(read.log.tree().root(read.log.size()), whole.log.tree().root(whole.log.size()));
}

#[test]
fn accounts_are_kept() {
    let mut written = written(2);
    let [first, second] = [b'a', b'b']
        .map(|step| written.append(NewEntry::intent(operator(), Code::new(char::from(step).to_string()).unwrap())));
    let entries: Vec<_> =
        written.lines.iter().map(|line| Entry::from_line(line.trim_end().as_bytes()).unwrap()).collect();
    let open = open_intents(&entries).unwrap();
    assert_eq!(open.iter().map(|open| open.index).collect::<Vec<_>>(), [first, second]);

    let next = entries.len() as u64;
    let outcome = |intent: u64, step: &str| Entry {
        index: next,
        phase: Phase::Outcome { intent, outcome: Outcome::Done },
        step: Code::new(step).unwrap(),
        ..entries[usize::try_from(first).unwrap()].clone()
    };
    let with = |more: Entry| open_intents(entries.iter().chain([&more])).map(|open| open.len());
    assert_eq!(with(outcome(first, "a")), Ok(1));
    assert_eq!(with(outcome(first, "b")), Err(AccountingFault::Mismatch { intent: first, outcome: next }));
    assert_eq!(with(outcome(2, "card-commit")), Err(AccountingFault::SecondOutcome { intent: 2, outcome: next }));
    // An event, an outcome, itself, one that is still to come.
    for intent in [0, 3, next, next + 1] {
        assert_eq!(
            with(outcome(intent, "a")),
            Err(AccountingFault::NoSuchIntent { intent, outcome: next }),
            "{intent}"
        );
    }

    let lines = written.lines.concat() + &outcome(2, "card-commit").to_line() + "\n";
    assert!(matches!(
        Log::from_lines(lines.as_bytes()),
        Err(LineFault::Accounting(AccountingFault::SecondOutcome { intent: 2, .. }))
    ));
}
