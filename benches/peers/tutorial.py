"""The tutorial's training loop in PyTorch on CIFAR-10's binary batches, timed by epoch.

Fine-tunes all of torchvision's ResNet-18 with Adam at 1e-3 in batches of 64, with random flips and padded crops, as the
tutorial does; a tenth of the training images is set aside, as in `experiments/article.toml`. `--weights` takes a
safetensors file under torchvision's names (needs the package safetensors); the head is drawn anew.
"""

import argparse
import time
from pathlib import Path

import numpy
import torch
import torchvision
from torchvision import transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Images(torch.utils.data.Dataset):
    def __init__(self, records, transform):
        self.records, self.transform = records, transform

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        record = self.records[index]
        image = transforms.functional.to_pil_image(torch.from_numpy(record[1:].reshape(3, 32, 32)))
        return self.transform(image), int(record[0])


def read(folder, names):
    return numpy.concatenate([numpy.fromfile(folder / name, dtype=numpy.uint8).reshape(-1, 3073) for name in names])


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in loader)
    return right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="with data_batch_1.bin … and test_batch.bin")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="processes that load data")
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    augment = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=4), *last])
    training = read(args.folder, [f"data_batch_{part}.bin" for part in range(1, 6)])
    order = numpy.random.default_rng(0).permutation(len(training))
    held = len(training) // 10
    loader = lambda records, transform, shuffle: torch.utils.data.DataLoader(
        Images(records, transform), batch_size=64, shuffle=shuffle, num_workers=args.workers
    )
    train = loader(training[order[held:]], augment, True)
    validation = loader(training[order[:held]], transforms.Compose(last), False)
    test = loader(read(args.folder, ["test_batch.bin"]), transforms.Compose(last), False)
    model = torchvision.models.resnet18()
    if args.weights:
        from safetensors.torch import load_file

        state = {name: tensor for name, tensor in load_file(args.weights).items() if not name.startswith("fc.")}
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert set(missing) == {"fc.weight", "fc.bias"} and not unexpected, (missing, unexpected)
    model.fc = torch.nn.Linear(512, 10)
    optimizer, loss_of = torch.optim.Adam(model.parameters(), lr=1e-3), torch.nn.CrossEntropyLoss()
    for epoch in range(1, args.epochs + 1):
        start = time.perf_counter()
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss_of(model(images), labels).backward()
            optimizer.step()
        trained = time.perf_counter()
        score = accuracy(model, validation)
        print(f"epoch {epoch}: training {trained - start:.1f} s, validation {time.perf_counter() - trained:.1f} s, {score:.4f}", flush=True)
    start = time.perf_counter()
    score = accuracy(model, test)
    print(f"test: {time.perf_counter() - start:.1f} s, {score:.4f}")


if __name__ == "__main__":
    main()
