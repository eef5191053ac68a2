//! The user's wish to stop: [`Interrupt`], raised by Ctrl-C, by `kill`, or by a terminal that goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::tell;

/// What POSIX shells add to a signal's number for an exit code.
const EXIT_CODES: i32 = 128;

/// A flag that a signal raises; a second one ends the process at once, which loses what was not yet kept of the running trials.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl Interrupt {
    /// Watches for SIGINT, SIGTERM and SIGHUP, or for Ctrl-C where there are no signals.
    ///
    /// # Errors
    /// The system does not let the process watch.
    pub fn watch() -> std::io::Result<Self> {
        let interrupt = Self::default();
        watch(interrupt.clone())?;
        Ok(interrupt)
    }

    /// What a sweep looks at between its steps.
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// How the process ends: 130 after Ctrl-C, 143 after `kill`, 129 where the terminal went away.
    pub fn exit_code(&self) -> u8 {
        let signal = self.signal.load(Ordering::Relaxed);
        u8::try_from(EXIT_CODES + signal).unwrap_or(u8::MAX)
    }

    /// Notes a signal, and says what follows.
    fn raise(&self, signal: i32) {
        self.signal.store(signal, Ordering::Relaxed);
        if self.flag.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_CODES + signal);
        }
        tell(
            "stopping after this step; what has finished is kept, and where trainings under way stand (Ctrl-C again stops at once)",
        );
    }
}

#[cfg(unix)]
fn watch(interrupt: Interrupt) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        signals.forever().for_each(|signal| interrupt.raise(signal));
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn watch(interrupt: Interrupt) -> std::io::Result<()> {
    const SIGINT: i32 = 2;
    ctrlc::set_handler(move || interrupt.raise(SIGINT)).map_err(std::io::Error::other)
}
