//! The cache folder, as all Hugging Face tools lay it out, and the corner of it that is ours.
//!
//! The main type is [`RepoCache`], the part of one repository:
//!
//! ```text
//! models--owner--name/blobs/ETAG              the bytes
//!                    /snapshots/COMMIT/PATH   links to them
//!                    /refs/REVISION           the commit that a branch or tag meant last
//! .frostline/{verdicts,listings,first-uses,locks,staging}/models--owner--name/KEY
//! ```
//!
//! Nothing is published here that has not been verified; this module itself verifies nothing.

use std::path::{Path, PathBuf};
use std::{fs, io};

use frostline_text::sha256;

use crate::names::{ListedFile, RepoKind, is_commit};
use crate::{HubError, record};

/// Where the files of one repository lie.
#[derive(Clone, Debug)]
pub(crate) struct RepoCache {
    folder: PathBuf,
    own: PathBuf,
    name: String,
}

impl RepoCache {
    pub(crate) fn new(cache: &Path, kind: RepoKind, repo: &str) -> Self {
        let name = format!("{}--{}", kind.plural(), repo.replace('/', "--"));
        Self { folder: cache.join(&name), own: cache.join(".frostline"), name }
    }

    /// The bytes, one file for each ETag.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// Where tools look for `path` at `commit`.
    pub(crate) fn pointer(&self, commit: &str, path: &str) -> PathBuf {
        self.snapshot(commit).join(path)
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// A place in our corner: `part` is the purpose, `key` what it is about.
    pub(crate) fn own(&self, part: &str, key: &str) -> PathBuf {
        self.own_folder(part).join(key)
    }

    /// The folder of all places of one purpose.
    pub(crate) fn own_folder(&self, part: &str) -> PathBuf {
        self.own.join(part).join(&self.name)
    }

    /// The ETag of a file that is linked into a snapshot: the name of its blob.
    pub(crate) fn etag(&self, pointer: &Path) -> Option<String> {
        let target = fs::read_link(pointer).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// The commits that `revision` may mean by what the cache knows: first what it meant to us last, so that an
    /// offline run repeats the online one before it.
    pub(crate) fn commits(&self, revision: &str) -> Vec<String> {
        if is_commit(revision) {
            return vec![revision.to_ascii_lowercase()];
        }
        let shared = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        let shared = shared.map(|text| text.trim().to_owned());
        let mut commits: Vec<String> =
            self.noted(revision).into_iter().chain(shared).filter(|commit| is_commit(commit)).collect();
        if revision.len() >= 7 && revision.bytes().all(|b| b.is_ascii_hexdigit()) {
            commits.extend(self.snapshots_from(&revision.to_ascii_lowercase()));
        }
        commits.dedup();
        commits
    }

    /// The commit that the abbreviation `prefix` names, if it names one alone.
    fn snapshots_from(&self, prefix: &str) -> Option<String> {
        let names = fs::read_dir(self.folder.join("snapshots")).ok()?.flatten();
        let mut fitting = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_commit(name) && name.starts_with(prefix));
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// Keeps, in our corner, that `revision` means `commit`: the shared reference moves only with files.
    pub(crate) fn note(&self, revision: &str, commit: &str) -> io::Result<()> {
        record::write(&self.own("listings", &key(&["revision", revision])), &commit)
    }

    fn noted(&self, revision: &str) -> Option<String> {
        record::read(&self.own("listings", &key(&["revision", revision])))
    }

    /// Moves verified bytes to where all tools find them. `bytes` may be the blob itself.
    pub(crate) fn publish(
        &self,
        bytes: &Path,
        etag: &str,
        commit: &str,
        path: &str,
        revision: &str,
    ) -> Result<PathBuf, HubError> {
        let blob = self.blobs().join(etag);
        if bytes != blob {
            make_folder_of(&blob)?;
            let synced = fs::OpenOptions::new().append(true).open(bytes).and_then(|file| file.sync_all());
            synced.and_then(|()| fs::rename(bytes, &blob)).map_err(HubError::disk("write", &blob))?;
        }
        let pointer = self.pointer(commit, path);
        make_folder_of(&pointer)?;
        let levels = path.split('/').count() + 1;
        let target = Path::new(&"../".repeat(levels)).join("blobs").join(etag);
        let staged = self.own("staging", &format!("{}.link", key(&[commit, path])));
        make_folder_of(&staged)?;
        let _ = fs::remove_file(&staged);
        let linked = link(&target, &staged).and_then(|()| fs::rename(&staged, &pointer));
        // Without links (Windows, some file systems) the tools keep the bytes in the snapshot itself.
        linked.or_else(|_| fs::rename(&blob, &pointer)).map_err(HubError::disk("write", &pointer))?;
        if !is_commit(revision) {
            let reference = self.folder.join("refs").join(revision);
            record::write_whole(&reference, commit.as_bytes())
                .map_err(HubError::disk("write", &reference))?;
        }
        Ok(pointer)
    }

    /// Takes a damaged file out of the cache: the link and the bytes behind it.
    pub(crate) fn remove(&self, pointer: &Path) -> Result<(), HubError> {
        if let Some(etag) = self.etag(pointer) {
            remove_file(&self.blobs().join(etag))?;
        }
        remove_file(pointer)
    }

    /// What a snapshot holds, in the order of the paths. Empty if it is not there.
    pub(crate) fn snapshot_files(&self, commit: &str) -> Vec<ListedFile> {
        let root = self.snapshot(commit);
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(about) = fs::metadata(&path) else { continue };
                let Ok(inside) = path.strip_prefix(&root) else { continue };
                if about.is_dir() {
                    folders.push(path);
                } else {
                    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
                    files.push(ListedFile { path: parts.join("/"), size: about.len() });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }
}

/// A short file name that stands for `parts`.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut digest = sha256(parts.join("\n").as_bytes());
    digest.truncate(32);
    digest
}

/// Removes a file, which may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<(), HubError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HubError::disk("remove", path)(error)),
        _ => Ok(()),
    }
}

