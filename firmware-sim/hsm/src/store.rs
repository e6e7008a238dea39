//! The module's file. Two lines: a JSON document with the keys, and the SHA-256 of the first line, by which damage is found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use hsm::{AesLength, HsmError, KeyKind, KeyName};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, PersistError};
use zeroize::Zeroizing;

use crate::material::Material;

const NOTICE: &str = "SIMULATED HSM: the keys below are readable by whoever reads this file. Not for real residents.";
const FORMAT: u32 = 1;
/// A file that is longer was not written here. 100 RSA keys need a quarter of it.
const LONGEST_FILE: u64 = 1 << 20;
/// The JSON around one key's material.
const RECORD_OVERHEAD: usize = 128;

/// How the kinds are written.
const KINDS: [(&str, KeyKind); 8] = [
    ("ec-p256", KeyKind::EcP256),
    ("ec-p384", KeyKind::EcP384),
    ("rsa-2048", KeyKind::Rsa2048),
    ("card-master-aes-128", KeyKind::CardMaster(AesLength::Aes128)),
    ("card-master-aes-192", KeyKind::CardMaster(AesLength::Aes192)),
    ("card-master-aes-256", KeyKind::CardMaster(AesLength::Aes256)),
    ("record-key", KeyKind::RecordKey),
    ("hmac", KeyKind::Hmac),
];

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    notice: &'a str,
    format: u32,
    serial: String,
    #[serde(borrow)]
    keys: Vec<Record<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    name: String,
    kind: &'a str,
    /// In hexadecimal. Borrowed, so that the only copy lies in a buffer that is wiped.
    material: &'a str,
}

/// What a module is made of.
#[derive(Clone)]
pub(crate) struct Contents {
    pub(crate) serial: String,
    pub(crate) keys: BTreeMap<KeyName, Arc<Material>>,
}

/// Writes a new file, whole or not at all, readable by its owner only. An existing file is left alone.
pub(crate) fn create(path: &Path, contents: &Contents) -> Result<(), HsmError> {
    write(path, contents, |file| file.persist_noclobber(path))
}

/// Writes new contents in the place of a file's, whole or not at all.
pub(crate) fn replace(path: &Path, contents: &Contents) -> Result<(), HsmError> {
    write(path, contents, |file| file.persist(path))
}

fn write(
    path: &Path,
    contents: &Contents,
    put: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> Result<(), HsmError> {
    let failed = |source: io::Error| HsmError::Failed { function: "create", source: Box::new(source) };
    let bytes = encode(contents)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Temporary files get mode 0600.
    let mut file = tempfile::Builder::new().prefix(".hsm-").tempfile_in(folder).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    put(file).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

pub(crate) fn open(path: &Path) -> Result<Contents, HsmError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => HsmError::Unreachable,
        _ => HsmError::Failed { function: "open", source: Box::new(source) },
    })?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    if length > LONGEST_FILE {
        return Err(HsmError::Damaged(format!("{length} bytes")));
    }
    // Room for all at once: a buffer that grows leaves copies behind.
    bytes.reserve_exact(usize::try_from(length).unwrap_or(0) + 1);
    file.take(LONGEST_FILE)
        .read_to_end(&mut bytes)
        .map_err(|source| HsmError::Failed { function: "read", source: Box::new(source) })?;
    decode(&bytes)
}

fn encode(contents: &Contents) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let mut materials = Vec::new();
    for (name, material) in &contents.keys {
        let bytes = material.to_bytes().map_err(|source| HsmError::Failed { function: "encode", source })?;
        let kind = KINDS.iter().find(|(_, kind)| *kind == material.kind());
        let (kind, _) = kind.ok_or_else(|| HsmError::WrongKind(name.clone()))?;
        materials.push((name, *kind, Zeroizing::new(hex::encode(&*bytes))));
    }
    let document = Document {
        notice: NOTICE,
        format: FORMAT,
        serial: contents.serial.clone(),
        keys: materials
            .iter()
            .map(|(name, kind, material)| Record { name: name.to_string(), kind, material })
            .collect(),
    };
    let length: usize = document.keys.iter().map(|key| RECORD_OVERHEAD + key.name.len() + key.material.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024 + length));
    serde_json::to_writer(&mut *bytes, &document)
        .map_err(|source| HsmError::Failed { function: "encode", source: Box::new(source) })?;
    let digest = hex::encode(Sha256::digest(&*bytes));
    bytes.extend_from_slice(format!("\n{digest}\n").as_bytes());
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<Contents, HsmError> {
    let damaged = |what: &str| HsmError::Damaged(what.to_owned());
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it ends within its first line"))?;
    let (line, digest) = bytes.split_at(end);
    if digest != format!("\n{}\n", hex::encode(Sha256::digest(line))).as_bytes() {
        return Err(damaged("its checksum does not fit"));
    }
    // serde_json's message would quote what it read.
    let document: Document<'_> = serde_json::from_slice(line)
        .map_err(|error| HsmError::Damaged(format!("not a document of this kind, at column {}", error.column())))?;
    if document.format != FORMAT {
        return Err(HsmError::Damaged(format!("format {} is not known", document.format)));
    }
    let mut keys = BTreeMap::new();
    for record in document.keys {
        let name = KeyName::new(record.name);
        let unusable = |why: &dyn std::fmt::Display| HsmError::Damaged(format!("key {name}: {why}"));
        let (_, kind) =
            KINDS.iter().find(|(written, _)| *written == record.kind).ok_or_else(|| unusable(&"unknown kind"))?;
        let mut bytes = Zeroizing::new(vec![0; record.material.len() / 2]);
        hex::decode_to_slice(record.material, &mut bytes).map_err(|_| unusable(&"not hexadecimal"))?;
        let material = Material::from_bytes(*kind, bytes).map_err(|error| unusable(&error))?;
        if keys.insert(name.clone(), Arc::new(material)).is_some() {
            return Err(unusable(&"twice"));
        }
    }
    Ok(Contents { serial: document.serial, keys })
}
