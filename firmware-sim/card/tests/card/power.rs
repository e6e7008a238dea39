//! Loss of power at every write of every command.

use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::card::{AID_JPKI, fid, ins};
use madoguchi_time::VirtualClock;
use sim_card::nvm::{FileNvm, NvmError, PAGE, PAGES, Tear};
use sim_card::{Card, CardProfile, KeyAlgorithm, KeySource, PooledKeys, PrivateKey};

use crate::terminal::{
    POOL, SharedMemory, Status, TRANSACTION, Terminal, certificate, certificate_data, personalisation, pin_reference,
    sha256,
};

/// What a command's test does: bring a card into a state, enter it as a terminal does, give the command.
struct Case {
    name: &'static str,
    prepare: fn(&mut Terminal),
    enter: fn(&mut Terminal),
    /// Was it done?
    give: fn(&mut Terminal) -> bool,
}

const CASES: [Case; 8] = [
    Case {
        name: "SET INITIAL PIN",
        prepare: |_| {},
        enter: Terminal::open,
        give: |t| t.attempt(ins::SET_INITIAL_PIN, 1, 0, b"ABC123"),
    },
    Case {
        name: "GENERATE KEY PAIR",
        prepare: with_pins,
        enter: Terminal::open,
        give: |t| t.attempt(ins::GENERATE_KEY_PAIR, 1, 1, &TRANSACTION),
    },
    Case {
        name: "WRITE PENDING CERTIFICATE",
        prepare: with_key,
        enter: Terminal::open,
        give: |t| {
            let spki = KEY.spki().unwrap();
            t.attempt(ins::WRITE_PENDING_CERTIFICATE, 1, 0, &certificate_data(&spki, &certificate(&spki, 2)))
        },
    },
    Case { name: "COMMIT", prepare: complete, enter: Terminal::open, give: |t| give_named(t, ins::COMMIT) },
    Case { name: "DISCARD of a key", prepare: with_key, enter: Terminal::open, give: |t| give_named(t, ins::DISCARD) },
    Case { name: "DISCARD of both", prepare: complete, enter: Terminal::open, give: |t| give_named(t, ins::DISCARD) },
    Case {
        name: "UNBLOCK PIN",
        prepare: with_blocked_pin,
        enter: Terminal::open,
        give: |t| t.attempt(ins::UNBLOCK_PIN, 2, 0, b"5678"),
    },
    Case {
        name: "CHANGE REFERENCE DATA",
        prepare: with_pins,
        enter: |t| {
            t.select(&AID_JPKI);
            assert_eq!(t.verify(fid::AUTH_PIN, b"1234"), 0x9000);
        },
        give: |t| t.hex("00 24 01 98 04 35363738") == "9000",
    },
];

/// The key that the cards of these tests get: the same whenever it is asked for.
static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| POOL.clone().key_pair(KeyAlgorithm::Rsa2048, &mut rand_core::OsRng));

fn one_key() -> PooledKeys {
    PooledKeys::new(vec![KEY.clone()])
}

fn with_pins(terminal: &mut Terminal) {
    terminal.open();
    terminal.set_pins();
}

fn with_key(terminal: &mut Terminal) {
    with_pins(terminal);
    terminal.generate(Signature);
}

fn complete(terminal: &mut Terminal) {
    with_pins(terminal);
    terminal.issue_certificate(Signature, 1);
    let spki = terminal.generate(Signature);
    terminal.write_certificate(Signature, &spki, &certificate(&spki, 2)).unwrap();
}

fn with_blocked_pin(terminal: &mut Terminal) {
    with_pins(terminal);
    for _ in 0..3 {
        terminal.issue(ins::VERIFY, 0, pin_reference(Authentication), b"0000").unwrap_err();
    }
}

/// A command that names what is in the pending slot.
fn give_named(terminal: &mut Terminal, ins: u8) -> bool {
    let status = terminal.status(Signature);
    let name = status.pending_certificate.or(status.pending_key).unwrap();
    terminal.attempt(ins, 1, 0, &name)
}

