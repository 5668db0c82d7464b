# %% [markdown]
# # Part I. From VGG to ResNet on 64x64 photos
#
# **Question.** How well can networks written from layers and trained from scratch tell dogs, food and vehicles apart on photos of only
# 64x64 pixels, and what does each decision on the way (initialisation, schedule, optimizer, batch size, regularisation) contribute?
#
# **Answer.** ResNet-18 classifies {{resnet18.test_acc:.1%}} of {{n_test:,}} test photos correctly (95% interval {{resnet18.test_acc_low:.1%}} to
# {{resnet18.test_acc_high:.1%}}), VGG-16C {{vgg16c.test_acc:.1%}} ({{vgg16c.test_acc_low:.1%}} to {{vgg16c.test_acc_high:.1%}}), each after {{resnet18.epochs}} epochs on a plain CPU. On the same photos
# the trained ResNet-18 beats the trained VGG-16C by more than the choice of test photos explains (p = {{mcnemar_p:.1e}}; one seed each), with a third of the parameters. The studies, on a quarter-width VGG-16C at 32x32 pixels, say that initialisation and learning
# rate decide whether a deep network without batch norm learns at all. Of the rest, SGD, Adam and AdamW at rates of their own lie within {{opt.spread_points:.1f}} points, RMSprop at {{opt.rmsprop.mean:.1%}} against SGD's {{opt.sgd.mean:.1%}};
# batches of 32 reach {{batch.32_scaled:.1%}} against {{batch.128_scaled:.1%}} with 128, for {{batch.time_ratio:.1f}} times the time and four times the updates; the regularisers, with SGD, close the gap to training more surely than they raise accuracy; one cycle
# ties with the paper's schedule.
#
# **Data.** The course's CNN data set, {{n_images:,}} photos. **Runtime.** VGG-16C trained for {{vgg16c.minutes:.0f}} and ResNet-18 for
# {{resnet18.minutes:.0f}} minutes on a busy {{resnet18.device}}, the {{n_study_runs}} study runs for {{study_minutes:.0f}} minutes together. Their records are read here, so the notebook
# itself runs in about three minutes with `A1_PROFILE=full` (without a GPU and that setting it rehearses); without the records, or with `RETRAIN=1`, it trains again.

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
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
import torch.nn.functional as F
from filelock import FileLock
from IPython.display import SVG, Markdown, display
from PIL import Image, ImageDraw
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from sklearn.model_selection import train_test_split
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torchinfo import summary

# %% [markdown]
# ## Toolbox
#
# Code that every notebook of this assignment shares. The training loop stands open, since all results below rest on
# it; the rest (files, seeds, the store of finished runs, plotting defaults) is collapsed and can be skipped.

# %% tags=["toolbox"]
# @title Device, profile and seeds
from a1.setup import DEVICE, OUT, PROFILE, seed_everything

# %% tags=["toolbox"]
# @title Files that are whole or absent
from a1.files import atomic_write

# %% [markdown]
# **The recipe.** One object holds the decisions that may differ between our runs. Constants of the code, such as momentum
# 0.9, shifts of 8 pixels and colour changes of 20%, are the same in all.

# %%
from a1.train import Classification, Recipe

# %% [markdown]
# **One epoch.** Two details are easy to get wrong. Label smoothing raises the loss that is minimised, so a curve of it
# would lie above the validation loss for no other reason: the loss that is *reported* is plain cross-entropy on both
# sides. And sums stay on the device, because reading a number from a GPU makes it wait.

# %%
from a1.train import OPTIMIZERS, mixed_precision, train_epoch

# %% [markdown]
# **Evaluation** sees each image once, without augmentation, with dropout off and batch norm's running statistics.

# %%
from a1.train import evaluate

# %% [markdown]
# **A run**, epoch by epoch. The weights that count are those of the epoch with the best validation accuracy; all
# state, random numbers included, can be saved after any epoch, so an interrupted run goes on as if nothing had happened.

# %%
from a1.train import Training

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
)

# %% tags=["toolbox"]
# @title Released weights and reported results
from a1.weights import save_weights, load_weights, release
from a1.results import TOLERANCE, save_results, compare_with_reported

# %% tags=["toolbox"]
# @title Figures and tables
from a1.plots import COLORS, NAMES, use_plot_style, show_images, plot_history, plot_study
from a1.plots import plot_confusion, plot_mistakes, read_events, plot_events, show_svg
from a1.evaluate import wilson_interval, mcnemar, median_seconds, reported, metrics_table, class_report

# %% [markdown]
# ## Configuration
#
# `full` is the reported experiment; `quick` rehearses every line of it in a minute on two CPU cores, with few images
# and epochs, and proves nothing else. Full is the default where there is a GPU; `A1_PROFILE` decides otherwise.

# %%
SEED = 0
IMAGES_PER_CLASS = {"quick": 200, "full": None}[PROFILE]
BOTH = dict(label_smoothing=0.1, augment=("flip", "shift", "color"), seed=SEED)
RECIPES = {
    "quick": {  # AdamW takes ResNet-18 off chance in the few steps of a rehearsal; for VGG no optimizer does
        name: Recipe(epochs=8, batch_size=16, optimizer="adamw", lr=0.001, image_sizes=(32,) * 6, **BOTH)
        for name in ("vgg16c", "resnet18")
    },
    "full": {
        "vgg16c": Recipe(epochs=20, batch_size=128, lr=0.02, image_sizes=(32,) * 8 + (48,) * 5, **BOTH),
        "resnet18": Recipe(epochs=20, batch_size=128, lr=0.1, image_sizes=(32,) * 8 + (48,) * 5, **BOTH),
    },
}[PROFILE]
VGG_WIDTH = {"quick": 0.25, "full": 1}[PROFILE]
STUDY_SEEDS = {"quick": (0, 1), "full": (0, 1, 2)}[PROFILE]
STUDY_PHOTOS = {"quick": (20, 20), "full": (800, 500)}[PROFILE]  # per class, for training and validation
PROBE_PHOTOS = {"quick": (20, 20), "full": (1750, 500)}[PROFILE]
STUDY_EPOCHS, LONG_EPOCHS, PROBE_EPOCHS = {"quick": (1, 2, 1), "full": (10, 20, 4)}[PROFILE]
TIMED_STEPS = {"quick": 2, "full": 7}[PROFILE]
RESULTS = {}

seed_everything(SEED)
use_plot_style()
if PROFILE == "quick":
    display(Markdown("> **Quick rehearsal.** Numbers in the text are those of the reported full run, not of this one."))

# %% [markdown]
# ## 1. Data
#
# ### 1.1 Loading and main statistics  <!-- rubric: I.1.1 -->
#
# Opening 30,000 small JPEG files anew in every epoch would be wasted time, so they are decoded once into a single uint8 tensor and
# cached beside the data. Reading is strict about what would spoil training (a truncated zip, a missing class) and
# lenient about what can be mended (a grey photo, an odd size), and reports every repair.

# %% tags=["toolbox"]
# @title Finding, checking and decoding the photos
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
# @title Loading one or the other
from a1.data.load import load_images, data_banner, take_per_class

# %%
photos = take_per_class(load_images(), IMAGES_PER_CLASS)
if photos.source.startswith("drawn"):
    OUT = Path("out")  # nothing learned from drawings may stand beside the reported results
display(Markdown(data_banner(photos)))

# %%
pixels = photos.images.float().div(255)
by_class = [pixels[photos.labels == label] for label in range(len(CLASSES))]
pd.DataFrame(
    {
        "images": [len(x) for x in by_class],
        "mean of R, G, B": [x.mean((0, 2, 3)).numpy().round(3) for x in by_class],
        "std of R, G, B": [x.std((0, 2, 3)).numpy().round(3) for x in by_class],
        "darkest photo's mean": [float(x.mean((1, 2, 3)).min()) for x in by_class],
        "brightest photo's mean": [float(x.mean((1, 2, 3)).max()) for x in by_class],
    },
    index=CLASSES,
).round(3)

# %%
copies = Counter(hashlib.sha256(image.numpy().tobytes()).digest() for image in photos.images)
RESULTS |= {
    "data": photos.source,
    "n_images": len(photos.images),
    "n_copies": len(photos.images) - len(copies),
}
print(f"{len(photos.images):,} photos of {IMAGE_SIZE}x{IMAGE_SIZE} pixels, RGB, values {photos.images.min()} to {photos.images.max()}")
print(f"{RESULTS['n_copies']} are exact copies of another one")

# %% [markdown]
# The data set holds everyday photos of dogs, plates of food, and road vehicles, shrunk to 64x64 pixels: most subjects fill
# the frame, seen from many sides, backgrounds vary, and the class is what the photo is *about*. The three classes are of equal size, so
# accuracy is a fair measure and chance is one third. The class means differ most in red and blue, which food has most and
# least of; single photos range from nearly black to nearly white. {{n_copies}} photos are pixel-for-pixel copies of another
# one, which matters for the split below.

# %% [markdown]
# ### 1.2 Looking at the photos  <!-- rubric: I.1.2 -->

# %%
generator = torch.Generator().manual_seed(SEED)
shown = [(photos.labels == label).nonzero()[:, 0] for label in range(3)]
shown = torch.cat([index[torch.randperm(len(index), generator=generator)[:8]] for index in shown])
show_images(photos.images[shown], [CLASSES[label] for label in photos.labels[shown]], columns=8)

# %% [markdown]
# **Figure {{fig:samples}}.** Eight random photos of each class. Nothing is aligned: a dog may be a face or a whole body, a
# vehicle a side view or a radiator grille. What the classes differ in is texture and local shape (fur, crumbs, wheels), so
# a network that builds shapes from local features should do well, and shifting or mirroring a photo keeps its class. Some
# labels will be hard for anyone: street scenes count as vehicles, and so does the inside of a bus.

# %%
fig, ax = plt.subplots(figsize=(4.5, 2.4))
bars = ax.bar(CLASSES, torch.bincount(photos.labels), color="#777777", width=0.6)
ax.bar_label(bars, fmt="{:,.0f}")
ax.set(ylabel="photos")
ax.margins(y=0.15)
plt.show()

# %% [markdown]
# **Figure {{fig:counts}}.** Photos per class. The classes are balanced, so neither weights nor resampling are needed, and
# a classifier that always gives the same answer is right for one photo in three.

# %%
fig, axes = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True)
for label, ax in enumerate(axes):
    for channel, color in enumerate(("#D55E00", "#009E73", "#0072B2")):
        counts = torch.bincount(photos.images[photos.labels == label, channel].flatten(), minlength=256)
        ax.plot(np.arange(256) / 255, counts / counts.sum() * 256, color=color, label="RGB"[channel])
    ax.set(title=CLASSES[label], xlabel="pixel value", ylim=(0, 3))
axes[0].set_ylabel("density")
axes[0].legend()
plt.show()

extremes = ((photos.images == 0) | (photos.images == 255)).float().mean((1, 2, 3))
RESULTS |= {f"extremes_{name}": float(extremes[photos.labels == i].mean()) for i, name in enumerate(CLASSES)}

# %% [markdown]
# **Figure {{fig:histograms}}.** Distribution of pixel values per channel and class. Food is warm: its red curve peaks
# on the bright side and its blue one on the dark side. Dogs lean the same way, less; vehicles have no common colour cast, their three curves nearly
# coincide. All curves shoot up at both ends: {{extremes_dogs:.1%}} (dogs), {{extremes_food:.1%}} (food) and
# {{extremes_vehicles:.1%}} (vehicles) of all values are exactly 0 or 255, clipped shadows, blown-out
# skies and, in food, warm colours without any blue; the axis is cut at 3. Colour alone
# thus says something about the class, and standardising each channel with one mean and one deviation for *all* classes keeps it.

