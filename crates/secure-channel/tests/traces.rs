//! The host side against traces of cards and of other implementations: every byte that it sends, and every answer that
//! it reads. The files in `vectors/` say where their values come from.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use madoguchi_time::Recovery;
use proptest::collection::vec;
use proptest::prelude::*;
use secure_channel::{ChannelError, Handshake, Negotiated, SecureChannel, SessionKeys, kdf};

/// One channel, from INITIALIZE UPDATE to the last answer known.
#[derive(Debug, Default)]
struct Trace {
    name: String,
    k_enc: Vec<u8>,
    k_mac: Vec<u8>,
    extended_length: bool,
    initialize_update: Vec<u8>,
    negotiation: Vec<u8>,
    external_authenticate: Vec<u8>,
    exchanges: Vec<Exchange>,
}

#[derive(Debug, Default)]
struct Exchange {
    plain_command: Vec<u8>,
    command: Vec<u8>,
    /// Not every trace has the answers.
    answers: Option<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    answer: Vec<u8>,
    plain_answer: Vec<u8>,
}

impl Trace {
    fn keys(&self) -> SessionKeys {
        let negotiated = self.negotiated();
        let derivation = negotiated.derivation(self.k_enc.len());
        kdf::session_keys(&self.k_enc, &self.k_mac, &derivation.host_challenge, &derivation.card_challenge)
            .expect("AES keys")
    }

    fn host_challenge(&self) -> Vec<u8> {
        command(&self.initialize_update).data().to_vec()
    }

    fn negotiated(&self) -> Negotiated {
        let (handshake, _) = Handshake::begin(self.initialize_update[2], self.host_challenge());
        handshake.answered(&answer(&self.negotiation)).expect("the trace is SCP03")
    }

    fn level(&self) -> u8 {
        self.external_authenticate[2]
    }

    fn channel(&self) -> SecureChannel {
        let (authenticating, _) = self.negotiated().authenticate(self.keys(), self.level()).expect("the right keys");
        let mut channel = authenticating.opened(&StatusWord::OK.into()).expect("accepted");
        if self.extended_length {
            channel.allow_extended_length();
        }
        channel
    }
}

fn command(bytes: &[u8]) -> CommandApdu {
    CommandApdu::parse(bytes).expect("a command")
}

fn answer(bytes: &[u8]) -> ResponseApdu {
    ResponseApdu::parse(bytes).expect("an answer")
}

fn parse(file: &str) -> Vec<Trace> {
    let mut traces: Vec<Trace> = Vec::new();
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "session" {
            traces.push(Trace { name: rest.to_owned(), ..Trace::default() });
            continue;
        }
        let bytes = if word == "extended" { Vec::new() } else { hex::decode(rest).expect(line) };
        let trace = traces.last_mut().expect("a session first");
        let opened = !trace.external_authenticate.is_empty();
        match (word, trace.exchanges.last_mut()) {
            ("k-enc", _) => trace.k_enc = bytes,
            ("k-mac", _) => trace.k_mac = bytes,
            ("extended", _) => trace.extended_length = true,
            ("p>", _) => trace.exchanges.push(Exchange { plain_command: bytes, ..Exchange::default() }),
            (">", Some(exchange)) => exchange.command = bytes,
            ("<", Some(exchange)) => exchange.answers.get_or_insert_default().answer = bytes,
            ("p<", Some(exchange)) => exchange.answers.get_or_insert_default().plain_answer = bytes,
            (">", None) if trace.initialize_update.is_empty() => trace.initialize_update = bytes,
            ("<", None) if trace.negotiation.is_empty() => trace.negotiation = bytes,
            (">", None) => trace.external_authenticate = bytes,
            ("<", None) if opened => assert_eq!(bytes, [0x90, 0x00]),
            _ => panic!("{line}"),
        }
    }
    traces
}

fn traces() -> Vec<Trace> {
    let files = [
        include_str!("vectors/computed.txt"),
        include_str!("vectors/euicc.txt"),
        include_str!("vectors/jcop4.txt"),
        include_str!("vectors/openscp.txt"),
    ];
    let traces: Vec<Trace> = files.into_iter().flat_map(parse).collect();
    assert_eq!(traces.len(), 7 + 9 + 1 + 4);
    traces
}

/// Header and data as on the line. Le is the host's choice, and no MAC covers it.
fn secured(command: &CommandApdu) -> ([u8; 4], Vec<u8>) {
    ([command.cla(), command.ins(), command.p1(), command.p2()], command.data().to_vec())
}

