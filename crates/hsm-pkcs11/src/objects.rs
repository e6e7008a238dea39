//! Keys as objects of a token.
//!
//! A key's label (`CKA_LABEL`) is its [`KeyName`]. Its identifier (`CKA_ID`) has 16 bytes: the code of its kind, then the first 15
//! bytes of the SHA-256 of its name. So a key that somebody else made under one of our names is not taken for ours, and every key
//! of a token can be told apart by its identifier alone, as other programs want it.

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use der::asn1::OctetStringRef;
use der::{Decode, Encode};
use hsm::{AesLength, HsmError, KeyKind, KeyName};
use sha2::{Digest, Sha256};
use spki::EncodePublicKey;

use crate::capabilities::{Capabilities, tried};
use crate::error::Fault;
use crate::provisioning::Refusal;
use crate::token::Call;

const RSA_BITS: u64 = 2048;
const HMAC_BYTES: u64 = 32;
const RECORD_KEY_BYTES: u64 = 32;

/// Kinds of keys and their codes.
const CODES: [(u8, KeyKind); 8] = [
    (0x01, KeyKind::EcP256),
    (0x02, KeyKind::EcP384),
    (0x03, KeyKind::Rsa2048),
    (0x11, KeyKind::CardMaster(AesLength::Aes128)),
    (0x12, KeyKind::CardMaster(AesLength::Aes192)),
    (0x13, KeyKind::CardMaster(AesLength::Aes256)),
    (0x21, KeyKind::RecordKey),
    (0x31, KeyKind::Hmac),
];

/// The identifier of the key `name` of kind `kind`; `None` for a kind that no token holds.
#[must_use]
pub fn identifier(name: &KeyName, kind: KeyKind) -> Option<[u8; 16]> {
    let (code, _) = CODES.into_iter().find(|(_, of)| *of == kind)?;
    let digest = Sha256::digest(name.as_str());
    let mut identifier = [code; 16];
    identifier[1..].copy_from_slice(&digest[..15]);
    Some(identifier)
}

/// The kind of the key `name`, if `identifier` is one of ours.
fn kind_of(name: &KeyName, id: &[u8]) -> Option<KeyKind> {
    let (_, kind) = CODES.into_iter().find(|(code, _)| id.first() == Some(code))?;
    (identifier(name, kind)?.as_slice() == id).then_some(kind)
}

/// A private or secret key of ours.
pub(crate) struct Found {
    pub(crate) handle: ObjectHandle,
    pub(crate) name: KeyName,
    pub(crate) kind: KeyKind,
}

/// The one private or secret key of that name.
pub(crate) fn find(session: &Call<'_>, name: &KeyName) -> Result<Found, Fault> {
    let candidates = session.find_objects(&[Attribute::Label(name.as_str().into())])?;
    let mut found = Vec::new();
    for handle in candidates {
        found.extend(ours(session, handle)?.filter(|key| key.name == *name));
    }
    match (found.pop(), found.is_empty()) {
        (Some(key), true) => Ok(key),
        (Some(_), false) => Err(HsmError::SeveralKeys(name.clone()).into()),
        (None, _) => {
            session.has_seen_all()?;
            Err(HsmError::NoSuchKey(name.clone()).into())
        }
    }
}

/// The one key of that name and kind. The token is asked for nothing else, and for no attribute: on some, a search costs more than a
/// signature.
pub(crate) fn find_kind(session: &Call<'_>, name: &KeyName, kind: KeyKind) -> Result<Found, Fault> {
    let wrong_kind = || Fault::Answer(HsmError::WrongKind(name.clone()));
    let class = match kind {
        KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::Rsa2048 => ObjectClass::PRIVATE_KEY,
        _ => ObjectClass::SECRET_KEY,
    };
    let id = identifier(name, kind).ok_or_else(wrong_kind)?;
    let template = [Attribute::Class(class), Attribute::Label(name.as_str().into()), Attribute::Id(id.to_vec())];
    match *session.find_objects(&template)? {
        [handle] => Ok(Found { handle, name: name.clone(), kind }),
        // What there is instead tells why.
        [] => find(session, name).and_then(|key| if key.kind == kind { Ok(key) } else { Err(wrong_kind()) }),
        _ => Err(HsmError::SeveralKeys(name.clone()).into()),
    }
}

