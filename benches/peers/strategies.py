"""Times a training step of each strategy, in turn, and writes a table of time and memory.

The more is frozen below, the less a step costs: a frozen prefix runs forwards only and keeps nothing. What trains a few numbers
of every stage saves the optimizer's share alone.
"""

import argparse
import os
import statistics
from pathlib import Path

from peers import HERE, Worker, processor

STRATEGIES = ["full", "first-1", "last-2", "last-1", "head", "bn-only", "bias-only", "inference"]
WORK = [("resnet18", 32, 8), ("resnet18", 64, 3)]


def measure(worker, model, resolution, steps, rounds, threads):
    workers = {name: Worker([worker, model, str(resolution), name, str(threads)]) for name in STRATEGIES}
    times = {name: [] for name in STRATEGIES}
    for _ in range(rounds):
        for name, one in workers.items():
            times[name].append(one.ask(steps))
    peaks = {name: one.ask("peak") for name, one in workers.items()}
    for one in workers.values():
        one.close()
    return times, peaks


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--worker", required=True, help="the built example `worker` of frostline-benches")
    parser.add_argument("--output", default=str(HERE / "STRATEGIES.md"))
    args = parser.parse_args()
    lines = [
        "# What freezing saves",
        "",
        f"A step of batch 64 with Adam, median of {args.rounds} rounds in turn, and the peak memory of the whole process; "
        "`inference` is a forward pass of the same batch. Times as shares of `full`, paired by round.",
    ]
    for model, resolution, steps in WORK:
        times, peaks = measure(args.worker, model, resolution, steps, args.rounds, args.threads)
        lines += ["", f"## {model} at {resolution}", "", "| strategy | ms | of `full` | peak MiB |", "| --- | --: | --: | --: |"]
        for name in STRATEGIES:
            share = statistics.median(one / full for one, full in zip(times[name], times["full"]))
            milliseconds = 1000 * statistics.median(times[name])
            lines.append(f"| {name} | {milliseconds:.1f} | {share:.2f} | {peaks[name] / 2**20:,.0f} |")
    lines += ["", f"Measured on {processor()}, {args.threads} threads. Again: `just strategies`."]
    Path(args.output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
