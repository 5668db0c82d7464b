"""VGG-Deep, and ResNet-18 from a stated initialisation, with or without its two ingredients."""

from torch import nn

from a1.models.resnet import ResNet18
from a1.models.vgg import INITS

VGG_DEEP_BLOCKS = [  # (filters, kernel size) of each convolution; the last four are new
    [(64, 3), (64, 3)],
    [(128, 3), (128, 3)],
    [(256, 3), (256, 3), (256, 1)],
    [(512, 3), (512, 3), (512, 1)],
    [(512, 3), (512, 3), (512, 1), (640, 3), (768, 3), (896, 3), (1024, 3)],
]


def initialise(model, init, again=False):
    """Start convolutions and linear layers from INITS[init]; `again`: they are not fresh."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if again:
                module.reset_parameters()
            INITS[init](module.weight)
            if init != "default" and module.bias is not None:
                nn.init.zeros_(module.bias)


class VGGDeep(nn.Module):
    """VGG-16 version C with four more 3x3 convolutions, 17 in all: [N, 3, S, S] -> logits.

    Strides, padding, ReLU and the five max-pools are VGG16C's; nothing in it regularises.
    """

    def __init__(self, num_classes=3, image_size=64, init="he", width=1):
        super().__init__()
        layers, channels = [], 3
        for block in VGG_DEEP_BLOCKS:
            for filters, kernel in block:
                filters = int(filters * width)
                layers += [nn.Conv2d(channels, filters, kernel, padding=kernel // 2), nn.ReLU(True)]
                channels = filters
            layers.append(nn.MaxPool2d(2))
        side, units = image_size // 32, int(4096 * width)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(side))
        first = [nn.Flatten(), nn.Linear(channels * side**2, units), nn.ReLU(True)]
        second = [nn.Linear(units, units), nn.ReLU(True)]
        self.classifier = nn.Sequential(*first, *second, nn.Linear(units, num_classes))
        initialise(self, init)

    def forward(self, x):
        return self.classifier(self.features(x))


class Nothing(nn.Module):
    """A shortcut that is none: adds zero."""

    def forward(self, x):
        return 0.0


class ResNet18From(ResNet18):
    """ResNet18 from INITS[init], and with or without shortcuts and batch norm."""

    def __init__(self, num_classes=3, width=64, init="he", shortcuts=True, batch_norm=True):
        super().__init__(num_classes, width=width)
        for block in () if shortcuts else self.blocks:
            block.shortcut = Nothing()
        for parent in () if batch_norm else list(self.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(parent, name, nn.Identity())
        initialise(self, init, again=True)
