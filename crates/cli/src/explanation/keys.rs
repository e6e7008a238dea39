//! The keys of texts about the HSM's keys, from their stable names.

use hsm::custody::LeakWay;
use key_ceremony::KeyUse;

/// What an HSM does or does not do, as [`hsm::custody::Ability`] names it.
pub(crate) fn ability(code: &str) -> &'static str {
    match code {
        "derives-inside" => "doctor-hsm-derives-inside",
        "derives-outside" => "doctor-hsm-derives-outside",
        "derives-readable" => "doctor-hsm-derives-readable",
        "derives-nothing" => "doctor-hsm-derives-nothing",
        "hashes-inside" => "doctor-hsm-hashes-inside",
        "hashes-outside" => "doctor-hsm-hashes-outside",
        "wraps-exactly" => "doctor-hsm-wraps-exactly",
        "wraps-with-zeros" => "doctor-hsm-wraps-with-zeros",
        "wraps-nothing" => "doctor-hsm-wraps-nothing",
        "sends-card-keys" => "doctor-hsm-sends-card-keys",
        "sends-no-card-keys" => "doctor-hsm-sends-no-card-keys",
        "signs-p256" => "doctor-hsm-signs-p256",
        "signs-no-p256" => "doctor-hsm-signs-no-p256",
        "signs-p384" => "doctor-hsm-signs-p384",
        "signs-no-p384" => "doctor-hsm-signs-no-p384",
        "signs-rsa-2048" => "doctor-hsm-signs-rsa-2048",
        "signs-no-rsa-2048" => "doctor-hsm-signs-no-rsa-2048",
        "authenticates" => "doctor-hsm-authenticates",
        "authenticates-not" => "doctor-hsm-authenticates-not",
        _ => "doctor-hsm-other",
    }
}

/// The kind of a key, as [`hsm::KeyKind::code`] names it.
pub(crate) fn kind(code: &str) -> &'static str {
    match code {
        "ec-p256" => "key-kind-ec-p256",
        "ec-p384" => "key-kind-ec-p384",
        "rsa-2048" => "key-kind-rsa-2048",
        "card-master-aes-128" => "key-kind-card-master-aes-128",
        "card-master-aes-192" => "key-kind-card-master-aes-192",
        "card-master-aes-256" => "key-kind-card-master-aes-256",
        "record-key" => "key-kind-record-key",
        "hmac" => "key-kind-hmac",
        _ => "key-kind-other",
    }
}

/// How a key got into its HSM, as [`hsm::custody::Origin::code`] names it.
pub(crate) fn origin(code: &str) -> &'static str {
    match code {
        "made-inside" => "key-origin-made-inside",
        "brought-in" => "key-origin-brought-in",
        _ => "key-origin-unknown",
    }
}

/// What a key is needed for.
pub(crate) fn key_use(of: KeyUse) -> &'static str {
    match of {
        KeyUse::Log => "key-use-log",
        KeyUse::References => "key-use-references",
        KeyUse::Templates => "key-use-templates",
        KeyUse::Cards => "key-use-cards",
        KeyUse::Certificates => "key-use-certificates",
        _ => "key-use-other",
    }
}

/// How a key came out.
pub(crate) fn leak(way: LeakWay) -> &'static str {
    match way {
        LeakWay::Read => "leak-read",
        LeakWay::Unprotected => "leak-unprotected",
        LeakWay::Copied => "leak-copied",
        LeakWay::Wrapped => "leak-wrapped",
        LeakWay::Derived => "leak-derived",
        LeakWay::Misused => "leak-misused",
        _ => "leak-other",
    }
}
