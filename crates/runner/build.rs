//! Tells `src/environment.rs` how this binary was built: compiler, flags, profile, target, source revision, and the
//! versions of the crates that compute. What cannot be found out stays empty.

#![expect(clippy::disallowed_methods, reason = "a build script is told everything through its environment")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    tell(
        "RUSTC_VERSION",
        &output(&env::var("RUSTC").unwrap_or_default(), &["--version"]).unwrap_or_default(),
    );
    tell("RUSTFLAGS", &env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\x1f', " "));
    tell("PROFILE", &env::var("PROFILE").unwrap_or_default());
    tell("TARGET", &env::var("TARGET").unwrap_or_default());
    tell("TARGET_FEATURES", &env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default());
    tell("REVISION", &revision().unwrap_or_default());
    let lock = fs::read_to_string("../../Cargo.lock").unwrap_or_default();
    for (key, name) in [("CANDLE_VERSION", "candle-core"), ("GEMM_VERSION", "gemm")] {
        tell(key, locked_version(&lock, name).unwrap_or_default());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
}

fn tell(key: &str, value: &str) {
    println!("cargo::rustc-env=FROSTLINE_{key}={value}");
}

/// The commit that is built, with a mark where files that git follows differ from it.
fn revision() -> Option<String> {
    let commit = output("git", &["rev-parse", "HEAD"])?;
    // The log of HEAD grows with every commit, checkout and rebase; the crates' folder stands for edits.
    let log = output("git", &["rev-parse", "--git-path", "logs/HEAD"])?;
    for path in [log.as_str(), ".."] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let edited = output("git", &["status", "--porcelain", "--untracked-files=no", "--", ".."])?;
    Some(if edited.is_empty() { commit } else { format!("{commit} with local changes") })
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version in a lock file, whose packages are `name = "…"` followed by `version = "…"`.
fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let package = lock.split("[[package]]").find(|p| p.contains(&format!("\nname = \"{name}\"\n")))?;
    let version = package.lines().find_map(|line| line.strip_prefix("version = "))?;
    Some(version.trim_matches('"'))
}
