# %% [markdown]
# # Bonus. ResNeXt: many narrow paths instead of one wide one
#
# ResNeXt, Part I's ResNet-18 with bottleneck blocks of 32 narrow paths in place of its own, cannot be told from ResNet-18 on {{a1_part_1/n_test:,}} test photos: {{resnext.test_acc:.1%}} against {{a1_part_1/resnet18.test_acc:.1%}} right
# (p = {{pair.p:.2f}}), and beats VGG-16C. These runs of 20 epochs share a learning rate of 0.1, which a study finds too low for both. With a rate of its own each, over four seeds of eight epochs, ResNeXt reaches {{own.resnext_test:.1f}}% and ResNet-18
# {{own.resnet18_test:.1f}}%: {{own.test_points:+.2f}} points ({{own.test_low:+.2f}} to {{own.test_high:+.2f}}), ahead with every seed, at the edge of chance.
#
# | model | train | validation | test, 95% interval | test loss | required |
# |---|---|---|---|---|---|
# | VGG-16C | {{a1_part_1/vgg16c.train_acc:.1%}} | {{a1_part_1/vgg16c.val_acc:.1%}} | {{a1_part_1/vgg16c.test_acc:.1%}} ({{a1_part_1/vgg16c.test_low:.1%}} to {{a1_part_1/vgg16c.test_high:.1%}}) | {{a1_part_1/vgg16c.test_loss:.3f}} | |
# | ResNet-18 | {{a1_part_1/resnet18.train_acc:.1%}} | {{a1_part_1/resnet18.val_acc:.1%}} | {{a1_part_1/resnet18.test_acc:.1%}} ({{a1_part_1/resnet18.test_low:.1%}} to {{a1_part_1/resnet18.test_high:.1%}}) | {{a1_part_1/resnet18.test_loss:.3f}} | |
# | **ResNeXt** | {{resnext.train_acc:.1%}} | {{resnext.val_acc:.1%}} | **{{resnext.test_acc:.1%}}** ({{resnext.test_low:.1%}} to {{resnext.test_high:.1%}}) | {{resnext.test_loss:.3f}} | above ResNet-18: not here, {{pair.points:+.2f}} points ({{pair.low:+.2f}} to {{pair.high:+.2f}}); at own rates yes, at the edge of chance (2.3) |
#
# | the assignment asks for | where | shown in |
# |---|---|---|
# | 1 ResNeXt from Part I's ResNet, grouped convolutions, cardinality | [1](#bx-1) | Figure {{fig:groups}}, tables |
# | 2 training and evaluation | [2](#bx-2) | Figures {{fig:rates}}, {{fig:history}}, tables |
# | 3 (a) metrics of all three models | [3 (a)](#bx-3a) | table |
# | 3 (b) why they differ | [3 (b)](#bx-3b) | Figure {{fig:cardinality}}, tables |
# | 3 (c) challenges | [3 (c)](#bx-3c) | |
# | 3 (d) detailed analysis | [3 (d)](#bx-3d) | table |
# | accuracy above ResNet-18's | [3 (d)](#bx-bar) | table |
# | 4 references | [4](#references) | |
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
from itertools import chain, product
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
# ## 1. ResNeXt, from Part I's ResNet <a id="bx-1"></a>
#
# ### 1.1 The block: cardinality and width
#
# A layer gains power by being wider, a network by being deeper. ResNeXt adds a third direction: *more paths of the same kind, side by side*, each of which sees few channels:
#
# | | | our first stage |
# |---|---|---|
# | $D$ | channels of the block | 192 |
# | $d$ | **width**, channels of a path | 4 |
# | $C$ | **cardinality**, number of paths | 32 |
# | $Cd$ | inner width, channels of all paths | 128 |
#
# Computed together, the paths are a convolution in **groups**:

# %%
fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.6), sharey=True, layout="constrained")
for ax, groups in zip(axes, (1, 4, 32)):
    conv = nn.Conv2d(128, 128, 3, groups=groups, bias=False)
    group = torch.arange(128) // conv.weight.shape[1]  # of each channel
    ax.imshow(group[:, None] == group, cmap="Greys", vmin=0, vmax=1)
    ax.set(title=f"{groups} groups: {conv.weight.numel():,} weights", xlabel="input channel")
_ = axes[0].set_ylabel("output channel")

# %% [markdown]
# **Figure {{fig:groups}}.** Which of 128 input channels a 3x3 convolution's 128 output channels read (black), in 1, 4 and 32 groups. Off the block diagonal the weight matrix is zero.
#
# Each path squeezes $D$ channels into $d$ with a 1x1 convolution, looks around with a 3x3 one and expands again with a 1x1 one (a *bottleneck*); the block sums $C$ such paths and adds its input,
# $y = \mathrm{ReLU}\big(x + \sum_{i=1}^{C}\mathcal T_i(x)\big)$. A block has
#
# $$C\,(D\,d + 9\,d^2 + d\,D) = 2D\,(Cd) + \frac{9\,(Cd)^2}{C}$$
#
# weights. At a given inner width $Cd$ the 3x3 part gets $C$ times cheaper, and what that saves buys a larger $Cd$: more channels, each of which sees fewer others. That
# trade is what this notebook measures.
#
# The code is the block as one computes it: all first 1x1 convolutions are one convolution; the 3x3 ones, which must not mix paths, are one with $C$ groups; summing the last 1x1
# ones is what a 1x1 convolution over all $Cd$ channels does anyway. With ResNet-18's two 3x3 convolutions the paths would merge into an ordinary wide block, so the block has to be a bottleneck.

