"""ResNeXt: ResNet with blocks of many narrow paths, and three ways to compute such a block."""

import torch
import torch.nn.functional as F
from torch import nn

from a1.models.resnet import ResNet18

# {channels: {cardinality: width}}: ResNeXts of equal `channels` have the same multiply-adds, to within 2% of their mean.
EQUAL_COST_WIDTHS = {192: {1: 62, 32: 4}, 72: {1: 45, 2: 30, 4: 19, 8: 12, 16: 7, 32: 4}}


class ResNeXtBlock(nn.Module):
    """Bottleneck with a grouped 3x3 convolution, and a shortcut: y = ReLU(F(x) + x).

    F is a 1x1 convolution to cardinality * width channels, a 3x3 one in `cardinality` groups of `width`
    channels, and a 1x1 one to `channels`. The shortcut is the identity, or a strided 1x1 convolution where the
    shape changes. [N, in_channels, S, S] -> [N, channels, S/stride, S/stride].
    Source: Xie et al., 2017, figure 3 (c) and section 4.
    """

    def __init__(self, in_channels: int, channels: int, cardinality: int, width: int, stride: int = 1):
        super().__init__()
        inner = cardinality * width
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=cardinality, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))


class ResNeXt(ResNet18):
    """ResNet18 with ResNeXtBlocks for its blocks: stem, pooling, classifier and forward are inherited.

    `depths` are the blocks of each stage. `channels` is the output of the first stage and `width` one group's
    channels there; both double from stage to stage. The `cardinality`, the number of groups, does not. By
    default parameters and multiply-adds are close to those of ResNet18 with the same stem. ResNeXt-50 (32x4d) is
    ResNeXt(1000, "7x7", depths=(3, 4, 6, 3), channels=256, cardinality=32, width=4).
    Source: Xie et al., Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017, table 1.
    """

    def __init__(self, num_classes=3, stem="3x3", depths=(1, 2, 3, 2), channels=192, cardinality=32, width=4):
        super().__init__(num_classes, stem)
        blocks, in_channels = [], 64
        for stage, depth in enumerate(depths):
            out_channels = channels * 2**stage
            for index in range(depth):
                stride = 2 if stage and index == 0 else 1
                blocks.append(ResNeXtBlock(in_channels, out_channels, cardinality, width * 2**stage, stride))
                in_channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(in_channels, num_classes)
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def batch_norm(bn, x, channels):
    """What `bn` does to some of its `channels`, a slice, on their own: x is [N, len(channels), S, S]."""
    mean, var, weight, bias = (t[channels] for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
    return F.batch_norm(x, mean, var, weight, bias, bn.training, bn.momentum, bn.eps)


def paths(block, x):
    """The paths of a ResNeXtBlock up to the 3x3 convolution: yields (own channels, [N, width, S', S']).

    A path's own channels are a slice of the block's cardinality * width inner ones.
    """
    width = block.conv2.weight.shape[1]
    for start in range(0, block.conv2.in_channels, width):
        own = slice(start, start + width)
        out = F.relu(batch_norm(block.bn1, F.conv2d(x, block.conv1.weight[own]), own))
        out = F.conv2d(out, block.conv2.weight[own], stride=block.conv2.stride, padding=1)
        yield own, F.relu(batch_norm(block.bn2, out, own))


def split_transform_merge(block, x):
    """A ResNeXtBlock as the sum of its paths, each with a 1x1, a 3x3 and a 1x1 convolution of its own.

    The last batch norm acts on the sum. Source: Xie et al., 2017, figure 3 (a) and section 4.
    """
    merged = sum(F.conv2d(out, block.conv3.weight[:, own]) for own, out in paths(block, x))
    return F.relu(block.bn3(merged) + block.shortcut(x))


def early_concatenation(block, x):
    """A ResNeXtBlock whose paths are joined before a common 1x1 convolution. Source: the same, figure 3 (b)."""
    joined = torch.cat([out for _, out in paths(block, x)], 1)
    return F.relu(block.bn3(block.conv3(joined)) + block.shortcut(x))
