"""Food photos for transfer learning: found, checked, decoded once, split and batched."""

import hashlib
import json
import os
import re
import zipfile
from collections import Counter, defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from a1.data.images import (
    AUGMENTATIONS,
    PARTS,
    ZIP_ERRORS,
    DataError,
    ImageSet,
    cached,
    data_folders,
    decode_image,
    split_indices,
)

FOOD11 = (
    "Bread", "Dairy product", "Dessert", "Egg", "Fried food", "Meat", "Noodles-Pasta", "Rice", "Seafood", "Soup",
    "Vegetable-Fruit",
)  # fmt: skip
FOOD_NAME = re.compile(r"food[-_ ]?1(1|01)", re.IGNORECASE)  # not "food", a class of the CNN data set
PART_FOLDERS = {
    "training": "train", "train": "train", "validation": "val", "valid": "val", "val": "val",
    "evaluation": "test", "testing": "test", "test": "test",
}  # fmt: skip
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FEWEST = 10  # photos of a class that training needs
FOOD_ADVICE = "Put the Food-11 zip, or its unzipped folder, into data/ as it was downloaded."


@dataclass
class FoodSet(ImageSet):
    """Decoded photos, the part of each where the data set itself is divided, and its classes."""

    parts: list  # N of "train", "val", "test"; or N times "" where the split is up to us
    classes: tuple  # K names


def find_food():
    """Path of the food photos in the data folders, or None.

    Taken is a zip or folder whose name begins with food11, food-11, food101 or the like, Food-11 first, or a data
    folder that itself holds training and test folders.
    """
    for folder in data_folders():
        inside = list(folder.iterdir())
        folders = {path.name.lower() for path in inside if path.is_dir()}
        named = [
            path
            for path in inside
            if FOOD_NAME.match(path.name) and (path.is_dir() or path.suffix.lower() == ".zip")
        ]
        if named:
            return min(
                named, key=lambda path: (FOOD_NAME.match(path.name)[1] != "1", path.is_dir(), path.name)
            )
        if {"train", "test"} <= {PART_FOLDERS.get(name) for name in folders}:
            return folder
    return None


def list_files(source):
    """Every file of a folder or zip: {path inside: what changes with its content}; DataError where it cannot be read."""
    if source.is_dir():
        files = {
            path.relative_to(source).as_posix(): path.stat() for path in source.rglob("*") if path.is_file()
        }
        return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in files.items()}
    try:
        with zipfile.ZipFile(source) as archive:
            files = {
                info.filename: [info.file_size, info.CRC] for info in archive.infolist() if not info.is_dir()
            }
    except ZIP_ERRORS as error:
        raise DataError(
            f"{source} cannot be read as a zip, it is damaged or incomplete ({error}). Download it again."
        ) from None
    for name in files:
        if name.startswith("/") or ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise DataError(
                f"{source} holds the path {name}, which climbs out of its folder: do not use this file."
            )
    return files


def place_of(path):
    """Where a file stands: (folders above the classes, part or "", class); None where it is in no class.

    Known are training/Bread/1.jpg, training/0_1.jpg (class 0), and Bread/1.jpg, at the root or inside folders.
    """
    *folders, name = PurePosixPath(path.replace("\\", "/")).parts
    if "__MACOSX" in folders or name.startswith("."):
        return None
    at = [index for index, folder in enumerate(folders) if folder.lower() in PART_FOLDERS]
    if not at:
        return (tuple(folders[:-1]), "", folders[-1]) if folders else None
    part, below = PART_FOLDERS[folders[at[-1]].lower()], folders[at[-1] + 1 :]
    numbered = re.fullmatch(r"(.+)_\d+\.\w+", name)
    if len(below) == 1:
        return tuple(folders[: at[0]]), part, below[0]
    return (tuple(folders[: at[0]]), part, numbered[1]) if numbered and not below else None


def list_photos(source, files):
    """The photos among `files` as [(part, class, path)], sorted, and the files of their classes passed over.

    Classes 0 to 10 get Food-11's names. Raises DataError where the folders leave open what belongs where.
    """
    placed = {path: place for path in files if (place := place_of(path))}
    if any(part for _, part, _ in placed.values()):
        placed = {path: place for path, place in placed.items() if place[1]}
    photos = {path for path in placed if PurePosixPath(path).suffix.lower() in PHOTO_SUFFIXES}
    roots = defaultdict(set)
    for path in photos:
        roots[placed[path][0]].add(placed[path][2])
    whole = sorted(root for root, classes in roots.items() if len(classes) > 1)
    if len(whole) != 1:
        found = (
            "in " + " and in ".join("/".join(root) or "its root" for root in whole) if whole else "nowhere"
        )
        raise DataError(
            f"{source} must hold a folder for each class (or training/, validation/, evaluation/) once, but they are found {found}. {FOOD_ADVICE}"
        )
    numbers = {name for _, _, name in placed.values()} <= {str(n) for n in range(len(FOOD11))}
    listed = []
    for path in photos:
        root, part, name = placed[path]
        if root == whole[0]:
            listed.append((part, FOOD11[int(name)] if numbers else name, path))

    def by_number(photo):
        words = re.split(r"(\d+)", photo[2])
        return (
            PARTS.index(photo[0] or "train"),
            photo[1],
            [w.zfill(12) if w.isdecimal() else w for w in words],
        )

    strange = [path for path in placed if path not in photos and not path.endswith((".npz", ".tmp"))]
    return sorted(listed, key=by_number), strange


