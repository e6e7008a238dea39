//! What every sensor and every verifier must do, as test functions. Implement [`PalmStage`] for a rig around your device
//! and call [`palm_sensor`] and [`palm_verifier`] from a test each.
//!
//! Both end with the device unplugged. They fail like tests do: by a panic that says what was broken.

#![expect(clippy::panic, clippy::expect_used, reason = "a contract suite fails as tests do")]

use std::time::Duration;

use madoguchi_time::{Clock, Recovery, SharedClock};
use zeroize::Zeroizing;

use crate::{
    CaptureEvent, CaptureOutcome, EnrolledTemplates, HandState, PalmSensor, PalmVerifier, RetryReason, SensorError,
    TemplateFormat, Verification,
};

/// Two people who can be asked to present their hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person {
    /// The one who is enrolled.
    Enrolled,
    /// Somebody else.
    Stranger,
}

/// What happens in front of a device, on request. On a bench with real hardware, this asks a person.
pub trait PalmStage {
    /// The clock of the composition.
    fn clock(&self) -> SharedClock;

    /// How late a call may return. More than the default where time is real and the machine has other things to do.
    fn tolerance(&self) -> Duration {
        Duration::from_millis(100)
    }

    /// From now on this person holds a hand well over the sensor.
    fn present(&mut self, person: Person);

    /// The next capture meets a hand that is too near, as if it came before the one that is presented.
    fn present_too_near_once(&mut self);

    /// Nobody's hand is there any more.
    fn remove_hand(&mut self);

    /// Pulls the plug.
    fn unplug(&mut self);
}

/// Time enough for anything.
const PLENTY: Duration = Duration::from_secs(120);
/// Time in which nobody can present a hand.
const TOO_SHORT: Duration = Duration::from_millis(150);

/// Checks a sensor against [`PalmSensor`]'s promises.
///
/// # Panics
/// When it breaks one.
pub fn palm_sensor(stage: &mut dyn PalmStage, sensor: &mut dyn PalmSensor) {
    let clock = stage.clock();
    let identity = sensor.identity().clone();
    assert!(!identity.serial.is_empty(), "a sensor has a serial number");
    assert_eq!(identity.is_simulated(), identity.serial.starts_with("SIM-"));

    stage.present(Person::Enrolled);
    let first = image(sensor, &*clock);
    let second = image(sensor, &*clock);
    assert!(first != second, "each capture is a new picture, and no two of a hand are the same");

    stage.present_too_near_once();
    let mut states = Vec::new();
    let outcome = sensor.capture(clock.deadline_in(PLENTY), &mut |state| states.push(state));
    let Ok(CaptureOutcome::Retry(RetryReason::TooNear)) = outcome else {
        panic!("a hand too near is a reason to retry, not {outcome:?}");
    };
    assert!(states.contains(&HandState::TooNear), "the person is told while the sensor waits: {states:?}");
    image(sensor, &*clock);

    stage.remove_hand();
    let began = clock.now();
    let outcome = sensor.capture(clock.deadline_in(TOO_SHORT), &mut |_| {});
    assert!(
        matches!(outcome, Err(SensorError::Timeout) | Ok(CaptureOutcome::Retry(RetryReason::NoHand))),
        "without a hand nothing is captured: {outcome:?}"
    );
    assert!(clock.now().since(began) <= TOO_SHORT + stage.tolerance(), "capture returns by its deadline");
    let outcome = sensor.capture(clock.deadline_in(Duration::ZERO), &mut |_| {});
    assert!(matches!(outcome, Err(SensorError::Timeout)), "a deadline that has passed is a time-out: {outcome:?}");

    sensor.disarm();
    sensor.disarm();
    stage.present(Person::Enrolled);
    image(sensor, &*clock);
    assert_eq!(sensor.identity(), &identity, "a sensor stays who it is");

    stage.unplug();
    for _ in 0..2 {
        let outcome = sensor.capture(clock.deadline_in(PLENTY), &mut |_| {});
        let Err(error @ SensorError::Gone) = outcome else {
            panic!("an unplugged sensor is gone, not {outcome:?}");
        };
        assert_eq!(error.recovery(), Recovery::Reconnect);
    }
    sensor.disarm();
}

