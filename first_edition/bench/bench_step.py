"""A training step of our ResNet-18 against one of torchvision's: `python -m bench.bench_step`.

Same weights to start from, same input, optimizer and training loop, float32, channels last; the two take turns in
one process. Goal: not slower.
"""

import argparse
import time
from statistics import median, quantiles

import torch
import torchvision

from a1.models.resnet import ResNet18
from a1.setup import DEVICE, seed_everything
from a1.train import OPTIMIZERS, Recipe, train_epoch


class Trainee:
    """A network with its optimizer, taking one training step at a time."""

    def __init__(self, model, recipe):
        self.model, self.recipe = model.to(DEVICE, memory_format=torch.channels_last), recipe
        self.optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), recipe.lr, recipe.weight_decay)
        self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=False)

    def step(self, batch):
        """Train on `batch`; returns the seconds it took and the loss."""
        started = time.perf_counter()
        epoch = train_epoch(self.model, [batch], self.optimizer, self.recipe, self.scaler)
        return time.perf_counter() - started, epoch["loss"]  # the loss has been read: the device is done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="steps of each; the median counts")
    options = parser.parse_args()

    seed_everything(0)
    size, classes = options.image_size, options.classes
    x = torch.randn(options.batch_size, 3, size, size, device=DEVICE).contiguous(
        memory_format=torch.channels_last
    )
    y = torch.randint(0, classes, (options.batch_size,), device=DEVICE)
    recipe = Recipe(epochs=1, lr=0.01, amp=False)
    ours, theirs = ResNet18(classes, stem="7x7"), torchvision.models.resnet18(num_classes=classes)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    with torch.no_grad():
        for our_parameter, their_parameter in zip(ours.parameters(), theirs.parameters()):
            our_parameter.copy_(their_parameter)
    ours, theirs = Trainee(ours, recipe), Trainee(theirs, recipe)
    (_, our_loss), (_, their_loss) = ours.step((x, y)), theirs.step((x, y))
    assert abs(our_loss - their_loss) < 1e-4 * their_loss, "the two networks do not compute the same"

    pairs = []
    for step in range(options.steps):
        first, second = (ours, theirs) if step % 2 else (theirs, ours)
        times = {trainee: trainee.step((x, y))[0] for trainee in (first, second)}
        pairs.append((times[ours], times[theirs]))
    low, ratio, high = quantiles(their_time / our_time for our_time, their_time in pairs)
    print(
        f"[{options.batch_size}, 3, {size}, {size}], {classes} classes, float32, {DEVICE}, median of {options.steps}\n"
    )
    print(f"{'ResNet-18':<12} {'ms per step':>12} {'images/s':>9}")
    for name, times in zip(("ours", "torchvision"), zip(*pairs)):
        print(f"{name:<12} {1000 * median(times):>12.1f} {options.batch_size / median(times):>9.1f}")
    print(
        f"\nours is {ratio:.3f} times as fast (middle half of the pairs {low:.3f} to {high:.3f}); goal: 1, not slower"
    )


if __name__ == "__main__":
    main()
