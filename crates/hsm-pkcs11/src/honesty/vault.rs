//! The trial on a token's session.

use std::cell::OnceCell;
use std::num::NonZeroUsize;

use cryptoki::mechanism::ekdf::AesCbcDeriveParams;
use cryptoki::mechanism::kbkdf::{Endianness, KbkdfCounterFormat, KbkdfParams, PrfDataParam, PrfDataParamType};
use cryptoki::mechanism::misc::{ExtractParams, KeyDerivationStringData};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use hsm::{AesLength, KeyKind, KeyName};

use super::{Derivation, Protection, Secret, Vault, Wrapping};
use crate::capabilities::{Capabilities, tried};
use crate::error::Fault;
use crate::objects::{self, Lasts, mechanism_of};
use crate::raw;

/// The label of everything that is made for a trial.
const LABEL: &str = "madoguchi-trial";
/// A block, known to whoever derives.
const KNOWN: [u8; 32] = [0x5a; 32];

/// A token, by a session.
pub(crate) struct OnSession<'a> {
    session: &'a Session,
    capabilities: &'a Capabilities,
    rsa: OnceCell<Option<ObjectHandle>>,
    aes: OnceCell<Option<ObjectHandle>>,
}

impl<'a> OnSession<'a> {
    /// Attributes of an object that lasts as long as the session, and is swept by its label.
    fn passing(more: impl IntoIterator<Item = Attribute>) -> Vec<Attribute> {
        let mut template = vec![Attribute::Token(false), Attribute::Label(LABEL.into())];
        template.extend(more);
        template
    }

    /// A trial on this session.
    pub(crate) fn new(session: &'a Session, capabilities: &'a Capabilities) -> Self {
        Self { session, capabilities, rsa: OnceCell::new(), aes: OnceCell::new() }
    }

    /// The trial's key to wrap under: of RSA, or of AES.
    fn wrapping_key(&self, by: Wrapping) -> Result<Option<ObjectHandle>, Fault> {
        let is_rsa = matches!(by, Wrapping::RsaPkcs | Wrapping::RsaOaep);
        let made = if is_rsa { &self.rsa } else { &self.aes };
        if let Some(key) = made.get() {
            return Ok(*key);
        }
        let key = if is_rsa {
            let public = Self::passing([
                Attribute::ModulusBits(2048.into()),
                Attribute::PublicExponent(vec![0x01, 0x00, 0x01]),
                Attribute::Wrap(true),
            ]);
            let pair = self.session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &Self::passing([]));
            tried(pair)?.map(|(public, _)| public)
        } else {
            let own = [Attribute::KeyType(KeyType::AES), Attribute::ValueLen(32.into()), Attribute::Wrap(true)];
            tried(self.session.generate_key(&Mechanism::AesKeyGen, &Self::passing(own)))?
        };
        Ok(*made.get_or_init(|| key))
    }

    /// Is there anything to be read?
    fn has(&self, key: ObjectHandle, attribute: AttributeType) -> Result<bool, Fault> {
        let read = tried(self.session.get_attributes(key, &[attribute]))?.unwrap_or_default();
        Ok(read.into_iter().any(|attribute| match attribute {
            Attribute::Value(is) | Attribute::PrivateExponent(is) | Attribute::Prime1(is) | Attribute::Prime2(is) => {
                !is.is_empty()
            }
            _ => false,
        }))
    }

    /// Does the token itself say that the protection is off? Then whatever it still refuses, it does not keep the key.
    fn lacks(&self, key: ObjectHandle, protection: Protection) -> Result<bool, Fault> {
        let off = without(protection);
        Ok(tried(self.session.get_attributes(key, &[off.attribute_type()]))?.is_some_and(|is| is == [off]))
    }
}