# %%
from a1.models.resnext import ResNeXtBlock

# %%
block = ResNeXtBlock(192, 192, cardinality=32, width=4)
convs = [conv.weight.numel() for conv in (block.conv1, block.conv2, block.conv3)]
print(f"D = 192, 32 paths of 4 channels: {convs}, {sum(convs):,} weights")

# %% [markdown]
# Our first stage has 32 groups of 4: of a dense layer's 147,456 weights every 32nd is left, and the two 1x1 convolutions now hold nine tenths of the block. What one group finds
# reaches the others only through the next 1x1 convolution.

# %% [markdown]
# ### 1.2 Three forms of the same block
#
# The paper draws the block in three forms and calls them equal: (a) paths that are *summed*, (b) paths *concatenated* before a common 1x1 convolution, (c) the grouped convolution. Here
# (a) and (b) are computed with the weights of a block in form (c), and a forward and backward pass of each is timed.

# %%
from a1.models.resnext import by_paths
from a1.timing import both_passes, least_seconds

# %%
x = torch.randn(32 if FULL else 2, 192, 32, 32).to(DEVICE, memory_format=torch.channels_last)
block = ResNeXtBlock(192, 192, cardinality=32, width=4).to(x, memory_format=torch.channels_last)
joined = partial(by_paths, concatenate=True)
forms = {"(a) summed": by_paths, "(b) concatenated": joined, "(c) grouped": ResNeXtBlock.__call__}
steps = {name: both_passes(partial(form, block), x) for name, form in forms.items()}
table = pd.DataFrame({"ms": 1000 * least_seconds(steps, 15 if FULL else 1)})
table["times (c)"] = table["ms"] / table["ms"]["(c) grouped"]
block, x = block.double(), x[:2].double()
table["largest difference"] = [(f(block, x) - block(x)).abs().max().item() for f in forms.values()]
table.assign(convolutions=[96, 65, 3]).round({"ms": 1, "times (c)": 1})

# %% [markdown]
# The forms agree to {{forms.apart:.0e}}, rounding in double precision, batch statistics included. Batch norm is where they could part: before the sum each channel is normalised alone,
# so a path can have its share of it; behind the last 1x1 convolution only the *sum* may be normalised.
#
# The multiply-adds are the same, the number of calls is not: (a) takes {{forms.a_ratio:.1f}} times as long as (c), (b) {{forms.b_ratio:.1f}} times. Grouping is a way to compute
# paths, not another network.

# %% tags=["facts"]
facts = {f"forms.{name[1]}_ratio": float(table.loc[name, "times (c)"]) for name in forms}
facts["forms.apart"] = float(table["largest difference"].max())

# %% [markdown]
# ### 1.3 The network and its cost
#
# A ResNeXt *is* Part I's ResNet-18 with other blocks: stem, pooling, classifier and forward pass are inherited. Where the side halves, channels and the width of a path double; the
# cardinality stays 32 ("32x4d"). To compare at equal cost, the first stage gets as many channels as ResNet-18's multiply-adds pay for: 192, where the paper's ResNeXt-50 has 256. With three convolutions a block that makes 26 weighted layers instead of 18.

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
make_resnext = partial(ResNeXt, channels=192 if FULL else 48, cardinality=32 if FULL else 8)
makers = {"resnet18": make_resnet, "resnext": make_resnext}
rivals = {"ResNet-18": make_resnet, "ResNeXt": make_resnext}
rivals["even stages"] = partial(make_resnext, depths=(2, 2, 2, 2))
rivals["dense"] = partial(make_resnext, cardinality=1, width=62)  # one path of 62
rivals["ResNeXt-50"] = partial(make_resnext, depths=(3, 4, 6, 3), channels=256 if FULL else 48)
x = torch.randn(32 if FULL else 2, 3, 64, 64, device=DEVICE).to(memory_format=torch.channels_last)
models = [make().to(x, memory_format=torch.channels_last) for make in rivals.values()]
passes = {name: both_passes(model, x) for name, model in zip(rivals, models)}
costs = pd.DataFrame({"ms": 1000 * least_seconds(passes, 12 if FULL else 1)})
costs["parameters"] = [sum(weight.numel() for weight in model.parameters()) for model in models]
costs["M multiply-adds"] = [mult_adds(model.cpu(), 64) / 1e6 for model in models]
pd.concat([costs, (costs / costs.iloc[0]).add_suffix(", ratio")], axis=1).round(2)

