//! The message catalogue is complete: in every language, for everything that a program can say.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cli::Language;
use fluent_syntax::ast;

/// Arguments of each text: the message's own under its key, those of an attribute under `key.attribute`.
type Catalogue = BTreeMap<String, BTreeSet<String>>;

fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn catalogue(language: Language) -> Catalogue {
    let folder = crate_folder().join("messages").join(language.tag());
    let mut texts = Catalogue::new();
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let resource = fluent_syntax::parser::parse(fs::read_to_string(&file).unwrap())
            .unwrap_or_else(|(_, faults)| panic!("{}: {faults:?}", file.display()));
        for entry in resource.body {
            let ast::Entry::Message(message) = entry else { continue };
            let mut add = |key: String, pattern: &ast::Pattern<String>| {
                assert!(!pattern.elements.is_empty(), "{key} is empty");
                let previous = texts.insert(key.clone(), arguments(pattern));
                assert!(previous.is_none(), "{key} is there twice");
            };
            if let Some(value) = &message.value {
                add(message.id.name.clone(), value);
            }
            for attribute in &message.attributes {
                add(format!("{}.{}", message.id.name, attribute.id.name), &attribute.value);
            }
        }
    }
    texts
}

fn arguments(pattern: &ast::Pattern<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for element in &pattern.elements {
        if let ast::PatternElement::Placeable { expression } = element {
            of_expression(expression, &mut found);
        }
    }
    found
}

fn of_expression(expression: &ast::Expression<String>, found: &mut BTreeSet<String>) {
    match expression {
        ast::Expression::Inline(inline) => of_inline(inline, found),
        ast::Expression::Select { selector, variants } => {
            of_inline(selector, found);
            variants.iter().for_each(|variant| found.extend(arguments(&variant.value)));
        }
    }
}

fn of_inline(inline: &ast::InlineExpression<String>, found: &mut BTreeSet<String>) {
    match inline {
        ast::InlineExpression::VariableReference { id } => {
            found.insert(id.name.clone());
        }
        ast::InlineExpression::Placeable { expression } => of_expression(expression, found),
        _ => {}
    }
}

#[test]
fn no_language_lacks_a_text_or_an_argument_that_another_has() {
    let [ja, en] = Language::ALL.map(catalogue);
    assert!(ja.len() > 150, "the catalogue was not read: {}", ja.len());
    let keys = |catalogue: &Catalogue| catalogue.keys().cloned().collect::<BTreeSet<_>>();
    let differing: Vec<_> = keys(&ja).symmetric_difference(&keys(&en)).cloned().collect();
    assert_eq!(differing, [""; 0], "only in one language");
    // A selector on a number that one language needs for its plural is an argument of both.
    for (key, arguments) in &ja {
        assert_eq!(arguments, &en[key], "arguments of {key}");
    }
}

#[test]
fn every_error_says_what_why_and_what_to_do() {
    let texts = catalogue(Language::En);
    let headings = ["error-cause", "error-mend", "error-technical"];
    let errors = texts.keys().filter(|key| key.starts_with("error-") && !key.contains('.'));
    let mut count = 0;
    for error in errors.filter(|key| !headings.contains(&key.as_str())) {
        for part in ["cause", "mend"] {
            assert!(texts.contains_key(&format!("{error}.{part}")), "{error} lacks .{part}");
        }
        count += 1;
    }
    assert!(count > 50, "{count}");
}

