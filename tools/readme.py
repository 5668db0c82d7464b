"""The README's tables: results, drawn from results/, and times, from the deliverables and bench/notebooks.json."""

import json
import re
from pathlib import Path
from statistics import mean

from tools.check import typed_numbers
from tools.prose import read_results

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = {
    name: re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
    for name in ("results", "times")
}
COLUMNS = {
    "test_acc": ("test accuracy", "{:.2%}"),
    "test_macro_f1": ("macro-F1", "{:.3f}"),
    "test_loss": ("loss", "{:.3f}"),
    "test_r2": ("R2", "{:.3f}"),
    "test_mae_kw": ("MAE in kW", "{:.3f}"),
}


def table(root=ROOT):
    """Markdown: one row a model, one column a measure that any of them reports."""
    rows = []
    for path in sorted((root / "results").glob("*.json")):
        results = read_results(path.parent, path.stem)
        # `best` and the like, which repeat one number of another, have none of these
        reported = [key for key in results if key.endswith((".test_loss", ".test_macro_f1", ".test_r2"))]
        for model in dict.fromkeys(key.split(".")[0] for key in reported):
            rows.append(
                (path.stem, model, {measure: results.get(f"{model}.{measure}") for measure in COLUMNS})
            )
    used = [measure for measure in COLUMNS if any(values[measure] is not None for *_, values in rows)]
    lines = [
        "| notebook | model | " + " | ".join(COLUMNS[m][0] for m in used) + " |",
        "|---|---|" + "---|" * len(used),
    ]
    for notebook, model, values in rows:
        cells = ["" if values[m] is None else COLUMNS[m][1].format(values[m]) for m in used]
        lines.append(f"| [{notebook}]({notebook}.ipynb) | `{model}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def times(root=ROOT):
    """Markdown: seconds of each deliverable's execution from its run records, of its quick profile and to accuracy, where measured."""
    path = root / "bench" / "notebooks.json"
    quick = json.loads(path.read_text())["quick"] if path.exists() else {}
    lines = ["| notebook | deliverable, from its records | quick |", "|---|---|---|"]
    for path in sorted(root.glob("*.ipynb")):
        stamp = json.loads(path.read_text())["metadata"].get("a1", {})
        full = f"{stamp['seconds']} s" if "seconds" in stamp else ""
        rehearsal = f"{quick[path.stem]['seconds']} s" if path.stem in quick else ""
        lines.append(f"| {path.stem} | {full} | {rehearsal} |")
    path = root / "bench" / "accuracy.json"
    if path.exists():
        runs = json.loads(path.read_text())["runs"]
        ours, theirs = (
            "never" if None in (found := [run["seconds"] for run in runs[side]]) else f"{mean(found):.0f} s"
            for side in ("ours", "theirs")
        )
        lines += [
            "",
            f"ResNet-18 from nothing to 90% validation accuracy on the same cores: {ours} with our loop and a short recipe, {theirs} with",
            f"the common recipe (`python -m bench.bench_accuracy`, seeds run: {len(runs['ours'])}).",
        ]
    return "\n".join(lines) + "\n"


TABLES = {"results": table, "times": times}


def update(root=ROOT):
    """Put the current tables between the README's marks."""
    path = root / "README.md"
    text = path.read_text()
    for name, block in BLOCKS.items():
        text = block.sub(lambda _, name=name: TABLES[name](root), text)
    path.write_text(text)


def problems(root=ROOT):
    """What is untrue in the README, as sentences."""
    text = rest = (root / "README.md").read_text()
    found = []
    for name, block in BLOCKS.items():
        there = block.search(text)
        rest = block.sub("", rest)
        if not there:
            found.append(f"README.md: the marks <!-- {name} --> and <!-- /{name} --> are missing")
        elif there.group() != TABLES[name](root):
            found.append(f"README.md: its table of {name} is not the current one: run `tools/nb.py build`")
    typed = [
        f"README.md: the number {number} is typed, not drawn from results/" for number in typed_numbers(rest)
    ]
    return typed + found
