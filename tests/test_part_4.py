"""What Part IV's prose says must follow from results/ and from the records."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
R = json.loads((ROOT / "results" / "a1_part_4.json").read_text())
MODELS, SEEDS = ("baseline", "improved"), range(5)


def read(run):
    """A record as JSON."""
    return json.loads((ROOT / "runs" / f"{run}.json").read_text())


def study(name, variant, seeds):
    """Mean validation accuracy of a study's variant."""
    runs = [read(f"{name}/{variant}-seed{seed}") for seed in seeds]
    assert all("test_acc" not in run["metrics"] for run in runs), "no study reads the test part"
    return np.mean([run["metrics"]["val_acc"] for run in runs])


@pytest.mark.parametrize("model", MODELS)
def test_reported_is_the_seed_best_on_validation_and_the_mean_over_all(model):
    metrics = [read(f"{model}/seed{seed}")["metrics"] for seed in SEEDS]
    best = int(np.argmax([m["val_acc"] for m in metrics]))
    assert R[f"{model}.run"] == f"{model}/seed{best}"
    assert {name: R[f"{model}.{name}"] for name in metrics[best]} == metrics[best]
    for name in ("test_acc", "test_macro_f1"):
        values = [m[name] for m in metrics]
        assert R[f"{model}.mean_{name}"] == pytest.approx(np.mean(values), abs=6e-5)
        assert R[f"{model}.sd_{name}"] == pytest.approx(np.std(values, ddof=1), abs=6e-5)


@pytest.mark.parametrize("model", MODELS)
def test_released_weights_are_those_of_the_reported_run(model):
    path = ROOT / "weights" / f"a1_part4_{model}.pt"
    entry = json.loads((ROOT / "weights" / "MANIFEST.json").read_text())[path.name]
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry["metrics"]["test_acc"] == R[f"{model}.test_acc"]


def test_every_seed_differs_in_nothing_but_the_seed():
    for model in MODELS:
        runs = [read(f"{model}/seed{seed}") for seed in SEEDS]
        for run, seed in zip(runs, SEEDS):
            assert run["recipe"].pop("seed") == seed
            assert run["recipe"] == runs[0]["recipe"] and run["data"] == runs[0]["data"]
            assert np.allclose(run["probe"]["losses"], runs[0]["probe"]["losses"])
