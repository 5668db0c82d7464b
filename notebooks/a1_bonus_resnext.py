# %% [markdown]
# # Bonus. ResNeXt: many narrow paths instead of one wide one
#
# TODO
#
# ## Setup

# %%
import hashlib
import json
import os
import random
import shutil
import time
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from filelock import FileLock
from scipy.stats import binomtest, linregress, ttest_rel
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.tensorboard import SummaryWriter
from torchvision.io import ImageReadMode, decode_image, read_file

# %%
from a1.setup import low_precision, setting, use_device
from a1.setup import DEVICE, LOW, FULL, RETRAIN, RUNS, seed_everything

use_device(DEVICE, FULL)
seed_everything(0)

# %% [markdown]
# ## 1. ResNeXt, from Part I's ResNet <a id="BX.1"></a>
#
# ### 1.1 The block: cardinality and width
#
# A layer gains power by being wider, a network by being deeper. ResNeXt adds a third direction: *more paths of the same kind, side by side*. Each path squeezes the block's $D$
# channels into $d$ with a 1x1 convolution, looks around with a 3x3 one and expands again with a 1x1 one; the block sums $C$ such paths and adds its input,
# $y = \mathrm{ReLU}\big(x + \sum_{i=1}^{C}\mathcal T_i(x)\big)$. $C$ is the **cardinality**, $d$ the **width** of a path. A block has
#
# $$C\,(D\,d + 9\,d^2 + d\,D) = 2D\,(Cd) + \frac{9\,(Cd)^2}{C}$$
#
# weights. At a given inner width $Cd$ the 3x3 part gets $C$ times cheaper, and what that saves buys a larger $Cd$: more channels, each of which sees fewer others. That
# trade is what this notebook measures.
#
# The code is the block as one computes it: all first 1x1 convolutions are one convolution; the 3x3 ones, which must not mix paths, are one with $C$ **groups**; summing the last 1x1
# ones is what a 1x1 convolution over all $Cd$ channels does anyway. With ResNet-18's two 3x3 convolutions the paths would merge into an ordinary wide block, so the block has to be a bottleneck.

# %%
from a1.models.resnext import ResNeXtBlock

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 3.3), sharey=True, layout="constrained")
for ax, groups in zip(axes, (1, 4, 32)):
    conv = nn.Conv2d(128, 128, 3, groups=groups, bias=False)
    group = torch.arange(128) // conv.weight.shape[1]  # of each channel
    ax.imshow(group[:, None] == group, cmap="Greys", vmin=0, vmax=1)
    ax.set(title=f"{groups} groups: {conv.weight.numel():,} weights", xlabel="input channel")
axes[0].set_ylabel("output channel")
plt.show()
block = ResNeXtBlock(192, 192, cardinality=32, width=4)
convs = [conv.weight.numel() for conv in (block.conv1, block.conv2, block.conv3)]
assert sum(convs) == 2 * 192 * 128 + 9 * 128**2 // 32
print(f"D = 192, 32 paths of 4 channels: {convs}, {sum(convs):,} weights")

# %% [markdown]
# **Figure {{fig:groups}}.** Which of 128 input channels a 3x3 convolution's 128 output channels read (black) in 1, 4 and 32 groups. Off the block diagonal the weight matrix is zero.
# What one group finds reaches the others only through the next 1x1 convolution.

# %% [markdown]
# ### 1.2 Three forms of the same block

# %%
from a1.models.resnext import by_paths
from a1.timing import both_passes, median_seconds

# %%
x = torch.randn(32 if FULL else 2, 192, 32, 32, device=DEVICE)
x = x.to(memory_format=torch.channels_last)
block = ResNeXtBlock(192, 192, cardinality=32, width=4).to(x, memory_format=torch.channels_last)
joined = partial(by_paths, concatenate=True)
forms = {"(a) summed": by_paths, "(b) concatenated": joined, "(c) grouped": ResNeXtBlock.__call__}
steps = {name: both_passes(partial(form, block), x) for name, form in forms.items()}
table = pd.DataFrame({"ms": 1000 * median_seconds(steps, 7 if FULL else 1)})
table["times (c)"] = table["ms"] / table["ms"]["(c) grouped"]
block, x = block.double(), x[:2].double()
table["largest difference"] = [float((f(block, x) - block(x)).abs().max()) for f in forms.values()]
assert table["largest difference"].max() < 1e-12
table.assign(convolutions=[96, 65, 3]).round({"ms": 1, "times (c)": 1})

# %% [markdown]
# forms

# %% tags=["facts"]
facts = {f"forms.{name[1]}_ratio": float(table.loc[name, "times (c)"]) for name in forms}
facts["forms.apart"] = float(f"{table['largest difference'].max():.0e}")

