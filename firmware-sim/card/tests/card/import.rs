//! Key pairs that were made elsewhere: `docs/protocols/card-issuing.md` §5. What comes was wrapped by another implementation.

use aes_kw::Kek;
use jpki::CertificateKind::Signature;
use jpki::card::{domain_ins, ins};
use pkcs1::UintRef;
use rsa::pkcs8::EncodePrivateKey;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use sim_card::nvm::Tear;
use sim_card::{CardProfile, KeyAlgorithm, KeySource, PrivateKey};
use zeroize::Zeroizing;

use crate::security_domain::{check_value, enter, keys, put_key_data};
use crate::single_slot::{over, slot};
use crate::terminal::{KEY_VERSION, POOL, TRANSACTION, Terminal, certificate, personalisation, sha256};

fn importing(profile: CardProfile) -> CardProfile {
    profile.importing("importing")
}

/// A card that takes keys, with its PINs set.
fn ready(profile: CardProfile) -> Terminal {
    let mut terminal = Terminal::new(importing(profile));
    terminal.open();
    terminal.set_pins();
    terminal
}

fn rsa_key() -> PrivateKey {
    POOL.clone().key_pair(KeyAlgorithm::Rsa2048, &mut rand_core::OsRng)
}

fn p384_key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::P384, &mut rand_core::OsRng)
}

fn pkcs8(key: &PrivateKey) -> Vec<u8> {
    let document = match key {
        PrivateKey::Rsa(key) => key.to_pkcs8_der(),
        PrivateKey::P384(key) => key.to_pkcs8_der(),
    };
    document.unwrap().as_bytes().to_vec()
}

/// Wraps under a key of any length of AES.
fn wrap(key: &[u8], plain: &[u8]) -> Vec<u8> {
    match key.len() {
        16 => Kek::<aes::Aes128>::try_from(key).unwrap().wrap_with_padding_vec(plain),
        24 => Kek::<aes::Aes192>::try_from(key).unwrap().wrap_with_padding_vec(plain),
        _ => Kek::<aes::Aes256>::try_from(key).unwrap().wrap_with_padding_vec(plain),
    }
    .unwrap()
}

/// The key-import key of the card as it was personalised.
fn import_key(terminal: &Terminal) -> Zeroizing<Vec<u8>> {
    personalisation(terminal.card.profile().clone()).keys.import.clone().unwrap()
}

/// The name of the public key, and the private one as `import` wraps it.
fn named(key: &PrivateKey, import: &[u8], plain: &[u8]) -> Vec<u8> {
    [sha256(&key.spki().unwrap()), wrap(import, plain)].concat()
}

fn give(terminal: &mut Terminal, data: &[u8]) -> Result<Vec<u8>, u16> {
    let algorithm = terminal.card.profile().algorithm.code();
    terminal.issue(ins::IMPORT_KEY_PAIR, 1, algorithm, data)
}

/// IMPORT of `plain` as the private key, under the right key.
fn import(terminal: &mut Terminal, key: &PrivateKey, plain: &[u8]) -> Result<Vec<u8>, u16> {
    let data = over(&named(key, &import_key(terminal), plain));
    give(terminal, &data)
}

