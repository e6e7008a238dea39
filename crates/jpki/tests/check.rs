//! A certificate that differs in any one field from what was applied for is found, and the field named.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

use std::str::FromStr;
use std::sync::LazyLock;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{C, CN, L, O, OU};
use const_oid::db::rfc5280::{ID_AD_OCSP, ID_PE_AUTHORITY_INFO_ACCESS};
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_384, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES,
    ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
    ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_KP_EMAIL_PROTECTION, ID_QT_CPS, SHA_256_WITH_RSA_ENCRYPTION,
};
use der::asn1::{Any, BitString, Ia5String, OctetString, SetOfVec, UtcTime};
use der::{Decode, Encode, Tag};
use jiff::civil::date;
use jiff::{Timestamp, ToSpan};
use jpki::{
    Application, CertificateField as Field, CertificateKind, CertificateProfile, CertificateText, Expected,
    IssuingProfile, KeyAlgorithm, Mismatch, Municipality, Sex, check, oid,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rsa::RsaPrivateKey;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use signature::{SignatureEncoding, Signer};
use spki::{AlgorithmIdentifierOwned, EncodePublicKey, SubjectPublicKeyInfoOwned};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{PolicyInformation, PolicyQualifierInfo};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName, OtherName};
use x509_cert::ext::pkix::{AccessDescription, AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

const REQUEST: &str = "202607011030000001713999A001";
const AUTH_NAME: &str = "ABCDEF0123456713999A001";
const OCSP: &str = "http://127.0.0.1:8080/ocsp";

enum Key {
    Rsa(Box<rsa::pkcs1v15::SigningKey<Sha256>>, RsaPrivateKey),
    Ec(p384::ecdsa::SigningKey),
}

impl Key {
    fn new(algorithm: KeyAlgorithm, seed: u64) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        match algorithm {
            KeyAlgorithm::Rsa2048 => {
                let key = RsaPrivateKey::new(&mut random, 2048).unwrap();
                Self::Rsa(Box::new(rsa::pkcs1v15::SigningKey::new(key.clone())), key)
            }
            KeyAlgorithm::EcP384 => Self::Ec(p384::ecdsa::SigningKey::random(&mut random)),
        }
    }

    fn spki(&self) -> SubjectPublicKeyInfoOwned {
        let der = match self {
            Self::Rsa(_, key) => key.to_public_key().to_public_key_der(),
            Self::Ec(key) => key.verifying_key().to_public_key_der(),
        };
        SubjectPublicKeyInfoOwned::from_der(der.unwrap().as_bytes()).unwrap()
    }

    fn algorithm(&self) -> AlgorithmIdentifierOwned {
        match self {
            Self::Rsa(..) => {
                AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) }
            }
            Self::Ec(_) => AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA_384, parameters: None },
        }
    }

    fn sign(&self, tbs: TbsCertificate) -> Vec<u8> {
        let message = tbs.to_der().unwrap();
        let signature = match self {
            Self::Rsa(key, _) => key.sign(&message).to_vec(),
            Self::Ec(key) => Signer::<p384::ecdsa::Signature>::sign(key, &message).to_der().as_bytes().to_vec(),
        };
        let signature_algorithm = tbs.signature.clone();
        let signature = BitString::from_bytes(&signature).unwrap();
        Certificate { tbs_certificate: tbs, signature_algorithm, signature }.to_der().unwrap()
    }
}

fn name(attributes: &[(ObjectIdentifier, &str)]) -> Name {
    let rdn = |(index, (oid, value)): (usize, &(ObjectIdentifier, &str))| {
        let tag = if index == 0 { Tag::PrintableString } else { Tag::Utf8String };
        let value = Any::new(tag, value.as_bytes()).unwrap();
        RelativeDistinguishedName(SetOfVec::try_from(vec![AttributeTypeAndValue { oid: *oid, value }]).unwrap())
    };
    RdnSequence(attributes.iter().enumerate().map(rdn).collect())
}