/// All private and secret keys of ours, and how many there are that are not.
pub(crate) fn all(session: &Call<'_>) -> Result<(Vec<Found>, usize), Fault> {
    let (mut found, mut foreign) = (Vec::new(), 0);
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
        for handle in session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])? {
            match ours(session, handle)? {
                Some(key) => found.push(key),
                None => foreign += 1,
            }
        }
    }
    session.has_seen_all()?;
    Ok((found, foreign))
}

fn ours(session: &Session, handle: ObjectHandle) -> Result<Option<Found>, Fault> {
    let attributes =
        session.get_attributes(handle, &[AttributeType::Class, AttributeType::Label, AttributeType::Id])?;
    let (mut class, mut label, mut id) = (None, None, None);
    for attribute in attributes {
        match attribute {
            Attribute::Class(is) => class = Some(is),
            Attribute::Label(is) => label = String::from_utf8(is).ok(),
            Attribute::Id(is) => id = Some(is),
            _ => {}
        }
    }
    let (Some(class), Some(label), Some(id)) = (class, label, id) else { return Ok(None) };
    let is_key = [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY].contains(&class);
    let name = KeyName::new(label);
    Ok(kind_of(&name, &id).filter(|_| is_key).map(|kind| Found { handle, name, kind }))
}

/// The public half of a key pair, as DER-encoded SubjectPublicKeyInfo.
pub(crate) fn public_key(session: &Call<'_>, key: &Found) -> Result<Vec<u8>, Fault> {
    let id = match key.kind {
        KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::Rsa2048 => identifier(&key.name, key.kind),
        _ => None,
    };
    let id = id.ok_or_else(|| HsmError::WrongKind(key.name.clone()))?;
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.to_vec())];
    let handles = session.find_objects(&template)?;
    let [handle] = *handles else {
        return Err(match handles.len() {
            0 => HsmError::NoSuchKey(key.name.clone()),
            _ => HsmError::SeveralKeys(key.name.clone()),
        }
        .into());
    };
    let damaged = || HsmError::Damaged(format!("the public half of {} can't be read", key.name));
    subject_public_key_info(session, handle, key.kind)?.ok_or_else(|| damaged().into())
}

/// A public key of that kind as DER-encoded SubjectPublicKeyInfo; `None` if it is none.
pub(crate) fn subject_public_key_info(
    session: &Session,
    handle: ObjectHandle,
    kind: KeyKind,
) -> Result<Option<Vec<u8>>, Fault> {
    let document = match kind {
        KeyKind::Rsa2048 => {
            let wanted = [AttributeType::Modulus, AttributeType::PublicExponent];
            let (mut n, mut e) = (Vec::new(), Vec::new());
            for attribute in session.get_attributes(handle, &wanted)? {
                match attribute {
                    Attribute::Modulus(is) => n = is,
                    Attribute::PublicExponent(is) => e = is,
                    _ => {}
                }
            }
            let number = rsa::BigUint::from_bytes_be;
            rsa::RsaPublicKey::new(number(&n), number(&e)).ok().map(|key| key.to_public_key_der())
        }
        _ => {
            let attributes = session.get_attributes(handle, &[AttributeType::EcPoint])?;
            let Some(Attribute::EcPoint(value)) = attributes.into_iter().next() else { return Ok(None) };
            // The standard wraps the point into an OCTET STRING; some modules give it bare.
            let point = OctetStringRef::from_der(&value).map_or(value.as_slice(), |wrapped| wrapped.as_bytes());
            match kind {
                KeyKind::EcP256 => p256::PublicKey::from_sec1_bytes(point).ok().map(|key| key.to_public_key_der()),
                KeyKind::EcP384 => p384::PublicKey::from_sec1_bytes(point).ok().map(|key| key.to_public_key_der()),
                _ => None,
            }
        }
    };
    Ok(document.and_then(Result::ok).map(spki::Document::into_vec))
}

/// What every private and secret key of ours is: in the token, behind the login, and never to leave it.
fn protection(name: &KeyName, id: [u8; 16], mechanism: MechanismType, lasts: Lasts) -> Vec<Attribute> {
    vec![
        Attribute::Token(lasts == Lasts::InTheToken),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::AllowedMechanisms(vec![mechanism]),
        Attribute::Label(name.as_str().into()),
        Attribute::Id(id.to_vec()),
    ]
}

