"""Transfer learning's records of the first edition under readable names: python -m first_edition.migrate_transfer

As tools/migrate.py: nothing is trained; the new code must give the old code's probe (probes_transfer.py) and repeat the
first recorded losses on the real photos; numbers before and after are compared and printed.
"""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from a1.files import atomic_write
from a1.food import FoodPhotos, load_food, share_of, split_food
from a1.models.transfer import TransferNet, adamw_by_share, cycle_by_group
from a1.records import TOLERANCE, differs, probe, read
from a1.train import OPTIMIZERS, SCHEDULES
from tools.replay import agree, replay

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / "runs"
MODELS = {"squeezenet1_1": "squeezenet1_1", "mobilenet_v2": "mobilenet_v2", "tf_efficientnet_lite0": "efficientnet_lite0"}
KEPT = ("history", "best_epoch", "metrics", "first_losses", "parameters", "device", "date", "versions")
TOLERANCE.update({"gradients": 1e9, "moved": 1e9})  # as in the notebook; see below
OPTIMIZERS["adamw_by_share"], SCHEDULES["one_cycle"] = adamw_by_share, cycle_by_group


def describe(record):
    """(new name, make_model, recipe) of an old record."""
    text, recipe = record["config"]["architecture"], dict(record["config"]["recipe"])
    library, source, share = re.match(r"TransferNet\((\w+) from (\w+), body at ([\d.e-]+) of", text).groups()
    name, share, n = MODELS[library], float(share), record["data"]["sizes"]["train"]
    recipe["optimizer"] = recipe["optimizer"].replace("adamw_by_rate", "adamw_by_share")
    make = partial(TransferNet, name, 10, share, source != "random")
    recipe["lr"] = lr = float(f"{recipe['lr']:g}")  # 0.003 for 0.0029999999999999996
    if not record["name"].startswith("studies/"):
        return f"{name}/8_epochs-seed0", make, recipe
    kind = record["name"].removeprefix("studies/").split("_")[0]
    if kind != "tries":
        start = {"tuned": "pre-trained", "scratch": "random"}[kind]
        return f"transfer/worth/{name}-{start}-seed0" if n > 1000 else None, make, recipe
    if recipe["batch_size"] != 32:
        return f"transfer/change/{name}-batch {recipe['batch_size']}-seed0", make, recipe
    if recipe["schedule"] != "one_cycle":
        return f"transfer/change/{name}-constant rate-seed0", make, recipe
    if not recipe["augment"]:
        return f"transfer/change/{name}-no augmentation-seed0", make, recipe
    if recipe["size"] != 128:
        return f"transfer/change/{name}-{recipe['size']} pixels-seed0", make, recipe
    return f"transfer/rates/{name}-{lr * share:g}-{lr:g}-seed0", make, recipe


def with_float32(make_model):
    """The network with its depthwise layers trained in float32, as in the first edition, where
    their backward pass in bfloat16 was slow; the notebook leaves that out."""
    model = make_model()
    for layer in model.body.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            layer.forward = partial(in_float32, layer.forward)
    return model


def in_float32(forward, x):
    """A convolution's training step in float32."""
    if not torch.is_grad_enabled():
        return forward(x)
    with torch.autocast("cpu", enabled=False):
        return forward(x.float()).to(x.dtype)


def main():
    images, labels, parts, classes, files = load_food()
    split = split_food(images, labels, parts)
    shares = {1000: 1 / 3, 600: 0.2, 150: 0.05, 2998: 1}
    sets = {
        n: FoodPhotos(images, labels, split | {"train": share_of(labels, split["train"], share)}, files)
        for n, share in shares.items()
    }
    studies = {
        n: FoodPhotos(images, labels, {"train": share_of(labels, split["train"], share), "val": split["val"]}, files)
        for n, share in shares.items()
    }
    worst, migrated = {"probe": 0.0, "first losses": 0.0}, 0
    for stem, old_probe in json.loads((HERE / "probes_transfer.json").read_text()).items():
        [path] = (HERE / "runs").glob(f"**/{stem}.json")
        old = json.loads(path.read_text())
        name, make_model, recipe = describe(old)
        new = RUNS / f"{name}.json"
        if name is None or new.exists():
            continue
        data = (sets if "test" in old["data"]["sizes"] else studies)[old["data"]["sizes"]["train"]]
        assert data.id["split"] == old["data"]["split"], f"{stem}: another split"
        made_by = {"recipe": recipe, "data": data.id, "probe": old_probe}
        here = made_by | {"probe": probe(make_model, recipe, data)}
        if why := differs(made_by, here):
            raise SystemExit(f"{stem}: {why}")
        # A bias before a batch norm has no gradient but rounding noise, of which AdamW makes steps:
        # the probes' losses must agree, and of gradients and movements nine in ten.
        pairs = {key: (np.array(old_probe[key]), np.array(here["probe"][key])) for key in old_probe}
        parts = {key: abs(a - b) / (abs(a) + 1e-30) for key, (a, b) in pairs.items()}
        apart = float(parts["losses"].max())
        for key in ("gradients", "moved"):
            assert np.quantile(parts[key], 0.9) < 0.1, f"{stem}: {key} {np.sort(parts[key])}"
        losses = replay(partial(with_float32, make_model), recipe, data)
        if not agree(losses, old["first_losses"]):
            raise SystemExit(f"{stem}: first losses {losses}, recorded {old['first_losses']}")
        first = max(abs(a / b - 1) for a, b in zip(losses, old["first_losses"], strict=False))
        worst = {"probe": max(worst["probe"], apart), "first losses": max(worst["first losses"], first)}
        record = made_by | {key: old[key] for key in KEPT} | {"sizes": old["data"]["sizes"]}
        record |= {"arrays": ["test_probs"] if old["probs_sha256"] else [], "precision": "bfloat16"}
        if record["arrays"]:
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.with_suffix(".npz"), new.with_suffix(".npz"))
            events = RUNS / "tensorboard" / name
            shutil.copytree(HERE / "runs" / "tensorboard" / stem, events, dirs_exist_ok=True)
        with atomic_write(new) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
        migrated += 1
        after = read(new)
        assert after["metrics"] == old["metrics"] and after["history"] == old["history"]
        print(f"{stem} -> {name}: val_acc {old['metrics']['val_acc']:.4f} = {after['metrics']['val_acc']:.4f}"
              f", probe within {apart:.0e}, first losses within {first:.0e}", flush=True)  # fmt: skip
    print(f"{migrated} records; largest relative differences: {worst}")


if __name__ == "__main__":
    main()
