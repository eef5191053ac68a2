//! What changes the disk, one call each: so that tests can have any of them fail, and the code around it is held to that.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::Path;

/// What this process may still write to a folder's file system, in bytes; none where the system does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    fs4::available_space(folder).ok()
}

#[cfg(not(test))]
fn allowed() -> Result<()> {
    Ok(())
}
#[cfg(test)]
use faults::allowed;

pub(super) fn create(path: &Path) -> Result<File> {
    allowed()?;
    File::create(path)
}

pub(super) fn write(file: &mut File, content: &[u8]) -> Result<()> {
    if let Err(error) = allowed() {
        let _ = file.write_all(&content[..content.len() / 2]); // as a disk that fills up, or a crash
        return Err(error);
    }
    file.write_all(content)
}

/// A file as something to write to, by way of [`write`].
pub(super) struct Through<'a>(pub(super) &'a mut File);

impl Write for Through<'_> {
    fn write(&mut self, content: &[u8]) -> Result<usize> {
        write(self.0, content).map(|()| content.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

pub(super) fn sync(file: &File) -> Result<()> {
    allowed()?;
    file.sync_all()
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    allowed()?;
    fs::rename(from, to)
}

pub(super) fn create_dir(path: &Path) -> Result<()> {
    allowed()?;
    fs::create_dir(path)
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    allowed()?;
    fs::remove_file(path)
}

pub(super) fn remove_dir_all(path: &Path) -> Result<()> {
    allowed()?;
    fs::remove_dir_all(path)
}

/// Faults that a test asks for, on its own thread.
#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::io::{Error, ErrorKind, Result};

    thread_local! {
        /// Calls that still succeed, and whether all after that fail or one does.
        static LEFT: Cell<Option<(usize, bool)>> = const { Cell::new(None) };
    }

    pub(super) fn allowed() -> Result<()> {
        let Some((left, for_good)) = LEFT.get() else { return Ok(()) };
        match left {
            0 => {
                LEFT.set(for_good.then_some((0, true)));
                Err(Error::from(ErrorKind::StorageFull))
            }
            left => {
                LEFT.set(Some((left - 1, for_good)));
                Ok(())
            }
        }
    }

    /// Runs `work` with a disk that fails after so many calls, once or for good. Whether it came to failing.
    pub(crate) fn after(calls: usize, for_good: bool, work: impl FnOnce()) -> bool {
        LEFT.set(Some((calls, for_good)));
        work();
        let failed = LEFT.get().is_none_or(|(left, _)| left == 0 && for_good);
        LEFT.set(None);
        failed
    }
}
