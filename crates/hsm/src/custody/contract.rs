//! What every backend of [`KeyCustody`] must do. A backend instantiates the suite as that of [`Hsm`](crate::Hsm):
//!
//! ```text
//! hsm::custody_contract_suite!(empty_module);
//! ```
//!
//! `empty_module` is a function that returns a [`Fixture`]. The checks make keys of names of their own and destroy them, so one module
//! serves them all, one check at a time or several.

#![expect(clippy::unwrap_used, reason = "the suite runs in tests, where a failure is to be a panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use madoguchi_time::{Deadline, Moment, SharedClock};

use super::{CustodyError, Fingerprint, HeldKey, KeyCustody, Origin, fingerprint};
use crate::{AesLength, HsmError, KeyKind, KeyName};

/// A module to be put through the suite.
pub struct Fixture {
    /// The module.
    pub custody: Arc<dyn KeyCustody>,
    /// The clock that its deadlines are on.
    pub clock: SharedClock,
}

impl Fixture {
    fn soon(&self) -> Deadline {
        // RSA keys take their time.
        self.clock.deadline_in(Duration::from_secs(60))
    }

    fn make(&self, name: &KeyName, kind: KeyKind) {
        self.custody.create(name, kind, self.soon()).unwrap();
    }

    fn held(&self, name: &KeyName) -> Option<HeldKey> {
        let inventory = self.custody.inventory(self.soon()).unwrap();
        inventory.keys.into_iter().find(|key| key.name == *name)
    }

    fn fingerprint(&self, name: &KeyName, kind: KeyKind) -> Fingerprint {
        fingerprint(&*self.custody, name, kind, self.soon()).unwrap()
    }

    fn destroy(&self, name: &KeyName) {
        self.custody.destroy(name, self.soon()).unwrap();
    }
}

/// A check of the suite.
pub type Case = (&'static str, fn(&Fixture));

macro_rules! cases {
    ($d:tt $($check:ident)+) => {
        /// All checks, by name: for tests that don't use the standard harness.
        pub const CASES: &[Case] = &[$((stringify!($check), $check)),+];

        /// Turns every check of the suite into a test.
        #[macro_export]
        macro_rules! custody_contract_suite {
            ($d fixture:expr) => {
                $(
                    #[test]
                    fn $check() {
                        $crate::custody::contract::$check(&$d fixture());
                    }
                )+
            };
        }
    };
}

cases! { $
    makes_keys_of_every_kind gives_a_name_once destroys_for_good keeps_its_keys_to_itself keeps_deadlines_of_custody
}

/// A key of each kind is made inside, listed as what it is, and does what such keys do.
pub fn makes_keys_of_every_kind(fixture: &Fixture) {
    let mut fingerprints = BTreeSet::new();
    for (version, kind) in (0x61..).zip(KeyKind::all()) {
        let name = match kind {
            KeyKind::CardMaster(_) => KeyName::card_master(version),
            _ => KeyName::new(format!("custody-{}", kind.code())),
        };
        fixture.make(&name, kind);
        let held = fixture.held(&name).unwrap();
        assert_eq!((held.kind, held.origin), (kind, Origin::Made), "{name}");
        assert!(fixture.custody.keys(fixture.soon()).unwrap().contains(&name));
        let found = fixture.fingerprint(&name, kind);
        assert_eq!(found, fixture.fingerprint(&name, kind), "{name}: it does not change");
        assert!(fingerprints.insert(found.to_string()), "{name}: it is this key's");
        fixture.destroy(&name);
    }
}

/// A second key of the same name is refused, of whatever kind, and the first stays as it was.
pub fn gives_a_name_once(fixture: &Fixture) {
    let (name, kind) = (KeyName::new("custody-once"), KeyKind::Hmac);
    fixture.make(&name, kind);
    let first = fixture.fingerprint(&name, kind);
    for other in [kind, KeyKind::EcP256] {
        let again = fixture.custody.create(&name, other, fixture.soon());
        assert!(matches!(&again, Err(CustodyError::NameTaken(taken)) if *taken == name), "{again:?}");
    }
    assert_eq!(fixture.fingerprint(&name, kind), first);
    fixture.destroy(&name);
}

/// What is destroyed is gone, and a key that is made under its name is another.
pub fn destroys_for_good(fixture: &Fixture) {
    let (name, kind) = (KeyName::card_master(0x70), KeyKind::CardMaster(AesLength::Aes192));
    fixture.make(&name, kind);
    let first = fixture.fingerprint(&name, kind);
    fixture.destroy(&name);
    assert_eq!(fixture.held(&name), None);
    let gone = fingerprint(&*fixture.custody, &name, kind, fixture.soon());
    assert!(matches!(gone, Err(HsmError::NoSuchKey(_))), "{gone:?}");
    let again = fixture.custody.destroy(&name, fixture.soon());
    assert!(matches!(again, Err(HsmError::NoSuchKey(_))), "{again:?}");
    fixture.make(&name, kind);
    assert_ne!(fixture.fingerprint(&name, kind), first);
    fixture.destroy(&name);
}

/// Nobody gets a key out, and the trial leaves neither a key nor a trace.
pub fn keeps_its_keys_to_itself(fixture: &Fixture) {
    // Other checks' keys come and go meanwhile.
    let is_of_a_check = |key: &HeldKey| key.name.as_str().starts_with("custody-") || key.name.card_version().is_some();
    let others = || {
        let inventory = fixture.custody.inventory(fixture.soon()).unwrap();
        let keys: Vec<_> = inventory.keys.into_iter().filter(|key| !is_of_a_check(key)).collect();
        (keys, inventory.foreign)
    };
    let before = others();
    fixture.custody.prove_honesty(fixture.soon()).unwrap();
    assert_eq!(others(), before);
    assert!(!fixture.custody.abilities().is_empty());
}

/// A call whose deadline has passed does nothing.
pub fn keeps_deadlines_of_custody(fixture: &Fixture) {
    let late = Deadline::at(Moment::since_start(Duration::ZERO));
    let name = KeyName::new("custody-late");
    assert!(matches!(fixture.custody.inventory(late), Err(HsmError::Timeout)));
    let made = fixture.custody.create(&name, KeyKind::Hmac, late);
    assert!(matches!(made, Err(CustodyError::Hsm(HsmError::Timeout))), "{made:?}");
    assert_eq!(fixture.held(&name), None);
    fixture.make(&name, KeyKind::Hmac);
    assert!(matches!(fixture.custody.destroy(&name, late), Err(HsmError::Timeout)));
    assert!(fixture.held(&name).is_some());
    fixture.destroy(&name);
}
