"""Probes of the transfer-learning records, taken from the code that made them:
A1_PRETRAINED=... PYTHONPATH=first_edition python first_edition/probes_transfer.py

Writes first_edition/probes_transfer.json: {record: probe}; migrate_transfer.py puts them into the records.
"""

import json
import re
from functools import partial
from pathlib import Path

import timm
import torch
from torchvision.models import get_model

from a1.data.food import FoodSet, FoodSplits
from a1.models.pretrained import RANDOM, Architecture, TransferNet, load_pretrained
from a1.runs import read_sealed
from a1.train import OPTIMIZERS, Training
from a1.transfer import FineTuneRecipe, adamw_by_rate

HERE = Path(__file__).parent
HALF = (0.5, 0.5, 0.5)
OPTIMIZERS["adamw_by_rate"] = adamw_by_rate


def library(name, pretrained, **options):
    make = timm.create_model if name.startswith("tf_") else get_model
    return make(name, **options)


LIBRARY = {
    name: Architecture(name, library, "classifier", *([HALF, HALF] if name.startswith("tf_") else []))
    for name in ("squeezenet1_1", "mobilenet_v2", "tf_efficientnet_lite0")
}
WEIGHTS = {name: load_pretrained(architecture, False) for name, architecture in LIBRARY.items()}


def maker(text):
    """The constructor of a record's network; its text form must be the recorded one."""
    name, source, rate = re.match(r"TransferNet\((\w+) from (\w+), body at ([\d.e-]+) of", text).groups()
    make = partial(TransferNet, LIBRARY[name], RANDOM if source == "random" else WEIGHTS[name], 10, float(rate))
    assert repr(make()) == text, (repr(make()), text)
    return make


def tiny():
    """The drawn images of a1.food.FoodPhotos.tiny, as the old code takes them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (24, 3, 64, 64), dtype=torch.uint8, generator=generator)
    food = FoodSet(images, torch.arange(24) % 10, [""] * 24, "drawn", "drawn", [], [""] * 24, ("a",) * 10)
    return FoodSplits(food, {"train": torch.arange(16), "val": torch.arange(16, 24)}, "cpu")


def probe(make_model, recipe, data):
    """As a1.records.probe, through the old Training."""
    sizes = list(dict.fromkeys(recipe["image_sizes"]))[:1]
    short = {"epochs": 2, "batch_size": 8, "lr": recipe["lr"] / 1000, "image_sizes": sizes}
    short |= {"weight_decay": 100 * recipe["weight_decay"], "amp": False, "seed": 0}
    torch.manual_seed(0)
    model = make_model().to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    start = [weight.detach().clone() for weight in weights]
    training = Training(model, data, FineTuneRecipe(**recipe | short))
    for _ in range(2):
        training.epoch()
    return {
        "losses": training.first_losses + [e[k] for e in training.history for k in ("lr", "val_loss")],
        "gradients": sorted(float(weight.grad.norm()) for weight in weights),
        "moved": sorted(float((weight.detach() - old).norm()) for weight, old in zip(weights, start)),
        "score": [FineTuneRecipe(**recipe | short).objective.score(dict(zip(training.history[0], range(9))))],
    }


def main():
    file = HERE / "probes_transfer.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for path in sorted((HERE / "runs").glob("**/*.json")):
        record = read_sealed(path)
        text = record.get("config", {}).get("architecture", "")
        few = record.get("data", {}).get("sizes", {}).get("train") in (150, 600)  # not kept
        if text.startswith("TransferNet") and not few and path.stem not in found:
            found[path.stem] = probe(maker(text), record["config"]["recipe"], tiny())
            print(path.stem, found[path.stem]["losses"], flush=True)
            file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
