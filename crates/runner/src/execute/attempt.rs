//! Work that may come to nothing: [`attempt`] turns its errors, and panics in it, into words.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use frostline_engine::EngineError;

/// Why a training came to nothing.
pub(super) enum Attempt {
    /// The user asked for the end.
    Interrupted,
    /// The reason, in words.
    Failed(String),
}

/// Runs `work`; an error or a panic in it becomes its message.
pub(super) fn attempt<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, Attempt> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(EngineError::Interrupted)) => Err(Attempt::Interrupted),
        Ok(Err(error)) => Err(Attempt::Failed(error.to_string())),
        Err(panic) => {
            let panic: Box<dyn Any + Send> = panic;
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "a panic".to_owned());
            Err(Attempt::Failed(format!("a defect of Frostline, please report it: {text}")))
        }
    }
}
