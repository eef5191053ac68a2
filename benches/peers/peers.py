"""Times the same work in Frostline, in PyTorch and in other peers, in turn, and writes a table.

Rounds go through all workers in turn, so that what else the machine does meets them alike; ratios are taken within a
round, and the table gives their median and spread. Only one worker computes at a time, and where a turn
has several steps, one goes untimed before them: another had the caches.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Model, resolution, strategy, and steps per round.
WORK = [
    ("resnet18", 32, "full", 8),
    ("resnet18", 32, "head", 24),
    ("resnet18", 32, "inference", 24),
    ("alexnet", 64, "full", 3),
    ("alexnet", 64, "inference", 16),
    ("vgg16", 32, "full", 2),
    ("vgg16", 32, "inference", 4),
    ("googlenet", 64, "full", 1),
    ("resnet50", 64, "full", 1),
    ("vit_tiny_patch4", 32, "full", 1),
    ("convnext_tiny", 64, "full", 1),
    ("efficientnet_b0", 64, "full", 1),
    ("resnet18", 224, "full", 1),
    ("resnet18", 224, "inference", 1),
    ("alexnet", 224, "full", 1),
    ("alexnet", 224, "inference", 2),
]

# PyTorch as a tutorial writes it, and settings that can be faster.
VARIANTS = {
    "tutorial": [],
    "fused": ["--fused"],
    "channels_last, fused": ["--channels-last", "--fused"],
    "channels_last, fused, compiled": ["--channels-last", "--fused", "--compile"],
}

# The same in bf16, by autocast: fast where the processor has instructions for it.
HALVED = ", bf16"
HALF = {name + HALVED: [*flags, "--bf16"] for name, flags in VARIANTS.items() if name.startswith("channels_last")}

# Frostline otherwise than by default.
OURS = {
    "bf16": "what Frostline takes in bf16, which it widens where the processor does not multiply it itself",
    "avx2": "what it takes with AVX-512 left alone",
}

BURN = tomllib.loads((HERE / "burn/Cargo.toml").read_text())["dependencies"]["burn"]["version"]

# What the table says of each.
RUST_PEERS = {
    "candle": "its own ResNet-18, which it cannot train: it has no gradient for max pooling whose kernel and stride differ",
    "burn": f"version {BURN}: the same models from its layers on Flex, the faster of its CPU backends in plain Rust; at 224, "
    "and for other models, it is not timed",
}


class Worker:
    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            error = self.process.stderr.read().strip().splitlines()
            raise RuntimeError(f"{command}: {error[-1] if error else 'ended'}")

    def ask(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rust_peers(model, resolution, strategy, worker, burn):
    """The commands of the peers in Rust that do this work."""
    commands = {}
    if model == "resnet18" and strategy == "inference":
        commands["candle"] = [str(Path(worker).with_name("candle_worker")), str(resolution)]
    # At 224 a training step of ResNet-18 takes it some ten seconds.
    if burn and resolution < 224 and model in ("resnet18", "alexnet"):
        commands["burn"] = [burn, model, str(resolution), strategy]
    return commands


def measure(model, resolution, strategy, steps, rounds, threads, python, worker, burn, otherwise):
    command = [worker, model, str(resolution), strategy, str(threads)]
    ours = Worker(command)
    theirs = {name: Worker([*command, name]) for name in otherwise}
    for name, flags in (VARIANTS | HALF).items():
        command = [python, str(HERE / "torch_worker.py"), "--model", model, "--resolution", str(resolution)]
        command += ["--strategy", strategy, "--threads", str(threads)] + flags
        try:
            theirs[name] = Worker(command)
        except RuntimeError as error:
            print(f"  without {name}: {error}", file=sys.stderr)
    for name, command in rust_peers(model, resolution, strategy, worker, burn).items():
        theirs[name] = Worker(command, os.environ | {"RAYON_NUM_THREADS": str(threads)})
    times = {name: [] for name in ["frostline", *theirs]}
    for name in [name for name in HALF if name in theirs and name.removesuffix(HALVED) in theirs]:
        # Without instructions for it bf16 takes several times as long: then one step is enough to know.
        single, half = (theirs[key].ask(1) for key in (name.removesuffix(HALVED), name))
        if half > 2 * single:
            times[name].append(half)
            theirs.pop(name).close()
    for _ in range(rounds):
        times["frostline"].append(ours.ask(steps))
        for name, peer in theirs.items():
            times[name].append(peer.ask(steps))
    peaks = {"frostline": ours.ask("peak")} | {name: peer.ask("peak") for name, peer in theirs.items()}
    for peer in [ours, *theirs.values()]:
        peer.close()
    return times, peaks


def ratio(times, name):
    ratios = [theirs / ours for theirs, ours in zip(times[name], times["frostline"])]
    if len(ratios) == 1:
        return f"{ratios[0]:.2f} (one step)"
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--worker", required=True, help="the built example `worker` of frostline-benches")
    parser.add_argument("--burn", help="the built `burn_worker` of burn/; without it, burn is not timed")
    parser.add_argument("--avx2", action="store_true", help="also time Frostline with AVX-512 left alone")
    parser.add_argument("--only", default="", help="work whose name contains this, or one of several with semicolons between")
    parser.add_argument("--output", default=str(HERE / "RESULTS.md"))
    args = parser.parse_args()
    import torch
    import torchvision

    otherwise = [name for name in OURS if name != "avx2" or args.avx2]
    rust = [name for name in RUST_PEERS if name != "burn" or args.burn]
    more = otherwise + rust
    lines = [
        "# Frostline and PyTorch on the same cores",
        "",
        f"Seconds of PyTorch divided by seconds of Frostline for the same step: median of {args.rounds} paired rounds, with "
        "the quartiles. Above 1, Frostline is faster. Where a turn has several steps, one goes untimed before them. f32, batch 64, random images and weights of 10 classes; a training "
        "step is forward, cross-entropy, backward and Adam; `head` trains the last layer behind a trunk in evaluation "
        "mode. *Tutorial* is PyTorch as tutorials write it: contiguous tensors and `Adam`. *Best* is the fastest of that "
        "and of the settings named, *best, bf16* that of the settings with autocast to bf16, of which one step is timed where it takes twice as "
        "long as in f32. Memory is the peak of the whole process. "
        + " ".join(f"*{name}* is {(OURS | RUST_PEERS)[name]}." for name in more),
        "",
        "| work | Frostline, ms | tutorial, ms | tutorial / Frostline | best, ms | best / Frostline | best is | best, bf16, ms | "
        "best, bf16 / Frostline | best, bf16 is | peak MiB, Frostline | peak MiB, tutorial | peak MiB, best | "
        + "".join(f"{name} / Frostline | " for name in more).strip(),
        "| --- | --: | --: | --: | --: | --: | --- | --: | --: | --- | --: | --: | --: |" + " --: |" * len(more),
    ]
    raw = []
    for model, resolution, strategy, steps in WORK:
        name = f"{model} at {resolution}, {strategy}"
        if not any(part in name for part in args.only.split(";")):
            continue
        print(name, file=sys.stderr)
        times, peaks = measure(
            model, resolution, strategy, steps, args.rounds, args.threads, sys.executable, args.worker, args.burn, otherwise
        )
        raw.append({"work": name, "seconds per step": times, "peak bytes": peaks})
        median = {key: statistics.median(values) for key, values in times.items()}
        best = min((key for key in times if key in VARIANTS), key=median.get)
        half = min((key for key in times if key in HALF), key=median.get)
        milliseconds = {key: f"{1000 * value:.1f}" for key, value in median.items()}
        mebibytes = {key: f"{value / 2**20:,.0f}" for key, value in peaks.items()}
        lines.append(
            f"| {name} | {milliseconds['frostline']} | {milliseconds['tutorial']} | {ratio(times, 'tutorial')} | "
            f"{milliseconds[best]} | {ratio(times, best)} | {best} | {milliseconds[half]} | {ratio(times, half)} | {half} | "
            f"{mebibytes['frostline']} | {mebibytes['tutorial']} | {mebibytes[best]} | "
            + "".join(f"{ratio(times, name) if name in times else ''} | " for name in more).strip()
        )
        print(lines[-1], file=sys.stderr)
    lines += [
        "",
        f"Measured on {processor()}, {os.cpu_count()} cores, {args.threads} threads each; PyTorch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, {platform.system()}. Again: `just peers`.",
    ]
    Path(args.output).write_text("\n".join(lines) + "\n")
    Path(args.output).with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
