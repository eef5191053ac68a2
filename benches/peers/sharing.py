"""What a sweep saves by computing once what its trials have in common, against itself and against PyTorch.

Runs whole `frostline sweep` processes, start-up and reading of images included, and PyTorch loops, of which only the work itself is
timed, in turn; writes SHARING.md and SHARING.json beside this file. Images are random and lie as CIFAR-10's binary batches do: times do
not depend on what they show.
"""

import argparse
import itertools
import json
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import torch
import torchvision

TRAIN, VALIDATION, TEST, BATCH, EPOCHS, CLASSES = 4_500, 500, 10_000, 64, 5, 10
TUTORIALS = 2
RATES, DECAYS = [0.1, 0.01, 0.001, 0.0001], [0.0, 0.0001, 0.01]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frostline", required=True, type=lambda path: str(pathlib.Path(path).resolve()), help="the release binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


# What is compared.


def experiment(name, grid, epochs=EPOCHS, augment='["flip", "crop:4"]', precision="f32"):
    return name, f"""question = "What does sharing save?"
[data]
source = "cifar:images"
per-class = 500
augment = {augment}
[train]
epochs = {epochs}
batch = {BATCH}
keep = "last"
precision = "{precision}"
[grid]
model = ["resnet18"]
{grid}
"""


PROBES = f'strategy = ["head"]\nlearning-rate = {RATES}\nweight-decay = {DECAYS}\n'
DEPTHS = ["head", "last-1", "last-2", "full"]
SWEEPS = dict(
    [
        experiment("one probe", 'strategy = ["head"]\n'),
        experiment("twelve probes", PROBES),
        experiment("twelve probes, bf16", PROBES, precision="bf16"),
        experiment("four depths", f"strategy = {json.dumps(DEPTHS)}\n"),
        experiment("one epoch of a probe", 'strategy = ["head"]\n', 1, "[]"),
        experiment("ten epochs of a probe", 'strategy = ["head"]\n', 10, "[]"),
    ]
    + [experiment(f"depth {depth}", f'strategy = ["{depth}"]\n') for depth in DEPTHS]
)


def cifar(folder):
    """Random images as CIFAR-10's binary batches."""
    folder.mkdir()
    draw = numpy.random.default_rng(0)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    for name in names:
        rows = draw.integers(0, 256, (10_000, 3073), dtype=numpy.uint8)
        rows[:, 0] = numpy.arange(10_000) % CLASSES
        (folder / name).write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(f"class-{number}" for number in range(CLASSES)) + "\n")


def ours(args, folder, name):
    """Seconds of a whole sweep, and what it records for its trials: seconds of each alone, by strategy."""
    (folder / "x.toml").write_text(SWEEPS[name])
    shutil.rmtree(folder / "results", ignore_errors=True)
    command = [args.frostline, "sweep", "x.toml", "--offline", "--quiet", "--threads", str(args.threads)]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    report = json.loads((folder / "results" / "x" / "report.json").read_text())
    strategies = {arm["arm"]: arm["strategy"] for arm in report["arms"]}
    trials = [(strategies[trial["arm"]], trial["wall_seconds"]) for trial in report["trials"]]
    return seconds, {of: statistics.median(wall for strategy, wall in trials if strategy == of) for of, _ in trials}


# PyTorch's side.


class Trunk:
    """ResNet-18 without its head, in evaluation mode, in PyTorch's best settings."""

    def __init__(self, bf16):
        model = torchvision.models.resnet18(weights=None, num_classes=CLASSES).eval()
        model.fc = torch.nn.Identity()
        self.model = model.to(memory_format=torch.channels_last)
        self.bf16 = bf16

    @torch.inference_mode()
    def features(self, images):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            return self.model(images).float()


def augmented(images):
    """Flips and padded crops of a batch, each image its own."""
    count = len(images)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    flips = torch.rand(count) < 0.5
    padded[flips] = padded[flips].flip(3)
    tops, lefts = torch.randint(0, 9, (2, count, 1))
    rows, columns = tops + torch.arange(32), lefts + torch.arange(32)
    cut = padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def normalised(images):
    return (images.float().div_(255) - 0.45).div_(0.25)


class Images:
    def __init__(self):
        draw = torch.Generator().manual_seed(0)
        make = lambda count: torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)
        self.train, self.validation, self.test = make(TRAIN), make(VALIDATION), make(TEST)
        self.labels = torch.randint(0, CLASSES, (TRAIN,), generator=draw)

    def evaluate(self, images, trunk, head):
        for batch in images.split(256):
            head(trunk.features(normalised(batch).contiguous(memory_format=torch.channels_last)))


def tutorial(images, trunk):
    """Two of the twelve probes one after another: each takes as long."""
    for rate, decay in list(itertools.product(RATES, DECAYS))[:TUTORIALS]:
        head = torch.nn.Linear(512, CLASSES)
        optimizer = torch.optim.Adam(head.parameters(), lr=rate, weight_decay=decay, fused=True)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(TRAIN).split(BATCH):
                features = trunk.features(augmented(normalised(images.train[chosen])))
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(head(features.clone()), images.labels[chosen]).backward()
                optimizer.step()
            with torch.no_grad():
                images.evaluate(images.validation, trunk, lambda features: head(features.clone()))
        with torch.no_grad():
            images.evaluate(images.test, trunk, lambda features: head(features.clone()))


