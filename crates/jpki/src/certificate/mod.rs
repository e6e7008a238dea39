//! End-entity certificates: reading one, and checking one against what was applied for.

mod check;
mod name;
mod view;

use std::fmt;

pub use check::{Checked, Expected, Mismatch, check};
pub use name::{DistinguishedName, NameAttribute};
pub use view::{AuthorityKey, CertificateError, CertificateView, ExtensionHeader, Person, Policy};

/// A field of a certificate, named as its standard names it. Says where a certificate is wrong, never what it says there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CertificateField {
    /// version
    Version,
    /// serialNumber (シリアル番号)
    SerialNumber,
    /// signature and signatureAlgorithm
    SignatureAlgorithm,
    /// issuer (発行者)
    Issuer,
    /// notBefore (発行年月日)
    NotBefore,
    /// notAfter (有効期間の満了日)
    NotAfter,
    /// subject
    Subject,
    /// subjectPublicKeyInfo (公開鍵)
    PublicKey,
    /// keyUsage (用途)
    KeyUsage,
    /// extKeyUsage (用途)
    ExtendedKeyUsage,
    /// subjectAltName as a whole: there or not, its kinds of names
    SubjectAltName,
    /// 氏名
    Name,
    /// 氏名 代替文字使用位置情報
    NameSubstituted,
    /// 通称
    Alias,
    /// 通称 代替文字使用位置情報
    AliasSubstituted,
    /// 性別
    Sex,
    /// 生年月日
    Birth,
    /// 住所
    Address,
    /// 住所 代替文字使用位置情報
    AddressSubstituted,
    /// certificatePolicies (用途)
    CertificatePolicies,
    /// issuerAltName
    IssuerAltName,
    /// cRLDistributionPoints
    CrlDistributionPoints,
    /// authorityInfoAccess
    AuthorityInfoAccess,
    /// authorityKeyIdentifier
    AuthorityKeyIdentifier,
    /// subjectKeyIdentifier
    SubjectKeyIdentifier,
    /// basicConstraints
    BasicConstraints,
    /// The set of extensions: one that is unknown and critical, one twice, one with the wrong criticality
    Extensions,
    /// signatureValue
    Signature,
}

impl CertificateField {
    /// Its name in the standard or, for items of JPKI, in Japanese.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::SerialNumber => "serialNumber",
            Self::SignatureAlgorithm => "signatureAlgorithm",
            Self::Issuer => "issuer",
            Self::NotBefore => "notBefore",
            Self::NotAfter => "notAfter",
            Self::Subject => "subject",
            Self::PublicKey => "subjectPublicKeyInfo",
            Self::KeyUsage => "keyUsage",
            Self::ExtendedKeyUsage => "extKeyUsage",
            Self::SubjectAltName => "subjectAltName",
            Self::Name => "氏名",
            Self::NameSubstituted => "氏名 代替文字使用位置情報",
            Self::Alias => "通称",
            Self::AliasSubstituted => "通称 代替文字使用位置情報",
            Self::Sex => "性別",
            Self::Birth => "生年月日",
            Self::Address => "住所",
            Self::AddressSubstituted => "住所 代替文字使用位置情報",
            Self::CertificatePolicies => "certificatePolicies",
            Self::IssuerAltName => "issuerAltName",
            Self::CrlDistributionPoints => "cRLDistributionPoints",
            Self::AuthorityInfoAccess => "authorityInfoAccess",
            Self::AuthorityKeyIdentifier => "authorityKeyIdentifier",
            Self::SubjectKeyIdentifier => "subjectKeyIdentifier",
            Self::BasicConstraints => "basicConstraints",
            Self::Extensions => "extensions",
            Self::Signature => "signatureValue",
        }
    }
}

impl fmt::Display for CertificateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
