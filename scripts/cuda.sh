#!/usr/bin/env bash
# Builds Frostline for NVIDIA GPUs on any x86-64 Linux, with or without one: nvcc comes from PyPI.
#
#     bash scripts/cuda.sh                 # target/release/frostline, target/release/examples/device_check, and that as device_check.gz
#     bash scripts/cuda.sh COMMAND ...     # any other command with the same toolkit, such as cargo clippy --features cuda
#
# CUDA_COMPUTE_CAP is the least GPU that it is for, 80 unless it is given (A100; also runs on newer ones: 86 and 89 are Ada and the
# RTX 30 and 40, 90 is H100 and H200). The toolkit lies in target/cuda, about 500 MB. Needed are python3, cc and a network at the first
# call. Where the binary runs, it needs the driver (580 or later), and libcublas 12 or 13 and libcurand 10 where the linker finds them:
# docs/devices.md.
set -euo pipefail
cd "$(dirname "$0")/.."

version=13.0
cuda=$PWD/target/cuda
[ "$(uname -sm)" = "Linux x86_64" ] || {
    echo "scripts/cuda.sh is for Linux on x86-64; elsewhere, with CUDA installed: cargo build --release --features cuda" >&2
    exit 2
}

if [ ! -e "$cuda/$version.here" ]; then
    python3 -m venv "$cuda/venv"
    "$cuda/venv/bin/pip" install --quiet --disable-pip-version-check \
        "nvidia-cuda-nvcc==$version.*" "nvidia-nvvm==$version.*" "nvidia-cuda-crt==$version.*" \
        "nvidia-cuda-runtime==$version.*" "nvidia-cuda-cccl==$version.*"
    touch "$cuda/$version.here"
fi
toolkit=$(echo "$cuda"/venv/lib/python3*/site-packages/nvidia/cu13)

# What candle links: NVIDIA's libraries are found when they are first called, and their runtime is in the binary.
cudarc=$(cargo metadata --format-version 1 --locked --features frostline/cuda |
    python3 -c 'import json, os, sys; print(*(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
if [ "$(cat "$cuda/lib/of" 2>/dev/null)" != "$cudarc" ]; then
    python3 scripts/cuda-late.py "$cudarc" "$cuda/lib"
    cp "$toolkit/lib/libcudart_static.a" "$cuda/lib/libcudart.a"
    echo "$cudarc" >"$cuda/lib/of"
fi

export NVCC=$toolkit/bin/nvcc PATH=$toolkit/bin:$PATH CUDA_HOME=$cuda CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
unset CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR
if [ $# -gt 0 ]; then
    exec "$@"
fi
cargo build --release --package frostline --package frostline-benches --bin frostline --example device_check \
    --features frostline/cuda,frostline-benches/cuda
# What travels to where the GPU is: one file without names for backtraces, which gunzip makes runnable.
strip -o target/release/examples/device_check.stripped target/release/examples/device_check
gzip -6 -c target/release/examples/device_check.stripped >target/release/device_check.gz
rm target/release/examples/device_check.stripped
ls -l target/release/frostline target/release/examples/device_check target/release/device_check.gz
