//! Checkpoints: those of public logs verify, ours read back, and whatever is changed is refused.

use audit_log::{KeyFault, LogKey, NoteError, SignatureFault, SignedCheckpoint, TreeHash};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::common::Notary;

/// Keys of public logs, and checkpoints that they have signed (transparency-dev/formats, sigstore).
const REKOR: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==";
const REKOR_NOTE: &str = "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n\
    — rekor.sigstore.dev wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxwWBHHufk=\n";
/// With an extension line.
const REKOR_EXTENDED: &str = "rekor.sigstore.dev - 2605736670972794746\n21428036\nrxnoKyFZlJ7/R6bMh/d3lcqwKqAy5CL1LcNBJP17kgQ=\n\
    Timestamp: 1688058656037355364\n\n\
    — rekor.sigstore.dev wNI9ajBFAiEAuDk7uu5Ae8Own/MjhSZNuVzbLuYH2jBMxbSA0WaNDNACIDV4reKpYiOpkwtvazCClnpUuduF2o/th2xR3gRZAUU4\n";
const PIXEL: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE37jHQmTXJPC8sUj0Dg0N0ZlxfRqJZV1YzlclXLQzhVYPcC/JblDoez0DSZwOSlShiCf4oo83MULQfec3erolDw==";
const PIXEL_NOTE: &str = "DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n\
    — pixel6_transparency_log kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB06/+g5O1FmYjXl06owL4\n";

fn public(name: &str, spki: &str) -> LogKey {
    LogKey::new(name, &STANDARD.decode(spki).unwrap()).unwrap()
}

#[test]
fn checkpoints_of_public_logs_verify() {
    let rekor = public("rekor.sigstore.dev", REKOR);
    let pixel = public("pixel6_transparency_log", PIXEL);
    assert_eq!((rekor.id().to_string(), pixel.id().to_string()), ("c0d23d6a".into(), "91c16e30".into()));
    for (note, key, other, origin, size) in [
        (REKOR_NOTE, &rekor, &pixel, "Rekor", 798_034),
        (REKOR_EXTENDED, &rekor, &pixel, "rekor.sigstore.dev - 2605736670972794746", 21_428_036),
        (PIXEL_NOTE, &pixel, &rekor, "DEFAULT", 10),
    ] {
        let read: SignedCheckpoint = note.parse().unwrap();
        let checkpoint = read.verify(key).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), (origin, size));
        assert!(note.contains(&STANDARD.encode(checkpoint.root.0)));
        assert_eq!(read.to_string(), note);
        assert_eq!(read.verify(other), Err(SignatureFault::NotSigned(other.id())));
    }
    let renamed = public("rekor.example", REKOR);
    let read: SignedCheckpoint = REKOR_NOTE.parse().unwrap();
    assert_eq!(read.verify(&renamed), Err(SignatureFault::NotSigned(renamed.id())));
}

const ORIGIN: &str = "madoguchi.example/terminal-1";

fn key(seed: u8) -> LogKey {
    Notary::new(seed, ORIGIN).key
}

fn sign(seed: u8, size: u64, root: TreeHash) -> SignedCheckpoint {
    Notary::new(seed, ORIGIN).sign(size, root)
}

#[test]
fn ours_are_written_as_the_specification_says() {
    let key = key(1);
    for size in [0, 1, 9, 10, 12_345, u64::MAX] {
        let signed = sign(1, size, TreeHash([0xff; 32]));
        let note = signed.to_string();
        let text = format!("madoguchi.example/terminal-1\n{size}\n//////////////////////////////////////////8=\n\n— ");
        assert!(note.starts_with(&text), "{note}");
        let read: SignedCheckpoint = note.parse().unwrap();
        assert_eq!(read, signed);
        let checkpoint = read.verify(&key).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (size, TreeHash([0xff; 32])));
    }
}

