"""ResNet-18."""

import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: y = ReLU(F(x) + x).

    The shortcut is the identity, or a strided 1x1 convolution where the shape changes
    [N, in_channels, S, S] -> [N, channels, S/stride, S/stride] (He et al., 2016, 3.3, option B).
    """

    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            conv = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016, table 1): [N, 3, S, S] -> logits [N, num_classes].

    The stem is the paper's, "7x7", or "3x3", which halves S instead of quartering it.
    """

    def __init__(self, num_classes=3, stem="3x3", width=64):
        super().__init__()
        kernel, stride = {"7x7": (7, 2), "3x3": (3, 1)}[stem]
        conv = nn.Conv2d(3, width, kernel, stride, padding=kernel // 2, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(True), nn.MaxPool2d(3, 2, 1))
        blocks, inputs = [], width
        for channels, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
            blocks += [BasicBlock(inputs, channels, stride), BasicBlock(channels, channels)]
            inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(8 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.blocks(self.stem(x))  # [N, 8 width, S/16, S/16]
        return self.classifier(x.mean(dim=(2, 3)))
