//! The pictures of the report's gallery: [`keep_pictures`] stores the test images that it shows, while they are in memory.

use std::fs;

use frostline_compare::Comparison;
use frostline_data::picture;
use frostline_experiment::Plan;
use frostline_results::{Results, StoreError, gallery_picture, write_file};

use super::error::SweepError;
use super::graph::Graph;
use super::worker::Worker;

/// Stores the pictures that the report of what is stored will show and that are not there yet, at the largest size that trials had.
/// Where nothing was decoded, as nothing was due, there are none to store.
///
/// # Errors
/// A failed write.
pub(super) fn keep_pictures(worker: &Worker<'_>, graph: &Graph, plan: &Plan) -> Result<(), SweepError> {
    let folder = worker.store.folder();
    let results = Results::read(folder)?;
    let comparison = Comparison::of(&results);
    let images = comparison.gallery().images();
    let source = plan.trials.first().map(|trial| trial.data.source.as_str());
    if images.is_empty() || plan.trials.iter().any(|trial| Some(trial.data.source.as_str()) != source) {
        return Ok(());
    }
    let uses = |id: &_| graph.trials.ids().any(|trial| graph.trials[trial].data == *id);
    let decoded = graph.data.ids().filter(uses).filter_map(|id| worker.made.data.get(id));
    let Some(largest) = decoded.max_by_key(|decoded| decoded.dataset.test.height()) else { return Ok(()) };
    let dataset = &largest.dataset;
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
