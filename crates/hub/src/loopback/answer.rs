//! What the Hub answers to a request.
//!
//! The main function is [`answer`]. Addresses, headers and error codes are those that the Hub was seen to use;
//! `X-Xet-Hash` is left out, so that clients use plain HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::http::{Ending, Request, Response};
use super::shelf::{Files, Shelf, Stored};
use super::{Fault, Shared};
use crate::names::{RepoKind, encoded};

/// A file by repository, revision and path.
struct Wanted<'a> {
    kind: RepoKind,
    repo: String,
    revision: &'a str,
    path: String,
}

/// Answers one request.
pub(super) fn answer(shared: &Shared, address: SocketAddr, request: &Request) -> Response {
    let mut shelf = shared.shelf();
    shelf.requests += 1;
    let parts: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    if let Some(place) = sent_on(&shelf, &parts) {
        return Response::new(307, "").header("Location", place);
    }
    match *parts.as_slice() {
        ["storage", kind, owner, name, revision, ref path @ ..] => {
            let kind = if kind == "models" { RepoKind::Model } else { RepoKind::Dataset };
            let wanted = Wanted { kind, repo: format!("{owner}/{name}"), revision, path: path.join("/") };
            let file =
                shelf.revision(kind, &wanted.repo, revision).and_then(|(_, files)| files.get(&wanted.path));
            let Some(file) = file.cloned() else { return missing("EntryNotFound", "Entry not found") };
            bytes(&mut shelf, request, &wanted, &file)
        }
        ["api", kind @ ("models" | "datasets"), owner, name, ref rest @ ..] => {
            let kind = if kind == "models" { RepoKind::Model } else { RepoKind::Dataset };
            api(&mut shelf, address, kind, &format!("{owner}/{name}"), rest, &request.query)
        }
        ["datasets", owner, name, "resolve", revision, ref path @ ..] => {
            let (kind, repo) = (RepoKind::Dataset, format!("{owner}/{name}"));
            resolve(&mut shelf, address, request, &Wanted { kind, repo, revision, path: path.join("/") })
        }
        [owner, name, "resolve", revision, ref path @ ..] => {
            let (kind, repo) = (RepoKind::Model, format!("{owner}/{name}"));
            resolve(&mut shelf, address, request, &Wanted { kind, repo, revision, path: path.join("/") })
        }
        _ => Response::new(404, "no such address"),
    }
}

/// Where a request for a repository that was renamed is sent on to, on this Hub.
fn sent_on(shelf: &Shelf, parts: &[&str]) -> Option<String> {
    let before = match parts {
        ["storage", ..] => return None,
        ["api", ..] => 2,
        ["datasets", ..] => 1,
        _ => 0,
    };
    let (prefix, rest) = parts.split_at_checked(before)?;
    let [owner, name, rest @ ..] = rest else { return None };
    let kind = if prefix.contains(&"datasets") { RepoKind::Dataset } else { RepoKind::Model };
    let new = shelf.new_name(kind, &format!("{owner}/{name}"))?;
    let parts = prefix.iter().copied().chain([new]).chain(rest.iter().copied());
    Some(format!("/{}", encoded(&parts.collect::<Vec<_>>().join("/"))))
}

