# %% [markdown]
# # Part I. From VGG to ResNet on 64x64 photos
#
# ResNet-18 tells dogs, food and vehicles apart on {{resnet18.test_acc:.1%}} of {{n_test:,}} test photos, VGG-16C on {{vgg16c.test_acc:.1%}},
# both written from layers and trained from scratch. The lead is larger than the choice of test photos explains (p = {{mcnemar_p:.1e}}), it stays over three seeds each (means {{resnet18.mean_test_acc:.1%}} and {{vgg16c.mean_test_acc:.1%}}), and it is
# there on the training photos already, which points to easier training rather than less overfitting. For the plain VGG, initialisation and
# learning rate decide between learning and chance; in its small study augmentation narrows the gap and hardly moves accuracy.
#
# | model | train accuracy | validation | test, 95% interval | test loss | parameters | required |
# |---|---|---|---|---|---|---|
# | VGG-16C | {{vgg16c.train_acc:.1%}} | {{vgg16c.val_acc:.1%}} | **{{vgg16c.test_acc:.1%}}** ({{vgg16c.test_low:.1%}} to {{vgg16c.test_high:.1%}}) | {{vgg16c.test_loss:.3f}} | {{vgg16c.parameters:,}} | above 75%: met |
# | ResNet-18 | {{resnet18.train_acc:.1%}} | {{resnet18.val_acc:.1%}} | **{{resnet18.test_acc:.1%}}** ({{resnet18.test_low:.1%}} to {{resnet18.test_high:.1%}}) | {{resnet18.test_loss:.3f}} | {{resnet18.parameters:,}} | above 80%: met |
#
# | the assignment asks for | where | shown in |
# |---|---|---|
# | 1.1 loading and statistics | [1.1](#i-1-1) | table |
# | 1.2 three visualisations | [1.2](#i-1-2) | Figures {{fig:samples}} to {{fig:means}} |
# | 1.3 preprocessing, 1.4 split | [1.3](#i-1-3), [1.4](#i-1-4) | Figure {{fig:augmented}}, table |
# | 2.1 VGG-16, version C | [2.1](#i-2-1) | layer table |
# | 2.2 dropout, schedule, initialisation | [2.2](#i-2-2) | Figures {{fig:init}}, {{fig:schedules}} |
# | 2.3 (a) optimizers, (b) batch sizes | [2.3 (a)](#i-2-3a), [2.3 (b)](#i-2-3b) | Figures {{fig:optimizers}}, {{fig:batches}} |
# | 2.4 against overfitting | [2.4](#i-2-4) | Figure {{fig:techniques}}, table |
# | 2.5 evaluation of VGG-16C | [(a)](#i-2-5a), [(b)](#i-2-5b), [(c)](#i-2-5c), [(d)](#i-2-5d), [(e)](#i-2-5e), [(f)](#i-2-5f), [(g)](#i-2-5g) | Figures {{fig:vgg_history}} to {{fig:vgg_mistakes}} |
# | 2.6 weights | [2.6](#i-2-6) | output |
# | 3.1 residual block, 3.2 ResNet-18 | [3.1](#i-3-1), [3.2](#i-3-2) | code, layer table |
# | 3.3 training, 3.4 regularisation | [3.3](#i-3-3), [3.4](#i-3-4) | output |
# | 3.5 (a) evaluation, (b) both networks | [3.5 (a)](#i-3-5a), [3.5 (b)](#i-3-5b) | Figures {{fig:tensorboard}} to {{fig:late}} |
# | 3.6 weights | [3.6](#i-3-6) | output |
# | 4 discussion | [4.1](#i-4-1), [4.2](#i-4-2), [4.3](#i-4-3), [4.4](#i-4-4) | tables |
# | expected accuracy | [4.3](#i-bar) | table |

# %% [markdown]
# ## Setup

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("torchinfo") is None:  # as in Colab
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "torchinfo"], check=True)

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
from IPython.display import display
from matplotlib_inline.backend_inline import set_matplotlib_formats
from scipy.stats import binomtest, ttest_ind
from sklearn.metrics import classification_report, confusion_matrix, f1_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestCentroid
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
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
# ## 1. Data
#
# ### 1.1 Loading and main statistics <a id="i-1-1"></a>
#
# The 30,000 files are small, so they are decoded once and stay in memory: opening them anew in every epoch would cost more than
# training on them.

# %%
from a1.files import data_places

# %%
from a1.photos import CLASSES, unpack, find_photos, load_photos

# %%
images, labels, files = load_photos(None if FULL else 150)
distinct = len({image.numpy().tobytes() for image in images})
print(f"{len(images):,} photos, {len(images) - distinct} of them exact copies of another one")
pixels, rows = images.float() / 255, {}
for label, name in enumerate(CLASSES):
    x = pixels[labels == label].transpose(0, 1).flatten(1)  # [channels, pixels]
    rows[name] = [int((labels == label).sum()), *(f"{v:.3f}" for v in (*x.mean(1), *x.std(1)))]
pd.DataFrame(rows, ["photos", *(f"{moment} {c}" for moment in ("mean", "std") for c in "RGB")]).T

# %% [markdown]
# The course's data set holds everyday photos of dogs, plates of food and road vehicles, shrunk to 64x64 pixels. Most subjects fill the
# frame, seen from any side; the class is what the photo is *about*. The classes are of equal size, so accuracy is a fair measure and chance
# is one third. Means (of pixels from 0 to 1) differ most in red and blue, which food has most and least of. {{n_copies}} photos are exact
# copies, which the split has to respect.

# %% tags=["facts"]
facts = {
    "data": f"{len(images):,} photos",
    "n_copies": len(images) - distinct,
}

# %% [markdown]
# ### 1.2 Looking at the photos <a id="i-1-2"></a>

# %%
from a1.plots import STYLE, show_images

