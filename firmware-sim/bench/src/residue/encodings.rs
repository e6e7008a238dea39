//! The encodings in which a text may lie around.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use encoding_rs::{EUC_JP, SHIFT_JIS};
use flate2::read::{GzDecoder, ZlibDecoder};
use serde::{Deserialize, Serialize};

use super::{Found, SearchError, Sought, Value};

/// An encoding that the search knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8, and with it what DER calls UTF8String, PrintableString and OCTET STRING.
    Utf8,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian: DER's BMPString.
    Utf16Be,
    /// Shift_JIS.
    ShiftJis,
    /// EUC-JP.
    EucJp,
    /// Hexadecimal digits of the UTF-8 bytes.
    Hex,
    /// Base64 of the UTF-8 bytes, wherever they begin in a group of three.
    Base64,
    /// UTF-8 inside a zlib or gzip stream.
    Compressed,
    /// Bytes as they are, in either order, or in hexadecimal or base64, of something that is no text.
    Bytes,
}

impl Encoding {
    /// All encodings of texts.
    pub const ALL: [Self; 8] = [
        Self::Utf8,
        Self::Utf16Le,
        Self::Utf16Be,
        Self::ShiftJis,
        Self::EucJp,
        Self::Hex,
        Self::Base64,
        Self::Compressed,
    ];

    /// `text` in this encoding, as a canary lies around.
    #[must_use]
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 | Self::Bytes => text.as_bytes().to_vec(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::ShiftJis => SHIFT_JIS.encode(text).0.into_owned(),
            Self::EucJp => EUC_JP.encode(text).0.into_owned(),
            Self::Hex => hex::encode(text).into_bytes(),
            Self::Base64 => STANDARD_NO_PAD.encode(format!("x{text}")).into_bytes(),
            Self::Compressed => {
                let mut stream = Vec::new();
                let mut encoder = flate2::read::ZlibEncoder::new(text.as_bytes(), flate2::Compression::default());
                // Reading from a slice does not fail.
                let _ = encoder.read_to_end(&mut stream);
                stream
            }
        }
    }

    /// The byte strings that give `text` away when they are found.
    fn traces(self, text: &str) -> Vec<Vec<u8>> {
        match self {
            Self::ShiftJis | Self::EucJp => {
                let (bytes, _, replaced) = if self == Self::ShiftJis { SHIFT_JIS } else { EUC_JP }.encode(text);
                // A text that this encoding can't write can't lie around in it.
                if replaced { Vec::new() } else { vec![bytes.into_owned()] }
            }
            Self::Hex => vec![hex::encode(text).into_bytes(), hex::encode_upper(text).into_bytes()],
            Self::Base64 => base64_traces(text.as_bytes()),
            Self::Compressed | Self::Bytes => Vec::new(),
            Self::Utf8 | Self::Utf16Le | Self::Utf16Be => vec![self.encode(text)],
        }
    }
}

/// The characters of base64 that depend on these bytes alone, for the three places in a group at which they can begin.
fn base64_traces(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut traces = Vec::new();
    for shift in 0..3 {
        let shifted = [&b"\0\0\0"[..shift], bytes].concat();
        let whole = shifted.len() / 3 * 4;
        let skipped = [0, 2, 3][shift];
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&shifted);
            traces.push(text.as_bytes()[skipped..whole].to_vec());
        }
    }
    traces.sort();
    traces.dedup();
    traces
}

/// What is searched for, in every encoding.
pub struct Needles {
    labels: Vec<String>,
    /// Byte strings, with what they give away.
    traces: BTreeMap<Vec<u8>, (usize, Encoding)>,
    automaton: AhoCorasick,
}

/// Shorter traces are found by chance.
const SHORTEST: usize = 6;
/// How far into a compressed stream the search goes.
const INFLATED: u64 = 4 << 20;
/// Length of the samples that stand for something that is no text.
const SAMPLE: usize = 16;
/// How many samples stand for it.
const SAMPLES: usize = 8;

impl Needles {
    /// Prepares a search.
    ///
    /// # Errors
    /// [`SearchError::TooMuch`] if it is for too much.
    pub fn new(sought: &[Sought]) -> Result<Self, SearchError> {
        let mut needles = Self { labels: Vec::new(), traces: BTreeMap::new(), automaton: automaton([].iter())? };
        for sought in sought {
            let index = needles.labels.len();
            needles.labels.push(sought.label.clone());
            match &sought.value {
                Value::Text(text) => {
                    for encoding in Encoding::ALL {
                        encoding.traces(text).into_iter().for_each(|trace| needles.add(trace, index, encoding));
                    }
                }
                Value::Bytes(bytes) => {
                    for sample in samples(bytes) {
                        // Libraries keep numbers with their lowest byte first.
                        let reversed: Vec<u8> = sample.iter().rev().copied().collect();
                        let written = [hex::encode(sample).into_bytes(), hex::encode_upper(sample).into_bytes()];
                        let traces = [sample.to_vec(), reversed].into_iter().chain(written);
                        let traces = traces.chain(base64_traces(sample));
                        traces.for_each(|trace| needles.add(trace, index, Encoding::Bytes));
                    }
                }
            }
        }
        needles.automaton = automaton(needles.traces.keys())?;
        Ok(needles)
    }

