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

# Criterion benches of kernels, training steps, the loader and reports
bench *ARGS:
    cargo bench --package frostline-benches {{ARGS}}

# Time the same steps in PyTorch, candle, burn and here, in turn, write benches/peers/RESULTS.md, then `just sharing` (needs python3; installs PyTorch)
peers *ARGS:
    cargo build --release --package frostline-benches --example worker --example candle_worker
    cargo build --release --manifest-path benches/peers/burn/Cargo.toml --target-dir target/peers-burn
    test -d target/peers || python3 -m venv target/peers
    target/peers/bin/pip install --quiet --requirement benches/peers/requirements.txt
    target/peers/bin/python benches/peers/peers.py --worker target/release/examples/worker --burn target/peers-burn/release/burn_worker {{ARGS}}
    {{ if ARGS == "" { just_executable() + " sharing" } else { "" } }}

# Time sweeps whose trials share work, and PyTorch's, and write benches/peers/SHARING.md (needs python3; installs PyTorch)
sharing *ARGS:
    cargo build --release --package frostline
    test -d target/peers || python3 -m venv target/peers
    target/peers/bin/pip install --quiet --requirement benches/peers/requirements.txt
    target/peers/bin/python benches/peers/sharing.py --frostline target/release/frostline {{ARGS}}

# Kill sweeps a thousand times at random moments, and hold what comes of them to undisturbed ones
crash COUNT="1000":
    FROSTLINE_CRASHES={{COUNT}} cargo test --workspace --test sweep crash:: -- --nocapture

# Sample where the time of steps goes, and write benches/peers/PROFILE.md (needs perf and python3; installs PyTorch)
profile *ARGS:
    RUSTFLAGS="-C symbol-mangling-version=v0" cargo build --release --package frostline-benches --example worker --target-dir target/profile
    test -d target/peers || python3 -m venv target/peers
    target/peers/bin/pip install --quiet --requirement benches/peers/requirements.txt
    target/peers/bin/python benches/peers/profile.py --worker target/profile/release/examples/worker {{ARGS}}

# Cross-build for 64-bit ARM Linux, and run the tests of kernels and engine under qemu (needs gcc-aarch64-linux-gnu and qemu-user)
arm *ARGS:
    bash scripts/arm.sh {{ARGS}}

# Run disturbed sweeps on a real Slurm of one node, and hold them to a sweep alone (needs slurm-wlm and munge; --keep, or names of tests)
slurm *ARGS:
    cargo build --release --package frostline
    bash scripts/slurm-test.sh --frostline target/release/frostline {{ARGS}}

# Time a training step of each strategy and write benches/peers/STRATEGIES.md (needs python3)
strategies *ARGS:
    cargo build --release --package frostline-benches --example worker
    python3 benches/peers/strategies.py --worker target/release/examples/worker {{ARGS}}

# Build for NVIDIA GPUs, on any Linux on x86-64 with python3: nvcc is fetched (COMMAND: run that with the same toolkit instead)
cuda *COMMAND:
    bash scripts/cuda.sh {{COMMAND}}

# Hold a device to the CPU: every gate of the kernels, and a short training (--device cuda; --speed: images a second)
device-check *ARGS:
    {{ if ARGS =~ "cuda" { "bash scripts/cuda.sh" } else { "" } }} cargo build --release --package frostline-benches --example device_check {{ if ARGS =~ "cuda" { "--features cuda" } else if ARGS =~ "metal" { "--features metal" } else { "" } }}
    target/release/examples/device_check {{ARGS}}

# Time a first build, as a multiple of ripgrep's on this machine (--tests: the tests too)
build-time *ARGS:
    bash scripts/build-time.sh {{ARGS}}

# Pack the binary with completions and manual pages (TARGET: with cargo-zigbuild, e.g. x86_64-unknown-linux-gnu.2.28)
dist TARGET="":
    bash scripts/dist.sh {{TARGET}}

# Every test
test *ARGS:
    cargo test --workspace {{ARGS}}

# The kernels' gates with the checks that other tests run without: overflow, and what std checks of unsafe code
checked *ARGS:
    cargo test --workspace --test gates --config 'profile.dev.package.frostline-kernels.debug-assertions=true' --config 'profile.dev.package.frostline-kernels.overflow-checks=true' {{ARGS}}

# Formatting, clippy, the documentation and, where cargo-deny is installed, licences and advisories
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    if command -v cargo-deny >/dev/null; then cargo deny check; fi

# What continuous integration runs
ci:
    bash .ci/run
