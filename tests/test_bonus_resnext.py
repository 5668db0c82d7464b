"""What the ResNeXt notebook says must follow from results/ and from the records."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, linregress, ttest_rel

ROOT = Path(__file__).resolve().parents[1]
RESULTS = json.loads((ROOT / "results" / "a1_bonus_resnext.json").read_text())
PART_1 = json.loads((ROOT / "results" / "a1_part_1.json").read_text())
CARDINALITIES = {1: 45, 2: 30, 4: 19, 8: 12, 16: 7, 32: 4}


def read(run):
    """A record as JSON."""
    return json.loads((ROOT / "runs" / f"{run}.json").read_text())


def study(variant, measure="val_acc", seeds=range(3)):
    """A measure of a variant's runs, one a seed."""
    return np.array([read(f"{variant}-seed{seed}")["metrics"][measure] for seed in seeds])


def curve(run, key):
    """One column of a run's history."""
    return [epoch[key] for epoch in read(run)["history"]]


def probs(run):
    """A final run's test probabilities."""
    with np.load(ROOT / "runs" / f"{run}.npz") as file:
        return file["test_probs"].astype(np.float32)


def test_reported_metrics_are_those_of_the_record():
    metrics = read(RESULTS["resnext.run"])["metrics"]
    assert {name: RESULTS[f"resnext.{name}"] for name in metrics} == metrics


def test_the_full_runs_share_a_recipe_the_data_and_the_rate_01():
    ours, theirs = read("resnext/seed0"), read("resnet18/seed0")
    assert ours["recipe"] == theirs["recipe"] and ours["recipe"]["lr"] == 0.1
    assert ours["data"] == theirs["data"] == read("vgg16c/seed0")["data"]
    assert ours["recipe"]["lr"] == 5 * read("vgg16c/seed0")["recipe"]["lr"]


def test_claims_about_the_full_runs():
    r = RESULTS
    for part in ("val_acc", "val_macro_f1", "test_acc", "test_macro_f1"):
        assert PART_1[f"resnet18.{part}"] > r[f"resnext.{part}"] > PART_1[f"vgg16c.{part}"]
    for part in ("val_loss", "test_loss"):
        assert PART_1[f"resnet18.{part}"] < r[f"resnext.{part}"] < PART_1[f"vgg16c.{part}"]
    assert PART_1["vgg16c.test_high"] < r["resnext.test_low"], "VGG-16C's lies below both"
    assert r["resnext.test_high"] > PART_1["resnet18.test_low"] + 0.005, "overlap widely"
    assert r["resnext.train_acc"] > PART_1["resnet18.train_acc"], "no worse in training"
    assert PART_1["vgg16c.train_acc"] < r["resnext.train_acc"] - 0.01
    lags = [
        a - b
        for a, b in zip(curve("resnet18/seed0", "train_acc"), curve("resnext/seed0", "train_acc"))
    ]
    assert min(lags) > 0, "behind in every epoch"
    late = zip(curve("resnet18/seed0", "val_acc")[13:], curve("resnext/seed0", "val_acc")[13:])
    assert all(0 < a - b < 0.02 for a, b in late), "ahead in every epoch, by little"
    swings = [abs(b - a) for a, b in pairwise(curve("resnext/seed0", "val_acc"))]
    assert max(swings[:12]) > 0.1 and max(swings[13:]) < 0.02
    assert r["resnext.vehicles_F1"] > r["resnext.food_F1"] > r["resnext.dogs_F1"]
    assert 0.45 < r["resnext.dogs_food"] / r["resnext.n_wrong"] < 0.55, "half"


