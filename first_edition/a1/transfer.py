"""Transfer learning: recipe, discriminative learning rates, heads on frozen features, doubtful labels."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from a1.runs import compute_or_load
from a1.setup import DEVICE, seed_everything
from a1.train import Recipe

PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03)  # C of logistic regression: smaller is a stronger penalty


@dataclass(frozen=True)
class FineTuneRecipe(Recipe):
    """The decisions about fine-tuning a pre-trained network."""

    batch_size: int = 32
    optimizer: str = "adamw_by_rate"
    lr: float = 1e-3  # of the head; the network says which share of it the body gets
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    augment: tuple = ("crop", "flip", "color")
    size: int = 128  # pixels in training, after the epochs of `image_sizes`
    test_size: int = 160  # in evaluation: random crops enlarge what is in them (Touvron et al., NeurIPS 2019)

    def size_at(self, epoch: int) -> int:
        return self.image_sizes[epoch] if epoch < len(self.image_sizes) else self.size


def adamw_by_rate(params, lr, weight_decay):
    """AdamW in which each parameter learns at its own share, `param.rate`, of the scheduled rate; 1 where it has none.

    Source: Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018, section 3.2.
    """
    groups = {}
    for param in params:
        groups.setdefault(getattr(param, "rate", 1.0), []).append(param)
    groups = [{"params": members, "rate": rate} for rate, members in groups.items()]
    optimizer = torch.optim.AdamW(groups, lr, weight_decay=weight_decay, fused=True)

    # Schedulers set one rate for all groups, so the share is applied to each step alone and taken back after it.
    def apply(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            group["scheduled"], group["lr"] = group["lr"], group["lr"] * group["rate"]

    def take_back(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            group["lr"] = group["scheduled"]

    optimizer.register_step_pre_hook(apply)
    optimizer.register_step_post_hook(take_back)
    return optimizer


@torch.no_grad()
def features_of(model, batches):
    """Features of a frozen body: float32 [N, D] and labels int64 [N], NumPy, in the order of the batches."""
    model.eval()
    columns = zip(*((model.features(x).float().cpu(), y.cpu()) for x, y in batches))
    return tuple(torch.cat(column).numpy() for column in columns)


def fit_head(train, val, penalties=PENALTIES):
    """Logistic regression on standardised features, its penalty chosen on validation; train, val: (features, labels)."""
    heads = [
        make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=300, tol=1e-3)).fit(*train)
        for C in penalties
    ]
    return max(heads, key=lambda head: head.score(*val))


def probe_or_load(name, make_model, recipe, data, penalties=PENALTIES):
    """A linear head on frozen features, fitted or read: train_acc, val_acc, penalty.

    The body sees each photo once, whole and unaugmented, at the recipe's test size.
    """

    def compute():
        seed_everything(recipe.seed)
        model = make_model().to(DEVICE, memory_format=torch.channels_last)
        train, val = (features_of(model, data.loader(part, recipe)) for part in ("train", "val"))
        head = fit_head(train, val, penalties)
        return {
            "train_acc": float(head.score(*train)),
            "val_acc": float(head.score(*val)),
            "penalty": head[-1].C,
        }, {}

    config = {
        "network": repr(make_model()), "size": recipe.test_size, "penalties": list(penalties), "data": data.fingerprint,
        "seed": recipe.seed,
    }  # fmt: skip
    return compute_or_load(f"probe_{name}_{recipe.test_size}", config, compute).result


def doubts_or_load(name, make_model, recipe, data, penalty, folds=5):
    """What the other training photos say of each training photo's label: probabilities, float32 [N, K].

    Every fifth of the features is judged by a linear head that was fitted to the rest, so no label speaks for
    itself. Source: Northcutt et al., Confident Learning, JAIR 2021, section 3.
    """

    def compute():
        seed_everything(recipe.seed)
        model = make_model().to(DEVICE, memory_format=torch.channels_last)
        features, labels = features_of(model, data.loader("train", recipe))
        head = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=300, tol=1e-3))
        return {}, {"probs": cross_val_predict(head, features, labels, cv=folds, method="predict_proba")}

    config = {
        "network": repr(make_model()), "size": recipe.test_size, "penalty": penalty, "folds": folds,
        "data": data.fingerprint, "seed": recipe.seed,
    }  # fmt: skip
    return compute_or_load(f"doubts_{name}", config, compute).array("probs")


def plot_confusions(y, predicted, classes):
    """Confusion matrices side by side; predicted: {model: int64 [N]}. Returns {model: counts [K, K]}."""
    counts = {name: confusion_matrix(y, said, labels=range(len(classes))) for name, said in predicted.items()}
    fig, axes = plt.subplots(1, len(counts), figsize=(4.7 * len(counts), 5.2), sharey=True, squeeze=False)
    for ax, (name, table) in zip(axes.flat, counts.items()):
        shares = table / table.sum(1, keepdims=True).clip(1)
        sns.heatmap(shares, annot=np.where(table, table.astype(str), ""), fmt="", cmap="Blues", vmin=0, vmax=1,
                    square=True, cbar=False, annot_kws={"fontsize": 8}, xticklabels=classes, yticklabels=classes, ax=ax)  # fmt: skip
        ax.set(title=name, xlabel="predicted class")
        ax.tick_params(axis="x", rotation=90)
        ax.grid(False)
    axes[0, 0].set_ylabel("true class")
    plt.show()
    return counts