    fn add(&mut self, trace: Vec<u8>, index: usize, encoding: Encoding) {
        if trace.len() >= SHORTEST {
            // An ASCII text is the same in several encodings; one name for it is enough.
            self.traces.entry(trace).or_insert((index, encoding));
        }
    }

    /// Searches `content`, and every compressed stream in it.
    pub fn search(&self, content: &[u8], place: &str, found: &mut Vec<Found>) {
        for (index, encoding) in self.hits(content) {
            self.note(index, encoding, place, found);
        }
        for stream in compressed_streams(content) {
            for (index, encoding) in self.hits(&stream) {
                let encoding = if encoding == Encoding::Bytes { encoding } else { Encoding::Compressed };
                self.note(index, encoding, place, found);
            }
        }
    }

    fn hits(&self, content: &[u8]) -> BTreeSet<(usize, Encoding)> {
        let patterns: BTreeSet<usize> =
            self.automaton.find_overlapping_iter(content).map(|hit| hit.pattern().as_usize()).collect();
        // Patterns are numbered in the order of the map.
        self.traces.values().enumerate().filter(|(id, _)| patterns.contains(id)).map(|(_, hit)| *hit).collect()
    }

    fn note(&self, index: usize, encoding: Encoding, place: &str, found: &mut Vec<Found>) {
        let found_now = Found { label: self.labels[index].clone(), encoding, place: place.into() };
        if !found.contains(&found_now) {
            found.push(found_now);
        }
    }
}

fn automaton<'a>(traces: impl Iterator<Item = &'a Vec<u8>>) -> Result<AhoCorasick, SearchError> {
    AhoCorasick::new(traces).map_err(|_| SearchError::TooMuch)
}

/// The pieces of `bytes` that can't be found by chance: those with the most different values, from all over it.
fn samples(bytes: &[u8]) -> Vec<&[u8]> {
    let pieces: Vec<&[u8]> = bytes.chunks_exact(SAMPLE).collect();
    let variety = |piece: &&[u8]| piece.iter().collect::<BTreeSet<_>>().len();
    let regions = pieces.chunks(pieces.len().div_ceil(SAMPLES).max(1));
    let best = regions.filter_map(|region| region.iter().copied().max_by_key(variety));
    best.filter(|piece| variety(piece) >= SAMPLE / 2).collect()
}

/// What comes out of everything that begins like a zlib (RFC 1950 §2.2) or gzip (RFC 1952 §2.3.1) stream.
fn compressed_streams(content: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let starts = memchr::memchr2_iter(0x78, 0x1F, content);
    starts.filter_map(|start| {
        let mut inflated = Vec::new();
        match content[start..] {
            [0x78, flags, ..] if (0x7800 + u16::from(flags)) % 31 == 0 && flags & 0x20 == 0 => {
                // A stream that breaks off gives what it held until then.
                let _ = ZlibDecoder::new(&content[start..]).take(INFLATED).read_to_end(&mut inflated);
            }
            [0x1F, 0x8B, 0x08, ..] => {
                let _ = GzDecoder::new(&content[start..]).take(INFLATED).read_to_end(&mut inflated);
            }
            _ => {}
        }
        (inflated.len() >= SHORTEST).then_some(inflated)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(label: &str, value: Value) -> Needles {
        Needles::new(&[Sought { label: label.into(), value }]).unwrap()
    }

    fn found(needles: &Needles, content: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        needles.search(content, "here", &mut found);
        found
    }

    #[test]
    fn a_text_is_found_in_every_encoding_and_under_its_label() {
        let text = "東京都みどり区架空町";
        let needles = needles("住所", Value::text(text));
        for encoding in Encoding::ALL {
            let content = [&b"before "[..], &encoding.encode(text), b" after"].concat();
            let expected = Found { label: "住所".into(), encoding, place: "here".into() };
            assert!(found(&needles, &content).contains(&expected), "{encoding:?}");
        }
        assert!(found(&needles, "東京都みどり区実在町".as_bytes()).is_empty());
    }

    #[test]
    fn base64_is_found_wherever_it_begins() {
        let needles = needles("PIN", Value::text("BD4K7M2P9R"));
        for before in ["", "a", "ab", "abc"] {
            let content = STANDARD_NO_PAD.encode(format!("{before}BD4K7M2P9R and more"));
            assert_eq!(found(&needles, content.as_bytes()).len(), 1, "after {before:?}");
        }
    }

    #[test]
    fn a_quarter_of_an_image_gives_it_away() {
        let image: Vec<u8> = (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let needles = needles("image", Value::bytes(&image));
        for quarter in image.chunks(1_024) {
            let reversed: Vec<u8> = quarter.iter().rev().copied().collect();
            for lying in [quarter.to_vec(), reversed, hex::encode(quarter).into_bytes()] {
                let content = [vec![0; 333], lying].concat();
                assert_eq!(
                    found(&needles, &content)[..1],
                    [Found { label: "image".into(), encoding: Encoding::Bytes, place: "here".into() }]
                );
            }
        }
        assert!(found(&needles, &vec![7; 4_096]).is_empty());
    }
}
