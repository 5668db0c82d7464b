"""Reading results: intervals and per-class measures."""

import pandas as pd
from sklearn.metrics import precision_recall_fscore_support


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
