"""What the prose says must follow from results/ and from the records."""

import hashlib
import json
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
PART_1 = json.loads((ROOT / "results" / "a1_part_1.json").read_text())
MODELS = ("vgg16c", "resnet18")


def read(run):
    """A record as JSON."""
    return json.loads((ROOT / "runs" / f"{run}.json").read_text())


@pytest.mark.parametrize("model", MODELS)
def test_reported_metrics_are_those_of_the_record(model):
    metrics = read(PART_1[f"{model}.run"])["metrics"]
    assert {name: PART_1[f"{model}.{name}"] for name in metrics} == metrics


def test_every_seed_of_resnet18_is_ahead_of_every_seed_of_vgg16c():
    runs = {name: [read(f"{name}/seed{k}") for k in range(3)] for name in MODELS}
    accs = {name: [run["metrics"]["test_acc"] for run in of] for name, of in runs.items()}
    for name, of in accs.items():
        assert PART_1[f"{name}.mean_test_acc"] == pytest.approx(np.mean(of), abs=1e-4)
        assert PART_1[f"{name}.sd_test_acc"] == pytest.approx(np.std(of, ddof=1), abs=1e-4)
        for k, run in enumerate(runs[name]):
            assert run["recipe"] == runs[name][0]["recipe"] | {"seed": k}
            assert run["data"] == runs[name][0]["data"]
    assert min(accs["resnet18"]) > max(accs["vgg16c"])
    error = (np.var(accs["resnet18"], ddof=1) / 3 + np.var(accs["vgg16c"], ddof=1) / 3) ** 0.5
    lead = np.mean(accs["resnet18"]) - np.mean(accs["vgg16c"])
    low, high = (lead + sign * 2.776 * error for sign in (-1, 1))  # Student's t, 4 degrees
    assert 0 < low == pytest.approx(PART_1["seeds.low"], abs=1e-4)
    assert high == pytest.approx(PART_1["seeds.high"], abs=1e-4)


def test_every_final_run_is_reported():
    results = [json.loads(path.read_text()) for path in ROOT.glob("results/*.json")]
    final = {path.parent.name for path in ROOT.glob("runs/*/*.npz")}
    reported = {key.removesuffix(".run") for r in results for key in r if key.endswith(".run")}
    reported |= {run.split("/")[0] for r in results for run in r.get("runs", "").split()}
    assert final <= reported


