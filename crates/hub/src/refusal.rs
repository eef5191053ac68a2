//! What a failure inside `hf-hub` means to a user.
//!
//! The main function is [`classify`]. The Hub tells its reasons apart by a code in the answer's headers
//! (`X-Error-Code`), which `hf-hub` hands on; the status alone would not do, since a missing repository is a 404
//! for those who may see it and a 401 for all others.

use std::error::Error;
use std::time::Duration;

use hf_hub::HFError;

use crate::HubError;
use crate::names::RepoKind;

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
struct Answer {
    status: u16,
    code: Option<String>,
    said: String,
    wait: Option<Duration>,
}

/// Reads an answer off the context in an `HFError`, whose type `hf-hub` does not export.
macro_rules! answer {
    ($context:expr, $wait:expr) => {
        Answer {
            status: $context.status.as_u16(),
            code: $context.error_code.clone(),
            said: $context.server_message.clone().unwrap_or_default(),
            wait: $wait,
        }
    };
}

/// Translates a failure.
pub(crate) fn classify(error: HFError, asked: &Asked<'_>) -> HubError {
    match error {
        HFError::RepoNotFound { context, .. } => {
            let told = context.and_then(|context| by_code(&answer!(context, None), asked));
            told.unwrap_or_else(|| asked.repo_not_found())
        }
        HFError::RevisionNotFound { context, .. } => {
            let told = context.and_then(|context| by_code(&answer!(context, None), asked));
            told.unwrap_or_else(|| asked.revision_not_found())
        }
        HFError::EntryNotFound { context, .. } => {
            let told = context.and_then(|context| by_code(&answer!(context, None), asked));
            told.unwrap_or_else(|| asked.file_not_found())
        }
        HFError::RateLimited { retry_after, context } => by_answer(&answer!(context, retry_after), asked),
        HFError::Http { context }
        | HFError::AuthRequired { context }
        | HFError::Forbidden { context }
        | HFError::Conflict { context } => by_answer(&answer!(context, None), asked),
        HFError::Request { source, .. } => {
            let reason = chain(&source);
            if source.is_decode() && names::<serde_json::Error>(&source) {
                asked.strange(reason)
            } else if source.is_decode() || source.is_body() {
                interrupted(asked, reason)
            } else if source.is_builder() || source.is_redirect() {
                asked.strange(reason)
            } else {
                let endpoint = asked.endpoint.to_owned();
                HubError::Unreachable { endpoint, subject: asked.subject(), reason, attempts: 1 }
            }
        }
        HFError::Xet { source, .. } => interrupted(asked, chain(source.as_ref())),
        HFError::Io(cause) => HubError::Disk { action: "write into", path: "the cache".into(), cause },
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

fn interrupted(asked: &Asked<'_>, reason: String) -> HubError {
    let endpoint = asked.endpoint.to_owned();
    HubError::Interrupted { endpoint, subject: asked.subject(), reason, attempts: 1 }
}

/// The innermost complaint, which is the one that says something.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    shorten(&inner.to_string())
}

fn names<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        next = error.source();
    }
    false
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
