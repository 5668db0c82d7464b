"""The numbers a notebook reports: what its prose cites."""

import json
import re

import pandas as pd

from a1.files import atomic_write
from a1.setup import OUT, PROFILE

TOLERANCE = {"acc": 0.01, "macro_f1": 0.01, "loss": 0.05, "r2": 0.005, "mae_kw": 0.003, "rmse_kw": 0.005}


def save_results(results, notebook):
    """Write {name: number or string} to results/`notebook`.json."""
    with atomic_write(OUT / "results" / f"{notebook}.json") as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())


def compare_with_reported(reported, results):
    """DataFrame of the reported metrics beside this run's: within tolerance of a retrained model, or not.

    A quick run is a rehearsal on little data, so its numbers are shown and not judged.
    """
    rows = []
    for name, value in reported.items():
        metric = re.search(rf"\.(?:train|val|test)_({'|'.join(TOLERANCE)})$", name)
        if metric and name in results:
            tolerance = TOLERANCE[metric[1]]
            close = abs(results[name] - value) <= tolerance
            verdict = "rehearsal" if PROFILE == "quick" else "yes" if close else "NO"
            rows.append((name, value, results[name], tolerance, verdict))
    columns = ["result", "reported", "this run", "tolerance", "agrees"]
    return pd.DataFrame(rows, columns=columns).set_index("result").round(4)
