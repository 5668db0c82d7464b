# %% [markdown]
# # Part II. The vanishing gradient, measured
#
# From PyTorch's default start, which a network gets unless told otherwise, VGG-Deep's first layer gets {{default.ratio:,.0f}} times less gradient than its last
# convolution, and the network stays at chance. From He's start nothing vanishes: the same short training reaches {{depth.vgg_deep_he:.1%}} in validation, eight epochs of plain SGD on all photos
# {{vgg_deep.test_acc:.1%}} of the test photos. One factor a layer, set by the variance of the weights, predicts how much of the signal reaches the first layer. ResNet-18 learns from either start: its batch norm
# prevents the vanishing alone, its shortcuts nearly so.
#
# | model | train accuracy | validation | test, 95% interval | test loss | parameters | required |
# |---|---|---|---|---|---|---|
# | VGG-Deep, plain SGD from He's start | {{vgg_deep.train_acc:.1%}} | {{vgg_deep.val_acc:.1%}} | **{{vgg_deep.test_acc:.1%}}** ({{vgg_deep.test_low:.1%}} to {{vgg_deep.test_high:.1%}}) | {{vgg_deep.test_loss:.3f}} | {{vgg_deep.parameters:,}} | none |
# | VGG-16C, same recipe, its own rate | {{plain.vgg16c_train:.1%}} | {{plain.vgg16c_val:.1%}} | not read | | {{vgg16c.parameters:,}} | |
#
# | the assignment asks for | where | shown in |
# |---|---|---|
# | 1 VGG-Deep | [1](#ii-1) | code, layer table |
# | 2 training with plain SGD | [2](#ii-2) | Figure {{fig:training}} |
# | 3 (a) gradients recorded by hooks | [3 (a)](#ii-3a) | code |
# | 3 (b) plots of all layers and of four | [3 (b)](#ii-3b1), [subset](#ii-3b2) | Figures {{fig:layers}}, {{fig:chosen}} |
# | 3 (c) what they show | [3 (c)](#ii-3c) | Figure {{fig:flow}}, tables |
# | 4 (a) comparison with VGG-16 and ResNet-18 | [4 (a)](#ii-4a) | Figures {{fig:full}}, {{fig:three}}, table |
# | 4 (b) residual connections | [4 (b)](#ii-4b) | Figure {{fig:parts}}, table |
# | 5 investigations, all six | [(a)](#ii-5a), [(b)](#ii-5b), [(c)](#ii-5c), [(d)](#ii-5d), [(e)](#ii-5e), [(f)](#ii-5f) | Figures {{fig:kernels}} to {{fig:filters}}, tables |
# | 6 discussion | [(a)](#ii-6a), [(b)](#ii-6b), [(c)](#ii-6c), [(d)](#ii-6d), [(e)](#ii-6e) | tables |

# %% [markdown]
# ## Setup

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("torchinfo") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "torchinfo"], check=True)

# %%
import ast
import hashlib
import inspect
import json
import os
import random
import shutil
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import LogFormatterSciNotation
import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from filelock import FileLock
from IPython.display import display
from scipy.stats import binomtest, dunnett
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau
from torch.utils.tensorboard import SummaryWriter
from torchinfo import summary
from torchvision.io import ImageReadMode, decode_image, read_file

# %%
from a1.setup import low_precision, setting, use_device
from a1.setup import DEVICE, LOW, FULL, RETRAIN, RUNS, seed_everything

use_device(DEVICE, FULL)
seed_everything(0)

# %% [markdown]
# ## Data
#
# Part I's photos, split, standardisation and augmentation, from the same functions and the same seed; Part I explains them.

# %%
from a1.files import data_places

# %%
from a1.photos import CLASSES, unpack, find_photos, load_photos

# %%
from a1.plots import STYLE

