//! Whether a token gives its keys away. It is judged by trying, with throw-away keys of every kind that is used, never by what it
//! says of itself.

mod vault;

use std::fmt;

use hsm::KeyKind;
use hsm::custody::Honesty;

use crate::error::Fault;
pub(crate) use vault::OnSession;

/// A way in which a token gave a key away. It must not be provisioned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Leak {
    /// A secret attribute of the key can be read.
    #[error("the token lets a key be read ({kind:?}, {attribute})")]
    Read {
        /// The kind of the key.
        kind: KeyKind,
        /// The attribute.
        attribute: Secret,
    },
    /// The key's protection can be taken off.
    #[error("the token lets the protection of a key be taken off ({kind:?}, {protection})")]
    Unprotected {
        /// The kind of the key.
        kind: KeyKind,
        /// What was taken off.
        protection: Protection,
    },
    /// The key can be copied to one without protection.
    #[error("the token lets a key be copied without its protection ({kind:?}, {protection})")]
    Copied {
        /// The kind of the key.
        kind: KeyKind,
        /// What the copy lacks.
        protection: Protection,
    },
    /// The key can be had wrapped under a key of the caller's choice.
    #[error("the token wraps a key that must not leave it ({kind:?}, {by})")]
    Wrapped {
        /// The kind of the key.
        kind: KeyKind,
        /// The mechanism.
        by: Wrapping,
    },
    /// A key that can be read is derived from it, by which it can be found.
    #[error("the token derives what can be read from a key that must not leave it ({kind:?}, {by})")]
    Derived {
        /// The kind of the key.
        kind: KeyKind,
        /// The mechanism.
        by: Derivation,
    },
    /// The key can be used with another mechanism than the one it was made for (`CKA_ALLOWED_MECHANISMS`).
    #[error("the token uses a key with a mechanism that is not allowed ({kind:?}, {mechanism})")]
    Misused {
        /// The kind of the key.
        kind: KeyKind,
        /// The mechanism.
        mechanism: String,
    },
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text),+
                })
            }
        }
    };
}

names! {
    /// A secret attribute.
    Secret {
        /// The value of a secret key, or of a private key on a curve.
        Value = "CKA_VALUE",
        /// An RSA key's private exponent.
        PrivateExponent = "CKA_PRIVATE_EXPONENT",
        /// An RSA key's first prime.
        Prime1 = "CKA_PRIME_1",
        /// An RSA key's second prime.
        Prime2 = "CKA_PRIME_2",
    }
}

names! {
    /// What protects a key.
    Protection {
        /// It is not extractable.
        NotExtractable = "CKA_EXTRACTABLE=false",
        /// It is sensitive.
        Sensitive = "CKA_SENSITIVE=true",
    }
}

names! {
    /// A mechanism that wraps.
    Wrapping {
        /// RFC 3394.
        KeyWrap = "CKM_AES_KEY_WRAP",
        /// RFC 5649.
        KeyWrapKwp = "CKM_AES_KEY_WRAP_KWP",
        /// As the token understands it, RFC 5649 mostly.
        KeyWrapPad = "CKM_AES_KEY_WRAP_PAD",
        /// AES in CBC mode, padded.
        CbcPad = "CKM_AES_CBC_PAD",
        /// AES in CBC mode.
        Cbc = "CKM_AES_CBC",
        /// AES in ECB mode.
        Ecb = "CKM_AES_ECB",
        /// RSAES-PKCS1-v1_5.
        RsaPkcs = "CKM_RSA_PKCS",
        /// RSAES-OAEP.
        RsaOaep = "CKM_RSA_PKCS_OAEP",
    }
}

names! {
    /// A mechanism that derives.
    Derivation {
        /// Encryption of data in ECB mode.
        EcbEncryptData = "CKM_AES_ECB_ENCRYPT_DATA",
        /// Encryption of data in CBC mode.
        CbcEncryptData = "CKM_AES_CBC_ENCRYPT_DATA",
        /// NIST SP 800-108 in counter mode.
        Sp800108Counter = "CKM_SP800_108_COUNTER_KDF",
        /// The key, and a known key after it.
        ConcatenateBaseAndKey = "CKM_CONCATENATE_BASE_AND_KEY",
        /// The key, and known bytes after it.
        ConcatenateBaseAndData = "CKM_CONCATENATE_BASE_AND_DATA",
        /// Known bytes, and the key after them.
        ConcatenateDataAndBase = "CKM_CONCATENATE_DATA_AND_BASE",
        /// The key, exclusive-or known bytes.
        XorBaseAndData = "CKM_XOR_BASE_AND_DATA",
        /// Bits of the key.
        ExtractKeyFromKey = "CKM_EXTRACT_KEY_FROM_KEY",
    }
}

