#!/usr/bin/env python3
"""Makes the golden files beside this script: what Pillow gives for resizing and for decoding.

    pip install numpy pillow torch torchvision && python3 images.py

resize.bin   for each case of CASES the resized pixels, [height, width, 3], of the formula image of its source size
grey.png, alpha.png, colour.jpg, grey.jpg, progressive.jpg   small images, 11 high and 14 wide
decoded.bin  Pillow's convert("RGB") of these, in this order
"""
import pathlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms.v2 import functional as F

HERE = pathlib.Path(__file__).parent
# (source height, source width), (target height, target width)
CASES = [((9, 13), (32, 20)), ((32, 32), (64, 64)), ((64, 48), (8, 10)), ((50, 75), (32, 32)), ((8, 8), (32, 32)), ((7, 90), (40, 31))]


def formula(height, width):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((y * 37 + x * 59 + c * 83 + x * y * 7) % 256).astype(np.uint8)


out = b""
for source, (height, width) in CASES:
    image = formula(*source)
    pillow = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    vision = F.resize(tensor, [height, width], antialias=True).permute(1, 2, 0).numpy()
    difference = np.abs(pillow.astype(int) - vision.astype(int)).max()
    assert difference <= 1, difference
    out += pillow.tobytes()
(HERE / "resize.bin").write_bytes(out)

y, x = np.meshgrid(np.arange(11), np.arange(14), indexing="ij")
smooth = np.stack([20 + y * 18, 230 - x * 13, 60 + y * 5 + x * 7], axis=2).astype(np.uint8)
grey = smooth[:, :, 0]
alpha = np.concatenate([smooth, (x * 18)[:, :, None].astype(np.uint8)], axis=2)
Image.fromarray(grey).save(HERE / "grey.png")
Image.fromarray(alpha).save(HERE / "alpha.png")
Image.fromarray(smooth).save(HERE / "colour.jpg", quality=95, subsampling=0)
Image.fromarray(grey).save(HERE / "grey.jpg", quality=95)
Image.fromarray(smooth).save(HERE / "progressive.jpg", quality=95, progressive=True)
names = ["grey.png", "alpha.png", "colour.jpg", "grey.jpg", "progressive.jpg"]
(HERE / "decoded.bin").write_bytes(b"".join(Image.open(HERE / name).convert("RGB").tobytes() for name in names))
print("pillow", PIL.__version__, "torchvision", torchvision.__version__, len(out))
