//! The rules of access, as a table and as a model that follows them.

use std::collections::{BTreeMap, BTreeSet};

use super::Value;

/// Who may read a file.
pub(super) enum Rule {
    Free,
    /// Whoever has verified one of these.
    After(&'static [u16]),
    /// Nobody; it is a file all the same.
    Nobody,
    /// As a record, everybody.
    Record,
}
pub(super) use Rule::{After, Free, Nobody, Record};

/// How a PIN is changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ChangedBy {
    /// `00 24 01`
    Reference,
    /// `80 32 00`
    Key,
    Never,
}

pub(super) struct App {
    pub(super) aid: &'static str,
    pub(super) channel: bool,
    pub(super) files: &'static [(u16, Rule)],
    /// File, first value, tries, how it is changed, a new value.
    pub(super) pins: &'static [(u16, &'static str, u8, ChangedBy, &'static str)],
    /// Private keys: file, the PIN before signing.
    pub(super) keys: &'static [(u16, Option<u16>)],
    pub(super) signs_without_naming_a_key: bool,
    /// Can be selected, and nothing else.
    pub(super) others: &'static [u16],
}

pub(super) const ISD: usize = 0;
pub(super) const JPKI: usize = 1;

pub(super) const APPS: [App; 6] = [
    App {
        aid: "A000000151000000",
        channel: true,
        files: &[],
        pins: &[],
        keys: &[],
        signs_without_naming_a_key: false,
        others: &[],
    },
    App {
        aid: "D392F000260100000001",
        channel: true,
        files: &[
            (0x01, After(&[0x1B])),
            (0x02, Free),
            (0x06, Free),
            (0x08, Free),
            (0x09, Nobody),
            (0x0A, Free),
            (0x0B, Free),
        ],
        pins: &[(0x18, "1234", 3, ChangedBy::Reference, "2468"), (0x1B, "ABC123", 5, ChangedBy::Reference, "XYZ789")],
        keys: &[(0x17, Some(0x18)), (0x1A, Some(0x1B))],
        signs_without_naming_a_key: false,
        others: &[0x16],
    },
    // 券面事項確認AP
    App {
        aid: "D3921000310001010402",
        channel: false,
        files: &[
            (0x01, After(&[0x11])),
            (0x02, After(&[0x12, 0x13])),
            (0x03, Free),
            (0x04, Free),
            (0x05, After(&[0x13])),
            (0x06, After(&[0x12, 0x13])),
        ],
        pins: &[
            (0x11, "550217", 10, ChangedBy::Never, "550218"),
            (0x12, "55021720352285", 10, ChangedBy::Never, "55021720352286"),
            (0x13, "123456789018", 10, ChangedBy::Never, "123456789019"),
        ],
        keys: &[(0x1A, None)],
        signs_without_naming_a_key: true,
        others: &[],
    },
    // 券面事項入力補助AP
    App {
        aid: "D3921000310001010408",
        channel: false,
        files: &[
            (0x01, After(&[0x11, 0x14])),
            (0x02, After(&[0x11, 0x15])),
            (0x03, After(&[0x11, 0x14, 0x15])),
            (0x04, Free),
            (0x05, Free),
            (0x06, After(&[0x11, 0x14, 0x15])),
            (0x07, After(&[0x11, 0x14, 0x15])),
            (0x08, Free),
        ],
        pins: &[
            (0x11, "4321", 3, ChangedBy::Reference, "1357"),
            (0x12, "never", 0, ChangedBy::Never, "1234"),
            (0x14, "123456789018", 10, ChangedBy::Never, "123456789019"),
            (0x15, "55021720352285", 10, ChangedBy::Never, "55021720352286"),
        ],
        keys: &[],
        signs_without_naming_a_key: true,
        others: &[],
    },
    // 住基AP
    App {
        aid: "D3921000310001010401",
        channel: false,
        files: &[(0x02, Record)],
        pins: &[(0x1C, "5678", 3, ChangedBy::Key, "8765")],
        keys: &[],
        signs_without_naming_a_key: false,
        others: &[],
    },
    // 共通カードAP
    App {
        aid: "D3921000310001010100",
        channel: false,
        files: &[(0x01, Record), (0x02, Record)],
        pins: &[(0x1C, "5678", 3, ChangedBy::Key, "8765")],
        keys: &[],
        signs_without_naming_a_key: false,
        others: &[0x19],
    },
];

