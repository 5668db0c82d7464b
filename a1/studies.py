"""Studies: many short runs that differ in one decision, compared on the validation part."""

import pandas as pd
import torch

from a1.records import probe, train_once


def study_indices(labels, split, train_per_class, val_per_class):
    """The first photos of each class in the training and the validation part; no test part."""
    counts = {"train": train_per_class, "val": val_per_class}
    return {
        part: torch.cat([split[part][labels[split[part]] == c][:n] for c in labels.unique()])
        for part, n in counts.items()
    }


def run_study(name, variants, seeds, data):
    """Train each variant, {label: (make_model, recipe)}, with each seed: a row a run, with the
    accuracies of the epoch that was best on validation."""
    runs, rows = [(label, seed) for label in variants for seed in seeds], []
    probes = {label: probe(*variant, data) for label, variant in variants.items()}
    for k, (label, seed) in enumerate(runs, 1):
        make_model, recipe = variants[label]
        run = (f"{name}/{label}-seed{seed}", make_model, recipe | {"seed": seed}, data)
        record = train_once(*run, f"run {k} of {len(runs)}", probes[label])
        accs = {f"{part}_acc": record["metrics"][f"{part}_acc"] for part in ("train", "val")}
        history = pd.DataFrame(record["history"])
        rows.append({"variant": label, "seed": seed, "history": history} | accs)
    return pd.DataFrame(rows)
