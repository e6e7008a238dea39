//! SCP03: a transcript computed by other means, the levels, and what closes a channel.

use jpki::card::{AID_COMMON, AID_ISD, AID_JPKI, ins, kind};
use sim_card::CardProfile;

use crate::terminal::{TRANSACTION, Terminal};

/// Static keys, a host challenge of 10 11 12 …, and sequence counter 1; computed with Python's `cryptography` from the text of
/// Amendment D, with none of our code. Handshake at level 33, then GET SLOT STATUS without data and with an enciphered
/// empty data field, SET INITIAL PIN, VERIFY with a wrong PIN (a warning, with R-MAC), a PIN of wrong format (an error,
/// without), and GET SLOT STATUS again.
const TRANSCRIPT_AES_128_S8: [(&str, &str); 8] = [
    ("8050300008101112131415161700", "00010203040506070809300370893235055DD037097D14117C7EF96A2C0000019000"),
    ("8482330010348EF73632F0324D82421F01B6F806A8", "9000"),
    (
        "8410020008AAED4D8D1FCD925E00",
        "6D349B03A1A01F69C44B5283C47CC20BDD7820EFF5D7AE1203DCC3F0D60485D648C88893FA17805B9000",
    ),
    (
        "8410020018C3181EEBA2B7658DCB486C23C7C4CD884617C530AA64993F00",
        "A3CE2DB693D6708FF67078835F7E653F52AE7140B58556A685A77A21D4A7133CB26360BED0BC8F509000",
    ),
    ("84120200186BAF0EA7FED7C8DB8E61707C9DA7EF6BAF12F3A8FC22663000", "4F2EF90051F8CBCC9000"),
    ("8420009818F0CCE435E9DFCECECB00DEFF7D1A088856CC0D26F0BCC55B00", "7B56947DA3DC499063C2"),
    ("8412020018E69099E7C7B0671469D07F6406C890A2133ACC52BCF22C2200", "6A80"),
    (
        "8410020008BE5A7C1066A1D40D00",
        "1D9B963AA01FA42BEC9448477A0745217CCE2D06E496364D8516E9CA227C253E441621BB3830B43C9000",
    ),
];
const TRANSCRIPT_AES_192_S16: [(&str, &str); 8] = [
    (
        "8050300010101112131415161718191A1B1C1D1E1F00",
        "00010203040506070809300371BFDF29D7561F05E296DC23423A81B3573B147C77E73ED476873243A1F4CB28340000019000",
    ),
    ("8482330020241BD73D53C8699B139AAC70EC9E9BED1FE42D1B6B3DF16642BE136AED28ABF1", "9000"),
    (
        "8410020010E8C1E5B525B977575997F12F1F3BF48400",
        "CE142CD075FD5B715E863BD1DF1026F070FBA51B0E36BEF8A29A8FFFB03D5043BD7E12BE1EE295F6E937CF54D98DD1F29000",
    ),
    (
        "8410020020EA0C510DF00D6BDE74F7D1294CD369FE61D7481CF35E634AD7024FC9A770974C00",
        "E426E7BED86FF61AD5E857EE828CB5E24AD9069098068C9D4FFC6EFC6181E2C460D9C2274DD5EF503754E66115F7DBDE9000",
    ),
    (
        "8412020020105BC4D5250AC3539E5AEB73CFC8F4F38CBE73DF84510A47E7E79B4CF7A6F58100",
        "42BB60355DC1B718311E7D2B5A8748AC9000",
    ),
    (
        "8420009820B015BEDBC1BCB62128C87156D45F1A48F5723133652AF7EBF20719E6ABB471AF00",
        "2DAA08629C16E6B79F8A054295CC426B63C2",
    ),
    ("841202002071D5F5B1A0CD8027DA861BAEB91DED8ACB7232F3C225BD1E8DF37BC11DD2E65E00", "6A80"),
    (
        "8410020010427150D0ED28D15E130D735728145FDE00",
        "735A88D034DE0EBD8651F705B6E037820EDED4B899E765A2D60142F06057FB4A3B85F1B2EB829A32EF156C6144EE8EFB9000",
    ),
];

