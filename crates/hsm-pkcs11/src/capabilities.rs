//! What a token really does: tried with keys that last as long as their session.

use std::fmt;

use cryptoki::error::Error;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectHandle};
use hsm::{CardKeySet, KeyKind, SessionDerivation};

use crate::cards;
use crate::derivation::Master;
use crate::error::{Fault, Loss, TokenError, failed, loss};
use crate::module::Until;
use crate::objects::curve_parameters;
use crate::raw;
use crate::token::{Call, Token};

/// What a token does, as it was found when it was opened: each was done once, with a throw-away key. What is missing is done in
/// another way, or the keys that need it can't be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Capabilities {
    /// Signs with P-256.
    pub ec_p256: bool,
    /// Signs with P-384.
    pub ec_p384: bool,
    /// Signs with RSA-2048 and SHA-256.
    pub rsa_2048: bool,
    /// AES-CMAC: the keys of cards and of sealed records.
    pub aes_cmac: bool,
    /// HMAC-SHA-256: references to residents in the log.
    pub hmac_sha256: bool,
    /// ECDSA with SHA-256 inside; else the host hashes.
    pub ecdsa_sha256: bool,
    /// ECDSA with SHA-384 inside; else the host hashes.
    pub ecdsa_sha384: bool,
    /// Derivation by NIST SP 800-108 in counter mode with AES-CMAC inside, in the layout of SCP03 and with its results. Without it
    /// a card's keys are computed by AES-CMAC and are on the host while they are used: the weaker mode.
    pub sp800_108: bool,
    /// What is derived so from a master key may be a key that can be read, if the program asks for it: whoever has the program in
    /// their hands has single cards' keys, as without the mechanism. The master key is safe.
    pub readable_children: bool,
    /// New static keys for a card can be enciphered under its present ones: inside with `CKM_AES_CBC` as a mechanism that wraps, or, in
    /// the weaker mode, on the host.
    pub key_changeover: bool,
    /// How a key pair for a card can be wrapped.
    pub key_wrap: KeyWrap,
    /// EdDSA, as the token says: nothing uses it, so it is not tried.
    pub eddsa: bool,
    /// ML-DSA (FIPS 204), as the token says: nothing uses it, so it is not tried.
    pub ml_dsa: bool,
}

/// How a token wraps private keys under AES (RFC 5649).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyWrap {
    /// `CKM_AES_KEY_WRAP_KWP` (0x210B): what comes out is the PKCS #8 key.
    Exact,
    /// `CKM_AES_KEY_WRAP_PAD` (0x210A): the PKCS #8 key may be followed by zeros, which have to be cut off.
    ToBeTrimmed,
    /// Not at all.
    #[default]
    None,
}

impl Capabilities {
    /// Tries what the token says that it can do.
    ///
    /// # Errors
    /// [`TokenError::Hsm`] if the token is lost on the way.
    pub(crate) fn probe(token: &Token, until: &Until) -> Result<Self, TokenError> {
        let (listed, has_kwp) = token.with_slot(until, |context, slot| {
            let has_kwp = context.get_mechanism_info(slot, raw::aes_key_wrap_kwp()).is_ok_and(|info| info.wrap());
            (context.get_mechanism_list(slot), has_kwp)
        })?;
        let listed = listed.map_err(failed)?;
        Ok(token.work(until, |session| Trial { session, listed: &listed, has_kwp }.all())?)
    }
}

struct Trial<'a> {
    session: &'a Call<'a>,
    listed: &'a [MechanismType],
    /// The list of mechanisms leaves out what has no name in the crate.
    has_kwp: bool,
}

/// What the derivation inside was found to do, if it gives the right keys.
#[derive(Clone, Copy)]
struct Sp800108 {
    key_changeover: bool,
    readable_children: bool,
}

