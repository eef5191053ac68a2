//! The pictures of the report's gallery: [`keep_pictures`] stores the test images that it shows, while they are in memory.

use std::fs;
use std::path::Path;

use frostline_compare::Comparison;
use frostline_data::{Dataset, picture};
use frostline_results::{Results, StoreError, gallery_picture, write_file};

use super::error::SweepError;

/// Stores the pictures that the report of what is stored in a folder will show and that are not there yet, taken from a data set that
/// trials were tested on.
///
/// # Errors
/// A failed write.
pub(super) fn keep_pictures(folder: &Path, dataset: &Dataset) -> Result<(), SweepError> {
    let results = Results::read(folder)?;
    if results.plan.trials.iter().any(|trial| trial.data.fold.is_some()) {
        return Ok(()); // Each model was tested on other images.
    }
    let images = Comparison::of(&results).gallery().images();
    for image in images.into_iter().filter(|image| *image < dataset.test.len()) {
        let path = gallery_picture(folder, &dataset.digest, image);
        if path.exists() {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| StoreError::writing(parent, error))?;
        }
        write_file(&path, &picture(&dataset.test, image)?)?;
    }
    Ok(())
}
