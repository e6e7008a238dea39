//! Objects in non-volatile memory, changed by atomic transactions.
//!
//! Two root records stand at the start of the memory. A root lists every object with its pages, carries a sequence number and
//! ends in a checksum. A transaction writes new contents into free pages only, then the root that is not in force: with
//! its last page the transaction has happened. A torn root fails its checksum, and the other one is still in force.
//! Pages that are free afterwards are overwritten with zeros; what a loss of power left there is overwritten at the next power-up.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::nvm::{Nvm, NvmError, PAGE, PAGES, PowerSwitch};

/// Number of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectId(pub(crate) u16);

/// One change of a transaction.
pub(crate) enum Change {
    Put(ObjectId, Zeroizing<Vec<u8>>),
    Delete(ObjectId),
    /// The object gets another number, and replaces what had that number.
    Move {
        from: ObjectId,
        to: ObjectId,
    },
}

impl Change {
    pub(crate) fn put(id: ObjectId, bytes: impl Into<Vec<u8>>) -> Self {
        Self::Put(id, Zeroizing::new(bytes.into()))
    }
}

const MAGIC: [u8; 4] = *b"SIM1";
/// Pages of one root record.
const ROOT_PAGES: usize = 5;
const FIRST_DATA_PAGE: usize = 2 * ROOT_PAGES;
/// Magic, length of the whole, sequence number.
const ROOT_HEADER: usize = 4 + 2 + 8;
const CHECKSUM: usize = 8;
/// The longest object: its page count is one byte.
const MAX_OBJECT: usize = 64 * PAGE;

#[derive(Clone, Default)]
struct Root {
    sequence: u64,
    objects: BTreeMap<ObjectId, Entry>,
}

#[derive(Clone)]
struct Entry {
    length: u16,
    checksum: [u8; CHECKSUM],
    /// Page numbers; a card has no more than 256.
    pages: Vec<u8>,
}

/// The objects of one memory.
pub(crate) struct Store {
    nvm: Box<dyn Nvm>,
    power: PowerSwitch,
    root: Root,
}

impl Store {
    /// Makes an empty store, whatever the memory held.
    pub(crate) fn format(mut nvm: Box<dyn Nvm>) -> Result<Self, NvmError> {
        for page in 0..PAGES {
            nvm.write(page, &[0; PAGE])?;
        }
        nvm.flush()?;
        let mut store = Self { nvm, power: PowerSwitch::default(), root: Root::default() };
        store.transact(Vec::new())?;
        Ok(store)
    }

    /// Opens the store of a memory, as at power-up.
    pub(crate) fn mount(nvm: Box<dyn Nvm>) -> Result<Self, NvmError> {
        let mut store = Self { nvm, power: PowerSwitch::default(), root: Root::default() };
        store.power_up()?;
        Ok(store)
    }

