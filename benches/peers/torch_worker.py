"""PyTorch's side of the comparison: one process, one piece of work, timed when asked.

Speaks a line protocol on standard input and output: prints `ready`, then for each line `N` runs N steps and prints the
seconds per step; before several (short) steps it runs one untimed, as another process had the caches. For `peak` it prints
the most memory the process has had, in bytes.
"""

import argparse
import resource
import sys
import time

import torch
import torchvision

# So low that the one batch is not learnt by heart: gradients would become denormal numbers, with which processors are slow.
RATE = 1e-5


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--resolution", type=int, required=True)
    parser.add_argument("--strategy", choices=["full", "head", "inference"], required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    return parser.parse_args()


def untrained(name, resolution):
    """torchvision's network of a name in experiment files, for ten classes."""
    if name == "vit_tiny_patch4":
        sizes = {"patch_size": 4, "num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
        return torchvision.models.VisionTransformer(image_size=resolution, num_classes=10, **sizes)
    arguments = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    if name.startswith(("convnext", "efficientnet")):
        arguments = {"stochastic_depth_prob": 0.0}
    if name.startswith("efficientnet"):
        arguments["dropout"] = 0.0
    return torchvision.models.get_model(name, weights=None, num_classes=10, **arguments)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = untrained(args.model, args.resolution)
    images = torch.randn(args.batch, 3, args.resolution, args.resolution)
    labels = torch.randint(0, 10, (args.batch,))
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    head = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    train = args.strategy != "inference"
    if args.strategy == "head":
        # Feature extraction as tutorials write it: the trunk is in evaluation mode and asks for no gradients.
        for parameter in model.parameters():
            parameter.requires_grad = False
        for parameter in head.parameters():
            parameter.requires_grad = True
        model.eval()
    else:
        model.train(train)
    run = torch.compile(model) if args.compile else model
    loss_of = torch.nn.CrossEntropyLoss()
    cast = lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16)
    if train:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=RATE, fused=args.fused or None)

    def step():
        if not train:
            with torch.inference_mode(), cast():
                run(images)
            return
        optimizer.zero_grad()
        with cast():
            loss = loss_of(run(images), labels)
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    print("ready", torch.__version__, torchvision.__version__, flush=True)
    for line in sys.stdin:
        if line.strip() == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
            continue
        steps = int(line)
        if steps > 1:
            step()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        print((time.perf_counter() - start) / steps, flush=True)


if __name__ == "__main__":
    main()
