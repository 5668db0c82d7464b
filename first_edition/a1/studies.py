"""Studies: many short runs that differ in one decision, compared on the validation part."""

import pandas as pd
import torch

from a1.data.images import ImageSplits
from a1.runs import fit_or_load


def study_data(image_set, indices, train_per_class, val_per_class, size, device):
    """ImageSplits of the first photos per class of the training and validation parts, shrunk to `size` pixels.

    The test part is left out: nothing can be chosen by it. The same photos whatever the seed of a run.
    """

    def first(part, count):
        labels = image_set.labels[indices[part]]
        return torch.cat([indices[part][labels == label][:count] for label in labels.unique()])

    chosen = {"train": first("train", train_per_class), "val": first("val", val_per_class)}
    return ImageSplits(image_set, chosen, device, size)


def run_study(name, variants, data, recorder=None):
    """Train every variant and return a DataFrame, one row per run, in the order of `variants`.

    variants: {(label, seed): (make_model, recipe)}. Accuracies are those of the epoch with the best validation
    accuracy; `last_val_acc` is that of the last epoch; `seconds` are per epoch (median). A `recorder` watches each run.
    """
    rows = []
    for (label, seed), (make_model, recipe) in variants.items():
        run = fit_or_load(f"studies/{name}", make_model, recipe, data, verbose=False, recorder=recorder)
        history = pd.DataFrame(run.history)
        rows.append({
            "variant": label, "seed": seed, "run": run, "best_epoch": run.record["best_epoch"],
            "train_acc": run.metrics["train_acc"], "val_acc": run.metrics["val_acc"],
            "last_train_acc": history["train_acc"].iloc[-1], "last_val_acc": history["val_acc"].iloc[-1],
            "seconds": history["seconds"].median(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def runs_of(table, variant):
    """The Runs of one variant, a seed each."""
    return list(table["run"][table["variant"] == variant])


def mean_and_sd(table, columns):
    """Mean and standard deviation over the seeds of each variant: a DataFrame, variants in order."""
    grouped = table.groupby("variant", sort=False)[list(columns)]
    return grouped.agg(["mean", "std"]).set_axis(
        [f"{column}, {what}" for column in columns for what in ("mean", "sd")], axis=1
    )
