//! A Hub on loopback that speaks the download protocol, well or badly, for the tests of all crates.
//!
//! The main type is [`LoopbackHub`]: it holds files in memory, answers `hf-hub` as the Hub does (redirects of LFS
//! files, hashes and commits in headers, reasons in error codes), misbehaves where a test tells it to
//! ([`LoopbackHub::fail`]), and counts. It listens on 127.0.0.1 alone and stores nothing.

mod answer;
mod http;
mod shelf;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use shelf::Shelf;

use crate::names::RepoKind;
use crate::{HubOptions, Patience};

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 404: the file (or the repository) is not there.
    NotFound,
    /// 403: gated.
    Refused,
    /// 503 to every request.
    Unavailable,
    /// 503, but only to the request for the bytes: what `hf-hub` takes for the file.
    UnavailableBody,
    /// All bytes inverted; the length is right.
    WrongBody,
    /// Half of the promised bytes, then the connection ends.
    CutBody,
    /// Half of the promised bytes, then silence.
    Stall,
}

/// How often a [`Fault`] happens. Every request that it touches counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Until [`LoopbackHub::heal`].
    Always,
    /// So many times.
    Next(u32),
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct LoopbackHub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the connections' threads share.
#[derive(Debug, Default)]
struct Shared {
    shelf: Mutex<Shelf>,
    ended: AtomicBool,
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl LoopbackHub {
    /// Starts a Hub without repositories on a free port.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended() {
                    break;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || {
                    let answer = |request: &http::Request| answer::answer(&shared, address, request);
                    // A client that goes away in the middle is none of the server's business.
                    let _ = http::serve(&stream, || shared.ended(), answer);
                });
            }
        });
        Ok(Self { address, shared })
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Options that lead here, online.
    pub fn options(&self, cache: impl Into<PathBuf>) -> HubOptions {
        HubOptions { endpoint: self.url(), ..HubOptions::standard(cache) }
    }

    /// A patience for tests: three tries, short pauses, 600 ms of silence, 10 s for a lock.
    pub fn patience() -> Patience {
        use std::time::Duration;
        Patience {
            attempts: 3,
            backoff: Duration::from_millis(10),
            stall: Duration::from_millis(1500),
            lock: Duration::from_secs(10),
        }
    }

    /// Puts a file into a repository, as LFS keeps it, and returns its sha256. The repository is made if need be;
    /// each file makes a new commit of `main`.
    pub fn add_file(&self, kind: RepoKind, repo: &str, path: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.shared.shelf().add(kind, repo, path, bytes.into(), true)
    }

    /// Puts a small file into a repository, as git keeps it: without a redirect, its ETag a git blob sha1.
    /// Returns its sha256.
    pub fn add_git_file(&self, kind: RepoKind, repo: &str, path: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.shared.shelf().add(kind, repo, path, bytes.into(), false)
    }

    /// The commit that `main` means now; empty if there is no such repository.
    pub fn commit(&self, kind: RepoKind, repo: &str) -> String {
        let shelf = self.shared.shelf();
        shelf.revision(kind, repo, "main").map(|(commit, _)| commit.to_owned()).unwrap_or_default()
    }

    /// Gives a repository another name, to which requests for the old one are sent on.
    pub fn rename(&self, kind: RepoKind, repo: &str, name: &str) {
        self.shared.shelf().rename(kind, repo, name);
    }

    /// Makes requests for a file fail.
    pub fn fail(&self, kind: RepoKind, repo: &str, path: &str, fault: Fault, times: Times) {
        self.shared.shelf().fail(kind, repo, path, fault, times);
    }

    /// Makes questions about a repository (its commit, its list of files) fail.
    pub fn fail_repo(&self, kind: RepoKind, repo: &str, fault: Fault, times: Times) {
        self.shared.shelf().fail(kind, repo, "", fault, times);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.shared.shelf().heal();
    }

    /// How many requests came in all.
    pub fn requests(&self) -> usize {
        self.shared.shelf().requests
    }

    /// How often the bytes of a file were asked for in whole.
    pub fn downloads(&self, kind: RepoKind, repo: &str, path: &str) -> usize {
        self.shared.shelf().downloads(kind, repo, path)
    }
}

impl Drop for LoopbackHub {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the thread that accepts; if it cannot be reached, it has ended.
        let _ = TcpStream::connect(self.address);
    }
}
