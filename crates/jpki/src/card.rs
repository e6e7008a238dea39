//! Constants of the card: applications, files, commands, tags. Shared by host and simulated card, which share nothing else.
//!
//! Sources: the public clients of the card for what a resident uses; `docs/protocols/card-issuing.md` for the issuing
//! commands, which are ours.

/// AID of 公的個人認証AP.
pub const AID_JPKI: [u8; 10] = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
/// AID of 券面事項確認AP.
pub const AID_FACE_CHECK: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x02];
/// AID of 券面事項入力補助AP.
pub const AID_FACE_INPUT: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x08];
/// AID of 住基AP.
pub const AID_JUKI: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x01];
/// AID of 共通カードAP.
pub const AID_COMMON: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x01, 0x00];
/// AID of the GlobalPlatform issuer security domain.
pub const AID_ISD: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

/// The contact ATR of the card.
pub const ATR: [u8; 9] = [0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14];

/// Name of the token: the start of EF 0006 of 公的個人認証AP, filled to 32 bytes with spaces.
pub const TOKEN_NAME: &str = "JPKIAPICCTOKEN2";

/// Elementary files, keys and PINs of 公的個人認証AP.
pub mod fid {
    /// 署名用電子証明書; readable after the signing PIN.
    pub const SIGN_CERTIFICATE: u16 = 0x0001;
    /// Certificate of 署名用認証局.
    pub const SIGN_CA_CERTIFICATE: u16 = 0x0002;
    /// Token information, 160 bytes.
    pub const TOKEN_INFO: u16 = 0x0006;
    /// Which certificates are there, 3 bytes.
    pub const CERTIFICATE_AVAILABILITY: u16 = 0x0008;
    /// 16 bytes FF on the real card; meaning unknown.
    pub const UNKNOWN_0009: u16 = 0x0009;
    /// 利用者証明用電子証明書; free to read.
    pub const AUTH_CERTIFICATE: u16 = 0x000A;
    /// Certificate of 利用者証明用認証局.
    pub const AUTH_CA_CERTIFICATE: u16 = 0x000B;
    /// Reference of the terminal CA's key.
    pub const TERMINAL_CA_KEY: u16 = 0x0016;
    /// Authentication private key.
    pub const AUTH_KEY: u16 = 0x0017;
    /// Authentication PIN.
    pub const AUTH_PIN: u16 = 0x0018;
    /// Signing private key.
    pub const SIGN_KEY: u16 = 0x001A;
    /// Signing PIN.
    pub const SIGN_PIN: u16 = 0x001B;
}

