//! Card and authority agree, whatever is lost: the product comes through every fault loop.

use madoguchi_tests::loops::{self, Findings, Variant};
use madoguchi_tests::stage::Start;

const STARTS: [Start; 2] = [Start::Fresh, Start::Issued];

fn comes_through(name: &str, least: usize, findings: Findings) {
    println!("{name}: {} cases, the fault struck at {} places", findings.cases, findings.struck);
    assert!(findings.struck >= least, "a loop whose fault does not strike proves nothing");
    assert!(
        findings.broken.is_empty(),
        "{} broken, the first: {:#?}",
        findings.broken.len(),
        &findings.broken[..findings.broken.len().min(3)]
    );
}

fn both(run: fn(Variant, Start) -> Findings) -> Findings {
    STARTS.into_iter().map(|start| run(Variant::PRODUCT, start)).fold(Findings::default(), Findings::and)
}

#[test]
fn undisturbed() {
    comes_through("undisturbed, at every step", 0, loops::undisturbed(Variant::PRODUCT));
}

#[test]
fn card_leaves_and_comes_back() {
    comes_through("card away at every APDU", 60, both(loops::card_leaves_and_comes_back));
}

#[test]
fn card_visits_a_second_terminal() {
    comes_through("card at a second terminal from every APDU", 60, both(loops::card_visits_a_second_terminal));
}

#[test]
fn stale_terminal_commits() {
    comes_through("stale commit after every APDU", 30, loops::stale_terminal_commits(Variant::PRODUCT));
}

#[test]
fn messages_meet_mishaps() {
    comes_through("every message, every mishap", 60, both(loops::messages_meet_mishaps));
}

#[test]
fn power_cut_at_card_writes() {
    comes_through("power cut at every write of the card", 60, both(loops::power_cut_at_card_writes));
}

#[test]
fn terminal_stops_at_writes() {
    comes_through("terminal stopped at every write", 60, both(loops::terminal_stops_at_writes));
}

#[test]
fn authority_gives_up() {
    comes_through("authority gives up after every APDU", 60, both(loops::authority_gives_up));
}

// The longest loop: one test for each start, so that both cores have something to do.

#[test]
fn pairs_of_faults_during_a_first_issue() {
    comes_through(
        "every pair of message and card, first issue",
        100,
        loops::pairs_of_faults(Variant::PRODUCT, Start::Fresh),
    );
}

#[test]
fn pairs_of_faults_during_a_renewal() {
    comes_through(
        "every pair of message and card, renewal",
        100,
        loops::pairs_of_faults(Variant::PRODUCT, Start::Issued),
    );
}
