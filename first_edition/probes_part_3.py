"""Probes of Part III's records from the code that made them: PYTHONPATH=first_edition python first_edition/probes_part_3.py RECORD ...

Prints {record: probe}. A `warmup` in a recipe is the share of one cycle's steps in which the rate rises, which that
code had for the longest runs.
"""

import json
import re
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.optim.lr_scheduler import OneCycleLR

from a1.data.power import Window, WindowLoader
from a1.forecast import ForecastRecipe
from a1.models.forecast import ARCHITECTURES, Forecaster
from a1.runs import read_sealed
from a1.train import Training

SPAN = 360
LEVEL = 1.0865174339, 1.0905651257  # replaced by the exact ones, which migrate_part_3.py hands over


class Tiny:
    """The numbers that a1.power.Windows.tiny draws, as the old code takes them."""

    def __init__(self, window):
        generator = torch.Generator().manual_seed(0)
        values = torch.randn(SPAN + 50, 14, generator=generator)
        ends = {"train": torch.arange(SPAN, SPAN + 20), "val": torch.arange(SPAN + 20, SPAN + 28)}
        target = torch.zeros(SPAN + 50)
        for rows in ends.values():
            target[rows] = torch.rand(len(rows), 1, generator=generator)[:, 0]
        self.base, self.ends, self.window = SimpleNamespace(values=values, target=target), ends, window

    def loader(self, part, recipe, train=False, epoch=0):
        count = recipe.windows_per_epoch if train else None
        return WindowLoader(self.base, self.ends[part], self.window, recipe.batch_size, train, count)


def maker(record, level, meters):
    """The constructor of a record's network; its text form must be the recorded one."""
    text, inputs = record["config"]["architecture"], r"\((?:\d+)\): (\w+)\((\d+), (\d+), batch_first=True(, bid)?"
    lines = re.findall(r"\((\d)(?:-(\d))?\): (?:(\d) x )?(LSTM|RNN|GRU)\((\d+), (\d+), batch_first=True(, bidirectional=True)?\)", text)
    kinds = []
    for _, _, times, kind, _, size, both in lines:
        kinds += [("bi" if both else "") + kind.lower()] * int(times or 1)
    size = int(lines[0][5]) * (2 if lines[0][6] else 1)
    dropout = float(re.search(r"Dropout\(p=([\d.]+)", text)[1])
    residual, logs = "the last minute + change" in text, "log of column" in text
    make = partial(Forecaster, tuple(kinds), size, dropout, *level, residual, meters=meters if logs else ())
    with torch.device("meta"):
        assert repr(make()) == text, (repr(make()), text)
    layers = next(name for name, value in ARCHITECTURES.items() if value == tuple(kinds))
    return make, {"layers": layers, "hidden_size": size, "dropout": dropout, "residual": residual, "log_meters": logs}


def probe(make_model, recipe, window):
    """As a1.records.probe, through the old Training."""
    recipe, warmup = dict(recipe), recipe.get("warmup", 0.3)
    recipe.pop("warmup", None)
    short = {"epochs": 2, "batch_size": 8, "lr": recipe["lr"] / 1000, "amp": False, "seed": 0}
    short |= {"weight_decay": 100 * recipe["weight_decay"], "image_sizes": []}
    torch.manual_seed(0)
    model = make_model().to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    start = [weight.detach().clone() for weight in weights]
    data = Tiny(window)
    training = Training(model, data, ForecastRecipe(**recipe | short))
    steps = short["epochs"] * len(data.loader("train", training.recipe, train=True))
    training.step_scheduler = OneCycleLR(
        training.optimizer, recipe["lr"] / 1000, total_steps=steps, cycle_momentum=False, pct_start=warmup
    )
    for _ in range(short["epochs"]):
        training.epoch()
    score = training.recipe.objective.score
    return {
        "losses": training.first_losses + [e[k] for e in training.history for k in ("lr", "val_loss")],
        "gradients": sorted(float(weight.grad.norm()) for weight in weights),
        "moved": sorted(float((weight.detach() - old).norm()) for weight, old in zip(weights, start)),
        "score": [score(dict(zip(training.history[0], range(9))))],
    }


def main():
    torch.set_num_threads(1)
    level, meters, paths = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    meters, found = tuple(tuple(meter) for meter in meters), {}
    for path in paths:
        record = read_sealed(Path(path))
        window = record["data"]["window"]
        make, settings = maker(record, level, meters)
        window = Window(window["history"], window["recent"], tuple(window["horizons"]))
        found[path] = {"probe": probe(make, record["config"]["recipe"], window), "settings": settings}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
