//! A kind of node, the images of a source in memory: [`decoded`] opens them, chooses the classes, does what is asked for with
//! pictures that occur twice, and says what was taken as what.

use std::path::Path;

use frostline_data::{DataError, Dataset, OnDuplicates, Opened, Prepared, Taken, open_kept};
use frostline_text::plural;

use super::graph::{Decode, Decoded};
use crate::terminal::Progress;

/// Decodes a source as a node says.
pub(super) fn decoded(
    prepared: &Prepared,
    node: &Decode,
    kept: &Path,
    progress: &Progress,
) -> Result<Decoded, DataError> {
    let Decode { source, duplicates, resolution, .. } = node;
    progress.say(&format!("reading {source} at {resolution} px"));
    let (dataset, source_digest) = of_classes(prepared, node, kept, progress)?;
    let taken: Vec<String> =
        dataset.taken.iter().map(|taken| format!("{}: {}", taken.what, taken.from)).collect();
    if !taken.is_empty() {
        progress.say(&format!("  {}", taken.join("; ")));
    }
    let dataset = once_each(dataset, *duplicates, progress)?;
    Ok(Decoded { dataset, source_digest })
}

/// The digest of the images that a node stands for.
pub(super) fn digest(
    prepared: &Prepared,
    node: &Decode,
    kept: &Path,
    progress: &Progress,
) -> Result<String, DataError> {
    let (dataset, _) = of_classes(prepared, node, kept, progress)?;
    let drops = node.duplicates == OnDuplicates::Drop;
    Ok(if drops { dataset.without_duplicates()?.digest } else { dataset.digest })
}

/// The images of a node's classes, and the digest of all of its source.
fn of_classes(
    prepared: &Prepared,
    node: &Decode,
    kept: &Path,
    progress: &Progress,
) -> Result<(Dataset, String), DataError> {
    let Decode { classes, resolution, in_folds, .. } = node;
    let Opened { dataset: all, note, .. } = open_kept(prepared, (*resolution, *resolution), Some(kept))?;
    note.iter().for_each(|note| progress.say(&format!("  note: {note}")));
    let digest = all.digest.clone();
    let all = if *in_folds { all.for_folds() } else { all };
    Ok((if classes.is_empty() { all } else { all.of_classes(classes)? }, digest))
}

/// Does what a policy asks for with pictures that occur twice, and says so.
fn once_each(dataset: Dataset, policy: OnDuplicates, progress: &Progress) -> Result<Dataset, DataError> {
    let found = dataset.duplicates.sentences();
    if found.is_empty() {
        return Ok(dataset);
    }
    match policy {
        OnDuplicates::Keep => {
            found.iter().for_each(|sentence| progress.say(&format!("  note: {sentence}")));
            progress.say("  duplicates = \"drop\" in [data] keeps one of each");
            Ok(dataset)
        }
        OnDuplicates::Drop => {
            let mut kept = dataset.without_duplicates()?;
            let images = |dataset: &Dataset| dataset.train.len() + dataset.test.len();
            let gone = plural(images(&dataset) - images(&kept), "image");
            let from = format!("{gone}, as {}", found.join("; "));
            progress.say(&format!("  left out: {from}"));
            kept.taken.push(Taken { what: "left out".to_owned(), from });
            Ok(kept)
        }
        OnDuplicates::Error => Err(DataError::Duplicates { set: dataset.source, what: found.join("; ") }),
    }
}
