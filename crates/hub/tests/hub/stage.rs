//! What the tests of the Hub share: a server with one repository, a cache, a reporter that remembers.

use std::sync::Mutex;

use frostline_hub::loopback::{Fault, LoopbackHub, Times};
use frostline_hub::{Fetched, Hub, HubError, HubFile, Progress, RepoKind, Silent};
use tempfile::TempDir;

pub(crate) const REPO: &str = "frost/line";
pub(crate) const PATH: &str = "plain_text/train 0.parquet";

pub(crate) struct Stage {
    pub(crate) server: LoopbackHub,
    pub(crate) cache: TempDir,
    pub(crate) sha256: String,
}

/// Some bytes that no error page resembles.
pub(crate) fn bytes() -> Vec<u8> {
    (0..100_003_u32).map(|i| (i.wrapping_mul(i) >> 3) as u8).collect()
}

impl Stage {
    pub(crate) fn new() -> Self {
        let server = LoopbackHub::start().unwrap();
        let sha256 = server.add_file(RepoKind::Dataset, REPO, PATH, bytes());
        Self { server, cache: tempfile::tempdir().unwrap(), sha256 }
    }

    pub(crate) fn hub(&self) -> Hub {
        Hub::new(self.server.options(self.cache.path())).unwrap().with_patience(LoopbackHub::patience())
    }

    pub(crate) fn offline(&self) -> Hub {
        let mut options = self.server.options(self.cache.path());
        options.offline = true;
        Hub::new(options).unwrap()
    }

    pub(crate) fn fetch(&self) -> Result<Fetched, HubError> {
        self.hub().fetch(&file(), &Silent)
    }

    pub(crate) fn fail(&self, fault: Fault, times: Times) {
        self.server.fail(RepoKind::Dataset, REPO, PATH, fault, times);
    }

    pub(crate) fn downloads(&self) -> usize {
        self.server.downloads(RepoKind::Dataset, REPO, PATH)
    }

    /// Every file in the cache that is not ours, by its path in it.
    pub(crate) fn shared_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.cache.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.ends_with(".frostline") {
                    folders.push(path);
                } else if !path.is_dir() {
                    found.push(path.strip_prefix(self.cache.path()).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn file() -> HubFile {
    HubFile { kind: RepoKind::Dataset, repo: REPO.into(), revision: None, path: PATH.into(), expected: None }
}

/// Remembers all that it is told.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<String>>);

impl Told {
    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Told {
    fn begin(&self, name: &str, total: Option<u64>) {
        self.push(format!("begin {name} {total:?}"));
    }

    fn advance(&self, bytes_so_far: u64) {
        self.push(format!("advance {bytes_so_far}"));
    }

    fn end(&self) {
        self.push("end".into());
    }

    fn note(&self, message: &str) {
        self.push(format!("note {message}"));
    }
}
