//! The procedure machine against a card and an authority made of a few lines: every event in every state that a walk
//! reaches.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock};

use authority_link::{Answer, CertificateState, Issue, IssueState, IssuerAndSerial, TransactionId as LinkTransaction};
use card_reader::CardError;
use hsm::WrappedKeyPair;
use jiff::Timestamp;
use jiff::civil::date;
use jpki::{Application, CertificateKind, CertificateProfile, CertificateText, IssuingProfile, Municipality};
use jpki::{Pin, Resident, Sex};
use orchestrator::procedure::{
    Action, Applicant, AuthorityCall, CardCommand, CardData, CardReply, CaseInput, Event, Holder, Machine, Name,
    Outcome, Pending, Procedure, SlotStatus, TransactionId,
};
use orchestrator::{Plan, ProcedureError, Step};
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{DerSignature, Signature, SigningKey};
use p384::pkcs8::EncodePublicKey;
use sha2::{Digest, Sha256};
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::Encode;
use zeroize::Zeroizing;

const KIND: CertificateKind = CertificateKind::Authentication;

/// A card and an authority that do what they are asked.
struct World {
    key: SigningKey,
    pending: Pending,
    active: Option<Name>,
    state: IssueState,
    certificate: Vec<u8>,
    pending_slot: bool,
    overwritten: Option<Name>,
    makes_keys: bool,
    last_day: jiff::civil::Date,
}

impl World {
    fn new() -> Self {
        Self {
            key: key(),
            pending: Pending::Empty,
            active: None,
            state: IssueState::Unknown,
            certificate: b"a certificate".to_vec(),
            pending_slot: true,
            overwritten: None,
            makes_keys: true,
            last_day: date(1970, 1, 1),
        }
    }

    /// A card without a pending slot, and a certificate in its only one.
    fn single_slot() -> Self {
        Self { pending_slot: false, active: Some([8; 32]), state: IssueState::Valid, ..Self::new() }
    }

    /// The same with a card that makes no keys itself.
    fn importing() -> Self {
        Self { makes_keys: false, ..Self::single_slot() }
    }

    /// The same, interrupted right after its new key was made.
    fn overwritten() -> Self {
        let mut world = Self::single_slot();
        world.overwritten = world.active.take();
        world.pending = Pending::Key(Sha256::digest(world.spki()).into());
        world
    }

    /// A renewal whose certificate was written and confirmed when the card was taken away.
    fn interrupted() -> Self {
        let mut world = Self::new();
        world.pending = Pending::Complete([9; 16], world.name());
        world.active = Some([8; 32]);
        world.state = IssueState::Valid;
        world
    }

    fn name(&self) -> Name {
        Sha256::digest(&self.certificate).into()
    }

    /// The key as the HSM gives it; this card believes whatever is wrapped.
    fn wrapped(&self) -> WrappedKeyPair {
        WrappedKeyPair { public_key: self.spki(), wrapped_private_key: vec![0x5A; 24] }
    }

    fn spki(&self) -> Vec<u8> {
        p384::PublicKey::from(self.key.verifying_key()).to_public_key_der().expect("a key").into_vec()
    }

    fn answer(&mut self, action: &Action) -> Event {
        match action {
            Action::AskFaceCode => Event::FaceCode(Zeroizing::new("61070920361234".into())),
            Action::AskPins(wanted) => {
                Event::Pins(wanted.iter().map(|pin| (pin.kind, Pin::new(pin.kind, "5937").expect("a PIN"))).collect())
            }
            Action::AskOverwrite => Event::Agreed,
            Action::BeginCard => Event::CardReady,
            Action::Card(command) => Event::Card(self.command(command)),
            Action::MakeKeyPair(..) => Event::KeyPairMade(self.wrapped()),
            Action::Authority(call) => Event::Authority(self.call(call), Timestamp::UNIX_EPOCH),
            Action::EndCard => Event::CardEnded,
            Action::Finish(_) => panic!("nothing answers an end"),
        }
    }