/// The first answer about a file: what it is, and where its bytes are.
fn resolve(shelf: &mut Shelf, address: SocketAddr, request: &Request, wanted: &Wanted<'_>) -> Response {
    let Wanted { kind, ref repo, revision, ref path } = *wanted;
    if !shelf.has(kind, repo) {
        return hidden();
    }
    let touches = [Fault::NotFound, Fault::Refused, Fault::Unavailable];
    if let Some(fault) = shelf.fault(kind, repo, path, &touches) {
        return misbehave(fault, "EntryNotFound");
    }
    let Some((commit, files)) = shelf.revision(kind, repo, revision) else {
        return missing("RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    let commit = commit.to_owned();
    let Some(file) = files.get(path).cloned() else {
        return missing("EntryNotFound", "Entry not found").header("X-Repo-Commit", commit);
    };
    let etag = format!("\"{}\"", file.etag());
    if file.lfs {
        let (plural, path) = (kind.plural(), encoded(path));
        let place = format!("http://{address}/storage/{plural}/{repo}/{commit}/{path}");
        Response::new(302, "")
            .header("X-Repo-Commit", commit)
            .header("X-Linked-ETag", etag)
            .header("X-Linked-Size", file.bytes.len().to_string())
            .header("Location", place)
    } else {
        bytes(shelf, request, wanted, &file).header("X-Repo-Commit", commit).header("ETag", etag)
    }
}

/// The bytes of a file, or what a fault makes of them.
fn bytes(shelf: &mut Shelf, request: &Request, wanted: &Wanted<'_>, file: &Stored) -> Response {
    let Wanted { kind, ref repo, ref path, .. } = *wanted;
    let mut response = Response::new(200, "");
    response.body = Arc::clone(&file.bytes);
    if request.method == "HEAD" {
        return response;
    }
    if shelf.fault(kind, repo, path, &[Fault::UnavailableBody]).is_some() {
        return misbehave(Fault::UnavailableBody, "EntryNotFound");
    }
    // A few bytes are a look; without an end, they are the download.
    if let Some((first, last)) = request.range.filter(|(_, last)| *last != usize::MAX) {
        let end = last.saturating_add(1).min(file.bytes.len());
        let Some(part) = file.bytes.get(first..end) else { return Response::new(416, "") };
        let about = format!("bytes {first}-{}/{}", end.saturating_sub(1), file.bytes.len());
        return Response::new(206, part).header("Content-Range", about);
    }
    if let Some((first, _)) = request.range {
        if first > 0 {
            let Some(part) = file.bytes.get(first..) else { return Response::new(416, "") };
            response.body = Arc::new(part.to_vec());
        }
        response.status = 206;
        let about = format!("bytes {first}-{}/{}", file.bytes.len().saturating_sub(1), file.bytes.len());
        response = response.header("Content-Range", about);
    }
    shelf.count(kind, repo, path);
    match shelf.fault(kind, repo, path, &[Fault::WrongBody, Fault::CutBody, Fault::Stall]) {
        Some(Fault::WrongBody) => response.body = Arc::new(response.body.iter().map(|byte| !byte).collect()),
        Some(Fault::CutBody) => response.ending = Ending::Cut,
        Some(Fault::Stall) => response.ending = Ending::Stall,
        _ => {}
    }
    response
}

/// What is asked about a repository: its commit, or its files.
fn api(
    shelf: &mut Shelf,
    address: SocketAddr,
    kind: RepoKind,
    repo: &str,
    rest: &[&str],
    query: &str,
) -> Response {
    if !shelf.has(kind, repo) {
        return hidden();
    }
    if let Some(fault) = shelf.fault(kind, repo, "", &[Fault::NotFound, Fault::Refused, Fault::Unavailable]) {
        return misbehave(fault, "RepoNotFound");
    }
    let (what, revision) = match *rest {
        [] => ("revision", "main"),
        [what @ ("revision" | "tree"), revision, ..] => (what, revision),
        _ => return Response::new(404, "no such address"),
    };
    let Some((commit, files)) = shelf.revision(kind, repo, revision) else {
        return missing("RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    if what != "tree" {
        return Response::new(200, about(repo, commit, files).to_string())
            .header("Content-Type", "application/json")
            .header("X-Repo-Commit", commit);
    }
    let first = query.split('&').find_map(|pair| pair.strip_prefix("cursor=")?.parse().ok()).unwrap_or(0);
    let mut response = Response::new(200, tree(files, first).to_string())
        .header("Content-Type", "application/json")
        .header("X-Repo-Commit", commit);
    if first + PAGE < files.len() {
        let here = format!("http://{address}/api/{}/{repo}/tree/{revision}", kind.plural());
        let link = format!("<{here}?recursive=true&cursor={}>; rel=\"next\"", first + PAGE);
        response = response.header("Link", link);
    }
    response
}

/// Files that are listed at a time; the Hub lists a thousand.
const PAGE: usize = 50;

fn tree(files: &Files, first: usize) -> Value {
    let entry = |(path, file): (&String, &Stored)| {
        let mut entry = json!({
            "type": "file", "path": path, "size": file.bytes.len(), "oid": file.git_sha1,
        });
        if file.lfs {
            entry["lfs"] = json!({ "oid": file.sha256, "size": file.bytes.len(), "pointerSize": 134 });
        }
        entry
    };
    files.iter().skip(first).take(PAGE).map(entry).collect()
}

fn about(repo: &str, commit: &str, files: &Files) -> Value {
    let siblings: Vec<Value> = files.keys().map(|path| json!({ "rfilename": path })).collect();
    json!({
        "_id": &commit[..24], "id": repo, "sha": commit, "private": false, "gated": false, "disabled": false,
        "downloads": 0, "likes": 0, "tags": [], "siblings": siblings,
    })
}

fn misbehave(fault: Fault, code: &'static str) -> Response {
    match fault {
        Fault::NotFound => missing(code, "Not found"),
        Fault::Refused => coded(403, "GatedRepo", "Access to this repository is restricted"),
        _ => Response::new(503, "<html><body>Service unavailable</body></html>")
            .header("Content-Type", "text/html"),
    }
}

/// The Hub does not tell those without a token that a repository is missing.
fn hidden() -> Response {
    coded(401, "RepoNotFound", "Repository not found")
}

fn missing(code: &'static str, text: &str) -> Response {
    coded(404, code, text)
}

fn coded(status: u16, code: &'static str, text: &str) -> Response {
    Response::new(status, json!({ "error": text }).to_string())
        .header("X-Error-Code", code)
        .header("X-Error-Message", text)
        .header("Content-Type", "application/json")
}
