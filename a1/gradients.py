"""What happens to signals in a network: norms of gradients, sizes of inputs, silent units."""

from collections import Counter
from functools import partial
from itertools import islice

import pandas as pd
import torch
from torch import nn

from a1.setup import DEVICE, seed_everything
from a1.train import evaluate, train


def weight_layers(model):
    """{name: layer} of convolutions and linear layers, in forward order: conv1, ..., fc1, ...;
    those on shortcuts are counted apart, so conv1, conv2, ... is the main path."""
    layers, counts = {}, Counter()
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            kind = "conv" if isinstance(module, nn.Conv2d) else "fc"
            kind = "shortcut" if "shortcut" in path else kind
            counts[kind] += 1
            layers[f"{kind}{counts[kind]}"] = module
    return layers


def watch_gradients(model):
    """{layer: []}, to which every backward pass adds the L2 norm of each weight's gradient.

    The norms stay on the device: `.item()` in the hook would make a GPU wait in every layer.
    """

    def keep(norms, gradient):
        norms.append(gradient.float().norm(p=2))

    norms = {name: [] for name in weight_layers(model)}
    for name, layer in weight_layers(model).items():
        layer.weight.register_hook(partial(keep, norms[name]))
    return norms


def watched_run(make_model, recipe, data, every=5):
    """Train and watch: a run's history, and {layer: norms of the weight's gradient}, of every few
    steps, the first one included."""
    seed_everything(recipe["seed"])
    model = make_model().to(DEVICE, memory_format=torch.channels_last)
    norms = watch_gradients(model)
    history = train(model, recipe, data)["history"]
    kept = {name: [float(f"{x:.4g}") for x in values[::every]] for name, values in norms.items()}
    return {"history": history, "norms": kept}


def measure_flow(make_model, data, recipe, batches):
    """A fresh network's signals in float32, a row a layer, averaged over some training batches.

    weight, output: L2 norm of the loss's gradient with respect to the layer's weight and output;
    input: root mean square of its input; varies: share of that energy that differs by photo.
    """
    seed_everything(0)
    model = make_model().to(DEVICE, memory_format=torch.channels_last).train()
    layers = weight_layers(model)
    sums = pd.DataFrame(0.0, list(layers), ["weight", "output", "input", "varies"])

    def see_input(name, module, inputs, output):
        x = inputs[0].detach()
        energy = x.square().mean()
        sums.loc[name, "input"] += float(energy.sqrt())
        sums.loc[name, "varies"] += float(x.var(0, correction=0).mean() / energy)

    def see_output(name, module, grad_input, grad_output):
        sums.loc[name, "output"] += float(grad_output[0].norm(p=2))

    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # a module's backward hook forbids changes of its output
    for name, layer in layers.items():
        layer.register_forward_hook(partial(see_input, name))
        layer.register_full_backward_hook(partial(see_output, name))
    seed_everything(0)  # the same photos for every network
    for x, y in islice(data.batches("train", recipe, 0), batches):
        model.zero_grad()
        data.loss(model(x.requires_grad_()), y, recipe).backward()
        for name, layer in layers.items():
            sums.loc[name, "weight"] += float(layer.weight.grad.norm(p=2))
    return sums / batches


def silent_units(model, data, recipe):
    """Units (channels, outputs) whose activation's input is positive on no validation photo."""
    highest = {}

    def watch(module, inputs):
        z = inputs[0].amax([0, *range(2, inputs[0].dim())])
        highest[module] = torch.maximum(highest.get(module, z), z)

    for module in model.modules():
        if isinstance(module, nn.ReLU | nn.LeakyReLU | nn.ELU | nn.GELU):
            module.register_forward_pre_hook(watch)
    evaluate(model, data, "val", recipe)
    return sum(int((z <= 0).sum()) for z in highest.values())
