//! The search for what must be gone, and what it searches for.

use std::path::Path;
use std::time::{Duration, SystemTime};

use cli::{Failure, Residue};
use jpki::{Application, ApplicationChoices, CertificateKind, Resident, SubstitutionTable, validity};
use madoguchi_time::SystemClock;
use orchestrator::{DiskFolder, ProcedureError, operators};
use palm_vein::PalmTemplate;
use rand::RngCore;

use super::proof::ReadCertificate;
use crate::failure::{failure, own};
use crate::residue::{self, Canary, Found, Needles, SearchError, Sought, Value};
use crate::token::{Token, Tokens};
use crate::world::{OPERATORS, World, WorldFolder, parts};

/// How long the HSM may take.
const HSM: Duration = Duration::from_secs(10);

/// The shortest PIN of an HSM that is searched for, in bytes.
const SHORTEST: usize = 8;

/// A search that knows what to look for.
pub(super) struct Search {
    needles: Needles,
    /// What is in the memory of a terminal as long as it runs, and must not be in files: the HSM's PIN, which is needed again when the
    /// HSM comes back.
    only_in_memory: Needles,
    /// Kept in the memory of the searched process.
    in_memory: [u8; 32],
    began: SystemTime,
}

impl Search {
    /// Everything of this resident that a procedure touches.
    pub(super) fn prepare(
        world: &World,
        tokens: &Tokens,
        resident: &Resident,
        began: SystemTime,
    ) -> Result<Self, Failure> {
        let mut in_memory = [0; 32];
        rand::rngs::OsRng.fill_bytes(&mut in_memory);
        let needles = Needles::new(&sought(world, tokens, resident)?).map_err(failed)?;
        let only_in_memory = Needles::new(&pins(tokens)).map_err(failed)?;
        Ok(Self { needles, only_in_memory, in_memory, began })
    }

    /// The seed of the canary that the searched process keeps in its memory.
    pub(super) fn canary_seed(&self) -> String {
        hex::encode(self.in_memory)
    }

    /// Searches the memory of a process in which the canary is; for these certificates and their keys, too.
    pub(super) fn memory(&self, pid: u32, certificates: &[ReadCertificate]) -> Result<Vec<Residue>, Failure> {
        (|| {
            let canary = Canary::new(self.in_memory);
            let mut seen = Vec::new();
            residue::search_process(&canary.needles()?, pid, &mut seen)?;
            Canary::demand(&seen, "memory")?;
            let mut found = Vec::new();
            residue::search_process(&self.needles, pid, &mut found)?;
            let issued: Vec<Sought> = certificates.iter().flat_map(issued).collect();
            residue::search_process(&Needles::new(&issued)?, pid, &mut found)?;
            Ok(named(found))
        })()
        .map_err(failed)
    }

    /// Searches the world's folder, with the terminal's own temporary folder in it, but for what is not the terminal's. In the temporary
    /// folders of this machine, where others may have worked with the same residents meanwhile, it searches for what is new in these
    /// certificates.
    pub(super) fn files(&self, world: &World, certificates: &[ReadCertificate]) -> Result<Vec<Residue>, Failure> {
        (|| {
            let mut seed = [0; 32];
            rand::rngs::OsRng.fill_bytes(&mut seed);
            let (canary, root) = (Canary::new(seed), world.folder().root());
            let planted = canary.plant(root, &[world.folder().temp(), std::env::temp_dir()])?;
            let needles = canary.needles()?;
            let mut seen = in_world(world, &needles)?;
            seen.extend(self.in_shared(&needles)?);
            planted.demand(&seen)?;
            drop(planted);
            let issued = Needles::new(&certificates.iter().flat_map(issued).collect::<Vec<_>>())?;
            let mut found = in_world(world, &self.needles)?;
            found.extend(in_world(world, &issued)?);
            found.extend(in_world(world, &self.only_in_memory)?);
            found.extend(self.in_shared(&issued)?);
            Ok(named(found))
        })()
        .map_err(failed)
    }

    fn in_shared(&self, needles: &Needles) -> Result<Vec<Found>, SearchError> {
        let mut found = Vec::new();
        residue::temp_folders(needles, self.began, &WorldFolder::is_at, &mut found)?;
        Ok(found)
    }
}

/// Searches a world's folder, but for what is not the terminal's.
fn in_world(world: &World, needles: &Needles) -> Result<Vec<Found>, SearchError> {
    let others = world.folder().not_the_terminals();
    let is_anothers = |path: &Path| others.iter().any(|other| path.starts_with(other));
    let mut found = Vec::new();
    residue::search_folder(needles, world.folder().root(), &is_anothers, &mut found)?;
    Ok(found)
}

/// Texts that must be nowhere. The labels are the names of items in the message catalogue.
fn sought(world: &World, tokens: &Tokens, resident: &Resident) -> Result<Vec<Sought>, Failure> {
    let mut sought = palm(world, tokens)?;
    let mut seek = |label: &str, value: &str| sought.push(Sought { label: label.into(), value: Value::text(value) });
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
    Ok(sought)
}

/// The PINs of the HSMs. Short ones are found by chance.
fn pins(tokens: &Tokens) -> Vec<Sought> {
    let pins = [&tokens.terminal, &tokens.authority].into_iter().flatten().map(Token::pin);
    let pins = pins.filter(|pin| pin.len() >= SHORTEST);
    pins.map(|pin| Sought { label: "item-hsm-pin".into(), value: Value::text(pin) }).collect()
}

/// The operator's templates as they are enrolled, and the picture by which the operator is recognised.
fn palm(world: &World, tokens: &Tokens) -> Result<Vec<Sought>, Failure> {
    let operator = OPERATORS[0];
    let clock = SystemClock::shared();
    let state = DiskFolder::open(world.folder().root())?;
    let hsm = world.hsm(tokens).map_err(failure)?;
    let enrolled = operators::templates(&state, &*hsm, operator, clock.deadline_in(HSM))?;
    let templates = enrolled.as_ref().map_or(&[][..], |enrolled| enrolled.data());
    // A version byte precedes the rows of each template; the rows of the first are enough.
    let template = templates.get(1..PalmTemplate::ENCODED).unwrap_or_default();
    let picture = world.palms().log_on_picture(operator).map_err(ProcedureError::from)?;
    Ok(vec![
        Sought { label: "item-template".into(), value: Value::bytes(template) },
        Sought { label: "item-palm-image".into(), value: Value::bytes(picture.pixels()) },
    ])
}

/// What is new in a certificate: its key and its signature. The rest is in other certificates, too, or is sought as a text.
fn issued(read: &ReadCertificate) -> [Sought; 2] {
    let key = &read.certificate.tbs_certificate.subject_public_key_info.subject_public_key;
    [("item-public-key", key), ("item-certificate", &read.certificate.signature)]
        .map(|(label, bits)| Sought { label: label.into(), value: Value::bytes(bits.raw_bytes()) })
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
