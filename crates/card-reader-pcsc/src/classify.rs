use card_reader::CardError;
use pcsc::Error;

/// The one place where codes of PC/SC get their meaning. What a code means only in the middle of something (a card that is
/// not there any more has been removed) is said by whoever was in the middle of it.
///
/// Of several readings the one of pcsc-lite is taken, which is what stands behind the library here:
/// `SCARD_F_COMM_ERROR` is its word for a lost line to the service, not for one to the card.
pub(crate) fn classify(error: Error) -> CardError {
    match error {
        Error::NoSmartcard => CardError::NoCard,
        Error::RemovedCard => CardError::Removed,
        Error::ResetCard => CardError::Reset,
        Error::SharingViolation | Error::ServerTooBusy => CardError::Busy,
        Error::Timeout | Error::WaitedTooLong => CardError::Timeout,
        Error::NotTransacted | Error::CommDataLost | Error::InsufficientBuffer => CardError::Garbled,
        Error::UnresponsiveCard | Error::UnpoweredCard | Error::NotReady => CardError::Mute,
        Error::UnsupportedCard | Error::CardUnsupported | Error::ProtoMismatch | Error::InvalidAtr => {
            CardError::UnsupportedCard
        }
        // A handle is invalid only if the service that gave it has been started anew.
        Error::ReaderUnavailable | Error::InvalidHandle => CardError::ReaderGone,
        Error::NoReadersAvailable | Error::UnknownReader => CardError::NoReader,
        Error::NoService | Error::ServiceStopped | Error::CommError | Error::Shutdown | Error::SystemCancelled => {
            CardError::NoService
        }
        Error::NoAccess | Error::SecurityViolation => CardError::NotAuthorized,
        // Trouble inside the service or its library, a mistake of ours, or words for cards with drivers of their own, which
        // only Windows knows.
        Error::InternalError
        | Error::Cancelled
        | Error::InvalidParameter
        | Error::InvalidTarget
        | Error::NoMemory
        | Error::UnknownCard
        | Error::CantDispose
        | Error::InvalidValue
        | Error::UnknownError
        | Error::PciTooSmall
        | Error::ReaderUnsupported
        | Error::DuplicateReader
        | Error::IccInstallation
        | Error::IccCreateorder
        | Error::UnsupportedFeature
        | Error::DirNotFound
        | Error::FileNotFound
        | Error::NoDir
        | Error::NoFile
        | Error::WriteTooMany
        | Error::BadSeek
        | Error::InvalidChv
        | Error::UnknownResMng
        | Error::NoSuchCertificate
        | Error::CertificateUnavailable
        | Error::NoKeyContainer
        | Error::WrongChv
        | Error::ChvBlocked
        | Error::Eof
        | Error::CancelledByUser
        | Error::CardNotAuthenticated
        | Error::CacheItemNotFound
        | Error::CacheItemStale
        | Error::CacheItemTooBig => CardError::Other(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::mem::discriminant;

    use madoguchi_time::Recovery;

    use super::*;

    /// Every code, as the specification numbers it, and what it must become; `None` is [`CardError::Other`].
    fn table() -> Vec<(u32, Error, Option<CardError>)> {
        use CardError as C;
        use Error as E;
        vec![
            (0x8010_0001, E::InternalError, None),
            (0x8010_0002, E::Cancelled, None),
            (0x8010_0003, E::InvalidHandle, Some(C::ReaderGone)),
            (0x8010_0004, E::InvalidParameter, None),
            (0x8010_0005, E::InvalidTarget, None),
            (0x8010_0006, E::NoMemory, None),
            (0x8010_0007, E::WaitedTooLong, Some(C::Timeout)),
            (0x8010_0008, E::InsufficientBuffer, Some(C::Garbled)),
            (0x8010_0009, E::UnknownReader, Some(C::NoReader)),
            (0x8010_000A, E::Timeout, Some(C::Timeout)),
            (0x8010_000B, E::SharingViolation, Some(C::Busy)),
            (0x8010_000C, E::NoSmartcard, Some(C::NoCard)),
            (0x8010_000D, E::UnknownCard, None),
            (0x8010_000E, E::CantDispose, None),
            (0x8010_000F, E::ProtoMismatch, Some(C::UnsupportedCard)),
            (0x8010_0010, E::NotReady, Some(C::Mute)),
            (0x8010_0011, E::InvalidValue, None),
            (0x8010_0012, E::SystemCancelled, Some(C::NoService)),
            (0x8010_0013, E::CommError, Some(C::NoService)),
            (0x8010_0014, E::UnknownError, None),
            (0x8010_0015, E::InvalidAtr, Some(C::UnsupportedCard)),
            (0x8010_0016, E::NotTransacted, Some(C::Garbled)),
            (0x8010_0017, E::ReaderUnavailable, Some(C::ReaderGone)),
            (0x8010_0018, E::Shutdown, Some(C::NoService)),
            (0x8010_0019, E::PciTooSmall, None),
            (0x8010_001A, E::ReaderUnsupported, None),
            (0x8010_001B, E::DuplicateReader, None),
            (0x8010_001C, E::CardUnsupported, Some(C::UnsupportedCard)),
            (0x8010_001D, E::NoService, Some(C::NoService)),
            (0x8010_001E, E::ServiceStopped, Some(C::NoService)),
            // SCARD_E_UNEXPECTED has the same number in pcsc-lite.
            (0x8010_001F, E::UnsupportedFeature, None),
            (0x8010_0020, E::IccInstallation, None),
            (0x8010_0021, E::IccCreateorder, None),
            (0x8010_0023, E::DirNotFound, None),
            (0x8010_0024, E::FileNotFound, None),
            (0x8010_0025, E::NoDir, None),
            (0x8010_0026, E::NoFile, None),
            (0x8010_0027, E::NoAccess, Some(C::NotAuthorized)),
            (0x8010_0028, E::WriteTooMany, None),
            (0x8010_0029, E::BadSeek, None),
            (0x8010_002A, E::InvalidChv, None),
            (0x8010_002B, E::UnknownResMng, None),
            (0x8010_002C, E::NoSuchCertificate, None),
            (0x8010_002D, E::CertificateUnavailable, None),
            (0x8010_002E, E::NoReadersAvailable, Some(C::NoReader)),
            (0x8010_002F, E::CommDataLost, Some(C::Garbled)),
            (0x8010_0030, E::NoKeyContainer, None),
            (0x8010_0031, E::ServerTooBusy, Some(C::Busy)),
            (0x8010_0065, E::UnsupportedCard, Some(C::UnsupportedCard)),
            (0x8010_0066, E::UnresponsiveCard, Some(C::Mute)),
            (0x8010_0067, E::UnpoweredCard, Some(C::Mute)),
            (0x8010_0068, E::ResetCard, Some(C::Reset)),
            (0x8010_0069, E::RemovedCard, Some(C::Removed)),
            (0x8010_006A, E::SecurityViolation, Some(C::NotAuthorized)),
            (0x8010_006B, E::WrongChv, None),
            (0x8010_006C, E::ChvBlocked, None),
            (0x8010_006D, E::Eof, None),
            (0x8010_006E, E::CancelledByUser, None),
            (0x8010_006F, E::CardNotAuthenticated, None),
            (0x8010_0070, E::CacheItemNotFound, None),
            (0x8010_0071, E::CacheItemStale, None),
            (0x8010_0072, E::CacheItemTooBig, None),
        ]
    }

    #[test]
    fn every_code_has_its_meaning() {
        for (code, error, expected) in table() {
            assert_eq!(error as u32, code, "{error:?}");
            let classified = classify(error);
            match (expected, &classified) {
                (Some(expected), _) => assert_eq!(discriminant(&classified), discriminant(&expected), "{error:?}"),
                (None, CardError::Other(cause)) => {
                    assert_eq!(cause.downcast_ref::<Error>(), Some(&error), "the cause is kept");
                    assert_eq!(classified.recovery(), Recovery::Fatal);
                }
                (None, other) => panic!("{error:?} became {other:?}"),
            }
        }
    }

    /// Whatever the library on this machine can return is in the table: its header is read.
    #[test]
    fn the_table_has_every_code_of_the_library() {
        let header = std::fs::read_to_string("/usr/include/PCSC/pcsclite.h").expect("comes with libpcsclite-dev");
        let codes: BTreeMap<u32, &str> = header.lines().filter_map(code).collect();
        assert!(codes.len() > 55, "codes are found: {codes:?}");
        let table: Vec<u32> = table().iter().map(|&(code, ..)| code).collect();
        for (code, name) in codes {
            assert!(table.contains(&code), "{name} ({code:08X}) has no meaning yet");
        }
    }

    /// `#define SCARD_E_TIMEOUT ((LONG)0x8010000A)`
    fn code(line: &str) -> Option<(u32, &str)> {
        let (name, value) = line.strip_prefix("#define SCARD_")?.split_once(char::is_whitespace)?;
        let (_, digits) = value.split_once("((LONG)0x")?;
        let code = u32::from_str_radix(digits.get(..8)?, 16).ok()?;
        (code != 0).then_some((code, name))
    }
}