/// Elementary files and keys of 券面事項入力補助AP.
pub mod face_input {
    /// 個人番号: `FF10 0C` and 12 digits, filled to 17 bytes with FF.
    pub const MY_NUMBER: u16 = 0x0001;
    /// 基本4情報: `FF20 { DF21 offsets, DF22 氏名, DF23 住所, DF24 YYYYMMDD, DF25 性別 }`, UTF-8.
    pub const BASIC_FOUR: u16 = 0x0002;
    /// Digests of [`MY_NUMBER`] and [`BASIC_FOUR`], signed.
    pub const INTEGRITY: u16 = 0x0003;
    /// The application's card-verifiable certificate. Free to read.
    pub const CERTIFICATE: u16 = 0x0004;
    /// Basic information. Free to read.
    pub const INFORMATION: u16 = 0x0005;
    /// Public key to which a session key is enciphered.
    pub const SESSION_KEY: u16 = 0x0006;
    /// Public key of the application's own signatures, signed.
    pub const SIGNED_KEY: u16 = 0x0007;
    /// 16 bytes FF on the real card; meaning unknown.
    pub const UNKNOWN_0008: u16 = 0x0008;
    /// PIN, 4 digits.
    pub const PIN: u16 = 0x0011;
    /// A key that is blocked on every card.
    pub const BLOCKED: u16 = 0x0012;
    /// 照合番号A: the 個人番号. Opens [`MY_NUMBER`] only.
    pub const CHECK_NUMBER_A: u16 = 0x0014;
    /// 照合番号B: 生年月日 和暦 YYMMDD, 有効期限 西暦 YYYY, セキュリティコード 4 digits. Opens [`BASIC_FOUR`] only.
    pub const CHECK_NUMBER_B: u16 = 0x0015;
    /// 個人番号.
    pub const TAG_MY_NUMBER: u16 = 0xFF10;
    /// Template of 基本4情報.
    pub const TAG_BASIC_FOUR: u16 = 0xFF20;
    /// Offsets of the four items, four big-endian u16.
    pub const TAG_OFFSETS: u16 = 0xDF21;
    /// 氏名.
    pub const TAG_NAME: u16 = 0xDF22;
    /// 住所.
    pub const TAG_ADDRESS: u16 = 0xDF23;
    /// 生年月日, YYYYMMDD.
    pub const TAG_BIRTH: u16 = 0xDF24;
    /// 性別, one digit.
    pub const TAG_SEX: u16 = 0xDF25;
    /// Template of the integrity record.
    pub const TAG_INTEGRITY: u16 = 0xFF30;
    /// SHA-256 of EF 0001 with its filling.
    pub const TAG_MY_NUMBER_DIGEST: u16 = 0xDF31;
    /// SHA-256 of EF 0002 from its first item on, without the offsets.
    pub const TAG_BASIC_FOUR_DIGEST: u16 = 0xDF32;
    /// Signature over both digests.
    pub const TAG_INTEGRITY_SIGNATURE: u16 = 0xDF33;
    /// Template of the basic information.
    pub const TAG_INFORMATION: u16 = 0xFF40;
    /// Version, support of extended lengths, vendor, vendor's own: 4 bytes.
    pub const TAG_IDENTIFICATION: u16 = 0xDF41;
    /// A key identifier.
    pub const TAG_KEY_REFERENCE: u16 = 0xDF42;
    /// 128 bytes, the last 96 of them FF; meaning unknown.
    pub const TAG_UNKNOWN: u16 = 0xDF43;
    /// Public key to which a session key is enciphered.
    pub const TAG_SESSION_KEY: u8 = 0xA1;
    /// Template of the signed public key.
    pub const TAG_SIGNED_KEY: u16 = 0xFF50;
    /// The public key.
    pub const TAG_PUBLIC_KEY: u16 = 0xDF51;
    /// Signature over it.
    pub const TAG_PUBLIC_KEY_SIGNATURE: u16 = 0xDF52;
}

