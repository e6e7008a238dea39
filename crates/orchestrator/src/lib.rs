//! Counter procedures as state machines, and the driver that runs them over the ports.
//!
//! * [`plan`]: what a procedure is made of. [`procedure`]: the machine, without I/O.
//! * [`Terminal`]: the ports put together, an operator's session, one procedure at a time.
//! * [`state`]: what is kept on disk. [`people`]: what is asked of people. [`progress`]: what is told while it runs.

mod attempts;
mod card;
pub mod ceremony;
mod driver;
mod error;
pub mod identity;
pub mod journal;
mod line;
pub mod logbook;
pub mod operators;
pub mod people;
pub mod plan;
pub mod procedure;
pub mod progress;
pub mod session;
pub mod site;
pub mod state;
mod terminal;

pub use card::CardKeys;
pub use ceremony::Ceremony;
pub use error::ProcedureError;
pub use logbook::LogVerdict;
pub use operators::{Operator, Role};
pub use people::{Declined, People, Question};
pub use plan::{Plan, Step};
pub use progress::{
    IssuedCertificate, KeyChange, KeyChangeStep, KeyOrigin, ProcedureReport, Progress, Settlement, SlotFound,
};
pub use site::{SiteConfig, Trust};
pub use state::{DiskFolder, StateError, StateFolder};
pub use terminal::{EnrolOrder, Ports, ProgressSink, SecondPerson, Terminal};
