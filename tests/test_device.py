"""Every network on every device: the same numbers, training that learns, runs that go on, and no
step that waits. On the CPU always; on a GPU `pytest -m gpu`, skipped where there is none.

A network that bench/networks.py names is tested here without a further line.
"""

import copy
import io
import os
from contextlib import contextmanager
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tiny import QUICK, TinyData, same_tensors
from torch import nn
from torch._subclasses import FakeTensorMode

import a1.train
from a1.setup import low_precision, seed_everything, use_device
from a1.train import OPTIMIZERS, evaluate, train
from bench.networks import NETWORKS

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
READS = ("__float__", "__int__", "__bool__", "__index__", "item", "tolist", "cpu", "numpy")
SHORT = {"epochs": 4, "batch_size": 8, "amp": False, "size": 64, "test_size": 64}
# Relative errors of outputs and of the whole gradient, against float64 on the CPU. A CPU is seen to
# reach 5e-6, 0.03 and 0.004; TF32 would give 1e-3.
TOLERANCES = {None: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}

every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    """A device on which float32 is float32, and the type of mixed precision that it gets."""
    cudnn, device = torch.backends.cudnn, torch.device(request.param)
    backends = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    use_device(device, full=True)
    low = torch.bfloat16 if device.type == "cpu" else low_precision(device)
    monkeypatch.setattr(a1.train, "LOW", low)
    yield device
    for backend, precision in zip(backends, before):
        backend.fp32_precision = precision


@pytest.fixture
def deterministic(monkeypatch):
    """Algorithms whose sums have one order; those that have none warn."""
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"], "conftest.py sets it before torch is loaded"
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def recipe_of(network, **changes):
    """A few short epochs of its own recipe, at a rate that small batches bear."""
    rate = network.recipe["lr"] / (10 if network.recipe["optimizer"] == "sgd" else 1)
    steady = {"lr": rate, "schedule": "constant", "image_sizes": []}
    return network.recipe | SHORT | steady | changes


def start(network, device, seed=0):
    """The small network on a device, from the same weights everywhere."""
    seed_everything(seed)
    return network.make_small().to(device, memory_format=torch.channels_last)


SPARED = {"low": torch.float16, "amp": False, "optimizer": "adamw"}


@pytest.fixture(autouse=True)
def quick_on_a_cpu(request):
    """Leaves out there what is slow, and what one network, ResNet-18, stands for."""
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    network = given.get("network")
    if network and "cuda" not in (given.get("device"), given.get("there"), given.get("here")):
        spared = any(given.get(name) == value for name, value in SPARED.items())
        if network.slow or (spared and network is not NETWORKS["resnet18"]):
            pytest.skip("left to a GPU")


def linear(device):
    """A network without any chance in it."""
    seed_everything(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3)).to(device)


# The same numbers


