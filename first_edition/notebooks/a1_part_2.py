# %% [markdown]
# # Part II. The vanishing gradient, measured
#
# **Question.** Part I's VGG-16C gets four more convolutional layers. Do the gradients that reach its first layers vanish,
# what decides whether they do, and what do ResNet-18's shortcuts change?
#
# **Answer.** Depth alone does not make them vanish, depth with a badly scaled start does. From He's initialisation VGG-Deep
# learns with plain SGD and gets {{vgg_deep.test_acc:.1%}} of the test photos right. From PyTorch's default it stays at chance in
# {{depth.steps}} steps on {{depth.photos:,}} photos of 32 pixels, at each of three rates and in either number format: what
# reaches the classifier is nearly the same for every photo (6.2), and the gradient that could change it is
# {{start.vgg_deep.he_over_default:.0e}} times smaller at conv1 than from He's. ResNet-18 learns from either. Taken apart, before
# training and on one draw of weights, its batch norm prevents the vanishing alone, its shortcuts alone nearly so.
#
# **Data.** The course's CNN data set with Part I's split, {{n_images:,}} photos. **Runtime.** The runs behind this
# notebook took {{minutes:.0f}} minutes on an {{vgg_deep.device}} (pauses of a busy machine included: two epochs alone count for an hour). Their records are read here, so the notebook itself runs
# in about half a minute there; without the records, or with `RETRAIN=1`, it trains again.

# %% [markdown]
# ## Setup
#
# Installs what is missing; in Colab that is usually torchinfo.

# %%
import importlib.util
import subprocess
import sys

packages = ("torchinfo", "tensorboard", "seaborn")
missing = [package for package in packages if importlib.util.find_spec(package) is None]
if missing:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing], check=True)

# %%
import copy
import datetime
import hashlib
import io
import json
import math
import os
import platform
import random
import re
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from filelock import FileLock
from IPython.display import Markdown, display
from PIL import Image, ImageDraw
from scipy import stats
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torchinfo import summary

# %% [markdown]
# ## Toolbox
#
# Code that Part I explains and this notebook uses again: the training loop, the store of finished runs, data and plotting
# defaults. New here is one hook in the training loop: a *recorder* may watch a run, and what it has seen goes into the
# run's record.

# %% tags=["toolbox"]
# @title Device, profile and seeds
from a1.setup import DEVICE, OUT, PROFILE, seed_everything

# %% tags=["toolbox"]
# @title Files that are whole or absent
from a1.files import atomic_write

# %% tags=["toolbox"]
# @title Recipe, training loop and evaluation
from a1.train import Classification, Recipe, OPTIMIZERS, mixed_precision, train_epoch, evaluate, Training

# %% tags=["toolbox"]
# @title The run store: train once, read the record ever after
from a1.runs import (
    DamagedFile,
    sha256_of,
    key_of,
    write_sealed,
    read_sealed,
    save_checkpoint,
    load_checkpoint,
    Run,
    curves,
    measures_of,
    epoch_line,
    log_epoch,
    run_config,
    is_study,
    set_aside,
    read_record,
    train_run,
    fit_or_load,
    Computed,
    compute_or_load,
)

# %% tags=["toolbox"]
# @title Released weights and reported results
from a1.weights import load_weights
from a1.results import TOLERANCE, save_results, compare_with_reported

# %% tags=["toolbox"]
# @title Figures and tables
from a1.plots import COLORS, NAMES, use_plot_style, plot_history, plot_study
from a1.evaluate import wilson_interval, mcnemar, reported, metrics_table

# %% [markdown]
# ## Configuration
#
# `full` is the reported experiment; `quick` rehearses every line of it in a minute on two CPU cores, with few images,
# narrow networks and few epochs, and proves nothing else. Full is the default where there is a GPU; `A1_PROFILE` decides
# otherwise.

# %%
SEED = 0
AUGMENT = ("flip", "shift", "color")
IMAGES_PER_CLASS = {"quick": 200, "full": None}[PROFILE]
VGG_WIDTH = {"quick": 0.125, "full": 1}[PROFILE]

# Part I's final runs, which are read again here
BOTH = dict(label_smoothing=0.1, augment=AUGMENT, seed=SEED)
PART_1 = {
    "quick": {
        "vgg16c": Recipe(epochs=3, batch_size=16, optimizer="adamw", lr=0.001, image_sizes=(32,) * 2, **BOTH),
        "resnet18": Recipe(epochs=3, batch_size=16, optimizer="adamw", lr=0.001, image_sizes=(32,) * 2, **BOTH),
    },
    "full": {
        "vgg16c": Recipe(epochs=20, batch_size=128, lr=0.02, image_sizes=(32,) * 8 + (48,) * 5, **BOTH),
        "resnet18": Recipe(epochs=20, batch_size=128, lr=0.1, image_sizes=(32,) * 8 + (48,) * 5, **BOTH),
    },
}[PROFILE]

# VGG-Deep: plain SGD at a constant rate, nothing that regularises but Part I's augmentation
PLAIN = dict(weight_decay=0.0, schedule="constant", augment=AUGMENT, seed=SEED)
DEEP_RECIPE = {
    "quick": Recipe(epochs=3, batch_size=16, optimizer="plain_sgd", image_sizes=(32,) * 2, **PLAIN),
    "full": Recipe(epochs=8, batch_size=64, optimizer="plain_sgd", image_sizes=(32,) * 5 + (48,) * 2, **PLAIN),
}[PROFILE]
RECORD_EVERY = {"quick": 5, "full": 10}[PROFILE]

# Depth against initialisation: nine cells, each at three rates; gradients of fresh networks
DEPTH_PHOTOS = {"quick": (40, 20), "full": (3000, 500)}[PROFILE]  # per class, for training and validation
DEPTH_EPOCHS = 2
DEPTH_RATES = {"quick": (0.03,), "full": (0.01, 0.03, 0.1)}[PROFILE]
START_BATCHES = {"quick": 2, "full": 10}[PROFILE]
SIGNAL_PHOTOS = {"quick": 8, "full": 32}[PROFILE]

# Small networks
SMALL_PHOTOS = {"quick": (40, 20), "full": (1000, 1000)}[PROFILE]
SMALL_RATES = {"quick": (0.02,), "full": (0.002, 0.006, 0.02, 0.06, 0.2)}[PROFILE]
SMALL_SEEDS = {"quick": (0, 1), "full": (0, 1, 2)}[PROFILE]
SMALL_RECIPE = Recipe(epochs={"quick": 2, "full": 12}[PROFILE], batch_size=64, augment=AUGMENT)
TARGET_ACC = {"quick": 0.4, "full": 0.75}[PROFILE]
MEMORY_PHOTOS = {"quick": 2, "full": 8}[PROFILE]
RESULTS = {"ln3": math.log(3)}

seed_everything(SEED)
use_plot_style()

def shown(table, formats=(), rest="{:.4f}"):
    """A table with its columns as text, each in its format."""
    return table.apply(lambda column: column.map(dict(formats).get(column.name, rest).format))

if PROFILE == "quick":
    display(Markdown("> **Quick rehearsal.** Numbers in the text are those of the reported full run, not of this one."))

# %% [markdown]
# ## Data
#
# Part I's photos, split, normalisation and augmentation, from the same functions and the same seed; Part I explains them.

# %% tags=["toolbox"]
# @title Finding, checking, decoding, splitting and batching the photos
from a1.data.images import (
    CLASSES,
    IMAGE_SIZE,
    PARTS,
    DataError,
    ImageSet,
    ZIP_ERRORS,
    data_folders,
    find_cnn_dataset,
    list_members,
    decode_image,
    decode_all,
    source_signature,
    is_writable,
    cached,
    load_cnn_dataset,
    split_indices,
    random_flip,
    random_shift,
    color_jitter,
    AUGMENTATIONS,
    ImageLoader,
    ImageSplits,
)

# %% tags=["toolbox"]
# @title Drawn stand-in images, for when there are no photos
from a1.data.standin import (
    CANVAS,
    random_color,
    draw_dog,
    draw_food,
    draw_vehicle,
    FIGURES,
    draw_image,
    draw_stand_in,
)

# %% tags=["toolbox"]
# @title Loading one or the other; studies on a part of them
from a1.data.load import load_images, data_banner, take_per_class
from a1.studies import study_data, run_study, runs_of, mean_and_sd

# %%
photos = take_per_class(load_images(), IMAGES_PER_CLASS)
if photos.source.startswith("drawn"):
    OUT = Path("out")  # nothing learned from drawings may stand beside the reported results
display(Markdown(data_banner(photos)))
split = split_indices(photos.images, photos.labels, seed=SEED)
data = ImageSplits(photos, split, DEVICE)
y_test = photos.labels[split["test"]]
RESULTS |= {"data": photos.source, "n_images": len(photos.images), "n_test": len(y_test)}
pd.DataFrame({part: np.bincount(photos.labels[split[part]], minlength=3) for part in PARTS}, index=CLASSES)

# %% [markdown]
# ## 1. The network
#
# ### 1.1 VGG-Deep  <!-- rubric: II.1 -->
#
# Part I's networks first (collapsed, they are explained there), then the deeper one. Three decisions are to be made:
#
# - **Where.** At the end of block 5, before its pooling. A 64-pixel photo has 4x4 positions there. Behind the last
#   pooling it would have 2x2, where 5 of the 9 weights of a 3x3 kernel read padding at each position, and at the 32
#   pixels of the first epochs a single one: 8 of 9 weights would never meet a pixel and get no gradient, whatever the
#   depth, and that would pass for a vanishing one. (In the 32-pixel epochs our new layers have 2x2 positions themselves.
#   Padding then takes its share of the signal whatever the initialisation, so what is said of a fresh network is measured
#   at 64 pixels unless the text says otherwise.)
# - **Which.** 3x3 like all new layers since block 1, stride 1, padding 1, ReLU. Version C's 1x1 layers close a block;
#   another one would add depth but hardly any view.
# - **How wide.** 640, 768, 896, 1024: VGG's filters double between its blocks, so the block after 512 would have 1024;
#   without a pooling in between there is no border between blocks, and we take the doubling in four equal steps.
#
# Dropout goes, batch norm was never there, and the recipe of section 3 has neither weight decay nor label smoothing.

# %% tags=["toolbox"]
# @title VGG-16C and ResNet-18 from Part I
from a1.models.vgg import VGG16C_LAYERS, INITS, VGG16C
from a1.models.resnet import BasicBlock, ResNet18

# %%
from a1.models.vgg_deep import VGG_DEEP_LAYERS, VGGDeep

# %% [markdown]
# Two small instruments describe a network: its layers with parameters and multiply-adds, and how much of the image each
# layer sees.

# %%
from a1.gradients import weight_layers, layer_table, receptive_fields

# %%
make_vgg = partial(VGG16C, num_classes=len(CLASSES), image_size=IMAGE_SIZE, width=VGG_WIDTH)
make_deep = partial(VGGDeep, num_classes=len(CLASSES), image_size=IMAGE_SIZE, width=VGG_WIDTH)

deep_table = layer_table(make_deep, IMAGE_SIZE)
fields = receptive_fields(make_deep())
deep_table.insert(3, "receptive field", [str(fields[name][0]) if name in fields else "" for name in deep_table.index])
vgg_table = layer_table(make_vgg, IMAGE_SIZE)
deep_table.insert(0, "", ["new" if name in deep_table.index[13:17] else "" for name in deep_table.index])
shown(deep_table, {"parameters": "{:,}", "multiply-adds": "{:,}"}, rest="{}")

# %%
model, base = make_deep(), make_vgg()
assert model(torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE)).shape == (2, len(CLASSES))
assert not any(isinstance(layer, nn.Dropout | nn.BatchNorm2d) for layer in model.modules())
layers, base_layers = ([str(layer) for layer in net.features] for net in (model, base))
assert layers[:30] == base_layers[:30] and layers[-2:] == base_layers[-2:]  # all but the new layers
heads = [[(type(layer), getattr(layer, "out_features", None)) for layer in net.classifier] for net in (model, base)]
assert [kind for kind in heads[0] if kind[0] is not nn.Identity] == [kind for kind in heads[1] if kind[0] is not nn.Dropout]
assert sum(p.numel() for p in model.parameters()) == summary(model, (1, 3, IMAGE_SIZE, IMAGE_SIZE), verbose=0).total_params
pools = [sum(isinstance(layer, nn.MaxPool2d) for layer in net.features) for net in (model, base)]
assert pools == [5, 5]
RESULTS |= {
    "deep.parameters": int(deep_table["parameters"].sum()),
    "deep.more_parameters": int(deep_table["parameters"].sum() - vgg_table["parameters"].sum()),
    "deep.conv_parameters": int(deep_table["parameters"][13:17].sum()),
    "deep.more_cost": float(deep_table["multiply-adds"].sum() / vgg_table["multiply-adds"].sum() - 1),
}
print(f"VGG-Deep {RESULTS['deep.parameters']:,} parameters, VGG-16C {vgg_table['parameters'].sum():,}")

# %% [markdown]
# VGG-Deep has {{deep.parameters:,}} parameters, {{deep.more_parameters:,}} more than VGG-16C: {{deep.conv_parameters:,}}
# in the new layers, the rest because the first linear layer takes 1024 feature maps instead of 512. It costs
# {{deep.more_cost:.0%}} more multiply-adds. All else is asserted to be the same, and
# torchinfo counts the same parameters. It has as many convolutions on the main path as ResNet-18, so section 4 compares
# networks of nearly equal depth (two more linear layers here; widths, pooling and batch norm differ).

# %% [markdown]
# ## 2. Recording gradients  <!-- rubric: II.3a -->
#
# **Why not the handout's call.** It registers `register_full_backward_hook` on `layer.weight`. That method belongs to
# `nn.Module`; a weight is a tensor and has none, so the call ends in an `AttributeError`. On the *module* the hook
# exists, but its `grad_output` is another quantity: the gradient with respect to the layer's **output**, not to its
# weight. What is meant is `Tensor.register_hook` on the weight, which is handed exactly what backward is about to add to
# `weight.grad`.

# %%
weight = nn.Conv2d(3, 8, 3).weight
try:
    weight.register_full_backward_hook(print)
except AttributeError as error:
    print("AttributeError:", error)

# %% [markdown]
# The recorder names layers in forward order (hooks *fire* in backward order, so whoever numbers them as they come
# reverses the depth), records every k-th step, and leaves each norm on the device: the handout's `.item()` in the hook
# would make a GPU wait in every layer. Its state is saved with the run's, so an interrupted run goes on recording, and
# its result is part of the run's sealed record.

# %%
from a1.gradients import GradientRecorder, norms_table

# %% [markdown]
# A check on a fresh network: what was recorded must equal `weight.grad.norm()`, layer by layer, to the four digits that a
# record keeps.