    fn command(&mut self, command: &CardCommand) -> CardReply {
        let bytes = |bytes: Vec<u8>| CardReply::Done(CardData::Bytes(Zeroizing::new(bytes)));
        match command {
            CardCommand::ReadSerial => {
                let serial = Zeroizing::new(b"SIM000000000001".to_vec());
                CardReply::Done(CardData::Record(serial, self.last_day))
            }
            CardCommand::ReadHolder(_) => CardReply::Done(CardData::Holder(holder())),
            CardCommand::Status(_) => CardReply::Done(CardData::Status(SlotStatus {
                active: self.active,
                pending: self.pending.clone(),
                pin_set: true,
                tries_left: 3,
                algorithm: jpki::card::algorithm::EC_P384,
                pending_slot: self.pending_slot,
                overwritten: self.overwritten,
                makes_keys: self.makes_keys,
            })),
            CardCommand::Generate(..) if !self.makes_keys => CardReply::Refused(apdu::StatusWord(0x6A81)),
            CardCommand::Import(..) if self.makes_keys => CardReply::Refused(apdu::StatusWord(0x6A81)),
            CardCommand::Generate(_, _, named) | CardCommand::Import(_, _, named, ..) => {
                if !self.pending_slot {
                    let key = match &self.pending {
                        Pending::Key(key) => Some(*key),
                        _ => None,
                    };
                    assert_eq!(*named, key.or(self.active), "nothing is overwritten that is not named");
                    self.overwritten = self.active.take().or(self.overwritten);
                }
                self.pending = Pending::Key(Sha256::digest(self.spki()).into());
                bytes(Sha256::digest(self.spki()).to_vec())
            }
            CardCommand::ReadKey(_) => bytes(self.spki()),
            CardCommand::Sign(_, hash) => {
                // The same key signs the same in every walk.
                static MADE: Mutex<BTreeMap<Vec<u8>, Vec<u8>>> = Mutex::new(BTreeMap::new());
                let sign = || {
                    let signature: Signature = self.key.sign_prehash(hash).expect("a signature");
                    DerSignature::from(signature).as_bytes().to_vec()
                };
                bytes(MADE.lock().expect("signatures").entry(hash.clone()).or_insert_with(sign).clone())
            }
            CardCommand::Write(_, _, name, _) => {
                if self.pending_slot {
                    self.pending = Pending::Complete(TransactionId::default(), *name);
                } else {
                    (self.active, self.pending, self.overwritten) = (Some(*name), Pending::Empty, None);
                }
                CardReply::Done(CardData::None)
            }
            CardCommand::ReadBack(_) => bytes(self.certificate.clone()),
            CardCommand::Commit(_, name) => {
                self.active = Some(*name);
                self.pending = Pending::Empty;
                CardReply::Done(CardData::None)
            }
            CardCommand::Discard(..) => {
                self.pending = Pending::Empty;
                CardReply::Done(CardData::None)
            }
            CardCommand::ReadKeyVersions
            | CardCommand::OpenDomain(_)
            | CardCommand::PutKeys(_)
            | CardCommand::DeleteKeys(_) => CardReply::Nonsense,
            CardCommand::OpenChannel | CardCommand::SetPin(..) | CardCommand::VerifyPin(..) => {
                CardReply::Done(CardData::None)
            }
        }
    }

    fn call(&mut self, call: &AuthorityCall) -> Answer {
        match call {
            AuthorityCall::StateOf(sha256) => Answer::State(CertificateState {
                sha256: *sha256,
                state: self.state,
                issue: Some(Issue {
                    kind: KIND,
                    transaction: LinkTransaction([9; 16]),
                    certificate: named(2),
                    // Whatever a key in the only slot has overwritten was revoked before.
                    predecessor: self.pending_slot.then(|| (named(1), IssueState::Valid)),
                }),
            }),
            AuthorityCall::Certify(..) => Answer::Issued {
                certificate: Zeroizing::new(self.certificate.clone()),
                ca_certificate: None,
                nonce: None,
            },
            AuthorityCall::Confirm { .. } => Answer::Confirmed,
            AuthorityCall::Supersede(..) | AuthorityCall::Retire(..) => Answer::Revoked,
        }
    }
}

fn named(serial: u8) -> IssuerAndSerial {
    use x509_cert::serial_number::SerialNumber;
    IssuerAndSerial { issuer: "CN=issuer".parse().expect("a name"), serial: SerialNumber::new(&[serial]).expect("one") }
}

