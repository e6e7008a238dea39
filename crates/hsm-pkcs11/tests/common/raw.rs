//! What the crate `cryptoki` does not offer.

use std::path::Path;
use std::ptr;

use cryptoki::mechanism::vendor_defined::VendorDefinedMechanism;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::slot::Slot;
use cryptoki_sys::{CK_FUNCTION_LIST, CK_MECHANISM_TYPE, CK_RV, CKR_OK};

/// `CKM_AES_KEY_WRAP_KWP` (PKCS #11 v3.0 §2.13).
pub(crate) fn aes_key_wrap_kwp() -> Mechanism<'static> {
    #[expect(unsafe_code, reason = "the crate has no name for this number")]
    // SAFETY: `MechanismType` is `repr(transparent)` around a `CK_MECHANISM_TYPE`, any value of which is valid.
    let kwp = unsafe { std::mem::transmute::<CK_MECHANISM_TYPE, MechanismType>(0x0000_210B) };
    Mechanism::VendorDefined(VendorDefinedMechanism::new::<u8>(kwp, None))
}

/// `C_CloseAllSessions`: ends everybody's sessions with the token in this slot, and so the login.
pub(crate) fn close_all_sessions(module: &Path, slot: Slot) {
    #[expect(unsafe_code, reason = "a function of the module that no crate wraps")]
    // SAFETY: the module is loaded and initialised, as long as the test has a token of it open; its list of functions is that of
    // the standard, and lives as long.
    let ended: CK_RV = unsafe {
        let library = cryptoki_sys::Pkcs11::new(module).expect("a module");
        let mut functions: *mut CK_FUNCTION_LIST = ptr::null_mut();
        assert_eq!(library.C_GetFunctionList(&mut functions), CKR_OK);
        let close_all = (*functions).C_CloseAllSessions.expect("the function");
        close_all(slot.id())
    };
    assert_eq!(ended, CKR_OK);
}