plt.rcParams.update(STYLE)
shown = torch.cat([torch.randperm(len(images) // 3)[:8] + k * len(images) // 3 for k in range(3)])
show_images(images[shown], [CLASSES[label] for label in labels[shown]], columns=8)

# %% [markdown]
# **Figure {{fig:samples}}.** Eight random photos of each class. Nothing is aligned: a dog may be a face or a whole body. The classes
# differ in texture and local shape (fur, crumbs, wheels), and mirroring or shifting a photo keeps its class.

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 2.3), sharey=True)
for label, ax in enumerate(axes):
    for channel, color in enumerate(("#D55E00", "#009E73", "#0072B2")):
        counts = torch.bincount(images[labels == label, channel].flatten(), minlength=256)
        ax.plot(np.arange(256) / 255, counts / counts.sum() * 256, c=color, label="RGB"[channel])
    ax.set(title=CLASSES[label], xlabel="pixel value", ylabel="density" * (not label), ylim=(0, 3))
_ = axes[0].legend()

# %% [markdown]
# **Figure {{fig:histograms}}.** Pixel values by channel and class (axis cut at 3). Food is warm: red peaks on the bright side, blue on the dark one;
# in vehicles the three channels nearly coincide. The spikes at both ends are clipped shadows and highlights.

# %%
means = torch.stack([images[labels == label].float().mean(0) for label in range(3)])
stretched = ((means - means.mean()) * 3 + 128).clamp(0, 255)
show_images(torch.cat([means, stretched]).byte(), [*CLASSES, *(f"{n}, x3" for n in CLASSES)], 6)

# %% [markdown]
# **Figure {{fig:means}}.** The mean photo of each class, and with threefold contrast. Food averages to a warm round plate, vehicles to sky above a dark body and its
# shadow, dogs to a pale upright blob: subjects are centred, not aligned.
#
# Colour and layout say something about the class: the nearest mean photo, taken from training photos, names it for {{template_acc:.1%}} of validation photos (1.4). Standardising
# all photos with one mean and deviation keeps these differences.

# %% [markdown]
# ### 1.3 Preprocessing <a id="i-1-3"></a>
#
# - **Scale.** Dividing by 255 maps pixels to [0, 1]; standardising with the training part's mean $m$ and deviation $s$ follows. In one step the
#   255 cancels, $(x/255 - m/255)/(s/255) = (x - m)/s$ (in `Photos.batches`, 1.4), and inputs of unit mean square are what the initialisation of 2.2 assumes.
# - **Balance.** 10,000 photos a class (1.1): nothing to correct. **Labels** are int64 indices, as cross-entropy takes them.
# - **Augmentation**, in training only: mirror, shift by up to 8 pixels, change brightness, contrast and saturation by up to
#   20%. Each photo gets its own draw; a batch is changed at once, on the device.

# %%
from a1.photos import random_flip, random_shift, color_jitter, AUGMENTATIONS

# %% [markdown]
# ### 1.4 Split <a id="i-1-4"></a>
#
# 70/15/15, stratified, fixed by the seed. A copy of a training photo in the test part would be scored from memory, so the split
# draws among *distinct* photos and copies follow their original. Part II and ResNeXt use the same split. What is chosen by score is chosen on validation; only finished networks read the test part.

# %%
from a1.photos import PARTS, split_indices

split = split_indices(images, labels)
seen = {part: {images[i].numpy().tobytes() for i in index} for part, index in split.items()}
assert not seen["train"] & (seen["val"] | seen["test"]) and not seen["val"] & seen["test"]
pd.DataFrame({p: labels[split[p]].bincount().numpy() for p in PARTS}, CLASSES)

# %%
small = F.layer_norm(F.avg_pool2d(images.float(), 4).flatten(1), (768,))  # 16x16 pixels
twins = (small[split["test"]] @ small[split["train"]].T / 768).max(1).values > 0.99
names = {CLASSES[c] for c in labels[split["test"]][twins]}
print(f"{int(twins.sum())} of {len(twins):,} test photos have a near copy in training: {names}")

(x, y), (x_val, y_val) = ((pixels[split[p]].flatten(1), labels[split[p]]) for p in ("train", "val"))
template_acc = NearestCentroid().fit(x, y).score(x_val, y_val)
print(f"nearest mean training photo names the class of {template_acc:.1%} of validation photos")

# %% [markdown]
# **Near copies.** Only exact copies are kept together. At 16x16 pixels {{n_twins}} test photos, all of dogs, correlate above 0.99 with a
# training photo; 3.5 scores the networks without them. The nearest mean photo is **a first baseline**, from colour and layout alone.

# %% tags=["facts"]
facts = {"n_twins": int(twins.sum()), "template_acc": template_acc, "n_test": len(twins)}

# %%
from a1.photos import Classification

# %%
from a1.photos import Photos

# %%
data = Photos(images, labels, split, files)
every = {"batch_size": 128, "augment": AUGMENTATIONS, "image_sizes": []}
x, y = next(data.batches("train", every, 0))
print(tuple(x.shape), x.dtype, f"mean {x.mean():.2f}, std {x.std():.2f};", tuple(y.shape), y.dtype)
augmented = (x * data.std + data.mean).clamp(0, 255).byte().cpu()
show_images(augmented[:16], [CLASSES[label] for label in y[:16]], columns=8)

# %% [markdown]
# **Figure {{fig:augmented}}.** Training photos as a network sees them: mirrored, shifted, in changed light. The mirrored strips at some borders are the
# price of shifting by reflection.

# %% [markdown]
# ## 2. VGG-16, version C
#
# ### 2.1 Architecture <a id="i-2-1"></a>
#
# VGG uses nothing but small filters and stacks them deep. Version C, column C of the paper's table 1, has thirteen convolutions in
# five blocks, each ended by a max-pool, and three linear layers. Its mark is the **1x1 convolution** that ends blocks 3, 4 and 5: it mixes
# channels at each position and adds a ReLU without widening the view.

# %%
from a1.models.vgg import VGG16C_BLOCKS, INITS, VGG16C

# %%
def layer_table(model, *kinds):
    """Print kernel, output for one 64x64 photo and parameters of the layers of these kinds."""
    layers = summary(model, (1, 3, 64, 64), verbose=0).summary_list
    layers = [layer for layer in layers if isinstance(layer.module, kinds) and layer.depth <= 2]
    rows = [(i.class_name, i.kernel_size, i.output_size[1:], i.num_params) for i in layers]
    table = pd.DataFrame(rows, columns=["layer", "kernel", "output", "parameters"]).fillna("")
    print(table.to_string(index=False, formatters={"parameters": "{:,}".format}))


make_vgg = partial(VGG16C, width=1 if FULL else 0.25)
layer_table(make_vgg(), nn.Conv2d, nn.MaxPool2d, nn.Linear)
sizes = {"ours": make_vgg(), "its convolutions": make_vgg().features, "paper": VGG16C(1000, 224)}
print({name: f"{sum(w.numel() for w in net.parameters()):,}" for name, net in sizes.items()})

# %% [markdown]
# **What is adapted**, and no more than this:
#
# - *Input.* All five pools stay, so 64 pixels become 2x2 positions and the first linear layer takes 2,048 numbers (the paper's: 25,088). Dropping
#   two pools, as the assignment suggests, would multiply that layer's weights by 16 and block 5's work by four.
# - *Output.* Three classes instead of 1,000. Both changes bring {{vgg16c.on_paper:,}} parameters down to {{vgg16c.parameters:,}}; the
#   convolutions are only {{vgg16c.convolutions:,}} of them.
# - *Small photos in early epochs.* Training at 32 and 48 pixels leaves one position after five pools, which is repeated to 2x2.
# - *Initialisation.* He's; 2.2 shows why.

# %% tags=["facts"]
facts = {
    "vgg16c.on_paper": sum(w.numel() for w in VGG16C(1000, 224).parameters()),
    "vgg16c.convolutions": sum(w.numel() for w in make_vgg().features.parameters()),
    "vgg16c.parameters": sum(w.numel() for w in make_vgg().parameters()),
}

# %% [markdown]
# **Training.** One loop serves every network. Label smoothing raises the loss that is minimised, so the loss that is *reported* is
# plain cross-entropy on both sides. The weights that count are those of the epoch with the best validation accuracy.

# %%
from a1.train import SAVE_EVERY, RECIPE, OPTIMIZERS, SCHEDULES, evaluate

# %%
from a1.train import train

# %% [markdown]
# A run's result is kept in `runs/`. It is used again only where recipe, data and code are those that made it: `probe` notices a changed
# network, loss or augmentation by what eight steps do to a few drawn images. The next five cells can be skipped at first.

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

# %% [markdown]
# **The studies' rules.** Sections 2.2 to 2.4 compare many short runs:
#
# - {{study.train:,}} training and {{study.val:,}} validation photos, shrunk to 32x32; the test part is not even loaded;
# - VGG-16C at a quarter of its width and all of its depth, its head seeing one position; {{study.epochs}} epochs (20 for schedules, in 2.4 and in 4.2), a rate of one cycle (2.2) up to 0.02, batches of 128, unless said otherwise;
# - three seeds; tables give the mean and standard deviation of each run's best validation accuracy;
# - variants differ in nothing but what is studied, except a rate or decay that belongs to them;
# - what is learned on the small stage need not carry over: for the learning rate, the most delicate choice, 2.3 checks.

# %%
from a1.studies import study_indices, run_study

# %%
SEEDS = (0, 1, 2) if FULL else (0, 1)
STUDY = RECIPE | {"epochs": 10 if FULL else 1, "lr": 0.02}
LONG = STUDY | {"epochs": 20 if FULL else 2}
make_small = partial(VGG16C, image_size=32, width=0.25)
small_set = study_indices(labels, split, *((800, 500) if FULL else (20, 20)))
study_data = Photos(images, labels, small_set, files, size=32)
print({part: len(y) for part, y in study_data.y.items()}, f"photos, {STUDY['epochs']} epochs")


def table_of(rows):
    """Mean and standard deviation over the seeds, gap between training and validation in points."""
    runs = rows.groupby("variant", sort=False)
    mean = runs[["val_acc", "train_acc"]].mean().rename_axis(None)
    gap = 100 * (mean["train_acc"] - mean["val_acc"])
    return mean.assign(gap_points=gap, sd=runs["val_acc"].std()).round(4)


def plot_seeds(ax, rows, measure="val_acc", label="validation accuracy"):
    """A measure per epoch, a thin line a run and a thick one, their mean, a variant."""
    curves = [h.assign(variant=v, seed=s) for h, v, s in zip(rows.history, rows.variant, rows.seed)]
    options = {"x": "epoch", "y": measure, "hue": "variant", "palette": "Dark2", "ax": ax}
    sns.lineplot(pd.concat(curves), units="seed", estimator=None, lw=0.6, legend=False, **options)
    sns.lineplot(pd.concat(curves), errorbar=None, lw=2, **options)
    ax.set(ylabel=label, xticks=range(0, len(curves[0]) + 1, 5))
    ax.legend(fontsize=8)

# %% tags=["facts"]
facts = {f"study.{part}": len(y) for part, y in study_data.y.items()} | {"study.epochs": STUDY["epochs"]}

# %% [markdown]
# ### 2.2 Initialisation, dropout and schedule <a id="i-2-2"></a>
#
# **Initialisation.** A layer with weights of variance $v$ turns activations of mean square $q$ into $n v q$, with $n$ inputs, and a ReLU
# halves that: per layer the scale changes by $\sqrt{nv/2}$, and over fifteen layers even a modest factor is fatal. He's $v = 2/n$ makes it 1.
# Xavier's $2/(n_{in}+n_{out})$ loses $\sqrt 2$ a layer between equal widths. A normal distribution of *standard deviation* 0.01 (the paper says *variance*) ignores $n$: the factor is $0.48$
# for 512 3x3 inputs and $0.16$ for 512 1x1 ones. A batch through the untrained network shows it, a short study what follows.

# %%
@torch.no_grad()
def activation_scales(model, x):
    """Root mean square of every convolution's and linear layer's output, first to last."""
    scales = []
    for layer in [*model.eval().features, *model.classifier]:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            scales.append(float(x.square().mean() ** 0.5))
    return scales


x, scales = next(data.batches("train", STUDY, 0))[0][:64], {}
for init in ("normal", "xavier", "he", "default"):
    seed_everything(0)
    scales[init] = activation_scales(make_vgg(init=init).to(DEVICE), x)
scales = pd.DataFrame(scales, pd.RangeIndex(1, 17, name="layer"))
tried = {init: (partial(make_small, init=init), STUDY) for init in ("normal", "xavier", "he")}
inits = run_study("init", tried, SEEDS, study_data)

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 2.8))
scales.plot(ax=axes[0], logy=True, style=".-", color=sns.color_palette("Dark2"))
axes[0].set(ylabel="RMS of the layer's output", xticks=(1, 4, 7, 10, 13, 16))
plot_seeds(axes[1], inits, "train_loss", "training loss")
axes[1].axhline(np.log(3), color="gray", lw=1, ls=":")
plot_seeds(axes[2], inits)
last = scales.loc[16].map("{:.1e}".format).rename("RMS, layer 16")
pd.concat([last, table_of(inits).astype(str)], axis=1).fillna("")

