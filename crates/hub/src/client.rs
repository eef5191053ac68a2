//! The `hf-hub` client, watched.
//!
//! The main type is [`Client`]. `hf-hub` sets no time-outs, so every call runs under a watch that gives up when
//! nothing moves any more; it stores whatever comes, so nothing that it returns is believed here (see
//! [`crate::download`]). This module knows addresses and answers, and never looks at the shared cache.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFRepository, HFResult, RepoType, RepoTypeDataset, RepoTypeModel};

use crate::names::{ListedFile, RepoKind, check_repo};
use crate::progress::Pulse;
use crate::refusal::{Asked, classify};
use crate::{HubError, HubOptions, Patience, Progress};

const TICK: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Talks to one Hub.
pub(crate) struct Client {
    endpoint: String,
    token: Option<String>,
    runtime: tokio::runtime::Runtime,
    api: HFClient,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let endpoint = options.endpoint.trim_end_matches('/').to_owned();
        let setup = |reason: String| HubError::Setup { endpoint: endpoint.clone(), reason };
        // As in hf-hub's own blocking client: hf-xet brings threads of its own to such a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| setup(error.to_string()))?;
        let token = options.token.clone().filter(|token| !token.is_empty());
        let api = build(&endpoint, token.as_deref(), &options.cache).map_err(|e| setup(e.to_string()))?;
        Ok(Self { endpoint, token, runtime, api })
    }

    /// What is asked, for messages.
    pub(crate) fn asked<'a>(
        &'a self,
        kind: RepoKind,
        repo: &'a str,
        revision: &'a str,
        path: Option<&'a str>,
    ) -> Asked<'a> {
        Asked { endpoint: &self.endpoint, kind, repo, revision, path, token: self.token.is_some() }
    }

    /// The commit that a revision means now.
    pub(crate) fn commit(&self, asked: &Asked<'_>, patience: &Patience) -> Result<String, HubError> {
        let (owner, name) = check_repo(asked.repo)?;
        let revision = asked.revision.to_owned();
        let answer: HFResult<Option<String>> = match asked.kind {
            RepoKind::Model => {
                let repo = self.api.model(owner, name);
                let call = async { repo.info().revision(revision).send().await.map(|info| info.sha) };
                self.quiet(call, asked, patience)?
            }
            RepoKind::Dataset => {
                let repo = self.api.dataset(owner, name);
                let call = async { repo.info().revision(revision).send().await.map(|info| info.sha) };
                self.quiet(call, asked, patience)?
            }
        };
        let commit = answer.map_err(|error| classify(error, asked))?.map(|sha| sha.to_ascii_lowercase());
        commit
            .filter(|sha| crate::names::is_commit(sha))
            .ok_or_else(|| asked.strange("it names no commit".to_owned()))
    }

    /// The files of a repository at a commit, in the order of their paths.
    pub(crate) fn tree(&self, asked: &Asked<'_>, patience: &Patience) -> Result<Vec<ListedFile>, HubError> {
        match asked.kind {
            RepoKind::Model => self.tree_of::<RepoTypeModel>(asked, patience),
            RepoKind::Dataset => self.tree_of::<RepoTypeDataset>(asked, patience),
        }
    }

    fn tree_of<T: RepoType>(
        &self,
        asked: &Asked<'_>,
        patience: &Patience,
    ) -> Result<Vec<ListedFile>, HubError> {
        let repo = repository::<T>(&self.api, asked)?;
        let call = async {
            let entries = repo.list_tree().revision(asked.revision).recursive(true).send()?;
            let mut entries = pin!(entries);
            let mut files = Vec::new();
            while let Some(entry) = entries.next().await {
                if let RepoTreeEntry::File { path, size, .. } = entry? {
                    files.push(ListedFile { path, size });
                }
            }
            HFResult::Ok(files)
        };
        let mut files = self.quiet(call, asked, patience)?.map_err(|error| classify(error, asked))?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Asks for the first byte of a file, only to learn how the Hub answers. Unlike a download, `hf-hub` checks the
    /// status here.
    pub(crate) fn probe(&self, asked: &Asked<'_>, patience: &Patience) -> Result<(), HubError> {
        match asked.kind {
            RepoKind::Model => self.probe_of::<RepoTypeModel>(asked, patience),
            RepoKind::Dataset => self.probe_of::<RepoTypeDataset>(asked, patience),
        }
    }

    fn probe_of<T: RepoType>(&self, asked: &Asked<'_>, patience: &Patience) -> Result<(), HubError> {
        let repo = repository::<T>(&self.api, asked)?;
        let path = asked.path.unwrap_or_default();
        let call = async {
            let call = repo.download_file_stream().filename(path).revision(asked.revision).range(0..1);
            call.send().await.map(|_unread| ())
        };
        self.quiet(call, asked, patience)?.map_err(|error| classify(error, asked))
    }

    /// Lets `hf-hub` download a file into the cache folder `into`, and returns where it says it put it, with the
    /// length that the Hub announced. Whatever lies there is unverified.
    pub(crate) fn download(
        &self,
        asked: &Asked<'_>,
        into: &Path,
        patience: &Patience,
        progress: &dyn Progress,
    ) -> Result<(PathBuf, Option<u64>), HubError> {
        match asked.kind {
            RepoKind::Model => self.download_of::<RepoTypeModel>(asked, into, patience, progress),
            RepoKind::Dataset => self.download_of::<RepoTypeDataset>(asked, into, patience, progress),
        }
    }

    fn download_of<T: RepoType>(
        &self,
        asked: &Asked<'_>,
        into: &Path,
        patience: &Patience,
        progress: &dyn Progress,
    ) -> Result<(PathBuf, Option<u64>), HubError> {
        let client = build(&self.endpoint, self.token.as_deref(), into);
        let repo = repository::<T>(&client.map_err(|error| classify(error, asked))?, asked)?;
        let path = asked.path.unwrap_or_default();
        let pulse = Arc::new(Pulse::default());
        let call = repo.download_file().filename(path).revision(asked.revision).progress(pulse.clone());
        let mut begun = false;
        let mut report = || {
            if !begun && pulse.started() {
                progress.begin(&format!("{}/{path}", asked.repo), pulse.total());
                begun = true;
            }
            if begun {
                progress.advance(pulse.bytes());
            }
        };
        let answer = self.watched(call.send(), &pulse, patience, &mut report);
        report();
        if begun {
            progress.end();
        }
        let answer = answer.ok_or_else(|| asked.stalled(patience.stall))?;
        Ok((answer.map_err(|error| classify(error, asked))?, pulse.total()))
    }

    /// Runs a short call, of which nothing can be seen until it is over.
    fn quiet<T>(
        &self,
        call: impl Future<Output = T>,
        asked: &Asked<'_>,
        patience: &Patience,
    ) -> Result<T, HubError> {
        let answer = self.watched(call, &Pulse::default(), patience, &mut || {});
        answer.ok_or_else(|| asked.stalled(patience.stall))
    }

    /// Runs a call until it is over, or until `pulse` has stood still for too long.
    fn watched<T>(
        &self,
        call: impl Future<Output = T>,
        pulse: &Pulse,
        patience: &Patience,
        report: &mut dyn FnMut(),
    ) -> Option<T> {
        self.runtime.block_on(async {
            let mut call = pin!(call);
            let (mut seen, mut quiet) = (0, Duration::ZERO);
            loop {
                if let Ok(value) = tokio::time::timeout(TICK, &mut call).await {
                    return Some(value);
                }
                report();
                quiet = if pulse.events() == seen { quiet + TICK } else { Duration::ZERO };
                seen = pulse.events();
                if quiet >= patience.stall {
                    return None;
                }
            }
        })
    }
}

