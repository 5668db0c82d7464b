"""How the project's figures look, and those that several notebooks draw."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib_inline.backend_inline import set_matplotlib_formats
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from a1.setup import FULL, RUNS

COLORS = {"vgg16c": "#D55E00", "resnet18": "#0072B2", "vgg_deep": "#CC79A7", "resnext": "#009E73"}
NAMES = {"vgg16c": "VGG-16C", "resnet18": "ResNet-18", "vgg_deep": "VGG-Deep", "resnext": "ResNeXt"}
STYLE = {
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3},
    **{"svg.hashsalt": "a1", "figure.constrained_layout.use": True, "figure.figsize": (6.5, 3)},
}


def show_images(images, titles, columns):
    """Grid of uint8 images [N, 3, H, W], each under its title."""
    rows = -(-len(images) // columns)
    _, axes = plt.subplots(rows, columns, figsize=(1.2 * columns, 1.4 * rows), squeeze=False)
    for ax, image, title in zip(axes.flat, images, titles):
        ax.imshow(image.permute(1, 2, 0))
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    plt.show()


def plot_history(records, first=1):
    """Accuracy and loss per epoch, from `first` on, of {model: record}: training dashed, a dot for
    the weights that were kept, a dotted line where the resolution grows."""
    _, axes = plt.subplots(1, 2, figsize=(9, 2.8))
    for ax, measure, label in zip(axes, ("acc", "loss"), ("accuracy", "cross-entropy")):
        for name, record in records.items():
            history = pd.DataFrame(record["history"]).set_index("epoch").loc[first:]
            for part, style in (("train", "--"), ("val", "-")):
                values, text = history[f"{part}_{measure}"], f"{NAMES[name]}, {part}"
                ax.plot(values, style, color=COLORS[name], label=text)
            ax.plot(values[values.index == record["best_epoch"]], "o", color=COLORS[name])
        grows = np.flatnonzero(np.diff([*record["recipe"]["image_sizes"], 64])) + 1.5
        for epoch in grows[grows > first]:
            ax.axvline(epoch, color="gray", ls=":", lw=1)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[1].set_ylim(0, min(1.2, axes[1].get_ylim()[1]))
    axes[1].legend(fontsize=8)
    plt.show()


def plot_confusion(y, predicted, classes):
    """Counts of each true and predicted class, returned too; only mistakes are coloured."""
    counts = confusion_matrix(y, predicted)
    table = pd.DataFrame(counts, *(pd.Index(classes, name=n) for n in ("true", "predicted")))
    plt.figure(figsize=(3.5, 2.7))
    options = {"annot": counts, "fmt": ",d", "cmap": "Oranges", "cbar_kws": {"label": "mistakes"}}
    sns.heatmap(table - np.diag(np.diag(counts)), square=True, **options).grid(False)
    plt.show()
    return table


def plot_mistakes(images, y, probs, classes, rows=3):
    """The surest mistakes, a column a kind, above each the wrong answer's probability.
    images uint8 [N, 3, H, W]; y int64 [N]; probs [N, K]."""
    said, sure = probs.argmax(1), probs.max(1)
    pairs = [(a, b) for a in range(len(classes)) for b in range(len(classes)) if a != b]
    _, axes = plt.subplots(rows, len(pairs), figsize=(1.5 * len(pairs), 1.75 * rows))
    for column, (true, other) in zip(axes.T, pairs):
        found = np.flatnonzero((y == true) & (said == other))
        for ax, index in zip(column, found[np.argsort(-sure[found])]):
            ax.imshow(images[index].permute(1, 2, 0))
            ax.set_title(f"{sure[index]:.0%}", fontsize=8)
            ax.axis("off")
        kind = f"{classes[true]},\nsaid {classes[other]}\n"
        column[0].set_title(kind + column[0].get_title(), fontsize=8)
    plt.show()


def plot_events(record, color, file):
    """Accuracy and loss as TensorBoard logged them, shown as SVG and PNG and saved as SVG."""
    folder = RUNS / "tensorboard" / record["path"].relative_to(RUNS).with_suffix("")
    log = EventAccumulator(str(folder), purge_orphaned_data=False).Reload()
    fig, axes = plt.subplots(1, 2, figsize=(5.4, 2.3))
    for ax, measure in zip(axes, ("acc", "loss")):
        for part, style in (("train", "--"), ("val", "-")):
            events = {event.step: event.value for event in log.Scalars(f"{measure}/{part}")}
            pd.Series(events).sort_index().plot(ax=ax, style=style, color=color, label=part)
        ax.set(xlabel="epoch", ylabel={"acc": "accuracy", "loss": "cross-entropy"}[measure])
    ax.legend()
    path = Path("figures" if FULL else "out/figures", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Date": None})
    set_matplotlib_formats("svg", "png")  # an untrusted notebook shows the PNG
    plt.show()
    set_matplotlib_formats("png")
