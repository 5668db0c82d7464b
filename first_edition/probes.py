"""Probes of the records of Part I, taken from the code that made them: PYTHONPATH=first_edition python first_edition/probes.py.

Writes first_edition/probes.json: {record: {"probe", "recipe", "make"}}; tools/migrate.py puts them into the records.
"""

import json
import re
from functools import partial
from pathlib import Path

import torch
from a1.data.images import ImageSet, ImageSplits
from a1.runs import read_sealed

from a1.models.resnet import ResNet18
from a1.models.vgg import VGG16C
from a1.train import Recipe, Training

HERE = Path(__file__).parent
STUDIES = ("init", "schedule", "optimizer", "probe", "batch_size", "regularisation")


def tiny(size):
    """The drawn images that a1.photos.Photos.tiny draws, as the old code takes them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (26, 3, 64, 64), dtype=torch.uint8, generator=generator)
    image_set = ImageSet(images, torch.arange(26) % 3, [""] * 26, "drawn", "drawn", [])
    return ImageSplits(
        image_set, {"train": torch.arange(18), "val": torch.arange(18, 26)}, "cpu", size
    )


def maker(record):
    """The constructor of a record's network; its text form must be the recorded one."""
    if record["name"] == "resnet18":
        return partial(ResNet18, stem="3x3")
    text = record["config"]["architecture"]
    small = "Linear(in_features=512, out_features=1024" in text or "in_features=128, out" in text
    size = 32 if small else 64
    dropout = float(re.search(r"Dropout\(p=([\d.]+)", text)[1])
    init = re.search(r"init=(\w+)", text)[1]
    make = partial(
        VGG16C, image_size=size, width=0.25 if small else 1.0, dropout=dropout, init=init
    )
    with torch.device("meta"):
        assert (
            repr(make()) == text.replace("p=0,", "p=0.0,")
            or repr(make()).replace("p=0.0,", "p=0,") == text
        ), text
    return make


def probe(make_model, recipe, size):
    """As a1.records.probe, through the old Training."""
    sizes = list(dict.fromkeys(recipe["image_sizes"]))[:1]
    short = {"epochs": 2, "batch_size": 8, "lr": recipe["lr"] / 1000, "image_sizes": sizes}
    short |= {"weight_decay": 100 * recipe["weight_decay"], "amp": False, "seed": 0}
    torch.manual_seed(0)
    model = make_model().to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    start = [weight.detach().clone() for weight in weights]
    training = Training(model, tiny(size), Recipe(**recipe | short))
    for _ in range(2):
        training.epoch()
    return {
        "losses": training.first_losses
        + [e[k] for e in training.history for k in ("lr", "val_loss")],
        "gradients": sorted(float(weight.grad.norm()) for weight in weights),
        "score": [
            Recipe(**recipe | short).objective.score(dict(zip(training.history[0], range(9))))
        ],
        "moved": sorted(
            float((weight.detach() - old).norm()) for weight, old in zip(weights, start)
        ),
    }


def main():
    found = {}
    for path in sorted((HERE / "runs").glob("**/*.json")):
        record = read_sealed(path)
        if "recipe" not in record.get("config", {}):
            continue
        name = record["name"].removeprefix("studies/")
        if name not in ("vgg16c", "resnet18", *STUDIES):
            continue
        recipe, source = record["config"]["recipe"], record["data"]["source"]
        size = 32 if source.endswith("at 32 pixels") else 64
        make_model = maker(record)
        found[path.stem] = probe(make_model, recipe, size)
        print(path.stem, found[path.stem]["losses"], flush=True)
    (HERE / "probes.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
