"""Says where the time of a step goes, and what part of a processor's ceiling its products reach.

perf samples one worker at a time while it does steps; samples are put together by the names of functions. Loops that are inlined into
others count as those.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from peers import HERE, Worker, processor

# Model, resolution, and what of it.
WORK = [
    ("resnet18", 32, "full"),
    ("resnet18", 32, "head"),
    ("resnet50", 64, "full"),
    ("resnet18", 224, "inference"),
    ("alexnet", 64, "full"),
    ("vit_tiny_patch4", 32, "full"),
    ("convnext_tiny", 64, "full"),
    ("efficientnet_b0", 64, "full"),
]

# Rows and columns of the product that stands for the ceiling.
SIDE = 2048

# What a function belongs to: the first that its object and name match.
OPERATIONS = {
    "products": r"kernels::gemm::(units|tile|half|multiply)|gemm_common|gemm_f32",
    "transforms of Winograd's convolutions": r"kernels::conv::winograd",
    "convolutions channel by channel": r"kernels::conv::depthwise",
    "patches and transposes": r"patches|transpose|kernels::(layout|merge|tokens)",
    "batch norm, with what is fused into it": r"batch_norm|kernels::norm|conv_norm|kernels::conv::finish",
    "layer norm": r"layer_norm|layer_scale",
    "attention beside its products": r"attention",
    "GELU, ReLU and other curves": r"gelu|curves|kernels::activation|squeeze",
    "pooling": r"kernels::pool",
    "bias and other sums": r"kernels::linear|kernels::tasks|kernels::factors|kernels::copies|kernels::gradient",
    "the optimizer": r"kernels::optim|engine::optimizer",
    "clearing and copying": r"precision::convert|memset|memmove|memcpy|kernels::gemm::written",
    "the system: pages": r"clear_page|page_fault|kernel\.kallsyms.*(zap|folio|charge|lru|mm_|pte|pmd|vma|page)",
    "memory: handing out": r"mi_",
    "random draws": r"streams::|rand_chacha|dropout",
    "threads: handing out and waiting": r"rayon|crossbeam|sched|futex|std::thread|finish_task|_raw_spin|syscall|softirq",
}


def samples(worker, model, resolution, what, threads, seconds):
    """The seconds of a step, and the share of each operation in the samples."""
    one = Worker([worker, model, str(resolution), what, str(threads)])
    step = one.ask(2)
    steps = max(2, round(seconds / step))
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        perf = subprocess.Popen(
            ["perf", "record", "--output", data, "--freq", "499", "--pid", str(one.process.pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        time.sleep(0.5)  # until it samples
        if perf.poll() is not None:
            raise SystemExit(f"perf does not sample here: {perf.stderr.read().strip()}")
        step = one.ask(steps)
        perf.terminate()
        perf.wait()
        one.close()
        report = subprocess.run(
            ["perf", "report", "--input", data, "--no-children", "--sort", "dso,symbol", "--percent-limit", "0", "--stdio"],
            capture_output=True, text=True, check=True,
        ).stdout
    shares = dict.fromkeys([*OPERATIONS, "other"], 0.0)
    others = []
    for line in report.splitlines():
        found = re.match(r"\s*([\d.]+)%\s+(.*)", line)
        if not found:
            continue
        share, name = float(found[1]) / 100, found[2]
        operation = next((key for key, pattern in OPERATIONS.items() if re.search(pattern, name)), "other")
        shares[operation] += share
        if operation == "other":
            others.append((share, name))
    return step, shares, sorted(others, reverse=True)


def ceiling_times(threads):
    """How long PyTorch's product of two large matrices takes, several times."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    torch.mm(a, b)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each work is sampled")
    parser.add_argument("--worker", required=True, help="the built example `worker`, whose symbols name their type parameters")
    parser.add_argument("--only", default="", help="work whose name contains this, or one of several with semicolons between")
    parser.add_argument("--verbose", action="store_true", help="also print the largest functions that belong to none")
    parser.add_argument("--output", default=str(HERE / "PROFILE.md"))
    args = parser.parse_args()
    if not shutil.which("perf"):
        raise SystemExit("perf is missing: install it (Debian: apt-get install linux-perf)")
    columns = []
    for model, resolution, what in WORK:
        name = f"{model} at {resolution}, {what}"
        if not any(part in name for part in args.only.split(";")):
            continue
        times = ceiling_times(args.threads)
        step, shares, others = samples(args.worker, model, resolution, what, args.threads, args.seconds)
        times += ceiling_times(args.threads)
        top = SIDE**3 / statistics.median(times)
        command = [args.worker, model, str(resolution), what, str(args.threads), "count"]
        counted = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        columns.append((name, step, shares, counted, top))
        print(f"{name}: {1000 * step:.1f} ms, products {shares['products']:.0%}, other {shares['other']:.1%}", flush=True)
        for share, other in others[:8] if args.verbose else []:
            print(f"    {share:.1%} {other}")
    lines = [
        "# Where the time of a step goes",
        "",
        "Shares of perf's samples while one process did steps of 64 images in f32, by operation; blank is below half a percent. *Rate of products* is "
        "the multiply-adds of convolutions, linear layers and attention, twice each, by the time that products took; they are counted without padding and as if "
        "none were saved, so that Winograd's convolutions can come above the ceiling. *Ceiling* is what PyTorch's product of two matrices of 2048x2048 "
        "reached on the same threads just before and after, in the median. *Whole step* divides by all of its time.",
        "",
        "| | " + " | ".join(name for name, *_ in columns) + " |",
        "| --- |" + " --: |" * len(columns),
    ]

    def row(title, value):
        lines.append(f"| {title} | " + " | ".join(value(*column[1:]) for column in columns) + " |")

    row("ms a step", lambda step, *_: f"{1000 * step:.1f}")
    for operation in [*OPERATIONS, "other"]:
        row(operation, lambda _, shares, *__: f"{shares[operation]:.1%}" if shares[operation] >= 0.005 else "")
    row("GFLOP/s of products", lambda step, shares, counted, _: f"{2e-9 * counted / (step * shares['products']):.0f}")
    row("of the ceiling", lambda step, shares, counted, top: f"{counted / (step * shares['products']) / top:.2f}")
    row("of the ceiling, whole step", lambda step, _, counted, top: f"{counted / step / top:.2f}")
    row("ceiling, GFLOP/s", lambda _, __, ___, top: f"{2e-9 * top:.0f}")
    lines += ["", f"Measured on {processor()}, {args.threads} threads. Again: `just profile`."]
    Path(args.output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
