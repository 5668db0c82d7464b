"""Networks looked at without running them: their layers and how many weights they have."""

import torch


def on_meta(make, *args, **options):
    """A network without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return make(*args, **options)


def count(module):
    """Its parameters."""
    return sum(weight.numel() for weight in module.parameters())


def of_type(module, kind):
    """Its layers of a type."""
    return [part for part in module.modules() if isinstance(part, kind)]
