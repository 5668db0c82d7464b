"""Part II's networks and instruments: each measures what it says, on cases that were worked out by hand."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import TinyData, count, of_type, on_meta
from torch import nn
from torchinfo import summary

from a1.gradients import (
    DeadUnits,
    GradientRecorder,
    activation_bytes,
    compare_gradients,
    dead_units,
    gradients_at_start,
    layer_table,
    norms_table,
    receptive_fields,
    weight_layers,
)
from a1.models.resnet import ResNet18
from a1.models.small import ACTIVATIONS, EQUAL_COST, POOLS, SmallVGG
from a1.models.vgg import INITS, VGG16C
from a1.models.vgg_deep import ResNet18From, VGGDeep
from a1.setup import DEVICE
from a1.train import Recipe, train_epoch

NARROW = 1 / 16
NETWORKS = {
    "vgg16c": partial(VGG16C, image_size=32, width=NARROW, dropout=0.0),
    "vgg_deep": partial(VGGDeep, image_size=32, width=NARROW),
    "resnet18": partial(ResNet18From, stem="3x3"),
}
each_network = pytest.mark.parametrize("make_model", NETWORKS.values(), ids=NETWORKS.keys())
RECIPE = Recipe(epochs=1, batch_size=8, lr=0.01, weight_decay=0.0, amp=False)
NO_SCALER = torch.amp.GradScaler(DEVICE.type, enabled=False)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """In networks as small as these, threads wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shapes(model):
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def photos(n=4, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, size, size, generator=generator).to(DEVICE), (torch.arange(n) % 3).to(DEVICE)


def make(make_model, seed=0):
    torch.manual_seed(seed)
    return make_model().to(DEVICE)


def norms_of_grad(model):
    return [float(layer.weight.grad.norm()) for layer in weight_layers(model).values()]


# ---- VGG-Deep


def test_vgg_deep_adds_four_convolutions_and_nothing_else():
    deep, base = on_meta(VGGDeep), on_meta(VGG16C)
    shared = shapes(base)
    del shared["classifier.1.weight"]  # takes 1024 feature maps instead of 512
    assert shared.items() <= shapes(deep).items()
    new = {name: shape for name, shape in shapes(deep).items() if name not in shapes(base)}
    assert [shape for name, shape in new.items() if name.endswith("weight")] == [
        (640, 512, 3, 3), (768, 640, 3, 3), (896, 768, 3, 3), (1024, 896, 3, 3)
    ]  # fmt: skip
    assert shapes(deep)["classifier.1.weight"] == (4096, 1024 * 2 * 2)
    added = sum(math.prod(shape) for shape in new.values()) + 4096 * 512 * 2 * 2
    assert count(deep) == count(base) + added == 65_397_827


def test_vgg_deep_keeps_strides_padding_pools_and_relu():
    deep, base = on_meta(VGGDeep).features, on_meta(VGG16C).features
    kinds = [[type(layer) for layer in features] for features in (deep, base)]
    assert kinds[0] == kinds[1][:-2] + [nn.Conv2d, nn.ReLU] * 4 + kinds[1][-2:]
    assert len(of_type(deep, nn.Conv2d)) == 17
    for layer in of_type(deep, nn.Conv2d):
        assert layer.stride == (1, 1) and layer.padding[0] == layer.kernel_size[0] // 2
    assert [layer.kernel_size for layer in of_type(deep, nn.Conv2d)[-4:]] == [(3, 3)] * 4
    assert len(of_type(deep, nn.MaxPool2d)) == 5
    assert repr(deep[:30]) == repr(base[:30])


def test_vgg_deep_has_no_regulariser():
    model = make(NETWORKS["vgg_deep"]).train()
    assert not of_type(model, nn.Dropout) and not of_type(model, nn.modules.batchnorm._BatchNorm)
    x, _ = photos()
    assert torch.equal(model(x), model(x))


