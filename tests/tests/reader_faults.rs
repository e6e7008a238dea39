//! Card and authority agree whatever happens between card and terminal, no PIN is sent twice, and a procedure always ends: the
//! product comes through every loop, and each loop notices a mistake.

use madoguchi_tests::loops::reader::{self, Played};
use madoguchi_tests::loops::{Findings, Variant};
use madoguchi_tests::stage::Start;

type Loop = fn(Played, Start) -> Findings;

#[track_caller]
fn comes_through(name: &str, places: usize, run: Loop) {
    for start in [Start::Fresh, Start::Issued] {
        let findings = run(Played::PRODUCT, start);
        println!("{name}, {start:?}: {} cases, at {} places", findings.cases, findings.struck);
        assert!(findings.struck >= places, "a loop whose fault does not strike proves nothing");
        assert!(
            findings.broken.is_empty(),
            "{} broken: {:#?}",
            findings.broken.len(),
            &findings.broken[..findings.broken.len().min(12)]
        );
    }
}

#[track_caller]
fn notices(name: &str, run: Loop, mistaken: Played, finding: &str) {
    let findings = run(mistaken, Start::Issued);
    println!("{name}: {} of {} cases broken", findings.broken.len(), findings.cases);
    assert!(findings.broken.iter().any(|broken| broken.contains(finding)), "{:#?}", findings.broken);
}

#[test]
fn reset() {
    comes_through("reset", 30, reader::resets);
}

#[test]
fn silence() {
    comes_through("silence", 30, reader::silence);
}

#[test]
fn damage() {
    comes_through("wrong bits and garbled answers", 30, reader::damage);
}

#[test]
fn odd_status_words() {
    comes_through("odd status words", 30, reader::odd_status_words);
}

#[test]
fn held_by_another() {
    comes_through("reset and held by another program", 30, reader::held_by_another);
}

#[test]
fn unopened() {
    comes_through("a card that can't be opened", 2, reader::unopened);
}

#[test]
fn a_terminal_that_supersedes_too_early_is_noticed() {
    let mistaken = Played::until_noticed(Variant::SUPERSEDE_AT_CONFIRMATION);
    notices("reset and held by another program", reader::held_by_another, mistaken, "I2");
}

#[test]
fn a_reader_that_repeats_commands_is_noticed() {
    for (name, run) in [
        ("reset", reader::resets as Loop),
        ("silence", reader::silence),
        ("wrong bits and garbled answers", reader::damage),
        ("odd status words", reader::odd_status_words),
    ] {
        notices(name, run, Played::REPEATING, "sent twice");
    }
}