fn holder() -> Holder {
    Holder { name: "名　前".into(), address: "住所".into(), birth: Some(date(1986, 7, 9)), sex: Some(Sex::Female) }
}

/// Made once, too.
fn key() -> SigningKey {
    static MADE: OnceLock<SigningKey> = OnceLock::new();
    MADE.get_or_init(|| SigningKey::from_slice(&[7; 48]).expect("a key")).clone()
}

/// Made once: it takes longer than a whole walk.
fn issuer() -> Vec<u8> {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(make_issuer).clone()
}

fn make_issuer() -> Vec<u8> {
    let key = SigningKey::from_slice(&[5; 48]).expect("a key");
    let spki = x509_cert::spki::SubjectPublicKeyInfoOwned::from_key(*key.verifying_key()).expect("a key");
    let builder = CertificateBuilder::new(
        Profile::Root,
        1_u32.into(),
        x509_cert::time::Validity::from_now(std::time::Duration::from_secs(60)).expect("a time"),
        "CN=issuer".parse().expect("a name"),
        spki,
        &key,
    );
    builder.expect("a builder").build::<DerSignature>().expect("a certificate").to_der().expect("DER")
}

fn input(plan: Plan) -> CaseInput {
    let text = |text: &str| CertificateText { text: text.into(), substituted: "0".repeat(text.chars().count()) };
    CaseInput {
        plan,
        applicant: Some(Applicant {
            resident: Resident {
                number: "1".into(),
                name: "名　前".into(),
                former_family_name: None,
                alias: None,
                address: "住所".into(),
                birth: date(1986, 7, 9),
                sex: Sex::Female,
                stay_until: None,
            },
            application: Application {
                name: text("名　前"),
                alias: None,
                address: text("住所"),
                birth: date(1986, 7, 9),
                sex: Sex::Female,
                applied_on: date(2026, 11, 20),
            },
            request_name: "2026112010000000001139990001".into(),
        }),
        profile: IssuingProfile::jpki_next().imported(),
        environment: CertificateProfile::simulator(),
        municipality: Municipality { code: "13999".into(), prefecture: "Tokyo-to".into(), city: "Midori-ku".into() },
        issuers: BTreeMap::from([(KIND, issuer())]),
        began: Timestamp::UNIX_EPOCH,
        entropy: [1; 32],
    }
}

/// The issuing plan, with the comparison of the certificate or without: the world's certificate is not one.
fn plan(check: bool, renewal: bool) -> Plan {
    let plan = if renewal { Plan::renew(&[KIND]) } else { Plan::issue(&[KIND]) };
    let steps = plan.steps().iter().copied().filter(|(_, step)| check || *step != Step::Check).collect();
    plan.reordered(steps)
}

/// Every event once.
fn events() -> Vec<Event> {
    let unknown = || Box::new(ProcedureError::CardGone);
    let status = |sw| CardReply::Refused(apdu::StatusWord(sw));
    vec![
        Event::FaceCode(Zeroizing::new(String::new())),
        Event::Pins(Vec::new()),
        Event::Agreed,
        Event::Declined,
        Event::CardReady,
        Event::Card(CardReply::Done(CardData::None)),
        Event::Card(CardReply::Done(CardData::Bytes(Zeroizing::new(Vec::new())))),
        Event::Card(status(0x63C2)),
        Event::Card(status(0x6984)),
        Event::Card(status(0x6A88)),
        Event::Card(CardReply::Nonsense),
        Event::CardLost,
        Event::CardFailed(CardError::Busy),
        Event::Failed(unknown()),
        Event::Authority(Answer::Confirmed, Timestamp::UNIX_EPOCH),
        Event::Authority(
            Answer::Refused {
                failure: authority_link::message::FailureInfo::default(),
                code: None,
                text: String::new(),
            },
            Timestamp::UNIX_EPOCH,
        ),
        Event::AuthorityFailed(unknown()),
        Event::KeyPairMade(World::new().wrapped()),
        Event::CardEnded,
    ]
}