impl Vault for OnSession<'_> {
    type Key = ObjectHandle;

    fn kinds(&self) -> Vec<KeyKind> {
        let able = self.capabilities;
        [
            (KeyKind::EcP256, able.ec_p256),
            (KeyKind::EcP384, able.ec_p384),
            (KeyKind::Rsa2048, able.rsa_2048),
            (KeyKind::CardMaster(AesLength::Aes256), able.aes_cmac),
            (KeyKind::RecordKey, able.aes_cmac),
            (KeyKind::Hmac, able.hmac_sha256),
        ]
        .into_iter()
        .filter_map(|(kind, able)| able.then_some(kind))
        .collect()
    }

    fn make(&self, kind: KeyKind) -> Result<ObjectHandle, Fault> {
        let make = |lasts| objects::make(self.session, &KeyName::new(LABEL), kind, self.capabilities, lasts);
        let made = match tried(make(Lasts::InTheToken))? {
            Some(made) => made,
            // A token that does not keep such a key can't be provisioned anyway. Whether it gives keys away shows all the same.
            None => make(Lasts::InTheSession)?,
        };
        Ok(made.key)
    }

    fn make_free(&self, kind: KeyKind) -> Result<Option<ObjectHandle>, Fault> {
        let free = [Attribute::Sensitive(false), Attribute::Extractable(true)];
        let pair = |generation: &Mechanism<'_>, public: Vec<Attribute>| {
            let private = Self::passing(free.clone().into_iter().chain([Attribute::Sign(true)]));
            let pair = self.session.generate_key_pair(generation, &Self::passing(public), &private);
            Ok(tried(pair)?.map(|(_, private)| private))
        };
        let secret = |generation: &Mechanism<'_>, key_type| {
            let own = [Attribute::KeyType(key_type), Attribute::ValueLen(32.into()), Attribute::Derive(true)];
            let template = Self::passing(free.clone().into_iter().chain(own));
            tried(self.session.generate_key(generation, &template))
        };
        match kind {
            KeyKind::EcP256 | KeyKind::EcP384 => {
                pair(&Mechanism::EccKeyPairGen, vec![Attribute::EcParams(objects::curve_parameters(kind)?)])
            }
            KeyKind::Rsa2048 => pair(
                &Mechanism::RsaPkcsKeyPairGen,
                vec![Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![0x01, 0x00, 0x01])],
            ),
            KeyKind::Hmac => secret(&Mechanism::GenericSecretKeyGen, KeyType::GENERIC_SECRET),
            _ => secret(&Mechanism::AesKeyGen, KeyType::AES),
        }
    }

    fn reads(&self, key: ObjectHandle, attribute: Secret) -> Result<bool, Fault> {
        self.has(
            key,
            match attribute {
                Secret::Value => AttributeType::Value,
                Secret::PrivateExponent => AttributeType::PrivateExponent,
                Secret::Prime1 => AttributeType::Prime1,
                Secret::Prime2 => AttributeType::Prime2,
            },
        )
    }

    fn unprotects(&self, key: ObjectHandle, protection: Protection) -> Result<bool, Fault> {
        let changed = tried(self.session.update_attributes(key, &[without(protection)]))?;
        Ok(changed.is_some() && self.lacks(key, protection)?)
    }

    fn copies(&self, key: ObjectHandle, protection: Protection) -> Result<bool, Fault> {
        // Tokens differ in what else may change while a key is copied.
        let alone = vec![without(protection)];
        let passing = vec![without(protection), Attribute::Token(false)];
        for template in [alone, passing] {
            if let Some(copy) = tried(self.session.copy_object(key, &template))? {
                let leaks = self.lacks(copy, protection)? || self.reads(copy, Secret::Value)?;
                if leaks {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn wraps(&self, key: ObjectHandle, by: Wrapping) -> Result<bool, Fault> {
        let mechanism = match by {
            Wrapping::KeyWrap => Mechanism::AesKeyWrap,
            Wrapping::KeyWrapKwp => Mechanism::VendorDefined(raw::mechanism(raw::aes_key_wrap_kwp())),
            Wrapping::KeyWrapPad => Mechanism::AesKeyWrapPad,
            Wrapping::CbcPad => Mechanism::AesCbcPad([0; 16]),
            Wrapping::Cbc => Mechanism::AesCbc([0; 16]),
            Wrapping::Ecb => Mechanism::AesEcb,
            Wrapping::RsaPkcs => Mechanism::RsaPkcs,
            Wrapping::RsaOaep => Mechanism::RsaPkcsOaep(PkcsOaepParams::new(
                MechanismType::SHA1,
                PkcsMgfType::MGF1_SHA1,
                PkcsOaepSource::empty(),
            )),
        };
        let Some(wrapping) = self.wrapping_key(by)? else { return Ok(false) };
        let wrapped = tried(self.session.wrap_key(&mechanism, wrapping, key))?;
        Ok(wrapped.is_some_and(|wrapped| !wrapped.is_empty()))
    }

    fn derives(&self, key: ObjectHandle, by: Derivation) -> Result<bool, Fault> {
        let known = KeyDerivationStringData::new(&KNOWN);
        let counter = KbkdfCounterFormat::new(Endianness::Big, const { NonZeroUsize::new(8).unwrap() });
        let input = [
            PrfDataParam::new(PrfDataParamType::IterationVariable(Some(&counter))),
            PrfDataParam::new(PrfDataParamType::ByteArray(&KNOWN)),
        ];
        let ecb = raw::string_data(&KNOWN);
        let mechanism = match by {
            Derivation::EcbEncryptData => Mechanism::VendorDefined(raw::aes_ecb_encrypt_data(&ecb)),
            Derivation::CbcEncryptData => Mechanism::AesCbcEncryptData(AesCbcDeriveParams::new([0; 16], &KNOWN)),
            Derivation::Sp800108Counter => {
                Mechanism::KbkdfCounter(KbkdfParams::new(MechanismType::AES_CMAC, &input, None))
            }
            Derivation::ConcatenateBaseAndKey => {
                let template = Self::passing([
                    Attribute::KeyType(KeyType::GENERIC_SECRET),
                    Attribute::ValueLen(16.into()),
                    Attribute::Sensitive(false),
                    Attribute::Extractable(true),
                ]);
                match tried(self.session.generate_key(&Mechanism::GenericSecretKeyGen, &template))? {
                    Some(other) => Mechanism::ConcatenateBaseAndKey(other),
                    None => return Ok(false),
                }
            }
            Derivation::ConcatenateBaseAndData => Mechanism::ConcatenateBaseAndData(known),
            Derivation::ConcatenateDataAndBase => Mechanism::ConcatenateDataAndBase(known),
            Derivation::XorBaseAndData => Mechanism::XorBaseAndData(known),
            Derivation::ExtractKeyFromKey => Mechanism::ExtractKeyFromKey(ExtractParams::new(0)),
        };
        let child = Self::passing([
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::ValueLen(16.into()),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
        ]);
        match tried(self.session.derive_key(&mechanism, key, &child))? {
            Some(child) => self.reads(child, Secret::Value),
            None => Ok(false),
        }
    }

    fn misuses(&self, key: ObjectHandle, kind: KeyKind) -> Result<Option<String>, Fault> {
        let own = mechanism_of(kind, self.capabilities);
        let others = match kind {
            KeyKind::EcP256 | KeyKind::EcP384 => vec![Mechanism::Ecdsa, Mechanism::EcdsaSha1, Mechanism::EcdsaSha256],
            KeyKind::Rsa2048 => vec![Mechanism::RsaPkcs, Mechanism::RsaX509, Mechanism::Sha1RsaPkcs],
            KeyKind::Hmac => vec![Mechanism::Sha1Hmac, Mechanism::Sha512Hmac],
            _ => vec![Mechanism::AesCMac, Mechanism::AesEcb, Mechanism::AesCbc([0; 16])],
        };
        for mechanism in others.into_iter().filter(|mechanism| mechanism.mechanism_type() != own) {
            let result = match &mechanism {
                Mechanism::AesEcb | Mechanism::AesCbc(_) => self.session.encrypt(&mechanism, key, &KNOWN),
                _ => self.session.sign(&mechanism, key, &KNOWN),
            };
            if tried(result)?.is_some() {
                return Ok(Some(mechanism.mechanism_type().to_string()));
            }
        }
        Ok(None)
    }

    fn sweep(&self) -> Result<(), Fault> {
        for object in self.session.find_objects(&[Attribute::Label(LABEL.into())])? {
            self.session.destroy_object(object)?;
        }
        Ok(())
    }
}

/// What a key is whose protection is off.
fn without(protection: Protection) -> Attribute {
    match protection {
        Protection::NotExtractable => Attribute::Extractable(true),
        Protection::Sensitive => Attribute::Sensitive(false),
    }
}
