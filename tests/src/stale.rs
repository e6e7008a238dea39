//! A terminal with a stale idea of the card: it opens a channel and commits what it believes to be pending.

use std::time::Duration;

use apdu::CommandApdu;
use card_reader::{CardReader, Disposition, exchange};
use jpki::{CertificateKind, card};
use madoguchi_time::Clock;
use secure_channel::Handshake;

use crate::stage::Stage;

/// Sends COMMIT with this name to the card at `place`. Whatever the card answers.
///
/// # Panics
/// If there is no card, or no channel to it.
pub(crate) fn commit(stage: &Stage, place: usize, kind: CertificateKind, name: [u8; 32]) {
    let deadline = stage.clock.deadline_in(Duration::from_secs(60));
    let mut reader = stage.control(place).open("SIM-READER");
    reader.wait_for_card(deadline).expect("a card");
    let mut connection = reader.connect(deadline).expect("a card");
    let capabilities = connection.capabilities();
    let mut transaction = connection.begin(deadline).expect("a transaction");
    let mut send =
        |command: &CommandApdu| exchange(&mut *transaction, capabilities, command, deadline).expect("an answer");
    send(&CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(card::AID_JPKI));
    let (handshake, command) = Handshake::begin(madoguchi_sim::world::parts::CARD_KEY_VERSION, vec![0x5A; 8]);
    let negotiated = handshake.answered(&send(&command)).expect("a card of ours");
    let keys = stage.hsm(place).derive_session(&negotiated.derivation(16), deadline).expect("session keys");
    let (authenticating, command) =
        negotiated.authenticate(keys, card::ISSUING_SECURITY_LEVEL).expect("a card of ours");
    let mut channel = authenticating.opened(&send(&command)).expect("a channel");
    let plain = CommandApdu::new(0x84, card::ins::COMMIT, kind.p1(), 0).with_data(name);
    let wrapped = channel.wrap(&plain).expect("a channel");
    let answer = send(&wrapped);
    channel.unwrap(&answer).expect("an authentic answer");
    transaction.end(Disposition::Reset).expect("ended");
}
