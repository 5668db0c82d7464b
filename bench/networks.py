"""Every network that the notebooks train, and drawn data of its kind: what is measured and tested
on each device. A network is added by one entry of NETWORKS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from a1.models.resnet import ResNet18
from a1.models.vgg import VGG16C
from a1.photos import Photos
from a1.train import RECIPE


@dataclass(frozen=True)
class Network:
    """make_model: as its notebook trains it; make_small: the same layers, few of each, no dropout;
    make_data(n, device): n drawn training examples and eight of each other part."""

    make_model: Callable
    make_small: Callable
    make_data: Callable
    recipe: dict = field(default_factory=lambda: RECIPE)
    unit: str = "photos"

    def with_recipe(self, **changes):
        """The same with another recipe."""
        return replace(self, recipe=self.recipe | changes)


def drawn_photos(n, device="cpu", size=64):
    """Photos of noise, each class in another light, so that there is something to learn."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(196, (n + 16, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.arange(n + 16) % 3
    images += (30 * labels).byte()[:, None, None, None]
    parts = ("train", torch.arange(n)), ("val", torch.arange(n, n + 8))
    parts += (("test", torch.arange(n + 8, n + 16)),)
    return Photos(images, labels, dict(parts), "drawn", size, device)


NETWORKS = {
    "vgg16c": Network(
        VGG16C,
        partial(VGG16C, width=0.125, dropout=0.0),
        drawn_photos,
        RECIPE | {"lr": 0.02},
    ),
    "resnet18": Network(ResNet18, partial(ResNet18, width=8), drawn_photos),
}
