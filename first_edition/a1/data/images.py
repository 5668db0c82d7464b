"""The course's CNN data set: find it, check it, decode it once, split it, and batch it on the device."""

import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.model_selection import train_test_split

from a1.files import atomic_write

CLASSES = ("dogs", "food", "vehicles")
IMAGE_SIZE = 64
PARTS = ("train", "val", "test")
# What reading a damaged zip raises: RuntimeError where a flipped bit says "encrypted" or "method 99".
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


class DataError(Exception):
    """A data set that is missing or damaged; the message says which file, what is wrong, what to do."""


def data_folders():
    """Existing folders in which data is looked for, in this order: $A1_DATA, data/, Colab, Drive."""
    named = os.environ.get("A1_DATA")
    if named and not Path(named).is_dir():
        raise DataError(f"A1_DATA is set to {named}, which is not a folder: correct it or unset it.")
    places = (named, "data", "/content", "/content/drive/MyDrive")
    return [Path(place) for place in places if place and Path(place).is_dir()]


def find_cnn_dataset():
    """Path of the first `cnn_dataset*.zip`, or folder with class folders, in the data folders; or None."""
    for folder in data_folders():
        archives = sorted(folder.glob("cnn_dataset*.zip"))
        trees = [folder / "cnn_dataset", folder / "cnn_dataset" / "cnn_dataset", folder]
        found = archives + [tree for tree in trees if any((tree / name).is_dir() for name in CLASSES)]
        if found:
            return found[0]
    return None


@dataclass
class ImageSet:
    """Decoded photos and where they come from."""

    images: torch.Tensor  # uint8 [N, 3, 64, 64]
    labels: torch.Tensor  # int64 [N], index into CLASSES
    names: list  # N names such as "dogs/17.jpg"
    fingerprint: str  # hash of names and file contents
    source: str  # for people
    notes: list  # repairs made while reading, one sentence each