# %% [markdown]
# Ratios are to ResNet-18. ResNeXt has {{size_ratio.resnext:.2f}} times its parameters and {{work_ratio.resnext:.2f}} times its multiply-adds; VGG-16C has {{a1_part_1/vgg16c.parameters:,}} parameters and needs
# {{a1_part_1/vgg16c.mult_adds:.0f}} million multiply-adds (Part I).
#
# **Equal on paper is not equal in time.** On one core a pass forward and backward takes {{time_ratio.resnext:.2f}} times as long as ResNet-18's, and with ResNet-18's two blocks a stage ("even stages") {{time_ratio.even:.2f}} times, at the same
# multiply-adds: a bottleneck costs the same in each stage, but the feature maps it writes and reads are largest in the first. Memory traffic is the likely reason, as ShuffleNet V2's
# authors say of wide bottlenecks and groups. So one block moves from the first stage to the third, where the paper's networks have most of theirs. Dense bottlenecks, one path of 62 channels
# instead of 32 of 4, take {{time_ratio.dense:.2f}} times ResNet-18's time; they return in 3 (b) as a control. (The full runs' recorded epochs, on two shared cores and other days, do not show these ratios.)

# %% tags=["facts"]
keys = ("resnet18", "resnext", "even", "dense", "resnext50")
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
# ## Part I's data and training
#
# Photos, split, augmentation and training loop are Part I's, from the same code and seed, and are explained there. The next cells can be skipped at first.

# %%
from a1.files import data_places

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
print({part: len(y) for part, y in data.y.items()})

# %%
from a1.train import SAVE_EVERY, RECIPE, OPTIMIZERS, SCHEDULES, evaluate

# %%
from a1.train import train

# %%
from a1.files import atomic_write

# %%
from a1.records import TOLERANCE, FAINT, probe

# %%
from a1.records import differs, read, find

# %%
from a1.records import finish

# %%
from a1.records import train_once

# %%
from a1.studies import study_indices, run_study

# %% [markdown]
# ## 2. Training and evaluation <a id="bx-2"></a>
#
# ### 2.1 Each network's own learning rate
#
# In Part I ResNet-18 trained at 0.1, the paper's rate, unsearched, and our full runs gave ResNeXt the same. A common rate compares how well it suits each network. So here each searches its own among 0.1, 0.2, 0.4 and 0.8, on 1,500 training and 500
# validation photos a class, shrunk to 32 pixels, over eight epochs: seed 0 for the grid, three seeds at 0.1 and at each network's best.

# %%
from a1.models.resnext import zero_last_gamma

SEEDS = (0, 1, 2) if FULL else (0, 1)
RATES, BEST = (0.1, 0.2, 0.4, 0.8), {"resnet18": 0.2, "resnext": 0.4}  # best with seed 0
STUDY = RECIPE | {"epochs": 8 if FULL else 1}
chosen = study_indices(labels, split, *((1500, 500) if FULL else (20, 20)))
study_data = Photos(images, labels, chosen, files, size=32)
networks = makers | {"dense": rivals["dense"]}
tried = {f"{n}-0.1-one": ((make, STUDY), len(SEEDS)) for n, make in networks.items()}
for name, make in makers.items():
    start = partial(lambda make: zero_last_gamma(make()), make)
    for lr in RATES:
        count = 3 if lr in (0.1, BEST[name]) else 1
        tried[f"{name}-{lr}-zero"] = (start, STUDY | {"lr": lr}), count
runs = pd.concat(run_study("rates", {v: r}, SEEDS[:n], study_data) for v, (r, n) in tried.items())

# %%
runs[["network", "rate", "gamma"]] = runs["variant"].str.split("-").tolist()
runs["worst loss"] = [max(history["train_loss"]) for history in runs["history"]]
groups = runs.groupby(["network", "gamma", "rate"], sort=False)
table = groups["val_acc"].agg(seeds="size", seed_0="first", val_acc="mean", sd="std")
table = table.join(groups[["train_acc", "worst loss"]].mean())
table.round(4).astype(object).fillna("")

# %% [markdown]
# *Gamma* is the scale of each block's last batch norm. Higher rates need a gentler start, so it begins at *zero*, and every block as its shortcut (Part I, 3.1). The usual start, one, stands beside it at 0.1 with three seeds, as in the full runs; *dense* are dense bottlenecks, a control.

# %%
from a1.plots import COLORS, NAMES, STYLE

plt.rcParams.update(STYLE)
options = {"palette": [*(COLORS[name] for name in makers), "gray"], "errorbar": ("pi", 100)}
options |= {"x": "rate", "y": "val_acc", "hue": "network", "style": "gamma", "markers": True}
ax = sns.lineplot(runs.replace({"network": NAMES}), err_style="bars", **options)
ax.set(xlabel="highest learning rate", ylabel="validation accuracy")
sns.move_legend(ax, "lower right", ncol=2)

