//! Holds the architecture of ARCHITECTURE.md: the arrows between crates and their sizes, circles of files, the header of
//! every module, the length of files, and where `unsafe` may stand.

mod circles;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crates of the workspace each may name in `[dependencies]`, from the bottom up: each names those above it alone.
const ARROWS: [(&str, &[&str]); 22] = [
    ("allocator", &[]),
    ("kernels", &[]),
    ("pictures", &[]),
    ("sources", &[]),
    ("streams", &[]),
    ("text", &[]),
    ("tables", &[]),
    ("hub", &["text"]),
    ("slurm", &["text"]),
    ("probes", &[]),
    ("zoo", &["streams"]),
    ("onnx", &["text", "zoo"]),
    ("recipe", &["zoo"]),
    ("experiment", &["recipe", "sources", "streams", "text", "zoo"]),
    ("results", &["experiment", "tables", "text"]),
    ("compare", &["experiment", "results", "streams"]),
    ("report", &["compare", "experiment", "recipe", "results", "text", "zoo"]),
    ("trackers", &["experiment", "results", "text"]),
    ("data", &["hub", "pictures", "sources", "streams", "tables", "text"]),
    ("models", &["hub", "kernels", "streams", "text", "zoo"]),
    ("engine", &["data", "kernels", "models", "probes", "recipe", "streams"]),
    (
        "runner",
        &[
            "allocator",
            "compare",
            "data",
            "engine",
            "experiment",
            "hub",
            "kernels",
            "models",
            "onnx",
            "pictures",
            "recipe",
            "report",
            "results",
            "slurm",
            "sources",
            "streams",
            "text",
            "trackers",
            "zoo",
        ],
    ),
];

/// Dependencies that a crate must not have, with the reason in ARCHITECTURE.md.
const NEVER: [(&str, &[&str]); 12] = [
    ("kernels", &["candle-nn", "rand", "rand_chacha", "hf-hub"]),
    ("zoo", TENSORS_AND_FILES),
    ("onnx", TENSORS_AND_FILES),
    ("recipe", TENSORS_AND_FILES),
    ("slurm", TENSORS_AND_FILES),
    ("experiment", TENSORS_AND_FILES),
    ("results", &["candle-core", "clap", "indicatif", "hf-hub", "plotters"]),
    ("compare", &["candle-core", "clap", "indicatif", "hf-hub", "plotters", "polars"]),
    ("trackers", &["candle-core", "clap", "indicatif", "hf-hub", "plotters", "polars"]),
    ("models", &["candle-nn", "clap", "indicatif", "hf-hub"]),
    ("engine", &["clap", "indicatif", "hf-hub", "polars"]),
    ("data", &["candle-core", "clap", "indicatif", "hf-hub", "image"]),
];

const TENSORS_AND_FILES: &[&str] =
    &["candle-core", "candle-nn", "safetensors", "polars", "image", "hf-hub", "clap"];

/// No crate has more than this share of the sources.
const LARGEST: f64 = 0.2;

/// Files that may use each other in a circle.
const LARGEST_CIRCLE: usize = 3;

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

/// The package of a crate's folder.
fn package(folder: &str) -> String {
    if folder == "runner" { "frostline".to_owned() } else { format!("frostline-{folder}") }
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let found = dependencies();
    for (place, (folder, allowed)) in ARROWS.iter().enumerate() {
        let below: Vec<&str> = ARROWS[..place].iter().map(|(folder, _)| *folder).collect();
        assert!(allowed.iter().all(|name| below.contains(name)), "an arrow of {folder} points up");
        let allowed: Vec<String> = allowed.iter().map(|name| package(name)).collect();
        let ours = found[&package(folder)].iter().filter(|name| name.starts_with("frostline"));
        let wrong: Vec<_> = ours.filter(|name| !allowed.contains(name)).collect();
        assert!(wrong.is_empty(), "{folder} must not depend on {wrong:?}");
    }
    for (folder, never) in NEVER {
        let found = &found[&package(folder)];
        let wrong: Vec<_> = found.iter().filter(|name| never.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{folder} must not depend on {wrong:?}");
    }
    let drawn: Vec<String> = ARROWS.iter().map(|(folder, _)| package(folder)).collect();
    let missing: Vec<_> =
        found.keys().filter(|name| !drawn.contains(name) && *name != "frostline-benches").collect();
    assert!(missing.is_empty(), "{missing:?} are not drawn");
}

#[test]
fn no_crate_outgrows_the_others() {
    let lines = |folder: &str| {
        let mut files = Vec::new();
        rust_files(&root().join("crates").join(folder).join("src"), &mut files);
        let count = |path: &PathBuf| fs::read_to_string(path).expect("a readable file").lines().count();
        files.iter().map(count).sum::<usize>()
    };
    let sizes: Vec<(&str, usize)> = ARROWS.iter().map(|(folder, _)| (*folder, lines(folder))).collect();
    let all: usize = sizes.iter().map(|(_, lines)| lines).sum();
    let large: Vec<_> = sizes.iter().filter(|(_, lines)| *lines as f64 > LARGEST * all as f64).collect();
    assert!(large.is_empty(), "more than a fifth of {all} lines: {large:?}");
}

#[test]
fn files_use_each_other_in_small_circles_alone() {
    for (folder, _) in ARROWS {
        let circles = circles::circles(&root().join("crates").join(folder).join("src"));
        let large: Vec<_> = circles.iter().filter(|circle| circle.len() > LARGEST_CIRCLE).collect();
        assert!(large.is_empty(), "{folder}: {large:?}");
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

/// thiserror takes a field `source` for the cause, which is then shown once more behind the message.
#[test]
fn a_message_that_has_its_cause_in_it_does_not_hand_it_on_too() {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    for path in files {
        let text = fs::read_to_string(&path).expect("a readable file");
        let (name, lines) = (path.display(), text.lines().collect::<Vec<_>>());
        for (index, line) in lines.iter().enumerate() {
            let is_message = line.trim_start().starts_with("#[error(") || line.trim_start().starts_with('"');
            assert!(
                !(is_message && line.contains("{source}")),
                "{name}:{}: call the field `cause`",
                index + 1
            );
            let handed_on = lines.get(index + 1).is_some_and(|next| next.contains("#[from]"));
            assert!(
                !(is_message && line.contains("{0}") && handed_on),
                "{name}:{}: write transparent",
                index + 1
            );
        }
    }
}
