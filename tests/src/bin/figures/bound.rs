//! What an issuance can't do without: the commands that `docs/protocols/card-issuing.md` demands, each once, with the data that must cross.

use card_reader::Traffic;
use jpki::card;

/// Data of a command with a one-byte length field, and of an answer to it (ISO/IEC 7816-4 §5.1).
const SHORT_DATA: usize = 255;
const SHORT_ANSWER: usize = 256;
/// CLA INS P1 P2.
const HEADER: usize = 4;
const STATUS_WORD: usize = 2;
/// C-MAC and R-MAC in S8 mode, challenge and cryptogram (GlobalPlatform Amendment D §4.1.1).
const MAC: usize = 8;
/// AES, to whose blocks data is padded; padding adds a byte at least (Amendment D §6.2.6).
const BLOCK: usize = 16;
/// The name of a key or certificate: a SHA-256.
const NAME: usize = 32;
/// The transaction ID that GENERATE takes (card-issuing §3).
const TRANSACTION: usize = 16;
/// SHA-256 in a DigestInfo (RFC 8017 §9.2).
const DIGEST_INFO: usize = 19 + 32;
/// An RSA-2048 signature.
const SIGNATURE: usize = 256;
/// Answer to INITIALIZE UPDATE: diversification data, key version, `03`, `i`, challenge, cryptogram, sequence counter.
const INITIALIZE_UPDATE: usize = 10 + 1 + 1 + 1 + MAC + MAC + 3;
/// A file identifier.
const FID: usize = 2;
/// The status template with both slots empty: its own tag and length, and six objects of one byte (card-issuing §4).
const STATUS: usize = 2 + 6 * 3;
/// What it has more for an active certificate: tag, length and name.
const STATUS_ACTIVE: usize = 2 + NAME;

/// The line between terminal and card.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Extended-length APDUs pass.
    Extended,
    /// Only short ones: the rest is chained, and fetched with GET RESPONSE.
    Short,
}

/// What must cross, in bytes.
pub(crate) struct Payload {
    /// 照合番号B.
    pub(crate) face_code: usize,
    /// 基本4情報, as the card keeps them.
    pub(crate) holder: usize,
    /// SubjectPublicKeyInfo.
    pub(crate) public_key: usize,
    /// For each kind: PIN and certificate.
    pub(crate) kinds: Vec<(usize, usize)>,
    /// Do certificates of these kinds work already?
    pub(crate) renewal: bool,
}

/// One command with its answer.
#[derive(Clone, Copy)]
struct Exchange {
    command: usize,
    answer: usize,
}

/// The smallest traffic of one undisturbed procedure, in one card transaction. The terminal needs a second one, as it holds
/// no card while the resident chooses PINs; and it reads the card's serial number in each, to know the card again.
pub(crate) fn lower_bound(payload: &Payload, line: Line) -> Traffic {
    let mut all = Traffic::default();
    for exchange in exchanges(payload) {
        let needed = exchange.on(line);
        all.apdus += needed.apdus;
        all.bytes_out += needed.bytes_out;
        all.bytes_in += needed.bytes_in;
    }
    all
}

fn exchanges(payload: &Payload) -> Vec<Exchange> {
    let mut all = vec![
        // The right person: 券面事項入力補助AP, 照合番号B, 基本4情報.
        plain(card::AID_FACE_INPUT.len(), 0),
        plain(FID, 0),
        plain(payload.face_code, 0),
        plain(FID, 0),
        plain(0, payload.holder),
        // The channel: SELECT, INITIALIZE UPDATE, EXTERNAL AUTHENTICATE with its cryptogram and MAC.
        plain(card::AID_JPKI.len(), 0),
        plain(MAC, INITIALIZE_UPDATE),
        plain(MAC + MAC, 0),
    ];
    for &(pin, certificate) in &payload.kinds {
        // The right state.
        all.push(secured(0, STATUS + if payload.renewal { STATUS_ACTIVE } else { 0 }));
        // SET INITIAL PIN is for a kind without an active certificate.
        all.extend((!payload.renewal).then_some(secured(pin, 0)));
        all.extend([
            secured(pin, 0),                       // VERIFY
            secured(TRANSACTION, NAME),            // GENERATE KEY PAIR
            secured(0, payload.public_key),        // GET PENDING PUBLIC KEY
            secured(DIGEST_INFO, SIGNATURE),       // SIGN: possession
            secured(NAME + NAME + certificate, 0), // WRITE PENDING CERTIFICATE
            secured(0, certificate),               // GET PENDING CERTIFICATE
            secured(DIGEST_INFO, SIGNATURE),       // SIGN: exercise
            secured(NAME, 0),                      // COMMIT
        ]);
    }
    all
}

fn plain(command: usize, answer: usize) -> Exchange {
    Exchange { command, answer }
}

/// At level 33 data is enciphered both ways, and every command and every answer carries a MAC.
fn secured(command: usize, answer: usize) -> Exchange {
    let enciphered = |data: usize| if data == 0 { 0 } else { (data / BLOCK + 1) * BLOCK };
    Exchange { command: enciphered(command) + MAC, answer: enciphered(answer) + MAC }
}

impl Exchange {
    fn on(self, line: Line) -> Traffic {
        let Self { command, answer } = self;
        let is_short = command <= SHORT_DATA && answer <= SHORT_ANSWER;
        let (apdus, framing) = if line == Line::Extended && !is_short {
            // Lc has three bytes; so has Le, of which the first is left out behind an Lc.
            let lc = if command == 0 { 0 } else { 3 };
            let le = match (command, answer) {
                (_, 0) => 0,
                (0, _) => 3,
                _ => 2,
            };
            (1, HEADER + lc + le)
        } else {
            let parts = command.div_ceil(SHORT_DATA).max(1);
            let pieces = answer.div_ceil(SHORT_ANSWER).max(1);
            let lc = if command == 0 { 0 } else { parts };
            let le = if answer == 0 { 0 } else { pieces };
            (parts + pieces - 1, HEADER * (parts + pieces - 1) + lc + le)
        };
        Traffic {
            apdus: apdus as u64,
            bytes_out: (framing + command) as u64,
            bytes_in: (answer + apdus * STATUS_WORD) as u64,
        }
    }
}