fn extension(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> Extension {
    Extension { extn_id: oid, critical, extn_value: OctetString::new(value.to_der().unwrap()).unwrap() }
}

fn directory_name(name: Name) -> Vec<GeneralName> {
    vec![GeneralName::DirectoryName(name)]
}

fn key_id(key: &SubjectPublicKeyInfoOwned) -> OctetString {
    OctetString::new(Sha1::digest(key.subject_public_key.raw_bytes()).to_vec()).unwrap()
}

fn other_names(items: &[(&str, &str)]) -> Extension {
    let names: Vec<_> = items
        .iter()
        .map(|(oid, text)| {
            let value = Any::new(Tag::Utf8String, text.as_bytes()).unwrap();
            GeneralName::OtherName(OtherName { type_id: ObjectIdentifier::new(oid).unwrap(), value })
        })
        .collect();
    extension(ID_CE_SUBJECT_ALT_NAME, false, &names)
}

fn policies(oid: &str, cps: &str) -> Extension {
    let cps = PolicyQualifierInfo {
        policy_qualifier_id: ID_QT_CPS,
        qualifier: Some(Any::new(Tag::Ia5String, cps.as_bytes()).unwrap()),
    };
    let oid = ObjectIdentifier::new(oid).unwrap();
    let policy = PolicyInformation { policy_identifier: oid, policy_qualifiers: Some(vec![cps]) };
    extension(ID_CE_CERTIFICATE_POLICIES, true, &vec![policy])
}

fn distribution_point(name: Name) -> Extension {
    let point = DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(directory_name(name))),
        reasons: None,
        crl_issuer: None,
    };
    extension(ID_CE_CRL_DISTRIBUTION_POINTS, false, &vec![point])
}

fn ocsp(uri: &str) -> Extension {
    let location = GeneralName::UniformResourceIdentifier(Ia5String::new(uri).unwrap());
    let access = AccessDescription { access_method: ID_AD_OCSP, access_location: location };
    extension(ID_PE_AUTHORITY_INFO_ACCESS, false, &vec![access])
}

fn time(text: &str) -> Time {
    let seconds = Timestamp::from_str(text).unwrap().as_second().unsigned_abs();
    Time::UtcTime(UtcTime::from_unix_duration(std::time::Duration::from_secs(seconds)).unwrap())
}

/// A municipality, an authority of one kind and generation, a resident's key.
struct World {
    kind: CertificateKind,
    profile: IssuingProfile,
    environment: CertificateProfile,
    municipality: Municipality,
    application: Application,
    authority_key: Key,
    authority: Vec<u8>,
    resident_key: SubjectPublicKeyInfoOwned,
    resident_spki: Vec<u8>,
}

/// Making RSA keys takes most of this test's time: each is made once.
static WORLDS: LazyLock<Vec<World>> = LazyLock::new(|| {
    let worlds = [IssuingProfile::jpki_2016(), IssuingProfile::jpki_next()];
    worlds.iter().flat_map(|profile| CertificateKind::BOTH.map(|kind| World::new(profile, kind))).collect()
});

static OTHER_KEYS: LazyLock<[SubjectPublicKeyInfoOwned; 2]> =
    LazyLock::new(|| [KeyAlgorithm::Rsa2048, KeyAlgorithm::EcP384].map(|algorithm| Key::new(algorithm, 99).spki()));

impl World {
    fn new(profile: &IssuingProfile, kind: CertificateKind) -> Self {
        let text = |text: &str, marks: &str| CertificateText { text: text.into(), substituted: marks.into() };
        let mut world = Self {
            kind,
            profile: profile.clone(),
            environment: CertificateProfile::simulator(),
            municipality: Municipality {
                code: "13999".into(),
                prefecture: "Tokyo-to".into(),
                city: "Midori-ku".into(),
            },
            application: Application {
                name: text("高橋［佐藤］　桜", "10000000"),
                alias: Some(text("金田　桜", "0000")),
                address: text("東京都みどり区北町１－２－３", "00000000000000"),
                birth: date(1990, 4, 10),
                sex: Sex::Female,
                applied_on: date(2026, 7, 1),
            },
            authority_key: Key::new(profile.algorithm, 1),
            authority: Vec::new(),
            resident_key: Key::new(profile.algorithm, 2).spki(),
            resident_spki: Vec::new(),
        };
        world.resident_spki = world.resident_key.to_der().unwrap();
        world.authority = world.authority_certificate(|_| {});
        world
    }

