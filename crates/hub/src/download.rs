//! Fetching one file: staged, verified, published.
//!
//! The main function is [`download`]. `hf-hub` stores what it gets under the ETag it was promised, whatever came: so
//! it is given a cache folder of our own, and only what has been verified moves from there into the shared cache.
//! No other tool ever sees a cut or wrong file because of us.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cache::{RepoCache, key};
use crate::client::{Client, Promise, patiently};
use crate::lock::FileLock;
use crate::names::{Fetched, HubFile, encoded};
use crate::refusal::{Asked, shorten};
use crate::verdict::{accept, not_the_pinned};
use crate::verify::{Announced, Judgement, Measured, judge, measure};
use crate::{HubError, Patience, Progress};

/// How often a file may come with the right length and the wrong content.
const WRONG_CONTENT: u32 = 2;

/// Downloads `file` at `commit` into the shared cache. The caller holds the file's lock.
///
/// # Errors
/// Whatever keeps the file from being had and verified; nothing of it is left then.
pub(crate) fn download(
    client: &Client,
    cache: &RepoCache,
    file: &HubFile,
    commit: &str,
    patience: &Patience,
    progress: &dyn Progress,
) -> Result<Fetched, HubError> {
    let asked = client.asked(file.kind, &file.repo, commit, Some(&file.path));
    let staging = Staging::new(cache, &key(&[commit, &file.path]));
    let mut wrong = 0;
    loop {
        let outcome = patiently(patience, progress, || {
            let staged = staging.fill(client, &asked, cache, patience, progress)?;
            match staged.judge(file) {
                judgement @ Judgement::Wrong { .. }
                    if staged.announced_size != Some(staged.measured.size) =>
                {
                    let wrong_size = staged.wrong_size(&asked);
                    staged.discard()?;
                    // The status of what was stored is lost; another look tells whether it was an error's page.
                    match (client.probe(&asked, patience), wrong_size) {
                        (Err(error), _)
                            if error.is_passing() || matches!(error, HubError::Refused { .. }) =>
                        {
                            Err(error)
                        }
                        (_, Some(wrong_size)) => Err(wrong_size),
                        (_, None) => Ok((staged, judgement)),
                    }
                }
                judgement => Ok((staged, judgement)),
            }
        });
        let (staged, judgement) = outcome?;
        match (judgement, &file.expected) {
            (Judgement::Good, _) => return staged.publish(cache, file, commit),
            (Judgement::NotThePinned, Some(pin)) => {
                return Err(not_the_pinned(file, commit, pin, &staged.measured));
            }
            (Judgement::Wrong { algorithm, wanted, found }, _) => {
                staged.discard()?;
                wrong += 1;
                if wrong == WRONG_CONTENT {
                    let (endpoint, subject) = (asked.endpoint.to_owned(), asked.subject());
                    let wanted = format!("{algorithm} {wanted}");
                    return Err(HubError::WrongContent { endpoint, subject, wanted, found, attempts: wrong });
                }
                progress.note(&format!("{} came with the wrong content; fetching it again", asked.subject()));
            }
            (Judgement::Unverifiable | Judgement::NotThePinned, _) => {
                let endpoint = asked.endpoint.to_owned();
                return Err(HubError::Unverifiable { endpoint, subject: asked.subject() });
            }
        }
    }
}

/// A cache folder for `hf-hub` that goes with the download.
struct Staging {
    folder: PathBuf,
    tries: Cell<usize>,
}