def check_classes(source, photos):
    """Names of the classes, sorted; DataError where one is missing from a part or too small to train on.

    photos: [(part, class, ...)]
    """
    counts = Counter(photo[:2] for photo in photos)
    parts = {part for part, _ in counts}
    missing = [part for part in ("train", "test") if "" not in parts and part not in parts]
    if missing:
        names = {"train": "training/ or train/", "test": "evaluation/ or test/"}
        raise DataError(f"{source} has no {' and no '.join(names[part] for part in missing)}. {FOOD_ADVICE}")
    classes = sorted({name for _, name in counts})
    classes = sorted({*classes, *FOOD11}) if set(classes) <= set(FOOD11) else classes
    empty = [f"{part} {name}".strip() for part in sorted(parts) for name in classes if not counts[part, name]]
    if empty:
        raise DataError(
            f"{source} has no photos of: {', '.join(empty)}. Every class is needed in every part. {FOOD_ADVICE}"
        )
    small = [name for name in classes if counts["train" if "train" in parts else "", name] < FEWEST]
    if small:
        raise DataError(
            f"{source} has fewer than {FEWEST} photos to train on of: {', '.join(small)}. {FOOD_ADVICE}"
        )
    return tuple(classes)


def decode_food(source, files, size):
    """Read every photo of `source` into a FoodSet of size x size pixels; DataError where more than 1% are damaged.

    The shorter side is resized to `size`, the middle of the longer one kept.
    """
    photos, strange = list_photos(source, files)
    check_classes(source, photos)
    print(f"{source.name}: decoding {len(photos):,} photos, once")
    images = np.empty((len(photos), 3, size, size), np.uint8)
    kept, digest, notes = [], hashlib.sha256(), defaultdict(list)
    if strange:
        notes["not an image file, passed over"] = strange
    with nullcontext() if source.is_dir() else zipfile.ZipFile(source) as archive:
        for photo in photos:
            path = photo[2]
            try:
                data = archive.read(path) if archive else (source / path).read_bytes()
            except ZIP_ERRORS:
                data = b""
            image, repair = decode_image(data, size)
            if image is None:
                notes["damaged, left out"].append(path)
                continue
            if "RGB" in repair:
                notes["converted to RGB"].append(path)
            images[len(kept)] = image
            kept.append(photo)
            digest.update(path.encode() + hashlib.sha256(data).digest())
    damaged = notes.get("damaged, left out", [])
    if len(damaged) > max(10, len(photos) // 100):
        raise DataError(
            f"{source}: {len(damaged)} of {len(photos)} photos are damaged, {damaged[0]} first. Download it again."
        )
    classes = check_classes(source, kept)
    return FoodSet(
        images=torch.from_numpy(images[: len(kept)]),
        labels=torch.tensor([classes.index(name) for _, name, _ in kept]),
        names=[path for _, _, path in kept],
        fingerprint=digest.hexdigest(),
        source=f"{source.name}, {len(kept):,} photos of {len(classes)} classes",
        notes=[
            f"{len(paths)} x {what}: {', '.join(paths[:3])}{' ...' if len(paths) > 3 else ''}"
            for what, paths in notes.items()
        ],
        parts=[part for part, _, _ in kept],
        classes=classes,
    )


def load_food(size, per_class=None):
    """FoodSet of size x size pixels: the photos that are found, the drawn stand-in where there are none.

    `per_class` limits the photos of a class in each part to the first ones. Decoded photos are kept beside the
    data; the cache is made anew when a file changes.
    """
    source = find_food()
    if source is None:
        if os.environ.get("A1_REQUIRE_DATA"):
            raise DataError(f"No food photos found. {FOOD_ADVICE} Or name their folder in A1_DATA.")
        return draw_food_stand_in(size)
    files = list_files(source)
    photo_files = {path: state for path, state in files.items() if not path.endswith((".npz", ".tmp"))}
    listing = hashlib.sha256(json.dumps(sorted(photo_files.items())).encode()).hexdigest()
    meta = ("names", "fingerprint", "source", "notes", "parts", "classes")

    def decode():
        food = decode_food(source, files, size)
        return {
            "images": food.images.numpy(), "labels": food.labels.numpy(), "listing": np.array(listing),
            "meta": np.array(json.dumps({name: getattr(food, name) for name in meta})),
        }  # fmt: skip

    def unpack(arrays):
        if str(arrays["listing"]) != listing:
            raise ValueError("the cache is of other files")
        images, labels = (torch.from_numpy(arrays[name]) for name in ("images", "labels"))
        food = FoodSet(images, labels, **json.loads(str(arrays["meta"])))
        return replace(food, classes=tuple(food.classes))

    food, notes = cached(source, f"food_{size}px.cache.npz", decode, unpack)
    return take_photos(replace(food, notes=food.notes + notes), per_class)


def take_photos(food, count):
    """The first `count` photos of each class in each part, all of them for None."""
    if count is None:
        return food
    seen, index = Counter(), []
    for i, place in enumerate(zip(food.parts, food.labels.tolist())):
        seen[place] += 1
        if seen[place] <= count:
            index.append(i)
    names = [food.names[i] for i in index]
    return replace(
        food, images=food.images[index], labels=food.labels[index], names=names,
        parts=[food.parts[i] for i in index], source=f"{food.source}, of which {len(index):,} used",
        fingerprint=hashlib.sha256((food.fingerprint + " ".join(names)).encode()).hexdigest(),
    )  # fmt: skip


def draw_soup(draw, rng, color):
    draw.ellipse((22, 22, 106, 106), fill=color(200, 90, 30))
    for _ in range(5):
        x, y = rng.integers(36, 88, 2)
        draw.ellipse((x, y, x + 7, y + 7), fill=color(240, 200, 120))


def draw_salad(draw, rng, color):
    for _ in range(30):
        (x, y), (width, height) = rng.integers(24, 90, 2), rng.integers(10, 26, 2)
        draw.ellipse((x, y, x + width, y + height), fill=color(80, 160, 50))


def draw_noodles(draw, rng, color):
    for _ in range(22):
        (x, y), (width, height), start = (
            rng.integers(20, 76, 2),
            rng.integers(20, 36, 2),
            rng.integers(0, 360),
        )
        draw.arc((x, y, x + width, y + height), start, start + 200, fill=color(235, 205, 110), width=3)


def draw_egg(draw, rng, color):
    draw.ellipse((24, 34, 104, 98), fill=color(245, 245, 235))
    x, y = rng.integers(44, 62, 2)
    draw.ellipse((x, y, x + 26, y + 26), fill=color(250, 180, 30))


DISHES = {"egg": draw_egg, "noodles": draw_noodles, "salad": draw_salad, "soup": draw_soup}


def draw_food_stand_in(size, per_class=100, seed=0):
    """FoodSet of drawn dishes on plates, four classes, uint8 [4 * per_class, 3, size, size]; same seed, same set."""
    rng = np.random.default_rng(seed)

    def color(*rgb):
        return tuple(int(value) for value in np.clip(np.array(rgb) + rng.integers(-25, 26, 3), 0, 255))

    images = []
    for draw_dish in DISHES.values():
        for _ in range(per_class):
            picture = Image.new("RGB", (128, 128), color(150, 110, 75))
            draw = ImageDraw.Draw(picture)
            draw.ellipse((8, 8, 120, 120), fill=color(215, 215, 215))
            draw_dish(draw, rng, color)
            picture = picture.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR).resize((size, size))
            images.append(np.asarray(picture).transpose(2, 0, 1))
    names = [f"{name}/{number}.png" for name in DISHES for number in range(1, per_class + 1)]
    images = np.stack(images)
    return FoodSet(
        torch.from_numpy(images), torch.arange(len(DISHES)).repeat_interleave(per_class), names,
        hashlib.sha256(images.tobytes()).hexdigest(), f"drawn stand-in set, {len(names)} images of {len(DISHES)} dishes",
        [], [""] * len(names), tuple(DISHES),
    )  # fmt: skip


