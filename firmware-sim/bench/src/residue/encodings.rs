//! The encodings in which a text may lie around.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use encoding_rs::{EUC_JP, SHIFT_JIS};
use flate2::read::{GzDecoder, ZlibDecoder};
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::{Found, Sought};

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
}

impl Encoding {
    /// All of them.
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
            Self::Utf8 => text.as_bytes().to_vec(),
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
            Self::Compressed => Vec::new(),
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
    traces: Vec<(usize, Encoding, Finder<'static>)>,
    labels: Vec<String>,
}

/// Shorter traces are found by chance.
const SHORTEST: usize = 6;
/// How far into a compressed stream the search goes.
const INFLATED: u64 = 4 << 20;

impl Needles {
    /// Prepares a search.
    #[must_use]
    pub fn new(sought: &[Sought]) -> Self {
        let mut traces = Vec::new();
        for (index, sought) in sought.iter().enumerate() {
            for encoding in Encoding::ALL {
                for trace in encoding.traces(&sought.value) {
                    // An ASCII text is the same in several encodings; one name for it is enough.
                    let known = traces.iter().any(|(i, _, finder): &(usize, Encoding, Finder<'static>)| {
                        *i == index && finder.needle() == trace
                    });
                    if trace.len() >= SHORTEST && !known {
                        traces.push((index, encoding, Finder::new(&trace).into_owned()));
                    }
                }
            }
        }
        Self { traces, labels: sought.iter().map(|sought| sought.label.clone()).collect() }
    }

    /// Searches `content`, and every compressed stream in it.
    pub fn search(&self, content: &[u8], place: &str, found: &mut Vec<Found>) {
        for (index, encoding, finder) in &self.traces {
            if finder.find(content).is_some() {
                self.note(*index, *encoding, place, found);
            }
        }
        for stream in compressed_streams(content) {
            for (index, _, finder) in &self.traces {
                if finder.find(&stream).is_some() {
                    self.note(*index, Encoding::Compressed, place, found);
                }
            }
        }
    }

    fn note(&self, index: usize, encoding: Encoding, place: &str, found: &mut Vec<Found>) {
        let found_now = Found { label: self.labels[index].clone(), encoding, place: place.into() };
        if !found.contains(&found_now) {
            found.push(found_now);
        }
    }
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
    use zeroize::Zeroizing;

    #[test]
    fn a_text_is_found_in_every_encoding_and_under_its_label() {
        let text = "東京都みどり区架空町";
        let needles = Needles::new(&[Sought { label: "住所".into(), value: Zeroizing::new(text.into()) }]);
        for encoding in Encoding::ALL {
            let content = [&b"before "[..], &encoding.encode(text), b" after"].concat();
            let mut found = Vec::new();
            needles.search(&content, "here", &mut found);
            let expected = Found { label: "住所".into(), encoding, place: "here".into() };
            assert!(found.contains(&expected), "{encoding:?}: {found:?}");
        }
        let mut found = Vec::new();
        needles.search("東京都みどり区実在町".as_bytes(), "here", &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn base64_is_found_wherever_it_begins() {
        let needles = Needles::new(&[Sought { label: "PIN".into(), value: Zeroizing::new("BD4K7M2P9R".into()) }]);
        for before in ["", "a", "ab", "abc"] {
            let content = STANDARD_NO_PAD.encode(format!("{before}BD4K7M2P9R and more"));
            let mut found = Vec::new();
            needles.search(content.as_bytes(), "here", &mut found);
            assert_eq!(found.len(), 1, "after {before:?}");
        }
    }
}
