//! What an answer to reset says about a card (ISO/IEC 7816-3 §8.2, ISO/IEC 7816-4 §12.1.1).

/// The historical bytes, or none if the ATR is broken.
fn historical_bytes(atr: &[u8]) -> Option<&[u8]> {
    let (&format, mut rest) = atr.get(1..)?.split_first()?;
    let count = usize::from(format & 0x0F);
    // Each TD announces the next group of interface bytes.
    let mut announced = format >> 4;
    while announced != 0 {
        let group = rest.get(..announced.count_ones() as usize)?;
        rest = rest.get(group.len()..)?;
        announced = if announced & 0x08 != 0 { group.last()? >> 4 } else { 0 };
    }
    rest.get(..count)
}

/// Does the card say of itself that it takes extended Lc and Le fields? Third table of software functions, bit 7 (ISO/IEC
/// 7816-4 §12.1.1.9).
pub(crate) fn announces_extended_length(atr: &[u8]) -> bool {
    const EXTENDED_LENGTH: u8 = 0x40;
    card_capabilities(atr).and_then(|tables| tables.get(2)).is_some_and(|third| third & EXTENDED_LENGTH != 0)
}

/// The data object "card capabilities" (COMPACT-TLV 7X) among the historical bytes.
fn card_capabilities(atr: &[u8]) -> Option<&[u8]> {
    const CARD_CAPABILITIES: u8 = 0x7;
    let (category, objects) = historical_bytes(atr)?.split_first()?;
    let mut objects = match category {
        0x80 => objects,
        // Three bytes of status information follow at the end.
        0x00 => objects.get(..objects.len().checked_sub(3)?)?,
        _ => return None,
    };
    while let Some((header, rest)) = objects.split_first() {
        let value = rest.get(..usize::from(header & 0x0F))?;
        if header >> 4 == CARD_CAPABILITIES {
            return Some(value);
        }
        objects = rest.get(value.len()..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_says_whether_it_takes_extended_length() {
        let announcing: &[&[u8]] = &[
            // 80 31 C0 73 C0 01 40: service data, card capabilities C0 01 40
            &[0x3B, 0x87, 0x80, 0x01, 0x80, 0x31, 0xC0, 0x73, 0xC0, 0x01, 0x40, 0x00],
            // The same behind TA1, TD1 (T=1), TA2, TB2
            &[0x3B, 0x95, 0x18, 0x31, 0xFE, 0x45, 0x80, 0x73, 0xC0, 0x01, 0xC0, 0x00],
            // Category 00: status information at the end
            &[0x3B, 0x08, 0x00, 0x73, 0xC0, 0x01, 0x40, 0x05, 0x90, 0x00],
        ];
        for atr in announcing {
            assert!(announces_extended_length(atr), "{atr:02X?}");
        }
        let silent: &[&[u8]] = &[
            // 個人番号カード: no historical bytes
            &[0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14],
            // Chaining, but no extended length
            &[0x3B, 0x87, 0x80, 0x01, 0x80, 0x31, 0xC0, 0x73, 0xC0, 0x01, 0x80, 0x00],
            // Two tables only
            &[0x3B, 0x06, 0x80, 0x31, 0xC0, 0x72, 0xC0, 0x40],
            // The bytes 73 C0 01 40 as part of another object
            &[0x3B, 0x06, 0x80, 0x54, 0x73, 0xC0, 0x01, 0x40],
            // A proprietary category
            &[0x3B, 0x05, 0xC1, 0x73, 0xC0, 0x01, 0x40],
        ];
        for atr in silent {
            assert!(!announces_extended_length(atr), "{atr:02X?}");
        }
    }

    #[test]
    fn a_broken_atr_announces_nothing() {
        let whole = [0x3B, 0x95, 0x18, 0x31, 0xFE, 0x45, 0x80, 0x73, 0xC0, 0x01, 0xC0, 0x00];
        for length in 0..whole.len() - 1 {
            assert!(!announces_extended_length(&whole[..length]), "{length}");
        }
        assert!(!announces_extended_length(&[0xFF; 33]));
    }
}
