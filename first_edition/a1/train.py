"""The training loop, once: recipe, one epoch, evaluation, and a run that can be taken up again."""

import random
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score


class Classification:
    """What is minimised and measured where outputs are logits [N, K] and targets class indices [N].

    `sums` are followed in every epoch, per example; the epoch with the highest `score` keeps its weights.
    """

    @staticmethod
    def loss(outputs, y, recipe):
        return F.cross_entropy(outputs, y, label_smoothing=recipe.label_smoothing)

    @staticmethod
    def sums(outputs, y):
        """Over a batch; the loss is plain cross-entropy, smoothing or not, to compare with validation."""
        return {
            "loss": F.cross_entropy(outputs, y, reduction="sum"),
            "acc": (outputs.argmax(1) == y).sum(),
        }

    @staticmethod
    def score(epoch):
        """How good an epoch of a history is: its validation accuracy."""
        return epoch["val_acc"]

    @staticmethod
    def metrics(outputs, y):
        """Mean cross-entropy, accuracy, macro-F1 and class probabilities (float32 [N, K])."""
        predicted = outputs.argmax(1)
        return {
            "loss": float(F.cross_entropy(outputs, y)),
            "acc": float((predicted == y).float().mean()),
            "macro_f1": float(f1_score(y, predicted, average="macro")),
            "probs": outputs.softmax(1),
        }


@dataclass(frozen=True)
class Recipe:
    """The decisions about a training run that may differ from run to run."""

    objective: ClassVar = Classification  # follows from the task, so it is no decision
    epochs: int
    batch_size: int = 128
    optimizer: str = "sgd"  # a key of OPTIMIZERS
    lr: float = 0.1  # the schedule's highest
    weight_decay: float = 5e-4
    schedule: str = "one_cycle"  # or "plateau": lr / 10 when the score stops improving; or "constant"
    label_smoothing: float = 0.0
    clip_norm: float | None = None  # largest L2 norm of the whole gradient
    patience: int | None = None  # stop after so many epochs without a better score
    augment: tuple = ()  # of "flip", "shift", "color"
    image_sizes: tuple = ()  # training resolution of the first epochs, in pixels; then the full one
    amp: bool = True  # mixed precision: float16 on CUDA, bfloat16 on a CPU
    seed: int = 0

    def size_at(self, epoch: int) -> int:
        return self.image_sizes[epoch] if epoch < len(self.image_sizes) else 64


OPTIMIZERS = {
    "sgd": lambda params, lr, weight_decay: torch.optim.SGD(
        params, lr, momentum=0.9, nesterov=True, weight_decay=weight_decay, fused=True
    ),
    "plain_sgd": lambda params, lr, weight_decay: torch.optim.SGD(
        params, lr, weight_decay=weight_decay, fused=True
    ),
    "adam": lambda params, lr, weight_decay: torch.optim.Adam(
        params, lr, weight_decay=weight_decay, fused=True
    ),
    "adamw": lambda params, lr, weight_decay: torch.optim.AdamW(
        params, lr, weight_decay=weight_decay, fused=True
    ),
    "rmsprop": lambda params, lr, weight_decay: torch.optim.RMSprop(params, lr, weight_decay=weight_decay),
}


def mixed_precision(device: torch.device, enabled: bool):
    """Context in which matrix products and convolutions run in 16 bits where that is safe."""
    dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=enabled)


def train_epoch(model, batches, optimizer, recipe, scaler, scheduler=None, on_step=None):
    """One pass over `batches`; returns the objective's sums divided by the number of examples.

    `on_step(loss)` is called with the minimised loss after every step.
    """
    model.train()
    device, objective = next(model.parameters()).device, recipe.objective
    totals, seen = {}, 0
    for x, y in batches:
        with mixed_precision(device, recipe.amp):
            outputs = model(x).float()
            loss = objective.loss(outputs, y, recipe)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        if recipe.clip_norm:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        if scheduler:
            scheduler.step()
        with torch.no_grad():  # sums stay on the device: nothing waits for it in a step
            sums = objective.sums(outputs, y)
            totals = {name: totals.get(name, 0) + value for name, value in sums.items()}
        seen += len(y)
        if on_step:
            on_step(loss.detach())
    return {name: float(total) / seen for name, total in totals.items()}