    fn authority_name(&self) -> Name {
        let environment = &self.environment;
        let unit = &environment.of_kind(self.kind).unit;
        name(&[(C, "JP"), (O, &environment.organization), (OU, unit), (OU, &environment.agency)])
    }

    fn authority_certificate(&self, change: impl FnOnce(&mut TbsCertificate)) -> Vec<u8> {
        let key = self.authority_key.spki();
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        let constraints = BasicConstraints { ca: true, path_len_constraint: None };
        let mut tbs = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&[0x01, 0x80]).unwrap(),
            signature: self.authority_key.algorithm(),
            issuer: self.authority_name(),
            validity: Validity { not_before: time("2024-01-01T00:00:00Z"), not_after: time("2049-01-01T00:00:00Z") },
            subject: self.authority_name(),
            subject_public_key_info: key.clone(),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(vec![
                extension(ID_CE_KEY_USAGE, true, &usage),
                extension(ID_CE_BASIC_CONSTRAINTS, true, &constraints),
                extension(ID_CE_SUBJECT_KEY_IDENTIFIER, false, &key_id(&key)),
            ]),
        };
        change(&mut tbs);
        self.authority_key.sign(tbs)
    }

    fn person(&self) -> Vec<(&str, &str)> {
        vec![
            (oid::NAME, "高橋［佐藤］　桜"),
            (oid::BIRTH, "419900410"),
            (oid::SEX, "2"),
            (oid::ADDRESS, "東京都みどり区北町１－２－３"),
            (oid::NAME_SUBSTITUTED, "10000000"),
            (oid::ADDRESS_SUBSTITUTED, "00000000000000"),
            (oid::ALIAS, "金田　桜"),
            (oid::ALIAS_SUBSTITUTED, "0000"),
        ]
    }

    fn crl_name(&self) -> Vec<(ObjectIdentifier, &str)> {
        let environment = &self.environment;
        let unit = &environment.of_kind(self.kind).unit;
        let units = [(OU, unit.as_str()), (OU, environment.crl_unit.as_str()), (OU, "Tokyo-to")];
        [vec![(C, "JP"), (O, environment.organization.as_str())], units.to_vec(), vec![(CN, "Midori-ku CRLDP")]]
            .concat()
    }

    fn issuer_alt_name(&self) -> Name {
        let environment = &self.environment;
        let unit = &environment.of_kind(self.kind).unit_ja;
        name(&[(C, "JP"), (O, &environment.organization_ja), (OU, unit), (OU, &environment.agency_ja)])
    }

    fn authority_key_id(&self) -> AuthorityKeyIdentifier {
        AuthorityKeyIdentifier {
            key_identifier: Some(key_id(&self.authority_key.spki())),
            authority_cert_issuer: Some(directory_name(self.authority_name())),
            authority_cert_serial_number: Some(SerialNumber::new(&[0x01, 0x80]).unwrap()),
        }
    }

    fn end_entity(&self) -> TbsCertificate {
        let policy = &self.environment.of_kind(self.kind).policy;
        let (subject, usage, special, access): (_, _, _, Vec<_>) = match self.kind {
            CertificateKind::Signature => (
                name(&[(C, "JP"), (L, "Tokyo-to"), (L, "Midori-ku"), (CN, REQUEST)]),
                KeyUsage(KeyUsages::DigitalSignature | KeyUsages::NonRepudiation),
                other_names(&self.person()),
                Vec::new(),
            ),
            CertificateKind::Authentication => (
                name(&[(C, "JP"), (CN, AUTH_NAME)]),
                KeyUsage(KeyUsages::DigitalSignature.into()),
                extension(ID_CE_EXT_KEY_USAGE, false, &vec![ID_KP_CLIENT_AUTH]),
                vec![ocsp(OCSP)],
            ),
        };
        let mut extensions = vec![
            extension(ID_CE_KEY_USAGE, true, &usage),
            special,
            policies(policy, oid::CPS_URI),
            extension(ID_CE_ISSUER_ALT_NAME, false, &directory_name(self.issuer_alt_name())),
            distribution_point(name(&self.crl_name())),
        ];
        extensions.extend(access);
        extensions.push(extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &self.authority_key_id()));
        extensions.push(extension(ID_CE_SUBJECT_KEY_IDENTIFIER, false, &key_id(&self.resident_key)));
        let years = self.profile.validity.birthdays;
        let not_after = date(2026, 4, 10).saturating_add(i32::from(years).years());
        TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&[0x1E, 0xE6, 0x07]).unwrap(),
            signature: self.authority_key.algorithm(),
            issuer: self.authority_name(),
            validity: Validity {
                not_before: time("2026-07-01T01:35:57Z"),
                not_after: time(&format!("{not_after}T14:59:59Z")),
            },
            subject,
            subject_public_key_info: self.resident_key.clone(),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(extensions),
        }
    }

    fn check<'a>(&'a self, certificate: &[u8], change: impl FnOnce(&mut Expected<'a>)) -> Result<(), Mismatch> {
        let mut expected = Expected {
            kind: self.kind,
            application: &self.application,
            spki: &self.resident_spki,
            issuer: &self.authority,
            request_name: REQUEST,
            profile: &self.profile,
            environment: &self.environment,
            municipality: &self.municipality,
            ocsp_uri: Some(OCSP),
            now: "2026-07-01T01:36:00Z".parse().unwrap(),
            renewal: false,
            limits: &[],
            predecessor: Some(&[0x1E, 0xE6, 0x06]),
        };
        change(&mut expected);
        check(certificate, &expected).map(|checked| assert_eq!(checked.sha256[..], Sha256::digest(certificate)[..]))
    }

    fn verdict(&self, change: impl FnOnce(&mut TbsCertificate)) -> Result<(), Mismatch> {
        let mut tbs = self.end_entity();
        change(&mut tbs);
        self.check(&self.authority_key.sign(tbs), |_| {})
    }
}

