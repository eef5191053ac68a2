#!/usr/bin/env bash
# Times a first build of the program as a multiple of ripgrep 14.1.1's, with the dependencies that its lock file names, so that what one machine
# needs can be compared with what another does:
#
#     bash scripts/build-time.sh [--tests]
#
# Each is built from nothing, one after the other, in a folder that is removed at the end; everything is downloaded before. With --tests it also
# times `cargo test --workspace`, its build and its run.
set -euo pipefail
cd "$(dirname "$0")/.."

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export CARGO_TARGET_DIR=$place/target
began=0
start() { rm -rf "$CARGO_TARGET_DIR" && began=$(date +%s%N); }
# What has gone by since, in seconds, with what the other took as its unit.
told() { awk -v ns="$(($(date +%s%N) - began))" -v unit="$2" -v what="$1" 'BEGIN { s = ns / 1e9; printf "%-32s %6.0f s", what, s; if (unit > 0) printf "  %5.1f", s / unit; print "" }'; }

cargo fetch --quiet --locked
cargo install --quiet ripgrep --version 14.1.1 --locked --root "$place" --no-track # for its downloads
start
cargo install --quiet ripgrep --version 14.1.1 --locked --root "$place" --no-track --force
told "ripgrep 14.1.1, release" 0
unit=$(awk -v ns="$(($(date +%s%N) - began))" 'BEGIN { print ns / 1e9 }')
start
cargo build --quiet --release --locked --package frostline
told "frostline, release" "$unit"
if [ "${1:-}" = --tests ]; then
    start
    cargo test --quiet --workspace --locked --no-run
    told "its tests, built" "$unit"
    cargo test --quiet --workspace --locked >"$place/log" 2>&1 || { tail -50 "$place/log" >&2 && exit 1; }
    told "its tests, built and run" "$unit"
fi