def test_the_manifest_lists_the_weights_that_are_here():
    manifest = json.loads((ROOT / "weights" / "MANIFEST.json").read_text())
    for path in (ROOT / "weights").glob("*.pt"):
        assert manifest[path.name]["bytes"] == path.stat().st_size
        assert manifest[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_committed_files_are_small():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    large = {p.name for p in paths if p.exists() and p.stat().st_size > 25_000_000}
    assert large <= {"a1_part1_vgg16c.pt"}


@pytest.mark.parametrize("suffix, ignored", [("json", 1), ("npz", 1), ("pt", 0), ("ckpt", 0)])
def test_of_a_runs_files_record_and_arrays_are_committed(suffix, ignored):
    command = ["git", "check-ignore", "-q", f"runs/resnet18/seed9.{suffix}"]
    status = subprocess.run(command, cwd=ROOT, capture_output=True).returncode
    if status > 1:
        pytest.skip("not a git checkout")
    assert status == ignored


def interval(record, part):
    """Wilson's 95% interval of an accuracy."""
    n = record["sizes"][part]
    right = round(record["metrics"][f"{part}_acc"] * n)
    return binomtest(right, n).proportion_ci(method="wilson")


def curve(record, key):
    """One column of a record's history."""
    return [epoch[key] for epoch in record["history"]]


def study(name, variant, seeds=range(3)):
    """Means over the seeds of a variant of a study, its sd, and its lowest accuracy."""
    metrics = [read(f"{name}/{variant}-seed{seed}")["metrics"] for seed in seeds]
    val, train = (np.array([m[f"{part}_acc"] for m in metrics]) for part in ("val", "train"))
    sd = val.std(ddof=1) if len(val) > 1 else 0.0
    gap = 100 * (train - val).mean()
    return {"acc": val.mean(), "sd": sd, "train": train.mean(), "gap": gap, "lowest": val.min()}


def test_claims_of_part_1():
    vgg, resnet = (read(f"{model}/seed0") for model in MODELS)
    measured = {name: record["metrics"] for name, record in (("vgg", vgg), ("resnet", resnet))}
    v, r = measured["vgg"], measured["resnet"]

    # 2.2 initialisation: chance exactly, Xavier between chance and He, its loss near ln 3 even so
    normal, xavier, he = (study("init", init) for init in ("normal", "xavier", "he"))
    assert abs(normal["acc"] - 1 / 3) < 1e-3 and normal["sd"] < 1e-3
    assert normal["acc"] + 2 * xavier["sd"] < xavier["acc"] < he["acc"] - 3 * xavier["sd"]
    losses = [curve(read(f"init/xavier-seed{seed}"), "train_loss")[-1] for seed in range(3)]
    assert max(losses) < np.log(3) and min(losses) > 0.75 * np.log(3)

    # 2.2 schedule: a tie, an unreliable constant rate, a trap
    plateau, cycle = study("schedule", "plateau-0.01"), study("schedule", "one_cycle-0.02")
    assert abs(plateau["acc"] - cycle["acc"]) < max(plateau["sd"], cycle["sd"])
    assert study("schedule", "constant-0.02")["sd"] > 3 * cycle["sd"]
    ends = [curve(read(f"schedule/plateau-0.02-seed{seed}"), "val_acc")[-1] for seed in range(3)]
    rates = [curve(read(f"schedule/plateau-0.02-seed{seed}"), "lr") for seed in range(3)]
    assert [rate[-1] < rate[0] for rate in rates] == [end < 0.7 for end in ends] == [0, 0, 1]

    # 2.3 optimizers: each at the best of its rates, which lies inside; rates, full width, batches
    searched = {"sgd": (0.006, 0.02, 0.06), "rmsprop": (1e-4, 3e-4, 1e-3, 3e-3)}
    searched |= dict.fromkeys(("adam", "adamw"), (3e-4, 1e-3, 3e-3, 1e-2))
    best = {}
    for name, tried in searched.items():
        accs = [study("optimizer", f"{name}-{lr:g}", [0])["acc"] for lr in tried]
        assert 0 < np.argmax(accs) < len(tried) - 1, "the best lies inside"
        best[name] = study("optimizer", f"{name}-{tried[np.argmax(accs)]:g}")
        lost = max(accs) - accs[np.argmax(accs) + 1]
        assert lost > 0.15 if name in ("sgd", "adam") else lost > 0.05
    assert abs(best["adam"]["acc"] - best["adamw"]["acc"]) < best["adam"]["sd"], "level"
    assert best["adam"]["acc"] > best["sgd"]["acc"] > best["rmsprop"]["acc"] + 0.05
    wide = [study("full_width", f"sgd-{lr}", [0])["acc"] for lr in (0.02, 0.05, 0.1)]
    assert wide[0] > 0.8 and wide[0] - wide[1] > 0.15 and abs(wide[2] - 1 / 3) < 1e-3
    batch = {label: study("batch_size", label) for label in ("128-0.02", "64-0.01", "32-0.005")}
    kept = {size: study("batch_size", f"{size}-0.02") for size in (64, 32)}
    assert batch["32-0.005"]["acc"] > batch["128-0.02"]["acc"] + batch["128-0.02"]["sd"]
    for size, label in ((64, "64-0.01"), (32, "32-0.005")):
        difference = abs(kept[size]["acc"] - batch[label]["acc"])
        assert difference < max(kept[size]["sd"], batch[label]["sd"]), "within the seeds' spread"

    # 2.4 augmentation closes the gap; accuracy hardly moves; accidents at twice the rate
    names = ("none", "augmentation", "weight_decay", "dropout", "label_smoothing", "all_four")
    calm = {name: study("regularisation", f"{name}-0.01") for name in names}
    none, four = calm["none"], calm["all_four"]
    assert max(calm["augmentation"]["gap"], four["gap"]) < 0.5 * none["gap"]
    for name in ("weight_decay", "dropout", "label_smoothing"):
        assert calm[name]["gap"] > 0.8 * none["gap"], "leave most of it"
        assert calm[name]["gap"] > none["gap"] or calm[name]["train"] < none["train"]
    error = (2 * np.mean([one["sd"] ** 2 for one in calm.values()]) / 3) ** 0.5
    assert 0 < four["acc"] - none["acc"] < error, "less than one standard error"
    assert max(four["acc"], *(one["acc"] for one in calm.values())) == four["acc"]
    lowest = {name: study("regularisation", f"{name}-0.02")["lowest"] for name in names}
    assert max(lowest["none"], lowest["weight_decay"]) < 0.75 < 0.8 < lowest["all_four"]

    # 2.5 and 3.5: each network
    assert v["test_acc"] > 0.75 and r["test_acc"] > 0.80, "the bars"
    for record, m in ((vgg, v), (resnet, r)):
        for part, other in (("test", "val"), ("val", "test")):
            low, high = interval(record, part)
            assert low < m[f"{other}_acc"] < high
        assert abs(m["test_macro_f1"] - m["test_acc"]) < 5e-4, "to the third decimal"
        assert max(curve(record, "val_loss")[-3:]) < 1.1 * min(curve(record, "val_loss"))
        assert record["recipe"]["image_sizes"] == [32] * 8 + [48] * 5
    gaps = [100 * (m["train_acc"] - m["test_acc"]) for m in (v, r)]
    assert max(gaps) < 0.2 * none["gap"] and abs(gaps[0] - gaps[1]) < 0.3
    accs = {name: curve(record, "val_acc") for name, record in (("vgg", vgg), ("resnet", resnet))}
    assert accs["vgg"][13] > accs["vgg"][12] + 0.04, "one epoch at full size lifts it"
    swings = [max(abs(b - a) for a, b in pairwise(accs[name][1:13])) for name in accs]
    assert swings[0] < 0.06 < 0.2 < swings[1], "by a few points, by tens of points"
    late = zip(curve(resnet, "train_acc")[13:], accs["resnet"][13:])
    assert all(abs(train - val) < 0.015 for train, val in late), "the curves stay together"

    # 3.5 (b) and 4.3: the two compared
    assert interval(resnet, "test").low > interval(vgg, "test").high
    assert all(r[f"{part}_loss"] < v[f"{part}_loss"] for part in ("train", "val", "test"))
    assert r["train_acc"] > v["train_acc"], "the lead is there on the training photos"
    assert curve(resnet, "train_acc")[-1] > curve(vgg, "train_acc")[-1]
    assert accs["vgg"][13] > accs["resnet"][13], "VGG is ahead at epoch 14"
    gained = {name: max(values[13:]) - values[13] for name, values in accs.items()}
    assert gained["resnet"] > 3 * gained["vgg"]
    assert 0.3 < resnet["parameters"] / vgg["parameters"] < 1 / 3 + 0.01, "a third"
    assert resnet["recipe"]["lr"] == 5 * vgg["recipe"]["lr"]


NEEDED = [
    f"{model}.{a}_{b}" for model in MODELS for a, b in (("dogs", "food"), ("food", "vehicles"))
]


@pytest.mark.skipif(not PART_1.keys() >= {*NEEDED, "only_vgg"}, reason="not yet run in full")
def test_claims_of_part_1_about_photos():
    r, pairs = PART_1, ("dogs_food", "dogs_vehicles", "food_vehicles")
    for model in MODELS:
        wrong = [r[f"{model}.{pair}"] for pair in pairs]
        assert wrong == sorted(wrong, reverse=True) and sum(wrong) == r[f"{model}.n_wrong"]
        n = read(f"{model}/seed0")["sizes"]["test"]
        assert sum(wrong) == round(n * (1 - r[f"{model}.test_acc"]))
    assert all(r[f"resnet18.{pair}"] < r[f"vgg16c.{pair}"] for pair in pairs), "of every pair"
    assert round(r["vgg16c.n_wrong"] / 3) == 68
    assert round((r["vgg16c.n_wrong"] * 2 / 9) ** 0.5) == 7, "give or take"
    only = r["only_vgg"], r["only_resnet"]
    assert r["only_resnet"] - r["only_vgg"] == r["vgg16c.n_wrong"] - r["resnet18.n_wrong"]
    assert r["mcnemar_p"] == pytest.approx(binomtest(only[0], sum(only)).pvalue, rel=0.06)
    assert r["mcnemar_p"] < 1e-6
    assert r["both_wrong"] / r["resnet18.n_wrong"] > 0.7
    assert 0.4 < r["template_acc"] < 0.75


def test_claims_of_part_1_about_classes():
    assert PART_1["vgg16c.dogs_F1"] < PART_1["vgg16c.vehicles_F1"]
    cells = json.loads((ROOT / "a1_part_1.ipynb").read_text())["cells"]
    cell = next(c for c in cells if "class_report(y_test, resnet_probs" in "".join(c["source"]))
    table = "".join(cell["outputs"][-1]["data"]["text/plain"]).splitlines()
    f1 = {line.split()[0]: float(line.split()[-2]) for line in table[1:4]}
    assert f1["dogs"] < f1["food"] < f1["vehicles"]


def test_claims_of_part_1_about_resnets_augmentation():
    if len(list((ROOT / "runs" / "resnet_augmentation").glob("*.json"))) < 6:
        pytest.skip("not yet run")
    given, none = (study("resnet_augmentation", name) for name in ("with", "without"))
    assert given["gap"] < none["gap"]


def test_which_techniques_alone_keep_every_seed_alive_at_a_rate_of_002():
    r = json.loads((ROOT / "results" / "a1_part_1.json").read_text())
    sunk = [r[f"reg.{name}_lowest"] for name in ("none", "decay", "augmentation", "smoothing")]
    assert min(r["reg.dropout_lowest"], r["reg.all_four_lowest"]) > 0.82 > 0.8 > max(sunk)
