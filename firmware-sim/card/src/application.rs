//! The card's applications and files, as data.

use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::card::{self, common, face_check, face_input, fid, juki};

use crate::pin::PinId;
use crate::simulated_keys::SimulatedKey;
use crate::store::ObjectId;
use crate::sw::Sw;

/// An application (a DF that is selected by its AID).
pub(crate) struct Application {
    pub(crate) aid: &'static [u8],
    /// Does it open secure channels?
    pub(crate) secure_channel: bool,
    /// Does it answer the issuing commands?
    pub(crate) issuing: bool,
    /// Is it the issuer security domain?
    pub(crate) security_domain: bool,
    /// The key of the signing command that names none.
    pub(crate) default_key: Option<SimulatedKey>,
    pub(crate) session_key: SessionKeys,
    pub(crate) files: &'static [File],
}

/// Does an application take session keys (SET SESSION KEY)?
#[derive(Clone, Copy)]
pub(crate) enum SessionKeys {
    /// After one of these PINs, enciphered to this key.
    After(&'static [PinId], SimulatedKey),
    /// Never: refused with this.
    Refused(Sw),
}

/// An elementary file, a PIN or a key: whatever SELECT finds by a file identifier.
pub(crate) struct File {
    pub(crate) fid: u16,
    pub(crate) content: Content,
}

/// What stands behind a file identifier.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// A transparent EF.
    Transparent(Source, Access),
    /// A linear EF with one record.
    Record(Source, Access),
    Pin(PinId),
    /// A resident's key, behind its PIN.
    Key(CertificateKind),
    /// A key of the application, behind no PIN.
    OpenKey(SimulatedKey),
    /// The key of INTERNAL AUTHENTICATE, behind no PIN.
    AuthenticationKey(SimulatedKey),
    /// A key that no command of this card uses.
    Internal,
}

/// Where an EF's bytes come from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Object(ObjectId),
    /// The same bytes on every card.
    Constant(&'static [u8]),
    /// The active certificate; empty while there is none.
    Certificate(CertificateKind),
    /// Which active certificates there are.
    Availability,
}

/// Who may read an EF.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Free,
    /// Whoever has verified one of these.
    AnyOf(&'static [PinId]),
}

/// Object that holds an EF of an application.
const fn ef(application: u8, fid: u16) -> ObjectId {
    ObjectId((application as u16) << 8 | fid)
}

/// Numbers of the objects that are EFs, by application.
pub(crate) mod ef_object {
    use super::{ObjectId, common, ef, face_check, face_input, fid};

    pub(crate) const SIGN_CA_CERTIFICATE: ObjectId = ef(1, fid::SIGN_CA_CERTIFICATE);
    pub(crate) const TOKEN_INFO: ObjectId = ef(1, fid::TOKEN_INFO);
    pub(crate) const AUTH_CA_CERTIFICATE: ObjectId = ef(1, fid::AUTH_CA_CERTIFICATE);
    pub(crate) const MY_NUMBER: ObjectId = ef(2, face_input::MY_NUMBER);
    pub(crate) const BASIC_FOUR: ObjectId = ef(2, face_input::BASIC_FOUR);
    pub(crate) const INTEGRITY: ObjectId = ef(2, face_input::INTEGRITY);
    pub(crate) const INPUT_CERTIFICATE: ObjectId = ef(2, face_input::CERTIFICATE);
    pub(crate) const INPUT_SESSION_KEY: ObjectId = ef(2, face_input::SESSION_KEY);
    pub(crate) const INPUT_SIGNED_KEY: ObjectId = ef(2, face_input::SIGNED_KEY);
    pub(crate) const CARD_RECORD: ObjectId = ef(3, common::CARD_RECORD);
    pub(crate) const AGE: ObjectId = ef(4, face_check::AGE);
    pub(crate) const FACE: ObjectId = ef(4, face_check::FACE);
    pub(crate) const CHECK_INFORMATION: ObjectId = ef(4, face_check::INFORMATION);
    pub(crate) const CHECK_CERTIFICATE: ObjectId = ef(4, face_check::CERTIFICATE);
    pub(crate) const MY_NUMBER_IMAGE: ObjectId = ef(4, face_check::MY_NUMBER_IMAGE);
}