/// The pixels of one capture of the hand that is presented.
fn image(sensor: &mut dyn PalmSensor, clock: &dyn Clock) -> Zeroizing<Vec<u8>> {
    match sensor.capture(clock.deadline_in(PLENTY), &mut |_| {}) {
        Ok(CaptureOutcome::Image(capture)) => {
            assert!(capture.micrometres_per_pixel > 0, "a picture has a scale");
            Zeroizing::new(capture.near_infrared.pixels().to_vec())
        }
        outcome => panic!("a hand that is well presented is captured: {outcome:?}"),
    }
}

/// Checks a verifier against [`PalmVerifier`]'s promises.
///
/// # Panics
/// When it breaks one.
pub fn palm_verifier(stage: &mut dyn PalmStage, verifier: &mut dyn PalmVerifier) {
    let clock = stage.clock();
    let deadline = || clock.deadline_in(PLENTY);
    assert_eq!(verifier.is_simulated(), verifier.identity().is_simulated());

    stage.present(Person::Enrolled);
    let enrolled = verifier.enrol(deadline(), &mut |_| {}).expect("a hand that is well presented is enrolled");
    let stored = enrolled.to_bytes();
    assert!(EnrolledTemplates::from_bytes(&stored).as_ref() == Ok(&enrolled), "templates survive being stored");
    let printed = format!("{enrolled:?}");
    assert!(printed.len() < 80, "templates are not printed: {printed}");

    let mut events = Vec::new();
    let answer = verifier.verify(&enrolled, deadline(), &mut |event| events.push(event));
    assert!(matches!(answer, Ok(Verification::Match)), "the enrolled palm is recognised: {answer:?}");
    assert!(matches!(events.first(), Some(CaptureEvent::Begin { number: 1, .. })), "the first capture is announced");
    assert_eq!(events.last(), Some(&CaptureEvent::Accepted));

    stage.present_too_near_once();
    events.clear();
    let answer = verifier.verify(&enrolled, deadline(), &mut |event| events.push(event));
    assert!(matches!(answer, Ok(Verification::Match)), "one bad capture is no refusal: {answer:?}");
    assert!(events.contains(&CaptureEvent::Retry(RetryReason::TooNear)), "a bad capture is reported: {events:?}");

    stage.present(Person::Stranger);
    let answer = verifier.verify(&enrolled, deadline(), &mut |_| {});
    assert!(matches!(answer, Ok(Verification::NoMatch)), "a stranger is not recognised: {answer:?}");

    stage.remove_hand();
    let answer = verifier.verify(&enrolled, clock.deadline_in(TOO_SHORT), &mut |_| {});
    assert!(
        matches!(answer, Err(SensorError::Timeout) | Ok(Verification::Unusable(RetryReason::NoHand))),
        "without a hand there is no answer: {answer:?}"
    );

    stage.present(Person::Enrolled);
    let foreign = EnrolledTemplates::new(TemplateFormat(0xFFFF), Zeroizing::new(enrolled.data().to_vec()));
    let answer = verifier.verify(&foreign, deadline(), &mut |_| {});
    assert!(matches!(answer, Err(SensorError::ForeignTemplates)), "foreign templates are refused: {answer:?}");
    let shortened = enrolled.data()[..enrolled.data().len() - 1].to_vec();
    let damaged = EnrolledTemplates::new(enrolled.format(), Zeroizing::new(shortened));
    let answer = verifier.verify(&damaged, deadline(), &mut |_| {});
    assert!(matches!(answer, Err(SensorError::ForeignTemplates)), "damaged templates are refused: {answer:?}");

    stage.unplug();
    let answer = verifier.verify(&enrolled, deadline(), &mut |_| {});
    assert!(matches!(answer, Err(SensorError::Gone)), "an unplugged device is gone: {answer:?}");
    let answer = verifier.enrol(deadline(), &mut |_| {});
    assert!(matches!(&answer, Err(error) if error.recovery() == Recovery::Reconnect), "also for enrolment: {answer:?}");
}
