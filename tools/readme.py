"""The README's table of results, drawn from results/."""

import re
from pathlib import Path

from tools.check import typed_numbers
from tools.prose import read_results

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)
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
        for model in dict.fromkeys(key.split(".")[0] for key in results if ".test_" in key):
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


def update(root=ROOT):
    """Put the current table between the README's two result marks."""
    path = root / "README.md"
    path.write_text(BLOCK.sub(lambda _: table(root), path.read_text()))


def problems(root=ROOT):
    """What is untrue in the README, as sentences."""
    text = (root / "README.md").read_text()
    found = BLOCK.search(text)
    if not found:
        return ["README.md: the marks <!-- results --> and <!-- /results --> are missing"]
    typed = [
        f"README.md: the number {number} is typed, not drawn from results/"
        for number in typed_numbers(BLOCK.sub("", text))
    ]
    stale = (
        []
        if found.group() == table(root)
        else ["README.md: its table differs from results/: run `tools/nb.py build`"]
    )
    return typed + stale