def food_banner(food):
    """Markdown that says which photos this notebook runs on, and what was repaired in them."""
    lines = [f"**Data of this run:** {food.source}."]
    if food.source.startswith("drawn"):
        lines = [
            f"> **These are not photos.** No food photos were found, so this run uses a {food.source}: it shows that the "
            "notebook works, and its numbers mean nothing else. For the real ones, put Food-11 into `data/` (in Colab: "
            "into `/content`, or into My Drive and mount it) as `food11.zip` or as a folder `food11`, and run again."
        ]
    return "\n\n".join(lines + [f"- {note}" for note in food.notes])


def split_food(food, val_share=0.2, seed=0):
    """{"train", "val", "test"}: int64 indices, disjoint.

    A division that comes with the data is kept; where it has no validation part, `val_share` of the training part,
    stratified, becomes one. Of photos with identical pixels in several parts only test's stay, then validation's.
    """
    if not food.parts[0]:
        return split_indices(food.images, food.labels, seed)
    seen, indices = set(), {}
    for part in ("test", "val", "train"):
        own = [i for i, name in enumerate(food.parts) if name == part]
        digests = [hashlib.blake2b(food.images[i].numpy().tobytes(), digest_size=16).digest() for i in own]
        indices[part] = torch.tensor([i for i, d in zip(own, digests) if d not in seen], dtype=torch.int64)
        seen |= set(digests)
    train = indices["train"]
    if not len(indices["val"]):
        shares = (
            1 - val_share,
            val_share / 2,
            val_share / 2,
        )  # its two small parts together are the validation part
        drawn = split_indices(food.images[train], food.labels[train], seed, shares)
        indices |= {
            "train": train[drawn["train"]],
            "val": train[torch.cat([drawn["val"], drawn["test"]]).sort().values],
        }
    return {part: indices[part] for part in PARTS}


