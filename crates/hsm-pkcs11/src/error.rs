use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use hsm::HsmError;
use secure_channel::kdf::KdfError;

use crate::honesty::Leak;

/// Why a token can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The module can't be loaded: a wrong path, a library that it needs is missing, or it is no PKCS #11 module.
    #[error("the PKCS #11 module {path} can't be loaded")]
    Module {
        /// Where it is looked for.
        path: String,
        /// Its cause.
        #[source]
        source: Error,
    },
    /// The module is there and can't be initialised. The HSM that it drives is away, or it was told the wrong things: by its configuration,
    /// or by its parameters.
    #[error("the PKCS #11 module {path} does not start")]
    NotStarted {
        /// Where it is.
        path: String,
        /// Its cause.
        #[source]
        source: Error,
    },
    /// The module is already in use in this program with other parameters, and is one for the whole program.
    #[error("the module is in use with other parameters")]
    OtherParameters,
    /// No token fits the selector. It is not plugged in, has another label, or the module has another configuration.
    #[error("the module has no such token")]
    NoToken,
    /// Several tokens fit the selector.
    #[error("{0} tokens fit: the serial number has to be said")]
    SeveralTokens(usize),
    /// The PIN is wrong. It is not tried again.
    #[error("the token refuses the PIN")]
    PinRefused,
    /// Too many wrong PINs: the token's security officer has to set a new one.
    #[error("the token's PIN is blocked")]
    PinBlocked,
    /// The token gives keys away: it must not be provisioned.
    #[error("the token gives keys away")]
    Dishonest(#[from] Leak),
    /// The HSM failed.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// What a failed call tells about the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the call itself was refused.
    None,
    /// This session is over, or what it held; another may work.
    Session,
    /// The login is over, and with it what all sessions held.
    Login,
    /// The module does not say. If it still answers, it was the call that failed.
    Doubtful,
    /// The token, the module or the line to it has gone.
    Module,
}

/// Why a piece of work on a session came to nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The port's own answer: it would be the same on every session.
    Answer(HsmError),
    /// The module refused a call.
    Call(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<HsmError> for Fault {
    fn from(error: HsmError) -> Self {
        Self::Answer(error)
    }
}

impl From<Fault> for HsmError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Answer(answer) => answer,
            Fault::Call(error) => failed(error),
        }
    }
}

impl From<KdfError> for Fault {
    fn from(error: KdfError) -> Self {
        Self::Answer(HsmError::Failed { function: "derivation", source: Box::new(error) })
    }
}

/// What an error tells about the token (PKCS #11 v3.0 §5.1).
pub(crate) fn loss(error: &Error) -> Loss {
    let Error::Pkcs11(rv, _) = error else { return Loss::None };
    match rv {
        // Private objects vanish with the login, which may have been lost and mended by another call.
        RvError::OperationActive
        | RvError::OperationNotInitialized
        | RvError::ObjectHandleInvalid
        | RvError::KeyHandleInvalid => Loss::Session,
        RvError::SessionHandleInvalid | RvError::SessionClosed | RvError::UserNotLoggedIn => Loss::Login,
        RvError::GeneralError | RvError::FunctionFailed | RvError::DeviceError => Loss::Doubtful,
        RvError::CryptokiNotInitialized
        | RvError::DeviceRemoved
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SlotIdInvalid => Loss::Module,
        _ => Loss::None,
    }
}

/// The port's error for a call that the module refused.
pub(crate) fn failed(error: Error) -> HsmError {
    let function = match &error {
        Error::Pkcs11(_, function) => function_name(function),
        _ => "cryptoki",
    };
    HsmError::Failed { function, source: Box::new(error) }
}

/// An answer of the module that the standard does not allow.
pub(crate) fn odd(function: &'static str) -> Fault {
    HsmError::Failed { function, source: "an answer of an odd length".into() }.into()
}

/// The standard's name of the functions that are called here.
fn function_name(function: &Function) -> &'static str {
    match function {
        Function::Initialize => "C_Initialize",
        Function::GetSlotList => "C_GetSlotList",
        Function::GetTokenInfo => "C_GetTokenInfo",
        Function::OpenSession => "C_OpenSession",
        Function::Login => "C_Login",
        Function::FindObjectsInit | Function::FindObjects | Function::FindObjectsFinal => "C_FindObjects",
        Function::GetAttributeValue => "C_GetAttributeValue",
        Function::GenerateKey => "C_GenerateKey",
        Function::GenerateKeyPair => "C_GenerateKeyPair",
        Function::CreateObject => "C_CreateObject",
        Function::DestroyObject => "C_DestroyObject",
        Function::CopyObject => "C_CopyObject",
        Function::DeriveKey => "C_DeriveKey",
        Function::WrapKey => "C_WrapKey",
        Function::SignInit | Function::Sign => "C_Sign",
        Function::EncryptInit | Function::Encrypt => "C_Encrypt",
        _ => "another function",
    }
}