def test_vgg_deeps_new_layers_start_like_the_others():
    for layer in of_type(make(partial(VGGDeep, width=NARROW)), nn.Conv2d)[-6:]:
        weight = layer.weight.detach()
        assert float(weight.var()) * weight[0].numel() == pytest.approx(2, rel=0.1)
        assert not layer.bias.any()


def test_a_network_is_known_by_its_initialisation():
    for kind in (VGGDeep, ResNet18From):
        assert len({repr(on_meta(kind, init=init)) for init in INITS}) == len(INITS)
    assert repr(on_meta(VGGDeep)) != repr(on_meta(VGG16C, dropout=0.0))
    assert repr(on_meta(ResNet18From, stem="3x3")) != repr(on_meta(ResNet18, stem="3x3"))


def test_resnet18_starts_from_the_stated_initialisation():
    expected = {"default": 1 / 3, "he": 2.0, "xavier": 1.0}  # variance times fan-in, where fan-in = fan-out
    for init, variance in expected.items():
        model = make(partial(ResNet18From, init=init))
        weight = model.blocks[1].conv2.weight.detach()
        assert float(weight.var()) * weight[0].numel() == pytest.approx(variance, rel=0.05)
        assert bool(model.classifier.bias.any()) == (init == "default")
    assert shapes(on_meta(ResNet18From)) == shapes(on_meta(ResNet18, stem="3x3"))


def test_shortcuts_and_batch_norm_can_be_left_out():
    whole = on_meta(ResNet18From)
    plain = on_meta(ResNet18From, shortcuts=False)
    assert len(of_type(plain, nn.Conv2d)) == 17 and len(of_type(whole, nn.Conv2d)) == 20
    assert not of_type(on_meta(ResNet18From, batch_norm=False), nn.BatchNorm2d)
    assert len(of_type(plain, nn.BatchNorm2d)) == 17

    model, (x, _) = make(partial(ResNet18From, shortcuts=False)), photos()
    for block in model.blocks:
        nn.init.zeros_(block.bn2.weight)  # a block without a shortcut then hands on nothing
    with torch.no_grad():
        assert not (model(x) - model.classifier.bias).any()
    model = make(partial(ResNet18From, batch_norm=False)).eval()
    with torch.no_grad():
        assert torch.allclose(model.blocks(2 * model.stem(x)), 2 * model.blocks(model.stem(x)), rtol=1e-3)


# ---- recording


@each_network
def test_layers_are_named_in_forward_order(make_model):
    model, called = make(make_model).eval(), []
    layers = weight_layers(model)
    for name, layer in layers.items():
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
    model(photos()[0])
    assert [name for name in called if "shortcut" not in name] == [n for n in layers if "shortcut" not in n]
    assert {id(layer) for layer in layers.values()} == {id(m) for m in of_type(model, nn.Conv2d | nn.Linear)}


@pytest.mark.parametrize(
    ("kind", "convs", "shortcuts", "linear"), [(VGG16C, 13, 0, 3), (VGGDeep, 17, 0, 3), (ResNet18, 17, 3, 1)]
)
def test_layers_are_counted(kind, convs, shortcuts, linear):
    names = [f"{kind}{n + 1}" for kind, many in (("conv", convs), ("shortcut", shortcuts), ("fc", linear)) for n in range(many)]  # fmt: skip
    assert sorted(weight_layers(on_meta(kind))) == sorted(names)
    assert all(
        layer.kernel_size == (1, 1) for name, layer in weight_layers(on_meta(kind)).items() if "short" in name
    )


@pytest.mark.parametrize(
    ("make_model", "amp"),
    [*((make_model, False) for make_model in NETWORKS.values()), (NETWORKS["vgg_deep"], True)],
)
def test_recorded_norms_are_those_of_the_gradients(make_model, amp):
    model, recorder = make(make_model), GradientRecorder(every=1)
    recorder.start(model, NO_SCALER)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for seed in range(2):  # the gradients of the last step are still there after the epoch
        recipe = Recipe(epochs=1, amp=amp)
        train_epoch(model, [photos(seed=seed)], optimizer, recipe, NO_SCALER)
        assert recorder.state_dict()["norms"][-1].tolist() == pytest.approx(norms_of_grad(model), rel=1e-6)
    assert min(norms_of_grad(model)) > 0 and recorder.iterations == [0, 1]