fn replace(tbs: &mut TbsCertificate, with: Extension) {
    let extensions = tbs.extensions.as_mut().unwrap();
    let index = extensions.iter().position(|e| e.extn_id == with.extn_id).expect("the extension is there");
    extensions[index] = with;
}

fn of_kind(kind: CertificateKind) -> impl Iterator<Item = &'static World> {
    WORLDS.iter().filter(move |world| world.kind == kind)
}

#[test]
fn what_was_applied_for_passes() {
    for world in &*WORLDS {
        assert_eq!(world.verdict(|_| {}), Ok(()), "{:?} {}", world.kind, world.profile.name);
        // Order of extensions and missing knowledge of the responder's address are no difference.
        let reverse = |tbs: &mut TbsCertificate| tbs.extensions.as_mut().unwrap().reverse();
        assert_eq!(world.verdict(reverse), Ok(()));
        let certificate = world.authority_key.sign(world.end_entity());
        assert_eq!(world.check(&certificate, |e| e.ocsp_uri = None), Ok(()));
    }
}

/// A change to a certificate, and the field that is to be named.
type Difference<Change = Box<dyn Fn(&mut TbsCertificate)>> = (Field, Change);

fn differences(world: &'static World) -> Vec<Difference> {
    let other_key = &OTHER_KEYS[usize::from(world.profile.algorithm == KeyAlgorithm::EcP384)];
    let environment = &world.environment;
    let own = environment.of_kind(world.kind);
    let other = environment.of_kind(match world.kind {
        CertificateKind::Signature => CertificateKind::Authentication,
        CertificateKind::Authentication => CertificateKind::Signature,
    });
    let mut differences: Vec<Difference> = vec![
        (Field::SerialNumber, Box::new(|t| t.serial_number = SerialNumber::new(&[0]).unwrap())),
        (Field::SerialNumber, Box::new(|t| t.serial_number = SerialNumber::new(&[0x1E, 0xE6, 0x06]).unwrap())),
        (Field::SignatureAlgorithm, Box::new(|t| t.signature.oid = const_oid::db::rfc5912::SHA_1_WITH_RSA_ENCRYPTION)),
        (
            Field::Issuer,
            Box::new(|t| {
                t.issuer =
                    name(&[(C, "JP"), (O, &environment.organization), (OU, &other.unit), (OU, &environment.agency)]);
            }),
        ),
        // A country as UTF8String reads the same and is not the same name.
        (
            Field::Issuer,
            Box::new(|t| {
                let country = Any::new(Tag::Utf8String, *b"JP").unwrap();
                t.issuer.0[0].0 = SetOfVec::try_from(vec![AttributeTypeAndValue { oid: C, value: country }]).unwrap();
            }),
        ),
        // Ten minutes ahead of the terminal; the day before the application.
        (Field::NotBefore, Box::new(|t| t.validity.not_before = time("2026-07-01T01:46:00Z"))),
        (Field::NotBefore, Box::new(|t| t.validity.not_before = time("2026-06-30T14:50:00Z"))),
        (Field::NotAfter, Box::new(|t| t.validity.not_after = time("2031-04-11T14:59:59Z"))),
        (Field::NotAfter, Box::new(|t| t.validity.not_after = time("2030-04-10T14:59:59Z"))),
        (Field::NotAfter, Box::new(|t| t.validity.not_after = time("2031-04-10T15:00:00Z"))),
        (Field::Subject, Box::new(|t| t.subject.0.truncate(1))),
        (Field::Subject, Box::new(|t| t.subject.0.insert(1, name(&[(C, "JP"), (O, "X")]).0[1].clone()))),
        (Field::PublicKey, Box::new(|t| t.subject_public_key_info = other_key.clone())),
        (
            Field::KeyUsage,
            Box::new(|t| replace(t, extension(ID_CE_KEY_USAGE, true, &KeyUsage(KeyUsages::KeyCertSign.into())))),
        ),
        (Field::CertificatePolicies, Box::new(|t| replace(t, policies(&other.policy, oid::CPS_URI)))),
        (Field::CertificatePolicies, Box::new(|t| replace(t, policies(&own.policy, "http://example.jp/cps")))),
        (
            Field::IssuerAltName,
            Box::new(|t| {
                let name = name(&[
                    (C, "JP"),
                    (O, &environment.organization_ja),
                    (OU, &other.unit_ja),
                    (OU, &environment.agency_ja),
                ]);
                replace(t, extension(ID_CE_ISSUER_ALT_NAME, false, &directory_name(name)));
            }),
        ),
        (
            Field::CrlDistributionPoints,
            Box::new(|t| {
                let mut other_city = world.crl_name();
                other_city.pop();
                other_city.push((CN, "Kiyose-shi CRLDP"));
                replace(t, distribution_point(name(&other_city)));
            }),
        ),
        (
            Field::AuthorityKeyIdentifier,
            Box::new(|t| {
                let id = AuthorityKeyIdentifier { key_identifier: Some(key_id(other_key)), ..world.authority_key_id() };
                replace(t, extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &id));
            }),
        ),
        (
            Field::AuthorityKeyIdentifier,
            Box::new(|t| {
                let serial = Some(SerialNumber::new(&[2]).unwrap());
                let id = AuthorityKeyIdentifier { authority_cert_serial_number: serial, ..world.authority_key_id() };
                replace(t, extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &id));
            }),
        ),
        (
            Field::SubjectKeyIdentifier,
            Box::new(|t| replace(t, extension(ID_CE_SUBJECT_KEY_IDENTIFIER, false, &key_id(other_key)))),
        ),
        (
            Field::Extensions,
            Box::new(|t| {
                let constraints = BasicConstraints { ca: false, path_len_constraint: None };
                t.extensions.as_mut().unwrap().push(extension(ID_CE_BASIC_CONSTRAINTS, true, &constraints));
            }),
        ),
        (Field::Extensions, Box::new(|t| t.extensions.as_mut().unwrap()[0].critical = false)),
    ];
    // Each extension that is missing is missed.
    for (index, missing) in world.end_entity().extensions.unwrap().iter().enumerate() {
        let field = match missing.extn_id {
            ID_CE_KEY_USAGE => Field::KeyUsage,
            ID_CE_EXT_KEY_USAGE => Field::ExtendedKeyUsage,
            ID_CE_SUBJECT_ALT_NAME => Field::SubjectAltName,
            ID_CE_CERTIFICATE_POLICIES => Field::CertificatePolicies,
            ID_CE_ISSUER_ALT_NAME => Field::IssuerAltName,
            ID_CE_CRL_DISTRIBUTION_POINTS => Field::CrlDistributionPoints,
            ID_PE_AUTHORITY_INFO_ACCESS => Field::AuthorityInfoAccess,
            ID_CE_AUTHORITY_KEY_IDENTIFIER => Field::AuthorityKeyIdentifier,
            _ => Field::SubjectKeyIdentifier,
        };
        differences.push((field, Box::new(move |t| drop(t.extensions.as_mut().unwrap().remove(index)))));
    }
    differences
}