def list_members(source):
    """Image files of a zip or folder as {"dogs/17.jpg": its path there}, and the files passed over.

    The class folders may stand at the root or inside other folders. Raises DataError where the
    source cannot be read, a class is missing or empty, or a zip's path climbs out of its folder.
    """
    advice = "Download cnn_dataset.zip from the course site again and put it into data/."
    if source.is_dir():
        paths = [f"{name}/{file.name}" for name in CLASSES for file in (source / name).glob("*")]
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                paths = [info.filename for info in archive.infolist() if not info.is_dir()]
        except ZIP_ERRORS as error:
            raise DataError(
                f"{source} cannot be read as a zip, it is damaged or incomplete ({error}). {advice}"
            ) from None
    members, passed_over, roots = {}, [], set()
    for path in paths:
        parts = PurePosixPath(path.replace("\\", "/")).parts
        if ".." in parts or path.startswith("/"):
            raise DataError(
                f"{source} holds the path {path}, which climbs out of its folder: do not use this file. {advice}"
            )
        if "__MACOSX" in parts or len(parts) < 2 or parts[-2] not in CLASSES:
            continue
        if PurePosixPath(path).suffix.lower() not in (".jpg", ".jpeg", ".png", ".bmp", ".webp"):
            passed_over.append("/".join(parts[-2:]))
            continue
        members["/".join(parts[-2:])] = path
        roots.add(parts[:-2])
    if len(roots) > 1:
        places = ", ".join(sorted("/".join(root) or "the root" for root in roots))
        raise DataError(f"{source} holds the class folders more than once (in {places}): keep one of them.")
    counts = Counter(member.split("/")[0] for member in members)
    empty = [name for name in CLASSES if not counts[name]]
    if empty:
        raise DataError(
            f"{source} has no images in {', '.join(f'{name}/' for name in empty)}; it needs dogs/, food/ and vehicles/. {advice}"
        )

    def by_class_and_number(member):
        return [int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", member)], member

    return {member: members[member] for member in sorted(members, key=by_class_and_number)}, passed_over


def decode_image(data, size=IMAGE_SIZE):
    """Decode one file's bytes into uint8 [3, size, size]; also says what had to be repaired.

    Other colour modes are converted to RGB; other sizes are cropped to the central square and
    resized. Returns (None, "damaged") where the bytes are no readable image.
    """
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception:  # Pillow raises OSError, SyntaxError, ValueError, struct.error ... on bad bytes
        return None, "damaged"
    repairs = []
    if image.mode != "RGB":
        repairs.append("converted to RGB")
        image = image.convert("RGB")
    if image.size != (size, size):
        repairs.append(f"cropped and resized to {size}x{size}")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    return np.asarray(image).transpose(2, 0, 1), " and ".join(repairs)


def decode_all(source):
    """Read every photo of `source` into an ImageSet; DataError where more than 1% are damaged."""
    members, passed_over = list_members(source)
    images = np.empty((len(members), 3, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    names, digest, repairs = [], hashlib.sha256(), {}
    # One thread: Pillow holds the interpreter lock for most of so small a photo, two threads take twice as long.
    with nullcontext() if source.is_dir() else zipfile.ZipFile(source) as archive:
        for name, path in members.items():
            try:
                data = archive.read(path) if archive else (source / path).read_bytes()
            except ZIP_ERRORS:
                data = b""
            image, repair = decode_image(data)
            if repair:
                repairs.setdefault(repair, []).append(name)
            if image is not None:
                images[len(names)] = image
                names.append(name)
                digest.update(name.encode() + hashlib.sha256(data).digest())
    damaged = len(repairs.get("damaged", []))
    if damaged > max(10, len(members) // 100):
        raise DataError(
            f"{source}: {damaged} of {len(members)} images are damaged, {repairs['damaged'][0]} first. Download the data set again."
        )
    labels = torch.tensor([CLASSES.index(name.split("/")[0]) for name in names])
    if len(labels.unique()) < len(CLASSES):
        raise DataError(f"{source}: a class has no readable image left. Download the data set again.")
    if passed_over:
        repairs["no image file"] = passed_over
    verbs = {"damaged": "damaged, left out", "no image file": "not an image file, passed over"}
    notes = [
        f"{len(files)} x {verbs.get(repair, repair)}: {', '.join(files[:3])}{' ...' if len(files) > 3 else ''}"
        for repair, files in repairs.items()
    ]
    return ImageSet(
        torch.from_numpy(images[: len(names)]),
        labels,
        names,
        digest.hexdigest(),
        f"{source.name}, {len(names):,} photos",
        notes,
    )


def source_signature(source):
    """Changes whenever a file of `source` is added, removed, resized or touched."""
    if source.is_dir():
        files = {f"{name}/{file.name}": file for name in CLASSES for file in (source / name).glob("*")}
    else:
        files = {source.name: source}
    stats = [(name, files[name].stat().st_size, files[name].stat().st_mtime_ns) for name in sorted(files)]
    return hashlib.sha256(json.dumps(["v1", stats]).encode()).hexdigest()


def is_writable(folder):
    """Whether new files may be made in `folder` (root may ignore the mode bits; we do not)."""
    return folder.is_dir() and bool(folder.stat().st_mode & 0o222) and os.access(folder, os.W_OK)


def cached(source, name, decode, unpack):
    """`unpack` of the arrays that `decode()` makes of `source`, or that the cache holds: (what it returns, notes).

    Decoding takes seconds, reading the cache a fraction of one. The cache, a file called `name`, stands beside
    the data, or in data/ where that folder is read-only, and is rebuilt when the source changes.
    """
    signature = source_signature(source)
    folders = [source if source.is_dir() else source.parent, Path("data")]
    for folder in folders:
        try:
            with np.load(folder / name, allow_pickle=False) as cache:
                if str(cache["signature"]) == signature:
                    return unpack(cache), []
        except (*ZIP_ERRORS, KeyError, TypeError):
            pass  # absent, damaged or of another version: decode again
    arrays = decode()
    for folder in filter(is_writable, folders):
        try:
            with atomic_write(folder / name) as file:
                np.savez(file, signature=signature, **arrays)
            return unpack(arrays), []
        except OSError:
            pass  # the disk is full, or read-only in a way that mode bits do not tell
    note = f"{folders[0]} is read-only or full: the decoded data is not cached and will be decoded again next time"
    return unpack(arrays), [note]


def load_cnn_dataset(source):
    """ImageSet of a zip or folder, from the cache beside it where that is up to date."""

    def decode():
        decoded = decode_all(source)
        meta = {name: getattr(decoded, name) for name in ("names", "fingerprint", "source", "notes")}
        return {
            "images": decoded.images.numpy(),
            "labels": decoded.labels.numpy(),
            "meta": np.array(json.dumps(meta)),
        }

    def unpack(arrays):
        images, labels = (torch.from_numpy(arrays[name]) for name in ("images", "labels"))
        return ImageSet(images, labels, **json.loads(str(arrays["meta"])))

    photos, notes = cached(source, f"cnn_dataset_{IMAGE_SIZE}px.cache.npz", decode, unpack)
    photos.notes.extend(notes)
    return photos


def split_indices(images, labels, seed=0, shares=(0.70, 0.15, 0.15)):
    """Stratified split into {"train", "val", "test"}: index tensors, disjoint, together all images.

    Photos with identical pixels stay on one side: the split draws among distinct images and the
    copies follow. images: uint8 [N, ...]; labels: int64 [N]; the same seed gives the same split.
    """
    copies = {}
    for index, image in enumerate(images.numpy()):
        copies.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), []).append(index)
    groups = list(copies.values())
    group_labels = np.array([int(labels[group[0]]) for group in groups])
    train, rest = train_test_split(
        np.arange(len(groups)), train_size=shares[0], stratify=group_labels, random_state=seed
    )
    val_share = shares[1] / (shares[1] + shares[2])
    val, test = train_test_split(rest, train_size=val_share, stratify=group_labels[rest], random_state=seed)
    return {
        part: torch.tensor(sorted(i for g in chosen for i in groups[g]))
        for part, chosen in zip(PARTS, (train, val, test))
    }


def random_flip(x):
    """Mirror each image of [N, C, H, W] left to right with probability 1/2, in place."""
    mirrored = (torch.rand(len(x), device=x.device) < 0.5).nonzero()[:, 0]
    x[mirrored] = x[mirrored].flip(3)
    return x


def random_shift(x, pixels=8):
    """Shift each image by up to `pixels` in both directions; the border is filled by reflection."""
    n, _, height, width = x.shape
    padded = F.pad(x, (pixels,) * 4, mode="reflect")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view [N, C, 2p+1, 2p+1, H, W]
    dy, dx = torch.randint(0, 2 * pixels + 1, (2, n), device=x.device)
    return windows[torch.arange(n, device=x.device), :, dy, dx]


def color_jitter(x, strength=0.2):
    """Scale brightness, contrast and saturation of each image (pixels 0 to 255) by 1 +- `strength`."""
    x = x.float()
    brightness, contrast, saturation = 1 + strength * (
        2 * torch.rand(3, len(x), 1, 1, 1, device=x.device) - 1
    )
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = x.mul_(brightness * contrast).add_(brightness * mean * (1 - contrast))
    gray = x.mean(dim=1, keepdim=True)
    return x.mul_(saturation).add_(gray * (1 - saturation)).clamp_(0, 255)


AUGMENTATIONS = {"flip": random_flip, "shift": random_shift, "color": color_jitter}


class ImageLoader:
    """Batches of standardised images and labels, made on the device that holds the images.

    Yields x, float32 [B, 3, size, size] with the training part's mean 0 and standard deviation 1 per
    channel, and y, int64 [B]. A training loader shuffles, augments, and drops an incomplete last batch.
    """

    def __init__(self, images, labels, batch_size, mean, std, train=False, augment=(), size=IMAGE_SIZE):
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.mean, self.std = mean, std  # [3, 1, 1], of pixels 0 to 255
        self.train, self.augment, self.size = train, augment, size

    def __len__(self):
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + bool(rest and not (self.train and whole))

    def __iter__(self):
        n, device = len(self.images), self.images.device
        order = torch.randperm(n, device=device) if self.train else torch.arange(n, device=device)
        for chosen in order.split(self.batch_size)[: len(self)]:
            x = self.images[chosen]
            for name in self.augment if self.train else ():
                x = AUGMENTATIONS[name](x)  # flips and shifts move bytes, a quarter of float32's traffic
            x = x.float().sub_(self.mean).div_(self.std)
            if self.size != x.shape[-1]:
                x = F.interpolate(x, size=self.size, mode="area")
            yield x.contiguous(memory_format=torch.channels_last), self.labels[chosen]


class ImageSplits:
    """An ImageSet with its split, on a device: what a training run is given.

    indices: {part: int64 indices}, with or without a test part. Images are shrunk to `size` pixels when they
    are used. `fingerprint` changes with any pixel, name, index or the size, `about` is what a run's record
    says of the data.
    """

    def __init__(self, image_set, indices, device="cpu", size=IMAGE_SIZE):
        self.indices, self.size = indices, size
        self.images = {part: image_set.images[index].to(device) for part, index in indices.items()}
        self.labels = {part: image_set.labels[index].to(device) for part, index in indices.items()}
        pixels = self.images["train"].transpose(0, 1).reshape(3, -1)
        counts = torch.stack([torch.bincount(channel, minlength=256) for channel in pixels]).double().cpu()
        shares, values = counts / counts.sum(1, keepdim=True), torch.arange(256, dtype=torch.float64)
        mean = shares @ values
        std = ((shares @ values**2) - mean**2).sqrt()
        self.mean, self.std = (t.float().reshape(3, 1, 1).to(device) for t in (mean, std))
        split = hashlib.sha256(b"".join(index.numpy().tobytes() for index in indices.values())).hexdigest()
        used_at = "" if size == IMAGE_SIZE else f" at {size} pixels"
        self.fingerprint = hashlib.sha256((image_set.fingerprint + split + used_at).encode()).hexdigest()
        sizes = {part: len(index) for part, index in indices.items()}
        self.about = {
            "source": image_set.source + used_at,
            "files": image_set.fingerprint,
            "split": split,
            "sizes": sizes,
        }

    def loader(self, part, recipe, train=False, epoch=0):
        """Batches of `part` at the recipe's batch size; those for training as the recipe says for `epoch`."""
        return ImageLoader(
            self.images[part], self.labels[part], recipe.batch_size, self.mean, self.std,
            train, recipe.augment, min(recipe.size_at(epoch), self.size) if train else self.size,
        )  # fmt: skip