# %% [markdown]
# **Figure {{fig:init}}.** Left: scale of each layer's output in the untrained full network. Middle and right: training loss and validation
# accuracy of the quarter-width network, three seeds each; the dotted line is ln 3, the loss of a guess.
#
# The one factor $\sqrt{nv/2}$ predicts the order of the three. With standard deviation 0.01 the full network's output is {{scale.normal:.1e}}: nothing of the photo arrives, and every seed of the narrow one stays at
# {{init.normal:.1%}}, chance exactly. Xavier's {{scale.xavier:.1e}} goes with {{init.xavier:.1%}}, He's {{scale.he:.1f}} with {{init.he:.1%}}. Xavier is the instructive case: its accuracy
# climbs while its loss stays near ln 3, as logits of the right order that start a thousandfold too small leave every probability near one third. Accuracy
# alone would hide that. PyTorch's default levels off at {{scale.default:.1e}}, where the weights alone would give a millionth: what remains must come
# from its random biases, the same for every photo (Part II trains from it).

# %% tags=["facts"]
means = table_of(inits)["val_acc"]
facts = {f"init.{name}": float(means[name]) for name in means.index}
facts |= {f"scale.{name}": float(f"{scales.loc[16, name]:.1e}") for name in scales}

# %% [markdown]
# **Dropout and schedule.** As in the paper's section 3.1: dropout of 0.5 after the first two linear layers, momentum 0.9 (here Nesterov's), decay `5e-4`, and a rate of 0.01
# divided by 10 whenever validation accuracy stops improving. That rule was made for 74 epochs. For short runs *one cycle* is usual: the rate
# rises over 30% of the steps, then falls along a cosine to nearly zero. (What dropout does is measured in 2.4.)

# %%
schedules = [("plateau", 0.01), ("plateau", 0.02), ("constant", 0.02), ("one_cycle", 0.02)]
tried = {f"{s}-{lr}": (make_small, LONG | {"schedule": s, "lr": lr}) for s, lr in schedules}
rows = run_study("schedule", tried, SEEDS, study_data)
plot_seeds(plt.figure(figsize=(6.5, 2.4)).gca(), rows)
rows["lowest at the end"] = [history["val_acc"].iloc[-1] for history in rows["history"]]
table_of(rows).join(rows.groupby("variant")["lowest at the end"].min().round(4))

# %% [markdown]
# **Figure {{fig:schedules}}.** Validation accuracy by schedule and highest rate: a thin line a seed, thick the mean. *Lowest at the end*: of the three seeds' last epochs.
#
# The paper's rule at its own rate is best, ahead of one cycle up to twice that rate by less than their seeds differ. At that rate, 0.02, a constant one
# is unreliable (standard deviation {{schedule.constant_sd_points:.1f}} points), and the rule has a trap: with one seed it took an early stall for the end, cut the
# rate, and froze the network at {{schedule.frozen:.1%}}. We take one cycle: within noise of the best, and at 0.02 the only one here that trains every seed well (in 2.4, with fewer techniques, some fall behind under it, too).

# %% tags=["facts"]
table = table_of(rows)
facts = {"schedule.constant_sd": float(table.loc["constant-0.02", "sd"])}
facts["schedule.frozen"] = round(min(h["val_acc"].iloc[-1] for h in rows["history"]), 4)
derived = {"schedule.constant_sd_points": "100 * schedule.constant_sd"}

# %% [markdown]
# ### 2.3 (a) Optimizers <a id="i-2-3a"></a>
#
# An optimizer can only be judged at a rate that suits it. So each gets its own search, rates a factor of three apart, until the best lies
# inside; then the best runs with all seeds. Decay is `5e-4` for SGD and, decoupled, 0.05 for AdamW; Adam and RMSprop have none.

# %%
RATES = {"sgd": (0.006, 0.02, 0.06), "adam": (3e-4, 1e-3, 3e-3, 1e-2)}
RATES |= {"adamw": RATES["adam"], "rmsprop": (1e-4, 3e-4, 1e-3, 3e-3)}
DECAY = {"sgd": 5e-4, "adam": 0.0, "adamw": 0.05, "rmsprop": 0.0}

search = [(name, lr) for name, rates in RATES.items() for lr in rates]
recipes = [{"optimizer": name, "lr": lr, "weight_decay": DECAY[name]} for name, lr in search]
tried = {f"{r['optimizer']}-{r['lr']:g}": (make_small, STUDY | r) for r in recipes}
found = run_study("optimizer", tried, (0,), study_data)
found[["optimizer", "lr"]] = search
best = found["variant"][found.groupby("optimizer", sort=False)["val_acc"].idxmax()]
rows = run_study("optimizer", {label: tried[label] for label in best}, SEEDS, study_data)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.5, 2.8))
sns.lineplot(found, x="lr", y="val_acc", hue="optimizer", marker="o", palette="Dark2", ax=axes[0])
axes[0].set(xscale="log", xlabel="highest learning rate", ylabel="validation accuracy, seed 0")
sns.stripplot(rows, x="val_acc", y="variant", hue="variant", palette="Dark2", size=7, ax=axes[1])
axes[1].set(xlabel="validation accuracy", ylabel="")
plt.show()
drop = found.pivot_table("val_acc", "optimizer", "lr", sort=False).sort_index(axis=1)
display(drop.rename(columns="{:g}".format).map("{:.4f}".format).replace("nan", ""))
table_of(rows)

