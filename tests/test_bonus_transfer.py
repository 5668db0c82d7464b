"""What the transfer-learning notebook says must follow from results/ and from the records."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = json.loads((ROOT / "results" / "a1_bonus_transfer_learning.json").read_text())
MODELS = ("squeezenet1_1", "mobilenet_v2", "efficientnet_lite0")


def read(run):
    """A record as JSON."""
    return json.loads((ROOT / "runs" / f"{run}.json").read_text())


def val_acc(study, variant):
    """Validation accuracy of a run of a study."""
    return read(f"transfer/{study}/{variant}-seed0")["metrics"]["val_acc"]


def records(model):
    """Records of a network's seeds."""
    return [read(run) for run in RESULTS["runs"].split() if run.startswith(f"{model}/")]


def probs(run):
    """Kept test probabilities of a final run."""
    with np.load(ROOT / "runs" / f"{run}.npz") as file:
        return file["test_probs"].astype(np.float32)


@pytest.mark.parametrize("model", MODELS)
def test_reported_metrics_are_those_of_the_records(model):
    metrics = read(RESULTS[f"{model}.run"])["metrics"]
    for name, value in metrics.items():  # two answers may tie in float16
        tolerance = 1e-3 if name in ("test_acc", "test_macro_f1") else 0
        assert RESULTS[f"{model}.{name}"] == pytest.approx(value, rel=0, abs=tolerance), name
    found = [record["metrics"] for record in records(model)]
    assert len(found) == 3
    assert metrics["val_acc"] == max(m["val_acc"] for m in found), "chosen on validation"
    means = {"mean": "test_acc", "mean_val": "val_acc", "mean_train": "train_acc"}
    if model == "mobilenet_v2":
        del means["mean_train"]  # not cited
    for key, name in means.items():
        mean = np.mean([m[name] for m in found])
        assert mean == pytest.approx(RESULTS[f"{model}.{key}"], abs=1e-4)


def compared():
    """{row: {column: number}} of the table of networks and averages in the deliverable."""
    notebook = json.loads((ROOT / "a1_bonus_transfer_learning.ipynb").read_text())
    outputs = [o for cell in notebook["cells"] for o in cell.get("outputs", [])]
    pages = ("".join(o.get("data", {}).get("text/html", "")) for o in outputs)
    page = next(page for page in pages if "<th>gained</th>" in page)
    head, *rows = (re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in page.split("<tr")[1:])
    return {
        label: dict(zip(head[1:], (float(value or "nan") for value in values)))
        for label, *values in rows
    }


def test_order_of_the_networks():
    vals, tests = ([RESULTS[f"{m}.{key}"] for m in MODELS] for key in ("mean_val", "mean"))
    assert sorted(vals) == vals and sorted(tests) == tests, "in the order of the published ones"
    accs = {m: [record["metrics"] for record in records(m)] for m in MODELS}
    assert all(m["test_acc"] > m["val_acc"] for found in accs.values() for m in found)
    tests = {model: [m["test_acc"] for m in found] for model, found in accs.items()}
    lite = tests.pop("efficientnet_lite0")
    assert min(lite) > max(map(max, tests.values())), "each seed is ahead of every other network"
    for pair in ("lead", "lower"):
        assert 3 * RESULTS[f"{pair}.p"] < 0.05, "beyond chance, over all seeds"
    assert RESULTS["lead.p_one"] < 0.05 < 3 * RESULTS["lead.p_one"], "not one seed against one"


