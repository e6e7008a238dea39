//! What a token really does.

use cryptoki::mechanism::MechanismType;

use crate::error::{TokenError, failed};
use crate::module::Until;
use crate::token::Token;

/// What a token does, as it was found when it was opened. What is missing is done in another way, which the documentation
/// (`docs/hsm.md`) rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// ECDSA with SHA-256 inside; else the host hashes.
    pub ecdsa_sha256: bool,
    /// ECDSA with SHA-384 inside; else the host hashes.
    pub ecdsa_sha384: bool,
    /// Derivation by NIST SP 800-108 in counter mode with AES-CMAC inside. Without it a card's static keys are computed by AES-CMAC
    /// and are on the host while a channel is being opened: the weaker mode.
    pub sp800_108: bool,
    /// EdDSA.
    pub eddsa: bool,
    /// ML-DSA (FIPS 204).
    pub ml_dsa: bool,
}

impl Capabilities {
    /// Asks the token what it can do.
    ///
    /// # Errors
    /// [`TokenError::Lacks`] for what nothing can replace.
    pub(crate) fn probe(token: &Token, until: &Until) -> Result<Self, TokenError> {
        let listed = token.with_slot(until, |context, slot| context.get_mechanism_list(slot))?.map_err(failed)?;
        let has = |mechanism: MechanismType| listed.contains(&mechanism);
        let needed = [
            (MechanismType::ECC_KEY_PAIR_GEN, "generation of EC key pairs (CKM_EC_KEY_PAIR_GEN)"),
            (MechanismType::ECDSA, "ECDSA (CKM_ECDSA)"),
            (MechanismType::RSA_PKCS_KEY_PAIR_GEN, "generation of RSA key pairs (CKM_RSA_PKCS_KEY_PAIR_GEN)"),
            (MechanismType::SHA256_RSA_PKCS, "RSA with SHA-256 (CKM_SHA256_RSA_PKCS)"),
            (MechanismType::AES_KEY_GEN, "generation of AES keys (CKM_AES_KEY_GEN)"),
            (MechanismType::AES_CMAC, "AES-CMAC (CKM_AES_CMAC)"),
            (MechanismType::SHA256_HMAC, "HMAC with SHA-256 (CKM_SHA256_HMAC)"),
        ];
        if let Some((_, name)) = needed.into_iter().find(|(mechanism, _)| !has(*mechanism)) {
            return Err(TokenError::Lacks(name));
        }
        Ok(Self {
            ecdsa_sha256: has(MechanismType::ECDSA_SHA256),
            ecdsa_sha384: has(MechanismType::ECDSA_SHA384),
            sp800_108: has(MechanismType::SP800_108_COUNTER_KDF),
            eddsa: has(MechanismType::EDDSA),
            ml_dsa: has(MechanismType::ML_DSA),
        })
    }
}
