//! Files without a pin, which are held to what they were when they were first used.

use std::fs;

use crate::stage::{PATH, REPO, Stage, bytes, file};
use frostline_hub::{HubError, HubFile, RepoKind, Silent};

#[test]
fn a_branch_that_moves_takes_no_file_with_it() {
    let stage = Stage::new();
    let first = stage.hub().fetch_as_first(&file(), &Silent).unwrap();
    stage.server.add_file(RepoKind::Dataset, REPO, PATH, b"another file".to_vec());
    let again = stage.hub().fetch_as_first(&file(), &Silent).unwrap();
    assert_eq!((&again.revision, &again.sha256), (&first.revision, &first.sha256));
    assert_eq!(fs::read(again.path).unwrap(), bytes());
    assert_eq!(stage.downloads(), 1);
    // Who asks without a memory gets what the branch is now, also here.
    assert_eq!(stage.fetch().unwrap().size, 12);
    assert_eq!(stage.offline().fetch_as_first(&file(), &Silent).unwrap().sha256, first.sha256);
}

#[test]
fn other_bytes_under_the_commit_of_the_first_use_are_refused() {
    let stage = Stage::new();
    let first = stage.hub().fetch_as_first(&file(), &Silent).unwrap();
    fs::remove_file(&first.path).unwrap();
    fs::write(&first.path, b"another file").unwrap();
    let error = stage.offline().fetch_as_first(&file(), &Silent).unwrap_err();
    assert!(matches!(error, HubError::DamagedCache { .. } | HubError::NotThePinned { .. }), "{error}");
}

#[test]
fn a_revision_of_its_own_is_left_to_it() {
    let stage = Stage::new();
    stage.hub().fetch_as_first(&file(), &Silent).unwrap();
    stage.server.add_file(RepoKind::Dataset, REPO, PATH, b"another file".to_vec());
    let main = HubFile { revision: Some("main".into()), ..file() };
    assert_eq!(stage.hub().fetch_as_first(&main, &Silent).unwrap().size, 12);
}
