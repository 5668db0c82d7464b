"""What Part II computes without a run of its own, as records of compute_once: python -m first_edition.computed_part_2 FLOWS.

FLOWS: a folder of a1.gradients.measure_flow's tables, measured on the real photos with this code. The rest was recorded
by the first edition in its runs: gradient norms of VGG-Deep (checked here against the first six steps of the new code),
silent units, and the first-layer filters of Part I's networks. The code that a record belongs to is the notebook's own.
"""

import ast
import hashlib
import importlib.util
import inspect
import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch.optim import SGD

from a1 import gradients, photos, studies, train
from a1.files import atomic_write
from a1.models import small, vgg, vgg_deep

ROOT = Path(__file__).resolve().parent.parent
OLD = ROOT / "first_edition" / "runs"
train.OPTIMIZERS["plain_sgd"] = partial(SGD, fused=True)
PLAIN = train.RECIPE | {"batch_size": 64, "optimizer": "plain_sgd", "schedule": "constant"}
PLAIN |= {"weight_decay": 0, "label_smoothing": 0}
DATE = "2026-11-27"


def notebooks_functions():
    """Module with the functions that the notebook defines and hands to compute_once."""
    source = (ROOT / "notebooks" / "a1_part_2.py").read_text()
    wanted = {"flow", "watch_start", "silent_after", "first_layer", "fingerprint"}
    nodes = [n for n in ast.parse(source).body if getattr(n, "name", "") in wanted]
    assert {n.name for n in nodes} == wanted
    path = Path(tempfile.mkdtemp()) / "notebook.py"
    imports = "import torch\nfrom a1.setup import seed_everything\n\n\n"
    path.write_text(imports + "\n\n\n".join(ast.get_source_segment(source, n) for n in nodes))
    spec = importlib.util.spec_from_file_location("notebook", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["notebook"] = module
    spec.loader.exec_module(module)
    return module


def keep(name, functions, data, result, date=DATE, **config):
    """Write a record as compute_once would have."""
    code = "\n".join(ast.unparse(ast.parse(inspect.getsource(f))) for f in functions)
    recipe = json.loads(json.dumps(config)) | {"code": hashlib.sha256(code.encode()).hexdigest()}
    made_by = {"recipe": recipe, "data": data.id, "probe": {}}
    with atomic_write(ROOT / "runs" / f"{name}.json") as file:
        kept = made_by | {"result": result, "arrays": [], "date": date}
        file.write(json.dumps(kept, indent=1).encode())
    print(name, flush=True)


class Enough(Exception):
    """Six steps are done."""


def first_norms(make_model, recipe, data):
    """Norms and losses of the first six steps of watched_run."""
    losses, minimised = [], data.loss

    def loss(*args):
        if len(losses) == 6:
            raise Enough
        losses.append(minimised(*args))
        return losses[-1]

    data.loss, kept, watch = loss, {}, gradients.watch_gradients
    gradients.watch_gradients = lambda model: kept.update(watch(model)) or kept
    try:
        gradients.watched_run(make_model, recipe, data)
    except Enough:
        return {name: [float(x) for x in values[::5]] for name, values in kept.items()}, losses
    finally:
        del data.loss
        gradients.watch_gradients = watch


def main(flows, rest="yes"):
    torch.set_num_threads(1)
    notebook = notebooks_functions()
    images, labels, files = photos.load_photos()
    split = photos.split_indices(images, labels)

    def some(*counts):
        return photos.Photos(
            images, labels, studies.study_indices(labels, split, *counts), files, 32
        )

    data, short_data, small_data = (
        photos.Photos(images, labels, split, files),
        some(3000, 500),
        some(1000, 1000),
    )
    uses = (gradients.measure_flow, gradients.weight_layers)
    nets = {
        "vgg16c": partial(vgg.VGG16C, dropout=0),
        "vgg_deep": vgg_deep.VGGDeep,
        "resnet18": vgg_deep.ResNet18From,
    }
    suffixes = {"11": "", "01": "-batch_norm_only", "10": "-shortcuts_only", "00": "-neither"}
    for path in sorted(Path(flows).glob("*.json")):
        net, start, shortcuts, batch_norm = path.stem.split(",")
        config = {}
        if shortcuts + batch_norm != "11":
            config |= {"shortcuts": shortcuts == "1", "batch_norm": batch_norm == "1"}
        network = notebook.fingerprint(partial(nets[net], init=start, **config))
        config |= {"net": net, "start": start, "network": network, "batches": 10}
        name = f"flow/{net}-{start}{suffixes[shortcuts + batch_norm]}"
        keep(name, (notebook.flow, *uses), data, json.loads(path.read_text()), **config)

    if rest != "yes":
        return
    uses = (
        notebook.watch_start,
        gradients.watched_run,
        gradients.watch_gradients,
        gradients.weight_layers,
    )
    uses += (train.train,)
    runs = {"default": "61c71cfd20", "he": "27ca63d512", "default-float32": "9e9a2b9f7c"}
    for name, stem in runs.items():
        start, recipe = (
            name.split("-")[0],
            PLAIN | {"epochs": 2, "lr": 0.03, "amp": name != "default-float32"},
        )
        network = notebook.fingerprint(partial(vgg_deep.VGGDeep, init=start))
        [path] = OLD.glob(f"studies/depth-{stem}*.json")
        old = json.loads(path.read_text())
        norms = dict(zip(old["recorded"]["layers"], map(list, zip(*old["recorded"]["norms"]))))
        assert (
            old["recorded"]["iterations"] == list(range(0, 280, 5))
            and old["config"]["recipe"] == recipe
        )
        if (ROOT / "runs" / f"watched/{name}.json").exists():
            continue
        if name != "default":  # the same as its run in float32 but for precision
            again, losses = first_norms(partial(vgg_deep.VGGDeep, init=start), recipe, short_data)
            apart = [max(abs(again[n][k] / norms[n][k] - 1) for n in norms) for k in (0, 1)]
            lost = max(abs(a.item() / b - 1) for a, b in zip(losses, old["first_losses"]))
            print(
                f"{name}, norms of step 0 within {apart[0]:.0e}, of step 5 {apart[1]:.0e}, losses {lost:.0e}"
            )
            assert (
                apart[0] < 0.02 and apart[1] < 0.1 and lost < 1e-2
            )  # bfloat16: small differences grow
        result = {"history": old["history"], "norms": norms}
        keep(
            f"watched/{name}",
            uses,
            short_data,
            result,
            old["date"],
            start=start,
            network=network,
            **recipe,
        )

    probes = json.loads((ROOT / "first_edition" / "probes_part_2.json").read_text())
    uses = (notebook.silent_after, gradients.silent_units, train.train)
    for stem, entry in probes.items():
        folder, _, rest = entry["name"].partition("/")
        if folder == "small" and rest.endswith("-seed0"):
            name, lr = rest.removesuffix("-seed0").rsplit("-", 1)
            if name in ("base", "leaky_relu", "elu", "gelu"):
                [path] = OLD.glob(f"studies/{stem}.json")
                old = json.loads(path.read_text())
                silent = sum(layer["silent"] for layer in old["recorded"])
                variants = {"base": {}} | {
                    n: {"activation": n} for n in ("leaky_relu", "elu", "gelu")
                }
                make = partial(small.SmallVGG, **variants[name])
                config = {"variant": name, "lr": float(lr), "network": notebook.fingerprint(make)}
                keep(f"silent/{name}-{lr}", uses, small_data, silent, old["date"], **config)

    for net, stem in (("vgg16c", "c9530301b2"), ("resnet18", "486f1c3cde")):
        old = json.loads((OLD / "computed" / f"first_layer-{stem}.json").read_text())
        run = json.loads((ROOT / "runs" / net / "seed0.json").read_text())
        kernels = torch.tensor(old["result"]["filters"])
        values = [float(f"{v:.4g}") for v in kernels.flatten().tolist()]
        released = ROOT / "weights" / f"a1_part1_{net}.pt"
        if released.exists():
            weight = next(iter(torch.load(released, weights_only=True).values())).float()
            assert (weight - kernels).abs().max() < 1e-3 * kernels.abs().max()
            print(f"{net}: the filters are those of {released.name}")
        keep(
            f"first_layer/{net}",
            (notebook.first_layer,),
            data,
            values,
            old["date"][:10],
            net=net,
            run=run["date"],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
