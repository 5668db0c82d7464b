"""The README's tables: results, drawn from results/, and times, from the deliverables and from
what bench/ measured.
"""

import json
import re
from pathlib import Path

from tools.check import typed_numbers
from tools.prose import read_results

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = {
    name: re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
    for name in ("results", "times")
}
MODELS = {
    "vgg16c": "VGG-16, version C",
    "resnet18": "ResNet-18",
    "vgg_deep": "VGG-16C and four layers, plain SGD",
    "final": "three-layer LSTM, the reported one",
    "small": "three-layer LSTM with a third of the draws",
    "plain": "three-layer LSTM with a third of the draws, without the meters' logarithms",
    "average": "average of the final runs' forecasts",
    "seasonal_naive": "baseline: the same minutes a week ago",
    "persistence": "baseline: the mean of the last five minutes",
    "last_minute": "baseline: the last minute again",
    "ridge": "linear regression on the window",
    "gbm": "boosted trees, squared error",
    "gbm_l1": "boosted trees, absolute error",
    "baseline": "three LSTM layers, seed best on validation",
    "majority": "baseline: always negative",
    "tfidf_lr": "TF-IDF, logistic regression",
    "tfidf_svm": "TF-IDF, linear SVM",
    "improved": "three bidirectional LSTM layers on GloVe, seed best on validation",
    "resnext": "ResNeXt from Part I's ResNet-18",
    "squeezenet1_1": "SqueezeNet, fine-tuned, seed best on validation",
    "mobilenet_v2": "MobileNetV2, fine-tuned, seed best on validation",
    "efficientnet_lite0": "EfficientNet-Lite0, fine-tuned, seed best on validation",
}
COLUMNS = {
    "test_acc": ("test accuracy", "{:.2%}"),
    "test_macro_f1": ("macro-F1", "{:.3f}"),
    "test_loss": ("loss", "{:.3f}"),
    "test_r2": ("R2", "{:.3f}"),
    "test_mae_kw": ("MAE in kW", "{:.3f}"),
}


def in_order(paths):
    """Paths of notebooks' files, the parts before the bonuses."""
    return sorted(paths, key=lambda path: (path.stem.startswith("a1_bonus"), path.stem))


def run_records(name, root):
    """Paths of the records of the runs behind a notebook, as its results name them."""
    results = read_results(root / "results", name)
    named = [value for key, value in results.items() if key.endswith(".run")]
    stems = set(results["runs"].split() if "runs" in results else named)
    found = [root / "runs" / f"{stem}.json" for stem in stems]
    return [path for path in found if path.exists()]


def training_time(name, root):
    """How long the runs behind a notebook trained, as text; "" where there are none."""
    records = [json.loads(path.read_text()) for path in run_records(name, root)]
    minutes = sum(epoch["seconds"] for record in records for epoch in record["history"]) / 60
    return "" if not records else f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def rows(root=ROOT):
    """(notebook, model, {measure: value or None}) of every model that any notebook reports."""
    found = []
    for path in in_order((root / "results").glob("*.json")):
        results = read_results(path.parent, path.stem)
        # `best` and the like, which repeat one number of another, have none of these
        reported = [
            key for key in results if key.endswith((".test_loss", ".test_macro_f1", ".test_r2"))
        ]
        for model in dict.fromkeys(key.split(".")[0] for key in reported):
            values = {measure: results.get(f"{model}.{measure}") for measure in COLUMNS}
            found.append((path.stem, model, values))
    return found


def table(root=ROOT):
    """Markdown: one row a model, one column a measure that any of them reports."""
    found = rows(root)
    used = [measure for measure in COLUMNS if any(v[measure] is not None for *_, v in found)]
    lines = [
        "| notebook | model | what it is | " + " | ".join(COLUMNS[m][0] for m in used) + " |",
        "|---|---|---|" + "---|" * len(used),
    ]
    for notebook, model, values in found:
        cells = ["" if values[m] is None else COLUMNS[m][1].format(values[m]) for m in used]
        what = MODELS.get(model, "")
        lines.append(
            f"| [{notebook}]({notebook}.ipynb) | `{model}` | {what} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines) + "\n"


def times(root=ROOT):
    """Markdown: training behind each deliverable, seconds of its last execution and of its quick
    profile.
    """
    path = root / "bench" / "notebooks.json"
    quick = json.loads(path.read_text())["quick"] if path.exists() else {}
    lines = [
        "| notebook | training of what it reports | executed from its records | quick |",
        "|---|---|---|---|",
    ]
    for path in in_order(root.glob("*.ipynb")):
        stamp = json.loads(path.read_text())["metadata"].get("a1", {})
        full = f"{stamp['seconds']} s" if "seconds" in stamp else ""
        rehearsal = f"{quick[path.stem]['seconds']} s" if path.stem in quick else ""
        lines.append(f"| {path.stem} | {training_time(path.stem, root)} | {full} | {rehearsal} |")
    path = root / "bench" / "gpu.json"
    lines += ["", *(on_a_gpu(json.loads(path.read_text())) if path.exists() else [NO_GPU])]
    return "\n".join(lines) + "\n"


NO_GPU = "Nothing was timed on a GPU."


def on_a_gpu(measured):
    """Lines of Markdown: what bench/bench_gpu.py found."""
    precisions = list(next(iter(measured["training"].values())))
    lines = [
        f"Examples trained a second on one {measured['device']} by precision, those that come out of the data alone, and",
        "memory at its peak in GB (`.venv/bin/python -m bench.bench_gpu`).",
        "",
        f"| network | {' | '.join(precisions)} | data alone | memory |",
        "|---|" + "---|" * (len(precisions) + 2),
    ]
    for name, speeds in measured["training"].items():
        cells = [f"{speeds[precision]:,}" for precision in precisions]
        cells += [f"{measured['loader'][name]:,}", f"{max(measured['gb'][name].values()):.1f}"]
        lines.append(f"| `{name}`, {measured['unit'][name]} | {' | '.join(cells)} |")
    for target, found in measured["to_accuracy"].items():
        lines += [
            "",
            f"ResNet-18 from nothing to {float(target):.0%} validation accuracy there: {found['seconds']:.1f} s, photos decoded beforehand"
            f" ({found['epochs']} epochs; mean of {found['runs']} seeds: {found['val_acc']:.2%}{'' if found['reached'] else ', not reached'}).",
        ]
    return lines


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
            found.append(
                f"README.md: its table of {name} is not the current one: run `tools/nb.py build`"
            )
    typed = [
        f"README.md: the number {number} is typed, not drawn from results/"
        for number in typed_numbers(rest)
    ]
    return typed + found
