//! Words for what the domain refuses: PINs, applications, applicants.

use jpki::{ApplicationError, Ineligible, PinError, TextError, TextField, WeakKey};

use super::Args;
use crate::messages::Messages;

pub(super) fn ineligible(reason: &Ineligible) -> &'static str {
    match reason {
        Ineligible::UnderFifteen => "ineligible-under-fifteen",
        Ineligible::StayEnded => "ineligible-stay-ended",
        Ineligible::NotYetBorn => "ineligible-not-yet-born",
        _ => "ineligible-other",
    }
}

pub(super) fn application(messages: &Messages, reason: &ApplicationError) -> String {
    match reason {
        ApplicationError::Text { field, reason } => {
            let item = match field {
                TextField::Name => "item-name",
                TextField::Alias => "item-alias",
                TextField::Address => "item-address",
            };
            let (key, args): (_, Args) = match reason {
                TextError::Empty => ("text-empty", vec![]),
                TextError::TooLong { characters } => ("text-too-long", vec![("characters", (*characters).into())]),
                TextError::NoSubstitute { position } => ("text-no-substitute", vec![("position", (*position).into())]),
                TextError::ChoiceNotAllowed { position } => {
                    ("text-choice-not-allowed", vec![("position", (*position).into())])
                }
                TextError::NeedlessChoice { position } => {
                    ("text-needless-choice", vec![("position", (*position).into())])
                }
                _ => ("text-other", vec![]),
            };
            let problem = messages.text(key, &args);
            messages.text("application-text", &[("item", messages.get(item).into()), ("problem", problem.into())])
        }
        ApplicationError::NotYetBorn => messages.get("application-not-yet-born"),
        _ => messages.get("application-other"),
    }
}

/// The reason why a PIN can't be used, for its holder.
pub(crate) fn pin(messages: &Messages, reason: &PinError) -> String {
    let (key, args): (_, Args) = match reason {
        PinError::WrongLength { min, max } => {
            ("pin-wrong-length", vec![("min", (*min).into()), ("max", (*max).into())])
        }
        PinError::NotDigits => ("pin-not-digits", vec![]),
        PinError::NotLettersAndDigits => ("pin-not-letters-and-digits", vec![]),
        PinError::NoLetter => ("pin-no-letter", vec![]),
        PinError::NoDigit => ("pin-no-digit", vec![]),
        PinError::Birthday => ("pin-birthday", vec![]),
        PinError::Repeat => ("pin-repeat", vec![]),
        PinError::Run => ("pin-run", vec![]),
        _ => ("pin-other", vec![]),
    };
    messages.text(key, &args)
}

/// The key of the word for what is weak about a key.
pub(super) fn weak_key(weakness: WeakKey) -> &'static str {
    match weakness {
        WeakKey::Malformed => "weak-key-malformed",
        WeakKey::OtherAlgorithm => "weak-key-other-algorithm",
        WeakKey::Size(_) => "weak-key-size",
        WeakKey::Exponent => "weak-key-exponent",
        WeakKey::SmallFactor(_) => "weak-key-small-factor",
        WeakKey::ClosePrimes => "weak-key-close-primes",
        WeakKey::Roca => "weak-key-roca",
        WeakKey::NotOnCurve => "weak-key-not-on-curve",
        _ => "weak-key-other",
    }
}

pub(super) fn item_name(item: &str) -> &'static str {
    match item {
        "address" => "item-address",
        "birth" => "item-birth",
        "sex" => "item-sex",
        _ => "item-name",
    }
}

/// The key of the word for a field of a certificate, as `ProcedureError::CertificateDiffers` names it. Fields that are none of
/// the items that the authority sends have one word together: their names are for the technical view.
pub(super) fn field_name(field: &str) -> &'static str {
    // A text and the positions of its 代替文字 are one item.
    match field.split(' ').next().unwrap_or_default() {
        "serialNumber" => "item-serial",
        "issuer" => "item-issuer",
        "notBefore" => "item-not-before",
        "notAfter" => "item-not-after",
        "subjectPublicKeyInfo" | "key" => "item-public-key",
        "keyUsage" | "extKeyUsage" | "certificatePolicies" => "item-usage",
        "氏名" => "item-name",
        "通称" => "item-alias",
        "住所" => "item-address",
        "生年月日" => "item-birth",
        "性別" => "item-sex",
        _ => "item-other",
    }
}
