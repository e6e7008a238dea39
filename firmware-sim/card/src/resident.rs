//! The commands of the resident's own programs, in every application: SELECT EF, READ BINARY, READ RECORD, VERIFY, CHANGE
//! REFERENCE DATA and PERFORM SECURITY OPERATION, as the public clients of the card use them.

use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

use crate::apdu::{Command, SHORT_LE_MAX};
use crate::application::Content;
use crate::keys::{KeyAlgorithm, PrivateKey};
use crate::pin::{ChangedBy, PinId, Verified};
use crate::state::{Answer, Chip, Session, done, object, reference};
use crate::sw::Sw;

/// AlgorithmIdentifier of SHA-256 in a DigestInfo (RFC 8017 §9.2, note 1).
const SHA256_ALGORITHM: [u8; 15] =
    [0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];

/// Class and instruction of these commands.
mod code {
    pub(super) const VERIFY: (u8, u8) = (0x00, 0x20);
    pub(super) const CHANGE: (u8, u8) = (0x00, 0x24);
    pub(super) const INTERNAL_AUTHENTICATE: (u8, u8) = (0x00, 0x88);
    pub(super) const SELECT: (u8, u8) = (0x00, 0xA4);
    pub(super) const READ_BINARY: (u8, u8) = (0x00, 0xB0);
    pub(super) const READ_RECORD: (u8, u8) = (0x00, 0xB2);
    pub(super) const SIGN: (u8, u8) = (0x80, 0x2A);
    pub(super) const CHANGE_KEY: (u8, u8) = (0x80, 0x32);
}

/// Performs a command outside secure channels.
pub(crate) fn perform(chip: &mut Chip, session: &mut Session, command: &Command) -> Answer {
    match (command.base_class(), command.ins) {
        code::SELECT => select_file(session, command),
        code::READ_BINARY => read_binary(chip, session, command),
        code::READ_RECORD => read_record(chip, session, command),
        code::VERIFY => verify(chip, session, command),
        code::CHANGE => change(chip, session, command),
        code::SIGN => sign(chip, session, command),
        code::CHANGE_KEY => change_key(chip, session, command),
        code::INTERNAL_AUTHENTICATE => internal_authenticate(chip, session, command),
        _ => Err(Sw::INS.into()),
    }
}

/// `00 A4 02 0C 02 <FID>`
fn select_file(session: &mut Session, command: &Command) -> Answer {
    if command.p1 != 0x02 || !matches!(command.p2, 0x00 | 0x0C) {
        return Err(Sw::P1_P2.into());
    }
    let fid = <[u8; 2]>::try_from(command.data.as_slice()).map_err(|_| Sw::WRONG_LENGTH)?;
    session.current = Some(session.application.file(u16::from_be_bytes(fid)).ok_or(Sw::FILE_NOT_FOUND)?);
    done()
}

/// `00 B0 <offset> Le`, or `00 B0 <80 + short identifier> <offset> Le`
fn read_binary(chip: &Chip, session: &mut Session, command: &Command) -> Answer {
    let (short, offset) = match command.p1 {
        hi @ 0x00..=0x7F => (None, usize::from(u16::from_be_bytes([hi, command.p2]))),
        0x81..=0x9E => (Some(command.p1 & 0x1F), usize::from(command.p2)),
        _ => return Err(Sw::P1_P2.into()),
    };
    if !command.data.is_empty() {
        return Err(Sw::WRONG_LENGTH.into());
    }
    let content = match session.file(short)?.content {
        Content::Transparent(source, access) if session.may_read(access) => chip.content(source)?,
        Content::Transparent(source, _) if chip.mistakes.any_pin_opens && !session.verified.is_empty() => {
            chip.content(source)?
        }
        Content::Transparent(..) => return Err(Sw::SECURITY_STATUS.into()),
        _ => return Err(Sw::FILE_STRUCTURE.into()),
    };
    let rest = content.get(offset..).filter(|rest| !rest.is_empty()).ok_or(Sw::OFFSET)?;
    let wanted = command.room();
    if wanted > rest.len() && wanted < SHORT_LE_MAX {
        return Err(Sw::exact_le(rest.len()).into());
    }
    Ok(Zeroizing::new(rest[..wanted.min(rest.len())].to_vec()))
}

/// `00 B2 <record> <short identifier × 8 + 4> Le`
fn read_record(chip: &Chip, session: &mut Session, command: &Command) -> Answer {
    if command.p2 & 0x07 != 0x04 {
        return Err(Sw::P1_P2.into());
    }
    let short = match command.p2 >> 3 {
        0 => None,
        short => Some(short),
    };
    match session.file(short)?.content {
        Content::Record(_, access) if !session.may_read(access) => Err(Sw::SECURITY_STATUS.into()),
        Content::Record(source, _) if command.p1 == 1 => chip.content(source),
        Content::Record(..) => Err(Sw::RECORD_NOT_FOUND.into()),
        _ => Err(Sw::FILE_STRUCTURE.into()),
    }
}

/// `00 20 00 80 [Lc PIN]`. Without a PIN it asks for the tries left, and the answer is `63Cx` whatever has been verified.
fn verify(chip: &mut Chip, session: &mut Session, command: &Command) -> Answer {
    if command.p1 != 0 {
        return Err(Sw::P1_P2.into());
    }
    let pin = session.pin(command.p2)?;
    compare(chip, &mut session.verified, pin, &command.data)
}