# %%
means = torch.stack([photos.images[photos.labels == label].float().mean(0) for label in range(3)])
stretched = ((means - means.mean()) * 3 + 128).clamp(0, 255)
titles = [*CLASSES, *(f"{name}, contrast x3" for name in CLASSES)]
show_images(torch.cat([means, stretched]).byte(), titles, columns=6)

# %% [markdown]
# **Figure {{fig:means}}.** The mean photo of each class, at true and at threefold contrast. Food averages to a warm round
# plate, vehicles to bright sky above a dark body and its shadow, dogs to a pale upright blob: subjects are centred but
# not aligned. Section 1.4 tries these means as templates, for a baseline of what colour and layout alone can do.

# %% [markdown]
# ### 1.3 Preprocessing  <!-- rubric: I.1.3 -->
#
# - **Scale.** Pixels are scaled to [0, 1] and standardised per channel with the *training* part's mean and standard deviation, in one step:
#   with mean $m$ and deviation $s$ of the values 0..255, $(x/255 - m/255)/(s/255) = (x-m)/s$, so the 255 cancels and the code divides once, on the
#   device. Standardising on top of [0, 1] centres each channel, as the initialisation in 2.2 assumes.
# - **Balance.** The classes are of equal size (Figure {{fig:counts}}); there is nothing to correct.
# - **Labels.** The cross-entropy loss takes class indices, so the labels are int64: dogs 0, food 1, vehicles 2.
# - **Augmentation**, in training only: mirror, shift by up to 8 pixels (reflected border), and change brightness, contrast
#   and saturation by up to 20%. Each image gets its own draw; a batch is changed at once, in vectorised form.

# %%
from a1.data.images import random_flip, random_shift, color_jitter, AUGMENTATIONS

# %%
from a1.data.images import ImageLoader

# %% [markdown]
# ### 1.4 Split  <!-- rubric: I.1.4 -->
#
# 70% train, 15% validation, 15% test, stratified by class and fixed by the seed. A copy of a training photo in the test
# part would be scored from memory, so the split draws among *distinct* images and each copy follows its original. Every
# choice in this notebook is made on the validation part; the test part is read once, by the finished model.

# %%
from a1.data.images import split_indices, ImageSplits

# %%
split = split_indices(photos.images, photos.labels, seed=SEED)
data = ImageSplits(photos, split, DEVICE)

hashes = {
    part: {hashlib.sha256(image.numpy().tobytes()).digest() for image in photos.images[split[part]]}
    for part in PARTS
}
assert not (hashes["train"] & hashes["val"] or hashes["train"] & hashes["test"] or hashes["val"] & hashes["test"])
assert sorted(torch.cat(list(split.values())).tolist()) == list(range(len(photos.images)))

RESULTS |= {f"n_{part}": len(split[part]) for part in PARTS}
pd.DataFrame({part: np.bincount(photos.labels[split[part]], minlength=3) for part in PARTS}, index=CLASSES)

# %%
train, val = split["train"], split["val"]
templates = torch.stack([pixels[train][photos.labels[train] == label].mean(0).flatten() for label in range(3)])
scores = pixels[val].flatten(1) @ templates.T - (templates**2).sum(1) / 2  # highest: least squared distance
RESULTS["template_acc"] = float((scores.argmax(1) == photos.labels[val]).float().mean())
print(f"validation photos nearest to their own class's mean training photo: {RESULTS['template_acc']:.1%}")

# %% [markdown]
# **A first baseline.** The nearest mean photo names the class of {{template_acc:.1%}} of the validation photos, well above chance,
# from coarse colour and layout alone. What local shape adds is what the network has to show.

# %%
last_epoch = RECIPES["resnet18"].epochs - 1  # at full resolution
x, y = next(iter(data.loader("train", RECIPES["resnet18"], train=True, epoch=last_epoch)))
print("x:", tuple(x.shape), x.dtype, f"mean {x.mean():.2f}, std {x.std():.2f}", "  y:", tuple(y.shape), y.dtype)
augmented = (x * data.std + data.mean).clamp(0, 255).byte()
show_images(augmented[:16], [CLASSES[label] for label in y[:16]], columns=8)

# %% [markdown]
# **Figure {{fig:augmented}}.** Training images as the network sees them: mirrored, shifted, with changed light and colour.
# Most are still plainly of their class. The few that are not (a person holding a small animal, a close crop) may have been hard
# before; the mirrored strips at some borders are the price of shifting by reflection.

# %% [markdown]
# ## 2. VGG-16, version C
#
# ### 2.1 Architecture  <!-- rubric: I.2.1 -->
#
# VGG's idea is to use nothing but small filters and to stack them deep. Version C is column C of the paper's table 1: thirteen
# convolutions in five blocks, each block closed by a 2x2 max-pool, then three linear layers. Its mark is the **1x1 convolution** at the
# end of blocks 3, 4 and 5: it mixes channels at each position and adds a ReLU without widening the view. (The table in the
# assignment's text prints 3x3 there, which would be version D; we follow the paper.)

# %%
from a1.models.vgg import VGG16C_LAYERS, INITS

# %%
from a1.models.vgg import VGG16C

# %%
make_vgg = partial(VGG16C, num_classes=len(CLASSES), image_size=IMAGE_SIZE, width=VGG_WIDTH)
columns = ("kernel_size", "output_size", "num_params", "mult_adds")
summary(make_vgg(), (1, 3, IMAGE_SIZE, IMAGE_SIZE), depth=2, col_names=columns, row_settings=("var_names",))

# %%
on_paper = VGG16C(num_classes=1000, image_size=224)
sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in (("ours", make_vgg()), ("paper", on_paper))}
sizes["convolutions"] = sum(p.numel() for p in make_vgg().features.parameters())
del on_paper
RESULTS |= {f"vgg16c.parameters_{name}": size for name, size in sizes.items()}
print(*(f"{name}: {size:,} parameters" for name, size in sizes.items()), sep="\n")

# %% [markdown]
# **What is adapted**, and why no more than this:
#
# - *Input.* All five pools stay, so 64 pixels shrink to 2x2 positions of 512 channels, and the first linear layer takes
#   2,048 numbers where the paper's takes 25,088. Dropping the last two pools, as the assignment suggests for small images, would leave 8x8 positions:
#   16 times the weights in that layer and four times the computation in block 5 (block 4 would not change), for last features that see less of the image.
# - *Output.* Three classes instead of 1,000. Both changes together take {{vgg16c.parameters_paper:,}} parameters down to
#   {{vgg16c.parameters_ours:,}}, of which the thirteen convolutions have only {{vgg16c.parameters_convolutions:,}}.
# - *Smaller images in the first epochs.* Training at full width starts at 32 and 48 pixels; what is left of them after five pools, one position, is
#   repeated to 2x2. At 64 pixels this layer does nothing.
# - *Initialisation.* He's instead of a fixed standard deviation: the next section shows why.

# %% [markdown]
# **The studies' ground rules.** Sections 2.2 to 2.4 compare many short runs, so they use a smaller stage: {{study.photos:,}} training
# and {{study.val:,}} validation photos (the first of each class in their part), shrunk to 32x32, and VGG-16C with a quarter of the
# channels and units in every layer but all of its depth. Each run has {{study.epochs}} epochs with the one-cycle schedule, the regularisation of 2.4 and
# batches of 128, unless said otherwise. *Variants differ in nothing but what is studied, except where a rate or a decay belongs to the variant; each is run with {{study.seeds}} seeds; tables give mean and
# standard deviation over the seeds*, of the epoch with the best validation accuracy. On {{study.val:,}} photos an accuracy of 84% has a 95% interval of about
# {{study.interval_points:.1f}} points either way; all variants are scored on the same photos, so much of that is common to them. The test part is not even loaded. What is learned here need
# not carry over to the full network and all photos; for the learning rate, the most delicate choice, that is checked.

# %% tags=["toolbox"]
# @title Studies: many short runs that differ in one decision
from a1.studies import study_data, run_study, runs_of, mean_and_sd

# %%
study_photos = study_data(photos, split, *STUDY_PHOTOS, size=32, device=DEVICE)
STUDY_RECIPE = Recipe(epochs=STUDY_EPOCHS, lr=0.02, label_smoothing=0.1, augment=("flip", "shift", "color"))
make_small = partial(VGG16C, num_classes=len(CLASSES), image_size=32, width=0.25)

def noise(sd):
    """Standard error of the difference of two means over the seeds, each with standard deviation `sd`."""
    return sd * (2 / len(STUDY_SEEDS)) ** 0.5

studies = {}
RESULTS |= {
    "study.photos": len(study_photos.labels["train"]),
    "study.val": len(study_photos.labels["val"]),
    "study.epochs": STUDY_EPOCHS,
    "study.long_epochs": LONG_EPOCHS,
    "study.seeds": len(STUDY_SEEDS),
    "study.steps": STUDY_EPOCHS * len(study_photos.loader("train", STUDY_RECIPE, train=True)),
    "study.parameters": sum(p.numel() for p in make_small().parameters()),
    "study.interval_points": 50 * float(np.diff(wilson_interval(0.84, len(study_photos.labels["val"])))[0]),
}
print(study_photos.about["sizes"], f"{RESULTS['study.parameters']:,} parameters, {RESULTS['study.steps']} steps a run")

# %% [markdown]
# ### 2.2 Initialisation, dropout and schedule  <!-- rubric: I.2.2 -->
#
# #### Initialisation
#
# A layer with ReLU before it and weights of variance $v$ turns activations of mean square $q$ into pre-activations of mean square
# $n v q$, with $n$ its number of inputs, and the next ReLU halves that. So per layer the scale changes by $\sqrt{n v / 2}$, and over
# fifteen layers even a modest factor is fatal. He's choice $v = 2/n$ makes it exactly 1. Xavier's $v = 2/(n_{in}+n_{out})$ loses $\sqrt 2$ a layer
# where input and output are equally wide. The paper draws from a normal distribution whose *variance* it gives as $10^{-2}$.
# We test the common reading, a *standard deviation* of 0.01. Neither has regard for $n$: at standard deviation 0.01 the factor is 0.48 for 512 3x3
# inputs and 0.16 for 512 1x1 ones, and signals die; at variance 0.01 it is ten times that, and with 3x3 filters they explode. (The paper itself had to start its deep nets from the trained layers of a shallow one, and notes that
# Xavier's method, found after submission, makes that unnecessary.) We send one batch through the full network at 64x64 and look.

# %%
def activation_scales(model, x):
    """Root mean square of every convolution's and linear layer's output, first to last."""
    scales = []
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(lambda *call: scales.append(float(call[2].square().mean().sqrt()))) for layer in layers]
    with torch.no_grad():
        model.eval()(x)
    for hook in hooks:
        hook.remove()
    return scales

x = next(iter(data.loader("train", RECIPES["resnet18"])))[0][:64]
scales = {}
for init in INITS:
    seed_everything(SEED)
    scales[init] = activation_scales(make_vgg(init=init).to(DEVICE), x)
INIT_COLORS = dict(zip(INITS, sns.color_palette("Dark2")))
INIT_NAMES = {"default": "PyTorch's default", "normal": "std 0.01", "xavier": "Xavier", "he": "He"}

fig, ax = plt.subplots(figsize=(7.5, 3.4))
for init, values in scales.items():
    ax.semilogy(range(1, len(values) + 1), values, "o-", ms=4, color=INIT_COLORS[init], label=INIT_NAMES[init])
ax.axvline(13.5, color="gray", lw=1, ls=":")
ax.set(xlabel="layer (1 to 13: convolutions, 14 to 16: linear)", ylabel="RMS of the layer's output", xticks=range(1, 17))
ax.legend()
plt.show()
RESULTS |= {f"scale.{init}_first": values[0] for init, values in scales.items()}
RESULTS |= {f"scale.{init}_last": values[-1] for init, values in scales.items()}
RESULTS |= {"scale.he_min": min(scales["he"]), "scale.he_max": max(scales["he"])}

