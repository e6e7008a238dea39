//! Secure messaging of 券面事項入力補助AP, as it was measured on the real card: a terminal delivers an AES key under the card's public
//! key, and from then on may encipher commands of class 08. It hides; it does not authenticate.

use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Oaep};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::aes_key::{AesKey, BLOCK};
use crate::apdu::{Command, Form};
use crate::application::SessionKeys;
use crate::resident;
use crate::scp03::{pad, unpad};
use crate::state::{Answer, Chip, Session, done};
use crate::sw::Sw;
use crate::tlv;

/// Class of enciphered commands (ISO/IEC 7816-4 §5.4.1: secure messaging, header not processed).
pub(crate) const CLASS: u8 = 0x08;
/// Tag of the delivery, and of the key in it.
const TAG_DELIVERY: u8 = 0xA0;
const TAG_KEY: u8 = 0x80;
/// Length of what is delivered. AES-128 takes the first half.
const SEED: usize = 32;
/// Tag of enciphered data, and the byte before them: padded as in ISO/IEC 7816-4 §10.3.1.
const TAG_CRYPTOGRAM: u8 = 0x86;
const PADDED: u8 = 0x01;
/// Tag of the length wanted.
const TAG_LENGTH: u8 = 0x96;

/// Instructions that can be enciphered.
mod ins {
    pub(super) const VERIFY: u8 = 0x20;
    pub(super) const SELECT: u8 = 0xA4;
    pub(super) const READ_BINARY: u8 = 0xB0;
}

/// A delivered key.
pub(crate) struct Messaging {
    key: AesKey,
    /// Number of the next enciphered command.
    counter: u32,
}

impl Messaging {
    /// The initial vector of the command in hand and its answer: its number, enciphered.
    fn icv(&self) -> [u8; BLOCK] {
        self.key.block(self.counter.into())
    }
}

/// `80 AE 00 00 Lc <RSAES-OAEP with SHA-256 of A0 22 80 20 <seed>>`
pub(crate) fn set(session: &mut Session, command: &Command) -> Answer {
    let (pins, key) = match session.application.session_key {
        SessionKeys::After(pins, key) => (pins, key),
        SessionKeys::Refused(sw) => return Err(sw.into()),
    };
    if !pins.iter().any(|pin| session.verified.has(*pin)) {
        return Err(Sw::SECURITY_STATUS.into());
    }
    if (command.p1, command.p2) != (0, 0) {
        return Err(Sw::P1_P2.into());
    }
    let key = key.rsa().ok_or(Sw::UNKNOWN)?;
    if BigUint::from_bytes_be(&command.data) >= *key.n() {
        return Err(Sw::UNKNOWN.into());
    }
    let delivery = key.decrypt(Oaep::new::<Sha256>(), &command.data).map(Zeroizing::new).map_err(|_| Sw::BAD_DATA)?;
    let Some((inner, [])) = tlv::take(&delivery, TAG_DELIVERY) else { return Err(Sw::BAD_DATA.into()) };
    let Some((seed, [])) = tlv::take(inner, TAG_KEY) else { return Err(Sw::BAD_DATA.into()) };
    if seed.len() != SEED {
        return Err(Sw::BAD_DATA.into());
    }
    let key = AesKey::new(&seed[..BLOCK]).ok_or(Sw::UNKNOWN)?;
    session.messaging = Some(Messaging { key, counter: 1 });
    done()
}

/// A command of class 08. Whatever is wrong with its protection ends the session; what the application refuses does not.
pub(crate) fn perform(chip: &mut Chip, session: &mut Session, command: &Command) -> Answer {
    let mut messaging = session.messaging.take().ok_or(Sw::NO_SESSION)?;
    let plain = decipher(&messaging, command)?;
    let answer = resident::perform(chip, session, &plain).map(|data| encipher(&messaging, &data));
    messaging.counter += 1;
    session.messaging = Some(messaging);
    answer
}

/// The command without its protection.
fn decipher(messaging: &Messaging, command: &Command) -> Result<Command, Sw> {
    let mut plain = Command { cla: 0x00, data: Zeroizing::default(), ..command.clone() };
    match command.ins {
        ins::VERIFY | ins::SELECT => {
            let object = match **command.data {
                [TAG_CRYPTOGRAM, 0x81, length, ref rest @ ..] if rest.len() == usize::from(length) => rest,
                [TAG_CRYPTOGRAM, length @ 0..=0x7F, ref rest @ ..] if rest.len() == usize::from(length) => rest,
                _ => return Err(Sw::BAD_SECURE_MESSAGING),
            };
            let cryptogram = object.strip_prefix(&[PADDED]).ok_or(Sw::BAD_SECURE_MESSAGING)?;
            let padded = messaging.key.cbc_decrypt(&messaging.icv(), cryptogram);
            plain.data = padded.and_then(unpad).ok_or(Sw::BAD_SECURE_MESSAGING)?;
        }
        ins::READ_BINARY => {
            let [TAG_LENGTH, 3, 0, hi, lo] = **command.data else { return Err(Sw::BAD_SECURE_MESSAGING) };
            plain.form = Form::Extended;
            plain.le = match u16::from_be_bytes([hi, lo]) {
                0 => None,
                length => Some(length.into()),
            };
        }
        _ => return Err(Sw::SECURE_MESSAGING),
    }
    Ok(plain)
}

/// Data of an answer, enciphered under the number of the command.
fn encipher(messaging: &Messaging, data: &[u8]) -> Zeroizing<Vec<u8>> {
    if data.is_empty() {
        return Zeroizing::default();
    }
    let mut object = vec![PADDED];
    object.extend_from_slice(&messaging.key.cbc_encrypt(&messaging.icv(), &pad(data)));
    let mut answer = Zeroizing::new(Vec::new());
    tlv::push(&mut answer, TAG_CRYPTOGRAM.into(), &object);
    answer
}
