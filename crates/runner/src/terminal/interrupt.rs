//! The user's wish to stop: [`Interrupt`], raised by Ctrl-C, by `kill`, or by a terminal that goes away.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::tell;

/// The number of SIGTERM on every system that has it.
const SIGTERM: i32 = 15;

/// What POSIX shells add to a signal's number for an exit code.
const EXIT_CODES: i32 = 128;

/// Within that time a second SIGTERM is the same wish: schedulers send it to a job's shell, which hands it on, and to all processes of the
/// job besides.
const SAME: Duration = Duration::from_secs(10);

/// A flag that a signal raises; a second one ends the process at once, which loses what was not yet kept of the running trials.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
    first: Arc<OnceLock<Instant>>,
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

    /// Raises the flag after so long, without a signal.
    pub fn raise_after(&self, time: Duration) {
        let flag = Arc::clone(&self.flag);
        std::thread::spawn(move || {
            std::thread::sleep(time);
            flag.store(true, Ordering::Relaxed);
        });
    }

    /// Whether a signal raised it.
    pub fn by_user(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// Whether the end was asked for.
    pub fn is_raised(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// How the process ends: 130 after Ctrl-C, 143 after `kill`, 129 where the terminal went away.
    pub fn exit_code(&self) -> u8 {
        let signal = self.signal.load(Ordering::Relaxed);
        u8::try_from(EXIT_CODES + signal).unwrap_or(u8::MAX)
    }

    /// Notes a signal, and says what follows.
    fn raise(&self, signal: i32) {
        #[expect(clippy::disallowed_methods, reason = "a signal that comes twice at once is one")]
        let now = Instant::now();
        let first = *self.first.get_or_init(|| now);
        let before = self.signal.swap(signal, Ordering::Relaxed);
        if self.flag.swap(true, Ordering::Relaxed) {
            if (before, signal) == (SIGTERM, SIGTERM) && now.duration_since(first) < SAME {
                return;
            }
            std::process::exit(EXIT_CODES + signal);
        }
        tell(
            "stopping after this step; what has finished is kept, and where trainings under way stand (Ctrl-C again stops at once)",
        );
    }
}

#[cfg(unix)]
fn watch(interrupt: Interrupt) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_that_comes_twice_at_once_is_one() {
        let interrupt = Interrupt::default();
        interrupt.raise(SIGTERM);
        interrupt.raise(SIGTERM); // Would end this process.
        assert!(interrupt.flag().load(Ordering::Relaxed));
        assert_eq!(interrupt.exit_code(), 143);
    }
}