#[test]
fn each_difference_is_found_and_named() {
    let mut count = 0;
    for world in &*WORLDS {
        for (index, (field, change)) in differences(world).iter().enumerate() {
            assert_eq!(world.verdict(change), Err(Mismatch::Field(*field)), "{index}: {field} of {:?}", world.kind);
            count += 1;
        }
    }
    assert!(count > 100, "{count} differences were tried");
}

#[test]
fn each_item_of_the_holder_is_compared() {
    for world in of_kind(CertificateKind::Signature) {
        let with = |items: &[(&str, &str)]| world.verdict(|t| replace(t, other_names(items)));
        for (oid, text, field) in [
            (oid::NAME, "高橋［佐藤］　梅", Field::Name),
            (oid::NAME_SUBSTITUTED, "00000000", Field::NameSubstituted),
            (oid::ALIAS, "銀田　桜", Field::Alias),
            (oid::ALIAS_SUBSTITUTED, "1000", Field::AliasSubstituted),
            (oid::ADDRESS, "東京都みどり区北町１－２－４", Field::Address),
            (oid::ADDRESS_SUBSTITUTED, "00000000000001", Field::AddressSubstituted),
            (oid::BIRTH, "419900411", Field::Birth),
            (oid::SEX, "1", Field::Sex),
        ] {
            let changed: Vec<_> =
                world.person().into_iter().map(|item| if item.0 == oid { (oid, text) } else { item }).collect();
            assert_eq!(with(&changed), Err(Mismatch::Field(field)), "{text}");
            let missing: Vec<_> = world.person().into_iter().filter(|item| item.0 != oid).collect();
            let doubled = [world.person(), vec![(oid, text)]].concat();
            for wrong in [missing, doubled] {
                assert!(with(&wrong).is_err(), "{oid}");
            }
        }
        let without_alias: Vec<_> =
            world.person().into_iter().filter(|(oid, _)| ![oid::ALIAS, oid::ALIAS_SUBSTITUTED].contains(oid)).collect();
        assert_eq!(with(&without_alias), Err(Mismatch::Field(Field::Alias)));
        // An item too many, of a type that nobody knows.
        assert!(with(&[world.person(), vec![("1.2.392.200149.8.5.5.7", "タカハシ")]].concat()).is_err());
    }
}

