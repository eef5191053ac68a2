//! What a gate says when it does not hold: [`caught`], which gives the message of a panic instead of printing it.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, PoisonError};

/// The first message since the last call.
static SAID: Mutex<Option<String>> = Mutex::new(None);

/// Runs `work`; its value, or what it panicked with first.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let said = || SAID.lock().unwrap_or_else(PoisonError::into_inner);
    *said() = None;
    let before = take_hook();
    set_hook(Box::new(|panic| {
        SAID.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| panic.to_string().replace('\n', " "));
    }));
    let done = catch_unwind(AssertUnwindSafe(work));
    set_hook(before);
    done.map_err(|_| said().take().unwrap_or_else(|| "it panicked".to_owned()))
}
