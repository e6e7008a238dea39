//! The fault loops notice the four mistakes that would be tempting: each breaks an invariant, and it is the one that the
//! models foretell.

use madoguchi_tests::loops::{self, Findings, Variant};
use madoguchi_tests::stage::Start;

fn is_noticed(variant: Variant, findings: &Findings, invariants: &[&str]) {
    let named = |invariant: &&str| findings.broken.iter().any(|broken| broken.contains(*invariant));
    println!("{}: {} of {} cases broken", variant.name, findings.broken.len(), findings.cases);
    assert!(invariants.iter().any(named), "{}: {:#?}", variant.name, findings.broken.first());
}

#[test]
fn superseding_at_confirmation_is_noticed() {
    let variant = Variant::SUPERSEDE_AT_CONFIRMATION;
    let findings = loops::card_leaves_and_comes_back(variant, Start::Issued).and(loops::undisturbed(variant));
    is_noticed(variant, &findings, &["I2", "I3"]);
}

#[test]
fn confirming_after_commit_is_noticed() {
    let variant = Variant::CONFIRM_AFTER_COMMIT;
    is_noticed(variant, &loops::undisturbed(variant), &["I2"]);
}

#[test]
fn an_unnamed_commit_is_noticed() {
    let variant = Variant::UNNAMED_COMMIT;
    is_noticed(variant, &loops::stale_terminal_commits(variant), &["I2"]);
}

#[test]
fn one_commit_for_both_kinds_is_noticed() {
    let variant = Variant::ONE_COMMIT_FOR_BOTH;
    is_noticed(variant, &loops::undisturbed(variant), &["I2"]);
}