#[test]
fn transcripts_computed_by_other_means() {
    for (profile, transcript) in
        [(CardProfile::jpki_2016(), TRANSCRIPT_AES_128_S8), (CardProfile::jpki_next(), TRANSCRIPT_AES_192_S16)]
    {
        let mut terminal = Terminal::new(profile);
        assert_eq!(terminal.select(&AID_JPKI), 0x9000);
        for (command, answer) in transcript {
            assert_eq!(terminal.hex(command), answer, "{command}");
        }
    }
}

fn profiles() -> [CardProfile; 3] {
    let longest = CardProfile { scp03_key_length: 32, ..CardProfile::jpki_next() };
    [CardProfile::jpki_2016(), CardProfile::jpki_next(), longest]
}

#[test]
fn the_host_crate_opens_channels_with_every_key_length() {
    for profile in profiles() {
        for chains in [false, true] {
            let mut terminal = Terminal::new(profile.clone());
            terminal.chains = chains;
            terminal.open();
            terminal.set_pins();
            terminal.issue_certificate(jpki::CertificateKind::Authentication, 1);
        }
    }
}

#[test]
fn issuing_needs_the_full_level_and_the_right_application() {
    for level in [0x01, 0x03, 0x11, 0x13] {
        let mut terminal = Terminal::jpki_2016();
        terminal.select(&AID_JPKI);
        terminal.open_at(level).unwrap();
        for _ in 0..2 {
            assert_eq!(terminal.issue(ins::GET_SLOT_STATUS, kind::SIGNATURE, 0, &[]), Err(0x6982), "level {level:02X}");
        }
    }
    let mut terminal = Terminal::jpki_2016();
    assert_eq!(terminal.select(&AID_ISD), 0x9000);
    terminal.open_at(0x33).unwrap();
    assert_eq!(terminal.issue(ins::GET_SLOT_STATUS, kind::SIGNATURE, 0, &[]), Err(0x6D00));
    assert_eq!(terminal.select(&AID_COMMON), 0x9000);
    assert_eq!(terminal.hex("80 50 00 00 08 0011223344556677 00"), "6D00");
    assert_eq!(terminal.hex("84 10 01 00 08 0011223344556677"), "6882");
}

#[test]
fn without_a_channel_every_issuing_command_is_refused() {
    let mut terminal = Terminal::jpki_2016();
    terminal.select(&AID_JPKI);
    for cla in ["80", "84"] {
        for ins in ["10", "12", "14", "16", "18", "1A", "1C", "1E", "22", "26"] {
            assert_eq!(terminal.hex(&format!("{cla} {ins} 01 00 08 0011223344556677")), "6982", "{cla} {ins}");
        }
    }
    for ins in ["20", "24"] {
        assert_eq!(terminal.hex(&format!("84 {ins} 01 00 08 0011223344556677")), "6982");
    }
}

#[test]
fn a_handshake_with_wrong_parts_fails() {
    let mut terminal = Terminal::jpki_2016();
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.hex("84 82 33 00 10 00112233445566770011223344556677"), "6985", "nothing was started");
    assert_eq!(terminal.hex("80 50 31 00 08 0011223344556677 00"), "6A88", "no such key version");
    assert_eq!(terminal.hex("80 50 00 01 08 0011223344556677 00"), "6A86");
    assert_eq!(terminal.hex("80 50 00 00 10 00112233445566770011223344556677 00"), "6700", "S16 is another card");
    let (good, _) = TRANSCRIPT_AES_128_S8[1];
    for (wrong, status) in [
        ("8482330010348EF73632F0324D82421F01B6F806A9", "6988"),
        ("8482130010348EF73632F0324D82421F01B6F806A8", "6988"),
        ("8482000010348EF73632F0324D82421F01B6F806A8", "6A86"),
        ("8482330008348EF73632F0324D", "6700"),
        ("8082330010348EF73632F0324D82421F01B6F806A8", "6E00"),
    ] {
        let mut terminal = Terminal::jpki_2016();
        terminal.select(&AID_JPKI);
        terminal.hex(TRANSCRIPT_AES_128_S8[0].0);
        assert_eq!(terminal.hex(wrong), status, "{wrong}");
        assert_eq!(terminal.hex(good), "6985", "one attempt only");
    }
}

#[test]
fn a_challenge_never_comes_twice() {
    let mut terminal = Terminal::jpki_2016();
    let mut seen = Vec::new();
    for n in 1..=5_u32 {
        terminal.select(&AID_JPKI);
        let answer = terminal.hex(TRANSCRIPT_AES_128_S8[0].0);
        assert_eq!(answer[58..64], format!("{n:06X}"));
        assert!(!seen.contains(&answer[26..42].to_string()));
        seen.push(answer[26..42].to_string());
        terminal.card.power_up().unwrap();
    }
    terminal.select(&AID_ISD);
    let isd = terminal.hex(TRANSCRIPT_AES_128_S8[0].0);
    assert_eq!(isd[58..64], *"000006");
}

