"""Train the runs that a notebook's records lack, in parallel on a Ray cluster (`pip install ray`).

python -m tools.train a1_part_1 --on ray                       on this machine
python -m tools.train a1_part_1 --on ray --address HOST:PORT   on a cluster that runs

The notebook is executed in full into out/, with one more cell: where it asks for a study, all its missing runs are trained
at once, a task each, and the notebook then reads their records. The deliverable and results/ stay as they are; `make full`
executes it from the new records.

Every machine of a cluster needs this folder, under the same path, on a file system that all of them share. Records
and checkpoints are kept there, so the run of a worker that dies goes on in another one after its last whole epoch.
"""

import argparse
import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nbformat.v4 import new_code_cell

from a1.files import atomic_write
from tools.assemble import assemble
from tools.execute import CellFailed, execute
from tools.inline import BuildError
from tools.nb import ROOT, write_notebook

REPLACED = ("train_run", "run_study", "fit_or_load")


def compiled(make_model):
    """`make_model`, its networks compiled by torch.compile at their first batch; names of weights stay as they are."""

    def make():
        model = make_model()
        model.compile()
        return model

    return make


def on_ray(notebook, address=None, cpus=1, gpus=None, compile=False):
    """Send the trainings of a notebook, given by its globals, to a Ray cluster.

    A task has `cpus` cores and `gpus` GPUs (by default one where this process sees any). Workers compute with as many threads
    as this process would: sums depend on how they are split, and a run's numbers shall not depend on where it was trained.
    `compile` gives that up: what torch.compile makes has other last digits, and dropout draws other numbers.
    """
    import ray
    import torch

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    ray.init(address=address, log_to_driver=False)
    gpus = float(torch.cuda.is_available()) if gpus is None else gpus
    folder, threads, stored = Path.cwd(), torch.get_num_threads(), {}
    train_run, run_study, fit_or_load = (notebook.get(name) for name in REPLACED)

    @ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=5)
    def train(train_run, name, make_model, recipe, data, *rest):
        os.chdir(folder)
        torch.set_num_threads(threads)
        make_model = compiled(make_model) if compile else make_model
        return train_run(name, make_model, recipe, data, *rest)

    def train_there(name, make_model, recipe, data, *rest):
        """train_run in a worker; fit_or_load holds the run's lock here meanwhile."""
        if id(data) not in stored:
            stored[id(data)] = (
                ray.put(data),
                data,
            )  # the data themselves, too: an id is only theirs while they live
        shared, _ = stored[id(data)]
        return ray.get(train.remote(train_run, name, make_model, recipe, shared, *rest))

    def study_there(name, variants, data, recorder=None):
        """run_study, after all its runs that have no record were trained at once."""
        with ThreadPoolExecutor(max(1, len(variants))) as pool:
            for make_model, recipe in variants.values():
                pool.submit(
                    fit_or_load, f"studies/{name}", make_model, recipe, data, verbose=False, recorder=recorder
                )
        return run_study(name, variants, data, recorder)

    notebook["train_run"] = train_there
    if run_study:
        notebook["run_study"] = study_there


def with_cluster(notebook, **options):
    """Put a cell that calls on_ray into `notebook`, behind the last one that defines what it replaces."""
    defining = [
        n for n, cell in enumerate(notebook.cells) if any(f"def {name}(" in cell.source for name in REPLACED)
    ]
    if not defining:
        raise BuildError("the notebook trains nothing through fit_or_load")
    cell = new_code_cell(f"from tools.train import on_ray\n\non_ray(globals(), **{options!r})")
    notebook.cells.insert(defining[-1] + 1, cell)
    notebook.cells.append(new_code_cell("import ray\n\nray.shutdown()"))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="a notebook, such as a1_part_1")
    parser.add_argument("--on", choices=["ray"], required=True)
    parser.add_argument("--address", help="of a Ray cluster; default: one is started on this machine")
    parser.add_argument("--cpus", type=float, default=1, help="cores a run (default 1)")
    parser.add_argument(
        "--gpus", type=float, help="GPUs a run, may be a fraction (default 1 where there is one)"
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="networks through torch.compile: not the same numbers to the last digit",
    )
    options = parser.parse_args()
    if not importlib.util.find_spec("ray"):
        sys.exit('Ray is not installed: .venv/bin/python -m pip install "ray>=2.40,<3"')
    name = Path(options.name).stem
    results = ROOT / "results" / f"{name}.json"
    kept = results.read_bytes() if results.exists() else None
    try:
        notebook = assemble(name, ROOT / "notebooks", ROOT / "results", strict=False)
        with_cluster(
            notebook, **{key: getattr(options, key) for key in ("address", "cpus", "gpus", "compile")}
        )
        env = {"A1_PROFILE": "full", "A1_OUT": ".", "A1_REQUIRE_DATA": "1", "RETRAIN": None}
        try:
            seconds = execute(notebook, name, ROOT, env)
        finally:
            write_notebook(notebook, ROOT / "out" / f"{name}.ipynb")
            if kept:
                with atomic_write(results) as file:
                    file.write(kept)
            else:
                results.unlink(missing_ok=True)
    except (BuildError, CellFailed) as error:
        sys.exit(f"\n{error}")
    print(
        f"{name}: all runs have records after {seconds:.0f} s; make full NOTEBOOKS={name} writes the deliverable"
    )


if __name__ == "__main__":
    main()
