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

    # 3.1 word vectors and both directions pay, by two standard errors; nothing else does
    variants = {path.stem[:-6] for path in (ROOT / "runs" / "ablation").glob("*-seed0.json")}
    accs = {v: [study("ablation", v, [seed]) for seed in range(3)] for v in variants}
    rule = 2 * (2 / 3) ** 0.5 * np.mean([np.var(of, ddof=1) for of in accs.values()]) ** 0.5
    assert R["ablation.sd"] * 2 * (2 / 3) ** 0.5 == pytest.approx(rule, abs=1e-4)
    whole = np.mean(accs.pop("all"))
    gaps = {variant: np.mean(of) - whole for variant, of in accs.items()}
    pay = {"random-vectors", "one-direction"}
    assert {variant for variant, gap in gaps.items() if abs(gap) > rule} == pay
    assert all(gaps[variant] < 0 for variant in pay) and len(gaps) == 7

    # 3.2 neither half the rate nor more dropout; fourteen epochs have the highest mean
    for name in ("lr-0.0015", "dropout-0.5"):
        assert study("improved_search", name, range(3)) < whole
    longer = [study("improved_search", f"epochs-{n}", range(3)) for n in (7, 14)]
    assert whole + rule < longer[0] < longer[1] < longer[0] + rule
    assert study("improved_search", "epochs-28", [0]) < longer[1]
    assert {read(f"improved/seed{seed}")["recipe"]["epochs"] for seed in SEEDS} == {14}


def test_claims_of_part_4_about_the_test_part():
    assert R["improved.test_acc"] > 0.75, "the bar"
    assert all(read(f"{m}/seed{s}")["metrics"]["test_acc"] > 0.75 for m in MODELS for s in SEEDS)
    assert R["improved_baseline.low"] > 0, "better than the baseline"
    for model in ("tfidf_lr", "tfidf_svm"):
        assert R[f"improved_{model}.low"] < 0 < R[f"improved_{model}.high"], "cannot be told apart"
        assert R["baseline.mean_test_acc"] < R[f"{model}.test_acc"], "LSTM layers lose to counts"
    others = [R[f"{model}.test_acc"] for model in ("tfidf_lr", "tfidf_svm")]
    assert R["with_linear.acc"] > max(R["ensemble.acc"], *others), "the table's highest"
    assert R["with_linear_tfidf_svm.low"] < 0, "yet level"
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
    for way in ("negative_as_neutral", "neutral_as_negative"):
        assert R[f"improved.{way}"] < R[f"baseline.{way}"], "crossed less often both ways"
    losses = [[e["val_loss"] for e in read(R[f"{m}.run"])["history"]] for m in MODELS]
    assert [int(np.argmin(of)) + 1 for of in losses] == [3, 6], "where they turn upwards"
    assert losses[0][-1] - min(losses[0]) > 2 * (losses[1][-1] - min(losses[1])), (
        "less than half as much"
    )
