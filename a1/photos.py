"""The course's photos: found, decoded, split, augmented, and given in batches."""

import hashlib
import os
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from filelock import FileLock
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torchvision.io import ImageReadMode, decode_image, read_file

from a1.files import data_places
from a1.setup import DEVICE

CLASSES = ("dogs", "food", "vehicles")
PARTS = ("train", "val", "test")


def unpack(archive):
    """The folder that a zip's files were unpacked to, once: in data/ beside the notebook."""
    folder = Path("data", f"{archive.stem}-{archive.stat().st_size}")
    with FileLock(f"{folder}.lock"):  # of two notebooks one unpacks, the other waits
        if not folder.exists():
            shutil.unpack_archive(archive, part := folder.with_name(f".{folder.name}"))
            os.replace(part, folder)
    return folder


def find_photos():
    """{class: its folder}, found in $A1_DATA, here, in data/, on Colab's disk or Drive."""
    for place in data_places():
        zips = map(unpack, sorted(place.glob("[cC][nN][nN]_[dD]ataset*.zip")))
        for folder in chain([place / "cnn_dataset", place], zips):
            for inner in (folder, *sorted(folder.glob("[!.]*/"))):
                own = {p.name.lower(): p for p in inner.glob("[!.]*/") if any(p.glob("[!.]*[gG]"))}
                if own.keys() >= set(CLASSES):
                    for note in inner.parent.glob("STAND_IN.txt"):
                        print(note.read_text())
                    return {name: own[name] for name in CLASSES}
    where = "here, in data/, $A1_DATA or /content: put the zip beside this notebook, or `make data`"
    raise FileNotFoundError(f"no cnn_dataset.zip and no {', '.join(CLASSES)} of photos {where}")


def load_photos(per_class=None):
    """Images uint8 [N, 3, 64, 64], labels int64 [N], and a hash of the files' names and bytes."""
    images, labels, files = [], [], hashlib.sha256()
    for label, (name, folder) in enumerate(find_photos().items()):
        paths = (p for p in folder.glob("[!.]*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for path in sorted(paths, key=lambda p: (len(p.stem), p.stem))[:per_class]:  # 2 before 10
            try:
                content = read_file(str(path))
                images.append(decode_image(content, ImageReadMode.RGB))
                assert images[-1].shape == (3, 64, 64), f"its shape is {tuple(images[-1].shape)}"
            except (RuntimeError, AssertionError) as error:
                raise ValueError(f"{path} is no photo of 64x64 pixels: {error}") from None
            labels.append(label)
            digest = hashlib.sha256(content.numpy().tobytes()).digest()
            files.update(f"{name}/{path.name}".encode() + digest)
    return torch.stack(images), torch.tensor(labels), files.hexdigest()


def split_indices(images, labels, seed=0):
    """{part: sorted int64 indices}: 70/15/15, stratified; copies of a photo stay together."""
    hashes = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images]
    group, distinct = pd.factorize(np.array(hashes))
    y = pd.Series(labels.numpy()).groupby(group).first().to_numpy()
    index = np.arange(len(distinct))
    train, rest = train_test_split(index, train_size=0.7, stratify=y, random_state=seed)
    val, test = train_test_split(rest, train_size=0.5, stratify=y[rest], random_state=seed)
    chosen = (torch.from_numpy(np.flatnonzero(np.isin(group, g))) for g in (train, val, test))
    return dict(zip(PARTS, chosen))


def random_flip(x):
    """Mirror each image of [N, C, H, W] left to right with probability 1/2."""
    mirrored = torch.rand(len(x), device=x.device) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(3), x)


def random_shift(x, pixels=8):
    """Shift each image by up to `pixels` both ways; the border is filled by reflection."""
    n, _, height, width = x.shape
    windows = F.pad(x, (pixels,) * 4, mode="reflect").unfold(2, height, 1).unfold(3, width, 1)
    dy, dx = torch.randint(0, 2 * pixels + 1, (2, n), device=x.device)
    return windows[torch.arange(n, device=x.device), :, dy, dx]


def color_jitter(x, strength=0.2):
    """Scale brightness, contrast and saturation of each image (0 to 255) by 1 +- `strength`."""
    x = x.float()
    draws = torch.rand(3, len(x), 1, 1, 1, device=x.device)
    brightness, contrast, saturation = 1 + strength * (2 * draws - 1)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = x.mul_(brightness * contrast).add_(brightness * mean * (1 - contrast))
    gray = x.mean(dim=1, keepdim=True)
    return x.mul_(saturation).add_(gray * (1 - saturation)).clamp_(0, 255)


AUGMENTATIONS = {"flip": random_flip, "shift": random_shift, "color": color_jitter}


class Classification:
    """What is minimised and measured where outputs are logits [B, K], targets int64 [B]:
    sums over a batch, metrics of a part, an epoch's score, and what is kept of the test part."""

    def loss(self, logits, y, recipe):
        return F.cross_entropy(logits, y, label_smoothing=recipe["label_smoothing"])

    def measures(self, logits, y):
        loss = F.cross_entropy(logits, y, reduction="sum")
        return {"loss": loss, "acc": (logits.argmax(1) == y).sum()}

    def metrics(self, logits, y):
        sums = {name: float(total) / len(y) for name, total in self.measures(logits, y).items()}
        return sums | {"macro_f1": float(f1_score(y, logits.argmax(1), average="macro"))}

    def score(self, epoch):
        return epoch["val_acc"]

    def keep(self, logits):
        return {"test_probs": logits.softmax(1)}


class Photos(Classification):
    """Photos of each part on one device, and the batches made of them, at `size` pixels.

    images uint8 [N, 3, 64, 64]; labels int64 [N]; indices {part: int64}, a study's without test;
    files: their hash. `tiny` draws ten training images and eight others, on the CPU.
    """

    def __init__(self, images, labels, indices, files, size=64, device=DEVICE):
        self.x = {part: images[index].to(device) for part, index in indices.items()}
        self.y = {part: labels[index].to(device) for part, index in indices.items()}
        moments = torch.std_mean(self.x["train"].float(), (0, 2, 3), correction=0)
        self.std, self.mean = (moment.view(3, 1, 1) for moment in moments)
        split = hashlib.sha256(b"".join(index.numpy().tobytes() for index in indices.values()))
        self.size, self.id = size, {"files": files, "split": split.hexdigest(), "size": size}

    def steps(self, recipe):
        return max(1, len(self.y["train"]) // recipe["batch_size"])

    def batches(self, part, recipe, epoch=None):
        """x float32 [B, 3, size, size], y int64 [B]; for training, given an epoch, augmented."""
        training, n, device = epoch is not None, len(self.y[part]), self.y[part].device
        small = training and recipe["image_sizes"][epoch : epoch + 1]  # () past the last one
        size = min(small[0], self.size) if small else self.size
        order = torch.randperm(n, device=device) if training else torch.arange(n, device=device)
        chosen = order.split(recipe["batch_size"])
        for index in chosen[: self.steps(recipe)] if training else chosen:
            x = self.x[part][index]
            for name in recipe["augment"] if training else ():
                x = AUGMENTATIONS[name](x)
            x = (x.float() - self.mean) / self.std
            if size != x.shape[-1]:
                x = F.interpolate(x, size=size, mode="area")
            yield x.contiguous(memory_format=torch.channels_last), self.y[part][index]

    def tiny(self):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (18, 3, 64, 64), dtype=torch.uint8, generator=generator)
        parts = {"train": torch.arange(10), "val": torch.arange(10, 18)}
        return Photos(images, torch.arange(18) % 3, parts, "drawn", self.size, "cpu")
