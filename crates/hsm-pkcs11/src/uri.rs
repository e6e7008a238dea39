//! Tokens as people write them: PKCS #11 URIs (RFC 7512), and where their PINs come from.
//!
//! ```text
//! pkcs11:token=LABEL;serial=NUMBER?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/madoguchi/pin
//! ```
//!
//! A module that has to be told something when it is initialised is told it by `module-parameters`, an attribute of our own: NSS softokn
//! wants `configdir='sql:…'` and more.
//!
//! `token` and `serial` may be left out if the module has one token only. Attributes that are not named here are refused: one that
//! was not understood could mean another token. A PIN never stands in the URI, which is in settings and on command lines.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use madoguchi_time::SharedClock;

use crate::pin::{PinError, PinSource};
use crate::{Pin, Pkcs11Hsm, TokenError, TokenSelector};

const SCHEME: &str = "pkcs11:";

/// A token, and where its PIN comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUri {
    /// Which token.
    pub token: TokenSelector,
    /// Where its PIN comes from.
    pub pin_source: PinSource,
}

/// Why a text names no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It begins with something else.
    #[error("it does not begin with pkcs11:")]
    Scheme,
    /// Something in it is no `name=value`.
    #[error("it has something other than name=value")]
    Form,
    /// A percent sign without two hexadecimal digits, characters that are to be percent-encoded, or no UTF-8.
    #[error("{0} is not encoded as RFC 7512 has it")]
    Encoding(&'static str),
    /// An attribute that says nothing here, or one in the wrong half. Path: `token`, `serial`; query: `module-path`,
    /// `module-parameters`, `pin-source`.
    #[error("the attribute {0:?} means nothing here")]
    Unknown(String),
    /// An attribute that is there twice.
    #[error("{0} is there twice")]
    Repeated(&'static str),
    /// `module-path` is missing, or no absolute path.
    #[error("module-path is not the absolute path of a PKCS #11 module")]
    NoModule,
    /// A PIN in the URI, where others can read it.
    #[error("a PIN must not stand in it (pin-value)")]
    PinValue,
    /// `pin-source` is none of those that there are.
    #[error("pin-source is none of file:PATH, fd:N, credential:NAME, prompt")]
    PinSource,
}

/// Why the token that a URI names can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URI can't be understood.
    #[error("the HSM's URI can't be understood: {0}")]
    Uri(#[from] UriError),
    /// The PIN can't be had.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The token can't be used.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl TokenUri {
    /// Reads the PIN, and opens the token.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self, clock: SharedClock) -> Result<Pkcs11Hsm, OpenError> {
        self.open_with(self.pin()?, clock)
    }

    /// Opens the token with a PIN that has been read already.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_with(&self, pin: Pin, clock: SharedClock) -> Result<Pkcs11Hsm, OpenError> {
        Ok(Pkcs11Hsm::open(self.token.clone(), pin, clock)?)
    }

    /// Reads the PIN. From a file descriptor it can be read once.
    ///
    /// # Errors
    /// See [`PinError`].
    pub fn pin(&self) -> Result<Pin, PinError> {
        self.pin_source.read(self.token.label.as_deref().or(self.token.serial.as_deref()).unwrap_or_default())
    }
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix(SCHEME).ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let [mut label, mut serial, mut module, mut parameters, mut pin_source] = [const { None }; 5];
        for (name, value) in attributes(path, ';') {
            match name {
                "token" => set(&mut label, "token", value)?,
                "serial" => set(&mut serial, "serial", value)?,
                other => return Err(unknown(other, value)),
            }
        }
        for (name, value) in attributes(query, '&') {
            match name {
                "module-path" => set(&mut module, "module-path", value)?,
                "module-parameters" => set(&mut parameters, "module-parameters", value)?,
                "pin-source" => set(&mut pin_source, "pin-source", value)?,
                "pin-value" => return Err(UriError::PinValue),
                other => return Err(unknown(other, value)),
            }
        }
        let module = module.filter(|path| path.starts_with('/')).ok_or(UriError::NoModule)?;
        let pin_source = pin_source.map_or(Ok(PinSource::Prompt), |source| source.parse())?;
        Ok(Self { token: TokenSelector { module: module.into(), parameters, label, serial }, pin_source })
    }
}

/// The attributes of one half. What is no `name=value` has no value.
fn attributes(half: &str, separator: char) -> impl Iterator<Item = (&str, Option<&str>)> {
    half.split(separator).filter(move |_| !half.is_empty()).map(|attribute| match attribute.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (attribute, None),
    })
}

/// The name is told, the value never: it may be a PIN under a misspelt name.
fn unknown(name: &str, value: Option<&str>) -> UriError {
    match value {
        Some(_) => UriError::Unknown(name.to_owned()),
        None => UriError::Form,
    }
}

fn set(attribute: &mut Option<String>, name: &'static str, value: Option<&str>) -> Result<(), UriError> {
    let value = decoded(value.ok_or(UriError::Form)?).ok_or(UriError::Encoding(name))?;
    match attribute.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Repeated(name)),
    }
}

/// Does this byte stand for itself in a value? RFC 7512 §2.3: unreserved characters, and those that both halves allow.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]@!$'()*+,=/".contains(&byte)
}

fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'%' => bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?),
            byte if is_plain(byte) => bytes.push(byte),
            // Labels in kana or kanji are typed as they are.
            byte if !byte.is_ascii() => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty() && !text.contains('\0'))
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        let TokenSelector { module, parameters, label, serial } = &self.token;
        let mut separator = "";
        for (name, value) in [("token", label), ("serial", serial)] {
            if let Some(value) = value {
                write!(f, "{separator}{name}={}", encoded(value))?;
                separator = ";";
            }
        }
        write!(f, "?module-path={}", encoded(&module.display().to_string()))?;
        if let Some(parameters) = parameters {
            write!(f, "&module-parameters={}", encoded(parameters))?;
        }
        write!(f, "&pin-source={}", encoded(&self.pin_source.to_string()))
    }
}

fn encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const MODULE: &str = "module-path=/usr/lib/softhsm/libsofthsm2.so";

    fn parsed(text: &str) -> Result<TokenUri, UriError> {
        text.parse()
    }

    #[test]
    fn a_uri_says_which_token_and_where_its_pin_comes_from() {
        let uri =
            parsed(&format!("pkcs11:token=City%20Hall%3B1;serial=0a1b?{MODULE}&pin-source=file:/etc/pin")).unwrap();
        assert_eq!(uri.token.module.to_str(), Some("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!((uri.token.label.as_deref(), uri.token.serial.as_deref()), (Some("City Hall;1"), Some("0a1b")));
        assert_eq!(uri.pin_source, PinSource::File("/etc/pin".into()));
        assert_eq!(parsed(&uri.to_string()).unwrap(), uri);
        let told = parsed(&format!("pkcs11:?{MODULE}&module-parameters=configdir%3D'sql:/a%20b'")).unwrap();
        assert_eq!(told.token.parameters.as_deref(), Some("configdir='sql:/a b'"));
        assert_eq!(parsed(&told.to_string()).unwrap(), told);
        let bare = parsed(&format!("pkcs11:?{MODULE}")).unwrap();
        assert_eq!((bare.token.label.as_ref(), bare.pin_source), (None, PinSource::Prompt));
        assert_eq!(parsed(&format!("pkcs11:token=窓口?{MODULE}")).unwrap().token.label.as_deref(), Some("窓口"));
    }

    #[test]
    fn pin_sources_are_read_as_they_are_written() {
        for (text, source) in [
            ("fd:3", PinSource::Descriptor(3)),
            ("credential:hsm-pin", PinSource::Credential("hsm-pin".into())),
            ("file:/run/a b", PinSource::File("/run/a b".into())),
            ("/run/pin", PinSource::File("/run/pin".into())),
            ("prompt", PinSource::Prompt),
        ] {
            let uri = parsed(&format!("pkcs11:token=t?{MODULE}&pin-source={}", encoded(text))).unwrap();
            assert_eq!(uri.pin_source, source);
            assert_eq!(parsed(&uri.to_string()).unwrap(), uri);
        }
        for text in
            ["fd:", "fd:-1", "fd:x", "credential:", "credential:../pin", "file:pin", "pin", "%7Ccat", "env:PIN", ""]
        {
            let refused = parsed(&format!("pkcs11:token=t?{MODULE}&pin-source={text}"));
            assert!(refused.is_err(), "{text}: {refused:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_a_pin_is_not_repeated() {
        use UriError::{Encoding, Form, NoModule, PinValue, Repeated, Scheme};
        for (text, why) in [
            ("token=t".to_owned(), Scheme),
            ("PKCS11:token=t".to_owned(), Scheme),
            ("pkcs11:token=t".to_owned(), NoModule),
            ("pkcs11:token=t?module-path=libsofthsm2.so".to_owned(), NoModule),
            (format!("pkcs11:token=t?{MODULE}&{MODULE}"), Repeated("module-path")),
            (format!("pkcs11:token=a;token=b?{MODULE}"), Repeated("token")),
            (format!("pkcs11:token?{MODULE}"), Form),
            (format!("pkcs11:token=a;?{MODULE}"), Form),
            (format!("pkcs11:token=a b?{MODULE}"), Encoding("token")),
            (format!("pkcs11:token=%4?{MODULE}"), Encoding("token")),
            (format!("pkcs11:token=%+4?{MODULE}"), Encoding("token")),
            (format!("pkcs11:token=%FF?{MODULE}"), Encoding("token")),
            (format!("pkcs11:token=%00?{MODULE}"), Encoding("token")),
            (format!("pkcs11:token=?{MODULE}"), Encoding("token")),
            (format!("pkcs11:token=t?{MODULE}&pin-value=s3cret"), PinValue),
        ] {
            assert_eq!(parsed(&text), Err(why), "{text}");
        }
        for text in [
            format!("pkcs11:pin-source=file:/s3cret?{MODULE}"),
            format!("pkcs11:object=s3cret?{MODULE}"),
            format!("pkcs11:token=t?{MODULE}&pin=s3cret"),
            format!("pkcs11:token=t?{MODULE}&pin-value=s3cret"),
        ] {
            let refused = parsed(&text).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("s3cret"), "{refused}");
        }
    }
}