/// Compares a PIN, or without one tells the tries left.
pub(crate) fn compare(chip: &mut Chip, verified: &mut Verified, pin: PinId, value: &[u8]) -> Answer {
    if value.is_empty() {
        return Err(Sw::tries_left(pin.tries_left(&chip.store)?).into());
    }
    if !chip.mistakes.wrong_pin_is_forgiven {
        verified.set(pin, false);
    }
    match pin.verify(&mut chip.store, value, chip.profile.blocked_status)? {
        Sw::OK => {
            verified.set(pin, true);
            done()
        }
        refused => Err(refused.into()),
    }
}

/// `00 24 01 80 Lc <new PIN>`, after VERIFY
fn change(chip: &mut Chip, session: &mut Session, command: &Command) -> Answer {
    if command.p1 != 0x01 {
        return Err(Sw::P1_P2.into());
    }
    replace(chip, session, command, ChangedBy::ReferenceData)
}

/// `80 32 00 80 Lc <new PIN>`, after VERIFY: CHANGE KEY of JICSAP
fn change_key(chip: &mut Chip, session: &mut Session, command: &Command) -> Answer {
    if command.p1 != 0x00 {
        return Err(Sw::P1_P2.into());
    }
    replace(chip, session, command, ChangedBy::Key)
}

/// Sets a new PIN, if it is one that this command changes and that has been verified.
fn replace(chip: &mut Chip, session: &mut Session, command: &Command, by: ChangedBy) -> Answer {
    let pin = session.pin(command.p2)?;
    if pin.changed_by() != by || !session.verified.has(pin) {
        return Err(Sw::SECURITY_STATUS.into());
    }
    if !pin.accepts(&command.data) {
        return Err(Sw::BAD_DATA.into());
    }
    chip.store.transact(pin.setting(&command.data).into())?;
    done()
}

/// `00 88 00 <80 + short identifier> Lc <challenge> Le`: a signature over the challenge
fn internal_authenticate(chip: &Chip, session: &mut Session, command: &Command) -> Answer {
    if command.p1 != 0x00 {
        return Err(Sw::P1_P2.into());
    }
    let key = match session.file(reference(command.p2)?)?.content {
        Content::AuthenticationKey(key) => key.private().ok_or(Sw::UNKNOWN)?,
        Content::Key(_) => return Err(Sw::SECURITY_STATUS.into()),
        Content::OpenKey(_) => return Err(Sw::CONDITIONS.into()),
        _ => return Err(Sw::FILE_STRUCTURE.into()),
    };
    if !(1..=255).contains(&command.data.len()) {
        return Err(Sw::WRONG_LENGTH.into());
    }
    signature(chip, key, &digest_info(&Sha256::digest(&*command.data)))
}

/// `80 2A <form> 80 Lc <data> Le`, with P1 00 for what is to be signed as it stands, 01 for the message whose bare hash is
/// signed, 02 for its hash, 03 for the message. P2 00 stands for the application's own key, where it has one.
fn sign(chip: &Chip, session: &mut Session, command: &Command) -> Answer {
    let content = match (command.p2, session.application.default_key) {
        (0x00, Some(key)) => Content::OpenKey(key),
        (p2, _) => session.file(reference(p2)?)?.content,
    };
    let stored;
    let key = match content {
        Content::Key(kind) if session.verified.has(PinId::of(kind)) => {
            stored = chip.key(object::active_key(kind))?.ok_or(Sw::CONDITIONS)?;
            &stored
        }
        Content::Key(_) => return Err(Sw::SECURITY_STATUS.into()),
        Content::OpenKey(key) => key.private().ok_or(Sw::UNKNOWN)?,
        _ => return Err(Sw::FILE_STRUCTURE.into()),
    };
    let input = match (command.p1, key.algorithm()) {
        (0x00, _) | (0x02, KeyAlgorithm::P384) => command.data.to_vec(),
        (0x01, KeyAlgorithm::Rsa2048) => Sha256::digest(&*command.data).to_vec(),
        (0x02, KeyAlgorithm::Rsa2048) if command.data.len() == 32 => digest_info(&command.data),
        (0x02, KeyAlgorithm::Rsa2048) => return Err(Sw::WRONG_LENGTH.into()),
        (0x03, KeyAlgorithm::Rsa2048) => digest_info(&Sha256::digest(&*command.data)),
        (0x03, KeyAlgorithm::P384) => Sha384::digest(&*command.data).to_vec(),
        _ => return Err(Sw::P1_P2.into()),
    };
    signature(chip, key, &input)
}

/// Signs, and takes the time that it takes.
pub(crate) fn signature(chip: &Chip, key: &PrivateKey, input: &[u8]) -> Answer {
    let signature = key.sign(input).ok_or(Sw::WRONG_LENGTH)?;
    chip.clock.elapse(chip.profile.timing.signature);
    Ok(Zeroizing::new(signature))
}

/// DigestInfo around a hash by SHA-256, or around several at once, as the signature over the card's face has them. At most 100 bytes.
pub(crate) fn digest_info(hash: &[u8]) -> Vec<u8> {
    let length = hash.len() as u8;
    let mut info = vec![0x30, 17 + length];
    info.extend(SHA256_ALGORITHM);
    info.extend([0x04, length]);
    info.extend_from_slice(hash);
    info
}
