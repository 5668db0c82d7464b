"""Studies: what they are given, what they keep, and how their runs are summarised."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import TinyData, make_tiny

from a1.data.images import ImageSet, split_indices
from a1.evaluate import mcnemar
from a1.plots import plot_study
from a1.runs import curves, fit_or_load, is_study, read_sealed
from a1.setup import DEVICE
from a1.studies import mean_and_sd, run_study, runs_of, study_data
from a1.train import OPTIMIZERS, Recipe

RECIPE = Recipe(epochs=2, batch_size=8, lr=0.05, weight_decay=0.0, amp=False)


class TinyStudy(TinyData):
    """TinyData without its test part."""

    SIZES = {"train": 26, "val": 11}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.delenv("RETRAIN", raising=False)
    monkeypatch.setattr("a1.runs.OUT", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out" / "runs"


@pytest.fixture
def drawn():
    """150 images, labels in no order, each image of one number: its index."""
    images = torch.arange(150, dtype=torch.uint8)[:, None, None, None].expand(150, 3, 64, 64).contiguous()
    labels = torch.arange(150) % 3
    image_set = ImageSet(images, labels, [str(n) for n in range(150)], "drawn", "150 drawn images", [])
    return image_set, split_indices(images, labels)


def test_study_data_is_the_first_photos_of_each_class_of_their_own_part(drawn):
    image_set, indices = drawn
    data = study_data(image_set, indices, 7, 4, 32, DEVICE)
    assert data.about["sizes"] == {"train": 21, "val": 12} and is_study(data)
    for part, count in (("train", 7), ("val", 4)):
        chosen = data.indices[part]
        assert torch.bincount(image_set.labels[chosen]).tolist() == [count] * 3
        for label in range(3):
            of_class = [i for i in indices[part].tolist() if image_set.labels[i] == label]
            assert [i for i in chosen.tolist() if image_set.labels[i] == label] == of_class[:count]
    assert not set(indices["test"].tolist()) & {i for part in data.indices.values() for i in part.tolist()}


def test_study_data_is_used_at_its_size_for_training_and_validation(drawn):
    data = study_data(*drawn, 7, 4, 32, DEVICE)
    for recipe, trained_at in ((RECIPE, 32), (replace(RECIPE, image_sizes=(16,)), 16)):
        x, _ = next(iter(data.loader("train", recipe, train=True)))
        assert x.shape[-2:] == (trained_at, trained_at)
        assert next(iter(data.loader("val", recipe)))[0].shape[-2:] == (32, 32)


def test_another_size_is_another_data_set(drawn):
    fingerprints = {study_data(*drawn, 7, 4, size, DEVICE).fingerprint for size in (16, 32, 64)}
    assert len(fingerprints) == 3


def test_a_study_keeps_its_record_and_nothing_else(here, capsys):
    table = run_study(
        "tiny", {("a", seed): (make_tiny, replace(RECIPE, seed=seed)) for seed in (0, 1)}, TinyStudy()
    )
    files = sorted(
        path.relative_to(here) for path in here.rglob("*") if path.is_file() and path.suffix != ".lock"
    )
    assert [path.suffix for path in files] == [".json"] * 2 and {path.parent.name for path in files} == {
        "studies"
    }
    record = read_sealed(here / files[0])
    assert {name.split("_")[0] for name in record["metrics"]} == {"train", "val"}
    assert record["weights_sha256"] is record["probs_sha256"] is None
    assert capsys.readouterr().out == ""
    again = run_study(
        "tiny", {("a", seed): (make_tiny, replace(RECIPE, seed=seed)) for seed in (0, 1)}, TinyStudy()
    )
    pd.testing.assert_frame_equal(
        again.drop(columns="run"), table.drop(columns="run")
    )  # seconds too: it was read


def test_run_study_has_a_row_for_each_run_in_order(here):
    variants = {
        (label, seed): (make_tiny, replace(RECIPE, lr=lr, seed=seed))
        for label, lr in (("b", 0.1), ("a", 0.01))
        for seed in (0, 1)
    }
    table = run_study("tiny", variants, TinyStudy())
    assert list(zip(table["variant"], table["seed"])) == list(variants)
    run = runs_of(table, "a")[1]
    assert run.record["config"]["recipe"]["lr"] == 0.01 and run.record["config"]["recipe"]["seed"] == 1
    row = table.iloc[3]
    history = run.history
    assert row["val_acc"] == run.metrics["val_acc"] and row["last_val_acc"] == history[-1]["val_acc"]
    assert curves([run], "val_loss").tolist() == [[epoch["val_loss"] for epoch in history]]


def test_mean_and_sd_are_over_the_seeds_of_each_variant():
    table = pd.DataFrame({"variant": ["b", "b", "a", "a"], "val_acc": [0.5, 0.7, 0.2, 0.2]})
    summary = mean_and_sd(table, ["val_acc"])
    assert list(summary.index) == ["b", "a"]
    assert summary["val_acc, mean"].tolist() == pytest.approx([0.6, 0.2])
    assert summary["val_acc, sd"].tolist() == pytest.approx([0.02**0.5, 0.0])


def test_plot_study_draws_mean_and_range(here):
    run = fit_or_load("studies/tiny", make_tiny, RECIPE, TinyStudy(), verbose=False)
    other = fit_or_load("studies/tiny", make_tiny, replace(RECIPE, seed=1), TinyStudy(), verbose=False)
    _, axes = plot_study({"one": [run, other]}, {"val_loss": "loss", "val_acc": "accuracy"}, ["black"])
    values = curves([run, other], "val_loss")
    assert axes[0].lines[0].get_ydata().tolist() == pytest.approx(values.mean(0).tolist())
    band = axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((values.min(), values.max()))
    assert axes[1].get_ylabel() == "accuracy" and axes[1].get_legend().texts[0].get_text() == "one"


@pytest.mark.parametrize(("one", "other"), [(9, 1), (1, 9), (5, 5), (0, 3), (0, 0), (40, 22)])
def test_mcnemar_is_the_exact_binomial_test(one, other):
    stats = pytest.importorskip("scipy.stats")
    one_right = torch.tensor([True] * one + [False] * other + [True] * 30 + [False] * 7)
    other_right = torch.tensor([False] * one + [True] * other + [True] * 30 + [False] * 7)
    expected = stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one_right, other_right) == (one, other, pytest.approx(expected))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_and_adamw_take_a_first_step_of_the_learning_rate(name):
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    w.grad = torch.tensor([0.3, -5.0])
    OPTIMIZERS[name]([w], 0.1, 0.0).step()
    torch.testing.assert_close(w.detach(), torch.tensor([0.9, -1.9]))


def test_rmsprop_divides_by_the_root_of_the_running_square():
    w = torch.nn.Parameter(torch.tensor([1.0]))
    w.grad = torch.tensor([0.5])
    OPTIMIZERS["rmsprop"]([w], 0.01, 0.0).step()
    torch.testing.assert_close(
        w.detach(), torch.tensor([1 - 0.01 * 0.5 / np.sqrt(0.01 * 0.25)], dtype=torch.float32)
    )