/// Elementary files and keys of 券面事項確認AP.
pub mod face_check {
    /// 生年月日 and nothing else, signed. Readable after [`BIRTH`].
    pub const AGE: u16 = 0x0001;
    /// What is printed on the face. Readable after either 照合番号.
    pub const FACE: u16 = 0x0002;
    /// Basic information. Free to read.
    pub const INFORMATION: u16 = 0x0003;
    /// The application's card-verifiable certificate. Free to read.
    pub const CERTIFICATE: u16 = 0x0004;
    /// The 個人番号 as an image, signed. Readable after [`CHECK_NUMBER_A`].
    pub const MY_NUMBER_IMAGE: u16 = 0x0005;
    /// Readable after either 照合番号; meaning unknown.
    pub const UNKNOWN_0006: u16 = 0x0006;
    /// 生年月日, 和暦 YYMMDD. Opens [`AGE`] only.
    pub const BIRTH: u16 = 0x0011;
    /// 照合番号B.
    pub const CHECK_NUMBER_B: u16 = 0x0012;
    /// 照合番号A.
    pub const CHECK_NUMBER_A: u16 = 0x0013;
    /// Private key of the application's own signatures, which needs no PIN.
    pub const KEY: u16 = 0x001A;
    /// Template of the age record.
    pub const TAG_AGE: u16 = 0xFF10;
    /// 生年月日 in the age record, YYYYMMDD.
    pub const TAG_AGE_BIRTH: u16 = 0xDF11;
    /// The application's public key in the age record.
    pub const TAG_AGE_KEY: u16 = 0xDF12;
    /// Signature over both.
    pub const TAG_AGE_SIGNATURE: u16 = 0xDF13;
    /// Template of the face.
    pub const TAG_FACE: u16 = 0xFF20;
    /// Offsets of the nine items from the start of the file, big-endian u16.
    pub const TAG_OFFSETS: u16 = 0xDF21;
    /// 生年月日, YYYYMMDD.
    pub const TAG_BIRTH: u16 = 0xDF22;
    /// 性別, one digit.
    pub const TAG_SEX: u16 = 0xDF23;
    /// The application's public key.
    pub const TAG_KEY: u16 = 0xDF24;
    /// 氏名, 1-bit PNG.
    pub const TAG_NAME_IMAGE: u16 = 0xDF25;
    /// 住所, 1-bit PNG.
    pub const TAG_ADDRESS_IMAGE: u16 = 0xDF26;
    /// The photograph, JPEG 2000.
    pub const TAG_PHOTO: u16 = 0xDF27;
    /// Signature over the digests of three groups of items: the first three, the two images, the photograph.
    pub const TAG_SIGNATURE: u16 = 0xDF28;
    /// 有効期限, YYYYMMDD. Not signed.
    pub const TAG_EXPIRY: u16 = 0xDF29;
    /// セキュリティコード, 1-bit PNG. Not signed.
    pub const TAG_SECURITY_CODE_IMAGE: u16 = 0xDF2A;
    /// Template of the basic information.
    pub const TAG_INFORMATION: u16 = 0xFF30;
    /// Version, support of extended lengths, vendor, vendor's own: 4 bytes.
    pub const TAG_IDENTIFICATION: u16 = 0xDF31;
    /// A key identifier.
    pub const TAG_KEY_REFERENCE: u16 = 0xDF32;
    /// Version, one byte.
    pub const TAG_VERSION: u16 = 0xDF33;
    /// 全国地方公共団体コード, 5 digits.
    pub const TAG_MUNICIPALITY: u16 = 0xDF34;
    /// A key identifier, then 256 bytes; meaning unknown.
    pub const TAG_UNKNOWN: u16 = 0xDF35;
    /// Template of the 個人番号 as an image.
    pub const TAG_MY_NUMBER: u16 = 0xFF40;
    /// The image, 1-bit PNG.
    pub const TAG_MY_NUMBER_IMAGE: u16 = 0xDF41;
    /// The application's public key beside it.
    pub const TAG_MY_NUMBER_KEY: u16 = 0xDF42;
    /// Signature over both.
    pub const TAG_MY_NUMBER_SIGNATURE: u16 = 0xDF43;
}

/// Public keys and card-verifiable certificates, as the card's files hold them.
pub mod cv {
    /// Card-verifiable certificate.
    pub const TAG_CERTIFICATE: u16 = 0x7F21;
    /// Its body: 証明者鍵ID, 被証明者鍵ID, public key.
    pub const TAG_BODY: u16 = 0x5F4E;
    /// Signature over the body's value, PKCS #1 v1.5 with SHA-256.
    pub const TAG_SIGNATURE: u16 = 0x5F37;
    /// Public exponent.
    pub const TAG_EXPONENT: u8 = 0x90;
    /// Modulus.
    pub const TAG_MODULUS: u8 = 0x91;
    /// Length of a key identifier in bytes.
    pub const KEY_ID: usize = 16;
}

/// Elementary files of 共通カードAP.
pub mod common {
    /// Record 1: `01 1C`, then serial (15), municipality (5), expiry YYYYMMDD (8), ASCII. Free to read.
    pub const CARD_RECORD: u16 = 0x0001;
    /// Tag of the record.
    pub const TAG_CARD_RECORD: u16 = 0x01;
    /// Record 1: a key identifier of 16 bytes.
    pub const KEY_REFERENCE: u16 = 0x0002;
    /// Key of INTERNAL AUTHENTICATE.
    pub const AUTHENTICATION_KEY: u16 = 0x0019;
    /// One of the two PINs that are 住民基本台帳用暗証番号 together.
    pub const PIN: u16 = 0x001C;
}