def test_claims_about_the_pair_follow_from_the_kept_probabilities():
    y = probs("resnext/seed0")
    r, n = RESULTS, len(y)
    assert r["pair.only"] - r["pair.other"] == round(n * r["pair.points"] / 100)
    assert r["pair.p"] == pytest.approx(
        binomtest(r["pair.only"], r["pair.only"] + r["pair.other"]).pvalue, abs=1e-4
    )
    assert r["pair.low"] < 0 < r["pair.high"] and r["pair.p"] > 0.1, "a tie"
    assert r["vgg.low"] > 0 and r["vgg.p"] < 1e-3, "beats VGG-16C"
    assert r["pair.both"] > 0.5 * r["resnext.n_wrong"] and r["all_wrong"] > 70
    assert r["pair.both"] + r["pair.other"] == r["resnext.n_wrong"]
    differ = r["pair.only"] + r["pair.other"]
    lead = 22
    assert binomtest((differ + lead) // 2, differ).pvalue < 0.05
    assert binomtest((differ + lead - 2) // 2, differ).pvalue > 0.05, "a net 22 and no less"
    assert round(100 * lead / n, 1) == 0.5, "half a point"


def test_claims_about_the_rates():
    usual = {name: study(f"rates/{name}-0.1-one") for name in ("resnet18", "dense", "resnext")}
    assert usual["resnet18"].mean() > usual["dense"].mean() > usual["resnext"].mean()
    own = {"resnext": study("rates/resnext-0.4-zero"), "resnet18": study("rates/resnet18-0.2-zero")}
    gains = {name: accs.mean() - usual[name].mean() for name, accs in own.items()}
    assert gains["resnext"] > gains["resnet18"] > 0, "too low for both, more so for ResNeXt"
    lead = 100 * (own["resnext"].mean() - own["resnet18"].mean())
    assert RESULTS["best.lead"] == pytest.approx(lead, abs=0.006)
    same = {name: study(f"rates/{name}-0.1-zero") for name in own}
    for accs in (usual, same):
        lag = 100 * (accs["resnet18"].mean() - accs["resnext"].mean())
        assert lag > 1.5 and abs(lead) < 0.4 * lag, "the lag is gone, or most of it"
    starts = {name: 100 * (same[name].mean() - usual[name].mean()) for name in own}
    assert abs(starts["resnext"] - starts["resnet18"]) < 0.2 < min(starts.values()), "alike"
    assert all((own[name] > same[name]).all() for name in own), "too low for both, seed by seed"
    for name, rate in (("resnext", 0.4), ("resnet18", 0.2)):
        grid = {r: study(f"rates/{name}-{r}-zero", seeds=[0])[0] for r in (0.1, 0.2, 0.4, 0.8)}
        assert max(grid, key=grid.get) == rate, "inside the grid"
        fit = study(f"rates/{name}-{rate}-zero", "train_acc").mean()
        assert fit > study(f"rates/{name}-0.1-one", "train_acc").mean(), "fitted better"
        assert 0 < grid[0.1] - usual[name].mean() < gains[name], "start and rate share the effect"
    for name in ("dense", "resnext"):
        peaks = [max(curve(f"rates/{name}-0.1-one-seed{s}", "train_loss")) for s in range(3)]
        assert min(peaks) > 1.5
    assert max(curve(f"rates/resnet18-0.1-one-seed{s}", "train_loss")[0] for s in range(3)) < 1.1
    assert max(curve("rates/resnext-0.1-zero-seed0", "train_loss")) > 1.5, "no cure"
    assert max(curve("rates/resnext-0.4-zero-seed0", "train_loss")) > 2
    recipes = [read(f"rates/{name}-0.1-one-seed0")["recipe"] for name in usual]
    assert all(recipe == recipes[0] for recipe in recipes)


def test_claims_about_the_runs_on_all_photos_at_own_rates():
    runs = {n: [read(f"own_rates/{n}-seed{s}") for s in range(4)] for n in ("resnet18", "resnext")}
    for name, rate in (("resnet18", 0.2), ("resnext", 0.4)):
        for seed, run in enumerate(runs[name]):
            recipe = read(f"{name}/seed0")["recipe"] | {"lr": rate, "epochs": 8, "seed": seed}
            assert run["recipe"] == recipe | {"image_sizes": [32] * 5 + [48] * 2}
            assert run["data"] == read("resnext/seed0")["data"], "all photos, the same split"
    for part in ("train", "val", "test"):
        theirs, ours = ([100 * r["metrics"][f"{part}_acc"] for r in runs[n]] for n in runs)
        found = ttest_rel(ours, theirs)
        low, high = found.confidence_interval()
        said = [RESULTS[f"own.{part}_{key}"] for key in ("points", "low", "high", "p")]
        mean = np.mean(ours) - np.mean(theirs)
        assert said == pytest.approx([mean, low, high, found.pvalue], abs=6e-4)
        assert min(np.subtract(ours, theirs)) > 0, "ahead with every seed in every part"
        assert (low > 0) == (part != "val"), "beyond chance, barely so on the test photos"
    assert 0.04 < RESULTS["own.test_p"] < 0.05 < RESULTS["own.val_p"] < 0.06
    assert RESULTS["own.photos_p"] < 0.005, "clear over photos"
    large = read("own_rates/resnext50-seed0")
    assert large["recipe"] == runs["resnext"][0]["recipe"], "the smaller's rate"
    assert large["data"] == runs["resnext"][0]["data"]
    assert RESULTS["own.large_p"] > 0.05, "not clearly better"
    assert RESULTS["own.resnext50_val"] < RESULTS["own.resnext_val"]
    for part in ("val", "test"):
        acc = 100 * large["metrics"][f"{part}_acc"]
        assert acc == pytest.approx(RESULTS[f"own.resnext50_{part}"], abs=6e-4)


def test_claims_about_cardinality():
    found = {c: study(f"cardinality/{c}x{w}") for c, w in CARDINALITIES.items()}
    assert all(found[c].mean() > found[1].mean() for c in list(CARDINALITIES)[1:])
    x = np.repeat(np.log2(list(found)), 3)
    slope = linregress(x, 100 * np.concatenate(list(found.values())))
    assert slope.pvalue == pytest.approx(RESULTS["card.slope_p"], abs=1e-3) and slope.pvalue > 0.05
    paired = ttest_rel(found[32], found[1]).pvalue
    assert paired == pytest.approx(RESULTS["card.p"], abs=1e-3) and paired > 0.01, "weak"
    fits = {c: study(f"cardinality/{c}x{w}", "train_acc").mean() for c, w in CARDINALITIES.items()}
    assert fits[32] - fits[1] > found[32].mean() - found[1].mean() > 0, "training gains more"
    assert RESULTS["card.gap32"] > RESULTS["card.gap1"]


def test_claims_about_cost():
    r = RESULTS
    assert r["forms.apart"] < 1e-13 and r["forms.a_ratio"] > r["forms.b_ratio"] > 1.5
    assert r["work_ratio.resnext"] == pytest.approx(1.026, abs=0.001)
    assert r["time_ratio.even"] > r["time_ratio.resnext"] > r["time_ratio.dense"] > 1.1
    assert r["conv.gain128"] < r["conv.gain128_16"] < 16, "16 groups beat 32"
    assert r["conv.gain128"] < 0.5 * 32 < r["conv.gain1024"] < 32
