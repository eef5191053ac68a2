//! What was made of other images or weights than those that are here now: [`Store::supersede`] moves it to `superseded/`, under a
//! name that has the inputs in it. Nothing of it is lost, and [`Store::recall`] takes it back where the inputs are what they
//! were.

use std::fs;
use std::path::{Path, PathBuf};

use crate::atomic::{move_folder, remove_folder};
use crate::inputs::FOLDER;
use crate::{Inputs, State, Store, StoreError, StoredTrunk, read};

impl Store {
    /// The inputs of a stored trial; none where it is not stored or damaged.
    pub fn inputs(&self, id: &str) -> Option<Inputs> {
        read::trial(&self.folder().join("trials").join(id)).ok().map(|stored| Inputs::of(&stored.outcome))
    }

    /// Puts a trial aside that was made of other inputs than are here now: its new place, from the results folder.
    ///
    /// # Errors
    /// A failure of the file system; the trial is then where it was.
    pub fn supersede(&mut self, id: &str) -> Result<String, StoreError> {
        let name = self.inputs(id).unwrap_or_default().name(id);
        let place = aside(self.folder(), "trials", id, &name)?;
        self.forget(id);
        Ok(place)
    }

    /// Puts a trunk aside likewise.
    ///
    /// # Errors
    /// As [`Store::supersede`].
    pub fn supersede_trunk(&mut self, stored: &StoredTrunk) -> Result<String, StoreError> {
        let id = &stored.trunk.id;
        aside(self.folder(), "pretrained", id, &Inputs::of_trunk(stored).name(id))
    }

    /// Takes a trial back that was made of these inputs and is not stored otherwise: whether there was one.
    ///
    /// # Errors
    /// A failure of the file system.
    pub fn recall(&mut self, id: &str, inputs: &Inputs) -> Result<bool, StoreError> {
        let (from, to) = self.places("trials", id, inputs);
        let free = !matches!(self.state(id), Some(State::Finished | State::Failed { .. }));
        if !free || to.exists() {
            return Ok(false);
        }
        match read::named_trial(&from, id) {
            Ok(stored) => {
                move_folder(&from, &to)?;
                self.remember(id, &stored.outcome.status);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// Takes a trunk back likewise.
    ///
    /// # Errors
    /// As [`Store::recall`].
    pub fn recall_trunk(&mut self, id: &str, inputs: &Inputs) -> Result<bool, StoreError> {
        let (from, to) = self.places("pretrained", id, inputs);
        if to.exists() || !from.exists() {
            return Ok(false);
        }
        move_folder(&from, &to).map(|()| true)
    }

    fn places(&self, kind: &str, id: &str, inputs: &Inputs) -> (PathBuf, PathBuf) {
        let from = self.folder().join(FOLDER).join(kind).join(inputs.name(id));
        (from, self.folder().join(kind).join(id))
    }
}

/// Moves `KIND/ID` to `superseded/KIND/NAME`, in place of what was made of the same inputs before.
fn aside(folder: &Path, kind: &str, id: &str, name: &str) -> Result<String, StoreError> {
    let from = folder.join(kind).join(id);
    let place = folder.join(FOLDER).join(kind);
    fs::create_dir_all(&place).map_err(|error| StoreError::writing(&place, error))?;
    let to = place.join(name);
    if from.exists() {
        remove_folder(&to)?;
        move_folder(&from, &to)?;
    }
    Ok(format!("{FOLDER}/{kind}/{name}"))
}
