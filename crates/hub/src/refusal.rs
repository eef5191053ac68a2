//! What a failure of a request means to a user.
//!
//! An answer that is an error is an [`Answer`]; [`failed`] and [`of_download`] are for what got none. The Hub tells its
//! reasons apart by a code in the answer's headers (`X-Error-Code`); the status alone would not do, since a missing
//! repository is a 404 for those who may see it and a 401 for all others.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use hf_hub::api::sync::ApiError;

use crate::names::RepoKind;
use crate::{HubError, Patience};

/// What was asked for when something failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) kind: RepoKind,
    pub(crate) repo: &'a str,
    pub(crate) revision: &'a str,
    /// The file, unless the repository itself was asked about.
    pub(crate) path: Option<&'a str>,
    /// Whether a token was sent.
    pub(crate) token: bool,
}

impl Asked<'_> {
    /// How messages name it.
    pub(crate) fn subject(&self) -> String {
        let (kind, repo, revision) = (self.kind.word(), self.repo, self.revision);
        let path = self.path.map(|path| format!("/{path}")).unwrap_or_default();
        format!("{kind} {repo}@{revision}{path}")
    }

    /// The error for an answer that makes no sense.
    pub(crate) fn strange(&self, reason: String) -> HubError {
        HubError::Strange { endpoint: self.endpoint.to_owned(), subject: self.subject(), reason }
    }

    /// The error for a silence of `patience`.
    pub(crate) fn stalled(&self, patience: Duration) -> HubError {
        let endpoint = self.endpoint.to_owned();
        HubError::Stalled { endpoint, subject: self.subject(), seconds: patience.as_secs(), attempts: 1 }
    }

    /// The error for a transfer that ended before its end.
    pub(crate) fn broken_off(&self, reason: String) -> HubError {
        let endpoint = self.endpoint.to_owned();
        HubError::Interrupted { endpoint, subject: self.subject(), reason, attempts: 1 }
    }

    fn repo_not_found(&self) -> HubError {
        let (endpoint, repo) = (self.endpoint.to_owned(), self.repo.to_owned());
        HubError::RepoNotFound { endpoint, kind: self.kind.word(), repo }
    }

    fn revision_not_found(&self) -> HubError {
        HubError::RevisionNotFound {
            endpoint: self.endpoint.to_owned(),
            kind: self.kind.word(),
            repo: self.repo.to_owned(),
            revision: self.revision.to_owned(),
        }
    }

    fn file_not_found(&self) -> HubError {
        HubError::FileNotFound {
            endpoint: self.endpoint.to_owned(),
            repository: Asked { path: None, ..*self }.subject(),
            path: self.path.unwrap_or_default().to_owned(),
            held: "check its name".to_owned(),
        }
    }
}

/// What matters of an answer that is an error.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) said: String,
    pub(crate) wait: Option<Duration>,
}

impl Answer {
    /// What it means.
    pub(crate) fn means(&self, asked: &Asked<'_>) -> HubError {
        by_answer(self, asked)
    }
}

/// A request that got no answer.
pub(crate) fn failed(error: &ureq::Error, asked: &Asked<'_>, patience: &Patience) -> HubError {
    match error {
        ureq::Error::Timeout(_) => asked.stalled(patience.stall),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            asked.strange(chain(error))
        }
        _ => {
            let endpoint = asked.endpoint.to_owned();
            HubError::Unreachable { endpoint, subject: asked.subject(), reason: chain(error), attempts: 1 }
        }
    }
}

/// A download that failed, though the Hub had promised the file just before.
pub(crate) fn of_download(error: ApiError, asked: &Asked<'_>) -> HubError {
    match error {
        ApiError::RequestError(error) => match *error {
            ureq::Error::StatusCode(status) => {
                Answer { status, code: None, said: String::new(), wait: None }.means(asked)
            }
            other => asked.broken_off(chain(&other)),
        },
        ApiError::IoError(cause) => match cause.kind() {
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::FileTooLarge => {
                HubError::Disk { action: "write into", path: "the cache".into(), cause }
            }
            _ => asked.broken_off(chain(&cause)),
        },
        other => asked.strange(other.to_string()),
    }
}

