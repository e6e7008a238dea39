//! The card's applications and files, as data.

use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::card::{self, common, face_input, fid};

use crate::pin::PinId;
use crate::store::ObjectId;

/// An application (a DF that is selected by its AID).
pub(crate) struct Application {
    pub(crate) aid: &'static [u8],
    /// Does it open secure channels?
    pub(crate) secure_channel: bool,
    /// Does it answer the issuing commands?
    pub(crate) issuing: bool,
    pub(crate) files: &'static [File],
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
    Key(CertificateKind),
}

/// Where an EF's bytes come from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Object(ObjectId),
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
    use super::{ObjectId, common, ef, face_input, fid};

    pub(crate) const SIGN_CA_CERTIFICATE: ObjectId = ef(1, fid::SIGN_CA_CERTIFICATE);
    pub(crate) const TOKEN_INFO: ObjectId = ef(1, fid::TOKEN_INFO);
    pub(crate) const UNKNOWN_0009: ObjectId = ef(1, fid::UNKNOWN_0009);
    pub(crate) const AUTH_CA_CERTIFICATE: ObjectId = ef(1, fid::AUTH_CA_CERTIFICATE);
    pub(crate) const MY_NUMBER: ObjectId = ef(2, face_input::MY_NUMBER);
    pub(crate) const BASIC_FOUR: ObjectId = ef(2, face_input::BASIC_FOUR);
    pub(crate) const CARD_RECORD: ObjectId = ef(3, common::CARD_RECORD);
}

const fn free(fid: u16, object: ObjectId) -> File {
    File { fid, content: Content::Transparent(Source::Object(object), Access::Free) }
}

const fn guarded(fid: u16, source: Source, pins: &'static [PinId]) -> File {
    File { fid, content: Content::Transparent(source, Access::AnyOf(pins)) }
}

const fn pin(fid: u16, pin: PinId) -> File {
    File { fid, content: Content::Pin(pin) }
}

const fn key(fid: u16, kind: CertificateKind) -> File {
    File { fid, content: Content::Key(kind) }
}

/// All applications. The first one is selected when the card is powered up.
pub(crate) const APPLICATIONS: &[Application] = &[
    Application { aid: &card::AID_ISD, secure_channel: true, issuing: false, files: &[] },
    Application {
        aid: &card::AID_JPKI,
        secure_channel: true,
        issuing: true,
        files: &[
            guarded(fid::SIGN_CERTIFICATE, Source::Certificate(Signature), &[PinId::Signature]),
            free(fid::SIGN_CA_CERTIFICATE, ef_object::SIGN_CA_CERTIFICATE),
            free(fid::TOKEN_INFO, ef_object::TOKEN_INFO),
            File {
                fid: fid::CERTIFICATE_AVAILABILITY,
                content: Content::Transparent(Source::Availability, Access::Free),
            },
            free(fid::UNKNOWN_0009, ef_object::UNKNOWN_0009),
            File {
                fid: fid::AUTH_CERTIFICATE,
                content: Content::Transparent(Source::Certificate(Authentication), Access::Free),
            },
            free(fid::AUTH_CA_CERTIFICATE, ef_object::AUTH_CA_CERTIFICATE),
            key(fid::AUTH_KEY, Authentication),
            pin(fid::AUTH_PIN, PinId::Authentication),
            key(fid::SIGN_KEY, Signature),
            pin(fid::SIGN_PIN, PinId::Signature),
        ],
    },
    Application {
        aid: &card::AID_FACE_INPUT,
        secure_channel: false,
        issuing: false,
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
            pin(face_input::PIN, PinId::FaceInput),
            pin(face_input::CHECK_NUMBER_A, PinId::CheckNumberA),
            pin(face_input::CHECK_NUMBER_B, PinId::CheckNumberB),
        ],
    },
    Application {
        aid: &card::AID_COMMON,
        secure_channel: false,
        issuing: false,
        files: &[File {
            fid: common::CARD_RECORD,
            content: Content::Record(Source::Object(ef_object::CARD_RECORD), Access::Free),
        }],
    },
];

impl Application {
    /// The application with exactly this AID.
    pub(crate) fn find(aid: &[u8]) -> Option<&'static Self> {
        APPLICATIONS.iter().find(|application| application.aid == aid)
    }

    pub(crate) fn file(&self, fid: u16) -> Option<&'static File> {
        self.files.iter().find(|file| file.fid == fid)
    }
}
