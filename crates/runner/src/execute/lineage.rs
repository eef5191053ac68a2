//! What is stored of images and weights, from what the crates below say of them.

use frostline_data::{Dataset, Splits};
use frostline_models::Lineage;
use frostline_results::{DataRecord, FileRecord, WeightsRecord};

pub(super) fn data_record(dataset: &Dataset, splits: &Splits) -> DataRecord {
    let files = dataset.files.iter().map(|file| FileRecord {
        name: file.name.clone(),
        revision: file.revision.clone(),
        sha256: file.sha256.clone(),
        size: file.size,
    });
    DataRecord {
        source: dataset.source.clone(),
        digest: dataset.digest.clone(),
        classes: dataset.classes.len(),
        class_names: dataset.classes.clone(),
        train: splits.train.len(),
        validation: splits.validation.len(),
        test: splits.test.as_ref().map_or(dataset.test.len(), Vec::len),
        licence: dataset.licence.clone(),
        files: files.collect(),
        taken: dataset.taken.iter().map(|taken| (taken.what.clone(), taken.from.clone())).collect(),
        duplicates: dataset.duplicates.sentences(),
    }
}

pub(super) fn weights_record(lineage: &Lineage) -> WeightsRecord {
    let Lineage { source, repo, revision, file, sha256, size, licence, mean, std, notes } = lineage.clone();
    WeightsRecord { source, repo, revision, file, sha256, size, licence, mean, std, notes }
}
