"""Records of Part II under readable names: python -m first_edition.migrate_part_2, after first_edition/probes_part_2.py.

Nothing is trained. The new code must repeat each record's first recorded losses on the real photos, and give its old
probe: compared here for one rate of each network, and by the notebook, when it looks for a record, for every one.
Numbers before and after are compared. What was recorded *in* runs becomes records of compute_once: gradient
norms of the default start in float32, silent units of small networks, first-layer filters of Part I's networks.
"""

import json
import shutil
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.optim import SGD

from a1.files import atomic_write
from a1.models.small import SmallVGG
from a1.models.vgg import VGG16C
from a1.models.vgg_deep import ResNet18From, VGGDeep
from a1.photos import Photos, load_photos, split_indices
from a1.records import differs, probe, read
from a1.studies import study_indices
from a1.train import OPTIMIZERS
from tools.replay import agree, replay

ROOT = Path(__file__).resolve().parent.parent
OLD = ROOT / "first_edition" / "runs"
DIVERGING = (0.005, 0.02, 0.05)  # He's VGGs at high rates blow up from the second step on
NETS = {"vgg16c": partial(VGG16C, dropout=0), "vgg_deep": VGGDeep, "resnet18": ResNet18From}
SMALL = {
    "base": {},
    "5x5": {"kernel_size": 5},
    "7x7": {"kernel_size": 7},
    "5x5_narrow": {"kernel_size": 5, "width": 0.58},
    "7x7_narrow": {"kernel_size": 7, "width": 0.40},
    "added": {"pointwise": "added"},
    "bottleneck": {"pointwise": "bottleneck"},
    "average": {"pool": "avg"},
    "leaky_relu": {"activation": "leaky_relu"},
    "elu": {"activation": "elu"},
    "gelu": {"activation": "gelu"},
}
KEPT = "history best_epoch metrics first_losses parameters device date versions".split()
OPTIMIZERS["plain_sgd"] = partial(SGD, fused=True)


def maker(variant):
    """The new constructor of a variant."""
    if variant in SMALL:
        return partial(SmallVGG, **SMALL[variant])
    net, start = variant.split("-")
    return partial(NETS[net], init=start)


def main(wanted):
    """Migrate the records whose new names begin with one of `wanted`; stops at the first that does not agree."""
    torch.set_num_threads(1)
    probes = json.loads((ROOT / "first_edition" / "probes_part_2.json").read_text())
    images, labels, files = load_photos()
    split = split_indices(images, labels)
    sets, probed, count, began = {}, {}, 0, time.process_time()
    for stem, entry in probes.items():
        name, new = entry["name"], ROOT / "runs" / f"{entry['name']}.json"
        if new.exists() or not name.startswith(wanted) or time.process_time() - began > 20:
            continue
        [path] = OLD.glob(f"**/{stem}.json")
        old, make_model = json.loads(path.read_text()), maker(entry["variant"])
        parts = old["data"]["sizes"]
        key = tuple(parts.items())
        if key not in sets:
            if sum(parts.values()) > 20000:
                chosen, size = {part: split[part] for part in parts}, 64
            else:
                counts, size = (parts[part] // 3 for part in ("train", "val")), 32
                chosen = study_indices(labels, split, *counts)
            sets[key] = Photos(images, labels, chosen, files, size)
        data, recipe = sets[key], old["config"]["recipe"]
        assert data.id == {k: old["data"][k] for k in ("files", "split")} | {"size": data.size}
        made_by = {"recipe": recipe, "data": data.id, "probe": entry["probe"]}
        if (first_of := (name.split("/")[0], entry["variant"])) not in probed:
            here = made_by | {"probe": probe(make_model, recipe, data)}
            if why := differs(made_by, here):
                raise SystemExit(f"{stem}: {why}")
            old_new = ((entry["probe"][k], here["probe"][k]) for k in entry["probe"])
            pairs = [(np.array(a), np.array(b)) for a, b in old_new]
            probed[first_of] = max(float(np.nanmax(abs(a - b) / (abs(a) + 1e-30))) for a, b in pairs)
        apart = probed[first_of]
        for threads in (2,) if "resnet18" in entry["variant"] else (1, 2):  # trained with 2
            torch.set_num_threads(threads)
            losses = replay(make_model, recipe, data)
            torch.set_num_threads(1)
            if agree(losses, old["first_losses"], (1e-6,) * 3):
                break
        if not agree(losses, old["first_losses"], DIVERGING):
            raise SystemExit(f"{stem}: first losses {losses}, recorded {old['first_losses']}")
        first = max(abs(a / b - 1) for a, b in zip(losses, old["first_losses"], strict=False))
        record = made_by | {key: old[key] for key in KEPT}
        arrays = ["test_probs"] if old["probs_sha256"] else []
        record |= {"sizes": parts, "arrays": arrays}
        record |= {"precision": "bfloat16" if recipe["amp"] else "float32"}
        if arrays:
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.with_suffix(".npz"), new.with_suffix(".npz"))
            events = ROOT / "runs" / "tensorboard" / name
            shutil.copytree(OLD / "tensorboard" / stem, events, dirs_exist_ok=True)
        with atomic_write(new) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
        after, count = read(new), count + 1
        same = [json.dumps(after[k]) == json.dumps(old[k]) for k in ("metrics", "history")]
        assert all(same)
        print(
            f"{stem} -> {name}: val_acc {old['metrics']['val_acc']:.4f} = {after['metrics']['val_acc']:.4f}"
            f", probe within {apart:.0e}, first losses within {first:.0e}",
            flush=True,
        )
    print(f"{count} records migrated, {len(probes)} in all")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("depth", "small", "plain", "vgg_deep"))