def expert(images, trunk):
    """The trunk once for each batch, and twelve heads as one product."""
    grid = list(itertools.product(RATES, DECAYS))
    weights = [torch.nn.Parameter(torch.randn(512, CLASSES) * 0.04) for _ in grid]
    biases = [torch.nn.Parameter(torch.zeros(CLASSES)) for _ in grid]
    groups = [
        {"params": [weight, bias], "lr": rate, "weight_decay": decay}
        for weight, bias, (rate, decay) in zip(weights, biases, grid)
    ]
    optimizer = torch.optim.Adam(groups, fused=True)

    def logits(features):
        every = features.clone() @ torch.cat(weights, 1) + torch.cat(biases)
        return every.view(len(features), len(grid), CLASSES)

    for _ in range(EPOCHS):
        for chosen in torch.randperm(TRAIN).split(BATCH):
            features = trunk.features(augmented(normalised(images.train[chosen])))
            optimizer.zero_grad()
            labels = images.labels[chosen].repeat_interleave(len(grid))
            losses = torch.nn.functional.cross_entropy(logits(features).flatten(0, 1), labels)
            (losses * len(grid)).backward()
            optimizer.step()
        with torch.no_grad():
            images.evaluate(images.validation, trunk, logits)
    with torch.no_grad():
        images.evaluate(images.test, trunk, logits)


def timed(work, *parts):
    start = time.perf_counter()
    work(*parts)
    return time.perf_counter() - start


def bf16_slower(kinds):
    """How many times as long as in f32 a batch takes the trunk in bf16, medians of five in turn."""
    batch = torch.zeros(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    times = {kind: [] for kind in kinds}
    for _ in range(6):
        for kind, trunk in kinds.items():
            times[kind].append(timed(trunk.features, batch))
    median = {kind: statistics.median(each[1:]) for kind, each in times.items()}
    return median["bf16"] / median["f32"]


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    images = Images()
    kinds = {"f32": Trunk(False), "bf16": Trunk(True)}
    slower = bf16_slower(kinds)
    if slower > 2:  # Without instructions for it: it cannot be anybody's best.
        del kinds["bf16"]
    sweeps = [name for name in SWEEPS if "bf16" in kinds or not name.endswith("bf16")]
    times, recorded = {}, {}

    def note(name, seconds):
        times.setdefault(name, []).append(seconds)
        print(f"{name}: {seconds:.2f} s", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        cifar(folder / "images")
        for _ in range(args.rounds):
            for name in sweeps:
                seconds, alone = ours(args, folder, name)
                note(name, seconds)
                for strategy, wall in alone.items():
                    recorded.setdefault(f"{name}: {strategy}", []).append(wall)
            for kind, trunk in kinds.items():
                trunk.features(torch.zeros(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last))
                note(f"PyTorch, {kind}, expert", timed(expert, images, trunk))
                note(f"PyTorch, {kind}, one after another", timed(tutorial, images, trunk) * len(RATES) * len(DECAYS) / TUTORIALS)
    write(args, (list(kinds), slower), {name: statistics.median(seconds) for name, seconds in times.items()}, times, recorded)


def write(args, precisions, median, times, recorded):
    kinds, slower = precisions
    best = lambda what: min(median[f"PyTorch, {kind}, {what}"] for kind in kinds)
    twelve = min(median[name] for name in median if name.startswith("twelve probes"))
    alone = sum(median[f"depth {depth}"] for depth in DEPTHS)
    rows = [
        ("twelve linear probes of ResNet-18 by one", median["twelve probes"] / median["one probe"]),
        ("PyTorch's twelve probes one after another, in its best settings, by ours", best("one after another") / twelve),
        ("PyTorch's twelve probes over one trunk, as an expert writes it, by ours", best("expert") / twelve),
        ("`head`, `last-1`, `last-2` and `full` one after another by together", alone / median["four depths"]),
        ("ten epochs of a probe without augmentation by one", median["ten epochs of a probe"] / median["one epoch of a probe"]),
    ]
    wall = {name: statistics.median(seconds) for name, seconds in recorded.items()}
    told = [("one of twelve `head`", wall["twelve probes: head"] / wall["one probe: head"])]
    told += [(f"`{depth}` of four", wall[f"four depths: {depth}"] / wall[f"depth {depth}: {depth}"]) for depth in DEPTHS]
    here = pathlib.Path(__file__).parent
    precision = (
        "f32, and in bf16 where its name says so; of either side the faster counts" if "bf16" in kinds
        else f"f32 on both sides, as PyTorch takes {slower:.1f} times as long in bf16 on this processor"
    )
    lines = [
        "# What sharing saves",
        "",
        f"Whole sweeps of `frostline`, start-up and reading of images included, and PyTorch's loops without either, in turn, in {precision}; medians of "
        f"{args.rounds} rounds on {args.threads} threads. {TRAIN:,} training images of 32x32, {VALIDATION} to validate on after each of "
        f"{EPOCHS} epochs, {TEST:,} to test on; batches of {BATCH}, flips and padded crops. PyTorch {torch.__version__} runs "
        "channels-last with fused Adam; of its twelve probes one after another two are timed, and taken six times. Made by `just sharing`.",
        "",
        "| time of | ratio |",
        "| --- | --: |",
        *(f"| {name} | {ratio:.2f} |" for name, ratio in rows),
        "",
        "What a trial is said to take alone, where it advanced with others, by what it took where it was alone:",
        "",
        "| trial | ratio |",
        "| --- | --: |",
        *(f"| {name} | {ratio:.2f} |" for name, ratio in told),
        "",
        "| work | seconds, median |",
        "| --- | --: |",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in median.items()),
        "",
    ]
    (here / "SHARING.md").write_text("\n".join(lines))
    machine = {"machine": platform.machine(), "torch": torch.__version__, "threads": args.threads}
    (here / "SHARING.json").write_text(json.dumps({**machine, "ratios": dict(rows), "told": dict(told), "seconds": times, "recorded": recorded}, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