# %% tags=["facts"]
facts = {f"study.{part}": len(y) for part, y in study_data.y.items()} | {
    "study.epochs": STUDY["epochs"]
}
for column, name in (("val_acc", "acc"), ("train_acc", "fit"), ("worst loss", "peak")):
    for (network, gamma, rate), value in table[column].round(4).items():
        facts[f"rates.{network}_{gamma}_{rate.replace('.', '')}_{name}"] = float(value)
derived = {
    "usual.lead": "100 * (rates.resnext_one_01_acc - rates.resnet18_one_01_acc)",
    "usual.blocks": "100 * (rates.dense_one_01_acc - rates.resnet18_one_01_acc)",
    "usual.paths": "100 * (rates.resnext_one_01_acc - rates.dense_one_01_acc)",
    "usual.fit": "100 * (rates.resnext_one_01_fit - rates.resnet18_one_01_fit)",
    "best.lead": "100 * (rates.resnext_zero_04_acc - rates.resnet18_zero_02_acc)",
    "same.lead": "100 * (rates.resnext_zero_01_acc - rates.resnet18_zero_01_acc)",
    "rate.resnext": "100 * (rates.resnext_zero_04_acc - rates.resnext_zero_01_acc)",
    "rate.resnet18": "100 * (rates.resnet18_zero_02_acc - rates.resnet18_zero_01_acc)",
    "start.resnext": "100 * (rates.resnext_zero_01_acc - rates.resnext_one_01_acc)",
    "start.resnet18": "100 * (rates.resnet18_zero_01_acc - rates.resnet18_one_01_acc)",
}

# %% [markdown]
# **Figure {{fig:rates}}.** Validation accuracy against the highest rate: means, bars the range of three seeds. Dots, gray among them: the usual start; crosses: zero last gammas.
#
# **From the same start, zero gammas, ResNeXt reaches {{rates.resnext_zero_01_acc:.1%}} and ResNet-18 {{rates.resnet18_zero_01_acc:.1%}} at 0.1; at rates of their own {{rates.resnext_zero_04_acc:.1%}} and {{rates.resnet18_zero_02_acc:.1%}}.** A difference of {{same.lead:+.2f}} points becomes {{best.lead:+.2f}}.
# The training photos are fitted better, too: 0.1 was slow, not careful. Most of what looked like a weakness of the architecture was one of the rate.
#
# Both best rates lie inside the grid, ResNeXt's at twice ResNet-18's. The gentler start is worth about the same to both, {{start.resnext:.1f}} and {{start.resnet18:.1f}} points at 0.1; the better rate another {{rate.resnext:.1f}} for ResNeXt and {{rate.resnet18:.1f}} for ResNet-18. The other rates
# have one seed: they place the optimum roughly, no more.
#
# **Bottlenecks start badly.** At 0.1 ResNeXt's training loss rises to {{rates.resnext_one_01_peak:.2f}} in its worst epoch and the dense bottlenecks' to {{rates.dense_one_01_peak:.2f}}, where a guess has ln 3 = `1.10` and ResNet-18 {{rates.resnet18_one_01_peak:.2f}}. Zero gammas do not prevent it
# ({{rates.resnext_zero_01_peak:.2f}} at 0.1), and the best rate's is higher still ({{rates.resnext_zero_04_peak:.2f}}): the first epochs are no guide to a rate.

# %% [markdown]
# ### 2.2 The full runs
#
# The full networks train on all {{a1_part_1/n_train:,}} photos for 20 epochs with Part I's recipe: SGD with Nesterov momentum, one cycle up to 0.1, decay, label smoothing, resolution growing from 32 to 48 and 64 pixels.
# **They were trained before the search of 2.1, at the common rate with the usual start, one seed each.** 2.3 gives each its own rate.

# %%
QUICK = {"epochs": 10, "batch_size": 16, "optimizer": "adamw", "lr": 0.003, "image_sizes": [32] * 6}
FINAL = RECIPE | ({"epochs": 20, "image_sizes": [32] * 8 + [48] * 5} if FULL else QUICK)
final = {name: train_once(f"{name}/seed0", make, FINAL, data) for name, make in makers.items()}
if (path := RUNS / "vgg16c/seed0.json").exists() and (record := read(path))["data"] == data.id:
    final = {"vgg16c": record} | final

# %%
from a1.plots import plot_history

plot_history(final)
plot_history(final, first=14 if FULL else 1)

# %% [markdown]
# **Figure {{fig:history}}.** The three full runs, below from epoch 14 on: accuracy and plain cross-entropy (cut at 1.2); training grows to 48 and 64 pixels at the dotted lines, validation is at 64 throughout. Dots mark the
# kept weights.
#
# ResNeXt swings in validation as ResNet-18 does while training photos are smaller than 64 pixels, and settles at full size. Its running training accuracy, under augmentation, is behind in every epoch, at the end by a hair.

