"""A small VGG-like network, for experiments that vary one layer type at a time."""

from functools import partial

import torch
from torch import nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.01),
    "elu": nn.ELU,
    "gelu": nn.GELU,
}
POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
# Width at which a kernel size costs as many multiply-adds as 3x3 at full width, to within 2%.
EQUAL_COST = {3: 1.0, 5: 0.58, 7: 0.40}


class SmallVGG(nn.Module):
    """Three convolutions of 32, 64 and 128 filters, each with activation and pooling, and two linear layers.

    Takes [N, 3, 32, 32] and returns logits [N, num_classes]. `kernel_size` is odd and keeps the size by padding;
    `width` scales the number of filters. `pointwise` is None, or "added": a 1x1 convolution of equal width after
    each one (as in VGG-16 version C), or "bottleneck": before the second and third one a 1x1 convolution to a
    quarter of the channels. `pool` and `activation` are keys of POOLS and ACTIVATIONS. He's normal
    initialisation with ReLU's gain for all activations (He et al., ICCV 2015), biases at zero.
    """

    def __init__(
        self, num_classes=3, kernel_size=3, pointwise=None, pool="max", activation="relu", width=1.0
    ):
        super().__init__()
        if pointwise not in (None, "added", "bottleneck"):
            raise ValueError(f"pointwise {pointwise!r}: choose None, added or bottleneck")
        act, features, in_channels = ACTIVATIONS[activation], [], 3
        for filters in (32, 64, 128):
            channels = round(filters * width)
            if pointwise == "bottleneck" and in_channels > 3:
                features += [nn.Conv2d(in_channels, in_channels // 4, 1), act()]
                in_channels //= 4
            features += [nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2), act()]
            if pointwise == "added":
                features += [nn.Conv2d(channels, channels, 1), act()]
            features.append(POOLS[pool](2))
            in_channels = channels
        self.features = nn.Sequential(*features)  # [N, 3, 32, 32] -> [N, channels, 4, 4]
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(16 * in_channels, 128), act(), nn.Linear(128, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))