images, labels, files = load_photos(None if FULL else 150)
plt.rcParams.update(STYLE)
shown = torch.arange(9) + torch.arange(3).repeat_interleave(3) * (len(images) // 3)
plt.figure(figsize=(9, 1.2))
plt.imshow(torch.cat(tuple(images[shown]), dim=2).permute(1, 2, 0))
plt.axis("off")
plt.show()

# %% [markdown]
# **Figure {{fig:samples}}.** Three photos of dogs, of food and of vehicles, 64x64 pixels each.

# %%
from a1.photos import PARTS, split_indices, random_flip, random_shift, color_jitter, AUGMENTATIONS

# %%
from a1.photos import Classification

# %%
from a1.photos import Photos

# %%
split = split_indices(images, labels)
data = Photos(images, labels, split, files)
pd.DataFrame({p: labels[split[p]].bincount().numpy() for p in PARTS}, CLASSES)

# %% tags=["facts"]
facts = {"data": f"{len(images):,} photos"}

# %% [markdown]
# ## 1. VGG-Deep <a id="ii-1"></a>
#
# Part I's VGG-16C gets four more convolutions. Three decisions:
#
# - **Where.** At the end of block 5, before its pooling, where a 64-pixel photo has 4x4 positions. Behind the last pooling it has 2x2, where more than half of
#   what a 3x3 kernel reads is padding, so that its outer weights get less gradient for that alone. (Photos of 32 pixels have 2x2 in block 5, too.)
# - **Which.** 3x3, stride 1, padding 1, ReLU, as VGG's other 3x3 layers.
# - **How wide.** 640, 768, 896, 1024: VGG doubles its filters from block to block; without a pooling in between the doubling is taken in four equal steps.
#
# No dropout, no batch norm, and in training no weight decay and no label smoothing. Part I's two networks follow first, as they are there.

# %%
from a1.models.vgg import VGG16C_BLOCKS, INITS, VGG16C

# %%
from a1.models.resnet import BasicBlock, ResNet18

# %%
from a1.models.vgg_deep import VGG_DEEP_BLOCKS, initialise, VGGDeep

# %%
WIDTH = 1 if FULL else 0.125
make_vgg, make_deep = partial(VGG16C, dropout=0, width=WIDTH), partial(VGGDeep, width=WIDTH)
ours, base = ([str(layer) for layer in make().features] for make in (make_deep, make_vgg))
assert ours[:30] == base[:30] and ours[-2:] == base[-2:] and len(ours) == len(base) + 2 * 4
assert not any(isinstance(m, nn.Dropout | nn.BatchNorm2d) for m in make_deep().modules())
columns, rows = ["maps", "filters, 3x3 unless noted", "parameters", "M multiply-adds"], []
for layer in summary(make_deep(), (1, 3, 64, 64), verbose=0).summary_list:
    if layer.class_name in ("Conv2d", "Linear"):
        filters, *side = map(str, layer.output_size[1:])
        filters += " (1x1)" * (layer.kernel_size == [1, 1])
        rows.append(("x".join(side) or "linear", filters, layer.num_params, layer.macs / 1e6))
table = pd.DataFrame(rows, columns=columns).groupby("maps", sort=False)
table.agg(dict(zip(columns[1:], (", ".join, "sum", "sum")))).round(1)

# %% [markdown]
# A row for each size of the maps: every block ends in max-pooling, the last after the four new convolutions. The assertions say that the first thirteen convolutions and all pools are VGG-16C's and that nothing
# regularises. All in all {{vgg_deep.parameters:,}} parameters (5 (f)). On its main path VGG-Deep now has as many convolutions as ResNet-18, seventeen, so that section 4 compares networks of nearly equal depth.

# %% tags=["facts"]
facts = {"vgg_deep.parameters": sum(w.numel() for w in make_deep().parameters())}

# %% [markdown]
# ## Part I's training loop
#
# With one more optimizer: SGD without momentum. Results are kept in `runs/` and used again only where recipe, data and code are the same; the next ten cells can be skipped.

# %%
from a1.train import SAVE_EVERY, RECIPE, OPTIMIZERS, SCHEDULES, evaluate

OPTIMIZERS["plain_sgd"] = SGD

# %%
from a1.train import train

# %%
from a1.records import TOLERANCE, FAINT, probe

# %%
from a1.files import atomic_write

# %%
from a1.records import differs, read, find

# %%
from a1.records import finish

# %%
from a1.records import train_once

# %%
from a1.studies import study_indices, run_study

# %%
from a1.compute import compute_once


def fingerprint(make_model):
    """What a network starts from and computes, in two numbers: a result belongs to its network."""
    seed_everything(0)
    model = make_model().eval()
    with torch.no_grad():
        output = model(torch.ones(1, 3, 32, 32))
        start = sum(weight.norm() for weight in model.parameters())
    return [f"{float(value):.4g}" for value in (start, output.norm())]


# %%
from a1.plots import COLORS, NAMES
from a1.evaluate import metrics_table


def plot_curves(histories, grows=()):
    """Loss and accuracy per epoch of {net: histories of its seeds}: means, and bands from the
    lowest to the highest; chance is dotted, and so are epochs after which the photos grow."""
    _, axes = plt.subplots(1, 2, figsize=(9, 2.6))
    for ax, measure, chance in zip(axes, ("loss", "acc"), (np.log(3), 1 / 3)):
        for net, some in histories.items():
            for part, style in (("train", "--"), ("val", "-")):
                seeds = pd.DataFrame([h.set_index("epoch")[f"{part}_{measure}"] for h in some])
                ax.plot(seeds.mean(), style, color=COLORS[net], label=f"{NAMES[net]}, {part}")
                ax.fill_between(seeds.columns, seeds.min(), seeds.max(), fc=COLORS[net], alpha=0.15)
        for epoch in grows:
            ax.axvline(epoch + 0.5, color="gray", lw=1, ls=":")
        ax.axhline(chance, color="gray", lw=1, ls=":")
        ax.set(xlabel="epoch", ylabel={"loss": "cross-entropy", "acc": "accuracy"}[measure])
        ax.locator_params(axis="x", integer=True)
    axes[1].legend(fontsize=8)
    plt.show()


# %% [markdown]
# ## 2. Training with plain SGD <a id="ii-2"></a>
#
# **The rate** comes from a short study: {{depth.photos:,}} photos at 32 pixels, two epochs ({{depth.steps}} steps), one seed. All else is fixed: no momentum, a constant rate, batches of 64, no decay, no smoothing; photos and augmentation are Part I's. The study trains all three networks from three starts; 3 (c) reads the rest.

# %%
from a1.models.vgg_deep import Nothing, ResNet18From

# %%
PLAIN = RECIPE | {"batch_size": 64, "optimizer": "plain_sgd", "schedule": "constant"}
PLAIN |= {"weight_decay": 0, "label_smoothing": 0}
NETS = {"vgg16c": make_vgg, "vgg_deep": make_deep}
NETS["resnet18"] = partial(ResNet18From, width=64 if FULL else 16)
STARTS, RATES = ("default", "xavier", "he"), (0.01, 0.03, 0.1) if FULL else (0.01,)
short = PLAIN | {"epochs": 2 if FULL else 6}
short_set = study_indices(labels, split, *((3000, 500) if FULL else (60, 20)))
short_data = Photos(images, labels, short_set, files, size=32)

cells = [(net, start, lr) for net in NETS for start in STARTS for lr in RATES]
tried = {f"{n}-{s}-{lr}": (partial(NETS[n], init=s), short | {"lr": lr}) for n, s, lr in cells}
depth = run_study("depth", tried, (0,), short_data)
depth[["net", "start", "lr"]] = cells
depth["train_loss"] = [history["train_loss"].iloc[-1] for history in depth["history"]]
sizes = {part: len(y) for part, y in short_data.y.items()}
print(sizes, "photos,", short["epochs"] * short_data.steps(short), "steps; VGG-Deep, He's start:")
shown = depth[(depth["net"] == "vgg_deep") & (depth["start"] == "he")].set_index("lr")
shown[["train_loss", "train_acc", "val_acc"]].round(4)

# %% tags=["facts"]
facts = {"depth.photos": sizes["train"], "depth.val": sizes["val"]}
facts["depth.steps"] = short["epochs"] * short_data.steps(short)

# %%
eight = PLAIN | {"epochs": 8 if FULL else 4, "image_sizes": [32] * 5 + [48] * 2 if FULL else [32]}
deep = train_once("vgg_deep/seed0", make_deep, eight | {"lr": 0.03 if FULL else 0.01}, data)
history = pd.DataFrame(deep["history"]).drop(columns=["lr", "seconds"])
plot_curves({"vgg_deep": [history]}, (5, 7))
display(metrics_table(deep))
history.set_index("epoch").T.round(4)

# %% [markdown]
# **Figure {{fig:training}}.** VGG-Deep under plain SGD, He's start. Dotted lines: training photos grow from 32 to 48 and to 64 pixels; validation is at 64 throughout. Also dotted: chance, a loss of ln 3.
#
# Training is slow and smooth: its loss falls from {{deep.first_loss:.3f}} to {{deep.last_loss:.3f}}, in every epoch but the first at 48 pixels. Validation, at 64 pixels, starts at chance ({{deep.first_val:.1%}}), is at {{deep.small_val:.1%}} when the 32-pixel epochs
# end, and at {{deep.last_val:.1%}} once the photos have grown.
#
# In the short study 0.03 is the best rate. At 0.1 the loss stays at $\ln 3 = 1.0986$, a constant guess's, although the gradients were healthy at first: the steps were too long. So a loss *at* $\ln 3$ has two causes, and the gradients of the first step tell them apart.
#
# A test accuracy of {{vgg_deep.test_acc:.1%}} is well below that of Part I's VGG-16C ({{a1_part_1/vgg16c.test_acc:.1%}}), as the assignment expects. But the gap to training is {{deep.gap:.1f}} points: the network is unfinished, not overfitted, and nothing broke down. Section 4 asks how much of the distance the four layers can have caused.

# %% tags=["facts"]
facts = {f"vgg_deep.{key}": value for key, value in deep["metrics"].items()}
n = deep["sizes"]["test"]
low, high = binomtest(round(deep["metrics"]["test_acc"] * n), n).proportion_ci(method="wilson")
facts |= {
    "vgg_deep.test_low": float(low),
    "vgg_deep.test_high": float(high),
    "vgg_deep.run": "vgg_deep/seed0",
}
table = history.round(4)
facts |= {
    "deep.first_loss": float(table["train_loss"].iloc[0]),
    "deep.last_loss": float(table["train_loss"].iloc[-1]),
}
facts |= {
    "deep.first_val": float(table["val_acc"].iloc[0]),
    "deep.last_val": float(table["val_acc"].iloc[-1]),
}
facts["deep.small_val"] = float(table["val_acc"].iloc[eight["image_sizes"].count(32) - 1])
derived = {"deep.gap": "100 * (vgg_deep.train_acc - vgg_deep.test_acc)"}

# %% [markdown]
# ## 3. Gradient analysis
#
# ### 3 (a) Recording gradients with hooks <a id="ii-3a"></a>
#
# The assignment registers `register_full_backward_hook` on `layer.weight`. That method belongs to modules; a weight is a tensor and has none:

# %%
hasattr(nn.Conv2d(3, 8, 3).weight, "register_full_backward_hook")

# %% [markdown]
# On the *module* the hook exists, but its `grad_output` is the gradient of the layer's **output**, another quantity (3 (c) shows how different). What is meant is `Tensor.register_hook` on the weight: it
# is handed what backward is about to put into `weight.grad`. Hooks *fire* from the last layer to the first, so the norms are kept by layer name; whoever numbers them as they come reverses the depth.

# %%
from a1.gradients import weight_layers, watch_gradients, watched_run

# %%
model = VGGDeep(width=0.125).to(DEVICE)
seen = watch_gradients(model)
x, y = next(data.batches("train", PLAIN | {"batch_size": 16}, 0))
F.cross_entropy(model(x), y).backward()
assert list(seen) == [f"conv{n}" for n in range(1, 18)] + ["fc1", "fc2", "fc3"]
for name, layer in weight_layers(model).items():
    torch.testing.assert_close(seen[name][0], layer.weight.grad.norm(p=2))
print(f"{len(seen)} layers: each hook's norm is that of weight.grad")

# %% [markdown]
# ### 3 (b) All layers and four of them over time <a id="ii-3b1"></a><a id="ii-3b2"></a>
#
# Two runs that differ in the start alone: VGG-Deep at a rate of 0.03 on the short study's photos for {{depth.steps}} steps, norms kept at every fifth. Both compute in {{watched.low}}, which has float32's range; the default's run is repeated in float32, and its average norms differ by at most {{watched.apart:.1%}}.


# %%
def watch_start(data, start, network, **recipe):
    """watched_run of VGG-Deep from one of STARTS."""
    return watched_run(partial(make_deep, init=start), recipe, data)


uses = (watched_run, watch_gradients, weight_layers, train)
norms, ends = {}, {}
for name in ("default", "he", "default-float32"):
    start = name.split("-")[0]
    low = name == start and LOW != torch.float16  # in float16 the smallest gradients are zero
    config = short | {"lr": 0.03, "amp": low, "start": start}
    config["network"] = fingerprint(partial(make_deep, init=start))
    run = compute_once(f"watched/{name}", watch_start, short_data, uses, **config)
    norms[name] = pd.DataFrame(run["norms"])
    norms[name].index = 5 * norms[name].index.rename("step")
    ends[name] = run["history"][-1]
apart = (norms["default"].mean() / norms["default-float32"].mean() - 1).abs().max()
print(f"low precision is {LOW}; in float32 average norms differ by at most {apart:.1%}")
TITLES = {"default": "PyTorch's default", "xavier": "Xavier's", "he": "He's"}


def digits(x):
    """A number with three digits: 0.0123, 12.3, 190,000."""
    return f"{float(f'{x:.3g}'):,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def plot_norms(layers, colors, **options):
    """Gradient norms over time, a line a layer, averaged over 20 steps; a panel a start."""
    fig, axes = plt.subplots(1, 2, figsize=(10, 3), **options)
    for ax, start in zip(axes, ("default", "he")):
        table = norms[start]
        table[layers].rolling(4, min_periods=1).mean().plot(ax=ax, color=colors, legend=False)
        ax.set(yscale="log", title=f"{TITLES[start]} start", ylabel="L2 norm of the gradient")
        ax.yaxis.set_minor_formatter(LogFormatterSciNotation(minor_thresholds=(2, 1)))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    plt.show()


convs = [name for name in norms["he"] if name.startswith("conv")]
plot_norms(convs, plt.cm.turbo(np.linspace(0.05, 0.95, len(convs))), sharey=True)

# %% [markdown]
# **Figure {{fig:layers}}.** Gradient norm of each of VGG-Deep's 17 convolutions (averages over 20 steps), on one scale. From the default start the layers lie roughly in order of depth, over six decades, and hardly move; from
# He's they lie close together.

# %%
plot_norms(["conv2", "conv5", "conv8", "conv17"], sns.color_palette("Dark2"))
phases = {}
for start in ("default", "he"):
    for step in (0, 10):
        phases[TITLES[start], f"step {step}"] = norms[start].loc[step]
    phases[TITLES[start], "last 50"] = norms[start].iloc[-10:].mean()
phases = pd.DataFrame(phases)
display(phases.loc[["conv1", "conv2", "conv5", "conv8", "conv17", "fc3"]].map(digits))
last = pd.DataFrame(ends).T[["train_loss", "train_acc", "val_loss", "val_acc"]]
last.rename(TITLES | {"default-float32": "PyTorch's default, float32"}).round(4)

# %% [markdown]
# **Figure {{fig:chosen}}.** The 2nd, 5th, 8th and deepest convolution, each panel on its own scale; averages over 20 steps, which soften and delay the first fall.
#
# **Default start.** In {{depth.steps}} steps nothing happens: conv1's gradient stays near two billionths, the training loss at {{watched.default_loss:.4f}} and validation at {{watched.default_val:.1%}}. In float32 it is
# the same, so rounding is not the cause. (Training columns are averages over the last epoch, augmentation on.)
#
# **He's start.** The most visible event is the first: in ten steps conv17's norm falls from {{he.conv17_0:.2f}} to {{he.conv17_10:.2f}}, fc3's from {{he.fc3_0:.2f}} to {{he.fc3_10:.2f}} and conv1's only from {{he.conv1_0:.3f}} to {{he.conv1_10:.3f}}, probably as the large random
# logits that all photos share are unlearned. Then all layers rise and fall together while features are learned; validation reaches {{watched.he_val:.1%}}.

# %% tags=["facts"]
facts = {"watched.low": str(LOW).removeprefix("torch."), "watched.apart": round(float(apart), 3)}
for s, end in ends.items():
    key = s.replace("-", "_")
    facts |= {f"watched.{key}_loss": end["train_loss"], f"watched.{key}_val": end["val_acc"]}
for layer in ("conv1", "conv17", "fc3"):
    for step in (0, 10):
        facts[f"he.{layer}_{step}"] = float(f"{norms['he'].loc[step, layer]:.3g}")

# %% [markdown]
# ### 3 (c) What the norms show <a id="ii-3c"></a>
#
# The assignment expects norms that fall towards the early layers. A fair test uses one protocol for every ratio: fresh networks, 64 pixels, float32, averages over ten batches of 64
# photos, the same for all. Beside the weight's gradient it measures the two signals that make it: what comes *back* to the layer's output, and what goes *forward* into the layer.

# %%
from a1.gradients import measure_flow


# %%
def flow(data, net, start, batches, network, **options):
    """measure_flow of one of NETS from one of STARTS."""
    make = partial(NETS[net], init=start, **options)
    return measure_flow(make, data, PLAIN, batches).to_dict()


def get_flow(net, start, suffix="", **options):
    """The same as a table, computed once."""
    network = fingerprint(partial(NETS[net], init=start, **options))
    options |= {"net": net, "start": start, "network": network, "batches": 10 if FULL else 1}
    uses = (measure_flow, weight_layers)
    return pd.DataFrame(compute_once(f"flow/{net}-{start}{suffix}", flow, data, uses, **options))


flows = {(n, s): get_flow(n, s) for n in ("vgg_deep", "resnet18") for s in STARTS}
SIGNALS = {"output": "gradient of the output", "input": "RMS of the input"}
SIGNALS["weight"] = "gradient of the weight"
_, axes = plt.subplots(1, 3, figsize=(10, 2.8))
for ax, (signal, title) in zip(axes, SIGNALS.items()):
    for start, color in zip(STARTS, sns.color_palette("Dark2")):
        values = flows["vgg_deep", start][signal].to_numpy()
        ax.semilogy(range(1, 21), values, ".-", color=color, label=TITLES[start])
    ax.set(xlabel="layer (18 to 20: linear)", title=title, xticks=(1, 5, 9, 13, 17))
axes[1].legend(title="start", fontsize=8, title_fontsize=8, loc="lower left")
plt.show()
tables = pd.concat({TITLES[s]: flows["vgg_deep", s][[*SIGNALS]] for s in STARTS})
first, last = tables.xs("conv1", level=1), tables.xs("conv17", level=1)
ratio = {"conv1": first, "conv17 / conv1": last / first}
pd.concat(ratio, axis=1).rename(columns=SIGNALS).map(digits)

# %% [markdown]
# **Figure {{fig:flow}}.** VGG-Deep before its first step, layer by layer.
#
# **From the default start gradients vanish**: conv17's weights get {{default.ratio:,.0f}} times the gradient of conv1's. From He's the ratio is {{he.ratio:.0f}}, and that is no vanishing: a factor of 17 in it comes from a unit's inputs, of which conv17 has 299 times as many as
# conv1 (6 (b)). The output's gradient, which no number of inputs inflates, changes by a factor of {{he.output_ratio:.2f}} over sixteen layers, the input's size by {{he.input_ratio:.2f}}. A factor of {{he.left:.1f}} is left, which these do not explain.
#
# **`grad_output` is not the weight's gradient**: with the default start the hook of the assignment would report a ratio of {{default.output_ratio_m:.2f}} million, not {{default.ratio_k:.0f}} thousand. It leaves out the input: at conv17 its size
# is {{default.input_ratio:.4f}} times that at conv1, the number of inputs 299 times.
#
# **Slope or level.** Xavier's ratio is {{xavier.ratio:.1f}}, which looks healthier than He's. Yet its conv1 gets {{xavier.below_he:,.0f}} times less than He's: both signals fade, in opposite directions, so that their product is low at *every* layer. A ratio near 1 proves nothing.

# %% tags=["facts"]
facts = {}
for start in STARTS:
    table = flows["vgg_deep", start]
    facts[f"flow.{start}.weight.conv1"] = float(f"{table.loc['conv1', 'weight']:.3g}")
    ratio = {s: table.loc["conv17", s] / table.loc["conv1", s] for s in SIGNALS}
    facts |= {
        f"{start}.ratio": float(f"{ratio['weight']:.3g}"),
        f"{start}.output_ratio": float(f"{ratio['output']:.3g}"),
    }
    facts |= {f"{start}.input_ratio": float(f"{ratio['input']:.3g}")}
derived = {
    "default.ratio_k": "default.ratio / 1000",
    "default.output_ratio_m": "default.output_ratio / 1e6",
    "xavier.below_he": "flow.he.weight.conv1 / flow.xavier.weight.conv1",
    "he.left": "he.ratio / (299 ** 0.5 * he.output_ratio * he.input_ratio)",
}

# %% [markdown]
# **Depth or start?** The short study of section 2, each network at the best of its three rates:

# %%
at_best = depth.loc[depth.groupby(["net", "start"], sort=False)["val_acc"].idxmax()]
table = at_best.pivot(index="net", columns="start", values=["val_acc", "lr"]).astype(float)
columns = [(measure, start) for measure in ("val_acc", "lr") for start in STARTS]
table.loc[list(NETS), columns].rename(index=NAMES, columns=TITLES | {"lr": "rate"}).round(4)

# %% [markdown]
# One seed each, so a few points mean nothing. *At equal start* depth matters from Xavier's only: VGG-16C learns ({{depth.vgg16c_xavier:.1%}}) where VGG-Deep has barely begun. From the default neither learns at any of the three rates; from He's both do, and at this depth no price of the four layers shows.
#
# *At equal depth* the start takes VGG-Deep from {{depth.vgg_deep_default:.1%}} via {{depth.vgg_deep_xavier:.1%}} to {{depth.vgg_deep_he:.1%}}. ResNet-18 learns from all three ({{depth.resnet18_default:.1%}}, {{depth.resnet18_xavier:.1%}}, {{depth.resnet18_he:.1%}}).

# %% tags=["facts"]
facts = {
    f"depth.{net}_{start}": float(table["val_acc"].round(4).loc[net, start])
    for net in NETS
    for start in STARTS
}

# %% [markdown]
# ## 4. Comparison with VGG-16C and ResNet-18
#
# ### 4 (a) Training curves <a id="ii-4a"></a>
#
# The three full-size networks as they were trained: VGG-Deep for 8 epochs of plain SGD, Part I's two for 20 with momentum, one cycle, decay and smoothing.

# %%
first = {"epochs": 20, "image_sizes": [32] * 8 + [48] * 5}
first = RECIPE | (first if FULL else {"epochs": 1, "batch_size": 16, "optimizer": "adamw"})
make_resnet = partial(ResNet18, width=64 if FULL else 16)
made = {"vgg16c": (partial(VGG16C, width=WIDTH), 0.02), "resnet18": (make_resnet, 0.1)}
part_1 = {
    name: train_once(f"{name}/seed0", make, first | {"lr": lr if FULL else 0.001}, data)
    for name, (make, lr) in made.items()
}
plot_curves({n: [pd.DataFrame(r["history"])] for n, r in (part_1 | {"vgg_deep": deep}).items()})

# %% [markdown]
# **Figure {{fig:full}}.** Accuracy and cross-entropy per epoch at full size; dashed training, solid validation. Photos grow to 64 pixels after epoch 7 (VGG-Deep) and 13. Dotted: a guess.
#
# From the second epoch on VGG-Deep's training accuracy is below both others'. But they had another recipe, so this compares trainings rather than networks. So
# next come the three networks at a **quarter of their width**, on {{curves.photos:,}} photos of 32 pixels: plain SGD, 8 epochs, He's start, no dropout, each at the rate that was best for it in 3 (c), three seeds.

# %%
thin = {n: partial(NETS[n], init="he", width=16 if n == "resnet18" else 0.25) for n in NETS}
thin_set = study_indices(labels, split, *((1000, 500) if FULL else (60, 20)))
thin_data = Photos(images, labels, thin_set, files, size=32)
he_best = at_best[at_best["start"] == "he"].set_index("net")["lr"].to_dict()
recipe = PLAIN | {"epochs": 8 if FULL else 2}
tried = {f"{n}-{lr}": (thin[n], recipe | {"lr": lr}) for n, lr in he_best.items()}
thin_runs = run_study("curves", tried, (0, 1, 2), thin_data)

# %%
thin_runs[["net", "rate"]] = thin_runs["variant"].str.split("-").tolist()
plot_curves({net: list(rows["history"]) for net, rows in thin_runs.groupby("net", sort=False)})
means = thin_runs.groupby(["net", "rate"], sort=False)[["train_acc", "val_acc"]]
means = means.agg(["mean", "std"]).round(4)
means.rename(NAMES)

# %% [markdown]
# **Figure {{fig:three}}.** Accuracy and cross-entropy of the three narrow networks: means over three seeds (bands: their range), dashed training, solid validation. The dotted line is ln 3.
#
# ResNet-18 is ahead from the first epoch on and reaches {{curves.resnet18:.1%}} in validation, VGG-16C {{curves.vgg16c:.1%}}, VGG-Deep {{curves.vgg_deep:.1%}}, with a standard deviation of {{curves.vgg_deep_sd_points:.1f}} points against {{curves.vgg16c_sd_points:.1f}} and {{curves.resnet18_sd_points:.1f}}. The deeper plain network is behind, as the assignment expects, but by less than its own spread: above
# all, it learns less reliably. The three differ in rate as well as in depth (0.1, 0.01, 0.03), as each got its own.

# %% tags=["facts"]
facts = {"curves.photos": len(thin_data.y["train"])}
for (net, _), row in means.iterrows():
    facts |= {
        f"curves.{net}": float(round(row["val_acc", "mean"], 4)),
        f"curves.{net}_sd": float(round(row["val_acc", "std"], 4)),
    }
derived = {
    "curves.vgg_deep_sd_points": "100 * curves.vgg_deep_sd",
    "curves.vgg16c_sd_points": "100 * curves.vgg16c_sd",
    "curves.resnet18_sd_points": "100 * curves.resnet18_sd",
}

# %% [markdown]
# **What costs what, at full size?** VGG-16C was trained once more with VGG-Deep's recipe and resolutions (its best rate in 2 is 0.01); Part I's two runs stand beside it.

# %%
train_val = Photos(images, labels, {part: split[part] for part in ("train", "val")}, files)
plain = train_once("plain/vgg16c-seed0", make_vgg, eight | {"lr": 0.01}, train_val)
four = {"VGG-Deep, plain SGD": deep, "VGG-16C, plain SGD": plain}
four |= {f"{NAMES[net]}, Part I's": run for net, run in part_1.items()}
table = pd.DataFrame([run["metrics"] for run in four.values()], list(four)).round(4)
table["epochs"] = [len(run["history"]) for run in four.values()]
table["rate"] = [run["recipe"]["lr"] for run in four.values()]
table[["epochs", "rate", "train_loss", "train_acc", "val_loss", "val_acc"]]

# %% [markdown]
# At full width, on seven times as many photos, the distance is smaller. With the recipe held fixed but for the rate, **VGG-Deep is {{plain.depth:.1f}} points of validation accuracy behind VGG-16C; Part I's whole recipe is worth {{plain.recipe:.1f}}**. One run each, and VGG-16C's rate of 0.01 is the edge of its search: a price of depth is possible, and small. Part I's ResNet-18 ({{part_1.resnet18_val:.1%}}) had its own recipe.

# %% tags=["facts"]
facts = {
    "plain.vgg_deep_val": float(deep["metrics"]["val_acc"]),
    "plain.vgg16c_val": float(plain["metrics"]["val_acc"]),
}
facts |= {"plain.vgg16c_train": float(plain["metrics"]["train_acc"])}
facts |= {f"part_1.{n}_val": float(run["metrics"]["val_acc"]) for n, run in part_1.items()}
derived = {
    "plain.depth": "100 * (plain.vgg16c_val - plain.vgg_deep_val)",
    "plain.recipe": "100 * (part_1.vgg16c_val - plain.vgg16c_val)",
}

# %% [markdown]
# ### 4 (b) Residual connections and the flow of gradients <a id="ii-4b"></a>
#
# A residual block has a path around its two convolutions, so the gradient at its output reaches its input once without any weight in between. That should keep gradients alive whatever the start. Measured as in 3 (c), with *which* of ResNet-18's two ingredients does it: fresh networks with and without shortcuts, with and without batch norm.

# %%
PARTS_OF = {"shortcuts and batch norm": (True, True), "batch norm only": (False, True)}
PARTS_OF |= {"shortcuts only": (True, False), "neither": (False, False)}
_, axes = plt.subplots(1, 2, figsize=(10, 2.8), sharey=True)
passed = {}
for ax, start in zip(axes, ("default", "he")):
    for (label, on), color in zip(PARTS_OF.items(), sns.color_palette("Dark2")):
        table = flows["resnet18", start]
        if not all(on):
            options = {"shortcuts": on[0], "batch_norm": on[1]}
            table = get_flow("resnet18", start, f"-{label.replace(' ', '_')}", **options)
        values = table.loc[[f"conv{n}" for n in range(1, 18)], "output"]
        passed[label, TITLES[start]] = values["conv1"] / values["conv17"]
        ax.semilogy(range(1, 18), values / values["conv17"], ".-", color=color, label=label)
    ax.set(xlabel="convolution, main path", title=f"{TITLES[start]} start")
axes[0].set_ylabel("gradient of the output,\nrelative to the deepest")
axes[1].legend(fontsize=8)
plt.show()
display(pd.Series(passed).map(digits).unstack(0, sort=False))
grads = pd.DataFrame({(NAMES[n], TITLES[s]): table["weight"] for (n, s), table in flows.items()})
grads = grads.loc[["conv1", "conv17"]]
grads.loc["conv17 / conv1"] = grads.loc["conv17"] / grads.loc["conv1"]
grads.map(digits)

# %% [markdown]
# **Figure {{fig:parts}}.** Gradient of each convolution's output in fresh ResNet-18s, relative to the deepest one's. From conv3 on odd convolutions close a block and get the gradient of its sum directly, hence the saw-teeth.
#
# **Which ingredient.** From the default start conv1 gets {{parts.neither_m:.2f}} millionths of the deepest gradient with neither, {{parts.shortcuts:.3f}} times it with shortcuts only (from He's {{parts.he_shortcuts:.0f}} times), {{parts.batch_norm:.1f}} times with batch norm only, {{parts.both:.1f}} times with both. So batch norm suffices, and overshoots: the gradient *grows* towards the input. Shortcuts alone keep one part
# in {{parts.lost:.0f}} where otherwise less than a millionth survives.
#
# Together, shortcuts halve batch norm's growth, from He's start too ({{parts.he_batch_norm:.1f}} to {{parts.he_both:.1f}}; one draw of weights each). So ResNet-18 hardly minds the start: conv1's weights get gradients that differ by a factor of {{start.resnet_spread:.1f}} over the three starts, in VGG-Deep by {{start.deep_spread_m:.0f}} million (second table).

# %% tags=["facts"]
short_names = {
    "shortcuts and batch norm": "both",
    "batch norm only": "batch_norm",
    "shortcuts only": "shortcuts",
    "neither": "neither",
}
facts = {}
for label, key in short_names.items():
    facts[f"parts.{key}"] = float(f"{passed[label, TITLES['default']]:.3g}")
    facts[f"parts.he_{key}"] = float(f"{passed[label, TITLES['he']]:.3g}")
for net in ("vgg_deep", "resnet18"):
    for start in STARTS:
        facts[f"start.{net}.{start}.first"] = float(
            f"{flows[net, start].loc['conv1', 'weight']:.3g}"
        )
derived = {
    "parts.lost": "1 / parts.shortcuts",
    "parts.neither_m": "1e6 * parts.neither",
    "start.resnet_spread": "max(start.resnet18.xavier.first, start.resnet18.default.first, start.resnet18.he.first) / min(start.resnet18.xavier.first, start.resnet18.default.first, start.resnet18.he.first)",
    "start.deep_spread_m": "start.vgg_deep.he.first / start.vgg_deep.default.first / 1e6",
}

# %% [markdown]
# ## 5. Investigations
#
# All six. The first four share a base: three 3x3 convolutions (32, 64, 128 filters, each with ReLU and max-pooling) and two linear layers, on {{small.photos:,}} training and as many validation photos of 32 pixels, 12 epochs of SGD with momentum and one cycle.
#
# Each variant gets its *own* rate, the best of five with seed 0, then three seeds; otherwise a ranking would say which variant suits the common rate. Ten variants are compared with one base, so **p-values are Dunnett's**: many means against one control, corrected for all ten at once.

# %%
from a1.models.small import ACTIVATIONS, POOLS, SmallVGG

# %%
VARIANTS = {"base": {}, "5x5": {"kernel_size": 5}, "7x7": {"kernel_size": 7}}
VARIANTS |= {f"{k}x{k}_narrow": {"kernel_size": k, "width": w} for k, w in ((5, 0.58), (7, 0.4))}
VARIANTS |= {name: {"pointwise": name} for name in ("added", "bottleneck")}
VARIANTS |= {"average": {"pool": "avg"}}
VARIANTS |= {name: {"activation": name} for name in ("leaky_relu", "elu", "gelu")}
SEEDS = (0, 1, 2) if FULL else (0, 1)
small = RECIPE | {"epochs": 12 if FULL else 2, "batch_size": 64, "label_smoothing": 0}
small_set = study_indices(labels, split, *((1000, 1000) if FULL else (20, 20)))
small_data = Photos(images, labels, small_set, files, size=32)

cells = [(v, lr) for v in VARIANTS for lr in ((0.002, 0.006, 0.02, 0.06, 0.2) if FULL else (0.02,))]
tried = {f"{v}-{lr}": (partial(SmallVGG, **VARIANTS[v]), small | {"lr": lr}) for v, lr in cells}
search = run_study("small", tried, (0,), small_data)
search[["name", "lr"]] = cells
best = search.loc[search.groupby("name", sort=False)["val_acc"].idxmax()].set_index("name")
runs = run_study("small", {label: tried[label] for label in best["variant"]}, SEEDS, small_data)
runs["name"] = runs["variant"].str.split("-").str[0]
accs = runs.groupby("name", sort=False)["val_acc"].apply(list)
with warnings.catch_warnings(action="ignore"):  # the seeds of a rehearsal may agree exactly
    found = dunnett(*accs.drop("base"), control=accs["base"], random_state=0)
p_values = dict(zip(accs.index.drop("base"), found.pvalue))
error = 100 * (2 * runs.groupby("name")["val_acc"].var().mean() / len(SEEDS)) ** 0.5
print(f"{len(small_data.y['train']):,} photos; standard error of a difference {error:.2f} points")


# %%
def compare(names, cost=True):
    """Dots and a table of some variants {name: label}: means over the seeds; cost, or speed."""
    some = runs[runs["name"].isin(names)]
    ax = plt.figure(figsize=(6, 0.25 * len(names) + 0.7)).gca()
    sns.stripplot(x=some["val_acc"], y=some["name"].map(names), jitter=False, ax=ax)
    ax.set(xlabel="validation accuracy, a dot a seed", ylabel="")
    ax.locator_params(axis="x", nbins=4)
    plt.show()
    groups = some.groupby("name", sort=False)
    table = groups[["val_acc", "train_acc"]].mean().round(4).set_axis(["val", "train"], axis=1)
    table.insert(1, "sd", groups["val_acc"].std().round(4))
    table["p"] = [f"{p_values[name]:.3f}" if name in p_values else "" for name in table.index]
    table["rate"] = best["lr"]
    if not cost:
        reached = 0.75 if FULL else 0.3
        epochs = some["history"].map(lambda h: h["epoch"][h["val_acc"] >= reached].min())
        table["epochs to 75%"] = epochs.groupby(some["name"]).mean().round(1)
    for name in names if cost else ():
        info = summary(SmallVGG(**VARIANTS[name]), (1, 3, 32, 32), verbose=0)
        table.loc[name, "conv weights"] = f"{info.summary_list[1].num_params:,}"
        table.loc[name, "weights"] = f"{info.total_params:,}"
        table.loc[name, "M multiply-adds"] = round(info.total_mult_adds / 1e6, 1)
    return table.rename(names).rename_axis(None)


# %% tags=["facts"]
facts = {"small.photos": len(small_data.y["train"]), "small.error": float(f"{error:.2f}")}

# %% [markdown]
# ### 5 (a) Kernel size <a id="ii-5a"></a>
#
# A larger kernel sees further and costs more. To tell the two apart, 5x5 and 7x7 also come *narrow*, with as many multiply-adds as 3x3.

# %%
names = {"base": "3x3"} | {name: name.replace("_", " ") for name in VARIANTS if name[0] in "57"}
kernels = compare(names)
kernels["sees, pixels"] = [4 + 7 * (int(label[0]) - 1) for label in kernels.index]
kernels.drop(columns="weights")

# %% [markdown]
# **Figure {{fig:kernels}}.** Validation accuracy by kernel size.
#
# **No larger kernel is better**, at equal width or at equal cost: {{small.base:.1%}} with 3x3, {{small.k5:.1%}} and {{small.k7:.1%}} with 5x5 and 7x7, {{small.k5n:.1%}} and {{small.k7n:.1%}} narrow. No difference survives the correction for ten (p from {{p.k7n:.2f}} to {{p.k5:.2f}}).
#
# The receptive field grows by (kernel - 1) times the distance of neighbouring positions, which each pooling doubles: behind the third convolution {{field.base}} pixels with 3x3, {{field.k5}}
# with 5x5, {{field.k7}} with 7x7, wider than the photo's 32. What a larger kernel adds is *shared* context, wider shapes at every position. Its price is quadratic: {{mults.k7:.1f}} against
# {{mults.base:.1f}} million multiply-adds.

# %% tags=["facts"]
keys = {"base": "3x3", "k5": "5x5", "k7": "7x7", "k5n": "5x5 narrow", "k7n": "7x7 narrow"}
facts = {f"small.{key}": float(kernels.loc[name, "val"]) for key, name in keys.items()}
facts |= {f"field.{key}": int(kernels.loc[name, "sees, pixels"]) for key, name in keys.items()}
facts |= {f"mults.{key}": float(kernels.loc[name, "M multiply-adds"]) for key, name in keys.items()}
facts |= {f"p.{key}": float(kernels.loc[name, "p"]) for key, name in keys.items() if key != "base"}

# %% [markdown]
# ### 5 (b) 1x1 convolutions <a id="ii-5b"></a>
#
# A 1x1 convolution is a linear layer at each position: it mixes channels and sees no neighbours. It serves *recombination*, one more nonlinear step for a ninth of a 3x3 layer's weights (VGG-16C's third layers), and
# *reduction*, squeezing many channels into few before an expensive layer (Inception, ResNet-50). Both are tried: a 1x1 layer *added* after each convolution, and a *bottleneck* to a quarter of the channels before the second and third.

# %%
pointwise = compare({"base": "none", "added": "added", "bottleneck": "bottleneck"})
pointwise

# %% [markdown]
# **Figure {{fig:pointwise}}.** Validation accuracy without and with 1x1 convolutions.
#
# **The bottleneck is a trade**: {{pw.saved:.0%}} fewer convolution weights and {{pw.cheaper:.0%}} fewer multiply-adds for {{pw.bottleneck_points:.1f}} points of accuracy ({{small.bottleneck:.1%}} against {{small.base:.1%}}, p = {{p.bottleneck:.3f}}).
#
# **The added layers gain nothing**: they cost more and end at {{small.added:.1%}} (p = {{p.added:.2f}}). Training accuracy is lower, too ({{pw.added_train:.1%}} against {{pw.base_train:.1%}}), so it is no overfitting: six convolutions fit worse in twelve epochs than three.

# %% tags=["facts"]
facts = {f"small.{name}": float(pointwise.loc[name, "val"]) for name in ("added", "bottleneck")}
facts |= {f"p.{name}": float(pointwise.loc[name, "p"]) for name in ("added", "bottleneck")}
facts |= {
    "pw.added_train": float(pointwise.loc["added", "train"]),
    "pw.base_train": float(pointwise.loc["none", "train"]),
}
for key, name in (("base", "none"), ("bottleneck", "bottleneck")):
    facts[f"pw.{key}_convs"] = int(pointwise.loc[name, "conv weights"].replace(",", ""))
    facts[f"pw.{key}_mults"] = float(pointwise.loc[name, "M multiply-adds"])
facts["pw.base_weights"] = int(pointwise.loc["none", "weights"].replace(",", ""))
derived = {
    "pw.saved": "1 - pw.bottleneck_convs / pw.base_convs",
    "pw.cheaper": "1 - pw.bottleneck_mults / pw.base_mults",
    "pw.bottleneck_points": "100 * (small.base - small.bottleneck)",
}

# %% [markdown]
# ### 5 (c) Max pooling and average pooling <a id="ii-5c"></a>
#
# Both halve the resolution. The maximum keeps a filter's strongest answer, wherever in the window it was, and hands its gradient to that one position; the average keeps the mean and spreads the gradient over all four.

# %%
pooling = compare({"base": "max", "average": "average"}, cost=False)
pooling

# %% [markdown]
# **Figure {{fig:pooling}}.** Validation accuracy by pooling.
#
# Max pooling is ahead, {{pool.max:.1%}} to {{pool.avg:.1%}}, in validation and in training ({{pool.max_train:.1%}} and {{pool.avg_train:.1%}}), but three seeds do not settle it (p = {{p.average:.2f}}).
#
# *Which when.* The maximum asks **whether** a feature occurs: robust to small shifts, good where the presence of a texture or part tells the class. The average asks **how much** of it there is: nothing is lost to one outlier, but sparse answers are diluted by the zeros beside them. Where position matters
# (detection, segmentation) both blur it: pool less, and of the two averaging, which drops no pixel.

# %% tags=["facts"]
facts = {
    "pool.max": float(pooling.loc["max", "val"]),
    "pool.avg": float(pooling.loc["average", "val"]),
}
facts |= {
    "pool.max_train": float(pooling.loc["max", "train"]),
    "pool.avg_train": float(pooling.loc["average", "train"]),
}
facts["p.average"] = float(pooling.loc["average", "p"])

# %% [markdown]
# ### 5 (d) Activation functions <a id="ii-5d"></a>
#
# | | for $z<0$ | its slope there | can a unit die? |
# |---|---|---|---|
# | ReLU | $0$ | $0$ | yes: negative for all photos, no gradient, no way back |
# | Leaky ReLU | $0.01 z$ | $0.01$ | no, but a hundredth of the gradient |
# | ELU | $e^z - 1$ | $e^z$ | only far below zero; mean output nearer to zero |
# | GELU | $z\,\Phi(z)$ | $\Phi(z) + z\,\varphi(z)$, negative below $-0.75$ | only far below zero; smooth |
#
# All start from He's with ReLU's gain. A unit is counted as *silent* if its input is positive on none of the {{small.photos:,}} validation photos; a silent ReLU is as good as dead.

# %%
from a1.gradients import silent_units


# %%
def silent_after(data, variant, lr, network):
    """Silent units of a variant with the weights that its training keeps, seed 0."""
    seed_everything(0)
    model = SmallVGG(**VARIANTS[variant]).to(DEVICE, memory_format=torch.channels_last)
    model.load_state_dict(train(model, small | {"lr": lr}, data)["best"])
    return silent_units(model, data, small)


names = {"base": "ReLU", "leaky_relu": "Leaky ReLU", "elu": "ELU", "gelu": "GELU"}
activations = compare(names, cost=False)
counted = [cell for cell in cells if cell[0] == "base"]
counted += [(name, float(best.loc[name, "lr"])) for name in names if name != "base"]
silent = {}
for name, lr in counted:
    config = {"variant": name, "lr": lr}
    config["network"] = fingerprint(partial(SmallVGG, **VARIANTS[name]))
    made_by = (silent_after, small_data, (silent_units, train))
    silent[name, lr] = compute_once(f"silent/{name}-{lr}", *made_by, **config)
display(activations)
units = sum(layer.out_features for layer in SmallVGG().classifier[1:2]) + 32 + 64 + 128
print(f"silent units of {units}, seed 0, by activation and rate")
pd.Series(silent, dtype=object).unstack(fill_value="").rename(names)

# %% [markdown]
# **Figure {{fig:activations}}.** Validation accuracy by activation.
#
# **No difference that could be told from noise**: {{act.relu:.1%}} (ReLU), {{act.leaky_relu:.1%}}, {{act.elu:.1%}} and {{act.gelu:.1%}}, with a standard error of {{small.error:.2f}} points. Nor in speed: {{act.relu_epochs:.1f}} epochs to 75% with ReLU, {{act.gelu_epochs:.1f}} with GELU.
#
# **Dying units are an effect of the rate.** Of {{act.units}} ReLUs {{dead.low}} is dead after training at 0.002, {{dead.used}} at 0.06 and {{dead.high}} at 0.2. Even at its best rate, 0.06, ReLU is not behind the three whose units keep a gradient: one unit in fifteen can be missed.

# %% tags=["facts"]
keys = {"relu": "ReLU", "leaky_relu": "Leaky ReLU", "elu": "ELU", "gelu": "GELU"}
facts = {f"act.{key}": float(activations.loc[name, "val"]) for key, name in keys.items()}
facts |= {
    f"act.{key}_epochs": float(activations.loc[name, "epochs to 75%"]) for key, name in keys.items()
}
rates = [lr for name, lr in counted if name == "base"]
facts |= {"dead.low": int(silent["base", rates[0]]), "dead.high": int(silent["base", rates[-1]])}
facts |= {"dead.used": int(silent["base", rates[-2 if len(rates) > 1 else 0]]), "act.units": units}

# %% [markdown]
# ### 5 (e) First-layer filters <a id="ii-5e"></a>
#
# The first layer's filters of Part I's trained networks are the only ones that can be looked at as pictures: 64 of 3x3 pixels in three colours.


# %%
def first_layer(data, net, run):
    """The first convolution's filters of one of Part I's trained networks, as lists."""
    path = part_1[net]["path"].with_suffix(".pt")
    path = path if path.exists() else Path("weights", f"a1_part1_{net}.pt")
    kernels = next(iter(torch.load(path, weights_only=True).values())).flatten().tolist()
    return [float(f"{value:.3g}") for value in kernels]


_, axes = plt.subplots(1, 2, figsize=(5.8, 2.9))
rows = {}
for ax, (net, (make, _)) in zip(axes, made.items()):
    seed_everything(0)
    fresh = next(iter(make().parameters())).detach()  # the seed gives the start back
    run = part_1[net]["date"]
    trained = compute_once(f"first_layer/{net}", first_layer, data, net=net, run=run)
    trained = torch.tensor(trained).view_as(fresh)
    scaled = 0.5 + 0.5 * trained / trained.abs().amax((1, 2, 3), keepdim=True)
    grid = F.pad(scaled, (0, 1, 0, 1), value=1.0).unflatten(0, (-1, 8)).permute(0, 3, 1, 4, 2)
    ax.imshow(grid.flatten(2, 3).flatten(0, 1), interpolation="nearest")
    ax.set_title(NAMES[net], color=COLORS[net])
    ax.axis("off")
    cosine = F.cosine_similarity(trained.flatten(1), fresh.flatten(1))
    size, start = (kernels.flatten(1).norm(dim=1).median() for kernels in (trained, fresh))
    rows[NAMES[net]] = {"median cosine": cosine.median(), "lowest cosine": cosine.min()}
    rows[NAMES[net]]["median angle, degrees"] = torch.rad2deg(torch.acos(cosine.median()))
    rows[NAMES[net]] |= {"median norm, fresh": start, "median norm, trained": size}
plt.show()
filters = pd.DataFrame(rows).T.astype(float).round(3)
filters

# %% [markdown]
# **Figure {{fig:filters}}.** First-layer filters of the trained networks, each scaled by its own largest weight; gray is zero.
#
# They look different. VGG-16C's are coloured noise: no edge or spot can be made out. Among ResNet-18's there are even patches of one colour, pairs of light and dark or of opposing colours across an edge, and a few spots.
#
# The table says why: **VGG-16C's filters have turned from their random start by {{filters.vgg16c_angle:.0f}} degrees only, the median** (cosine {{filters.vgg16c_cosine:.3f}}, lowest {{filters.vgg16c_lowest:.3f}}) and have become a little shorter. ResNet-18's have turned by {{filters.resnet18_angle:.0f}} degrees and nearly doubled in length. So a network can be right on most photos with a nearly random first
# layer. Why one learns it and the other hardly does was not tested; ResNet-18's starts five times smaller, at a rate five times higher.

# %% tags=["facts"]
facts = {}
for net in made:
    column = filters.loc[NAMES[net]]
    facts |= {
        f"filters.{net}_cosine": float(column["median cosine"]),
        f"filters.{net}_lowest": float(column["lowest cosine"]),
    }
    facts[f"filters.{net}_angle"] = float(column["median angle, degrees"])

# %% [markdown]
# ### 5 (f) Computation and memory <a id="ii-5f"></a>
#
# A convolution from $C$ to $C'$ channels costs $O(k^2CC'HW)$ operations and $O(k^2CC')$ weights, a linear layer $O(nm)$ of both. Summed over the layers, with $S$ the side of the photo, $w=64$ the width of block 1 and $h=4096$ that of the linear layers, the leading terms are:
#
# | | multiply-adds | weights | convolution outputs |
# |---|---|---|---|
# | VGG-16C | $O(w^2S^2 + wS^2h + h^2)$: $56.25\,w^2S^2 + \frac{1}{128}wS^2h + h^2$ | $O(w^2 + wS^2h + h^2)$: $2439\,w^2 + \frac{1}{128}wS^2h + h^2$ | $O(wS^2)$: $4.22\,wS^2$ |
# | VGG-Deep | $O(w^2S^2 + wS^2h + h^2)$: $77.06\,w^2S^2 + \frac{1}{64}wS^2h + h^2$ | $O(w^2 + wS^2h + h^2)$: $7767\,w^2 + \frac{1}{64}wS^2h + h^2$ | $O(wS^2)$: $4.42\,wS^2$ |
# | ResNet-18 | $O(w^2S^2)$: $33\,w^2S^2$ | $O(w^2)$: $2724\,w^2$ | $O(wS^2)$: $3.09\,wS^2$ |
#
# A backward pass costs about two forward ones. torchinfo counts:

# %%
rows = {}
for name, make in {"vgg16c": make_vgg, "vgg_deep": make_deep, "resnet18": make_resnet}.items():
    info = summary(make(), (1, 3, 64, 64), verbose=0)
    in_linear = sum(weight.numel() for weight in make().classifier.parameters())
    rows[NAMES[name]] = {
        "parameters": f"{info.total_params:,}",
        "in linear layers": f"{in_linear / info.total_params:.0%}",
        "M multiply-adds a photo": f"{info.total_mult_adds / 1e6:,.0f}",
        "weights, gradients, momentum, MB": f"{3 * info.total_param_bytes / 1e6:,.0f}",
        "outputs and their gradients, MB a photo": f"{info.total_output_bytes / 1e6:.2f}",
    }
pd.DataFrame(rows).T

# %% [markdown]
# **Different things fill the memory.** The VGGs are heavy in weights, {{cost.vgg16c_linear:.0%}} of VGG-16C's in linear layers, two thirds of that in one of 4,096 by 4,096, where ResNet-18 has a single small one behind its average over positions: {{vgg_deep.parameters:,}} (VGG-Deep), {{vgg16c.parameters:,}} (VGG-16C), {{resnet18.parameters:,}} (ResNet-18). ResNet-18 is heavy in outputs, two per
# convolution, one before and one after batch norm, and most of them early, where maps are large; VGG-Deep's new layers have 4x4 positions and add next to nothing.
#
# In computation they are nearer to each other ({{cost.resnet18_mults:,}}, {{cost.vgg16c_mults:,}} and {{cost.vgg_deep_mults:,}} million multiply-adds): a convolution uses each weight at every position, a linear layer once.

# %% tags=["facts"]
facts = {"cost.vgg16c_linear": float(rows["VGG-16C"]["in linear layers"].rstrip("%")) / 100}
for name in ("vgg16c", "vgg_deep", "resnet18"):
    facts[f"cost.{name}_mults"] = int(rows[NAMES[name]]["M multiply-adds a photo"].replace(",", ""))
facts |= {
    f"{n}.parameters": int(rows[NAMES[n]]["parameters"].replace(",", ""))
    for n in ("vgg16c", "resnet18")
}

# %% [markdown]
# ## 6. Analysis and discussion
#
# ### 6 (a) Reading the gradient plots <a id="ii-6a"></a>

# %%
pairs = [("conv17", "conv1"), ("conv17", "conv2"), ("conv2", "conv10"), ("conv2", "conv9")]
pairs.append(("fc3", "conv1"))
states = {}
for start in ("default", "he"):
    states[TITLES[start], "fresh, 64 px"] = flows["vgg_deep", start]["weight"]
    states[TITLES[start], "last 50 steps, 32 px"] = norms[start].iloc[-10:].mean()
ratios = {f"{a} / {b}": {key: v[a] / v[b] for key, v in states.items()} for a, b in pairs}
pd.DataFrame(ratios).T.map(digits)

# %% [markdown]
# *Do the plots demonstrate the vanishing gradient problem?* **From the default start, yes**: conv17's norm is {{default.ratio:,.0f}} times conv1's before the first step and no less after {{depth.steps}}, the classifier's last layer has {{ratio.default_fc3_m:.1f}} million times conv1's, and a rate large enough for conv1 would be as many times larger for that layer: none of our three
# moves conv1.
#
# **From He's start, no.** Before training, deeper layers do have larger norms (conv17 {{ratio.he_17_2:.1f}} times conv2), in part for want of inputs in the early ones. In training it turns over: at the end layer 2's norm is {{ratio.he_2_10:.1f}} times that of layer 10, a 1x1 layer, and {{ratio.he_2_9:.1f}} times that of its 3x3 neighbour, layer 9, while conv17's is
# {{ratio.he_17_1_end:.1f}} times conv1's. The slope of the textbook appears in the network that does not learn, and is gone in the one that does.

# %% tags=["facts"]
facts = {}
he_fresh, he_end = (
    states[TITLES["he"], "fresh, 64 px"],
    states[TITLES["he"], "last 50 steps, 32 px"],
)
default_fresh = states[TITLES["default"], "fresh, 64 px"]
facts["ratio.default_fc3"] = float(f"{default_fresh['fc3'] / default_fresh['conv1']:.3g}")
facts["ratio.he_17_2"] = float(f"{he_fresh['conv17'] / he_fresh['conv2']:.3g}")
facts["ratio.he_2_10"] = float(f"{he_end['conv2'] / he_end['conv10']:.3g}")
facts["ratio.he_2_9"] = float(f"{he_end['conv2'] / he_end['conv9']:.3g}")
facts["ratio.he_17_1_end"] = float(f"{he_end['conv17'] / he_end['conv1']:.3g}")
derived = {"ratio.default_fc3_m": "ratio.default_fc3 / 1e6"}

# %% [markdown]
# ### 6 (b) Why gradients vanish <a id="ii-6b"></a>
#
# **Chain rule.** With $z_l = W_l a_{l-1} + b_l$, $a_l = \phi(z_l)$ and $\delta_l = \partial\mathcal L/\partial z_l$, backpropagation applies the chain rule from the loss down:
#
# $$\delta_l = D_l\,W_{l+1}^\top\,\delta_{l+1},\quad D_l = \operatorname{diag}\phi'(z_l),\qquad \frac{\partial\mathcal L}{\partial W_l} = \delta_l\,a_{l-1}^\top ,\qquad \delta_l = \Big(\prod_{k=l}^{L-1} D_k\,W_{k+1}^\top\Big)\,\delta_L .$$
#
# Every layer in between multiplies by one more Jacobian. If each shrinks a typical vector by $c<1$, what arrives at layer $l$ is $c^{\,L-l}$ of what left layer $L$; if $c>1$, it explodes. With the sigmoid $\phi'\le\frac14$, so sixteen layers leave at most $4^{-16}\approx 2\cdot 10^{-10}$ unless the weights make up for it;
# ReLU's slope is 1 or 0, so the weights decide.
#
# **One factor a layer.** For random weights of mean zero and variance $v$, with $n_{in}$ connections into a unit and $n_{out}$ out of it, He et al. (2015) find $\mathbb E\,\delta_{l-1}^2 = \tfrac12 n_{out} v\,\mathbb E\,\delta_l^2$. We measure *norms*, sums over all outputs, and there are $n_{in}/n_{out}$ times as many below a layer as above it (a max-pool hands each gradient to one
# position and keeps the sum of squares). So the norm's backward factor equals the forward one:
#
# $$\|\delta_{l-1}\|^2 = \tfrac12\,n_{in}\,v\;\|\delta_{l}\|^2 ,\qquad \mathbb E\,a_{l}^2 = \tfrac12\,n_{in}\,v\;\mathbb E\,a_{l-1}^2 .$$
#
# He's $v = 2/n_{in}$ makes it 1, Xavier's $2/(n_{in}+n_{out})$ makes it $\frac12$ between layers of one width, and PyTorch's default, uniform on $\pm 1/\sqrt{n_{in}}$, has $v = 1/(3n_{in})$ and leaves $\frac16$. Multiplied from conv17 down to conv1, beside what 3 (c) measured:

# %%
weights = [layer.weight for layer in VGGDeep().features if isinstance(layer, nn.Conv2d)]
fans = np.array([(w[0].numel(), w[:, 0].numel()) for w in weights])  # inputs, outputs of a unit
variances = {"default": 1 / (3 * fans[:, 0]), "xavier": 2 / fans.sum(1), "he": 2 / fans[:, 0]}
rows = {}
for start, variance in variances.items():
    factors, table = (fans[:, 0] * variance / 2) ** 0.5, flows["vgg_deep", start]
    output, size = table["output"], table["input"]
    rows[TITLES[start]] = {
        "gradient of the output, conv1 / conv17: predicted": factors[1:].prod(),
        "gradient, measured": output["conv1"] / output["conv17"],
        "input, conv17 / conv1: predicted": factors[:-1].prod(),
        "input, measured": size["conv17"] / size["conv1"],
        "conv17's input: share that varies by photo": table.loc["conv17", "varies"],
    }
theory = pd.DataFrame(rows).T
theory.map("{:.2g}".format)

# %% [markdown]
# **One number a layer predicts the gradient's end-to-end factor** within a factor of two or so, over sixteen layers and six decades: {{theory.default_m:.2f}} millionths predicted and {{theory.default_found_m:.2f}} measured from the default, {{theory.xavier:.4f}} and {{theory.xavier_found:.4f}} from Xavier's, {{theory.he:.0f}} and {{theory.he_found:.2f}}
# from He's (one draw).
#
# Forward it holds for Xavier's and He's and **fails by four decades for the default**: {{theory.default_in_m:.2f}} millionths predicted, {{theory.default_in_found:.4f}} measured. The default draws biases, too, and they are a floor under which activations cannot fall. That is no comfort: of conv17's input only {{theory.default_varies:.0e}} of the energy differs from
# photo to photo.
#
# **Slope or level, again.** A kernel's gradient sums $\delta\,a$ over positions and photos, so $\|\partial\mathcal L/\partial W_l\|\sim\sqrt{n_{in}}\,\|\delta_l\|\,\mathrm{rms}(a_{l-1})$. Where both fade by the same $c$, one downwards, one upwards, that is $\sqrt{n_{in}}\;c^{\,L-l}\,c^{\,l-1} = \sqrt{n_{in}}\;c^{\,L-1}$: equally low at every layer. That is Xavier's case. The default's
# floor stops the fading of $a$, leaves that of $\delta$, and so makes the slope.

# %% tags=["facts"]
columns_of = {"": 0, "_found": 1, "_in": 2, "_in_found": 3, "_varies": 4}
facts = {
    f"theory.{start}{key}": float(f"{theory.loc[TITLES[start]].iloc[column]:.2g}")
    for start in STARTS
    for key, column in columns_of.items()
}
derived = {
    "theory.default_m": "1e6 * theory.default",
    "theory.default_found_m": "1e6 * theory.default_found",
    "theory.default_in_m": "1e6 * theory.default_in",
}

# %% [markdown]
# ### 6 (c) Why residual connections help <a id="ii-6c"></a>
#
# A block computes $x_{l+1} = x_l + F_l(x_l)$ (the ReLU behind the sum left out). Its Jacobian holds an identity, and so does the gradient:
#
# $$\frac{\partial\mathcal L}{\partial x_l} = \Big(I + \frac{\partial F_l}{\partial x_l}\Big)^{\!\top}\frac{\partial\mathcal L}{\partial x_{l+1}}
# \qquad\Longrightarrow\qquad
# \frac{\partial\mathcal L}{\partial x_l} = \frac{\partial\mathcal L}{\partial x_L} + \Big(\frac{\partial}{\partial x_l}\sum_{k=l}^{L-1}F_k(x_k)\Big)^{\!\top}\frac{\partial\mathcal L}{\partial x_L} .$$
#
# The first term carries the gradient at the top to *every* block unchanged, through no weight (He et al. 2016b, equation 5); for the sum to vanish, the second would have to be exactly its opposite for all photos of a batch.
#
# Expanded, $\prod_k (I + \partial F_k/\partial x_k)$ sums over all subsets of blocks: with eight blocks 256 paths, of which one passes all sixteen convolutions and 36 pass two or four. A plain network has only the longest. (Veit et al. 2016: nearly all gradient comes by short paths.)
#
# Two things keep ResNet-18 from this ideal: the ReLU behind each sum stops what is negative, and in three of eight blocks the shortcut is a strided convolution.

# %% [markdown]
# ### 6 (d) Batch normalisation <a id="ii-6d"></a>
#
# Batch norm replaces each channel's $z$ by $\gamma\,\hat z+\beta$, $\hat z = (z-\mu)/\sigma$, with the batch's own mean and deviation. *Forward*, every channel leaves with mean $\beta$ and deviation $\gamma$ whatever the weights, so no product of factors can build up. *Backward*, with $g$ the gradient of the output and bars for batch means,
# $\partial\mathcal L/\partial z = \frac{\gamma}{\sigma}\big(g-\bar g-\hat z\,\overline{g\hat z}\big)$, and since $\mathrm{BN}(cWa) = \mathrm{BN}(Wa)$ for every $c>0$,
#
# $$\frac{\partial\,\mathrm{BN}(cWa)}{\partial a} = \frac{\partial\,\mathrm{BN}(Wa)}{\partial a},\qquad \frac{\partial\mathcal L}{\partial (cW)} = \frac1c\,\frac{\partial\mathcal L}{\partial W} :$$
#
# the gradient handed down does not depend on the scale of the weights, and the weights' own is *inversely* proportional to it. A layer that starts too small gets large steps until it has grown; one that has grown gets small ones. That steadies training and allows high rates.
#
# *Limits.* Statistics of small batches are noisy. Alone it does not make any depth safe: plain networks with it have gradients that *explode* with depth at the start (Yang et al. 2019), as 4 (b) saw. Why it speeds up training is disputed: steadier inputs, or a smoother loss (Santurkar et al. 2018).
#
# **A prediction, tested.** All of ResNet-18's convolutions stand before a batch norm, so conv1's gradient should go with one over the size of its weights. Xavier's are smaller than He's there:

# %%
firsts = {s: flows["resnet18", s].loc["conv1", "weight"] for s in ("xavier", "he")}
predicted = ((27 + 9 * 64) / 27) ** 0.5  # conv1 has 27 inputs and 9 * 64 outputs a unit
measured = firsts["xavier"] / firsts["he"]
print(f"Xavier's over He's: {predicted:.2f} predicted, {measured:.2f} measured")

# %% [markdown]
# {{bn.predicted:.2f}} predicted, {{bn.measured:.2f}} measured: smaller weights, larger gradient. In VGG-Deep, without batch norm, the same change *divides* conv1's gradient by more than a thousand (3 (c)).

# %% tags=["facts"]
facts = {
    "bn.predicted": float(f"{predicted:.2f}"),
    "bn.measured": float(f"{measured:.2f}"),
}

# %% [markdown]
# ### 6 (e) Findings of the investigations <a id="ii-6e"></a>
#
# | investigation | finding |
# |---|---|
# | kernel size | 3x3 {{small.base:.1%}}, 5x5 {{small.k5:.1%}}, 7x7 {{small.k7:.1%}}: larger is not better, nor at equal cost |
# | 1x1 convolutions | bottleneck {{small.bottleneck:.1%}} with a quarter of the convolution weights: a trade; added layers {{small.added:.1%}}: no gain |
# | pooling | max {{pool.max:.1%}}, average {{pool.avg:.1%}}: not settled |
# | activations | {{act.relu:.1%}}, {{act.leaky_relu:.1%}}, {{act.elu:.1%}}, {{act.gelu:.1%}} (ReLU, Leaky ReLU, ELU, GELU): no difference; high rates kill units |
# | filters | VGG-16C's {{filters.vgg16c_angle:.0f}} degrees from random (median), ResNet-18's learned |
# | cost | VGGs heavy in weights, ResNet-18 in outputs |
#
# Of ten comparisons with the base, corrected for all ten, one is significant: the bottleneck's loss (p = {{p.bottleneck:.3f}}). With three seeds they rank variants of *this* setup, small networks on small photos, no more.

# %% [markdown]
# ### 6 (f) References
#
# - K. Simonyan, A. Zisserman. *Very Deep Convolutional Networks for Large-Scale Image Recognition.* ICLR 2015. [arXiv:1409.1556](https://arxiv.org/abs/1409.1556)
# - K. He et al. *Deep Residual Learning for Image Recognition.* CVPR 2016. [arXiv:1512.03385](https://arxiv.org/abs/1512.03385); *Identity Mappings in Deep Residual Networks.* ECCV 2016 ("2016b"). [arXiv:1603.05027](https://arxiv.org/abs/1603.05027); *Delving Deep into Rectifiers.* ICCV 2015. [arXiv:1502.01852](https://arxiv.org/abs/1502.01852)
# - X. Glorot, Y. Bengio. *Understanding the Difficulty of Training Deep Feedforward Neural Networks.* AISTATS 2010. A. Veit et al. *Residual Networks Behave Like Ensembles.* NeurIPS 2016. [arXiv:1605.06431](https://arxiv.org/abs/1605.06431)
# - S. Ioffe, C. Szegedy. *Batch Normalization.* ICML 2015. [arXiv:1502.03167](https://arxiv.org/abs/1502.03167). S. Santurkar et al. *How Does Batch Normalization Help Optimization?* NeurIPS 2018. [arXiv:1805.11604](https://arxiv.org/abs/1805.11604). G. Yang et al. *A Mean Field Theory of Batch Normalization.* ICLR 2019. [arXiv:1902.08129](https://arxiv.org/abs/1902.08129)
# - A. Araujo et al. *Computing Receptive Fields.* Distill 2019. [distill.pub](https://distill.pub/2019/computing-receptive-fields). M. Lin et al. *Network in Network.* ICLR 2014. [arXiv:1312.4400](https://arxiv.org/abs/1312.4400)
# - D.-A. Clevert et al. *ELU.* ICLR 2016. [arXiv:1511.07289](https://arxiv.org/abs/1511.07289). D. Hendrycks, K. Gimpel. *GELU.* [arXiv:1606.08415](https://arxiv.org/abs/1606.08415). A. Maas et al. *Rectifier Nonlinearities.* 2013. C. W. Dunnett, JASA 50, 1955
# - The assignment, its CNN data set, `a1_part_1.ipynb`; documentation of [PyTorch](https://docs.pytorch.org), [torchinfo](https://github.com/TylerYep/torchinfo), [SciPy](https://docs.scipy.org), [scikit-learn](https://scikit-learn.org), [pandas](https://pandas.pydata.org), [seaborn](https://seaborn.pydata.org).
#
# ### Running it again
#
# `A1_PROFILE=full` is the reported experiment, hours on a CPU; `quick`, the default without a GPU, rehearses every line. Runs of the same recipe, data and code are read from `runs/`;
# what you change is trained anew.

# %% tags=["reported"]
REPORTED = {"vgg_deep.test_acc": None, "vgg_deep.val_acc": None}
again = {f"vgg_deep.{key}": deep["metrics"][key] for key in ("test_acc", "val_acc")}
pd.DataFrame({"reported": REPORTED, "this run": again}).round(4)
