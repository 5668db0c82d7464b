"""VGG-16C and ResNet-18 are the networks of their papers, and are written from layers."""

import ast
import re
from pathlib import Path

import pytest
import torch
import torchvision
from tiny import count, of_type, on_meta
from torch import nn

from a1.models.resnet import BasicBlock, ResNet18
from a1.models.vgg import INITS, VGG16C

ROOT = Path(__file__).parents[1]


def test_vgg16c_layers_are_those_of_column_c():
    blocks = [[]]
    for layer in on_meta(VGG16C).features:
        if isinstance(layer, nn.Conv2d):
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


def test_vgg16c_convolutions_keep_the_size_and_are_rectified():
    layers = list(on_meta(VGG16C).features)
    convolutions = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 13
    for index in convolutions:
        layer = layers[index]
        assert layer.stride == (1, 1) and layer.padding[0] == layer.kernel_size[0] // 2
        assert isinstance(layers[index + 1], nn.ReLU)
    assert not of_type(on_meta(VGG16C), nn.BatchNorm2d)  # the paper is older than batch normalisation


def test_vgg16c_parameters():
    model = on_meta(VGG16C, num_classes=3, image_size=64)
    assert count(model.features) == 9_996_096
    assert count(model) == 35_182_403
    paper = on_meta(VGG16C, num_classes=1000, image_size=224)
    assert round(count(paper) / 1e6, 1) == 133.6


def test_vgg16c_drops_out_after_the_first_two_linear_layers_only():
    model = on_meta(VGG16C, dropout=0.4)
    kinds = [type(layer).__name__ for layer in model.classifier]
    assert kinds == ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [layer.p for layer in of_type(model, nn.Dropout)] == [0.4, 0.4]
    assert [layer.out_features for layer in of_type(model, nn.Linear)] == [4096, 4096, 3]


@pytest.mark.parametrize("image_size", [32, 64, 96, 224])
def test_vgg16c_output_shape(image_size):
    model = on_meta(VGG16C, num_classes=5, image_size=image_size)
    assert model(torch.empty(2, 3, image_size, image_size, device="meta")).shape == (2, 5)


def torchvision_name(name):
    """torchvision's name of one of our ResNet-18's tensors."""
    name = re.sub(r"^stem\.0", "conv1", name)
    name = re.sub(r"^stem\.1", "bn1", name)
    name = re.sub(r"^blocks\.(\d)", lambda match: f"layer{int(match[1]) // 2 + 1}.{int(match[1]) % 2}", name)
    return name.replace("shortcut", "downsample").replace("classifier", "fc")


@pytest.fixture(scope="module")
def twins():
    """Ours and torchvision's ResNet-18 with the same random weights and batch statistics."""
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None)
    for bn in of_type(theirs, nn.BatchNorm2d):
        nn.init.uniform_(bn.weight, 0.5, 1.5)
        nn.init.uniform_(bn.bias, -0.5, 0.5)
        nn.init.uniform_(bn.running_mean, -0.5, 0.5)
        nn.init.uniform_(bn.running_var, 0.5, 2.0)
    ours = ResNet18(num_classes=1000)
    state = theirs.state_dict()
    assert len(ours.state_dict()) == len(state)
    ours.load_state_dict({name: state[torchvision_name(name)] for name in ours.state_dict()})
    return ours, theirs


def test_resnet18_parameters():
    assert count(on_meta(ResNet18, num_classes=1000)) == 11_689_512


def test_resnet18_gives_torchvisions_logits(twins):
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = (model.eval()(x) for model in twins)
    assert theirs.std() > 0.1  # the comparison would mean little among zeros
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_resnet18_trains_like_torchvisions(twins):
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        ours, theirs = (model.double().train()(x) for model in twins)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for name, value in twins[0].state_dict().items():  # the running statistics, moved by the step above
        torch.testing.assert_close(value, twins[1].state_dict()[torchvision_name(name)])


