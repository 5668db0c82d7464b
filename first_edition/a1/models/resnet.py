"""ResNet-18."""

import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: y = ReLU(F(x) + x).

    The shortcut is the identity, or a strided 1x1 convolution where the shape changes.
    [N, in_channels, S, S] -> [N, channels, S/stride, S/stride]. Source: He et al., 2016, section 3.3, option B.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet-18: stem, four stages of two basic blocks, global average pool, linear classifier.

    Takes [N, 3, S, S], S at least 32, and returns logits [N, num_classes]. `stem` is "7x7", the paper's,
    which divides S by 4, or "3x3", which divides it by 2 and leaves small images more detail.
    Convolutions start from He's normal initialisation (fan out), as in the reference code.
    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1.
    """

    def __init__(self, num_classes: int = 3, stem: str = "7x7"):
        super().__init__()
        kernel, stride = {"7x7": (7, 2), "3x3": (3, 1)}[stem]
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks, in_channels = [], 64
        for channels, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
            blocks += [BasicBlock(in_channels, channels, stride), BasicBlock(channels, channels)]
            in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(512, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))  # [N, 512, S/32, S/32] (3x3 stem: S/16)
        return self.classifier(x.mean(dim=(2, 3)))