#[test]
fn a_card_takes_a_key_or_makes_one_and_never_both() {
    for (profile, key) in [(CardProfile::jpki_2016(), rsa_key()), (CardProfile::jpki_next(), p384_key())] {
        for single in [false, true] {
            let profile = CardProfile { pending_slot: !single, ..profile.clone() };
            let mut terminal = ready(profile.clone());
            let algorithm = profile.algorithm.code();
            assert_eq!(terminal.issue(ins::GENERATE_KEY_PAIR, 1, algorithm, &TRANSACTION), Err(0x6A81));
            for chains in [true, false] {
                terminal.chains = chains;
                let name = import(&mut terminal, &key, &pkcs8(&key)).unwrap();
                let spki = terminal.issue(ins::GET_PENDING_PUBLIC_KEY, 1, 0, &[]).unwrap();
                assert_eq!((sha256(&spki), spki), (name.clone(), key.spki().unwrap()));
                assert!(import(&mut terminal, &key, &pkcs8(&key)).is_err(), "the slot is taken");
                terminal.issue(ins::DISCARD, 1, 0, &name).unwrap();
            }
            // What some modules put behind a key before they wrap it, and no more.
            for (zeros, taken) in [(1, true), (7, true), (8, false)] {
                let filled = [pkcs8(&key), vec![0; zeros]].concat();
                let imported = import(&mut terminal, &key, &filled);
                assert_eq!(imported.is_ok(), taken, "{zeros} zeros: {imported:?}");
                if let Ok(name) = imported {
                    terminal.issue(ins::DISCARD, 1, 0, &name).unwrap();
                }
            }
            assert_eq!(import(&mut terminal, &key, &[pkcs8(&key), vec![1]].concat()), Err(0x6A80));

            let mut makes = Terminal::new(profile);
            makes.open();
            makes.set_pins();
            let data = over(&named(&key, &import_key(&terminal), &pkcs8(&key)));
            assert_eq!(give(&mut makes, &data), Err(0x6A81), "on-card generation is required");
        }
    }
}

/// Only what was wrapped for this card opens, and nothing changes when it does not.
#[test]
fn a_key_for_another_card_or_a_changed_one_is_refused() {
    for (profile, key) in [(CardProfile::jpki_2016(), rsa_key()), (CardProfile::jpki_next(), p384_key())] {
        let length = profile.scp03_key_length;
        let mut terminal = ready(profile);
        let good = over(&named(&key, &import_key(&terminal), &pkcs8(&key)));
        let foreign: Vec<u8> = (0x60..).take(length).collect();
        let static_keys = personalisation(terminal.card.profile().clone()).keys.clone();
        for other in [&foreign, &*static_keys.enc, &*static_keys.mac, &*static_keys.dek] {
            assert_eq!(give(&mut terminal, &over(&named(&key, other, &pkcs8(&key)))), Err(0x9485));
        }
        let wrapped_from = TRANSACTION.len() + 32;
        for at in (wrapped_from..good.len()).step_by(97) {
            let mut changed = good.clone();
            changed[at] ^= 0x10;
            assert_eq!(give(&mut terminal, &changed), Err(0x9485), "byte {at}");
        }
        for length in [wrapped_from, wrapped_from + 8, wrapped_from + 23, good.len() - 8, good.len() - 1] {
            assert_eq!(give(&mut terminal, &good[..length]), Err(0x9485), "{length} bytes");
        }
        for length in [0, 15, 16, wrapped_from - 1] {
            assert_eq!(give(&mut terminal, &good[..length]), Err(0x6700), "{length} bytes");
        }
        // The name is that of another key.
        let mut misnamed = good.clone();
        misnamed[wrapped_from - 1] ^= 1;
        assert_eq!(give(&mut terminal, &misnamed), Err(0x6A80));
        let other_kind = if matches!(key, PrivateKey::Rsa(_)) { p384_key() } else { rsa_key() };
        assert_eq!(import(&mut terminal, &other_kind, &pkcs8(&other_kind)), Err(0x6A80));
        assert_eq!(terminal.status(Signature).pending, 0);
        give(&mut terminal, &good).unwrap();
        assert!(!terminal.memory.holds(&good[wrapped_from..wrapped_from + 32]), "what was wrapped is not kept");
    }
}

