//! That a process is alive: [`Pulse`] writes its claims anew while it runs, so that others see it on file systems whose locks do not reach
//! beyond one machine.

use std::fs::File;
use std::io::{Result, Seek, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often claims are written anew.
const BEAT: Duration = Duration::from_secs(15);
/// A claim of another machine that was not written for so long is that of a process that has died: several beats, and what file
/// systems of a network keep back.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

/// An open, locked file, until it is let go.
#[derive(Debug)]
pub(super) struct Held {
    file: Mutex<Option<File>>,
    text: String,
}

impl Held {
    /// Writes who holds the file into it.
    pub(super) fn new(file: File, text: String) -> Result<Arc<Self>> {
        let held = Self { file: Mutex::new(Some(file)), text };
        held.beat()?;
        Ok(Arc::new(held))
    }

    fn beat(&self) -> Result<()> {
        if let Some(file) = self.file.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            file.rewind()?;
            file.write_all(self.text.as_bytes())?;
        }
        Ok(())
    }

    /// Empties the file, which says that nobody has it, and lets it go.
    pub(super) fn release(&self) {
        if let Some(file) = self.file.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = file.set_len(0); // Where that fails, others find that it is not locked.
        }
    }
}

/// A thread that writes what a process holds, until it is dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    held: Arc<Mutex<Vec<Weak<Held>>>>,
    _ends: Sender<()>,
}

impl Pulse {
    /// # Errors
    /// No thread can be started.
    pub(super) fn start() -> Result<Self> {
        let (ends, end) = channel::<()>();
        let held: Arc<Mutex<Vec<Weak<Held>>>> = Arc::default();
        let all = Arc::clone(&held);
        std::thread::Builder::new().name("claims".to_owned()).spawn(move || {
            while end.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.retain(|held| held.strong_count() > 0);
                for held in all.iter().filter_map(Weak::upgrade) {
                    let _ = held.beat(); // The next one may come through; others wait for several.
                }
            }
        })?;
        Ok(Self { held, _ends: ends })
    }

    /// Writes this one too.
    pub(super) fn keep(&self, held: &Arc<Held>) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|held| held.strong_count() > 0);
        all.push(Arc::downgrade(held));
    }
}
