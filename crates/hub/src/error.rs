//! What can go wrong between asking for a file and having it verified.
//!
//! The main type is [`HubError`]. Each message says what happened, where, and what to do; nothing here decides
//! whether to try again, see [`crate::client`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a file or a listing could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A name that cannot be one, or that would leave the cache.
    #[error("bad {what} {value:?}: {why}")]
    BadName {
        /// Which name.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What it should be.
        why: &'static str,
    },
    /// The client could not be set up.
    #[error("cannot talk to {endpoint}: {reason}; check HF_ENDPOINT")]
    Setup {
        /// The Hub's address.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// 404, or a 401 that hides a private repository.
    #[error("{endpoint} has no {kind} {repo}; check the name, or set HF_TOKEN if the repository is private")]
    RepoNotFound {
        /// The Hub's address.
        endpoint: String,
        /// `model` or `dataset`.
        kind: &'static str,
        /// `owner/name`.
        repo: String,
    },
    /// The repository is there, the revision is not.
    #[error(
        "{kind} {repo} on {endpoint} has no revision {revision:?}; give a branch, a tag or a commit after '@', or none"
    )]
    RevisionNotFound {
        /// The Hub's address.
        endpoint: String,
        /// `model` or `dataset`.
        kind: &'static str,
        /// `owner/name`.
        repo: String,
        /// The revision asked for.
        revision: String,
    },
    /// Repository and revision are there, the file is not.
    #[error("{repository} on {endpoint} has no file {path:?}; {held}")]
    FileNotFound {
        /// The Hub's address.
        endpoint: String,
        /// Kind, name and commit of the repository.
        repository: String,
        /// Path inside the repository.
        path: String,
        /// What it has instead.
        held: String,
    },
    /// 401 or 403: gated, private, or a bad token.
    #[error("{endpoint} refuses {subject} ({status}{message}); {advice}")]
    Refused {
        /// The Hub's address.
        endpoint: String,
        /// Repository or file.
        subject: String,
        /// 401 or 403.
        status: u16,
        /// What the Hub said, with a leading `: `, or nothing.
        message: String,
        /// What to do.
        advice: String,
    },
    /// 429, 5xx: the Hub answers, but not now.
    #[error(
        "{endpoint} did not deliver {subject}: it answers {status}{message}, {attempts} times in a row; try again later"
    )]
    Unavailable {
        /// The Hub's address.
        endpoint: String,
        /// Repository or file.
        subject: String,
        /// The last HTTP status.
        status: u16,
        /// What the Hub said, with a leading `: `, or nothing.
        message: String,
        /// How long the Hub asks to wait.
        wait: Option<Duration>,
        /// How often it was asked.
        attempts: u32,
    },
    /// No connection.
    #[error(
        "cannot reach {endpoint} for {subject} ({reason}, {attempts} tries); check the network or HF_ENDPOINT, or use \
         --offline with what the cache holds"
    )]
    Unreachable {
        /// The Hub's address.
        endpoint: String,
        /// Repository or file.
        subject: String,
        /// The transport's complaint.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// Nothing moved for too long.
    #[error(
        "{endpoint} fell silent for {seconds} s while delivering {subject} ({attempts} tries); try again later"
    )]
    Stalled {
        /// The Hub's address.
        endpoint: String,
        /// Repository or file.
        subject: String,
        /// The silence that was borne.
        seconds: u64,
        /// How often it was tried.
        attempts: u32,
    },
    /// The body ended before its end.
    #[error("the transfer of {subject} from {endpoint} broke off ({reason}, {attempts} tries); try again")]
    Interrupted {
        /// The Hub's address.
        endpoint: String,
        /// Repository or file.
        subject: String,
        /// The transport's complaint.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The body has another length than announced or pinned.
    #[error(
        "{subject} from {endpoint} came with {found} bytes where {wanted} were due{excerpt} ({attempts} tries); try \
         again, or look at what stands between this machine and the Hub"
    )]
    WrongSize {
        /// The Hub's address.
        endpoint: String,
        /// The file.
        subject: String,
        /// Length announced or pinned.
        wanted: u64,
        /// Length that came.
        found: u64,
        /// How the body begins if it is a short text, in brackets.
        excerpt: String,
        /// How often it was fetched.
        attempts: u32,
    },
    /// The body has another hash than announced.
    #[error(
        "{subject} from {endpoint} came with the wrong content ({wanted} was due, {found} came), {attempts} \
         times; nothing of it was kept: try again, or look at what stands between this machine and the Hub"
    )]
    WrongContent {
        /// The Hub's address.
        endpoint: String,
        /// The file.
        subject: String,
        /// The hash announced, after the name of its kind.
        wanted: String,
        /// The hash of what came.
        found: String,
        /// How often it was fetched.
        attempts: u32,
    },
    /// The repository holds, undamaged, another file than was pinned.
    #[error(
        "{subject} is not the file that was pinned: its sha256 is {found} ({size} bytes), the pin says {wanted}; pin \
         the commit that held it, or update the pin"
    )]
    NotThePinned {
        /// The file.
        subject: String,
        /// The pinned sha256.
        wanted: String,
        /// The sha256 of the file.
        found: String,
        /// The file's length in bytes.
        size: u64,
    },
    /// Neither a pin nor a hash from the Hub.
    #[error("{subject} cannot be verified: {endpoint} names no sha256 or git sha1 for it; pin a sha256")]
    Unverifiable {
        /// The Hub's address.
        endpoint: String,
        /// The file.
        subject: String,
    },
    /// An answer that makes no sense.
    #[error("{endpoint} gave a strange answer about {subject}: {reason}; check HF_ENDPOINT")]
    Strange {
        /// The Hub's address.
        endpoint: String,
        /// Repository or file.
        subject: String,
        /// What was strange.
        reason: String,
    },
    /// Offline, and the cache does not hold it.
    #[error(
        "offline, and the cache {} does not hold {subject}; run once without --offline and HF_HUB_OFFLINE to fetch it",
        cache.display()
    )]
    NotCached {
        /// File or listing.
        subject: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// Offline, and what the cache holds is damaged.
    #[error(
        "the cached {} of {subject} is damaged ({reason}); run once without --offline and HF_HUB_OFFLINE to fetch it \
         anew",
        path.display()
    )]
    DamagedCache {
        /// The file.
        subject: String,
        /// Where it lies.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process holds the file's lock for too long.
    #[error(
        "{subject} is being fetched by {holder}, which has held {} for more than {seconds} s; wait for it, or end it",
        path.display()
    )]
    Locked {
        /// The file.
        subject: String,
        /// `process 1234`, or `another process`.
        holder: String,
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The cache cannot be read or written.
    #[error("cannot {action} {}: {cause}{}", path.display(), disk_advice(cause))]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

impl HubError {
    /// A closure for `map_err` that tells what was tried, and where.
    pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HubError {
        let path = path.to_owned();
        move |cause| HubError::Disk { action, path, cause }
    }

    /// Whether the network or the Hub, rather than the request, is at fault, so that a second try may help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            HubError::Unavailable { .. }
                | HubError::Unreachable { .. }
                | HubError::Stalled { .. }
                | HubError::Interrupted { .. }
                | HubError::WrongSize { .. }
        )
    }

    /// What happened, without advice: for notes on the way, when the last word is not spoken yet.
    pub(crate) fn cause(&self) -> String {
        match self {
            HubError::Unavailable { endpoint, status, message, .. } => {
                format!("{endpoint} answers {status}{message}")
            }
            HubError::Unreachable { endpoint, reason, .. } => format!("cannot reach {endpoint} ({reason})"),
            HubError::Stalled { endpoint, .. } => format!("{endpoint} fell silent"),
            HubError::Interrupted { subject, reason, .. } => {
                format!("the transfer of {subject} broke off ({reason})")
            }
            HubError::WrongSize { subject, wanted, found, .. } => {
                format!("{subject} came with {found} bytes where {wanted} were due")
            }
            other => other.to_string(),
        }
    }

    /// Writes into the message how often it was tried.
    pub(crate) fn after(mut self, tries: u32) -> Self {
        match &mut self {
            HubError::Unavailable { attempts, .. }
            | HubError::Unreachable { attempts, .. }
            | HubError::Stalled { attempts, .. }
            | HubError::Interrupted { attempts, .. }
            | HubError::WrongSize { attempts, .. }
            | HubError::WrongContent { attempts, .. } => *attempts = tries,
            _ => {}
        }
        self
    }
}

fn disk_advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, or set HF_HUB_CACHE to a folder on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; set HF_HUB_CACHE to a folder that can be written"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = HubError::disk("write", Path::new("cache/blobs/x"))(full);
        let message = error.to_string();
        assert!(message.starts_with("cannot write cache/blobs/x: "), "{message}");
        assert!(message.ends_with("set HF_HUB_CACHE to a folder on another disk"), "{message}");
    }

    #[test]
    fn tries_are_counted_in_the_message() {
        let error = HubError::Unavailable {
            endpoint: "http://hub".into(),
            subject: "model a/b".into(),
            status: 503,
            message: String::new(),
            wait: None,
            attempts: 1,
        };
        assert!(error.is_passing());
        assert!(error.after(4).to_string().contains("it answers 503, 4 times in a row"));
    }
}