/// An RSA key as PKCS #8; `change` may spoil one of its numbers.
fn rsa_pkcs8(key: &PrivateKey, change: impl Fn(usize, &mut Vec<u8>)) -> Vec<u8> {
    use rsa::pkcs8::der::Encode;
    let PrivateKey::Rsa(key) = key else { unreachable!() };
    let [p, q] = key.primes() else { unreachable!() };
    let inverse = key.qinv().unwrap().to_bytes_be().1;
    let numbers = [key.n(), key.e(), key.d(), p, q, key.dp().unwrap(), key.dq().unwrap()].map(|n| n.to_bytes_be());
    let mut numbers = [numbers.to_vec(), vec![inverse]].concat();
    for (place, number) in numbers.iter_mut().enumerate() {
        change(place, number);
    }
    let number = |place: usize| UintRef::new(&numbers[place]).unwrap();
    let key = pkcs1::RsaPrivateKey {
        modulus: number(0),
        public_exponent: number(1),
        private_exponent: number(2),
        prime1: number(3),
        prime2: number(4),
        exponent1: number(5),
        exponent2: number(6),
        coefficient: number(7),
        other_prime_infos: None,
    };
    let der = key.to_der().unwrap();
    rsa::pkcs8::PrivateKeyInfo::new(pkcs1::ALGORITHM_ID, &der).to_der().unwrap()
}

#[test]
fn every_number_of_a_key_follows_from_the_others() {
    let key = rsa_key();
    let mut terminal = ready(CardProfile::jpki_2016());
    for spoilt in 0..8 {
        for change in [|n: &mut Vec<u8>| *n.last_mut().unwrap() ^= 2, |n: &mut Vec<u8>| n.fill(0)] {
            let plain = rsa_pkcs8(&key, |place, number| {
                if place == spoilt {
                    change(number)
                }
            });
            assert_eq!(import(&mut terminal, &key, &plain), Err(0x6A80), "number {spoilt}");
        }
    }
    import(&mut terminal, &key, &rsa_pkcs8(&key, |_, _| {})).unwrap();

    // On a curve, the public key that comes with the private one has to be its own; it need not come.
    let (key, other) = (p384_key(), p384_key());
    let (PrivateKey::P384(secret), PrivateKey::P384(public)) = (&key, &other) else { unreachable!() };
    let public = public.public_key().to_sec1_bytes();
    let (good, scalar) = (pkcs8(&key), secret.to_bytes());
    let mut terminal = ready(CardProfile::jpki_next());
    let place = |needle: &[u8]| good.windows(needle.len()).position(|window| window == needle).unwrap();
    for (at, with) in [
        (place(&secret.public_key().to_sec1_bytes()), public.to_vec()),
        (place(&scalar), vec![0; 48]),
        (place(&scalar), vec![0xFF; 48]),
    ] {
        let mut plain = good.clone();
        plain[at..at + with.len()].copy_from_slice(&with);
        assert_eq!(import(&mut terminal, &key, &plain), Err(0x6A80));
    }
    import(&mut terminal, &key, &good).unwrap();
}

/// With and without a pending slot: whatever page is torn, the old content is there, or the new key.
#[test]
fn importing_is_atomic() {
    let (first, second) = (p384_key(), p384_key());
    for pending_slot in [true, false] {
        let mut torn = 0;
        for n in 1.. {
            let mut terminal = ready(CardProfile { pending_slot, ..CardProfile::jpki_next() });
            import(&mut terminal, &first, &pkcs8(&first)).unwrap();
            let old = certificate(&first.spki().unwrap(), 1);
            terminal.write_certificate(Signature, &first.spki().unwrap(), &old).unwrap();
            terminal.issue(ins::COMMIT, 1, 0, &sha256(&old)).unwrap();
            let named = named(&second, &import_key(&terminal), &pkcs8(&second));
            let data = if pending_slot { over(&named) } else { over(&[sha256(&old), named].concat()) };
            let switch = terminal.card.power_switch();
            switch.cut_at_write(n, Tear::Garbled);
            let imported = terminal.attempt(ins::IMPORT_KEY_PAIR, 1, 2, &data);
            if switch.cancel() {
                assert!(imported);
                break;
            }
            torn += 1;
            terminal.card.power_up().unwrap();
            terminal.open();
            let key = Some(sha256(&second.spki().unwrap()));
            if pending_slot {
                let status = terminal.status(Signature);
                assert_eq!(status.active, Some(sha256(&old)), "write {n}");
                assert!(status.pending_key.is_none() || status.pending_key == key, "write {n}");
            } else {
                let found = slot(&mut terminal, Signature);
                let (before, after) = ((Some(sha256(&old)), None, None), (None, key, Some(sha256(&old))));
                assert!(found == before || found == after, "write {n}: {found:?}");
            }
        }
        assert!(torn >= 4, "{torn}");
    }
}