def test_the_scale_of_the_loss_is_taken_out():
    """train_epoch scales the loss by what the GradScaler says, and leaves the scaled gradients to the hooks."""
    found = []
    for scale in (1.0, 1024.0):
        model, recorder = make(NETWORKS["vgg_deep"]), GradientRecorder(every=1)
        scaler = torch.amp.GradScaler(DEVICE.type, init_scale=scale)
        recorder.start(model, scaler)
        train_epoch(model, [photos()], torch.optim.SGD(model.parameters(), 0.01), RECIPE, scaler)
        found.append(recorder.result()["norms"][0])
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def step(model, x, y, factor=1.0):
    model.zero_grad()
    (factor * F.cross_entropy(model(x), y)).backward()


def tiny_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).to(DEVICE)


def test_every_kth_training_step_is_recorded():
    model, recorder = tiny_net(), GradientRecorder(every=3)
    recorder.start(model)
    x, y = photos(size=4)
    for _ in range(7):
        step(model, x, y)
        with torch.no_grad():
            model.eval()(x)  # validation is no step
        model.train()
    assert recorder.result()["iterations"] == [0, 3, 6]
    assert np.shape(recorder.result()["norms"]) == (3, 2)


def test_an_overflowing_step_is_left_out():
    model, recorder = tiny_net(), GradientRecorder(every=1)
    recorder.start(model)
    for factor in (1.0, math.inf, 1.0):
        step(model, *photos(size=4), factor)
    assert recorder.result()["iterations"] == [0, 2]


def test_a_stopped_recorder_keeps_what_it_has_and_a_started_one_forgets():
    model, recorder = tiny_net(), GradientRecorder(every=1)
    recorder.start(model)
    step(model, *photos(size=4))
    recorder.stop()
    step(model, *photos(size=4))
    assert recorder.result()["iterations"] == [0]
    recorder.start(model)
    step(model, *photos(size=4))
    step(model, *photos(size=4))
    assert recorder.result()["iterations"] == [0, 1]
    assert not recorder.result()["norms"][0] == []


def test_recording_goes_on_from_its_state():
    model, one, other = tiny_net(), GradientRecorder(every=2), GradientRecorder(every=2)
    one.start(model)
    for seed in range(3):
        step(model, *photos(size=4, seed=seed))
    state = one.state_dict()
    one.stop()
    other.start(model)
    other.load_state_dict(state)
    for seed in range(2):
        step(model, *photos(size=4, seed=seed))
    assert other.result()["iterations"] == [0, 2, 4]
    assert other.result()["norms"][:2] == one.result()["norms"]


def test_no_step_waits_for_the_device(monkeypatch):
    model, recorder = tiny_net(), GradientRecorder(every=1)
    recorder.start(model, torch.amp.GradScaler(DEVICE.type))
    with monkeypatch.context() as patch:
        for reading in ("item", "tolist", "cpu", "numpy", "__float__", "__bool__"):
            patch.setattr(torch.Tensor, reading, lambda *_: pytest.fail("a number was read in a step"))
        step(model, *photos(size=4))
    assert len(recorder.result()["norms"]) == 1


def test_a_recorder_says_how_often_it_records():
    assert (
        repr(GradientRecorder(every=7)) == "GradientRecorder(every=7)"
        and repr(DeadUnits([])) == "DeadUnits()"
    )


def test_norms_become_a_table():
    table = norms_table({"layers": ["conv1", "fc1"], "iterations": [0, 5], "norms": [[1, 2], [3, 4]]})
    assert (
        table.loc[5, "conv1"] == 3
        and list(table.columns) == ["conv1", "fc1"]
        and table.index.name == "iteration"
    )


