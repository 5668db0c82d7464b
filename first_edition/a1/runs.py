"""The run store: a model is trained once, its record is read ever after.

runs/<name>-<key>.json      the record: config, history, metrics, first losses, device, versions, date
runs/<name>-<key>.npz       the class probabilities, or forecasts, of the test part, float16
runs/<name>-<key>.pt        the best weights          (not committed)
runs/<name>-<key>.ckpt      an unfinished run         (not committed)
runs/tensorboard/<name>-<key>/                        event files, written during training

A run on data without a test part is a study: only its record is kept, in runs/studies/ by its name. What is
computed without training a network is kept in runs/computed/.
"""

import datetime
import hashlib
import io
import json
import os
import platform
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch.utils.tensorboard import SummaryWriter

from a1.files import atomic_write
from a1.setup import DEVICE, OUT, seed_everything
from a1.train import Training, evaluate


class DamagedFile(Exception):
    """A record, checkpoint or weights file that is not what was written; the message names it."""


def sha256_of(path):
    """Hex SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def key_of(content):
    """Hex SHA-256 of a JSON object, whatever the order of its names."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_sealed(path, content):
    """Write the JSON object `content` with a hash of itself, so that no change goes unnoticed."""
    seal = key_of(content)
    with atomic_write(path) as file:
        file.write((json.dumps({**content, "seal": seal}, indent=1) + "\n").encode())


def read_sealed(path):
    """Read what `write_sealed` wrote; DamagedFile where it is cut short or altered."""
    try:
        content = json.loads(Path(path).read_text())
        seal = content.pop("seal")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DamagedFile(f"{path} is no run record ({error!r})") from None
    if key_of(content) != seal:
        raise DamagedFile(f"{path} was changed after it was written")
    return content


def save_checkpoint(path, training):
    """Put a Training's whole state on disk, atomically, behind the hash of its bytes."""
    buffer = io.BytesIO()
    torch.save(training.state_dict(), buffer)
    with atomic_write(path) as file:
        file.write(hashlib.sha256(buffer.getbuffer()).digest())
        file.write(buffer.getbuffer())


def load_checkpoint(path, training):
    """Set `training` to the state in `path`; DamagedFile where its bytes do not match their hash."""
    content = memoryview(Path(path).read_bytes())
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise DamagedFile(f"{path} is damaged or incomplete")
    training.load_state_dict(torch.load(io.BytesIO(content[32:]), weights_only=True))


@dataclass(frozen=True)
class Run:
    """A finished run, as its record tells it."""

    record: dict
    path: Path  # of the record

    @property
    def history(self):
        """One dict per epoch: epoch, train_loss, train_acc, val_loss, val_acc, lr, seconds."""
        return self.record["history"]

    @property
    def metrics(self):
        """Of the best epoch's weights: {train,val,test}_{loss,acc,macro_f1}, say."""
        return self.record["metrics"]

    @property
    def test_probs(self):
        """Class probabilities of the test part, float32 [N, K]."""
        with np.load(self.path.with_suffix(".npz")) as file:
            return file["test_probs"].astype(np.float32)

    @property
    def test_predicted(self):
        """A forecaster's: forecasts of the test part, kW, float32 [N, horizons]."""
        with np.load(self.path.with_suffix(".npz")) as file:
            return file["test_predicted"].astype(np.float32)

    def load_weights(self, model):
        """Put the best epoch's weights into `model`; FileNotFoundError or DamagedFile where they are not there."""
        path = self.path.with_suffix(".pt")
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: the weights stay on the machine that trained them; RETRAIN=1 makes them anew"
            )
        if sha256_of(path) != self.record["weights_sha256"]:
            raise DamagedFile(f"{path} does not match its record")
        model.load_state_dict(torch.load(path, weights_only=True))
        return model

    def __str__(self):
        r = self.record
        minutes = sum(epoch["seconds"] for epoch in self.history) / 60
        return f"{r['name']}: trained on {r['date']} on {r['device']}, {len(self.history)} epochs in {minutes:.1f} min (best: epoch {r['best_epoch']})"


def curves(runs, measure):
    """One measure of several runs per epoch: float64 [runs, epochs]."""
    return np.array([[epoch[measure] for epoch in run.history] for run in runs])