@torch.no_grad()
def evaluate(model, batches, amp=False, objective=Classification):
    """The objective's metrics over `batches`: for classification loss, acc, macro_f1 and probs, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    results = []
    for x, y in batches:
        with mixed_precision(device, amp):
            outputs = model(x)
        results.append((outputs.float(), y))
    return objective.metrics(*(torch.cat(column).cpu() for column in zip(*results)))


class Training:
    """One training run, epoch by epoch; `state_dict` holds all that is needed to go on bit for bit.

    `recorder`, if any, watches the run: `start(model, scaler)` is called here, and its state is part of the run's.
    """

    def __init__(self, model, data, recipe, recorder=None):
        self.model, self.data, self.recipe = model, data, recipe
        self.device = next(model.parameters()).device
        self.optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), recipe.lr, recipe.weight_decay)
        # A small first scale: at the default 65536 the first steps overflow, are skipped, and schedulers warn.
        on_cuda = recipe.amp and self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=1024.0, enabled=on_cuda)
        steps = recipe.epochs * len(data.loader("train", recipe, train=True))
        schedules = torch.optim.lr_scheduler
        self.step_scheduler = self.epoch_scheduler = None
        if recipe.schedule == "one_cycle":
            self.step_scheduler = schedules.OneCycleLR(
                self.optimizer, recipe.lr, total_steps=steps, cycle_momentum=False
            )
        elif recipe.schedule == "plateau":
            self.epoch_scheduler = schedules.ReduceLROnPlateau(
                self.optimizer, mode="max", factor=0.1, patience=2, threshold=0
            )
        elif recipe.schedule != "constant":
            raise ValueError(f"schedule {recipe.schedule!r}: choose one_cycle, plateau or constant")
        self.history, self.first_losses, self.best = [], [], None
        self.recorder = recorder
        if recorder:
            recorder.start(model, self.scaler)

    @property
    def best_epoch(self) -> int:
        """Index of the epoch with the highest score, the first of equals: its weights are kept."""
        scores = [self.recipe.objective.score(epoch) for epoch in self.history]
        return scores.index(max(scores))

    @property
    def finished(self) -> bool:
        epochs, patience = len(self.history), self.recipe.patience
        stopped = bool(patience and epochs and epochs - 1 - self.best_epoch >= patience)
        return stopped or epochs >= self.recipe.epochs

    def epoch(self):
        """Train one epoch, validate, and keep the weights if they are the best so far."""
        started, recipe, epoch = time.perf_counter(), self.recipe, len(self.history)
        first_steps = []

        def keep_first(loss):
            if epoch == 0 and len(first_steps) < 8:
                first_steps.append(loss)

        lr = self.optimizer.param_groups[0]["lr"]
        batches = self.data.loader("train", recipe, train=True, epoch=epoch)
        train = train_epoch(
            self.model, batches, self.optimizer, recipe, self.scaler, self.step_scheduler, keep_first
        )
        val = evaluate(self.model, self.data.loader("val", recipe), recipe.amp, recipe.objective)
        self.first_losses += [float(loss) for loss in first_steps]
        self.history.append({
            "epoch": epoch + 1,
            **{f"train_{name}": value for name, value in train.items()},
            **{f"val_{name}": val[name] for name in train},
            "lr": lr,
            "seconds": time.perf_counter() - started,
        })  # fmt: skip
        if self.epoch_scheduler:
            self.epoch_scheduler.step(recipe.objective.score(self.history[-1]))
        if self.best_epoch == epoch:
            self.best = {
                name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()
            }

    def _parts(self):
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler,
                 "step_scheduler": self.step_scheduler, "epoch_scheduler": self.epoch_scheduler,
                 "recorder": self.recorder}  # fmt: skip
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self):
        algorithm, words, *position = np.random.get_state()
        rng = {"python": random.getstate(), "numpy": [algorithm, words.tolist(), *position],
               "torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}  # fmt: skip
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return {
            **state,
            "rng": rng,
            "history": self.history,
            "first_losses": self.first_losses,
            "best": self.best,
        }

    def load_state_dict(self, state):
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.history, self.first_losses, self.best = state["history"], state["first_losses"], state["best"]
        random.setstate(state["rng"]["python"])
        np.random.set_state(state["rng"]["numpy"])
        torch.set_rng_state(state["rng"]["torch"])
        torch.cuda.set_rng_state_all(state["rng"]["cuda"])
