//! Whatever is done to a log is found, and told apart.

use crate::common::{Notary, Written, operator, written};
use audit_log::{AccountingFault, Code, Entry, Log, LogFault, NewEntry, Outcome, Phase, Report, verify};
use proptest::prelude::*;

const ORIGIN: &str = "madoguchi.example/terminal-1";

fn hsm() -> Notary {
    Notary::new(1, ORIGIN)
}

/// The lines, each as if it stood where it stands: what somebody who knows the format would write.
fn renumbered(lines: &[String]) -> Vec<String> {
    let renumber = |(index, line): (u64, &String)| {
        let mut entry = Entry::from_line(line.trim_end().as_bytes()).unwrap();
        entry.index = index;
        entry.to_line() + "\n"
    };
    (0..).zip(lines).map(renumber).collect()
}

#[test]
fn an_untouched_log_verifies_at_every_size_of_checkpoint_and_witness() {
    let log = written(3);
    let (bytes, hsm, entries) = (log.bytes(), hsm(), log.log.size());
    for certified in 0..=entries {
        let own = hsm.certify(&log.log, certified);
        assert_eq!(
            verify(&bytes, Some(&own), None).unwrap(),
            Report { entries, certified, witnessed: None, torn: None }
        );
        for seen in 0..=entries {
            let report = verify(&bytes, Some(&own), Some(&hsm.certify(&log.log, seen))).unwrap();
            assert_eq!(report, Report { entries, certified, witnessed: Some(seen), torn: None });
        }
    }
    assert_eq!(verify(b"", None, None).unwrap(), Report { entries: 0, certified: 0, witnessed: None, torn: None });
}