# %% [markdown]
# **Figure {{fig:scales}}.** Scale of each layer's output before training, full network, 64 photos. He's line stays between {{scale.he_min:.1f}} and {{scale.he_max:.1f}} down to
# the last layer. Xavier's falls steadily, to {{scale.xavier_last:.4f}}: the factor of about 0.7 a layer that the formula predicts. With standard deviation 0.01 the output is {{scale.normal_last:.0e}}: the photo's information arrives nine orders of magnitude weaker than it set out, the logits are equal, and
# since each weight's gradient is a product of the same small factors, nothing moves. PyTorch's default levels off near
# {{scale.default_last:.2f}}, which looks healthier than it is: the weights' factor is only $\sqrt{1/6} = 0.41$ a layer, so what remains in deep layers must come
# mostly from its random *biases*, the same for every photo (it was not trained here). (Max-pooling lifts the lines a little, zero padding on small maps lowers them; hence the ripples.)

# %%
studies["init"] = run_study(
    "init",
    {(init, seed): (partial(make_small, init=init), replace(STUDY_RECIPE, seed=seed)) for init in ("normal", "xavier", "he") for seed in STUDY_SEEDS},
    study_photos,
)
MEASURES = {"train_loss": "training loss", "val_acc": "validation accuracy"}
tried = ("normal", "xavier", "he")
fig, axes = plot_study(
    {INIT_NAMES[init]: runs_of(studies["init"], init) for init in tried}, MEASURES, [INIT_COLORS[init] for init in tried]
)
axes[0].axhline(math.log(3), color="gray", lw=1, ls=":")
axes[0].annotate("ln 3", (STUDY_EPOCHS, math.log(3)), ha="right", va="bottom", color="gray")
plt.show()

# %% [markdown]
# **Figure {{fig:init}}.** Training loss and validation accuracy with three initialisations; mean and range over {{study.seeds}} seeds. With standard deviation 0.01 training never
# leaves $\ln 3 \approx 1.10$, the loss of a network that answers one third for every class. With He's initialisation the loss starts above it (the first logits are large, and wrong) and the network learns from the first epoch on.
# Xavier is the instructive case: its accuracy climbs from the fifth epoch on, while its loss hardly falls. Signals that arrive a thousandfold weakened give logits of the right order and far too small a size,
# and softmax turns those into probabilities near one third. Accuracy alone would hide that.

# %%
table = mean_and_sd(studies["init"], ["train_acc", "val_acc"])
RESULTS |= {f"init.{init}_val_acc": float(table.loc[init, "val_acc, mean"]) for init in table.index}
RESULTS |= {f"init.{init}_sd": float(table.loc[init, "val_acc, sd"]) for init in table.index}
table.rename(index=INIT_NAMES).round(4)

# %% [markdown]
# He's initialisation reaches {{init.he_val_acc:.1%}}, Xavier's {{init.xavier_val_acc:.1%}}, and standard deviation 0.01 stays at {{init.normal_val_acc:.1%}} with every seed: chance, exactly. The differences are more than three times
# the larger spread over seeds ({{init.he_sd:.1%}} and {{init.xavier_sd:.1%}}). They follow the order of these three in Figure {{fig:scales}}. That figure is the
# full network; the runs are a quarter as wide. By the formula He's and Xavier's factors do not depend on width, but with a fixed standard deviation a quarter of the inputs halves the factor of every layer after the first. So 0.01 had an even harder time here
# than the full network's {{scale.normal_last:.0e}} suggests, and the runs say nothing direct about it at full width. (Xavier might catch up with more epochs; standard deviation 0.01 at this depth
# would need what the authors did, a start from trained layers.) He's initialisation is used from here on.

# %% [markdown]
# #### Dropout and schedule
#
# Section 3.1 of the paper prescribes dropout of 0.5 after the first two linear layers, momentum 0.9, weight decay 0.0005, and a learning rate of 0.01 that is
# divided by 10 whenever validation accuracy stops improving. Dropout and decay are taken over as they are, momentum in Nesterov's form; batches are 128 instead of 256. (What dropout
# does is measured in 2.4.) The schedule was made for 74 epochs; for runs as short as ours a *one-cycle* schedule is the usual choice. It raises the
# rate over the first 30% of the steps to its maximum and lowers it along a cosine to nearly zero. We compare the two, and no
# schedule at all, over {{study.long_epochs}} epochs. "Plateau" divides by 10 after three epochs without a better validation accuracy.

# %%
SCHEDULES = {
    "plateau, 0.01 (the paper's)": ("plateau", 0.01),
    "plateau, 0.02": ("plateau", 0.02),
    "constant, 0.02": ("constant", 0.02),
    "one cycle, up to 0.02": ("one_cycle", 0.02),
}
long_recipe = replace(STUDY_RECIPE, epochs=LONG_EPOCHS)
studies["schedule"] = run_study(
    "schedule",
    {
        (label, seed): (make_small, replace(long_recipe, schedule=schedule, lr=lr, seed=seed))
        for label, (schedule, lr) in SCHEDULES.items()
        for seed in STUDY_SEEDS
    },
    study_photos,
)
fig, axes = plot_study(
    {label: runs_of(studies["schedule"], label) for label in SCHEDULES},
    {"lr": "learning rate at the epoch's start", "val_acc": "validation accuracy"},
    sns.color_palette("Dark2"),
)
axes[0].set_yscale("log")
plt.show()

# %% [markdown]
# **Figure {{fig:schedules}}.** Left: learning rate, mean and range over {{study.seeds}} seeds; a cut by ten shows at the lower edge of a band, since a mean hides one seed's cut. Right: validation accuracy. With two of three seeds the plateau rule at 0.02 never cut, so those runs are
# the constant ones; only the third lies apart.

# %%
table = mean_and_sd(studies["schedule"], ["train_acc", "val_acc"])
for label, (schedule, lr) in SCHEDULES.items():
    RESULTS[f"schedule.{schedule}_{lr}"] = float(table.loc[label, "val_acc, mean"])
    RESULTS[f"schedule.{schedule}_{lr}_sd"] = float(table.loc[label, "val_acc, sd"])
stuck = curves(runs_of(studies["schedule"], "plateau, 0.02"), "val_acc")[-1]
RESULTS |= {
    "schedule.stuck": float(stuck[-1]),
    "schedule.stuck_best": float(stuck.max()),
    "schedule.recovered": float(curves(runs_of(studies["schedule"], "constant, 0.02"), "val_acc")[-1].max()),
}
table.round(4)

# %% [markdown]
# The paper's schedule at the paper's rate reaches {{schedule.plateau_0.01:.1%}}, one cycle up to twice that rate {{schedule.one_cycle_0.02:.1%}}. The difference is
# within the seeds' spread ({{schedule.plateau_0.01_sd:.1%}} and {{schedule.one_cycle_0.02_sd:.1%}}): *no gain from the newer schedule shows here*. But in {{study.long_epochs}} epochs the plateau rule hardly
# acted: one seed saw no cut, the others one, in the last two epochs (Figure {{fig:schedules}}, left). What ties with one cycle is nearly a constant 0.01. Held at 0.02, the same network is unreliable
# ({{schedule.constant_0.02:.1%}}, spread {{schedule.constant_0.02_sd:.1%}}), so what one cycle's slow start and long decline buy is tolerance of a higher rate (schedule and rate differ together: neither one cycle up to 0.01 nor a constant 0.01 was run). And the plateau rule has a trap of its own:
# with one seed at 0.02 it mistook an early stall for the end, cut the rate every third epoch from then on, and froze the network at {{schedule.stuck:.1%}}
# (its best, {{schedule.stuck_best:.1%}}, came before the cuts), while the same run at constant rate recovered to {{schedule.recovered:.1%}}. A rule that looks at validation accuracy needs a patience longer than the network's stalls; the paper's authors
# watched 74 epochs. We take one cycle for both final networks: equal in accuracy, no such trap, and finished after a known number of epochs.

# %% [markdown]
# ### 2.3 Optimizers and batch sizes
#
# #### (a) Optimizers  <!-- rubric: I.2.3a -->
#
# An optimizer can only be judged at a learning rate that suits it, so each gets its own search: rates a factor of three apart, extended until the
# best lies inside the range, chosen with seed 0 on validation accuracy. Then the best rate runs with all seeds. Weight
# decay is {{opt.sgd.decay}} for SGD and, decoupled, {{opt.adamw.decay}} for AdamW, which makes the share by which a step shrinks the weights similar: rate times decay, for SGD times the ten that momentum 0.9 adds up to. Adam and RMSprop have none, so that AdamW minus Adam is the effect of decoupled decay.

