//! Host and card each have a reader of command APDUs: they must agree on every sequence of bytes, and what was read must
//! be written as the same bytes.

#![no_main]

use apdu::{CommandApdu, Encoding, ResponseApdu};
use libfuzzer_sys::fuzz_target;

/// The card's reader, which is private to it.
#[allow(dead_code, reason = "the card uses all of it")]
#[path = "../../firmware-sim/card/src/apdu.rs"]
mod card;

fuzz_target!(|bytes: &[u8]| {
    let host = CommandApdu::parse_encoded(bytes).ok();
    let card = card::Command::parse(bytes);
    match (&host, &card) {
        (None, None) => {}
        (Some((host, encoding)), Some(card)) => {
            assert_eq!((host.cla(), host.ins(), host.p1(), host.p2()), (card.cla, card.ins, card.p1, card.p2));
            assert_eq!(host.data(), card.data.as_slice());
            assert_eq!(host.le().map(|le| le as usize), card.le);
            assert_eq!(*encoding == Encoding::Extended, card.form == card::Form::Extended);
            assert!((1..=65_536).contains(&card.room()));
        }
        _ => panic!("host: {}, card: {}", host.is_some(), card.is_some()),
    }
    if let Some((command, encoding)) = host {
        assert_eq!(command.to_bytes(encoding).unwrap().as_slice(), bytes);
        let shortest = command.to_bytes(command.encoding()).unwrap();
        assert_eq!(CommandApdu::parse(&shortest).unwrap(), command);
        chains(&command);
        // What is shown for a command must not grow with its data.
        assert!(format!("{command} {command:?}").len() < 100);
    }
    if let Ok(answer) = ResponseApdu::parse(bytes) {
        assert_eq!(answer.to_bytes().as_slice(), bytes);
        assert!(format!("{answer} {answer:?}").len() < 300);
        let status = answer.status;
        let _ = (status.tries_left(), status.more_data(), status.wrong_le(), status.is_ok(), status.is_warning());
    }
});

/// The parts of a chain are short commands, carry the whole data, and only the last asks for an answer.
fn chains(command: &CommandApdu) {
    for block in [0, 1, 7, 255] {
        if command.data().len() > 1024 && block < 255 {
            continue;
        }
        let chain = command.chain(block);
        let data: Vec<u8> = chain.iter().flat_map(|part| part.data().to_vec()).collect();
        assert_eq!(data, command.data());
        let (last, before) = chain.split_last().unwrap();
        assert_eq!((last.cla(), last.le()), (command.cla(), command.le()));
        assert!(before.iter().all(|part| part.is_chained() && part.le().is_none()));
        assert!(before.iter().all(|part| part.to_bytes(Encoding::Short).is_ok()));
    }
}