/// What the code in an answer's headers says is missing.
fn by_code(answer: &Answer, asked: &Asked<'_>) -> Option<HubError> {
    match answer.code.as_deref()? {
        "RepoNotFound" => Some(asked.repo_not_found()),
        "RevisionNotFound" => Some(asked.revision_not_found()),
        "EntryNotFound" if asked.path.is_some() => Some(asked.file_not_found()),
        _ => None,
    }
}

fn by_answer(answer: &Answer, asked: &Asked<'_>) -> HubError {
    if let Some(missing) = by_code(answer, asked) {
        return missing;
    }
    let (endpoint, subject, status) = (asked.endpoint.to_owned(), asked.subject(), answer.status);
    let said = shorten(&answer.said);
    let message = if said.is_empty() { said } else { format!(": {said}") };
    match status {
        401 | 403 => {
            let folder = if asked.kind == RepoKind::Dataset { "datasets/" } else { "" };
            let page = format!("{endpoint}/{folder}{}", asked.repo);
            let advice = if asked.token {
                format!(
                    "the token in HF_TOKEN may not read it: accept the terms at {page}, or use another token"
                )
            } else {
                format!(
                    "accept the terms at {page} if it is gated, and set HF_TOKEN to a token that may read it"
                )
            };
            HubError::Refused { endpoint, subject, status, message, advice }
        }
        404 if asked.path.is_some() => asked.file_not_found(),
        404 => asked.repo_not_found(),
        408 | 429 | 500..=599 => {
            HubError::Unavailable { endpoint, subject, status, message, wait: answer.wait, attempts: 1 }
        }
        _ => asked.strange(format!("status {status}{message}")),
    }
}

/// The innermost complaint, which is the one that says something.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    shorten(&inner.to_string())
}

/// One line of at most 160 characters.
pub(crate) fn shorten(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(token: bool, path: Option<&'static str>) -> Asked<'static> {
        let (endpoint, repo, revision) = ("https://hub", "a/b", "main");
        Asked { endpoint, kind: RepoKind::Dataset, repo, revision, path, token }
    }

    fn told(status: u16, code: Option<&str>, token: bool, path: Option<&'static str>) -> String {
        let said = "what the\nHub says".to_owned();
        let answer = Answer { status, code: code.map(str::to_owned), said, wait: None };
        by_answer(&answer, &asked(token, path)).to_string()
    }

    #[test]
    fn a_hidden_repository_is_a_missing_one() {
        let message = told(401, Some("RepoNotFound"), false, Some("f"));
        assert!(message.starts_with("https://hub has no dataset a/b;"), "{message}");
        assert!(message.ends_with("set HF_TOKEN if the repository is private"), "{message}");
    }

    #[test]
    fn a_gated_file_says_how_to_get_in() {
        let message = told(403, Some("GatedRepo"), false, Some("f"));
        assert!(
            message.contains("dataset a/b@main/f (403: what the Hub says); accept the terms at"),
            "{message}"
        );
        assert!(
            message.contains("https://hub/datasets/a/b") && message.contains("set HF_TOKEN"),
            "{message}"
        );
        assert!(told(403, None, true, Some("f")).contains("the token in HF_TOKEN may not read it"));
    }

    #[test]
    fn statuses_without_a_code_are_read_by_what_was_asked() {
        assert!(told(404, None, false, Some("f")).contains("has no file \"f\""));
        assert!(told(404, None, false, None).contains("has no dataset a/b"));
        assert!(told(404, Some("RevisionNotFound"), false, Some("f")).contains("has no revision \"main\""));
        assert!(told(429, None, false, None).contains("answers 429: what the Hub says"));
        assert!(told(418, None, false, None).contains("strange answer"));
    }
}