impl Trial<'_> {
    fn all(&self) -> Result<Capabilities, Fault> {
        let (ec_p256, ecdsa_sha256) = self.curve(KeyKind::EcP256, &Mechanism::EcdsaSha256, 32)?;
        let (ec_p384, ecdsa_sha384) = self.curve(KeyKind::EcP384, &Mechanism::EcdsaSha384, 48)?;
        let aes_cmac = self.signs_with(&Mechanism::AesKeyGen, KeyType::AES, &Mechanism::AesCMac, 16)?;
        let derivation = self.sp800_108()?;
        let sp800_108 = derivation.is_some();
        Ok(Capabilities {
            ec_p256,
            ec_p384,
            rsa_2048: self.rsa()?,
            aes_cmac,
            hmac_sha256: self.signs_with(
                &Mechanism::GenericSecretKeyGen,
                KeyType::GENERIC_SECRET,
                &Mechanism::Sha256Hmac,
                32,
            )?,
            ecdsa_sha256,
            ecdsa_sha384,
            sp800_108,
            readable_children: derivation.is_some_and(|found| found.readable_children),
            key_changeover: derivation.map_or(aes_cmac, |found| found.key_changeover),
            key_wrap: self.key_wrap()?,
            eddsa: self.lists(MechanismType::EDDSA),
            ml_dsa: self.lists(MechanismType::ML_DSA),
        })
    }

    fn lists(&self, mechanism: MechanismType) -> bool {
        self.listed.contains(&mechanism)
    }

    /// Does it sign with this curve, and does it hash, too?
    fn curve(&self, kind: KeyKind, hashing: &Mechanism<'_>, length: usize) -> Result<(bool, bool), Fault> {
        let public = [Attribute::Token(false), Attribute::EcParams(curve_parameters(kind)?)];
        let private = [Attribute::Token(false), Attribute::Sensitive(true), Attribute::Sign(true)];
        let Some(key) = self.pair(&Mechanism::EccKeyPairGen, &public, &private)? else { return Ok((false, false)) };
        let signs = self.signs(key, &Mechanism::Ecdsa, &vec![0x5a; length], 2 * length)?;
        let hashes = self.signs(key, hashing, &[0x5a; 200], 2 * length)?;
        self.session.destroy_object(key)?;
        Ok((signs, hashes))
    }

    fn rsa(&self) -> Result<bool, Fault> {
        let public = [
            Attribute::Token(false),
            Attribute::ModulusBits(2048.into()),
            Attribute::PublicExponent(vec![0x01, 0x00, 0x01]),
        ];
        let private = [Attribute::Token(false), Attribute::Sensitive(true), Attribute::Sign(true)];
        let Some(key) = self.pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private)? else { return Ok(false) };
        let signs = self.signs(key, &Mechanism::Sha256RsaPkcs, &[0x5a; 200], 256)?;
        self.session.destroy_object(key)?;
        Ok(signs)
    }

    fn signs_with(
        &self,
        generation: &Mechanism<'_>,
        key_type: KeyType,
        mechanism: &Mechanism<'_>,
        length: usize,
    ) -> Result<bool, Fault> {
        let template = [
            Attribute::Token(false),
            Attribute::Sensitive(true),
            Attribute::KeyType(key_type),
            Attribute::ValueLen(32.into()),
            Attribute::Sign(true),
        ];
        let Some(key) = self.secret(generation, &template)? else { return Ok(false) };
        let signs = self.signs(key, mechanism, &[0x5a; 200], length)?;
        self.session.destroy_object(key)?;
        Ok(signs)
    }

    /// Does the derivation inside give what CMAC under the same key gives, for a card's channel, and for its new static keys?
    fn sp800_108(&self) -> Result<Option<Sp800108>, Fault> {
        if !self.lists(MechanismType::SP800_108_COUNTER_KDF) || !self.lists(MechanismType::AES_CMAC) {
            return Ok(None);
        }
        let template = [
            Attribute::Token(false),
            Attribute::Sensitive(true),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Sign(true),
            Attribute::Derive(true),
        ];
        let Some(master) = self.secret(&Mechanism::AesKeyGen, &template)? else { return Ok(None) };
        let derivation = SessionDerivation {
            key_version: 1,
            diversification: [0x5a; 10],
            key_length: 32,
            host_challenge: vec![1; 8],
            card_challenge: vec![2; 8],
        };
        let (mut agree, mut sends) = (true, true);
        // Of one block, of one and a half, of two.
        for bits in [128, 192, 256] {
            let derivation = SessionDerivation { key_length: usize::from(bits) / 8, ..derivation.clone() };
            let master = |derives| Master::on_trial(self.session, master, bits, derives);
            let keys = |derives| tried(master(derives).session_keys(&derivation));
            agree &= match (keys(true)?, keys(false)?) {
                (Some(inside), Some(outside)) => {
                    inside.enc == outside.enc && inside.mac == outside.mac && inside.rmac == outside.rmac
                }
                _ => false,
            };
            let card = CardKeySet::from(&derivation);
            let sent =
                |derives| tried(cards::encipher_with(self.session, (master(derives), &card), (master(derives), 2)));
            let inside = sent(true)?;
            sends &= inside.is_some() && inside == sent(false)?;
        }
        let readable_children =
            Master::on_trial(self.session, master, 256, true).derives_readable(&CardKeySet::from(&derivation))?;
        self.session.destroy_object(master)?;
        Ok(agree.then_some(Sp800108 { key_changeover: sends, readable_children }))
    }

    fn key_wrap(&self) -> Result<KeyWrap, Fault> {
        let template = [
            Attribute::Token(false),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Wrap(true),
        ];
        let public = [Attribute::Token(false), Attribute::EcParams(curve_parameters(KeyKind::EcP384)?)];
        let private = [Attribute::Token(false), Attribute::Sensitive(true), Attribute::Extractable(true)];
        let Some(wrapping) = self.secret(&Mechanism::AesKeyGen, &template)? else { return Ok(KeyWrap::None) };
        let mut way = KeyWrap::None;
        if let Some(key) = self.pair(&Mechanism::EccKeyPairGen, &public, &private)? {
            let kwp = Mechanism::VendorDefined(raw::mechanism(raw::aes_key_wrap_kwp()));
            if self.has_kwp && tried(self.session.wrap_key(&kwp, wrapping, key))?.is_some() {
                way = KeyWrap::Exact;
            } else if self.lists(MechanismType::AES_KEY_WRAP_PAD)
                && tried(self.session.wrap_key(&Mechanism::AesKeyWrapPad, wrapping, key))?.is_some()
            {
                way = KeyWrap::ToBeTrimmed;
            }
            self.session.destroy_object(key)?;
        }
        self.session.destroy_object(wrapping)?;
        Ok(way)
    }

    /// The private half; the public one is not needed.
    fn pair(
        &self,
        generation: &Mechanism<'_>,
        public: &[Attribute],
        private: &[Attribute],
    ) -> Result<Option<ObjectHandle>, Fault> {
        if !self.lists(generation.mechanism_type()) {
            return Ok(None);
        }
        let Some((public, private)) = tried(self.session.generate_key_pair(generation, public, private))? else {
            return Ok(None);
        };
        self.session.destroy_object(public)?;
        Ok(Some(private))
    }

    fn secret(&self, generation: &Mechanism<'_>, template: &[Attribute]) -> Result<Option<ObjectHandle>, Fault> {
        if !self.lists(generation.mechanism_type()) {
            return Ok(None);
        }
        tried(self.session.generate_key(generation, template))
    }

    fn signs(
        &self,
        key: ObjectHandle,
        mechanism: &Mechanism<'_>,
        message: &[u8],
        length: usize,
    ) -> Result<bool, Fault> {
        Ok(self.lists(mechanism.mechanism_type())
            && tried(self.session.sign(mechanism, key, message))?.is_some_and(|signature| signature.len() == length))
    }
}

