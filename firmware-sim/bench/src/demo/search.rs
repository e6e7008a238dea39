//! The search for what must be gone, and what it searches for.

use std::time::SystemTime;

use cli::{Failure, Residue};
use jpki::{Application, ApplicationChoices, CertificateKind, Resident, SubstitutionTable, validity};
use rand::RngCore;
use zeroize::Zeroizing;

use crate::failure::own;
use crate::residue::{self, Canary, Found, Needles, SearchError, Sought};
use crate::world::{World, parts};

/// A search that knows what to look for.
pub(super) struct Search {
    needles: Needles,
    /// Kept in the memory of the searched process.
    in_memory: [u8; 32],
    began: SystemTime,
}

impl Search {
    /// Everything of this resident that a procedure touches.
    pub(super) fn prepare(world: &World, resident: &Resident, began: SystemTime) -> Result<Self, Failure> {
        let mut in_memory = [0; 32];
        rand::rngs::OsRng.fill_bytes(&mut in_memory);
        Ok(Self { needles: Needles::new(&sought(world, resident)), in_memory, began })
    }

    /// The seed of the canary that the searched process keeps in its memory.
    pub(super) fn canary_seed(&self) -> String {
        hex::encode(self.in_memory)
    }

    /// Searches the memory of a process in which the canary is.
    pub(super) fn memory(&self, pid: u32) -> Result<Vec<Residue>, Failure> {
        (|| {
            let canary = Canary::new(self.in_memory);
            let mut seen = Vec::new();
            residue::search_process(&canary.needles(), pid, &mut seen)?;
            Canary::demand(&seen, "memory")?;
            let mut found = Vec::new();
            residue::search_process(&self.needles, pid, &mut found)?;
            Ok(named(found))
        })()
        .map_err(failed)
    }

    /// Searches the world's folder, but for what is not the terminal's, and the temporary folders.
    pub(super) fn files(&self, world: &World) -> Result<Vec<Residue>, Failure> {
        (|| {
            let mut seed = [0; 32];
            rand::rngs::OsRng.fill_bytes(&mut seed);
            let canary = Canary::new(seed);
            let planted = canary.plant(world.folder().root())?;
            canary.prove(&planted)?;
            drop(planted);
            let others = world.folder().not_the_terminals();
            let mut found = Vec::new();
            residue::search_folder(&self.needles, world.folder().root(), &others, &mut found)?;
            residue::temp_folders(&self.needles, self.began, &others, &mut found)?;
            Ok(named(found))
        })()
        .map_err(failed)
    }
}

/// Texts that must be nowhere. The labels are the names of items in the message catalogue.
fn sought(world: &World, resident: &Resident) -> Vec<Sought> {
    let mut sought = Vec::new();
    let mut seek = |label: &str, value: &str| {
        sought.push(Sought { label: label.into(), value: Zeroizing::new(value.to_owned()) });
    };
    seek("item-name", &resident.name);
    seek("item-address", &resident.address);
    seek("item-number", &resident.number);
    if let Some(former) = &resident.former_family_name {
        seek("item-name", former);
    }
    if let Some(alias) = &resident.alias {
        seek("item-alias", alias);
    }
    let today = validity::japanese_day(jiff::Timestamp::now());
    let table = SubstitutionTable::builtin();
    // As they were sent, with 代替文字.
    if let Ok(application) = Application::from_resident(resident, today, table, &ApplicationChoices::default()) {
        seek("item-name", &application.name.text);
        seek("item-address", &application.address.text);
        if let Some(alias) = &application.alias {
            seek("item-alias", &alias.text);
        }
    }
    let birth = resident.birth;
    seek("item-birth", &birth.to_string());
    seek("item-birth", &birth.strftime("%Y%m%d").to_string());
    seek("item-face-code", &parts::check_number_b(world.seed(), resident, 0));
    // The PIN of four digits is found everywhere by chance.
    seek("item-pin", &parts::chosen_pin(world.seed(), &resident.number, CertificateKind::Signature));
    sought
}

fn named(found: Vec<Found>) -> Vec<Residue> {
    let encoding = |found: &Found| {
        serde_json::to_value(found.encoding).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let residue = found.iter().map(|found| Residue {
        place: found.place.clone(),
        item: found.label.clone(),
        encoding: encoding(found),
    });
    residue.collect()
}

fn failed(error: SearchError) -> Failure {
    own("error-demo-search", [], error)
}