# %%
seed_everything(SEED)
model = VGGDeep(width=0.125).to(DEVICE)
x, y = next(iter(data.loader("train", replace(DEEP_RECIPE, batch_size=16), train=True)))
recorder = GradientRecorder(every=1)
recorder.start(model)
F.cross_entropy(model(x), y).backward()
by_hook = norms_table(recorder.result()).iloc[0]
by_grad = pd.Series({name: float(layer.weight.grad.norm()) for name, layer in weight_layers(model).items()})
RESULTS["recording.error"] = float((by_hook / by_grad - 1).abs().max())
assert list(by_hook.index) == [f"conv{n}" for n in range(1, 18)] + ["fc1", "fc2", "fc3"]
assert RESULTS["recording.error"] < 1e-3
print(f"{len(by_hook)} layers, largest relative difference {RESULTS['recording.error']:.1e}")

# %% [markdown]
# **Two quantities, three curves.** A weight's gradient is made of two signals: what comes *forward* into the layer and
# what comes *back* to its output. Measured once, on {{signal.photos}} photos and fresh networks:

# %%
from a1.gradients import compare_gradients

# %%
INIT_NAMES = {"default": "PyTorch's default", "xavier": "Xavier", "he": "He"}

def signals_of(make_model):
    """compare_gradients of a fresh network on the first photos at 64x64, in float32; measured once."""
    recipe = replace(DEEP_RECIPE, batch_size=SIGNAL_PHOTOS, image_sizes=())

    def measure():
        seed_everything(SEED)
        model = make_model().to(DEVICE)
        seed_everything(SEED)  # the same photos for every network
        return compare_gradients(model, *next(iter(data.loader("train", recipe, train=True)))).to_dict()

    config = run_config(make_model, recipe, data)
    return pd.DataFrame(compute_or_load("signals", config, lambda: (measure(), {})).result)

signals = {init: signals_of(partial(make_deep, init=init)) for init in INIT_NAMES}

QUANTITIES = {
    "output": "gradient of the output\n(the handout's grad_output)",
    "input": "RMS of the layer's input",
    "weight": "gradient of the weight",
}
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharex=True)
for ax, (quantity, label) in zip(axes, QUANTITIES.items()):
    for init, color in zip(INIT_NAMES, sns.color_palette("Dark2")):
        values = signals[init][quantity]
        ax.semilogy(range(1, len(values) + 1), values, "o-", ms=3, color=color, label=INIT_NAMES[init])
    ax.axvline(17.5, color="gray", lw=1, ls=":")
    ax.set(xlabel="layer (18 to 20: linear)", title=label)
axes[0].set_ylabel("L2 norm, or RMS")
axes[0].legend(loc="lower right")
plt.show()

RESULTS["signal.photos"] = SIGNAL_PHOTOS
for init, table in signals.items():
    RESULTS |= {f"signal.{init}.{q}_deep_over_first": float(table.loc["conv17", q] / table.loc["conv1", q]) for q in QUANTITIES}
    RESULTS |= {f"signal.{init}.{q}_first": float(table.loc["conv1", q]) for q in QUANTITIES}
    RESULTS |= {f"signal.{init}.last": float(table.loc["conv17", "weight"])}
    RESULTS |= {f"signal.{init}.fc3": float(table.loc["fc3", "weight"]), f"signal.{init}.varies": float(table.loc["conv17", "varies"])}
RESULTS["signal.default.varies_amplitude"] = RESULTS["signal.default.varies"] ** 0.5

# %% [markdown]
# **Figure {{fig:signals}}.** VGG-Deep before its first step. With PyTorch's default initialisation the gradient of the
# *output* is {{signal.default.output_deep_over_first:.3g}} times as large at the deepest convolution as at the first; the
# gradient of the *weight* {{signal.default.weight_deep_over_first:.3g}} times. Whoever takes the handout's `grad_output`
# for a weight gradient leaves out the other factor, the input, whose size at conv17 is
# {{signal.default.input_deep_over_first:.3g}} times that at conv1. (A norm sums over
# all positions and channels; 6.2 shows that this sum is the very quantity that a well-made layer preserves.) From here on, *gradient* means the gradient of the
# weight.
#
# He's initialisation keeps both signals level: from conv1 to conv17 the output's gradient changes by a factor of
# {{signal.he.output_deep_over_first:.3g}}, the input by {{signal.he.input_deep_over_first:.3g}}. The weight's gradient
# rises {{signal.he.weight_deep_over_first:.3g}}-fold all the same, mostly because a unit of conv17 has 299 times the inputs
# of one of conv1 (6.2). With Xavier's both signals fade, in *opposite* directions, the output's gradient towards the first
# layer, the input towards the last. Their product is low everywhere: {{signal.xavier.weight_first:.2g}} at conv1, where
# He's has {{signal.he.weight_first:.2g}}, and only {{signal.xavier.weight_deep_over_first:.3g}} times as much at conv17.
# PyTorch's default alone shows the textbook's slope. Three dips in the weight's curves (conv7, conv10, conv13) are no loss: these are
# the 1x1 layers, with a ninth of the neighbours' inputs. Section 6.2 derives the end-to-end factor of five of the six signal
# curves from one number per layer; the sixth, the default's input, is held up by something else.

# %% [markdown]
# ## 3. Training with plain SGD
#
# ### 3.1 The run  <!-- rubric: II.2 -->
#
# Same photos, split, preprocessing and augmentation as Part I, He's initialisation as there, SGD without momentum at a
# constant rate. The rate is the one decision left. It is chosen on {{depth.photos:,}} photos at 32x32 in {{depth.epochs}}
# epochs, by validation accuracy.

# %%
depth_photos = study_data(photos, split, *DEPTH_PHOTOS, size=32, device=DEVICE)
DEPTH_RECIPE = Recipe(epochs=DEPTH_EPOCHS, batch_size=64, optimizer="plain_sgd", **PLAIN)

def short_run(make_model, lr, amp=True):
    """A recorded run on the photos of the depth study."""
    recipe, recorder = replace(DEPTH_RECIPE, lr=lr, amp=amp), GradientRecorder(every=5)
    return fit_or_load("studies/depth", make_model, recipe, depth_photos, verbose=False, recorder=recorder)

sweep = {lr: short_run(make_deep, lr) for lr in DEPTH_RATES}
rates = pd.DataFrame({lr: {"train_loss": run.history[-1]["train_loss"], "val_acc": run.metrics["val_acc"]} for lr, run in sweep.items()}).T
RATE = float(rates["val_acc"].idxmax())
highest = sweep[max(sweep)]
RESULTS |= {
    "sweep.high_rate": max(sweep),
    "sweep.high_first": ", ".join(f"{loss:.2f}" for loss in highest.record["first_losses"][:3]),
    "sweep.high_train_loss": highest.history[-1]["train_loss"],
}
RESULTS |= {
    "depth.photos": len(depth_photos.labels["train"]),
    "depth.val": len(depth_photos.labels["val"]),
    "depth.epochs": DEPTH_EPOCHS,
    "depth.rate": RATE,
    "depth.steps": DEPTH_EPOCHS * len(depth_photos.loader("train", DEPTH_RECIPE, train=True)),
}
rates.rename_axis("learning rate").round(4)

# %% [markdown]
# The best rate, {{depth.rate:g}}, lies inside the range, a factor of three below disaster: at {{sweep.high_rate:g}} the
# loss of the first steps is {{sweep.high_first}}, then the network sits at $\ln 3$ for good, with healthy gradients
# before the first step. So a loss *at* $\ln 3$ has two causes, a signal that never arrives and a step that was too large; the
# gradients of iteration 0 tell them apart.

# %%
DEEP_RECIPE = replace(DEEP_RECIPE, lr=RATE)
deep = fit_or_load("vgg_deep", make_deep, DEEP_RECIPE, data, recorder=GradientRecorder(RECORD_EVERY))

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
epochs = [epoch["epoch"] for epoch in deep.history]
for ax, measure, label in zip(axes, ("loss", "acc"), ("cross-entropy", "accuracy")):
    for part, style in (("train", "--"), ("val", "-")):
        ax.plot(epochs, [epoch[f"{part}_{measure}"] for epoch in deep.history], style, color=COLORS["vgg_deep"], label=part)
    ax.set(xlabel="epoch", ylabel=label, xticks=epochs)
axes[0].axhline(math.log(3), color="gray", lw=1, ls=":")
axes[0].annotate("ln 3", (epochs[-1], math.log(3)), ha="right", va="bottom", color="gray")
axes[1].axhline(1 / 3, color="gray", lw=1, ls=":")
axes[1].legend()
plt.show()

RESULTS |= reported("vgg_deep", deep)
RESULTS |= {
    "vgg_deep.lr": DEEP_RECIPE.lr,
    "vgg_deep.batch_size": DEEP_RECIPE.batch_size,
    "vgg_deep.small_epochs": len(DEEP_RECIPE.image_sizes),
    "vgg_deep.first_epoch_loss": deep.history[0]["train_loss"],
    "vgg_deep.last_epoch_loss": deep.history[-1]["train_loss"],
    "vgg_deep.last_but_one_loss": deep.history[-2]["train_loss"],
    "vgg_deep.first_48_val_acc": deep.history[sum(size == 32 for size in DEEP_RECIPE.image_sizes)]["val_acc"],
    "vgg_deep.last_epoch_val_acc": deep.history[-1]["val_acc"],
    "vgg_deep.first_epoch_val_acc": deep.history[0]["val_acc"],
    "vgg_deep.last_small_val_acc": deep.history[sum(size == 32 for size in DEEP_RECIPE.image_sizes) - 1]["val_acc"],
    "vgg_deep.gap_points": 100 * (deep.metrics["train_acc"] - deep.metrics["test_acc"]),
}

# %% [markdown]
# **Figure {{fig:training}}.** VGG-Deep with plain SGD: training (dashed) and validation. The training loss goes from
# {{vgg_deep.first_epoch_loss:.3f}} in the first epoch to {{vgg_deep.last_epoch_loss:.3f}} in the last. The dotted lines
# are chance: a network that gives every class the probability 1/3 has the loss $-\ln(1/3) = \ln 3$ = {{ln3:.4f}}, the
# best that a constant answer can get. A loss that *stays* there means that the network has found nothing better. The first {{vgg_deep.small_epochs}} epochs
# see reduced photos as in Part I, validation is at 64x64 throughout. Training is
# smooth: the loss falls in every epoch but the sixth, the first at 48 pixels. Validation is at {{vgg_deep.first_epoch_val_acc:.0%}} after
# the first epoch and {{vgg_deep.last_small_val_acc:.0%}} after the last one at 32 pixels, as the network meets photos four times the size it
# knows; two epochs at 48 pixels ({{vgg_deep.first_48_val_acc:.0%}} after the first of them) and one at 64 bring it to
# {{vgg_deep.last_epoch_val_acc:.1%}}. Validation loss is still falling at the end; training loss hardly moves any more
# ({{vgg_deep.last_but_one_loss:.3f}}, {{vgg_deep.last_epoch_loss:.3f}}), but its last two epochs see different photos, at 48 and at 64 pixels.

# %%
metrics_table(deep).round(4)

# %% [markdown]
# After {{vgg_deep.epochs}} epochs {{vgg_deep.test_acc:.1%}} of the test photos are classified correctly (95% interval
# {{vgg_deep.test_acc_low:.1%}} to {{vgg_deep.test_acc_high:.1%}}). That is well below VGG-16C's
# {{a1_part_1/vgg16c.test_acc:.1%}}, as the handout expects, but nothing broke down, and the gap to the training photos is only
# {{vgg_deep.gap_points:.1f}} points: the network is not finished rather than overfitted. Which part of that is depth and which is plain SGD, the short training and the
# missing regularisers is not separated by this run. Section 3.5 separates depth and initialisation under plain SGD, and 4.1 trains
# VGG-16C under this very recipe.

# %% [markdown]
# ### 3.2 All layers  <!-- rubric: II.3b1 -->

# %%
norms = norms_table(deep.record["recorded"])
conv_names = [name for name in norms if name.startswith("conv")]
depth_colors = dict(zip(conv_names, plt.cm.turbo(np.linspace(0.05, 0.95, len(conv_names)))))
apart = {"conv1": ":", "conv7": "--", "conv10": "--", "conv13": "--"}  # few inputs: 27, and the 1x1 layers
smooth = norms.rolling(10, min_periods=1).median()
changes = np.flatnonzero(np.diff([*DEEP_RECIPE.image_sizes, IMAGE_SIZE])) + 1  # epochs after which the photos grow

fig, ax = plt.subplots(figsize=(9.5, 4.6))
for name in conv_names:
    ax.semilogy(smooth.index, smooth[name], apart.get(name, "-"), color=depth_colors[name], lw=1.3, label=name)
for change in changes:
    ax.axvline(change * len(data.loader("train", DEEP_RECIPE, train=True)), color="gray", lw=1, ls=":")