# %% [markdown]
# ### 1.3 The network and its cost

# %%
from a1.models.resnet import BasicBlock

# %%
from a1.models.resnet import ResNet18

# %%
from a1.models.resnext import ResNeXt


# %%
def mult_adds(model, size):
    """Multiply-adds for one photo of `size` pixels."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2


make_resnet = partial(ResNet18, width=64 if FULL else 16)
make_resnext = partial(ResNeXt, channels=192 if FULL else 48, cardinality=32, width=4)
makers = {"resnet18": make_resnet, "resnext": make_resnext}
rivals = {"ResNet-18": make_resnet, "ResNeXt, stages of 1, 2, 3, 2": make_resnext}
rivals["ResNeXt, stages of 2, 2, 2, 2"] = partial(make_resnext, depths=(2, 2, 2, 2))
rivals["one path of 62 for 32 of 4"] = partial(make_resnext, cardinality=1, width=62)
x = torch.randn(64 if FULL else 2, 3, 64, 64, device=DEVICE).to(memory_format=torch.channels_last)
models = [make().to(x, memory_format=torch.channels_last) for make in rivals.values()]
seconds = median_seconds({n: both_passes(m, x) for n, m in zip(rivals, models)}, 5 if FULL else 1)
costs = pd.DataFrame({"ms": 1000 * seconds})
costs["parameters"] = [sum(weight.numel() for weight in model.parameters()) for model in models]
costs["M multiply-adds"] = [mult_adds(model.cpu(), 64) / 1e6 for model in models]
costs.join(costs / costs.iloc[0], rsuffix=", ratio").round(2)

# %% [markdown]
# costs

# %% tags=["facts"]
keys = ("resnet18", "resnext", "even", "dense")
facts = {}
for key, (_, row) in zip(keys, costs.iterrows()):
    facts |= {
        f"size.{key}": int(row["parameters"]),
        f"work.{key}": round(row["M multiply-adds"], 2),
    }
    facts |= {f"ms.{key}": round(row["ms"], 2)}
    for name, column in (
        ("size", "parameters"),
        ("work", "M multiply-adds"),
        ("time", "ms"),
    ):
        facts[f"{name}_ratio.{key}"] = float(row[column] / costs[column].iloc[0])

# %% [markdown]
# ## 2. Training and evaluation <a id="BX.2"></a>
#
# ### 2.1 Part I's data and training

# %%
from a1.photos import CLASSES, PARTS, unpack, find_photos, load_photos

# %%
from a1.photos import split_indices
from a1.photos import random_flip, random_shift, color_jitter, AUGMENTATIONS

# %%
from a1.photos import Classification

# %%
from a1.photos import Photos

# %%
images, labels, files = load_photos(None if FULL else 150)
split = split_indices(images, labels)
data = Photos(images, labels, split, files)
pd.DataFrame({p: labels[split[p]].bincount().numpy() for p in PARTS}, CLASSES)

# %%
from a1.train import SAVE_EVERY, RECIPE, OPTIMIZERS, SCHEDULES, evaluate

# %%
from a1.train import train

# %%
from a1.files import atomic_write
from a1.records import TOLERANCE, probe

# %%
from a1.records import differs, read, find

# %%
from a1.records import finish

# %%
from a1.records import train_once

# %%
from a1.studies import study_indices, run_study

# %% [markdown]
# ### 2.2 Each network's own learning rate

# %%
from a1.models.resnext import zero_last_gamma

RATES, SEEDS = ((0.1, 0.2, 0.4, 0.8), (0, 1, 2)) if FULL else ((0.1, 0.2), (0, 1))
STUDY = RECIPE | {"epochs": 8 if FULL else 1}
chosen = study_indices(labels, split, *((1500, 500) if FULL else (20, 20)))
study_data = Photos(images, labels, chosen, files, size=32)
zero = {name: lambda make=make: zero_last_gamma(make()) for name, make in makers.items()}
grid = {f"{n}-{lr}-zero": (zero[n], STUDY | {"lr": lr}) for n in makers for lr in RATES}
first = run_study("rates", grid, (0,), study_data)
network = first["variant"].str.split("-").str[0]
best = first["variant"][first.groupby(network, sort=False)["val_acc"].idxmax()].tolist()
tried = {f"{name}-0.1-one": (make, STUDY) for name, make in makers.items()}
rows = run_study("rates", tried | {label: grid[label] for label in best}, SEEDS, study_data)

# %%
runs = pd.concat([first, rows]).drop_duplicates(["variant", "seed"])
runs[["network", "rate", "gamma"]] = runs["variant"].str.split("-").tolist()
runs["loss 1"] = [history["train_loss"].iloc[0] for history in runs["history"]]  # of epoch 1
columns = {"seeds": ("val_acc", "size"), "val_acc": ("val_acc", "mean"), "sd": ("val_acc", "std")}
columns |= {name: (name, "mean") for name in ("train_acc", "loss 1")}
table = runs.groupby(["network", "gamma", "rate"], sort=False).agg(**columns)
(theirs, ours) = (100 * runs.loc[runs["variant"] == label, "val_acc"] for label in best)
error = ((ours.var() + theirs.var()) / len(SEEDS)) ** 0.5
print(f"{best[1]} minus {best[0]}: {ours.mean() - theirs.mean():+.2f} points, error {error:.2f}")
table.round(4)

# %%
from a1.plots import COLORS, NAMES, STYLE

plt.rcParams.update(STYLE)
options = {"hue": "network", "style": "gamma", "palette": COLORS, "markers": True}
ax = sns.lineplot(runs, x="rate", y="val_acc", errorbar=None, **options)
sns.scatterplot(runs, x="rate", y="val_acc", legend=False, ax=ax, **options)
ax.set(xlabel="highest learning rate", ylabel="validation accuracy")
plt.show()

# %% [markdown]
# rates

# %% [markdown]
# ### 2.3 The full runs

# %%
OWN_RATE = False  # True: each network's rate and start of 2.2, three seeds; hours on a CPU
QUICK = {"epochs": 8, "batch_size": 16, "optimizer": "adamw", "image_sizes": [32] * 2}
FINAL = RECIPE | ({"epochs": 20, "image_sizes": [32] * 8 + [48] * 5} if FULL else QUICK)
final, seeds = {}, SEEDS if OWN_RATE else (0,)
for (name, make), label in zip(makers.items(), best):
    start, lr = (grid[label][0], grid[label][1]["lr"]) if OWN_RATE else (make, 0.1)
    recipe = FINAL | {"lr": lr if FULL else 0.003}
    prefix = f"{name}/{'own-' * OWN_RATE}seed"
    found = [train_once(f"{prefix}{seed}", start, recipe | {"seed": seed}, data) for seed in seeds]
    final[name] = max(found, key=lambda record: record["metrics"]["val_acc"])
path = RUNS / "vgg16c" / "seed0.json"  # as Part I trained it
if path.exists() and (record := read(path))["data"] == data.id:
    final = {"vgg16c": record} | final

# %%
from a1.plots import plot_history

plot_history(final)

# %% [markdown]
# **Figure {{fig:history}}.** history

# %%
y_test, rows = labels[split["test"]].numpy(), {}
for name, record in final.items():
    said = record["test"]["test_probs"].argmax(1)
    wrong, f1 = confusion_matrix(y_test, said), f1_score(y_test, said, average=None).round(4)
    mixed = [wrong[a, b] + wrong[b, a] for a, b in ((0, 1), (0, 2), (1, 2))]
    rows[NAMES[name]] = [*f1, *mixed, (said != y_test).sum()]
heads = [f"F1 {name}" for name in CLASSES] + ["dogs, food", "dogs, vehicles", "food, vehicles"]
pd.DataFrame(rows, [*heads, "all mistakes"]).T

# %% [markdown]
# classes

# %%
from a1.evaluate import release

_ = release(final["resnext"], make_resnext, data, "a1_bonus_resnext.pt")

# %% [markdown]
# ## 3. Comparison with ResNet-18 and VGG-16C
#
# ### 3 (a) The three networks in one table <a id="BX.3a"></a>

# %%
from a1.evaluate import metrics_table

pd.concat({NAMES[name]: metrics_table(record) for name, record in final.items()})

# %%
plot_history(final, first=14 if FULL else 1)

# %% [markdown]
# **Figure {{fig:late}}.** late

# %% [markdown]
# ### 3 (b) Why the results differ <a id="BX.3b"></a>
#
# #### Cardinality, at equal multiply-adds

# %%
WIDTHS = {1: 45, 2: 30, 4: 19, 8: 12, 16: 7, 32: 4} if FULL else {1: 45, 32: 4}
chosen = study_indices(labels, split, *((800, 500) if FULL else (20, 20)))
card_data = Photos(images, labels, chosen, files, size=32)
small = {c: partial(make_resnext, channels=72, cardinality=c, width=w) for c, w in WIDTHS.items()}
recipe = RECIPE | {"epochs": 10 if FULL else 1}
tried = {f"{c}x{WIDTHS[c]}": (make, recipe) for c, make in small.items()}
runs = run_study("cardinality", tried, SEEDS, card_data)
runs["cardinality"] = runs["variant"].str.split("x").str[0].astype(int)
means = runs.groupby("cardinality")[["train_acc", "val_acc"]].mean()
means["sd"] = runs.groupby("cardinality")["val_acc"].std()
means["gap_points"] = 100 * (means["train_acc"] - means["val_acc"])
means["parameters"] = [sum(w.numel() for w in make().parameters()) for make in small.values()]
means["M multiply-adds"] = [mult_adds(make(), 32) / 1e6 for make in small.values()]
curves = runs.melt("cardinality", ["train_acc", "val_acc"], "part", "accuracy")
options = {"style": "part", "errorbar": ("pi", 100), "color": COLORS["resnext"], "markers": "o."}
sns.lineplot(curves.astype({"cardinality": str}), x="cardinality", y="accuracy", **options)
plt.show()
one, many = (100 * runs.loc[runs["cardinality"] == c, "val_acc"].to_numpy() for c in (1, 32))
slope = linregress(np.log2(runs["cardinality"]), 100 * runs["val_acc"])
print(
    f"32 minus 1: {(many - one).mean():+.2f} points, paired p = {ttest_rel(many, one).pvalue:.3f}"
)
print(f"slope a doubling: {slope.slope:.2f}, error {slope.stderr:.2f}, p = {slope.pvalue:.3f}")
means.round(4)

# %% [markdown]
# **Figure {{fig:cardinality}}.** cardinality
#
# #### Grouped convolutions: promised and real savings

# %%
LAYERS = {128: 32, 256: 16, 512: 8, 1024: 4}  # channels: side of the feature maps
speed = pd.DataFrame(index=pd.Index(WIDTHS, name="groups"))
for channels, side in LAYERS.items():
    x = torch.randn(32 if FULL else 2, channels, side, side, device=DEVICE, dtype=LOW)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    convs = {g: nn.Conv2d(channels, channels, 3, padding=1, groups=g, bias=False) for g in WIDTHS}
    steps = {groups: both_passes(conv.to(x), x) for groups, conv in convs.items()}
    seconds = median_seconds(steps, 7 if FULL else 1)
    speed[f"{channels} channels, {side}x{side}"] = seconds[1] / seconds
ax = speed.plot(style="o-", logx=True, logy=True, colormap="viridis", figsize=(6.5, 3.4))
ax.plot(speed.index, speed.index, "--", color="gray", label="promised by the multiply-adds")
ax.set(xlabel="groups", ylabel="times as fast as one group")
for axis in (ax.xaxis, ax.yaxis):
    axis.set_ticks(list(WIDTHS), list(WIDTHS))
ax.minorticks_off()
ax.legend()
plt.show()
speed.round(2)

# %% [markdown]
# **Figure {{fig:convolutions}}.** convolutions
#
# #### Architecture

# %% [markdown]
# ### 3 (c) Challenges <a id="BX.3c"></a>

# %% [markdown]
# ### 3 (d) A closer look <a id="BX.3d"></a><a id="BX.bar"></a>

# %%
probs = {name: record["test"]["test_probs"] for name, record in final.items()}
probs["average"] = (probs["resnet18"] + probs["resnext"]) / 2
right, n = {name: p.argmax(1) == y_test for name, p in probs.items()}, len(y_test)


def compare(one, other):
    """Two networks on the same photos: points between them, 95% interval, McNemar's exact test."""
    a, b = (int((right[x] & ~right[y]).sum()) for x, y in ((one, other), (other, one)))
    lead, both = (a - b) / n, int((~right[one] & ~right[other]).sum())
    error = 1.96 * (((a + b) / n - lead**2) / n) ** 0.5  # Agresti, 2013, 11.1
    points = {"points": 100 * lead, "from": 100 * (lead - error), "to": 100 * (lead + error)}
    p = binomtest(a, a + b).pvalue if a + b else 1.0
    return {"only first right": a, "only second": b, "both wrong": both, **points, "p": p}


pairs = [("resnext", other) for other in final if other != "resnext"] + [("average", "resnet18")]
table = pd.DataFrame({f"{a}, {b}": compare(a, b) for a, b in pairs}).T
print("wrong with all networks:", int(np.all([~right[name] for name in final], 0).sum()))
print(f"accuracy of the average of ResNet-18 and ResNeXt: {right['average'].mean():.4f}")
table.round(5)

# %% [markdown]
# changed
#
# ### 4. References
#
# ### Running it again

# %% tags=["reported"]
REPORTED = {"resnext.test_acc": None}
again = {"resnext.test_acc": final["resnext"]["metrics"]["test_acc"]}
pd.DataFrame({"reported": REPORTED, "this run": again}).round(4)
