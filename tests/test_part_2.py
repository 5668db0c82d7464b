"""Part II: its networks, what is recorded of gradients, and that its claims follow from results/ and
the records.
"""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import QUICK, TinyData, make_tiny
from torch import nn
from torchinfo import summary

from a1.gradients import measure_flow, silent_units, watch_gradients, watched_run, weight_layers
from a1.models.resnet import BasicBlock, ResNet18
from a1.models.small import SmallVGG
from a1.models.vgg import VGG16C
from a1.models.vgg_deep import ResNet18From, VGGDeep
from a1.setup import seed_everything
from a1.train import train

ROOT = Path(__file__).parents[1]


def on_meta(make, *args, **options):
    """A network without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return make(*args, **options)


def count(module):
    """Its parameters."""
    return sum(weight.numel() for weight in module.parameters())


def of_type(module, kind):
    """Its layers of a type."""
    return [part for part in module.modules() if isinstance(part, kind)]


# ------------------------------------------------------------------ networks
def test_vgg_deep_is_vgg16c_and_four_convolutions_before_the_last_pooling():
    deep, base = (
        [str(layer) for layer in on_meta(make).features if not isinstance(layer, nn.ReLU)]
        for make in (VGGDeep, VGG16C)
    )
    new = deep[17:21]
    assert deep[:17] == base[:17] and deep[21:] == base[17:] and len(base) == 19
    assert [int(text.split(", ")[1]) for text in new] == [640, 768, 896, 1024]
    assert all("kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)" in text for text in new)


def test_vgg_deep_rectifies_every_convolution_and_regularises_nowhere():
    model = on_meta(VGGDeep)
    layers = list(model.features)
    following = [b for a, b in zip(layers, layers[1:]) if isinstance(a, nn.Conv2d)]
    assert [type(layer) for layer in following] == [nn.ReLU] * 17
    assert not of_type(model, nn.Dropout | nn.BatchNorm2d)
    assert len(of_type(model, nn.MaxPool2d)) == 5


def test_vgg_deep_parameters():
    assert count(on_meta(VGGDeep)) == 65_397_827
    new = [layer for layer in on_meta(VGGDeep).features if isinstance(layer, nn.Conv2d)][13:]
    assert sum(map(count, new)) == 21_826_816
    first = (1024 - 512) * 4 * 4096  # of the first linear layer, which sees 1024 maps
    assert count(on_meta(VGGDeep)) - count(on_meta(VGG16C)) == 21_826_816 + first


@pytest.mark.parametrize("size", [32, 48, 64])
def test_vgg_deep_output_shape(size):
    model = VGGDeep(num_classes=5, width=1 / 16)
    assert model(torch.randn(2, 3, size, size)).shape == (2, 5)


@pytest.mark.parametrize("make", [VGGDeep, ResNet18From])
@pytest.mark.parametrize("start", ["default", "xavier", "he"])
def test_starts_have_their_variance(make, start):
    torch.manual_seed(0)
    layers = of_type(make(width=0.25 if make is VGGDeep else 16, init=start), nn.Conv2d | nn.Linear)
    for layer in layers:
        weight = layer.weight.detach()
        if weight.numel() > 8000:
            taps = weight[0, 0].numel()
            n_in, n_out = weight.shape[1] * taps, weight.shape[0] * taps
            wanted = {"default": 1 / (3 * n_in), "xavier": 2 / (n_in + n_out), "he": 2 / n_in}
            assert float(weight.var()) == pytest.approx(wanted[start], rel=0.1)
    zero = [bool((layer.bias == 0).all()) for layer in layers if layer.bias is not None]
    assert set(zero) == {start != "default"}


def test_resnet18_from_is_resnet18_but_for_its_start():
    same, theirs = on_meta(ResNet18From), on_meta(ResNet18)
    assert str(same).split("\n", 1)[1] == str(theirs).split("\n", 1)[1]
    assert count(same) == 11_170_371


def test_resnet18_without_shortcuts_is_a_plain_network():
    block = ResNet18From(width=8, shortcuts=False).blocks[2].eval()
    x = torch.rand(2, 8, 8, 8)
    direct = F.relu(block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x))))))
    assert torch.equal(block(x), direct)
    left = {name for name in weight_layers(ResNet18From(width=8, shortcuts=False))}
    assert left == {f"conv{n}" for n in range(1, 18)} | {"fc1"}


def test_resnet18_without_batch_norm_normalises_nothing():
    model = ResNet18From(width=8, batch_norm=False)
    assert not of_type(model, nn.BatchNorm2d) and len(of_type(model, BasicBlock)) == 8
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model.train()(x)[:1], model.train()(x[:1]))  # no photo counts others


@pytest.mark.parametrize(
    "options, weights, convs",
    [
        ({}, 355_907, 93_248),
        ({"kernel_size": 5}, 521_283, 258_624),
        ({"kernel_size": 7}, 769_347, None),
        ({"pointwise": "added"}, None, 93_248 + 32 * 33 + 64 * 65 + 128 * 129),
        ({"pool": "avg"}, 355_907, 93_248),
        ({"activation": "gelu"}, 355_907, 93_248),
    ],
)
def test_small_networks(options, weights, convs):
    model = SmallVGG(**options)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 3)
    assert weights in (None, count(model)) and convs in (None, count(model.features))


def test_a_bottleneck_squeezes_to_a_quarter_before_the_second_and_third_convolution():
    shapes = [
        tuple(layer.weight.shape) for layer in of_type(SmallVGG(pointwise="bottleneck"), nn.Conv2d)
    ]
    assert [shape[:2] for shape in shapes] == [(32, 3), (8, 32), (64, 8), (16, 64), (128, 16)]


@pytest.mark.parametrize("kernel, width", [(5, 0.58), (7, 0.40)])
def test_narrow_networks_cost_what_3x3_costs(kernel, width):
    costs = [
        summary(make(), (1, 3, 32, 32), verbose=0).total_mult_adds
        for make in (SmallVGG, partial(SmallVGG, kernel_size=kernel, width=width))
    ]
    assert costs[1] == pytest.approx(costs[0], rel=0.03)


@pytest.mark.parametrize(
    "make, per_photo, weights",
    [
        (VGG16C, 56.25 * 64**2 * 64**2 + 64 * 64**2 * 4096 / 128 + 4096**2, 2439 * 64**2),
        (VGGDeep, 77.0625 * 64**2 * 64**2 + 64 * 64**2 * 4096 / 64 + 4096**2, 7767 * 64**2),
        (ResNet18, 33 * 64**2 * 64**2, 2724 * 64**2),
    ],
)
def test_the_orders_of_5f_have_the_right_constants(make, per_photo, weights):
    model = make()
    info = summary(model, (1, 3, 64, 64), verbose=0)
    assert info.total_mult_adds == pytest.approx(per_photo, rel=0.02)
    convs = sum(layer.weight.numel() for layer in of_type(model, nn.Conv2d))
    assert convs == pytest.approx(weights, rel=0.001)


# ------------------------------------------------------------------ what is recorded
def a_batch(size=32, n=6):
    torch.manual_seed(0)
    return torch.randn(n, 3, size, size), torch.arange(n) % 3


def test_layers_are_named_in_forward_order_and_shortcuts_apart():
    assert list(weight_layers(VGGDeep(width=1 / 16))) == [
        *(f"conv{n}" for n in range(1, 18)),
        *("fc1", "fc2", "fc3"),
    ]
    model, order = ResNet18(width=8), []
    names = weight_layers(model)
    for name, layer in names.items():
        layer.register_forward_hook(lambda *_, name=name: order.append(name))
    model(a_batch()[0])
    main = [name for name in order if name.startswith("conv")]
    assert main == [f"conv{n}" for n in range(1, 18)], "named as they are executed"
    assert [name for name in names if name.startswith("conv")] == [f"conv{n}" for n in range(1, 18)]
    assert len([name for name in names if name.startswith("shortcut")]) == 3
    assert all(layer.kernel_size == (1, 1) for n, layer in names.items() if "shortcut" in n)


@pytest.mark.parametrize("make", [partial(VGGDeep, width=1 / 16), partial(ResNet18From, width=8)])
def test_hooks_give_autograds_gradient_of_each_weight(make):
    model, (x, y) = make(), a_batch()
    norms = watch_gradients(model)
    for step in range(2):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for name, layer in weight_layers(model).items():
            assert len(norms[name]) == step + 1
            torch.testing.assert_close(norms[name][step], layer.weight.grad.norm())


def test_depth_is_not_reversed():
    """Hooks fire from the last layer to the first; the first layer's norm must be conv1's."""
    model, (x, y) = VGGDeep(width=1 / 16), a_batch()
    norms = watch_gradients(model)
    fired = []
    for name, layer in weight_layers(model).items():
        layer.weight.register_hook(lambda gradient, name=name: fired.append(name))
    F.cross_entropy(model(x), y).backward()
    assert fired[0] == "fc3" and fired[-1] == "conv1" and list(norms)[0] == "conv1"
    [weight] = torch.autograd.grad(F.cross_entropy(model(x), y), model.features[0].weight)
    torch.testing.assert_close(norms["conv1"][0], weight.norm())


def test_hooks_follow_a_network_that_moves():
    model = make_tiny()
    norms = watch_gradients(model)
    model.double()  # as .to(device) does, it gives each parameter new data
    model(torch.randn(4, 3, 8, 8, dtype=torch.double)).square().sum().backward()
    assert {name: len(values) for name, values in norms.items()} == {"conv1": 1, "fc1": 1}


def test_watching_changes_nothing_and_keeps_every_fifth_step():
    recipe = QUICK | {"epochs": 4, "batch_size": 8}  # three steps an epoch
    seed_everything(recipe["seed"])
    plain = train(make_tiny().to(memory_format=torch.channels_last), recipe, TinyData())
    watched = watched_run(make_tiny, recipe, TinyData())
    drop = [{k: v for k, v in e.items() if k != "seconds"} for e in plain["history"]]
    assert drop == [{k: v for k, v in e.items() if k != "seconds"} for e in watched["history"]]
    assert {len(values) for values in watched["norms"].values()} == {3}  # steps 0, 5 and 10
    json.dumps(watched)


def test_flow_measures_weight_and_output_gradients_and_they_differ():
    data = TinyData()
    recipe = QUICK | {"label_smoothing": 0.0, "batch_size": 26}
    make = partial(make_tiny, dropout=0)
    table = measure_flow(make, data, recipe, 1)
    seed_everything(0)
    model = make().train()
    seed_everything(0)
    x, y = next(data.batches("train", recipe, 0))
    seen = {}
    for name, layer in weight_layers(model).items():
        layer.register_forward_hook(lambda _, i, o, name=name: seen.update({name: (i[0], o)}))
    loss = F.cross_entropy(model(x), y)
    for name, layer in weight_layers(model).items():
        inputs, output = seen[name]
        weight, out = torch.autograd.grad(loss, [layer.weight, output], retain_graph=True)
        row = table.loc[name]
        assert row["weight"] == pytest.approx(float(weight.norm()), rel=1e-4)
        assert row["output"] == pytest.approx(float(out.norm()), rel=1e-4)
        assert row["input"] == pytest.approx(
            float(inputs.detach().square().mean().sqrt()), rel=1e-4
        )
        assert abs(row["weight"] / row["output"] - 1) > 0.05, "another quantity"


def test_what_varies_is_the_share_that_differs_by_photo():
    class Same(TinyData):
        def batches(self, part, recipe, epoch=None):
            for x, y in super().batches(part, recipe, epoch):
                yield x[:1].expand_as(x).contiguous(), y

    recipe = QUICK | {"batch_size": 8}
    assert measure_flow(make_tiny, Same(), recipe, 1).loc["conv1", "varies"] < 1e-12
    assert measure_flow(make_tiny, TinyData(), recipe, 1).loc["conv1", "varies"] > 0.3


def test_silent_units_are_counted():
    class Small(TinyData):
        def batches(self, part, recipe, epoch=None):
            for x, y in super().batches(part, recipe, epoch):
                yield F.interpolate(x, 32), y

    model = SmallVGG()
    assert silent_units(model, Small(), QUICK) < 100
    with torch.no_grad():
        model.features[0].bias[:3] = -1e6
        model.classifier[1].bias[:2] = -1e6
    before = silent_units(SmallVGG(), Small(), QUICK)
    assert silent_units(model, Small(), QUICK) >= 5 > before - 100