ax.set(xlabel="iteration", ylabel="L2 norm of the weight's gradient")
ax.legend(ncols=1, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# **Figure {{fig:layers}}.** Gradient norm of each of the 17 convolutions over {{norm.iterations:,}} iterations, recorded
# at every {{norm.every}}th (running median of ten records); blue is shallow, red is deep; conv1 is dotted, the 1x1 layers are dashed;
# gray lines mark where the photos grow. At iteration 0 the largest norm, of {{norm.start.largest}}, is {{norm.start.spread:.3g}} times the smallest, of
# {{norm.start.smallest}}; at the end of the 32-pixel epochs {{norm.small.spread:.3g}} times ({{norm.small.largest}},
# {{norm.small.smallest}}), at the very end {{norm.end.spread:.3g}} times ({{norm.end.largest}}, {{norm.end.smallest}}).
# The picture *turns over* early: at iteration 0 the deepest layers are on top; until iteration {{norm.conv2_leads_from}} middle
# ones are, and then conv2, whose norm is the largest in {{norm.conv2_leads:.0%}} of the records. From there on the norms of the 3x3 layers tend to fall with
# depth; conv1, with 27 inputs a unit, and the three 1x1 layers lie below their neighbours. All curves rise at first and then
# drift down: from iterations 100 to 250 to the last 300 at 32 pixels conv5's median goes from {{norm.early.conv5:.2f}} to {{norm.late.conv5:.2f}}, conv17's from
# {{norm.early.conv17:.2f}} to {{norm.late.conv17:.2f}}. When the photos grow to 48 pixels the deep layers' norms jump and come most of the way back
# (conv17: {{norm.grown.conv17:.2f}} over the first hundred steps, {{norm.settled.conv17:.2f}} over the next): photos of 2.25 times the area are new to them.

# %% tags=["toolbox"]
# @title Numbers for the text
steps = len(data.loader("train", DEEP_RECIPE, train=True))
at_small = norms.loc[: steps * sum(size == 32 for size in DEEP_RECIPE.image_sizes) - 1]
n = max(1, steps // (2 * RECORD_EVERY))  # records in half an epoch
PHASES = {"start": norms.iloc[:1], "small": at_small.iloc[-n:], "end": norms.iloc[-n:]}
PHASE_NAMES = {"start": "iteration 0", "small": "last at 32 px", "end": "last at 64 px"}
PAIRS = ["conv17/conv1", "conv17/conv2", "conv2/conv10", "conv2/conv9", "fc3/conv1"]
for phase, rows in PHASES.items():
    mean = rows.median()
    RESULTS |= {f"norm.{phase}.{name}": float(mean[name]) for name in norms}
    RESULTS |= {f"norm.{phase}.{pair.replace('/', '_over_')}": float(mean[pair.split("/")[0]] / mean[pair.split("/")[1]]) for pair in PAIRS}
    RESULTS[f"norm.{phase}.largest"] = mean[conv_names].idxmax()
    RESULTS[f"norm.{phase}.smallest"] = mean[conv_names].idxmin()
    RESULTS[f"norm.{phase}.spread"] = float(mean[conv_names].max() / mean[conv_names].min())
second = norms.iloc[1]
RESULTS |= {"norm.second.conv17_over_conv1": float(second["conv17"] / second["conv1"]), "norm.second.iteration": int(norms.index[1])}
grown = steps * sum(size == 32 for size in DEEP_RECIPE.image_sizes)  # the first iteration at 48 pixels
spans = {"early": (100, 250), "late": (grown - 300, grown), "grown": (grown, grown + 100), "settled": (grown + 100, grown + 200)}
for span, (first, end) in spans.items():
    RESULTS |= {f"norm.{span}.{name}": float(norms.loc[first : end - 1, name].median()) for name in ("conv5", "conv17")}
leader = smooth[conv_names].idxmax(axis=1)
RESULTS |= {
    "norm.conv2_leads": float((norms[conv_names].idxmax(axis=1) == "conv2").mean()),
    "norm.conv2_leads_from": int(leader.index[leader == "conv2"][0]) if (leader == "conv2").any() else "none",
}
RESULTS |= {"norm.every": RECORD_EVERY, "norm.window": n, "norm.iterations": int(norms.index[-1])}

# %% [markdown]
# ### 3.3 Four of them  <!-- rubric: II.3b2 -->

# %%
chosen = ["conv2", "conv5", "conv8", conv_names[-1]]
fig, ax = plt.subplots(figsize=(8, 3.8))
for name, color in zip(chosen, sns.color_palette("Dark2")):
    ax.semilogy(norms.index, norms[name], color=color, lw=0.6, alpha=0.35)
    ax.semilogy(smooth.index, smooth[name], color=color, lw=2, label=name)
for change in changes:
    ax.axvline(change * len(data.loader("train", DEEP_RECIPE, train=True)), color="gray", lw=1, ls=":")
ax.set(xlabel="iteration", ylabel="L2 norm of the weight's gradient")
ax.legend()
plt.show()

# %% [markdown]
# **Figure {{fig:chosen}}.** The 2nd, 5th, 8th and deepest convolution: single records (thin) and their running median. At
# iteration 0 conv2 has {{norm.start.conv2:.3g}}, conv5 {{norm.start.conv5:.3g}}, conv8 {{norm.start.conv8:.3g}} and conv17
# {{norm.start.conv17:.3g}}; at the end of the 32-pixel epochs {{norm.small.conv2:.3g}}, {{norm.small.conv5:.3g}},
# {{norm.small.conv8:.3g}} and {{norm.small.conv17:.3g}}, at the very end {{norm.end.conv2:.3g}}, {{norm.end.conv5:.3g}},
# {{norm.end.conv8:.3g}} and {{norm.end.conv17:.3g}}. Single records scatter by
# a factor of two or three (the loss of a batch of 64 does), all layers together, so what differs is the level: conv2 lies above the
# deepest layer for all of training but its first steps, conv5 and conv8 in between.

# %% [markdown]
# ### 3.4 What the norms show  <!-- rubric: II.3c -->
#
# The handout expects the norms to fall towards the early layers. A fair look needs one caution: at equal signals the norm of
# a layer's gradient grows with the root of its *fan-in*, the number of inputs of a unit (6.2), and that is 27 at conv1 and
# 8,064 at conv17. So the table gives the norm divided by that root beside it.

# %%
table = pd.DataFrame({PHASE_NAMES[phase]: rows.median() for phase, rows in PHASES.items()})
fan_in = pd.Series({name: layer.weight[0].numel() for name, layer in weight_layers(make_deep()).items()})
for phase, name in PHASE_NAMES.items():
    table[f"{name}, / root of fan-in"] = per_root = table[name] / fan_in**0.5
    RESULTS[f"root.{phase}.conv17_over_conv1"] = float(per_root["conv17"] / per_root["conv1"])
    RESULTS[f"root.{phase}.conv17_over_conv2"] = float(per_root["conv17"] / per_root["conv2"])
table.insert(0, "fan-in", fan_in)
shown(table, {"fan-in": "{:,}"}, rest="{:.3g}")

# %% [markdown]
# Before the first update the norm at conv17 is {{norm.start.conv17_over_conv1:.3g}} times that at conv1 and
# {{norm.start.conv17_over_conv2:.3g}} times that at conv2; already at the next record, iteration {{norm.second.iteration}},
# {{norm.second.conv17_over_conv1:.3g}} times that at conv1. At the end of the 32-pixel epochs the two factors are
# {{norm.small.conv17_over_conv1:.3g}} and {{norm.small.conv17_over_conv2:.3g}}, at the very end
# {{norm.end.conv17_over_conv1:.3g}} and {{norm.end.conv17_over_conv2:.3g}}; with the fan-in taken out,
# {{root.start.conv17_over_conv1:.3g}} and {{root.start.conv17_over_conv2:.3g}} before, {{root.end.conv17_over_conv1:.3g}} and
# {{root.end.conv17_over_conv2:.3g}} at the end. So the answer depends on
# when one looks. *Before* training earlier layers do have smaller gradients, for a reason that has little to do with vanishing: fan-in, and
# an error that all photos share (6.2). *In* training they have larger ones: of the layers with many inputs the deepest convolutions and the
# classifier have the smallest norms, and conv1 alone is small for want of inputs. So in this run the weights' gradients do not shrink
# towards the input. (They are products of two signals, and a ratio alone proves little, 6.2; the gradient of the outputs was
# measured before training only, where sixteen layers leave {{theory.he.backward_measured:.2f}} of it.)

# %% [markdown]
# ### 3.5 Depth or initialisation?
#
# VGG-Deep was started as Part I starts its networks, from He's initialisation, which is made to keep signals alive. What
# does depth do without that help? VGG-16C (13 convolutions, without dropout here), VGG-Deep (17) and ResNet-18 (17 on the
# main path) each start from PyTorch's default, from Xavier's and from He's initialisation. ResNet-18 needs a variant that
# takes an initialisation. (He's is scaled by the fan-in here in all three. Part I's ResNet-18 takes the reference code's
# fan-out, which makes conv1's weights $\sqrt{576/27}$ = 4.6 times smaller.)

# %%
from a1.models.vgg_deep import Nothing, ResNet18From

# %%
from a1.gradients import gradients_at_start

# %%
DEPTH_NETS = {
    "vgg16c": partial(make_vgg, dropout=0.0),
    "vgg_deep": make_deep,
    "resnet18": partial(ResNet18From, num_classes=len(CLASSES), stem="3x3"),
}
START_RECIPE = replace(DEEP_RECIPE, image_sizes=())  # at the full resolution

def norms_at_start(make_model):
    """gradients_at_start on all photos; measured once."""
    config = run_config(make_model, START_RECIPE, data) | {"batches": START_BATCHES}

    def measure():
        return gradients_at_start(make_model, data, START_RECIPE, START_BATCHES).to_dict()

    return pd.DataFrame(compute_or_load("start", config, lambda: (measure(), {})).result)

start = {(net, init): norms_at_start(partial(make, init=init)) for net, make in DEPTH_NETS.items() for init in INIT_NAMES}

fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True)
for ax, init in zip(axes, INIT_NAMES):
    for net in DEPTH_NETS:
        rows = start[net, init]
        rows = rows[rows.index.str.startswith("conv")]
        ax.errorbar(range(1, len(rows) + 1), rows["mean"], rows["sd"], fmt="o-", ms=3, lw=1.2, capsize=2, color=COLORS[net], label=NAMES[net])
    ax.set(yscale="log", xlabel="convolution, main path", title=INIT_NAMES[init])
axes[0].set_ylabel("L2 norm of the weight's gradient")
axes[2].legend()
plt.show()

RESULTS["start.batches"] = START_BATCHES
for (net, init), rows in start.items():
    convs = rows.index[rows.index.str.startswith("conv")]
    first, last, classifier = rows.loc["conv1"], rows.loc[convs[-1]], rows.iloc[-1]
    RESULTS |= {
        f"start.{net}.{init}.first": float(first["mean"]),
        f"start.{net}.{init}.second": float(rows.loc["conv2", "mean"]),
        f"start.{net}.{init}.last": float(last["mean"]),
        f"start.{net}.{init}.classifier": float(classifier["mean"]),
        f"start.{net}.{init}.fc_over_first": float(classifier["mean"] / first["mean"]),
        f"start.{net}.{init}.ratio": float(last["mean"] / first["mean"]),
        f"start.{net}.{init}.spread": float((rows["sd"] / rows["mean"]).loc[convs].max()),
    }
for net in DEPTH_NETS:
    RESULTS[f"start.{net}.he_over_default"] = float(start[net, "he"].loc["conv1", "mean"] / start[net, "default"].loc["conv1", "mean"])

# %% [markdown]
# **Figure {{fig:start}}.** Gradient norms before the first update, at 64x64: mean and standard deviation over
# {{start.batches}} batches of {{vgg_deep.batch_size}} augmented photos. From PyTorch's default initialisation VGG-Deep's
# first convolution gets {{start.vgg_deep.default.first:.3g}}, from He's {{start.vgg_deep.he.first:.3g}}, a factor of
# {{start.vgg_deep.he_over_default:.3g}}; in VGG-16C the factor is {{start.vgg16c.he_over_default:.3g}}, in ResNet-18
# {{start.resnet18.he_over_default:.3g}}. In the VGGs the default makes a *slope*, from conv1 up to conv17 by
# a factor of {{start.vgg_deep.default.ratio:.2g}} in VGG-Deep and on to the classifier's last layer
# ({{start.vgg_deep.default.classifier:.2g}}); Xavier's lowers the *level*, with {{start.vgg_deep.xavier.first:.2g}} at conv1,
# {{start.vgg_deep.xavier.last:.2g}} at conv17 and {{start.vgg_deep.xavier.classifier:.2g}} at the last layer. He's is not flat
# either: it rises {{start.vgg_deep.he.ratio:.0f}}-fold in VGG-Deep and {{start.vgg16c.he.ratio:.0f}}-fold in VGG-16C, for the
# reasons of section 6.2. ResNet-18's three curves stay within a factor of {{start.resnet18.xavier_over_he:.2g}} at conv1, with
# Xavier's on top, as section 6.4 predicts.

# %%
depth_runs = {
    (net, init): {lr: short_run(partial(make, init=init), lr) for lr in DEPTH_RATES}
    for net, make in DEPTH_NETS.items()
    for init in INIT_NAMES
}
depth = {key: max(runs.values(), key=lambda run: run.metrics["val_acc"]) for key, runs in depth_runs.items()}
recorded = {key: norms_table(run.record["recorded"]) for key, run in depth.items()}

# %%
rows = {}
RESULTS |= {
    "depth.rates": ", ".join(f"{lr:g}" for lr in DEPTH_RATES),
    "depth.diverged": ", ".join(
        f"{NAMES[net]} from {INIT_NAMES[init]}'s at {lr:g}"
        for (net, init), runs in depth_runs.items()
        for lr, run in runs.items()
        if not math.isfinite(run.history[-1]["train_loss"])
    ) or "none",
}
for (net, init), run in depth.items():
    table = recorded[net, init]
    convs = [name for name in table if name.startswith("conv")]
    n = max(1, len(table) // 10)
    first, end = table.iloc[0], table.iloc[-n:].median()
    rows[NAMES[net], INIT_NAMES[init]] = row = {
        "rate": depth[net, init].record["config"]["recipe"]["lr"],
        "conv1, 64 px, fresh": start[net, init].loc["conv1", "mean"],
        "deepest / first": RESULTS[f"start.{net}.{init}.ratio"],
        "conv1, 32 px, iteration 0": first["conv1"],
        "deepest / first, then": first[convs[-1]] / first["conv1"],
        "conv1, 32 px, at the end": end["conv1"],
        "deepest / first, at the end": end[convs[-1]] / end["conv1"],
        "training loss": run.history[-1]["train_loss"],
        "validation accuracy": run.metrics["val_acc"],
    }
    RESULTS |= {
        f"depth.{net}.{init}.train_loss": float(row["training loss"]),
        f"depth.{net}.{init}.val_acc": float(row["validation accuracy"]),
        f"depth.{net}.{init}.ratio_start": float(row["deepest / first, then"]),
        f"depth.{net}.{init}.ratio_end": float(row["deepest / first, at the end"]),
        f"depth.{net}.{init}.spread_start": float(first[convs].max() / first[convs].min()),
        f"depth.{net}.{init}.spread_end": float(end[convs].max() / end[convs].min()),
        f"depth.{net}.{init}.first_start": float(row["conv1, 32 px, iteration 0"]),
        f"depth.{net}.{init}.first_end": float(row["conv1, 32 px, at the end"]),
    }
depth_table = pd.DataFrame(rows).T
shown(depth_table, {"rate": "{:g}", "training loss": "{:.4f}", "validation accuracy": "{:.4f}"}, rest="{:.3g}")

# %% [markdown]
# The same nine networks, trained for {{depth.steps}} steps of plain SGD on {{depth.photos:,}} photos of 32x32, each at the best
# of the rates {{depth.rates}} (one seed each, in bfloat16; "at the end" is the median of the last
# tenth of the records). One rate for all would not be fair: two runs end in NaN, {{depth.diverged}}, where VGG-Deep, which
# loses more signal to padding at 32 pixels, is at its best at {{depth.rate:g}}. Of the seven cells that learn five are best
# at an edge of the range, so a wider one could raise their accuracies; it could not wake those that see no gradient.
#
# *Depth at equal initialisation.* From the default neither VGG leaves chance at any of the rates: at the best of them the training losses are
# {{depth.vgg16c.default.train_loss:.4f}} and {{depth.vgg_deep.default.train_loss:.4f}} against $\ln 3$ = {{ln3:.4f}}. A higher
# rate is no way out: in VGG-Deep fc3's gradient is {{start.vgg_deep.default.fc_over_first:.1g}} times conv1's, and fc3 bounds
# the rate. From Xavier's the four layers decide: VGG-16C learns ({{depth.vgg16c.xavier.val_acc:.1%}}), VGG-Deep has only begun to
# ({{depth.vgg_deep.xavier.train_loss:.4f}} on average over the last epoch, {{depth.vgg_deep.xavier.val_acc:.1%}} after it). From
# He's no price of depth shows: {{depth.vgg_deep.he.val_acc:.1%}} for VGG-Deep, {{depth.vgg16c.he.val_acc:.1%}} for VGG-16C, which
# needed the smaller rate.
#
# *Initialisation at equal depth.* It takes VGG-Deep from {{depth.vgg_deep.default.val_acc:.1%}} to
# {{depth.vgg_deep.he.val_acc:.1%}}. In ResNet-18 all three learn, {{depth.resnet18.default.val_acc:.1%}},
# {{depth.resnet18.xavier.val_acc:.1%}} and {{depth.resnet18.he.val_acc:.1%}} (default, Xavier, He), and the one that is hopeless
# for the VGGs comes out on top (by a margin that one seed each cannot settle). So He's initialisation removes what this table can see of the vanishing gradient, and batch
# norm with shortcuts makes it unnecessary.

# %% [markdown]
# *The number format.* One cause could pass for another: bfloat16 has float32's range but only eight digits (binary), and of what
# the default lets through to conv17 only {{signal.default.varies:.1g}} of the energy, {{signal.default.varies_amplitude:.1g}} of the
# amplitude, differs from photo to photo (6.2). Rounding to eight digits wipes that out. So the runs that failed are made again in float32:

# %%
full_precision = {
    (net, lr): short_run(partial(DEPTH_NETS[net], init="default"), lr, amp=False) for net in ("vgg16c", "vgg_deep") for lr in DEPTH_RATES
}
rows = {}
for (net, lr), run in full_precision.items():
    both = {"bfloat16": depth_runs[net, "default"][lr], "float32": run}
    rows[NAMES[net], lr] = {f"training loss, {kind}": run.history[-1]["train_loss"] for kind, run in both.items()}
    rows[NAMES[net], lr] |= {f"validation accuracy, {kind}": run.metrics["val_acc"] for kind, run in both.items()}
RESULTS |= {
    f"float32.{net}.{measure}": float(pick(value(full_precision[net, lr]) for lr in DEPTH_RATES))
    for net in ("vgg16c", "vgg_deep")
    for measure, pick, value in (
        ("train_loss", min, lambda run: run.history[-1]["train_loss"]),
        ("val_acc", max, lambda run: run.metrics["val_acc"]),
    )
}
shown(pd.DataFrame(rows).T)

# %% [markdown]
# In float32 nothing changes: the lowest training losses are {{float32.vgg16c.train_loss:.4f}} (VGG-16C) and {{float32.vgg_deep.train_loss:.4f}} (VGG-Deep), the
# best validation accuracies {{float32.vgg16c.val_acc:.1%}} and {{float32.vgg_deep.val_acc:.1%}}: one answer for all photos. Float32 has 24 binary digits, enough to keep these differences, so it is not rounding that stops the
# training, but how small they and their gradients are. That both networks have the same losses to four digits, in both formats, tells what does
# learn: by all appearance only the last layer's bias, which knows no photo.

# %% [markdown]
# ## 4. Comparison with VGG-16C and ResNet-18
#
# ### 4.1 Learning curves  <!-- rubric: II.4a -->
#
# The curves of Part I's networks are read from Part I's records.

# %%
make_resnet = partial(ResNet18, num_classes=len(CLASSES), stem="3x3")
vgg = fit_or_load("vgg16c", make_vgg, PART_1["vgg16c"], data, verbose=False)
resnet = fit_or_load("resnet18", make_resnet, PART_1["resnet18"], data, verbose=False)
final = {"vgg_deep": deep, "vgg16c": vgg, "resnet18": resnet}
print(*final.values(), sep="\n")

# %%
fig, ax = plot_history(final, "loss", "cross-entropy")
ax.axhline(math.log(3), color="gray", lw=1, ls=":")
ax.set_ylim(bottom=0)
ax.legend(ncols=2, loc="upper right")
plt.show()

# %% [markdown]
# **Figure {{fig:all_loss}}.** Cross-entropy of the three networks per epoch (training dashed, validation solid, dots at
# the epoch whose weights were kept; the dotted line is $\ln 3$). VGG-Deep ran for {{vgg_deep.epochs}} epochs, Part I's
# networks for {{a1_part_1/vgg16c.epochs}}. After as many
# epochs the training losses are {{same.vgg_deep_loss:.3f}} (VGG-Deep), {{same.vgg16c_loss:.3f}} (VGG-16C) and
# {{same.resnet18_loss:.3f}} (ResNet-18). VGG-Deep stands highest although it alone has photos of 64 pixels by then and, unlike VGG-16C, no dropout; it also has no
# momentum. (Part I's networks stay at 32 pixels for eight epochs and are validated at 64: probably that is why their validation
# losses swing.)

# %%
fig, ax = plot_history(final, "acc", "accuracy")
ax.axhline(1 / 3, color="gray", lw=1, ls=":")
ax.set_ylim(0.3, 1)
plt.show()

# %% [markdown]
# **Figure {{fig:all_accuracy}}.** Accuracy of the three networks per epoch, drawn as in Figure {{fig:all_loss}}.
# In training accuracy ResNet-18 leads in all but {{same.resnet18_behind}} of {{a1_part_1/resnet18.epochs}} epochs. VGG-Deep begins above VGG-16C, whose rate is still rising and which has dropout, is level with
# it in epoch 2 and behind from epoch 3 on. ResNet-18 passes VGG-Deep's final
# training accuracy in epoch {{same.resnet18_passes}}, VGG-16C in epoch {{same.vgg16c_passes}}. Validation cannot be compared at equal epochs, since the
# networks see other resolutions then.

# %%
epochs = len(deep.history)
reached = deep.history[-1]["train_acc"]
for name in ("vgg16c", "resnet18"):
    RESULTS[f"same.{name}_passes"] = next((epoch["epoch"] for epoch in final[name].history if epoch["train_acc"] > reached), "none")
accs = {name: [epoch["train_acc"] for epoch in run.history] for name, run in final.items()}
RESULTS["same.resnet18_behind"] = sum(one <= other for one, other in zip(accs["resnet18"], accs["vgg16c"]))
right = {name: torch.from_numpy(run.test_probs).argmax(1) == y_test for name, run in final.items()}
rows = {}
for name, run in final.items():
    RESULTS[f"same.{name}_loss"] = run.history[:epochs][-1]["train_loss"]
    rows[NAMES[name]] = {
        "epochs": len(run.history),
        "test accuracy": f"{run.metrics['test_acc']:.4f}",
        "95% interval": "{:.4f} to {:.4f}".format(*wilson_interval(run.metrics["test_acc"], len(y_test))),
        "test loss": f"{run.metrics['test_loss']:.4f}",
    }
    only_deep, only_other, p = mcnemar(right["vgg_deep"], right[name])
    pair = {"only VGG-Deep right": only_deep, "only this one right": only_other, "McNemar's p": f"{p:.1g}"}
    rows[NAMES[name]] |= pair if run is not deep else dict.fromkeys(pair, "")
    RESULTS |= {f"pair.{name}.only_deep": only_deep, f"pair.{name}.only_other": only_other, f"pair.{name}.p": f"{p:.1g}"}
pd.DataFrame.from_dict(rows, orient="index")

# %% [markdown]
# VGG-Deep gets {{vgg_deep.test_acc:.1%}} of the test photos right, VGG-16C {{a1_part_1/vgg16c.test_acc:.1%}} and
# ResNet-18 {{a1_part_1/resnet18.test_acc:.1%}}. VGG-16C is right where VGG-Deep is wrong on {{pair.vgg16c.only_other}}
# photos, the reverse holds for {{pair.vgg16c.only_deep}} (McNemar's exact test: p = {{pair.vgg16c.p}}). This is what was
# asked for, and no measure of depth alone: Part I's networks had momentum, a one-cycle schedule, label smoothing, weight
# decay, dropout (VGG-16C), larger batches, more epochs, and a resolution schedule in which their first eight epochs are all at 32 pixels.
#
# **Depth or recipe?** VGG-16C, without dropout, is trained once more, now with VGG-Deep's recipe: the same photos, plain SGD,
# {{vgg_deep.epochs}} epochs, the same resolutions, and the best of the same three rates (3.5), which is
# {{plain.lr:g}} for it. It serves a comparison only, so the test part is left alone.

# %%
train_and_val = ImageSplits(photos, {part: split[part] for part in ("train", "val")}, DEVICE)
plain_rate = depth["vgg16c", "he"].record["config"]["recipe"]["lr"]
plain_vgg = fit_or_load(
    "studies/plain", partial(make_vgg, dropout=0.0), replace(DEEP_RECIPE, lr=plain_rate), train_and_val, verbose=False
)
rows = {}
for name, run in {"VGG-Deep, plain recipe": deep, "VGG-16C, plain recipe": plain_vgg, "VGG-16C, Part I's recipe": vgg}.items():
    keys = ("train_loss", "train_acc", "val_loss", "val_acc")
    rows[name] = {key.replace("_", " "): run.metrics[key] for key in keys}
RESULTS |= {f"plain.{key}": plain_vgg.metrics[key] for key in keys} | {"plain.lr": plain_rate}
RESULTS |= {f"vgg_deep.{key}": deep.metrics[key] for key in keys}
n_val = len(split["val"])
errors = [run.metrics["val_acc"] * (1 - run.metrics["val_acc"]) / n_val for run in (plain_vgg, deep)]
RESULTS |= {
    "plain.recipe_points": 100 * (vgg.metrics["val_acc"] - plain_vgg.metrics["val_acc"]),
    "plain.depth_points": 100 * (plain_vgg.metrics["val_acc"] - deep.metrics["val_acc"]),
    "plain.depth_se_points": 100 * sum(errors) ** 0.5,
    "plain.vgg16c_val_acc": vgg.metrics["val_acc"],
}
RESULTS |= {f"plain.val_acc_{end}": value for end, value in zip(("low", "high"), wilson_interval(plain_vgg.metrics["val_acc"], n_val))}
shown(pd.DataFrame.from_dict(rows, orient="index"))

# %% [markdown]
# With VGG-Deep's recipe VGG-16C gets {{plain.val_acc:.1%}} of the validation photos right (95% interval {{plain.val_acc_low:.1%}} to
# {{plain.val_acc_high:.1%}}), VGG-Deep {{vgg_deep.val_acc:.1%}}, and VGG-16C with Part I's recipe {{plain.vgg16c_val_acc:.1%}}. So the recipe accounts for
# {{plain.recipe_points:.1f}} of the points between Part I's VGG-16C and VGG-Deep, and the four layers for {{plain.depth_points:.1f}}, with a standard error of
# {{plain.depth_se_points:.1f}} from the photos alone (one run each): a price of depth is possible and small. In the short runs of 3.5, at 32 pixels, the order of the two
# was the other way round ({{depth.vgg16c.he.val_acc:.1%}} and {{depth.vgg_deep.he.val_acc:.1%}}). What sets VGG-Deep apart from Part I's networks is the
# recipe. ResNet-18's lead remains in 3.5, where the recipe is the same ({{depth.resnet18.he.val_acc:.1%}}).

# %% [markdown]
# ### 4.2 Shortcuts and the flow of gradients  <!-- rubric: II.4b -->
#
# One would expect a residual network to hand its gradient down nearly undiminished: besides the path through its two
# convolutions each block has one around them, so in five of the eight blocks the gradient at the output (up to the ReLU's
# mask) arrives at the input once without any weight in between (6.3). The handout does not ask to measure that; the records of section 3.5 hold it
# anyway.

# %%
fig, axes = plt.subplots(3, 3, figsize=(11, 8), sharex=True, sharey=True)
for row, init in zip(axes, INIT_NAMES):
    for ax, net in zip(row, DEPTH_NETS):
        table = recorded[net, init]
        convs = [name for name in table if name.startswith("conv")]
        for iteration, color in zip((0, len(table) // 2, len(table) - 1), ("#bbbbbb", "#777777", "#000000")):
            ax.semilogy(range(1, len(convs) + 1), table[convs].iloc[iteration], "o-", ms=3, lw=1.2, color=color, label=f"iteration {table.index[iteration]}")
        ax.set_title(f"{NAMES[net]}, {INIT_NAMES[init]}", color=COLORS[net])
for ax in axes[-1]:
    ax.set_xlabel("convolution, main path")
axes[1, 0].set_ylabel("L2 norm of the weight's gradient")
axes[0, 0].legend(fontsize=8)
plt.show()

# %% [markdown]
# **Figure {{fig:depth}}.** Gradient norm against depth at the first, the middle and the last recorded iteration, at 32
# pixels; networks in columns, initialisations in rows, one scale. At iteration 0 the deepest convolution's gradient is
# {{depth.resnet18.default.ratio_start:.3g}}, {{depth.resnet18.xavier.ratio_start:.3g}} and
# {{depth.resnet18.he.ratio_start:.3g}} times the first one's in ResNet-18 (default, Xavier, He), in VGG-Deep
# {{depth.vgg_deep.default.ratio_start:.3g}}, {{depth.vgg_deep.xavier.ratio_start:.3g}} and
# {{depth.vgg_deep.he.ratio_start:.3g}} times. ResNet-18's profile is
# flat: its largest norm is {{depth.resnet18.default.spread_start:.1f}}, {{depth.resnet18.xavier.spread_start:.1f}} and
# {{depth.resnet18.he.spread_start:.1f}} times its smallest at iteration 0, and {{depth.resnet18.default.spread_end:.1f}},
# {{depth.resnet18.xavier.spread_end:.1f}} and {{depth.resnet18.he.spread_end:.1f}} times at the end; training moves its level, not its shape.
# In the VGGs that learn, the slope upwards at iteration 0 is gone by the end; in those that do not, hardly anything moves.
#
# **Shortcuts or batch norm?** A residual network has both. Which of the two keeps the gradient up can be seen without any
# training: four fresh versions of ResNet-18, with and without shortcuts, with and without batch norm. Compared is the
# gradient of the convolutions' *outputs*, the signal itself: a weight's gradient has the layer's fan-in and input in it, too
# (6.2). Before a batch norm either is inversely proportional to the size of the weights (6.4); that factor is nearly the same in all
# layers of a network, so it cancels in the ratio to the deepest.

# %%
FLOWS = {
    "shortcuts and batch norm": {},
    "batch norm only": {"shortcuts": False},
    "shortcuts only": {"batch_norm": False},
    "neither": {"shortcuts": False, "batch_norm": False},
}
flows = {
    (label, init): signals_of(partial(ResNet18From, num_classes=len(CLASSES), stem="3x3", init=init, **change))
    for label, change in FLOWS.items()
    for init in ("default", "he")
}
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
for ax, init in zip(axes, ("default", "he")):
    for label, color in zip(FLOWS, sns.color_palette("Dark2")):
        table = flows[label, init]
        passed = table.loc[table.index.str.startswith("conv"), "output"]
        ax.semilogy(range(1, len(passed) + 1), passed / passed.iloc[-1], "o-", ms=3, color=color, label=label)
        key = label.replace(" ", "_")
        RESULTS[f"flow.{init}.{key}"] = float(passed.iloc[0] / passed.iloc[-1])
    ax.set(xlabel="convolution, main path", title=INIT_NAMES[init])
axes[0].set_ylabel("gradient of the output,\nrelative to the deepest")
RESULTS |= {
    "flow.default.batch_norm_growth": RESULTS["flow.default.batch_norm_only"] ** (1 / (len(passed) - 1)) - 1,
    "flow.default.shortcuts_loss": 1 / RESULTS["flow.default.shortcuts_only"],
}
axes[1].legend()
plt.show()

# %% [markdown]
# **Figure {{fig:flows}}.** Gradient norm of each convolution's output in fresh ResNet-18s, relative to the deepest one's. From
# PyTorch's default the first convolution gets {{flow.default.neither:.2g}} of it with neither, {{flow.default.shortcuts_only:.2g}}
# with shortcuts only, {{flow.default.batch_norm_only:.2g}} with batch norm only and
# {{flow.default.shortcuts_and_batch_norm:.2g}} with both; from He's {{flow.he.neither:.2g}}, {{flow.he.shortcuts_only:.2g}},
# {{flow.he.batch_norm_only:.2g}} and {{flow.he.shortcuts_and_batch_norm:.2g}}. So against
# the default's vanishing batch norm suffices alone, and overshoots: the gradient *grows* towards the input, by {{flow.default.batch_norm_growth:.0%}} a layer.
# Shortcuts alone leave one part in {{flow.default.shortcuts_loss:.0f}}, over layers that otherwise leave less than a millionth. From He's nothing needed saving;
# there either ingredient alone makes the gradient grow thirteenfold, and both together half as much. So of the two batch norm is
# the one that makes the start matter little, and shortcuts keep its growth in bounds. (One draw of weights, {{signal.photos}} photos, two
# initialisations, no training.) The saw-teeth of the curves with shortcuts: odd convolutions close a block and get the
# gradient of its sum directly, even ones only through the odd one behind them.

# %% [markdown]
# ## 5. Six investigations
#
# Three were to be chosen; all six are done. The first four share one base: a small VGG-like network of three 3x3
# convolutions (32, 64 and 128 filters, each with ReLU and max-pooling) and two linear layers, on {{small.photos:,}}
# training and {{small.val:,}} validation photos at 32x32, for {{small.epochs}} epochs of SGD with momentum, one cycle, weight decay
# 0.0005 and batches of 64. Each variant gets its *own
# learning rate*, chosen among {{small.rates}} with seed 0 on validation accuracy, and then {{small.seeds}} seeds; without
# that, a ranking of variants is one of how well they happen to suit a common rate. Choosing with a seed that is then
# reported favours all variants roughly alike. Tables give mean and standard deviation over the seeds, of the epoch with the best
# validation accuracy; that is the accuracy that the text gives, while figures show every epoch. Where the text gives a p-value, it is
# that of a t test of the difference to the base network, with the seeds' spread pooled over a study's variants. It knows only the seeds:
# that all variants face the same {{small.val:,}} photos is not in it.

# %%
from a1.models.small import ACTIVATIONS, POOLS, EQUAL_COST, SmallVGG

# %% tags=["toolbox"]
# @title Counting units that have gone silent (used in 5.4)
from a1.gradients import dead_units, DeadUnits

# %%
small_photos = study_data(photos, split, *SMALL_PHOTOS, size=32, device=DEVICE)
unit_counter = DeadUnits(small_photos.loader("val", SMALL_RECIPE))  # looks at each trained network once

def tune_and_repeat(variants):
    """Every variant {label: make_model} at its best learning rate with all seeds: a row a run."""
    tries = {((label, lr), 0): (make, replace(SMALL_RECIPE, lr=lr)) for label, make in variants.items() for lr in SMALL_RATES}
    tuning = run_study("small", tries, small_photos, unit_counter)
    labels, rates = zip(*tuning["variant"])
    tuning = tuning.assign(variant=labels, lr=rates)
    best = tuning.loc[tuning.groupby("variant", sort=False)["val_acc"].idxmax()].set_index("variant")["lr"]
    runs = {(label, seed): (make, replace(SMALL_RECIPE, lr=best[label], seed=seed)) for label, make in variants.items() for seed in SMALL_SEEDS}
    table = run_study("small", runs, small_photos, unit_counter).assign(lr=lambda rows: rows["variant"].map(best))
    small_runs.extend([*tuning["run"], *table["run"]])
    display(tuning.pivot_table("val_acc", "variant", "lr", sort=False).rename_axis(columns="seed 0, validation accuracy at learning rate").round(4))
    return table

def small_table(study, table, variants):
    """Rate, accuracies over the seeds, and cost of each variant; the numbers go into RESULTS, too."""
    rows = mean_and_sd(table, ["val_acc", "train_acc"]).drop(columns="train_acc, sd")
    rows.insert(0, "learning rate", table.groupby("variant", sort=False)["lr"].first())
    costs = {label: layer_table(make, 32) for label, make in variants.items()}
    rows["conv parameters"] = [int(cost["parameters"][cost.index.str.startswith("conv")].sum()) for cost in costs.values()]
    rows["parameters"] = [int(cost["parameters"].sum()) for cost in costs.values()]
    rows["multiply-adds, M"] = [cost["multiply-adds"].sum() / 1e6 for cost in costs.values()]
    rows["seconds per epoch"] = table.groupby("variant", sort=False)["seconds"].median()
    for label, row in rows.iterrows():
        keys = {"acc": "val_acc, mean", "sd": "val_acc, sd", "train_acc": "train_acc, mean", "lr": "learning rate", "cost": "multiply-adds, M"}
        RESULTS.update({f"small.{label}.{key}": float(row[column]) for key, column in keys.items()})
        RESULTS.update({f"small.{label}.{key.replace(' ', '_')}": int(row[key]) for key in ("conv parameters", "parameters")})
    sd = float((rows["val_acc, sd"] ** 2).mean() ** 0.5)  # pooled over the variants
    RESULTS[f"{study}.noise_points"] = noise = 100 * sd * (2 / len(SMALL_SEEDS)) ** 0.5  # of a difference of two means
    freedom, base = len(rows) * (len(SMALL_SEEDS) - 1), rows.index[0]
    for label in rows.index[1:]:
        points = 100 * (rows.loc[base, "val_acc, mean"] - rows.loc[label, "val_acc, mean"])
        RESULTS[f"{study}.{label}_p"] = float(2 * stats.t.sf(abs(points) / max(noise, 1e-9), freedom))  # a rehearsal's seeds may agree exactly
    return rows

small_runs = []
RESULTS |= {
    "small.photos": len(small_photos.labels["train"]),
    "small.val": len(small_photos.labels["val"]),
    "small.epochs": SMALL_RECIPE.epochs,
    "small.seeds": len(SMALL_SEEDS),
    "small.rates": ", ".join(f"{lr:g}" for lr in SMALL_RATES),
    "small.interval_points": 100 * 1.96 * (0.8 * 0.2 / len(small_photos.labels["val"])) ** 0.5,
}
FORMATS = {
    "learning rate": "{:g}",
    "receptive fields": "{}",
    "conv parameters": "{:,}",
    "parameters": "{:,}",
    "multiply-adds, M": "{:.1f}",
    "seconds per epoch": "{:.1f}",
    "seeds that reach the target": "{:.0f}",
    "epochs until then": "{:.1f}",
    "silent units": "{:.1f}",
    "dead units": "{:.1f}",
}

# %% [markdown]
# ### 5.1 (a) Kernel size  <!-- rubric: II.5a -->
#
# Filters, strides and pooling stay; the kernel grows from 3x3 to 5x5 and 7x7 (padded to keep the size). That changes two
# things at once: how far a unit sees, and how much a layer costs. To tell them apart, the larger kernels also come
# *narrow*, with so few filters that they cost as many multiply-adds as the 3x3 network.

# %%
KERNELS = {
    "3x3": partial(SmallVGG),
    "5x5": partial(SmallVGG, kernel_size=5),
    "7x7": partial(SmallVGG, kernel_size=7),
    "5x5_narrow": partial(SmallVGG, kernel_size=5, width=EQUAL_COST[5]),
    "7x7_narrow": partial(SmallVGG, kernel_size=7, width=EQUAL_COST[7]),
}
kernels = tune_and_repeat(KERNELS)

# %%
kernel_table = small_table("kernel", kernels, KERNELS)
seen = {label: receptive_fields(make()) for label, make in KERNELS.items()}
kernel_table.insert(1, "receptive fields", ["{}, {}, {}".format(*(fields[f"conv{n}"][0] for n in (1, 2, 3))) for fields in seen.values()])
RESULTS |= {f"small.{label}.field": fields["conv3"][0] for label, fields in seen.items()}
RESULTS |= {f"kernel.{label}_points": 100 * (RESULTS["small.3x3.acc"] - RESULTS[f"small.{label}.acc"]) for label in KERNELS}
RESULTS["kernel.7x7_cost"] = RESULTS["small.7x7.cost"] / RESULTS["small.3x3.cost"]
shown(kernel_table, FORMATS)

# %%
fig, ax = plt.subplots(figsize=(7, 3.8))
for label, color in zip(KERNELS, ("#444444", *sns.color_palette("Dark2", 2) * 2)):
    row, narrow = kernel_table.loc[label], label.endswith("narrow")
    cost = row["multiply-adds, M"] * {"5x5_narrow": 1.06, "7x7_narrow": 1.12}.get(label, 1)  # side by side
    accs = kernels.loc[kernels["variant"] == label, "val_acc"]
    ax.plot([cost] * len(accs), accs, ".", color=color, alpha=0.5)
    mark = dict(marker="s", mfc="white") if narrow else dict(marker="o", mfc=color)
    ax.plot(cost, row["val_acc, mean"], ls="", ms=9, color=color, label=label.replace("_", ", "), **mark)
ax.set(xscale="log", xlabel="multiply-adds per photo, millions", ylabel="validation accuracy")
ax.set_xticks([10, 20, 30, 50], ["10", "20", "30", "50"])
ax.set_xticks([], minor=True)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# **Figure {{fig:kernels}}.** Validation accuracy against cost; small dots are single seeds, large marks their means,
# hollow ones the narrow networks (drawn slightly to the right of their cost, which is that of 3x3). 3x3 reaches
# {{small.3x3.acc:.1%}}, 5x5 {{small.5x5.acc:.1%}}, 7x7 {{small.7x7.acc:.1%}}; at equal cost 5x5
# {{small.5x5_narrow.acc:.1%}} and 7x7 {{small.7x7_narrow.acc:.1%}}. The difference of two means has a standard error of
# about {{kernel.noise_points:.1f}} points from the seeds. 5x5 at full width is {{kernel.5x5_points:.1f}} points below 3x3
# (p = {{kernel.5x5_p:.2f}}), 7x7 {{kernel.7x7_points:.1f}} (p = {{kernel.7x7_p:.3f}}), the narrow ones
# {{kernel.5x5_narrow_points:.1f}} (p = {{kernel.5x5_narrow_p:.3f}}) and {{kernel.7x7_narrow_points:.1f}} (p = {{kernel.7x7_narrow_p:.3f}}). With four
# comparisons a p below 0.05/4 is asked for; only the narrow 7x7 gets there, just so. So no larger kernel is better, one is worse, and two
# more probably are.
#
# **Receptive field.** It grows by (kernel - 1) times the distance between neighbouring positions, which each pooling
# doubles: behind the third convolution a unit sees {{small.3x3.field}} pixels with 3x3 kernels, {{small.5x5.field}} with
# 5x5 and {{small.7x7.field}} with 7x7, of 32. So 5x5's is about as wide as the photo, and the borders of a 7x7 field are
# padding. The linear layers see everything in any case: what a larger kernel adds is *convolutional* context, shape
# shared over positions. Its price is quadratic, {{small.7x7.cost:.0f}} against {{small.3x3.cost:.0f}} million
# multiply-adds; stacking small kernels buys the same field for less, and a non-linearity with each layer (two 3x3 layers
# see 5x5 for 18/25 of the weights, three see 7x7 for 27/49), which is VGG's idea. Stacking itself is not
# tried here (all five have three layers). What shows is that on photos of 32 pixels nothing is gained by the wider view: 7x7
# costs {{kernel.7x7_cost:.1f}} times as much and is no better, and at equal cost more filters are probably worth more than larger ones.

# %% [markdown]
# ### 5.2 (b) 1x1 convolutions  <!-- rubric: II.5b -->
#
# A 1x1 convolution is a linear layer applied at each position: it mixes channels and sees no neighbours. It serves two
# ends. *Recombination*: with its activation it adds a non-linear step per position for a ninth of a 3x3 layer's weights
# (VGG-16C's third layers). *Reduction*: before an expensive layer it squeezes many channels into few, which that layer
# then handles cheaply (Inception, ResNet-50's bottlenecks). The base network is tried with both: a 1x1 layer of equal
# width *added* after each convolution, and a *bottleneck* to a quarter of the channels before the second and third.

# %%
POINTWISE = {
    "none": partial(SmallVGG),
    "added": partial(SmallVGG, pointwise="added"),
    "bottleneck": partial(SmallVGG, pointwise="bottleneck"),
}
pointwise = tune_and_repeat(POINTWISE)

# %%
pointwise_table = small_table("pointwise", pointwise, POINTWISE)
RESULTS["pointwise.saved"] = 1 - RESULTS["small.bottleneck.conv_parameters"] / RESULTS["small.none.conv_parameters"]
RESULTS["pointwise.cost_saved"] = 1 - RESULTS["small.bottleneck.cost"] / RESULTS["small.none.cost"]
RESULTS |= {f"pointwise.{label}_points": 100 * (RESULTS["small.none.acc"] - RESULTS[f"small.{label}.acc"]) for label in POINTWISE}
RESULTS["pointwise.added"] = RESULTS["small.added.conv_parameters"] / RESULTS["small.none.conv_parameters"] - 1
shown(pointwise_table, FORMATS)

# %%
summary(POINTWISE["bottleneck"](), (1, 3, 32, 32), col_names=("output_size", "num_params", "mult_adds"), verbose=0)

# %% [markdown]
# The bottlenecks save {{pointwise.saved:.0%}} of the convolutions' {{small.none.conv_parameters:,}} parameters and bring
# the cost from {{small.none.cost:.1f}} to {{small.bottleneck.cost:.1f}} million multiply-adds; accuracy is
# {{small.bottleneck.acc:.1%}} against {{small.none.acc:.1%}}. The added layers cost {{pointwise.added:.0%}} more
# parameters and give {{small.added.acc:.1%}}. The standard error of a difference is about {{pointwise.noise_points:.1f}}
# points. So the bottleneck
# is a trade: {{pointwise.cost_saved:.0%}} of the computation for {{pointwise.bottleneck_points:.1f}} points (p = {{pointwise.bottleneck_p:.3f}}). The added layers
# are none: they cost more and end {{pointwise.added_points:.1f}} points lower (p = {{pointwise.added_p:.2f}}, borderline), and since the training
# accuracy is lower, too ({{small.added.train_acc:.1%}} against {{small.none.train_acc:.1%}}), that is no overfitting: six convolutions
# fit worse in {{small.epochs}} epochs than three do. It would suit this notebook's story if that were for want of batch norm or shortcuts; it was not tried with them. In this network the first linear layer holds most of the
# {{small.none.parameters:,}} parameters, so what 1x1 layers save of the whole is less than what they save of the
# convolutions.

# %% [markdown]
# ### 5.3 (c) Max against average pooling  <!-- rubric: II.5c -->
#
# Both halve the resolution. The maximum keeps the strongest answer of a filter, wherever in the window it was, and hands
# the gradient to that one position; the average keeps the mean and spreads the gradient over all four.

# %%
POOLINGS = {"max": partial(SmallVGG), "avg": partial(SmallVGG, pool="avg")}
poolings = tune_and_repeat(POOLINGS)
pooling_table = small_table("pooling", poolings, POOLINGS)
RESULTS["pooling.lead_points"] = 100 * (RESULTS["small.max.acc"] - RESULTS["small.avg.acc"])
shown(pooling_table, FORMATS)

# %%
def plot_studies(table, labels):
    """Training loss and validation accuracy of each variant per epoch: mean and range over the seeds."""
    measures = {"train_loss": "training loss", "val_acc": "validation accuracy"}
    return plot_study({label: runs_of(table, label) for label in labels}, measures, sns.color_palette("Dark2"))[1]

plot_studies(poolings, POOLINGS)
plt.show()

# %% [markdown]
# **Figure {{fig:pooling}}.** Training loss and validation accuracy: mean and range over {{small.seeds}} seeds. In their best
# epochs max pooling reaches {{small.max.acc:.1%}}, average pooling {{small.avg.acc:.1%}}: a difference of
# {{pooling.lead_points:.1f}} points with a standard error of about {{pooling.noise_points:.1f}} (p = {{pooling.avg_p:.2f}}): the maximum may be
# better, {{small.seeds}} seeds do not settle it. It also fits the training photos better ({{small.max.train_acc:.1%}} and
# {{small.avg.train_acc:.1%}}). The average is ahead in training loss in most of the first six epochs; but its rate is the lower one, {{small.avg.lr:g}} to
# {{small.max.lr:g}}, and under one cycle a high rate may pay late.
#
# **When which.** Max pooling asks *whether* a feature occurs: robust to shifts within the window and to everything weaker
# around, good where a class is told by the presence of a texture or part, as here. Average pooling asks *how much* of it
# there is: it keeps the mean level and is linear, so nothing is lost to a single outlier, but sparse answers are diluted
# by the zeros beside them. Where position itself matters (segmentation, detection, reading), both throw it away, and
# strided convolutions or no reduction serve better. At the very end of a network, over large maps, the average is the
# usual choice: ResNet-18 does so.

# %% [markdown]
# ### 5.4 (d) Activation functions  <!-- rubric: II.5d -->
#
# | | for $z<0$ | slope for $z<0$ | dead units? |
# |---|---|---|---|
# | ReLU | $0$ | $0$ | possible: negative for all photos, no gradient, no way back |
# | Leaky ReLU | $0.01 z$ | $0.01$ | no, but a hundredth of the gradient |
# | ELU | $e^z - 1$ | $e^z$ | only far below zero; outputs have a mean nearer to zero |
# | GELU | $z\,\Phi(z)$ | $\Phi(z) + z\,\varphi(z)$, slightly negative below $-0.75$ | only far below zero; smooth |
#
# All four start from He's initialisation with ReLU's gain; each has its own learning rate. A unit counts as *silent* if
# its input is never positive on any of the {{small.val:,}} validation photos, and as *dead* if its slope stays below a
# thousandth in size on all of them: a silent ReLU is dead, a silent leaky ReLU is not.

# %%
ACTS = {name: partial(SmallVGG, activation=name) for name in ACTIVATIONS}
activations = tune_and_repeat(ACTS)

# %%
activation_table = small_table("activation", activations, ACTS).drop(columns=["conv parameters", "parameters", "multiply-adds, M"])
POSITIONS = {"act1": 32**2, "act2": 16**2, "act3": 8**2, "act4": 1}  # of a unit in each layer
extra = {}
for name in ACTS:
    runs = activations.loc[activations["variant"] == name, "run"]
    reached = [next((e["epoch"] for e in run.history if e["val_acc"] >= TARGET_ACC), None) for run in runs]
    units = pd.DataFrame([layer for run in runs for layer in run.record["recorded"]])
    extra[name] = {
        "seeds that reach the target": sum(epoch is not None for epoch in reached),
        "epochs until then": float(np.mean([epoch for epoch in reached if epoch] or [np.nan])),
        "silent units": units["silent"].sum() / len(runs),
        "dead units": units["dead"].sum() / len(runs),
        "flat share": np.average(units["flat"], weights=units["units"] * units["layer"].map(POSITIONS)),
    }
    keys = ("reached", "epochs", "silent", "dead", "flat")
    RESULTS |= {f"act.{name}.{key}": float(value) for key, value in zip(keys, extra[name].values())}
RESULTS["activation.range_points"] = 100 * float(np.ptp([RESULTS[f"small.{name}.acc"] for name in ACTS]))
tried = [fit_or_load("studies/small", ACTS["relu"], replace(SMALL_RECIPE, lr=lr), small_photos, verbose=False, recorder=unit_counter) for lr in SMALL_RATES]
RESULTS["act.relu.dead_by_rate"] = ", ".join(str(sum(layer["dead"] for layer in run.record["recorded"])) for run in tried)
RESULTS |= {"act.target": TARGET_ACC, "act.units": int(units["units"].sum() / len(runs))}
shown(activation_table.join(pd.DataFrame(extra).T), FORMATS)

# %%
axes = plot_studies(activations, ACTS)
axes[1].axhline(TARGET_ACC, color="gray", lw=1, ls=":")
plt.show()

# %% [markdown]
# **Figure {{fig:activations}}.** Training loss and validation accuracy: mean and range over {{small.seeds}} seeds; the
# dotted line is the target of {{act.target:.0%}}. ReLU reaches {{small.relu.acc:.1%}}, Leaky ReLU
# {{small.leaky_relu.acc:.1%}}, ELU {{small.elu.acc:.1%}}, GELU {{small.gelu.acc:.1%}}, with a standard error of about
# {{activation.noise_points:.1f}} points for a difference. They need {{act.relu.epochs:.1f}},
# {{act.leaky_relu.epochs:.1f}}, {{act.elu.epochs:.1f}} and {{act.gelu.epochs:.1f}} epochs to the target, which whole epochs and
# {{small.seeds}} seeds cannot tell apart (and ReLU has the rate {{small.relu.lr:g}}, GELU {{small.gelu.lr:g}}: the first
# epochs show rates as much as activations). Of {{act.units}} units {{act.relu.dead:.1f}} are dead with ReLU on average,
# {{act.leaky_relu.dead:.1f}}, {{act.elu.dead:.1f}} and {{act.gelu.dead:.1f}} with the others. Mostly the rate kills them: with seed 0 ReLU
# has {{act.relu.dead_by_rate}} dead units at the rates {{small.rates}}. They are no problem here: with one unit in twenty dead ReLU is
# not behind the three that have none; the four accuracies lie within {{activation.range_points:.1f}} points, less than one standard error. More telling is how often
# ReLU is silent without being dead: at {{act.relu.flat:.0%}} of all (unit, position, photo) it passes no gradient, and the
# network learns through the rest. The choice of activation matters where layers are many (6.2); here it does not.

# %% [markdown]
# ### 5.5 (e) First-layer filters  <!-- rubric: II.5e -->
#
# The first layer's filters of Part I's trained networks are the only ones that can be looked at as pictures: 64 filters
# of 3x3 pixels with three colours each. Gray is zero; each filter is scaled by its own largest weight.

# %%
def first_layer(run, make_model, released):
    """First convolution of a trained network, from its own weights or the released file: {"filters": [64][3][3][3]}, no arrays."""
    model = make_model()
    try:
        run.load_weights(model)
    except FileNotFoundError:
        load_weights(model, released)
    weight = weight_layers(model)["conv1"].weight.detach()
    digits = [[[[float(f"{value:.4g}") for value in row] for row in plane] for plane in kernel] for kernel in weight.tolist()]
    return {"filters": digits}, {}

trained = {"vgg16c": (vgg, make_vgg, "a1_part1_vgg16c.pt"), "resnet18": (resnet, make_resnet, "a1_part1_resnet18.pt")}
filters = {
    name: torch.tensor(
        compute_or_load("first_layer", {"run": run.record["key"]}, partial(first_layer, run, make, file)).result["filters"]
    )
    for name, (run, make, file) in trained.items()
}

fig, axes = plt.subplots(1, 2, figsize=(10, 5))
for ax, (name, kernels3) in zip(axes, filters.items()):
    scaled = 0.5 + 0.5 * kernels3 / kernels3.abs().amax((1, 2, 3), keepdim=True)
    columns = 8
    padded = F.pad(scaled, (0, 1, 0, 1), value=1.0)[: len(scaled) // columns * columns]
    picture = padded.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)  # rows of filters, side by side
    ax.imshow(picture.numpy(), interpolation="nearest")
    ax.set_title(NAMES[name], color=COLORS[name])
    ax.axis("off")
plt.show()

# %% [markdown]
# **Figure {{fig:filters}}.** The first convolution's filters of the two trained networks, eight in a row. VGG-16C's look like coloured noise,
# and no edge or spot can be made out. Among ResNet-18's there are even patches of a single colour (green, blue, magenta, orange), pairs of light and
# dark, or of opposing colours, across a horizontal or vertical border, and a few spots, bright or dark in the middle.

# %%
def fresh_first_layer(make_model, seed):
    """The first convolution before the first step: the seed gives it back."""
    seed_everything(seed)
    return weight_layers(make_model())["conv1"].weight.detach()

rows = {}
for name, kernels3 in filters.items():
    fresh = fresh_first_layer(trained[name][1], PART_1[name].seed)
    for when, kernel in (("fresh", fresh), ("trained", kernels3)):
        size, energy = kernel.flatten(1).norm(dim=1), kernel.square().sum((1, 2, 3))
        gray = 3 * kernel.mean(1).square().sum((1, 2)) / energy  # share of a filter that treats R, G and B alike
        flat = 9 * kernel.mean((2, 3)).square().sum(1) / energy  # share that treats the nine pixels alike
        turned = F.cosine_similarity(kernel.flatten(1), fresh.flatten(1))
        rows[f"{NAMES[name]}, {when}"] = row = {
            "mostly colour": int((gray <= 0.5).sum()),
            "mostly even": int((flat > 0.5).sum()),
            "weaker than a fifth of the median": int((size < 0.2 * size.median()).sum()),
            "strongest / median norm": float(size.max() / size.median()),
            "median norm": float(size.median()),
            "median cosine to its start": float(turned.median()),
        }
        keys = ("colour", "even", "weak", "strongest", "norm", "cosine")
        RESULTS |= {f"filters.{name}.{when}.{key}": value for key, value in zip(keys, row.values())}
RESULTS["filters.n"] = len(filters["vgg16c"])
shown(pd.DataFrame(rows), rest="{:.3g}")

# %% [markdown]
# Looking alone would see patterns in noise, so they are counted. A filter is *mostly colour* if less than half of its energy (sum of squares) treats
# the three channels alike, and *mostly even* if more than half treats its nine pixels alike. Of {{filters.n}} filters
# {{filters.vgg16c.trained.colour}} are mostly colour in VGG-16C and {{filters.resnet18.trained.colour}} in ResNet-18;
# {{filters.vgg16c.trained.even}} and {{filters.resnet18.trained.even}} mostly even. The baseline is what the seed gives back, the
# same filters before training: {{filters.vgg16c.fresh.colour}} and {{filters.resnet18.fresh.colour}} mostly colour,
# {{filters.vgg16c.fresh.even}} and {{filters.resnet18.fresh.even}} even, since three random channels rarely agree.
# So VGG-16C's filters do not only look like noise: they *are* their random start. The median cosine between a filter before and after {{a1_part_1/vgg16c.epochs}}
# epochs is {{filters.vgg16c.trained.cosine:.2f}}, only the norm has gone from {{filters.vgg16c.fresh.norm:.2f}} to {{filters.vgg16c.trained.norm:.2f}}, as weight decay
# would have it. ResNet-18's have turned (cosine {{filters.resnet18.trained.cosine:.2f}}) and grown, from {{filters.resnet18.fresh.norm:.2f}} to
# {{filters.resnet18.trained.norm:.2f}}. A network can be right on {{a1_part_1/vgg16c.test_acc:.1%}} of the photos without ever learning its first layer:
# 64 random projections of 27 numbers keep enough for the next layers to work with. Why one learns it and the other does not was not tested; the
# sizes suggest it: ResNet-18's filters start five times smaller, its rate is five times higher, and the batch norm behind them makes
# a step count by its size relative to the weight's.
# ResNet-18's strongest filter is {{filters.resnet18.trained.strongest:.1f}} times the median; a weak one is no idle one there, since the batch norm
# behind it makes up for its size.

# %% [markdown]
# ### 5.6 (f) Computation and memory  <!-- rubric: II.5f -->
#
# For one photo, a convolution with $k\times k$ kernels from $C$ to $C'$ channels on $H\times W$ positions:
#
# | | computation | parameters | activations kept for backward |
# |---|---|---|---|
# | convolution | $O(k^2 C C' H W)$ | $O(k^2 C C')$ | $O(C' H W)$ |
# | linear, $n$ to $m$ | $O(n m)$ | $O(n m)$ | $O(m)$ |
# | network | $O(\sum_l k_l^2 C_{l-1} C_l H_l W_l)$ | $O(\sum_l k_l^2 C_{l-1} C_l)$ | $O(\sum_l C_l H_l W_l)$ |
#
# The sums are dominated by different ends: parameters by the deep, wide layers, activations by the early, large ones,
# computation is spread over the middle. A backward pass costs about two forward passes (one product for the input's
# gradient, one for the weight's). Depth $L$ at constant width enters all three linearly; the width enters computation and
# parameters as its square. Counted, and for memory measured:

# %%
from a1.gradients import activation_bytes

# %%
networks = {"vgg16c": make_vgg, "vgg_deep": make_deep, "resnet18": make_resnet}
x = next(iter(data.loader("val", replace(DEEP_RECIPE, batch_size=MEMORY_PHOTOS))))[0]
rows = {}
for name, make in networks.items():
    counted = layer_table(make, IMAGE_SIZE)
    info = summary(make(), (1, 3, IMAGE_SIZE, IMAGE_SIZE), verbose=0)
    kept = activation_bytes(make().to(DEVICE, memory_format=torch.channels_last), x) / len(x)
    linear = counted.index.str.startswith("fc")
    assert abs(counted["multiply-adds"].sum() / info.total_mult_adds - 1) < 0.02  # torchinfo adds biases and batch norm
    rows[NAMES[name]] = {
        "convolutions, main path": int(counted.index.str.startswith("conv").sum()),
        "parameters (torchinfo)": f"{info.total_params:,}",
        "of them in linear layers": f"{counted['parameters'][linear].sum() / info.total_params:.0%}",
        "multiply-adds per photo, M": f"{counted['multiply-adds'].sum() / 1e6:,.0f}",
        "multiply-adds in linear layers": f"{counted['multiply-adds'][linear].sum() / counted['multiply-adds'].sum():.1%}",
        "activations kept per photo, MB": f"{kept / 1e6:.2f}",
        "weights, gradients and momentum, MB": f"{3 * 4 * info.total_params / 1e6:,.0f}",
        "activations of a batch of 128, MB": f"{128 * kept / 1e6:,.0f}",
    }
    RESULTS |= {
        f"cost.{name}.parameters": info.total_params,
        f"cost.{name}.linear_share": float(counted["parameters"][linear].sum() / info.total_params),
        f"cost.{name}.mult_adds_m": float(counted["multiply-adds"].sum() / 1e6),
        f"cost.{name}.activations_mb": float(kept / 1e6),
        f"cost.{name}.state_mb": 12 * info.total_params / 1e6,
        f"cost.{name}.batch_mb": float(128 * kept / 1e6),
    }
pd.DataFrame(rows)

# %% [markdown]
# VGG-Deep has {{cost.vgg_deep.parameters:,}} parameters, VGG-16C {{cost.vgg16c.parameters:,}}, of which
# {{cost.vgg16c.linear_share:.0%}} are in its linear layers, ResNet-18 {{cost.resnet18.parameters:,}} with next to none
# there: it averages over positions where VGG has a 4096-unit layer. In computation they are nearer to each other,
# {{cost.vgg_deep.mult_adds_m:,.0f}}, {{cost.vgg16c.mult_adds_m:,.0f}} and {{cost.resnet18.mult_adds_m:,.0f}} million
# multiply-adds a photo: a convolution uses each weight at every position, a linear layer once. In training ResNet-18 keeps
# {{cost.resnet18.activations_mb:.1f}} MB of activations a photo (autograd's own list; VGG-16C
# {{cost.vgg16c.activations_mb:.1f}}, VGG-Deep {{cost.vgg_deep.activations_mb:.1f}}): each batch norm keeps its input, besides the
# ReLU's output that the next convolution keeps. So what fills the memory differs: at a batch of 128 ResNet-18 needs {{cost.resnet18.batch_mb:,.0f}} MB
# for activations and {{cost.resnet18.state_mb:,.0f}} MB for weights, gradients and momentum, VGG-Deep
# {{cost.vgg_deep.batch_mb:,.0f}} and {{cost.vgg_deep.state_mb:,.0f}} MB (a third less with plain SGD, which has no momentum). The four extra layers of VGG-Deep weigh in
# parameters, hardly in activations: their maps have 4x4 positions.

# %% [markdown]
# ## 6. Analysis and discussion
#
# ### 6.1 Reading the gradient plots  <!-- rubric: II.6a -->
#
# **Do gradients vanish?** Before the first step it depends on the initialisation. Of the gradient at conv17's output, conv1's output receives
# {{theory.default.backward_measured:.1g}} from PyTorch's default, {{theory.xavier.backward_measured:.1g}} from Xavier's and
# {{theory.he.backward_measured:.2f}} from He's (Figure {{fig:signals}}). So from the default they vanish; conv1's weights get
# {{signal.default.weight_first:.1g}} where fc3's get {{signal.default.fc3:.1g}}. From Xavier's the signals vanish in both directions, so the
# weights' gradients are low at all layers alike. From He's nothing vanishes.
#
# **Layer 2 against layer 10.** In VGG-Deep's own run (He's, 32 pixels at first) layer 2's norm is {{norm.start.conv2_over_conv10:.2g}} times
# layer 10's at iteration 0 and {{norm.end.conv2_over_conv10:.2g}} times at the end. That pair is a 3x3 layer and a 1x1 one; against conv9,
# a 3x3 neighbour, it is {{norm.start.conv2_over_conv9:.2g}} and {{norm.end.conv2_over_conv9:.2g}} times. Conv17 has
# {{norm.start.conv17_over_conv2:.2g}} times conv2's norm at iteration 0, {{norm.small.conv17_over_conv2:.2g}} times at the end of the 32-pixel
# epochs and {{norm.end.conv17_over_conv2:.2g}} times at the very end. The classifier's last layer has
# {{norm.start.fc3_over_conv1:.2g}} times conv1's norm at iteration 0 and {{norm.end.fc3_over_conv1:.2g}} times at the end.
# So in training the smallest
# gradients are those of the 1x1 layers and of the classifier ({{norm.end.smallest}}: {{norm.end.conv13:.2g}}, fc2: {{norm.end.fc2:.2g}}
# at the very end), not those of the first layers (conv1 {{norm.end.conv1:.2g}}, conv2 {{norm.end.conv2:.2g}}).
#
# **How small.** Over {{start.batches}} batches of {{vgg_deep.batch_size}} photos (Figure {{fig:start}}), conv1 gets from PyTorch's default
# {{start.vgg_deep.default.first:.3g}} in VGG-Deep and {{start.vgg16c.default.first:.3g}} in VGG-16C before the first
# step, {{start.vgg_deep.he_over_default:.3g}} and {{start.vgg16c.he_over_default:.3g}} times less than from
# He's; four layers more cost another factor of {{start.deep_price:.3g}}. There the norm does fall
# towards the early layers as the handout expects (deepest over first: {{start.vgg_deep.default.ratio:.2g}}), and training from there stays at
# $\ln 3$ ({{depth.vgg_deep.default.train_loss:.4f}}).
#
# **Why sections differ in their numbers.** The gradient of a batch's mean loss depends on the batch. What photos pull different ways averages
# out: conv1's norm falls with the batch's size, from {{signal.he.weight_first:.2g}} with {{signal.photos}} photos (Figure {{fig:signals}}) to
# {{start.vgg_deep.he.first:.2g}} with {{vgg_deep.batch_size}} (Figure {{fig:start}}, He's). What they share stays: conv17 has {{signal.he.last:.2g}} and
# {{start.vgg_deep.he.last:.2g}}. So "deepest over first" is {{signal.he.weight_deep_over_first:.3g}} in the one figure and
# {{start.vgg_deep.he.ratio:.3g}} in the other, and {{depth.vgg_deep.he.ratio_start:.3g}} at 32 pixels: compare within a figure, not across.

# %%
RESULTS |= {"bn.xavier_factor": ((27 + 576) / 27) ** 0.5, "bn.default_factor": 6**0.5}
for net, init in start:
    RESULTS[f"start.{net}.{init}_over_he"] = RESULTS[f"start.{net}.{init}.first"] / RESULTS[f"start.{net}.he.first"]
RESULTS["bn.ratio_error"] = math.hypot(*(start["resnet18", init].loc["conv1", "sd"] / start["resnet18", init].loc["conv1", "mean"] for init in ("default", "he"))) / START_BATCHES**0.5
RESULTS["start.deep_price"] = RESULTS["start.vgg_deep.he_over_default"] / RESULTS["start.vgg16c.he_over_default"]
factors = pd.DataFrame({
    NAMES[net]: {INIT_NAMES[init]: RESULTS[f"start.{net}.{init}.ratio"] for init in INIT_NAMES} for net in DEPTH_NETS
})  # fmt: skip
shown(factors.rename_axis("deepest / first conv, before training"), rest="{:.3g}")

# %% [markdown]
# ### 6.2 Why gradients vanish  <!-- rubric: II.6b -->
#
# **Chain rule.** Write a layer as $z_l = W_l a_{l-1} + b_l$, $a_l = \phi(z_l)$, a convolution being a sparse matrix with
# shared entries, and let $\delta_l = \partial\mathcal L/\partial z_l$. Backpropagation applies the chain rule from the
# loss down:
#
# $$\delta_l = D_l\,W_{l+1}^\top\,\delta_{l+1},\qquad D_l = \operatorname{diag}\phi'(z_l),\qquad \frac{\partial\mathcal L}{\partial W_l} = \delta_l\,a_{l-1}^\top .$$
#
# **Product of Jacobians.** Unrolled from the last layer $L$ to layer $l$,
#
# $$\delta_l = \Big(\prod_{k=l}^{L-1} D_k\,W_{k+1}^\top\Big)\,\delta_L ,\qquad \|\delta_l\| \le \Big(\prod_{k=l}^{L-1}\|D_k\|\,\|W_{k+1}\|\Big)\,\|\delta_L\| .$$
#
# Every layer in between multiplies by one more Jacobian. If each shrinks a typical vector by a factor $c<1$, what arrives
# at layer $l$ is $c^{\,L-l}$ of what left layer $L$; if $c>1$, it explodes. With the logistic sigmoid $\phi'\le\frac14$,
# so sixteen layers leave at most $4^{-16}\approx 2\cdot 10^{-10}$ unless the weights make up for it. ReLU's slope is 1 or
# 0: it passes everything or nothing, and half the units on average.
#
# **One factor a layer.** For random weights with mean zero and variance $v$, a layer with $n_{in}$ connections into a unit
# and $n_{out}$ out of it (for a convolution $k^2$ times the channels) and the factor $\frac12$ from ReLU, He et al. (2015,
# section 2.2) find
#
# $$\mathbb E\,a_{l}^2 = \tfrac12\,n_{in}\,v\;\mathbb E\,a_{l-1}^2 ,\qquad \mathbb E\,\delta_{l-1}^2 = \tfrac12\,n_{out}\,v\;\mathbb E\,\delta_{l}^2 .$$
#
# We record *norms*, sums over all of a layer's outputs, and there are $n_{in}/n_{out}$ times as many of them below the
# layer as above it. (Max-pooling hands each gradient to one of four positions and keeps the sum of squares.) So for the norm the backward factor is the *same* as the forward one,
#
# $$\|\delta_{l-1}\|^2 = \tfrac12\,n_{in}\,v\;\|\delta_{l}\|^2 .$$
#
# He's $v = 2/n_{in}$ makes it 1. Xavier's $v = 2/(n_{in}+n_{out})$ makes it $\frac12$ where a layer is as wide as the one
# before, and $\frac13$ where the channels double. PyTorch's default, uniform on $\pm 1/\sqrt{n_{in}}$, has $v = 1/(3
# n_{in})$ and leaves $\frac16$. Multiplied over the layers between conv1 and conv17 that can be held against Figure
# {{fig:signals}}:

# %%
VARIANCES = {
    "default": lambda n_in, n_out: 1 / (3 * n_in),
    "xavier": lambda n_in, n_out: 2 / (n_in + n_out),
    "he": lambda n_in, n_out: 2 / n_in,
}
convs = [layer.weight for layer in weight_layers(make_deep()).values() if layer.weight.dim() == 4]
connections = [(conv[0].numel(), conv[:, 0].numel()) for conv in convs]  # (n_in, n_out)
rows = {}
for init, variance in VARIANCES.items():
    factors = [(n_in * variance(n_in, n_out) / 2) ** 0.5 for n_in, n_out in connections]
    predicted = {"backward": math.prod(factors[1:]), "forward": math.prod(factors[:-1])}
    found = {
        "backward": 1 / RESULTS[f"signal.{init}.output_deep_over_first"],
        "forward": RESULTS[f"signal.{init}.input_deep_over_first"],
    }
    rows[INIT_NAMES[init]] = {
        "output's gradient, conv1 / conv17: predicted": predicted["backward"],
        "measured": found["backward"],
        "input, conv17 / conv1: predicted": predicted["forward"],
        "measured ": found["forward"],
    }
    RESULTS |= {f"theory.{init}.{way}": value for way, value in predicted.items()}
    RESULTS |= {f"theory.{init}.{way}_measured": value for way, value in found.items()}
shown(pd.DataFrame.from_dict(rows, orient="index"), rest="{:.2g}")

# %% [markdown]
# For the gradient the theory is right within a factor of about two, over sixteen layers and six orders of magnitude:
# {{theory.default.backward:.1g}} predicted and {{theory.default.backward_measured:.1g}} measured with the default,
# {{theory.xavier.backward:.1g}} and {{theory.xavier.backward_measured:.1g}} with Xavier's, {{theory.he.backward:.1g}} and
# {{theory.he.backward_measured:.1g}} with He's. (One draw of weights; He's and Xavier's networks are the same draw in two scales, so
# they test the theory once.) Two things it leaves out nearly cancel: padding takes connections away, and behind a pooling more
# than half of the winners are positive. For the forward signal it holds for Xavier's and He's and *fails by four orders of
# magnitude* for the default: {{theory.default.forward:.1g}} predicted, {{theory.default.forward_measured:.1g}} measured.
# The default also draws biases, of the size of the weights; they are a floor under which activations cannot fall. That is
# no comfort: of the input's energy at conv17 only {{signal.default.varies:.1g}} differs from photo to photo (with Xavier's and He's
# {{signal.xavier.varies:.2g}}), the rest is the biases' and tells the classifier nothing: probably the better reason why nothing is learned from there.
#
# **Slope or level.** A kernel's gradient sums $\delta\,a$ over positions and photos. If the terms have independent signs,
#
# $$\Big\|\frac{\partial\mathcal L}{\partial W_l}\Big\| \approx \kappa\,\sqrt{n_{in}}\;\|\delta_l\|\;\mathrm{rms}(a_{l-1}),\qquad \kappa = 1 ,$$
#
# and signs in common raise $\kappa$.

# %%
for init, table in signals.items():
    kappa = table["weight"] / (fan_in**0.5 * table["output"] * table["input"])
    RESULTS |= {f"kappa.{init}_min": float(kappa.min()), f"kappa.{init}_max": float(kappa.max())}
print(*(f"{INIT_NAMES[init]}: kappa from {RESULTS[f'kappa.{init}_min']:.2f} to {RESULTS[f'kappa.{init}_max']:.2f}" for init in signals), sep="\n")

# %% [markdown]
# Over all twenty layers $\kappa$ lies between {{kappa.xavier_min:.2f}} and {{kappa.xavier_max:.2f}} with Xavier's,
# {{kappa.default_min:.2f}} and {{kappa.default_max:.2f}} with the default, and between {{kappa.he_min:.1f}} and
# {{kappa.he_max:.1f}} with He's, whose large first logits are wrong in the same way for many photos. So where both signals fade by the same
# factor $c$ a layer, one downwards and one upwards, $\|\partial\mathcal L/\partial W_l\| \sim \sqrt{n_{in}}\,c^{\,L-l}\cdot c^{\,l-1} =
# \sqrt{n_{in}}\,c^{\,L-1}$: but for the fan-in *the same at every layer*. Vanishing then is a level, equally low everywhere, and a
# ratio of deepest to first near 1 proves nothing. That is Xavier's case: conv17 gets
# {{signal.xavier.weight_deep_over_first:.2g}} times conv1's gradient, 17 of it from the fan-in. The default's floor takes away the fading of
# $a$, leaves that of $\delta$, and so produces the slope of the textbook, {{signal.default.weight_deep_over_first:.1g}}. With He's it is
# {{signal.he.weight_deep_over_first:.2g}}: 17 from the fan-in, the rest from the signals and from $\kappa$.

# %% [markdown]
# ### 6.3 Why shortcuts help  <!-- rubric: II.6c -->
#
# A block computes $x_{l+1} = x_l + F_l(x_l)$ (the ReLU behind the sum for a moment left out). Its Jacobian has an
# identity in it, and so has the gradient:
#
# $$\frac{\partial\mathcal L}{\partial x_l} = \Big(I + \frac{\partial F_l}{\partial x_l}\Big)^{\!\top}\frac{\partial\mathcal L}{\partial x_{l+1}}
# \qquad\Longrightarrow\qquad
# \frac{\partial\mathcal L}{\partial x_l} = \frac{\partial\mathcal L}{\partial x_L} + \Big(\frac{\partial}{\partial x_l}\sum_{k=l}^{L-1}F_k(x_k)\Big)^{\!\top}\frac{\partial\mathcal L}{\partial x_L} .$$
#
# The first term carries the gradient at the top to *every* block unchanged, through no weight at all (He et al. 2016b,
# equation 5). For the sum to vanish, the second term would have to be exactly its opposite for all photos of a batch at
# once. Expanded, the product $\prod_k (I + \partial F_k/\partial x_k)$ is a sum over all subsets of blocks: with
# ResNet-18's eight blocks 256 paths, of which one passes all sixteen convolutions and 8 + 28 pass two or four. In a plain
# network there is only the longest one. (Veit et al. 2016 show that in residual networks nearly all gradient comes by the
# short paths.)
#
# Two things keep ResNet-18 from the ideal: the ReLU behind each sum multiplies by its 0/1 slopes, which stops what is
# negative, and in three of the eight blocks the shortcut is a strided 1x1 convolution, not the identity. Identity mapping
# in the strict sense is what the later variant with activation *before* the convolutions has.
#
# **Measured.** ResNet-18's first and deepest convolutions have gradients of {{start.resnet18.he.first:.3g}} and
# {{start.resnet18.he.last:.3g}} before training (He), VGG-Deep's, with as many convolutions,
# {{start.vgg_deep.he.first:.3g}} and {{start.vgg_deep.he.last:.3g}}. With the default initialisation it is
# {{start.resnet18.default.first:.3g}} against {{start.vgg_deep.default.first:.3g}} at the first. Between the best
# and the worst of the three initialisations lies a factor of {{start.resnet18.xavier_over_he:.2g}} in the residual network and of
# {{start.vgg_deep.he_over_default:.1g}} in the plain one. How much of that the shortcuts do and how much batch norm is what Figure
# {{fig:flows}} takes apart: without batch norm, shortcuts leave {{flow.default.shortcuts_only:.2g}} of the default's gradient where the plain
# network leaves {{flow.default.neither:.1g}}.

# %% [markdown]
# ### 6.4 What batch normalisation does  <!-- rubric: II.6d -->
#
# Batch norm replaces each channel's $z$ by $\gamma\,\frac{z-\mu}{\sigma}+\beta$ with the batch's own mean and deviation
# (Ioffe and Szegedy 2015). For the flow of signals that has two consequences, and it has its limits.
#
# *Forward*, every channel leaves with mean $\beta$ and deviation $\gamma$ whatever the weights: the product of many
# factors that shrinks or blows up activations cannot build up.
#
# *Backward*, with $g$ for the gradient of the output and bars for means over the batch, $\partial\mathcal L/\partial z =
# \frac{\gamma}{\sigma}\big(g-\bar g-\hat z\,\overline{g\hat z}\big)$: mean and $\hat z$-component are removed, the rest is divided by $\sigma$, which
# is proportional to the weights. Since $\mathrm{BN}(cWa) =
# \mathrm{BN}(Wa)$ for every $c>0$,
#
# $$\frac{\partial\,\mathrm{BN}(cWa)}{\partial a} = \frac{\partial\,\mathrm{BN}(Wa)}{\partial a},\qquad \frac{\partial\mathcal L}{\partial (cW)} = \frac1c\,\frac{\partial\mathcal L}{\partial W} :$$
#
# the gradient handed down does not depend on the scale of the weights, and the weights' own gradient is *inversely*
# proportional to it. The same invariance makes the gradient orthogonal to $W$, so under plain SGD
# $\|W\|$ can only grow. A layer that starts too small gets large steps until it has grown, one that has grown too large gets
# small ones: the effective learning rate $\eta/\|W\|^2$ adapts itself, one reason why high rates are tolerated and
# initialisation matters little.
#
# *Limits.* The statistics are noisy in small batches and differ between training and evaluation. And batch norm alone
# does not make arbitrary depth safe: at initialisation, plain networks with it have gradients that *explode* with depth
# (Yang et al. 2019), each layer contributing a factor a little above 1; shortcuts keep that in bounds. Why it speeds up
# training is less settled than that it does: the original explanation was a more stable distribution of inputs, Santurkar
# et al. (2018) find instead a smoother loss.
#
# **Two predictions, measured.** All of ResNet-18's convolutions stand before a batch norm, so conv1's gradient should be
# inversely proportional to the size of its weights. Xavier's are {{bn.xavier_factor:.2f}} times smaller there than He's
# (conv1 has 27 connections into a unit and 576 out of it), with nearly the same classifier: predicted is a gradient
# {{bn.xavier_factor:.2f}} times *larger*, measured {{start.resnet18.xavier_over_he:.2f}} times. PyTorch's default draws
# all weights $\sqrt6$ = {{bn.default_factor:.2f}} times smaller than He's. At conv1 that alone would make the gradient as
# many times larger; but the classifier, which no batch norm follows, is smaller by the same factor and hands down a
# gradient smaller by it. Predicted is no change if the error at the output were the same (He's larger logits start
# with a larger one, so somewhat below 1 is expected), measured {{start.resnet18.default_over_he:.2f}}, with a
# standard error of {{bn.ratio_error:.2f}} from the batches (one draw of weights each). In VGG-Deep, without
# batch norm, the same change of initialisation leaves {{start.vgg_deep.default_over_he:.2g}} of conv1's gradient.
# The first prediction holds. The second holds in size, not in sign: the ratio lies a little above 1 instead of below, so the larger logits are not
# all that differs. Beside the plain network's more than seven orders of magnitude that is a detail: the change of initialisation costs this one nothing.

# %% [markdown]
# ### 6.5 Findings of the investigations  <!-- rubric: II.6e -->
#
# - **Kernel size.** 3x3 {{small.3x3.acc:.1%}}, 5x5 {{small.5x5.acc:.1%}}, 7x7 {{small.7x7.acc:.1%}} at
#   {{small.3x3.cost:.0f}}, {{small.5x5.cost:.0f}} and {{small.7x7.cost:.0f}} million multiply-adds; at equal cost
#   {{small.5x5_narrow.acc:.1%}} and {{small.7x7_narrow.acc:.1%}}. No larger kernel is better, at equal width or equal cost.
# - **1x1 convolutions.** A bottleneck saves {{pointwise.saved:.0%}} of the convolutions' parameters:
#   {{small.bottleneck.acc:.1%}} against {{small.none.acc:.1%}}; added layers {{small.added.acc:.1%}}.
#   Reduction is a fair trade; recombination costs more and gains nothing in so small a network without normalisation.
# - **Pooling.** Max {{small.max.acc:.1%}}, average {{small.avg.acc:.1%}} (standard error of the difference
#   {{pooling.noise_points:.1f}} points, p = {{pooling.avg_p:.2f}}): not settled.
# - **Activations.** ReLU {{small.relu.acc:.1%}}, Leaky ReLU {{small.leaky_relu.acc:.1%}}, ELU {{small.elu.acc:.1%}}, GELU
#   {{small.gelu.acc:.1%}}; {{act.relu.dead:.1f}} of {{act.units}} ReLUs dead, mostly an effect of its
#   rate. No difference in accuracy that could be told from noise.
# - **Filters.** Of {{filters.n}} first-layer filters {{filters.vgg16c.trained.colour}} of VGG-16C's and
#   {{filters.resnet18.trained.colour}} of ResNet-18's are mostly about colour. VGG-16C's still are its random start (cosine
#   {{filters.vgg16c.trained.cosine:.2f}}), ResNet-18's are learned ({{filters.resnet18.trained.cosine:.2f}}).
# - **Cost.** ResNet-18 has {{cost.resnet18.parameters:,}} parameters to VGG-Deep's {{cost.vgg_deep.parameters:,}}, and
#   needs {{cost.resnet18.activations_mb:.1f}} MB of activations a photo to its {{cost.vgg_deep.activations_mb:.1f}}.
#
# All accuracies are of small networks on {{small.photos:,}} photos of 32x32 and {{small.seeds}} seeds: they rank variants
# of *this* setup. The {{small.val:,}} validation photos alone leave about +-{{small.interval_points:.1f}} points on any
# single accuracy, less on differences, since all variants face the same photos.

# %% [markdown]
# ## References
#
# - The assignment's handout (Part II) and the course's CNN data set (`cnn_dataset.zip`, from the course site). Part I of
#   this solution (`a1_part_1.ipynb`).
# - K. Simonyan, A. Zisserman. *Very Deep Convolutional Networks for Large-Scale Image Recognition.* ICLR 2015.
#   [arXiv:1409.1556](https://arxiv.org/abs/1409.1556)
# - K. He, X. Zhang, S. Ren, J. Sun. *Deep Residual Learning for Image Recognition.* CVPR 2016.
#   [arXiv:1512.03385](https://arxiv.org/abs/1512.03385)
# - The same. *Identity Mappings in Deep Residual Networks.* ECCV 2016 ("2016b").
#   [arXiv:1603.05027](https://arxiv.org/abs/1603.05027)
# - The same. *Delving Deep into Rectifiers.* ICCV 2015. [arXiv:1502.01852](https://arxiv.org/abs/1502.01852)
#   (initialisation)
# - X. Glorot, Y. Bengio. *Understanding the Difficulty of Training Deep Feedforward Neural Networks.* AISTATS 2010.
# - A. Veit, M. Wilber, S. Belongie. *Residual Networks Behave Like Ensembles of Relatively Shallow Networks.* NeurIPS
#   2016. [arXiv:1605.06431](https://arxiv.org/abs/1605.06431)
# - S. Ioffe, C. Szegedy. *Batch Normalization.* ICML 2015. [arXiv:1502.03167](https://arxiv.org/abs/1502.03167)
# - S. Santurkar et al. *How Does Batch Normalization Help Optimization?* NeurIPS 2018.
#   [arXiv:1805.11604](https://arxiv.org/abs/1805.11604)
# - G. Yang et al. *A Mean Field Theory of Batch Normalization.* ICLR 2019.
#   [arXiv:1902.08129](https://arxiv.org/abs/1902.08129)
# - A. Araujo, W. Norris, J. Sim. *Computing Receptive Fields of Convolutional Neural Networks.* Distill 2019.
#   [distill.pub/2019/computing-receptive-fields](https://distill.pub/2019/computing-receptive-fields)
# - M. Lin, Q. Chen, S. Yan. *Network in Network.* ICLR 2014. [arXiv:1312.4400](https://arxiv.org/abs/1312.4400) (1x1
#   convolutions)
# - D.-A. Clevert et al. *ELU.* ICLR 2016. [arXiv:1511.07289](https://arxiv.org/abs/1511.07289). D. Hendrycks, K. Gimpel.
#   *GELU.* [arXiv:1606.08415](https://arxiv.org/abs/1606.08415). A. Maas et al. *Rectifier Nonlinearities Improve Neural
#   Network Acoustic Models.* 2013 (Leaky ReLU)
# - Q. McNemar. Psychometrika 12, 1947. E. B. Wilson. JASA 22, 1927.
# - Documentation of [PyTorch](https://docs.pytorch.org) (tensor and module hooks, saved tensors),
#   [torchinfo](https://github.com/TylerYep/torchinfo), [scikit-learn](https://scikit-learn.org).
#
# ## This run against the reported one
#
# Where the reported records were read, as in the saved notebook, the columns agree by construction. After `RETRAIN=1` the
# table shows whether a new training lands within the tolerance.

# %%
runs = {run.path: run for run in [deep, plain_vgg, *(run for runs in depth_runs.values() for run in runs.values()), *full_precision.values(), *small_runs]}
RESULTS |= {
    "minutes": sum(epoch["seconds"] for run in runs.values() for epoch in run.history) / 60,
    "n_runs": len(runs),
    "study_runs": " ".join(sorted(path.stem for path, run in runs.items() if run is not deep)),
}
save_results(RESULTS, "a1_part_2")

# %% tags=["reported"]
REPORTED = {}
compare_with_reported(REPORTED, RESULTS)
