"""An epoch in batches of like length against all padded to the longest: `python -m bench.bench_buckets`.

The same network (the baseline of part IV), drawn texts with the lengths that airline tweets have, one thread.
The ways take turns, batch by batch. Goal: half the time. Random batches that are padded to their own longest text
stand between, to tell what sorting adds; so do batches padded to the 40 words that the notebook reads, against which
less than half the time is not to be expected, since half of such a batch is words.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch

from a1.models.sentiment import SentimentLSTM
from a1.text import PAD, TextLoader, TextRecipe
from a1.train import OPTIMIZERS, train_epoch

WORDS = 5000
READ = 40  # words of a tweet that the notebook reads
LONGEST = 53  # of the airline tweets, in words; their mean is 20.7
BATCH_SIZE = 64
GOAL = 2


def draw(texts):
    """Random word numbers, int64 [T] each; lengths about those of airline tweets, the longest LONGEST."""
    rng = np.random.default_rng(0)
    lengths = rng.normal(20.7, 8, texts).round().clip(1, LONGEST).astype(int)
    lengths[0] = LONGEST
    return [torch.from_numpy(rng.integers(2, WORDS, length)) for length in lengths]


def check_equal(model):
    """Padding costs time and changes nothing: the same logits."""
    [(x, _)] = TextLoader(draw(16), torch.zeros(16, dtype=torch.int64), 16)
    padded = torch.nn.functional.pad(x, (0, 10), value=PAD)
    model.eval()
    torch.testing.assert_close(model(padded), model(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=3200, help="texts in an epoch")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = SentimentLSTM(WORDS, hidden_size=64)
    check_equal(model)
    recipe = TextRecipe(epochs=1)
    optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), recipe.lr, recipe.weight_decay)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    texts, labels = draw(options.texts), torch.arange(options.texts) % 3
    ways = {
        "bucketed": {"bucketed": True},
        "random batches": {},
        f"all padded to {READ}": {"pad_to": READ},
        f"all padded to {LONGEST}": {"pad_to": LONGEST},
    }
    cut = [text[:READ] for text in texts]
    loaders = {
        name: TextLoader(cut, labels, BATCH_SIZE, train=True, **options) for name, options in ways.items()
    }
    times = {name: [] for name in ways}
    for _ in range(options.repeats):
        seconds = dict.fromkeys(ways, 0.0)
        for batches in zip(*loaders.values()):
            for name, batch in zip(ways, batches):
                started = time.perf_counter()
                train_epoch(model, [batch], optimizer, recipe, scaler)
                seconds[name] += time.perf_counter() - started
        for name in ways:
            times[name].append(seconds[name])
    words = sum(map(len, cut))
    slowest = median(times[f"all padded to {LONGEST}"])
    print(f"{options.texts:,} texts of {words / len(texts):.1f} words, batches of {BATCH_SIZE}, "
          f"median of {options.repeats} epochs\n")  # fmt: skip
    print(f"{'':<18} {'s an epoch':>10} {'padding':>8} {'speed':>6}   goal")
    for name, loader in loaders.items():
        cells = sum(x.numel() for x, _ in loader)
        goal = f">= {GOAL}" if name == "bucketed" else ""
        print(
            f"{name:<18} {median(times[name]):>10.2f} {1 - words / cells:>8.0%} "
            f"{slowest / median(times[name]):>6.2f}   {goal}"
        )


if __name__ == "__main__":
    main()
