"""VGG-16, version C."""

import torch
from torch import nn

# Column C of table 1 (Simonyan and Zisserman, 2015): (output channels, kernel size), "M" for max-pooling.
VGG16C_LAYERS = [
    (64, 3), (64, 3), "M",
    (128, 3), (128, 3), "M",
    (256, 3), (256, 3), (256, 1), "M",
    (512, 3), (512, 3), (512, 1), "M",
    (512, 3), (512, 3), (512, 1), "M",
]  # fmt: skip

INITS = {
    "default": lambda weight: None,  # PyTorch's: uniform, variance 1 / (3 fan_in)
    "normal": lambda weight: nn.init.normal_(weight, std=0.01),  # Simonyan and Zisserman, 3.1, as often read
    "xavier": nn.init.xavier_normal_,  # variance 2 / (fan_in + fan_out)
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # variance 2 / fan_in
}


class VGG16C(nn.Module):
    """VGG-16 version C: 13 convolutions, of which three are 1x1, five max-pools, three linear layers.

    Takes [N, 3, S, S] with S = `image_size`, a multiple of 32, and returns logits [N, num_classes]. Smaller
    images, of at least 32 pixels, are taken too: their last feature map is repeated to the size that the first
    linear layer expects. `init` is a key of INITS; `width` scales the number of channels and units.
    Source: Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015, table 1 and section 3.1.
    """

    def __init__(self, num_classes=3, image_size=64, dropout=0.5, init="he", width=1.0, layers=VGG16C_LAYERS):
        super().__init__()
        features, in_channels = [], 3
        for layer in layers:
            if layer == "M":
                features.append(nn.MaxPool2d(2))
            else:
                channels, kernel = int(layer[0] * width), layer[1]
                conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2)
                features += [conv, nn.ReLU(inplace=True)]
                in_channels = channels
        side, units = image_size // 32, int(4096 * width)
        features.append(nn.AdaptiveAvgPool2d(side))  # changes nothing at `image_size`
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * side**2, units), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(units, units), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(units, num_classes),
        )  # fmt: skip
        self.init = init
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                INITS[init](module.weight)
                if init != "default":
                    nn.init.zeros_(module.bias)

    def extra_repr(self) -> str:
        return f"init={self.init}"  # a run is known by its network's repr

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))
