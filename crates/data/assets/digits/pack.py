#!/usr/bin/env python3
"""Packs scikit-learn's digits.csv.gz into digits.zlib, the form that the crate embeds.

    pip download scikit-learn --no-deps          # any version since 0.11
    unzip -p scikit_learn-*.whl sklearn/datasets/data/digits.csv.gz > digits.csv.gz
    python3 pack.py digits.csv.gz

A row of the table is 64 pixels (0..16, row by row) and the digit. The packed form is zlib over
1797 label bytes followed by 1797 * 64 pixel bytes. Prints the sha256 of the bytes before compression,
which a test of the crate repeats.
"""
import gzip
import hashlib
import pathlib
import sys
import zlib

rows = [[int(cell) for cell in line.split(",")] for line in gzip.open(sys.argv[1], "rt")]
assert len(rows) == 1797 and all(len(row) == 65 and max(row[:64]) <= 16 and row[64] <= 9 for row in rows)
plain = bytes(row[64] for row in rows) + bytes(pixel for row in rows for pixel in row[:64])
pathlib.Path(__file__).with_name("digits.zlib").write_bytes(zlib.compress(plain, 9))
print(hashlib.sha256(plain).hexdigest())