/// The key identifier of 住基AP and 共通カードAP: the form is that of the real card's identifiers, whose first digit is 5, or
/// 6 on test cards; 9 is ours.
pub(crate) const KEY_REFERENCE: [u8; 16] = *b"9000013\x08\x05001\0\0\0\0";

/// EF 0005 of 券面事項入力補助AP. The real card has a value of unknown meaning in the last object, and FF after its first 32 bytes.
const FACE_INPUT_INFORMATION: [u8; 164] = {
    let head =
        *b"\xFF\x40\x82\x00\x9F\xDF\x41\x04\x01\x03\x0E\x01\xDF\x42\x109000034\x08\x05001\0\0\0\0\xDF\x43\x82\x00\x80";
    let mut file = [0xFF; 164];
    let mut i = 0;
    while i < head.len() {
        file[i] = head[i];
        i += 1;
    }
    file
};

/// What the real card answers, or is said to, where nobody knows the meaning.
const UNKNOWN: Source = Source::Constant(&[0xFF; 16]);

const fn free(fid: u16, source: Source) -> File {
    File { fid, content: Content::Transparent(source, Access::Free) }
}

const fn guarded(fid: u16, source: Source, pins: &'static [PinId]) -> File {
    File { fid, content: Content::Transparent(source, Access::AnyOf(pins)) }
}

const fn record(fid: u16, source: Source) -> File {
    File { fid, content: Content::Record(source, Access::Free) }
}

const fn pin(fid: u16, pin: PinId) -> File {
    File { fid, content: Content::Pin(pin) }
}

const fn key(fid: u16, kind: CertificateKind) -> File {
    File { fid, content: Content::Key(kind) }
}

