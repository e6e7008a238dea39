//! Messages in reports: cutting them up, and putting them together (§3).

use zeroize::Zeroizing;

use super::protocol::{FIRST, FIRST_HEADER, MAX_MESSAGE, NEXT_HEADER};

/// A received report.
pub(super) enum Report<'a> {
    /// The first of a message.
    First { channel: u32, command: u8, length: usize, number: u16, payload: &'a [u8] },
    /// A further one.
    Next { channel: u32, sequence: u16, payload: &'a [u8] },
}

impl<'a> Report<'a> {
    /// Reads a report. `None` if it is too short to be one, or has flags of a later version.
    pub(super) fn parse(report: &'a [u8]) -> Option<Self> {
        let (channel, rest) = report.split_first_chunk::<4>()?;
        let channel = u32::from_be_bytes(*channel);
        if rest.first()? & FIRST == 0 {
            let (sequence, payload) = rest.split_first_chunk::<2>()?;
            return Some(Self::Next { channel, sequence: u16::from_be_bytes(*sequence), payload });
        }
        let (&[command, flags], rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (number, payload) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let number = u16::from_be_bytes(*number);
        (flags == 0).then_some(Self::First { channel, command: command & !FIRST, length, number, payload })
    }
}

/// Cuts a message up. `None` if it is too long for any number of reports.
pub(super) fn cut(
    size: usize,
    channel: u32,
    command: u8,
    number: u16,
    payload: &[u8],
) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_MESSAGE)?;
    let (first, rest) = payload.split_at(payload.len().min(size - FIRST_HEADER));
    let mut head = channel.to_be_bytes().to_vec();
    head.extend_from_slice(&[FIRST | command, 0]);
    head.extend_from_slice(&length.to_be_bytes());
    head.extend_from_slice(&number.to_be_bytes());
    let mut reports = vec![filled_up(size, &head, first)];
    for (sequence, piece) in rest.chunks(size - NEXT_HEADER).enumerate() {
        let sequence = u16::try_from(sequence).ok().filter(|sequence| *sequence < 0x8000)?;
        let head = [&channel.to_be_bytes()[..], &sequence.to_be_bytes()].concat();
        reports.push(filled_up(size, &head, piece));
    }
    Some(reports)
}

fn filled_up(size: usize, head: &[u8], payload: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut report = Zeroizing::new(Vec::with_capacity(size));
    report.extend_from_slice(head);
    report.extend_from_slice(payload);
    report.resize(size, 0);
    report
}

/// A message of which reports arrive.
pub(super) struct Assembly {
    length: usize,
    payload: Zeroizing<Vec<u8>>,
    sequence: u16,
}

impl Assembly {
    /// Begins with the payload of the first report of a message of `length` bytes.
    pub(super) fn begin(length: usize, payload: &[u8]) -> Self {
        let mut assembly = Self { length, payload: Zeroizing::new(Vec::with_capacity(length)), sequence: 0 };
        assembly.append(payload);
        assembly
    }

    /// Adds a further report. `false` if one before it is missing.
    pub(super) fn add(&mut self, sequence: u16, payload: &[u8]) -> bool {
        let expected = sequence == self.sequence;
        if expected {
            self.sequence = self.sequence.wrapping_add(1);
            self.append(payload);
        }
        expected
    }

    fn append(&mut self, payload: &[u8]) {
        let missing = self.length - self.payload.len();
        self.payload.extend_from_slice(&payload[..payload.len().min(missing)]);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.payload.len() == self.length
    }

    /// What has arrived.
    pub(super) fn into_payload(self) -> Zeroizing<Vec<u8>> {
        self.payload
    }
}

/// Payload that `reports` reports of `size` bytes can carry in one message.
pub(super) fn capacity(size: usize, reports: u16) -> usize {
    let further = usize::from(reports.saturating_sub(1)).min(0x8000);
    (size - FIRST_HEADER) + further * (size - NEXT_HEADER)
}
