//! Where a model's weights come from, as one string: [`WeightsSource`], with its parser. It touches neither disk nor network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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
pub struct WeightsSourceError {
    /// The text.
    pub text: String,
    /// What is wrong with it, and what to write instead.
    pub problem: &'static str,
}

impl FromStr for WeightsSource {
    type Err = WeightsSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| WeightsSourceError { text: text.to_owned(), problem };
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
