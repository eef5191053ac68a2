//! One fetch of a file at a time, across threads and processes.
//!
//! The main type is [`FileLock`], held on a file of our own: `hf-hub` gives up on its lock after ten seconds, a
//! download lasts longer. A lock ends with its process, so a killed run leaves nothing to clean.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::{HubError, Patience, Progress};

const POLL: Duration = Duration::from_millis(100);

/// The lock, until it is dropped. The file stays: removing it would let two holders in.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock at `path`, and tells `progress` once if another holds it.
    ///
    /// # Errors
    /// [`HubError::Locked`] after the patience for locks, [`HubError::Disk`] where the file cannot be made.
    pub(crate) fn take(
        path: &Path,
        subject: &str,
        patience: &Patience,
        progress: &dyn Progress,
    ) -> Result<Self, HubError> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if waited >= patience.lock {
                return Err(HubError::Locked {
                    subject: subject.to_owned(),
                    holder: holder(path),
                    path: path.to_owned(),
                    seconds: waited.as_secs(),
                });
            }
            if waited.is_zero() {
                progress.note(&format!("waiting for {}, which fetches {subject}", holder(path)));
            }
            thread::sleep(POLL);
            waited += POLL;
        }
    }

    /// Takes the lock at `path` if nobody holds it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>, HubError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(HubError::disk("make", folder))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(HubError::disk("open the lock", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(HubError::disk("lock", path)(error)),
        }
        // The number is for messages only: without it the lock is as good.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        let _ = file.rewind();
        Ok(Some(Self { _file: file }))
    }
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(20).read_to_string(&mut text));
    match text.parse::<u32>() {
        Ok(id) if read.is_ok() => format!("process {id}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::Silent;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Progress for Notes {
        fn begin(&self, _: &str, _: Option<u64>) {}
        fn advance(&self, _: u64) {}
        fn end(&self) {}
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    #[test]
    fn a_held_lock_is_waited_for_and_then_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/x.lock");
        let patience = Patience { lock: Duration::from_millis(250), ..Patience::default() };
        let held = FileLock::take(&path, "a/b/f", &patience, &Silent).unwrap();
        let notes = Notes::default();
        let message = FileLock::take(&path, "a/b/f", &patience, &notes).unwrap_err().to_string();
        let holder = format!("process {}", std::process::id());
        assert!(message.contains(&holder) && message.contains("x.lock"), "{message}");
        assert_eq!(*notes.0.lock().unwrap(), [format!("waiting for {holder}, which fetches a/b/f")]);
        drop(held);
        FileLock::take(&path, "a/b/f", &patience, &Silent).unwrap();
    }
}
