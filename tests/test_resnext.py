"""ResNeXt is the network of its paper, its block has three forms, and our sizes compare fairly."""

import copy
import re
from functools import partial

import pytest
import torch
import torchvision
from counted import count, of_type, on_meta
from tiny import TinyData
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from a1.models.resnet import ResNet18
from a1.models.resnext import ResNeXt, ResNeXtBlock, by_paths, zero_last_gamma
from a1.records import differs, probe
from a1.timing import both_passes, least_seconds
from a1.train import RECIPE

RESNEXT_50 = {"num_classes": 1000, "stem": "7x7", "depths": (3, 4, 6, 3), "channels": 256}
FIRST_OF_STAGE = {0: "1.0", 3: "2.0", 7: "3.0", 13: "4.0"}  # of ResNeXt-50's sixteen blocks
SMALL = partial(ResNeXt, depths=(1, 1, 1, 1), channels=16, cardinality=4, width=2)
WIDTHS = {1: 45, 2: 30, 4: 19, 8: 12, 16: 7, 32: 4}  # of the notebook's study


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """In networks as small as these, threads wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def mult_adds(make, size, **options):
    """Multiply-adds for one photo."""
    with FlopCounterMode(display=False) as counter:
        on_meta(make, **options).eval()(torch.empty(1, 3, size, size, device="meta"))
    return counter.get_total_flops() // 2


def with_statistics(model):
    """`model` with random batch norms: at their start they hide a missing or misplaced one."""
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


def test_resnext50_is_torchvisions():
    torch.manual_seed(0)
    theirs = with_statistics(torchvision.models.resnext50_32x4d(weights=None))
    ours, state = on_meta(ResNeXt, **RESNEXT_50), theirs.state_dict()
    assert count(ours) == 25_028_904 and len(ours.state_dict()) == len(state)
    named = {name: state[torchvision_name(name)].clone() for name in ours.state_dict()}
    ours.load_state_dict(named, assign=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        our_logits, their_logits = (model.eval()(x) for model in (ours, theirs))
    assert their_logits.std() > 0.1  # the comparison would mean little among zeros
    torch.testing.assert_close(our_logits, their_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stem, shrinks", [("7x7", 4), ("3x3", 2)])
def test_stages_halve_the_side_in_the_3x3_and_double_the_widths(stem, shrinks):
    model, sides = on_meta(ResNeXt, num_classes=7, stem=stem), []
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
    model = SMALL(width=8)
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


def test_he_ignores_groups():
    """Part of why grouped filters start small: 32 groups, a 32nd of the squared length."""
    torch.manual_seed(0)
    block = ResNeXt().blocks[-1]
    filters = block.conv2.weight.detach().flatten(1).square().sum(1).mean()
    dense = 2  # n inputs of variance 2 / n
    assert float(filters) == pytest.approx(dense / 32, rel=0.05)


def test_every_weight_learns():
    torch.manual_seed(0)
    model = SMALL()
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


# ---- sizes


@pytest.mark.parametrize("cardinality, width", [(1, 128), (32, 4), (8, 12), (16, 7)])
def test_a_block_has_the_weights_of_the_formula(cardinality, width):
    block, inner = on_meta(partial(ResNeXtBlock, 192, 192, cardinality, width)), cardinality * width
    weights = sum(conv.weight.numel() for conv in of_type(block, nn.Conv2d))
    assert weights == cardinality * (192 * width + 9 * width**2 + width * 192)
    assert weights == 2 * 192 * inner + 9 * inner**2 // cardinality


def test_parameters_and_multiply_adds_are_close_to_resnet18s():
    assert (count(on_meta(ResNeXt)), count(on_meta(ResNet18))) == (10_499_395, 11_170_371)
    assert (mult_adds(ResNeXt, 64), mult_adds(ResNet18, 64)) == (575_410_688, 560_727_552)
    assert mult_adds(ResNeXt, 64, depths=(2, 2, 2, 2)) == mult_adds(ResNeXt, 64)
    dense = mult_adds(ResNeXt, 64, cardinality=1, width=62)
    assert dense == pytest.approx(mult_adds(ResNeXt, 64), rel=0.02)


def test_the_studys_widths_keep_the_multiply_adds():
    found = [mult_adds(ResNeXt, 32, channels=72, cardinality=c, width=w) for c, w in WIDTHS.items()]
    assert max(abs(n / (sum(found) / len(found)) - 1) for n in found) < 0.02


# ---- three forms of one block

SHAPES = {
    "identity": {"in_channels": 24, "channels": 24, "cardinality": 4, "width": 3},
    "projection": {"in_channels": 10, "channels": 24, "cardinality": 4, "width": 3},
    "stride": {"in_channels": 24, "channels": 24, "cardinality": 3, "width": 4, "stride": 2},
    "one path": {"in_channels": 24, "channels": 24, "cardinality": 1, "width": 5},
    "depthwise": {"in_channels": 24, "channels": 24, "cardinality": 6, "width": 1},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("concatenate", [False, True], ids=["summed", "concatenated"])
def test_the_forms_agree(concatenate, shape):
    torch.manual_seed(0)
    block = with_statistics(ResNeXtBlock(**shape)).double()
    twin = copy.deepcopy(block)
    x = torch.randn(3, shape["in_channels"], 7, 7, dtype=torch.float64, requires_grad=True)
    twin_x = x.detach().clone().requires_grad_()
    y, twin_y = block(x), by_paths(twin, twin_x, concatenate)
    torch.testing.assert_close(twin_y, y)
    weights = torch.randn_like(y)
    (y * weights).sum().backward()
    (twin_y * weights).sum().backward()
    torch.testing.assert_close(twin_x.grad, x.grad)
    for (name, parameter), other in zip(block.named_parameters(), twin.parameters()):
        torch.testing.assert_close(other.grad, parameter.grad, msg=name)


def test_the_forms_are_equal_for_the_notebooks_block_to_rounding():
    torch.manual_seed(0)
    block = ResNeXtBlock(192, 192, 32, 4).double()
    x = torch.randn(2, 192, 8, 8, dtype=torch.float64)
    assert (
        max(float((by_paths(block, x, c) - block(x)).detach().abs().max()) for c in (0, 1)) < 1e-13
    )


def test_a_batch_norm_for_each_path_would_be_something_else():
    """The last batch norm belongs behind the sum: normalised terms sum to something else."""
    torch.manual_seed(0)
    block, x = ResNeXtBlock(24, 24, 4, 3).double(), torch.randn(3, 24, 7, 7, dtype=torch.float64)
    conv3, bn3 = block.conv3, block.bn3
    wanted = block(x)

    class Separate(nn.Module):
        """Every path's last convolution with a batch norm of its own, summed."""

        def forward(self, out):
            terms = zip(out.split(3, 1), conv3.weight.split(3, 1))
            return sum(bn3(nn.functional.conv2d(x, weight)) for x, weight in terms)

    block.conv3, block.bn3 = Separate(), nn.Identity()
    assert (block(x) - wanted).abs().max().item() > 0.1


