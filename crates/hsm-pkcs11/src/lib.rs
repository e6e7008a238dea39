//! The HSM port over PKCS #11: [`Pkcs11Hsm`], for any module whose token can do what [`Capabilities`] asks for.
//!
//! * **Modules** are loaded and initialised once for the whole process, however many tokens of them are in use.
//! * **Sessions**: one logged-in anchor for a token, and a bounded pool of sessions, one for each call under way. A call runs on
//!   a thread of the token's own, so that a module that never answers can be given up at the deadline.
//! * **Keys** are found anew at every call, by label and identifier, to exactly one hit. The identifier tells the kind of the key
//!   (module [`objects`]): another key of the same label is not taken for ours.
//! * **Cards**: what is derived from a master key is an object of one session, or, in the weaker mode, on the host; so is a key pair that
//!   is made for a card. Each is destroyed before the call ends, and goes with the session at the latest.
//! * **Capabilities** are tried out, never guessed from a name.
//! * **Honesty**: [`Pkcs11Hsm::prove_honesty`] tries to get keys out of a token before it is provisioned, and names the attempt that
//!   succeeded.
//! * **Recovery**: when token, module or line to it is lost, calls under way are drained, the module is finalised and initialised,
//!   and the token logged in to; nobody restarts the program. A call that was under way is begun anew; one that must not be done
//!   twice first looks how far it had come. A PIN that is refused then is not given again.

mod capabilities;
mod cards;
mod custody;
mod derivation;
mod error;
mod honesty;
mod making;
mod module;
pub mod objects;
mod operations;
mod pin;
mod provisioning;
mod raw;
mod sessions;
mod texts;
mod token;
mod uri;
mod workers;

pub use capabilities::{Capabilities, KeyWrap};
pub use error::TokenError;
pub use honesty::{Derivation, Leak, Protection, Secret, Wrapping};
pub use making::MakingError;
pub use operations::Pkcs11Hsm;
pub use pin::{PinError, PinSource};
pub use provisioning::Refusal;
pub use token::{Pin, TokenSelector};
pub use uri::{OpenError, TokenUri, UriError};
