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
    assert (
        binomtest(gained, gained + lost).pvalue == pytest.approx(RESULTS["two.p"], rel=1e-2) < 0.05
    )
    assert RESULTS["three.acc"] - RESULTS["two.acc"] < 0.005, "SqueezeNet adds nothing"
    assert 0.04 < 3 * RESULTS["lead.p"] < 0.05, "only just beyond chance"


def test_claims_on_the_tries():
    for model in MODELS:
        pretrained, random = (val_acc("worth", f"{model}-{s}") for s in ("pre-trained", "random"))
        assert pretrained - random > 0.35 and random < 0.35
    assert val_acc("change", "squeezenet1_1-constant rate") == pytest.approx(0.1), "chance"
    for model in MODELS[1:]:
        change = val_acc("change", f"{model}-constant rate") - val_acc(
            "change", f"{model}-as it was"
        )
        assert -0.036 < change < 0, "within noise"
    batch = val_acc("change", "squeezenet1_1-batch 16") - val_acc(
        "change", "squeezenet1_1-as it was"
    )
    assert batch > 0.05
    tuned = [val_acc("change", f"efficientnet_lite0-{n} pixels") for n in (128, 160, 224)]
    assert sorted(tuned) == tuned and tuned[2] - tuned[1] > 0.02
