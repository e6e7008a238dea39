//! A trace file of anybody's making: reading it, naming its commands and playing it back to a terminal ends, and shows no more than
//! what is in it.

#![no_main]

use std::time::Duration;

use apdu::CommandApdu;
use card_reader::trace::{ReplayReader, Trace};
use card_reader::{CardReader, Disposition, exchange};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use madoguchi_time::{Clock, VirtualClock};

fuzz_target!(|bytes: &[u8]| {
    let Ok(trace) = Trace::from_reader(&mut &*bytes) else { return };
    assert!(trace.entries.len() <= bytes.len());
    for (line, entry, name) in trace.conversation() {
        assert!(line >= 2);
        let _ = format!("{line} {entry:?} {name:?}");
    }

    let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let entries = trace.entries.len();
    let mut reader = ReplayReader::new(trace, clock.clone());
    let deadline = clock.deadline_in(Duration::from_secs(60));
    let _ = reader.wait_for_card(deadline);
    // As many attempts as there are lines: each either uses some up or differs from what was recorded.
    for _ in 0..entries.min(8) {
        let Ok(mut connection) = reader.connect(deadline) else { continue };
        let capabilities = connection.capabilities();
        let Ok(mut transaction) = connection.begin(deadline) else { continue };
        let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(jpki::card::AID_JPKI);
        let read = CommandApdu::new(0x00, 0xB0, 0x00, 0x00).with_le(256);
        for command in [select, read] {
            let _ = exchange(&mut *transaction, capabilities, &command, deadline);
        }
        let _ = transaction.was_reset();
        let _ = transaction.end(Disposition::Reset);
    }
    let _ = reader.monitor().finish();
});