/// What the trial asks of a token. What the token refuses is `None` or `false`; an error is the loss of the token.
pub(crate) trait Vault {
    type Key: Copy;

    /// The kinds of keys that the token holds.
    fn kinds(&self) -> Vec<KeyKind>;
    /// A key as all keys of its kind are made.
    fn make(&self, kind: KeyKind) -> Result<Self::Key, Fault>;
    /// A key that may leave the token and be used for everything; `None` if the token makes none.
    fn make_free(&self, kind: KeyKind) -> Result<Option<Self::Key>, Fault>;
    /// Does the attribute come out?
    fn reads(&self, key: Self::Key, attribute: Secret) -> Result<bool, Fault>;
    /// Is the protection off, now that it was to be taken off?
    fn unprotects(&self, key: Self::Key, protection: Protection) -> Result<bool, Fault>;
    /// A copy that was to be without the protection, and is.
    fn copies(&self, key: Self::Key, protection: Protection) -> Result<bool, Fault>;
    /// Does the key come out, wrapped under a new key?
    fn wraps(&self, key: Self::Key, by: Wrapping) -> Result<bool, Fault>;
    /// Does a key that can be read come of it?
    fn derives(&self, key: Self::Key, by: Derivation) -> Result<bool, Fault>;
    /// A mechanism that works with the key and is not its own.
    fn misuses(&self, key: Self::Key, kind: KeyKind) -> Result<Option<String>, Fault>;
    /// Destroys whatever was made here, in this trial or in one that was interrupted.
    fn sweep(&self) -> Result<(), Fault>;
}

/// Tries to get keys out. Nothing that was made for it is left, whatever the outcome.
pub(crate) fn judge(vault: &impl Vault) -> Result<Result<Honesty, Leak>, Fault> {
    vault.sweep()?;
    let verdict = attempts(vault);
    let swept = vault.sweep();
    let verdict = verdict?;
    swept?;
    Ok(verdict)
}

fn attempts(vault: &impl Vault) -> Result<Result<Honesty, Leak>, Fault> {
    let mut honesty = Honesty::default();
    for kind in vault.kinds() {
        let key = vault.make(kind)?;
        let free = vault.make_free(kind)?;
        for &attribute in Secret::ALL {
            if vault.reads(key, attribute)? {
                return Ok(Err(Leak::Read { kind, attribute }));
            }
            honesty.refused += 1;
        }
        for &protection in Protection::ALL {
            if vault.copies(key, protection)? {
                return Ok(Err(Leak::Copied { kind, protection }));
            }
            honesty.refused += 1;
        }
        for &by in Wrapping::ALL {
            if vault.wraps(key, by)? {
                return Ok(Err(Leak::Wrapped { kind, by }));
            }
            honesty.refused += 1;
            if !works(free, |free| vault.wraps(free, by))? {
                honesty.without_control.push(format!("{kind:?}: {by}"));
            }
        }
        for &by in Derivation::ALL {
            if vault.derives(key, by)? {
                // What the key is for, and one-way.
                if by != Derivation::Sp800108Counter || !matches!(kind, KeyKind::CardMaster(_)) {
                    return Ok(Err(Leak::Derived { kind, by }));
                }
                honesty.readable_children = true;
                continue;
            }
            honesty.refused += 1;
            if !works(free, |free| vault.derives(free, by))? {
                honesty.without_control.push(format!("{kind:?}: {by}"));
            }
        }
        if let Some(mechanism) = vault.misuses(key, kind)? {
            return Ok(Err(Leak::Misused { kind, mechanism }));
        }
        honesty.refused += 1;
        // Last, as it changes the key.
        for &protection in Protection::ALL {
            if vault.unprotects(key, protection)? {
                return Ok(Err(Leak::Unprotected { kind, protection }));
            }
            honesty.refused += 1;
        }
    }
    Ok(Ok(honesty))
}

