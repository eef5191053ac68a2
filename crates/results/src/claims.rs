//! Several processes on one results folder: [`Presence`] says whether there are others, a [`Gate`] lets one at a time through, and a
//! [`Claim`] keeps a trial from being run twice. All are locks of the system, which a process that dies leaves behind open.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// The folder of the claims.
pub(super) const CLAIMS: &str = "claims";

/// That this process has a results folder open.
#[derive(Debug)]
pub(super) struct Presence {
    file: File,
    path: PathBuf,
    alone: bool,
}

/// Nobody else is at what a gate guards, until it is dropped.
#[derive(Debug)]
pub struct Gate {
    _file: File,
}

/// A trial, or a pretraining, that this process alone runs, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

impl Presence {
    /// Notes this process; the gate is held meanwhile. It is alone where no other has noted itself.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn note(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(".lock");
        let mut file = open(&path)?;
        let alone = try_lock(&file, &path)?;
        if alone {
            let mut write = || {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())
            };
            write().map_err(|error| StoreError::writing(&path, error))?;
        }
        let presence = Self { file, path, alone };
        if alone { Ok(presence) } else { presence.beside_others() }
    }

    /// Whether no other process has the folder open.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Lets others in; the gate is held meanwhile.
    ///
    /// # Errors
    /// A process has the folder to itself.
    pub(super) fn beside_others(self) -> Result<Self, StoreError> {
        let failed = |error| StoreError::writing(&self.path, error);
        if self.alone {
            self.file.unlock().map_err(failed)?;
        }
        match self.file.try_lock_shared() {
            Ok(()) => Ok(self),
            Err(TryLockError::WouldBlock) => Err(self.in_use()),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// That another process is there, by its number as far as it tells.
    pub(super) fn in_use(&self) -> StoreError {
        let mut pid = String::new();
        let told = File::open(&self.path).and_then(|mut file| file.read_to_string(&mut pid)).is_ok();
        let holder = if told && !pid.trim().is_empty() {
            format!("process {}", pid.trim())
        } else {
            "another process".to_owned()
        };
        let folder = self.path.parent().unwrap_or(&self.path).to_owned();
        StoreError::InUse { folder, holder }
    }
}

impl Gate {
    /// Waits until no other process is at what it guards: the files of the whole folder.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn pass(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(".gate");
        let file = open(&path)?;
        file.lock().map_err(|error| StoreError::writing(&path, error))?;
        Ok(Self { _file: file })
    }
}

impl Claim {
    /// Claims what has this id; none where another process, or another claim of this one, has it.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn take(folder: &Path, id: &str) -> Result<Option<Self>, StoreError> {
        let (file, path) = Self::file(folder, id)?;
        Ok(try_lock(&file, &path)?.then_some(Self { _file: file }))
    }

    /// Claims it as soon as nobody else has it.
    ///
    /// # Errors
    /// As [`Claim::take`].
    pub(super) fn wait_for(folder: &Path, id: &str) -> Result<Self, StoreError> {
        let (file, path) = Self::file(folder, id)?;
        file.lock().map_err(|error| StoreError::writing(&path, error))?;
        Ok(Self { _file: file })
    }

    fn file(folder: &Path, id: &str) -> Result<(File, PathBuf), StoreError> {
        let claims = folder.join(CLAIMS);
        fs::create_dir_all(&claims).map_err(|error| StoreError::writing(&claims, error))?;
        let path = claims.join(id);
        Ok((open(&path)?, path))
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(|error| StoreError::writing(path, error))
}

fn try_lock(file: &File, path: &Path) -> Result<bool, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::writing(path, error)),
    }
}