/// What the model knows.
pub(super) struct Model {
    pub(super) app: usize,
    pub(super) current: Option<u16>,
    /// The PINs that count now, all of the selected application.
    pub(super) verified: BTreeSet<u16>,
    /// Value and tries left, by application and file.
    pub(super) pins: BTreeMap<(usize, u16), (Vec<u8>, u8)>,
    /// Versions of static keys, oldest first, and the seeds of those that were put.
    pub(super) versions: Vec<u8>,
    /// Version of the keys under which a channel is open.
    pub(super) channel: Option<u8>,
    /// What has been stored as data object 42.
    pub(super) stored: Option<u8>,
}

impl Model {
    pub(super) fn new() -> Self {
        let pins = APPS.iter().enumerate().flat_map(|(app, facts)| {
            facts.pins.iter().map(move |(fid, value, tries, ..)| ((app, *fid), (value.as_bytes().to_vec(), *tries)))
        });
        Self {
            app: ISD,
            current: None,
            verified: BTreeSet::new(),
            pins: pins.collect(),
            versions: vec![0x30],
            channel: None,
            stored: None,
        }
    }

    pub(super) fn facts(&self) -> &'static App {
        &APPS[self.app]
    }

    pub(super) fn forget(&mut self, app: usize) {
        self.app = app;
        self.current = None;
        self.verified.clear();
        self.channel = None;
    }

    pub(super) fn exists(&self, fid: u16) -> bool {
        let facts = self.facts();
        facts.files.iter().any(|file| file.0 == fid)
            || facts.pins.iter().any(|pin| pin.0 == fid)
            || facts.keys.iter().any(|key| key.0 == fid)
            || facts.others.contains(&fid)
    }

    /// The file that a command means, which is the current one from then on.
    pub(super) fn file(&mut self, named: Option<u16>) -> Result<u16, u16> {
        if let Some(fid) = named {
            if !self.exists(fid) {
                return Err(0x6A82);
            }
            self.current = Some(fid);
        }
        self.current.ok_or(0x6986)
    }

    pub(super) fn rule(&self, fid: u16) -> Option<&'static Rule> {
        self.facts().files.iter().find(|file| file.0 == fid).map(|file| &file.1)
    }

    pub(super) fn value(&self, fid: Option<u16>, value: Value) -> Vec<u8> {
        let right = fid.and_then(|fid| self.pins.get(&(self.app, fid)));
        let right = right.map_or(b"1234".to_vec(), |(value, _)| value.clone());
        match value {
            Value::Right => right,
            Value::Wrong => vec![b'0'; right.len()],
            Value::Nothing => Vec::new(),
            Value::Of(n) => self.pins.values().nth(n % self.pins.len()).unwrap().0.clone(),
        }
    }

    /// A comparison; whether it counts outside channels is the caller's business.
    pub(super) fn compare(&mut self, fid: u16, sent: &[u8]) -> u16 {
        let full = self.facts().pins.iter().find(|pin| pin.0 == fid).unwrap().2;
        let (right, tries) = self.pins.get_mut(&(self.app, fid)).unwrap();
        if sent.is_empty() {
            0x63C0 + u16::from(*tries)
        } else if *tries == 0 {
            0x6984
        } else if right == sent {
            *tries = full;
            0x9000
        } else {
            *tries -= 1;
            0x63C0 + u16::from(*tries)
        }
    }

    pub(super) fn change(&mut self, by: ChangedBy, fid: u16, new: Option<&str>) -> u16 {
        let Some(pin) = self.facts().pins.iter().find(|pin| pin.0 == fid) else { return 0x6981 };
        if pin.3 != by || !self.verified.contains(&fid) {
            return 0x6982;
        }
        let Some(new) = new else { return 0x6A80 };
        self.pins.insert((self.app, fid), (new.as_bytes().to_vec(), pin.2));
        0x9000
    }
}
