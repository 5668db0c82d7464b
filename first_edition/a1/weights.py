"""Released weights: float16 state dicts, listed with their hash and metrics in weights/MANIFEST.json."""

import json
from pathlib import Path

import torch

from a1.files import atomic_write
from a1.runs import DamagedFile, sha256_of
from a1.setup import OUT


def save_weights(model, name, metrics, command):
    """Write the model's state as float16 to weights/`name` and list it in the manifest; its path.

    `metrics` are those that the weights must reproduce; `command` is what makes the file anew.
    """
    path = OUT / "weights" / name
    half = {
        key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()
    }
    with atomic_write(path) as file:
        torch.save({key: value.cpu().contiguous() for key, value in half.items()}, file)
    manifest = path.with_name("MANIFEST.json")
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    entries[name] = {
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "metrics": metrics,
        "command": command,
    }
    with atomic_write(manifest) as file:
        file.write((json.dumps(entries, indent=1, sort_keys=True) + "\n").encode())
    return path


def load_weights(model, name):
    """Put weights/`name` into `model`; FileNotFoundError or DamagedFile where it is missing or altered."""
    for folder in dict.fromkeys([OUT / "weights", Path("weights")]):
        path = folder / name
        if path.exists():
            listed = json.loads((folder / "MANIFEST.json").read_text())[name]
            if sha256_of(path) != listed["sha256"]:
                raise DamagedFile(
                    f"{path} does not match weights/MANIFEST.json: download it again, or make it with `{listed['command']}`"
                )
            model.load_state_dict(
                torch.load(path, weights_only=True)
            )  # float16 values into float32 parameters
            return model
    raise FileNotFoundError(
        f"weights/{name} is not here: weights/MANIFEST.json names the command that makes it"
    )


def release(run, make_model, name, notebook):
    """Save a run's weights as weights/`name` where they are at hand, and read the released file back.

    Returns a fresh model with the released weights, or None (and says why) where they are not here; `notebook`
    is the one that trains them anew.
    """
    if run.path.with_suffix(".pt").exists():  # trained on this machine
        metrics = {key: value for key, value in run.metrics.items() if key.startswith(("val", "test"))}
        path = save_weights(
            run.load_weights(make_model()), name, metrics, f"RETRAIN=1 make full NOTEBOOKS={notebook}"
        )
        print(f"weights/{name}: {path.stat().st_size / 1e6:.1f} MB")
    try:
        return load_weights(make_model(), name)
    except FileNotFoundError as error:
        print(error)
        return None
