//! Files whose commit and hash nobody has written down: [`Hub::fetch_as_first`] does so on their first use, and holds every later
//! one to it.
//!
//! A branch moves. Without a pin, the weights of a sweep would be others after the repository has changed, and nothing would say so. The record
//! lies in our corner of the cache; who wants the branch as it is now removes it, or names a revision.

use serde::{Deserialize, Serialize};

use crate::cache::{RepoCache, key};
use crate::names::{Expected, Fetched, HubFile};
use crate::{Hub, HubError, Progress, record};

/// What a file was when it was first used.
#[derive(Debug, Serialize, Deserialize)]
struct FirstUse {
    commit: String,
    sha256: String,
    size: u64,
}

impl Hub {
    /// [`Hub::fetch`] of what the file was when it was first fetched so into this cache: the same commit, and the same bytes. The
    /// first time, or where the file has a pin or a revision of its own, there is no difference.
    ///
    /// # Errors
    /// As [`Hub::fetch`]; [`HubError::NotThePinned`] where the commit now holds another file; [`HubError::Disk`] where the first use
    /// cannot be written down.
    pub fn fetch_as_first(&self, file: &HubFile, progress: &dyn Progress) -> Result<Fetched, HubError> {
        if file.expected.is_some() || file.revision.is_some() {
            return self.fetch(file, progress);
        }
        file.check()?;
        let cache = RepoCache::new(&self.options().cache, file.kind, &file.repo);
        let place = cache.own("first-uses", &key(&[&file.path]));
        if let Some(FirstUse { commit, sha256, size }) = record::read(&place) {
            let expected = Some(Expected { sha256, size: Some(size) });
            return self.fetch(&HubFile { revision: Some(commit), expected, ..file.clone() }, progress);
        }
        let fetched = self.fetch(file, progress)?;
        let Fetched { revision, sha256, size, .. } = &fetched;
        let first = FirstUse { commit: revision.clone(), sha256: sha256.clone(), size: *size };
        record::write(&place, &first).map_err(HubError::disk("write", &place))?;
        Ok(fetched)
    }
}
