//! What a reader says of itself: properties of PC/SC part 10 ("IFDs with Secure PIN Entry Capabilities" 2.02.09).

use pcsc::Card;

/// `CM_IOCTL_GET_FEATURE_REQUEST` (§2.2): which features, each with its control code.
const GET_FEATURE_REQUEST: u32 = 3400;
/// `FEATURE_GET_TLV_PROPERTIES` (§2.3), a list of tag, length 4, control code, big-endian.
const GET_TLV_PROPERTIES: u8 = 0x12;
/// `dwMaxAPDUDataSize` (§2.6.14), little-endian: 0 for "not said", 256 for short APDUs only.
const MAX_APDU_DATA_SIZE: u8 = 0x0A;

/// The longest APDU in bytes that reader and driver carry, if they say.
pub(crate) fn max_apdu_size(card: &Card) -> Option<usize> {
    let mut buffer = [0; 512];
    let features = card.control(pcsc::ctl_code(GET_FEATURE_REQUEST.into()), &[], &mut buffer).ok()?;
    let code = u32::from_be_bytes(find(features, GET_TLV_PROPERTIES)?.try_into().ok()?);
    let properties = card.control(code.into(), &[], &mut buffer).ok()?;
    max_size(properties)
}

fn max_size(properties: &[u8]) -> Option<usize> {
    let size = u32::from_le_bytes(find(properties, MAX_APDU_DATA_SIZE)?.try_into().ok()?);
    usize::try_from(size).ok().filter(|&size| size > 0)
}

/// The value of the first object with this tag: tags and lengths have one byte each.
fn find(mut objects: &[u8], tag: u8) -> Option<&[u8]> {
    while let [found, length, rest @ ..] = objects {
        let (value, next) = rest.split_at_checked(usize::from(*length))?;
        if *found == tag {
            return Some(value);
        }
        objects = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_found_among_the_properties() {
        // wLcdLayout, bMaxPINSize, dwMaxAPDUDataSize, wIdVendor
        let long = [0x01, 2, 0, 0, 0x07, 1, 8, 0x0A, 4, 0, 0, 1, 0, 0x0B, 2, 0xE6, 0x04];
        assert_eq!(max_size(&long), Some(65_536));
        assert_eq!(max_size(&[0x0A, 4, 0, 1, 0, 0]), Some(256));
        assert_eq!(max_size(&[0x0A, 4, 0, 0, 0, 0]), None, "not said");
        assert_eq!(max_size(&long[..7]), None);
        assert_eq!(max_size(&[0x0A, 2, 0, 1]), None);
        assert_eq!(max_size(&[0x07, 9, 1]), None, "cut off");
        assert_eq!(
            find(&[0x06, 4, 0x42, 0x33, 0, 6, 0x12, 4, 0x42, 0x33, 0, 18], 0x12),
            Some(&[0x42, 0x33, 0, 18][..])
        );
    }
}
