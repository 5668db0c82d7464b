"""Records held against the code as it is: a run's first training steps made again, or, where it was
trained on a device that is not here, its weights evaluated.
"""

from itertools import islice

import torch

import a1.train
from a1.setup import DEVICE, seed_everything
from a1.train import evaluate

# Relative, one per step. In bfloat16 another number of threads or another instruction set (AMX too)
# moved the losses of the photos by up to 0.1%, 0.7% and 1.3%, those of ResNeXt, whose start diverges;
# of the others by 0.1%, 0.3% and 0.7%. Another seed moved one by 5% at least.
TOLERANCES = (0.005, 0.01, 0.02)


class Enough(Exception):
    """Raised where the first steps are done."""


class FirstSteps:
    """Data whose first epoch ends after `steps` batches; the minimised losses are kept."""

    def __init__(self, data, steps):
        self.data, self.count, self.losses = data, steps, []

    def __getattr__(self, name):
        return getattr(self.data, name)

    def batches(self, part, recipe, epoch=None):
        """The first training batches, then Enough."""
        yield from islice(self.data.batches(part, recipe, epoch), self.count)
        raise Enough

    def loss(self, outputs, y, recipe):
        """The loss, kept."""
        loss = self.data.loss(outputs, y, recipe)
        self.losses.append(loss.detach())
        return loss


def replay(make_model, recipe, data, steps=3, precision=None):
    """Losses of the first steps of a run; mixed precision in this type, by default this machine's."""
    seed_everything(recipe["seed"])
    model = make_model().to(DEVICE, memory_format=torch.channels_last)
    watched = FirstSteps(data, steps)
    here, a1.train.LOW = a1.train.LOW, precision or a1.train.LOW
    try:
        a1.train.train(model, recipe, watched)
    except Enough:
        return [float(loss) for loss in watched.losses]
    finally:
        a1.train.LOW = here


def agree(losses, recorded, tolerances=TOLERANCES):
    """Whether losses equal the first recorded ones within the tolerances."""
    return all(
        abs(a - b) <= t * abs(b) for a, b, t in zip(losses, recorded, tolerances, strict=False)
    )


WITHIN = 0.001  # of the test accuracy: other devices and float16 weights decide a few photos anew


def elsewhere(record):
    """Whether a run was trained on a kind of device that is not the one here."""
    return ("CPU" in record["device"]) != (DEVICE.type == "cpu")


def rescored(record, weights, make_model, data):
    """A record's test accuracy, and that of weights from a file, evaluated here in float32."""
    model = make_model()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    metrics, _ = evaluate(model.to(DEVICE), data, "test", record["recipe"])
    return record["metrics"]["test_acc"], metrics["acc"]
