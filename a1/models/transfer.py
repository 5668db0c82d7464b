"""Networks that others trained on ImageNet, with a new head."""

import os
from pathlib import Path

import timm
import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.models import get_model

from a1.setup import FULL


def load_body(name, pretrained=True):
    """A network of torchvision, or timm's "tf_...", that ends with its last feature map.

    ImageNet's weights are read from `name`.pt in $A1_PRETRAINED or in pretrained/ beside the data,
    or else downloaded by the library; a rehearsal does without.
    """
    places = os.environ.get("A1_PRETRAINED", "."), os.environ.get("A1_DATA", "data"), "data"
    files = [
        Path(place).expanduser() / sub / f"{name}.pt"
        for place in places
        for sub in (".", "pretrained")
    ]
    path = next(filter(Path.exists, files), None) if pretrained else None
    download = pretrained and path is None and FULL
    if name.startswith("tf_"):
        network = timm.create_model(name, pretrained=download)
    else:
        network = get_model(name, weights="DEFAULT" if download else None)
    if path:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    if name.startswith("tf_"):
        network.reset_classifier(0, "")  # no head, no pooling
    return getattr(network, "features", network)


PIXELS = {  # of each library's training
    "torchvision": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    "timm": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


class TransferNet(nn.Module):
    """A pre-trained body and a new head: [B, 3, S, S], pixels from 0 to 1 -> logits [B, classes].

    Pixels are standardised as the body is used to; it learns at `share` of the learning rate.
    """

    def __init__(self, name, num_classes, share=1.0, pretrained=True, dropout=0.2):
        super().__init__()
        self.body = load_body(name, pretrained)
        with torch.no_grad():
            width = self.body.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))
        for key, constants in PIXELS["timm" if name.startswith("tf_") else "torchvision"].items():
            self.register_buffer(key, torch.tensor(constants).view(3, 1, 1), persistent=False)
        for parameter in self.body.parameters():
            parameter.share = share

    def features(self, x):
        """What the head sees: [B, 3, S, S] -> [B, width]."""
        return self.body((x - self.mean) / self.std).mean(dim=(2, 3))

    def forward(self, x):
        return self.head(self.features(x))


def adamw_by_share(params, lr, weight_decay):
    """AdamW with a group of parameters for each share of the rate, the head's, 1, first."""
    groups = {}
    for param in params:
        groups.setdefault(getattr(param, "share", 1.0), []).append(param)
    groups = [{"params": groups[share], "lr": lr * share} for share in sorted(groups, reverse=True)]
    return AdamW(groups, weight_decay=weight_decay, fused=True)


def cycle_by_group(optimizer, lr, steps):
    """One cycle in which each group rises to its own rate."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, total_steps=steps, cycle_momentum=False)
