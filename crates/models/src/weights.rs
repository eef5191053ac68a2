//! Weights that lie here: [`resolve`] fetches and checks what a [`WeightsSource`] names before any trial; [`Lineage`] is what
//! the report says of them.

use std::path::{Path, PathBuf};

use frostline_hub::{Expected, Hub, HubFile, Progress, RepoKind};
use frostline_text::digest_of_file;
use frostline_zoo::WeightsSource;
use frostline_zoo::description::{ModelCard, Normalisation};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::load::{HeadPolicy, compare};
use crate::mismatch::Mismatch;
use crate::state_dict::{file_error, read_header};

/// What stands beside each result: which bytes the weights were, and how their images were normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Lineage {
    /// The text of the experiment file.
    pub source: String,
    /// Owner and name on the Hub.
    pub repo: Option<String>,
    /// The commit on the Hub.
    pub revision: Option<String>,
    /// The path in the repository, or here.
    pub file: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
    /// The licence that the repository states, where it is known.
    pub licence: Option<String>,
    /// The mean per channel that was subtracted from pixels in 0..1.
    pub mean: [f32; 3],
    /// The standard deviation per channel that they were divided by.
    pub std: [f32; 3],
}

/// Weights that lie here, whole and with the model's names and shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The safetensors file.
    pub path: PathBuf,
    /// What it is.
    pub lineage: Lineage,
}

/// Fetches the weights of a model and checks their names and shapes, the head's classes aside; none for `none`.
///
/// # Errors
/// [`ModelError::NotPinned`] for `hub` where nothing is pinned; [`ModelError::Hub`] where the download fails or its
/// bytes are wrong; [`ModelError::File`] and [`ModelError::Mismatch`] where the file is broken or another model's.
pub fn resolve(
    card: &ModelCard,
    source: &WeightsSource,
    hub: &Hub,
    progress: &dyn Progress,
) -> Result<Option<Resolved>, ModelError> {
    let (wanted, licence, normalisation) = match source {
        WeightsSource::None => return Ok(None),
        WeightsSource::File(path) => return resolve_file(card, source, path).map(Some),
        WeightsSource::Pinned => {
            let pinned = card.pinned.ok_or(ModelError::NotPinned { title: card.title })?;
            let expected =
                pinned.sha256.map(|sha256| Expected { sha256: sha256.to_owned(), size: pinned.size });
            let wanted = HubFile {
                kind: RepoKind::Model,
                repo: pinned.repo.to_owned(),
                revision: pinned.revision.map(str::to_owned),
                path: pinned.file.to_owned(),
                expected,
            };
            (wanted, pinned.licence.map(str::to_owned), pinned.normalisation)
        }
        WeightsSource::Hub { repo, file, revision } => {
            let wanted = HubFile {
                kind: RepoKind::Model,
                repo: repo.clone(),
                revision: revision.clone(),
                path: file.clone(),
                expected: None,
            };
            (wanted, None, card.normalisation)
        }
    };
    let fetched = hub.fetch(&wanted, progress)?;
    check(card, &fetched.path, &source.to_string())?;
    let Normalisation { mean, std } = normalisation;
    let lineage = Lineage {
        source: source.to_string(),
        repo: Some(fetched.repo),
        revision: Some(fetched.revision),
        file: fetched.file,
        sha256: fetched.sha256,
        size: fetched.size,
        licence,
        mean,
        std,
    };
    Ok(Some(Resolved { path: fetched.path, lineage }))
}

/// A file that lies here, checked as by [`resolve`].
///
/// # Errors
/// [`ModelError::File`] where it cannot be read; [`ModelError::Mismatch`] where it is not the model's.
pub fn resolve_file(card: &ModelCard, source: &WeightsSource, path: &Path) -> Result<Resolved, ModelError> {
    check(card, path, &source.to_string())?;
    let (sha256, size) = digest_of_file(path)
        .map_err(|error| file_error(path, format!("cannot be read: {error}"), "check the path"))?;
    let Normalisation { mean, std } = card.normalisation;
    let lineage = Lineage {
        source: source.to_string(),
        repo: None,
        revision: None,
        file: path.display().to_string(),
        sha256,
        size,
        licence: None,
        mean,
        std,
    };
    Ok(Resolved { path: path.to_path_buf(), lineage })
}

/// Compares the names and shapes in a file's header with the model's, before anything is trained.
fn check(card: &ModelCard, path: &Path, origin: &str) -> Result<(), ModelError> {
    let header = read_header(path)?;
    let architecture = card.without_auxiliary(1);
    let header = architecture.in_torchvisions_names(&borrowed(&header));
    match compare(&architecture, &borrowed(&header), HeadPolicy::KeepIfFits) {
        Ok(_) => Ok(()),
        Err(mismatch) => {
            let (model, origin) = (card.title.to_owned(), origin.to_owned());
            Err(Box::new(Mismatch { model, origin, ..mismatch }).into())
        }
    }
}

fn borrowed(header: &[(String, Vec<usize>)]) -> Vec<(&str, &[usize])> {
    header.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect()
}