#[test]
fn every_trace_is_reproduced_byte_for_byte() {
    let mut exchanges = 0;
    for trace in traces() {
        let (handshake, initialize_update) = Handshake::begin(trace.initialize_update[2], trace.host_challenge());
        assert_eq!(initialize_update, command(&trace.initialize_update), "{}", trace.name);
        let negotiated = handshake.answered(&answer(&trace.negotiation)).expect("the trace is SCP03");
        let (authenticating, external_authenticate) =
            negotiated.authenticate(trace.keys(), trace.level()).expect("the right keys");
        assert_eq!(external_authenticate, command(&trace.external_authenticate), "{}", trace.name);
        let mut channel = authenticating.opened(&StatusWord::OK.into()).expect("accepted");
        assert_eq!(channel.level(), trace.level());
        if trace.extended_length {
            channel.allow_extended_length();
        }

        for exchange in &trace.exchanges {
            let wrapped = channel.wrap(&command(&exchange.plain_command)).expect("wraps");
            assert_eq!(secured(&wrapped), secured(&command(&exchange.command)), "{} {wrapped}", trace.name);
            match &exchange.answers {
                Some(answers) => {
                    let plain = channel.unwrap(&answer(&answers.answer)).expect(&trace.name);
                    assert_eq!(plain, answer(&answers.plain_answer), "{} {wrapped}", trace.name);
                }
                // An error status word is an answer at every level, and leaves the channel as it is.
                None => {
                    let refusal = StatusWord::CONDITIONS_NOT_SATISFIED.into();
                    assert_eq!(channel.unwrap(&refusal), Ok(refusal));
                }
            }
            exchanges += 1;
        }
    }
    assert_eq!(exchanges, 7 * 5 + 9 * 5 + 4 * 3);
}