# %% tags=["facts"]
metrics = final["resnext"]["metrics"]
facts = {f"resnext.{key}": value for key, value in metrics.items()} | {
    "n_train": len(data.y["train"])
}
interval = binomtest(
    round(metrics["test_acc"] * len(data.y["test"])), len(data.y["test"])
).proportion_ci(method="wilson")
facts |= {
    "resnext.test_low": float(interval.low),
    "resnext.test_high": float(interval.high),
    "n_test": len(data.y["test"]),
}
facts |= {"resnext.parameters": final["resnext"]["parameters"], "resnext.epochs": FINAL["epochs"]}
facts |= {"data": f"{len(images):,} photos", "resnext.run": "resnext/seed0"}

# %%
y_test, rows = labels[split["test"]].numpy(), {}
for name, record in final.items():
    said = record["test"]["test_probs"].argmax(1)
    wrong, f1 = confusion_matrix(y_test, said), f1_score(y_test, said, average=None).round(4)
    rows[NAMES[name]] = [*f1, *(wrong + wrong.T)[[0, 0, 1], [1, 2, 2]], (said != y_test).sum()]
heads = [f"F1 {name}" for name in CLASSES] + ["dogs, food", "dogs, vehicles", "food, vehicles"]
pd.DataFrame.from_dict(rows, "index", columns=[*heads, "all mistakes"])

# %% tags=["facts"]
counts = pd.DataFrame(rows, [*heads, "all mistakes"])["ResNeXt"]
facts = {f"resnext.{name}_F1": float(counts[f"F1 {name}"]) for name in CLASSES}
facts |= {
    "resnext.dogs_food": int(counts["dogs, food"]),
    "resnext.n_wrong": int(counts["all mistakes"]),
}

# %% [markdown]
# F1 by class, and mistakes by the two classes mixed up. ResNeXt's order is ResNet-18's: vehicles ({{resnext.vehicles_F1:.3f}}), food ({{resnext.food_F1:.3f}}), dogs ({{resnext.dogs_F1:.3f}}); half of its
# {{resnext.n_wrong}} mistakes ({{resnext.dogs_food}}) are between dogs and food. The weights, in float16 and read back, give the same test accuracy:

# %%
from a1.evaluate import release

_ = release(final["resnext"], make_resnext, data, "a1_bonus_resnext.pt")

# %% [markdown]
# ### 2.3 All photos again, each at its own rate
#
# The rates of 2.1, zero last gammas, all photos and four seeds: for eight epochs, five at 32 pixels, two at 48 and one at 64, since eight runs of 20 would take a working day. ResNeXt-50, with the paper's blocks and channels (1.3), joins at ResNeXt's rate, unsearched, with one seed.

# %%
own, seeds = {}, range(4 if FULL else 2)
for k, (name, seed) in enumerate(product(makers, seeds), 1):
    start, recipe = tried[f"{name}-{BEST[name]}-zero"][0]
    recipe = recipe | {"image_sizes": [32] * 5 + [48] * 2, "seed": seed}
    run = f"own_rates/{name}-seed{seed}", start, recipe, data, f"run {k} of {2 * len(seeds)}"
    own[NAMES[name], seed] = train_once(*run)
run = "own_rates/resnext50-seed0", partial(start.func, rivals["ResNeXt-50"]), recipe | {"seed": 0}
own["ResNeXt-50", 0] = train_once(*run, data)
share = pd.DataFrame({k: r["test"]["test_probs"].argmax(1) == y_test for k, r in own.items()})
share = share.T.groupby(level=0).mean().T  # of the seeds, right on a photo
photos = share.drop(columns="ResNeXt").apply(lambda x: ttest_rel(share["ResNeXt"], x).pvalue)
print("p over the test photos, ResNeXt and:", photos.round(4).to_dict())
own = 100 * pd.DataFrame({k: r["metrics"] for k, r in own.items()}).T.filter(like="_acc")
paired = ttest_rel(own.loc["ResNeXt"], own.loc["ResNet-18"])
low, high = paired.confidence_interval()
lead = own.groupby(level=0).mean().T.assign(points=(low + high) / 2, low=low, high=high)
print(lead.assign(p=paired.pvalue).round(3))
own.round(2)

# %% tags=["facts"]
facts = {"runs": " ".join(["resnext/seed0", "own_rates/resnext50-seed0", *(f"own_rates/{name}-seed{k}" for name in makers for k in seeds)])}
for part in ("train", "val", "test"):
    found = lead.assign(p=paired.pvalue).loc[f"{part}_acc"].round(3)
    facts |= {f"own.{part}_{key}": float(found[key]) for key in ("points", "low", "high", "p")}
    facts |= {f"own.{name}_{part}": float(found[NAMES[name]]) for name in makers}
    facts |= {f"own.resnext50_{part}": float(found["ResNeXt-50"])}
facts |= {"own.photos_p": float(photos["ResNet-18"].round(4)), "own.large_p": float(photos["ResNeXt-50"].round(4))}
derived = {"own.large_points": "own.resnext50_test - own.resnext_test"}

