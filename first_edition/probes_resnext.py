"""Probes of the ResNeXt bonus's records, from the code that made them: PYTHONPATH=first_edition python first_edition/probes_resnext.py.

Writes first_edition/probes_resnext.json: {record: probe}; migrate_resnext.py puts them into the records.
"""

import json
from functools import partial
from pathlib import Path

import torch
from probes import probe

from a1.models.resnet import ResNet18
from a1.models.resnext import EQUAL_COST_WIDTHS, ResNeXt
from a1.runs import read_sealed

HERE = Path(__file__).parent
FULL = {f"resnext {c}x{w}": partial(ResNeXt, cardinality=c, width=w) for c, w in EQUAL_COST_WIDTHS[192].items()}
FULL["resnet18"] = partial(ResNet18, stem="3x3")
SMALL = {
    f"{c}x{w}": partial(ResNeXt, channels=72, cardinality=c, width=w) for c, w in EQUAL_COST_WIDTHS[72].items()
}


def maker(record):
    """(name, constructor) of a record's network; its text form is the recorded one."""
    for name, make in (FULL | SMALL).items():
        with torch.device("meta"):
            if repr(make()) == record["config"]["architecture"]:
                return name, make
    raise ValueError(record["name"])


def main():
    found = {}
    for path in sorted((HERE / "runs").glob("**/*.json")):
        record = read_sealed(path)
        if record["name"] not in ("resnext", "studies/seeds", "studies/cardinality") or "recipe" not in record["config"]:
            continue
        name, make_model = maker(record)
        size = 32 if record["data"]["source"].endswith("at 32 pixels") else 64
        found[path.stem] = {"network": name, "probe": probe(make_model, record["config"]["recipe"], size)}
        print(path.stem, name, found[path.stem]["probe"]["losses"][:2], flush=True)
    (HERE / "probes_resnext.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
