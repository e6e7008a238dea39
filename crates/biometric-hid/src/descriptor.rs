//! HID report descriptors, as far as a device of reports of one size needs them.

/// What a report descriptor says about a device's reports (USB HID 1.11 §6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportDescriptor {
    /// Usage page of the first collection.
    pub usage_page: u16,
    /// Bytes in a report, in each direction.
    pub report_size: usize,
}

/// Not the descriptor of a device that can be a palm sensor: malformed, with report IDs, or with reports of different sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the report descriptor of a palm sensor")]
pub struct UnsuitableDescriptor;

/// Items, without the two bits that tell their length (§6.2.2.4, §6.2.2.7, §6.2.2.8).
mod item {
    pub(super) const INPUT: u8 = 0x80;
    pub(super) const OUTPUT: u8 = 0x90;
    pub(super) const COLLECTION: u8 = 0xA0;
    pub(super) const USAGE_PAGE: u8 = 0x04;
    pub(super) const REPORT_SIZE: u8 = 0x74;
    pub(super) const REPORT_ID: u8 = 0x84;
    pub(super) const REPORT_COUNT: u8 = 0x94;
    /// A long item, which no version of HID uses (§6.2.2.3).
    pub(super) const LONG: u8 = 0xFE;
}

/// More than any device has: the largest report has 8,192 bytes (Linux, `HID_MAX_BUFFER_SIZE`).
const MOST_BITS: u64 = 8 * 8_192;

impl ReportDescriptor {
    /// Reads a descriptor.
    ///
    /// # Errors
    /// [`UnsuitableDescriptor`].
    pub fn parse(mut descriptor: &[u8]) -> Result<Self, UnsuitableDescriptor> {
        let (mut page, mut size, mut count) = (0, 0, 0);
        let mut usage_page = None;
        let (mut bits_in, mut bits_out) = (0_u64, 0_u64);
        while let Some((&prefix, rest)) = descriptor.split_first() {
            if prefix == item::LONG {
                return Err(UnsuitableDescriptor);
            }
            let length = [0, 1, 2, 4][usize::from(prefix & 3)];
            let (data, rest) = rest.split_at_checked(length).ok_or(UnsuitableDescriptor)?;
            descriptor = rest;
            let value = data.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
            match prefix & 0xFC {
                item::USAGE_PAGE => page = value,
                item::REPORT_SIZE => size = value,
                item::REPORT_COUNT => count = value,
                item::REPORT_ID => return Err(UnsuitableDescriptor),
                item::COLLECTION => {
                    usage_page.get_or_insert(page);
                }
                item::INPUT => bits_in += u64::from(size) * u64::from(count),
                item::OUTPUT => bits_out += u64::from(size) * u64::from(count),
                _ => {}
            }
            if bits_in.max(bits_out) > MOST_BITS {
                return Err(UnsuitableDescriptor);
            }
        }
        if bits_in != bits_out || bits_in % 8 != 0 || bits_in == 0 {
            return Err(UnsuitableDescriptor);
        }
        let usage_page = usage_page.and_then(|page| u16::try_from(page).ok()).ok_or(UnsuitableDescriptor)?;
        Ok(Self { usage_page, report_size: usize::try_from(bits_in / 8).map_err(|_| UnsuitableDescriptor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_palm_sensor::uhid::report_descriptor;

    #[test]
    fn the_size_of_a_report_is_read_and_not_assumed() {
        for report_size in [64, 512, 1024] {
            let parsed = ReportDescriptor::parse(&report_descriptor(report_size));
            assert_eq!(parsed, Ok(ReportDescriptor { usage_page: 0xFF00, report_size }));
        }
    }

    #[test]
    fn what_is_no_palm_sensor_is_told() {
        // A boot keyboard (USB HID 1.11 §B.1): 8 bytes in, 1 byte out.
        let keyboard = [
            0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01,
            0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01,
            0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65,
            0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xC0,
        ];
        assert_eq!(ReportDescriptor::parse(&keyboard), Err(UnsuitableDescriptor));
        let good = report_descriptor(64);
        for length in 0..good.len() {
            // Cut anywhere: refused, or what is missing says nothing about reports.
            let cut = ReportDescriptor::parse(&good[..length]);
            assert!(cut.is_err() || length >= good.len() - 2, "cut to {length} bytes: {cut:?}");
        }
        let with_id = [&good[..7], &[0x85, 0x01], &good[7..]].concat();
        assert_eq!(ReportDescriptor::parse(&with_id), Err(UnsuitableDescriptor));
        let endless = [0x75, 0xFF, 0x97, 0xFF, 0xFF, 0xFF, 0xFF, 0xA1, 0x01, 0x81, 0x02, 0x91, 0x02];
        assert_eq!(ReportDescriptor::parse(&endless), Err(UnsuitableDescriptor));
    }
}
