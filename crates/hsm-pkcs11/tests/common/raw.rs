//! What the crate `cryptoki` does not offer.

use std::path::Path;
use std::ptr;

use cryptoki::slot::Slot;
use cryptoki_sys::{CK_FUNCTION_LIST, CK_RV, CKR_OK};

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