/// All applications. The first one is selected when the card is powered up.
pub(crate) const APPLICATIONS: &[Application] = &[
    Application {
        aid: &card::AID_ISD,
        secure_channel: true,
        issuing: false,
        security_domain: true,
        default_key: None,
        session_key: SessionKeys::Refused(Sw::INS),
        files: &[],
    },
    Application {
        aid: &card::AID_JPKI,
        secure_channel: true,
        issuing: true,
        security_domain: false,
        default_key: None,
        session_key: SessionKeys::Refused(Sw::SECURITY_STATUS),
        files: &[
            guarded(fid::SIGN_CERTIFICATE, Source::Certificate(Signature), &[PinId::Signature]),
            free(fid::SIGN_CA_CERTIFICATE, Source::Object(ef_object::SIGN_CA_CERTIFICATE)),
            free(fid::TOKEN_INFO, Source::Object(ef_object::TOKEN_INFO)),
            free(fid::CERTIFICATE_AVAILABILITY, Source::Availability),
            // Nothing is known that opens it.
            guarded(fid::UNKNOWN_0009, UNKNOWN, &[]),
            free(fid::AUTH_CERTIFICATE, Source::Certificate(Authentication)),
            free(fid::AUTH_CA_CERTIFICATE, Source::Object(ef_object::AUTH_CA_CERTIFICATE)),
            File { fid: fid::TERMINAL_CA_KEY, content: Content::Internal },
            key(fid::AUTH_KEY, Authentication),
            pin(fid::AUTH_PIN, PinId::Authentication),
            key(fid::SIGN_KEY, Signature),
            pin(fid::SIGN_PIN, PinId::Signature),
        ],
    },
    Application {
        aid: &card::AID_FACE_CHECK,
        secure_channel: false,
        issuing: false,
        security_domain: false,
        default_key: Some(SimulatedKey::FaceCheck),
        session_key: SessionKeys::Refused(Sw::NO_KEY_DELIVERY),
        files: &[
            guarded(face_check::AGE, Source::Object(ef_object::AGE), &[PinId::CheckBirth]),
            guarded(
                face_check::FACE,
                Source::Object(ef_object::FACE),
                &[PinId::CheckNumberAOfCheck, PinId::CheckNumberBOfCheck],
            ),
            free(face_check::INFORMATION, Source::Object(ef_object::CHECK_INFORMATION)),
            free(face_check::CERTIFICATE, Source::Object(ef_object::CHECK_CERTIFICATE)),
            guarded(
                face_check::MY_NUMBER_IMAGE,
                Source::Object(ef_object::MY_NUMBER_IMAGE),
                &[PinId::CheckNumberAOfCheck],
            ),
            guarded(face_check::UNKNOWN_0006, UNKNOWN, &[PinId::CheckNumberAOfCheck, PinId::CheckNumberBOfCheck]),
            pin(face_check::BIRTH, PinId::CheckBirth),
            pin(face_check::CHECK_NUMBER_B, PinId::CheckNumberBOfCheck),
            pin(face_check::CHECK_NUMBER_A, PinId::CheckNumberAOfCheck),
            File { fid: face_check::KEY, content: Content::OpenKey(SimulatedKey::FaceCheck) },
        ],
    },
    Application {
        aid: &card::AID_FACE_INPUT,
        secure_channel: false,
        issuing: false,
        security_domain: false,
        default_key: Some(SimulatedKey::FaceInput),
        session_key: SessionKeys::After(&[PinId::FaceInput], SimulatedKey::Session),
        files: &[
            guarded(
                face_input::MY_NUMBER,
                Source::Object(ef_object::MY_NUMBER),
                &[PinId::FaceInput, PinId::CheckNumberA],
            ),
            guarded(
                face_input::BASIC_FOUR,
                Source::Object(ef_object::BASIC_FOUR),
                &[PinId::FaceInput, PinId::CheckNumberB],
            ),
            guarded(face_input::INTEGRITY, Source::Object(ef_object::INTEGRITY), ANY_OF_FACE_INPUT),
            free(face_input::CERTIFICATE, Source::Object(ef_object::INPUT_CERTIFICATE)),
            free(face_input::INFORMATION, Source::Constant(&FACE_INPUT_INFORMATION)),
            guarded(face_input::SESSION_KEY, Source::Object(ef_object::INPUT_SESSION_KEY), ANY_OF_FACE_INPUT),
            guarded(face_input::SIGNED_KEY, Source::Object(ef_object::INPUT_SIGNED_KEY), ANY_OF_FACE_INPUT),
            free(face_input::UNKNOWN_0008, UNKNOWN),
            pin(face_input::PIN, PinId::FaceInput),
            pin(face_input::BLOCKED, PinId::Blocked),
            pin(face_input::CHECK_NUMBER_A, PinId::CheckNumberA),
            pin(face_input::CHECK_NUMBER_B, PinId::CheckNumberB),
        ],
    },
    Application {
        aid: &card::AID_JUKI,
        secure_channel: false,
        issuing: false,
        security_domain: false,
        default_key: None,
        session_key: SessionKeys::Refused(Sw::SECURITY_STATUS),
        files: &[record(juki::KEY_REFERENCE, Source::Constant(&KEY_REFERENCE)), pin(juki::PIN, PinId::Juki)],
    },
    Application {
        aid: &card::AID_COMMON,
        secure_channel: false,
        issuing: false,
        security_domain: false,
        default_key: None,
        session_key: SessionKeys::Refused(Sw::NO_KEY_DELIVERY),
        files: &[
            record(common::CARD_RECORD, Source::Object(ef_object::CARD_RECORD)),
            record(common::KEY_REFERENCE, Source::Constant(&KEY_REFERENCE)),
            File { fid: common::AUTHENTICATION_KEY, content: Content::AuthenticationKey(SimulatedKey::Common) },
            pin(common::PIN, PinId::Common),
        ],
    },
];

/// The PIN of 券面事項入力補助AP and both 照合番号.
const ANY_OF_FACE_INPUT: &[PinId] = &[PinId::FaceInput, PinId::CheckNumberA, PinId::CheckNumberB];

impl Application {
    /// The application with this AID. The issuer security domain is found by the first seven bytes of its AID too, which some
    /// programs take for the whole.
    pub(crate) fn find(aid: &[u8]) -> Option<&'static Self> {
        let short = card::AID_ISD.split_last().map(|(_, first)| first);
        APPLICATIONS
            .iter()
            .find(|application| application.aid == aid || (application.security_domain && short == Some(aid)))
    }

    pub(crate) fn file(&self, fid: u16) -> Option<&'static File> {
        self.files.iter().find(|file| file.fid == fid)
    }
}
