//! A card behind a virtual reader's driver, played here to the letter: length and body apart, as the real one sends them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sim_card::vpcd::{VpcdControl, VpcdError, VpcdRunner};
use sim_card::{Card, Fault, LinkTime, When};

use crate::terminal::{AUTH_PIN, Terminal};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
const SELECT: &[u8] = &[0x00, 0xA4, 0x04, 0x0C, 10, 0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
const SELECT_AUTH_PIN: &[u8] = &[0x00, 0xA4, 0x02, 0x0C, 0x02, 0x00, 0x18];
const TRIES_LEFT: &[u8] = &[0x00, 0x20, 0x00, 0x80];
const WRONG_PIN: &[u8] = b"\x00\x20\x00\x80\x049999";
const OK: &[u8] = &[0x90, 0x00];

struct Driver {
    listener: TcpListener,
}

impl Driver {
    fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn runner(&self, card: Card) -> VpcdRunner {
        VpcdRunner::new(card, self.address())
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The card that was put in.
    fn accept(&self) -> Slot {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Slot(stream)
    }
}

struct Slot(TcpStream);

impl Slot {
    fn tell(&mut self, message: &[u8]) {
        self.0.write_all(&u16::try_from(message.len()).unwrap().to_be_bytes()).unwrap();
        self.0.write_all(message).unwrap();
    }

    fn ask(&mut self, message: &[u8]) -> Vec<u8> {
        self.tell(message);
        self.answer().unwrap()
    }

    /// `None` if the card went away.
    fn answer(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).ok()?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        self.0.read_exact(&mut answer).ok()?;
        Some(answer)
    }

    fn power_on(&mut self) {
        self.tell(&[0x01]);
    }

    /// Selects the PIN and asks for its tries.
    fn tries_left(&mut self) -> u8 {
        assert_eq!(self.ask(SELECT), OK);
        assert_eq!(self.ask(SELECT_AUTH_PIN), OK);
        let answer = self.ask(TRIES_LEFT);
        assert_eq!((answer[0], answer[1] & 0xF0), (0x63, 0xC0));
        answer[1] & 0x0F
    }
}

/// A card with its PINs set.
fn card() -> Card {
    let mut terminal = Terminal::jpki_2016();
    terminal.open();
    terminal.set_pins();
    terminal.card.power_off();
    terminal.card
}

fn in_reader(driver: &Driver) -> (VpcdRunner, VpcdControl, Slot) {
    let runner = driver.runner(card());
    let control = runner.control();
    control.insert().unwrap();
    let slot = driver.accept();
    (runner, control, slot)
}

#[test]
fn state_is_lost_with_power_and_reset_and_tries_are_not() {
    let driver = Driver::start();
    let (runner, control, mut slot) = in_reader(&driver);
    assert!(!control.activity().seen);
    assert_eq!(slot.ask(&[0x04]), jpki::card::ATR);
    control.wait_until_seen(PATIENCE).unwrap();

    slot.power_on();
    assert_eq!(slot.tries_left(), 3);
    assert_eq!(slot.ask(WRONG_PIN), [0x63, 0xC2]);
    let lose: [&[&[u8]]; 3] = [&[&[0x02]], &[&[0x00], &[0x01]], &[&[0x01]]];
    for messages in lose {
        assert_eq!(slot.tries_left(), 2, "spent for good");
        let verify = [&[0x00, 0x20, 0x00, 0x80, 0x04], AUTH_PIN].concat();
        assert_eq!(slot.ask(&verify), OK);
        assert_eq!(slot.tries_left(), 3);
        assert_eq!(slot.ask(WRONG_PIN), [0x63, 0xC2]);
        for message in messages {
            slot.tell(message);
        }
        // Nothing is selected any more.
        assert_ne!(slot.ask(TRIES_LEFT)[0], 0x63);
    }
    control.remove();
    assert_eq!(slot.answer(), None);
    let activity = control.activity();
    assert_eq!((activity.power_ons, activity.power_offs, activity.resets), (3, 1, 1));
    assert_eq!((activity.connected, activity.insertions, activity.losses), (false, 1, 0));
    assert!(activity.bytes_out > 0 && activity.bytes_in > activity.apdus * 4, "{activity:?}");

    control.insert().unwrap();
    let mut slot = driver.accept();
    slot.power_on();
    assert_eq!(slot.tries_left(), 2);
    let mut card = runner.finish().unwrap();
    assert_eq!(slot.answer(), None);
    card.power_up().unwrap();
    assert_eq!(card.transmit(SELECT), OK);
}

#[test]
fn any_bytes_are_answered() {
    let driver = Driver::start();
    let (_runner, _control, mut slot) = in_reader(&driver);
    slot.power_on();
    for length in [0, 1, 2, 5, 255, 256, 4_000, 65_535] {
        let answer = slot.ask(&vec![0xA7; length]);
        assert_eq!(answer.len(), 2, "{length}");
    }
    // A message that ends in the middle is the end of the driver.
    slot.0.write_all(&[0x00, 0x05, 0x00]).unwrap();
    slot.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(slot.answer(), None);
}

#[test]
fn faults_strike_at_their_command() {
    for when in When::BOTH {
        let driver = Driver::start();
        let (_runner, control, mut slot) = in_reader(&driver);
        slot.power_on();
        assert_eq!(slot.tries_left(), 3);
        control.remove_after(1, when);
        slot.tell(WRONG_PIN);
        assert_eq!(slot.answer(), None);
        assert_eq!(control.armed(), 0);
        control.insert().unwrap();
        let mut slot = driver.accept();
        slot.power_on();
        assert_eq!(slot.tries_left(), if when == When::AfterExecution { 2 } else { 3 });

        control.arm(1, Fault::StatusWord(0x6F00));
        control.arm(2, Fault::Garble);
        control.arm(3, Fault::Corrupt);
        assert_eq!(slot.ask(SELECT), [0x6F, 0x00]);
        assert_eq!(slot.ask(SELECT).len(), 1);
        assert_eq!(slot.ask(SELECT), [0x90, 0x10]);

        // The line does not show a reset.
        control.arm(1, Fault::Reset(when));
        assert_eq!(slot.ask(SELECT), OK);
        let is_selected = slot.ask(SELECT_AUTH_PIN) == OK;
        assert_eq!(is_selected, when == When::BeforeExecution);

        // A held back answer comes when the fault is taken back.
        control.arm(1, Fault::Stall(when));
        slot.tell(SELECT);
        assert!(control.wait_until(PATIENCE, |activity| activity.stalled));
        control.disarm();
        assert_eq!(slot.answer().unwrap(), OK);

        // It does not keep the card in the reader.
        control.arm(1, Fault::Stall(when));
        slot.tell(SELECT);
        assert!(control.wait_until(PATIENCE, |activity| activity.stalled));
        control.remove();
        assert_eq!(slot.answer(), None);
    }
}

#[test]
fn a_driver_that_comes_back_gets_its_card_back() {
    let driver = Driver::start();
    let runner = driver.runner(card()).with_reconnects();
    let control = runner.control();
    control.insert().unwrap();
    let address = driver.address();
    let slot = driver.accept();
    drop((slot, driver));
    assert!(control.wait_until(PATIENCE, |activity| !activity.connected));
    let driver = Driver { listener: TcpListener::bind(address).unwrap() };
    let mut slot = driver.accept();
    assert_eq!(slot.ask(&[0x04]), jpki::card::ATR);
    assert_eq!((control.activity().losses, control.activity().insertions), (1, 2));
    // Nobody looks for the driver once the card was taken out.
    drop(driver);
    control.remove();
    assert_eq!(slot.answer(), None);
    assert!(matches!(control.insert(), Err(VpcdError::NobodyListens { .. })));
}

#[test]
fn without_being_asked_a_loss_is_the_end() {
    let driver = Driver::start();
    let (_runner, control, slot) = in_reader(&driver);
    drop(slot);
    assert!(control.wait_until(PATIENCE, |activity| activity.losses == 1));
    control.insert().unwrap();
    assert_eq!(driver.accept().ask(&[0x04]), jpki::card::ATR);
}

#[test]
fn what_keeps_a_card_from_its_reader_is_told() {
    let driver = Driver::start();
    let (_runner, control, _slot) = in_reader(&driver);
    assert!(matches!(control.wait_until_seen(Duration::ZERO), Err(VpcdError::NotAsked { .. })));
    let nowhere = VpcdRunner::new(card(), "no host of this name.invalid:1");
    assert!(matches!(nowhere.control().insert(), Err(VpcdError::Unreachable { .. })));
}

#[test]
fn asked_for_a_card_takes_its_time() {
    let driver = Driver::start();
    let terminal = Terminal::jpki_2016();
    let clock = terminal.clock.clone();
    let link = LinkTime { bits_per_second: 1_000_000, per_exchange: Duration::from_millis(30) };
    let runner = driver.runner(terminal.card).with_pace(clock, Some(link));
    runner.control().insert().unwrap();
    let mut slot = driver.accept();
    slot.power_on();
    let started = Instant::now();
    assert_eq!(slot.ask(SELECT), OK);
    assert!(started.elapsed() >= Duration::from_millis(30));
}
