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

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from a1.files import atomic_write  # noqa: E402
from a1.models.resnet import ResNet18  # noqa: E402
from a1.models.vgg import VGG16C  # noqa: E402
from a1.photos import Photos, find_photos, load_photos, split_indices  # noqa: E402
from a1.records import RUNS, train_once  # noqa: E402
from a1.setup import DEVICE, use_device  # noqa: E402
from a1.train import RECIPE  # noqa: E402
from bench.networks import NETWORKS  # noqa: E402


def photos():
    """The course's photos in their split."""
    images, labels, files = load_photos()
    return Photos(images, labels, split_indices(images, labels), files)


@dataclass(frozen=True)
class Final:
    """A network as a notebook reports it: longer trained, where a GPU has the time."""

    make_model: Callable
    recipe: dict
    make_data: Callable = photos
    find_data: Callable = find_photos  # unpacks what all runs read, before any of them begins


LONG = RECIPE | {"epochs": 40, "image_sizes": [32] * 16 + [48] * 10}
FINALS = {
    "vgg16c": Final(VGG16C, LONG | {"lr": 0.02}),
    "resnet18": Final(ResNet18, LONG | {"lr": 0.1}),
}


def train_one(name, seed, rehearse):
    """Train a run to its end, or read its record; and release its weights."""
    use_device(DEVICE, full=not rehearse)
    final, network = FINALS[name], NETWORKS[name]
    make_model, recipe, make_data = final.make_model, final.recipe, final.make_data
    if rehearse:
        make_model, make_data = network.make_small, partial(network.make_data, 64, DEVICE)
        recipe = recipe | {"epochs": 4, "batch_size": 8, "image_sizes": []}
    data, run = make_data(), f"{name}/seed{seed}"
    record = train_once(run, make_model, recipe | {"seed": seed}, data)
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
    for name, seed in runs:
        for path in folder.glob(f"{name}/seed{seed}*.npz"):
            if not path.with_suffix(".json").exists():
                path.unlink()
                path.with_suffix(".pt").unlink(missing_ok=True)


def train_all(runs, options):
    """Train in the order given, `jobs` at a time: {run: (how it ended, seconds)}."""
    deadline, waiting, ended = time.monotonic() + options.seconds, list(runs), {}
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
    tidy(Path("out/runs" if options.rehearse else "runs"), runs)
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
        for find in {FINALS[name].find_data for name, _ in wanted}:
            find()
    most = max((seeds for _, seeds in wanted), default=0)
    runs = [(name, seed) for seed in range(most) for name, seeds in wanted if seed < seeds]
    ended = train_all(runs, options)
    for (name, seed), (status, seconds) in ended.items():
        print(f"{name:>20}:{seed}  {status:<12} {seconds:6.0f} s")
    return int(any(status.startswith("failed") for status, _ in ended.values()))


if __name__ == "__main__":
    sys.exit(main())
