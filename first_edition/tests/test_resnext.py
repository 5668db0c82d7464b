"""ResNeXt is the network of its paper, its block has three forms, and our sizes make comparisons fair."""

import copy
import re

import pytest
import torch
import torchvision
from tiny import count, of_type, on_meta
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from a1.gradients import layer_table
from a1.models.resnet import ResNet18
from a1.models.resnext import (
    EQUAL_COST_WIDTHS,
    ResNeXt,
    ResNeXtBlock,
    early_concatenation,
    split_transform_merge,
)

RESNEXT_50 = dict(num_classes=1000, stem="7x7", depths=(3, 4, 6, 3), channels=256, cardinality=32, width=4)
FIRST_OF_STAGE = {0: "1.0", 3: "2.0", 7: "3.0", 13: "4.0"}  # of ResNeXt-50's sixteen blocks
VARIANTS = [
    (channels, cardinality, width)
    for channels, widths in EQUAL_COST_WIDTHS.items()
    for cardinality, width in widths.items()
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """In networks as small as these, threads wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def mult_adds(make_model, image_size):
    return int(layer_table(make_model, image_size)["multiply-adds"].sum())


def resnext(**changes):
    return lambda: ResNeXt(**changes)


def with_statistics(model):
    """`model` with random batch norms: at their start they would hide a missing or misplaced one."""
    for bn in of_type(model, nn.BatchNorm2d):
        nn.init.uniform_(bn.weight, 0.5, 1.5)
        nn.init.uniform_(bn.bias, -0.5, 0.5)
        nn.init.uniform_(bn.running_mean, -0.5, 0.5)
        nn.init.uniform_(bn.running_var, 0.5, 2.0)
    return model


# ---- the network of the paper


def torchvision_name(name):
    """torchvision's name of one of our ResNeXt-50's tensors."""

    def stage_and_block(match):
        number = int(match[1])
        start = max(first for first in FIRST_OF_STAGE if first <= number)
        return f"layer{FIRST_OF_STAGE[start][0]}.{number - start}"

    name = re.sub(r"^stem\.0", "conv1", name)
    name = re.sub(r"^stem\.1", "bn1", name)
    name = re.sub(r"^blocks\.(\d+)", stage_and_block, name)
    return name.replace("shortcut", "downsample").replace("classifier", "fc")


def test_resnext50_parameters():
    assert count(on_meta(ResNeXt, **RESNEXT_50)) == 25_028_904


def test_resnext50_gives_torchvisions_logits_and_trains_like_it():
    torch.manual_seed(0)
    theirs = with_statistics(torchvision.models.resnext50_32x4d(weights=None))
    ours, state = on_meta(ResNeXt, **RESNEXT_50), theirs.state_dict()
    assert len(ours.state_dict()) == len(state)
    named = {name: state[torchvision_name(name)].clone() for name in ours.state_dict()}
    ours.load_state_dict(named, assign=True)
    x = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        our_logits, their_logits = (model.eval()(x) for model in (ours, theirs))
        assert their_logits.std() > 0.1  # the comparison would mean little among zeros
        torch.testing.assert_close(our_logits, their_logits, atol=1e-4, rtol=1e-4)
        our_logits, their_logits = (model.double().train()(x.double()) for model in (ours, theirs))
    torch.testing.assert_close(our_logits, their_logits, atol=1e-6, rtol=1e-6)
    for name, value in ours.state_dict().items():  # the running statistics, moved by the step above
        torch.testing.assert_close(value, theirs.state_dict()[torchvision_name(name)])


@pytest.mark.parametrize("stem, shrinks", [("7x7", 4), ("3x3", 2)])
def test_stages_halve_the_side_in_the_3x3_and_double_the_widths(stem, shrinks):
    model, sides = on_meta(ResNeXt, num_classes=7, stem=stem, depths=(1, 2, 3, 2)), []
    for block in model.blocks:
        block.register_forward_hook(lambda block, inputs, output: sides.append(output.shape[-1]))
    assert model(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 7)
    first = 64 // shrinks
    assert sides == [first, *[first // 2] * 2, *[first // 4] * 3, *[first // 8] * 2]
    stages = [0, 1, 1, 2, 2, 2, 3, 3]
    for stage, block, before in zip(stages, model.blocks, [None, *stages]):
        assert block.conv2.groups == 32 and block.conv2.weight.shape[1] == 4 * 2**stage
        assert block.conv3.out_channels == 192 * 2**stage
        starts = stage > 0 and stage != before
        strides = [conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)]
        assert strides == [1, 2 if starts else 1, 1]
        assert isinstance(block.shortcut, nn.Identity) == (stage == before)


def test_every_convolution_starts_from_he_and_has_its_batch_normalisation():
    torch.manual_seed(0)
    model = ResNeXt(channels=32, cardinality=4, width=8)
    pairs = [(model.stem[0], model.stem[1])]
    for block in model.blocks:
        pairs += [(block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3)]
        if not isinstance(block.shortcut, nn.Identity):
            pairs.append(tuple(block.shortcut))
    assert all(conv.bias is None and conv.out_channels == bn.num_features for conv, bn in pairs)
    assert len(pairs) == len(of_type(model, nn.Conv2d)) == len(of_type(model, nn.BatchNorm2d))
    for conv, _ in pairs:
        fan_out = conv.out_channels * conv.weight[0, 0].numel()
        if conv.weight.numel() > 4_000:  # of fewer numbers the variance is not known well enough
            assert float(conv.weight.detach().var()) == pytest.approx(2 / fan_out, rel=0.1)


def test_a_resnext_is_told_from_another_by_its_repr():
    changes = [{}, {"cardinality": 16}, {"width": 8}, {"cardinality": 16, "width": 8}, {"channels": 176}]
    changes += [{"depths": (2, 2, 2, 2)}, {"stem": "7x7"}, {"num_classes": 4}]
    assert len({repr(on_meta(ResNeXt, **change)) for change in changes}) == len(changes)


def test_every_weight_learns():
    torch.manual_seed(0)
    model = ResNeXt(channels=16, cardinality=4, width=2)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


# ---- fair sizes


def test_parameters_and_multiply_adds_are_close_to_resnet18s():
    ours, theirs = (resnext(), lambda: ResNet18(stem="3x3"))
    assert (count(on_meta(ours)), count(on_meta(theirs))) == (10_499_395, 11_170_371)
    assert (mult_adds(ours, 64), mult_adds(theirs, 64)) == (575_410_688, 560_727_552)
    for measure in (lambda make: count(on_meta(make)), lambda make: mult_adds(make, 64)):
        assert measure(ours) == pytest.approx(measure(theirs), rel=0.07)


@pytest.mark.parametrize("channels, cardinality, width", VARIANTS)
def test_widths_keep_the_multiply_adds(channels, cardinality, width):
    size = 64 if channels == 192 else 32
    reference = resnext(channels=channels, cardinality=32, width=EQUAL_COST_WIDTHS[channels][32])
    ours = resnext(channels=channels, cardinality=cardinality, width=width)
    assert mult_adds(ours, size) == pytest.approx(mult_adds(reference, size), rel=0.02)


def test_multiply_adds_of_groups_are_those_of_an_independent_count():
    make = resnext(channels=24, cardinality=8, width=2)
    with FlopCounterMode(display=False) as counter:
        on_meta(make).eval()(torch.empty(1, 3, 32, 32, device="meta"))
    assert counter.get_total_flops() == 2 * mult_adds(make, 32)  # a multiply-add is two operations


# ---- three forms of one block

FORMS = {"split": split_transform_merge, "concatenate": early_concatenation}
SHAPES = {
    "identity": dict(in_channels=24, channels=24, cardinality=4, width=3),
    "projection": dict(in_channels=10, channels=24, cardinality=4, width=3),
    "stride": dict(in_channels=24, channels=24, cardinality=3, width=4, stride=2),
    "one path": dict(in_channels=24, channels=24, cardinality=1, width=5),
    "depthwise": dict(in_channels=24, channels=24, cardinality=6, width=1),
}


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_the_forms_agree(form, shape, train):
    torch.manual_seed(0)
    block = with_statistics(ResNeXtBlock(**shape)).double().train(train)
    twin = copy.deepcopy(block)
    x = torch.randn(3, shape["in_channels"], 7, 7, dtype=torch.float64, requires_grad=True)
    twin_x = x.detach().clone().requires_grad_()
    y, twin_y = block(x), form(twin, twin_x)
    torch.testing.assert_close(twin_y, y)
    weights = torch.randn_like(y)
    (y * weights).sum().backward()
    (twin_y * weights).sum().backward()
    torch.testing.assert_close(twin_x.grad, x.grad)
    for (name, parameter), other in zip(block.named_parameters(), twin.parameters()):
        torch.testing.assert_close(other.grad, parameter.grad, msg=name)
    for (name, value), other in zip(block.named_buffers(), twin.buffers()):
        if "num_batches" not in name:  # counts calls, and the paths' slices make none
            torch.testing.assert_close(other, value, msg=name)
