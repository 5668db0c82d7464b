"""VGG-16, version C."""

from functools import partial

from torch import nn

# Column C of the paper's table 1: channels of each block, and the kernel sizes of its convolutions.
VGG16C_BLOCKS = [(64, (3, 3)), (128, (3, 3)), (256, (3, 3, 1)), (512, (3, 3, 1)), (512, (3, 3, 1))]
INITS = {
    "default": lambda weight: None,  # PyTorch's: uniform, variance 1 / (3 fan_in)
    "normal": partial(nn.init.normal_, std=0.01),  # the paper's section 3.1, as often read
    "xavier": nn.init.xavier_normal_,  # variance 2 / (fan_in + fan_out)
    "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),  # variance 2 / fan_in
}


class VGG16C(nn.Module):
    """VGG-16 version C (Simonyan and Zisserman, ICLR 2015, table 1): [N, 3, S, S] -> logits.

    S is `image_size`, a multiple of 32; the last feature map of smaller images is repeated.
    """

    def __init__(self, num_classes=3, image_size=64, dropout=0.5, init="he", width=1):
        super().__init__()
        layers, channels = [], 3
        for wide, kernels in VGG16C_BLOCKS:
            for kernel in kernels:
                conv = nn.Conv2d(channels, int(wide * width), kernel, padding=kernel // 2)
                layers += [conv, nn.ReLU(inplace=True)]
                channels = int(wide * width)
            layers.append(nn.MaxPool2d(2))
        side, units = image_size // 32, int(4096 * width)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(side))
        layers, inputs = [nn.Flatten()], channels * side**2
        for _ in range(2):
            layers += [nn.Linear(inputs, units), nn.ReLU(inplace=True), nn.Dropout(dropout)]
            inputs = units
        self.classifier = nn.Sequential(*layers, nn.Linear(units, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                INITS[init](module.weight)
                if init != "default":
                    nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.features(x))
