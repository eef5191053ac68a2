//! Downloads from a Hub that works, and from one that does not: what is returned, told, kept and asked.

use crate::stage::{PATH, REPO, Stage, Told, bytes, file};
use frostline_hub::loopback::{Fault, LoopbackHub, Times};
use frostline_hub::{Expected, Hub, HubError, HubFile, RepoKind, Silent};

#[test]
fn a_file_comes_verified_into_the_shared_layout() {
    let stage = Stage::new();
    let told = Told::default();
    let fetched = stage.hub().fetch(&file(), &told).unwrap();
    let commit = stage.server.commit(RepoKind::Dataset, REPO);
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes());
    assert_eq!((fetched.sha256.as_str(), fetched.size), (stage.sha256.as_str(), 100_003));
    assert_eq!((fetched.repo.as_str(), fetched.file.as_str()), (REPO, PATH));
    assert_eq!(fetched.revision, commit);
    assert_eq!(
        stage.shared_files(),
        [
            format!("datasets--frost--line/blobs/{}", stage.sha256),
            "datasets--frost--line/refs/main".to_owned(),
            format!("datasets--frost--line/snapshots/{commit}/{PATH}"),
        ]
    );
    let lines = told.lines();
    assert_eq!(lines[0], format!("begin {REPO}/{PATH} Some(100003)"));
    assert_eq!(lines[lines.len() - 2..], ["advance 100003", "end"]);
    assert!(
        !stage
            .cache
            .path()
            .join(".frostline/staging/datasets--frost--line")
            .read_dir()
            .unwrap()
            .any(|_| true)
    );
}

#[test]
fn a_renamed_repository_is_found_under_its_old_name() {
    let stage = Stage::new();
    stage.server.rename(RepoKind::Dataset, REPO, "frost/other");
    let fetched = stage.hub().fetch(&file(), &Silent).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), bytes());
    assert_eq!(fetched.revision, stage.server.commit(RepoKind::Dataset, "frost/other"));
    assert_eq!(stage.hub().list(RepoKind::Dataset, REPO, None).unwrap().files.len(), 1);
    // Names that lead to each other are followed for a while, and no longer.
    stage.server.rename(RepoKind::Dataset, "frost/other", REPO);
    let cache = tempfile::tempdir().unwrap();
    let error = Hub::new(stage.server.options(cache.path())).and_then(|hub| hub.fetch(&file(), &Silent));
    assert!(error.unwrap_err().to_string().contains("sends on and on"));
}

#[test]
fn a_small_file_is_held_against_its_git_hash() {
    let stage = Stage::new();
    stage.server.add_git_file(RepoKind::Dataset, REPO, "README.md", "# Frost\n");
    stage.server.add_git_file(RepoKind::Dataset, REPO, "empty.txt", "");
    for (path, size) in [("README.md", 8), ("empty.txt", 0)] {
        let fetched = stage.hub().fetch(&HubFile { path: path.into(), ..file() }, &Silent).unwrap();
        assert_eq!(fetched.size, size);
    }
    stage.server.fail(RepoKind::Dataset, REPO, "LICENSE", Fault::WrongBody, Times::Always);
    stage.server.add_git_file(RepoKind::Dataset, REPO, "LICENSE", "MIT\n");
    let error = stage.hub().fetch(&HubFile { path: "LICENSE".into(), ..file() }, &Silent).unwrap_err();
    assert!(error.to_string().contains("(git sha1 "), "{error}");
}

#[test]
fn a_wrong_body_of_the_right_size_is_fetched_again_once_and_never_kept() {
    let stage = Stage::new();
    stage.fail(Fault::WrongBody, Times::Next(1));
    let told = Told::default();
    assert_eq!(stage.hub().fetch(&file(), &told).unwrap().sha256, stage.sha256);
    assert_eq!(stage.downloads(), 2);
    assert!(told.lines().iter().any(|line| line.contains("wrong content; fetching it again")));

    let stage = Stage::new();
    stage.fail(Fault::WrongBody, Times::Always);
    let message = stage.fetch().unwrap_err().to_string();
    assert!(message.contains("came with the wrong content (sha256 "), "{message}");
    assert!(message.contains(", 2 times") && message.contains(PATH), "{message}");
    assert_eq!(stage.downloads(), 2);
    assert!(stage.shared_files().is_empty(), "{:?}", stage.shared_files());
    stage.server.heal();
    stage.fetch().unwrap();
}

#[test]
fn a_cut_body_is_tried_again_and_never_kept() {
    let stage = Stage::new();
    stage.fail(Fault::CutBody, Times::Next(2));
    assert_eq!(stage.fetch().unwrap().sha256, stage.sha256);
    assert_eq!(stage.downloads(), 3);

    let stage = Stage::new();
    stage.fail(Fault::CutBody, Times::Always);
    let message = stage.fetch().unwrap_err().to_string();
    assert!(message.contains("broke off") && message.contains("3 tries"), "{message}");
    assert!(message.contains(&stage.server.url()), "{message}");
    assert!(stage.shared_files().is_empty());
    stage.server.heal();
    stage.fetch().unwrap();
}

#[test]
fn an_unavailable_hub_is_asked_again_a_bounded_number_of_times() {
    for fault in [Fault::Unavailable, Fault::UnavailableBody] {
        let stage = Stage::new();
        stage.fail(fault, Times::Next(2));
        assert_eq!(stage.fetch().unwrap().sha256, stage.sha256, "{fault:?}");

        let stage = Stage::new();
        stage.fail(fault, Times::Always);
        let error = stage.fetch().unwrap_err();
        assert!(matches!(error, HubError::Unavailable { status: 503, attempts: 3, .. }), "{fault:?} {error}");
        assert!(error.to_string().ends_with("3 times in a row; try again later"), "{error}");
        assert!(stage.shared_files().is_empty(), "{fault:?}");
    }
    let stage = Stage::new();
    stage.server.fail_repo(RepoKind::Dataset, REPO, Fault::Unavailable, Times::Next(2));
    stage.fetch().unwrap();
}