# %% [markdown]
# **Figure {{fig:optimizers}}.** Left: accuracy against the highest rate, seed 0. Right: each optimizer at its best rate, a dot a seed (dots may coincide).
#
# Adam and AdamW are level at {{opt.adam:.1%}} and {{opt.adamw:.1%}}, SGD follows at {{opt.sgd:.1%}}, RMSprop is clearly behind ({{opt.rmsprop:.1%}}). The left panel matters more:
# three times the best rate costs SGD {{opt.sgd_lost:.0f}} points, Adam {{opt.adam_lost:.0f}} and AdamW {{opt.adamw_lost:.0f}}; RMSprop, level with Adam at `3e-4` ({{rms.low:.1%}} and {{adam.low:.1%}}), gets {{rms.high:.1%}} at `3e-3`, Adam's best. **At a
# common rate a ranking says as much about the rate as about the optimizers.** We stay with SGD, which both papers used: a lead of a point in ten epochs says little about twenty on nine times as many photos.

# %% tags=["facts"]
means = table_of(rows)["val_acc"]
facts = {f"opt.{label.split('-')[0]}": float(value) for label, value in means.items()}
facts |= {"sgd.best": float(drop.loc["sgd", 0.02]), "sgd.high": float(drop.loc["sgd", 0.06])}
facts |= {"adam.best": float(drop.loc["adam", 0.003]), "adam.high": float(drop.loc["adam", 0.01])}
facts |= {"adamw.best": float(drop.loc["adamw", 0.003]), "adamw.high": float(drop.loc["adamw", 0.01])}
facts |= {"adam.low": float(drop.loc["adam", 3e-4]), "rms.low": float(drop.loc["rmsprop", 3e-4])}
facts["rms.high"] = float(drop.loc["rmsprop", 3e-3])
facts = {key: round(value, 4) for key, value in facts.items()}
derived = {
    "opt.sgd_lost": "100 * (sgd.best - sgd.high)",
    "opt.adam_lost": "100 * (adam.best - adam.high)",
    "opt.adamw_lost": "100 * (adamw.best - adamw.high)",
}

# %% [markdown]
# **Does the rate carry over to the full width?** Four epochs of the full network on `1750` photos a class, at 32 pixels, one seed:

# %%
wide_set = study_indices(labels, split, *((1750, 500) if FULL else (20, 20)))
wide_data = Photos(images, labels, wide_set, files, size=32)
short = STUDY | {"epochs": 4 if FULL else 1}
tried = {f"sgd-{lr}": (make_vgg, short | {"lr": lr}) for lr in (0.02, 0.05, 0.1)}
wide = run_study("full_width", tried, (0,), wide_data)
wide.groupby("variant", sort=False)[["train_acc", "val_acc"]].first().round(4).T

# %% [markdown]
# 0.02 trains well ({{wide.sgd02:.1%}}), 0.05 is too much ({{wide.sgd05:.1%}}), and 0.1, with which ResNet-18 trains below, leaves VGG at chance. Nothing lower was tried at full
# width: 0.02 is a rate that works, not a proven optimum.

# %% tags=["facts"]
accs = [round(float(acc), 4) for acc in wide["val_acc"]]
facts = dict(zip(("wide.sgd02", "wide.sgd05", "wide.sgd10"), accs))

# %% [markdown]
# ### 2.3 (b) Batch sizes <a id="i-2-3b"></a>
#
# A batch of 32 takes four times as many steps an epoch as one of 128, so one variant scales the rate with the batch and one keeps it.

# %%
sizes = [(size, lr) for size in (128, 64, 32) for lr in sorted({0.02, 0.02 * size / 128})]
tried = {f"{n}-{lr:g}": (make_small, STUDY | {"batch_size": n, "lr": lr}) for n, lr in sizes}
rows = run_study("batch_size", tried, SEEDS, study_data)
rows["seconds per epoch"] = rows["history"].map(lambda history: history["seconds"].median())
plt.figure(figsize=(6.5, 2.2))
ax = sns.stripplot(rows, x="val_acc", y="variant", hue="variant", palette="Dark2", jitter=False)
ax.set(xlabel="validation accuracy", ylabel="batch size - highest rate")
table_of(rows).join(rows.groupby("variant")["seconds per epoch"].median().round(2))

# %% [markdown]
# **Figure {{fig:batches}}.** Validation accuracy by batch size and highest rate, a dot a seed (dots may coincide).
#
# Batches of 32 reach {{batch.b32:.1%}} with the scaled rate against {{batch.b128:.1%}} with 128, at {{batch.time_ratio:.1f}} times the time per epoch; 64 takes hardly longer than 128 (its two variants, the same work, differ by the machine's noise). With *epochs* fixed they also make four times the updates, so this does not show that small
# batches generalise better. Scaling the rate changes nothing beyond the seeds' spread. The final networks see nine times as many photos, where
# updates are plentiful: we keep 128.

# %% tags=["facts"]
means = table_of(rows)["val_acc"]
facts = {"batch.b32": float(means["32-0.005"]), "batch.b128": float(means["128-0.02"])}
seconds = rows.groupby("variant")["seconds per epoch"].median().round(2)
facts |= {"batch.s32": float(seconds["32-0.005"]), "batch.s128": float(seconds["128-0.02"])}
derived = {"batch.time_ratio": "batch.s32 / batch.s128"}

# %% [markdown]
# ### 2.4 Against overfitting <a id="i-2-4"></a>
#
# Four techniques, alone and together, over 20 epochs so that there is time to overfit: **augmentation** (1.3), so that no photo is seen twice
# alike; **weight decay** `5e-4`; **dropout** 0.5, so that no unit can rely on another; **label smoothing** 0.1, which stops rewarding ever higher confidence. A fifth,
# **early stopping**, needs no runs of its own.

# %%
plain = LONG | {"label_smoothing": 0, "augment": [], "weight_decay": 0, "lr": 0.01}
techniques = {  # change of the recipe, dropout
    "none": ({}, 0),
    "augmentation": ({"augment": STUDY["augment"]}, 0),
    "weight_decay": ({"weight_decay": 5e-4}, 0),
    "dropout": ({}, 0.5),
    "label_smoothing": ({"label_smoothing": 0.1}, 0),
    "all_four": ({key: STUDY[key] for key in ("augment", "weight_decay", "label_smoothing")}, 0.5),
}
tried = {
    f"{name}-{lr}": (partial(make_small, dropout=dropout), plain | change | {"lr": lr})
    for lr in (0.01, 0.02)
    for name, (change, dropout) in techniques.items()
}
rows = run_study("regularisation", tried, SEEDS, study_data)
rows[["technique", "rate"]] = [v.replace("_", " ").rsplit("-", 1) for v in rows["variant"]]
rows["gap_points"] = 100 * (rows["train_acc"] - rows["val_acc"])
calm = rows[rows["rate"] == "0.01"]

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 2.5), sharey=True)
measures = {"gap_points": "training minus validation, points", "val_acc": "validation accuracy"}
for ax, (measure, label) in zip(axes, measures.items()):
    options = {"x": measure, "y": "technique", "hue": "technique", "palette": "Dark2", "ax": ax}
    sns.stripplot(calm, size=7, jitter=False, **options).set(xlabel=label, ylabel="")
plt.show()
table = table_of(calm).set_axis(calm["technique"].unique())
lowest = rows[rows["rate"] == "0.02"].groupby("technique")["val_acc"].min().round(4)
display(table.assign(**{"lowest at rate 0.02": lowest}))
error = 100 * (2 * (table["sd"] ** 2).mean() / len(SEEDS)) ** 0.5
print(f"standard error of a difference of two means: {error:.2f} points")

