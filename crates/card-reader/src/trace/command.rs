//! Commands in the field's terms: what an instruction is called, and on what it acts.

use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::card::{self, common, domain_ins, face_check, face_input, fid, ins, juki, kind};
use serde::{Serialize, Serializer};

/// CLA bit 5: this command is not the last of its chain (ISO/IEC 7816-4 §5.1.1.1).
const CHAINING: u8 = 0x10;
/// CLA of plain commands (ISO/IEC 7816-4 §5.4.1).
const PLAIN: u8 = 0x00;
/// CLA of GlobalPlatform's and the card's own commands, plain.
const PROPRIETARY: u8 = 0x80;
/// The same with secure messaging (GlobalPlatform Card Specification v2.3 §11.1.4).
const SECURED: u8 = 0x84;
/// SELECT (ISO/IEC 7816-4 §11.2.2).
pub(super) const SELECT: u8 = 0xA4;
/// SELECT, P1: an application by its name.
pub(super) const BY_NAME: u8 = 0x04;
/// SELECT, P1: an elementary file under the current application.
pub(super) const BY_FILE_ID: u8 = 0x02;
/// READ BINARY (ISO/IEC 7816-4 §11.3.3).
pub(super) const READ_BINARY: u8 = 0xB0;
/// VERIFY, P2: the reference is a short identifier, which stands in the low bits.
const SHORT_REFERENCE: u8 = 0x80;

/// An application of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Application {
    /// 公的個人認証AP
    Jpki,
    /// 券面事項確認AP
    FaceCheck,
    /// 券面事項入力補助AP
    FaceInput,
    /// 住基AP
    Juki,
    /// 共通カードAP
    Common,
    /// The issuer's security domain (GlobalPlatform).
    SecurityDomain,
}

impl Application {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Jpki, Self::FaceCheck, Self::FaceInput, Self::Juki, Self::Common, Self::SecurityDomain];

    /// Its AID.
    #[must_use]
    pub const fn aid(self) -> &'static [u8] {
        match self {
            Self::Jpki => &card::AID_JPKI,
            Self::FaceCheck => &card::AID_FACE_CHECK,
            Self::FaceInput => &card::AID_FACE_INPUT,
            Self::Juki => &card::AID_JUKI,
            Self::Common => &card::AID_COMMON,
            Self::SecurityDomain => &card::AID_ISD,
        }
    }

    /// The application with exactly this AID.
    #[must_use]
    pub fn with_aid(aid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|application| application.aid() == aid)
    }
}

/// A file, PIN or key of an application, as its two-byte identifier selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Element {
    /// 署名用電子証明書
    SignCertificate,
    /// Certificate of 署名用認証局.
    SignCaCertificate,
    /// 利用者証明用電子証明書
    AuthCertificate,
    /// Certificate of 利用者証明用認証局.
    AuthCaCertificate,
    /// Token information.
    TokenInfo,
    /// Which certificates there are.
    CertificateAvailability,
    /// Key of 電子署名.
    SignKey,
    /// Key of 電子利用者証明.
    AuthKey,
    /// 署名用電子証明書暗証番号
    SignPin,
    /// 利用者証明用電子証明書暗証番号
    AuthPin,
    /// 個人番号
    MyNumber,
    /// 基本4情報
    BasicFour,
    /// 券面事項入力補助用暗証番号
    FaceInputPin,
    /// 照合番号A
    CheckNumberA,
    /// 照合番号B
    CheckNumberB,
    /// Digests of 個人番号 and 基本4情報, signed.
    Integrity,
    /// 生年月日 alone, signed.
    Age,
    /// What is printed on the face, the photograph too.
    Face,
    /// The 個人番号 as an image.
    MyNumberImage,
    /// 生年月日 as it opens [`Element::Age`].
    BirthNumber,
    /// The key with which an application signs what it tells of itself.
    ApplicationKey,
    /// An application's card-verifiable certificate.
    ApplicationCertificate,
    /// Version and vendor of an application.
    Information,
    /// The record with the card's serial number.
    CardRecord,
    /// Which key the card authenticates itself with.
    KeyReference,
    /// The key with which the card authenticates itself.
    AuthenticationKey,
    /// 住民基本台帳用暗証番号
    JukiPin,
}

