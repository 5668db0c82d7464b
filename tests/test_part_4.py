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


def test_claims_of_part_4():
    # 2.2 nothing beats the centre by the rule; too few epochs and words cost; reading padding costs
    centre = [study("text_search", "centre", [seed]) for seed in range(3)]
    sd = np.std(centre, ddof=1)
    rule = 2 * sd * (4 / 3) ** 0.5
    tried = (
        "embedding-50",
        "embedding-200",
        "hidden-32",
        "hidden-128",
        "dropout-0.1",
        "dropout-0.5",
    )
    tried += ("lr-0.001", "lr-0.006", "batch-256", "epochs-4")
    assert all(study("text_search", name, [0]) < np.mean(centre) + rule for name in tried)
    sizes = [study("text_search", name, [0]) for name in tried[:4]]
    assert max(sizes) < np.mean(centre), "100 and 64 are as good as any"
    for length, below in ((8, 0.05), (15, 0.02)):
        assert study("text_length", f"words-{length}", [0]) < np.mean(centre) - below
    assert study("text_length", "misread", [0]) < np.mean(centre) - rule
    assert study("tokenizers", "basic", [0]) < np.mean(centre) - rule, "more than chance"

    # 3.1 vectors matter most, GRU equals LSTM; teacher, other tweets, depth do not show
    whole = study("ablation", "all", range(2))
    gaps = {p.stem[:-6]: study("ablation", p.stem[:-6], [0]) - whole for p in ABLATION}
    spread = np.std([read(f"improved/seed{s}")["metrics"]["val_acc"] for s in SEEDS], ddof=1)
    assert min(gaps, key=gaps.get) == "random-vectors" and gaps["random-vectors"] < -4 * spread
    assert gaps["last-states"] < -2 * spread and abs(gaps["gru"]) < spread
    assert all(gaps[name] > 0 for name in ("no-other-tweets", "one-layer", "no-teacher"))
    for name in ("lr-0.0015", "dropout-0.5"):
        assert study("improved_search", name, [0]) < whole


ABLATION = [p for p in (ROOT / "runs" / "ablation").glob("*-seed0.json") if "all" not in p.stem]


def test_claims_of_part_4_about_the_test_part():
    assert R["improved.test_acc"] > 0.75, "the bar"
    assert all(read(f"{m}/seed{s}")["metrics"]["test_acc"] > 0.75 for m in MODELS for s in SEEDS)
    assert R["improved_baseline.low"] > 0, "better than the baseline"
    for model in ("tfidf_lr", "tfidf_svm"):
        assert R[f"improved_{model}.low"] < 0 < R[f"improved_{model}.high"], "cannot be told apart"
        assert R["baseline.mean_test_acc"] < R[f"{model}.test_acc"], "LSTM layers lose to counts"
    assert R["ensemble.acc"] < R["improved.mean_test_acc"] and R["with_linear.acc"] < 0.83
    assert abs(R["with_linear.acc"] - R["tfidf_svm.test_acc"]) < 0.005, "draws level"
    assert R["negated.improved"] <= R["negated.lr"], "no advantage on negation"
    assert R["negated.network_move"] < -0.05 and R["negated.linear_move"] < -0.05
    assert R["unanimous"] - R["divided"] > 0.3
    assert (
        R["ceiling.low"]
        < R["ceiling.high"]
        == pytest.approx((1 + (2 * R["ceiling.low"] - 1) ** 0.5) / 2, abs=1e-3)
    )
    assert R["improved.mean_test_acc"] < R["ceiling.low"]
    gains = [R[f"improved.{c}_F1"] - R[f"baseline.{c}_F1"] for c in ("neutral", "negative")]
    assert gains[0] > gains[1] > 0
    assert R["improved.negative_as_neutral"] < R["baseline.negative_as_neutral"]
    assert R["improved.neutral_as_negative"] > R["baseline.neutral_as_negative"], "leans"