/// Walks `steps` steps with a world that does as it is asked. What comes next, unless the procedure ended before.
fn walk(world: &mut World, plan: Plan, steps: usize) -> Option<(Procedure, Action)> {
    let (mut procedure, mut action) = Procedure::begin(input(plan));
    for _ in 0..steps {
        if matches!(action, Action::Finish(_)) {
            return None;
        }
        let event = world.answer(&action);
        (procedure, action) = procedure.step(event);
    }
    (!matches!(action, Action::Finish(_))).then_some((procedure, action))
}

/// Goes on with the world until the procedure ends.
fn finish(world: &mut World, mut procedure: Procedure, mut action: Action) -> Outcome {
    for _ in 0..400 {
        if let Action::Finish(outcome) = action {
            assert!(procedure.is_finished());
            return outcome;
        }
        let event = world.answer(&action);
        (procedure, action) = procedure.step(event);
    }
    panic!("the procedure does not end");
}

#[test]
fn every_event_in_every_state_ends_in_order() {
    let walks: [(fn() -> World, Plan); 6] = [
        (World::new, plan(false, false)),
        (World::new, plan(true, false)),
        (World::interrupted, plan(false, true)),
        (World::single_slot, plan(false, true)),
        (World::overwritten, plan(false, true)),
        (World::importing, plan(false, true)),
    ];
    let (mut cases, mut unexpected) = (0, 0);
    for (world, plan) in walks {
        for steps in 0.. {
            if walk(&mut world(), plan.clone(), steps).is_none() {
                break;
            }
            for event in events() {
                let mut world = world();
                let Some((procedure, _)) = walk(&mut world, plan.clone(), steps) else { unreachable!() };
                let (procedure, action) = procedure.step(event);
                let outcome = finish(&mut world, procedure, action);
                unexpected += u32::from(matches!(outcome.failure, Some(ProcedureError::UnexpectedEvent { .. })));
                cases += 1;
            }
        }
    }
    println!("{cases} pairs of state and event, {unexpected} of them unexpected");
    assert!(unexpected > 0, "an event that makes no sense is reported, not guessed at");
}

#[test]
fn an_undisturbed_walk_issues() {
    let mut world = World::new();
    let (procedure, action) = Procedure::begin(input(plan(false, false)));
    let outcome = finish(&mut world, procedure, action);
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    assert_eq!(world.active, Some(world.name()));
    assert_eq!(world.pending, Pending::Empty);
}

#[test]
fn an_interrupted_renewal_is_committed_without_a_pin() {
    let mut world = World::interrupted();
    let (mut procedure, mut action) = Procedure::begin(input(plan(false, true)));
    let mut asked = VecDeque::new();
    while !matches!(action, Action::Finish(_)) {
        asked.push_back(format!("{action:?}"));
        let event = world.answer(&action);
        (procedure, action) = procedure.step(event);
    }
    assert_eq!(world.active, Some(world.name()));
    let pins: BTreeSet<_> = asked.iter().filter(|action| action.starts_with("AskPins")).collect();
    assert!(pins.is_empty(), "{asked:?}");
    assert!(asked.iter().any(|action| action.contains("rr")), "the predecessor is superseded: {asked:?}");
}

/// What is asked of card, authority and people, from beginning to end.
fn asked(world: &mut World, plan: Plan) -> Vec<String> {
    let (mut procedure, mut action) = Procedure::begin(input(plan));
    let mut asked = Vec::new();
    while !matches!(action, Action::Finish(_)) {
        asked.push(format!("{action:?}"));
        let event = world.answer(&action);
        (procedure, action) = procedure.step(event);
    }
    asked
}

