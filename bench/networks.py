"""Every network that the notebooks train, and drawn data of its kind: what is measured and tested
on each device. A network is added by one function of FOUND.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from a1.models.resnet import ResNet18
from a1.models.vgg import VGG16C
from a1.photos import Photos
from a1.train import OPTIMIZERS, RECIPE


@dataclass(frozen=True)
class Network:
    """make_model: as its notebook trains it; make_small: the same layers, few of each, no dropout;
    make_data(n, device): n drawn training examples and eight of each other part."""

    make_model: Callable
    make_small: Callable
    make_data: Callable
    recipe: dict = field(default_factory=lambda: RECIPE)
    unit: str = "photos"
    slow: bool = False  # even the small one: on a CPU tests leave it out

    def with_recipe(self, **changes):
        """The same with another recipe."""
        return replace(self, recipe=self.recipe | changes)


def parts_of(n):
    """{part: indices} of n training examples and eight of each other part."""
    return dict(zip(("train", "val", "test"), torch.arange(n + 16).split([n, 8, 8])))


def drawn_images(n, classes):
    """Images of noise, each class in another light, so that there is something to learn; labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(196, (n + 16, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.arange(n + 16) % classes
    return images + (60 * labels // (classes - 1)).byte()[:, None, None, None], labels


def drawn_photos(n, device="cpu", size=64):
    """Photos as Parts I and II and ResNeXt train on them."""
    return Photos(*drawn_images(n, 3), parts_of(n), "drawn", size, device)


def vgg16c():
    """Part I."""
    small = partial(VGG16C, width=0.125, dropout=0.0)
    return Network(VGG16C, small, drawn_photos, RECIPE | {"lr": 0.02})


def resnet18():
    """Part I."""
    return Network(ResNet18, partial(ResNet18, width=8), drawn_photos)


def vgg_deep():
    """Part II."""
    from a1.models.vgg_deep import VGGDeep

    recipe = RECIPE | {"lr": 0.03, "batch_size": 64}
    return Network(VGGDeep, partial(VGGDeep, width=0.125), drawn_photos, recipe)


def resnext():
    """Bonus."""
    from a1.models.resnext import ResNeXt

    small = partial(ResNeXt, channels=16, cardinality=4, width=2)
    return Network(ResNeXt, small, drawn_photos)


def drawn_windows(n, device="cpu"):
    """Windows over noise; the target is the power of the last minute, and a little more."""
    from a1.power import CONTEXT, Windows

    data, generator = object.__new__(Windows), torch.Generator().manual_seed(0)
    data.history, data.recent, data.id = 24, 15, {}
    data.values = torch.randn(CONTEXT + n + 16, 14, generator=generator).to(device)
    data.ends = {part: index.to(device) + CONTEXT for part, index in parts_of(n).items()}
    data.y = {part: 1.5 + 0.5 * data.values[t - 1, :1] for part, t in data.ends.items()}
    data.drawn, data.y_drawn = data.ends["train"], data.y["train"]
    return data


def forecaster(layers="lstm"):
    """Part III."""
    from a1.models.forecast import ARCHITECTURES, Forecaster

    kinds, level = ARCHITECTURES[layers], (1.0, 0.5)
    recipe = RECIPE | {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 1e-4, "clip_norm": 1.0}
    recipe |= {"batch_size": 256, "loss": "huber", "windows_per_epoch": 10**9}
    small = partial(Forecaster, kinds, 8, 0.0, level)
    return Network(
        partial(Forecaster, kinds, 96, 0.1, level), small, drawn_windows, recipe, "windows"
    )


def forecaster_mix():
    """Part III, the search: both ways, LSTM and GRU."""
    return forecaster("mix")


def drawn_tweets(n, device="cpu", longest=36):
    """Texts of 1 to `longest` word numbers, of which one tells the class."""
    from a1.tweets import MASK, PAD, Tweets

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n + 16) % 3
    words = torch.randint(MASK + 4, 300, (n + 16, longest), generator=generator)
    words[:, 0] = MASK + 1 + labels
    lengths = torch.randint(1, longest + 1, (n + 16, 1), generator=generator)
    words[torch.arange(longest) >= lengths] = PAD
    parts = parts_of(n)
    x, y = ({part: all_of[index] for part, index in parts.items()} for all_of in (words, labels))
    shares = {"train": 0.7 * torch.eye(3)[y["train"]] + 0.1}
    return Tweets(x, y, shares, {}, device)


TEXT = RECIPE | {"optimizer": "adamw", "lr": 3e-3, "weight_decay": 0.01, "clip_norm": 1.0}
TEXT = TEXT | {"batch_size": 64, "other_epochs": 0}


def sentiment():
    """Part IV, the baseline."""
    from a1.models.sentiment import SentimentLSTM

    small = partial(SentimentLSTM, 300, 8, 8, dropout=0.0)
    return Network(partial(SentimentLSTM, 300), small, drawn_tweets, TEXT, "tweets")


def sentiment_improved():
    """Part IV."""
    from a1.models.sentiment import AttentiveLSTM, ChannelDropout

    def make(hidden_size, width, **options):
        return AttentiveLSTM(torch.randn(300, width), hidden_size, **options)

    def small():
        network = make(8, 8, dropout=0.0)
        network.channels, network.lost = ChannelDropout(0.0), 0.0
        return network

    return Network(partial(make, 64, 100), small, drawn_tweets, TEXT, "tweets")


def drawn_food(n, device="cpu"):
    """Photos as transfer learning trains on them."""
    from a1.food import FoodPhotos

    return FoodPhotos(*drawn_images(n, 10), parts_of(n), "drawn", device)


def transfer(name):
    """Bonus; not pretrained here."""
    from a1.models.transfer import TransferNet, adamw_by_share

    OPTIMIZERS.setdefault("adamw_by_share", adamw_by_share)
    recipe = RECIPE | {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "batch_size": 32}
    recipe |= {"size": 128, "test_size": 160, "augment": ["crop", "flip", "color"]}
    small = partial(TransferNet, name, 10, pretrained=False, dropout=0.0)
    make_model = partial(TransferNet, name, 10, pretrained=False)
    return Network(make_model, small, drawn_food, recipe, slow=name != "squeezenet1_1")


def squeezenet1_1():
    """Bonus."""
    return transfer("squeezenet1_1")


def mobilenet_v2():
    """Bonus."""
    return transfer("mobilenet_v2")


def efficientnet_lite0():
    """Bonus."""
    return transfer("efficientnet_lite0")


FOUND = [vgg16c, resnet18, vgg_deep, resnext, forecaster, forecaster_mix, sentiment]
FOUND += [sentiment_improved, squeezenet1_1, mobilenet_v2, efficientnet_lite0]
NETWORKS = {make.__name__: make() for make in FOUND}
