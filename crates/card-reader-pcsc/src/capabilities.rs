//! What card and reader can do together, and how it is found out.

use card_reader::CardCapabilities;
use zeroize::Zeroizing;

use crate::atr;
use crate::line::Opened;

/// Header, Lc, 255 bytes of data, Le (ISO/IEC 7816-4 §5.1).
const LONGEST_SHORT: usize = 4 + 1 + 255 + 1;
/// The longest command that every layer below passes: frames of drivers count in two bytes.
const LONGEST_EXTENDED: usize = 65_535;

/// Are extended-length APDUs used?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendedLength {
    /// If the card announces them in the historical bytes of its ATR (ISO/IEC 7816-4 §12.1.1.9), the protocol is not T=0, and
    /// the reader does not say that it takes short APDUs only (PC/SC part 10, `dwMaxAPDUDataSize`). A card that says nothing, as
    /// the 個人番号カード does, gets short APDUs and chains of them, which every card takes.
    #[default]
    Auto,
    /// Never.
    Never,
    /// For a site that knows its cards and readers: always, up to this length of a whole command in bytes.
    UpTo(u16),
}

impl ExtendedLength {
    pub(crate) fn capabilities(self, card: &Opened) -> CardCapabilities {
        let max = match self {
            Self::Never => LONGEST_SHORT,
            Self::UpTo(max) => max.into(),
            Self::Auto if card.protocol == Some(pcsc::Protocol::T0) => LONGEST_SHORT,
            Self::Auto if !atr::announces_extended_length(&card.atr) => LONGEST_SHORT,
            Self::Auto => card.reader_max.unwrap_or(LONGEST_EXTENDED).min(LONGEST_EXTENDED),
        };
        if max > LONGEST_SHORT {
            CardCapabilities { extended_length: true, max_command: max }
        } else {
            CardCapabilities { extended_length: false, max_command: LONGEST_SHORT }
        }
    }
}

/// Takes Le off a short command that has data, too.
pub(crate) fn drop_le(command: &mut Zeroizing<Vec<u8>>) {
    if let [_, _, _, _, lc, data @ ..] = command.as_slice()
        && *lc > 0
        && data.len() == usize::from(*lc) + 1
    {
        command.pop();
    }
}

#[cfg(test)]
mod tests {
    use pcsc::Protocol;

    use super::*;

    #[test]
    fn extended_length_takes_card_protocol_and_reader() {
        const ANNOUNCING: &[u8] = &[0x3B, 0x87, 0x80, 0x01, 0x80, 0x31, 0xC0, 0x73, 0xC0, 0x01, 0x40, 0x00];
        const SILENT: &[u8] = &[0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14];
        let max = |how: ExtendedLength, atr: &[u8], protocol, reader_max| {
            let capabilities = how.capabilities(&Opened { atr: atr.to_vec(), protocol: Some(protocol), reader_max });
            assert_eq!(capabilities.extended_length, capabilities.max_command > 261);
            capabilities.max_command
        };
        let auto = ExtendedLength::Auto;
        assert_eq!(max(auto, ANNOUNCING, Protocol::T1, None), 65_535);
        assert_eq!(max(auto, ANNOUNCING, Protocol::T1, Some(65_544)), 65_535);
        assert_eq!(max(auto, ANNOUNCING, Protocol::T1, Some(2_048)), 2_048);
        assert_eq!(max(auto, ANNOUNCING, Protocol::T1, Some(256)), 261);
        assert_eq!(max(auto, ANNOUNCING, Protocol::T0, None), 261);
        assert_eq!(max(auto, SILENT, Protocol::T1, Some(65_544)), 261);
        assert_eq!(max(ExtendedLength::Never, ANNOUNCING, Protocol::T1, None), 261);
        assert_eq!(max(ExtendedLength::UpTo(1_000), SILENT, Protocol::T1, Some(256)), 1_000);
        assert_eq!(max(ExtendedLength::UpTo(100), SILENT, Protocol::T1, None), 261);
    }

    #[test]
    fn only_a_command_with_data_and_le_loses_le() {
        for (command, expected) in [
            (&[0, 0xA4, 4, 0][..], 4),
            (&[0, 0xB0, 0, 0, 0], 5),
            (&[0, 0xB0, 0, 0, 1], 5),
            (&[0, 0xA4, 4, 0, 1, 7], 6),
            (&[0, 0xA4, 4, 0, 1, 7, 0], 6),
        ] {
            let mut bytes = Zeroizing::new(command.to_vec());
            drop_le(&mut bytes);
            assert_eq!(bytes.len(), expected, "{command:02X?}");
        }
    }
}