@pytest.mark.parametrize("stem, shrinks", [("7x7", 4), ("3x3", 2)])
def test_resnet18_stem(stem, shrinks):
    model = on_meta(ResNet18, num_classes=7, stem=stem)
    x = torch.empty(2, 3, 64, 64, device="meta")
    assert model.stem(x).shape == (2, 64, 64 // shrinks, 64 // shrinks)
    assert model.blocks(model.stem(x)).shape == (2, 512, 8 // shrinks, 8 // shrinks)
    assert model(x).shape == (2, 7)


def test_resnet18_rejects_another_stem():
    with pytest.raises(KeyError, match="5x5"):
        ResNet18(stem="5x5")


@pytest.mark.parametrize("stem", ["7x7", "3x3"])
def test_every_convolution_has_its_batch_normalisation(stem):
    model = on_meta(ResNet18, stem=stem)
    pairs = [(model.stem[0], model.stem[1])]
    for block in of_type(model, BasicBlock):
        pairs += [(block.conv1, block.bn1), (block.conv2, block.bn2)]
        if not isinstance(block.shortcut, nn.Identity):
            pairs.append(tuple(block.shortcut))
    assert all(conv.bias is None and conv.out_channels == bn.num_features for conv, bn in pairs)
    assert len(pairs) == len(of_type(model, nn.Conv2d)) == len(of_type(model, nn.BatchNorm2d)) == 20


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
    "source",
    [
        "import torchvision.models as m",
        "from torchvision import models",
        "from torchvision.models import resnet18",
        "import torchvision\nnet = torchvision.models.resnet18()",
        "import timm",
        "from timm.models import create_model",
        "import torch\ntorch.hub.load('pytorch/vision', 'resnet18')",
    ],
)
def test_predefined_architectures_are_noticed(source):
    assert predefined_in(source)


@pytest.mark.parametrize(
    "source", ["from torchvision import transforms", "from a1.models import resnet", "import timmy"]
)
def test_other_imports_are_not(source):
    assert not predefined_in(source)


def test_no_predefined_architecture():
    sources = [*ROOT.glob("a1/**/*.py"), *ROOT.glob("notebooks/**/*.py")]
    assert sources
    found = {path.name: predefined_in(path.read_text()) for path in sources}
    found.pop("a1_bonus_transfer_learning.py", None)  # the part whose subject they are
    assert not any(found.values()), found


def weights_of(model):
    return {name: module.weight for name, module in model.named_modules() if hasattr(module, "weight")}


@pytest.mark.parametrize("init", INITS)
def test_initialisations_have_their_variance(init):
    torch.manual_seed(0)
    for weight in weights_of(VGG16C(image_size=32, width=0.5, init=init)).values():
        if weight.numel() < 4_000:
            continue  # too few numbers to know a variance by
        taps = weight[0, 0].numel()
        fan_in, fan_out = weight.shape[1] * taps, weight.shape[0] * taps
        wanted = {
            "default": 1 / (3 * fan_in),
            "normal": 0.01**2,
            "xavier": 2 / (fan_in + fan_out),
            "he": 2 / fan_in,
        }
        assert float(weight.detach().var()) == pytest.approx(wanted[init], rel=0.1)


@pytest.mark.parametrize("init", INITS)
def test_biases_start_at_zero_unless_left_to_pytorch(init):
    torch.manual_seed(0)
    zero = [
        bool((m.bias == 0).all())
        for m in VGG16C(image_size=32, width=0.125, init=init).modules()
        if hasattr(m, "bias")
    ]
    assert len(zero) == 16 and set(zero) == {init != "default"}


def test_a_vgg16c_is_told_from_another_by_its_repr():
    changes = (
        {},
        {"init": "xavier"},
        {"width": 0.5},
        {"dropout": 0.1},
        {"image_size": 32},
        {"num_classes": 4},
    )
    assert len({repr(on_meta(VGG16C, **change)) for change in changes}) == len(changes)


def test_a_narrower_vgg16c_keeps_its_depth():
    narrow, whole = (of_type(on_meta(VGG16C, width=width), nn.Conv2d | nn.Linear) for width in (0.25, 1.0))
    assert len(narrow) == len(whole) == 16
    for thin, wide in zip(narrow[:-1], whole):
        assert 4 * thin.weight.shape[0] == wide.weight.shape[0]


def test_the_last_pooling_of_vgg16c_changes_nothing_at_full_size():
    torch.manual_seed(0)
    model = VGG16C(width=0.125).eval()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model.features(x), model.features[:-1](x))
    for size in (32, 48):
        assert model(torch.randn(2, 3, size, size)).shape == (2, 3)