@contextmanager
def smooth():
    """Networks without a kink, at which rounding would turn a gradient on or off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "relu", lambda x, *_, **__: F.softplus(x))
        for kind in (nn.ReLU, nn.ReLU6):
            patch.setattr(kind, "forward", lambda self, x: F.softplus(x))
        pool = lambda self, x: F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)  # noqa: E731
        patch.setattr(nn.MaxPool2d, "forward", pool)
        yield


def exact(tensor):
    """In float64, if it is not of whole numbers."""
    return tensor.double() if tensor.is_floating_point() else tensor


def step(model, data, x, y, recipe, low=None):
    """Outputs and the whole gradient of one step, float64 on the CPU."""
    model.train()
    with smooth(), torch.autocast(x.device.type, low or torch.bfloat16, enabled=low is not None):
        outputs = model(x)
        outputs = outputs if outputs.dtype == torch.float64 else outputs.float()
        data.loss(outputs, y, recipe).backward()
    gradients = [weight.grad.flatten() for weight in model.parameters()]
    return [tensor.detach().double().cpu() for tensor in (outputs, torch.cat(gradients))]


@every_network
@pytest.mark.parametrize("low", TOLERANCES, ids=["float32", "bfloat16", "float16"])
def test_outputs_and_gradients_are_those_of_float64_on_the_cpu(network, low, device):
    model, data, recipe = start(network, "cpu"), network.make_data(8), recipe_of(network)
    for weight in model.parameters():
        if not weight.any():  # a head that starts at zero would let no gradient pass
            nn.init.normal_(weight, std=0.1)
    x, y = next(data.batches("train", recipe, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", lambda tensor: tensor)  # what some networks insist on
        expected = step(copy.deepcopy(model).double(), data, exact(x), exact(y), recipe)
    if low == torch.float16 and device.type == "cpu" and "LSTM" in repr(model):
        pytest.skip("torch has no LSTM in float16 on a CPU")
    found = step(model.to(device), data, x.to(device), y.to(device), recipe, low)
    errors = [float((a - b).norm() / a.norm()) for a, b in zip(expected, found)]
    assert max(errors) < TOLERANCES[low], errors


# Training


@every_network
@pytest.mark.parametrize("amp", [False, True], ids=["float32", "mixed"])
def test_training_learns_with_finite_losses(network, amp, device):
    state = train(
        start(network, device), recipe_of(network, amp=amp), network.make_data(16, device)
    )
    numbers = torch.tensor([list(epoch.values()) for epoch in state["history"]])
    losses = [epoch["train_loss"] for epoch in state["history"]]
    assert numbers.isfinite().all() and min(losses[1:]) < losses[0], losses
    assert {value.device.type for value in state["best"].values()} == {"cpu"}


@every_network
def test_each_part_is_evaluated_on_the_device_and_handed_over_on_the_cpu(network, device):
    data, model = network.make_data(8, device), start(network, device)
    metrics, outputs = evaluate(model, data, "test", recipe_of(network))
    assert outputs.device.type == "cpu" and len(outputs) == len(data.y["test"])
    assert all(isinstance(value, float) for value in metrics.values())


# Going on


def interrupted(model, recipe, data, after=2):
    """What a run had saved after some epochs, as it comes from a file; and its state in the end."""
    saved = []

    def save(parts):
        with io.BytesIO() as file:
            torch.save(parts, file)
            file.seek(0)
            saved.append(torch.load(file, map_location="cpu", weights_only=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(a1.train, "SAVE_EVERY", 0)
        state = train(model, recipe, data, save)
    return saved[after - 1], state


def without_time(history):
    return [epoch | {"seconds": None} for epoch in history]


@every_network
@pytest.mark.parametrize("amp", [False, True], ids=["float32", "mixed"])
def test_a_run_goes_on_bit_for_bit(network, amp, device, deterministic):
    recipe, data = recipe_of(network, amp=amp), network.make_data(16, device)
    model, other = start(network, device), start(network, device, seed=1)
    seed_everything(0)
    saved, straight = interrupted(model, recipe, data)
    seed_everything(1)  # what a new process draws is not what goes on
    state = train(other, recipe, data, None, saved)
    assert without_time(state["history"]) == without_time(straight["history"])
    assert same_tensors(model.state_dict(), other.state_dict())
    assert same_tensors(state["best"], straight["best"])


MOVES = pytest.mark.parametrize(
    "there, here",
    [
        ("cpu", "elsewhere"),  # with one device: the checkpoint says that it comes from another
        pytest.param("cpu", "cuda", marks=pytest.mark.gpu),
        pytest.param("cuda", "cpu", marks=pytest.mark.gpu),
    ],
)


def moved(make_model, recipe, make_data, there, here):
    """The state of a run that began on one device and ended on another."""
    saved, _ = interrupted(make_model(there), recipe, make_data(there))
    if here == "elsewhere":
        here, saved["device"], saved["rng"] = "cpu", "cuda", saved["rng"][:16]
    known, model = without_time(saved["state"]["history"]), make_model(here)
    state = train(model, recipe, make_data(here), None, saved)
    assert len(known) == 2 and without_time(state["history"])[:2] == known
    assert {weight.device.type for weight in model.parameters()} == {here}
    return state


@every_network
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@MOVES
def test_a_run_goes_on_on_another_device(network, optimizer, there, here, monkeypatch, capsys):
    monkeypatch.setattr(a1.train, "LOW", torch.bfloat16)
    recipe = recipe_of(network, optimizer=optimizer, lr=1e-3, amp=True)
    make_model, make_data = partial(start, network), partial(network.make_data, 16)
    state = moved(make_model, recipe, make_data, there, here)
    assert "not bit for bit" in capsys.readouterr().out
    losses = [epoch["train_loss"] for epoch in state["history"]]
    assert len(losses) == 4 and torch.tensor(losses).isfinite().all()


@pytest.mark.parametrize("first, then", [("float16", "float32"), ("float32", "float16")])
@MOVES
def test_a_loss_scaler_is_left_or_begun_where_the_other_device_has_another_precision(
    first, then, there, here, monkeypatch
):
    recipe, low = QUICK | {"optimizer": "adamw", "amp": True, "epochs": 4}, {"precision": first}
    monkeypatch.setattr(a1.train, "LOW", getattr(torch, first))

    def make_data(device):
        """On the second device in the second precision."""
        monkeypatch.setattr(a1.train, "LOW", getattr(torch, low["precision"]))
        low["precision"] = then
        return TinyData(device=device)

    state = moved(linear, recipe, make_data, there, here)
    assert torch.tensor([epoch["train_loss"] for epoch in state["history"]]).isfinite().all()


# Steps that overflow


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.filterwarnings("ignore:Detected call of")  # of the scheduler before a skipped step
def test_a_first_step_that_overflows_in_float16_is_as_if_it_had_not_been(
    optimizer, device, deterministic, monkeypatch
):
    """Deterministic mode fills memory that nobody has written with NaN."""
    monkeypatch.setattr(a1.train, "LOW", torch.float16)
    make = torch.amp.GradScaler
    monkeypatch.setattr(  # so large a scale that the first steps are skipped
        torch.amp, "GradScaler", lambda *args, **options: make(*args, init_scale=2.0**40, **options)
    )
    recipe = QUICK | {"optimizer": optimizer, "amp": True, "lr": 1e-3, "epochs": 12}
    state = train(linear(device), recipe, TinyData(device=device))
    losses = torch.tensor([epoch["train_loss"] for epoch in state["history"]])
    assert losses.isfinite().all() and losses[-1] < losses[0]


# No step waits


@contextmanager
def nothing_is_read(device):
    """Inside it, reading a number off the device is an error."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return

    def refuse(*_, **__):
        raise AssertionError("a step reads a number, for which a GPU would have to be waited")

    with pytest.MonkeyPatch.context() as patch:
        for name in READS:
            patch.setattr(torch.Tensor, name, refuse)
        yield