impl Staging {
    /// Also removes what killed runs have left of other files of the repository.
    fn new(cache: &RepoCache, key: &str) -> Self {
        for entry in fs::read_dir(cache.own_folder("staging")).into_iter().flatten().flatten() {
            let lock = cache.own("locks", &format!("{}.lock", entry.file_name().to_string_lossy()));
            if lock.exists()
                && let Ok(Some(_held)) = FileLock::try_take(&lock)
            {
                // What cannot be removed only takes room.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Self { folder: cache.own("staging", key), tries: Cell::new(0) }
    }

    /// Downloads into the empty folder.
    fn fill(
        &self,
        client: &Client,
        asked: &Asked<'_>,
        cache: &RepoCache,
        patience: &Patience,
        progress: &dyn Progress,
    ) -> Result<Staged, HubError> {
        let _ = fs::remove_dir_all(&self.folder);
        // A blob that the shared cache has under another commit is not fetched again.
        let Promise { etag } = client.probe(asked, patience)?;
        let there = etag.as_ref().and_then(|etag| fs::canonicalize(cache.blobs().join(etag)).ok());
        if let (Some(bytes), Some(etag)) = (there.filter(|blob| blob.is_file()), etag) {
            let announced = Announced::from_etag(Some(&etag));
            let measured = measure(&bytes, &announced).map_err(HubError::disk("read", &bytes))?;
            let announced_size = Some(measured.size);
            return Ok(Staged { bytes, etag: Some(etag), announced, announced_size, measured });
        }
        // A download that was given up may still write: each try has a folder of its own.
        let tries = self.tries.replace(self.tries.get() + 1);
        let folder = self.folder.join(tries.to_string());
        let inside = RepoCache::new(&folder, asked.kind, asked.repo);
        fs::create_dir_all(inside.blobs()).map_err(HubError::disk("make", &inside.blobs()))?;
        let (pointer, announced_size) = client.download(asked, &folder, patience, progress)?;
        if pointer != inside.pointer(asked.revision, &encoded(asked.path.unwrap_or_default())) {
            return Err(asked.strange("it answers for another commit".to_owned()));
        }
        let etag = inside.etag(&pointer).or_else(|| only_name(&inside.blobs()));
        let announced = Announced::from_etag(etag.as_deref());
        let bytes = fs::canonicalize(&pointer).map_err(HubError::disk("find", &pointer))?;
        let measured = measure(&bytes, &announced).map_err(HubError::disk("read", &bytes))?;
        Ok(Staged { bytes, etag, announced, announced_size, measured })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next fetch.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What `hf-hub` stored, hashed but not yet believed.
struct Staged {
    bytes: PathBuf,
    etag: Option<String>,
    announced: Announced,
    announced_size: Option<u64>,
    measured: Measured,
}

impl Staged {
    fn judge(&self, file: &HubFile) -> Judgement {
        judge(&self.measured, file.expected.as_ref(), &self.announced)
    }

    fn publish(self, cache: &RepoCache, file: &HubFile, commit: &str) -> Result<Fetched, HubError> {
        let etag = self.etag.as_deref().unwrap_or(&self.measured.sha256);
        let pointer = cache.publish(&self.bytes, etag, commit, &file.path, file.revision_name())?;
        Ok(accept(cache, file, commit, Some(etag), pointer, &self.measured))
    }

    /// Removes the bytes, also if they are a damaged blob of the shared cache.
    fn discard(&self) -> Result<(), HubError> {
        crate::cache::remove_file(&self.bytes)
    }

    /// The error for a length that was not announced, if one was.
    fn wrong_size(&self, asked: &Asked<'_>) -> Option<HubError> {
        Some(HubError::WrongSize {
            endpoint: asked.endpoint.to_owned(),
            subject: asked.subject(),
            wanted: self.announced_size?,
            found: self.measured.size,
            excerpt: excerpt(&self.bytes).map(|text| format!(" ({text:?})")).unwrap_or_default(),
            attempts: 1,
        })
    }
}

/// How a file begins, if it begins as a text: a proxy's page says what stands in the way.
fn excerpt(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(100).read_to_end(&mut start)).ok()?;
    let text = String::from_utf8(start).ok()?;
    let plain = !text.is_empty() && !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    plain.then(|| shorten(&text))
}

fn only_name(folder: &Path) -> Option<String> {
    let mut names =
        fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.next().filter(|_| names.next().is_none())
}
