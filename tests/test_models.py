"""VGG-16C and ResNet-18 are the networks of their papers, and are written from layers."""

import ast
import re
from pathlib import Path

import pytest
import torch
import torchvision
from counted import count, of_type, on_meta
from torch import nn

from a1.models.resnet import BasicBlock, ResNet18
from a1.models.vgg import INITS, VGG16C

ROOT = Path(__file__).parents[1]


def test_vgg16c_has_the_layers_of_column_c():
    blocks = [[]]
    for layer in on_meta(VGG16C).features:
        if isinstance(layer, nn.Conv2d):
            assert layer.stride == (1, 1) and layer.padding[0] == layer.kernel_size[0] // 2
            blocks[-1].append((layer.out_channels, layer.kernel_size[0]))
        elif isinstance(layer, nn.MaxPool2d):
            assert (layer.kernel_size, layer.stride) == (2, 2)
            blocks.append([])
    assert blocks == [
        [(64, 3), (64, 3)],
        [(128, 3), (128, 3)],
        [(256, 3), (256, 3), (256, 1)],
        [(512, 3), (512, 3), (512, 1)],
        [(512, 3), (512, 3), (512, 1)],
        [],
    ]


def test_vgg16c_rectifies_every_convolution_and_normalises_none():
    layers = list(on_meta(VGG16C).features)
    following = [b for a, b in zip(layers, layers[1:]) if isinstance(a, nn.Conv2d)]
    assert [type(layer) for layer in following] == [nn.ReLU] * 13
    assert not of_type(on_meta(VGG16C), nn.BatchNorm2d)


def test_vgg16c_drops_out_after_the_first_two_linear_layers_only():
    model = on_meta(VGG16C, dropout=0.4)
    kinds = [type(layer).__name__ for layer in model.classifier]
    assert kinds == ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [layer.p for layer in of_type(model, nn.Dropout)] == [0.4, 0.4]
    assert [layer.out_features for layer in of_type(model, nn.Linear)] == [4096, 4096, 3]


def test_vgg16c_parameters():
    assert count(on_meta(VGG16C)) == 35_182_403
    assert count(on_meta(VGG16C).features) == 9_996_096
    assert count(on_meta(VGG16C, num_classes=1000, image_size=224)) == 133_638_952


@pytest.mark.parametrize("size", [32, 64, 96, 224])
def test_vgg16c_output_shape(size):
    model = on_meta(VGG16C, num_classes=5, image_size=size)
    assert model(torch.empty(2, 3, size, size, device="meta")).shape == (2, 5)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_vgg16c_takes_smaller_images(size):
    model = VGG16C(width=1 / 16)
    assert model(torch.randn(2, 3, size, size)).shape == (2, 3)


def test_the_last_pooling_of_vgg16c_changes_nothing_at_full_size():
    model, x = VGG16C(width=1 / 16), torch.randn(2, 3, 64, 64)
    assert torch.equal(model.features(x), model.features[:-1](x))


def test_a_narrower_vgg16c_keeps_its_depth():
    narrow, whole = (of_type(on_meta(VGG16C, width=w), nn.Conv2d | nn.Linear) for w in (0.25, 1))
    assert len(narrow) == len(whole) == 16
    for thin, wide in zip(narrow[:-1], whole):
        assert 4 * thin.weight.shape[0] == wide.weight.shape[0]


@pytest.mark.parametrize("init", INITS)
def test_initialisations_have_their_variance(init):
    torch.manual_seed(0)
    layers = of_type(VGG16C(image_size=32, width=0.25, init=init), nn.Conv2d | nn.Linear)
    for layer in layers:
        weight = layer.weight.detach()
        if weight.numel() > 8000:  # enough numbers to know a variance by
            taps = weight[0, 0].numel()
            fan_in, fan_out = weight.shape[1] * taps, weight.shape[0] * taps
            wanted = {"default": 1 / (3 * fan_in), "normal": 0.01**2, "he": 2 / fan_in}
            wanted["xavier"] = 2 / (fan_in + fan_out)
            assert float(weight.var()) == pytest.approx(wanted[init], rel=0.1)
    assert [bool((m.bias == 0).all()) for m in layers] == [init != "default"] * 16


def torchvision_name(name):
    """torchvision's name of one of our ResNet-18's tensors."""
    name = name.replace("stem.0", "conv1").replace("stem.1", "bn1")
    name = re.sub(r"^blocks\.(\d)", lambda m: f"layer{int(m[1]) // 2 + 1}.{int(m[1]) % 2}", name)
    return name.replace("shortcut", "downsample").replace("classifier", "fc")