#[test]
fn a_silent_hub_does_not_hang_the_caller() {
    let stage = Stage::new();
    stage.fail(Fault::Stall, Times::Always);
    let error = stage.fetch().unwrap_err();
    assert!(matches!(error, HubError::Stalled { attempts: 3, .. }), "{error}");
    assert!(stage.shared_files().is_empty());
    stage.fail(Fault::Stall, Times::Next(1));
    stage.fetch().unwrap();
}

#[test]
fn what_is_missing_is_named() {
    let stage = Stage::new();
    stage.server.add_git_file(RepoKind::Dataset, REPO, "README.md", "# Frost\n");
    let commit = stage.server.commit(RepoKind::Dataset, REPO);
    let message = |file: HubFile| stage.hub().fetch(&file, &Silent).unwrap_err().to_string();

    let no_repo = message(HubFile { repo: "frost/lime".into(), ..file() });
    assert!(no_repo.contains("has no dataset frost/lime;") && no_repo.contains("HF_TOKEN"), "{no_repo}");
    let no_repo = message(HubFile { kind: RepoKind::Model, revision: Some("1".repeat(40)), ..file() });
    assert!(no_repo.contains("has no model frost/line;"), "{no_repo}");
    for revision in ["v2", &"1".repeat(40)] {
        let no_revision = message(HubFile { revision: Some(revision.into()), ..file() });
        assert!(no_revision.contains(&format!("has no revision \"{revision}\"")), "{no_revision}");
    }
    for revision in [None, Some(commit.clone())] {
        let no_file = message(HubFile { revision, path: "train.parquet".into(), ..file() });
        let where_ = format!("dataset frost/line@{commit} on http://127.0.0.1");
        assert!(no_file.starts_with(&where_), "{no_file}");
        let held = format!("has no file \"train.parquet\"; it has README.md, {PATH}");
        assert!(no_file.ends_with(&held), "{no_file}");
    }
}

#[test]
fn a_gated_file_says_so_and_is_asked_for_once() {
    let stage = Stage::new();
    stage.fail(Fault::Refused, Times::Always);
    let message = stage.fetch().unwrap_err().to_string();
    assert!(
        message.contains("refuses dataset frost/line@") && message.contains("(403: Access to"),
        "{message}"
    );
    assert!(message.contains("/datasets/frost/line") && message.contains("HF_TOKEN"), "{message}");
    assert_eq!(stage.downloads(), 0);
}

#[test]
fn a_pin_is_checked_and_saves_the_question() {
    let stage = Stage::new();
    let pinned =
        |sha256: &str, size| HubFile { expected: Some(Expected { sha256: sha256.into(), size }), ..file() };
    stage.hub().fetch(&pinned(&stage.sha256.to_uppercase(), Some(100_003)), &Silent).unwrap();
    let asked = stage.server.requests();
    stage.hub().fetch(&pinned(&stage.sha256, None), &Silent).unwrap();
    assert_eq!(stage.server.requests(), asked);

    for (sha256, size) in [("7".repeat(64), None), (stage.sha256.clone(), Some(5))] {
        for stage in [&stage, &Stage::new()] {
            let before = stage.downloads();
            let error = stage.hub().fetch(&pinned(&sha256, size), &Silent).unwrap_err();
            assert!(matches!(error, HubError::NotThePinned { .. }), "{error}");
            assert!(error.to_string().contains(&format!("the pin says {sha256}")), "{error}");
            assert!(stage.downloads() <= before + 1, "an undamaged file was fetched again");
        }
    }
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let stage = Stage::new();
    let mut options = stage.server.options(stage.cache.path());
    options.endpoint = "http://127.0.0.1:1".into();
    let hub = Hub::new(options).unwrap().with_patience(LoopbackHub::patience());
    let message = hub.fetch(&file(), &Silent).unwrap_err().to_string();
    assert!(message.starts_with("cannot reach http://127.0.0.1:1 for dataset frost/line@main"), "{message}");
    assert!(message.contains("3 tries") && message.contains("--offline"), "{message}");
    let mut options = stage.server.options(stage.cache.path());
    options.endpoint = "hub.example".into();
    let message = Hub::new(options).unwrap_err().to_string();
    assert!(message.contains("hub.example") && message.contains("HF_ENDPOINT"), "{message}");
}

#[test]
fn the_same_bytes_under_a_new_commit_are_not_fetched_again() {
    let stage = Stage::new();
    let first = stage.fetch().unwrap();
    stage.server.add_git_file(RepoKind::Dataset, REPO, "README.md", "# Frost\n");
    let second = stage.fetch().unwrap();
    assert_ne!(first.revision, second.revision);
    assert_eq!(first.sha256, second.sha256);
    assert_eq!(stage.downloads(), if cfg!(unix) { 1 } else { 2 });
    assert!(first.path.is_file() && second.path.is_file());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let stage = Stage::new();
    let cache = stage.cache.path().join("file");
    std::fs::write(&cache, "no folder").unwrap();
    let hub = Hub::new(stage.server.options(&cache)).unwrap();
    let message = hub.fetch(&file(), &Silent).unwrap_err().to_string();
    assert!(message.starts_with("cannot make ") && message.contains("file/.frostline/locks"), "{message}");
}
