#!/usr/bin/env python3
"""The PyTorch side of the comparison: one piece of work, timed on demand.

    torch_worker.py '{"model": "resnet18", "resolution": 32, "batch": 64, "strategy": "full", "mode": "train",
                      "channels_last": true, "fused": true, "compile": false, "threads": 2}'

Says `ready VERSION` when warm, then for each line `N` on standard input runs N steps and prints seconds a step; at the
end of input it prints `peak BYTES`. A step is forward, loss, backward and Adam on a batch that is already a tensor:
what the tutorial's loop does to a batch, without the loader.
"""
import json
import resource
import sys
import time

import torch
import torchvision


def build(job):
    torch.manual_seed(0)
    model = getattr(torchvision.models, job["model"])(weights=None)
    head = {"resnet18": "fc", "resnet34": "fc", "alexnet": "classifier.6"}[job["model"]]
    parent, name = head.rpartition(".")[::2]
    owner = model.get_submodule(parent) if parent else model
    setattr_target = owner[int(name)] if name.isdigit() else getattr(owner, name)
    fresh = torch.nn.Linear(setattr_target.in_features, 10)
    if name.isdigit():
        owner[int(name)] = fresh
    else:
        setattr(owner, name, fresh)
    if job["strategy"] == "head":
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in fresh.parameters():
            parameter.requires_grad_(True)
    return model


def main():
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    model = build(job)
    x = torch.randn(job["batch"], 3, job["resolution"], job["resolution"])
    y = torch.randint(0, 10, (job["batch"],))
    if job["channels_last"]:
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    training = job["mode"] == "train"
    # At its best a frozen trunk is in evaluation mode, as feature extraction wants it; the tutorial leaves it training.
    model.train(training and not (job["strategy"] == "head" and job["best"]))
    run = torch.compile(model) if job["compile"] else model
    if training:
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True if job["fused"] else None)

        def step():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(run(x), y).backward()
            optimizer.step()
    else:

        def step():
            with torch.inference_mode():
                run(x)

    for _ in range(3):
        step()
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        n = int(line)
        start = time.perf_counter()
        for _ in range(n):
            step()
        print((time.perf_counter() - start) / n, flush=True)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


main()