def test_averages():
    rows = compared()
    lite = rows["EfficientNet-Lite0"]["acc"]
    for key, label in (("one", "one of each"), ("own", "best's seeds"), ("all", "all")):
        row = rows[label]
        assert row["acc"] == pytest.approx(RESULTS[f"avg_{key}.acc"])
        # labels are not in the records: gains must lead from Lite0's accuracy to the average's
        acc = lite + (row["gained"] - row["lost"]) / 1250
        assert acc == pytest.approx(row["acc"], abs=1e-4) and acc > lite
        p = binomtest(int(row["gained"]), int(row["gained"] + row["lost"])).pvalue
        assert p == pytest.approx(row["p"], rel=1e-2) and 3 * p > 0.05, "within chance"
        assert row["p"] >= RESULTS["avg_all.p"] == rows["all"]["p"], "the least of the three"
        assert (3 * row["p, all"] < 0.05) == (key != "one"), "against Lite0 over its seeds"
    assert RESULTS["avg_all.acc"] > RESULTS["avg_one.acc"] > RESULTS["avg_own.acc"]
    runs = RESULTS["runs"].split()
    assert len(runs) == 9
    mean, best = np.mean([probs(run) for run in runs], 0), probs(RESULTS["efficientnet_lite0.run"])
    assert mean.shape == (1250, 10) and np.allclose(mean.sum(1), 1, atol=1e-2)
    moved = (mean.argmax(1) != best.argmax(1)).sum()
    assert moved >= rows["all"]["gained"] + rows["all"]["lost"]


@pytest.mark.parametrize("model", MODELS)
def test_what_was_tested_before_was_worse(model):
    for name in ("8_epochs", "16_epochs"):
        before = read(f"{model}/{name}-seed0")["metrics"]["test_acc"]
        assert before < RESULTS[f"{model}.mean"]


def test_lite0_at_fewer_pixels_is_no_worse_than_squeezenet_at_more():
    assert 0 < RESULTS["worth.tuned"] - RESULTS["squeezenet1_1.mean_val"] < 0.04, "within noise"


def test_claims_on_the_tries():
    for model in MODELS:
        small, large = ("0.0001", "0.0003", "0.001"), ("0.001", "0.003", "0.01")
        rates = small if model == "squeezenet1_1" else large
        random = [val_acc("worth", f"{model}-random {rate}") for rate in rates]
        assert max(random) == random[1] < 0.35, "the middle rate is best"
        assert val_acc("worth", f"{model}-pre-trained") - random[1] > 0.35
    assert val_acc("change", "squeezenet1_1-constant rate") == pytest.approx(0.1), "chance"
    for model in MODELS[1:]:
        change = val_acc("change", f"{model}-constant rate") - val_acc(
            "change", f"{model}-as it was"
        )
        assert -0.036 < change < 0, "within noise"
    rows = ("batch 8", "batch 16", "as it was", "batch 64")
    batches = {m: [val_acc("change", f"{m}-{row}") for row in rows] for m in MODELS}
    assert sorted(batches["squeezenet1_1"])[::-1] == batches["squeezenet1_1"], "with each halving"
    for model, best in (("mobilenet_v2", 1), ("efficientnet_lite0", 2)):
        own = batches[model]
        assert max(own) == own[best] and own[best] - max(own[best - 1], own[best + 1]) < 0.036
    slow = {n: val_acc("change", f"squeezenet1_1-batch {n} at 0.003") for n in (4, 8, 16)}
    others = (val_acc("change", f"squeezenet1_1-batch {n} at 0.001") for n in (4, 8))
    assert max(slow, key=slow.get) == 8 and slow[8] > max(*others, *batches["squeezenet1_1"])
    tuned = [val_acc("change", f"efficientnet_lite0-{n} pixels") for n in (128, 160, 224)]
    assert sorted(tuned) == tuned and tuned[2] - tuned[1] > 0.02


def test_each_best_rate_of_a_body_lies_inside_what_was_tried():
    best = {"squeezenet1_1": "0.001-0.03", "mobilenet_v2": "0.0003-0.003"}
    best |= {"efficientnet_lite0": "0.001-0.001"}
    for model, rate in best.items():
        runs = (ROOT / "runs" / "transfer" / "rates").glob(f"{model}-*-seed0.json")
        accs = {path.name[len(model) + 1 : -len("-seed0.json")]: path for path in runs}
        accs = {key: json.loads(p.read_text())["metrics"]["val_acc"] for key, p in accs.items()}
        tuned = {key: acc for key, acc in accs.items() if not key.startswith("0-")}
        assert max(tuned, key=tuned.get) == rate
        bodies = sorted({float(key.split("-")[0]) for key in tuned})
        assert bodies[0] < float(rate.split("-")[0]) < bodies[-1]
        gain = tuned[rate] - accs["0-0.01"]
        assert gain > 0.03 if model == "efficientnet_lite0" else gain < 0.01
