"""Intervals, tables, released weights, and the comparison with the reported numbers."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from a1 import evaluate, plots, results, weights
from a1.evaluate import class_report, wilson_interval
from a1.runs import DamagedFile, Run, sha256_of


def test_wilson_interval_has_its_known_values():
    assert wilson_interval(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    low, high = wilson_interval(1.0, 50)
    assert low == pytest.approx(0.9287, abs=1e-4) and high == pytest.approx(1)


def test_wilson_interval_covers_about_95_percent():
    rng = np.random.default_rng(0)
    bounds = [wilson_interval(rng.binomial(200, 0.94) / 200, 200) for _ in range(2000)]
    assert 0.93 < np.mean([low < 0.94 < high for low, high in bounds]) < 0.97


def test_class_report_counts_per_class():
    table = class_report([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0], ("a", "b", "c"))
    assert table.loc["a"].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3])
    assert table.loc["b"].tolist() == pytest.approx([2 / 3, 1, 0.8, 2])
    assert table.loc["c"].tolist() == [0, 0, 0, 1]
    assert table.loc["macro average", "F1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert table.loc["macro average", "images"] == 6


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_released_weights_are_float16_listed_and_read_back(tmp_path, monkeypatch, model):
    monkeypatch.setattr(weights, "OUT", tmp_path)
    path = weights.save_weights(model, "tiny.pt", {"test_acc": 0.9}, "make tiny")
    state = torch.load(path, weights_only=True)
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    entry = json.loads((tmp_path / "weights/MANIFEST.json").read_text())["tiny.pt"]
    assert entry["bytes"] == path.stat().st_size and entry["metrics"] == {"test_acc": 0.9}

    fresh = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    weights.load_weights(fresh, "tiny.pt")
    assert torch.equal(fresh[0].weight, model[0].weight.half().float())


def test_altered_or_missing_weights_are_refused(tmp_path, monkeypatch, model):
    monkeypatch.setattr(weights, "OUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"weights/tiny.pt is not here"):
        weights.load_weights(model, "tiny.pt")
    path = weights.save_weights(model, "tiny.pt", {}, "make tiny")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DamagedFile, match=r"does not match .*make tiny"):
        weights.load_weights(model, "tiny.pt")


def test_a_runs_weights_are_released_where_they_are_and_read_where_they_are_not(
    tmp_path, monkeypatch, model, capsys
):
    monkeypatch.setattr(weights, "OUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    fresh = lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))  # noqa: E731
    metrics = {"train_acc": 1.0, "val_acc": 0.9, "test_acc": 0.8, "test_loss": 0.5}
    run = Run({"metrics": metrics}, tmp_path / "tiny.json")
    assert weights.release(run, fresh, "tiny.pt", "a1_tiny") is None
    assert "weights/tiny.pt is not here" in capsys.readouterr().out

    torch.save(model.state_dict(), tmp_path / "tiny.pt")
    run.record["weights_sha256"] = sha256_of(tmp_path / "tiny.pt")
    released = weights.release(run, fresh, "tiny.pt", "a1_tiny")
    assert torch.equal(released[0].weight, model[0].weight.half().float())
    entry = json.loads((tmp_path / "weights/MANIFEST.json").read_text())["tiny.pt"]
    assert entry["metrics"] == {"val_acc": 0.9, "test_acc": 0.8, "test_loss": 0.5}
    assert entry["command"] == "RETRAIN=1 make full NOTEBOOKS=a1_tiny"

    (tmp_path / "tiny.pt").unlink()
    assert torch.equal(weights.release(run, fresh, "tiny.pt", "a1_tiny")[0].weight, released[0].weight)


def test_steps_take_turns_and_the_first_round_does_not_count(monkeypatch):
    clock, order = [0.0], []

    def step(name, *seconds):
        seconds = iter(seconds)

        def run():
            order.append(name)
            clock[0] += next(seconds)

        return run

    monkeypatch.setattr(evaluate.time, "perf_counter", lambda: clock[0])
    steps = {"a": step("a", 99, 1, 5, 2), "b": step("b", 99, 4, 4, 4)}
    assert evaluate.median_seconds(steps, 3) == {"a": 2, "b": 4}
    assert order == ["a", "b"] * 4


def test_results_are_compared_within_tolerance(monkeypatch):
    reported = {"m.test_acc": 0.95, "m.test_loss": 0.2, "m.device": "cpu", "n": 3}
    monkeypatch.setattr(results, "PROFILE", "full")
    table = results.compare_with_reported(reported, {"m.test_acc": 0.955, "m.test_loss": 0.3, "n": 3})
    assert table["agrees"].to_dict() == {"m.test_acc": "yes", "m.test_loss": "NO"}
    monkeypatch.setattr(results, "PROFILE", "quick")
    assert set(results.compare_with_reported(reported, {"m.test_acc": 0.4})["agrees"]) == {"rehearsal"}


def test_results_are_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "OUT", tmp_path)
    results.save_results({"a": 1}, "demo")
    with pytest.raises(TypeError):
        results.save_results({"a": object()}, "demo")
    assert json.loads((tmp_path / "results/demo.json").read_text()) == {"a": 1}
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["demo.json"]


def test_every_model_has_a_color_of_its_own():
    assert len(set(plots.COLORS.values())) == len(plots.COLORS)