/// The names of an enum's variants, from its source: a variant that is added there without a text here fails.
fn variants(source: &str, name: &str) -> Vec<String> {
    let path = crate_folder().join("..").join(source);
    let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
    let found = file.items.into_iter().find_map(|item| match item {
        syn::Item::Enum(found) if found.ident == name => Some(found),
        _ => None,
    });
    found
        .unwrap_or_else(|| panic!("no {name} in {source}"))
        .variants
        .iter()
        .map(|v| kebab(&v.ident.to_string()))
        .collect()
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[test]
fn everything_that_can_be_said_has_a_text() {
    // An error that only wraps another port's is explained by that one.
    const WRAPPERS: [(&str, &str); 15] = [
        ("ProcedureError", "hsm"),
        ("ProcedureError", "keys"),
        ("ProcedureError", "identity"),
        ("CeremonyError", "custody"),
        ("CustodyError", "hsm"),
        ("ProcedureError", "reader"),
        ("ProcedureError", "sensor"),
        ("ProcedureError", "register"),
        ("ProcedureError", "state"),
        ("ProcedureError", "enrolment"),
        ("EnrolError", "sensor"),
        ("LineError", "hsm"),
        // The two certificates have their names already; who holds a reader is said of the holder.
        ("Element", "sign-certificate"),
        ("Element", "auth-certificate"),
        ("ReaderState", "held"),
    ];
    let texts = catalogue(Language::Ja);
    for (source, name, prefix) in [
        ("orchestrator/src/error.rs", "ProcedureError", "error-"),
        ("orchestrator/src/state.rs", "StateError", "error-state-"),
        ("card-reader/src/error.rs", "CardError", "error-reader-"),
        ("biometric/src/sensor.rs", "SensorError", "error-sensor-"),
        ("hsm/src/error.rs", "HsmError", "error-hsm-"),
        ("key-ceremony/src/lib.rs", "CeremonyError", "error-hsm-"),
        ("hsm/src/custody/mod.rs", "CustodyError", "error-hsm-"),
        ("key-ceremony/src/installation.rs", "KeyUse", "key-use-"),
        ("hsm/src/custody/mod.rs", "LeakWay", "leak-"),
        ("biometric/src/verifier.rs", "EnrolError", "error-enrol-"),
        ("authority-link/src/line.rs", "LineError", "error-line-"),
        ("resident-register/src/lib.rs", "RegisterError", "error-register-"),
        ("resident-register/src/csv/fault.rs", "Problem", "problem-"),
        ("audit-log/src/verify.rs", "LogFault", "log-"),
        ("orchestrator/src/plan.rs", "Step", "step-"),
        ("orchestrator/src/progress.rs", "Settlement", "progress-settled-"),
        ("orchestrator/src/people.rs", "Question", "people-"),
        ("biometric/src/sensor.rs", "RetryReason", "retry-"),
        ("jpki/src/pin.rs", "PinError", "pin-"),
        ("jpki/src/text.rs", "TextError", "text-"),
        ("jpki/src/application.rs", "ApplicationError", "application-"),
        ("jpki/src/application.rs", "Ineligible", "ineligible-"),
        ("jpki/src/application.rs", "TextField", "item-"),
        ("jpki/src/kind.rs", "CertificateKind", "certificate-"),
        ("jpki/src/kind.rs", "CertificateKind", "kind-"),
        ("orchestrator/src/operators.rs", "Role", "role-"),
        ("card-reader/src/trace/command.rs", "Application", "application-name-"),
        ("card-reader/src/trace/command.rs", "Element", "element-"),
        ("card-reader/src/diagnosis.rs", "ReaderState", "doctor-reader-"),
    ] {
        for variant in variants(source, name) {
            let wraps = WRAPPERS.contains(&(name, variant.as_str()));
            assert!(wraps || texts.contains_key(&format!("{prefix}{variant}")), "{name}: no text {prefix}{variant}");
        }
    }
}

#[test]
fn every_status_word_that_has_a_name_has_a_text() {
    let source = fs::read_to_string(crate_folder().join("../apdu/src/status.rs")).unwrap();
    let file = syn::parse_file(&source).unwrap();
    let items = file.items.into_iter().filter_map(|item| match item {
        syn::Item::Impl(found) if found.trait_.is_none() => Some(found.items),
        _ => None,
    });
    let names = items.flatten().filter_map(|item| match item {
        syn::ImplItem::Const(constant) => Some(constant.ident.to_string()),
        _ => None,
    });
    let keys: Vec<String> = names.map(|name| format!("status-{}", name.to_lowercase().replace('_', "-"))).collect();
    assert!(keys.len() >= 30, "{keys:?}");
    let texts = catalogue(Language::Ja);
    let missing: Vec<_> = keys.iter().filter(|key| !texts.contains_key(*key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_text_is_used_and_every_text_that_is_used_exists() {
    let mut source = String::new();
    for folder in
        ["src", "../biometric-hid/src", "../hsm-pkcs11/src", "../terminal/src", "../../firmware-sim/bench/src"]
    {
        read_sources(&crate_folder().join(folder), &mut source);
    }
    let texts = catalogue(Language::Ja);
    let unused: Vec<_> =
        texts.keys().filter(|key| !key.contains('.') && !source.contains(&format!("\"{key}\""))).collect();
    assert_eq!(unused, [""; 0], "texts that nobody says");
    let literals = source.split('"').skip(1).step_by(2);
    for literal in literals.filter(|literal| is_key(literal)) {
        assert!(texts.contains_key(literal), "there is no text {literal}");
    }
}

/// Is this literal the key of a text? By its family, for the families whose names begin nothing else in the sources.
fn is_key(literal: &str) -> bool {
    const FAMILIES: [&str; 13] = [
        "check",
        "doctor",
        "error",
        "heading",
        "history",
        "ineligible",
        "people",
        "problem",
        "progress",
        "proved",
        "retry",
        "step",
        "summary",
    ];
    let is_kebab = literal.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !literal.ends_with('-');
    is_kebab && literal.split_once('-').is_some_and(|(family, _)| FAMILIES.contains(&family))
}

fn read_sources(folder: &Path, source: &mut String) {
    for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            read_sources(&path, source);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // An escaped quote would put the reading of literals out of step.
            source.push_str(&fs::read_to_string(&path).unwrap().replace("\\\"", ""));
            source.push('\n');
        }
    }
}
