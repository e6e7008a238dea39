//! Deliberate mistakes. No card has them; a test that does not notice one of them proves nothing.

/// A way in which a card breaks the issuing protocol or the rules of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// COMMIT and DISCARD act on whatever is in the slot, whatever they name.
    UnnamedCommit,
    /// COMMIT of one kind makes every complete pending slot active.
    CommitBothKinds,
    /// A card without a pending slot forgets the name of the certificate that it overwrites.
    ForgetOverwritten,
    /// PUT KEY stores other keys than it was given, and answers as if it had not.
    StoresOtherKeys,
    /// DELETE keeps the keys that it should delete, and answers as if it had not.
    KeepsDeletedKeys,
    /// A file that is behind some PIN is read after any other PIN too.
    AnyPinOpens,
    /// PINs stay verified when another application is selected.
    PinsSurviveSelection,
    /// A wrong PIN does not take back that the right one was given before.
    WrongPinIsForgiven,
}

/// The mistakes of one card.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mistakes {
    pub(crate) unnamed_commit: bool,
    pub(crate) commit_both_kinds: bool,
    pub(crate) forget_overwritten: bool,
    pub(crate) stores_other_keys: bool,
    pub(crate) keeps_deleted_keys: bool,
    pub(crate) any_pin_opens: bool,
    pub(crate) pins_survive_selection: bool,
    pub(crate) wrong_pin_is_forgiven: bool,
}

impl Mistakes {
    pub(crate) fn make(&mut self, mistake: Mistake) {
        match mistake {
            Mistake::UnnamedCommit => self.unnamed_commit = true,
            Mistake::CommitBothKinds => self.commit_both_kinds = true,
            Mistake::StoresOtherKeys => self.stores_other_keys = true,
            Mistake::KeepsDeletedKeys => self.keeps_deleted_keys = true,
            Mistake::AnyPinOpens => self.any_pin_opens = true,
            Mistake::PinsSurviveSelection => self.pins_survive_selection = true,
            Mistake::WrongPinIsForgiven => self.wrong_pin_is_forgiven = true,
            Mistake::ForgetOverwritten => self.forget_overwritten = true,
        }
    }
}