# %% [markdown]
# **Figure {{fig:techniques}}.** Gap and validation accuracy at a rate of 0.01, a dot a seed.
#
# **Augmentation closes most of the gap**, from {{reg.none_gap:.1f}} to {{reg.augmentation_gap:.1f}} points, chiefly by fitting the training photos less, at no cost in validation. Weight decay, dropout and label smoothing leave most of it and
# cost one to two points of accuracy each, near the noise. **Accuracy hardly moves**: from {{reg.none:.1%}} to {{reg.all_four:.1%}} with all four, less than one standard error of {{reg.error:.2f}} points. Three seeds would show gains of
# two or three points, no less.
#
# The last column matters as much. At 0.02 the full set trains with every seed ({{reg.all_four_lowest:.1%}} at worst), and so does dropout alone ({{reg.dropout_lowest:.1%}}), while without any technique one seed sinks to
# {{reg.none_lowest:.1%}} and with decay, augmentation or smoothing alone to {{reg.decay_lowest:.1%}}, {{reg.augmentation_lowest:.1%}} and {{reg.smoothing_lowest:.1%}}. A study at 0.02 only would have reported such accidents as the effect of a technique.

# %% tags=["facts"]
facts = {"reg.none_gap": float(table.loc["none", "gap_points"]), "reg.error": float(f"{error:.2f}")}
facts |= {"reg.augmentation_gap": float(table.loc["augmentation", "gap_points"])}
facts |= {"reg.all_four_gap": float(table.loc["all four", "gap_points"])}
facts |= {"reg.none": float(table.loc["none", "val_acc"]), "reg.none_lowest": float(lowest["none"])}
facts |= {"reg.all_four": float(table.loc["all four", "val_acc"]), "reg.all_four_lowest": float(lowest["all four"])}
for key, name in (("decay", "weight decay"), ("smoothing", "label smoothing")):
    facts[f"reg.{key}_lowest"] = float(lowest[name])
facts |= {f"reg.{name}_lowest": float(lowest[name]) for name in ("augmentation", "dropout")}

# %%
def stopped_early(accs, patience=3):
    """Accuracy kept had training stopped after `patience` epochs without a better one."""
    waited = accs.groupby(accs.cummax()).cumcount()  # epochs without a better one
    return accs[waited.cummax() < patience].max()


kept = calm.assign(stopped=[stopped_early(history["val_acc"]) for history in calm["history"]])
kept.groupby("technique", sort=False)[["stopped", "val_acc"]].mean().iloc[[0, -1]].round(4)

# %% [markdown]
# **Early stopping** with a patience of three, applied to the recorded runs, does harm under one cycle: without techniques it stops at
# {{stop.none:.1%}} where {{reg.none:.1%}} was still to come, since accuracy jumps about while the rate is high; with all four it loses little. Its other half, keeping the best epoch's weights, costs
# nothing, and all runs here do it.

# %% tags=["facts"]
facts = {"stop.none": round(float(kept[kept["technique"] == "none"]["stopped"].mean()), 4)}

# %% [markdown]
# ### 2.5 The final network
#
# VGG-16C at full width, He's initialisation, dropout 0.5, SGD, one cycle up to 0.02, all four techniques, 20 epochs on all {{n_train:,}} training photos.
# Two measures make that affordable on a CPU: **progressive resizing** (8 epochs at 32 pixels, 5 at 48, 7 at 64; validation is at 64 throughout) and
# **mixed precision** ({{vgg16c.precision}} here).

# %%
QUICK = {"epochs": 8, "batch_size": 16, "optimizer": "adamw", "lr": 0.001, "image_sizes": [32] * 6}
FINAL = LONG | ({"image_sizes": [32] * 8 + [48] * 5} if FULL else QUICK)
vggs = [train_once(f"vgg16c/seed{k}", make_vgg, FINAL | {"seed": k}, data) for k in SEEDS]
vgg = vggs[0]
print(vgg["sizes"], {key: vgg[key] for key in ("device", "precision", "best_epoch")})

# %% [markdown]
# #### 2.5 (a) Accuracy and loss <a id="i-2-5a"></a>

# %%
from a1.evaluate import metrics_table, class_report

metrics_table(vgg)

# %% [markdown]
# Test and validation accuracy ({{vgg16c.test_acc:.1%}} and {{vgg16c.val_acc:.1%}}) lie within each other's interval: choosing the epoch on validation left no visible
# optimism. Training photos are fitted {{vgg16c.gap:.1f}} points better than test and {{vgg16c.val_gap:.1f}} better than validation photos, little beside the {{reg.all_four_gap:.1f}} that the same techniques left in 2.4, on a ninth of the photos. The loss looks high beside such accuracies because
# label smoothing asks for a probability of 93% instead of 100%.

# %% tags=["facts"]
facts = {"n_train": len(data.y["train"]), "vgg16c.precision": vgg["precision"]}
derived = {
    "vgg16c.gap": "100 * (vgg16c.train_acc - vgg16c.test_acc)",
    "vgg16c.val_gap": "100 * (vgg16c.train_acc - vgg16c.val_acc)",
}

# %% [markdown]
# #### 2.5 (b) and (c) Accuracy and loss over the epochs <a id="i-2-5b"></a><a id="i-2-5c"></a>

# %%
from a1.plots import COLORS, NAMES, plot_history

plot_history({"vgg16c": vgg})
grown = len(FINAL["image_sizes"])  # epochs before training reaches 64 pixels
pd.DataFrame(vgg["history"]).set_index("epoch").loc[grown : grown + 1, ["train_acc", "val_acc"]]

# %% [markdown]
# **Figure {{fig:vgg_history}}.** VGG-16C: accuracy and plain cross-entropy per epoch. Dotted lines: training grows from 32 to 48 and to 64 pixels. The dot marks the kept weights.
#
# From epoch 3 on validation wavers while training goes on: what is learned at 32 pixels, by a head that sees one position four times, carries over to 64 only in part. One epoch
# at full size lifts it from {{vgg16c.before64:.1%}} to {{vgg16c.at64:.1%}}. Afterwards both curves flatten and neither loss turns upwards: nothing to stop early for. (The training
# curve is an average over the epoch, with augmentation and dropout on, so it starts below validation.)

# %% tags=["facts"]
accs = [epoch["val_acc"] for epoch in vgg["history"]]
facts = {"vgg16c.before64": accs[grown - 1], "vgg16c.at64": accs[grown]}

# %% [markdown]
# #### 2.5 (d) Confusion matrix <a id="i-2-5d"></a>

# %%
from a1.plots import plot_confusion

y_test, vgg_probs = labels[split["test"]].numpy(), vgg["test"]["test_probs"]
plot_confusion(y_test, vgg_probs.argmax(1), CLASSES)

# %% [markdown]
# **Figure {{fig:vgg_confusion}}.** VGG-16C on the test part: only mistakes are coloured.
#
# Of {{vgg16c.n_wrong}} mistakes {{vgg16c.dogs_food}} are between dogs and food, {{vgg16c.dogs_vehicles}} between dogs and vehicles, {{vgg16c.food_vehicles}} between food and vehicles. Equally hard pairs would have 68 each,
# give or take 7. Warm colours shared by dogs and food (Figure {{fig:histograms}}) may be a reason; it is not tested here. Each pair errs about as often in one direction
# as in the other.

# %% tags=["facts"]
wrong = confusion_matrix(y_test, vgg_probs.argmax(1))
pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
facts = {f"vgg16c.{CLASSES[i]}_as_{CLASSES[j]}": int(wrong[i, j]) for i, j in pairs}
derived = {
    "vgg16c.dogs_food": "vgg16c.dogs_as_food + vgg16c.food_as_dogs",
    "vgg16c.dogs_vehicles": "vgg16c.dogs_as_vehicles + vgg16c.vehicles_as_dogs",
    "vgg16c.food_vehicles": "vgg16c.food_as_vehicles + vgg16c.vehicles_as_food",
    "vgg16c.n_wrong": "vgg16c.dogs_as_food + vgg16c.food_as_dogs + vgg16c.dogs_as_vehicles + vgg16c.vehicles_as_dogs + vgg16c.food_as_vehicles + vgg16c.vehicles_as_food",
}

# %% [markdown]
# #### 2.5 (e) Precision, recall and F1 <a id="i-2-5e"></a>

