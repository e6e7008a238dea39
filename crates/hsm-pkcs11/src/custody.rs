//! Custody of a token's keys: [`hsm::KeyCustody`].

use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;
use hsm::custody::{Ability, CustodyError, HeldKey, Honesty, Inventory, Leak, LeakWay, Origin};
use hsm::{HsmError, KeyCustody, KeyKind, KeyName};
use madoguchi_time::Deadline;

use crate::capabilities::tried;
use crate::error::Fault;
use crate::{Pkcs11Hsm, Refusal, TokenError, honesty, objects};

impl KeyCustody for Pkcs11Hsm {
    fn inventory(&self, deadline: Deadline) -> Result<Inventory, HsmError> {
        self.ask(deadline, |session| {
            let (ours, foreign) = objects::all(session)?;
            let mut keys = Vec::with_capacity(ours.len());
            for key in ours {
                let (origin, attributes) = said_of(session, key.handle)?;
                keys.push(HeldKey { name: key.name, kind: key.kind, origin, attributes });
            }
            keys.sort_by(|one, other| one.name.cmp(&other.name));
            session.has_seen_all()?;
            Ok(Inventory { keys, foreign })
        })
    }

    fn create(&self, name: &KeyName, kind: KeyKind, deadline: Deadline) -> Result<(), CustodyError> {
        match self.generate(name, kind, deadline) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refusal::Attribute(attribute))) => Err(CustodyError::NotAsAsked { key: name.clone(), attribute }),
            Err(HsmError::SeveralKeys(name)) => Err(CustodyError::NameTaken(name)),
            Err(error) => Err(error.into()),
        }
    }

    fn destroy(&self, name: &KeyName, deadline: Deadline) -> Result<(), HsmError> {
        Pkcs11Hsm::destroy(self, name, deadline)
    }

    fn prove_honesty(&self, deadline: Deadline) -> Result<Honesty, CustodyError> {
        Pkcs11Hsm::prove_honesty(self, deadline).map_err(|error| match error {
            TokenError::Dishonest(leak) => CustodyError::Dishonest(leak.into()),
            TokenError::Hsm(error) => error.into(),
            other => HsmError::Failed { function: "prove_honesty", source: Box::new(other) }.into(),
        })
    }

    fn abilities(&self) -> Vec<Ability> {
        self.capabilities().abilities()
    }
}

/// The names of what is read back, as the standard has them.
const ATTRIBUTES: [(AttributeType, &str); 8] = [
    (AttributeType::Token, "CKA_TOKEN"),
    (AttributeType::Private, "CKA_PRIVATE"),
    (AttributeType::Sensitive, "CKA_SENSITIVE"),
    (AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE"),
    (AttributeType::Extractable, "CKA_EXTRACTABLE"),
    (AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE"),
    (AttributeType::Modifiable, "CKA_MODIFIABLE"),
    (AttributeType::AllowedMechanisms, "CKA_ALLOWED_MECHANISMS"),
];

/// Attributes by name, as people read them.
type Said = Vec<(&'static str, String)>;

/// What the token says of a key. What it does not know is left out.
fn said_of(session: &Session, key: ObjectHandle) -> Result<(Origin, Said), Fault> {
    // One by one: a token that lacks one attribute may refuse all that it was asked for with it.
    let read = |kind| Ok::<_, Fault>(tried(session.get_attributes(key, &[kind]))?.and_then(|mut found| found.pop()));
    let origin = match read(AttributeType::Local)? {
        Some(Attribute::Local(true)) => Origin::Made,
        Some(Attribute::Local(false)) => Origin::BroughtIn,
        _ => Origin::Unknown,
    };
    let mut said = Vec::with_capacity(ATTRIBUTES.len());
    for (kind, name) in ATTRIBUTES {
        let value = match read(kind)? {
            Some(
                Attribute::Token(is)
                | Attribute::Private(is)
                | Attribute::Sensitive(is)
                | Attribute::AlwaysSensitive(is)
                | Attribute::Extractable(is)
                | Attribute::NeverExtractable(is)
                | Attribute::Modifiable(is),
            ) => is.to_string(),
            Some(Attribute::AllowedMechanisms(mechanisms)) => {
                mechanisms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            _ => continue,
        };
        said.push((name, value));
    }
    Ok((origin, said))
}

impl From<honesty::Leak> for Leak {
    fn from(leak: honesty::Leak) -> Self {
        let (way, kind, by) = match leak {
            honesty::Leak::Read { kind, attribute } => (LeakWay::Read, kind, attribute.to_string()),
            honesty::Leak::Unprotected { kind, protection } => (LeakWay::Unprotected, kind, protection.to_string()),
            honesty::Leak::Copied { kind, protection } => (LeakWay::Copied, kind, protection.to_string()),
            honesty::Leak::Wrapped { kind, by } => (LeakWay::Wrapped, kind, by.to_string()),
            honesty::Leak::Derived { kind, by } => (LeakWay::Derived, kind, by.to_string()),
            honesty::Leak::Misused { kind, mechanism } => (LeakWay::Misused, kind, mechanism),
        };
        Self { way, kind, by }
    }
}
