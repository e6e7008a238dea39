//! What the crate `cryptoki` offers only as `unsafe`, or not at all. All `unsafe` of this crate is here.

use std::ffi::CString;
use std::ptr::NonNull;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::Error;
use cryptoki::mechanism::MechanismType;
use cryptoki::mechanism::vendor_defined::VendorDefinedMechanism;
use cryptoki_sys::{CK_KEY_DERIVATION_STRING_DATA, CK_MECHANISM_TYPE, CK_ULONG};

/// `C_Initialize`, with the parameters that some modules take from `pReserved` as a C string.
pub(crate) fn initialize(library: &Pkcs11, parameters: Option<&str>) -> Result<(), Error> {
    let flags = CInitializeFlags::OS_LOCKING_OK;
    let Some(parameters) = parameters else { return library.initialize(CInitializeArgs::new(flags)) };
    let parameters = CString::new(parameters).map_err(|_| Error::InvalidValue)?.into_raw();
    let arguments = NonNull::new(parameters.cast()).map(|reserved| {
        #[expect(unsafe_code, reason = "the standard leaves open what pReserved points to")]
        // SAFETY: it points to a C string, which lives until the call has ended. That the module wants one is what
        // `TokenSelector::parameters` says.
        unsafe {
            CInitializeArgs::new_with_reserved(flags, reserved)
        }
    });
    let result = library.initialize(arguments.unwrap_or_else(|| CInitializeArgs::new(flags)));
    #[expect(unsafe_code, reason = "gives back what was taken above")]
    // SAFETY: it came from `into_raw`, and modules copy what they keep.
    drop(unsafe { CString::from_raw(parameters) });
    result
}

/// `CKM_AES_KEY_WRAP_KWP` (PKCS #11 v3.0 §2.13): RFC 5649.
pub(crate) fn aes_key_wrap_kwp() -> MechanismType {
    numbered(0x0000_210B)
}

/// The known data of a derivation.
pub(crate) fn string_data(data: &[u8]) -> CK_KEY_DERIVATION_STRING_DATA {
    CK_KEY_DERIVATION_STRING_DATA { pData: data.as_ptr().cast_mut(), ulLen: data.len() as CK_ULONG }
}

/// `CKM_AES_ECB_ENCRYPT_DATA` (PKCS #11 v3.0 §2.15). The data of `parameters` is to live as long.
pub(crate) fn aes_ecb_encrypt_data(parameters: &CK_KEY_DERIVATION_STRING_DATA) -> VendorDefinedMechanism<'_> {
    VendorDefinedMechanism::new(numbered(0x0000_1104), Some(parameters))
}

/// A mechanism without parameters.
pub(crate) fn mechanism(kind: MechanismType) -> VendorDefinedMechanism<'static> {
    VendorDefinedMechanism::new::<u8>(kind, None)
}

/// A mechanism that the crate has no name for; below the numbers of vendors it makes none itself.
fn numbered(number: CK_MECHANISM_TYPE) -> MechanismType {
    #[expect(unsafe_code, reason = "the crate has no constructor for these numbers")]
    // SAFETY: `MechanismType` is `repr(transparent)` around a `CK_MECHANISM_TYPE`, any value of which is valid.
    unsafe {
        std::mem::transmute::<CK_MECHANISM_TYPE, MechanismType>(number)
    }
}
