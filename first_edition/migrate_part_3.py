"""Records of Part III under readable names, each with what it must match: python -m first_edition.migrate_part_3 [FOLDER ...]

As tools/migrate.py does for Part I: the probe of each record is that of the old code (probes_part_3.py), the new code
must give the same and repeat the first recorded losses on the real data. FOLDER: more places with old records.
"""

import ast
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from torch.optim.lr_scheduler import OneCycleLR

from a1.files import atomic_write
from a1.models.forecast import ARCHITECTURES, Forecaster
from a1.opponents import grow_trees, tabulate
from a1.photos import PARTS
from a1.power import Series, Windows, add_copies, create_sequences, fill_gaps, load_power, split_rows
from a1.records import differs, probe, read
from a1.train import RECIPE, SCHEDULES
from tools.replay import replay

ROOT = Path(__file__).resolve().parent.parent
OLD = ROOT / "first_edition" / "runs"
KEPT = (
    "history",
    "best_epoch",
    "metrics",
    "first_losses",
    "parameters",
    "device",
    "date",
    "versions",
)
CENTRE = {
    "layers": "lstm",
    "hidden_size": 64,
    "dropout": 0.1,
    "residual": True,
    "log_meters": False,
}
CENTRE |= {"window": (24, 15), "lr": 0.002, "batch_size": 256, "loss": "huber", "seed": 0}


def name_of(old, settings):
    """The new name of an old record; None of one that is left behind."""
    if old["name"] == "forecaster":
        return f"final/long-dropout-{settings['dropout']}-seed-{settings['seed']}"
    if old["name"] == "final":
        return f"final/network{'' if settings['log_meters'] else '-no-logarithms'}"
    changed = {k: v for k, v in settings.items() if k in CENTRE and v != CENTRE[k]}
    if old["name"] == "studies/candidates":
        label = {0: "centre", 1: "combined", 2: "wider", 3: "wider-logarithms"}[len(changed)]
        return f"candidates/2-{label}"
    if old["name"] == "studies/search":
        changed = {k: "-".join(map(str, v)) if k == "window" else v for k, v in changed.items()}
        return f"search/{'-'.join(f'{k}-{v}' for k, v in changed.items()) or 'centre'}"
    return None


def migrate_trees(data):
    """The boosted trees on every second minute: a1.opponents.grow_trees does what the old code did.

    Measured: the same 705,069 windows, equal tables, and, after eight trees on 20,145 of them, forecasts that
    differ by less than 5e-7 kW. The old record has no time.
    """
    old = json.loads((OLD / "computed" / "gbm-c0bdd35385.json").read_text())["result"]
    with np.load(OLD / "computed" / "gbm-c0bdd35385.npz") as file:
        said = file["test"].astype(np.float64)
    again = float(r2_score(data.y["test"], (1000 * said).round() / 1000))
    print(f"trees: test R2 {old['test_r2']:.6f} recorded, {again:.6f} of the kept watts")
    assert abs(again - old["test_r2"]) < 1e-5
    used = (grow_trees, tabulate, create_sequences)
    code = "\n".join(ast.unparse(ast.parse(inspect.getsource(f))) for f in used)
    recipe = {"rate": 0.08, "leaves": 63, "trees": 400, "share": 2, "by_clock": True}
    recipe["code"] = hashlib.sha256(code.encode()).hexdigest()
    result = {key: old[key] for key in ("val_r2", "trees", "of", "windows")}
    result |= {"rate": 0.08, "leaves": 63, "seconds": None}
    result["test_watts"] = (1000 * said[:, 0]).round().astype(int).tolist()
    record = {"recipe": recipe, "data": data.id, "probe": {}, "result": result, "arrays": []}
    with atomic_write(ROOT / "runs" / "gbm.json") as file:
        file.write(json.dumps(record | {"date": "2026-11-24"}, indent=1).encode())


