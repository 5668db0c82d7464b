"""A notebook's runs trained by the workers of a local Ray cluster, one of which is killed."""

import inspect
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import nbformat
import pytest
import tiny
import torch
from tiny import TinyData, make_tiny, without_seconds
from torch._dynamo.utils import counters

from a1.runs import fit_or_load, read_sealed
from a1.train import Recipe
from tools.assemble import assemble
from tools.execute import execute
from tools.inline import BuildError
from tools.train import compiled, with_cluster

NAME = "a1_part_9"
ROOT = Path(__file__).resolve().parent.parent
RECIPE = Recipe(epochs=3, batch_size=8, lr=0.05, amp=False)


class Watch:
    """Writes down every epoch of every run; the first process to end a second one is killed before its checkpoint."""

    def __init__(self):
        self.epochs = 0

    def __repr__(self):
        return "Watch()"

    def start(self, model, scaler):
        self.epochs = 0

    def state_dict(self):
        self.epochs += 1
        with open("epochs.txt", "a") as file:
            file.write(f"{os.getpid()} {self.epochs}\n")
        if self.epochs == 2 and not os.path.exists("killed.txt"):
            open("killed.txt", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]

    def result(self):
        return self.epochs


class TinyStudy(TinyData):
    """TinyData without its test part."""

    SIZES = {"train": 26, "val": 11}


SOURCE = f"""
# %% [markdown]
# # Tiny runs

# %%
import datetime
import hashlib
import io
import json
import os
import platform
import random
import signal
import tempfile
import time
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from filelock import FileLock
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.tensorboard import SummaryWriter

# %%
from a1.setup import DEVICE, OUT, PROFILE, seed_everything
from a1.files import atomic_write
from a1.train import Classification, Recipe, OPTIMIZERS, mixed_precision, train_epoch, evaluate, Training
from a1.runs import (
    DamagedFile, sha256_of, key_of, write_sealed, read_sealed, save_checkpoint, load_checkpoint, Run, curves,
    measures_of, epoch_line, log_epoch, run_config, is_study, set_aside, read_record, train_run, fit_or_load,
)
from a1.studies import run_study

# %%
{"".join(map(inspect.getsource, (tiny.TinyData, tiny.TinyLoader, tiny.make_tiny, TinyStudy, Watch)))}

# %%
recipe = Recipe(epochs=3, batch_size=8, lr=0.05, amp=False)
variants = {{("tiny", seed): (make_tiny, replace(recipe, seed=seed)) for seed in range(4)}}
table = run_study("tiny", variants, TinyStudy(), Watch())
final = fit_or_load("tiny", make_tiny, recipe, TinyData(), verbose=False)
print(list(table["seed"]), final.metrics["test_acc"])
"""


def notebook_of(source, tmp_path):
    (tmp_path / "a1").symlink_to(ROOT / "a1")
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / f"{NAME}.py").write_text(source)
    return assemble(NAME, tmp_path / "sources", tmp_path, strict=False)


def test_a_killed_workers_run_goes_on_elsewhere_and_all_end_as_without_ray(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    notebook = notebook_of(SOURCE, tmp_path)
    with_cluster(notebook, cpus=1)
    store = tmp_path / "store"
    store.mkdir()
    execute(notebook, NAME, store, {"A1_PROFILE": "full", "A1_OUT": ".", "PYTHONPATH": str(ROOT)})
    assert "[0, 1, 2, 3]" in nbformat.writes(notebook)

    epochs = [line.split() for line in (store / "epochs.txt").read_text().splitlines()]
    workers = {worker for worker, _ in epochs}
    assert (store / "killed.txt").exists() and len(workers) > 1, "more than one worker trained"
    assert len(epochs) == 4 * RECIPE.epochs + 1, "of the killed run, only the epoch it died in was made again"

    monkeypatch.chdir(store)  # where killed.txt stands, so nobody is killed
    records = sorted((store / "runs" / "studies").glob("*.json"))
    assert len(records) == 4 and not list(store.rglob("*.ckpt"))
    pairs = []
    for seed in range(4):
        folder = tmp_path / "here"
        recipe = replace(RECIPE, seed=seed)
        here = fit_or_load("studies/tiny", make_tiny, recipe, TinyStudy(), folder, False, Watch())
        pairs.append((here.record, read_sealed(store / "runs" / "studies" / here.path.name)))
    final = fit_or_load("tiny", make_tiny, RECIPE, TinyData(), tmp_path / "here", verbose=False)
    pairs.append((final.record, read_sealed(store / "runs" / final.path.name)))
    for here, there in pairs:
        assert here["config"] == there["config"] and here["metrics"] == there["metrics"]
        assert without_seconds(here["history"]) == without_seconds(there["history"])


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_run_is_the_same_run_up_to_the_last_digits(tmp_path):
    torch.compiler.reset()
    counters.clear()
    make_model = partial(make_tiny, dropout=0.0)  # compiled dropout draws other numbers
    plain = fit_or_load("tiny", make_model, RECIPE, TinyData(), tmp_path / "plain", verbose=False)
    assert not counters["stats"]["unique_graphs"]
    fast = fit_or_load("tiny", compiled(make_model), RECIPE, TinyData(), tmp_path / "compiled", verbose=False)
    assert counters["stats"]["unique_graphs"] > 0, "something was compiled"
    assert fast.record["key"] == plain.record["key"]
    losses = [[epoch["train_loss"] for epoch in run.history] for run in (plain, fast)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    fast.load_weights(make_tiny())  # by the names of a network that is not compiled


def test_a_notebook_without_trainings_is_refused(tmp_path):
    notebook = notebook_of("# %% [markdown]\n# # Nothing\n\n# %%\nprint(1)\n", tmp_path)
    with pytest.raises(BuildError, match="trains nothing"):
        with_cluster(notebook)