# %% [markdown]
# Accuracy in percent: means over the seeds, ResNeXt's lead over ResNet-18 in points with the 95% interval of a paired t test over seeds; each run.
#
# **Each at its own rate, ResNeXt is right on {{own.resnext_test:.1f}}% of the test photos and ResNet-18 on {{own.resnet18_test:.1f}}%: {{own.test_points:+.2f}} points ({{own.test_low:+.2f}} to {{own.test_high:+.2f}}).** On validation it is {{own.val_points:+.2f}} ({{own.val_low:+.2f}} to {{own.val_high:+.2f}}), on the training photos {{own.train_points:+.2f}} ({{own.train_low:+.2f}} to {{own.train_high:+.2f}}).
#
# ResNeXt is ahead with every seed in every part. Is it chance? *Other photos* would hardly change it: between shares of seeds that are right, photo by photo, p is {{own.photos_p:.4f}}. *Other seeds* might: p = {{own.test_p:.3f}}, {{own.val_p:.3f}} on validation, and a fourth seed was added because three had left it open, which makes a small p likelier. A pass takes it longer (1.3), so at equal time the comparison would be closer.
#
# **A larger ResNeXt is not clearly better.** ResNeXt-50, at {{work_ratio.resnext50:.1f}} times ResNet-18's multiply-adds, is right on {{own.resnext50_test:.1f}}% of the test photos, {{own.large_points:+.2f}} points from the smaller's mean (p = {{own.large_p:.2f}} over the photos), and on {{own.resnext50_val:.1f}}% of the validation photos (the smaller: {{own.resnext_val:.1f}}%): one seed, eight epochs, another network's rate.
#
# ## 3. Comparison with ResNet-18 and VGG-16C
#
# ### 3 (a) The three networks in one table <a id="bx-3a"></a>
#
# Training, validation and test part of each, with 95% intervals; VGG-16C and ResNet-18 as Part I trained them.

# %%
from a1.evaluate import metrics_table

pd.concat({NAMES[name]: metrics_table(record) for name, record in final.items()})

# %% [markdown]
# Accuracy, macro-F1 and loss give one order in validation and test: ResNet-18, ResNeXt, VGG-16C. On the test part the two residual networks' intervals overlap widely; VGG-16C's lies below both. On the *training* photos ResNeXt
# is no worse than ResNet-18 ({{resnext.train_acc:.2%}} and {{a1_part_1/resnet18.train_acc:.2%}}): it does not lack capacity.

# %% [markdown]
# ### 3 (b) Why the results differ <a id="bx-3b"></a>
#
# What the paper would lead one to expect: at equal cost 32 paths leave room for more channels (128 instead of 62 in the first stage), so the 1x1 convolutions choose among more of what was found, while each 3x3 filter
# looks at few. ResNeXt should win where there is more to represent than dense filters hold.
#
# #### Cardinality, at equal multiply-adds
#
# ResNeXt with 72 channels in the first stage, Part I's study photos (800 a class, 32 pixels), ten epochs at 0.1, three seeds. From 1 to 32 paths their width shrinks so that the multiply-adds stay.

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
means["parameters"] = [sum(w.numel() for w in make().parameters()) for make in small.values()]
means["M multiply-adds"] = [mult_adds(make(), 32) / 1e6 for make in small.values()]
curves = runs.rename(columns={"val_acc": "validation", "train_acc": "training"})
curves = curves.melt("cardinality", ["validation", "training"], "part", "accuracy")
options = {"style": "part", "errorbar": ("pi", 100), "color": COLORS["resnext"]}
plt.figure(figsize=(6.5, 2.4))
sns.lineplot(curves.astype({"cardinality": str}), x="cardinality", y="accuracy", **options)
plt.show()
slope = linregress(np.log2(runs["cardinality"]), 100 * runs["val_acc"])
p = ttest_rel(*(runs.loc[runs["cardinality"] == c, "val_acc"] for c in (32, 1))).pvalue
print(f"32 - 1: p {p:.3f}; doubling {slope.slope:.2f} ± {slope.stderr:.2f}, p {slope.pvalue:.3f}")
means.round({"M multiply-adds": 1}).round(4)

# %% [markdown]
# **Figure {{fig:cardinality}}.** Accuracy against cardinality, at equal multiply-adds: mean and range over three seeds.
#
# Every split network is ahead of the undivided one, 32 paths by {{card.lead:+.2f}} points with {{card.ratio:.2f}} times its parameters. The evidence is weak: seed by seed that lead has p = {{card.p}}, and over all 18 runs the trend is
# {{card.slope:.2f}} points a doubling with an error of {{card.slope_error:.2f}} (p = {{card.slope_p}}). Training accuracy gains more, so the gap grows from {{card.gap1:.1f}} to {{card.gap32:.1f}} points: **cardinality
# helps this network to fit more than to generalise.**
#
# The comparison is not quite pure. He's initialisation counts a layer's outputs and ignores groups, so filters in 32 groups start with a 32nd of the squared length. Behind batch norm a filter's length changes nothing but how fast
# its direction turns: the same rate is a bolder one for grouped filters.

