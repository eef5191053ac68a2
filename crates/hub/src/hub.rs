//! The Hub as the rest of Frostline sees it: ask for a file, get it verified.
//!
//! The main type is [`Hub`]. This module decides where an answer comes from (the cache, the network, or the cache
//! because the network is gone); how a file is downloaded is [`crate::download`]'s business.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::cache::{RepoCache, key};
use crate::client::{Client, patiently};
use crate::download::download;
use crate::lock::FileLock;
use crate::names::{Fetched, HubFile, Listing, MAIN, RepoKind, check_repo, check_revision, is_commit};
use crate::verdict::{Look, look};
use crate::{HubError, HubOptions, Patience, Progress, Silent, record};

/// One Hub with its cache. Can be shared between threads; must not be called from asynchronous code.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    patience: Patience,
    /// None if offline.
    client: Option<Client>,
    /// What branches and tags mean, asked once: a run sees one commit of each.
    commits: Mutex<BTreeMap<(RepoKind, String, String), String>>,
}

impl Hub {
    /// Sets the client up; nothing is asked yet.
    ///
    /// # Errors
    /// [`HubError::Setup`] if the endpoint is not an address.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        let client = if options.offline { None } else { Some(Client::new(&options)?) };
        Ok(Self { options, patience: Patience::default(), client, commits: Mutex::default() })
    }

    /// The same Hub with another patience.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// What it was set up with.
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// Returns `file` from the cache, or downloads it; verified by size and hash in either case.
    ///
    /// A pinned file that the cache holds is returned without a request, and so is any file of a full commit. A
    /// branch or tag is looked up once per `Hub`; if the Hub cannot be reached, the cache's last knowledge of it
    /// is used, with a note to `progress`.
    ///
    /// # Errors
    /// [`HubError`] says what is missing, refused, unreachable or wrong. Nothing wrong stays in the cache.
    pub fn fetch(&self, file: &HubFile, progress: &dyn Progress) -> Result<Fetched, HubError> {
        file.check()?;
        let cache = self.cache(file.kind, &file.repo);
        let Some(client) = &self.client else { return self.fetch_cached(&cache, file) };
        if file.expected.is_some() {
            for commit in cache.commits(file.revision_name()) {
                if let Ok(Look::Verified(found)) = look(&cache, file, &commit) {
                    return Ok(found);
                }
            }
        }
        match self.commit(client, &cache, file.kind, &file.repo, file.revision_name(), progress) {
            Ok(commit) => self.fetch_at(client, &cache, file, &commit, progress),
            Err(error) if error.is_passing() => match self.fetch_cached(&cache, file) {
                Ok(found) => {
                    let (cause, commit) = (error.cause(), &found.revision);
                    progress.note(&format!("{cause}; using the cached commit {commit}"));
                    Ok(found)
                }
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The files of a repository at a revision (`main` if none is given). Kept, so that it works offline later.
    ///
    /// # Errors
    /// As [`Hub::fetch`].
    pub fn list(&self, kind: RepoKind, repo: &str, revision: Option<&str>) -> Result<Listing, HubError> {
        let revision = revision.unwrap_or(MAIN);
        check_repo(repo)?;
        check_revision(revision)?;
        let cache = self.cache(kind, repo);
        let missing = || HubError::NotCached {
            subject: format!("the list of files of {} {repo}@{revision}", kind.word()),
            cache: self.options.cache.clone(),
        };
        let Some(client) = &self.client else { return kept(&cache, revision).ok_or_else(missing) };
        match self.list_online(client, &cache, kind, repo, revision) {
            Err(error) if error.is_passing() => kept(&cache, revision).ok_or(error),
            other => other,
        }
    }

    fn cache(&self, kind: RepoKind, repo: &str) -> RepoCache {
        RepoCache::new(&self.options.cache, kind, repo)
    }

    fn commit(
        &self,
        client: &Client,
        cache: &RepoCache,
        kind: RepoKind,
        repo: &str,
        revision: &str,
        progress: &dyn Progress,
    ) -> Result<String, HubError> {
        if is_commit(revision) {
            return Ok(revision.to_ascii_lowercase());
        }
        let memo = (kind, repo.to_owned(), revision.to_owned());
        let known = self.commits.lock().unwrap_or_else(PoisonError::into_inner).get(&memo).cloned();
        if let Some(commit) = known {
            return Ok(commit);
        }
        let asked = client.asked(kind, repo, revision, None);
        let commit = patiently(&self.patience, progress, || client.commit(&asked, &self.patience))?;
        // Only a later offline run would miss the note.
        let _ = cache.note(revision, &commit);
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(commits.entry(memo).or_insert(commit).clone())
    }

    fn fetch_at(
        &self,
        client: &Client,
        cache: &RepoCache,
        file: &HubFile,
        commit: &str,
        progress: &dyn Progress,
    ) -> Result<Fetched, HubError> {
        if let Look::Verified(found) = look(cache, file, commit)? {
            return Ok(found);
        }
        let place = cache.own("locks", &format!("{}.lock", key(&[commit, &file.path])));
        let _lock = FileLock::take(&place, &file.at(commit), &self.patience, progress)?;
        match look(cache, file, commit)? {
            // Another process fetched it meanwhile.
            Look::Verified(found) => return Ok(found),
            Look::Damaged { pointer, reason } => {
                let path = pointer.display();
                progress.note(&format!("{path} in the cache is damaged ({reason}); fetching it again"));
                cache.remove(&pointer)?;
            }
            Look::Missing => {}
        }
        let fetched = download(client, cache, file, commit, &self.patience, progress);
        fetched.map_err(|error| self.explain(client, file, commit, error))
    }

    /// Tells what of a missing file is missing: the file, the revision, or all of the repository.
    fn explain(&self, client: &Client, file: &HubFile, commit: &str, error: HubError) -> HubError {
        let HubError::FileNotFound { endpoint, repository, path, .. } = error else { return error };
        let asked = client.asked(file.kind, &file.repo, commit, None);
        match client.commit(&asked, &self.patience) {
            Err(missing @ (HubError::RepoNotFound { .. } | HubError::RevisionNotFound { .. })) => missing,
            _ => {
                let listing = self.list(file.kind, &file.repo, Some(commit));
                let held = listing.map_or_else(|_| "check its name".to_owned(), |listing| held(&listing));
                HubError::FileNotFound { endpoint, repository, path, held }
            }
        }
    }

    fn fetch_cached(&self, cache: &RepoCache, file: &HubFile) -> Result<Fetched, HubError> {
        for commit in cache.commits(file.revision_name()) {
            match look(cache, file, &commit)? {
                Look::Verified(found) => return Ok(found),
                Look::Damaged { pointer, reason } => {
                    return Err(HubError::DamagedCache { subject: file.at(&commit), path: pointer, reason });
                }
                Look::Missing => {}
            }
        }
        let cache = self.options.cache.clone();
        Err(HubError::NotCached { subject: file.at(file.revision_name()), cache })
    }

    fn list_online(
        &self,
        client: &Client,
        cache: &RepoCache,
        kind: RepoKind,
        repo: &str,
        revision: &str,
    ) -> Result<Listing, HubError> {
        let commit = self.commit(client, cache, kind, repo, revision, &Silent)?;
        let place = listing_place(cache, &commit);
        if let Some(listing) = record::read(&place) {
            return Ok(listing);
        }
        let asked = client.asked(kind, repo, &commit, None);
        let files = patiently(&self.patience, &Silent, || client.tree(&asked, &self.patience))?;
        let listing = Listing { commit, files, complete: true };
        // Only a later offline run would miss it.
        let _ = record::write(&place, &listing);
        Ok(listing)
    }
}

/// The listing that was stored, or what the snapshot in the cache holds.
fn kept(cache: &RepoCache, revision: &str) -> Option<Listing> {
    let commits = cache.commits(revision);
    let stored = commits.iter().find_map(|commit| record::read(&listing_place(cache, commit)));
    stored.or_else(|| {
        let files = |commit: String| (cache.snapshot_files(&commit), commit);
        let mut held = commits.into_iter().map(files).filter(|(files, _)| !files.is_empty());
        held.next().map(|(files, commit)| Listing { commit, files, complete: false })
    })
}

fn listing_place(cache: &RepoCache, commit: &str) -> PathBuf {
    cache.own("listings", &key(&["listing", commit]))
}

fn held(listing: &Listing) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<&str> = listing.files.iter().map(|file| file.path.as_str()).take(SHOWN).collect();
    let more = format!("{} more", listing.files.len().saturating_sub(SHOWN));
    if listing.files.len() > SHOWN {
        names.push(&more);
    }
    if names.is_empty() { "it is empty".to_owned() } else { format!("it has {}", names.join(", ")) }
}
