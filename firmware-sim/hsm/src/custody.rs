use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use hsm::custody::{Ability, CustodyError, HeldKey, Honesty, Inventory, Origin};
use hsm::{HsmError, KeyCustody, KeyKind, KeyName};
use madoguchi_time::Deadline;
use rand_core::OsRng;

use crate::material::Material;
use crate::module::SoftwareHsm;
use crate::store::{self, Contents};

impl KeyCustody for SoftwareHsm {
    fn inventory(&self, deadline: Deadline) -> Result<Inventory, HsmError> {
        self.admit(deadline)?;
        let held = |(name, material): (&KeyName, &Arc<Material>)| HeldKey {
            name: name.clone(),
            kind: material.kind(),
            origin: Origin::Made,
            attributes: Vec::new(),
        };
        Ok(Inventory { keys: self.contents().keys.iter().map(held).collect(), foreign: 0 })
    }

    /// As long as the module is as it was provisioned, the key follows from the seed, as if it had been provisioned with it.
    fn create(&self, name: &KeyName, kind: KeyKind, deadline: Deadline) -> Result<(), CustodyError> {
        self.admit(deadline)?;
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.change(|contents| {
            if contents.keys.contains_key(name) {
                return Err(CustodyError::NameTaken(name.clone()));
            }
            let material = match source {
                Some(provision) => Material::generate(kind, &mut provision.randomness(name)),
                None => Material::generate(kind, &mut OsRng),
            };
            let material = material.map_err(|source| HsmError::Failed { function: "generate", source })?;
            contents.keys.insert(name.clone(), Arc::new(material));
            Ok(())
        })
    }

    fn destroy(&self, name: &KeyName, deadline: Deadline) -> Result<(), HsmError> {
        self.admit(deadline)?;
        self.change(|contents| match contents.keys.remove(name) {
            Some(_) => Ok(()),
            None => Err(HsmError::NoSuchKey(name.clone())),
        })?;
        // A key of the same name is to be another key.
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Tries nothing: whoever reads the file has the keys, and everything that comes of this module says that it is simulated.
    fn prove_honesty(&self, deadline: Deadline) -> Result<Honesty, CustodyError> {
        self.admit(deadline)?;
        Ok(Honesty::default())
    }

    fn abilities(&self) -> Vec<Ability> {
        let cards = ["derives-inside", "hashes-inside", "wraps-exactly", "sends-card-keys"];
        let keys = ["signs-p256", "signs-p384", "signs-rsa-2048", "authenticates"];
        cards.into_iter().chain(keys).map(|code| Ability { code, is_weaker: false }).collect()
    }
}

impl SoftwareHsm {
    /// Changes the contents, in memory and in the file, or in neither.
    fn change<E: From<HsmError>>(&self, change: impl FnOnce(&mut Contents) -> Result<(), E>) -> Result<(), E> {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        // Another process may have changed the file.
        let mut changed = match &self.file {
            Some(path) => store::open(path)?,
            None => contents.clone(),
        };
        change(&mut changed)?;
        if let Some(path) = &self.file {
            store::replace(path, &changed)?;
        }
        *contents = changed;
        let left = self.changes_left.load(Ordering::SeqCst);
        if left == 0 {
            self.unplug_after(0);
            return Err(HsmError::Unreachable.into());
        }
        self.changes_left.store(if left == u64::MAX { left } else { left - 1 }, Ordering::SeqCst);
        Ok(())
    }
}
