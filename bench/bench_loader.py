"""Our batches against torchvision's ImageFolder and DataLoader: `python -m bench.bench_loader`.

The same photos (drawn ones where there are none), augmented alike; epochs of both take turns.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from a1.photos import Photos, find_photos, load_photos
from a1.train import RECIPE
from tools.stand_in import draw_photos

PER_CLASS, REPEATS, WORKERS = 1000, 5, 2
THEIRS = transforms.Compose(
    [
        transforms.RandomHorizontalFlip(),
        transforms.RandomCrop(64, padding=8, padding_mode="reflect"),
        transforms.ColorJitter(0.2, 0.2, 0.2),
        transforms.ToTensor(),
        transforms.Normalize((0.5047, 0.4501, 0.3841), (0.275, 0.267, 0.275)),
    ]
)


def seconds(batches):
    """Time of one pass over batches."""
    started = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - started


def main():
    """Measure both and print images per second and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "cnn_dataset")
        try:
            for label, source in find_photos().items():
                (folder / label).mkdir(parents=True)
                for path in sorted(source.glob("[!.]*"))[:PER_CLASS]:
                    (folder / label / path.name).symlink_to(path.resolve())
        except FileNotFoundError:
            draw_photos(folder, PER_CLASS, 0)
        loader = DataLoader(
            datasets.ImageFolder(folder, THEIRS),
            RECIPE["batch_size"],
            shuffle=True,
            drop_last=True,
            num_workers=WORKERS,
            persistent_workers=True,
        )
        images, labels, files = load_photos(PER_CLASS)
        everything = {"train": torch.arange(len(images)), "val": torch.arange(1)}
        data = Photos(images, labels, everything, files)
        seconds(loader)  # starts the workers
        pairs = [
            (seconds(data.batches("train", RECIPE, 0)), seconds(loader)) for _ in range(REPEATS)
        ]
    ours, theirs = (median(times) for times in zip(*pairs))
    seen = data.steps(RECIPE) * RECIPE["batch_size"]
    print(
        f"{len(images):,} photos, {torch.get_num_threads()} threads, {WORKERS} workers, median of {REPEATS}"
    )
    print(f"ours {seen / ours:,.0f} images/s, torchvision {seen / theirs:,.0f}")
    print(f"ratio {median(b / a for a, b in pairs):.1f}; goal: 20, or more")


if __name__ == "__main__":
    main()