/// The control of an attempt: does it succeed where it may?
fn works<K>(free: Option<K>, attempt: impl FnOnce(K) -> Result<bool, Fault>) -> Result<bool, Fault> {
    free.map_or(Ok(false), attempt)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use hsm::AesLength;

    use super::*;

    /// A token that gives a key away in one way at most.
    #[derive(Default)]
    struct Double {
        wraps_by: Option<Wrapping>,
        derives_by: Option<Derivation>,
        objects: Cell<usize>,
        sweeps: Cell<usize>,
        lost_after: Option<usize>,
    }

    #[derive(Clone, Copy)]
    struct Key {
        is_free: bool,
    }

    impl Double {
        fn add(&self, is_free: bool) -> Result<Key, Fault> {
            self.objects.set(self.objects.get() + 1);
            if self.lost_after.is_some_and(|after| self.objects.get() > after) {
                return Err(hsm::HsmError::Unreachable.into());
            }
            Ok(Key { is_free })
        }
    }

    impl Vault for Double {
        type Key = Key;

        fn kinds(&self) -> Vec<KeyKind> {
            vec![KeyKind::EcP256, KeyKind::CardMaster(AesLength::Aes256), KeyKind::Hmac]
        }

        fn make(&self, _: KeyKind) -> Result<Key, Fault> {
            self.add(false)
        }

        fn make_free(&self, _: KeyKind) -> Result<Option<Key>, Fault> {
            self.add(true).map(Some)
        }

        fn reads(&self, key: Key, _: Secret) -> Result<bool, Fault> {
            Ok(key.is_free)
        }

        fn unprotects(&self, key: Key, _: Protection) -> Result<bool, Fault> {
            Ok(key.is_free)
        }

        fn copies(&self, key: Key, _: Protection) -> Result<bool, Fault> {
            self.add(key.is_free).map(|copy| copy.is_free)
        }

        fn wraps(&self, key: Key, by: Wrapping) -> Result<bool, Fault> {
            Ok(key.is_free && by != Wrapping::RsaPkcs || self.wraps_by == Some(by))
        }

        fn derives(&self, key: Key, by: Derivation) -> Result<bool, Fault> {
            Ok(key.is_free || self.derives_by == Some(by))
        }

        fn misuses(&self, _: Key, _: KeyKind) -> Result<Option<String>, Fault> {
            Ok(None)
        }

        fn sweep(&self) -> Result<(), Fault> {
            self.objects.set(0);
            self.sweeps.set(self.sweeps.get() + 1);
            Ok(())
        }
    }

    fn swept(double: &Double) -> bool {
        double.objects.get() == 0 && double.sweeps.get() == 2
    }

    #[test]
    fn an_honest_token_passes() {
        let double = Double::default();
        let honesty = judge(&double).expect("it is there").expect("it is honest");
        assert_eq!(honesty.refused, 3 * (4 + 8 + 8 + 2 + 1 + 2));
        assert_eq!(honesty.without_control.len(), 3, "{:?}", honesty.without_control);
        assert!(swept(&double));
    }

    #[test]
    fn a_token_that_leaks_only_by_wrapping_is_refused() {
        for &by in Wrapping::ALL {
            let double = Double { wraps_by: Some(by), ..Double::default() };
            let leak = judge(&double).expect("it is there").expect_err("it leaks");
            assert_eq!(leak, Leak::Wrapped { kind: KeyKind::EcP256, by });
            assert!(swept(&double), "{by}");
        }
    }

    #[test]
    fn a_token_that_leaks_only_by_derivation_is_refused() {
        for &by in Derivation::ALL {
            let double = Double { derives_by: Some(by), ..Double::default() };
            let leak = judge(&double).expect("it is there").expect_err("it leaks");
            assert_eq!(leak, Leak::Derived { kind: KeyKind::EcP256, by });
            assert!(swept(&double), "{by}");
        }
    }

    #[test]
    fn a_token_that_is_lost_is_not_honest_and_is_swept_all_the_same() {
        for after in 0..9 {
            let double = Double { lost_after: Some(after), ..Double::default() };
            assert!(judge(&double).is_err(), "after {after}");
            assert!(swept(&double), "after {after}");
        }
    }
}
