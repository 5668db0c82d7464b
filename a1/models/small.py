"""A small VGG-like network, for experiments that vary one kind of layer at a time."""

from functools import partial

from torch import nn

from a1.models.vgg_deep import initialise

ACTIVATIONS = {
    **{"relu": nn.ReLU, "leaky_relu": partial(nn.LeakyReLU, 0.01)},
    **{"elu": nn.ELU, "gelu": nn.GELU},
}
POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


class SmallVGG(nn.Module):
    """Three convolutions, each with activation and pooling, two linear layers: [N, 3, 32, 32] ->
    logits. `pointwise`: None, "added" (a 1x1 convolution after each one) or "bottleneck" (before
    the 2nd and 3rd one a 1x1 convolution to a quarter of the channels). Starts from He's."""

    def __init__(self, kernel_size=3, width=1, pointwise=None, pool="max", activation="relu"):
        super().__init__()
        act, layers, channels = ACTIVATIONS[activation], [], 3
        for filters in (32, 64, 128):
            filters = round(filters * width)
            if pointwise == "bottleneck" and channels > 3:
                layers += [nn.Conv2d(channels, channels // 4, 1), act()]
                channels //= 4
            layers += [nn.Conv2d(channels, filters, kernel_size, padding=kernel_size // 2), act()]
            if pointwise == "added":
                layers += [nn.Conv2d(filters, filters, 1), act()]
            layers.append(POOLS[pool](2))
            channels = filters
        self.features = nn.Sequential(*layers)  # [N, channels, 4, 4]
        layers = [nn.Flatten(), nn.Linear(16 * channels, 128), act(), nn.Linear(128, 3)]
        self.classifier = nn.Sequential(*layers)
        initialise(self, "he")

    def forward(self, x):
        return self.classifier(self.features(x))
