//! What differs between card generations, environments and times, as data: the files in `data/profiles`.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::card;
use crate::kind::CertificateKind;

/// What a card generation prescribes for issuing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IssuingProfile {
    /// Its name: `jpki-2016` or `jpki-next`, then perhaps `-single-slot`, then perhaps `-imported`.
    pub name: String,
    /// Algorithm of the resident's keys; the authority signs with the same family.
    pub algorithm: KeyAlgorithm,
    /// Length of the AES keys of the card's secure channel, in bits.
    pub channel_key_bits: u16,
    /// How long certificates are valid.
    pub validity: ValidityRule,
    /// May key pairs be made in the HSM and imported, for cards that make none themselves? If not, on-card generation is required, and
    /// such a card is refused.
    #[serde(default)]
    pub key_import: bool,
    /// The PINs that the card has.
    pub pins: Vec<PinFormat>,
}

/// How long certificates are valid, counted in birthdays of the holder after the day of issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ValidityRule {
    /// The birthday on which a certificate ends.
    pub birthdays: u8,
    /// The same for a certificate that replaces one in its renewal window.
    pub birthdays_at_renewal: u8,
    /// How long before its end a certificate can be renewed, in months.
    pub renewal_window_months: u8,
}

/// A PIN of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PinFormat {
    /// What it opens.
    #[serde(rename = "use")]
    pub purpose: PinPurpose,
    /// Fewest characters.
    pub min: u8,
    /// Most characters.
    pub max: u8,
    /// Tries until it is blocked.
    pub tries: u8,
}

/// What a PIN opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPurpose {
    /// 署名用
    Signature,
    /// 利用者証明用
    Authentication,
    /// 住民基本台帳用
    ResidentRegister,
    /// 券面事項入力補助用
    FaceInput,
}

/// Algorithm of a resident's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAlgorithm {
    /// RSA, 2048 bits, e = 65537, signatures with SHA-256 (PKCS #1 v1.5).
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ec-p384")]
    EcP384,
}

impl KeyAlgorithm {
    /// P2 of the card's GENERATE and IMPORT.
    #[must_use]
    pub const fn p2(self) -> u8 {
        match self {
            Self::Rsa2048 => card::algorithm::RSA_2048,
            Self::EcP384 => card::algorithm::EC_P384,
        }
    }
}

/// Names and policies in certificates: what differs between the test and the production environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertificateProfile {
    /// Its name: `sim`, `test` or `production`.
    pub name: String,
    /// C of all names, a PrintableString. All other attributes are UTF8Strings.
    pub country: String,
    /// O of issuer and CRL distribution point.
    pub organization: String,
    /// Second OU of the issuer.
    pub agency: String,
    /// Second OU of the CRL distribution point.
    pub crl_unit: String,
    /// What follows the municipality in the CN of the CRL distribution point.
    pub crl_name_suffix: String,
    /// CPS qualifier of the policy.
    pub cps_uri: String,
    /// O of the issuerAltName.
    pub organization_ja: String,
    /// Second OU of the issuerAltName.
    pub agency_ja: String,
    /// What is special to signing certificates.
    pub signature: KindProfile,
    /// What is special to authentication certificates.
    pub authentication: KindProfile,
}

/// The part of a [`CertificateProfile`] that depends on the kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KindProfile {
    /// First OU of issuer and CRL distribution point.
    pub unit: String,
    /// First OU of the issuerAltName.
    pub unit_ja: String,
    /// OID of the policy.
    pub policy: String,
}

/// A municipality as certificates name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Municipality {
    /// 全国地方公共団体コード without its check digit, 5 digits. Begins the 受付窓口識別記号.
    pub code: String,
    /// Prefecture in Roman letters, such as `Tokyo-to`.
    pub prefecture: String,
    /// City, ward, town or village in Roman letters, such as `Kiyose-shi`.
    pub city: String,
}

/// Who issues, over which network, with which terminal: the arrangement of a time, with its legal bases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkageProfile {
    /// Its name, `linkage-2004` or `linkage-2016`.
    pub name: String,
    /// First day.
    pub from: Date,
    /// Last day, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
    /// Who issues the certificates.
    pub issuer: String,
    /// The network between municipality and issuer.
    pub network: String,
    /// The legal name of the terminal.
    pub terminal: String,
    /// A counter device outside the terminal on which the applicant makes the keys, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_device: Option<String>,
    /// The kinds of certificate that exist.
    pub kinds: Vec<CertificateKind>,
    /// Legal bases.
    pub legal_bases: Vec<String>,
    /// The items that go to the issuer.
    pub sent: Vec<String>,
    /// The items that come back.
    pub received: Vec<String>,
}

