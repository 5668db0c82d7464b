"""Device, precision, profile and seeds: decided here for every notebook."""

import os
import random
from pathlib import Path

import numpy as np
import torch


def low_precision(device):
    """The type of mixed precision: 16 bits where the device computes fast in them, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)  # not on Colab's T4
        return torch.bfloat16 if native else torch.float16
    return torch.bfloat16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else torch.float32


def setting(name, default, on, off):
    """Whether an environment variable says `on` or `off`; ValueError for anything else."""
    text = os.environ.get(name, "").strip().lower() or default
    if text not in on + off:
        raise ValueError(f"{name} is {text!r}: set it to one of {', '.join(on + off)}")
    return text in on


def use_device(device, full):
    """Make float32 mean float32 (no TF32), and let a rehearsal be content with one thread."""
    for kind in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
        kind.fp32_precision = "ieee"
    if not full:
        torch.set_num_threads(1)
        print("Quick rehearsal: its numbers mean nothing.")
    print(f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}")


def seed_everything(seed):
    """Seed Python, NumPy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LOW = low_precision(DEVICE)
FULL = setting("A1_PROFILE", "full" if DEVICE.type == "cuda" else "quick", ["full"], ["quick"])
RETRAIN = setting("RETRAIN", "no", ["1", "true", "yes", "on"], ["0", "false", "no", "off"])
RUNS = Path("runs" if FULL else "out/runs")  # a rehearsal never writes beside the reported runs
