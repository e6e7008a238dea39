//! The parts of a simulated world, each made from the world's seed alone: the same seed gives the same keys, cards and
//! people, in files or in memory.

use std::collections::BTreeMap;

use authority::{AuthorityCertificates, Config, TerminalCredentials, TerminalRegistration};
use hsm::{AesLength, Hsm, HsmError, KeyName};
use jiff::civil::{Date, date};
use jpki::{CertificateKind, IssuingProfile, PinRules, Resident, era};
use madoguchi_time::Deadline;
use orchestrator::{SiteConfig, Trust};
use sha2::{Digest, Sha256};
use sim_card::{CardProfile, Personalisation, StaticKeySet};
use sim_hsm::{Provision, SoftwareHsm};
use zeroize::Zeroizing;

/// Version of the master key of the world's cards.
pub const CARD_KEY_VERSION: u8 = 0x01;
/// The terminal's name at the authority and in its log.
pub const TERMINAL: &str = "SIM-TERMINAL-1";
/// The terminal's 受付窓口識別記号; the municipality's code is fictional.
pub const WINDOW: &str = "13999001A";

/// Bytes that depend on the seed and on what they are for, and on nothing else.
#[must_use]
pub fn draw(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"madoguchi simulated world")
        .chain_update(seed.to_be_bytes())
        .chain_update(purpose.as_bytes())
        .chain_update([0])
        .chain_update(number.to_be_bytes())
        .finalize()
        .into()
}

/// The fictional municipality of the world.
pub use crate::residents::municipality;

/// What the terminal's HSM holds.
#[must_use]
pub fn terminal_provision(seed: u64, issuing: &IssuingProfile) -> Provision {
    Provision::terminal(draw(seed, "terminal HSM", 0)).with_card_master(CARD_KEY_VERSION, master_length(issuing))
}

/// What the cards' maker's HSM holds, if the terminal's is a token.
#[must_use]
pub fn factory_provision(seed: u64, issuing: &IssuingProfile) -> Provision {
    Provision::empty("factory", draw(seed, "card factory", 0))
        .with_card_master(CARD_KEY_VERSION, master_length(issuing))
}

fn master_length(issuing: &IssuingProfile) -> AesLength {
    match issuing.channel_key_bits {
        192 => AesLength::Aes192,
        256 => AesLength::Aes256,
        _ => AesLength::Aes128,
    }
}

/// What the authority's HSM holds.
#[must_use]
pub fn authority_provision(seed: u64, issuing: &IssuingProfile) -> Provision {
    let empty = Provision::empty("authority", draw(seed, "authority HSM", 0));
    authority::required_keys(issuing).into_iter().fold(empty, |provision, (name, kind)| provision.with_key(name, kind))
}

/// The authority's settings in this world.
#[must_use]
pub fn authority_config(issuing: &IssuingProfile, ocsp_url: &str) -> Config {
    Config { issuing: issuing.clone(), ocsp_url: ocsp_url.into(), ..Config::default() }
}

/// What the authority registers of the terminal.
///
/// # Errors
/// If the terminal's HSM lacks a key.
pub fn registration(hsm: &dyn Hsm, deadline: Deadline) -> Result<TerminalRegistration, HsmError> {
    Ok(TerminalRegistration {
        name: TERMINAL.into(),
        window: WINDOW.into(),
        municipality: municipality(),
        signing_key: hsm.public_key(&KeyName::new(KeyName::TERMINAL_SIGNING), deadline)?,
        tls_key: hsm.public_key(&KeyName::new(KeyName::TERMINAL_TLS), deadline)?,
        log_key: Some(hsm.public_key(&KeyName::new(KeyName::LOG_SIGNING), deadline)?),
        test_peer: false,
    })
}

/// The terminal's settings.
#[must_use]
pub fn site(issuing: &IssuingProfile, card: &CardProfile, authority_address: &str) -> SiteConfig {
    SiteConfig {
        terminal: TERMINAL.into(),
        window: WINDOW.into(),
        profile: issuing.name.clone(),
        environment: "sim".into(),
        card_challenge_length: card.scp03_mode.length(),
        card_key_version: CARD_KEY_VERSION,
        previous_card_key_versions: Vec::new(),
        authority_name: "localhost".into(),
        authority_address: authority_address.into(),
        card_reader: None,
        hsm: None,
        lock_after_s: 300,
        refusals_until_locked: 3,
        municipality: municipality(),
        pin_rules: PinRules::default(),
    }
}

/// What the terminal trusts, and who it is.
#[must_use]
pub fn trust(authority: &AuthorityCertificates, terminal: &TerminalCredentials) -> Trust {
    Trust {
        terminal_signing: terminal.signing_certificate.clone(),
        authority_signing: authority.cmp.clone(),
        issuers: BTreeMap::from([
            (CertificateKind::Signature, authority.signature_ca.clone()),
            (CertificateKind::Authentication, authority.authentication_ca.clone()),
        ]),
    }
}

