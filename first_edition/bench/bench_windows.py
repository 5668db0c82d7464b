"""Our windows against the handout's create_sequences with a DataLoader: `python -m bench.bench_windows`.

Both give the same windows of 60 minutes in shuffled batches, from the same array, in one thread: gathering
needs no more, and on a busy machine two would wait for each other. Goals: a fiftieth of the memory, twice
the speed.
"""

import argparse
import multiprocessing
import resource
import time
from statistics import median

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from a1.data.power import FEATURES, PowerBase, Window, WindowLoader

LENGTH = 60
BATCH_SIZE = 256
GOALS = {"memory": 50, "first epoch": 2, "later epochs": 2}


def create_sequences(data, seq_length):
    """The handout's example, Part III, step 1.8."""
    xs, ys = [], []
    for i in range(len(data) - seq_length):
        xs.append(data[i : (i + seq_length)])
        ys.append(data[i + seq_length])
    return np.array(xs), np.array(ys)


def draw(minutes):
    """Random values, float32 [minutes, 14]: as many columns as the forecaster reads."""
    return np.random.default_rng(0).standard_normal((minutes, len(FEATURES)), np.float32)


def theirs(data):
    xs, ys = create_sequences(data, LENGTH)
    windows = TensorDataset(torch.from_numpy(xs), torch.from_numpy(ys[:, :1]))
    return DataLoader(windows, BATCH_SIZE, shuffle=True, drop_last=True)


def ours(data):
    values = torch.from_numpy(data)
    power = values[:, 0].contiguous()
    base = PowerBase(values, power, power, {}, None, None, "", "")
    return WindowLoader(base, torch.arange(LENGTH, len(data)), Window(0, LENGTH), BATCH_SIZE, train=True)


def check_equal():
    """The first window of both, once, in the order of time."""
    data = draw(LENGTH + 5)
    xs, ys = create_sequences(data, LENGTH)
    loader = ours(data)
    x = loader.inputs(torch.arange(LENGTH, len(data)))
    assert np.array_equal(x, xs) and np.array_equal(loader.base.target[LENGTH:], ys[:, 0])


def seconds_of_epoch(loader):
    started = time.perf_counter()
    seen = sum(len(y) for _, y in loader)
    assert seen == len(loader) * BATCH_SIZE
    return time.perf_counter() - started


def first_epoch(make_loader, data):
    """The loader, and the seconds from the array to the end of its first epoch."""
    started = time.perf_counter()
    loader = make_loader(data)
    seconds_of_epoch(loader)
    return loader, time.perf_counter() - started


def memory_of(make_loader, minutes, answers):
    """Put into `answers` by how many bytes a loader and one epoch of it make this process grow."""
    torch.set_num_threads(1)
    data = draw(minutes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first_epoch(make_loader, data)
    answers.put(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def measure_memory(make_loader, minutes):
    """Bytes by which a fresh process grows; at least one page, to divide by."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=memory_of, args=(make_loader, minutes, answers))
    child.start()
    growth = answers.get()
    child.join()
    return max(growth, resource.getpagesize())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=200_000, help="rows of the array")
    parser.add_argument("--repeats", type=int, default=5, help="later epochs of each; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    check_equal()
    data = draw(options.minutes)
    print(f"{options.minutes:,} minutes of {len(FEATURES)} values, {data.nbytes / 1e6:.0f} MB; windows of {LENGTH} "
          f"in batches of {BATCH_SIZE}, median of {options.repeats}\n")  # fmt: skip
    print(f"{'':<14} {'ours':>12} {'handout':>12} {'ratio':>8}   goal", flush=True)
    rows = {}
    our_bytes, their_bytes = (measure_memory(make, options.minutes) for make in (ours, theirs))
    rows["memory"] = our_bytes, their_bytes, their_bytes / our_bytes, 1e6, "MB"
    our_loader, our_first = first_epoch(ours, data)
    their_loader, their_first = first_epoch(theirs, data)
    rows["first epoch"] = our_first, their_first, their_first / our_first, 1, "s"
    pairs = [(seconds_of_epoch(our_loader), seconds_of_epoch(their_loader)) for _ in range(options.repeats)]
    our_later, their_later = (median(times) for times in zip(*pairs))
    rows["later epochs"] = our_later, their_later, median(b / a for a, b in pairs), 1, "s"
    for what, (our_value, their_value, ratio, scale, unit) in rows.items():
        print(
            f"{what:<14} {our_value / scale:>9,.2f} {unit:<2} {their_value / scale:>9,.2f} {unit:<2}"
            f" {ratio:>8.1f}   >= {GOALS[what]}"
        )


if __name__ == "__main__":
    main()