# %% tags=["facts"]
facts = {
    "card.slope": round(float(slope.slope), 2),
    "card.slope_error": round(float(slope.stderr), 2),
}
facts |= {"card.slope_p": round(float(slope.pvalue), 3), "card.train": len(card_data.y["train"])}
facts["card.p"] = round(float(p), 3)
for c in (1, 32):
    facts |= {f"card.acc{c}": round(float(means.loc[c, "val_acc"]), 4)}
    facts |= {f"card.train_acc{c}": round(float(means.loc[c, "train_acc"]), 4)}
    facts |= {f"card.parameters{c}": int(means.loc[c, "parameters"])}
derived = {
    "card.ratio": "card.parameters32 / card.parameters1",
    "card.lead": "100 * (card.acc32 - card.acc1)",
    "card.gap1": "100 * (card.train_acc1 - card.acc1)",
    "card.gap32": "100 * (card.train_acc32 - card.acc32)",
}

# %% [markdown]
# #### Grouped convolutions: promised and real savings
#
# $C$ groups divide a 3x3 convolution's multiply-adds by $C$. Do they divide its time? The 3x3 convolutions of our four stages, forward and backward, in {{conv.precision}}:

# %%
speed = pd.DataFrame(index=pd.Index(WIDTHS, name="groups"))
for channels, side in ((128, 32), (256, 16), (512, 8), (1024, 4)):
    x = torch.randn(32 if FULL else 2, channels, side, side, device=DEVICE, dtype=LOW)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    convs = {g: nn.Conv2d(channels, channels, 3, padding=1, groups=g, bias=False) for g in WIDTHS}
    steps = {groups: both_passes(conv.to(x), x) for groups, conv in convs.items()}
    seconds = least_seconds(steps, 15 if FULL else 1)
    speed[f"{channels} channels, {side}x{side}"] = seconds[1] / seconds
speed.iloc[1:].T.round(2)

# %% [markdown]
# How much faster a 3x3 convolution gets in groups, on this machine. The multiply-adds promise as many times as there are groups.
#
# With 128 channels at 32x32 positions 32 groups are {{conv.gain128:.2f}} times as fast, instead of 32 times: feature maps are read and written however few the multiplications, and a group of 4 channels fills a small part of a vector or matrix register. So 16 groups ({{conv.gain128_16:.2f}}) beat 32. With 1,024 channels at 4x4, where most of what moves are weights, and these do become fewer, the factor is {{conv.gain1024:.1f}}, and up to 8 groups all that was promised.

# %% tags=["facts"]
facts = {"conv.precision": str(LOW).removeprefix("torch.")}
for column in speed:
    facts[f"conv.gain{column.split()[0]}"] = round(float(speed[column].iloc[-1]), 2)
facts["conv.gain128_16"] = round(float(speed.iloc[:, 0].get(16, 0)), 2)

# %% [markdown]
# #### Architecture: against ResNet-18
#
# Part of ResNeXt is its bottleneck, part its paths. At 0.1 (table in 2.1) ResNet-18 reaches {{rates.resnet18_one_01_acc:.1%}}, dense bottlenecks at the same multiply-adds {{rates.dense_one_01_acc:.1%}}, 32 paths {{rates.resnext_one_01_acc:.1%}}. Read at face value, bottlenecks and paths both
# cost accuracy, and the paths do the opposite of what they do in Figure {{fig:cardinality}}. But at 0.4 with zero gammas ResNeXt reaches {{rates.resnext_zero_04_acc:.1%}}, by the rate above all (2.1), which makes up for both. **On these photos the rate decides more than the form of the block**, and a ranking of blocks at one rate
# is a statement about that rate.
#
# #### Architecture: against VGG-16C
#
# Both residual networks beat VGG-16C, and not by overfitting less: it fits the *training* photos worse ({{a1_part_1/vgg16c.train_acc:.1%}} against {{resnext.train_acc:.1%}}), with more than three times the parameters. That points to easier
# optimisation by shortcuts and batch norm, which let them train at five times VGG-16C's rate (Part I). ResNeXt also averages over its last 4x4 positions where VGG-16C
# spends 25 million weights in linear layers on 2x2, and trains without dropout. Which of these counts how much, these runs cannot tell; Part II takes shortcuts and batch norm away one by one, for the gradients of untrained networks.

# %% [markdown]
# ### 3 (c) Challenges <a id="bx-3c"></a>
#
# - **The learning rate was the comparison.** ResNeXt, clearly worse in short runs at a common rate, is level at its own there (2.1), and ahead on all photos (2.3).
# - **A bad start.** In the study every bottleneck network's training loss lies above a guess's in its worst epoch (2.1). Zero last gammas were meant as the cure and are none.
# - **Equal on paper, not in time** (1.3). On shared cores the same step takes several times as long in one minute as in the next: so networks take turns in one process, and what counts is the processor time of each one's fastest round.

# %% [markdown]
# ### 3 (d) A closer look <a id="bx-3d"></a><a id="bx-bar"></a>