def main():
    """Migrate every record of Part III that is found; stops at the first that does not agree."""
    torch.set_num_threads(1)
    frame, files = load_power()
    rows, measured = split_rows(len(frame)), add_copies(fill_gaps(frame))
    scaler = StandardScaler().fit(measured.to_numpy(np.float64)[rows["train"]])
    series = Series(frame, measured, scaler, rows, files)
    level = [float(scaler.mean_[0]), float(scaler.scale_[0])]
    meters = [(k, float(scaler.mean_[k]), float(scaler.scale_[k])) for k in (4, 5, 6)]
    paths = [*OLD.glob("final-*.json"), *OLD.glob("studies/search-*"), *OLD.glob("studies/cand*")]
    paths += [path for place in sys.argv[1:] for path in Path(place).glob("forecaster-*.json")]
    paths = [
        p for p in paths if "Forecaster" in json.loads(p.read_text())["config"]["architecture"]
    ]
    command = [sys.executable, ROOT / "first_edition" / "probes_part_3.py"]
    command += [json.dumps(level), json.dumps(meters), *paths]
    env = os.environ | {"PYTHONPATH": str(ROOT / "first_edition")}
    out = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    if out.returncode:
        raise SystemExit(out.stderr)
    probes = json.loads(out.stdout.splitlines()[-1])
    migrate_trees(Windows(series))
    sets, worst, migrated = {}, {"probe": 0.0, "first losses": 0.0}, 0
    for path in paths:
        old = json.loads(path.read_text())
        settings, old_probe = probes[str(path)]["settings"], probes[str(path)]["probe"]
        given, window = old["config"]["recipe"], old["data"]["window"]
        settings |= {"window": (window["history"], window["recent"]), "seed": given["seed"]}
        settings |= {key: given[key] for key in ("lr", "batch_size", "loss")}
        name = name_of(old, settings)
        new = ROOT / "runs" / f"{name}.json"
        if new.exists():
            continue
        assert given.pop("huber_delta") == 1 and given.pop("train_every") == 1
        recipe = RECIPE | {"warmup": 0.3} | given
        key = (settings["window"], "test" in old["data"]["sizes"])
        if key not in sets:
            parts = {} if key[1] else {"parts": PARTS[:2], "every": 35}
            sets[key] = Windows(series, *key[0], **parts)
        data = sets[key]
        assert data.id["sizes"] == old["data"]["sizes"], "the same windows"
        assert data.id["drawn"] == old["data"]["any_minute"]["train"]
        layers, logs = ARCHITECTURES[settings["layers"]], meters if settings["log_meters"] else []
        sizes = (settings["hidden_size"], settings["dropout"])
        make = partial(Forecaster, layers, *sizes, level, settings["residual"], logs)
        cycle = {"pct_start": recipe["warmup"], "cycle_momentum": False}
        SCHEDULES["one_cycle"] = lambda o, lr, n, c=cycle: OneCycleLR(o, lr, total_steps=n, **c)
        made_by = {"recipe": recipe, "data": data.id, "probe": old_probe}
        here = made_by | {"probe": probe(make, recipe, data)}
        if why := differs(json.loads(json.dumps(made_by)), json.loads(json.dumps(here))):
            raise SystemExit(f"{path.stem}: {why}")
        pairs = [(np.array(old_probe[k]), np.array(here["probe"][k])) for k in old_probe]
        apart = max(float(np.nanmax(abs(a - b) / (abs(a) + 1e-30))) for a, b in pairs)
        losses = replay(make, recipe, data)
        first = max(abs(a / b - 1) for a, b in zip(losses, old["first_losses"], strict=False))
        if not first < 1e-4:
            raise SystemExit(f"{path.stem}: first losses {losses}, {old['first_losses']} recorded")
        worst = {
            "probe": max(worst["probe"], apart),
            "first losses": max(worst["first losses"], first),
        }
        record = made_by | {key: old[key] for key in KEPT} | {"sizes": old["data"]["sizes"]}
        record |= {"precision": "float32", "arrays": ["test_predicted"] if key[1] else []}
        if key[1]:
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.with_suffix(".npz"), new.with_suffix(".npz"))
            if path.with_suffix(".pt").exists():
                shutil.copyfile(path.with_suffix(".pt"), new.with_suffix(".pt"))
            events = ROOT / "runs" / "tensorboard" / name
            shutil.copytree(path.parent / "tensorboard" / path.stem, events, dirs_exist_ok=True)
        with atomic_write(new) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
        migrated, after = migrated + 1, read(new)
        assert after["metrics"] == old["metrics"] and after["history"] == old["history"]
        print(f"{path.stem} -> {name}: val R2 {old['metrics']['val_r2']:.4f} = {after['metrics']['val_r2']:.4f}"
              f", probe within {apart:.0e}, first losses within {first:.0e}", flush=True)  # fmt: skip
    print(f"{migrated} of {len(paths)} records; largest relative differences: {worst}")


if __name__ == "__main__":
    main()