/// What was refused gives `None`; what was lost is lost.
pub(crate) fn tried<T, E: Into<Fault>>(result: Result<T, E>) -> Result<Option<T>, Fault> {
    match result.map_err(Into::into) {
        Ok(done) => Ok(Some(done)),
        Err(Fault::Call(error)) if is_refusal(&error) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Was the call refused, by a token that is still there?
fn is_refusal(error: &Error) -> bool {
    matches!(loss(error), Loss::None | Loss::Doubtful)
}

impl fmt::Display for Capabilities {
    /// One line for each thing that the token does or does not do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let able = |able: bool| if able { "yes" } else { "no" };
        let hashed = |inside: bool| if inside { "hashed in the HSM" } else { "hashed on the host" };
        writeln!(f, "ECDSA P-256: {}, {}", able(self.ec_p256), hashed(self.ecdsa_sha256))?;
        writeln!(f, "ECDSA P-384: {}, {}", able(self.ec_p384), hashed(self.ecdsa_sha384))?;
        writeln!(f, "RSA-2048 with SHA-256: {}", able(self.rsa_2048))?;
        writeln!(f, "AES-CMAC: {}", able(self.aes_cmac))?;
        writeln!(f, "HMAC-SHA-256: {}", able(self.hmac_sha256))?;
        let derivation = match (self.sp800_108, self.aes_cmac) {
            (true, _) => "in the HSM (SP 800-108)",
            (false, true) => "by AES-CMAC; a card's keys are on the host while they are used (weaker)",
            (false, false) => "no",
        };
        writeln!(f, "keys of cards: {derivation}")?;
        if self.readable_children {
            writeln!(f, "keys of cards can be derived so that they can be read, if the program asks for it (weaker)")?;
        }
        writeln!(f, "new static keys for cards: {}", able(self.key_changeover))?;
        let wrap = match self.key_wrap {
            KeyWrap::Exact => "RFC 5649 (CKM_AES_KEY_WRAP_KWP)",
            KeyWrap::ToBeTrimmed => "RFC 5649 with zeros to be cut off (CKM_AES_KEY_WRAP_PAD)",
            KeyWrap::None => "no",
        };
        writeln!(f, "wrapping of key pairs: {wrap}")?;
        write!(f, "EdDSA: {}, ML-DSA: {}", able(self.eddsa), able(self.ml_dsa))
    }
}
