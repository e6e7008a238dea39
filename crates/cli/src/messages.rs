//! Texts for people, in Fluent, in one place: `messages/{ja,en}/*.ftl`.

use std::fmt;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use jpki::CertificateKind;

use crate::Language;

/// The files of one language. The names are the same in each.
macro_rules! catalogue {
    ($language:literal) => {
        [
            include_str!(concat!("../messages/", $language, "/words.ftl")),
            include_str!(concat!("../messages/", $language, "/progress.ftl")),
            include_str!(concat!("../messages/", $language, "/people.ftl")),
            include_str!(concat!("../messages/", $language, "/errors.ftl")),
            include_str!(concat!("../messages/", $language, "/device-errors.ftl")),
            include_str!(concat!("../messages/", $language, "/commands.ftl")),
            include_str!(concat!("../messages/", $language, "/ceremony.ftl")),
            include_str!(concat!("../messages/", $language, "/identity.ftl")),
            include_str!(concat!("../messages/", $language, "/doctor.ftl")),
            include_str!(concat!("../messages/", $language, "/summary.ftl")),
            include_str!(concat!("../messages/", $language, "/trace.ftl")),
            include_str!(concat!("../messages/", $language, "/simulator.ftl")),
        ]
    };
}

const JA: [&str; 12] = catalogue!("ja");
const EN: [&str; 12] = catalogue!("en");

/// The message catalogue in one language.
pub struct Messages {
    language: Language,
    bundle: FluentBundle<FluentResource>,
}

/// A value that a message shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Shown as it is.
    Text(String),
    /// Shown in digits; selects plural forms.
    Number(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

macro_rules! value_from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(number as u64)
            }
        }
    )*};
}

value_from_number!(u8, u32, u64, usize);

impl Messages {
    /// The catalogue of `language`.
    #[must_use]
    pub fn new(language: Language) -> Self {
        let files = match language {
            Language::Ja => JA,
            Language::En => EN,
        };
        let mut bundle = FluentBundle::new_concurrent(vec![language.tag().parse().unwrap_or_default()]);
        // The isolation marks of Unicode show as boxes on some terminals; no text here runs from right to left.
        bundle.set_use_isolating(false);
        for file in files {
            // A file with a fault keeps its sound messages; the tests below let no fault through.
            let resource = FluentResource::try_new(file.to_owned()).unwrap_or_else(|(sound, _)| sound);
            bundle.add_resource_overriding(resource);
        }
        Self { language, bundle }
    }

    /// The language.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// The text of `key` without arguments. `key.attribute` names an attribute. A key that does not exist gives itself.
    #[must_use]
    pub fn get(&self, key: &str) -> String {
        self.text(key, &[])
    }

    /// The text of `key` with `args`. `key.attribute` names an attribute. A key that does not exist gives itself.
    #[must_use]
    pub fn text(&self, key: &str, args: &[(&str, Value)]) -> String {
        let (id, attribute) = match key.split_once('.') {
            Some((id, attribute)) => (id, Some(attribute)),
            None => (key, None),
        };
        let Some(message) = self.bundle.get_message(id) else { return key.to_owned() };
        let pattern = match attribute {
            Some(attribute) => message.get_attribute(attribute).map(|found| found.value()),
            None => message.value(),
        };
        let Some(pattern) = pattern else { return key.to_owned() };
        let mut fluent_args = FluentArgs::new();
        for (name, value) in args {
            let value: FluentValue<'_> = match value {
                Value::Text(text) => text.as_str().into(),
                Value::Number(number) => (*number).into(),
            };
            fluent_args.set(*name, value);
        }
        let mut faults = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(&fluent_args), &mut faults).into_owned();
        if !faults.is_empty() {
            tracing::warn!(key, ?faults, "a message could not be formatted in full");
        }
        text
    }

    /// The official name of a kind of certificate.
    #[must_use]
    pub fn certificate(&self, kind: CertificateKind) -> String {
        self.get(match kind {
            CertificateKind::Authentication => "certificate-authentication",
            CertificateKind::Signature => "certificate-signature",
        })
    }

    /// The short name of a kind, for the left column of a view.
    #[must_use]
    pub fn kind(&self, kind: CertificateKind) -> String {
        self.get(match kind {
            CertificateKind::Authentication => "kind-authentication",
            CertificateKind::Signature => "kind-signature",
        })
    }

    /// Several kinds, as a list.
    #[must_use]
    pub fn kinds(&self, kinds: &[CertificateKind]) -> String {
        let names: Vec<String> = kinds.iter().map(|kind| self.kind(*kind)).collect();
        names.join(&self.get("list-separator"))
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("language", &self.language).finish_non_exhaustive()
    }
}