/// Flips every bit of a protected command in turn. None is performed; what gets as far as the MAC closes the channel.
#[test]
fn a_forged_command_is_not_performed() {
    let good = hex::decode(TRANSCRIPT_AES_128_S8[4].0).unwrap();
    // Le is not protected: it only says how the answer is split.
    let protected_bits = (good.len() - 1) * 8;
    let mut closed = 0;
    for bit in 0..protected_bits {
        let mut terminal = Terminal::jpki_2016();
        terminal.select(&AID_JPKI);
        for (command, _) in &TRANSCRIPT_AES_128_S8[..4] {
            terminal.hex(command);
        }
        let mut forged = good.clone();
        forged[bit / 8] ^= 0x80 >> (bit % 8);
        match terminal.hex(&hex::encode(&forged)).as_str() {
            "6988" => {
                assert_eq!(terminal.hex(TRANSCRIPT_AES_128_S8[4].0), "6982", "bit {bit}");
                closed += 1;
            }
            "6700" | "6881" | "6882" | "6982" | "6E00" => {}
            // The bit of chaining: the card waits for more.
            "9000" => assert_eq!(forged[0], 0x94),
            other => panic!("bit {bit}: {other}"),
        }
        terminal.card.reset();
        terminal.open();
        assert!(!terminal.status(jpki::CertificateKind::Authentication).pin_set, "bit {bit}");
    }
    // All but the bits of class and length.
    assert!(closed >= protected_bits - 16, "{closed}");
}

#[test]
fn what_ends_a_channel() {
    for (command, answer, ends) in [
        ("00 A4 04 0C 0A D392F000260100000001", "9000", true),
        ("00 A4 04 0C 02 FFFF", "6A82", true),
        ("84 10 01 00 08 0011223344556677", "6988", true),
        ("84 10 01 00", "6988", true),
        // Commands that don't come through the channel are refused, and do no harm to it.
        ("00 B0 8A 00 00", "6982", false),
        ("00 20 00 98", "6982", false),
        ("80 10 01 00", "6982", false),
        ("00 A4 04", "6700", false),
        ("FF 00 00 00", "6E00", false),
    ] {
        let mut terminal = Terminal::jpki_2016();
        terminal.open();
        assert!(!terminal.status(jpki::CertificateKind::Signature).pin_set);
        assert_eq!(terminal.hex(command), answer, "{command}");
        assert_eq!(terminal.issue(ins::GET_SLOT_STATUS, kind::SIGNATURE, 0, &[]).is_err(), ends, "{command}");
    }
    let mut terminal = Terminal::jpki_2016();
    terminal.open();
    terminal.card.reset();
    terminal.select_ef(0x0006);
    assert_eq!(terminal.issue(ins::GET_SLOT_STATUS, kind::SIGNATURE, 0, &[]), Err(0x6982));
}

#[test]
fn a_pin_verified_in_a_channel_counts_there_only() {
    let mut terminal = Terminal::jpki_2016();
    terminal.open();
    terminal.set_pins();
    terminal.issue(ins::GENERATE_KEY_PAIR, kind::SIGNATURE, 1, &TRANSACTION).unwrap();
    assert_eq!(terminal.issue(ins::SIGN_WITH_PENDING_KEY, kind::SIGNATURE, 0, b"hash"), Err(0x6982));
    assert_eq!(terminal.issue(ins::VERIFY, 0, 0x9B, b"ABC124"), Err(0x63C4));
    terminal.issue(ins::VERIFY, 0, 0x9B, b"ABC123").unwrap();
    assert_eq!(terminal.issue(ins::VERIFY, 0, 0x9B, b""), Err(0x63C5));
    terminal.issue(ins::SIGN_WITH_PENDING_KEY, kind::SIGNATURE, 0, b"hash").unwrap();
    terminal.open();
    assert_eq!(terminal.issue(ins::SIGN_WITH_PENDING_KEY, kind::SIGNATURE, 0, b"hash"), Err(0x6982));
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.read(0x0001), Err(0x6982));
}