# ---- the start with zero last gammas


@pytest.mark.parametrize("make", [ResNet18, ResNeXt])
def test_zero_last_gamma_leaves_each_block_its_shortcut(make):
    torch.manual_seed(0)
    model = zero_last_gamma(make())
    zeros = [bn for bn in of_type(model, nn.BatchNorm2d) if not bn.weight.any()]
    assert len(zeros) == len(model.blocks) == 8
    x = model.stem(torch.randn(2, 3, 32, 32))
    for block in model.blocks:
        y = block(x)
        assert torch.equal(y, torch.relu(block.shortcut(x)))
        if isinstance(block.shortcut, nn.Identity):
            assert torch.equal(y, x), "the identity"
        x = y


def test_zero_last_gamma_changes_nothing_else_and_every_block_can_leave_it():
    torch.manual_seed(0)
    usual = SMALL()
    torch.manual_seed(0)
    model = zero_last_gamma(SMALL())
    changed = [
        n for n, w in model.state_dict().items() if not torch.equal(w, usual.state_dict()[n])
    ]
    assert changed == [f"blocks.{k}.bn3.weight" for k in range(4)]
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for block in model.blocks:
        assert block.bn3.weight.grad.abs().sum() > 0


def test_a_record_of_one_start_or_cardinality_is_not_the_others():
    recipe = RECIPE | {"batch_size": 8, "augment": [], "amp": False}
    makers = {"usual": SMALL, "zero": lambda: zero_last_gamma(SMALL())}
    makers["paths"] = partial(SMALL, cardinality=2, width=4)
    data = TinyData(parts=("train", "val"))
    data.tiny = lambda: TinyData(99, ("train", "val"), "cpu")
    made = {
        name: {"recipe": recipe, "data": data.id, "probe": probe(make, recipe, data)}
        for name, make in makers.items()
    }
    assert not differs(made["usual"], made["usual"])
    assert differs(made["zero"], made["usual"]) and differs(made["paths"], made["usual"])


# ---- timing


def test_steps_are_timed_in_turns_and_both_passes_run():
    order, x = [], torch.randn(2, 3, 32, 32)
    model = SMALL()
    steps = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = least_seconds(steps, 3)
    assert order == list("ababab") and list(seconds.index) == ["a", "b"] and (seconds >= 0).all()
    both_passes(model, x)()
    assert all(weight.grad is not None for weight in model.parameters())