# %%
class_report(y_test, vgg_probs.argmax(1), CLASSES)

# %% [markdown]
# Vehicles, in the fewest mix-ups, have an F1 of {{vgg16c.vehicles_F1:.3f}}, dogs, in the most, {{vgg16c.dogs_F1:.3f}}. Precision and recall agree within each class: no class is
# favoured. Macro-F1 equals accuracy to the third decimal, as expected where classes are balanced and errors nearly symmetric.

# %% tags=["facts"]
report = class_report(y_test, vgg_probs.argmax(1), CLASSES)["f1-score"]
facts = {f"vgg16c.{name}_F1": float(report[name]) for name in CLASSES}

# %% [markdown]
# #### 2.5 (f) TensorBoard <a id="i-2-5f"></a>
#
# Loss and accuracy of every epoch are in event files; `tensorboard --logdir runs/tensorboard` shows them interactively. The charts are left as SVG in `figures/`.

# %%
from a1.plots import plot_events

plot_events(vgg, COLORS["vgg16c"], "a1_part_1_vgg16c_tensorboard.svg")

# %% [markdown]
# **Figure {{fig:vgg_tensorboard}}.** The TensorBoard scalars of the VGG-16C run, read back from its event files; training grows to 48 and 64 pixels after epochs 8 and 13.

# %% [markdown]
# #### 2.5 (g) Misclassified photos <a id="i-2-5g"></a>

# %%
from a1.plots import plot_mistakes

plot_mistakes(images[split["test"]], y_test, vgg_probs, CLASSES)

# %% [markdown]
# **Figure {{fig:vgg_mistakes}}.** VGG-16C's surest mistakes, a column a kind; above each the probability of the wrong answer.
#
# Of the {{vgg16c.n_wrong}} these are the surest three of each kind. In about half of them something else fills most of the photo, which may be the reason: dogs in a field, a quiz show, someone's arms; hands and faces of people eating; a child among bottles, a market stall. Vehicles taken for dogs show hardly a wheel.

# %% [markdown]
# ### 2.6 Saving the weights <a id="i-2-6"></a>
#
# The best epoch's weights as a float16 state dict, half the size; read back into a fresh network they must reproduce the test accuracy. The file of the run above was lost with the machine that trained it; the one kept is that of a second run, with another seed (3.5 (b)), which is right on {{vgg16c.highest:.1%}}:

# %%
from a1.evaluate import release

_ = release(vggs[:2][-1], make_vgg, data, "a1_part1_vgg16c.pt")

# %% [markdown]
# ## 3. ResNet-18
#
# ### 3.1 The residual block <a id="i-3-1"></a>
#
# A block computes $y = \mathrm{ReLU}(F(x) + x)$: it learns the *change* to its input. If none is best, $F$ can go to zero (through the scale of
# its last batch norm), and since $x$ is the output of a ReLU, $y = x$: an **identity mapping**, which a plain stack of layers would have to
# learn. Where a block halves the resolution, a strided 1x1 convolution brings $x$ to the new shape.

# %%
from a1.models.resnet import BasicBlock

block = BasicBlock(64, 64).eval()
nn.init.zeros_(block.bn2.weight)  # F(x) = 0: the block is the identity
assert torch.equal(block(x := torch.rand(2, 64, 8, 8)), x)

# %% [markdown]
# ### 3.2 The network <a id="i-3-2"></a>
#
# Stem, four stages of two blocks, average pooling, one linear layer: 17 convolutions and the classifier make the eighteen. The paper's 7x7 stem with its max-pool divides
# the input by 4, which would leave the last stage 2x2 positions of a 64-pixel photo, where VGG's last convolutions have 4x4. A 3x3 stem of stride 1 leaves it 4x4, too, for fourfold computation and no more parameters. What that is worth was not measured.

# %%
from a1.models.resnet import ResNet18

make_resnet = partial(ResNet18, width=64 if FULL else 16)
layer_table(make_resnet(), nn.Conv2d, nn.MaxPool2d, BasicBlock, nn.Linear)

# %% [markdown]
# ### 3.3 Training <a id="i-3-3"></a>
#
# Same photos, split, augmentation, batches, schedule, resizing and epochs as VGG-16C. Two things differ: no dropout (3.4), and the rate peaks
# at 0.1, the paper's, not searched for. In 2.3 VGG stayed at {{wide.sgd10:.1%}} with it, chance.

# %%
recipe = FINAL | {"lr": 0.1 if FULL else 0.003}
resnets = [train_once(f"resnet18/seed{k}", make_resnet, recipe | {"seed": k}, data) for k in SEEDS]
resnet = resnets[0]
print({key: resnet[key] for key in ("device", "precision", "best_epoch")})

# %% [markdown]
# ### 3.4 Regularisation <a id="i-3-4"></a>
#
# All four techniques together gave VGG the highest mean, {{reg.all_four:.1%}}, if by less than the noise, a small gap and no accidents. ResNet-18 gets the same augmentation, decay,
# smoothing and choice of the best epoch. Dropout is the exception: it sat between VGG's wide linear layers, and ResNet has none. Where the two recipes differ:

# %%
{k: {"ResNet-18": recipe[k], "VGG-16C": FINAL[k]} for k in FINAL if recipe[k] != FINAL[k]}

# %% [markdown]
# ### 3.5 (a) Evaluation <a id="i-3-5a"></a>

# %%
metrics_table(resnet)

# %% [markdown]
# Validation and test accuracy lie within each other's interval again, and training photos are fitted {{resnet18.gap:.1f}} points better than test photos, as with VGG.
#
# #### Accuracy and loss over the epochs, from TensorBoard

# %%
plot_events(resnet, COLORS["resnet18"], "a1_part_1_resnet18_tensorboard.svg")

# %% [markdown]
# **Figure {{fig:tensorboard}}.** ResNet-18: accuracy and cross-entropy per epoch, read back from its event files; training grows to 48 and 64 pixels after epochs 8 and 13.
#
# While training is at 32 pixels, validation at 64 swings by tens of points, VGG-16C's by a few: perhaps because batch norm's statistics, fitted to small photos, meet larger ones, perhaps for its five times higher rate. From the first epoch at 64 pixels the curves stay together.

# %% tags=["facts"]
report = class_report(y_test, resnet["test"]["test_probs"].argmax(1), CLASSES)["f1-score"]
facts = {f"resnet18.{name}_F1": float(report[name]) for name in CLASSES}
facts |= {"resnet18.parameters": resnet["parameters"]}
for name, record in (("vgg16c", vgg), ("resnet18", resnet)):
    n = record["sizes"]["test"]
    low, high = binomtest(round(record["metrics"]["test_acc"] * n), n).proportion_ci(method="wilson")
    facts |= {f"{name}.{key}": value for key, value in record["metrics"].items()}
    gap = 100 * (record["metrics"]["train_acc"] - record["metrics"]["test_acc"])
    facts |= {f"{name}.epochs": len(record["history"]), f"{name}.gap_points": gap}
    facts |= {f"{name}.test_low": float(low), f"{name}.test_high": float(high), f"{name}.run": f"{name}/seed0"}
derived = {"resnet18.gap": "100 * (resnet18.train_acc - resnet18.test_acc)"}

# %% [markdown]
# #### Confusion matrix, precision, recall and F1

# %%
resnet_probs = resnet["test"]["test_probs"]
display(plot_confusion(y_test, resnet_probs.argmax(1), CLASSES))
class_report(y_test, resnet_probs.argmax(1), CLASSES)

# %% [markdown]
# **Figure {{fig:confusion}}.** ResNet-18 on the test part.
#
# {{resnet18.n_wrong}} mistakes, fewer of every pair than VGG-16C; dogs and food ({{resnet18.dogs_food}}) are again the hardest pair, then dogs and vehicles ({{resnet18.dogs_vehicles}}), food and vehicles ({{resnet18.food_vehicles}}) the easiest. F1 orders the classes the same way: vehicles, food, dogs.

