"""What a GPU does with our networks: `python -m bench.bench_gpu`, two to three minutes.

Training speed of every network in each precision, batches alone, peak memory, and, where there are
the course's photos, seconds from nothing to a validation accuracy. Written to bench/gpu.json, from which the README draws its table.
`--rehearse` goes through all of it in a minute on a CPU, with small networks and drawn data, into out/.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev

import torch

import a1.train
from a1.files import atomic_write
from a1.models.resnet import ResNet18
from a1.photos import Photos, load_photos, split_indices
from a1.setup import DEVICE, seed_everything, use_device
from a1.train import RECIPE, train
from bench.networks import NETWORKS, drawn_photos
from tools import readme

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
TARGETS = (0.90, 0.94)
LADDER = (2, 3, 4, 6, 8, 11, 15)  # epochs tried, with a seed that is not reported
MARGIN = 0.003  # by which the try has to pass a target, lest luck chooses
SEEDS = range(5)
STEPS = 30  # of an epoch whose speed is measured


def wait():
    """Until the device has done all that it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def training_speed(network, precision, n, small=False):
    """Examples a second of the training loop as it is, the better of two epochs, and peak GB."""
    seed_everything(0)
    make_model = network.make_small if small else network.make_model
    model = make_model().to(DEVICE, memory_format=torch.channels_last)
    data, before = network.make_data(n, DEVICE), a1.train.LOW
    recipe = network.recipe | {"epochs": 3, "image_sizes": [], "amp": precision != torch.float32}
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        a1.train.LOW = precision
        history = train(model, recipe | {"schedule": "constant", "lr": 1e-4}, data)["history"]
    finally:
        a1.train.LOW = before
    seen = data.steps(recipe) * recipe["batch_size"]
    peak = torch.cuda.max_memory_allocated() / 1e9 if DEVICE.type == "cuda" else 0.0
    return seen / min(epoch["seconds"] for epoch in history[1:]), peak


def loader_speed(network, n):
    """Training examples a second that are made ready on the device, without a network."""
    data, times = network.make_data(n, DEVICE), []
    for _ in range(4):
        started = time.perf_counter()
        for batch in data.batches("train", network.recipe, 0):
            del batch
        wait()
        times.append(time.perf_counter() - started)
    return data.steps(network.recipe) * network.recipe["batch_size"] / median(times[1:])


def run_to_the_end(make_data, make_model, epochs, seed):
    """Seconds of a short run and its last validation accuracy; photos are decoded beforehand."""
    sizes = [32] * (epochs // 3) + [48] * (epochs // 3)
    recipe = RECIPE | {"epochs": epochs, "image_sizes": sizes, "seed": seed}
    wait()
    started = time.perf_counter()
    data = make_data()
    seed_everything(seed)
    model = make_model().to(DEVICE, memory_format=torch.channels_last)
    acc = train(model, recipe, data)["history"][-1]["val_acc"]
    wait()
    return time.perf_counter() - started, acc


def to_accuracy(make_data, make_model, targets, ladder, seeds):
    """For each target the fewest epochs of `ladder` that a first seed reached it with, and what
    the other seeds make of them: means and standard deviations, and whether their mean is there."""
    run = partial(run_to_the_end, make_data, make_model)
    run(1, 100)  # the device and its libraries get warm
    tried, found = {}, {}
    for epochs in ladder:
        if not tried or max(tried.values()) < max(targets) + MARGIN:
            tried[epochs] = run(epochs, 100)[1]
            print(f"  {epochs} epochs: {tried[epochs]:.4f}", flush=True)
    for target in targets:
        chosen = [epochs for epochs, acc in tried.items() if acc >= target + MARGIN]
        if chosen:
            seconds, accs = zip(*(run(chosen[0], seed) for seed in seeds))
            found[str(target)] = {
                "epochs": chosen[0],
                "runs": len(accs),
                "seconds": round(mean(seconds), 2),
                "seconds_sd": round(stdev(seconds), 2),
                "val_acc": round(mean(accs), 4),
                "val_acc_sd": round(stdev(accs), 4),
                "reached": mean(accs) >= target,
            }
            print(f"  {target:.0%}: {found[str(target)]}", flush=True)
    return found


def measure(rehearse):
    """All measurements, as they are written."""
    use_device(DEVICE, full=not rehearse)
    changes = {"batch_size": 16, "size": 64, "test_size": 64} if rehearse else {}
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    found = {"device": name, "torch": torch.__version__, "date": time.strftime("%Y-%m-%d")}
    found |= {"unit": {}, "training": {}, "gb": {}, "loader": {}, "autotuned": {}}
    precisions = dict(PRECISIONS)
    if DEVICE.type == "cpu":
        del precisions["float16"]  # for which a CPU has no LSTM
    for key, network in NETWORKS.items():
        network = network.with_recipe(**changes)
        n = (2 if rehearse else STEPS) * network.recipe["batch_size"]
        speeds = {
            text: training_speed(network, precision, n, rehearse)
            for text, precision in precisions.items()
        }
        found["unit"][key] = network.unit
        found["training"][key] = {text: round(speed) for text, (speed, _) in speeds.items()}
        found["gb"][key] = {text: round(gb, 2) for text, (_, gb) in speeds.items()}
        found["loader"][key] = round(loader_speed(network, n))
        torch.backends.cudnn.benchmark = True  # which we do not use: what would it give?
        tuned, _ = training_speed(network, torch.bfloat16, n, rehearse)
        torch.backends.cudnn.benchmark = False
        found["autotuned"][key] = round(tuned)
        print(key, found["training"][key], found["gb"][key], found["loader"][key], flush=True)
    if rehearse:
        make_data, make_model = partial(drawn_photos, 256, DEVICE), partial(ResNet18, width=8)
        return found | {"to_accuracy": to_accuracy(make_data, make_model, (0.3,), (2, 4), (0, 1))}
    started = time.perf_counter()
    try:
        images, labels, files = load_photos()
    except FileNotFoundError:
        return found | {"to_accuracy": {}}
    split = split_indices(images, labels)
    split = {part: split[part] for part in ("train", "val")}
    found["seconds_to_decode"] = round(time.perf_counter() - started, 1)
    make_data = partial(Photos, images, labels, split, files)
    return found | {"to_accuracy": to_accuracy(make_data, ResNet18, TARGETS, LADDER, SEEDS)}


def main():
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true", help="small and short, into out/")
    rehearse = parser.parse_args().rehearse
    if not rehearse and DEVICE.type != "cuda":
        parser.error("there is no GPU: --rehearse goes through all of it on a CPU")
    started = time.perf_counter()
    found = measure(rehearse) | {"seconds": round(time.perf_counter() - started)}
    here = Path(__file__).parent
    path = Path("out", "gpu.json") if rehearse else here / "gpu.json"
    with atomic_write(path) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())
    print(f"{path}, {found['seconds']} s")
    if not rehearse:
        readme.update()


if __name__ == "__main__":
    main()
