//! Brings the log of whisper.cpp and ggml to ours.
//!
//! They tell at length, and at their level "info", what only their authors want to know. Their level
//! "debug" has the words of callers in it, in builds that have it at all, and goes nowhere.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Once;

use tracing::{debug, trace, warn};
use whisper_rs::GGMLLogLevel;

/// Sends what whisper.cpp logs through [`tracing`], from now on and for the whole program.
pub fn route() {
    static ROUTED: Once = Once::new();
    // SAFETY: `log` has the signature that is asked for, lives as long as the program, and does not
    // unwind into C: formatting a `str` into a field does not panic. Its user data is not used.
    ROUTED.call_once(|| unsafe { whisper_rs::set_log_callback(Some(log), std::ptr::null_mut()) });
}

unsafe extern "C" fn log(level: u32, text: *const c_char, _user_data: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: not null, and the loggers of ggml and whisper.cpp pass a text that ends with a zero and
    // lives until this function returns.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    match GGMLLogLevel::from(level) {
        _ if text.is_empty() => (),
        GGMLLogLevel::Error => warn!(text, "whisper.cpp"),
        GGMLLogLevel::Warn => debug!(text, "whisper.cpp"),
        GGMLLogLevel::Debug => (),
        _ => trace!(text, "whisper.cpp"),
    }
}