/// A client without retries of its own: they would neither be seen nor spare the caller any.
fn build(endpoint: &str, token: Option<&str>, cache: &Path) -> HFResult<HFClient> {
    let agent = concat!("frostline/", env!("CARGO_PKG_VERSION"), "; hf-hub");
    let builder =
        HFClient::builder().endpoint(endpoint).cache_dir(cache).user_agent(agent).retry_max_attempts(0);
    match token {
        Some(token) => builder.token(token).build(),
        None => builder.build(),
    }
}

fn repository<T: RepoType>(client: &HFClient, asked: &Asked<'_>) -> Result<HFRepository<T>, HubError> {
    let (owner, name) = check_repo(asked.repo)?;
    Ok(client.repository(T::default(), owner, name))
}

/// Calls `ask` until it succeeds, fails for good, or has been asked often enough. Waits longer each time.
pub(crate) fn patiently<T>(
    patience: &Patience,
    progress: &dyn Progress,
    mut ask: impl FnMut() -> Result<T, HubError>,
) -> Result<T, HubError> {
    let mut wait = patience.backoff;
    for tries in 1.. {
        match ask() {
            Err(error) if error.is_passing() && tries < patience.attempts => {
                let asked_for = match &error {
                    HubError::Unavailable { wait, .. } => wait.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                let pause = wait.max(asked_for).min(LONGEST_WAIT);
                progress.note(&format!("{}; trying again in {:.1} s", error.cause(), pause.as_secs_f32()));
                thread::sleep(pause);
                wait *= 2;
            }
            other => return other.map_err(|error| error.after(tries)),
        }
    }
    unreachable!("the count of tries has no end")
}
