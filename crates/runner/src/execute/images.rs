//! The images of one stored trial, as its sweep had them: [`images_of`].

use frostline_data::{Dataset, Source, Splits};
use frostline_experiment::Trial;
use frostline_hub::Hub;

use super::decode::decoded;
use super::error::SweepError;
use super::graph::Graph;
use super::train::split;
use crate::terminal::Progress;

/// The images of a trial, decoded at its resolution, and which of its training images it trained on.
///
/// # Errors
/// A source that cannot be fetched, verified or decoded; too few images of a class.
pub fn images_of(trial: &Trial, hub: &Hub, progress: &Progress) -> Result<(Dataset, Splits), SweepError> {
    let setting = |problem: String| SweepError::Setting { trial: trial.id.clone(), problem };
    let mut graph = Graph::default();
    let id = graph.decode(&trial.data, trial.resolution).map_err(setting)?;
    let node = &graph.data[id];
    let source: Source = node.source.parse().map_err(frostline_data::DataError::from)?;
    let prepared = frostline_data::prepare(&source, &graph.images[node.images].reading, hub, progress)?;
    let kept = hub.options().cache.with_file_name("frostline");
    let dataset = decoded(&prepared, node, &kept, progress)?.dataset;
    let splits = split(trial, &dataset)?;
    Ok((dataset, splits))
}
