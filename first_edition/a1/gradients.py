"""What happens inside a network in training: gradient norms, silent units, receptive fields, costs."""

import copy
from collections import Counter
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from a1.setup import DEVICE, seed_everything
from a1.train import mixed_precision


def weight_layers(model):
    """Layers with a weight that multiplies the signal, in forward order: {"conv1": module, ..., "fc1": module}.

    Convolutions on a residual network's shortcuts are counted apart, as shortcut1, shortcut2, ...: what is left
    is the main path. The order is that of definition, which in all our networks is that of execution.
    """
    layers, counts = {}, Counter()
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            kind = "shortcut" if "shortcut" in path else "conv" if isinstance(module, nn.Conv2d) else "fc"
            counts[kind] += 1
            layers[f"{kind}{counts[kind]}"] = module
    return layers


class GradientRecorder:
    """L2 norm of the loss's gradient with respect to each layer's weight, at every `every`-th training step.

    A hook on the weight tensor is given the gradient that backward is about to add to `weight.grad`. The norm
    stays on the device until it is asked for, so no step waits for it. A GradScaler's factor is divided out;
    gradient clipping comes later and does not show. In float16 (mixed precision on CUDA) gradients so small
    that they underflow even when scaled count as zero.
    """

    def __init__(self, every=10):
        self.every, self.handles = every, []

    def __repr__(self):
        return f"GradientRecorder(every={self.every})"

    def start(self, model, scaler=None):
        """Forget all and put the hooks in place. `model` stands on its device; `scaler` is a GradScaler or None."""
        self.stop()
        layers = weight_layers(model)
        self.layers, self.scaler = list(layers), scaler
        self.device = next(model.parameters()).device
        self.step, self.recording = 0, False
        self.iterations, self.norms = [], []  # the latter [layers] each, on the device
        self.handles = [model.register_forward_pre_hook(self._begin_step)]
        for index, layer in enumerate(layers.values()):
            self.handles.append(layer.weight.register_hook(partial(self._keep_norm, index)))

    def stop(self):
        """Take the hooks away; what was recorded stays."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _begin_step(self, model, inputs):
        if model.training:
            self.recording = self.step % self.every == 0
            if self.recording:
                self.iterations.append(self.step)
                self.norms.append(torch.full((len(self.layers),), torch.nan, device=self.device))
                one = torch.ones((), device=self.device)
                self.scale = self.scaler.scale(one) if self.scaler else one
            self.step += 1

    def _keep_norm(self, index, gradient):
        if self.recording:
            self.norms[-1][index] = torch.linalg.vector_norm(gradient) / self.scale

    def state_dict(self):
        norms = torch.stack(self.norms).cpu() if self.norms else torch.empty(0, len(self.layers))
        return {"step": self.step, "iterations": list(self.iterations), "norms": norms}

    def load_state_dict(self, state):
        self.step, self.iterations = state["step"], list(state["iterations"])
        self.norms = list(state["norms"].to(self.device))

    def result(self):
        """JSON: names of the layers, iterations from 0, and norms [iterations][layers] to four digits.

        Steps that a GradScaler skipped, because a gradient overflowed, are left out.
        """
        state = self.state_dict()
        rows = zip(state["iterations"], state["norms"].tolist())
        kept = [(step, row) for step, row in rows if np.isfinite(row).all()]
        return {
            "layers": self.layers,
            "iterations": [step for step, _ in kept],
            "norms": [[float(f"{norm:.4g}") for norm in row] for _, row in kept],
        }


def norms_table(recorded):
    """What a GradientRecorder recorded as a DataFrame: one row an iteration, one column a layer."""
    index = pd.Index(recorded["iterations"], name="iteration")
    return pd.DataFrame(recorded["norms"], index, recorded["layers"])


def gradients_at_start(make_model, data, recipe, batches):
    """Gradient norms of a fresh network over the first `batches` training batches, without any update.

    Returns a DataFrame, one row a layer: mean and standard deviation of the weight gradient's L2 norm over the
    batches, and the number of weights. On a GPU in float32, since float16 may lose small gradients.
    """
    loader = data.loader("train", recipe, train=True)
    if len(loader) < batches:
        raise ValueError(
            f"{batches} batches are asked for, the training part has {len(loader)}: take fewer or smaller ones"
        )
    seed_everything(recipe.seed)
    model = make_model().to(DEVICE, memory_format=torch.channels_last).train()
    seed_everything(recipe.seed)  # the same photos, augmented alike, for every network
    recorder = GradientRecorder(every=1)
    recorder.start(model)
    for x, y in islice(loader, batches):
        with mixed_precision(DEVICE, recipe.amp and DEVICE.type == "cpu"):
            loss = recipe.objective.loss(model(x).float(), y, recipe)
        loss.backward()
        model.zero_grad(set_to_none=True)
    norms = norms_table(recorder.result())
    sizes = [layer.weight.numel() for layer in weight_layers(model).values()]
    return pd.DataFrame({"mean": norms.mean(), "sd": norms.std(), "weights": sizes})


def compare_gradients(model, x, y):
    """One forward and backward pass, and four quantities of each layer: a DataFrame, one row a layer.

    weight: L2 norm of the loss's gradient with respect to the weight;
    output: the same with respect to the layer's output, the `grad_output` of a module's full backward hook;
    input: root mean square of what the layer is given;
    varies: share of that mean square that differs from photo to photo, 0 where all photos look the same.
    """
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # a full backward hook forbids changing its module's output in place
    rows = {name: {} for name in weight_layers(model)}

    def see_input(row, module, inputs, output):
        x = inputs[0].detach().double()
        row["input"] = float(x.square().mean().sqrt())
        row["varies"] = float(1 - x.mean(0).square().mean() / x.square().mean())

    def see_output_gradient(row, module, grad_input, grad_output):
        row["output"] = grad_output[0].norm(p=2).item()

    for row, layer in zip(rows.values(), weight_layers(model).values()):
        layer.register_forward_hook(partial(see_input, row))
        layer.register_full_backward_hook(partial(see_output_gradient, row))
    x = x.clone().requires_grad_()  # without it the first layer's hook warns that it has no input gradient
    F.cross_entropy(model(x), y).backward()
    for row, layer in zip(rows.values(), weight_layers(model).values()):
        row["weight"] = layer.weight.grad.norm(p=2).item()
    return pd.DataFrame.from_dict(rows, orient="index")[["weight", "output", "input", "varies"]]


@torch.no_grad()
def dead_units(model, batches, least_slope=1e-3):
    """What the units of each activation layer do over all of `batches`: a list of dicts, one a layer.

    A unit is a channel, or an output of a linear layer. `silent` counts those whose input is never positive,
    `dead` those whose slope never reaches `least_slope` in size, so that no gradient passes; `flat` is the
    share of all (unit, position, example) with a slope below it. A silent ReLU is dead, a silent leaky one is not.
    """
    kinds = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU)
    modules = [module for module in model.modules() if isinstance(module, kinds)]
    seen = {module: [] for module in modules}

    def watch(module, inputs):
        with torch.enable_grad():
            z = inputs[0].detach().float().requires_grad_()
            [slope] = torch.autograd.grad(module.forward(z * 1).sum(), z)  # times 1: ReLU may work in place
        slope, others = slope.abs(), [0, *range(2, z.dim())]
        flat = (slope < least_slope).float().mean()
        seen[module].append((z.detach().amax(others), slope.amax(others), flat, len(z)))

    handles = [module.register_forward_pre_hook(watch) for module in modules]
    model.eval()
    for x, _ in batches:
        model(x)
    for handle in handles:
        handle.remove()
    rows = []
    for number, module in enumerate(modules, 1):
        highest, steepest, flat, count = zip(*seen[module])
        highest, steepest = (torch.stack(values).amax(0) for values in (highest, steepest))
        rows.append({
            "layer": f"act{number}",
            "units": len(highest),
            "silent": int((highest <= 0).sum()),
            "dead": int((steepest < least_slope).sum()),
            "flat": float(np.average([float(share) for share in flat], weights=count)),
        })  # fmt: skip
    return rows


class DeadUnits:
    """Recorder that looks at the trained network, not at the training: `dead_units` of its best weights."""

    def __init__(self, batches):
        self.batches = batches

    def __repr__(self):
        return "DeadUnits()"

    def start(self, model, scaler=None):
        self.model = model

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def result(self):
        return dead_units(self.model, self.batches)


def receptive_fields(model):
    """Receptive field and step, in input pixels, behind each convolution and pooling: {"conv1": (3, 1), ...}.

    The field grows by (kernel - 1) times the step, the distance between the centres of neighbouring positions,
    which each layer multiplies by its stride. Along the main path, in order of definition; a pooling to a fixed
    size does not count. Source: Araujo, Norris and Sim, Distill 2019.
    """
    fields, counts, field, step = {}, Counter(), 1, 1
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and "shortcut" not in path:
            kernel, stride = (np.ravel(size)[0].item() for size in (module.kernel_size, module.stride))
            field, step = field + (kernel - 1) * step, step * stride
            kind = "conv" if isinstance(module, nn.Conv2d) else "pool"
            counts[kind] += 1
            fields[f"{kind}{counts[kind]}"] = field, step
    return fields


def layer_table(make_model, image_size):
    """Kernel, filters, output side, parameters and multiply-adds of each layer for one image: a DataFrame.

    Counted are the products of convolutions and linear layers, one a weight and output position; biases,
    normalisation, activations and pooling together cost less than a hundredth of them.
    """
    with torch.device("meta"):  # shapes only: neither memory nor time
        model, x = make_model().eval(), torch.empty(1, 3, image_size, image_size)
    layers, rows = weight_layers(model), {}

    def see(name, layer, inputs, output):
        side = output.shape[-1] if output.dim() == 4 else 1
        rows[name] = {
            "kernel": layer.kernel_size[0] if isinstance(layer, nn.Conv2d) else 1,
            "filters": output.shape[1],
            "output side": side,
            "parameters": sum(p.numel() for p in layer.parameters()),
            "multiply-adds": side**2 * layer.weight.numel(),
        }

    for name, layer in layers.items():
        layer.register_forward_hook(partial(see, name))
    model(x)
    return pd.DataFrame.from_dict({name: rows[name] for name in layers}, orient="index")


def activation_bytes(model, x):
    """Bytes that a forward pass in training keeps for the backward pass, parameters and buffers apart.

    Measured, not computed: autograd hands over every tensor that it saves; each piece of memory counts once.
    """
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # with its graph it would hold itself alive

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model.train()(x)
    del output  # held until here, lest the memory of one tensor be given to the next
    return sum(kept.values())
