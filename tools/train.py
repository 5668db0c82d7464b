"""Train final networks at the same time on one device.

    python tools/train.py --seconds 400 resnext:3 resnet18:3 vgg16c:3

trains three seeds of each, first seeds first, the networks in the order given: put the longest
first. Every run writes its ordinary record into runs/ and its weights in float16 into weights/.
What has not ended in time is stopped and leaves at most its checkpoint, from which the same command
goes on; what would not end in time is not begun. `--rehearse` does it with small networks and drawn
data, into out/.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

STARTED = time.monotonic()  # before what takes long to import
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from torch.optim import SGD  # noqa: E402
from torch.optim.lr_scheduler import OneCycleLR  # noqa: E402

from a1.files import atomic_write  # noqa: E402
from a1.models.resnet import ResNet18  # noqa: E402
from a1.models.vgg import VGG16C  # noqa: E402
from a1.photos import Photos, find_photos, load_photos, split_indices  # noqa: E402
from a1.records import RUNS, train_once  # noqa: E402
from a1.setup import DEVICE, use_device  # noqa: E402
from a1.train import OPTIMIZERS, RECIPE, SCHEDULES  # noqa: E402
from bench.networks import NETWORKS  # noqa: E402


@dataclass(frozen=True)
class Final:
    """A network as a notebook reports it, longer trained, where a GPU has the time; find: what
    unpacks or fetches the data, once, before any run reads them; run: the record's name."""

    make: Callable  # () -> (make_model, data)
    recipe: dict
    find: Callable = find_photos
    run: str = "{name}/seed{seed}"


def photos(make_model):
    """A network and the course's photos in their split."""
    images, labels, files = load_photos()
    return make_model, Photos(images, labels, split_indices(images, labels), files)


LONG = RECIPE | {"epochs": 40, "image_sizes": [32] * 16 + [48] * 10}


def vgg16c():
    """Part I."""
    return Final(partial(photos, VGG16C), LONG | {"lr": 0.02})


def resnet18():
    """Part I."""
    return Final(partial(photos, ResNet18), LONG | {"lr": 0.1})


def vgg_deep():
    """Part II: plain SGD, nothing that regularises."""
    from a1.models.vgg_deep import VGGDeep

    OPTIMIZERS["plain_sgd"] = SGD
    recipe = RECIPE | {"batch_size": 64, "optimizer": "plain_sgd", "schedule": "constant"}
    recipe |= {"weight_decay": 0, "label_smoothing": 0, "lr": 0.03}
    recipe |= {"epochs": 16, "image_sizes": [32] * 10 + [48] * 4}
    return Final(partial(photos, VGGDeep), recipe)


def resnext():
    """Bonus."""
    from a1.models.resnext import ResNeXt

    return Final(partial(photos, ResNeXt), LONG | {"lr": 0.1})


def forecaster():
    """Part III; logarithms of the meters join the inputs, and the rate rises for a tenth only."""
    from a1.models.forecast import ARCHITECTURES, Forecaster
    from a1.power import Series, Windows, add_copies, fill_gaps, find_power, load_power, split_rows

    def make():
        cycle = {"pct_start": recipe["warmup"], "cycle_momentum": False}
        SCHEDULES["one_cycle"] = lambda opt, lr, n: OneCycleLR(opt, lr, total_steps=n, **cycle)
        frame, files = load_power()
        rows, measured = split_rows(len(frame)), add_copies(fill_gaps(frame))
        scaler = StandardScaler().fit(measured.to_numpy(np.float64)[rows["train"]])
        level, *meters = (
            (k, float(scaler.mean_[k]), float(scaler.scale_[k])) for k in (0, 4, 5, 6)
        )
        network = partial(Forecaster, ARCHITECTURES["lstm"], 96, 0.1, level[1:], True, meters)
        return network, Windows(Series(frame, measured, scaler, rows, files))

    recipe = RECIPE | {"optimizer": "adamw", "weight_decay": 1e-4, "clip_norm": 1.0, "amp": False}
    recipe |= {"label_smoothing": 0.0, "augment": [], "warmup": 0.1, "patience": 3}
    recipe |= {"lr": 4e-3, "batch_size": 512, "loss": "huber", "epochs": 8}
    recipe |= {"windows_per_epoch": 400_000}
    return Final(make, recipe, find_power, "final/network-seed{seed}")


