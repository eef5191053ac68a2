//! Fetches files of a repository, verified, and says where they lie:
//!
//!     cargo run -p frostline-hub --example fetch -- ENDPOINT CACHE model|dataset OWNER/NAME [FILE ...]
//!
//! Without files, all of them. `offline` as ENDPOINT uses the cache alone.

use std::error::Error;

use frostline_hub::{Hub, HubFile, HubOptions, Progress, RepoKind};

struct Lines;

impl Progress for Lines {
    fn begin(&self, name: &str, total: Option<u64>) {
        println!("{name}: {} bytes to come", total.unwrap_or_default());
    }
    fn advance(&self, _bytes_so_far: u64) {}
    fn end(&self) {}
    fn note(&self, message: &str) {
        println!("note: {message}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, cache, kind, repo, files @ ..] = arguments.as_slice() else {
        return Err("usage: fetch ENDPOINT CACHE model|dataset OWNER/NAME [FILE ...]".into());
    };
    let kind = if kind == "dataset" { RepoKind::Dataset } else { RepoKind::Model };
    let mut options = HubOptions::standard(cache);
    options.offline = endpoint == "offline";
    options.endpoint.clone_from(endpoint);
    let hub = Hub::new(options)?;
    let listing = hub.list(kind, repo, None)?;
    println!("{repo} at {}: {} files, {}", listing.commit, listing.files.len(), listing.complete);
    let all = listing.files.iter().map(|file| file.path.clone()).collect();
    for path in if files.is_empty() { all } else { files.to_vec() } {
        let file = HubFile { kind, repo: repo.clone(), revision: None, path, expected: None };
        let fetched = hub.fetch(&file, &Lines)?;
        println!("{} {:>10} {}", fetched.sha256, fetched.size, fetched.path.display());
    }
    Ok(())
}