# ---- at the start


class SameBatch(TinyData):
    """Three times the same batch."""

    def loader(self, part, recipe, train=False, epoch=0):
        return [photos(n=recipe.batch_size, size=4)] * 3


def test_gradients_at_the_start_are_taken_without_an_update():
    table = gradients_at_start(tiny_net, SameBatch(), RECIPE, batches=3)
    assert list(table.index) == ["conv1", "fc1"] and table["weights"].tolist() == [108, 48]
    assert (table["sd"] <= 1e-3 * table["mean"]).all(), "another batch of the same photos saw other weights"
    torch.manual_seed(RECIPE.seed)
    model = tiny_net()
    step(model, *photos(n=8, size=4))
    assert table["mean"].tolist() == pytest.approx(norms_of_grad(model), rel=1e-3)


def test_gradients_at_the_start_vary_with_the_batch():
    def make_model():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))

    table = gradients_at_start(make_model, TinyData(), RECIPE, batches=4)
    assert (table["sd"] > 0.01 * table["mean"]).all()


def test_too_few_batches_are_refused():
    with pytest.raises(ValueError, match="9 batches .* has 3"):
        gradients_at_start(tiny_net, SameBatch(), RECIPE, batches=9)


def test_weight_and_output_gradients_are_different_things():
    """One linear layer and one example: dL/dz = softmax - onehot, and dL/dW is its outer product with the input."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).to(DEVICE)
    x, y = photos(n=1, size=2)
    row = compare_gradients(model, x, y).loc["fc1"]
    delta = model(x).detach().softmax(1)[0] - F.one_hot(y[0], 3)
    assert row["output"] == pytest.approx(float(delta.norm()), rel=1e-4)
    assert row["weight"] == pytest.approx(float(delta.norm() * x.norm()), rel=1e-4)
    assert row["input"] == pytest.approx(float(x.norm()) / 12**0.5, rel=1e-4)
    assert row["varies"] == pytest.approx(0, abs=1e-9), "one photo does not differ from itself"
    x = torch.cat([x, -x])
    assert compare_gradients(model, x, y.repeat(2)).loc["fc1", "varies"] == pytest.approx(1)


@each_network
def test_gradients_are_compared_on_whole_networks_without_a_trace(make_model, recwarn):
    model, (x, y) = make(make_model), photos()
    before = repr(model)
    table = compare_gradients(model, x, y)
    assert (
        list(table.index) == list(weight_layers(model))
        and (table > 0).all(axis=None)
        and (table["varies"] <= 1).all()
    )
    assert repr(model) == before and not x.requires_grad and not any(layer.weight.grad is not None for layer in weight_layers(model).values())  # fmt: skip
    model.train()
    step(model, x, y)
    assert table["weight"].tolist() == pytest.approx(norms_of_grad(model), rel=1e-3)
    assert not [warning for warning in recwarn if "hook" in str(warning.message)]


# ---- units


def units(activation, inputs):
    """dead_units of a 1x1 convolution that passes its channels on, as a dict of its single layer."""
    conv = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.dirac_(conv.weight)
    halves = [(part, None) for part in inputs.split(1)]
    [row] = dead_units(nn.Sequential(conv, activation), halves)
    return row


# Channel 0 is negative everywhere, channel 1 positive in one place of the second image only, channel 2 positive.
INPUTS = -5 * torch.ones(2, 3, 2, 2)
INPUTS[1, 1, 0, 1] = 2.0
INPUTS[:, 2] = 3.0


@pytest.mark.parametrize("inplace", [False, True])
def test_units_of_relu(inplace):
    row = units(nn.ReLU(inplace), INPUTS)
    assert (row["units"], row["silent"], row["dead"]) == (3, 1, 1)
    assert row["flat"] == pytest.approx((8 + 7) / 24)


@pytest.mark.parametrize(
    ("activation", "dead"),
    [(nn.LeakyReLU(0.01), 0), (nn.LeakyReLU(1e-4), 1), (nn.ELU(), 0), (nn.GELU(), 1)],
    ids=str,
)
def test_silent_units_of_other_activations_need_not_be_dead(activation, dead):
    row = units(activation, INPUTS)  # at -5 the slope of ELU is 0.0067, of GELU -0.000007
    assert (row["silent"], row["dead"]) == (1, dead)


def test_dead_units_are_those_of_all_examples_weighted_alike():
    batches = [(INPUTS[:1].repeat(3, 1, 1, 1), None), (INPUTS[1:], None)]
    [row] = dead_units(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()).apply(as_identity), batches)
    assert row["dead"] == 1 and row["flat"] == pytest.approx((3 * 8 + 7) / 48)


def as_identity(module):
    if isinstance(module, nn.Conv2d):
        nn.init.dirac_(module.weight)
        nn.init.zeros_(module.bias)


def test_counting_dead_units_leaves_no_hooks():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU()).to(DEVICE)
    recorder = DeadUnits([photos(size=2)])
    recorder.start(model)
    assert recorder.result() == recorder.result() == dead_units(model, [photos(size=2)])
    assert not model[2]._forward_pre_hooks


# ---- receptive fields and costs


def test_receptive_fields_of_vgg():
    deep = receptive_fields(on_meta(VGGDeep))
    fields = [deep[f"conv{n}"][0] for n in range(1, 18)]
    assert fields == [3, 5, 10, 14, 24, 32, 32, 52, 68, 68, 108, 140, 140, 172, 204, 236, 268]
    assert [deep[f"pool{n}"] for n in range(1, 6)] == [(6, 2), (16, 4), (36, 8), (76, 16), (284, 32)]
    base = receptive_fields(on_meta(VGG16C))
    assert base["pool5"] == (156, 32) and base["conv13"] == deep["conv13"]


def test_receptive_fields_of_resnet():
    fields = receptive_fields(on_meta(ResNet18, stem="7x7"))
    assert fields["conv1"] == (7, 2) and fields["pool1"] == (11, 4)
    assert fields["conv17"] == (435, 32)  # as in the table of Araujo et al.
    assert "conv18" not in fields


@pytest.mark.parametrize(("kernel", "expected"), [(3, (3, 8, 18)), (5, (5, 14, 32)), (7, (7, 20, 46))])
def test_receptive_fields_of_small_networks(kernel, expected):
    for pool in POOLS:
        fields = receptive_fields(on_meta(SmallVGG, kernel_size=kernel, pool=pool))
        assert tuple(fields[f"conv{n}"][0] for n in (1, 2, 3)) == expected


@pytest.mark.parametrize("make_model", [VGG16C, VGGDeep, ResNet18], ids=lambda kind: kind.__name__)
def test_multiply_adds_are_torchinfos(make_model):
    table = layer_table(make_model, 64)
    info = summary(make_model(), (1, 3, 64, 64), verbose=0)
    layers = [layer for layer in info.summary_list if layer.class_name in ("Conv2d", "Linear")]
    biases = 0
    for layer in layers:
        if layer.module.bias is not None:  # torchinfo counts an added bias as a product
            biases += layer.module.bias.numel() * math.prod(layer.output_size[2:])
    assert table["multiply-adds"].sum() == sum(layer.macs for layer in layers) - biases
    assert table["multiply-adds"].sum() == pytest.approx(info.total_mult_adds, rel=0.01)


def test_layer_table_of_vgg_deep():
    table = layer_table(VGGDeep, 64)
    assert list(table.index) == [f"conv{n}" for n in range(1, 18)] + ["fc1", "fc2", "fc3"]
    assert table.loc["conv1"].tolist() == [3, 64, 64, 64 * 28, 64**2 * 27 * 64]
    assert table.loc["conv17"].tolist() == [3, 1024, 4, 1024 * (896 * 9 + 1), 16 * 9 * 896 * 1024]
    assert table.loc["fc3"].tolist() == [1, 3, 1, 3 * 4097, 3 * 4096]
    assert table["parameters"].sum() == 65_397_827


@pytest.mark.parametrize("inplace", [False, True])
def test_activation_bytes(inplace):
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(inplace), nn.Linear(20, 5), nn.BatchNorm1d(5, affine=False)).to(DEVICE)  # fmt: skip
    x = torch.randn(4, 10, device=DEVICE)
    kept = (
        4 * 10 + 4 * 20 + 4 * 5 + 2 * 5
    )  # input, activation (once), input of the norm, its mean and deviation
    assert activation_bytes(model, x) == 4 * kept


def test_activation_bytes_grow_with_the_batch():
    model = make(NETWORKS["vgg_deep"])
    one, four = (activation_bytes(model, photos(n)[0]) for n in (1, 4))
    assert four == pytest.approx(4 * one, rel=0.01)


# ---- small networks


VARIANTS = {
    "base": {},
    "5x5": {"kernel_size": 5},
    "7x7": {"kernel_size": 7},
    "5x5 narrow": {"kernel_size": 5, "width": EQUAL_COST[5]},
    "7x7 narrow": {"kernel_size": 7, "width": EQUAL_COST[7]},
    "added": {"pointwise": "added"},
    "bottleneck": {"pointwise": "bottleneck"},
    **{name: {"activation": name} for name in ACTIVATIONS if name != "relu"},
    "avg": {"pool": "avg"},
}


def test_small_networks_have_their_shape_and_size():
    for name, arguments in VARIANTS.items():
        model = on_meta(SmallVGG, **arguments)
        assert model(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 3), name
        assert 150_000 < count(model) < 1_000_000, name
    assert count(on_meta(SmallVGG)) == 355_907


def test_small_networks_are_known_by_their_repr():
    assert len({repr(on_meta(SmallVGG, **arguments)) for arguments in VARIANTS.values()}) == len(VARIANTS)


def test_narrow_networks_cost_as_much_as_the_3x3_one():
    def products(**arguments):
        return layer_table(partial(SmallVGG, **arguments), 32)["multiply-adds"].sum()

    for kernel, width in EQUAL_COST.items():
        assert products(kernel_size=kernel, width=width) == pytest.approx(products(), rel=0.02)
    assert products(kernel_size=7) > 4 * products()


@pytest.mark.parametrize(
    ("pointwise", "expected"),
    [
        (None, [(3, 32, 3), (32, 64, 3), (64, 128, 3)]),
        ("added", [(3, 32, 3), (32, 32, 1), (32, 64, 3), (64, 64, 1), (64, 128, 3), (128, 128, 1)]),
        ("bottleneck", [(3, 32, 3), (32, 8, 1), (8, 64, 3), (64, 16, 1), (16, 128, 3)]),
    ],
)
def test_pointwise_convolutions(pointwise, expected):
    features = on_meta(SmallVGG, pointwise=pointwise).features
    convs = of_type(features, nn.Conv2d)
    assert [(conv.in_channels, conv.out_channels, conv.kernel_size[0]) for conv in convs] == expected
    assert len(of_type(features, nn.ReLU)) == len(convs) and len(of_type(features, nn.MaxPool2d)) == 3


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_small_networks_use_one_activation_throughout(activation):
    kind = type(ACTIVATIONS[activation]())
    model = make(partial(SmallVGG, activation=activation))
    assert len(of_type(model, (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU))) == len(of_type(model, kind)) == 4
    weight = model.classifier[1].weight.detach()
    assert float(weight.var()) * weight.shape[1] == pytest.approx(2, rel=0.05)


def test_small_networks_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match="pointwise 'wide': choose"):
        SmallVGG(pointwise="wide")
    with pytest.raises(KeyError, match="median"):
        SmallVGG(pool="median")
