"""Networks that others trained on ImageNet, with a new head."""

import os
from pathlib import Path

import timm
import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.models import get_model

from a1.files import data_places
from a1.setup import FULL


def load_body(name, pretrained=True):
    """A network of torchvision, or an EfficientNet of timm, up to its last feature map. Weights are
    read from $A1_PRETRAINED or pretrained/ with the data, else downloaded (not in a rehearsal)."""
    from_timm = name.startswith("efficientnet")
    name = f"tf_{name}" if from_timm else name
    folders = [os.environ.get("A1_PRETRAINED", ""), *(p / "pretrained" for p in data_places())]
    files = (Path(folder, f"{name}.pt").expanduser() for folder in folders)
    found = next(filter(Path.exists, files), None) if pretrained else None
    download = pretrained and not found and FULL
    timms, torchs = {"pretrained": download}, {"weights": "IMAGENET1K_V1" if download else None}
    network = timm.create_model(name, **timms) if from_timm else get_model(name, **torchs)
    if found:
        network.load_state_dict(torch.load(found, map_location="cpu", weights_only=True))
    if from_timm:
        network.reset_classifier(0, "")  # no head, no pooling
    return network if from_timm else network.features


IMAGENET, HALF = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), ([0.5] * 3, [0.5] * 3)  # mean, std


class TransferNet(nn.Module):
    """A pre-trained body and a new head: [B, 3, S, S], pixels from 0 to 1 -> logits [B, classes].

    The body learns at `share` of the learning rate; at 0 it is frozen, batch-norm statistics too.
    With `mirror`, evaluation takes the mean of the features of a photo and of its mirror image.
    """

    def __init__(self, name, num_classes, share=1.0, pretrained=True, dropout=0.2, mirror=False):
        super().__init__()
        self.body = load_body(name, pretrained)
        width = self.body.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))
        pixels = HALF if name.startswith("efficientnet") else IMAGENET
        for key, values in zip(("mean", "std"), pixels):
            self.register_buffer(key, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.share, self.mirror = share, mirror
        for parameter in self.body.parameters():
            parameter.share, parameter.requires_grad = share, share > 0

    def train(self, mode=True):
        super().train(mode)
        self.body.train(mode and self.share > 0)
        return self

    def forward(self, x):
        views = [x, x.flip(3)] if self.mirror and not self.training else [x]
        features = [self.body((view - self.mean) / self.std).mean(dim=(2, 3)) for view in views]
        return self.head(sum(features) / len(features))


def adamw_by_share(params, lr, weight_decay):
    """AdamW with a group for each share of the rate, 1 where there is none; the highest first."""
    own = {p: getattr(p, "share", 1.0) for p in params}
    groups = [{"params": [p for p in own if own[p] == s], "lr": lr * s} for s in {*own.values()}]
    return AdamW(sorted(groups, key=lambda g: -g["lr"]), weight_decay=weight_decay, fused=True)


def cycle_by_group(optimizer, lr, steps):
    """One cycle in which each group rises to its own rate."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=steps, cycle_momentum=False)