/// Elementary files of 住基AP.
pub mod juki {
    /// Record 1: the key identifier of [`super::common::KEY_REFERENCE`].
    pub const KEY_REFERENCE: u16 = 0x0002;
    /// The other PIN that is 住民基本台帳用暗証番号.
    pub const PIN: u16 = 0x001C;
}

/// Data objects of the issuer security domain, by GET DATA (GlobalPlatform Card Specification v2.3 §11.3).
pub mod data {
    /// Issuer identification number: a key identifier of 16 bytes.
    pub const ISSUER_IDENTIFICATION: u16 = 0x0042;
    /// Card image number: the card's serial number, ASCII.
    pub const CARD_NUMBER: u16 = 0x0045;
    /// Card recognition data (GlobalPlatform Card Specification v2.3 §H.2).
    pub const CARD_RECOGNITION: u16 = 0x0066;
    /// Key information template (GlobalPlatform Card Specification v2.3 §11.3.3.1).
    pub const KEY_INFORMATION: u16 = 0x00E0;
    /// 全国地方公共団体コード, 5 digits.
    pub const MUNICIPALITY: u16 = 0x00F0;
    /// 有効期限, YYYYMMDD.
    pub const EXPIRY: u16 = 0x00F2;
    /// The lower one of the card-verifiable certificates above those of the applications.
    pub const CERTIFICATE_CHAIN: u16 = 0x7F21;
    /// The contact ATR, without its first byte. Answered in every application.
    pub const CONTACT_ATR: u16 = 0x5F51;
}

/// Instructions of the issuer security domain.
pub mod domain_ins {
    /// GET DATA (GlobalPlatform Card Specification v2.3 §11.3).
    pub const GET_DATA: u8 = 0xCA;
    /// PUT KEY (§11.8).
    pub const PUT_KEY: u8 = 0xD8;
    /// STORE DATA (§11.11).
    pub const STORE_DATA: u8 = 0xE2;
    /// DELETE (§11.2).
    pub const DELETE: u8 = 0xE4;
    /// Key type of AES (§11.1.8).
    pub const KEY_TYPE_AES: u8 = 0x88;
    /// Tag of a key version number in DELETE (§11.2.2.3).
    pub const TAG_KEY_VERSION: u8 = 0xD2;
    /// Tag of a key identifier in DELETE (§11.2.2.3).
    pub const TAG_KEY_IDENTIFIER: u8 = 0xD0;
}

/// Tries of the PINs, and lengths.
pub mod pin {
    /// Tries of the signing PIN.
    pub const SIGN_TRIES: u8 = 5;
    /// Tries of the authentication PIN.
    pub const AUTH_TRIES: u8 = 3;
    /// Tries of the PIN of 券面事項入力補助AP.
    pub const FACE_INPUT_TRIES: u8 = 3;
    /// Tries of 照合番号A and 照合番号B. That of A is not confirmed.
    pub const CHECK_NUMBER_TRIES: u8 = 10;
    /// Tries of each of the two PINs of 住民基本台帳用暗証番号.
    pub const JUKI_TRIES: u8 = 3;
    /// Shortest signing PIN.
    pub const SIGN_MIN: usize = 6;
    /// Longest signing PIN.
    pub const SIGN_MAX: usize = 16;
    /// Length of the authentication PIN.
    pub const AUTH_LENGTH: usize = 4;
}

