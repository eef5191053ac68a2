#!/usr/bin/env bash
# Builds the workspace for 64-bit ARM on another machine, and runs the tests of kernels and engine there as qemu runs them:
#
#     bash scripts/arm.sh [ARGUMENTS OF cargo test]
#
# On Debian it needs gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user. What qemu emulates has
# instructions for bf16; FROSTLINE_ARM_CPU=cortex-a72 is one without. It says nothing of speed.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
for tool in aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ qemu-aarch64; do
    command -v "$tool" >/dev/null || {
        echo "arm: $tool is missing: apt-get install gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
        exit 1
    }
done
[ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu ${FROSTLINE_ARM_CPU:-max} -L /usr/aarch64-linux-gnu"
if [ $# -eq 0 ]; then
    cargo build --workspace --target "$target"
fi
cargo test --target "$target" --package frostline-kernels --package frostline-engine "$@"
