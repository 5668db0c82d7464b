"""Networks that others have trained on ImageNet: their weights found, their head replaced."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from a1.data.images import DataError, data_folders

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """A network of a library, and what has to be known to put a new head on it."""

    name: str  # the library's, and that of a file with its weights
    build: Callable  # build(name, pretrained, **options) -> the network, with a head for ImageNet's classes
    head: str  # the layers to replace, as get_submodule knows them
    mean: tuple = IMAGENET_MEAN  # of the RGB pixels, 0 to 1, with which it was trained
    std: tuple = IMAGENET_STD
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """What a network starts from."""

    state: dict | None  # a state dict; None leaves the library's random initialisation
    source: str  # for people
    digest: str  # hash of the values: it tells runs from different weights apart


RANDOM = Weights(None, "random numbers", "random")


def find_weights(name):
    """Path of `name`.pt, or of torchvision's own `name`-<hash>.pth, in $A1_PRETRAINED or a data folder; or None."""
    named = os.environ.get("A1_PRETRAINED")
    if named and not Path(named).is_dir():
        raise DataError(f"A1_PRETRAINED is set to {named}, which is not a folder: correct it or unset it.")
    places = [Path(named)] if named else []
    places += [place for folder in data_folders() for place in (folder, folder / "pretrained")]
    files = [
        file for place in places for file in (*place.glob(f"{name}.pt"), *sorted(place.glob(f"{name}-*.pth")))
    ]
    return files[0] if files else None


def load_pretrained(architecture, download=True):
    """Weights of a local file, else of the library's download, else RANDOM with the reason for it.

    Raises DataError where a local file does not hold this network's weights.
    """
    name, path = architecture.name, find_weights(architecture.name)
    if path:
        network = architecture.build(name, False, **architecture.options)
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # unpickling has many ways to fail
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise DataError(
                f"{path} does not hold the weights of {name} ({reason}): replace it, or delete it to download them."
            ) from None
        source = path.name
    elif download:
        try:
            network, source = architecture.build(name, True, **architecture.options), "the library's download"
        except Exception as error:  # libraries raise errors of many kinds when they are offline
            return Weights(
                None, f"{RANDOM.source}, for the download failed: {type(error).__name__}", RANDOM.digest
            )
    else:
        return RANDOM
    state, digest = network.state_dict(), hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode() + value.float().numpy().tobytes())
    return Weights(state, source, digest.hexdigest()[:10])


def weights_banner(weights):
    """Markdown that says what {model: Weights} are, and warns of random ones."""
    listed = "\n".join(f"- `{name}`: {found.source} (`{found.digest}`)" for name, found in weights.items())
    if all(found.state for found in weights.values()):
        return f"**Weights of this run:**\n\n{listed}"
    return (
        "> **Not pre-trained.** Some networks below start from random numbers, so this run shows that the notebook works "
        "and nothing about transfer learning. Run it in full and online, or put the files of weights into "
        f"`data/pretrained/` or into a folder named in `A1_PRETRAINED`.\n\n{listed}"
    )


def in_float32(forward, x):
    """A depthwise convolution's training step in float32: its backward pass in bfloat16 takes three times as long."""
    if x.device.type != "cpu" or not torch.is_grad_enabled():
        return forward(x)
    with torch.autocast("cpu", enabled=False):
        return forward(x.float()).to(x.dtype)


class Pool(nn.Module):
    """Mean over positions, where there are any: [B, D, H, W] or [B, D] -> [B, D]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3)) if x.dim() == 4 else x


class TransferNet(nn.Module):
    """A pre-trained body with a new head: dropout and one linear layer on the mean of the last feature map.

    Takes pixels 0 to 1, [B, 3, S, S], standardises them as the body was used to, and returns logits
    [B, num_classes]. The body's parameters carry `rate`, their share of the learning rate, for optimizers that know it.
    """

    def __init__(self, architecture, weights, num_classes, body_rate=1.0, dropout=0.2):
        super().__init__()
        self.body = architecture.build(architecture.name, False, **architecture.options)
        if weights.state and not next(self.body.parameters()).is_meta:
            self.body.load_state_dict(weights.state)
        layers = [
            m
            for m in self.body.get_submodule(architecture.head).modules()
            if isinstance(m, nn.Linear | nn.Conv2d)
        ]
        width = getattr(layers[0], "in_features", None) or layers[0].in_channels
        owner, _, attribute = architecture.head.rpartition(".")
        setattr(self.body.get_submodule(owner), attribute, Pool())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))
        for name in ("mean", "std"):
            constant = torch.tensor(getattr(architecture, name))[:, None, None]
            self.register_buffer(name, constant, persistent=False)
        for parameter in self.body.parameters():
            parameter.rate = body_rate
        for layer in self.body.modules():
            if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
                layer.forward = partial(in_float32, layer.forward)
        self.summary = f"{architecture.name} from {weights.digest}, body at {body_rate:g} of the rate, dropout {dropout}, {num_classes} classes"

    def __repr__(self):
        # By this a run is known: the libraries' own repr changes with their versions.
        return f"TransferNet({self.summary})"

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the head sees: [B, 3, S, S] -> [B, D]."""
        return self.body((x - self.mean) / self.std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))
