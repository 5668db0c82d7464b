"""How long a pass through a network or layer takes, measured so that they can be compared."""

import time

import pandas as pd
import torch

from a1.setup import DEVICE, LOW


def both_passes(function, x):
    """A forward and backward pass on x, in the precision of training: a function of nothing."""

    def run():
        with torch.autocast(DEVICE.type, LOW, enabled=LOW != torch.float32):
            loss = function(x).float().square().mean()
        loss.backward()

    return run


def least_seconds(steps, rounds):
    """Fewest seconds of each of {name: function}: in turns, as others' work slows all."""
    clock = time.perf_counter if DEVICE.type == "cuda" else time.process_time  # not of others' work
    taken = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = clock()
            step()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            taken[name].append(clock() - began)
    return pd.Series({name: min(seconds) for name, seconds in taken.items()})