/// Every single bit of every line, and every cut: none gives the same root. That the root is compared, the tests below show.
#[test]
fn every_changed_bit_changes_the_root() {
    let log = written(2);
    let (bytes, size) = (log.bytes(), log.log.size());
    let root = log.log.tree().root(size);
    let same =
        |bytes: &[u8]| Log::from_lines(bytes).is_ok_and(|(log, _)| log.size() >= size && log.tree().root(size) == root);
    assert!(same(&bytes));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!same(&changed), "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert!(!same(&bytes[..end]), "cut at {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_byte_is_found(at in any::<prop::sample::Index>(), flip in 1_u8.., seen in 0_u64..=13) {
        let (log, hsm) = (written(4), hsm());
        let own = hsm.certify(&log.log, log.log.size());
        let witness = hsm.certify(&log.log, seen);
        let mut bytes = log.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(verify(&bytes, Some(&own), Some(&witness)).is_err());
        prop_assert!(verify(&bytes, Some(&own), None).is_err());
    }

    #[test]
    fn a_changed_entry_is_found_and_narrowed_down(changed in 0_usize..13, seen in 0_u64..=13) {
        let (log, hsm) = (written(4), hsm());
        let own = hsm.certify(&log.log, log.log.size());
        let witness = hsm.certify(&log.log, seen);
        let mut lines = log.lines.clone();
        let mut entry = Entry::from_line(lines[changed].trim_end().as_bytes()).unwrap();
        entry.detail = Some(Code::literal("nothing-to-see"));
        lines[changed] = entry.to_line() + "\n";
        let fault = verify(lines.concat().as_bytes(), Some(&own), Some(&witness)).unwrap_err();
        let LogFault::Changed { from, until } = fault else { panic!("{fault:?}") };
        let changed = changed as u64;
        prop_assert!(from <= changed && changed < until);
        prop_assert_eq!((from, until), if changed < seen { (0, seen) } else { (seen, 13) });
    }

    #[test]
    fn a_reordered_log_is_found(mut order in Just((0..13).collect::<Vec<usize>>()).prop_shuffle()) {
        let (log, hsm) = (written(4), hsm());
        let own = hsm.certify(&log.log, log.log.size());
        if order.is_sorted() {
            order.swap(0, 1);
        }
        let lines: Vec<_> = order.iter().map(|at| log.lines[*at].clone()).collect();
        let place = order.iter().enumerate().position(|(place, at)| place != *at).unwrap();
        let fault = verify(lines.concat().as_bytes(), Some(&own), None).unwrap_err();
        let LogFault::Misplaced { place: found, index } = fault else { panic!("{fault:?}") };
        prop_assert_eq!((found, index), (place as u64, order[place] as u64));
        let fault = verify(renumbered(&lines).concat().as_bytes(), Some(&own), None).unwrap_err();
        prop_assert!(matches!(fault, LogFault::Changed { from: 0, until: 13 }), "{:?}", fault);
    }
}

#[test]
fn a_line_more_or_less_in_the_middle_is_found() {
    let (log, hsm) = (written(3), hsm());
    let own = hsm.certify(&log.log, log.log.size());
    for at in 0..log.lines.len() - 1 {
        let mut fewer = log.lines.clone();
        fewer.remove(at);
        let mut more = log.lines.clone();
        more.insert(at, log.lines[at].clone());
        for lines in [&fewer, &more] {
            let fault = verify(lines.concat().as_bytes(), Some(&own), None).unwrap_err();
            assert!(matches!(fault, LogFault::Misplaced { .. }), "{at}: {fault:?}");
        }
        let fault = verify(renumbered(&fewer).concat().as_bytes(), Some(&own), None).unwrap_err();
        assert!(matches!(fault, LogFault::Truncated { entries: 9, certified: 10 }), "{at}: {fault:?}");
        let fault = verify(renumbered(&more).concat().as_bytes(), Some(&own), None).unwrap_err();
        assert!(matches!(fault, LogFault::Changed { from: 0, until: 10 }), "{at}: {fault:?}");
    }
}

#[test]
fn a_truncated_log_is_found() {
    let (log, hsm) = (written(3), hsm());
    let size = log.log.size();
    let own = hsm.certify(&log.log, size);
    for left in 0..size {
        let lines = &log.lines[..usize::try_from(left).unwrap()];
        // In the middle of a line, too.
        for torn in ["", "{\"actor\""] {
            let bytes = lines.concat() + torn;
            for witness in [None, Some(own.clone())] {
                let fault = verify(bytes.as_bytes(), Some(&own), witness.as_ref()).unwrap_err();
                assert!(
                    matches!(fault, LogFault::Truncated { entries, certified } if (entries, certified) == (left, size)),
                    "{left}: {fault:?}"
                );
            }
        }
    }
}

#[test]
fn a_folder_that_was_put_back_is_found() {
    let (log, hsm) = (written(3), hsm());
    let size = log.log.size();
    let witness = hsm.certify(&log.log, size);
    for back in 0..size {
        let bytes = log.lines[..usize::try_from(back).unwrap()].concat();
        for certified in 0..=back {
            let own = hsm.certify(&log.log, certified);
            let fault = verify(bytes.as_bytes(), Some(&own), Some(&witness)).unwrap_err();
            assert!(
                matches!(fault, LogFault::RolledBack { entries, witnessed } if (entries, witnessed) == (back, size)),
                "{back}: {fault:?}"
            );
        }
        let fault = verify(bytes.as_bytes(), None, Some(&witness)).unwrap_err();
        assert!(matches!(fault, LogFault::RolledBack { .. }), "without a checkpoint: {fault:?}");
    }
}

#[test]
fn a_replaced_key_is_found() {
    let (log, hsm, forger) = (written(3), hsm(), Notary::new(2, ORIGIN));
    let (bytes, size) = (log.bytes(), log.log.size());
    let witness = hsm.certify(&log.log, size);
    let replaced = |fault: LogFault| {
        assert!(
            matches!(fault, LogFault::KeyReplaced { known, found } if (known, found) == (hsm.key.id(), forger.key.id())),
            "{fault:?}"
        );
    };
    // The HSM has another key, and the log may be the same or not.
    replaced(verify(&bytes, Some(&forger.certify(&log.log, size)), Some(&witness)).unwrap_err());
    replaced(verify(&written(9).bytes(), Some(&forger.certify(&written(9).log, 4)), Some(&witness)).unwrap_err());
    // The HSM has another key, and the witness keeps nothing but the checkpoint.
    let mut handed_back = witness.clone();
    handed_back.key = forger.key.clone();
    for own in [Some(forger.certify(&log.log, size)), None] {
        replaced(verify(&bytes, own.as_ref(), Some(&handed_back)).unwrap_err());
    }
    // The HSM is the same, and the checkpoint is signed by another key.
    let mut own = forger.certify(&log.log, size);
    own.key = hsm.key.clone();
    replaced(verify(&bytes, Some(&own), Some(&witness)).unwrap_err());
    replaced(verify(&bytes, Some(&own), None).unwrap_err());
}

#[test]
fn a_changed_checkpoint_is_found() {
    let (log, hsm) = (written(3), hsm());
    let mut own = hsm.certify(&log.log, 10);
    let note = own.checkpoint.to_string().replacen("\n10\n", "\n9\n", 1);
    own.checkpoint = note.parse().unwrap();
    let fault = verify(&log.bytes(), Some(&own), None).unwrap_err();
    assert!(matches!(fault, LogFault::Forged(key) if key == hsm.key.id()), "{fault:?}");
}

/// Two histories, both signed by the HSM's key. Whichever of them the entries show, the witness's checkpoint gives it away.
#[test]
fn a_rewritten_log_is_found() {
    let (log, hsm) = (written(3), hsm());
    let mut lines = log.lines.clone();
    lines.remove(1);
    let rewritten = Written::of(&renumbered_with_intents(&lines));
    let size = rewritten.log.size();
    assert_eq!(size, 9);
    for seen in 2..=size {
        let witness = hsm.certify(&log.log, seen);
        let own = hsm.certify(&rewritten.log, size);
        let fault = verify(&rewritten.bytes(), Some(&own), Some(&witness)).unwrap_err();
        assert!(matches!(fault, LogFault::NotAsWitnessed { witnessed } if witnessed == seen), "{fault:?}");
    }
    let own = hsm.certify(&rewritten.log, size);
    let fault = verify(&log.bytes(), Some(&own), Some(&hsm.certify(&log.log, 10))).unwrap_err();
    assert!(matches!(fault, LogFault::NotAsWitnessed { witnessed: 10 }), "{fault:?}");
}

/// As [`renumbered`], when the line at 1 is gone: outcomes name their intents by the new numbers.
fn renumbered_with_intents(lines: &[String]) -> Vec<String> {
    let renumber = |(index, line): (u64, &String)| {
        let mut entry = Entry::from_line(line.trim_end().as_bytes()).unwrap();
        entry.index = index;
        if let Phase::Outcome { intent, .. } = &mut entry.phase {
            *intent -= 1;
        }
        entry.to_line() + "\n"
    };
    (0..).zip(lines).map(renumber).collect()
}

#[test]
fn a_log_of_another_terminal_is_found() {
    let (log, hsm, other) = (written(3), hsm(), Notary::new(1, "madoguchi.example/terminal-2"));
    let (own, witness) = (hsm.certify(&log.log, 10), other.certify(&log.log, 10));
    let fault = verify(&log.bytes(), Some(&own), Some(&witness)).unwrap_err();
    assert!(matches!(fault, LogFault::OtherLog { .. }), "{fault:?}");
}

#[test]
fn a_missing_checkpoint_is_found() {
    let (log, hsm) = (written(3), hsm());
    for witness in [None, Some(hsm.certify(&log.log, 10)), Some(hsm.certify(&log.log, 0))] {
        let fault = verify(&log.bytes(), None, witness.as_ref()).unwrap_err();
        assert!(matches!(fault, LogFault::NoCheckpoint { entries: 10 }), "{fault:?}");
    }
}

#[test]
fn open_accounts_are_told_when_nothing_worse_is_found() {
    let hsm = hsm();
    let mut log = written(1);
    let intent = log.append(NewEntry::intent(operator(), Code::literal("card-commit")));
    let own = hsm.certify(&log.log, log.log.size());
    let fault = verify(&log.bytes(), Some(&own), None).unwrap_err();
    assert!(matches!(&fault, LogFault::OpenIntents(open) if open[0].index == intent && open.len() == 1), "{fault:?}");
    log.close(intent, Outcome::Unknown);
    verify(&log.bytes(), Some(&own), None).unwrap();

    // A second outcome, written by something that does not keep accounts.
    let mut lines = log.lines.clone();
    let last = Entry::from_line(lines.last().unwrap().trim_end().as_bytes()).unwrap();
    lines.push(Entry { index: last.index + 1, ..last }.to_line() + "\n");
    let fault = verify(lines.concat().as_bytes(), Some(&own), None).unwrap_err();
    let LogFault::Accounting(AccountingFault::SecondOutcome { intent: found, outcome }) = fault else {
        panic!("{fault:?}")
    };
    assert_eq!((found, outcome), (intent, lines.len() as u64 - 1));
    // A changed entry weighs more.
    lines[0] = lines[0].replacen("start", "stop", 1);
    let fault = verify(lines.concat().as_bytes(), Some(&own), None).unwrap_err();
    assert!(matches!(fault, LogFault::Changed { .. }), "{fault:?}");
}

#[test]
fn a_torn_last_line_is_reported() {
    let (log, hsm) = (written(1), hsm());
    let own = hsm.certify(&log.log, log.log.size());
    let whole = log.bytes();
    let torn = [whole.as_slice(), b"{\"act"].concat();
    let report = verify(&torn, Some(&own), Some(&own)).unwrap();
    let line = report.torn.unwrap();
    assert_eq!((line.offset, line.length, report.entries), (whole.len(), 5, 4));
}