#[test]
fn without_a_pending_slot_the_authority_hears_at_once_of_what_is_overwritten() {
    let is = |wanted: &'static str| move |asked: &String| asked.contains(wanted);
    let mut world = World::single_slot();
    let whole = asked(&mut world, plan(false, true));
    assert_eq!(world.active, Some(world.name()));
    let at = |wanted| whole.iter().position(is(wanted)).unwrap_or_else(|| panic!("{wanted}: {whole:?}"));
    assert!(at("AskOverwrite") < at("AskPins") && at("AskPins") < at("generate-key"), "{whole:?}");
    assert!(at("generate-key") < at("(rr)") && at("(rr)") < at("(ir)"), "{whole:?}");
    assert_eq!(whole.iter().filter(|asked| is("(rr)")(asked)).count(), 1);

    // Interrupted there: whoever looks next tells it first of all, and asks nobody whether what is gone may be overwritten.
    let mut world = World::overwritten();
    let rest = asked(&mut world, plan(false, true));
    assert_eq!(world.active, Some(world.name()));
    let at = |wanted| rest.iter().position(is(wanted)).unwrap_or_else(|| panic!("{wanted}: {rest:?}"));
    assert!(at("(rr)") < at("AskPins") && at("AskPins") < at("generate-key"), "{rest:?}");
    assert!(!rest.iter().any(is("AskOverwrite")), "{rest:?}");
}

/// What the HSM gives is looked at, and a card that makes no keys is refused where the profile requires it, before anything is overwritten.
#[test]
fn a_key_of_the_hsm_is_imported_if_it_is_sound_and_the_profile_allows_it() {
    let mut world = World::importing();
    let whole = asked(&mut world, plan(false, true));
    assert_eq!(world.active, Some(world.name()));
    let at = |wanted: &str| whole.iter().position(|asked| asked.contains(wanted));
    assert!(at("AskPins") < at("MakeKeyPair") && at("MakeKeyPair") < at("import-key"), "{whole:?}");
    assert!(at("import-key") < at("(rr)") && at("(rr)") < at("(ir)"), "{whole:?}");
    assert_eq!((at("generate-key"), at("read-key")), (None, None));

    for required in [false, true] {
        let (mut world, mut input) = (World::importing(), input(plan(false, true)));
        input.profile.key_import = !required;
        let (mut procedure, mut action) = Procedure::begin(input);
        while !matches!(action, Action::Finish(_)) {
            let event = match &action {
                Action::MakeKeyPair(..) => {
                    assert!(!required, "no key is made for a card that is refused");
                    Event::KeyPairMade(WrappedKeyPair { public_key: vec![0x30, 0], wrapped_private_key: vec![] })
                }
                action => world.answer(action),
            };
            (procedure, action) = procedure.step(event);
        }
        let Action::Finish(Outcome { failure, .. }) = action else { unreachable!() };
        match failure {
            Some(ProcedureError::CardMakesNoKeys) => assert!(required),
            Some(ProcedureError::WeakHsmKey { .. }) => assert!(!required),
            failure => panic!("{failure:?}"),
        }
        assert_eq!((world.active, world.pending), (Some([8; 32]), Pending::Empty), "nothing was overwritten");
    }
}

#[test]
fn a_certificate_that_differs_is_rejected_and_the_slot_is_emptied() {
    let mut world = World::new();
    let (procedure, action) = Procedure::begin(input(plan(true, false)));
    let outcome = finish(&mut world, procedure, action);
    assert!(matches!(outcome.failure, Some(ProcedureError::CertificateDiffers { .. })), "{:?}", outcome.failure);
    assert_eq!(world.active, None);
    assert_eq!(world.pending, Pending::Empty);
}

/// Until the end of the day, in Japan.
#[test]
fn an_expired_card_is_refused_before_anything_is_asked() {
    let mut world = World { last_day: date(1969, 12, 31), ..World::new() };
    let (procedure, action) = Procedure::begin(input(plan(false, false)));
    let outcome = finish(&mut world, procedure, action);
    assert!(matches!(outcome.failure, Some(ProcedureError::CardExpired)), "{:?}", outcome.failure);
    assert_eq!((world.active, world.pending), (None, Pending::Empty));
}

#[test]
fn a_card_of_another_person_is_refused_before_anything_is_written() {
    let mut input = input(plan(false, false));
    if let Some(applicant) = &mut input.applicant {
        applicant.resident.birth = date(1986, 7, 10);
    }
    let mut world = World::new();
    let (procedure, action) = Procedure::begin(input);
    let outcome = finish(&mut world, procedure, action);
    assert!(matches!(outcome.failure, Some(ProcedureError::CardOfAnotherPerson { item: "birth" })));
    assert_eq!((world.active, world.pending), (None, Pending::Empty));
}