    /// Finds the root in force and overwrites what an interrupted transaction left in free pages.
    pub(crate) fn power_up(&mut self) -> Result<(), NvmError> {
        self.power.restore();
        self.root = match (self.read_root(0)?, self.read_root(1)?) {
            (Some(a), Some(b)) => {
                if a.sequence > b.sequence {
                    a
                } else {
                    b
                }
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Err(NvmError::NotFormatted),
        };
        let free = self.free_pages(&self.root);
        self.wipe(&free)
    }

    pub(crate) fn power_switch(&self) -> PowerSwitch {
        self.power.clone()
    }

    pub(crate) fn into_nvm(self) -> Box<dyn Nvm> {
        self.nvm
    }

    /// An object's content, if it is there.
    pub(crate) fn get(&self, id: ObjectId) -> Result<Option<Zeroizing<Vec<u8>>>, NvmError> {
        let Some(entry) = self.root.objects.get(&id) else { return Ok(None) };
        let mut content = Zeroizing::new(Vec::with_capacity(entry.pages.len() * PAGE));
        for &page in &entry.pages {
            let mut buffer = Zeroizing::new([0; PAGE]);
            self.nvm.read(usize::from(page), &mut buffer)?;
            content.extend_from_slice(&*buffer);
        }
        content.truncate(usize::from(entry.length));
        if checksum(&content) == entry.checksum { Ok(Some(content)) } else { Err(NvmError::Damaged { object: id.0 }) }
    }

    /// Is the object there?
    pub(crate) fn has(&self, id: ObjectId) -> bool {
        self.root.objects.contains_key(&id)
    }

    /// Makes all changes, or none.
    pub(crate) fn transact(&mut self, changes: Vec<Change>) -> Result<(), NvmError> {
        let mut next = self.root.clone();
        next.sequence += 1;
        // What the root in force uses stays untouched until the new one is in force.
        let mut free = self.free_pages(&self.root);
        for change in changes {
            match change {
                Change::Put(id, content) => {
                    let entry = self.write_object(&content, &mut free)?;
                    next.objects.insert(id, entry);
                }
                Change::Delete(id) => {
                    next.objects.remove(&id);
                }
                Change::Move { from, to } => {
                    if let Some(entry) = next.objects.remove(&from) {
                        next.objects.insert(to, entry);
                    }
                }
            }
        }
        self.nvm.flush()?;
        self.write_root(&next)?;
        self.nvm.flush()?;
        let old = std::mem::replace(&mut self.root, next);
        let freed: Vec<u8> =
            old.used_pages().filter(|page| !self.root.used_pages().any(|used| used == *page)).collect();
        self.wipe(&freed)
    }

    fn write_object(&mut self, content: &[u8], free: &mut Vec<u8>) -> Result<Entry, NvmError> {
        if content.len() > MAX_OBJECT {
            return Err(NvmError::Full);
        }
        let mut pages = Vec::new();
        for chunk in content.chunks(PAGE) {
            let page = free.pop().ok_or(NvmError::Full)?;
            let mut buffer = Zeroizing::new([0; PAGE]);
            buffer[..chunk.len()].copy_from_slice(chunk);
            self.power.write(&mut *self.nvm, usize::from(page), &buffer)?;
            pages.push(page);
        }
        Ok(Entry { length: content.len() as u16, checksum: checksum(content), pages })
    }

    fn write_root(&mut self, root: &Root) -> Result<(), NvmError> {
        let record = root.to_bytes();
        if record.len() > ROOT_PAGES * PAGE {
            return Err(NvmError::Full);
        }
        let first = root_page(root.sequence as usize % 2);
        for (i, chunk) in record.chunks(PAGE).enumerate() {
            let mut buffer = [0; PAGE];
            buffer[..chunk.len()].copy_from_slice(chunk);
            self.power.write(&mut *self.nvm, first + i, &buffer)?;
        }
        Ok(())
    }

    /// The root record of one of the two places, if it is whole.
    fn read_root(&self, place: usize) -> Result<Option<Root>, NvmError> {
        let mut record = Vec::with_capacity(ROOT_PAGES * PAGE);
        for page in 0..ROOT_PAGES {
            let mut buffer = [0; PAGE];
            self.nvm.read(root_page(place) + page, &mut buffer)?;
            record.extend_from_slice(&buffer);
        }
        Ok(Root::from_bytes(&record))
    }

    fn free_pages(&self, root: &Root) -> Vec<u8> {
        let mut used = [false; PAGES];
        for page in root.used_pages() {
            used[usize::from(page)] = true;
        }
        (FIRST_DATA_PAGE..PAGES).rev().filter(|page| !used[*page]).map(|page| page as u8).collect()
    }

    /// Overwrites pages with zeros, those that are not zero yet.
    fn wipe(&mut self, pages: &[u8]) -> Result<(), NvmError> {
        let mut buffer = Zeroizing::new([0; PAGE]);
        for &page in pages {
            self.nvm.read(usize::from(page), &mut buffer)?;
            if buffer.iter().any(|byte| *byte != 0) {
                self.power.write(&mut *self.nvm, usize::from(page), &[0; PAGE])?;
            }
        }
        // No flush: what is not wiped when the power goes is wiped when it comes back.
        Ok(())
    }
}

impl Root {
    fn used_pages(&self) -> impl Iterator<Item = u8> {
        self.objects.values().flat_map(|entry| entry.pages.iter().copied())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend([0; 2]);
        bytes.extend(self.sequence.to_be_bytes());
        for (id, entry) in &self.objects {
            bytes.extend(id.0.to_be_bytes());
            bytes.extend(entry.length.to_be_bytes());
            bytes.extend(entry.checksum);
            bytes.extend(&entry.pages);
        }
        let length = (bytes.len() + CHECKSUM) as u16;
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        let sum = checksum(&bytes);
        bytes.extend(sum);
        bytes
    }

