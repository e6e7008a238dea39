use apdu::{CommandApdu, ResponseApdu};
use madoguchi_time::Deadline;
use zeroize::Zeroizing;

use crate::{CardCapabilities, CardError, CardTransaction};

/// The longest data field of a short command, in bytes (ISO/IEC 7816-4 §5.1).
const SHORT_DATA: usize = 0xFF;
/// Header, Lc and Le of a short command, in bytes.
const SHORT_FRAME: usize = 4 + 1 + 1;
/// The longest answer that a short command can ask for, in bytes.
const SHORT_LE: u32 = 0x100;
/// The longest answer that is put together, in bytes: what the longest `Le` can ask for.
const LONGEST_ANSWER: usize = 0x1_0000;
/// GET RESPONSE (ISO/IEC 7816-4 §11.8.1).
const GET_RESPONSE: u8 = 0xC0;

/// Sends a command of any length and returns the whole answer.
///
/// * A command that is too long for one piece goes as a chain (ISO/IEC 7816-4 §5.1.1.1). If the card refuses a part, that
///   status word is the answer.
/// * `6Cxx`: a command without data is repeated once with the `Le` that the card names, as it was not performed. One with
///   data is not: it may carry a PIN, which is never sent twice, whatever the card says of the first time.
/// * `61xx`: the rest is fetched with GET RESPONSE. If that ends in an error, the answer is its status word alone.
///
/// An `Le` of more than 256 is lowered to 256 where the line has no extended length; what is longer comes by `61xx`.
///
/// # Errors
/// As [`CardTransaction::transmit`]; [`CardError::Garbled`] for an answer that never ends.
pub fn exchange(
    transaction: &mut dyn CardTransaction,
    capabilities: CardCapabilities,
    command: &CommandApdu,
    deadline: Deadline,
) -> Result<ResponseApdu, CardError> {
    let mut answer = send(transaction, capabilities, command, deadline)?;
    if let Some(le) = answer.status.wrong_le()
        && command.data().is_empty()
    {
        answer = send(transaction, capabilities, &command.clone().with_le(le.into()), deadline)?;
    }
    fetch_rest(transaction, command.cla(), answer, deadline)
}

fn send(
    transaction: &mut dyn CardTransaction,
    capabilities: CardCapabilities,
    command: &CommandApdu,
    deadline: Deadline,
) -> Result<ResponseApdu, CardError> {
    if capabilities.encode(command).is_ok() {
        return transaction.transmit(command, deadline);
    }
    let command = match command.le() {
        Some(le) if le > SHORT_LE => command.clone().with_le(SHORT_LE),
        _ => command.clone(),
    };
    let block = capabilities.max_command.saturating_sub(SHORT_FRAME).min(SHORT_DATA);
    let mut chain = command.chain(block).into_iter();
    let last = chain.next_back();
    for part in chain {
        let answer = transaction.transmit(&part, deadline)?;
        if !answer.status.is_ok() {
            return Ok(answer);
        }
    }
    transaction.transmit(&last.unwrap_or(command), deadline)
}

fn fetch_rest(
    transaction: &mut dyn CardTransaction,
    cla: u8,
    answer: ResponseApdu,
    deadline: Deadline,
) -> Result<ResponseApdu, CardError> {
    if answer.status.more_data().is_none() {
        return Ok(answer);
    }
    let mut status = answer.status;
    let mut length = answer.data.len();
    let mut pieces = vec![answer.data];
    while let Some(le) = status.more_data() {
        let get_response = CommandApdu::new(unsecured(cla), GET_RESPONSE, 0x00, 0x00);
        let mut piece = transaction.transmit(&get_response.clone().with_le(le.into()), deadline)?;
        if let Some(le) = piece.status.wrong_le() {
            piece = transaction.transmit(&get_response.with_le(le.into()), deadline)?;
        }
        status = piece.status;
        length += piece.data.len();
        if length > LONGEST_ANSWER || (piece.data.is_empty() && status.more_data().is_some()) {
            return Err(CardError::Garbled);
        }
        pieces.push(piece.data);
    }
    if !(status.is_ok() || status.is_warning()) {
        return Ok(status.into());
    }
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_slice()).collect();
    Ok(ResponseApdu { data: Zeroizing::new(pieces.concat()), status })
}

/// The class for GET RESPONSE: on the same logical channel, not secured, not chained (ISO/IEC 7816-4 §5.4.1).
const fn unsecured(cla: u8) -> u8 {
    if cla & 0x40 == 0 { cla & 0x03 } else { cla & 0x4F }
}