/// The card profile that goes with an issuing profile.
#[must_use]
pub fn card_profile(issuing: &IssuingProfile) -> CardProfile {
    let name = &issuing.name;
    let (base, makes_keys) = name.strip_suffix(IssuingProfile::IMPORTED).map_or((&**name, true), |base| (base, false));
    let (base, pending_slot) =
        base.strip_suffix(IssuingProfile::SINGLE_SLOT).map_or((base, true), |base| (base, false));
    let card = if base == "jpki-next" { CardProfile::jpki_next() } else { CardProfile::jpki_2016() };
    CardProfile { name: name.clone(), pending_slot, makes_keys, ..card }
}

/// A resident's card as it comes to the counter: personalised, without keys. `number` tells a resident's cards apart.
///
/// # Errors
/// If the HSM has no master key for cards.
pub fn personalisation(
    seed: u64,
    number: u64,
    resident: &Resident,
    profile: &CardProfile,
    hsm: &SoftwareHsm,
    authority: &AuthorityCertificates,
) -> Result<Personalisation, HsmError> {
    let drawn = card_draw(seed, &resident.number, number);
    let diversification: [u8; 10] = std::array::from_fn(|i| drawn[i]);
    let keys = hsm.card_static_keys(CARD_KEY_VERSION, &diversification, profile.scp03_key_length)?;
    let import = hsm.card_import_key(CARD_KEY_VERSION, &diversification, profile.scp03_key_length)?;
    Ok(Personalisation {
        serial: card_serial(seed, &resident.number, number),
        municipality: municipality().code,
        expiry: CARD_EXPIRY,
        profile: profile.clone(),
        key_version: CARD_KEY_VERSION,
        diversification,
        keys: StaticKeySet {
            enc: keys.enc.clone(),
            mac: keys.mac.clone(),
            dek: keys.dek.clone(),
            import: Some(import),
        },
        sign_ca: authority.signature_ca.clone(),
        auth_ca: authority.authentication_ca.clone(),
        name: resident.name.clone(),
        address: resident.address.clone(),
        birth: resident.birth,
        sex: resident.sex,
        my_number: digits(&drawn[14..26], 12),
        check_number_b: check_number_b(seed, resident, number).to_string(),
        face_input_pin: digits(&drawn[26..30], 4),
        juki_pin: digits(&draw(seed, &format!("juki PIN of {}", resident.number), number), 4),
        face: true,
        rng_seed: draw(seed, &format!("card randomness of {}", resident.number), number),
    })
}

/// The serial number of a resident's card.
#[must_use]
pub fn card_serial(seed: u64, resident: &str, number: u64) -> String {
    let drawn = card_draw(seed, resident, number);
    format!("SIM{:012}", u32::from_be_bytes([drawn[10], drawn[11], drawn[12], drawn[13]]))
}

fn card_draw(seed: u64, resident: &str, number: u64) -> [u8; 32] {
    draw(seed, &format!("card of {resident}"), number)
}

/// Every card of the world expires on this day, far behind everything that is tested.
const CARD_EXPIRY: Date = date(2036, 3, 31);

/// 照合番号B, printed on the card's face: 生年月日 as 和暦 YYMMDD, 有効期限 YYYY, セキュリティコード.
#[must_use]
pub fn check_number_b(seed: u64, resident: &Resident, number: u64) -> Zeroizing<String> {
    let year = era::of(resident.birth).map_or(0, |(_, year)| year);
    let code = digits(&draw(seed, &format!("security code of {}", resident.number), number), 4);
    let (month, day) = (resident.birth.month(), resident.birth.day());
    Zeroizing::new(format!("{year:02}{month:02}{day:02}{:04}{code}", CARD_EXPIRY.year()))
}

/// The PIN that this resident chooses. Of the right format, not easily guessed, and different for every resident.
#[must_use]
pub fn chosen_pin(seed: u64, resident: &str, kind: CertificateKind) -> Zeroizing<String> {
    let drawn = draw(seed, &format!("PIN {kind:?} of {resident}"), 0);
    match kind {
        // Steps of 3 and 7 make neither repeats nor runs, and no month has 37 days or more.
        CertificateKind::Authentication => {
            Zeroizing::new(format!("{}{}", 37 + drawn[0] % 3 * 7, 58 + drawn[1] % 5 * 7))
        }
        CertificateKind::Signature => {
            let consonants = b"BDFHKMPRTWXZ";
            let mut pin = Zeroizing::new(String::with_capacity(16));
            for (i, byte) in drawn[..14].iter().enumerate() {
                let character = match i % 2 {
                    0 => consonants[usize::from(*byte) % consonants.len()],
                    _ => b"2479"[usize::from(*byte) % 4],
                };
                pin.push(char::from(character));
            }
            pin
        }
    }
}

fn digits(drawn: &[u8], count: usize) -> String {
    drawn.iter().take(count).map(|byte| char::from(b'0' + byte % 10)).collect()
}
