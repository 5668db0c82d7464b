"""ResNeXt: ResNet with blocks of many narrow paths."""

import torch
import torch.nn.functional as F
from torch import nn

from a1.models.resnet import ResNet18


class ResNeXtBlock(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolution, and a shortcut: y = ReLU(F(x) + x).

    The 3x3 convolution has `cardinality` groups of `width` channels. [N, in_channels, S, S] ->
    [N, channels, S/stride, S/stride] (Xie et al., 2017, figure 3 (c) and section 4).
    """

    def __init__(self, in_channels, channels, cardinality, width, stride=1):
        super().__init__()
        inner, groups = cardinality * width, cardinality
        self.conv1 = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            conv = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))


class ResNeXt(ResNet18):
    """ResNet-18 with ResNeXtBlocks: stem, pooling, classifier and forward pass are inherited.

    depths: blocks of each stage. channels: the first stage's output, and width: a group's channels
    there; both double from stage to stage. options: ResNet18's (Xie et al., 2017, table 1).
    """

    def __init__(self, depths=(1, 2, 3, 2), channels=192, cardinality=32, width=4, **options):
        super().__init__(**options)
        blocks, inputs = [], 64
        for stage, depth in enumerate(depths):
            outputs, wide = channels * 2**stage, width * 2**stage
            for index in range(depth):
                stride = 2 if stage and index == 0 else 1
                blocks.append(ResNeXtBlock(inputs, outputs, cardinality, wide, stride))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(inputs, self.classifier.out_features)
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def zero_last_gamma(model):
    """The residual network with the scale of each block's last batch norm at zero: F(x) = 0."""
    for block in model.blocks:
        norms = [part for part in block.children() if isinstance(part, nn.BatchNorm2d)]
        nn.init.zeros_(norms[-1].weight)
    return model


def by_paths(block, x, concatenate=False):
    """A ResNeXtBlock in training, path by path: form (a), or, where the paths are concatenated
    before one common 1x1 convolution, (b) of Xie et al., 2017, figure 3."""
    bn1, bn2, paths = block.bn1, block.bn2, []
    for own in torch.arange(len(bn1.weight), device=x.device).split(block.conv2.weight.shape[1]):
        out = F.conv2d(x, block.conv1.weight[own])
        out = F.relu(F.batch_norm(out, None, None, bn1.weight[own], bn1.bias[own], True))
        out = F.conv2d(out, block.conv2.weight[own], stride=block.conv2.stride, padding=1)
        out = F.relu(F.batch_norm(out, None, None, bn2.weight[own], bn2.bias[own], True))
        paths.append(out if concatenate else F.conv2d(out, block.conv3.weight[:, own]))
    out = block.conv3(torch.cat(paths, 1)) if concatenate else sum(paths)
    return F.relu(block.bn3(out) + block.shortcut(x))