    fn from_bytes(record: &[u8]) -> Option<Self> {
        if record.get(..4)? != MAGIC {
            return None;
        }
        let length = usize::from(u16::from_be_bytes(record.get(4..6)?.try_into().ok()?));
        let (body, sum) = record.get(..length)?.split_at_checked(length.checked_sub(CHECKSUM)?)?;
        if checksum(body) != sum {
            return None;
        }
        let sequence = u64::from_be_bytes(body.get(6..ROOT_HEADER)?.try_into().ok()?);
        let mut objects = BTreeMap::new();
        let mut rest = &body[ROOT_HEADER..];
        while let Some((head, tail)) = rest.split_first_chunk::<{ 4 + CHECKSUM }>() {
            let length = u16::from_be_bytes([head[2], head[3]]);
            let (pages, tail) = tail.split_at_checked(usize::from(length).div_ceil(PAGE))?;
            let sum = head[4..].try_into().ok()?;
            objects.insert(
                ObjectId(u16::from_be_bytes([head[0], head[1]])),
                Entry { length, checksum: sum, pages: pages.to_vec() },
            );
            rest = tail;
        }
        rest.is_empty().then_some(Self { sequence, objects })
    }
}

fn root_page(place: usize) -> usize {
    place * ROOT_PAGES
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(bytes);
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&digest[..CHECKSUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvm::{MemoryNvm, Tear};

    fn contents(store: &Store) -> Vec<(u16, Vec<u8>)> {
        store.root.objects.keys().map(|id| (id.0, store.get(*id).unwrap().unwrap().to_vec())).collect()
    }

    fn started() -> Store {
        let mut store = Store::format(Box::new(MemoryNvm::new())).unwrap();
        let changes = vec![
            Change::put(ObjectId(1), [1; 700]),
            Change::put(ObjectId(2), [2; 1]),
            Change::put(ObjectId(3), [3; 300]),
            Change::put(ObjectId(4), []),
        ];
        store.transact(changes).unwrap();
        store
    }

    fn change() -> Vec<Change> {
        vec![
            Change::put(ObjectId(1), [9; 900]),
            Change::Move { from: ObjectId(3), to: ObjectId(2) },
            Change::Delete(ObjectId(4)),
            Change::put(ObjectId(5), [5; 256]),
        ]
    }

    #[test]
    fn a_transaction_cut_at_any_write_happens_or_does_not() {
        let before = contents(&started());
        let mut whole = started();
        whole.transact(change()).unwrap();
        let after = contents(&whole);
        let mut seen = (0, 0);
        for tear in Tear::ALL {
            for n in 1.. {
                let mut store = started();
                let switch = store.power_switch();
                switch.cut_at_write(n, tear);
                let result = store.transact(change());
                if switch.cancel() {
                    result.unwrap();
                    break;
                }
                assert!(matches!(result, Err(NvmError::PowerLost)));
                store.power_up().unwrap();
                let found = contents(&store);
                if found == before {
                    seen.0 += 1;
                    store.transact(change()).unwrap();
                    assert_eq!(contents(&store), after);
                } else {
                    assert_eq!(found, after, "write {n}, {tear:?}");
                    seen.1 += 1;
                }
                let mut page = [0; PAGE];
                for free in store.free_pages(&store.root) {
                    store.nvm.read(usize::from(free), &mut page).unwrap();
                    assert_eq!(page, [0; PAGE], "page {free} was not wiped: write {n}, {tear:?}");
                }
            }
        }
        assert!(seen.0 > 10 && seen.1 > 10, "{seen:?}");
    }

    #[test]
    fn power_up_itself_may_be_cut() {
        for n in 1.. {
            let mut store = started();
            let switch = store.power_switch();
            switch.cut_at_write(4, Tear::Garbled);
            store.transact(change()).unwrap_err();
            let before = {
                store.power_up().unwrap();
                contents(&store)
            };
            let mut store = started();
            let switch = store.power_switch();
            switch.cut_at_write(4, Tear::Garbled);
            store.transact(change()).unwrap_err();
            switch.cut_at_write(n, Tear::Prefix);
            let result = store.power_up();
            if switch.cancel() {
                result.unwrap();
                assert!(n > 3);
                return;
            }
            result.unwrap_err();
            store.power_up().unwrap();
            assert_eq!(contents(&store), before);
        }
    }

    #[test]
    fn a_full_memory_refuses_and_stays_as_it_was() {
        let mut store = started();
        let before = contents(&store);
        let many = (10..30).map(|id| Change::put(ObjectId(id), [1; 4096])).collect();
        assert!(matches!(store.transact(many), Err(NvmError::Full)));
        assert_eq!(contents(&store), before);
        store.transact(change()).unwrap();
    }

    #[test]
    fn a_changed_byte_is_found() {
        let mut store = started();
        let page = store.root.objects[&ObjectId(2)].pages[0];
        store.nvm.write(usize::from(page), &[7; PAGE]).unwrap();
        assert!(matches!(store.get(ObjectId(2)), Err(NvmError::Damaged { object: 2 })));
        assert!(store.get(ObjectId(1)).is_ok());
    }
}