def measures_of(epoch):
    """[(part, measure, value), ...] of one epoch of a history."""
    names = [name.partition("_") for name in epoch]
    return [(part, name, epoch[f"{part}_{name}"]) for part, _, name in names if part in ("train", "val")]


def epoch_line(epoch):
    """One line about one epoch of a history."""
    line = f"epoch {epoch['epoch']:3d}"
    for part, values in groupby(measures_of(epoch), key=lambda measure: measure[0]):
        line += f"   {part}" + "".join(f" {name} {value:.4f}" for _, name, value in values)
    return line + f"   lr {epoch['lr']:.5f}   {epoch['seconds']:.0f} s"


def log_epoch(events, epoch):
    """Write one epoch of a history to TensorBoard: loss/train, loss/val, acc/train, ..."""
    for part, name, value in measures_of(epoch):
        events.add_scalar(f"{name}/{part}", value, epoch["epoch"])


def run_config(make_model, recipe, data, recorder=None):
    """All that the result depends on: recipe, architecture, data, recorder. Its hash is the run's key."""
    with torch.device("meta"):
        architecture = repr(make_model())
    config = {"recipe": asdict(recipe), "architecture": architecture, "data": data.fingerprint}
    return {**config, "recorder": repr(recorder)} if recorder else config


def is_study(data):
    """Whether runs on these data serve a choice, not a result: there is no test part."""
    return "test" not in data.about["sizes"]


def fit_or_load(name, make_model, recipe, data, folder=None, verbose=True, recorder=None):
    """Train a model, or read the record of the run that did, and return it as a Run.

    A run is known by a hash of recipe, architecture and data: change one and it is another run. A
    record is looked for in `folder` (OUT/runs by default), then in runs/. Training saves its state after
    every epoch and goes on from there when interrupted; damaged files are set aside and the run is made
    again. Of two processes that ask for the same run, one trains and the other waits. RETRAIN=1 trains in
    any case, from the start.

    A `recorder` watches the training: `start(model, scaler)` before it, `state_dict` and `load_state_dict` for
    checkpoints, and `result()`, JSON for the record's "recorded", when the model has its best weights. Its repr is
    part of what the run is known by.
    """
    config = run_config(make_model, recipe, data, recorder)
    key = key_of(config)
    path = Path(folder or OUT / "runs") / f"{name}-{key[:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if os.environ.get("RETRAIN") == "1":
            path.with_suffix(".ckpt").unlink(missing_ok=True)
        else:
            for place in dict.fromkeys([path, Path("runs") / f"{name}-{key[:10]}.json"]):
                record = read_record(place, key, "probs_sha256")
                if record:
                    run = Run(record, place)
                    path.with_suffix(".ckpt").unlink(missing_ok=True)  # left by a kill right after the record
                    if verbose:
                        print(run, *map(epoch_line, run.history), sep="\n")
                    return run
        return train_run(name, make_model, recipe, data, config, key, path, verbose, recorder)


@dataclass(frozen=True)
class Computed:
    """What was computed once, as its record tells it."""

    record: dict
    path: Path  # of the record

    @property
    def result(self):
        """JSON."""
        return self.record["result"]

    def array(self, name):
        """One of the arrays beside the record, float32."""
        with np.load(self.path.with_suffix(".npz")) as file:
            return file[name].astype(np.float32)


def compute_or_load(name, config, compute):
    """Compute something that takes minutes, or read the record of it: fit_or_load for what has no epochs.

    `compute()` returns (result, arrays): JSON, and arrays by name, which are kept as float16. The record is known
    by a hash of `config`, JSON that names all the result depends on, and looked for in OUT/runs/computed, then in
    runs/computed. RETRAIN=1 computes in any case.
    """
    key = key_of(config)
    path = OUT / "runs" / "computed" / f"{name}-{key[:10]}.json"
    places = dict.fromkeys([path, Path("runs/computed") / path.name])
    for place in places if os.environ.get("RETRAIN") != "1" else ():
        record = read_record(place, key, "arrays_sha256")
        if record:
            return Computed(record, place)
    result, arrays = compute()
    if arrays:
        with atomic_write(path.with_suffix(".npz")) as file:
            np.savez_compressed(file, **{name: values.astype(np.float16) for name, values in arrays.items()})
    record = {
        "name": name, "key": key, "config": config, "date": datetime.date.today().isoformat(), "result": result,
        "arrays_sha256": sha256_of(path.with_suffix(".npz")) if arrays else None,
    }  # fmt: skip
    write_sealed(path, record)
    return Computed(read_sealed(path), path)