impl Element {
    /// What `file_id` selects in `application`, as far as it is known.
    #[must_use]
    pub const fn find(application: Application, file_id: u16) -> Option<Self> {
        Some(match (application, file_id) {
            (Application::Jpki, fid::SIGN_CERTIFICATE) => Self::SignCertificate,
            (Application::Jpki, fid::SIGN_CA_CERTIFICATE) => Self::SignCaCertificate,
            (Application::Jpki, fid::AUTH_CERTIFICATE) => Self::AuthCertificate,
            (Application::Jpki, fid::AUTH_CA_CERTIFICATE) => Self::AuthCaCertificate,
            (Application::Jpki, fid::TOKEN_INFO) => Self::TokenInfo,
            (Application::Jpki, fid::CERTIFICATE_AVAILABILITY) => Self::CertificateAvailability,
            (Application::Jpki, fid::SIGN_KEY) => Self::SignKey,
            (Application::Jpki, fid::AUTH_KEY) => Self::AuthKey,
            (Application::Jpki, fid::SIGN_PIN) => Self::SignPin,
            (Application::Jpki, fid::AUTH_PIN) => Self::AuthPin,
            (Application::FaceInput, face_input::MY_NUMBER) => Self::MyNumber,
            (Application::FaceInput, face_input::BASIC_FOUR) => Self::BasicFour,
            (Application::FaceInput, face_input::PIN) => Self::FaceInputPin,
            (Application::FaceInput, face_input::CHECK_NUMBER_A) => Self::CheckNumberA,
            (Application::FaceInput, face_input::CHECK_NUMBER_B) => Self::CheckNumberB,
            (Application::FaceInput, face_input::INTEGRITY) => Self::Integrity,
            (Application::FaceInput, face_input::CERTIFICATE) | (Application::FaceCheck, face_check::CERTIFICATE) => {
                Self::ApplicationCertificate
            }
            (Application::FaceInput, face_input::INFORMATION) | (Application::FaceCheck, face_check::INFORMATION) => {
                Self::Information
            }
            (Application::FaceCheck, face_check::AGE) => Self::Age,
            (Application::FaceCheck, face_check::FACE) => Self::Face,
            (Application::FaceCheck, face_check::MY_NUMBER_IMAGE) => Self::MyNumberImage,
            (Application::FaceCheck, face_check::BIRTH) => Self::BirthNumber,
            (Application::FaceCheck, face_check::CHECK_NUMBER_A) => Self::CheckNumberA,
            (Application::FaceCheck, face_check::CHECK_NUMBER_B) => Self::CheckNumberB,
            (Application::FaceCheck, face_check::KEY) => Self::ApplicationKey,
            (Application::Common, common::CARD_RECORD) => Self::CardRecord,
            (Application::Common, common::KEY_REFERENCE) | (Application::Juki, juki::KEY_REFERENCE) => {
                Self::KeyReference
            }
            (Application::Common, common::AUTHENTICATION_KEY) => Self::AuthenticationKey,
            (Application::Common, common::PIN) | (Application::Juki, juki::PIN) => Self::JukiPin,
            _ => return None,
        })
    }
}

/// On what a command acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Object {
    /// An application.
    Application(Application),
    /// A file, PIN or key that is known.
    Element(Element),
    /// A file, PIN or key of which only the identifier is known.
    #[serde(serialize_with = "as_hex")]
    FileId(u16),
    /// The slots of one kind of certificate.
    Slots(CertificateKind),
}

/// What a command is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CommandName {
    /// The instruction, as its specification calls it. `None`: no instruction that is known here.
    pub instruction: Option<&'static str>,
    /// On what it acts, where that is known.
    pub object: Option<Object>,
    /// Part of a chain that goes on.
    pub is_chained: bool,
}

/// A command as far as a trace knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// CLA INS P1 P2.
    pub(super) header: [u8; 4],
    /// The data, if it is shown in full.
    pub(super) data: Option<&'a [u8]>,
}

/// Follows what is selected, command by command, and names commands by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) application: Option<Application>,
    pub(super) file: Option<u16>,
}

impl Follower {
    /// Follows a command that the card has performed, or refused.
    pub(super) fn follow(&mut self, command: Known<'_>, succeeded: bool) {
        let [cla, SELECT, p1, _] = command.header else { return };
        if cla != PLAIN {
            return;
        }
        match p1 {
            BY_NAME => {
                let application = command.data.and_then(Application::with_aid).filter(|_| succeeded);
                *self = Self { application, file: None };
            }
            // A file that does not exist may leave the one before selected, or none: unknown.
            BY_FILE_ID => self.file = command.data.and_then(file_id).filter(|_| succeeded),
            _ => *self = Self::default(),
        }
    }

