//! BatchNorm's running statistics computed anew: [`recalibrate`] takes them over all training images, as they are, instead of
//! leaving them to the last batches of an epoch. A tenth of running statistics is of the last batch alone, however small that is.

use frostline_data::{Images, Loader, LoaderOptions, Ragged};
use frostline_models::{BatchNorm, Model, Pass};
use frostline_recipe::BatchNormPolicy;
use frostline_streams::Streams;

use crate::{EngineError, Objective};

/// What the statistics are taken over.
pub(crate) struct Over<'a> {
    pub(crate) images: &'a Images,
    /// Of the images; no order but this, and no augmentation.
    pub(crate) indices: &'a [u32],
    /// Images a batch, as in training; what is left over joins the last one.
    pub(crate) batch: usize,
    pub(crate) normalisation: ([f32; 3], [f32; 3]),
    pub(crate) objective: Objective,
    pub(crate) streams: Streams,
}

/// Gives the norms that train the mean of the batches' statistics, each batch by its number of images. The others, the weights
/// and the count of batches stay as they are; so do the norms of auxiliary heads, which have no part in evaluation. Stages
/// before `prefix` run as in evaluation, unless the policy is that all train.
///
/// # Errors
/// Where a tensor operation fails.
pub(crate) fn recalibrate(
    model: &Model,
    (prefix, policy): (usize, BatchNormPolicy),
    over: &Over<'_>,
) -> Result<(), EngineError> {
    let norms: Vec<(&BatchNorm, i64)> = model
        .norms()
        .iter()
        .filter(|norm| norm.updates_statistics())
        .map(|norm| (&**norm, norm.batches_tracked()))
        .collect();
    let Some(last) = norms.iter().map(|(norm, _)| norm.stage()).max() else { return Ok(()) };
    let done = pass(model, (prefix, policy), last + 1, &norms, over);
    for (norm, batches) in norms {
        norm.set_momentum(None);
        norm.set_batches_tracked(batches);
    }
    done
}

/// Runs the stages before `end` over all batches.
fn pass(
    model: &Model,
    (prefix, policy): (usize, BatchNormPolicy),
    end: usize,
    norms: &[(&BatchNorm, i64)],
    over: &Over<'_>,
) -> Result<(), EngineError> {
    let &Over { images, indices, batch, normalisation: (mean, std), objective, streams } = over;
    let options = LoaderOptions { ragged: Ragged::Merge, ..LoaderOptions::plain(batch, mean, std) };
    let mut seen = 0;
    for batch in Loader::new(images, indices.to_vec(), options)?.epoch(0) {
        let (input, lesson) = objective.lesson(batch, &streams, 0, model.device())?;
        let here = lesson.examples.len();
        seen += here;
        norms.iter().for_each(|(norm, _)| norm.set_momentum(Some(here as f64 / seen as f64)));
        let train = Pass::Train { streams, epoch: 0, examples: &lesson.examples };
        let first = if policy == BatchNormPolicy::Train { &train } else { &Pass::Evaluate };
        let prefix = prefix.min(end);
        let features = model.forward_range(0..prefix, input, first)?;
        model.forward_range(prefix..end, features, &train)?;
    }
    Ok(())
}