# %% tags=["facts"]
wrong = confusion_matrix(y_test, resnet_probs.argmax(1))
pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
facts = {f"resnet18.{CLASSES[i]}_as_{CLASSES[j]}": int(wrong[i, j]) for i, j in pairs}
derived = {
    "resnet18.dogs_food": "resnet18.dogs_as_food + resnet18.food_as_dogs",
    "resnet18.dogs_vehicles": "resnet18.dogs_as_vehicles + resnet18.vehicles_as_dogs",
    "resnet18.food_vehicles": "resnet18.food_as_vehicles + resnet18.vehicles_as_food",
    "resnet18.n_wrong": "resnet18.dogs_as_food + resnet18.food_as_dogs + resnet18.dogs_as_vehicles + resnet18.vehicles_as_dogs + resnet18.food_as_vehicles + resnet18.vehicles_as_food",
}

# %% [markdown]
# #### Misclassified photos

# %%
plot_mistakes(images[split["test"]], y_test, resnet_probs, CLASSES)

# %% [markdown]
# **Figure {{fig:mistakes}}.** ResNet-18's surest mistakes, a column a kind.
#
# Ten of these 18 photos stand in Figure {{fig:vgg_mistakes}}, too: much of what is hard lies in the photos. Among the new ones are a dog in a van
# and a truck in the snow taken for food, for which we see no reason.

# %% [markdown]
# ### 3.5 (b) Both networks <a id="i-3-5b"></a>

# %%
final = {"vgg16c": vgg, "resnet18": resnet}
plot_history(final)

# %% [markdown]
# **Figure {{fig:both}}.** Accuracy and cross-entropy of both networks; the loss is cut at 1.2, dots and dotted lines as in Figure {{fig:vgg_history}}.

# %%
plot_history(final, first=grown + 1)
late = {NAMES[n]: pd.DataFrame(run["history"]).set_index("epoch") for n, run in final.items()}
pd.DataFrame({n: history["val_acc"].iloc[grown:] for n, history in late.items()}).T.round(4)

# %% [markdown]
# **Figure {{fig:late}}.** The epochs at 64 pixels alone.
#
# At epoch 14 VGG-16C is ahead in validation ({{late.vgg14:.1%}} against {{late.resnet14:.1%}}). Afterwards, while the rate falls, ResNet-18 gains {{late.resnet_gain:.1f}} points and VGG-16C {{late.vgg_gain:.1f}}. In training ResNet-18 is ahead in all seven; VGG's curve has dropout on; without (4.3) the order stays.

# %% tags=["facts"]
accs = {name: history["val_acc"].round(4).tolist() for name, history in late.items()}
facts = {"late.vgg14": accs["VGG-16C"][grown], "late.resnet14": accs["ResNet-18"][grown]}
facts |= {"late.vgg_best": max(accs["VGG-16C"][grown:]), "late.resnet_best": max(accs["ResNet-18"][grown:])}
derived = {
    "late.vgg_gain": "100 * (late.vgg_best - late.vgg14)",
    "late.resnet_gain": "100 * (late.resnet_best - late.resnet14)",
}

# %%
a, b = (probs.argmax(1) == y_test for probs in (vgg_probs, resnet_probs))
only_vgg, only_resnet, both = (int(hits.sum()) for hits in (a & ~b, b & ~a, ~a & ~b))
p = binomtest(only_vgg, max(1, only_vgg + only_resnet)).pvalue
print(f"right: only VGG-16C {only_vgg}, only ResNet-18 {only_resnet}, none {both}; p = {p:.1e}")
costs = [summary(make(), (1, 3, 64, 64), verbose=0) for make in (make_vgg, make_resnet)]
rows = [(f"{c.total_params:,}", round(c.total_mult_adds / 1e6)) for c in costs]
table = pd.DataFrame(rows, ["VGG-16C", "ResNet-18"], ["parameters", "M multiply-adds"])
kept = ~twins.numpy()
table.assign(test_acc=[a.mean(), b.mean()], without_near_copies=[a[kept].mean(), b[kept].mean()])

# %% [markdown]
# Both face the same photos, so the test is paired: on {{only_one}} exactly one is right, and on {{only_resnet}} of these it is ResNet-18 (McNemar's exact
# test, p = {{mcnemar_p:.1e}}). ResNet-18 costs less, too: a third of the parameters, {{work:.0%}} of the
# multiply-adds. Without the near copies of 1.4 the accuracies hardly change. Both are wrong on {{both_wrong}} photos, {{shared:.0%}} of ResNet-18's mistakes. With other seeds:

# %% tags=["facts"]
facts = {"only_vgg": only_vgg, "only_resnet": only_resnet, "both_wrong": both, "mcnemar_p": float(f"{p:.1e}")}
facts |= {f"{name}.mult_adds": work for name, (_, work) in zip(final, rows)}
derived = {
    "only_one": "only_vgg + only_resnet",
    "shared": "both_wrong / (both_wrong + only_vgg)",
    "work": "resnet18.mult_adds / vgg16c.mult_adds",
}

# %%
seeds = {"ResNet-18": resnets, "VGG-16C": vggs}
accs = pd.DataFrame({n: [r["metrics"]["test_acc"] for r in of] for n, of in seeds.items()})
ci = ttest_ind(*accs.T.to_numpy()).confidence_interval()
print(f"ResNet-18's lead, 95% interval: {ci.low:.2%} to {ci.high:.2%}")
accs.T.assign(mean=accs.mean(), sd=accs.std()).round(4)

# %% tags=["facts"]
facts = {}
for key in final:
    facts |= {f"{key}.mean_test_acc": round(float(accs[NAMES[key]].mean()), 4)}
    facts |= {f"{key}.sd_test_acc": round(float(accs[NAMES[key]].std()), 4)}
facts["runs"] = " ".join(f"{key}/seed{k}" for key in final for k in SEEDS)
facts |= {"seeds.low": float(f"{ci.low:.4f}"), "seeds.high": float(f"{ci.high:.4f}")}
facts |= {"resnet18.lowest": float(accs["ResNet-18"].min().round(4))}
facts |= {"vgg16c.highest": float(accs["VGG-16C"].max().round(4))}
derived = {
    "seeds.lead": "100 * (resnet18.mean_test_acc - vgg16c.mean_test_acc)",
    "seeds.least": "100 * seeds.low",
    "seeds.most": "100 * seeds.high",
    "seeds.nearest": "100 * (resnet18.lowest - vgg16c.highest)",
}

# %% [markdown]
# Over three seeds ResNet-18 averages {{resnet18.mean_test_acc:.1%}} (standard deviation {{resnet18.sd_test_acc:.2%}}), VGG-16C {{vgg16c.mean_test_acc:.1%}} ({{vgg16c.sd_test_acc:.2%}}): {{seeds.lead:.1f}} points apart ({{seeds.least:.1f}} to {{seeds.most:.1f}} by a t interval), less than the pair above; the worst ResNet-18 is {{seeds.nearest:.1f}} ahead of the best VGG-16C. So the order is not the seed's doing.
#
# ### 3.6 Saving the weights <a id="i-3-6"></a>

# %%
_ = release(resnet, make_resnet, data, "a1_part1_resnet18.pt")

# %% [markdown]
# ## 4. Discussion and conclusion
#
# ### 4.1 Small filters, depth, residual connections <a id="i-4-1"></a>
#
# **VGG.** Two stacked 3x3 convolutions see 5x5 pixels, three see 7x7. With $C$ channels three 3x3 layers have $27C^2$ weights where one 7x7 layer has $49C^2$, and three ReLUs instead of
# one: depth with small filters buys a more discriminative function for less.
#
# **The price of depth.** The gradient at an early layer is a product of Jacobians, $\frac{\partial L}{\partial x_l} = \frac{\partial L}{\partial x_L}\,\frac{\partial x_L}{\partial x_{L-1}}\cdots\frac{\partial x_{l+1}}{\partial x_l}$. If most factors
# shrink a vector it vanishes, if most stretch it, it explodes. Figure {{fig:init}} is the forward half of the same product. He's initialisation sets the factors to one at the start.
#
# **ResNet.** A residual block computes $x_{l+1} = x_l + F(x_l)$ (before its last ReLU), so its Jacobian is $I + \partial F / \partial x_l$. Multiplied out, the product over blocks contains the identity: a
# path for the gradient past every $F$.
#
# **Identity mapping** is the other merit. A deeper plain network could copy a shallower one by letting its extra layers be the identity, yet He et al. saw deeper ones do *worse*, in training error too: an identity is hard to find
# among stacked nonlinear layers. With the shortcut it is the default, reached by $F = 0$ (the assertion in 3.1). They held vanishing gradients an unlikely cause, since their plain networks had batch norm:
# keeping gradients alive and making the identity easy are two different merits.

