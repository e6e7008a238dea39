//! What can go wrong between a terminal and a card, to be armed for the n-th APDU from now.

/// Did the card perform the command before the fault struck?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The command never reached the card.
    BeforeExecution,
    /// The card performed the command; its answer never arrived.
    AfterExecution,
}

impl When {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::BeforeExecution, Self::AfterExecution];
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The card is taken away.
    Remove(When),
    /// The card is reset.
    Reset(When),
    /// No answer until the deadline has passed.
    Stall(When),
    /// One bit of the answer is wrong, as on a line without a checksum.
    Corrupt,
    /// What arrives is no answer.
    Garble,
    /// The card answers this status word and does nothing.
    StatusWord(u16),
}

/// Faults that wait for their APDU.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(u64, Fault)>);

impl Faults {
    /// Arms a fault for the APDU with this number.
    pub(crate) fn arm(&mut self, at: u64, fault: Fault) {
        self.0.push((at, fault));
    }

    /// The fault for this APDU, which is armed no longer.
    pub(crate) fn strike(&mut self, at: u64) -> Option<Fault> {
        let index = self.0.iter().position(|(armed, _)| *armed == at)?;
        Some(self.0.swap_remove(index).1)
    }

    pub(crate) fn armed(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
