"""The training loop: what it reports, what it changes, and that it can be taken up again."""

import copy
import io
import math
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from tiny import TinyData, make_tiny, same_tensors, without_seconds
from torch import nn

import a1.train
from a1.setup import DEVICE, seed_everything
from a1.train import OPTIMIZERS, Recipe, Training, evaluate, train_epoch

NO_SCALER = torch.amp.GradScaler(DEVICE.type, enabled=False)


def recipe_for(**changes):
    return Recipe(**{"epochs": 4, "batch_size": 8, "lr": 0.05, "amp": False, **changes})


def training_for(recipe, **architecture):
    seed_everything(recipe.seed)
    return Training(make_tiny(**architecture).to(DEVICE), TinyData(), recipe)


def run_epoch(model, batches, recipe, optimizer=None, **kwargs):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), 0.0)
    return train_epoch(model, batches, optimizer, recipe, NO_SCALER, **kwargs)


@pytest.fixture
def uneven():
    """A linear classifier, nine images and their labels, and the same in batches of 5, 3 and 1."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).to(DEVICE)
    x, y = torch.randn(9, 3, 2, 2, device=DEVICE), torch.randint(0, 3, (9,), device=DEVICE)
    return model, x, y, list(zip(x.split([5, 3, 1]), y.split([5, 3, 1])))


@torch.no_grad()
def cross_entropy(model, x, y, label_smoothing=0.0):
    return float(F.cross_entropy(model(x), y, label_smoothing=label_smoothing))


@pytest.fixture
def scripted_validation(monkeypatch):
    """Replaces evaluate by one that returns the given validation accuracies in turn."""

    def script(accuracies):
        values = iter(accuracies)
        monkeypatch.setattr(a1.train, "evaluate", lambda *_: {"loss": 1.0, "acc": next(values)})

    return script


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_reported_loss_is_plain_cross_entropy_per_example(uneven, smoothing):
    model, x, y, batches = uneven
    minimised = []
    reported = run_epoch(model, batches, recipe_for(label_smoothing=smoothing), on_step=minimised.append)
    assert reported["loss"] == pytest.approx(cross_entropy(model, x, y), rel=1e-5)
    expected = [cross_entropy(model, *batch, label_smoothing=smoothing) for batch in batches]
    assert [float(loss) for loss in minimised] == pytest.approx(expected, rel=1e-5)


def test_reported_accuracy_is_per_example(uneven):
    model, x, y, batches = uneven
    reported = run_epoch(model, batches, recipe_for())
    assert reported["acc"] == pytest.approx(float((model(x).argmax(1) == y).float().mean()))


def gradient_norm(model):
    return math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))


def test_clipping_limits_the_norm_of_the_whole_gradient(uneven):
    model, _, _, batches = uneven
    run_epoch(model, batches[:1], recipe_for())
    free = gradient_norm(model)
    before = copy.deepcopy(model.state_dict())
    run_epoch(model, batches[:1], recipe_for(clip_norm=free / 4), torch.optim.SGD(model.parameters(), 0.5))
    assert gradient_norm(model) == pytest.approx(free / 4, rel=1e-4)
    moved = torch.cat([(value - before[name]).flatten() for name, value in model.state_dict().items()])
    assert float(moved.norm()) == pytest.approx(0.5 * free / 4, rel=1e-3)


def test_clipping_leaves_a_small_gradient_alone(uneven):
    model, _, _, batches = uneven
    run_epoch(model, batches[:1], recipe_for())
    free = gradient_norm(model)
    run_epoch(model, batches[:1], recipe_for(clip_norm=2 * free))
    assert gradient_norm(model) == pytest.approx(free, rel=1e-6)


def test_training_learns():
    training = training_for(recipe_for(epochs=12))
    while not training.finished:
        training.epoch()
    first, last = training.history[0], training.history[-1]
    assert last["train_loss"] < first["train_loss"] and last["val_acc"] > 0.7


def test_mixed_precision_runs_and_stays_near_full_precision():
    losses = {}
    for amp in (False, True):
        training = training_for(recipe_for(amp=amp, epochs=1), dropout=0.0)
        training.epoch()
        losses[amp] = training.history[0]["train_loss"]
        assert all(p.dtype == torch.float32 and p.isfinite().all() for p in training.model.parameters())
    assert losses[True] != losses[False]
    assert losses[True] == pytest.approx(losses[False], rel=0.03)


def learning_rates(recipe):
    """The learning rate of every optimizer step of a run."""
    training, rates = training_for(recipe), []
    groups = training.optimizer.param_groups
    training.optimizer.register_step_pre_hook(lambda *_: rates.append(groups[0]["lr"]))
    while not training.finished:
        training.epoch()
    assert training.history[0]["lr"] == rates[0]
    return rates


def test_one_cycle_rises_to_lr_and_falls_to_nothing():
    rates = learning_rates(recipe_for(epochs=10))
    assert len(rates) == 10 * 4
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.05, rel=1e-3) and 0.2 < peak / len(rates) < 0.4
    assert rates[-1] < 1e-4 * max(rates)
    assert all(one < other for one, other in pairwise(rates[: peak + 1]))
    assert all(one > other for one, other in pairwise(rates[peak:]))


def test_plateau_divides_by_ten_when_validation_accuracy_stalls(scripted_validation):
    scripted_validation([0.5, 0.6, 0.6, 0.6, 0.6, 0.7, 0.8])
    rates = learning_rates(recipe_for(epochs=7, schedule="plateau"))
    assert rates[::4] == pytest.approx([0.05] * 5 + [0.005] * 2)


def test_constant_schedule():
    assert set(learning_rates(recipe_for(schedule="constant"))) == {0.05}


def test_unknown_schedule_names_the_choices():
    with pytest.raises(ValueError, match="'cosine'.*one_cycle, plateau or constant"):
        training_for(recipe_for(schedule="cosine"))


def test_sizes_of_the_first_epochs():
    recipe = recipe_for(image_sizes=(32, 48))
    assert [recipe.size_at(epoch) for epoch in range(4)] == [32, 48, 64, 64]


def test_early_stopping_keeps_the_best_epochs_weights(scripted_validation):
    scripted_validation([0.5, 0.7, 0.6, 0.7, 0.65, 0.9, 0.9])
    training = training_for(recipe_for(epochs=7, patience=3))
    weights = []
    while not training.finished:
        training.epoch()
        weights.append(copy.deepcopy(training.model.state_dict()))
    assert len(training.history) == 5  # three epochs after the second, the first of the equal best
    assert training.best_epoch == 1
    assert same_tensors(training.best, {name: value.cpu() for name, value in weights[1].items()})
    assert not same_tensors(weights[1], weights[4])


def test_a_better_epoch_resets_the_patience(scripted_validation):
    scripted_validation([0.5, 0.4, 0.6, 0.5, 0.4, 0.9])
    training = training_for(recipe_for(epochs=6, patience=2))
    while not training.finished:
        training.epoch()
    assert len(training.history) == 5 and training.best_epoch == 2


def test_without_patience_every_epoch_is_trained(scripted_validation):
    scripted_validation([0.9, 0.1, 0.1, 0.1])
    training = training_for(recipe_for())
    while not training.finished:
        training.epoch()
    assert len(training.history) == 4 and training.best_epoch == 0


def test_evaluate_is_per_example_and_agrees_with_its_probabilities(uneven):
    model, x, y, batches = uneven
    result = evaluate(model, batches)
    logits, y = model(x).detach().cpu(), y.cpu()
    assert result["loss"] == pytest.approx(float(F.cross_entropy(logits, y)), rel=1e-5)
    assert result["acc"] == pytest.approx(float((logits.argmax(1) == y).float().mean()))
    assert result["macro_f1"] == pytest.approx(f1_score(y, logits.argmax(1), average="macro"))
    assert result["probs"].shape == (9, 3) and result["probs"].dtype == torch.float32
    torch.testing.assert_close(result["probs"].sum(1), torch.ones(9))
    torch.testing.assert_close(result["probs"], logits.softmax(1))


def generator_states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_evaluate_changes_nothing_and_draws_nothing():
    training = training_for(recipe_for())
    training.epoch()
    weights, generators = copy.deepcopy(training.model.state_dict()), generator_states()
    results = [evaluate(training.model, training.data.loader("test", training.recipe)) for _ in range(2)]
    assert same_tensors(training.model.state_dict(), weights)  # the batch statistics are among them
    assert generator_states() == generators
    assert torch.equal(results[0]["probs"], results[1]["probs"])  # no dropout


def test_sgd_has_nesterov_momentum_and_weight_decay():
    w = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = OPTIMIZERS["sgd"]([w], 0.1, 0.01)
    expected, velocity = w.detach().clone(), torch.zeros(2)
    for step in range(3):
        w.grad = torch.tensor([1.0, 0.5]) * (step + 1)
        gradient = w.grad + 0.01 * expected
        velocity = 0.9 * velocity + gradient
        expected = expected - 0.1 * (gradient + 0.9 * velocity)
        optimizer.step()
    torch.testing.assert_close(w.detach(), expected)


def test_plain_sgd_has_no_momentum():
    w = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = OPTIMIZERS["plain_sgd"]([w], 0.1, 0.0)
    for gradient in ([1.0, 0.5], [0.0, 0.0]):
        w.grad = torch.tensor(gradient)
        optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([1.9, -1.05]))


def test_adamw_decays_weights_apart_from_the_gradient():
    w = nn.Parameter(torch.tensor([2.0, -1.0, 3.0]))
    optimizer = OPTIMIZERS["adamw"]([w], 0.1, 0.5)
    w.grad = torch.tensor([0.0, 1e-3, -7.0])
    optimizer.step()
    decayed = torch.tensor([2.0, -1.0, 3.0]) * (1 - 0.1 * 0.5)
    torch.testing.assert_close(w.detach(), decayed - torch.tensor([0.0, 0.1, -0.1]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "plateau", "patience": 4},
        {"schedule": "one_cycle", "amp": True, "clip_norm": 1.0, "label_smoothing": 0.1},
        {"schedule": "constant", "optimizer": "adamw", "lr": 0.01},
    ],
    ids=lambda changes: changes["schedule"],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(changes):
    recipe = recipe_for(epochs=6, **changes)
    straight = training_for(recipe)
    for _ in range(6):
        straight.epoch()
    generators = generator_states()

    interrupted = training_for(recipe)
    for _ in range(3):
        interrupted.epoch()
    file = io.BytesIO()
    torch.save(interrupted.state_dict(), file)
    resumed = training_for(recipe_for(epochs=6, seed=9, **changes))  # other weights, other generators
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for _ in range(3):
        resumed.epoch()

    assert same_tensors(resumed.model.state_dict(), straight.model.state_dict())
    assert same_tensors(resumed.best, straight.best)
    assert without_seconds(resumed.history) == without_seconds(straight.history)
    assert resumed.first_losses == straight.first_losses and len(straight.first_losses) == 4
    assert resumed.optimizer.param_groups[0]["lr"] == straight.optimizer.param_groups[0]["lr"]
    assert generator_states() == generators


def test_first_losses_are_those_of_the_first_eight_steps():
    training = training_for(recipe_for(batch_size=2))
    training.epoch()
    training.epoch()
    assert len(training.first_losses) == 8
