"""A network and a data set small enough to train in milliseconds, for the tests of training and of the run store."""

import random

import numpy as np
import torch
from torch import nn

from a1.setup import DEVICE


class TinyData:
    """Drawn 8x8 images of three classes behind the interface of ImageSplits; no part is a multiple of its batches."""

    SIZES = {"train": 26, "val": 11, "test": 7}

    def __init__(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.fingerprint = f"tiny data {seed}"
        self.about = {"source": "drawn", "sizes": self.SIZES}
        self.parts = {}
        for part, size in self.SIZES.items():
            y = torch.arange(size) % 3
            x = torch.randn(size, 3, 8, 8, generator=generator) + torch.eye(3)[y][:, :, None, None]
            self.parts[part] = x.to(DEVICE), y.to(DEVICE)

    def loader(self, part, recipe, train=False, epoch=0):
        return TinyLoader(*self.parts[part], recipe.batch_size, train)


class TinyLoader:
    """Batches, the last one smaller; for training shuffled and disturbed by all three random generators."""

    def __init__(self, x, y, batch_size, train=False):
        self.x, self.y, self.batch_size, self.train = x, y, batch_size, train

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __iter__(self):
        order = torch.randperm(len(self.x)) if self.train else torch.arange(len(self.x))
        for chosen in order.split(self.batch_size):
            x = self.x[chosen]
            if self.train:
                x = x * random.uniform(0.9, 1.1) + float(np.random.normal(0, 0.1))
            yield x, self.y[chosen]


def make_tiny(width=6, dropout=0.3):
    """A network with convolution, batch normalisation and dropout."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * width, 3),
    )  # fmt: skip


def same_tensors(one, other):
    """Whether two state dicts hold the same names and the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_seconds(history):
    """A history less what differs from run to run."""
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


def on_meta(make, *args, **kwargs):
    """Build a network without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return make(*args, **kwargs)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def of_type(module, kind):
    return [part for part in module.modules() if isinstance(part, kind)]