/// Which of the PINs of these tests the authentication PIN is, if it can be used. Costs no try.
fn auth_pin(terminal: &mut Terminal) -> Option<&'static str> {
    terminal.select(&AID_JPKI);
    if terminal.verify(fid::AUTH_PIN, b"") == 0x63C0 {
        return None;
    }
    ["1234", "5678"].into_iter().find(|pin| terminal.verify(fid::AUTH_PIN, pin.as_bytes()) == 0x9000)
}

/// All that a terminal can see of slots and PINs.
fn look(terminal: &mut Terminal) -> (Vec<Status>, Option<&'static str>) {
    terminal.open();
    (CertificateKind::BOTH.map(|kind| terminal.status(kind)).to_vec(), auth_pin(terminal))
}

/// A card with a copy of this memory.
fn card(memory: &SharedMemory) -> Terminal {
    Terminal::with_memory(memory.copy(), one_key())
}

#[test]
fn every_command_happens_or_does_not() {
    for Case { name, prepare, enter, give } in CASES {
        let start = {
            let mut terminal = Terminal::with_keys(CardProfile::jpki_2016(), one_key());
            prepare(&mut terminal);
            terminal.memory
        };
        let before = look(&mut card(&start));
        let after = {
            let mut terminal = card(&start);
            enter(&mut terminal);
            assert!(give(&mut terminal), "{name}");
            look(&mut terminal)
        };
        assert_ne!(before, after, "{name} changes nothing");

        let (mut as_before, mut as_after) = (0, 0);
        for tear in Tear::ALL {
            for n in 1.. {
                let mut terminal = card(&start);
                enter(&mut terminal);
                let switch = terminal.card.power_switch();
                switch.cut_at_write(n, tear);
                let done = give(&mut terminal);
                if switch.cancel() {
                    assert!(done, "{name}");
                    break;
                }
                assert!(!done && !terminal.card.has_power(), "{name}, write {n}, {tear:?}");
                assert!(terminal.card.transmit(&[0, 0xA4, 4, 0x0C]).is_empty(), "a card without power is silent");
                terminal.card.power_up().unwrap();
                let found = look(&mut terminal);
                if found == before {
                    as_before += 1;
                    enter(&mut terminal);
                    assert!(give(&mut terminal), "{name} can't be completed after write {n}, {tear:?}");
                    assert_eq!(look(&mut terminal), after, "{name}, write {n}, {tear:?}");
                } else {
                    as_after += 1;
                    assert_eq!(found, after, "{name}, write {n}, {tear:?}");
                }
            }
        }
        println!("{name}: cut in {} ways, {as_before} as before, {as_after} as after", as_before + as_after);
        assert!(as_before >= 3 && as_after >= 1, "{name}");
    }
}

/// A try is spent before the PIN is compared: no cut gives one back to whoever guesses.
#[test]
fn cutting_the_power_saves_no_try() {
    for tear in Tear::ALL {
        for (guess, right) in [(b"9999", false), (b"1234", true)] {
            for n in 1.. {
                let mut terminal = Terminal::jpki_2016();
                with_pins(&mut terminal);
                terminal.select(&AID_JPKI);
                assert_eq!(terminal.verify(fid::AUTH_PIN, b"0000"), 0x63C2);
                let writes = terminal.card.power_switch().writes();
                let switch = terminal.card.power_switch();
                switch.cut_at_write(n, tear);
                let status = terminal.verify(fid::AUTH_PIN, guess);
                if switch.cancel() {
                    assert!(terminal.card.power_switch().writes() - writes >= 3);
                    break;
                }
                assert_eq!(status, 0, "the answer never arrives");
                terminal.card.power_up().unwrap();
                terminal.select(&AID_JPKI);
                let left = terminal.verify(fid::AUTH_PIN, b"");
                let allowed: &[u16] = if right { &[0x63C2, 0x63C1, 0x63C3] } else { &[0x63C2, 0x63C1] };
                assert!(allowed.contains(&left), "{left:04X} after write {n}, {tear:?}");
                assert_eq!(terminal.verify(fid::AUTH_PIN, b"1234"), 0x9000, "the right PIN still works");
            }
        }
    }
}

