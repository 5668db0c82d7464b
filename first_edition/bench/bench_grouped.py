"""Grouped 3x3 convolutions against what their multiply-adds promise: `python -m bench.bench_grouped`.

C groups divide a convolution's multiply-adds by C. By how much they divide its time, forward and backward, the
first table says, for the 3x3 convolutions of our ResNeXt's four stages at 64x64; all variants of a layer take
turns in one process. The second has ResNeXt's first block in its three forms. Goal: the grouped one is fastest.
"""

import argparse
from functools import partial

import torch
from torch import nn

from a1.evaluate import median_seconds
from a1.models.resnext import ResNeXtBlock, early_concatenation, split_transform_merge
from a1.setup import DEVICE, seed_everything
from a1.train import mixed_precision

LAYERS = {128: 32, 256: 16, 512: 8, 1024: 4}  # channels of the 3x3 convolution: side of its feature maps
CARDINALITIES = (1, 2, 4, 8, 16, 32)


def draw(options, channels, side):
    """A feature map [N, channels, side, side] as a layer within the network meets it."""
    layout = torch.contiguous_format if options.contiguous else torch.channels_last
    low = torch.float16 if DEVICE.type == "cuda" else torch.bfloat16
    x = torch.randn(options.batch_size, channels, side, side, device=DEVICE)
    return x.to(dtype=torch.float32 if options.float32 else low, memory_format=layout).requires_grad_()


def prepare(options, module):
    layout = torch.contiguous_format if options.contiguous else torch.channels_last
    return module.to(DEVICE, memory_format=layout).train()


def in_turn(options, forwards, x, gradient):
    """Median seconds of a forward and backward pass of each of `forwards`, {name: function of x}."""

    def step(forward):
        with mixed_precision(DEVICE, not options.float32):
            y = forward(x)
        y.backward(gradient.to(y.dtype))

    steps = {name: partial(step, forward) for name, forward in forwards.items()}
    return median_seconds(steps, options.repeats)


def print_convolutions(options):
    columns = ("feature map", "groups", "of", "M multiply-adds", "ms per step", "promised", "measured")
    print("{:<14} {:>6} {:>5} {:>16} {:>12} {:>10} {:>10}".format(*columns))
    for channels, side in LAYERS.items():
        convolutions = {
            groups: prepare(options, nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False))
            for groups in CARDINALITIES
        }
        x, gradient = draw(options, channels, side), draw(options, channels, side).detach()
        seconds = in_turn(options, convolutions, x, gradient)
        for groups, conv in convolutions.items():
            print(
                f"{f'{channels} x {side} x {side}':<14} {groups:>6} {channels // groups:>5} "
                f"{conv.weight.numel() * side**2 / 1e6:>16.1f} {1000 * seconds[groups]:>12.2f} "
                f"{f'{groups} x':>10} {seconds[1] / seconds[groups]:>8.1f} x",
                flush=True,
            )


def print_forms(options):
    block = prepare(options, ResNeXtBlock(192, 192, cardinality=32, width=4))
    forms = {
        "grouped convolution": block,
        "early concatenation": partial(early_concatenation, block),
        "split, transform, merge": partial(split_transform_merge, block),
    }
    x, gradient = draw(options, 192, 32), draw(options, 192, 32).detach()
    seconds = in_turn(options, forms, x, gradient)
    print(f"\n{'block, 192 x 32 x 32, 32 paths':<32} {'ms per step':>12} {'ratio':>8}   goal")
    for name, value in seconds.items():
        goal = "" if forms[name] is block else "   >= 1"
        print(f"{name:<32} {1000 * value:>12.1f} {value / seconds['grouped convolution']:>8.1f}{goal}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5, help="steps of each; the median counts")
    parser.add_argument("--float32", action="store_true", help="instead of mixed precision")
    parser.add_argument("--contiguous", action="store_true", help="instead of channels last")
    parser.add_argument("--threads", type=int, help="of PyTorch; by default one a core")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    seed_everything(0)
    precision = "float32" if options.float32 else "mixed precision"
    layout = "contiguous" if options.contiguous else "channels last"
    print(f"batches of {options.batch_size}, {precision}, {layout}, {DEVICE}, {torch.get_num_threads()} threads, "
          f"median of {options.repeats}\n")  # fmt: skip
    print_convolutions(options)
    print_forms(options)


if __name__ == "__main__":
    main()
