"""A training step of our ResNet-18 against one of torchvision's: `python -m bench.bench_step`.

Same weights to start from, same input, optimizer and loop, float32; steps of the two take turns.
"""

import time
from statistics import median, quantiles

import torch
import torchvision

from a1.models.resnet import ResNet18
from a1.photos import Classification
from a1.setup import DEVICE
from a1.train import RECIPE, train

STEPS, BATCH = 20, 64


class OneBatch(Classification):
    """One batch [64, 3, 64, 64], again and again."""

    def __init__(self):
        x = torch.randn(BATCH, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        self.x = x.to(DEVICE).contiguous(memory_format=torch.channels_last)
        self.y = {part: (torch.arange(BATCH) % 3).to(DEVICE) for part in ("train", "val")}

    def steps(self, recipe):
        """One step an epoch."""
        return 1

    def batches(self, part, recipe, epoch=None):
        """The batch; of validation a single example."""
        yield (self.x, self.y["train"]) if part == "train" else (self.x[:1], self.y["val"][:1])


def main():
    """Measure both and print milliseconds per step and their ratio."""
    ours, theirs = ResNet18(3, stem="7x7"), torchvision.models.resnet18(num_classes=3)
    with torch.no_grad():
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.copy_(other)
    models = {
        name: model.to(DEVICE, memory_format=torch.channels_last)
        for name, model in (("ours", ours), ("torchvision's", theirs))
    }
    recipe = RECIPE | {"epochs": 1, "lr": 0.01, "amp": False, "schedule": "constant"}
    times, losses = {name: [] for name in models}, {}
    for step in range(STEPS + 1):
        for name in sorted(models, reverse=bool(step % 2)):
            started = time.perf_counter()
            state = train(models[name], recipe, OneBatch())
            times[name].append(time.perf_counter() - started)
            losses.setdefault(name, state["first_losses"][0])
    a, b = losses.values()
    assert abs(a - b) < 1e-4 * b, "the two networks do not compute the same"
    pairs = list(zip(times["ours"][1:], times["torchvision's"][1:]))
    low, ratio, high = quantiles(theirs / ours for ours, theirs in pairs)
    print(f"ResNet-18, 7x7 stem, {BATCH} images of 64x64, float32, {DEVICE}, median of {STEPS}")
    print(
        *(f"{name}: {1000 * median(values[1:]):.0f} ms a step" for name, values in times.items()),
        sep="\n",
    )
    print(f"ratio {ratio:.3f} (middle half {low:.3f} to {high:.3f}); goal: 1, not slower")


if __name__ == "__main__":
    main()