def share_of(labels, index, share, seed=0):
    """A random `share` of each class among `index`, sorted; at one seed a smaller share lies inside a larger one."""
    shuffled = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))]
    chosen = []
    for label in labels[index].unique():
        of_class = shuffled[labels[shuffled] == label]
        chosen.append(of_class[: max(1, round(share * len(of_class)))])
    return torch.cat(chosen).sort().values


def random_crop(x, size, smallest=0.5):
    """A random window of each image [N, 3, H, W], at least `smallest` of its area, as float [N, 3, size, size].

    Sides are stretched by up to 4/3, values interpolated. Source: Szegedy et al., Going Deeper with
    Convolutions, CVPR 2015, section 6.
    """
    n, device = len(x), x.device
    area = smallest + (1 - smallest) * torch.rand(n, device=device)
    stretch = (4 / 3) ** (2 * torch.rand(n, device=device) - 1)
    width, height = (area * stretch).sqrt().clamp(max=1), (area / stretch).sqrt().clamp(max=1)
    left, top = ((2 * torch.rand(n, device=device) - 1) * (1 - side) for side in (width, height))
    zero = torch.zeros_like(area)
    window = torch.stack(
        [torch.stack([width, zero, left], 1), torch.stack([zero, height, top], 1)], 1
    )  # [N, 2, 3]
    grid = F.affine_grid(window, (n, 3, size, size), align_corners=False)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


class FoodLoader:
    """Batches of x, float32 [B, 3, size, size], pixels 0 to 1, and y, int64 [B], on the images' device.

    A training loader shuffles, augments, and drops an incomplete last batch. Standardising is left to the network:
    every pre-trained one has constants of its own.
    """

    def __init__(self, images, labels, batch_size, size, train=False, augment=()):
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.size, self.train, self.augment = size, train, augment

    def __len__(self):
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + bool(rest and not (self.train and whole))

    def __iter__(self):
        n, device = len(self.images), self.images.device
        order = torch.randperm(n, device=device) if self.train else torch.arange(n, device=device)
        for chosen in order.split(self.batch_size)[: len(self)]:
            x = self.images[chosen]
            for name in self.augment if self.train else ():
                x = random_crop(x, self.size) if name == "crop" else AUGMENTATIONS[name](x)
            x = x.float().div_(255)
            if self.size != x.shape[-1]:
                x = F.interpolate(x, (self.size,) * 2, mode="bilinear", antialias=True).clamp_(0, 1)
            yield x.contiguous(memory_format=torch.channels_last), self.labels[chosen]


class FoodSplits:
    """A FoodSet with its split, on a device: what a training run is given.

    indices: {part: int64 indices}, with or without a test part. `fingerprint` changes with any pixel, name or index,
    `about` is what a run's record says of the data.
    """

    def __init__(self, food, indices, device="cpu"):
        self.indices = indices
        self.images = {part: food.images[index].to(device) for part, index in indices.items()}
        self.labels = {part: food.labels[index].to(device) for part, index in indices.items()}
        split = hashlib.sha256(b"".join(index.numpy().tobytes() for index in indices.values())).hexdigest()
        stored = f"{split} at {food.images.shape[-1]} pixels"
        self.fingerprint = hashlib.sha256((food.fingerprint + stored).encode()).hexdigest()
        sizes = {part: len(index) for part, index in indices.items()}
        self.about = {"source": food.source, "files": food.fingerprint, "split": split, "sizes": sizes}

    def loader(self, part, recipe, train=False, epoch=0):
        """Batches of `part` as the recipe says, those for training for `epoch`."""
        size = recipe.size_at(epoch) if train else recipe.test_size
        return FoodLoader(
            self.images[part], self.labels[part], recipe.batch_size, size, train, recipe.augment
        )
