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


class VGG16C(nn.Module):
    """VGG-16 version C: 13 convolutions, of which three are 1x1, five max-pools, three linear layers.

    Takes [N, 3, S, S] with S = `image_size`, a multiple of 32, and returns logits [N, num_classes].
    Source: Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015, table 1 and section 3.1.
    """

    def __init__(self, num_classes: int = 3, image_size: int = 64, dropout: float = 0.5):
        super().__init__()
        layers, channels = [], 3
        for layer in VGG16C_LAYERS:
            if layer == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                width, kernel = layer
                layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * (image_size // 32) ** 2, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))