def test_resnet18_gives_torchvisions_logits():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None)
    for bn in of_type(theirs, nn.BatchNorm2d):
        for values, low, high in ((bn.weight, 0.5, 1.5), (bn.bias, -0.5, 0.5)):
            nn.init.uniform_(values, low, high)
        nn.init.uniform_(bn.running_mean, -0.5, 0.5)
        nn.init.uniform_(bn.running_var, 0.5, 2.0)
    ours, state = ResNet18(num_classes=1000, stem="7x7"), theirs.state_dict()
    assert len(ours.state_dict()) == len(state)
    ours.load_state_dict({name: state[torchvision_name(name)] for name in ours.state_dict()})
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        one, other = (model.eval()(x) for model in (ours, theirs))
        assert other.std() > 0.1  # among zeros the comparison would mean little
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        one, other = (model.double().train()(x.double()) for model in (ours, theirs))
        torch.testing.assert_close(one, other)


def test_resnet18_parameters():
    assert count(on_meta(ResNet18)) == 11_170_371
    assert count(on_meta(ResNet18, num_classes=1000, stem="7x7")) == 11_689_512  # the paper's
    assert count(on_meta(ResNet18, width=16).classifier) == 3 * (128 + 1)


@pytest.mark.parametrize("stem, shrinks", [("7x7", 4), ("3x3", 2)])
def test_resnet18_stem(stem, shrinks):
    model = on_meta(ResNet18, num_classes=7, stem=stem)
    x = torch.empty(2, 3, 64, 64, device="meta")
    assert model.stem(x).shape == (2, 64, 64 // shrinks, 64 // shrinks)
    assert model.blocks(model.stem(x)).shape == (2, 512, 8 // shrinks, 8 // shrinks)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_resnet18_output_shape(size):
    model = on_meta(ResNet18, num_classes=5)
    assert model(torch.empty(2, 3, size, size, device="meta")).shape == (2, 5)


def test_resnet18_rejects_another_stem():
    with pytest.raises(KeyError, match="5x5"):
        ResNet18(stem="5x5")


def test_resnet18_starts_from_he_fan_out():
    torch.manual_seed(0)
    for layer in of_type(ResNet18(width=32), nn.Conv2d):
        fan_out = layer.out_channels * layer.weight[0, 0].numel()
        if layer.weight.numel() > 8000:
            assert float(layer.weight.detach().var()) == pytest.approx(2 / fan_out, rel=0.1)


def test_a_block_whose_last_scale_is_zero_is_the_identity():
    block, x = BasicBlock(8, 8).eval(), torch.rand(2, 8, 6, 6)
    nn.init.zeros_(block.bn2.weight)
    assert torch.equal(block(x), x)


def test_the_shortcut_is_the_identity_or_a_convolution_where_the_shape_changes():
    kinds = [type(block.shortcut) for block in of_type(on_meta(ResNet18), BasicBlock)]
    assert kinds == [nn.Identity] * 2 + [nn.Sequential, nn.Identity] * 3
    conv, norm = BasicBlock(8, 16, stride=2).shortcut
    assert (conv.kernel_size, conv.stride, norm.num_features) == ((1, 1), (2, 2), 16)


@pytest.mark.parametrize("make", [lambda: VGG16C(width=1 / 16), lambda: ResNet18(width=8)])
def test_gradients_reach_every_layer(make):
    torch.manual_seed(0)
    model = make()
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    assert all(float(weight.grad.abs().sum()) > 0 for weight in model.parameters())


PREDEFINED = ("torchvision.models.", "torch.hub.", "timm.")


def predefined_in(source):
    """Names of libraries of finished networks that a Python source imports or reaches into."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
    return {name for name in names if f"{name}.".startswith(PREDEFINED)}


@pytest.mark.parametrize(
    "source, found",
    [
        ("from torchvision import models", True),
        ("import torchvision\nnet = torchvision.models.resnet18()", True),
        ("import torch\ntorch.hub.load('pytorch/vision', 'resnet18')", True),
        ("from timm.models import create_model", True),
        ("from torchvision import transforms", False),
        ("import timmy", False),
    ],
)
def test_predefined_networks_are_noticed(source, found):
    assert bool(predefined_in(source)) == found


def test_no_predefined_network():
    sources = [*ROOT.glob("a1/**/*.py"), *ROOT.glob("notebooks/*.py")]
    found = {path.name: predefined_in(path.read_text()) for path in sources}
    for name in ("a1_bonus_transfer_learning.py", "transfer.py"):
        found.pop(name, None)  # whose subject they are
    assert len(found) > 10 and not any(found.values()), found