#[test]
fn an_authentication_certificate_carries_nothing_about_its_holder() {
    for world in of_kind(CertificateKind::Authentication) {
        let told = world.verdict(|t| t.extensions.as_mut().unwrap().push(other_names(&world.person())));
        assert_eq!(told, Err(Mismatch::Field(Field::SubjectAltName)));
        let mail = extension(ID_CE_EXT_KEY_USAGE, false, &vec![ID_KP_CLIENT_AUTH, ID_KP_EMAIL_PROTECTION]);
        assert_eq!(world.verdict(|t| replace(t, mail)), Err(Mismatch::Field(Field::ExtendedKeyUsage)));
        let elsewhere = ocsp("http://192.0.2.1/");
        assert_eq!(world.verdict(|t| replace(t, elsewhere)), Err(Mismatch::Field(Field::AuthorityInfoAccess)));
        let other_window = name(&[(C, "JP"), (CN, "ABCDEF0123456713999B001")]);
        assert_eq!(world.verdict(|t| t.subject = other_window), Err(Mismatch::Field(Field::Subject)));
    }
}

#[test]
fn the_terminals_side_is_compared_too() {
    for world in &*WORLDS {
        let certificate = world.authority_key.sign(world.end_entity());
        let other_municipality = Municipality { code: "13221".into(), ..world.municipality.clone() };
        let production = CertificateProfile::production();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(
            world.check(&certificate, |e| e.municipality = &other_municipality),
            Err(Mismatch::Field(Field::Subject))
        );
        assert_eq!(
            world.check(&certificate, |e| e.request_name = "202607011030000001713999A002"),
            Err(Mismatch::Field(Field::Subject))
        );
        assert_eq!(world.check(&certificate, |e| e.renewal = true), Err(Mismatch::Field(Field::NotAfter)));
        let limits = [at("2028-01-01T14:59:59Z")];
        assert_eq!(world.check(&certificate, |e| e.limits = &limits), Err(Mismatch::Field(Field::NotAfter)));
        assert_eq!(
            world.check(&certificate, |e| e.now = at("2040-01-01T00:00:00Z")),
            Err(Mismatch::Field(Field::NotAfter))
        );
        assert_eq!(
            world.check(&certificate, |e| e.now = at("2050-01-01T00:00:00Z")),
            Err(Mismatch::Issuer(Field::NotAfter))
        );
        assert_eq!(world.check(&certificate, |e| e.environment = &production), Err(Mismatch::Issuer(Field::Subject)));
        for serial in [&[0x1E, 0xE6, 0x07][..], &[0x00, 0x1E, 0xE6, 0x07]] {
            let verdict = world.check(&certificate, |e| e.predecessor = Some(serial));
            assert_eq!(verdict, Err(Mismatch::Field(Field::SerialNumber)));
        }
        assert_eq!(world.check(&certificate, |e| e.spki = &[]), Err(Mismatch::Field(Field::PublicKey)));
    }
}