/// Instructions of the issuing commands, CLA 84 inside SCP03 at level 33 (`docs/protocols/card-issuing.md` §3).
pub mod ins {
    /// GET SLOT STATUS.
    pub const GET_SLOT_STATUS: u8 = 0x10;
    /// SET INITIAL PIN.
    pub const SET_INITIAL_PIN: u8 = 0x12;
    /// GENERATE KEY PAIR into the pending slot.
    pub const GENERATE_KEY_PAIR: u8 = 0x14;
    /// IMPORT KEY PAIR into the pending slot.
    pub const IMPORT_KEY_PAIR: u8 = 0x16;
    /// GET PENDING PUBLIC KEY.
    pub const GET_PENDING_PUBLIC_KEY: u8 = 0x18;
    /// SIGN WITH PENDING KEY.
    pub const SIGN_WITH_PENDING_KEY: u8 = 0x1A;
    /// WRITE PENDING CERTIFICATE.
    pub const WRITE_PENDING_CERTIFICATE: u8 = 0x1C;
    /// GET PENDING CERTIFICATE.
    pub const GET_PENDING_CERTIFICATE: u8 = 0x1E;
    /// VERIFY (ISO/IEC 7816-4 §11.5.6).
    pub const VERIFY: u8 = 0x20;
    /// COMMIT: pending becomes active.
    pub const COMMIT: u8 = 0x22;
    /// DISCARD the pending slot.
    pub const DISCARD: u8 = 0x24;
    /// UNBLOCK PIN.
    pub const UNBLOCK_PIN: u8 = 0x26;
    /// INITIALIZE UPDATE (GlobalPlatform Amendment D §7.1.1).
    pub const INITIALIZE_UPDATE: u8 = 0x50;
    /// EXTERNAL AUTHENTICATE (GlobalPlatform Amendment D §7.1.2).
    pub const EXTERNAL_AUTHENTICATE: u8 = 0x82;
}

/// P1 of the issuing commands: the kind of certificate.
pub mod kind {
    /// 署名用.
    pub const SIGNATURE: u8 = 0x01;
    /// 利用者証明用.
    pub const AUTHENTICATION: u8 = 0x02;
}

/// P2 of GENERATE and IMPORT: the algorithm.
pub mod algorithm {
    /// RSA, 2048 bits, e = 65537.
    pub const RSA_2048: u8 = 0x01;
    /// ECDSA on P-384.
    pub const EC_P384: u8 = 0x02;
}

/// Tags of the status template (§4) and the key templates (§5).
pub mod tag {
    /// Status template.
    pub const STATUS: u8 = 0xE1;
    /// Active slot: 00 empty, 01 occupied.
    pub const ACTIVE: u8 = 0x80;
    /// SHA-256 of the active certificate.
    pub const ACTIVE_CERTIFICATE: u8 = 0x81;
    /// Pending slot: 00 empty, 01 key, 02 complete.
    pub const PENDING: u8 = 0x82;
    /// Transaction ID of the pending slot.
    pub const PENDING_TRANSACTION: u8 = 0x83;
    /// SHA-256 of the pending SPKI.
    pub const PENDING_KEY: u8 = 0x84;
    /// SHA-256 of the pending certificate.
    pub const PENDING_CERTIFICATE: u8 = 0x85;
    /// PIN: 00 not set, 01 set.
    pub const PIN_SET: u8 = 0x86;
    /// Tries left.
    pub const TRIES_LEFT: u8 = 0x87;
    /// Algorithm for new keys.
    pub const ALGORITHM: u8 = 0x88;
    /// 01 if the card has a pending slot.
    pub const HAS_PENDING_SLOT: u8 = 0x89;
    /// SHA-256 of the certificate that the key in the slot has overwritten.
    pub const OVERWRITTEN_CERTIFICATE: u8 = 0x8A;
    /// 01 if the card makes keys itself, 00 if they are imported.
    pub const MAKES_KEYS: u8 = 0x8B;
}

/// Length of a transaction ID in bytes.
pub const TRANSACTION_ID_LENGTH: usize = 16;
/// The longest certificate that the card stores, in bytes.
pub const MAX_CERTIFICATE: usize = 4096;
/// SCP03 security level of issuing: C-MAC, C-ENC, R-MAC, R-ENC.
pub const ISSUING_SECURITY_LEVEL: u8 = 0x33;
