"""One training loop, and what it can be told to do."""

import time
from functools import partial

import numpy as np
import torch
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau

from a1.setup import LOW

SAVE_EVERY = 60  # seconds between checkpoints
RECIPE = (  # what may differ from run to run; lr: the highest; image_sizes: of the first epochs
    {"epochs": 10, "batch_size": 128, "optimizer": "sgd", "lr": 0.1, "weight_decay": 5e-4}
    | {"schedule": "one_cycle", "label_smoothing": 0.1, "clip_norm": None, "patience": None}
    | {"augment": ["flip", "shift", "color"], "image_sizes": [], "amp": True, "seed": 0}
)
OPTIMIZERS = {
    "sgd": partial(SGD, momentum=0.9, nesterov=True),
    "adam": partial(Adam, fused=True),
    "adamw": partial(AdamW, fused=True),
    "rmsprop": RMSprop,
}
SCHEDULES = {  # (optimizer, highest rate, steps in all)
    "one_cycle": lambda opt, lr, n: OneCycleLR(opt, lr, total_steps=n, cycle_momentum=False),
    "plateau": lambda opt, *_: ReduceLROnPlateau(opt, "max", factor=0.1, patience=2, threshold=0),
    "constant": lambda opt, *_: LambdaLR(opt, lambda epoch: 1.0),
}


@torch.no_grad()
def evaluate(model, data, part, recipe, amp=False):
    """Metrics of a part, each example once and unchanged, and the outputs [N, K] on the CPU."""
    model.eval()
    device, outputs, targets = next(model.parameters()).device, [], []
    for x, y in data.batches(part, recipe):
        with torch.autocast(device.type, LOW, enabled=amp):
            outputs.append(model(x).float())
        targets.append(y)
    outputs = torch.cat(outputs).cpu()
    return data.metrics(outputs, torch.cat(targets).cpu()), outputs


def train(model, recipe, data, save=None, saved=None):
    """Train to the end, from what was `saved` if anything: the run's state, which has its history
    (measures, rate and seconds of each epoch) and the best epoch's weights."""
    device = next(model.parameters()).device
    amp = recipe["amp"] and LOW != torch.float32
    make, steps = OPTIMIZERS[recipe["optimizer"]], data.steps(recipe)
    optimizer = make(model.parameters(), lr=recipe["lr"], weight_decay=recipe["weight_decay"])
    by_step = recipe["schedule"] == "one_cycle"
    scheduler = SCHEDULES[recipe["schedule"]](optimizer, recipe["lr"], recipe["epochs"] * steps)
    scaler = torch.amp.GradScaler(device.type, enabled=amp and LOW == torch.float16)
    rng = torch.cuda if device.type == "cuda" else torch  # all random numbers are drawn there
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    state = {"history": [], "first_losses": [], "best": None}
    if saved:
        state = saved["state"]
        for name, part in parts.items():
            part.load_state_dict(saved[name] or part.state_dict())  # an unused scaler has none
        if saved["device"] == device.type:
            rng.set_rng_state(saved["rng"])
        else:
            print(f"goes on from {saved['device']} on {device.type}: not bit for bit")
    last_save = time.perf_counter()
    for epoch in range(len(state["history"]), recipe["epochs"]):
        scores = [data.score(past) for past in state["history"]]
        if recipe["patience"] and scores and epoch - np.argmax(scores) > recipe["patience"]:
            break
        started, lr = time.perf_counter(), optimizer.param_groups[0]["lr"]
        sums, losses, seen = {}, [], 0
        model.train()
        for x, y in data.batches("train", recipe, epoch):
            with torch.autocast(device.type, LOW, enabled=amp):
                outputs = model(x).float()
                loss = data.loss(outputs, y, recipe)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            if recipe["clip_norm"]:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip_norm"])
            scaler.step(optimizer)
            scaler.update()
            if by_step:
                scheduler.step()
            with torch.no_grad():  # sums stay on the device: nothing waits for it in a step
                for name, value in data.measures(outputs, y).items():
                    sums[name] = sums.get(name, 0) + value
            losses, seen = losses + [loss.detach()] * (len(losses) < 8), seen + len(y)
        val, _ = evaluate(model, data, "val", recipe, amp)
        state["history"].append(
            {"epoch": epoch + 1}
            | {f"train_{name}": float(value) / seen for name, value in sums.items()}
            | {f"val_{name}": val[name] for name in sums}
            | {"lr": lr, "seconds": time.perf_counter() - started}
        )
        score = data.score(state["history"][-1])
        if recipe["schedule"] == "plateau":
            scheduler.step(score)
        if score > max(scores, default=float("-inf")):
            weights = model.state_dict().items()
            state["best"] = {name: value.detach().cpu().clone() for name, value in weights}
        state["first_losses"] = state["first_losses"] or [float(loss) for loss in losses]
        if save and time.perf_counter() - last_save > SAVE_EVERY:
            states = {name: part.state_dict() for name, part in parts.items()}
            save(states | {"state": state, "rng": rng.get_rng_state(), "device": device.type})
            last_save = time.perf_counter()
        if save and (epoch == 0 or "test" in data.y):  # of a study's runs only the first
            minutes = recipe["epochs"] * state["history"][0]["seconds"] / 60
            numbers = {key: round(value, 4) for key, value in state["history"][-1].items()}
            print(f"  {numbers}, about {minutes:.1f} min in all", flush=True)
    return state