# %%
RATES = {
    "sgd": (0.006, 0.02, 0.06),
    "adam": (3e-4, 1e-3, 3e-3, 1e-2),
    "adamw": (3e-4, 1e-3, 3e-3, 1e-2),
    "rmsprop": (1e-4, 3e-4, 1e-3, 3e-3),
}
DECAY = {"sgd": 5e-4, "adam": 0.0, "adamw": 0.05, "rmsprop": 0.0}
OPTIMIZER_NAMES = {"sgd": "SGD + momentum", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
OPTIMIZER_COLORS = dict(zip(RATES, sns.color_palette("Dark2")))

def with_optimizer(name, lr, seed):
    return make_small, replace(STUDY_RECIPE, optimizer=name, lr=lr, weight_decay=DECAY[name], seed=seed)

studies["rates"] = run_study(
    "optimizer",
    {((name, lr), 0): with_optimizer(name, lr, 0) for name, rates in RATES.items() for lr in rates},
    study_photos,
)
tried = studies["rates"].assign(
    optimizer=[name for name, _ in studies["rates"]["variant"]], lr=[lr for _, lr in studies["rates"]["variant"]]
)
fig, ax = plt.subplots(figsize=(6.5, 3.2))
for name, rows in tried.groupby("optimizer", sort=False):
    ax.semilogx(rows["lr"], rows["val_acc"], "o-", color=OPTIMIZER_COLORS[name], label=OPTIMIZER_NAMES[name])
ax.set(xlabel="highest learning rate", ylabel="validation accuracy")
ax.legend()
plt.show()
best_rates = {name: float(rows.loc[rows["val_acc"].idxmax(), "lr"]) for name, rows in tried.groupby("optimizer", sort=False)}
for name, rows in tried.groupby("optimizer", sort=False):
    accs = rows.set_index("lr")["val_acc"]
    too_high = accs.index[accs.index > best_rates[name]].min()  # about three times the best one
    too_high = best_rates[name] if np.isnan(too_high) else too_high
    RESULTS |= {f"opt.{name}.lr": f"{best_rates[name]:g}", f"opt.{name}.decay": f"{DECAY[name]:g}"}
    RESULTS[f"opt.{name}.lost_points"] = 100 * float(accs[best_rates[name]] - accs[too_high])

# %% [markdown]
# **Figure {{fig:rates}}.** Validation accuracy against the highest learning rate, seed 0. Every optimizer has a peak inside its range, and falls off to the right of it: about three times the best rate costs
# SGD {{opt.sgd.lost_points:.0f}} points, Adam {{opt.adam.lost_points:.0f}}, RMSprop {{opt.rmsprop.lost_points:.0f}} and AdamW {{opt.adamw.lost_points:.0f}}. These are single runs near instability: Adam and AdamW differ here only by a decay that has hardly begun to act, and still lose {{opt.adam.lost_points:.0f}} and {{opt.adamw.lost_points:.0f}} points. So the figure shows that too high a
# rate is costly, not which optimizer bears it better; and that at a wrong rate any of the four can be made to look worst, which is why a ranking at one common rate means nothing.

# %%
studies["optimizer"] = run_study(
    "optimizer",
    {(name, seed): with_optimizer(name, lr, seed) for name, lr in best_rates.items() for seed in STUDY_SEEDS},
    study_photos,
)
plot_study(
    {OPTIMIZER_NAMES[name]: runs_of(studies["optimizer"], name) for name in RATES}, MEASURES, OPTIMIZER_COLORS.values()
)
plt.show()

# %% [markdown]
# **Figure {{fig:optimizers}}.** Training loss and validation accuracy at each optimizer's own best rate; mean and range over {{study.seeds}} seeds. Adam and AdamW lie on top
# of each other.

# %%
table = mean_and_sd(studies["optimizer"], ["train_acc", "val_acc"])
table.insert(0, "learning rate", pd.Series(best_rates))
for name in table.index:
    RESULTS |= {f"opt.{name}.{key}": float(table.loc[name, f"val_acc, {key}"]) for key in ("mean", "sd")}
lead_sd = ((table.loc["adam", "val_acc, sd"] ** 2 + table.loc["sgd", "val_acc, sd"] ** 2) / 2) ** 0.5
RESULTS |= {
    "opt.adam_lead_points": 100 * (RESULTS["opt.adam.mean"] - RESULTS["opt.sgd.mean"]),
    "opt.adam_lead_se_points": 100 * noise(float(lead_sd)),
    "opt.spread_points": 100 * float(np.ptp(table.loc[["sgd", "adam", "adamw"], "val_acc, mean"])),
}
table.rename(index=OPTIMIZER_NAMES).round(4)

# %% [markdown]
# Adam ({{opt.adam.mean:.1%}}) and AdamW ({{opt.adamw.mean:.1%}}) are level: in {{study.steps}} steps decay has hardly begun to act. SGD with momentum follows at
# {{opt.sgd.mean:.1%}}, {{opt.adam_lead_points:.1f}} points behind Adam, with a standard error of {{opt.adam_lead_se_points:.1f}} points over the seeds and the rate chosen with one of them: a small lead,
# not a proven one. RMSprop is clearly behind ({{opt.rmsprop.mean:.1%}}). Like Adam it divides by the root of a running mean of squared gradients (over about 100 steps, Adam's over
# 1,000) but has neither momentum nor a corrected start; that these are the reason is likely and not tested. We stay with SGD for the final networks. It is what both papers used, its state is half of Adam's, and
# this study, in {{study.epochs}} epochs, favours methods that start fast; it does not say who wins after twenty epochs on nine times as many photos.

# %% [markdown]
# **Does the rate carry over to the full width?** Four short runs of the full network ({{probe.photos:,}} photos at 32x32,
# {{probe.epochs}} epochs, one seed) check it.

# %%
probe_photos = study_data(photos, split, *PROBE_PHOTOS, size=32, device=DEVICE)
probe = replace(STUDY_RECIPE, epochs=PROBE_EPOCHS)
PROBES = {f"SGD, {lr}": replace(probe, lr=lr) for lr in (0.02, 0.05, 0.1)}
PROBES["AdamW, 0.0005"] = replace(probe, optimizer="adamw", lr=5e-4, weight_decay=0.05)
studies["probe"] = run_study("probe", {(label, 0): (make_vgg, recipe) for label, recipe in PROBES.items()}, probe_photos)
RESULTS |= {"probe.photos": len(probe_photos.labels["train"]), "probe.epochs": PROBE_EPOCHS}
RESULTS |= {f"probe.{label}": float(acc) for label, acc in zip(("sgd_02", "sgd_05", "sgd_10", "adamw"), studies["probe"]["val_acc"])}
studies["probe"].set_index("variant")[["train_acc", "val_acc"]].round(4)

# %% [markdown]
# At full width 0.02 trains well ({{probe.sgd_02:.1%}}), 0.05 is already too much ({{probe.sgd_05:.1%}}), and 0.1, with which ResNet-18 trains below, leaves VGG at chance
# ({{probe.sgd_10:.1%}}): with so short a warm-up at least, a rate that ResNet-18 bears is out of reach for this network. AdamW at 0.0005 does as well as SGD at 0.02 ({{probe.adamw:.1%}}; one seed, so the difference
# says nothing). Nothing below 0.02 was tried at full width, so it is a rate that works, not a proven optimum; and AdamW had a sixth of the study's {{opt.adamw.lr}}. The final network takes 0.02.

# %% [markdown]
# #### (b) Batch sizes  <!-- rubric: I.2.3b -->
#
# A batch of 32 makes four times as many steps an epoch as one of 128. To see what the size itself does, the learning rate must not be forgotten:
# so one variant *scales* it with the batch (the linear rule: a quarter of the
# batch, a quarter of the rate) and one leaves it as it is; at 128 both are the same runs.

# %%
BATCHES = {
    (size, rate): replace(STUDY_RECIPE, batch_size=size, lr=0.02 * (size / 128 if rate == "scaled" else 1))
    for size in (128, 64, 32)
    for rate in ("scaled", "unscaled")
}
studies["batch_size"] = run_study(
    "batch_size",
    {(variant, seed): (make_small, replace(recipe, seed=seed)) for variant, recipe in BATCHES.items() for seed in STUDY_SEEDS},
    study_photos,
)
table = mean_and_sd(studies["batch_size"], ["train_acc", "val_acc"])
table["seconds per epoch"] = studies["batch_size"].groupby("variant", sort=False)["seconds"].median()
table.insert(0, "learning rate", [recipe.lr for recipe in BATCHES.values()])
table.index = pd.MultiIndex.from_tuples(table.index, names=["batch size", "rate"])

fig, axes = plt.subplots(1, 2, figsize=(9, 3))
for rate, color in (("scaled", "#444444"), ("unscaled", "#E69F00")):
    rows = table.xs(rate, level="rate")
    axes[0].errorbar(rows.index, rows["val_acc, mean"], rows["val_acc, sd"], fmt="o-", capsize=3, color=color, label=f"rate {rate}")
    axes[1].plot(rows.index, rows["seconds per epoch"], "o-", color=color, label=f"rate {rate}")
for ax, label in zip(axes, ("validation accuracy", "seconds per epoch")):
    ax.set(xlabel="batch size", ylabel=label, xticks=(32, 64, 128))
axes[0].legend()
axes[1].set_ylim(0)
plt.show()

# %% [markdown]
# **Figure {{fig:batches}}.** Left: validation accuracy (mean and standard deviation over {{study.seeds}} seeds). Right: median seconds per epoch.

# %%
for (size, rate), row in table.iterrows():
    RESULTS |= {f"batch.{size}_{rate}": float(row["val_acc, mean"]), f"batch.{size}_{rate}_sd": float(row["val_acc, sd"])}
    RESULTS[f"batch.{size}_{rate}_seconds"] = float(row["seconds per epoch"])
RESULTS["batch.time_ratio"] = RESULTS["batch.32_scaled_seconds"] / RESULTS["batch.128_scaled_seconds"]
table.round(4)

# %% [markdown]
# Speed first: an epoch takes {{batch.128_scaled_seconds:.2f}} s with batches of 128, {{batch.64_scaled_seconds:.2f}} or {{batch.64_unscaled_seconds:.2f}} s with 64 (the rate scaled or not: the same arithmetic, so this difference is the machine's noise) and {{batch.32_scaled_seconds:.2f}} s with 32.
# So 128 and 64 are not told apart, and 32 is slower. Likely reasons, not measured: the optimizer's pass over all weights comes four times as often, and small products use the processor's wide registers less well. Accuracy goes the other way: batches of 32 reach {{batch.32_scaled:.1%}}
# (rate scaled) and {{batch.32_unscaled:.1%}} (unscaled), of 128 {{batch.128_scaled:.1%}}. With the number of *epochs* fixed, 32 makes four times as many steps, so this is no proof that small batches generalise better:
# they got more updates for the same photos, and paid {{batch.time_ratio:.1f}} times the time. Scaling the rate or not makes no difference beyond the spread at 32 ({{batch.32_scaled_sd:.1%}} and {{batch.32_unscaled_sd:.1%}}), nor at 64. For the final
# networks, where an epoch has nine times as many photos and steps are plentiful, we keep 128.

# %% [markdown]
# ### 2.4 Against overfitting  <!-- rubric: I.2.4 -->
#
# Four techniques change the training, each on its own and all together, over {{study.long_epochs}} epochs so that there is time to overfit:
#
# - **augmentation**: mirroring, shifts, colour changes (1.3): the network never sees the same photo twice;
# - **weight decay** 0.0005 pulls every weight towards zero;
# - **dropout** 0.5 in the first two linear layers: no unit can rely on another;
# - **label smoothing** 0.1 asks for a probability of {{resnet18.smooth_target:.1%}} instead of 100%: no reward for boundless confidence.
#
# A fifth, **early stopping**, needs no runs of its own: the records show where it would have stopped.

# %%
plain = replace(STUDY_RECIPE, epochs=LONG_EPOCHS, label_smoothing=0, augment=(), weight_decay=0)
TECHNIQUES = {  # change of the recipe, dropout
    "none": ({}, 0),
    "augmentation": ({"augment": STUDY_RECIPE.augment}, 0),
    "weight decay": ({"weight_decay": 5e-4}, 0),
    "dropout": ({}, 0.5),
    "label smoothing": ({"label_smoothing": 0.1}, 0),
    "all four": ({"augment": STUDY_RECIPE.augment, "weight_decay": 5e-4, "label_smoothing": 0.1}, 0.5),
}
studies["regularisation"] = run_study(
    "regularisation",
    {
        ((label, lr), seed): (partial(make_small, dropout=dropout), replace(plain, lr=lr, seed=seed, **change))
        for lr in (0.01, 0.02)
        for label, (change, dropout) in TECHNIQUES.items()
        for seed in STUDY_SEEDS
    },
    study_photos,
)
calm_runs = {label: runs_of(studies["regularisation"], (label, 0.01)) for label in TECHNIQUES}
fig, axes = plot_study(
    calm_runs, {"val_acc": "validation accuracy", "val_loss": "validation loss"}, sns.color_palette("Dark2")
)
axes[1].set_ylim(0.3, 1.3)
plt.show()

# %% [markdown]
# **Figure {{fig:techniques}}.** Validation accuracy and loss of the six variants at a learning rate of 0.01; mean and range over {{study.seeds}} seeds. Accuracy hardly tells them apart; the loss
# does. Without any technique each run's lowest loss is {{reg.none_loss_min:.2f}} on average (at different epochs, so the mean curve stays higher); it climbs back to
# {{reg.none_loss_last:.2f}} while accuracy stands still: the network
# grows surer of its mistakes. With all four it ends at {{reg.all_four_loss_last:.2f}}, where its lowest point was ({{reg.all_four_loss_min:.2f}}).

# %%
regularised = studies["regularisation"].assign(gap=lambda runs: runs["train_acc"] - runs["val_acc"])
table = mean_and_sd(regularised, ["train_acc", "val_acc", "gap"])
calm = pd.DataFrame({label: table.loc[[(label, 0.01)]].iloc[0] for label in TECHNIQUES}).T
wild = regularised[[lr == 0.02 for _, lr in regularised["variant"]]]
lowest = wild.groupby("variant", sort=False)["val_acc"].min()
calm["lowest val_acc at rate 0.02"] = [lowest[label, 0.02] for label in TECHNIQUES]
for label, row in calm.iterrows():
    key = label.replace(" ", "_")
    RESULTS |= {f"reg.{key}": float(row["val_acc, mean"]), f"reg.{key}_sd": float(row["val_acc, sd"])}
    RESULTS |= {f"reg.{key}_train": float(row["train_acc, mean"]), f"reg.{key}_gap_points": 100 * float(row["gap, mean"])}
    RESULTS[f"reg.{key}_lowest"] = float(row["lowest val_acc at rate 0.02"])
for label in ("none", "all four"):
    losses = curves(calm_runs[label], "val_loss")
    RESULTS |= {f"reg.{label.replace(' ', '_')}_loss_min": losses.min(1).mean(), f"reg.{label.replace(' ', '_')}_loss_last": losses[:, -1].mean()}
RESULTS["reg.noise_points"] = 100 * noise(float((calm["val_acc, sd"] ** 2).mean() ** 0.5))
calm.round(4)

# %% [markdown]
# **The gap.** Without techniques the training photos are fitted to {{reg.none_train:.1%}}, {{reg.none_gap_points:.1f}} points above validation. *Augmentation* is what closes it: {{reg.augmentation_gap_points:.1f}} points are left,
# and validation accuracy, {{reg.augmentation:.1%}} against {{reg.none:.1%}}, is if anything higher. Label smoothing ({{reg.label_smoothing_gap_points:.1f}}), dropout
# ({{reg.dropout_gap_points:.1f}}) and weight decay ({{reg.weight_decay_gap_points:.1f}}) leave all or most of it; where they narrow it they do so by fitting the training photos less, not by doing better on new ones
# ({{reg.label_smoothing:.1%}}, {{reg.dropout:.1%}}, {{reg.weight_decay:.1%}}). All four together reach the highest mean, {{reg.all_four:.1%}}, and the smallest spread (of three runs, so itself uncertain).
#
# **How sure is that?** The difference of two means here has a standard error of about {{reg.noise_points:.1f}} points. By that measure no single technique's validation accuracy differs clearly from
# "none", and the combination differs by less than one standard error. The narrowing of the gap is clear, the gain in accuracy is not. With three seeds, only gains of two or three points could have shown.
#
# **What the last column shows** matters as much. At a rate of 0.02, where the fully regularised network trains with every seed (lowest result {{reg.all_four_lowest:.1%}}), three of the five others had at least one run at {{reg.augmentation_lowest:.1%}} or below:
# {{reg.none_lowest:.1%}} without techniques, {{reg.weight_decay_lowest:.1%}} with weight decay alone. A plain deep network without batch norm lives near the edge of stability; label smoothing's lowest is {{reg.label_smoothing_lowest:.1%}}, and dropout's {{reg.dropout_lowest:.1%}} and the combination's show no accident, which three runs can suggest and not prove. A study at 0.02 only would have reported such accidents as the effect of a technique.

# %% [markdown]
# **Early stopping**, applied to the recorded runs after the fact: stop after 3 epochs without a better validation accuracy, and keep the
# best epoch's weights.

# %%
def stopped_early(val_accs, patience=3):
    """(epochs trained, accuracy kept) had training stopped after `patience` epochs without a better one."""
    best = 0
    for epoch, acc in enumerate(val_accs):
        if acc > val_accs[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return epoch + 1, val_accs[best]

rows = {}
for label in ("none", "all four"):
    val_accs = curves(calm_runs[label], "val_acc")
    stops = np.array([stopped_early(run) for run in val_accs])
    rows[label] = {
        "epochs until the stop": stops[:, 0].mean(),
        "kept by stopping": stops[:, 1].mean(),
        "best of all epochs": val_accs.max(1).mean(),
        "last epoch": val_accs[:, -1].mean(),
    }
    key = f"stop.{label.replace(' ', '_')}"
    RESULTS |= {f"{key}_{column.split()[0]}": float(value) for column, value in rows[label].items()}
    RESULTS[f"{key}_keep_points"] = 100 * (RESULTS[f"{key}_best"] - RESULTS[f"{key}_last"])
pd.DataFrame(rows).T.round(4)

# %% [markdown]
# With a patience of 3 on accuracy, under one cycle, stopping does harm. Without techniques it stops after {{stop.none_epochs:.0f}} of {{study.long_epochs}} epochs on average, with {{stop.none_kept:.1%}} in hand where {{stop.none_best:.1%}} was to come: while one cycle
# holds the rate high, validation accuracy jumps about, and three epochs without a record mean nothing. With all four it stops late ({{stop.all_four_epochs:.0f}} epochs) and loses little. The other half of the technique, *keeping the best epoch's weights*, costs nothing:
# they score {{stop.none_keep_points:.1f}} points above the last epoch's without techniques and {{stop.all_four_keep_points:.1f}} with them. (By construction never less, as they are measured on the validation part that chose the epoch, and in mixed precision during training, hence a slight difference from the table above.)
# The final networks train all their epochs and keep the best.

# %%
study_runs = {run.path: run for table in studies.values() for run in table["run"]}
RESULTS |= {
    "n_study_runs": len(study_runs),
    "study_minutes": sum(epoch["seconds"] for run in study_runs.values() for epoch in run.history) / 60,
    "study_runs": " ".join(sorted(path.stem for path in study_runs)),
}

# %% [markdown]
# ### 2.5 The final network
#
# The network of 2.1, He's initialisation, dropout 0.5, SGD with Nesterov momentum 0.9, one cycle up to {{vgg16c.lr}}, weight decay {{vgg16c.weight_decay}}, label smoothing {{vgg16c.label_smoothing}},
# augmentation, batches of 128, {{vgg16c.epochs}} epochs on all {{n_train:,}} training photos. ResNet-18 in section 3 gets the same recipe with another learning
# rate; dropout and initialisation belong to the networks and differ. Two measures make this affordable on a CPU:
#
# - **Progressive resizing**: the first 8 epochs see images shrunk to 32x32, the next 5 at 48x48, the last 7 at the full
#   64x64. Coarse shape and colour are learned cheaply at first, fine texture comes last. Validation is at 64x64 throughout, so in the
#   early epochs its curve measures a network on a resolution it has not been trained for.
# - **Mixed precision**: convolutions run in bfloat16, whose range equals float32's, so no loss scaling is
#   needed. (It is fast only where the CPU has bfloat16 instructions.)

# %%
vgg = fit_or_load("vgg16c", make_vgg, RECIPES["vgg16c"], data)

# %% [markdown]
# The last column gives seconds. From epoch 16 on the run was paused now and then for other work on the same machine, and pauses count: {{vgg16c.slow_minutes:.0f}} of its {{vgg16c.minutes:.0f}} minutes fall on those five epochs.
# How fast the two networks are is measured side by side in 3.5.

# %% tags=["toolbox"]
# @title Numbers for the text
def facts_about(name, run):
    """What the text says of a final network."""
    recipe, val_accs = RECIPES[name], [epoch["val_acc"] for epoch in run.history]
    small = len(recipe.image_sizes)  # epochs at reduced resolution
    target = 1 - recipe.label_smoothing * (1 - 1 / len(CLASSES))
    return reported(name, run) | {
        f"{name}.lr": recipe.lr,
        f"{name}.weight_decay": recipe.weight_decay,
        f"{name}.label_smoothing": recipe.label_smoothing,
        f"{name}.smooth_target": target,
        f"{name}.smooth_floor": -math.log(target),
        f"{name}.gap_points": 100 * (run.metrics["train_acc"] - run.metrics["test_acc"]),
        f"{name}.small_epochs": small,
        f"{name}.small_val_min": min(val_accs[:small]),
        f"{name}.small_val_max": max(val_accs[:small]),
        f"{name}.last_small_val_acc": val_accs[small - 1],
        f"{name}.first_full_val_acc": val_accs[small],
        f"{name}.late_gain_points": 100 * (max(val_accs) - val_accs[small]),
        f"{name}.off_scale": sum(epoch["val_loss"] > 1.2 for epoch in run.history),
    }

y_test = photos.labels[split["test"]]

def facts_of_confusion(name, confusion):
    """Errors per pair of classes, and what equally hard pairs would have."""
    mixed_up, n_wrong = confusion + confusion.T, int(confusion.sum() - confusion.trace())
    return {
        f"{name}.n_wrong": n_wrong,
        f"{name}.dogs_food": int(mixed_up[0, 1]),
        f"{name}.dogs_vehicles": int(mixed_up[0, 2]),
        f"{name}.food_vehicles": int(mixed_up[1, 2]),
        f"{name}.pair_mean": n_wrong / 3,
        f"{name}.pair_sd": (n_wrong * 2 / 9) ** 0.5,
    }

def facts_of_report(name, report):
    """F1 per class, and the gap between best and worst recall with its standard error."""
    recalls = report["recall"][list(CLASSES)]
    variances = recalls * (1 - recalls) / report["images"][list(CLASSES)]
    return {f"{name}.{label}_F1": float(report.loc[label, "F1"]) for label in CLASSES} | {
        f"{name}.recall_gap_points": 100 * float(recalls["vehicles"] - recalls["dogs"]),
        f"{name}.recall_gap_se_points": 100 * float(variances["vehicles"] + variances["dogs"]) ** 0.5,
    }

def facts_of_mistakes(name, probs):
    """How sure the network is where it is wrong and where it is right."""
    right = probs.argmax(1) == y_test
    return {
        f"{name}.surest_wrong": float(probs[~right].max()),
        f"{name}.wrong_over_90": int((probs[~right].max(1).values > 0.9).sum()),
        f"{name}.right_over_90": float((probs[right].max(1).values > 0.9).float().mean()),
        f"{name}.wrong_over_90_share": float((probs[~right].max(1).values > 0.9).float().mean()),
        f"{name}.unsure_share": float((probs.max(1).values <= 0.9).float().mean()),
    }

RESULTS |= facts_about("vgg16c", vgg)
RESULTS["vgg16c.slow_minutes"] = sum(epoch["seconds"] for epoch in vgg.history if epoch["epoch"] > 15) / 60

# %% [markdown]
# #### (a) Accuracy and loss  <!-- rubric: I.2.5a -->

# %%
metrics_table(vgg).round(4)

# %% [markdown]
# Test accuracy ({{vgg16c.test_acc:.1%}}) and validation accuracy ({{vgg16c.val_acc:.1%}}) lie within each other's interval. Training photos, seen clean, are fitted to
# {{vgg16c.train_acc:.1%}}, {{vgg16c.gap_points:.1f}} points above the test part: augmentation, dropout and nearly nine times the studies' photos leave
# little of the {{reg.none_gap_points:.0f}} points by which the small networks of 2.4 overfitted without them. Macro-F1 equals accuracy to the third decimal, as it does where classes are balanced and precision nearly equals
# recall. The loss looks high beside such accuracies because label smoothing asks for a probability of {{vgg16c.smooth_target:.1%}} for the true class: a network that gave exactly
# that every time would already have a loss of {{vgg16c.smooth_floor:.3f}}.

# %% [markdown]
# #### (b) Accuracy over the epochs  <!-- rubric: I.2.5b -->

# %%
fig, ax = plot_history({"vgg16c": vgg}, "acc", "accuracy")
ax.set_ylim(0.4, 1)
plt.show()

# %% [markdown]
# **Figure {{fig:vgg_accuracy}}.** Accuracy per epoch; the dot marks the epoch whose weights were kept. Up to epoch {{vgg16c.small_epochs}} training is at reduced resolution. The validation curve, always at 64x64, starts at {{vgg16c.small_val_min:.1%}}, above the training curve (which is measured during the epoch,
# with augmentation and dropout), falls behind from epoch 5 on, wavers, and has reached {{vgg16c.small_val_max:.1%}} at most by epoch {{vgg16c.small_epochs}}. One epoch at 64 pixels lifts it
# to {{vgg16c.first_full_val_acc:.1%}}, so most of the distance was probably a matter of scale, or of the head: until then the first linear layer had four copies of one position to learn from (2.1), while validation gave it four different ones. This run cannot separate the two. From there on training accuracy climbs steadily while the learning rate falls; validation accuracy gains {{vgg16c.late_gain_points:.1f}} points more.

# %% [markdown]
# #### (c) Loss over the epochs  <!-- rubric: I.2.5c -->

# %%
fig, ax = plot_history({"vgg16c": vgg}, "loss", "cross-entropy")
ax.set_ylim(0, 1.2)
plt.show()

# %% [markdown]
# **Figure {{fig:vgg_loss}}.** Plain cross-entropy per epoch, without the smoothing term on either side. From epoch 3 to epoch 8 the validation loss stalls while the training
# loss goes on falling; validation accuracy stalls, too: what is learned at 32 pixels, or by a head that sees one position four times, no longer carries over to 64. The first epoch at 64x64 brings the loss down to the training curve (which is measured on augmented photos with dropout on, so equal
# curves do not mean equal fit). Then both flatten, and neither turns upwards for good: in this run early stopping would have had nothing to prevent (and with the patience of 2.4 it would have ended the run before 64 pixels were reached).

# %% [markdown]
# #### (d) Confusion matrix  <!-- rubric: I.2.5d -->

# %%
vgg_probs = torch.from_numpy(vgg.test_probs)
confusion = plot_confusion(y_test, vgg_probs.argmax(1), CLASSES)
RESULTS |= facts_of_confusion("vgg16c", confusion)

# %% [markdown]
# **Figure {{fig:vgg_confusion}}.** Confusion matrix of the test part. Of {{vgg16c.n_wrong}} errors, {{vgg16c.dogs_food}} are
# between dogs and food, half of all, {{vgg16c.dogs_vehicles}} between dogs and vehicles and {{vgg16c.food_vehicles}} between food and vehicles. Were all pairs equally hard, each would have
# {{vgg16c.pair_mean:.0f}}, give or take {{vgg16c.pair_sd:.0f}}: dogs and food are the hardest pair, food and vehicles the easiest. Shared warm colours (Figure {{fig:histograms}}) may be a reason; it is not tested here.
# Each pair errs about as often in one direction as in the other.

# %% [markdown]
# #### (e) Precision, recall and F1  <!-- rubric: I.2.5e -->

# %%
report = class_report(y_test, vgg_probs.argmax(1), CLASSES)
RESULTS |= facts_of_report("vgg16c", report)
report.round(4)

# %% [markdown]
# The order of the classes is that of the confusion matrix: vehicles, which are in the fewest mix-ups, have an F1 of {{vgg16c.vehicles_F1:.3f}}, food {{vgg16c.food_F1:.3f}}, dogs, which are in the most,
# {{vgg16c.dogs_F1:.3f}}. The recalls of vehicles and dogs differ by {{vgg16c.recall_gap_points:.1f}} points with a standard error of {{vgg16c.recall_gap_se_points:.1f}}, the largest of three differences, picked after seeing them. No class is favoured:
# precision and recall agree within each to half a point.

# %% [markdown]
# #### (f) TensorBoard  <!-- rubric: I.2.5f -->
#
# Loss and accuracy were logged during training; the charts are drawn from the event files
# and left as SVG in `figures/`. (`tensorboard --logdir runs/tensorboard` shows the same, interactively.)

# %%
show_svg(plot_events(vgg, COLORS["vgg16c"]), "a1_part_1_vgg16c_tensorboard")

# %% [markdown]
# **Figure {{fig:vgg_tensorboard}}.** The TensorBoard scalars of the VGG-16C run, as logged: the values of Figures
# {{fig:vgg_accuracy}} and {{fig:vgg_loss}}, written to event files after every epoch and read back from there.

# %% [markdown]
# #### (g) Misclassified photos  <!-- rubric: I.2.5g -->
#
# Grouped by kind of mistake, surest first: where a network is sure and wrong, its idea of a class and ours differ.

# %%
plot_mistakes(photos.images[split["test"]], y_test, vgg_probs, CLASSES)
RESULTS |= facts_of_mistakes("vgg16c", vgg_probs)

# %% [markdown]
# **Figure {{fig:vgg_mistakes}}.** The surest mistakes of every kind, surest first: true class, predicted class, number of such mistakes in brackets, and the probability
# of the wrong answer above each photo. *Dogs taken for food*: yellow or brown, curly or curled up, on a yellow ground, in a basket, in someone's arms. *Dogs taken for vehicles*: in all six the dog is a detail
# of a scene (a field, a quiz show, a path, a park, a street, a van). *Food taken for dogs*: four show a person's face or hands, one a woolly figure beside the food, one ice cream in brown and white patches, like a coat.
# *Food taken for vehicles*: two jars with lettering, a child among bottles, a market stall, something dark in foil, a woman outdoors. *Vehicles taken for dogs*: hardly a wheel or outline to be seen (a grey close-up, a wreck in the mud, a person in a van's door, an overgrown truck), or a vehicle on earth or at dusk.
# *Vehicles taken for food*: here colour leads, half of them being red or yellow all over; two are seen from above, like things on a table, and one is a tilted car on brown ground. Pictures suggest causes and do not prove them.
#
# Of the {{vgg16c.n_wrong}} wrong answers {{vgg16c.wrong_over_90}} ({{vgg16c.wrong_over_90_share:.0%}}) have a probability above 90%, against {{vgg16c.right_over_90:.0%}} of the right ones. So a person who looked through the {{vgg16c.unsure_share:.0%}} of photos at or below 90% would catch nine mistakes in ten.

# %% [markdown]
# ### 2.6 Saving the weights  <!-- rubric: I.2.6 -->
#
# The best epoch's weights are saved as a float16 state dict, half the size, and read back into a fresh network, which
# must reproduce the test accuracy. VGG's file, `a1_part1_vgg16c.pt`, has 70 MB; it is too large for the repository and for a submission's 10 MB, so it is linked from there, and `weights/MANIFEST.json` has its hash and the command
# that makes it anew.

# %%
def reloaded_acc(run, make_model, file):
    """Test accuracy of the released weights, which must be that of the record; None where they are not at hand."""
    model = release(run, make_model, file, "a1_part_1")
    if model is None:
        return None
    acc = evaluate(model.to(DEVICE, memory_format=torch.channels_last), data.loader("test", RECIPES["resnet18"]))["acc"]
    print(f"test accuracy in the record             {run.metrics['test_acc']:.4f}")
    print(f"of the float16 weights, after reloading {acc:.4f}")
    # Rounding to float16 may tip a photo that stands on the border of two classes, no more.
    assert abs(acc - run.metrics["test_acc"]) < 1.5 / len(y_test)
    return acc

RESULTS["vgg16c.reloaded_acc"] = reloaded_acc(vgg, make_vgg, "a1_part1_vgg16c.pt")

# %% [markdown]
# ## 3. ResNet-18
#
# ### 3.1 The residual block  <!-- rubric: I.3.1 -->
#
# A block computes $y = \mathrm{ReLU}(F(x) + x)$: it learns the *change* to its input. If the best change is none, $F$ can
# go to zero (here through scale and shift of its last batch norm, which undoes any shrinking of the convolutions' weights), and since $x$, the output of a ReLU, is not negative, $y = x$, whereas a plain stack would have to learn the identity. Where the block halves the
# resolution and doubles the channels, a strided 1x1 convolution brings $x$ to the new shape.

# %%
from a1.models.resnet import BasicBlock

# %%
block = BasicBlock(64, 128, stride=2)
assert block(torch.zeros(2, 64, 16, 16)).shape == (2, 128, 8, 8)
assert isinstance(BasicBlock(64, 64).shortcut, nn.Identity)

# %% [markdown]
# ### 3.2 The network  <!-- rubric: I.3.2 -->
#
# Stem, four stages of two blocks, average pooling, one linear layer: 17 convolutions on the main path and the classifier
# make the eighteen. One thing is adapted. The paper's 7x7 stem and its max-pool divide a 224-pixel image by 4 and leave 56x56 positions
# to the first stage; a 64-pixel image would be left with 16x16, and the last stage with 2x2. We use the 3x3
# stride-1 stem instead, so that only the max-pool halves the input: the stages see 32, 16, 8 and 4 pixels. The
# price is fourfold computation in every stage; parameters hardly change.

# %%
from a1.models.resnet import ResNet18

# %%
make_resnet = partial(ResNet18, num_classes=len(CLASSES), stem="3x3")
summary(make_resnet(), (1, 3, IMAGE_SIZE, IMAGE_SIZE), depth=2, col_names=("output_size", "num_params", "mult_adds"))

# %% [markdown]
# ### 3.3 Training  <!-- rubric: I.3.3 -->
#
# Same photos, split, preprocessing, augmentation, batch size, schedule, progressive resizing and number of epochs as VGG-16C (2.5). One number
# of the recipe differs: the learning rate peaks at {{resnet18.lr}}, the paper's initial rate, taken over without a search, five times VGG's {{vgg16c.lr}}. In the short probe of 2.3 (one seed, four epochs, a quick warm-up) VGG stayed at chance at this rate;
# ResNet, with a longer warm-up, trains at it, presumably thanks to batch norm (not tested here). In the network dropout is missing (see below), and He's initialisation counts a layer's outputs instead of its inputs, as reference implementations of ResNet do.
#
# #### Regularisation  <!-- rubric: I.3.4 -->
#
# What served VGG best in 2.4 was all four techniques together: the highest mean, {{reg.all_four:.1%}} (though its lead over {{reg.none:.1%}} without any is within the noise), and the smallest spread over three seeds; augmentation did most to close the gap. So ResNet-18 gets the same augmentation, weight
# decay {{resnet18.weight_decay}}, label smoothing {{resnet18.label_smoothing}} and choice of the best epoch. Dropout is the exception: it sat in VGG's two wide linear layers, and ResNet has none;
# the paper uses batch norm instead of dropout, and so do we.

# %%
resnet = fit_or_load("resnet18", make_resnet, RECIPES["resnet18"], data)

# %% [markdown]
# The last column gives seconds. Those of epochs 7 to 9 say nothing about the network: the machine was busy with other
# work then, which accounts for much of {{resnet18.slow_minutes:.0f}} of the {{resnet18.minutes:.0f}} minutes.

# %% tags=["toolbox"]
# @title Numbers for the text
RESULTS |= facts_about("resnet18", resnet)
RESULTS["resnet18.slow_minutes"] = sum(epoch["seconds"] for epoch in resnet.history if epoch["seconds"] > 300) / 60

# %% [markdown]
# ### 3.4 Evaluation  <!-- rubric: I.3.5a -->
#
# #### Metrics
#
# All three parts are scored by the weights of the best validation epoch, in float32, without augmentation. (During training,
# validation ran in mixed precision, hence differences in the fourth digit.)

# %%
metrics_table(resnet).round(4)

# %% [markdown]
# Test accuracy ({{resnet18.test_acc:.1%}}) and validation accuracy ({{resnet18.val_acc:.1%}}) lie within each other's
# interval: choosing the epoch on the validation part left no visible optimism. The training part
# is fitted to {{resnet18.train_acc:.1%}}, {{resnet18.gap_points:.1f}} points more: the regularised network still knows
# its training photos better than new ones.
# As with VGG-16C, macro-F1 equals accuracy to the third decimal, and label smoothing keeps the loss up (2.5).

# %% [markdown]
# #### Learning curves

# %%
fig, ax = plot_history({"resnet18": resnet}, "acc", "accuracy")
ax.set_ylim(0.4, 1)
plt.show()

# %% [markdown]
# **Figure {{fig:accuracy}}.** Accuracy per epoch; the dot marks the epoch whose weights were kept. Up to epoch
# {{resnet18.small_epochs}} training is at reduced resolution and the validation curve, always at 64x64, drops to as little as
# {{resnet18.small_val_min:.1%}} (twice in the first five epochs it falls by tens of points) before it reaches {{resnet18.small_val_max:.1%}} in epoch {{resnet18.small_epochs}}. A likely cause is that batch-norm
# statistics fitted to small images meet larger ones: VGG-16C, which has none, varies by a few points at this stage but does not swing like this (Figure {{fig:vgg_accuracy}}). Its learning rate is a fifth, though,
# and one run of each cannot separate the two. From the first epoch at 64 pixels on ({{resnet18.first_full_val_acc:.1%}}) the curves stay within about a point. The dashed curve is measured on augmented images while the weights still change, so it ends below the
# {{resnet18.train_acc:.1%}} that the kept weights reach on clean training photos.

# %%
fig, ax = plot_history({"resnet18": resnet}, "loss", "cross-entropy")
ax.set_ylim(0, 1.2)
plt.show()

# %% [markdown]
# **Figure {{fig:loss}}.** Plain cross-entropy per epoch, without the smoothing term on either side; the axis is cut at 1.2,
# and {{resnet18.off_scale}} early validation values lie above it. From the first epoch at 64x64 the curves run
# together. From epoch 19 to 20 validation loss hardly changes while training loss still falls a little; both flatten as the
# learning rate goes to zero. Whether more epochs would help, these curves do not tell.

# %% [markdown]
# #### Confusion matrix

# %%
resnet_probs = torch.from_numpy(resnet.test_probs)
confusion = plot_confusion(y_test, resnet_probs.argmax(1), CLASSES)
RESULTS |= facts_of_confusion("resnet18", confusion)

# %% [markdown]
# **Figure {{fig:confusion}}.** Confusion matrix of the test part. Of {{resnet18.n_wrong}} errors, {{resnet18.dogs_food}} are
# between dogs and food, {{resnet18.dogs_vehicles}} between dogs and vehicles, {{resnet18.food_vehicles}} between food and
# vehicles. Were all pairs equally hard, each would have {{resnet18.pair_mean:.0f}}, give or take
# {{resnet18.pair_sd:.0f}}: dogs and food really are the hardest pair, food and vehicles the easiest. Shared warm
# colours (Figure {{fig:histograms}}) may be one reason, people in the pictures (Figure {{fig:mistakes}}) another; neither is
# tested here.

# %% [markdown]
# #### Precision, recall and F1

# %%
report = class_report(y_test, resnet_probs.argmax(1), CLASSES)
RESULTS |= facts_of_report("resnet18", report)
report.round(4)

# %% [markdown]
# Vehicles are recognised best (F1 {{resnet18.vehicles_F1:.3f}}), dogs worst ({{resnet18.dogs_F1:.3f}}). Their recalls
# differ by {{resnet18.recall_gap_points:.1f}} points with a standard error of {{resnet18.recall_gap_se_points:.1f}}: more than
# chance would explain, though it is the largest of three differences, picked after seeing them. Within each class precision
# and recall nearly agree: the network predicts each class about as often as it occurs.

# %% [markdown]
# #### TensorBoard

# %%
show_svg(plot_events(resnet, COLORS["resnet18"]), "a1_part_1_resnet18_tensorboard")

# %% [markdown]
# **Figure {{fig:tensorboard}}.** The TensorBoard scalars of the ResNet-18 run, as logged: the values of Figures
# {{fig:accuracy}} and {{fig:loss}}, written to event files after every epoch and read back from there.

# %% [markdown]
# #### Misclassified photos

# %%
plot_mistakes(photos.images[split["test"]], y_test, resnet_probs, CLASSES)
RESULTS |= facts_of_mistakes("resnet18", resnet_probs)

# %% [markdown]
# **Figure {{fig:mistakes}}.** The surest mistakes of every kind, surest first: true class, predicted class, number of such mistakes in brackets, and the probability
# of the wrong answer above each photo. *Dogs taken for food*: small or curled-up dogs in someone's arms, on a cushion, before autumn leaves; often warm brown, though two outlines are plain.
# *Dogs taken for vehicles*: in four of six the dog is a detail of a scene (a park, a van, a quiz show, a path);
# the other two are a dark close-up and a dog behind bars. *Food taken for dogs*: five of six show a person eating, and head and
# hands take more room than the food. *Food taken for vehicles*: a child among bottles, a market stall, jars, a person eating; the smallest group. *Vehicles taken for dogs*: the vehicle is cropped,
# overgrown, far away, or only the seat of a person. *Vehicles taken for food*: glowing lights, people in or beside the vehicle, a red interior. A pattern in many: the class is what the photo is *about*, and the network
# goes by what fills it. These readings are ours; pictures suggest causes and do not prove them.
#
# Of its {{resnet18.n_wrong}} wrong answers {{resnet18.wrong_over_90}} ({{resnet18.wrong_over_90_share:.0%}}) have a probability above 90%, against {{resnet18.right_over_90:.0%}} of its right ones: like VGG-16C it is seldom both wrong and sure. None exceeds {{resnet18.surest_wrong:.0%}}, near the
# {{resnet18.smooth_target:.0%}} that label smoothing asks for.

# %% [markdown]
# ### 3.5 The two networks compared  <!-- rubric: I.3.5b -->

# %%
final = {"vgg16c": vgg, "resnet18": resnet}
fig, ax = plot_history(final, "acc", "accuracy")
ax.set_ylim(0.4, 1)
plt.show()

# %% [markdown]
# **Figure {{fig:both_accuracy}}.** Accuracy of both networks per epoch. ResNet-18 starts ahead and leads in training accuracy at 32 pixels; at 48 the training curves meet, and at 64 it pulls away again.
# (VGG-16C's training curve is measured with dropout on, ResNet-18 has none: this alone holds it down. The kept weights, scored without it, reach {{vgg16c.train_acc:.1%}} and {{resnet18.train_acc:.1%}}.)
# In validation VGG-16C jumps from {{vgg16c.last_small_val_acc:.1%}} to {{vgg16c.first_full_val_acc:.1%}} when training reaches 64 pixels; ResNet-18, at {{resnet18.last_small_val_acc:.1%}} already, rises to {{resnet18.first_full_val_acc:.1%}}. From there ResNet-18 gains {{resnet18.late_gain_points:.1f}} points more while the rate falls,
# VGG-16C {{vgg16c.late_gain_points:.1f}}: most of ResNet-18's lead is made in the last six epochs.

# %%
fig, ax = plot_history(final, "loss", "cross-entropy")
ax.set_ylim(0, 1.2)
plt.show()

# %% [markdown]
# **Figure {{fig:both_loss}}.** Cross-entropy of both networks per epoch, cut at 1.2. VGG-16C's training loss (with dropout) stays above ResNet-18's at 32 pixels, by less and less; with 48 pixels they come together, and ResNet-18 ends lower in both parts.
# Its early validation losses leave the axis twice, VGG-16C's never does. No curve turns upwards by more than a hair at the end, and the gaps between training and test are alike (4.3): overfitting does not separate the two.

# %% [markdown]
# The records' seconds were taken on a machine that had other work too. For a fair comparison of speed both networks are timed here, one
# training step of each in turn on the same batch at 64x64; the median counts.

# %%
def seconds_per_epoch(makers, data, repeats):
    """Median time of a training step at full resolution, times the steps of an epoch: {name: seconds}."""
    recipe = replace(RECIPES["vgg16c"], optimizer="sgd", image_sizes=())
    loader = data.loader("train", recipe, train=True)
    batch = [next(iter(loader))]
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=False)
    models = {name: make().to(DEVICE, memory_format=torch.channels_last) for name, make in makers.items()}
    steps = {
        name: partial(train_epoch, model, batch, OPTIMIZERS["sgd"](model.parameters(), 0.01, 0), recipe, scaler)
        for name, model in models.items()
    }
    return {name: seconds * len(loader) for name, seconds in median_seconds(steps, repeats).items()}

makers = {"vgg16c": make_vgg, "resnet18": make_resnet}
epoch_seconds = seconds_per_epoch(makers, data, TIMED_STEPS)

# %%
rows = {}
for name, run in final.items():
    info = summary(makers[name](), (1, 3, IMAGE_SIZE, IMAGE_SIZE), verbose=0)
    low, high = wilson_interval(run.metrics["test_acc"], len(y_test))
    RESULTS |= {f"{name}.mult_adds": info.total_mult_adds, f"{name}.epoch_seconds": epoch_seconds[name]}
    rows[name] = {
        "test accuracy": f"{run.metrics['test_acc']:.4f}",
        "95% interval": f"{low:.4f} to {high:.4f}",
        "macro-F1": f"{run.metrics['test_macro_f1']:.4f}",
        "test loss": f"{run.metrics['test_loss']:.4f}",
        "parameters": f"{info.total_params:,}",
        "multiply-adds per photo": f"{info.total_mult_adds / 1e6:,.0f} M",
        "seconds per epoch at 64x64": f"{epoch_seconds[name]:.0f}",
    }
pd.DataFrame(rows).rename(columns=NAMES)

# %%
right = {name: torch.from_numpy(run.test_probs).argmax(1) == y_test for name, run in final.items()}
only_vgg, only_resnet, p = mcnemar(right["vgg16c"], right["resnet18"])
both_wrong = int((~right["vgg16c"] & ~right["resnet18"]).sum())
RESULTS |= {
    "only_vgg": only_vgg,
    "only_resnet": only_resnet,
    "both_wrong": both_wrong,
    "mcnemar_p": p,
    "lead_points": 100 * (resnet.metrics["test_acc"] - vgg.metrics["test_acc"]),
    "only_one": only_vgg + only_resnet,
    "vgg16c.body_m": RESULTS["vgg16c.parameters_convolutions"] / 1e6,
    "resnet18.body_m": sum(p.numel() for name, p in make_resnet().named_parameters() if not name.startswith("classifier")) / 1e6,
    "head_share": 1 - RESULTS["vgg16c.parameters_convolutions"] / RESULTS["vgg16c.parameters"],
    "probe_loss_points": 100 * (RESULTS["probe.sgd_02"] - RESULTS["probe.sgd_05"]),
    "shared_of_resnet": both_wrong / (both_wrong + only_vgg),
    "speed_ratio": epoch_seconds["vgg16c"] / epoch_seconds["resnet18"],
    "size_ratio": RESULTS["vgg16c.parameters"] / RESULTS["resnet18.parameters"],
    "cost_ratio": RESULTS["vgg16c.mult_adds"] / RESULTS["resnet18.mult_adds"],
    "mult_adds_ratio": RESULTS["resnet18.mult_adds"] / RESULTS["vgg16c.mult_adds"],
}
pd.DataFrame(
    [[int((right["vgg16c"] & right["resnet18"]).sum()), only_vgg], [only_resnet, both_wrong]],
    index=pd.Index(["right", "wrong"], name="VGG-16C"), columns=pd.Index(["right", "wrong"], name="ResNet-18"),
)  # fmt: skip

# %%
print(f"McNemar's exact test: p = {p:.2g}")

# %% [markdown]
# ResNet-18 leads by {{lead_points:.1f}} points. Both networks face the same photos, so the test that counts is the paired one: on {{only_one}} photos exactly one of them is right, and on {{only_resnet}} of these it is
# ResNet-18. A fair coin would split at least so unevenly with a probability of {{mcnemar_p:.1e}} (McNemar's exact test, two-sided), so the lead is no accident of the test photos. It is the lead of *these two* trained networks: what another seed
# would change, one run of each cannot tell. The intervals of the two accuracies do not even overlap.
#
# It costs less, too: {{size_ratio:.1f}} times fewer parameters, {{mult_adds_ratio:.0%}} of the multiply-adds, and VGG-16C takes {{speed_ratio:.1f}} times as long for an epoch. That is less than the
# {{cost_ratio:.1f}} times that multiply-adds alone would suggest: a likely reason, not measured here, is work that multiply-adds hardly count: twenty batch norms, the additions, passes over memory.
#
# On {{both_wrong}} photos both are wrong, {{shared_of_resnet:.0%}} of ResNet-18's mistakes. Whether these are hard because of what they show (Figures {{fig:vgg_mistakes}} and {{fig:mistakes}} share many) or because of what the two networks share (training photos, recipe, 64 pixels), this comparison cannot tell.

# %% [markdown]
# ### 3.6 Saving the weights  <!-- rubric: I.3.6 -->
#
# The best epoch's weights are saved as a float16 state dict, half the size, and read back into a fresh network, which
# must reproduce the test accuracy: `weights/a1_part1_resnet18.pt`.

# %%
RESULTS["resnet18.reloaded_acc"] = reloaded_acc(resnet, make_resnet, "a1_part1_resnet18.pt")

# %% [markdown]
# ## 4. Discussion and conclusion
#
# ### 4.1 Small filters, depth, and residual connections  <!-- rubric: I.4.1 -->
#
# **VGG: small filters, stacked.** Two 3x3 convolutions see 5x5 pixels, three see 7x7. With $C$ channels in and out three 3x3 layers have $27C^2$ weights where one 7x7
# layer has $49C^2$, and they put three ReLUs where that has one. So depth with small filters buys a more discriminative function for less. The 1x1 convolutions
# of version C take the thought to its end: a ReLU more, no pixel more.
#
# **The price of depth.** The gradient of the loss with respect to an early layer's output is a product of Jacobians,
# $\frac{\partial L}{\partial x_l} = \frac{\partial L}{\partial x_L}\frac{\partial x_L}{\partial x_{L-1}}\cdots\frac{\partial x_{l+1}}{\partial x_l}$. If the factors are mostly
# smaller than one in norm it vanishes, if larger it can explode. Figure {{fig:scales}} is the forward half of this: the
# same product, taken from the first layer on, which with standard deviation 0.01 falls to {{scale.normal_last:.0e}}. He's initialisation sets the factors to one on average (in mean square) at the start, but only at the start.
#
# **ResNet: learn the change.** A residual block computes $x_{l+1} = x_l + F(x_l)$ (before the last ReLU), so its Jacobian is $I + \partial F/\partial x_l$. Multiplied out, the product
# contains the identity: a path that bypasses every $F$. (In the actual network it is
# not quite free: a ReLU follows each sum, and three of the eight shortcuts are 1x1 convolutions.) It also makes *doing nothing* easy ($F = 0$), so that further blocks
# need not harm: He et al. saw deeper plain networks do worse, in training error too, and suggested that solvers have difficulty finding the identity. They held vanishing gradients an unlikely cause, since their plain networks had batch norm: keeping gradients alive and making the identity easy are two different merits. Batch norm, in every block, keeps renormalising activations during training and not just at its start. Part II measures the gradients themselves.

# %% [markdown]
# ### 4.2 What regularisation and optimisation did  <!-- rubric: I.4.2 -->
#
# **Initialisation and learning rate** each made the difference between learning and chance: with a fixed standard deviation of 0.01 the narrow VGG-16C stays at {{init.normal_val_acc:.0%}}, and with a rate of 0.1 the full one at {{probe.sgd_10:.0%}} (one short run). At rates of their own SGD, Adam and AdamW lie within {{opt.spread_points:.1f}} points of each other, RMSprop well below; a rate
# about three times too high costs {{opt.sgd.lost_points:.0f}} (SGD), {{opt.adam.lost_points:.0f}} (Adam), {{opt.rmsprop.lost_points:.0f}} (RMSprop) and {{opt.adamw.lost_points:.0f}} points (AdamW), single runs each. **Schedule**: one cycle up to 0.02 ({{schedule.one_cycle_0.02:.1%}}) ties with the plateau rule from 0.01 ({{schedule.plateau_0.01:.1%}}), which
# hardly cut; from 0.02 it cut one run too early. **Batch size**: batches of 32 reach {{batch.32_scaled:.1%}} against {{batch.128_scaled:.1%}} with 128, for {{batch.time_ratio:.1f}} times the time. **Regularisation**: augmentation took VGG's gap from {{reg.none_gap_points:.1f}} to {{reg.augmentation_gap_points:.1f}} points in the study, its gain in accuracy stayed within noise, and under one cycle up to 0.02 no run with all techniques broke down (nor with dropout alone), while some without did; at a constant 0.02 even the regularised network was unreliable (2.2). In the final networks, with all of them, {{vgg16c.gap_points:.1f}} (VGG-16C) and {{resnet18.gap_points:.1f}} points (ResNet-18)
# separate training from test. For ResNet-18 no ablation was made: what its batch norm and each technique contribute there, this notebook does not say.

# %% [markdown]
# ### 4.3 Which network is better, and why  <!-- rubric: I.4.3, I.bar -->
#
# First the assignment's own bars: 75% for the base network and 80% for the improved one.

# %%
BARS = {"vgg16c": 0.75, "resnet18": 0.80}
pd.DataFrame({
    NAMES[name]: {
        "required": f"{bar:.0%}",
        "test accuracy": f"{RESULTS[f'{name}.test_acc']:.1%}",
        "lower end of the 95% interval": f"{RESULTS[f'{name}.test_acc_low']:.1%}",
        "train / validation / test loss": " / ".join(f"{RESULTS[f'{name}.{part}_loss']:.3f}" for part in PARTS),
        "train minus test accuracy, points": f"{RESULTS[f'{name}.gap_points']:.1f}",
        "macro-F1": f"{RESULTS[f'{name}.test_macro_f1']:.3f}",
        "wrong / of them above 90% sure": f"{RESULTS[f'{name}.n_wrong']} / {RESULTS[f'{name}.wrong_over_90']}",
    }
    for name, bar in BARS.items()
})  # fmt: skip

# %% [markdown]
# **Which.** ResNet-18: accuracy {{resnet18.test_acc:.1%}} against {{vgg16c.test_acc:.1%}}, a difference well outside the noise of the test part (3.5), lower loss in all three parts, better
# F1 in every class. It makes nearly a third fewer mistakes ({{resnet18.n_wrong}} against {{vgg16c.n_wrong}}), and fewer of every kind. Both rank the pairs of classes alike: dogs and food hardest, food and vehicles easiest. The gaps between training and test are small and nearly equal
# ({{vgg16c.gap_points:.1f}} and {{resnet18.gap_points:.1f}} points), so the lead does not come from a smaller gap: *it is there on the training photos already* ({{resnet18.train_acc:.1%}} against {{vgg16c.train_acc:.1%}}).
#
# **Why.** Easier optimisation, which residual connections and batch norm are made for, is one explanation; that VGG-16C trains with dropout 0.5 and ResNet-18 without is another. Two observations fit the first. ResNet-18 trains at a peak rate of {{resnet18.lr}} at which VGG-16C, in the short probe of 2.3, stayed at chance, and it uses
# the decline of that rate: {{resnet18.late_gain_points:.1f}} points of its validation accuracy come in the epochs at 64 pixels after the first, VGG-16C's gain there is {{vgg16c.late_gain_points:.1f}}. What they do not prove is which ingredient does it. The two networks differ in shortcuts, batch norm,
# the head (VGG-16C has {{head_share:.0%}} of its parameters in three linear layers, ResNet-18 averages over positions), dropout and learning rate at once, and no network between the two was trained here.

# %% [markdown]
# ### 4.4 Summary and recommendation  <!-- rubric: I.4.4 -->
#
# - **Summary.** Written from layers and trained from scratch on {{n_train:,}} photos, VGG-16C gets {{vgg16c.test_acc:.1%}} and ResNet-18 {{resnet18.test_acc:.1%}} of the test photos right (the nearest mean photo names {{template_acc:.1%}} of the validation photos). In the studies on a quarter-width VGG-16C at 32x32 initialisation made the difference between
#   {{init.he_val_acc:.0%}} and chance; in a four-epoch probe of the full network with one seed a rate 2.5 times as high cost {{probe_loss_points:.0f}} points; and all usual regularisers together moved accuracy by less than the noise of three seeds, though most of the gap closed, by augmentation, and under one cycle no run broke down.
# - **Advantages seen here**, of ResNet-18 as a whole: it trains at five times the rate, keeps improving where VGG-16C levels off, needs {{mult_adds_ratio:.0%}} of the multiply-adds and a third of the parameters. The last is owed to average pooling in place of three linear layers: without their heads the networks have {{resnet18.body_m:.1f}} and {{vgg16c.body_m:.1f}} million.
#   What theory credits to the shortcut is trainability (4.1); the first two observations fit that and do not separate it from batch norm. A disadvantage seen: while training and validation differ in resolution, validation accuracy swings by tens of points in the first epochs, presumably a matter of batch norm or of the higher rate.
# - **Recommendation.** For photos like these take ResNet-18 as configured here (3x3 stem, one cycle up to {{resnet18.lr}}, augmentation, weight decay, label smoothing, growing resolution; for ResNet these were not tested one by one). VGG-16C is worth building to understand why. What to try next: {{shared_of_resnet:.0%}} of ResNet-18's mistakes are VGG-16C's, too,
#   and many of the surest show people, scenes or close-ups in which the labelled thing is a detail. Larger photos, more of them, or pretrained weights are candidates.

# %% [markdown]
# ## References
#
# - K. Simonyan, A. Zisserman. *Very Deep Convolutional Networks for Large-Scale Image Recognition.* ICLR 2015.
#   [arXiv:1409.1556](https://arxiv.org/abs/1409.1556)
# - K. He, X. Zhang, S. Ren, J. Sun. *Deep Residual Learning for Image Recognition.* CVPR 2016.
#   [arXiv:1512.03385](https://arxiv.org/abs/1512.03385)
# - L. N. Smith, N. Topin. *Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates.* 2019.
#   [arXiv:1708.07120](https://arxiv.org/abs/1708.07120) (the one-cycle schedule)
# - C. Szegedy et al. *Rethinking the Inception Architecture for Computer Vision.* CVPR 2016.
#   [arXiv:1512.00567](https://arxiv.org/abs/1512.00567) (label smoothing)
# - K. He, X. Zhang, S. Ren, J. Sun. *Delving Deep into Rectifiers.* ICCV 2015. [arXiv:1502.01852](https://arxiv.org/abs/1502.01852)
#   (initialisation). X. Glorot, Y. Bengio. *Understanding the Difficulty of Training Deep Feedforward Neural Networks.* AISTATS 2010 (Xavier's)
# - D. Kingma, J. Ba. *Adam.* ICLR 2015. [arXiv:1412.6980](https://arxiv.org/abs/1412.6980). I. Loshchilov, F. Hutter. *Decoupled Weight Decay
#   Regularization.* ICLR 2019. [arXiv:1711.05101](https://arxiv.org/abs/1711.05101) (AdamW). T. Tieleman, G. Hinton. Lecture 6.5, Coursera 2012 (RMSprop)
# - N. Srivastava et al. *Dropout.* JMLR 15, 2014. S. Ioffe, C. Szegedy. *Batch Normalization.* ICML 2015. [arXiv:1502.03167](https://arxiv.org/abs/1502.03167)
# - P. Goyal et al. *Accurate, Large Minibatch SGD.* 2017. [arXiv:1706.02677](https://arxiv.org/abs/1706.02677) (rate and batch size)
# - E. B. Wilson. *Probable Inference, the Law of Succession, and Statistical Inference.* JASA 22, 1927 (the interval). Q. McNemar. Psychometrika 12,
#   1947 (the paired test)
# - The course's CNN data set (`cnn_dataset.zip`, from the course site). Documentation of
#   [PyTorch](https://docs.pytorch.org), [scikit-learn](https://scikit-learn.org), [pandas](https://pandas.pydata.org), [seaborn](https://seaborn.pydata.org),
#   [torchinfo](https://github.com/TylerYep/torchinfo), [TensorBoard](https://www.tensorflow.org/tensorboard).
#
# ## This run against the reported one
#
# Where the reported record was read, as in the saved notebook, the columns agree by construction. After `RETRAIN=1` the table
# shows whether a new training lands within the tolerance.

# %%
save_results(RESULTS, "a1_part_1")

# %% tags=["reported"]
REPORTED = {}
compare_with_reported(REPORTED, RESULTS)
