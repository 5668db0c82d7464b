"""The ResNeXt bonus's records under readable names, each with what it must match: python -m first_edition.migrate_resnext.

As tools/migrate.py does for Part I: nothing is trained, the probe is the old code's, the new code gives the same and repeats
the first recorded losses on the real photos; numbers before and after are compared and printed.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch

from a1.files import atomic_write
from a1.models.resnet import ResNet18
from a1.models.resnext import ResNeXt
from a1.photos import Photos, load_photos, split_indices
from a1.records import differs, probe, read
from a1.studies import study_indices
from tools.replay import agree, replay

ROOT = Path(__file__).resolve().parent.parent
OLD = ROOT / "first_edition" / "runs"
KEPT = "history best_epoch metrics first_losses parameters device date versions".split()
NETWORKS = {"resnet18": ("resnet18", ResNet18), "resnext 32x4": ("resnext", ResNeXt)}
NETWORKS["resnext 1x62"] = ("dense", partial(ResNeXt, cardinality=1, width=62))


def describe(record, network):
    """(new name, make_model) of an old record."""
    seed = f"seed{record['config']['recipe']['seed']}"
    if record["name"] == "studies/cardinality":
        cardinality, width = map(int, network.split("x"))
        return f"cardinality/{network}-{seed}", partial(ResNeXt, channels=72, cardinality=cardinality, width=width)
    name, make = NETWORKS[network]
    if record["name"] == "studies/seeds":
        return f"rates/{name}-0.1-one-{seed}", make
    return f"{name}/{seed}", make


def main():
    probes = json.loads((ROOT / "first_edition" / "probes_resnext.json").read_text())
    images, labels, files = load_photos()
    split = split_indices(images, labels)
    sets, worst, migrated = {}, {"probe": 0.0, "first losses": 0.0}, 0
    for stem, found in probes.items():
        [path] = OLD.glob(f"**/{stem}.json")
        old = json.loads(path.read_text())
        name, make_model = describe(old, found["network"])
        sizes = tuple(old["data"]["sizes"].get(part, 0) // 3 for part in ("train", "val"))
        whole = "test" in old["data"]["sizes"]
        if (whole, sizes) not in sets:
            chosen = split if whole else study_indices(labels, split, *sizes)
            sets[whole, sizes] = Photos(images, labels, chosen, files, 64 if whole else 32)
        data, recipe = sets[whole, sizes], old["config"]["recipe"]
        about = {"files": old["data"]["files"], "split": old["data"]["split"], "size": data.size}
        assert data.id == about, stem
        new = ROOT / "runs" / f"{name}.json"
        if new.exists():
            continue
        made_by = {"recipe": recipe, "data": data.id, "probe": found["probe"]}
        torch.set_num_threads(1)  # as the old probe was taken
        here = made_by | {"probe": probe(make_model, recipe, data)}
        if why := differs(made_by, here):
            raise SystemExit(f"{stem}: {why}")
        pairs = [(np.array(found["probe"][k]), np.array(here["probe"][k])) for k in found["probe"]]
        apart = max(float(np.nanmax(abs(a - b) / (abs(a) + 1e-30))) for a, b in pairs)
        losses = replay(make_model, recipe, data)
        if not agree(losses, old["first_losses"]):  # sums in bfloat16 depend on the threads
            torch.set_num_threads(int(old["device"].split()[-2]))
            losses = replay(make_model, recipe, data)
        if not agree(losses, old["first_losses"]):
            raise SystemExit(f"{stem}: first losses {losses}, recorded {old['first_losses']}")
        first = max(abs(a / b - 1) for a, b in zip(losses, old["first_losses"], strict=False))
        worst = {"probe": max(worst["probe"], apart), "first losses": max(worst["first losses"], first)}
        record = made_by | {key: old[key] for key in KEPT}
        record |= {"sizes": old["data"]["sizes"], "arrays": ["test_probs"] if old["probs_sha256"] else []}
        record |= {"precision": "bfloat16" if recipe["amp"] else "float32"}
        with atomic_write(new) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
        if record["arrays"]:
            shutil.copyfile(path.with_suffix(".npz"), new.with_suffix(".npz"))
            shutil.copytree(OLD / "tensorboard" / stem, ROOT / "runs" / "tensorboard" / name, dirs_exist_ok=True)
        migrated += 1
        after = read(new)
        assert after["metrics"] == old["metrics"] and after["history"] == old["history"]
        print(f"{stem} -> {name}: val_acc {old['metrics']['val_acc']:.4f} = {after['metrics']['val_acc']:.4f}"
              f", probe within {apart:.0e}, first losses within {first:.0e}", flush=True)  # fmt: skip
    print(f"{migrated} of {len(probes)} records; largest relative differences: {worst}")


if __name__ == "__main__":
    main()