# %%
probs = {name: record["test"]["test_probs"] for name, record in final.items()}
right, n = {name: p.argmax(1) == y_test for name, p in probs.items()}, len(y_test)


def compare(one, other):
    """Two networks on the same photos: points between them, 95% interval, McNemar's exact test."""
    a, b = (int((right[x] & ~right[y]).sum()) for x, y in ((one, other), (other, one)))
    lead, both = 100 * (a - b) / n, int((~right[one] & ~right[other]).sum())
    error = 1.96 * ((1e4 * (a + b) / n - lead**2) / n) ** 0.5  # Agresti, 2013, 11.1
    row = {"only first right": a, "only second": b, "both wrong": both, "points": lead}
    return row | {"from": lead - error, "to": lead + error, "p": binomtest(a, max(1, a + b)).pvalue}


table = {f"resnext, {name}": compare("resnext", name) for name in final if name != "resnext"}
table = pd.DataFrame.from_dict(table, "index")
print("wrong with all networks:", int(np.all([~right[name] for name in final], 0).sum()))
table.round(5)

# %% tags=["facts"]
facts = {"all_wrong": int(np.all([~right[name] for name in final], 0).sum())}
for key, label in (("pair", "resnext, resnet18"), ("vgg", "resnext, vgg16c")):
    # a rehearsal may stand alone, without VGG-16C's record
    found = (table if FULL else table.reindex([label], fill_value=0)).loc[label].round(5)
    facts |= {
        f"{key}.only": int(found["only first right"]),
        f"{key}.other": int(found["only second"]),
    }
    facts |= {f"{key}.both": int(found["both wrong"]), f"{key}.points": float(found["points"])}
    facts |= {f"{key}.low": float(found["from"]), f"{key}.high": float(found["to"])}
    facts |= {f"{key}.p": float(found["p"])}
derived = {"pair.n_wrong": "pair.both + pair.other", "pair.differ": "pair.only + pair.other"}

# %% [markdown]
# **ResNeXt cannot be told from ResNet-18.** On the same photos the difference is {{pair.points:+.2f}} points, 95% interval {{pair.low:+.2f}} to {{pair.high:+.2f}} (McNemar's exact test, p = {{pair.p:.2f}}). Over
# VGG-16C it leads by {{vgg.points:+.2f}} ({{vgg.low:+.2f}} to {{vgg.high:+.2f}}, p = {{vgg.p:.5f}}). The accuracy above ResNet-18's that the assignment expects is not shown here; at own rates it is reached, by {{own.test_points:.1f}} points, at the edge of chance (2.3). The intervals are those of *these* networks on other photos;
# they leave out seed and rate.
#
# **They err alike.** Of ResNeXt's {{pair.n_wrong}} mistakes {{pair.both}} are ResNet-18's, too, and {{all_wrong}} photos defeat all three networks: perhaps a limit of the photos, or of 64 pixels.
#
# **What it would take.** The two networks disagree on {{pair.differ}} photos in which one is right; a net lead of about 22 of these, half a point, would be beyond chance. At rates of their own ResNeXt is ahead by that much; more seeds, or 20 epochs, would make it sure.
#
# ## 4. References <a id="references"></a>
#
# - S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He. *Aggregated Residual Transformations for Deep Neural Networks.* CVPR 2017. [arXiv:1611.05431](https://arxiv.org/abs/1611.05431) (ResNeXt)
# - K. He et al. *Deep Residual Learning for Image Recognition.* CVPR 2016. [arXiv:1512.03385](https://arxiv.org/abs/1512.03385). K. Simonyan, A. Zisserman, ICLR 2015. [arXiv:1409.1556](https://arxiv.org/abs/1409.1556) (VGG)
# - P. Goyal et al. *Accurate, Large Minibatch SGD.* 2017. [arXiv:1706.02677](https://arxiv.org/abs/1706.02677) (zero last gamma)
# - N. Ma et al. *ShuffleNet V2.* ECCV 2018. [arXiv:1807.11164](https://arxiv.org/abs/1807.11164)
# - A. Krizhevsky et al. NIPS 2012 (the first grouped convolutions). S. Ioffe, C. Szegedy. *Batch Normalization.* ICML 2015.
# - Q. McNemar, Psychometrika 12, 1947. E. B. Wilson, JASA 22, 1927. A. Agresti. *Categorical Data Analysis*, 2013.
# - The assignment's handout and CNN data set; [PyTorch](https://docs.pytorch.org), [SciPy](https://scipy.org), [scikit-learn](https://scikit-learn.org), [seaborn](https://seaborn.pydata.org).
#
# ### Running it again
#
# `A1_PROFILE=full` is the reported experiment; `quick`, the default without a GPU, rehearses every line. Runs of the same recipe, data and code are read from `runs/`, VGG-16C's if Part I has trained it; what you change is trained anew.

# %% tags=["reported"]
REPORTED = {"resnext.test_acc": None}
again = {"resnext.test_acc": final["resnext"]["metrics"]["test_acc"]}
pd.DataFrame({"reported": REPORTED, "this run": again}).round(4)
