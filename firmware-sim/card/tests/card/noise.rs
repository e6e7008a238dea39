//! Whatever comes over the line, the card answers with a status word and stays usable.

use std::sync::LazyLock;

use jpki::CertificateKind::{Authentication, Signature};
use jpki::card::{AID_JPKI, fid};
use proptest::collection::vec;
use proptest::prelude::*;
use sim_card::CardProfile;

use crate::terminal::{AUTH_PIN, POOL, SharedMemory, Terminal};

/// A card with both certificates, made once.
static ISSUED: LazyLock<SharedMemory> = LazyLock::new(|| {
    let mut terminal = Terminal::new(CardProfile::jpki_2016());
    terminal.open();
    terminal.set_pins();
    terminal.issue_certificate(Authentication, 1);
    terminal.issue_certificate(Signature, 2);
    terminal.memory
});

/// Commands that a card understands, to be spoilt.
const GOOD: [&str; 27] = [
    "00A4040C0AD392F000260100000001",
    "00A4040C0AD3921000310001010408",
    "00A4040008A000000151000000",
    "00A4040C0AD3921000310001010402",
    "00A4040C0AD3921000310001010100",
    "002000940C313233343536373839303138",
    "002000910434333231",
    "80320080043837363500",
    "0088009901AA00",
    "00CA00E000",
    "80AE000002AABB00",
    "08B00000059603000000",
    "84D8008108AABBCCDDEEFF001100",
    "84E2900008420141AABBCCDDEE00",
    "00A4020C020006",
    "00A4020C020018",
    "00B0000000",
    "00B08A0000",
    "00B20104000000",
    "00200080",
    "002000980431323334",
    "002401800431323334",
    "802A009704AABBCCDD00",
    "8050000008001122334455667700",
    "848233001000112233445566770011223344556677",
    "8410010008001122334455667700",
    "00C0000000",
];

fn any_command() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = (0..GOOD.len(), vec((any::<prop::sample::Index>(), any::<u8>()), 0..3), any::<bool>(), any::<u8>());
    prop_oneof![
        vec(any::<u8>(), 0..300),
        spoilt.prop_map(|(which, changes, cut, extra)| {
            let mut command = hex::decode(GOOD[which]).unwrap();
            for (at, value) in changes {
                let at = at.index(command.len());
                command[at] = value;
            }
            if cut {
                command.pop();
            } else if extra > 200 {
                command.push(extra);
            }
            command
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_a_status_word(commands in vec(any_command(), 1..20)) {
        let mut terminal = Terminal::with_memory(ISSUED.copy(), POOL.clone());
        terminal.select(&AID_JPKI);
        for command in commands {
            let answer = terminal.card.transmit(&command);
            prop_assert!(answer.len() >= 2);
            let first = answer[answer.len() - 2];
            prop_assert!(first == 0x90 || (0x61..=0x6F).contains(&first), "{first:02X}");
        }
        terminal.card.reset();
        prop_assert_eq!(terminal.select(&AID_JPKI), 0x9000);
        prop_assert!(terminal.read(fid::AUTH_CERTIFICATE).is_ok());
    }

    /// Noise inside an open channel: what is authentic but senseless is refused, and the channel stays.
    #[test]
    fn authentic_nonsense_is_refused(
        ins in any::<u8>(), p1 in 0_u8..4, p2 in prop_oneof![Just(0_u8), Just(1), any::<u8>()], data in vec(any::<u8>(), 0..600),
    ) {
        let mut terminal = Terminal::with_memory(ISSUED.copy(), POOL.clone());
        terminal.open();
        prop_assume!(ins != jpki::card::ins::EXTERNAL_AUTHENTICATE);
        let _ = terminal.issue(ins, p1, p2, &data);
        let status = terminal.status(Signature);
        prop_assert!(status.active.is_some());
        terminal.select(&AID_JPKI);
        let may_touch_the_pin = ins == jpki::card::ins::VERIFY || ins == jpki::card::ins::UNBLOCK_PIN;
        prop_assert!(may_touch_the_pin || terminal.verify(fid::AUTH_PIN, AUTH_PIN) == 0x9000);
    }
}
