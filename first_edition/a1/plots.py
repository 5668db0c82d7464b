"""How the project's figures look, and those that several notebooks draw."""

import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import SVG, display
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from a1.runs import curves
from a1.setup import OUT

# One colour a model in the whole project (Okabe and Ito's colour-blind safe palette).
COLORS = {
    "vgg16c": "#D55E00",
    "resnet18": "#0072B2",
    "vgg_deep": "#CC79A7",
    "resnext": "#009E73",
}
NAMES = {"vgg16c": "VGG-16C", "resnet18": "ResNet-18", "vgg_deep": "VGG-Deep", "resnext": "ResNeXt"}


def use_plot_style():
    """Project-wide matplotlib defaults."""
    plt.rcParams.update({
        "figure.dpi": 100, "font.size": 10, "axes.titlesize": 11, "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False,
        "figure.constrained_layout.use": True, "svg.hashsalt": "a1",
    })  # fmt: skip


def show_images(images, titles, columns, title_color="black"):
    """Grid of uint8 images [N, 3, H, W], each under its title."""
    rows = -(-len(images) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(1.45 * columns, 1.72 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles):
        ax.imshow(image.permute(1, 2, 0).cpu(), interpolation="nearest")
        ax.set_title(title, fontsize=9, color=title_color)
    plt.show()


def plot_history(runs, measure, label):
    """One measure ("acc" or "loss") of each run per epoch: training dashed, validation solid.

    runs: {model name: Run}; the dot marks the epoch whose weights were kept.
    """
    fig, ax = plt.subplots(figsize=(7, 3.6))
    for name, run in runs.items():
        epochs = [epoch["epoch"] for epoch in run.history]
        for part, style in (("train", "--"), ("val", "-")):
            values = [epoch[f"{part}_{measure}"] for epoch in run.history]
            ax.plot(epochs, values, style, color=COLORS[name], label=f"{NAMES[name]}, {part}")
        best = run.record["best_epoch"]
        ax.plot(best, run.history[best - 1][f"val_{measure}"], "o", color=COLORS[name])
    ax.set(xlabel="epoch", ylabel=label, xticks=epochs[:: max(1, len(epochs) // 10)])
    ax.legend()
    return fig, ax


def plot_confusion(y, predicted, classes):
    """Confusion matrix: counts, coloured by the share of the true class."""
    counts = confusion_matrix(y, predicted, labels=range(len(classes)))
    fig, ax = plt.subplots(figsize=(4.4, 3.6))
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    sns.heatmap(shares, annot=counts, fmt=",d", cmap="Blues", vmin=0, vmax=1, square=True,
                xticklabels=classes, yticklabels=classes, cbar_kws={"label": "share of the true class"}, ax=ax)  # fmt: skip
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.grid(False)
    plt.show()
    return counts


def plot_mistakes(images, y, probs, classes, columns=6):
    """The surest mistakes of every kind: a row for each pair of true and predicted class, surest first.

    images: uint8 [N, 3, H, W]; y: int64 [N]; probs: [N, K]. Titles give the probability of the wrong answer.
    """
    predicted, sure = probs.argmax(1), probs.max(1).values
    pairs = [(true, said) for true in range(len(classes)) for said in range(len(classes)) if true != said]
    fig, axes = plt.subplots(len(pairs), columns, figsize=(1.35 * columns, 1.36 * len(pairs)), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for row, (true, said) in zip(axes, pairs):
        found = ((y == true) & (predicted == said)).nonzero()[:, 0]
        row[0].text(-0.12, 0.5, f"{classes[true]}\ntaken for\n{classes[said]}\n({len(found)})", ha="right",
                    va="center", fontsize=9, transform=row[0].transAxes)  # fmt: skip
        for ax, index in zip(row, found[sure[found].argsort(descending=True)]):
            ax.imshow(images[index].permute(1, 2, 0).cpu(), interpolation="nearest")
            ax.set_title(f"{sure[index]:.0%}", fontsize=8, pad=2)
    plt.show()


def plot_study(variants, measures, colors):
    """Runs of a study per epoch, a panel for each measure: mean over the seeds as a line, range as a band.

    variants: {label: Runs of one variant}; measures: {name in the history: axis label}; colors: as variants.
    Returns figure and axes; the legend is in the last one.
    """
    fig, axes = plt.subplots(1, len(measures), figsize=(9.5, 3.3))
    for ax, (measure, title) in zip(axes, measures.items()):
        for (label, runs), color in zip(variants.items(), colors):
            values = curves(runs, measure)
            epochs = range(1, values.shape[1] + 1)
            ax.plot(epochs, values.mean(0), color=color, label=label)
            ax.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.2, linewidth=0)
        ax.set(xlabel="epoch", ylabel=title, xticks=epochs[:: -(-len(epochs) // 10)])
    axes[-1].legend(fontsize=9)
    return fig, axes


def read_events(run):
    """Scalars of a run's TensorBoard event files: {"loss/val": ([epoch, ...], [value, ...]), ...}."""
    # A run that was interrupted left a file for each start, which may repeat epochs: the last one counts.
    folder = run.path.parent / "tensorboard" / run.path.stem
    log = EventAccumulator(str(folder), purge_orphaned_data=False).Reload()
    scalars = {tag: {event.step: event.value for event in log.Scalars(tag)} for tag in log.Tags()["scalars"]}
    return {
        tag: (sorted(values), [values[step] for step in sorted(values)]) for tag, values in scalars.items()
    }


def plot_events(run, color):
    """Accuracy and loss of a run as TensorBoard logged them; returns the figure."""
    events = read_events(run)
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for ax, measure, label in zip(axes, ("acc", "loss"), ("accuracy", "cross-entropy")):
        for part, style in (("train", "--"), ("val", "-")):
            ax.plot(*events[f"{measure}/{part}"], style, color=color, label=f"{measure}/{part}")
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
        ax.legend()
    axes[1].set_ylim(0, 1.2)
    return fig


def show_svg(fig, name):
    """Show a figure as SVG and leave it as figures/`name`.svg."""
    path = OUT / "figures" / f"{name}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)
    display(SVG(filename=str(path)))
