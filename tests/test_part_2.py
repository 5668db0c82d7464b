"""Part II: its networks, what is recorded of gradients, and that its claims follow from results/ and
the records.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from counted import count, of_type, on_meta
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


# ------------------------------------------------------------------ claims
def results():
    """What results/ holds of this notebook."""
    return json.loads((ROOT / "results" / "a1_part_2.json").read_text())


def record(name):
    """A run's or a computation's record."""
    return json.loads((ROOT / "runs" / f"{name}.json").read_text())


def val_acc(study, variant, seed=0):
    """Validation accuracy of a study's run."""
    return record(f"{study}/{variant}-seed{seed}")["metrics"]["val_acc"]


def test_the_reported_metrics_are_those_of_the_record():
    found = results()
    metrics = record(found["vgg_deep.run"])["metrics"]
    assert {name: found[f"vgg_deep.{name}"] for name in metrics} == metrics
    assert 0.85 < metrics["test_acc"] < 0.9 and metrics["train_acc"] - metrics["test_acc"] < 0.02


def test_from_the_default_start_gradients_vanish_and_from_hes_they_do_not():
    flows = {s: record(f"flow/vgg_deep-{s}")["result"] for s in ("default", "xavier", "he")}
    ratio = {
        (s, q): f[q]["conv17"] / f[q]["conv1"]
        for s, f in flows.items()
        for q in ("weight", "output")
    }
    assert 1.8e5 < ratio["default", "weight"] < 2e5
    assert ratio["default", "output"] > 10 * ratio["default", "weight"], "another quantity"
    assert 0.3 < ratio["he", "output"] < 3, "nothing vanishes"
    assert ratio["xavier", "weight"] < ratio["he", "weight"] < 100, "the ratio hides the level"
    assert flows["he"]["weight"]["conv1"] > 1000 * flows["xavier"]["weight"]["conv1"]
    assert flows["default"]["varies"]["conv17"] < 1e-8
    assert results()["default.ratio"] == float(f"{ratio['default', 'weight']:.3g}")


def test_one_factor_a_layer_predicts_the_backward_product():
    weights = [layer.weight for layer in on_meta(VGGDeep).features if isinstance(layer, nn.Conv2d)]
    fans = np.array([(w[0].numel(), w[:, 0].numel()) for w in weights])
    variances = {"default": 1 / (3 * fans[:, 0]), "xavier": 2 / fans.sum(1), "he": 2 / fans[:, 0]}
    for start, variance in variances.items():
        factors, flow = (
            (fans[:, 0] * variance / 2) ** 0.5,
            record(f"flow/vgg_deep-{start}")["result"],
        )
        back = flow["output"]["conv1"] / flow["output"]["conv17"]
        assert 1 / 3 < factors[1:].prod() / back < 3
        forward = flow["input"]["conv17"] / flow["input"]["conv1"]
        apart = forward / factors[:-1].prod()
        assert apart > 1000 if start == "default" else 0.4 < apart < 2.5


@pytest.mark.parametrize("name", ["default", "default-float32"])
def test_from_the_default_start_nothing_is_learned_in_either_precision(name):
    run = record(f"watched/{name}")["result"]
    assert abs(run["history"][-1]["train_loss"] - np.log(3)) < 1e-3
    assert abs(run["history"][-1]["val_acc"] - 1 / 3) < 1e-3
    assert max(run["norms"]["conv1"]) < 1e-8 < 1e-5 < np.mean(run["norms"]["conv17"])


def test_from_hes_start_the_norms_collapse_at_first_and_turn_over():
    run = record("watched/he")["result"]
    assert run["history"][-1]["val_acc"] > 0.7
    fall = {name: norms[0] / norms[2] for name, norms in run["norms"].items()}  # steps 0 and 10
    assert fall["conv17"] > 10 and fall["fc3"] > 10 and fall["conv1"] < 3
    end = {name: np.mean(norms[-10:]) for name, norms in run["norms"].items()}
    assert end["conv2"] > end["conv9"] > end["conv10"] and end["conv2"] > end["conv17"]
    assert run["norms"]["conv17"][0] > 5 * run["norms"]["conv2"][0]


