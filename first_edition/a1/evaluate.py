"""Reading results: intervals, tests, per-class measures."""

import math
import time

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import precision_recall_fscore_support

from a1.setup import DEVICE


def wilson_interval(share, n, z=1.96):
    """95% interval of a share observed in n trials (Wilson, 1927): (low, high)."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


def class_report(y, predicted, classes):
    """Precision, recall, F1 and support per class, and their unweighted mean: a DataFrame."""
    columns = precision_recall_fscore_support(y, predicted, labels=range(len(classes)), zero_division=0)
    table = pd.DataFrame(dict(zip(["precision", "recall", "F1", "images"], columns)), index=classes)
    average = table.mean().to_frame("macro average").T.assign(images=table["images"].sum())
    return pd.concat([table, average])


def reported(model, run):
    """What a notebook's results say of a run: {"<model>.<key>": value}."""
    facts = {
        "run": run.path.stem,
        "epochs": len(run.history),
        "best_epoch": run.record["best_epoch"],
        "minutes": sum(epoch["seconds"] for epoch in run.history) / 60,
        "device": run.record["device"],
        "date": run.record["date"],
        "parameters": run.record["parameters"],
        **run.metrics,
    }
    sizes = run.record["data"]["sizes"]
    facts["test_acc_low"], facts["test_acc_high"] = wilson_interval(run.metrics["test_acc"], sizes["test"])
    return {f"{model}.{key}": value for key, value in facts.items()}


def metrics_table(run):
    """Accuracy with its 95% interval, loss and macro-F1 of a run, one row a part: a DataFrame."""
    rows = {}
    for part, n in run.record["data"]["sizes"].items():
        acc, loss, macro_f1 = (run.metrics[f"{part}_{measure}"] for measure in ("acc", "loss", "macro_f1"))
        low, high = wilson_interval(acc, n)
        rows[part] = {
            "accuracy": acc,
            "95% interval": f"{low:.4f} to {high:.4f}",
            "loss": loss,
            "macro-F1": macro_f1,
        }
    return pd.DataFrame(rows).T


def mcnemar(one_right, other_right):
    """McNemar's exact test of two classifiers on the same examples: (only one right, only other right, p).

    one_right, other_right: bool [N]. p is the two-sided probability of a split at least as uneven as this one
    of the examples on which exactly one is right, were both equally good. Source: McNemar, Psychometrika 1947.
    """
    only_one, only_other = int((one_right & ~other_right).sum()), int((other_right & ~one_right).sum())
    n = only_one + only_other
    tail = sum(math.comb(n, k) for k in range(min(only_one, only_other) + 1))
    return only_one, only_other, min(1.0, tail / 2 ** (n - 1)) if n else 1.0


def median_seconds(steps, repeats):
    """Median time of each of `steps`, {name: function}: {name: seconds}.

    The steps take turns, so that whatever else the machine does hits them alike; a first round warms up.
    """
    times = {name: [] for name in steps}
    for _ in range(repeats + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - started)
    return {name: float(np.median(values[1:])) for name, values in times.items()}