#[test]
fn the_authority_must_be_one() {
    for world in &*WORLDS {
        let certificate = world.authority_key.sign(world.end_entity());
        let differences: [Difference<fn(&mut TbsCertificate)>; 4] = [
            (Field::KeyUsage, |t| replace(t, extension(ID_CE_KEY_USAGE, true, &KeyUsage(KeyUsages::CRLSign.into())))),
            (Field::BasicConstraints, |t| drop(t.extensions.as_mut().unwrap().remove(1))),
            (Field::NotBefore, |t| t.validity.not_before = time("2026-08-01T00:00:00Z")),
            (Field::NotAfter, |t| t.validity.not_after = time("2026-06-01T00:00:00Z")),
        ];
        for (field, change) in differences {
            let authority = world.authority_certificate(change);
            assert_eq!(world.check(&certificate, |e| e.issuer = &authority), Err(Mismatch::Issuer(field)));
        }
        // Another key under the same name and key identifier: only the signature tells.
        let other_key = OTHER_KEYS[usize::from(world.profile.algorithm == KeyAlgorithm::EcP384)].clone();
        let authority = world.authority_certificate(|t| t.subject_public_key_info = other_key);
        assert_eq!(world.check(&certificate, |e| e.issuer = &authority), Err(Mismatch::Field(Field::Signature)));
    }
}

#[test]
fn no_changed_byte_goes_unnoticed() {
    for world in &*WORLDS {
        let certificate = world.authority_key.sign(world.end_entity());
        for index in 0..certificate.len() {
            let mut changed = certificate.clone();
            changed[index] ^= 1;
            assert!(world.check(&changed, |_| {}).is_err(), "byte {index}");
        }
        let longer = [certificate.as_slice(), &[0]].concat();
        assert!(world.check(&longer, |_| {}).is_err());
    }
}
