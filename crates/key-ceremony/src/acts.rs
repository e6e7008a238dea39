use hsm::custody::{CustodyError, HeldKey, Honesty};
use hsm::{HsmError, KeyCustody, KeyKind, KeyName};
use madoguchi_time::Deadline;

use crate::record::{Deed, KeyEntry};
use crate::{CeremonyError, Installation};

/// An HSM that keys may be made in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// What was tried to get keys out.
    pub honesty: Honesty,
    /// The keys that the installation needs and that are not there, in the order in which they are to be made.
    pub missing: Vec<(KeyName, KeyKind)>,
    /// The keys that are there.
    pub found: Vec<HeldKey>,
}

/// Judges an HSM before keys are made in it: it gives no key away, and holds nothing but keys of this installation.
///
/// # Errors
/// Why it is not fit.
pub fn examine(
    custody: &(impl KeyCustody + ?Sized),
    installation: &Installation,
    deadline: Deadline,
) -> Result<Examination, CeremonyError> {
    let found = own_keys(custody, installation, deadline)?;
    let mut missing = Vec::new();
    for (name, wanted) in &installation.required {
        match found.iter().find(|key| key.name == *name) {
            None => missing.push((name.clone(), *wanted)),
            Some(key) if key.kind == *wanted => {}
            Some(key) => return Err(CeremonyError::OtherKind { key: name.clone(), is: key.kind, wanted: *wanted }),
        }
    }
    let honesty = custody.prove_honesty(deadline)?;
    Ok(Examination { honesty, missing, found })
}

/// The keys of an HSM that holds none but this installation's, each once.
fn own_keys(
    custody: &(impl KeyCustody + ?Sized),
    installation: &Installation,
    deadline: Deadline,
) -> Result<Vec<HeldKey>, CeremonyError> {
    let inventory = custody.inventory(deadline)?;
    if inventory.foreign > 0 {
        return Err(CeremonyError::ForeignKeys(inventory.foreign));
    }
    let keys = inventory.keys;
    if let Some(twice) = keys.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(HsmError::SeveralKeys(twice[0].name.clone()).into());
    }
    match keys.iter().find(|key| !installation.may_hold(&key.name)) {
        Some(stranger) => Err(CeremonyError::AnotherInstallation(stranger.name.clone())),
        None => Ok(keys),
    }
}

/// Makes a key, and looks at it.
///
/// # Errors
/// [`CustodyError::NameTaken`], [`CustodyError::NotAsAsked`].
pub fn create(
    custody: &(impl KeyCustody + ?Sized),
    name: &KeyName,
    kind: KeyKind,
    deadline: Deadline,
) -> Result<KeyEntry, CustodyError> {
    custody.create(name, kind, deadline)?;
    let inventory = custody.inventory(deadline)?;
    let made = inventory.keys.iter().find(|key| key.name == *name).ok_or_else(|| HsmError::NoSuchKey(name.clone()))?;
    Ok(key_entry(custody, made, Deed::Created, deadline)?)
}

/// Destroys a key that the installation can do without. What it was is looked at before.
///
/// # Errors
/// [`CeremonyError::InUse`]; [`HsmError::NoSuchKey`].
pub fn retire(
    custody: &(impl KeyCustody + ?Sized),
    key: &HeldKey,
    deadline: Deadline,
) -> Result<KeyEntry, CustodyError> {
    let entry = key_entry(custody, key, Deed::Retired, deadline)?;
    custody.destroy(&key.name, deadline)?;
    Ok(entry)
}

/// What the record says of a key.
///
/// # Errors
/// If the HSM can't be asked.
pub fn key_entry(
    custody: &(impl KeyCustody + ?Sized),
    key: &HeldKey,
    deed: Deed,
    deadline: Deadline,
) -> Result<KeyEntry, HsmError> {
    let fingerprint = hsm::custody::fingerprint(custody, &key.name, key.kind, deadline)?;
    let public_key = match key.kind {
        KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::Rsa2048 => Some(custody.public_key(&key.name, deadline)?),
        _ => None,
    };
    Ok(KeyEntry::new(key, deed, &fingerprint, public_key.as_deref()))
}
