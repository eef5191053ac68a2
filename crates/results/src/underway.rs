//! Trainings that have not ended: [`Underway`] keeps where each stands, the last two places of it, so that a sweep goes on from there.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use frostline_text::{Digesting, digest_of_file, sha256};
use serde::{Deserialize, Serialize};

use super::atomic::{publish_folder, retire_folder, tidy, write_through, write_through_with};
use super::{EpochRecord, Inputs, Seconds, StoreError, json, listing};

/// The folder's name.
const FOLDER: &str = "underway";
/// The file of what moves in a training, in the folder of one place.
const STATE: &str = "state.safetensors";
/// Places that are kept.
const KEPT: usize = 2;

/// Where a training stands, beside its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Place {
    /// The id of its trial or its trunk.
    pub of: String,
    /// What it is made of.
    pub inputs: Inputs,
    /// Epochs that are done.
    pub done: usize,
    /// Steps of the next one that are done.
    pub steps: usize,
    /// The epochs that are done.
    pub epochs: Vec<EpochRecord>,
    /// The time that it has taken, alone.
    pub seconds: Seconds,
    /// What it has had of the time of its cohort.
    pub share_seconds: f64,
    /// The most trials that have had a part in its cohort, itself included.
    pub together: usize,
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// The digest of its numbers, in hex.
    pub sha256: String,
}

/// The trainings of a results folder that have not ended.
#[derive(Clone, Debug)]
pub struct Underway {
    folder: PathBuf,
}

impl Underway {
    /// Those of a results folder.
    pub fn of(results: &Path) -> Self {
        Self { folder: results.join(FOLDER) }
    }

    /// Keeps where a training stands, whole or not at all, and forgets all but the last two places. `state` writes its numbers.
    ///
    /// # Errors
    /// A failed write; what was kept before is still there.
    pub fn keep(
        &self,
        place: &Place,
        state: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let folder = self.folder.join(&place.of);
        fs::create_dir_all(&folder).map_err(|error| StoreError::writing(&folder, error))?;
        let numbers = numbers(&folder)?;
        let next = numbers.last().map_or(0, |last| last + 1);
        publish_folder(&folder.join(name(next)), |at| {
            let path = at.join(STATE);
            let mut sha256 = String::new();
            write_through_with(&path, |out| {
                let mut out = Digesting::new(out);
                state(&mut out)?;
                sha256 = out.digest();
                Ok(())
            })?;
            let place = Place { sha256, ..place.clone() };
            write_through(&at.join("place.json"), &json::to_bytes(at, "place", &place)?)
        })?;
        let old = numbers.len().saturating_sub(KEPT - 1);
        for number in &numbers[..old] {
            retire_folder(&folder.join(name(*number)))?;
        }
        Ok(())
    }

    /// The places that are kept of a training and are whole, the last first, and what is wrong with the others.
    ///
    /// # Errors
    /// The folder cannot be looked into.
    pub fn places(&self, of: &str) -> Result<(Vec<Place>, Vec<StoreError>), StoreError> {
        let folder = self.folder.join(of);
        let (mut places, mut broken) = (Vec::new(), Vec::new());
        for number in numbers(&folder)?.into_iter().rev() {
            match self.place(of, &folder.join(name(number))) {
                Ok(place) => places.push(place),
                Err(error) => broken.push(error),
            }
        }
        Ok((places, broken))
    }

    fn place(&self, of: &str, at: &Path) -> Result<Place, StoreError> {
        let place: Place = json::read(&at.join("place.json"), "place")?;
        let damaged = |reason: &str| StoreError::Damaged { path: at.to_owned(), reason: reason.to_owned() };
        if place.of != of {
            return Err(damaged("it belongs to another training"));
        }
        let path = at.join(STATE);
        let (digest, _) = digest_of_file(&path).map_err(|error| StoreError::reading(&path, error))?;
        if digest == place.sha256 {
            Ok(place)
        } else {
            Err(damaged("its SHA-256 is another than is written beside it"))
        }
    }

    /// The last place that was kept of a training, its numbers unread; none where nothing is kept.
    pub fn last(&self, of: &str) -> Option<Place> {
        let folder = self.folder.join(of);
        let last = numbers(&folder).ok()?.pop()?;
        json::read(&folder.join(name(last)).join("place.json"), "place").ok()
    }

    /// The numbers of a place.
    ///
    /// # Errors
    /// They are gone, or another than when the place was read.
    pub fn state(&self, place: &Place) -> Result<Vec<u8>, StoreError> {
        let folder = self.folder.join(&place.of);
        for number in numbers(&folder)?.into_iter().rev() {
            let path = folder.join(name(number)).join(STATE);
            let state = fs::read(&path).map_err(|error| StoreError::reading(&path, error))?;
            if sha256(&state) == place.sha256 {
                return Ok(state);
            }
        }
        Err(StoreError::Damaged { path: folder, reason: "the place that was read is gone".to_owned() })
    }

    /// Forgets a training, where anything is kept of it.
    ///
    /// # Errors
    /// A failed write.
    pub fn forget(&self, of: &str) -> Result<(), StoreError> {
        retire_folder(&self.folder.join(of))
    }

    /// The ids of what something is kept of.
    ///
    /// # Errors
    /// The folder cannot be looked into.
    pub fn ids(&self) -> Result<Vec<String>, StoreError> {
        listing::names_in(&self.folder)
    }

    /// Removes what a killed process has left half written.
    ///
    /// # Errors
    /// A failed write.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        if self.folder.exists() {
            tidy(&self.folder)?;
        }
        self.ids()?.iter().try_for_each(|id| tidy(&self.folder.join(id)))
    }
}

fn name(number: u64) -> String {
    format!("{number:08}")
}

/// Those of the places that have their names, ascending.
fn numbers(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let mut numbers: Vec<u64> =
        listing::names_in(folder)?.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(steps: usize) -> Place {
        Place {
            of: "abc".to_owned(),
            inputs: Inputs { data: Some("d".to_owned()), weights: None },
            done: 3,
            steps,
            epochs: Vec::new(),
            seconds: Seconds::default(),
            share_seconds: 0.1,
            together: 2,
            started_at: "2026-11-27T00:00:00Z".to_owned(),
            sha256: String::new(),
        }
    }

    #[test]
    fn the_last_two_places_are_kept_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let underway = Underway::of(dir.path());
        assert_eq!(underway.places("abc").unwrap().0, []);
        for steps in 0..5 {
            underway.keep(&place(steps), |out| out.write_all(&[steps as u8; 9])).unwrap();
        }
        let (places, broken) = underway.places("abc").unwrap();
        assert_eq!(places.iter().map(|place| place.steps).collect::<Vec<_>>(), [4, 3]);
        assert!(broken.is_empty());
        assert_eq!(underway.state(&places[1]).unwrap(), [3; 9]);
        let last = dir.path().join("underway/abc/00000004");
        let mut state = fs::read(last.join(STATE)).unwrap();
        state[4] ^= 1;
        fs::write(last.join(STATE), state).unwrap();
        let (places, broken) = underway.places("abc").unwrap();
        assert_eq!(places.iter().map(|place| place.steps).collect::<Vec<_>>(), [3]);
        assert!(broken[0].to_string().contains("00000004"), "{}", broken[0]);
        underway.keep(&place(9), |out| out.write_all(&[9])).unwrap();
        assert_eq!(underway.places("abc").unwrap().0[0].steps, 9);
        underway.forget("abc").unwrap();
        underway.forget("abc").unwrap();
        assert!(underway.ids().unwrap().is_empty());
    }
}