#[test]
fn nothing_is_overwritten_that_is_not_named() {
    let key = p384_key();
    let mut terminal = ready(CardProfile { pending_slot: false, ..CardProfile::jpki_next() });
    let first = import(&mut terminal, &key, &pkcs8(&key)).unwrap();
    let other = p384_key();
    let named = named(&other, &import_key(&terminal), &pkcs8(&other));
    for wrong in [over(&named), over(&[vec![0; 32], named.clone()].concat())] {
        assert_eq!(give(&mut terminal, &wrong), Err(0x6A88));
        assert_eq!(slot(&mut terminal, Signature), (None, Some(first.clone()), None));
    }
    let second = give(&mut terminal, &over(&[first, named].concat())).unwrap();
    assert_eq!(slot(&mut terminal, Signature), (None, Some(second), None));
}

/// A version of such a card has four keys; the channel's own version is the one whose key-import key opens what comes.
#[test]
fn the_key_import_key_changes_with_the_others() {
    const NEW_VERSION: u8 = 0x31;
    let key = p384_key();
    let mut terminal = ready(CardProfile::jpki_next());
    let length = terminal.card.profile().scp03_key_length;
    let old = personalisation(terminal.card.profile().clone()).keys.clone();
    let three = keys(0x11, length);
    let mut four = three.clone();
    four.import = Some(Zeroizing::new(vec![0x5A; length]));
    enter(&mut terminal, KEY_VERSION, &old).unwrap();
    let put = |terminal: &mut Terminal, new| {
        terminal.issue(domain_ins::PUT_KEY, 0, 0x81, &put_key_data(NEW_VERSION, &old.dek, new, false))
    };
    assert_eq!(put(&mut terminal, &three), Err(0x6A80), "one is missing");
    let answer = put(&mut terminal, &four).unwrap();
    assert_eq!(answer[answer.len() - 3..], check_value(&[0x5A; 24]));
    let list = hex::decode(terminal.hex("00 A4 04 0C 08 A000000151000000").as_str()).unwrap();
    assert_eq!(list, [0x90, 0x00]);
    let list = hex::decode(terminal.hex("00 CA 00 E0 00")).unwrap();
    let found: Vec<_> = list[..list.len() - 2].chunks(6).map(|entry| (entry[3], entry[2])).collect();
    let expected = [KEY_VERSION, NEW_VERSION].map(|version| [1, 2, 3, 4].map(|identifier| (version, identifier)));
    assert_eq!(found, expected.concat());

    for (version, keys, own, foreign) in
        [(KEY_VERSION, &old, &old.import, &four.import), (NEW_VERSION, &four, &four.import, &old.import)]
    {
        terminal.select(&jpki::card::AID_JPKI);
        terminal.open_with(version, keys, 0x33).unwrap();
        let wrapped_under =
            |import: &Option<Zeroizing<Vec<u8>>>| over(&named(&key, import.as_ref().unwrap(), &pkcs8(&key)));
        assert_eq!(give(&mut terminal, &wrapped_under(foreign)), Err(0x9485));
        let name = give(&mut terminal, &wrapped_under(own)).unwrap();
        terminal.issue(ins::DISCARD, 1, 0, &name).unwrap();
    }
}