# %% [markdown]
# ### 4.2 What regularisation and optimisation did <a id="i-4-2"></a>
#
# For ResNet-18, at a quarter of its width on the studies' stage, augmentation alone is switched, with decay and smoothing on.

# %%
narrow, base = partial(ResNet18, width=16), LONG | {"lr": 0.1}
tried = {"with": (narrow, base), "without": (narrow, base | {"augment": []})}
effect = table_of(run_study("resnet_augmentation", tried, SEEDS, study_data))
effect

# %% [markdown]
# | decision | VGG-16C | ResNet-18 |
# |---|---|---|
# | initialisation (2.2) | normal, Xavier, He: {{init.normal:.1%}}, {{init.xavier:.1%}}, {{init.he:.1%}} | He |
# | learning rate | at full width 0.02: {{wide.sgd02:.1%}}, 0.05: {{wide.sgd05:.1%}}, 0.1: {{wide.sgd10:.1%}} (2.3) | trains at 0.1 |
# | optimizer at its own rate | AdamW {{opt.adamw:.1%}}, Adam {{opt.adam:.1%}}, SGD {{opt.sgd:.1%}}, RMSprop {{opt.rmsprop:.1%}} (2.3) | SGD |
# | schedule (2.2) | plateau at 0.01, one cycle within noise; plateau, constant at 0.02 unreliable | one cycle |
# | augmentation (2.4) | gap {{reg.none_gap:.1f}} to {{reg.augmentation_gap:.1f}} points; accuracy within noise | {{effect.off_gap:.1f}} to {{effect.on_gap:.1f}} points; {{effect.off:.1%}} to {{effect.on:.1%}} |
# | decay, dropout, smoothing (2.4) | alone a point or two lost, near noise; all four {{reg.all_four:.1%}}, gap {{reg.all_four_gap:.1f}} | decay, smoothing used |
#
# **Optimisation decides whether a plain deep network learns at all**; of ResNet-18's none was varied here. **Regularisation decides how much is memorised.** Without augmentation ResNet-18 fits the
# small training set to {{effect.off_train:.1%}}, decay and smoothing notwithstanding; with it, validation gains {{effect.gain:.1f}} points, several times the spread, where VGG-16C's was noise.

# %% tags=["facts"]
facts = {}
for key, name in (("on", "with"), ("off", "without")):
    facts |= {f"effect.{key}": float(effect.loc[name, "val_acc"])}
    facts |= {f"effect.{key}_gap": float(effect.loc[name, "gap_points"])}
facts["effect.off_train"] = float(effect.loc["without", "train_acc"])
derived = {"effect.gain": "100 * (effect.on - effect.off)"}

# %% [markdown]
# ### 4.3 Which network is better, and why <a id="i-4-3"></a><a id="i-bar"></a>

# %%
table = pd.DataFrame({NAMES[name]: run["metrics"] for name, run in final.items()}).T.round(4)
table.filter(regex="acc|loss").assign(required=["> 75%", "> 80%"])

# %% [markdown]
# **Which.** ResNet-18 beats the base model, VGG-16C, by {{lead:.1f}} points, outside the noise of test photos (p = {{mcnemar_p:.1e}}) and seeds (3.5 (b)), with fewer mistakes of every kind.
#
# **Why.** Not because it overfits less: the gaps to the test part are {{vgg16c.gap43:.1f}} and {{resnet18.gap43:.1f}} points. *The lead is there on the training photos already.* So easier optimisation is the likelier reason: ResNet-18 trains at five times the rate. Which ingredient does it the two runs cannot tell: they differ in
# shortcuts, batch norm, head, final resolution, dropout, initialisation and rate at once. Part II takes some away.

# %% tags=["facts"]
facts = {}
derived = {
    "lead": "100 * (resnet18.test_acc - vgg16c.test_acc)",
    "vgg16c.gap43": "100 * (vgg16c.train_acc - vgg16c.test_acc)",
    "resnet18.gap43": "100 * (resnet18.train_acc - resnet18.test_acc)",
}

# %% [markdown]
# ### 4.4 Summary and recommendation <a id="i-4-4"></a>
#
# - **Summary.** From scratch on {{n_train:,}} photos VGG-16C gets {{vgg16c.test_acc:.1%}} of the test photos right, ResNet-18 {{resnet18.test_acc:.1%}}. Both pass the bar.
# - **Key differences.** ResNet-18 averages over positions where VGG has three linear layers, hence a third of the parameters: heads aside they have 11.2 and 10.0 million.
# - **Advantages of residual connections seen here**: it trains at a rate that left VGG at chance, with fewer parameters and less work. A disadvantage: its accuracy swings while training and validation differ in resolution.
# - **Recommendation.** ResNet-18 as configured here: one cycle up to 0.1 (the bonus finds 0.2 better), all of 2.4 but dropout, growing resolution.

# %% tags=["facts"]
facts, derived = {}, {}

# %% [markdown]
# ### 4.5 References
#
# - K. Simonyan, A. Zisserman. *Very Deep Convolutional Networks for Large-Scale Image Recognition.* ICLR 2015. [arXiv:1409.1556](https://arxiv.org/abs/1409.1556)
# - K. He, X. Zhang, S. Ren, J. Sun. *Deep Residual Learning for Image Recognition.* CVPR 2016. [arXiv:1512.03385](https://arxiv.org/abs/1512.03385); *Delving Deep into Rectifiers.* ICCV 2015. [arXiv:1502.01852](https://arxiv.org/abs/1502.01852) (initialisation)
# - X. Glorot, Y. Bengio. *Understanding the Difficulty of Training Deep Feedforward Neural Networks.* AISTATS 2010.
# - L. N. Smith, N. Topin. *Super-Convergence.* 2019. [arXiv:1708.07120](https://arxiv.org/abs/1708.07120). P. Goyal et al. *Accurate, Large Minibatch SGD.* 2017. [arXiv:1706.02677](https://arxiv.org/abs/1706.02677)
# - C. Szegedy et al. *Rethinking the Inception Architecture.* CVPR 2016. [arXiv:1512.00567](https://arxiv.org/abs/1512.00567) (label smoothing). N. Srivastava et al. *Dropout.* JMLR 15, 2014. S. Ioffe, C. Szegedy. *Batch Normalization.* ICML 2015.
# - D. Kingma, J. Ba. *Adam.* ICLR 2015. I. Loshchilov, F. Hutter. *Decoupled Weight Decay Regularization.* ICLR 2019. T. Tieleman, G. Hinton. *RMSprop*, Coursera, 2012. E. B. Wilson, JASA 22, 1927. Q. McNemar, Psychometrika 12, 1947.
# - The course's CNN data set; the documentation of [PyTorch](https://docs.pytorch.org), [scikit-learn](https://scikit-learn.org), [pandas](https://pandas.pydata.org), [seaborn](https://seaborn.pydata.org), [torchinfo](https://github.com/TylerYep/torchinfo), [TensorBoard](https://www.tensorflow.org/tensorboard).
#
# ### Running it again
#
# `A1_PROFILE=full` is the reported experiment, hours on a CPU; `quick`, the default without a GPU, rehearses every line. Runs of the same recipe, data and code are read from `runs/`;
# what you change is trained anew (what eight steps cannot show, such as another patience of the plateau rule, with `RETRAIN=1`).

# %% tags=["reported"]
REPORTED = {"vgg16c.test_acc": None, "resnet18.test_acc": None}
again = {f"{name}.test_acc": run["metrics"]["test_acc"] for name, run in final.items()}
pd.DataFrame({"reported": REPORTED, "this run": again}).round(4)