#[test]
fn every_changed_bit_is_found() {
    let key = key(1);
    let note = sign(1, 1000, TreeHash([0x5a; 32])).to_string().into_bytes();
    for bit in 0..note.len() * 8 {
        let mut changed = note.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let read = std::str::from_utf8(&changed).ok().and_then(|text| text.parse::<SignedCheckpoint>().ok());
        assert!(read.is_none_or(|read| read.verify(&key).is_err()), "bit {bit}: {}", String::from_utf8_lossy(&changed));
    }
    for length in 0..note.len() {
        let read = std::str::from_utf8(&note[..length]).ok().and_then(|text| text.parse::<SignedCheckpoint>().ok());
        assert!(read.is_none(), "cut to {length} bytes");
    }
}

/// A second signer's line is ignored; a wrong line of the known key spoils the note, even beside a right one.
#[test]
fn several_signatures_are_told_apart() {
    let known = key(1);
    let stranger = key(2);
    let right = sign(1, 5, TreeHash([1; 32])).to_string();
    let strangers = sign(2, 5, TreeHash([1; 32])).to_string();
    let wrong = sign(1, 6, TreeHash([1; 32])).to_string();
    let line = |note: &str| note.lines().last().unwrap().to_owned() + "\n";
    let verify = |note: String, key: &LogKey| {
        let read: SignedCheckpoint = note.parse().unwrap();
        read.verify(key).map(|checkpoint| checkpoint.size)
    };
    let both = right.clone() + &line(&strangers);
    assert_eq!(verify(both.clone(), &known), Ok(5));
    assert_eq!(verify(both, &stranger), Ok(5));
    assert_eq!(verify(strangers, &known), Err(SignatureFault::NotSigned(known.id())));
    assert_eq!(verify(right + &line(&wrong), &known), Err(SignatureFault::Wrong(known.id())));
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let good = sign(1, 1000, TreeHash([0x5a; 32])).to_string();
    let root = STANDARD.encode([0x5a; 32]);
    let parse = |note: &str| note.parse::<SignedCheckpoint>().map(drop).unwrap_err();
    let line = |from: &str, to: &str| {
        assert!(good.contains(from));
        parse(&good.replacen(from, to, 1))
    };
    assert_eq!(line("\n1000\n", "\n01000\n"), NoteError::CheckpointLine(2));
    assert_eq!(line("\n1000\n", "\n+1000\n"), NoteError::CheckpointLine(2));
    assert_eq!(line("\n1000\n", "\n18446744073709551616\n"), NoteError::CheckpointLine(2));
    assert_eq!(line("\n1000\n", "\n\n"), NoteError::CheckpointLine(2));
    assert_eq!(line("madoguchi.example/terminal-1\n1000", "\n1000"), NoteError::CheckpointLine(1));
    assert_eq!(line(&root, "AAAA"), NoteError::CheckpointLine(3));
    assert_eq!(line(&root, &root[1..]), NoteError::CheckpointLine(3));
    assert_eq!(line(&format!("{root}\n"), ""), NoteError::CheckpointLine(3));
    assert_eq!(line(&format!("{root}\n"), &format!("{root}\nextension\n\nmore\n")), NoteError::CheckpointLine(5));
    assert_eq!(line("1000\n", "1000\r\n"), NoteError::Form);
    assert_eq!(line("— ", "- "), NoteError::SignatureLine(1));
    assert_eq!(line("— madoguchi", "— mado+guchi"), NoteError::SignatureLine(1));
    assert_eq!(parse(""), NoteError::Form);
    assert_eq!(parse("\n\n"), NoteError::Form);
    assert_eq!(parse(&(good.clone() + "\n")), NoteError::Form);
    assert_eq!(parse(&good.repeat(1000)), NoteError::TooLong);
}

#[test]
fn keys_that_can_not_sign_notes_are_refused() {
    let key = key(1);
    for name in ["", "two words", "a+b", "tab\t", "full\u{3000}width"] {
        assert_eq!(LogKey::new(name, key.spki()), Err(KeyFault::Name), "{name:?}");
    }
    assert_eq!(LogKey::new("name", &key.spki()[1..]), Err(KeyFault::PublicKey));
    assert_eq!(LogKey::new("name", b""), Err(KeyFault::PublicKey));
}