/// Before the answer to a guess can be seen, the counter is down: a cut that leaves it must come before any comparison.
#[test]
fn the_counter_is_down_before_the_comparison() {
    let counter_after_cut = |guess: &[u8]| {
        let mut cuts = Vec::new();
        for n in 1.. {
            let mut terminal = Terminal::jpki_2016();
            with_pins(&mut terminal);
            terminal.select(&AID_JPKI);
            let switch = terminal.card.power_switch();
            switch.cut_at_write(n, Tear::Written);
            terminal.verify(fid::AUTH_PIN, guess);
            if switch.cancel() {
                return cuts;
            }
            terminal.card.power_up().unwrap();
            terminal.select(&AID_JPKI);
            cuts.push(terminal.verify(fid::AUTH_PIN, b""));
        }
        cuts
    };
    let (wrong, right) = (counter_after_cut(b"9999"), counter_after_cut(b"1234"));
    // Up to the last write of a wrong guess, both look the same, from the number of writes to what they leave.
    assert_eq!(right[..wrong.len()], wrong[..]);
    assert_eq!(wrong.last(), Some(&0x63C2));
}

#[test]
fn opening_a_channel_can_be_cut_and_repeated() {
    for n in 1.. {
        let mut terminal = Terminal::jpki_2016();
        let switch = terminal.card.power_switch();
        switch.cut_at_write(n, Tear::Garbled);
        terminal.select(&AID_JPKI);
        let opened = terminal.open_at(0x33);
        if switch.cancel() {
            opened.unwrap();
            assert!(n > 2);
            return;
        }
        terminal.card.power_up().unwrap();
        terminal.open();
    }
}

#[test]
fn what_was_replaced_or_discarded_is_overwritten() {
    let mut terminal = Terminal::jpki_2016();
    let memory = terminal.memory.clone();
    with_pins(&mut terminal);
    let spki = terminal.generate(Signature);
    let modulus = spki[40..200].to_vec();
    let old = certificate(&spki, 1);
    terminal.write_certificate(Signature, &spki, &old).unwrap();
    assert!(memory.holds(&modulus), "the search finds a key that is there");
    terminal.issue(ins::DISCARD, 1, 0, &sha256(&old)).unwrap();
    assert!(!memory.holds(&modulus));

    let first = terminal.issue_certificate(Signature, 1);
    assert!(memory.holds(&first[60..160]));
    terminal.issue_certificate(Signature, 2);
    assert!(!memory.holds(&first[60..160]));
    assert!(memory.holds(b"ABC123"));
    terminal.issue(ins::UNBLOCK_PIN, 1, 0, b"NEWPIN1").unwrap();
    assert!(!memory.holds(b"ABC123") && memory.holds(b"NEWPIN1"));
}

#[test]
fn a_card_in_a_file_survives_and_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.nvm");
    let clock = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
    let nvm = personalisation(CardProfile::jpki_2016()).into_file(&path).unwrap();
    assert!(matches!(FileNvm::open(&path), Err(NvmError::InUse)));
    assert!(personalisation(CardProfile::jpki_2016()).into_file(&path).is_err(), "no card is overwritten");
    let mut terminal = Terminal::jpki_2016();
    terminal.card = Card::power_on(nvm, clock.clone(), POOL.clone()).unwrap();
    with_pins(&mut terminal);
    let certificate = terminal.issue_certificate(Authentication, 1);
    drop(terminal);
    let mut terminal = Terminal::jpki_2016();
    terminal.card = Card::power_on(FileNvm::open(&path).unwrap(), clock.clone(), POOL.clone()).unwrap();
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.read(fid::AUTH_CERTIFICATE).unwrap(), certificate);
    drop(terminal);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, vec![0; PAGE * PAGES]).unwrap();
    let blank = FileNvm::open(&path).unwrap();
    assert!(matches!(Card::power_on(blank, clock, POOL.clone()), Err(NvmError::NotFormatted)));
}
