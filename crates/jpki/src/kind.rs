//! The two kinds of certificate.

use serde::{Deserialize, Serialize};

use crate::card;

/// A kind of end-entity certificate, with the key that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// 利用者証明用電子証明書, for 電子利用者証明: says that the holder is the holder.
    Authentication,
    /// 署名用電子証明書, for 電子署名: carries name, address, date of birth and sex.
    Signature,
}

impl CertificateKind {
    /// Both, in the order in which they are issued: signing may fail alone and be taken up again.
    pub const BOTH: [Self; 2] = [Self::Authentication, Self::Signature];

    /// P1 of the issuing commands.
    #[must_use]
    pub const fn p1(self) -> u8 {
        match self {
            Self::Authentication => card::kind::AUTHENTICATION,
            Self::Signature => card::kind::SIGNATURE,
        }
    }
}
