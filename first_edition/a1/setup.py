"""Where a notebook runs, what it may write, and its seeds."""

import os
import random
from pathlib import Path

import numpy as np
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PROFILE = os.environ.get("A1_PROFILE") or ("full" if DEVICE.type == "cuda" else "quick")
# Quick runs are rehearsals: what they write goes to out/, never beside the reported results.
OUT = Path(os.environ.get("A1_OUT", "." if PROFILE == "full" else "out"))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device): the one place where seeds are set."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
