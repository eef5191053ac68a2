//! Whether a file that lies in the cache may be used, without reading it again each time.
//!
//! The main function is [`look`]. A file that was once verified has a [`Verdict`] with its size and time of
//! change; while both are the same it is believed, otherwise the file is hashed anew. Files that other tools put
//! into the cache are hashed on their first use.

use std::fs::{self, Metadata};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::cache::{RepoCache, key};
use crate::names::{Expected, Fetched, HubFile};
use crate::verify::{Announced, Judgement, Measured, judge, measure};
use crate::{HubError, record};

/// What was found out about a file, and by what it is known again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    repo: String,
    commit: String,
    file: String,
    sha256: String,
    etag: Option<String>,
    size: u64,
    changed: Duration,
}

/// What the cache has of a file.
#[derive(Debug)]
pub(crate) enum Look {
    Missing,
    Verified(Fetched),
    Damaged { pointer: PathBuf, reason: String },
}

/// Looks for `file` at `commit` in the cache and verifies it.
///
/// # Errors
/// [`HubError::NotThePinned`] for an undamaged file that is not the pinned one, [`HubError::Disk`] for one that
/// cannot be read.
pub(crate) fn look(cache: &RepoCache, file: &HubFile, commit: &str) -> Result<Look, HubError> {
    let pointer = cache.pointer(commit, &file.path);
    let Some(about) = fs::metadata(&pointer).ok().filter(Metadata::is_file) else {
        return Ok(Look::Missing);
    };
    let known: Option<Verdict> = record::read(&place(cache, commit, &file.path));
    let etag = cache.etag(&pointer).or_else(|| known.as_ref().and_then(|verdict| verdict.etag.clone()));
    if let Some(verdict) = known.filter(|verdict| verdict.knows(&about)) {
        let measured = Measured { size: verdict.size, sha256: verdict.sha256, git_sha1: None };
        return match &file.expected {
            Some(pin) if judge(&measured, Some(pin), &Announced::Nothing) != Judgement::Good => {
                Err(not_the_pinned(file, commit, pin, &measured))
            }
            _ => Ok(Look::Verified(fetched(file, commit, pointer, &measured))),
        };
    }
    let announced = Announced::from_etag(etag.as_deref());
    let measured = measure(&pointer, &announced).map_err(HubError::disk("read", &pointer))?;
    match (judge(&measured, file.expected.as_ref(), &announced), &file.expected) {
        (Judgement::Good, _) => {
            Ok(Look::Verified(accept(cache, file, commit, etag.as_deref(), pointer, &measured)))
        }
        (Judgement::NotThePinned, Some(pin)) => Err(not_the_pinned(file, commit, pin, &measured)),
        (Judgement::Wrong { algorithm, wanted, found }, _) => {
            let size = measured.size;
            let reason = format!("{algorithm} {found} where {wanted} is due, {size} bytes");
            Ok(Look::Damaged { pointer, reason })
        }
        (Judgement::Unverifiable | Judgement::NotThePinned, _) => {
            Ok(Look::Damaged { pointer, reason: "no hash is known to hold it against".to_owned() })
        }
    }
}

/// Keeps the verdict on a file that was found good.
pub(crate) fn accept(
    cache: &RepoCache,
    file: &HubFile,
    commit: &str,
    etag: Option<&str>,
    pointer: PathBuf,
    measured: &Measured,
) -> Fetched {
    if let Some(changed) = fs::metadata(&pointer).ok().and_then(|about| changed(&about)) {
        let verdict = Verdict {
            repo: file.repo.clone(),
            commit: commit.to_owned(),
            file: file.path.clone(),
            sha256: measured.sha256.clone(),
            etag: etag.map(str::to_owned),
            size: measured.size,
            changed,
        };
        // A cache that cannot be written to is hashed anew next time.
        let _ = record::write(&place(cache, commit, &file.path), &verdict);
    }
    fetched(file, commit, pointer, measured)
}

impl Verdict {
    fn knows(&self, about: &Metadata) -> bool {
        self.size == about.len() && changed(about) == Some(self.changed)
    }
}

/// The error that tells an undamaged file from the pinned one.
pub(crate) fn not_the_pinned(file: &HubFile, commit: &str, pin: &Expected, measured: &Measured) -> HubError {
    let size = pin.size.map(|size| format!(" ({size} bytes)")).unwrap_or_default();
    HubError::NotThePinned {
        subject: file.at(commit),
        wanted: format!("{}{size}", pin.sha256),
        found: measured.sha256.clone(),
        size: measured.size,
    }
}

fn fetched(file: &HubFile, commit: &str, path: PathBuf, measured: &Measured) -> Fetched {
    Fetched {
        path,
        repo: file.repo.clone(),
        revision: commit.to_owned(),
        file: file.path.clone(),
        sha256: measured.sha256.clone(),
        size: measured.size,
    }
}

fn place(cache: &RepoCache, commit: &str, path: &str) -> PathBuf {
    cache.own("verdicts", &key(&[commit, path]))
}

fn changed(about: &Metadata) -> Option<Duration> {
    about.modified().ok().and_then(|time: SystemTime| time.duration_since(UNIX_EPOCH).ok())
}
