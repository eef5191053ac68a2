//! The Hub's answers, watched.
//!
//! The main type is [`Client`]. `hf-hub` downloads; it sets no time-outs and says of an error no more than its status, so
//! a download runs under a watch that gives up when nothing moves any more, and everything else is asked here, with the
//! same HTTP client (`ureq`). What `hf-hub` stores is not believed (see [`crate::download`]). This module knows addresses
//! and answers, and never looks at the shared cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, Uri, header};
use ureq::{Agent, Body};

use crate::names::{ListedFile, RepoKind, check_repo, encoded, is_commit};
use crate::progress::{Beat, Pulse};
use crate::refusal::{Answer, Asked, failed, of_download};
use crate::{HubError, HubOptions, Patience, Progress};

const TICK: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The pages of a listing that are read: a million files.
const PAGES: usize = 1000;

/// How often a repository may have been renamed.
const RENAMED: usize = 5;

/// The bytes of an answer about a repository that are read.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Talks to one Hub.
pub(crate) struct Client {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
}

/// What the Hub says of a file before it sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// The name of its bytes: of a large file its sha256, of a small one its git hash.
    pub(crate) etag: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let endpoint = options.endpoint.trim_end_matches('/').to_owned();
        let address: Option<Uri> = endpoint.parse().ok();
        if !address.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
            let reason = "an address begins with https:// or http://".to_owned();
            return Err(HubError::Setup { endpoint, reason });
        }
        let agent = concat!("frostline/", env!("CARGO_PKG_VERSION"));
        // Redirects to a file's store are not followed: what the Hub itself says of the file is in the answer before.
        let config = Agent::config_builder().user_agent(agent).http_status_as_error(false).max_redirects(0);
        let token = options.token.clone().or_else(|| Cache::new(options.cache.clone()).token());
        let token = token.filter(|token| !token.is_empty());
        Ok(Self { endpoint, token, agent: config.max_redirects_will_error(false).build().into() })
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
        #[derive(Deserialize)]
        struct Info {
            sha: Option<String>,
        }
        let address = self.about(asked, "revision")?;
        let info: Info = read_json(&mut self.get(&address, None, asked, patience)?, asked)?;
        let commit = info.sha.map(|sha| sha.to_ascii_lowercase()).filter(|sha| is_commit(sha));
        commit.ok_or_else(|| asked.strange("it names no commit".to_owned()))
    }

    /// The files of a repository at a commit, in the order of their paths.
    pub(crate) fn tree(&self, asked: &Asked<'_>, patience: &Patience) -> Result<Vec<ListedFile>, HubError> {
        #[derive(Deserialize)]
        struct Entry {
            r#type: String,
            path: String,
            #[serde(default)]
            size: u64,
        }
        let mut files = Vec::new();
        let mut next = Some(format!("{}?recursive=true", self.about(asked, "tree")?));
        for _ in 0..PAGES {
            let Some(address) = next.take() else { break };
            let mut response = self.get(&address, None, asked, patience)?;
            let entries: Vec<Entry> = read_json(&mut response, asked)?;
            let listed = entries.into_iter().filter(|entry| entry.r#type == "file");
            files.extend(listed.map(|Entry { path, size, .. }| ListedFile { path, size }));
            next = text_of(&response, header::LINK.as_str()).and_then(next_page);
            // A token is for this Hub alone.
            if next.as_ref().is_some_and(|next| !next.starts_with(&format!("{}/", self.endpoint))) {
                return Err(asked.strange("its list of files goes on elsewhere".to_owned()));
            }
        }
        if next.is_some() {
            return Err(asked.strange("its list of files has no end".to_owned()));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Asks for the first byte of a file, to learn how the Hub answers and what it promises.
    pub(crate) fn probe(&self, asked: &Asked<'_>, patience: &Patience) -> Result<Promise, HubError> {
        let mut response = self.get(&self.file(asked)?, Some("bytes=0-0"), asked, patience)?;
        let etag = ["x-linked-etag", "etag"].into_iter().find_map(|name| text_of(&response, name));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        // `hf-hub` makes paths of both.
        let commit = text_of(&response, "x-repo-commit").is_some_and(is_commit);
        if !commit || etag.as_ref().is_none_or(|etag| etag.is_empty() || etag.contains(['/', '\\', '.'])) {
            return Err(asked.strange("it names no commit or no hash of the file".to_owned()));
        }
        if response.status().is_redirection() {
            let elsewhere =
                text_of(&response, header::LOCATION.as_str()).and_then(|place| self.absolute(place));
            let Some(place) = elsewhere else {
                return Err(asked.strange("it sends on to nowhere".to_owned()));
            };
            response = self.call(&place, Some("bytes=0-0"), false, asked, patience)?;
            refuse(&response, asked)?;
        }
        Ok(Promise { etag })
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
        let builder = ApiBuilder::from_cache(Cache::new(into.to_owned()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("frostline", env!("CARGO_PKG_VERSION"));
        let api = builder.build().map_err(|error| of_download(error, asked))?;
        let kind = match asked.kind {
            RepoKind::Model => RepoType::Model,
            RepoKind::Dataset => RepoType::Dataset,
        };
        let repo = api.repo(Repo::with_revision(asked.repo.to_owned(), kind, asked.revision.to_owned()));
        let path = asked.path.unwrap_or_default();
        let (pulse, name) = (Arc::new(Pulse::default()), encoded(path));
        let (told, answer) = mpsc::channel();
        let beat = Beat(Arc::clone(&pulse));
        // One that has fallen silent is left to itself: it has a folder of its own.
        thread::spawn(move || told.send(repo.download_with_progress(&name, beat)));
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
        let (mut seen, mut quiet) = (0, Duration::ZERO);
        let answer = loop {
            match answer.recv_timeout(TICK) {
                Ok(answer) => break Ok(answer.map_err(|error| of_download(error, asked))),
                Err(RecvTimeoutError::Disconnected) => {
                    break Ok(Err(asked.strange("its answer cannot be made sense of".to_owned())));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            report();
            quiet = if pulse.events() == seen { quiet + TICK } else { Duration::ZERO };
            seen = pulse.events();
            if quiet >= patience.stall {
                break Err(asked.stalled(patience.stall));
            }
        };
        report();
        if begun {
            progress.end();
        }
        Ok((answer??, pulse.total()))
    }

    /// Where the Hub tells of a repository at a revision.
    fn about(&self, asked: &Asked<'_>, what: &str) -> Result<String, HubError> {
        check_repo(asked.repo)?;
        let (kind, repo) = (asked.kind.plural(), asked.repo);
        Ok(format!("{}/api/{kind}/{repo}/{what}/{}", self.endpoint, encoded_segment(asked.revision)))
    }

    /// Where it gives a file.
    fn file(&self, asked: &Asked<'_>) -> Result<String, HubError> {
        check_repo(asked.repo)?;
        let folder = if asked.kind == RepoKind::Dataset { "datasets/" } else { "" };
        let (repo, path) = (asked.repo, encoded(asked.path.unwrap_or_default()));
        Ok(format!("{}/{folder}{repo}/resolve/{}/{path}", self.endpoint, encoded_segment(asked.revision)))
    }

    /// An address that an answer sends on to; none where that is none.
    fn absolute(&self, place: &str) -> Option<String> {
        let whole =
            if place.starts_with('/') { format!("{}{place}", self.endpoint) } else { place.to_owned() };
        whole.parse::<Uri>().ok().filter(|uri| uri.host().is_some()).map(|_| whole)
    }

    /// An answer of the Hub that is no refusal.
    fn get(
        &self,
        address: &str,
        range: Option<&str>,
        asked: &Asked<'_>,
        patience: &Patience,
    ) -> Result<Response<Body>, HubError> {
        let mut address = address.to_owned();
        for _ in 0..RENAMED {
            let response = self.call(&address, range, true, asked, patience)?;
            refuse(&response, asked)?;
            // A repository that was renamed is sent on to on the Hub itself.
            let place = text_of(&response, header::LOCATION.as_str()).filter(|place| place.starts_with('/'));
            match place.and_then(|place| self.absolute(place)) {
                Some(next) if response.status().is_redirection() => address = next,
                _ => return Ok(response),
            }
        }
        Err(asked.strange("it sends on and on".to_owned()))
    }

    fn call(
        &self,
        address: &str,
        range: Option<&str>,
        is_hub: bool,
        asked: &Asked<'_>,
        patience: &Patience,
    ) -> Result<Response<Body>, HubError> {
        let mut request = self.agent.get(address);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        if let Some(token) = self.token.as_ref().filter(|_| is_hub) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.config().timeout_per_call(Some(patience.stall)).build();
        request.call().map_err(|error| failed(&error, asked, patience))
    }
}

/// A header's text.
fn text_of<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The error of an answer that is one.
fn refuse(response: &Response<Body>, asked: &Asked<'_>) -> Result<(), HubError> {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(());
    }
    let header = |name| text_of(response, name).map(str::to_owned);
    let wait = header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
    let answer = Answer {
        status: status.as_u16(),
        code: header("x-error-code"),
        said: header("x-error-message").unwrap_or_default(),
        wait: wait.map(Duration::from_secs),
    };
    Err(answer.means(asked))
}

fn read_json<T: DeserializeOwned>(response: &mut Response<Body>, asked: &Asked<'_>) -> Result<T, HubError> {
    let text = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
    let text = text.map_err(|error| asked.broken_off(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| asked.strange(error.to_string()))
}

/// The address in a `Link` header that is called the next page (RFC 8288).
fn next_page(links: &str) -> Option<String> {
    let link = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    Some(link.split_once('<')?.1.split_once('>')?.0.to_owned())
}

/// A revision as one segment of an address.
fn encoded_segment(revision: &str) -> String {
    encoded(revision).replace('/', "%2F")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        let links = "<https://h/a?cursor=1>; rel=\"prev\", <https://h/a?cursor=2>; rel=\"next\"";
        assert_eq!(next_page(links).unwrap(), "https://h/a?cursor=2");
        assert_eq!(next_page("<https://h/a>; rel=\"first\""), None);
    }

    #[test]
    fn names_are_encoded_for_addresses() {
        assert_eq!(encoded_segment("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encoded("a b/ü#?%.png"), "a%20b/%C3%BC%23%3F%25.png");
    }
}
