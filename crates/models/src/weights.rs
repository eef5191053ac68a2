//! Where weights come from: [`WeightsSource`], the text in an experiment file; [`resolve`], which fetches and checks
//! them before any trial; [`Lineage`], what the report says of them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use frostline_hub::{Expected, Hub, HubFile, Progress, RepoKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::load::{HeadPolicy, Mismatch, compare};
use crate::state_dict::{file_error, read_header};
use crate::zoo::{ModelCard, Normalisation};

/// Where a model's weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightsSource {
    /// Initial values, drawn from the seed: `none`.
    None,
    /// The file that the registry pins for the model: `hub`.
    Pinned,
    /// A file on the Hub: `hub:OWNER/NAME/FILE[@REV]`.
    Hub {
        /// Owner and name.
        repo: String,
        /// The path in the repository.
        file: String,
        /// Branch, tag or commit; none means the main branch.
        revision: Option<String>,
    },
    /// A file here: `file:PATH`.
    File(PathBuf),
}

/// A text that names no weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no weights: {problem}")]
pub struct ParseWeightsError {
    /// The text.
    pub text: String,
    /// What is wrong with it, and what to write instead.
    pub problem: &'static str,
}

impl FromStr for WeightsSource {
    type Err = ParseWeightsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| ParseWeightsError { text: text.to_owned(), problem };
        match text.split_once(':') {
            None if text == "none" => Ok(WeightsSource::None),
            None if text == "hub" => Ok(WeightsSource::Pinned),
            Some(("hub", rest)) => parse_hub(rest).map_err(error),
            Some(("file", "")) => Err(error("a path belongs after `file:`")),
            Some(("file", path)) => {
                safetensors_only(path).map_err(error)?;
                Ok(WeightsSource::File(PathBuf::from(path)))
            }
            _ => Err(error("write none, hub, hub:OWNER/NAME/FILE[@REV] or file:PATH")),
        }
    }
}

fn parse_hub(text: &str) -> Result<WeightsSource, &'static str> {
    let (path, revision) = match text.rsplit_once('@') {
        Some((_, "")) => return Err("a branch, tag or commit belongs after `@`"),
        Some((path, revision)) => (path, Some(revision.to_owned())),
        None => (text, None),
    };
    let mut parts = path.splitn(3, '/');
    let (Some(owner), Some(name), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("a file belongs after the repository, as in hub:OWNER/NAME/model.safetensors");
    };
    let word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if !word(owner) || !word(name) {
        return Err("owner and name of a repository have letters, digits, `-`, `_` and `.` alone");
    }
    if file.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the file's path in the repository has an empty part, `.` or `..`");
    }
    safetensors_only(file)?;
    Ok(WeightsSource::Hub { repo: format!("{owner}/{name}"), file: file.to_owned(), revision })
}

fn safetensors_only(file: &str) -> Result<(), &'static str> {
    if Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors")) {
        Ok(())
    } else {
        Err("the file must be a .safetensors file; convert a PyTorch file with safetensors.torch.save_file")
    }
}

impl fmt::Display for WeightsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WeightsSource::None => f.write_str("none"),
            WeightsSource::Pinned => f.write_str("hub"),
            WeightsSource::Hub { repo, file, revision: None } => write!(f, "hub:{repo}/{file}"),
            WeightsSource::Hub { repo, file, revision: Some(revision) } => {
                write!(f, "hub:{repo}/{file}@{revision}")
            }
            WeightsSource::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

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
    let (sha256, size) = digest(path)
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

/// SHA-256 in hexadecimal, and size in bytes.
fn digest(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut size = 0;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => {
                hasher.update(&block[..read]);
                size += read as u64;
            }
        }
    }
    Ok((hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}
