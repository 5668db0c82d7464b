"""Probes of the records of Part II, taken from the code that made them: PYTHONPATH=first_edition python first_edition/probes_part_2.py.

Writes first_edition/probes_part_2.json: {record: {"name", "variant", "probe"}}; first_edition/migrate_part_2.py puts
them into the records.
"""

import json
from functools import partial
from pathlib import Path

import torch
from a1.runs import read_sealed
from probes import probe

from a1.models.small import SmallVGG
from a1.models.vgg import VGG16C
from a1.models.vgg_deep import ResNet18From, VGGDeep

HERE = Path(__file__).parent
STARTS = ("default", "xavier", "he")
DEPTH = {f"vgg16c-{s}": partial(VGG16C, image_size=64, dropout=0.0, init=s, width=1) for s in STARTS}
DEPTH |= {f"vgg_deep-{s}": partial(VGGDeep, image_size=64, init=s, width=1) for s in STARTS}
DEPTH |= {f"resnet18-{s}": partial(ResNet18From, stem="3x3", init=s) for s in STARTS}
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
SMALL = {name: partial(SmallVGG, **options) for name, options in SMALL.items()}
STUDIES = {"studies/depth": DEPTH, "studies/small": SMALL, "studies/plain": DEPTH, "vgg_deep": DEPTH}


def variant_of(record):
    """The variant whose text form is the recorded one."""
    text = record["config"]["architecture"]
    with torch.device("meta"):
        found = [name for name, make in STUDIES[record["name"]].items() if repr(make()) == text.replace("p=0,", "p=0.0,")]
    [name] = found
    return name


def main():
    torch.set_num_threads(1)
    out = HERE / "probes_part_2.json"
    found = json.loads(out.read_text()) if out.exists() else {}
    for path in sorted((HERE / "runs").glob("**/*.json")):
        if path.stem in found or path.parent.name == "computed":
            continue
        record = read_sealed(path)
        if record["name"] not in STUDIES:
            continue
        recipe, variant = record["config"]["recipe"], variant_of(record)
        lr, seed = f"{recipe['lr']}", recipe["seed"]
        name = {"studies/depth": f"depth/{variant}-{lr}", "studies/small": f"small/{variant}-{lr}"}
        name |= {"studies/plain": "plain/vgg16c", "vgg_deep": "vgg_deep"}
        name = name[record["name"]] + ("/" if record["name"] == "vgg_deep" else "-") + f"seed{seed}"
        if record["name"] == "studies/depth" and not recipe["amp"]:
            continue  # the float32 controls: one of them is read by migrate_part_2.py, none is a record
        size = 32 if record["data"]["source"].endswith("at 32 pixels") else 64
        make = STUDIES[record["name"]][variant]
        found[path.stem] = {"name": name, "variant": variant, "probe": probe(make, recipe, size)}
        out.write_text(json.dumps(found, indent=1) + "\n")
        print(path.stem, name, found[path.stem]["probe"]["losses"][:4], flush=True)


if __name__ == "__main__":
    main()
