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
use crate::names::{Named, borrowed, named};
use crate::state_dict::{file_error, read_header};

/// Tensors that a note names.
const SHOWN: usize = 6;

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
    /// What was done with the file's tensors that does not go without saying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Weights that lie here, whole and with the model's names and shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The safetensors file.
    pub path: PathBuf,
    /// What it is.
    pub lineage: Lineage,
    /// The classes of the head that it holds, if it holds one as the model has it.
    pub head_classes: Option<usize>,
}

/// Fetches the weights of a model and checks their names and shapes, the head's classes aside; none for `none`. Where the registry
/// pins a repository without a commit, what it held on the first use is taken ever after.
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
    let fetched = match source {
        WeightsSource::Pinned => hub.fetch_as_first(&wanted, progress)?,
        _ => hub.fetch(&wanted, progress)?,
    };
    let (notes, head_classes) = check(card, &fetched.path, &source.to_string())?;
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
        notes,
    };
    Ok(Some(Resolved { path: fetched.path, lineage, head_classes }))
}

/// A file that lies here, checked as by [`resolve`].
///
/// # Errors
/// [`ModelError::File`] where it cannot be read; [`ModelError::Mismatch`] where it is not the model's.
pub fn resolve_file(card: &ModelCard, source: &WeightsSource, path: &Path) -> Result<Resolved, ModelError> {
    let (notes, head_classes) = check(card, path, &source.to_string())?;
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
        notes,
    };
    Ok(Resolved { path: path.to_path_buf(), lineage, head_classes })
}

/// Compares the names and shapes in a file's header with the model's, before anything is trained: what has to be said of them, and
/// the classes of the head.
fn check(card: &ModelCard, path: &Path, origin: &str) -> Result<(Vec<String>, Option<usize>), ModelError> {
    let header = read_header(path)?;
    let architecture = card.without_auxiliary(1);
    let Named { prefix, tensors } = named(&architecture, &borrowed(&header));
    let found = compare(&architecture, &borrowed(&tensors), HeadPolicy::KeepIfFits).map_err(|mismatch| {
        let (model, origin) = (card.title.to_owned(), origin.to_owned());
        Box::new(Mismatch { model, origin, ..mismatch })
    })?;
    let mut notes: Vec<String> = Vec::new();
    notes.extend(prefix.map(|prefix| format!("`{prefix}` was taken off the names of its tensors")));
    if !found.passed_over.is_empty() {
        let names = &found.passed_over[..found.passed_over.len().min(SHOWN)];
        let more = found.passed_over.len() - names.len();
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!("passed over, as they are no part of its trunk: {}{rest}", names.join(", ")));
    }
    Ok((notes, found.classes))
}
