"""Our image batches against torchvision's ImageFolder and DataLoader: `python -m bench.bench_loader`.

Both read the same photos from the same folder and augment them alike, in turn in one process. Goal: 20 times
the images per second, decode cache warm.
"""

import argparse
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from a1.data.images import (
    CLASSES,
    PARTS,
    ImageSplits,
    decode_all,
    find_cnn_dataset,
    list_members,
)
from a1.data.standin import draw_stand_in
from a1.train import Recipe

GOAL = 20
BATCH_SIZE = 128
WORKERS = 2
STANDARDISE = [
    transforms.ToTensor(),
    transforms.Normalize((0.5047, 0.4501, 0.3841), (0.275, 0.267, 0.275)),
]
SHIFT = transforms.RandomCrop(64, padding=8, padding_mode="reflect")
AUGMENTATIONS = {  # ours, and the same of torchvision
    ("flip", "shift"): [transforms.RandomHorizontalFlip(), SHIFT],
    ("flip", "shift", "color"): [
        transforms.RandomHorizontalFlip(),
        SHIFT,
        transforms.ColorJitter(0.2, 0.2, 0.2),
    ],
}


def unpack(folder, per_class):
    """Write `per_class` photos of each class to `folder`/<class>/, real ones where found; says which."""
    source = find_cnn_dataset()
    for name in CLASSES:
        (folder / name).mkdir()
    if source is None:
        drawn = draw_stand_in(per_class)
        for name, image in zip(drawn.names, drawn.images):
            path = (folder / name).with_suffix(".jpg")
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=95)
        return "drawn"
    members, _ = list_members(source)
    chosen = [[name for name in members if name.startswith(f"{label}/")][:per_class] for label in CLASSES]
    archive = None if source.is_dir() else zipfile.ZipFile(source)
    for name in sum(chosen, []):
        path = members[name]
        (folder / name).write_bytes((source / path).read_bytes() if archive is None else archive.read(path))
    return f"of {source.name}"


def ours(folder, augment):
    """A training loader over all photos of `folder`, decoded here and now."""
    photos = decode_all(folder)
    everything = torch.arange(len(photos.images))
    data = ImageSplits(photos, dict.fromkeys(PARTS, everything[:1]) | {"train": everything})
    return data.loader("train", Recipe(epochs=1, batch_size=BATCH_SIZE, augment=augment), train=True)


def theirs(folder, augment):
    """The same with torchvision, its workers kept alive from epoch to epoch."""
    images = datasets.ImageFolder(folder, transforms.Compose([*AUGMENTATIONS[augment], *STANDARDISE]))
    return DataLoader(
        images, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )


def seconds_of_epoch(loader):
    started = time.perf_counter()
    seen = sum(len(y) for _, y in loader)
    assert seen == len(loader) * BATCH_SIZE
    return time.perf_counter() - started


def first_epoch(make_loader, folder, augment):
    """The loader, and the seconds from nothing to the end of its first epoch."""
    started = time.perf_counter()
    loader = make_loader(folder, augment)
    seconds_of_epoch(loader)
    return loader, time.perf_counter() - started


def compare(folder, augment, repeats):
    """Rows (when, our seconds, their seconds, ratio) for one epoch, cold and warm."""
    our_loader, our_cold = first_epoch(ours, folder, augment)
    their_loader, their_cold = first_epoch(theirs, folder, augment)
    pairs = [(seconds_of_epoch(our_loader), seconds_of_epoch(their_loader)) for _ in range(repeats)]
    our_warm, their_warm = (median(times) for times in zip(*pairs))
    ratio = median(theirs / ours for ours, theirs in pairs)
    return len(our_loader) * BATCH_SIZE, [
        ("first epoch, decoding", our_cold, their_cold, their_cold / our_cold),
        ("later epochs", our_warm, their_warm, ratio),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-class", type=int, default=2000, help="photos of each class")
    parser.add_argument("--repeats", type=int, default=5, help="warm epochs of each; the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        origin = unpack(folder, options.per_class)
        print(
            f"{3 * options.per_class:,} photos ({origin}), batches of {BATCH_SIZE}, median of {options.repeats}"
        )
        print(f"torchvision with {WORKERS} workers; ours in {torch.get_num_threads()} threads; images/s\n")
        print(f"{'augmentation':<19} {'':<22} {'ours':>9} {'torchvision':>12} {'ratio':>7}   goal")
        for augment in AUGMENTATIONS:
            images, rows = compare(folder, augment, options.repeats)
            for when, our_seconds, their_seconds, ratio in rows:
                goal = f">= {GOAL}" if when == "later epochs" else ""
                print(
                    f"{' + '.join(augment):<19} {when:<22} {images / our_seconds:>9,.0f}"
                    f" {images / their_seconds:>12,.0f} {ratio:>7.1f}   {goal}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
