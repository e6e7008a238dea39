//! Any bytes to a card. The input is what a reader sends by vsmartcard's vpcd protocol, so that a recorded conversation is a
//! seed: each message has its length in two bytes before it; `00` takes the power away, `01` gives it, `02` resets, `04`
//! asks for the ATR. Here `10` and above put another card in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use madoguchi_fuzz::{Model, select, send, transmit};

fuzz_target!(|stream: &[u8]| {
    let mut card = Model::number(0).card();
    let mut rest = stream;
    while let Some((message, after)) = first(rest) {
        rest = after;
        match *message {
            [0x00] => card.power_off(),
            [0x01] => card.power_up().unwrap(),
            [0x02] => card.reset(),
            [0x04] => assert!((2..=33).contains(&card.atr().len())),
            [number @ 0x10..=0xFF] => card = Model::number(number - 0x10).card(),
            _ => drop(transmit(&mut card, message)),
        }
    }
    // Whatever it was, a reader finds the card usable.
    card.power_up().unwrap();
    assert!(send(&mut card, &select(&jpki::card::AID_JPKI)).status.is_ok());
});

fn first(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = stream.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    // The last message may have been cut.
    Some(rest.split_at(length.min(rest.len())))
}
