"""What the transfer-learning notebook says must follow from results/ and from the records."""

import json
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


def probs(model):
    """Kept test probabilities of a final run."""
    with np.load(ROOT / "runs" / f"{RESULTS[f'{model}.run']}.npz") as file:
        return file["test_probs"].astype(np.float32)


@pytest.mark.parametrize("model", MODELS)
def test_reported_metrics_are_those_of_the_record(model):
    metrics = read(RESULTS[f"{model}.run"])["metrics"]
    assert {name: RESULTS[f"{model}.{name}"] for name in metrics} == metrics


def test_order_and_means():
    vals, tests = ([RESULTS[f"{m}.{part}_acc"] for m in MODELS] for part in ("val", "test"))
    assert sorted(vals) == vals and sorted(tests) == tests, "in the order of the published ones"
    assert all(test > val for val, test in zip(vals, tests)), "test lies above validation"

    # the labels are not in the records: the best network's own accuracy must be reproducible
    two = (probs("efficientnet_lite0") + probs("mobilenet_v2")) / 2
    assert two.shape == (1250, 10) and np.allclose(two.sum(1), 1, atol=1e-2)
    assert RESULTS["two.acc"] > RESULTS["efficientnet_lite0.test_acc"]
    gained, lost = RESULTS["two.gained"], RESULTS["two.lost"]
    acc = RESULTS["efficientnet_lite0.test_acc"] + (gained - lost) / 1250
    assert acc == pytest.approx(RESULTS["two.acc"], abs=1e-4)
    p = binomtest(gained, gained + lost).pvalue
    assert p == pytest.approx(RESULTS["two.p"], rel=1e-2) and p > 0.05, "within chance"
    assert RESULTS["three.acc"] > RESULTS["two.acc"] and RESULTS["three.p"] > 0.05
    assert 3 * RESULTS["lead.p"] < 0.05, "beyond chance"
    assert 3 * RESULTS["lower.p"] > 0.05, "MobileNetV2's lead over SqueezeNet is not"
    for model in MODELS:
        metrics = read(f"{model}/8_epochs-seed0")["metrics"]
        assert all(metrics[f"{p}_acc"] < RESULTS[f"{model}.{p}_acc"] for p in ("val", "test"))
        val, test = (RESULTS[f"{model}.{part}_acc"] for part in ("val", "test"))
        error = (val * (1 - val) / 750 + test * (1 - test) / 1250) ** 0.5
        assert (test - val > 1.7 * error) == (model == "squeezenet1_1"), "near twice its error"


def test_lite0_at_fewer_pixels_is_no_worse_than_squeezenet_at_more():
    assert 0.01 < RESULTS["worth.tuned"] - RESULTS["squeezenet1_1.val_acc"] < 0.04, "within noise"


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