/// Reads a profile that is part of this crate.
fn embedded<T: serde::de::DeserializeOwned>(file: &str) -> T {
    #[expect(clippy::expect_used, reason = "the files are part of the crate and a test reads each")]
    toml::from_str(file).expect("a valid profile")
}

impl IssuingProfile {
    /// RSA-2048, four PINs, 5 years.
    #[must_use]
    pub fn jpki_2016() -> Self {
        embedded(include_str!("../data/profiles/jpki-2016.toml"))
    }

    /// The same on a card without a pending slot.
    #[must_use]
    pub fn jpki_2016_single_slot() -> Self {
        Self::jpki_2016().single_slot()
    }

    /// ECDSA P-384, two PINs, 10 years.
    #[must_use]
    pub fn jpki_next() -> Self {
        embedded(include_str!("../data/profiles/jpki-next.toml"))
    }

    /// What the names of profiles end in whose cards have no pending slot, so that a new key overwrites the old one. That a card is so, it
    /// says itself; what is issued is the same.
    pub const SINGLE_SLOT: &str = "-single-slot";
    /// What the names of profiles end in that allow import.
    pub const IMPORTED: &str = "-imported";

    /// The same for cards without a pending slot.
    #[must_use]
    pub fn single_slot(self) -> Self {
        Self { name: self.name + Self::SINGLE_SLOT, ..self }
    }

    /// The same for cards that make no keys themselves: they are made in the HSM and imported.
    #[must_use]
    pub fn imported(self) -> Self {
        Self { name: self.name + Self::IMPORTED, key_import: true, ..self }
    }

    /// The profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::jpki_2016(), Self::jpki_next()]
            .into_iter()
            .flat_map(|card| [card.clone(), card.single_slot()])
            .flat_map(|card| [card.clone(), card.imported()])
            .find(|profile| profile.name == name)
    }
}

impl CertificateProfile {
    /// O=JPKI-SIM: the simulated authority, under the policies of the test environment.
    #[must_use]
    pub fn simulator() -> Self {
        embedded(include_str!("../data/profiles/certificates-sim.toml"))
    }

    /// O=JPKI-TEST and the policies of the test environment.
    #[must_use]
    pub fn test() -> Self {
        embedded(include_str!("../data/profiles/certificates-test.toml"))
    }

    /// O=JPKI.
    #[must_use]
    pub fn production() -> Self {
        embedded(include_str!("../data/profiles/certificates-production.toml"))
    }

    /// The environment of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::simulator(), Self::test(), Self::production()].into_iter().find(|profile| profile.name == name)
    }

    /// What is special to `kind`.
    #[must_use]
    pub fn of_kind(&self, kind: CertificateKind) -> &KindProfile {
        match kind {
            CertificateKind::Signature => &self.signature,
            CertificateKind::Authentication => &self.authentication,
        }
    }
}

impl LinkageProfile {
    /// From 2004-01-29: 東京都知事, LGWAN, 受付窓口端末.
    #[must_use]
    pub fn linkage_2004() -> Self {
        embedded(include_str!("../data/profiles/linkage-2004.toml"))
    }

