//! Holds the architecture of ARCHITECTURE.md: the arrows between crates, the header of every module, the length of files,
//! and where `unsafe` may stand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crates of the workspace each may name in `[dependencies]`.
const ARROWS: [(&str, &[&str]); 8] = [
    ("frostline-allocator", &[]),
    ("frostline-kernels", &[]),
    ("frostline-streams", &[]),
    ("frostline-hub", &[]),
    ("frostline-models", &["frostline-hub", "frostline-kernels", "frostline-streams"]),
    ("frostline-data", &["frostline-hub", "frostline-streams"]),
    ("frostline-engine", &["frostline-data", "frostline-kernels", "frostline-models", "frostline-streams"]),
    (
        "frostline",
        &[
            "frostline-allocator",
            "frostline-data",
            "frostline-engine",
            "frostline-hub",
            "frostline-kernels",
            "frostline-models",
            "frostline-streams",
        ],
    ),
];

/// Dependencies that a crate must not have, with the reason in ARCHITECTURE.md.
const NEVER: [(&str, &[&str]); 4] = [
    ("frostline-kernels", &["candle-nn", "rand", "rand_chacha", "hf-hub"]),
    ("frostline-models", &["candle-nn", "clap", "indicatif", "hf-hub"]),
    ("frostline-engine", &["clap", "indicatif", "hf-hub", "polars"]),
    ("frostline-data", &["candle-core", "clap", "indicatif", "hf-hub"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate lies two folders down")
        .to_owned()
}

/// The normal dependencies of each package of the workspace.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let of = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("a list").iter();
        all.filter(|dependency| dependency["kind"].is_null()).map(name).collect()
    };
    metadata["packages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|package| (name(package), of(package)))
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let found = dependencies();
    for (package, allowed) in ARROWS {
        let ours = found[package].iter().filter(|name| name.starts_with("frostline"));
        let wrong: Vec<_> = ours.filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{package} must not depend on {wrong:?}");
    }
    for (package, never) in NEVER {
        let wrong: Vec<_> = found[package].iter().filter(|name| never.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{package} must not depend on {wrong:?}");
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target" && name != ".git") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    let mut files = Vec::new();
    for folder in ["crates", "benches"] {
        rust_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "the sources were not found");
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("a readable file");
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        if !first.starts_with("//!") {
            wrong.push(format!("{name} has no `//!` header"));
        }
        let lines = text.lines().count();
        if lines > 400 {
            wrong.push(format!("{name} has {lines} lines, more than 400"));
        }
        let forbidden = concat!("expect(unsafe", "_code");
        let may =
            ["crates/kernels/src/gemm/", "crates/allocator/src/"].iter().any(|place| name.starts_with(place));
        if text.contains(forbidden) && !may {
            wrong.push(format!("{name} allows itself unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
