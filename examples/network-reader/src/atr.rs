//! What a card says of itself in its answer to reset.

/// Category indicator: the historical bytes are data objects in COMPACT-TLV (ISO/IEC 7816-4 §8.1.1.2).
const COMPACT_TLV: u8 = 0x80;
/// The data object "card capabilities", three bytes long (§8.1.1.2.7).
const CARD_CAPABILITIES: u8 = 0x73;
/// Bit 7 of its third byte: extended Lc and Le fields.
const EXTENDED_LENGTH: u8 = 0x40;

/// Does the card say that it understands commands of extended length? A card that says nothing gets short ones.
pub(crate) fn says_extended_length(atr: &[u8]) -> bool {
    let Some(mut objects) = historical_bytes(atr).and_then(|bytes| bytes.strip_prefix(&[COMPACT_TLV])) else {
        return false;
    };
    while let Some((&head, rest)) = objects.split_first() {
        let Some((value, rest)) = rest.split_at_checked(usize::from(head & 0x0F)) else { return false };
        if let (CARD_CAPABILITIES, &[_, _, third]) = (head, value) {
            return third & EXTENDED_LENGTH != 0;
        }
        objects = rest;
    }
    false
}

/// The historical bytes: so many as the low half of T0 says, after the interface bytes (ISO/IEC 7816-3 §8.2).
fn historical_bytes(atr: &[u8]) -> Option<&[u8]> {
    let (&[_, t0], mut rest) = atr.split_first_chunk::<2>()?;
    // The high half of T0, and of each TDi, says which of TA, TB, TC and TD follow.
    let mut announces = t0;
    while announces & 0xF0 != 0 {
        let (interface, after) = rest.split_at_checked((announces >> 4).count_ones() as usize)?;
        rest = after;
        announces = if announces & 0x80 != 0 { *interface.last()? } else { 0 };
    }
    rest.get(..usize::from(t0 & 0x0F))
}

#[cfg(test)]
mod tests {
    use super::says_extended_length;

    #[test]
    fn only_a_card_that_says_so_gets_extended_commands() {
        // The card since 2016: no historical bytes. A contactless card without capabilities; one whose ATR is cut.
        let cards: [&[u8]; 5] = [
            &[0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14],
            &[0x3B, 0x80, 0x80, 0x01, 0x01],
            &[0x3B, 0xF8, 0x13, 0x00],
            &[0x3B, 0x84, 0x80, 0x01, 0x80, 0x73, 0xC0, 0x40],
            &[0x3B, 0x85, 0x80, 0x01, 0x80, 0x73, 0xC0, 0x01, 0x80, 0x17],
        ];
        for atr in cards {
            assert!(!says_extended_length(atr), "{atr:02X?}");
        }
        assert!(says_extended_length(&[0x3B, 0x85, 0x80, 0x01, 0x80, 0x73, 0xC0, 0x01, 0x40, 0xD7]));
        assert!(says_extended_length(&[0x3B, 0x07, 0x80, 0x31, 0xC0, 0x73, 0x00, 0x00, 0x40]));
    }
}
