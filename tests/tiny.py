"""A network and data small enough to train in milliseconds, for tests of training and of records."""

import json

import torch
from torch import nn

from a1.photos import Classification
from a1.setup import DEVICE
from a1.train import RECIPE

QUICK = RECIPE | {"epochs": 3, "batch_size": 8, "lr": 0.05, "augment": [], "amp": False}


class TinyData(Classification):
    """Drawn 8x8 images behind the interface of Photos; no part is a multiple of its batches.

    `trained` lists the epochs that were asked for; before epoch `stop_at` comes Ctrl-C.
    """

    SIZES = {"train": 26, "val": 11, "test": 7}

    def __init__(self, seed=0, parts=("train", "val", "test"), device=DEVICE):
        generator = torch.Generator().manual_seed(seed)
        self.id = {"files": f"drawn {seed}", "split": "+".join(parts), "size": 8}
        self.x, self.y, self.trained, self.stop_at = {}, {}, [], None
        for part in parts:
            y = torch.arange(self.SIZES[part]) % 3
            x = (
                torch.randn(len(y), 3, 8, 8, generator=generator)
                + torch.eye(3)[y][:, :, None, None]
            )
            self.x[part], self.y[part] = x.to(device), y.to(device)

    def steps(self, recipe):
        """Steps of an epoch."""
        return len(self.y["train"]) // recipe["batch_size"]

    def batches(self, part, recipe, epoch=None):
        """Batches; for training whole ones only, shuffled, in changing light."""
        training, n = epoch is not None, len(self.y[part])
        if training:
            if epoch == self.stop_at:
                raise KeyboardInterrupt
            self.trained.append(epoch)
        device = self.y[part].device
        order = torch.randperm(n, device=device) if training else torch.arange(n, device=device)
        chosen = order.split(recipe["batch_size"])
        for index in chosen[: self.steps(recipe)] if training else chosen:
            x, y = self.x[part][index], self.y[part][index]
            yield x * (0.9 + 0.2 * torch.rand(1, device=x.device)) if training else x, y

    def tiny(self):
        """What `probe` trains on."""
        return TinyData(99, ("train", "val"), "cpu")


def make_tiny(width=6, dropout=0.3):
    """A network with convolution, batch norm and dropout."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * width, 3),
    )


def same_tensors(one, other):
    """Whether two state dicts hold the same names and the same bits, on whatever devices."""
    if one.keys() != other.keys():
        return False
    return all(torch.equal(one[name].cpu(), other[name].cpu()) for name in one)


def outcome(path):
    """All of a finished run that does not depend on the clock: record as text, weights, arrays."""
    record = json.loads(path.read_text()) | {"date": None}
    for epoch in record["history"]:
        del epoch["seconds"]
    weights = torch.load(path.with_suffix(".pt"), weights_only=True)
    return json.dumps(record), weights, path.with_suffix(".npz").read_bytes()


def same_outcome(path, other):
    """Whether two finished runs are equal to the bit."""
    (one, weights, arrays), (two, others, more) = outcome(path), outcome(other)
    return one == two and arrays == more and same_tensors(weights, others)
