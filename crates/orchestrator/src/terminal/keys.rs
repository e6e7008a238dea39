//! The HSM's keys: made and destroyed by two persons who show their palms.

use hsm::{HsmError, KeyCustody, KeyKind, KeyName};
use key_ceremony::{Act, CeremonyError, Installation, Person, PersonsProof, Record};

use super::{SecondPerson, Terminal};
use crate::ceremony::{self, Book, Ceremony, PATIENCE};
use crate::error::ProcedureError;
use crate::operators::{Operator, Role};

impl Terminal {
    /// Makes the keys that the terminal needs and that its HSM does not have.
    ///
    /// # Errors
    /// [`ProcedureError::NotAllowed`] unless the one who is logged on and the second person are アクセス管理責任者, both;
    /// [`ProcedureError::Keys`].
    pub fn complete_keys(
        &mut self,
        custody: &dyn KeyCustody,
        second: SecondPerson,
        is_simulated: bool,
    ) -> Result<Ceremony, ProcedureError> {
        let (installation, record) = self.begin_ceremony(Act::Init, custody, second, is_simulated)?;
        let mut book = self.book(custody);
        let found = book.examine(&installation)?;
        book.make_missing(record, &found, None)
    }

    /// Makes a key. Its kind follows from its name where it is not said.
    ///
    /// # Errors
    /// As [`Terminal::complete_keys`]; [`CeremonyError::UnknownKey`].
    pub fn create_key(
        &mut self,
        custody: &dyn KeyCustody,
        second: SecondPerson,
        (name, kind): (&KeyName, Option<KeyKind>),
        is_simulated: bool,
    ) -> Result<Ceremony, ProcedureError> {
        let (installation, record) = self.begin_ceremony(Act::Create, custody, second, is_simulated)?;
        let kind = installation.kind_of(name, kind)?;
        let mut book = self.book(custody);
        let found = book.examine(&installation)?;
        book.make_one(record, &found, name, kind)
    }

    /// Destroys a key that the terminal can do without: for good. `reason` stands in the record.
    ///
    /// # Errors
    /// As [`Terminal::complete_keys`]; [`CeremonyError::InUse`].
    pub fn retire_key(
        &mut self,
        custody: &dyn KeyCustody,
        second: SecondPerson,
        (name, reason): (&KeyName, &str),
        is_simulated: bool,
    ) -> Result<Ceremony, ProcedureError> {
        let (installation, record) = self.begin_ceremony(Act::Retire, custody, second, is_simulated)?;
        if let Some(by) = installation.use_of(name) {
            return Err(CeremonyError::InUse { key: name.clone(), by }.into());
        }
        let book = self.book(custody);
        let held = custody.inventory(book.deadline)?.keys.into_iter().find(|key| key.name == *name);
        let held = held.ok_or_else(|| HsmError::NoSuchKey(name.clone()))?;
        book.destroy(Record { reason: Some(reason.to_owned()), ..record }, &held)
    }

    /// Two persons, by their 照合ID and whatever their 操作者ID, who may do this both.
    fn begin_ceremony(
        &mut self,
        act: Act,
        custody: &dyn KeyCustody,
        second: SecondPerson,
        is_simulated: bool,
    ) -> Result<(Installation, Record), ProcedureError> {
        self.lock_if_idle()?;
        let first = self.session.active(self.ports.clock.now(), self.site.idle_limit());
        let first = first.ok_or(ProcedureError::NotLoggedOn)?;
        let second = second.operator();
        if first.user_id == second.user_id {
            return Err(ProcedureError::SecondPersonNeeded);
        }
        if [first, second].iter().any(|person| person.role != Role::AccessManager) {
            return Err(ProcedureError::NotAllowed);
        }
        let persons = [first, second]
            .map(|Operator { user_id, .. }| Person { id: user_id.clone(), role: Some("access-manager".to_owned()) });
        let deadline = self.ports.clock.deadline_in(PATIENCE);
        let installation = ceremony::installation(&*self.ports.state, &self.site, custody, is_simulated, deadline)?;
        let now = self.ports.clock.wall();
        let record = Record::begin(act, &installation, custody, persons, PersonsProof::Palms, now);
        Ok((installation, record))
    }

    fn book<'a>(&'a mut self, custody: &'a dyn KeyCustody) -> Book<'a> {
        Book::new(&mut *self.ports.state, &mut self.log, custody, &*self.ports.clock)
    }
}
