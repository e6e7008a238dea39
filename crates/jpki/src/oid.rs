//! Object identifiers of the certificates. Shared by authority and terminal.

/// otherName of the subjectAltName: 氏名.
pub const NAME: &str = "1.2.392.200149.8.5.5.1";
/// otherName: 氏名 代替文字使用位置情報.
pub const NAME_SUBSTITUTED: &str = "1.2.392.200149.8.5.5.2";
/// otherName: 性別.
pub const SEX: &str = "1.2.392.200149.8.5.5.3";
/// otherName: 生年月日, era digit and YYYYMMDD.
pub const BIRTH: &str = "1.2.392.200149.8.5.5.4";
/// otherName: 住所.
pub const ADDRESS: &str = "1.2.392.200149.8.5.5.5";
/// otherName: 住所 代替文字使用位置情報.
pub const ADDRESS_SUBSTITUTED: &str = "1.2.392.200149.8.5.5.6";

/// Arc for identifiers of our own: the enterprise number reserved for documentation (RFC 5612). A deployment puts its own here.
pub const OURS: &str = "1.3.6.1.4.1.32473.7";
/// otherName of ours: 通称. How real certificates carry it is not public.
pub const ALIAS: &str = "1.3.6.1.4.1.32473.7.1.1";
/// otherName of ours: 通称 代替文字使用位置情報.
pub const ALIAS_SUBSTITUTED: &str = "1.3.6.1.4.1.32473.7.1.2";
/// CRMF regInfo attribute of ours: 申請年月日, PrintableString YYYYMMDD.
pub const APPLIED_ON: &str = "1.3.6.1.4.1.32473.7.2.1";
/// CRMF regInfo attribute of ours: the public key that signs the checkpoints of a terminal's log, SubjectPublicKeyInfo.
pub const LOG_KEY: &str = "1.3.6.1.4.1.32473.7.2.2";
/// CMP generalInfo of ours: the terminal's latest log checkpoint, UTF8String.
pub const LOG_CHECKPOINT: &str = "1.3.6.1.4.1.32473.7.3.1";
/// CMP genm of ours: state of a certificate by its SHA-256.
pub const CERTIFICATE_STATE: &str = "1.3.6.1.4.1.32473.7.3.2";
/// CMP genm of ours: the checkpoint that the authority witnessed last for this terminal.
pub const WITNESSED_CHECKPOINT: &str = "1.3.6.1.4.1.32473.7.3.3";
/// CMP genm of ours: confirmed certificates whose predecessor is still valid.
pub const UNSETTLED: &str = "1.3.6.1.4.1.32473.7.3.4";
/// CMP generalInfo of ours, in every answer: how far the authority has witnessed the terminal's log, and open alarms about it.
pub const WITNESS_STATE: &str = "1.3.6.1.4.1.32473.7.3.5";

/// certificatePolicies: signing, test environment. A simulator issues under this one only.
pub const POLICY_SIGNATURE_TEST: &str = "1.2.392.200149.8.5.1.0.20";
/// certificatePolicies: user authentication, test environment.
pub const POLICY_AUTHENTICATION_TEST: &str = "1.2.392.200149.8.5.1.0.30";
/// certificatePolicies: signing, production.
pub const POLICY_SIGNATURE: &str = "1.2.392.200149.8.5.1.1.20";
/// certificatePolicies: user authentication, production.
pub const POLICY_AUTHENTICATION: &str = "1.2.392.200149.8.5.1.3.30";
/// CPS qualifier of the certificate policies.
pub const CPS_URI: &str = "http://www.jpki.go.jp/cps.html";
