//! What the loopback Hub holds: repositories with their commits, faults, counts.
//!
//! The main type is [`Shelf`]. It knows no HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use frostline_text::{hex, sha256};
use sha1::{Digest, Sha1};

use super::{Fault, Times};
use crate::names::{MAIN, RepoKind};

type Key = (RepoKind, String, String);

/// One file at one commit.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) bytes: Arc<Vec<u8>>,
    /// Whether it is kept in LFS.
    pub(super) lfs: bool,
    pub(super) sha256: String,
    pub(super) git_sha1: String,
}

impl Stored {
    /// What the Hub gives as ETag.
    pub(super) fn etag(&self) -> &str {
        if self.lfs { &self.sha256 } else { &self.git_sha1 }
    }
}

/// The files of one commit by path.
pub(super) type Files = BTreeMap<String, Stored>;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) requests: usize,
    repos: BTreeMap<(RepoKind, String), Vec<(String, Files)>>,
    faults: BTreeMap<Key, (Fault, Times)>,
    /// New names of repositories.
    renamed: BTreeMap<(RepoKind, String), String>,
    downloads: BTreeMap<Key, usize>,
}

impl Shelf {
    pub(super) fn add(
        &mut self,
        kind: RepoKind,
        repo: &str,
        path: &str,
        bytes: Vec<u8>,
        lfs: bool,
    ) -> String {
        let sha256 = sha256(&bytes);
        let blob = Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(&bytes);
        let git_sha1 = hex(&blob.finalize());
        let commits = self.repos.entry((kind, repo.to_owned())).or_default();
        let mut files = commits.last().map(|(_, files)| files.clone()).unwrap_or_default();
        let stored = Stored { bytes: Arc::new(bytes), lfs, sha256: sha256.clone(), git_sha1 };
        files.insert(path.to_owned(), stored);
        let mut commit = Sha1::new().chain_update(commits.len().to_string());
        for (path, file) in &files {
            commit.update(format!("\n{path} {}", file.sha256));
        }
        commits.push((hex(&commit.finalize()), files));
        sha256
    }

    pub(super) fn rename(&mut self, kind: RepoKind, repo: &str, name: &str) {
        if let Some(commits) = self.repos.remove(&(kind, repo.to_owned())) {
            self.repos.insert((kind, name.to_owned()), commits);
        }
        self.renamed.insert((kind, repo.to_owned()), name.to_owned());
    }

    /// The name that a repository has now, where it was renamed.
    pub(super) fn new_name(&self, kind: RepoKind, repo: &str) -> Option<&str> {
        self.renamed.get(&(kind, repo.to_owned())).map(String::as_str)
    }

    pub(super) fn has(&self, kind: RepoKind, repo: &str) -> bool {
        self.repos.contains_key(&(kind, repo.to_owned()))
    }

    /// The commit, and its files, that `main`, a commit or its abbreviation means.
    pub(super) fn revision(&self, kind: RepoKind, repo: &str, revision: &str) -> Option<(&str, &Files)> {
        let commits = self.repos.get(&(kind, repo.to_owned()))?;
        let named = |commit: &str| revision.len() >= 7 && commit.starts_with(revision);
        let found = match revision {
            MAIN => commits.last(),
            _ => commits.iter().find(|(commit, _)| named(commit)),
        };
        found.map(|(commit, files)| (commit.as_str(), files))
    }

    pub(super) fn fail(&mut self, kind: RepoKind, repo: &str, path: &str, fault: Fault, times: Times) {
        self.faults.insert((kind, repo.to_owned(), path.to_owned()), (fault, times));
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
    }

    /// The fault that hits this request, if it is one of those that `touches` it; uses it up by one.
    pub(super) fn fault(
        &mut self,
        kind: RepoKind,
        repo: &str,
        path: &str,
        touches: &[Fault],
    ) -> Option<Fault> {
        let (fault, times) = self.faults.get_mut(&(kind, repo.to_owned(), path.to_owned()))?;
        if !touches.contains(fault) {
            return None;
        }
        match times {
            Times::Always => Some(*fault),
            Times::Next(0) => None,
            Times::Next(left) => {
                *left -= 1;
                Some(*fault)
            }
        }
    }

    pub(super) fn count(&mut self, kind: RepoKind, repo: &str, path: &str) {
        *self.downloads.entry((kind, repo.to_owned(), path.to_owned())).or_default() += 1;
    }

    pub(super) fn downloads(&self, kind: RepoKind, repo: &str, path: &str) -> usize {
        self.downloads.get(&(kind, repo.to_owned(), path.to_owned())).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_makes_a_commit_and_old_ones_stay() {
        let mut shelf = Shelf::default();
        shelf.add(RepoKind::Model, "a/b", "x", b"1".to_vec(), true);
        let first = shelf.revision(RepoKind::Model, "a/b", "main").unwrap().0.to_owned();
        shelf.add(RepoKind::Model, "a/b", "y", b"2".to_vec(), false);
        let (second, files) = shelf.revision(RepoKind::Model, "a/b", "main").unwrap();
        assert_ne!(first, second);
        assert_eq!(files.keys().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(shelf.revision(RepoKind::Model, "a/b", &first[..7]).unwrap().1.len(), 1);
        assert!(shelf.revision(RepoKind::Dataset, "a/b", "main").is_none());
    }

    #[test]
    fn a_fault_is_used_up_by_the_requests_it_touches() {
        let mut shelf = Shelf::default();
        shelf.fail(RepoKind::Model, "a/b", "x", Fault::CutBody, Times::Next(1));
        assert_eq!(shelf.fault(RepoKind::Model, "a/b", "x", &[Fault::Unavailable]), None);
        assert_eq!(shelf.fault(RepoKind::Model, "a/b", "x", &[Fault::CutBody]), Some(Fault::CutBody));
        assert_eq!(shelf.fault(RepoKind::Model, "a/b", "x", &[Fault::CutBody]), None);
    }
}
