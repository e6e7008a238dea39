//! Ports that take their own time: what is left of a procedure without them is the terminal's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu};
use authority_link::{AuthorityLine, LineError};
use biometric::hid::{HidError, HidTransport};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use hsm::{
    CardKeyPairKind, CardKeySet, EncipheredKeys, Hsm, HsmError, HsmIdentity, KeyName, SessionDerivation, SessionKeys,
    SignatureAlgorithm, WrappedKeyPair,
};
use madoguchi_time::Deadline;
use rustix::time::{ClockId, clock_gettime};
use zeroize::Zeroizing;

/// Adds up processor time of the thread that works, so that what else the machine does counts little. Clones show the same
/// time.
#[derive(Clone, Default)]
pub(crate) struct Stopwatch(Arc<Mutex<Duration>>);

impl Stopwatch {
    pub(crate) fn read(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = thread_time();
        let done = work();
        self.add(thread_time() - begun);
        done
    }

    pub(crate) fn add(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time since the thread began")
}

/// A port, or what was opened through it, with the watch that runs while it works.
pub(crate) struct Timed<T> {
    pub(crate) port: T,
    pub(crate) watch: Stopwatch,
}

impl CardReader for Timed<Box<dyn CardReader>> {
    fn name(&self) -> &str {
        self.port.name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        self.watch.time(|| self.port.wait_for_card(deadline))
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let port = self.watch.time(|| self.port.connect(deadline))?;
        Ok(Box::new(Timed { port, watch: self.watch.clone() }))
    }
}

impl<'a> CardConnection for Timed<Box<dyn CardConnection + 'a>> {
    fn identity(&self) -> &CardIdentity {
        self.port.identity()
    }

    fn capabilities(&self) -> CardCapabilities {
        self.port.capabilities()
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        let port = self.watch.time(|| self.port.begin(deadline))?;
        Ok(Box::new(Timed { port, watch: self.watch.clone() }))
    }
}

impl<'a> CardTransaction for Timed<Box<dyn CardTransaction + 'a>> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        self.watch.time(|| self.port.transmit(command, deadline))
    }

    fn was_reset(&self) -> bool {
        self.port.was_reset()
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        let Self { port, watch } = *self;
        watch.time(|| port.end(how))
    }
}

impl AuthorityLine for Timed<Box<dyn AuthorityLine>> {
    fn exchange(&mut self, request: &[u8], deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError> {
        self.watch.time(|| self.port.exchange(request, deadline))
    }

    fn close(&mut self) {
        self.port.close();
    }
}

impl<T: HidTransport> HidTransport for Timed<T> {
    fn report_size(&self) -> usize {
        self.port.report_size()
    }

    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError> {
        self.watch.time(|| self.port.write_report(report, deadline))
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        self.watch.time(|| self.port.read_report(deadline))
    }
}

impl Hsm for Timed<Arc<dyn Hsm>> {
    fn identity(&self) -> HsmIdentity {
        self.port.identity()
    }

    fn keys(&self, deadline: Deadline) -> Result<Vec<KeyName>, HsmError> {
        self.watch.time(|| self.port.keys(deadline))
    }

    fn public_key(&self, key: &KeyName, deadline: Deadline) -> Result<Vec<u8>, HsmError> {
        self.watch.time(|| self.port.public_key(key, deadline))
    }

    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>, HsmError> {
        self.watch.time(|| self.port.sign(key, algorithm, message, deadline))
    }

    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError> {
        self.watch.time(|| self.port.derive_session(derivation, deadline))
    }

    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError> {
        self.watch.time(|| self.port.make_card_key_pair(kind, card, deadline))
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        self.watch.time(|| self.port.encipher_card_keys(present, next, deadline))
    }

    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        self.watch.time(|| self.port.derive_record_key(key, context, deadline))
    }

    fn mac(&self, key: &KeyName, message: &[u8], deadline: Deadline) -> Result<[u8; 32], HsmError> {
        self.watch.time(|| self.port.mac(key, message, deadline))
    }
}
