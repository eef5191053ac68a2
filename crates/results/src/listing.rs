//! What is in a folder: [`folders_in`], [`names_in`].

use std::fs;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The folders in a folder, in the order of their names, but for hidden ones; none where it is not there.
pub(super) fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let reading = |error| StoreError::reading(folder, error);
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The names of the folders in a folder.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let name = |path: PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(folders_in(folder)?.into_iter().map(name).collect())
}
