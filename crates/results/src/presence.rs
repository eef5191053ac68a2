//! Several processes with one results folder open: [`Presence`] says whether there are others, a [`Gate`] lets one at a time through.
//! Both are locks of the system, which a process that dies leaves behind open.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::claims::elsewhere;
use super::{Holder, StoreError};

/// That this process has a results folder open.
#[derive(Debug)]
pub(super) struct Presence {
    file: File,
    path: PathBuf,
    alone: bool,
    other: Option<Holder>,
}

/// Nobody else is at what a gate guards, until it is dropped.
#[derive(Debug)]
pub struct Gate {
    _file: File,
}

impl Presence {
    /// Notes this process; the gate is held meanwhile. It is alone where no other has noted itself, and none on another machine, whose
    /// locks the file system may not pass on, has a claim that it keeps alive.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn note(folder: &Path, me: &Holder) -> Result<Self, StoreError> {
        let path = folder.join(".lock");
        let mut file = open(&path)?;
        let locked = try_lock(&file, &path)?;
        let other = if locked { elsewhere(folder, me)? } else { None };
        if locked {
            let mut write = || {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", serde_json::to_string(me).unwrap_or_default())
            };
            write().map_err(|error| StoreError::writing(&path, error))?;
        }
        let alone = locked && other.is_none();
        let presence = Self { file, path, alone, other };
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
        let failed = |error| StoreError::locking(&self.path, error);
        self.file.unlock().map_err(failed)?;
        match self.file.try_lock_shared() {
            Ok(()) => Ok(self),
            Err(TryLockError::WouldBlock) => Err(self.in_use()),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// That another process is there, by its number as far as it tells.
    pub(super) fn in_use(&self) -> StoreError {
        let mut text = String::new();
        let told = File::open(&self.path).and_then(|mut file| file.read_to_string(&mut text));
        let first = told.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok());
        let holder = self.other.clone().or(first);
        let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
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
        file.lock().map_err(|error| StoreError::locking(&path, error))?;
        Ok(Self { _file: file })
    }
}

pub(super) fn open(path: &Path) -> Result<File, StoreError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(|error| StoreError::writing(path, error))
}

pub(super) fn try_lock(file: &File, path: &Path) -> Result<bool, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::locking(path, error)),
    }
}
