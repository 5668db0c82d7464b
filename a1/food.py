"""Photos of food for transfer learning: found, decoded, split, and given in batches."""

import hashlib
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.model_selection import train_test_split
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import v2

from a1.files import data_places
from a1.photos import PARTS, Classification, color_jitter, random_flip, unpack
from a1.setup import DEVICE

FOLDERS = {"training": "train", "validation": "val", "evaluation": "test"}


def find_food():
    """The folder that holds the parts: Food-11's, or else that of our subset of Food-101."""
    for place in data_places():
        for path in sorted(place.glob("[Ff]ood*1*"), key=lambda p: ("101" in p.name, len(p.name))):
            folder = unpack(path) if path.suffix == ".zip" else path
            for train in (*folder.glob("[tT]rain*/"), *sorted(folder.glob("[!.]*/[tT]rain*/"))):
                for note in path.parent.glob("STAND_IN.txt"):
                    print(note.read_text())
                return train.parent
    raise FileNotFoundError("no food11.zip here, in data/, $A1_DATA or /content: put it there")


def load_food(per_class=None, size=160):
    """Images uint8 [N, 3, size, size], labels int64 [N], parts [N], classes, a hash of the files.

    A photo's middle square; its class is its folder's, or the number in training/3_17.jpg.
    """
    folder, rows, images, digest = find_food(), [], [], hashlib.sha256()
    for path in folder.rglob("[!.]*.[jJ][pP]*"):
        part, *label, _ = path.relative_to(folder).parts
        part = FOLDERS.get(part.lower(), part.lower())
        label = label[0] if label else path.stem.split("_")[0]
        if part in PARTS and label[0] not in "._@":  # another program's folders
            rows.append((PARTS.index(part), label, len(path.stem), path.stem, path))
    table = pd.DataFrame(sorted(rows), columns=["part", "label", "length", "name", "path"])
    table = table.groupby(["part", "label"]).head(per_class or len(table))  # 2 stands before 10
    for part, label, _, name, path in table.itertuples(index=False):
        content = read_file(str(path))
        image = decode_image(content, ImageReadMode.RGB)
        side = min(image.shape[1:])
        top, left = ((length - side) // 2 for length in image.shape[1:])
        square = image[:, top : top + side, left : left + side]
        images.append(v2.functional.resize(square, [size, size]))
        digest.update(f"{part}/{label}/{name}".encode() + hashlib.sha256(content.numpy()).digest())
    labels, classes = pd.factorize(table["label"], sort=True)
    arrays = torch.stack(images), torch.from_numpy(labels), table["part"].to_numpy()
    return *arrays, list(classes), digest.hexdigest()


def split_food(images, labels, parts, seed=0):
    """{part: int64 indices}: the data set's own parts. Of copies in two parts only the later stays;
    where there is no validation part, a fifth of the training part, stratified, becomes one."""
    hashes = np.array([hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images])
    index, seen = [None] * 3, []
    for part in (2, 1, 0):
        index[part] = np.flatnonzero((parts == part) & ~np.isin(hashes, seen))
        seen += list(hashes[index[part]])
    if not len(index[1]):
        group = pd.factorize(hashes[index[0]])[0]  # copies stay together
        y = pd.Series(labels[index[0]].numpy()).groupby(group).first()
        drawn = train_test_split(y.index, train_size=0.8, stratify=y, random_state=seed)
        index[0], index[1] = (index[0][np.isin(group, half)] for half in drawn)
    return {part: torch.from_numpy(own) for part, own in zip(PARTS, index)}


def share_of(labels, index, share, seed=0):
    """A random share of each class among `index`, sorted; a smaller share lies in a larger one."""
    shuffled = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))]
    by_class = [shuffled[labels[shuffled] == label] for label in labels.unique()]
    return torch.cat([own[: max(1, round(share * len(own)))] for own in by_class]).sort().values


def random_crop(x, size, smallest=0.5):
    """A random window of each image, [N, 3, H, W] -> [N, 3, size, size] (Szegedy et al., 2015)."""
    n, device = len(x), x.device
    area = smallest + (1 - smallest) * torch.rand(n, device=device)
    stretch = (4 / 3) ** (2 * torch.rand(n, device=device) - 1)
    width, height = (area * stretch).sqrt().clamp(max=1), (area / stretch).sqrt().clamp(max=1)
    left, top = ((2 * torch.rand(n, device=device) - 1) * (1 - side) for side in (width, height))
    window = torch.zeros(n, 2, 3, device=device)
    window[:, 0, 0], window[:, 0, 2], window[:, 1, 1], window[:, 1, 2] = width, left, height, top
    grid = F.affine_grid(window, (n, 3, size, size), align_corners=False)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


class FoodPhotos(Classification):
    """Photos of each part on one device, pixels from 0 to 1, of the size that the recipe says."""

    def __init__(self, images, labels, indices, files, device=DEVICE):
        self.x = {part: images[index].to(device) for part, index in indices.items()}
        self.y = {part: labels[index].to(device) for part, index in indices.items()}
        split = hashlib.sha256(b"".join(index.numpy().tobytes() for index in indices.values()))
        self.id = {"files": files, "split": split.hexdigest()}

    def steps(self, recipe):
        return max(1, len(self.y["train"]) // recipe["batch_size"])

    def batches(self, part, recipe, epoch=None):
        training, n, device = epoch is not None, len(self.y[part]), self.y[part].device
        small = training and recipe["image_sizes"][epoch : epoch + 1]  # () past the last one
        size = small[0] if small else recipe["size" if training else "test_size"]
        changes = {"crop": partial(random_crop, size=size), "flip": random_flip}
        order = torch.randperm(n, device=device) if training else torch.arange(n, device=device)
        chosen = order.split(recipe["batch_size"])
        for index in chosen[: self.steps(recipe)] if training else chosen:
            x = self.x[part][index]
            for name in recipe["augment"] if training else ():
                x = changes.get(name, color_jitter)(x)
            x = x.float() / 255
            if size != x.shape[-1]:
                x = F.interpolate(x, (size, size), mode="bilinear", antialias=True).clamp_(0, 1)
            yield x.contiguous(memory_format=torch.channels_last), self.y[part][index]

    def tiny(self):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (18, 3, 64, 64), dtype=torch.uint8, generator=generator)
        parts = {"train": torch.arange(10), "val": torch.arange(10, 18)}
        labels = torch.arange(18) % (int(self.y["train"].max()) + 1)
        return FoodPhotos(images, labels, parts, "drawn", "cpu")