/// The one mechanism that a key of this kind is used with.
pub(crate) fn mechanism_of(kind: KeyKind, capabilities: &Capabilities) -> MechanismType {
    match kind {
        KeyKind::EcP256 if capabilities.ecdsa_sha256 => MechanismType::ECDSA_SHA256,
        KeyKind::EcP384 if capabilities.ecdsa_sha384 => MechanismType::ECDSA_SHA384,
        KeyKind::EcP256 | KeyKind::EcP384 => MechanismType::ECDSA,
        KeyKind::Rsa2048 => MechanismType::SHA256_RSA_PKCS,
        KeyKind::CardMaster(_) if capabilities.sp800_108 => MechanismType::SP800_108_COUNTER_KDF,
        KeyKind::Hmac => MechanismType::SHA256_HMAC,
        _ => MechanismType::AES_CMAC,
    }
}

/// Makes a key that is not there yet, and looks whether it is as it was to be. `begun` is set once the token has been told to make
/// it: when the line is lost after that, the key may be there or not, and the next attempt looks.
///
/// # Errors
/// [`Refusal`] if the token made another key than it was told to; that one is destroyed.
pub(crate) fn generate(
    session: &Call<'_>,
    name: &KeyName,
    kind: KeyKind,
    capabilities: &Capabilities,
    begun: &mut bool,
) -> Result<Result<(), Refusal>, Fault> {
    match find(session, name) {
        // The attempt before has made it.
        Ok(key) if *begun && key.kind == kind => {
            let checked = is_as_asked(session, key.handle, mechanism_of(kind, capabilities))?;
            if checked.is_err() {
                destroy(session, &key)?;
            }
            return Ok(checked);
        }
        Ok(_) => return Err(HsmError::SeveralKeys(name.clone()).into()),
        Err(Fault::Answer(HsmError::NoSuchKey(_))) => {}
        Err(fault) => return Err(fault),
    }
    remove_public(session, name, kind)?;
    *begun = true;
    let made = make(session, name, kind, capabilities, Lasts::InTheToken)?;
    let checked = is_as_asked(session, made.key, mechanism_of(kind, capabilities))?;
    if checked.is_err() {
        for object in made.public.into_iter().chain([made.key]) {
            session.destroy_object(object)?;
        }
    }
    Ok(checked)
}

/// A new key.
pub(crate) struct Made {
    pub(crate) key: ObjectHandle,
    public: Option<ObjectHandle>,
}

/// How long a key lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Until it is destroyed.
    InTheToken,
    /// As long as its session.
    InTheSession,
}

/// Tells the token to make a key.
pub(crate) fn make(
    session: &Session,
    name: &KeyName,
    kind: KeyKind,
    capabilities: &Capabilities,
    lasts: Lasts,
) -> Result<Made, Fault> {
    let id = identifier(name, kind).ok_or_else(|| HsmError::WrongKind(name.clone()))?;
    let mechanism = mechanism_of(kind, capabilities);
    let mut template = protection(name, id, mechanism, lasts);
    let public = |mut own: Vec<Attribute>| {
        own.extend([
            Attribute::Token(lasts == Lasts::InTheToken),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::Label(name.as_str().into()),
            Attribute::Id(id.to_vec()),
        ]);
        own
    };
    let mut public_half = None;
    let key = match kind {
        KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::Rsa2048 => {
            template.push(Attribute::Sign(true));
            let (generation, own) = pair_generation(kind)?;
            let (public, private) = session.generate_key_pair(&generation, &public(own), &template)?;
            public_half = Some(public);
            private
        }
        KeyKind::Hmac => {
            template.extend([
                Attribute::KeyType(KeyType::GENERIC_SECRET),
                Attribute::ValueLen(HMAC_BYTES.into()),
                Attribute::Sign(true),
            ]);
            session.generate_key(&Mechanism::GenericSecretKeyGen, &template)?
        }
        aes => {
            let length = match aes {
                KeyKind::CardMaster(length) => length.bytes() as u64,
                _ => RECORD_KEY_BYTES,
            };
            template.push(Attribute::ValueLen(length.into()));
            template.extend(derives_only(mechanism));
            session.generate_key(&Mechanism::AesKeyGen, &template)?
        }
    };
    Ok(Made { key, public: public_half })
}