class Watched:
    """Data whose epochs, from the second on, may read nothing from their first draw to the end."""

    def __init__(self, data):
        self.data, self.steps_seen = data, 0

    def __getattr__(self, name):
        return getattr(self.data, name)

    def batches(self, part, recipe, epoch=None):
        given = self.data.batches(part, recipe, epoch)
        if not epoch:
            yield from given
            return
        with nothing_is_read(self.data.y["train"].device):
            for batch in given:
                self.steps_seen += 1
                yield batch


@every_network
def test_no_step_waits_for_the_device(network, device):
    if network.unit == "tweets" and device.type == "cpu":
        pytest.skip("it reads lengths that lie on the CPU, which only a GPU can tell apart")
    data = Watched(network.make_data(16, device))
    train(start(network, device), recipe_of(network, clip_norm=1.0, schedule="one_cycle"), data)
    assert data.steps_seen == 2 * 3


def test_a_step_that_waits_is_found(device):
    with pytest.raises((AssertionError, RuntimeError)), nothing_is_read(device):
        float(torch.ones(1, device=device).sum())


def on_device(data, device):
    """Data with every tensor of it moved."""
    moved = copy.copy(data)
    for name, value in vars(data).items():
        if isinstance(value, dict):
            value = {key: v.to(device) if torch.is_tensor(v) else v for key, v in value.items()}
        setattr(moved, name, value.to(device) if torch.is_tensor(value) else value)
    return moved


@every_network
def test_an_imagined_gpu_meets_no_tensor_of_the_cpu(network, monkeypatch):
    """torch's fake tensors have a device and no numbers: mixing devices or reading one raises."""
    if "GRU" in repr(network.make_small()):
        pytest.skip("torch imagines no GRU")
    try:
        with FakeTensorMode():
            torch.empty(1, device="cuda")
    except (AssertionError, RuntimeError) as error:
        pytest.skip(f"this build of torch imagines none: {error}")
    recipe, data = recipe_of(network), network.make_data(16)
    drawn = list(data.batches("train", recipe, 0)) if network.unit == "tweets" else None
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)  # there is none
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            model = network.make_small().train()
        if drawn is None:
            drawn = on_device(data, "cuda").batches("train", recipe, 0)
        steps = 0
        for x, y in drawn:
            x, y = (tensor.to("cuda") for tensor in (x, y))
            outputs = model(x)
            loss, steps = data.loss(outputs, y, recipe), steps + 1
            found = {loss.device.type, *(v.device.type for v in data.measures(outputs, y).values())}
            assert found == {"cuda"}
        with pytest.raises(Exception, match="(?i)device|data.dependent"):
            nn.Flatten()(x.cpu()) + x.flatten(1)
    assert steps == 2
