//! What can be asked of the Hub and what comes back: files, repositories, listings.
//!
//! The main type is [`HubFile`], which names one file; [`Fetched`] is the same file on this disk, verified. Names
//! become parts of paths and addresses, so they are checked here, once, before anything else sees them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::HubError;

/// The two kinds of repository that Frostline reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoKind {
    /// Weights.
    Model,
    /// Images and labels.
    Dataset,
}

impl RepoKind {
    /// The word for messages: `model` or `dataset`.
    pub fn word(self) -> &'static str {
        match self {
            RepoKind::Model => "model",
            RepoKind::Dataset => "dataset",
        }
    }

    /// The plural that addresses and cache folders use: `models` or `datasets`.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            RepoKind::Model => "models",
            RepoKind::Dataset => "datasets",
        }
    }
}

/// What a pinned file must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The sha256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// Its length in bytes, where known.
    pub size: Option<u64>,
}

/// One file of one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    /// Whether the repository is a model or a data set.
    pub kind: RepoKind,
    /// `owner/name`.
    pub repo: String,
    /// Branch, tag or commit (also abbreviated); `None` is `main`.
    pub revision: Option<String>,
    /// Path inside the repository, with `/`.
    pub path: String,
    /// What the file must be, if it is pinned; otherwise the Hub's own hash decides.
    pub expected: Option<Expected>,
}

impl HubFile {
    /// The revision by name, `main` if none was given.
    pub fn revision_name(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    /// How messages name the file at `revision`.
    pub(crate) fn at(&self, revision: &str) -> String {
        format!("{} {}@{revision}/{}", self.kind.word(), self.repo, self.path)
    }

    /// Checks every part of the name.
    ///
    /// # Errors
    /// [`HubError::BadName`] for whatever would leave its folder or is no name.
    pub(crate) fn check(&self) -> Result<(), HubError> {
        check_repo(&self.repo)?;
        check_revision(self.revision_name())?;
        check_path(&self.path)?;
        match &self.expected {
            Some(pin) if !is_hex(&pin.sha256, 64) => {
                Err(bad_name("pinned sha256", &pin.sha256, "it must have 64 hexadecimal digits"))
            }
            _ => Ok(()),
        }
    }
}

/// A verified file on this disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Where it lies, in the Hub cache.
    pub path: PathBuf,
    /// `owner/name`.
    pub repo: String,
    /// The commit, 40 hexadecimal digits.
    pub revision: String,
    /// Path inside the repository.
    pub file: String,
    /// The sha256 of its bytes.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
}

/// The files of a repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// The files in the order of their paths.
    pub files: Vec<ListedFile>,
    /// False if the list was read off the cache, which may hold only a part of the repository.
    pub complete: bool,
}

/// One line of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Path inside the repository, with `/`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
}

/// The revision that a name without one means.
pub(crate) const MAIN: &str = "main";

/// Whether `revision` names a commit in full, and so can never mean another one.
pub(crate) fn is_commit(revision: &str) -> bool {
    is_hex(revision, 40)
}

/// A path or name as addresses have it, its slashes kept.
pub(crate) fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Whether `text` is `digits` hexadecimal digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Splits `owner/name`, each of which is checked.
pub(crate) fn check_repo(repo: &str) -> Result<(&str, &str), HubError> {
    let bad = |why| bad_name("repository", repo, why);
    let (owner, name) = repo.split_once('/').ok_or_else(|| bad("write it as owner/name"))?;
    for part in [owner, name] {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if part.is_empty() || part.starts_with('.') || !part.bytes().all(plain) {
            return Err(bad("owner and name have letters, digits, '.', '-' and '_' only"));
        }
    }
    Ok((owner, name))
}

pub(crate) fn check_revision(revision: &str) -> Result<(), HubError> {
    check_segments("revision", revision)
}

pub(crate) fn check_path(path: &str) -> Result<(), HubError> {
    check_segments("file", path)
}

fn check_segments(what: &'static str, text: &str) -> Result<(), HubError> {
    let plain = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let strange = |c: char| c.is_control() || matches!(c, '\\' | ':');
    if !plain || text.contains(strange) || Path::new(text).is_absolute() {
        return Err(bad_name(what, text, "it must be a relative path of plain names"));
    }
    Ok(())
}

fn bad_name(what: &'static str, value: &str, why: &'static str) -> HubError {
    HubError::BadName { what, value: value.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(repo: &str, revision: Option<&str>, path: &str) -> HubFile {
        HubFile {
            kind: RepoKind::Model,
            repo: repo.into(),
            revision: revision.map(Into::into),
            path: path.into(),
            expected: None,
        }
    }

    #[test]
    fn plain_names_pass() {
        for revision in [None, Some("main"), Some("refs/pr/1"), Some("v1.0-rc.2")] {
            file("timm/resnet18.tv_in1k", revision, "a b/model-00001.safetensors").check().unwrap();
        }
    }

    #[test]
    fn names_that_would_leave_the_cache_are_refused() {
        for repo in ["resnet18", "a/b/c", "/b", "a/", "../b", "a/..", "a/.git", "a b/c", "a/b?x"] {
            let error = file(repo, None, "f").check().unwrap_err();
            assert!(error.to_string().starts_with("bad repository"), "{repo}: {error}");
        }
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "c:\\x", "a\nb"] {
            assert!(file("a/b", None, path).check().is_err(), "{path:?}");
            assert!(file("a/b", Some(path), "f").check().is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_pin_must_be_a_sha256() {
        let mut pinned = file("a/b", None, "f");
        pinned.expected = Some(Expected { sha256: "7372cbb9".into(), size: None });
        assert!(pinned.check().unwrap_err().to_string().contains("64 hexadecimal digits"));
    }

    #[test]
    fn only_forty_digits_are_a_commit() {
        assert!(is_commit("590dfdd48494d2316a8385e1ca7fbec3b9359b35"));
        assert!(!is_commit("590dfdd"));
        assert!(!is_commit("main"));
    }
}
