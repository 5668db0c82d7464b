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


STUDIES = sorted((ROOT / "runs" / "studies").glob("*.json"))


def test_every_study_is_reported():
    reported = {stem for results in RESULTS.values() for stem in results.get("study_runs", "").split()}
    assert {path.stem for path in STUDIES} == reported, "delete records that no notebook reads"


def test_studies_are_whole_and_never_saw_the_test_part():
    for path in STUDIES:
        record = read_sealed(path)
        key = hashlib.sha256(json.dumps(record["config"], sort_keys=True).encode()).hexdigest()
        assert record["key"] == key and f"{record['name']}-{key[:10]}" == f"studies/{path.stem}"
        assert not any(name.startswith("test") for name in record["metrics"])


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


def test_claims_of_the_studies_of_part_1():
    r = RESULTS["a1_part_1"]
    assert r["study.seeds"] == 3

    # initialisation
    assert abs(r["init.normal_val_acc"] - 1 / 3) < 1e-3 and r["scale.normal_last"] < 1e-8
    assert r["init.he_val_acc"] - r["init.xavier_val_acc"] > 3 * r["init.xavier_sd"]
    assert 1 < r["scale.he_last"] < 4 and r["scale.xavier_last"] < 0.01

    # schedule: a tie, a trap, and an unreliable constant rate
    tie = abs(r["schedule.plateau_0.01"] - r["schedule.one_cycle_0.02"])
    assert tie < r["schedule.one_cycle_0.02_sd"] and r["schedule.constant_0.02_sd"] > 0.03
    assert r["schedule.recovered"] - r["schedule.stuck"] > 0.15

    rates = {
        (recipe["lr"], recipe["seed"]): [epoch["lr"] for epoch in record["history"]]
        for record in map(read_sealed, STUDIES)
        if (recipe := record["config"]["recipe"])["schedule"] == "plateau"
    }
    cuts = {
        run: [epoch for epoch in range(1, len(lrs)) if lrs[epoch] < lrs[epoch - 1]]
        for run, lrs in rates.items()
    }
    assert sorted(map(len, (cuts[0.01, seed] for seed in range(3)))) == [0, 1, 1]
    assert all(epoch >= 18 for seed in range(3) for epoch in cuts[0.01, seed]), "in the last two epochs"
    assert cuts[0.02, 2] == [10, 13, 16, 19], "every third epoch"

    # optimizers
    assert 1 < r["opt.adam_lead_points"] / r["opt.adam_lead_se_points"] < 2.5
    assert abs(r["opt.adam.mean"] - r["opt.adamw.mean"]) < r["opt.adam.sd"]
    assert r["opt.sgd.mean"] - r["opt.rmsprop.mean"] > 2 * r["opt.rmsprop.sd"]
    assert r["opt.spread_points"] < 2 and r["opt.rmsprop.mean"] < r["opt.sgd.mean"] - 0.05
    assert all(r[f"opt.{name}.lost_points"] > 5 for name in ("sgd", "adam", "adamw", "rmsprop"))
    assert r["probe.sgd_02"] > 0.8 > 0.7 > r["probe.sgd_05"] and abs(r["probe.sgd_10"] - 1 / 3) < 1e-3

    # batch sizes
    seconds = [r[f"batch.{size}_scaled_seconds"] for size in (32, 64, 128)]
    assert seconds == sorted(seconds, reverse=True)
    assert abs(r["batch.32_scaled"] - r["batch.32_unscaled"]) < r["batch.32_scaled_sd"]
    assert r["batch.32_scaled"] > r["batch.128_scaled"] + r["batch.128_scaled_sd"]

    # regularisation
    gaps = {key: value for key, value in r.items() if key.startswith("reg.") and key.endswith("_gap_points")}
    assert (
        max(gaps["reg.augmentation_gap_points"], gaps["reg.all_four_gap_points"])
        < 0.5 * gaps["reg.none_gap_points"]
    )
    for technique in ("label_smoothing", "dropout", "weight_decay"):
        assert gaps[f"reg.{technique}_gap_points"] > 0.8 * gaps["reg.none_gap_points"]
        assert r[f"reg.{technique}"] <= r["reg.none"]
        assert 100 * abs(r[f"reg.{technique}"] - r["reg.none"]) < 2 * r["reg.noise_points"]
    assert 100 * (r["reg.all_four"] - r["reg.none"]) < r["reg.noise_points"]
    assert r["reg.none_loss_last"] > 1.2 * r["reg.none_loss_min"]
    assert r["reg.all_four_loss_last"] < 1.05 * r["reg.all_four_loss_min"]
    lowest = [r[f"reg.{name}_lowest"] for name in ("none", "augmentation", "weight_decay")]
    assert (
        max(lowest)
        == r["reg.augmentation_lowest"]
        < 0.78
        < r["reg.dropout_lowest"]
        < r["reg.all_four_lowest"]
    )
    assert (
        r["stop.none_best"] - r["stop.none_kept"]
        > 0.05
        > 0.01
        > r["stop.all_four_best"] - r["stop.all_four_kept"]
    )
