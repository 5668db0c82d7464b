"""What the prose says must follow from results/, and results/ from the records."""

import hashlib
import json
from pathlib import Path

import pytest

from a1.evaluate import wilson_interval
from a1.runs import read_sealed, sha256_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "results").glob("*.json")}
REPORTED_RUNS = [
    (notebook, key.removesuffix(".run"), run)
    for notebook, results in RESULTS.items()
    for key, run in results.items()
    if key.endswith(".run")
]


@pytest.mark.parametrize(("notebook", "model", "run"), REPORTED_RUNS)
def test_reported_metrics_are_those_of_the_record(notebook, model, run):
    record = read_sealed(ROOT / "runs" / f"{run}.json")
    assert record["probs_sha256"] == sha256_of(ROOT / "runs" / f"{run}.npz")
    for name, value in record["metrics"].items():
        assert RESULTS[notebook][f"{model}.{name}"] == value


def test_every_record_is_reported():
    stored = {path.stem for path in (ROOT / "runs").glob("*.json")}
    assert stored == {run for _, _, run in REPORTED_RUNS}, "delete records that no notebook reads"


def test_the_manifest_lists_the_weights_that_are_here():
    manifest = json.loads((ROOT / "weights" / "MANIFEST.json").read_text())
    for path in (ROOT / "weights").glob("*.pt"):
        assert manifest[path.name]["bytes"] == path.stat().st_size
        assert manifest[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.stat().st_size < 25_000_000


def test_claims_of_part_1():
    r = RESULTS["a1_part_1"]
    assert r["data"] == "cnn_dataset.zip, 30,000 photos", "reported numbers come from the real photos"
    assert (r["n_images"], r["n_copies"]) == (30_000, 41)
    assert r["resnet18.test_acc"] >= 0.93
    assert r["resnet18.test_acc_low"] < r["resnet18.test_acc"] < r["resnet18.test_acc_high"]
    assert r["resnet18.test_acc_low"] < r["resnet18.val_acc"] < r["resnet18.test_acc_high"]
    low, high = wilson_interval(r["resnet18.val_acc"], r["n_val"])
    assert low < r["resnet18.test_acc"] < high
    assert round(r["resnet18.test_macro_f1"], 3) == round(r["resnet18.test_acc"], 3)
    high, low = (r["resnet18.pair_mean"] + sign * 2 * r["resnet18.pair_sd"] for sign in (1, -1))
    assert r["resnet18.dogs_food"] > high and r["resnet18.food_vehicles"] < low
    assert 2 < r["resnet18.recall_gap_points"] / r["resnet18.recall_gap_se_points"] < 4
    assert r["resnet18.vehicles_F1"] > r["resnet18.food_F1"] > r["resnet18.dogs_F1"]
    assert r["resnet18.wrong_over_90"] < 0.2 * r["resnet18.n_wrong"]
    assert r["resnet18.surest_wrong"] < 0.95

    history = read_sealed(ROOT / "runs" / f"{r['resnet18.run']}.json")["history"]
    assert [epoch["epoch"] for epoch in history if epoch["seconds"] > 300] == [7, 8, 9], (
        "busy with other work"
    )
    val_losses = [epoch["val_loss"] for epoch in history]
    assert max(val_losses[-3:]) < 1.1 * min(val_losses), "the validation loss levels off and does not rise"
