//! A virtual reader with a simulated card, and the hand that moves it.

#![allow(dead_code, reason = "each test target needs its own part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use card_reader::{CardIdentity, contract};
use card_reader_pcsc::{PcscReader, ReaderChoice};
use jiff::civil::date;
use jpki::Sex;
use madoguchi_time::{Deadline, SharedClock, SystemClock};
use pcsc::{Context, Disposition, Protocols, ReaderState, Scope, ShareMode, State};
use private_pcscd::{Lease, PrivatePcscd};
use sim_card::vpcd::{VpcdControl, VpcdRunner};
use sim_card::{Card, CardProfile, Personalisation, PooledKeys, StaticKeySet};
use zeroize::Zeroizing;

/// Nothing takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long one question for changes may stand.
const LOOK: Duration = Duration::from_secs(1);

/// A reader that nobody else uses, and a card that belongs there.
pub(crate) struct Desk {
    runner: VpcdRunner,
    context: Context,
    pub(crate) clock: SharedClock,
    lease: Lease,
}

impl Desk {
    /// The card is in the reader.
    pub(crate) fn with_card(pcscd: &Arc<PrivatePcscd>, profile: CardProfile) -> Self {
        let mut desk = Self::empty(pcscd, profile);
        desk.insert();
        desk
    }

    /// The card lies on the desk.
    pub(crate) fn empty(pcscd: &Arc<PrivatePcscd>, profile: CardProfile) -> Self {
        let lease = pcscd.lease();
        let clock = SystemClock::shared();
        let runner = runner(profile, &clock, &lease);
        let context = Context::establish(Scope::System).expect("the service runs");
        let desk = Self { runner, context, clock, lease };
        // Another test's card may have been there a moment ago.
        desk.wait_for(State::EMPTY);
        desk
    }

    pub(crate) fn name(&self) -> &str {
        &self.lease.name
    }

    pub(crate) fn port(&self) -> u16 {
        self.lease.port
    }

    /// What the card says of itself.
    pub(crate) fn identity(&self) -> Option<CardIdentity> {
        self.control().with_card(|card| CardIdentity { atr: card.atr().to_vec() })
    }

    /// Another card lies on the desk.
    pub(crate) fn exchange_card(&mut self, profile: CardProfile) {
        self.runner = runner(profile, &self.clock, &self.lease);
    }

    pub(crate) fn control(&self) -> VpcdControl {
        self.runner.control()
    }

    pub(crate) fn choice(&self) -> ReaderChoice {
        ReaderChoice::Named(self.lease.name.clone())
    }

    pub(crate) fn reader(&self) -> PcscReader {
        PcscReader::new(self.choice(), Arc::clone(&self.clock))
    }

    pub(crate) fn soon(&self) -> Deadline {
        self.clock.deadline_in(PATIENCE)
    }

    /// Puts the card in, and waits until the service has seen it.
    pub(crate) fn insert(&mut self) {
        self.control().insert().expect("the virtual reader listens");
        self.wait_for(State::PRESENT);
    }

    /// Takes the card out, and waits until the service has seen it.
    pub(crate) fn remove(&mut self) {
        self.control().remove();
        self.wait_for(State::EMPTY);
    }

    /// After the service was started anew: the hand watches the new one.
    pub(crate) fn reopen(&mut self) {
        self.control().remove();
        self.context = Context::establish(Scope::System).expect("the service runs");
        self.wait_for(State::EMPTY);
    }

    /// Another program opens the card.
    pub(crate) fn open_elsewhere(&self, mode: ShareMode) -> pcsc::Card {
        let name = std::ffi::CString::new(self.name()).expect("a name");
        self.context.connect(&name, mode, Protocols::ANY).expect("there is a card")
    }

    fn wait_for(&self, wanted: State) {
        let name = std::ffi::CString::new(self.name()).expect("a name");
        let mut states = [ReaderState::new(name, State::UNAWARE)];
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "the service did not see it: {:?}", states[0].event_state());
            match self.context.get_status_change(LOOK, &mut states) {
                Ok(()) if states[0].event_state().contains(wanted) => return,
                Ok(()) => states[0].sync_current_state(),
                // A change between its look and its wait escapes the client library; the next look has it.
                Err(error) => assert_eq!(error, pcsc::Error::Timeout, "the service says what changes"),
            }
        }
    }
}

/// The hand of the contract suite.
impl contract::Hand for Desk {
    fn remove(&mut self) {
        self.remove();
    }

    fn insert(&mut self) {
        self.insert();
    }

    fn reset(&mut self) {
        let card = self.open_elsewhere(ShareMode::Shared);
        card.disconnect(Disposition::ResetCard).map_err(|(_, error)| error).expect("the card is there");
    }

    fn can_reset_within_a_transaction(&self) -> bool {
        false
    }
}

fn runner(profile: CardProfile, clock: &SharedClock, lease: &Lease) -> VpcdRunner {
    let nvm = personalisation(profile).into_memory().expect("it fits");
    let card = Card::power_on(nvm, Arc::clone(clock), PooledKeys::new(Vec::new())).expect("personalised");
    VpcdRunner::new(card, format!("127.0.0.1:{}", lease.port))
}

fn personalisation(profile: CardProfile) -> Personalisation {
    let key = |first: u8| Zeroizing::new((first..).take(profile.scp03_key_length).collect());
    Personalisation {
        serial: "SIM000000000001".into(),
        municipality: "13221".into(),
        expiry: date(2035, 2, 17),
        keys: StaticKeySet { enc: key(0x40), mac: key(0x80), dek: key(0xC0), import: None },
        profile,
        key_version: 0x30,
        diversification: [0; 10],
        sign_ca: vec![0x5C; 300],
        auth_ca: vec![0xAC; 300],
        name: "黒桐　幹也".into(),
        address: "東京都清瀬市観布子南１２－７－２０２".into(),
        birth: date(1980, 2, 17),
        sex: Sex::Male,
        my_number: "123456789018".into(),
        check_number_b: "55021720352285".into(),
        face_input_pin: "4321".into(),
        juki_pin: "5678".into(),
        face: false,
        rng_seed: [7; 32],
    }
}