def set_aside(path, error):
    """Rename a damaged file, and say so."""
    path.replace(path.with_name(path.name + ".damaged"))
    print(f"{error}: set aside as {path.name}.damaged, the run is made again")


def read_record(path, key, arrays_hash):
    """The record at `path`, or None where there is none or it is damaged (then it is set aside).

    `arrays_hash` is the record's name for the hash of the .npz beside it, None where there are no arrays.
    """
    if not path.exists():
        return None
    try:
        record = read_sealed(path)
        arrays, seal = path.with_suffix(".npz"), record[arrays_hash]
        if record["key"] != key or (seal and not (arrays.exists() and sha256_of(arrays) == seal)):
            raise DamagedFile(f"{path} does not fit its name or the arrays beside it")
        return record
    except DamagedFile as error:
        set_aside(path, error)
        return None


def train_run(name, make_model, recipe, data, config, key, path, verbose, recorder=None):
    """Train from the last checkpoint, or from the start, and write the record."""
    study = is_study(data)
    for leftover in path.parent.glob(f"{path.stem}.*.tmp"):  # of a process killed while it wrote
        leftover.unlink()
    seed_everything(recipe.seed)
    model = make_model().to(DEVICE, memory_format=torch.channels_last)
    training = Training(model, data, recipe, recorder)
    checkpoint = path.with_suffix(".ckpt")
    if checkpoint.exists():
        try:
            load_checkpoint(checkpoint, training)
            print(
                f"{name}: going on after epoch {len(training.history)} of {recipe.epochs}",
                *map(epoch_line, training.history),
                sep="\n",
            )
        except DamagedFile as error:
            set_aside(checkpoint, error)
    # Events of the last epochs before a kill may not have reached the disk: they are all written again.
    events = nullcontext() if study else SummaryWriter(path.parent / "tensorboard" / path.stem, purge_step=1)
    with events:
        for epoch in [] if study else training.history:
            log_epoch(events, epoch)
        while not training.finished:
            training.epoch()
            save_checkpoint(checkpoint, training)
            if not study:
                log_epoch(events, training.history[-1])
            if verbose:
                print(epoch_line(training.history[-1]), flush=True)

    model.load_state_dict(training.best)
    metrics, arrays = {}, {}
    for part in data.about["sizes"]:  # the test part is read here, once
        result = evaluate(model, data.loader(part, recipe), objective=recipe.objective)
        [kept] = [measure for measure, value in result.items() if torch.is_tensor(value)]  # "probs", say
        arrays[part] = result.pop(kept).numpy().astype(np.float16)
        metrics |= {f"{part}_{measure}": value for measure, value in result.items()}
    if not study:
        with atomic_write(path.with_suffix(".pt")) as file:
            torch.save(training.best, file)
        with atomic_write(path.with_suffix(".npz")) as file:
            np.savez_compressed(file, **{f"test_{kept}": arrays["test"]})
    device = (
        torch.cuda.get_device_name()
        if DEVICE.type == "cuda"
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    )
    record = {
        "name": name, "key": key, "config": config, "data": data.about,
        "history": training.history, "best_epoch": training.best_epoch + 1, "metrics": metrics,
        "first_losses": training.first_losses, "parameters": sum(p.numel() for p in model.parameters()),
        "device": device, "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "weights_sha256": None if study else sha256_of(path.with_suffix(".pt")),
        "probs_sha256": None if study else sha256_of(path.with_suffix(".npz")),
    }  # fmt: skip
    if recorder:
        record["recorded"] = recorder.result()
    write_sealed(path, record)  # last: whoever sees the record finds the rest in place
    checkpoint.unlink(missing_ok=True)
    return Run(record, path)
