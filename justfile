# Frostline's chores. `just` alone lists them.

frostline := "cargo run --release --quiet --package frostline --"

_default:
    @just --list

# Run an experiment and write its report (default: experiments/quickstart.toml)
sweep *ARGS:
    {{frostline}} sweep {{ARGS}}

# List the trials of an experiment; nothing is run
plan FILE="experiments/quickstart.toml" *ARGS="":
    {{frostline}} plan {{FILE}} {{ARGS}}

# Write a report again from its stored results
report DIR="results/quickstart" *ARGS="":
    {{frostline}} report {{DIR}} {{ARGS}}

# Criterion benches of kernels, training steps and the loader
bench *ARGS:
    cargo bench --package frostline-benches {{ARGS}}

# Every test
test *ARGS:
    cargo test --workspace {{ARGS}}

# Formatting, clippy and, where cargo-deny is installed, licences and advisories
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    if command -v cargo-deny >/dev/null; then cargo deny check; fi

# What continuous integration runs
ci:
    bash .ci/run