fn make_folder_of(path: &Path) -> Result<(), HubError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(HubError::disk("make", folder))
}

#[cfg(unix)]
pub(crate) fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
pub(crate) fn link(_target: &Path, _at: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "590dfdd48494d2316a8385e1ca7fbec3b9359b35";

    fn published(cache: &Path) -> (RepoCache, PathBuf) {
        let repo = RepoCache::new(cache, RepoKind::Dataset, "uoft-cs/cifar10");
        let bytes = cache.join("staged");
        fs::write(&bytes, "seven").unwrap();
        let pointer = repo.publish(&bytes, "etag", COMMIT, "plain/train.parquet", "main").unwrap();
        assert!(!bytes.exists());
        (repo, pointer)
    }

    #[test]
    fn a_published_file_lies_where_other_tools_look() {
        let cache = tempfile::tempdir().unwrap();
        let (repo, pointer) = published(cache.path());
        let folder = cache.path().join("datasets--uoft-cs--cifar10");
        assert_eq!(pointer, folder.join("snapshots").join(COMMIT).join("plain/train.parquet"));
        assert_eq!(fs::read_to_string(&pointer).unwrap(), "seven");
        assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
        assert_eq!(repo.etag(&pointer).as_deref(), Some("etag"));
        let listed = ListedFile { path: "plain/train.parquet".into(), size: 5 };
        assert_eq!(repo.snapshot_files(COMMIT), [listed]);
    }

    #[test]
    fn revisions_are_read_off_references_notes_and_abbreviations() {
        let cache = tempfile::tempdir().unwrap();
        let (repo, _) = published(cache.path());
        assert_eq!(repo.commits("main"), [COMMIT]);
        assert_eq!(repo.commits("590dfdd"), [COMMIT]);
        assert_eq!(repo.commits(COMMIT), [COMMIT]);
        assert!(repo.commits("590dfde").is_empty() && repo.commits("v1").is_empty());
        let other = "0".repeat(40);
        repo.note("main", &other).unwrap();
        assert_eq!(repo.commits("main"), [other, COMMIT.to_owned()]);
    }

    #[test]
    fn a_removed_file_leaves_neither_link_nor_bytes() {
        let cache = tempfile::tempdir().unwrap();
        let (repo, pointer) = published(cache.path());
        repo.remove(&pointer).unwrap();
        assert!(!pointer.is_symlink() && !repo.blobs().join("etag").exists());
        repo.remove(&pointer).unwrap();
    }
}
