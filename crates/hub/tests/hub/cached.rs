//! What the cache may be trusted with: offline work, damage, other tools' files, several fetches at once.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::stage::{PATH, REPO, Stage, Told, bytes, file};
use frostline_hub::loopback::{Fault, Times};
use frostline_hub::{Fetched, HubError, HubFile, RepoKind, Silent};

/// Changes one byte, and with it the time of change unless `kept`.
fn damage(fetched: &Fetched, kept: bool) {
    let changed = fs::metadata(&fetched.path).unwrap().modified().unwrap();
    let mut bytes = bytes();
    bytes[77_777] ^= 1;
    fs::write(&fetched.path, bytes).unwrap();
    let time = if kept { changed } else { changed + Duration::from_secs(3) };
    fs::File::options().append(true).open(&fetched.path).unwrap().set_modified(time).unwrap();
}

fn forget_verdicts(stage: &Stage) {
    fs::remove_dir_all(stage.cache.path().join(".frostline/verdicts")).unwrap();
}

#[test]
fn offline_needs_what_was_fetched_before_and_nothing_else() {
    let stage = Stage::new();
    let message = stage.offline().fetch(&file(), &Silent).unwrap_err().to_string();
    assert!(message.contains(&format!("does not hold dataset frost/line@main/{PATH}")), "{message}");
    assert!(message.contains("run once without --offline"), "{message}");
    assert_eq!(stage.server.requests(), 0);

    let online = stage.fetch().unwrap();
    let asked = stage.server.requests();
    let commit = online.revision.clone();
    for revision in [None, Some(commit.clone()), Some(commit[..7].to_owned())] {
        let offline = stage.offline().fetch(&HubFile { revision, ..file() }, &Silent).unwrap();
        assert_eq!(offline, online);
    }
    let other = HubFile { revision: Some("v1".into()), ..file() };
    assert!(matches!(stage.offline().fetch(&other, &Silent), Err(HubError::NotCached { .. })));
    assert_eq!(stage.server.requests(), asked);
}

#[test]
fn a_file_of_a_full_commit_is_returned_without_a_question() {
    let stage = Stage::new();
    let online = stage.fetch().unwrap();
    let asked = stage.server.requests();
    let again = HubFile { revision: Some(online.revision.clone()), ..file() };
    assert_eq!(stage.hub().fetch(&again, &Silent).unwrap(), online);
    assert_eq!(stage.server.requests(), asked);
}

#[test]
fn a_hub_that_has_gone_is_replaced_by_the_cache_with_a_note() {
    let stage = Stage::new();
    let online = stage.fetch().unwrap();
    stage.server.fail_repo(RepoKind::Dataset, REPO, Fault::Unavailable, Times::Always);
    let told = Told::default();
    assert_eq!(stage.hub().fetch(&file(), &told).unwrap(), online);
    let note = format!("using the cached commit {}", online.revision);
    assert!(told.lines().last().unwrap().ends_with(&note), "{:?}", told.lines());
}

#[test]
fn damage_is_found_when_size_or_time_differ_or_no_verdict_is_there() {
    for with_verdict in [true, false] {
        let stage = Stage::new();
        let fetched = stage.fetch().unwrap();
        damage(&fetched, !with_verdict);
        if !with_verdict {
            forget_verdicts(&stage);
        }
        let error = stage.offline().fetch(&file(), &Silent).unwrap_err();
        assert!(matches!(error, HubError::DamagedCache { .. }), "{error}");
        assert!(error.to_string().contains("is damaged (sha256 "), "{error}");
        assert!(fetched.path.is_file(), "offline, nothing is removed");

        let told = Told::default();
        assert_eq!(stage.hub().fetch(&file(), &told).unwrap(), fetched);
        assert_eq!(fs::read(&fetched.path).unwrap(), bytes());
        assert_eq!(stage.downloads(), 2);
        assert!(told.lines()[0].contains("in the cache is damaged"), "{:?}", told.lines());
    }
}

#[test]
fn a_cut_cached_file_is_found() {
    let stage = Stage::new();
    let fetched = stage.fetch().unwrap();
    fs::File::options().write(true).open(&fetched.path).unwrap().set_len(1000).unwrap();
    assert!(stage.offline().fetch(&file(), &Silent).is_err());
    stage.fetch().unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), bytes());
}

#[test]
fn a_damaged_blob_is_not_linked_into_a_new_commit() {
    let stage = Stage::new();
    let fetched = stage.fetch().unwrap();
    damage(&fetched, false);
    stage.server.add_git_file(RepoKind::Dataset, REPO, "README.md", "# Frost\n");
    let again = stage.fetch().unwrap();
    assert_eq!(fs::read(&again.path).unwrap(), bytes());
    assert_eq!(stage.downloads(), 2);
}

