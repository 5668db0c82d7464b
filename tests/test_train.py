"""The training loop: what it reports and changes; and what is decided about device and precision."""

import runpy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from tiny import QUICK, TinyData, make_tiny, same_tensors
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import a1.train
from a1 import setup
from a1.photos import Photos
from a1.setup import DEVICE, seed_everything
from a1.train import OPTIMIZERS, RECIPE, evaluate, train


def run(recipe=QUICK, data=None, make_model=make_tiny):
    """A run's state and its model."""
    seed_everything(0)
    model = make_model().to(DEVICE)
    return train(model, recipe, data or TinyData()), model


def linear():
    """A network without any chance in it."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))


@pytest.fixture
def steps():
    """What an optimizer is given at every step: its rate and the norm of the whole gradient."""
    seen = []

    def look(optimizer, *_):
        [group] = optimizer.param_groups
        norms = torch.stack([weight.grad.norm() for weight in group["params"]])
        seen.append((group["lr"], float(norms.norm())))

    handle = register_optimizer_step_pre_hook(look)
    yield seen
    handle.remove()


@pytest.fixture
def script(monkeypatch):
    """Replaces evaluate by one that gives these validation accuracies and keeps the weights."""
    weights = []

    def replace(*accs):
        accs = iter(accs)

        def scripted(model, *_):
            weights.append({name: value.clone() for name, value in model.state_dict().items()})
            return {"loss": 1.0, "acc": next(accs)}, None

        monkeypatch.setattr(a1.train, "evaluate", scripted)
        return weights

    return replace


def test_training_learns():
    history = run(QUICK | {"epochs": 12})[0]["history"]
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert history[-1]["val_acc"] > 0.8


def test_one_cycle_rises_over_thirty_percent_of_the_steps_and_falls_to_nothing(steps):
    run(QUICK | {"epochs": 10})
    rates = [rate for rate, _ in steps]
    peak = rates.index(max(rates))
    assert len(rates) == 30 and peak == 8 and max(rates) == pytest.approx(0.05)
    assert all(a < b for a, b in pairwise(rates[: peak + 1]))
    assert all(a > b for a, b in pairwise(rates[peak:])) and rates[-1] < 1e-4 * max(rates)


def test_plateau_divides_by_ten_after_three_epochs_without_a_better_score(script, steps):
    script(0.5, 0.6, 0.6, 0.6, 0.6, 0.7, 0.8)
    run(QUICK | {"epochs": 7, "schedule": "plateau"})
    assert [rate for rate, _ in steps[::3]] == pytest.approx([0.05] * 5 + [0.005] * 2)


def test_constant_rate(steps):
    run(QUICK | {"schedule": "constant"})
    assert {rate for rate, _ in steps} == {0.05}


def test_history_has_the_rate_that_an_epoch_began_with(steps):
    history = run()[0]["history"]
    assert [epoch["lr"] for epoch in history] == [rate for rate, _ in steps[::3]]


def test_the_loss_minimised_is_smoothed_and_the_one_reported_is_not(monkeypatch):
    recipe = QUICK | {"lr": 0.0, "label_smoothing": 0.3, "schedule": "constant", "epochs": 1}
    data, batches = TinyData(), []
    given = data.batches
    keep = lambda x, y: batches.append((x, y)) or (x, y)  # noqa: E731
    monkeypatch.setattr(data, "batches", lambda *args: (keep(*batch) for batch in given(*args)))
    state, model = run(recipe, data, linear)
    with torch.no_grad():
        smoothed, plain = (
            [float(F.cross_entropy(model(x), y, label_smoothing=s)) for x, y in batches[:3]]
            for s in (0.3, 0.0)
        )
    assert state["first_losses"] == pytest.approx(smoothed)
    assert state["history"][0]["train_loss"] == pytest.approx(sum(plain) / 3)


def test_validation_reports_plain_loss_accuracy_and_macro_f1_of_every_example():
    model, data = linear().to(DEVICE), TinyData()
    metrics, logits = evaluate(model, data, "test", QUICK | {"batch_size": 4})
    expected = model(data.x["test"]).detach().cpu()
    y = data.y["test"].cpu()
    assert torch.allclose(logits, expected, atol=1e-5)
    assert metrics["loss"] == pytest.approx(float(F.cross_entropy(expected, y)), rel=1e-5)
    assert metrics["acc"] == pytest.approx(float((expected.argmax(1) == y).float().mean()))
    assert metrics.keys() == {"loss", "acc", "macro_f1"}


def test_evaluation_changes_nothing_and_draws_nothing():
    model, data = make_tiny().to(DEVICE), TinyData()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    first, again = (evaluate(model, data, "test", QUICK)[1] for _ in range(2))
    assert torch.equal(first, again) and same_tensors(weights, model.state_dict())
    assert torch.equal(generator, torch.get_rng_state())


def test_the_best_epochs_weights_are_kept_the_first_of_equals(script):
    weights = script(0.5, 0.7, 0.7, 0.6)
    state, model = run(QUICK | {"epochs": 4})
    assert same_tensors(state["best"], weights[1])
    assert not same_tensors(state["best"], model.state_dict())


@pytest.mark.parametrize(
    "accs, patience, epochs",
    [
        ([0.5, 0.7, 0.6, 0.7, 0.65, 0.9], 3, 5),
        ([0.5, 0.4, 0.6, 0.5, 0.4, 0.9], 2, 5),
        ([0.9, 0.1, 0.1, 0.1, 0.1, 0.1], None, 6),
    ],
)
def test_patience_counts_epochs_without_a_better_score(script, accs, patience, epochs):
    script(*accs)
    state, _ = run(QUICK | {"epochs": 6, "patience": patience})
    assert len(state["history"]) == epochs


def test_clipping_limits_the_norm_of_the_whole_gradient(steps):
    run()
    free = min(norm for _, norm in steps)
    steps.clear()
    run(QUICK | {"clip_norm": free / 4})
    assert [norm for _, norm in steps] == pytest.approx([free / 4] * 9, rel=1e-4)


def test_first_losses_are_those_of_the_first_eight_steps(steps):
    first = run(QUICK | {"batch_size": 2})[0]["first_losses"]
    assert len(first) == 8 and len(steps) == 3 * 13
    assert run(QUICK | {"batch_size": 2, "epochs": 1})[0]["first_losses"][0] == first[0]


class Watched(Photos):
    """Photos that count the examples they give."""

    def batches(self, part, recipe, epoch=None):
        """The same."""
        for x, y in super().batches(part, recipe, epoch):
            self.given[part] = self.given.get(part, 0) + len(y)
            yield x, y


def photos(n):
    """n training photos and 7 for validation, of noise."""
    images = torch.randint(256, (n + 7, 3, 64, 64), dtype=torch.uint8)
    parts = {"train": torch.arange(n), "val": torch.arange(n, n + 7)}
    data = Watched(images, torch.arange(n + 7) % 3, parts, "drawn")
    data.given = {}
    return data


def test_training_skips_an_incomplete_batch_and_evaluation_does_not():
    data = photos(26)
    run(QUICK | {"epochs": 1}, data)
    assert data.given == {"train": 24, "val": 7}


def test_no_step_waits_for_the_device(monkeypatch):
    counts, found = {}, {}

    def count(name, original):
        def counted(*args, **options):
            counts[name] = counts.get(name, 0) + 1
            return original(*args, **options)

        monkeypatch.setattr(torch.Tensor, name, counted)

    for name in ("__float__", "__int__", "__bool__", "item", "tolist", "cpu", "numpy", "nonzero"):
        count(name, getattr(torch.Tensor, name))
    recipe = RECIPE | {"epochs": 1, "batch_size": 4, "lr": 0.01, "clip_norm": 1.0, "amp": False}
    for steps in (10, 20):
        counts.clear()
        run(recipe, photos(4 * steps))
        found[steps] = dict(counts)
    assert found[10] == found[20] and found[10]["__float__"] >= 8


# Precision


@pytest.fixture
def scalers(monkeypatch):
    """The loss scalers that train makes."""
    made, make = [], torch.amp.GradScaler
    monkeypatch.setattr(
        torch.amp,
        "GradScaler",
        lambda *args, **options: made.append(make(*args, **options)) or made[-1],
    )
    return made


@pytest.mark.parametrize("low", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_are_scaled_in_float16_only_and_from_the_default_scale(low, scalers, monkeypatch):
    monkeypatch.setattr(a1.train, "LOW", low)
    state, _ = run(QUICK | {"epochs": 1, "amp": True}, make_model=linear)
    [scaler] = scalers
    assert scaler.is_enabled() == (low == torch.float16)
    assert not scaler.is_enabled() or scaler.state_dict()["scale"] == 65536
    full = run(QUICK | {"epochs": 1}, make_model=linear)[0]["first_losses"]
    assert state["first_losses"] == pytest.approx(full, rel=0.03)
    assert (state["first_losses"] == full) == (low == torch.float32)


@pytest.mark.filterwarnings("ignore:Detected call of")  # the scaler skips steps
def test_gradients_are_clipped_at_their_true_scale(monkeypatch):
    recipe, moved = QUICK | {"clip_norm": 0.1, "amp": True}, []
    seed_everything(0)
    start = linear()[1].weight.detach()
    for low in (torch.float32, torch.float16):
        monkeypatch.setattr(a1.train, "LOW", low)
        moved.append(float((run(recipe, make_model=linear)[1][1].weight.cpu() - start).norm()))
    assert moved[0] > 1e-3 and moved[1] == pytest.approx(moved[0], rel=0.02)


@pytest.mark.parametrize(
    "device, native, expected",
    [
        ("cpu", "AVX2", torch.float32),
        ("cpu", "DEFAULT", torch.float32),
        ("cpu", "AVX512", torch.bfloat16),
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
    ],
)
def test_low_precision_is_bfloat16_only_where_it_is_native(device, native, expected, monkeypatch):
    def supported(including_emulation=True):
        return native or including_emulation

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert setup.low_precision(torch.device(device)) == expected


# Setup


@pytest.fixture
def as_before():
    """Puts the threads and the precision of float32 back."""
    cudnn, threads = torch.backends.cudnn, torch.get_num_threads()
    backends = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    yield backends
    torch.set_num_threads(threads)
    for backend, precision in zip(backends, before):
        backend.fp32_precision = precision


@pytest.mark.parametrize("full", [True, False])
def test_float32_is_not_tf32(full, as_before):
    for backend in as_before:
        backend.fp32_precision = "tf32"
    setup.use_device(torch.device("cpu"), full)
    assert [backend.fp32_precision for backend in as_before] == ["ieee"] * 3


@pytest.mark.parametrize("full, threads", [(True, 2), (False, 1)])
def test_a_rehearsal_takes_one_thread_and_says_so(full, threads, as_before, capsys):
    torch.set_num_threads(2)
    setup.use_device(torch.device("cpu"), full)
    assert torch.get_num_threads() == threads
    said = capsys.readouterr().out
    assert f"cpu, {threads} threads, torch {torch.__version__}" in said
    assert ("its numbers mean nothing" in said) != full


PROFILE = ("A1_PROFILE", "quick", ["full"], ["quick"])


ON, OFF = ["1", "True", "YES", " yes ", "on"], ["0", "False", "NO", "off ", ""]


@pytest.mark.parametrize("text", [*ON, *OFF])
def test_a_setting_takes_usual_spellings(text, monkeypatch):
    monkeypatch.setenv("RETRAIN", text)
    assert runpy.run_path(setup.__file__)["RETRAIN"] == (text in ON)


@pytest.mark.parametrize("text, full", [("", False), ("  ", False), (" full ", True)])
def test_an_empty_setting_is_the_default(text, full, monkeypatch):
    monkeypatch.setenv("A1_PROFILE", text)
    assert setup.setting(*PROFILE) == full


@pytest.mark.parametrize("text", ["fast", "fulll", "1"])
def test_an_unknown_setting_is_refused_by_name(text, monkeypatch):
    monkeypatch.setenv("A1_PROFILE", text)
    with pytest.raises(ValueError, match=f"A1_PROFILE is '{text}': set it to one of full, quick"):
        setup.setting(*PROFILE)


# Optimizers


def test_sgd_has_nesterov_momentum_and_weight_decay():
    w = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = OPTIMIZERS["sgd"]([w], lr=0.1, weight_decay=0.01)
    expected, velocity = w.detach().clone(), torch.zeros(2)
    for step in range(3):
        w.grad = torch.tensor([1.0, 0.5]) * (step + 1)
        gradient = w.grad + 0.01 * expected
        velocity = 0.9 * velocity + gradient
        expected = expected - 0.1 * (gradient + 0.9 * velocity)
        optimizer.step()
    torch.testing.assert_close(w.detach(), expected)


def test_adamw_decays_weights_apart_from_the_gradient():
    start = torch.tensor([2.0, -1.0, 3.0])
    w = nn.Parameter(start.clone())
    optimizer = OPTIMIZERS["adamw"]([w], lr=0.1, weight_decay=0.5)
    w.grad = torch.tensor([0.0, 1e-3, -7.0])
    optimizer.step()
    expected = start * (1 - 0.1 * 0.5) - torch.tensor([0.0, 0.1, -0.1])
    torch.testing.assert_close(w.detach(), expected, atol=1e-4, rtol=0)
