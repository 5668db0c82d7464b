"""Reading results: intervals, per-class measures, a paired test, and released weights."""

from pathlib import Path

import pandas as pd
import torch
from scipy.stats import binomtest
from sklearn.metrics import classification_report

from a1.files import atomic_write
from a1.setup import DEVICE, FULL
from a1.train import evaluate


def metrics_table(record):
    """Accuracy with its 95% interval (Wilson), loss and macro-F1 of each part."""
    rows = {}
    for part, n in record["sizes"].items():
        acc, loss, f1 = (record["metrics"][f"{part}_{m}"] for m in ("acc", "loss", "macro_f1"))
        ci = binomtest(round(acc * n), n).proportion_ci(method="wilson")
        rows[part] = [f"{x:.5f}" for x in (acc, ci.low, ci.high, loss, f1)]
    return pd.DataFrame(rows, ["accuracy", "95% from", "95% to", "loss", "macro-F1"]).T


def class_report(y, predicted, classes):
    """Precision, recall, F1 and number of examples per class, and their average."""
    options = {"target_names": classes, "output_dict": True, "zero_division": 0}
    report = classification_report(y, predicted, **options)
    return pd.DataFrame(report).T.loc[[*classes, "macro avg"]].round(4).astype({"support": int})


def release(record, make_model, data, name):
    """Save a run's weights in float16, read them back and score them; None where not at hand."""
    path = Path("weights" if FULL else "out/weights", name)
    source = record["path"].with_suffix(".pt")
    if source.exists():
        state = torch.load(source, weights_only=True)
        half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        with atomic_write(path) as file:
            torch.save(half, file)
    if not path.exists():
        return print(f"{path} is not on this machine: training the network again makes it")
    model = make_model()
    model.load_state_dict(torch.load(path, weights_only=True))  # float16 into float32
    again = evaluate(model.to(DEVICE), data, "test", record["recipe"])[0]["acc"]
    kept, most = record["metrics"]["test_acc"], max(0.001, 1.5 / record["sizes"]["test"])
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB: {again:.4f} reloaded, {kept:.4f} recorded")
    assert abs(again - kept) < most, "these are not that run's weights"
    return model
