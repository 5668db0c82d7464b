"""Runs that are trained once: a record belongs to its recipe, its data and the code that made it.

runs/NAME.json  the record, NAME being such as optimizer/adam-0.001-seed0
runs/NAME.npz   what it keeps of the test part, float16
runs/NAME.pt    the best weights        (not committed)
runs/NAME.ckpt  an unfinished run       (not committed)
Where NAME is taken by a run of other code, the new one becomes NAME.2, and so on: nothing is lost.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch.utils.tensorboard import SummaryWriter

from a1.files import atomic_write
from a1.setup import DEVICE, LOW, RETRAIN, RUNS, seed_everything
from a1.train import evaluate, train

TOLERANCE = {"losses": 3e-4, "later": 2e-2, "gradients": 1e-2, "moved": 2e-2, "score": 0}
FAINT = 3e-5  # of a layer's largest gradient: rounding noise, as for a bias before a batch norm


def probe(make_model, recipe, data):
    """What four short epochs of `train` do to a few drawn examples, in float32 on the CPU: losses,
    rates, the sum of each parameter's gradient norms, how far it moved, and what counts as best."""
    sizes = list(dict.fromkeys(recipe["image_sizes"]))[:1]
    short = {"epochs": 4, "batch_size": 4, "lr": recipe["lr"] / 1000, "image_sizes": sizes}
    short |= {"weight_decay": 100 * recipe["weight_decay"], "amp": False, "seed": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_model().to(memory_format=torch.channels_last)
        start = {w: w.detach().clone() for w in model.parameters()}
        seen = {w: [] for w in start}
        for w in filter(lambda w: w.requires_grad, start):  # heard at once: a step may clear it
            w.register_post_accumulate_grad_hook(lambda w: seen[w].append(float(w.grad.norm())))
        run = train(model, recipe | short, data.tiny())
    losses = [epoch[key] for epoch in run["history"] for key in ("train_loss", "val_loss")]
    norms, clear = {w: sum(parts) for w, parts in seen.items()}, []
    for layer in model.modules():
        own = list(layer.parameters(recurse=False))
        clear += [w for w in own if norms[w] >= FAINT * max(norms[v] for v in own)]
    return {
        "losses": run["first_losses"] + losses[:2] + [epoch["lr"] for epoch in run["history"]],
        "later": losses[2:],
        "gradients": sorted(norms[w] for w in clear),
        "moved": sorted(float((w.detach() - start[w]).norm()) for w in clear),
        "score": [data.score(dict(zip(run["history"][0], range(9))))],
    }


def differs(record, made_by):
    """Why a record is not of this recipe, data and code (by means of squares in a probe), or ""."""
    for part in ("recipe", "data"):
        for key in sorted(record.get(part, {}).keys() | made_by[part].keys()):
            old, new = record.get(part, {}).get(key), made_by[part].get(key)
            if old != new:
                return f"its {part} has {key} {old}, this one {new}"
    for name, tolerance in TOLERANCE.items():
        old, new = (np.nan_to_num(x.get("probe", {}).get(name, [])) for x in (record, made_by))
        if old.shape == new.shape:  # what moved by less than 1e-8 moved by rounding
            off = 2 * (old - new) / (abs(old) + abs(new) + (1e-8 if name == "moved" else 1e-99))
        if old.shape != new.shape or np.linalg.norm(off) > tolerance * len(off) ** 0.5:
            return f"other code made it: eight steps on drawn data give other {name}"
    return ""


def read(path):
    """A record, its arrays under "test", or a checkpoint; None, the file set aside, if damaged."""
    try:
        if path.suffix == ".ckpt":
            return torch.load(path, map_location="cpu", weights_only=True)
        record, arrays = json.loads(path.read_text()), {}
        if record["arrays"]:
            with np.load(path.with_suffix(".npz")) as file:
                arrays = {name: file[name].astype(np.float32) for name in record["arrays"]}
        return record | {"path": path, "test": arrays}
    except Exception as error:  # cut short, altered, arrays missing
        path.replace(path.with_name(path.name + ".damaged"))
        return print(f"{path} is damaged, so set aside as {path.name}.damaged ({error!r})")


def find(paths, made_by):
    """The first record or checkpoint among `paths` of this recipe, data and code; or None."""
    for path in filter(Path.exists, paths):
        if record := read(path):
            if not (why := differs(record, made_by)):
                return record
            print(f"{path} is not used: {why}")


def finish(path, model, state, data, made_by):
    """Score the best epoch's weights on every part, once; write weights, arrays and record."""
    recipe, history, arrays = made_by["recipe"], state["history"], {}
    model.load_state_dict(state["best"])
    scored = {part: evaluate(model, data, part, recipe) for part in data.y}
    if "test" in scored:
        arrays = {key: x.half().numpy() for key, x in data.keep(scored["test"][1]).items()}
        with atomic_write(path.with_suffix(".pt")) as file:
            torch.save(state["best"], file)
        with atomic_write(path.with_suffix(".npz")) as file:
            np.savez_compressed(file, **arrays)
        with SummaryWriter(RUNS / "tensorboard" / path.relative_to(RUNS).with_suffix("")) as events:
            for epoch in history:
                for key in epoch.keys() - {"epoch", "lr", "seconds"}:
                    part, _, measure = key.partition("_")
                    events.add_scalar(f"{measure}/{part}", epoch[key], epoch["epoch"])
    gpu = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    record = made_by | {
        "metrics": {f"{p}_{k}": value for p, (m, _) in scored.items() for k, value in m.items()},
        "best_epoch": 1 + int(np.argmax([data.score(epoch) for epoch in history])),
        "first_losses": state["first_losses"],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "sizes": {part: len(y) for part, y in data.y.items()},
        "device": f"{gpu}, {torch.get_num_threads()} threads",
        "precision": str(LOW if recipe["amp"] else torch.float32).removeprefix("torch."),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"torch": torch.__version__},
    }
    with atomic_write(path) as file:  # last: whoever sees the record finds the rest in place
        text = json.dumps(record | {"arrays": sorted(arrays), "history": history}, indent=1)
        file.write(text.encode())
    return read(path)


def train_once(name, make_model, recipe, data, which="run 1 of 1", known=None):
    """The record of a run, read where this code trained it before with these data; else trained.
    Of two processes one waits; what was interrupted goes on. `known`: the probe, if taken."""
    recipe = json.loads(json.dumps(recipe))  # as a record has it: lists for tuples
    made_by = {"recipe": recipe, "data": data.id, "probe": known or probe(make_model, recipe, data)}
    paths = [RUNS / f"{name}.json", *(RUNS / f"{name}.{k}.json" for k in range(2, 100))]
    with FileLock(RUNS / f"{name}.lock"):
        record = find(paths, made_by)
        path = record["path"] if record else next(path for path in paths if not path.exists())
        checkpoint = path.with_suffix(".ckpt")
        if record and not RETRAIN:
            checkpoint.unlink(missing_ok=True)  # of a process killed after its record
            return record
        saved = None if RETRAIN else find([checkpoint], made_by)

        def save(parts):
            with atomic_write(checkpoint) as file:
                torch.save(parts | made_by, file)

        print(f"{name}: {'goes on' if saved else 'no record, training now'} ({which})", flush=True)
        seed_everything(recipe["seed"])
        model = make_model().to(DEVICE, memory_format=torch.channels_last)
        record = finish(path, model, train(model, recipe, data, save, saved), data, made_by)
        checkpoint.unlink(missing_ok=True)
    return record
