"""The images a notebook works on: the course's photos where they are found, drawn ones otherwise."""

import hashlib
import os

import torch

from a1.data.images import CLASSES, DataError, ImageSet, find_cnn_dataset, load_cnn_dataset
from a1.data.standin import draw_stand_in


def load_images():
    """ImageSet of the course's data set, or of the drawn stand-in where no folder holds it."""
    source = find_cnn_dataset()
    if source:
        return load_cnn_dataset(source)
    if os.environ.get("A1_REQUIRE_DATA"):
        raise DataError(
            "No CNN data set found. Put cnn_dataset.zip from the course site into data/, or name its folder in A1_DATA."
        )
    return draw_stand_in()


def data_banner(image_set):
    """Markdown that says which data this notebook runs on, and what was repaired in it."""
    lines = [f"**Data of this run:** {image_set.source}."]
    if image_set.source.startswith("drawn"):
        lines = [
            f"> **These are not photos.** No CNN data set was found, so this run uses a {image_set.source}: it shows that "
            "the notebook works, and its numbers mean nothing else. For the real ones, put `cnn_dataset.zip` from the "
            "course site into `data/` (in Colab: into `/content`, or into My Drive and mount it) and run again."
        ]
    return "\n\n".join(lines + [f"- {note}" for note in image_set.notes])


def take_per_class(image_set, count):
    """The first `count` images of each class, all of them for None."""
    if count is None:
        return image_set
    index = torch.cat([(image_set.labels == label).nonzero()[:count, 0] for label in range(len(CLASSES))])
    names = [image_set.names[i] for i in index]
    fingerprint = hashlib.sha256((image_set.fingerprint + " ".join(names)).encode()).hexdigest()
    source = f"{image_set.source}, of which {len(names):,} used"
    return ImageSet(
        image_set.images[index], image_set.labels[index], names, fingerprint, source, image_set.notes
    )