/// How a key pair of this kind is made, and what its public half is to be.
pub(crate) fn pair_generation(kind: KeyKind) -> Result<(Mechanism<'static>, Vec<Attribute>), Fault> {
    Ok(match kind {
        KeyKind::Rsa2048 => (
            Mechanism::RsaPkcsKeyPairGen,
            vec![Attribute::ModulusBits(RSA_BITS.into()), Attribute::PublicExponent(vec![0x01, 0x00, 0x01])],
        ),
        curve => (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(curve_parameters(curve)?)]),
    })
}

/// What an AES key of ours is for: to derive others, in the token or by its CMAC.
fn derives_only(mechanism: MechanismType) -> [Attribute; 7] {
    let derives = mechanism == MechanismType::SP800_108_COUNTER_KDF;
    [
        Attribute::KeyType(KeyType::AES),
        Attribute::Derive(derives),
        Attribute::Sign(!derives),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
    ]
}

/// Puts an AES key that is not there yet into the token, and looks whether it is as it was to be. `begun` is that of [`generate`].
///
/// # Errors
/// As [`generate`].
#[cfg(feature = "card-factory")]
pub(crate) fn import(
    session: &Call<'_>,
    name: &KeyName,
    kind: KeyKind,
    value: &[u8],
    capabilities: &Capabilities,
    begun: &mut bool,
) -> Result<Result<(), Refusal>, Fault> {
    let mechanism = mechanism_of(kind, capabilities);
    match find(session, name) {
        // The attempt before has put it there.
        Ok(key) if *begun && key.kind == kind => return is_as_asked(session, key.handle, mechanism),
        Ok(_) => return Err(HsmError::SeveralKeys(name.clone()).into()),
        Err(Fault::Answer(HsmError::NoSuchKey(_))) => *begun = true,
        Err(fault) => return Err(fault),
    }
    let id = identifier(name, kind).ok_or_else(|| HsmError::WrongKind(name.clone()))?;
    let mut template = protection(name, id, mechanism, Lasts::InTheToken);
    template.extend([Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Value(value.to_vec())]);
    template.extend(derives_only(mechanism));
    let key = session.create_object(&template)?;
    let checked = is_as_asked(session, key, mechanism)?;
    if checked.is_err() {
        session.destroy_object(key)?;
    }
    Ok(checked)
}

/// Reads back what was asked for; what can't be read back is not as it was to be. A token that says so may still lie: whether a key can be had out of it is tried elsewhere.
fn is_as_asked(session: &Session, key: ObjectHandle, mechanism: MechanismType) -> Result<Result<(), Refusal>, Fault> {
    let asked = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::AllowedMechanisms(vec![mechanism]),
    ];
    for attribute in asked {
        let kind = attribute.attribute_type();
        let is = tried(session.get_attributes(key, &[kind]))?;
        if is.is_none_or(|is| is != [attribute]) {
            return Ok(Err(Refusal::Attribute(kind.to_string())));
        }
    }
    Ok(Ok(()))
}

/// Removes a key, and its public half.
pub(crate) fn destroy(session: &Session, key: &Found) -> Result<(), Fault> {
    remove_public(session, &key.name, key.kind)?;
    Ok(session.destroy_object(key.handle)?)
}

/// Removes the public half of a key: also one that was left alone, when the line was lost while a pair was made or destroyed.
fn remove_public(session: &Session, name: &KeyName, kind: KeyKind) -> Result<(), Fault> {
    let Some(id) = identifier(name, kind) else { return Ok(()) };
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.to_vec())];
    for public in session.find_objects(&template)? {
        session.destroy_object(public)?;
    }
    Ok(())
}

/// The name of a curve, as `CKA_EC_PARAMS` has it (RFC 5480 §2.1.1.1).
pub(crate) fn curve_parameters(kind: KeyKind) -> Result<Vec<u8>, Fault> {
    let curve = if kind == KeyKind::EcP384 { p384_oid() } else { p256_oid() };
    curve.to_der().map_err(|_| HsmError::Damaged("no name for the curve".into()).into())
}

const fn p256_oid() -> spki::ObjectIdentifier {
    spki::ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")
}

const fn p384_oid() -> spki::ObjectIdentifier {
    spki::ObjectIdentifier::new_unwrap("1.3.132.0.34")
}
