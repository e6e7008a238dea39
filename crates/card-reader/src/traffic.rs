use std::fmt;
use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apdu::{CommandApdu, ResponseApdu};
use madoguchi_time::Deadline;

use crate::{CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition};

/// What has gone over a line: commands that were answered, and their bytes. The difference of two readings is what went
/// between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Commands that were answered; the parts of a chain and every GET RESPONSE count.
    pub apdus: u64,
    /// Bytes of commands.
    pub bytes_out: u64,
    /// Bytes of answers, status words included.
    pub bytes_in: u64,
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            apdus: self.apdus.saturating_sub(earlier.apdus),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
        }
    }
}

/// Reads the traffic of a [`CountingReader`], from any thread. Clones read the same counters.
#[derive(Clone, Debug, Default)]
pub struct TrafficMeter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    apdus: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
}

impl TrafficMeter {
    /// What has gone over the line since the meter was made.
    #[must_use]
    pub fn read(&self) -> Traffic {
        Traffic {
            apdus: self.0.apdus.load(Ordering::Relaxed),
            bytes_out: self.0.bytes_out.load(Ordering::Relaxed),
            bytes_in: self.0.bytes_in.load(Ordering::Relaxed),
        }
    }

    fn count(&self, bytes_out: usize, bytes_in: usize) {
        self.0.apdus.fetch_add(1, Ordering::Relaxed);
        self.0.bytes_out.fetch_add(bytes_out as u64, Ordering::Relaxed);
        self.0.bytes_in.fetch_add(bytes_in as u64, Ordering::Relaxed);
    }
}

/// A reader whose traffic is counted, around any other.
pub struct CountingReader<R> {
    inner: R,
    meter: TrafficMeter,
}

impl<R: CardReader> CountingReader<R> {
    /// Counts what goes through `inner` from now on.
    pub fn new(inner: R) -> Self {
        Self { inner, meter: TrafficMeter::default() }
    }

    /// The meter at this reader.
    #[must_use]
    pub fn meter(&self) -> TrafficMeter {
        self.meter.clone()
    }
}

impl<R: fmt::Debug> fmt::Debug for CountingReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingReader").field("inner", &self.inner).field("traffic", &self.meter.read()).finish()
    }
}

impl<R: CardReader> CardReader for CountingReader<R> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        self.inner.wait_for_card(deadline)
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let inner = self.inner.connect(deadline)?;
        Ok(Box::new(CountingConnection { inner, meter: &self.meter }))
    }
}

struct CountingConnection<'a> {
    inner: Box<dyn CardConnection + 'a>,
    meter: &'a TrafficMeter,
}

impl CardConnection for CountingConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> CardCapabilities {
        self.inner.capabilities()
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        let capabilities = self.inner.capabilities();
        let inner = self.inner.begin(deadline)?;
        Ok(Box::new(CountingTransaction { inner, capabilities, meter: self.meter }))
    }
}

struct CountingTransaction<'a> {
    inner: Box<dyn CardTransaction + 'a>,
    capabilities: CardCapabilities,
    meter: &'a TrafficMeter,
}

impl CardTransaction for CountingTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let answer = self.inner.transmit(command, deadline)?;
        let sent = self.capabilities.encode(command).map_or(0, |bytes| bytes.len());
        self.meter.count(sent, answer.data.len() + 2);
        Ok(answer)
    }

    fn was_reset(&self) -> bool {
        self.inner.was_reset()
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        self.inner.end(how)
    }
}