FINALS = {make.__name__: make for make in (resnext, vgg16c, resnet18, vgg_deep, forecaster)}


def train_one(name, seed, rehearse):
    """Train a run to its end, or read its record; and release its weights."""
    use_device(DEVICE, full=not rehearse)
    final = FINALS[name]()
    recipe = final.recipe | {"seed": seed}
    if rehearse:
        network = NETWORKS[name]
        make_model, data = network.make_small, network.make_data(64, DEVICE)
        recipe |= {"epochs": 4, "batch_size": 8, "image_sizes": []}
    else:
        make_model, data = final.make()
    record = train_once(final.run.format(name=name, seed=seed), make_model, recipe, data)
    weights = torch.load(record["path"].with_suffix(".pt"), map_location="cpu", weights_only=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    with atomic_write(RUNS.parent / "weights" / f"{name}-seed{seed}.pt") as file:
        torch.save(half, file)
    print(record["metrics"], flush=True)


def start(name, seed, options):
    """A process that trains one run, what it prints in out/logs/."""
    path = Path("out", "logs", f"{name}-seed{seed}.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    env["A1_PROFILE"] = "quick" if options.rehearse else "full"
    command = [sys.executable, __file__, "--one", f"{name}:{seed}"]
    command += ["--rehearse"] * options.rehearse
    with open(path, "a") as log:
        return subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)


def stop(processes):
    """End processes: asked first, then made to."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tidy(folder, runs):
    """Take away what a stopped process leaves in `folder` that is no record's and no checkpoint."""
    for leftover in folder.glob("**/*.tmp"):
        leftover.unlink()
    for run in runs:
        for path in folder.glob(f"{run}*.npz"):
            if not path.with_suffix(".json").exists():
                path.unlink()
                path.with_suffix(".pt").unlink(missing_ok=True)


def train_all(runs, options, since):
    """Train in the order given, `jobs` at a time: {run: (how it ended, seconds)}; `since`: since
    when the seconds are counted."""
    deadline, waiting, ended = since + options.seconds, list(runs), {}
    running, took = {}, {}  # run: (process, when it began); network: seconds of its last run
    while waiting or running:
        now = time.monotonic()
        for run, (process, began) in list(running.items()):
            if process.poll() is not None:
                status = "ended" if process.returncode == 0 else f"failed: {process.returncode}"
                ended[run], took[run[0]] = (status, now - began), now - began
                print(f"{run[0]}:{run[1]} {status} after {now - began:.0f} s", flush=True)
                del running[run]
        if now > deadline:
            stop([process for process, _ in running.values()])
            ended |= {run: ("stopped", now - began) for run, (_, began) in running.items()}
            running.clear()
        while waiting and len(running) < options.jobs:
            run = waiting.pop(0)
            if now + took.get(run[0], 0) > deadline:
                ended[run] = ("not begun", 0.0)
            else:
                running[run] = start(*run, options), now
        time.sleep(0.2)
    return ended


def main():
    """Train, and say how each run ended; the exit status is 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="NAME:SEEDS of " + ", ".join(FINALS))
    parser.add_argument("--seconds", type=float, default=400, help="when to stop what still runs")
    parser.add_argument("--jobs", type=int, default=4, help="runs at a time")
    parser.add_argument("--rehearse", action="store_true", help="small and drawn, into out/")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # files are closed behind it
        name, seed = options.one.split(":")
        return train_one(name, int(seed), options.rehearse)
    wanted = [(name, int(n or 1)) for name, _, n in (w.partition(":") for w in options.networks)]
    if unknown := [name for name, _ in wanted if name not in FINALS]:
        parser.error(f"{unknown[0]} is none of {', '.join(FINALS)}")
    if not options.rehearse:
        for find in {FINALS[name]().find for name, _ in wanted}:
            find()
    most = max((seeds for _, seeds in wanted), default=0)
    runs = [(name, seed) for seed in range(most) for name, seeds in wanted if seed < seeds]
    ended = train_all(runs, options, STARTED)
    written = [FINALS[name]().run.format(name=name, seed=seed) for name, seed in runs]
    tidy(Path("out/runs" if options.rehearse else "runs"), written)
    for (name, seed), (status, seconds) in ended.items():
        print(f"{name:>20}:{seed}  {status:<12} {seconds:6.0f} s")
    return int(any(status.startswith("failed") for status, _ in ended.values()))


if __name__ == "__main__":
    sys.exit(main())