    /// From 2016-01-04: 機構, 住基ネット, 統合端末.
    #[must_use]
    pub fn linkage_2016() -> Self {
        embedded(include_str!("../data/profiles/linkage-2016.toml"))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::oid;

    #[test]
    fn the_card_of_2016_agrees_with_the_constants_of_the_card() {
        let profile = IssuingProfile::jpki_2016();
        assert_eq!(profile.algorithm, KeyAlgorithm::Rsa2048);
        assert_eq!((profile.validity.birthdays, profile.validity.birthdays_at_renewal), (5, 6));
        let pin = |purpose| {
            let pin = profile.pins.iter().find(|pin| pin.purpose == purpose).unwrap();
            (usize::from(pin.min), usize::from(pin.max), pin.tries)
        };
        assert_eq!(pin(PinPurpose::Signature), (card::pin::SIGN_MIN, card::pin::SIGN_MAX, card::pin::SIGN_TRIES));
        assert_eq!(
            pin(PinPurpose::Authentication),
            (card::pin::AUTH_LENGTH, card::pin::AUTH_LENGTH, card::pin::AUTH_TRIES)
        );
        assert_eq!(profile.pins.len(), 4);
    }

    #[test]
    fn a_card_without_a_pending_slot_is_issued_the_same() {
        let only = IssuingProfile::jpki_2016_single_slot();
        let usual = IssuingProfile::jpki_2016();
        assert_eq!(IssuingProfile { name: usual.name.clone(), ..only }, usual);
    }

    #[test]
    fn the_next_card_has_two_pins_and_ten_years() {
        let profile = IssuingProfile::jpki_next();
        assert_eq!(profile.algorithm, KeyAlgorithm::EcP384);
        assert_eq!(profile.validity.birthdays, 10);
        assert_eq!(profile.channel_key_bits, 192);
        assert_eq!(profile.pins.len(), 2);
    }

    #[test]
    fn the_environments_differ_in_name_and_policies_only() {
        let (mut test, production) = (CertificateProfile::test(), CertificateProfile::production());
        assert_eq!(test.signature.policy, oid::POLICY_SIGNATURE_TEST);
        assert_eq!(test.authentication.policy, oid::POLICY_AUTHENTICATION_TEST);
        assert_eq!(production.signature.policy, oid::POLICY_SIGNATURE);
        assert_eq!(production.authentication.policy, oid::POLICY_AUTHENTICATION);
        assert_eq!(test.cps_uri, oid::CPS_URI);
        test.name.clone_from(&production.name);
        test.organization.clone_from(&production.organization);
        test.signature.policy.clone_from(&production.signature.policy);
        test.authentication.policy.clone_from(&production.authentication.policy);
        assert_eq!(test, production);
    }

    #[test]
    fn the_simulator_is_never_taken_for_real() {
        let simulator = CertificateProfile::simulator();
        for real in [CertificateProfile::test(), CertificateProfile::production()] {
            assert_ne!(simulator.organization, real.organization);
            assert_ne!(simulator.organization_ja, real.organization_ja);
        }
        assert_eq!(simulator.signature.policy, oid::POLICY_SIGNATURE_TEST);
        assert_eq!(simulator.authentication.policy, oid::POLICY_AUTHENTICATION_TEST);
    }

    #[test]
    fn profiles_are_found_by_name() {
        for name in ["jpki-2016", "jpki-2016-single-slot", "jpki-next", "jpki-next-single-slot"] {
            let profile = IssuingProfile::named(name).unwrap();
            assert_eq!((profile.name.as_str(), profile.key_import), (name, false));
            let imported = IssuingProfile::named(&format!("{name}-imported")).unwrap();
            assert!(imported.key_import);
            assert_eq!(imported, profile.imported());
        }
        for name in ["sim", "test", "production"] {
            assert_eq!(CertificateProfile::named(name).unwrap().name, name);
        }
        assert_eq!(IssuingProfile::named(""), None);
        assert_eq!(CertificateProfile::named("jpki-2016"), None);
    }

    #[test]
    fn both_linkages_carry_the_same_items() {
        let (old, new) = (LinkageProfile::linkage_2004(), LinkageProfile::linkage_2016());
        assert_eq!((old.sent.len(), old.received.len()), (7, 11));
        assert_eq!((&old.sent, &old.received), (&new.sent, &new.received));
        assert_eq!(old.from, date(2004, 1, 29));
        assert_eq!(old.until.unwrap().tomorrow().unwrap(), new.from);
        assert!(old.key_device.is_some() && new.key_device.is_none());
        assert_eq!(new.kinds, CertificateKind::BOTH);
    }

    #[test]
    fn profiles_survive_being_written() {
        let next = IssuingProfile::jpki_next();
        assert_eq!(toml::from_str::<IssuingProfile>(&toml::to_string(&next).unwrap()).unwrap(), next);
        let misspelt = toml::to_string(&next).unwrap().replace("algorithm", "algoritm");
        assert!(toml::from_str::<IssuingProfile>(&misspelt).is_err());
    }
}
