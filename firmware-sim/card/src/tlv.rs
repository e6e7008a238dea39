//! BER-TLV with DER lengths, as the card's templates use it.

/// Appends tag, length and value. A tag is one byte, or two if its high byte is not zero.
pub(crate) fn push(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    if tag > 0xFF {
        out.push((tag >> 8) as u8);
    }
    out.push(tag as u8);
    match value.len() {
        short @ 0..=0x7F => out.push(short as u8),
        byte @ 0x80..=0xFF => out.extend([0x81, byte as u8]),
        word => {
            out.push(0x82);
            out.extend((word as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}

/// Appends tag, length and value as the files of the real card have them: lengths from 128 on in two bytes.
pub(crate) fn push_in_file(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    if tag > 0xFF {
        out.push((tag >> 8) as u8);
    }
    out.push(tag as u8);
    if value.len() < 0x80 {
        out.push(value.len() as u8);
    } else {
        out.push(0x82);
        out.extend((value.len() as u16).to_be_bytes());
    }
    out.extend_from_slice(value);
}

/// Splits `bytes` into the value of the object with the one-byte `tag` and what follows. `None` if there is another
/// tag, or the length is not in DER or leads beyond the end.
pub(crate) fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (length, rest) = match *rest {
        [short @ 0..=0x7F, ref rest @ ..] => (usize::from(short), rest),
        [0x81, byte @ 0x80..=0xFF, ref rest @ ..] => (usize::from(byte), rest),
        [0x82, hi @ 1..=0xFF, lo, ref rest @ ..] => (usize::from(u16::from_be_bytes([hi, lo])), rest),
        _ => return None,
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}

/// The same for a tag of one byte or, if its high byte is not zero, of two.
pub(crate) fn take_wide(bytes: &[u8], tag: u16) -> Option<(&[u8], &[u8])> {
    let [high, low] = tag.to_be_bytes();
    if high == 0 {
        return take(bytes, low);
    }
    bytes.split_first().filter(|(first, _)| **first == high).and_then(|(_, rest)| take(rest, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_taken_again() {
        for length in [0, 1, 127, 128, 255, 256, 4096] {
            let value = vec![0xA5; length];
            let mut out = Vec::new();
            push(&mut out, 0xE2, &value);
            out.push(0x55);
            assert_eq!(take(&out, 0xE2), Some((value.as_slice(), [0x55].as_slice())), "{length}");
            assert_eq!(take(&out, 0xE3), None);
            assert_eq!(take(&out[..length.max(1)], 0xE2), None);
        }
    }

    #[test]
    fn lengths_that_are_not_der_are_refused() {
        assert_eq!(take(&[0x80, 0x81, 0x01, 0x00], 0x80), None);
        assert_eq!(take(&[0x80, 0x82, 0x00, 0x01, 0x00], 0x80), None);
        assert_eq!(take(&[0x80, 0x80, 0x00, 0x00], 0x80), None);
    }
}