    /// What the command is called where it stands.
    pub(super) fn name(&self, command: Known<'_>) -> CommandName {
        let [cla, code, p1, p2] = command.header;
        let (instruction, object) = match (cla & !CHAINING, code) {
            (SECURED, ins::VERIFY) => (Some("VERIFY"), self.reference(p2)),
            (SECURED, ins::EXTERNAL_AUTHENTICATE) => (Some("EXTERNAL AUTHENTICATE"), None),
            (SECURED, code) => match issuing_command(code) {
                Some(name) => (Some(name), slots(p1)),
                None => (management_command(code), None),
            },
            (PROPRIETARY, 0x2A) => (Some("COMPUTE DIGITAL SIGNATURE"), self.selected()),
            (PROPRIETARY, code) => (management_command(code), None),
            (PLAIN, SELECT) => (Some("SELECT"), self.target(p1, command.data)),
            (PLAIN, ins::VERIFY) => (Some("VERIFY"), self.reference(p2)),
            (PLAIN, code) => (interindustry_command(code), self.selected()),
            _ => (None, None),
        };
        CommandName { instruction, object, is_chained: cla & CHAINING != 0 && instruction.is_some() }
    }

    fn target(&self, p1: u8, data: Option<&[u8]>) -> Option<Object> {
        match p1 {
            BY_NAME => data.and_then(Application::with_aid).map(Object::Application),
            BY_FILE_ID => data.and_then(file_id).map(|file| self.object(file)),
            _ => None,
        }
    }

    /// The PIN that P2 of VERIFY refers to: the selected one, or one by its short identifier.
    fn reference(&self, p2: u8) -> Option<Object> {
        match p2 ^ SHORT_REFERENCE {
            0 => self.selected(),
            short @ 1..=0x1E => Some(self.object(short.into())),
            _ => None,
        }
    }

    fn selected(&self) -> Option<Object> {
        self.file.map(|file| self.object(file))
    }

    fn object(&self, file: u16) -> Object {
        let element = self.application.and_then(|application| Element::find(application, file));
        element.map_or(Object::FileId(file), Object::Element)
    }
}

fn as_hex<S: Serializer>(file: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{file:04X}"))
}

fn file_id(data: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(data.try_into().ok()?))
}

fn slots(p1: u8) -> Option<Object> {
    match p1 {
        kind::SIGNATURE => Some(Object::Slots(Signature)),
        kind::AUTHENTICATION => Some(Object::Slots(Authentication)),
        _ => None,
    }
}

/// The issuing commands (`docs/protocols/card-issuing.md` §3).
const fn issuing_command(code: u8) -> Option<&'static str> {
    Some(match code {
        ins::GET_SLOT_STATUS => "GET SLOT STATUS",
        ins::SET_INITIAL_PIN => "SET INITIAL PIN",
        ins::GENERATE_KEY_PAIR => "GENERATE KEY PAIR",
        ins::IMPORT_KEY_PAIR => "IMPORT KEY PAIR",
        ins::GET_PENDING_PUBLIC_KEY => "GET PENDING PUBLIC KEY",
        ins::SIGN_WITH_PENDING_KEY => "SIGN WITH PENDING KEY",
        ins::WRITE_PENDING_CERTIFICATE => "WRITE PENDING CERTIFICATE",
        ins::GET_PENDING_CERTIFICATE => "GET PENDING CERTIFICATE",
        ins::COMMIT => "COMMIT",
        ins::DISCARD => "DISCARD",
        ins::UNBLOCK_PIN => "UNBLOCK PIN",
        _ => return None,
    })
}

/// Commands of card management (GlobalPlatform Card Specification v2.3 §11, Amendment D §7).
const fn management_command(code: u8) -> Option<&'static str> {
    Some(match code {
        ins::INITIALIZE_UPDATE => "INITIALIZE UPDATE",
        domain_ins::GET_DATA | 0xCB => "GET DATA",
        domain_ins::PUT_KEY => "PUT KEY",
        domain_ins::STORE_DATA => "STORE DATA",
        domain_ins::DELETE => "DELETE",
        0xF0 => "SET STATUS",
        0xF2 => "GET STATUS",
        _ => return None,
    })
}

/// Commands of ISO/IEC 7816-4 §11.
const fn interindustry_command(code: u8) -> Option<&'static str> {
    Some(match code {
        0x22 => "MANAGE SECURITY ENVIRONMENT",
        0x24 => "CHANGE REFERENCE DATA",
        0x2A => "PERFORM SECURITY OPERATION",
        0x2C => "RESET RETRY COUNTER",
        0x84 => "GET CHALLENGE",
        0x88 => "INTERNAL AUTHENTICATE",
        READ_BINARY => "READ BINARY",
        0xB2 => "READ RECORD",
        0xC0 => "GET RESPONSE",
        0xCA | 0xCB => "GET DATA",
        0xD6 => "UPDATE BINARY",
        _ => return None,
    })
}