#[cfg(unix)]
#[test]
fn what_another_tool_stored_is_verified_and_used() {
    let stage = Stage::new();
    let repo = stage.cache.path().join("datasets--frost--line");
    let commit = stage.server.commit(RepoKind::Dataset, REPO);
    let snapshot = repo.join("snapshots").join(&commit).join("plain_text");
    fs::create_dir_all(repo.join("blobs")).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(repo.join("refs/main"), &commit).unwrap();
    fs::write(repo.join("blobs").join(&stage.sha256), bytes()).unwrap();
    let blob = format!("../../../blobs/{}", stage.sha256);
    std::os::unix::fs::symlink(blob, snapshot.join("train 0.parquet")).unwrap();
    assert_eq!(stage.offline().fetch(&file(), &Silent).unwrap().sha256, stage.sha256);
    let listing = stage.offline().list(RepoKind::Dataset, REPO, None).unwrap();
    assert_eq!((listing.files.len(), listing.files[0].path.as_str(), listing.complete), (1, PATH, false));
    stage.fetch().unwrap();
    assert_eq!(stage.downloads(), 0);
}

#[test]
fn two_fetches_of_a_file_download_it_once() {
    let stage = Stage::new();
    let shared = stage.hub();
    let fetched: Vec<Fetched> = thread::scope(|scope| {
        let one = scope.spawn(|| shared.fetch(&file(), &Silent).unwrap());
        let two = scope.spawn(|| shared.fetch(&file(), &Silent).unwrap());
        let other = scope.spawn(|| stage.fetch().unwrap());
        [one, two, other].map(|thread| thread.join().unwrap()).into()
    });
    assert!(fetched.iter().all(|one| *one == fetched[0]));
    assert_eq!(stage.downloads(), 1);
}

#[test]
fn what_a_killed_run_left_is_cleared() {
    let stage = Stage::new();
    let own = stage.cache.path().join(".frostline");
    let left = own.join("staging/datasets--frost--line/0123/blobs");
    fs::create_dir_all(&left).unwrap();
    fs::create_dir_all(own.join("locks/datasets--frost--line")).unwrap();
    fs::write(own.join("locks/datasets--frost--line/0123.lock"), "4194304").unwrap();
    stage.fetch().unwrap();
    assert!(!left.exists());
}

#[test]
fn listings_are_ordered_and_work_offline_after_a_first_use() {
    let stage = Stage::new();
    stage.server.add_git_file(RepoKind::Dataset, REPO, "README.md", "# Frost\n");
    assert!(matches!(stage.offline().list(RepoKind::Dataset, REPO, None), Err(HubError::NotCached { .. })));
    stage.server.fail_repo(RepoKind::Dataset, REPO, Fault::Unavailable, Times::Next(2));
    let online = stage.hub().list(RepoKind::Dataset, REPO, None).unwrap();
    let files: Vec<_> = online.files.iter().map(|file| (file.path.as_str(), file.size)).collect();
    assert_eq!(files, [("README.md", 8), (PATH, 100_003)]);
    assert_eq!(
        (online.commit.as_str(), online.complete),
        (&*stage.server.commit(RepoKind::Dataset, REPO), true)
    );
    for revision in [None, Some("main"), Some(online.commit.as_str())] {
        assert_eq!(stage.offline().list(RepoKind::Dataset, REPO, revision).unwrap(), online);
    }
    assert!(stage.shared_files().is_empty(), "a listing moves no shared reference");
    let error = stage.hub().list(RepoKind::Model, REPO, Some("main")).unwrap_err();
    assert!(matches!(error, HubError::RepoNotFound { .. }), "{error}");
}

#[test]
fn one_hub_sees_one_commit_of_a_branch() {
    let stage = Stage::new();
    let hub = stage.hub();
    let listing = hub.list(RepoKind::Dataset, REPO, None).unwrap();
    stage.server.add_file(RepoKind::Dataset, REPO, PATH, "another");
    assert_eq!(hub.fetch(&file(), &Silent).unwrap().revision, listing.commit);
    assert_ne!(stage.fetch().unwrap().revision, listing.commit);
}

#[test]
fn a_long_list_of_files_is_read_to_its_end() {
    let stage = Stage::new();
    for index in 0..120 {
        stage.server.add_git_file(RepoKind::Dataset, REPO, &format!("part {index:03}.txt"), "x");
    }
    let listing = stage.hub().list(RepoKind::Dataset, REPO, None).unwrap();
    assert_eq!((listing.files.len(), listing.complete), (121, true));
    assert!(listing.files.is_sorted_by_key(|file| &file.path));
}