def test_the_start_decides_for_the_vggs_and_hardly_for_resnet18():
    best = {
        (net, start): max(val_acc("depth", f"{net}-{start}-{lr}") for lr in (0.01, 0.03, 0.1))
        for net in ("vgg16c", "vgg_deep", "resnet18")
        for start in ("default", "xavier", "he")
    }
    for net in ("vgg16c", "vgg_deep"):
        assert abs(best[net, "default"] - 1 / 3) < 1e-3
        assert best[net, "default"] < best[net, "xavier"] < best[net, "he"]
    assert best["vgg_deep", "xavier"] < best["vgg16c", "xavier"] - 0.1
    assert min(best["resnet18", start] for start in ("default", "xavier", "he")) > 0.8
    assert best["resnet18", "default"] == max(best.values())


def test_batch_norm_prevents_vanishing_alone_and_shortcuts_nearly():
    def passed(start, parts=""):
        output = record(f"flow/resnet18-{start}{parts}")["result"]["output"]
        return output["conv1"] / output["conv17"]

    assert passed("default", "-neither") < 1e-6
    assert 0.03 < passed("default", "-shortcuts_only") < 0.2
    assert passed("default", "-batch_norm_only") > 5
    for start in ("default", "he"):
        halved = passed(start) / passed(start, "-batch_norm_only")
        assert 0.3 < halved < 0.7


def test_vgg_deep_fits_its_training_photos_worse_from_the_second_epoch_on():
    deep, vgg, resnet = (
        [epoch["train_acc"] for epoch in record(run)["history"]]
        for run in ("vgg_deep/seed0", "vgg16c/seed0", "resnet18/seed0")
    )
    assert all(ours < min(theirs) for ours, *theirs in list(zip(deep, vgg, resnet))[1:])


def test_the_recipe_costs_more_than_depth():
    deep, plain, part_1 = (
        record(run)["metrics"]["val_acc"]
        for run in ("vgg_deep/seed0", "plain/vgg16c-seed0", "vgg16c/seed0")
    )
    assert record("plain/vgg16c-seed0")["sizes"].keys() == {"train", "val"}, "test is left alone"
    assert 0 < plain - deep < 0.015 < 0.05 < part_1 - plain


def test_small_networks_are_compared_at_the_best_of_five_rates():
    rates = (0.002, 0.006, 0.02, 0.06, 0.2)
    variants = {path.stem.split("-")[0] for path in (ROOT / "runs" / "small").glob("*.json")}
    assert len(variants) == 11
    means = {}
    for variant in variants:
        lr = max(rates, key=lambda lr: val_acc("small", f"{variant}-{lr}"))
        means[variant] = np.mean([val_acc("small", f"{variant}-{lr}", seed) for seed in range(3)])
    larger = ("5x5", "7x7", "5x5_narrow", "7x7_narrow")
    assert all(means[variant] < means["base"] for variant in larger)
    assert means["bottleneck"] < means["added"] < means["base"] and means["average"] < means["base"]
    acts = [means[name] for name in ("base", "leaky_relu", "elu", "gelu")]
    assert max(acts) - min(acts) < 0.012
    dead = [record(f"silent/base-{lr}")["result"] for lr in rates]
    assert dead[0] < 10 < dead[-2] < dead[-1]


def test_vgg16cs_first_filters_stay_near_their_random_start_and_resnet18s_do_not():
    cosines, longer = {}, {}
    for name, make in (("vgg16c", VGG16C), ("resnet18", ResNet18)):
        seed_everything(0)
        fresh = next(iter(make().parameters())).detach()
        trained = torch.tensor(record(f"first_layer/{name}")["result"]).view_as(fresh)
        cosines[name] = F.cosine_similarity(trained.flatten(1), fresh.flatten(1)).median()
        size, start = (x.flatten(1).norm(dim=1).median() for x in (trained, fresh))
        longer[name] = float(size / start)
    assert 0.8 < longer["vgg16c"] < 0.95, "a little shorter"
    assert 1.7 < longer["resnet18"] < 2, "nearly doubled"
    assert cosines["vgg16c"] > 0.98 and cosines["resnet18"] < 0.7