/// Answers with a MAC: one bit wrong anywhere, or one byte less anywhere, and the channel is dead for good.
#[test]
fn a_changed_answer_kills_the_channel() {
    let mut tried = 0;
    for trace in traces() {
        let Some((exchange, answers)) =
            trace.exchanges.first().and_then(|exchange| Some((exchange, exchange.answers.as_ref()?)))
        else {
            continue;
        };
        if answers.answer.len() == answers.plain_answer.len() {
            continue;
        }
        let flipped = (0..answers.answer.len() * 8).map(|bit| {
            let mut changed = answers.answer.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            answer(&changed)
        });
        let (data, status) = answers.answer.split_at(answers.answer.len() - 2);
        let cut = (0..data.len()).map(|length| answer(&[&data[..length], status].concat()));
        for changed in flipped.chain(cut) {
            let mut channel = trace.channel();
            channel.wrap(&command(&exchange.plain_command)).expect("wraps");
            assert_eq!(channel.unwrap(&changed), Err(ChannelError::AnswerNotAuthentic), "{}", trace.name);
            assert_eq!(channel.wrap(&command(&exchange.plain_command)), Err(ChannelError::Broken));
            assert_eq!(channel.unwrap(&answer(&answers.answer)), Err(ChannelError::Broken));
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn commands_and_answers_take_turns() {
    let trace = &traces()[3];
    let plain = command(&trace.exchanges[0].plain_command);
    let refusal: ResponseApdu = StatusWord::CONDITIONS_NOT_SATISFIED.into();

    let mut lost_answer = trace.channel();
    lost_answer.wrap(&plain).expect("wraps");
    assert_eq!(lost_answer.wrap(&plain), Err(ChannelError::Broken));
    assert_eq!(lost_answer.unwrap(&refusal), Err(ChannelError::Broken));

    let mut unasked_answer = trace.channel();
    assert_eq!(unasked_answer.unwrap(&refusal), Err(ChannelError::Broken));
    assert_eq!(unasked_answer.wrap(&plain), Err(ChannelError::Broken));

    let mut closed_by_card = trace.channel();
    closed_by_card.wrap(&plain).expect("wraps");
    let closed = StatusWord::SECURE_MESSAGING_DATA_INCORRECT.into();
    assert_eq!(closed_by_card.unwrap(&closed), Ok(closed));
    assert_eq!(closed_by_card.wrap(&plain), Err(ChannelError::Broken));
}

#[test]
fn what_a_channel_cannot_carry_is_refused_and_leaves_it_alone() {
    for trace in traces() {
        let mut channel = trace.channel();
        for class in [0x01, 0x08, 0x0C, 0x10, 0x40, 0x81, 0x90, 0xC0] {
            let chained = CommandApdu::new(class, 0x10, 0x01, 0x00);
            assert_eq!(channel.wrap(&chained), Err(ChannelError::Class(class)));
        }
        let longest = (0..=0xFFFF).rev().find(|length| {
            trace.channel().wrap(&CommandApdu::new(0x80, 0x10, 0, 0).with_data(vec![0; *length])).is_ok()
        });
        let length = longest.expect("something fits") + 1;
        let too_long = CommandApdu::new(0x80, 0x10, 0, 0).with_data(vec![0; length]);
        assert_eq!(channel.wrap(&too_long), Err(ChannelError::DataTooLong { length }));

        if let Some(exchange) = trace.exchanges.first() {
            let wrapped = channel.wrap(&command(&exchange.plain_command)).expect("still open");
            assert_eq!(secured(&wrapped), secured(&command(&exchange.command)));
        }
    }
}

/// `Le` makes room for padding and MAC, and asks for more than 256 bytes only where extended length has been allowed.
#[test]
fn the_expected_length_counts_the_plain_answer() {
    let traces = traces();
    let named = |name: &str| traces.iter().find(|trace| trace.name == name).expect(name);
    let unprotected = named("eUICC AES-128 level 03");
    let authenticated = named("eUICC AES-128 level 11");
    let enciphered = named("eUICC AES-128 level 33");
    let cases = [
        (unprotected, false, None, None),
        (unprotected, false, Some(40), Some(40)),
        (unprotected, false, Some(4096), Some(256)),
        (unprotected, true, Some(4096), Some(4096)),
        (authenticated, false, None, Some(256)),
        (authenticated, false, Some(40), Some(48)),
        (authenticated, true, Some(4096), Some(4104)),
        (enciphered, false, None, Some(256)),
        (enciphered, true, None, Some(256)),
        (enciphered, false, Some(40), Some(56)),
        (enciphered, false, Some(48), Some(72)),
        (enciphered, false, Some(256), Some(256)),
        (enciphered, true, Some(256), Some(280)),
        (enciphered, true, Some(65_536), Some(65_536)),
    ];
    for (trace, extended_length, plain, secured) in cases {
        let mut channel = trace.channel();
        if extended_length {
            channel.allow_extended_length();
        }
        let command = CommandApdu::new(0x84, 0x10, 0x01, 0x00);
        let command = if let Some(le) = plain { command.with_le(le) } else { command };
        let wrapped = channel.wrap(&command).expect("wraps");
        assert_eq!(wrapped.le(), secured, "{} {plain:?} {extended_length}", trace.name);
    }
}

#[test]
fn a_card_without_the_keys_is_refused() {
    for trace in traces() {
        for bit in 0..8 * trace.k_mac.len() {
            let mut wrong = trace.k_mac.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let derivation = trace.negotiated().derivation(wrong.len());
            let keys = kdf::session_keys(&trace.k_enc, &wrong, &derivation.host_challenge, &derivation.card_challenge);
            let refused = trace.negotiated().authenticate(keys.expect("AES keys"), trace.level());
            assert_eq!(refused.err(), Some(ChannelError::CardNotAuthentic));
        }
    }
    assert_eq!(ChannelError::CardNotAuthentic.recovery(), Recovery::Reconfigure);
}

#[test]
fn levels_are_those_of_the_protocol_and_of_the_card() {
    let trace = &traces()[0];
    assert_eq!(trace.name, "computed AES-128 i 60 level 01");
    for options in [0x00, 0x20, 0x60] {
        let possible: &[u8] = match options {
            0x00 => &[0x01, 0x03],
            0x20 => &[0x01, 0x03, 0x11, 0x13],
            _ => &[0x01, 0x03, 0x11, 0x13, 0x33],
        };
        let mut negotiation = trace.negotiation.clone();
        negotiation[12] = options;
        for level in 0..=0xFF {
            let (handshake, _) = Handshake::begin(0, trace.host_challenge());
            let negotiated = handshake.answered(&answer(&negotiation)).expect("SCP03");
            let error = negotiated.authenticate(trace.keys(), level).err();
            let expected = (!possible.contains(&level)).then_some(ChannelError::Level { level, options });
            assert_eq!(error, expected, "{level:02X} {options:02X}");
        }
    }
}

#[test]
fn session_keys_are_three_aes_keys_of_one_length() {
    let trace = &traces()[0];
    let of =
        |enc: usize, mac: usize, rmac: usize| SessionKeys { enc: vec![0; enc], mac: vec![0; mac], rmac: vec![0; rmac] };
    for keys in [of(0, 0, 0), of(15, 15, 15), of(33, 33, 33), of(16, 16, 32), of(16, 24, 16), of(24, 16, 16)] {
        let refused = trace.negotiated().authenticate(keys, 0x01).err();
        assert_eq!(refused, Some(ChannelError::KeyLength));
    }
}

#[test]
fn the_card_may_refuse_to_open() {
    let trace = &traces()[0];
    let (handshake, _) = Handshake::begin(0x21, trace.host_challenge());
    let no_such_keys = StatusWord::REFERENCED_DATA_NOT_FOUND;
    assert_eq!(handshake.answered(&no_such_keys.into()).err(), Some(ChannelError::Refused(no_such_keys)));

    let (authenticating, _) = trace.negotiated().authenticate(trace.keys(), 0x01).expect("the right keys");
    let wrong_cryptogram = StatusWord::AUTHENTICATION_FAILED;
    assert_eq!(authenticating.opened(&wrong_cryptogram.into()).err(), Some(ChannelError::Refused(wrong_cryptogram)));
}

#[test]
fn a_negotiation_that_does_not_fit_is_refused() {
    for trace in traces() {
        let right = &trace.negotiation[..trace.negotiation.len() - 2];
        let negotiate = |key_version: u8, challenge: Vec<u8>, data: &[u8]| {
            let (handshake, _) = Handshake::begin(key_version, challenge);
            handshake.answered(&ResponseApdu::new(data, StatusWord::OK)).err()
        };
        let card = trace.host_challenge().len();
        for length in 0..right.len() {
            let error = negotiate(0, trace.host_challenge(), &right[..length]);
            assert_eq!(error, Some(ChannelError::NotScp03 { length }), "{}", trace.name);
        }
        let longer = [right, &[0]].concat();
        let error = negotiate(0, trace.host_challenge(), &longer);
        assert_eq!(error, Some(ChannelError::NotScp03 { length: longer.len() }));
        let mut scp02 = right.to_vec();
        scp02[11] = 0x02;
        let error = negotiate(0, trace.host_challenge(), &scp02);
        assert_eq!(error, Some(ChannelError::NotScp03 { length: right.len() }));

        for host in (0..40).filter(|host| *host != card) {
            let error = negotiate(0, vec![0; host], right);
            assert_eq!(error, Some(ChannelError::ChallengeLength { host, card }));
        }
        let answered = right[10];
        let asked = answered ^ 0x40;
        let error = negotiate(asked, trace.host_challenge(), right);
        assert_eq!(error, Some(ChannelError::KeyVersion { asked, answered }));
        assert_eq!(negotiate(answered, trace.host_challenge(), right), None);
    }
}

#[test]
fn the_derivation_says_what_the_card_said() {
    for trace in traces() {
        let negotiated = trace.negotiated();
        let derivation = negotiated.derivation(24);
        assert_eq!(derivation.diversification, trace.negotiation[..10]);
        assert_eq!(derivation.key_version, trace.negotiation[10]);
        assert_eq!(derivation.key_length, 24);
        assert_eq!(derivation.host_challenge, trace.host_challenge());
        let length = derivation.host_challenge.len();
        assert_eq!(derivation.card_challenge, trace.negotiation[13..13 + length]);
        let counter = &trace.negotiation[13 + 2 * length..trace.negotiation.len() - 2];
        assert_eq!(negotiated.sequence_counter().as_ref().map_or(&[][..], |counter| counter), counter);
    }
}

#[test]
fn printing_shows_no_key() {
    let trace = &traces()[3];
    let printed = format!("{:?} {:?} {:?}", trace.keys(), trace.channel(), trace.negotiated());
    let keys = trace.keys();
    for key in [&keys.enc, &keys.mac, &keys.rmac] {
        let text = format!("{key:?}");
        assert!(!printed.contains(text.trim_matches(['[', ']'])));
        assert!(!printed.to_lowercase().contains(&hex::encode(key)));
    }
}

proptest! {
    /// Noise never opens a channel, and never comes out of one as an answer that a card gave.
    #[test]
    fn noise_is_refused(mut negotiation in vec(any::<u8>(), 13..60), data in vec(any::<u8>(), 0..80), status: u16) {
        negotiation[11] = 0x03;
        for length in [8, 16] {
            let (handshake, _) = Handshake::begin(0, vec![0; length]);
            if let Ok(negotiated) = handshake.answered(&ResponseApdu::new(negotiation.as_slice(), StatusWord::OK)) {
                prop_assert_eq!(negotiated.derivation(16).card_challenge.len(), length);
                let keys = SessionKeys { enc: vec![1; 16], mac: vec![2; 16], rmac: vec![3; 16] };
                let error = negotiated.authenticate(keys, 0x01).err();
                prop_assert_eq!(error, Some(ChannelError::CardNotAuthentic));
            }
        }
        let trace = &traces()[3];
        let mut channel = trace.channel();
        channel.wrap(&command(&trace.exchanges[0].plain_command)).expect("wraps");
        let noise = ResponseApdu::new(data, StatusWord(status));
        match channel.unwrap(&noise) {
            Ok(refusal) => prop_assert!(refusal.data.is_empty() && !refusal.status.is_ok()),
            Err(error) => prop_assert_eq!(error, ChannelError::AnswerNotAuthentic),
        }
    }
}
