"""Build, run and check the notebooks.

python tools/nb.py build [NAME ...]        notebooks/NAME.py -> NAME.ipynb, self-contained, prose filled in
python tools/nb.py run [NAME ...]          execute into out/, the deliverables untouched
python tools/nb.py run --full [NAME ...]   execute in full on the real data and write the deliverables
python tools/nb.py check [NAME ...]        is every deliverable whole, fresh, true, and short enough?
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from a1.files import atomic_write  # noqa: E402
from tools import budget, data, honesty, readme, rubric  # noqa: E402
from tools.assemble import (  # noqa: E402
    assemble,
    carry_outputs,
    fill_reported,
    is_reported,
    notebook_names,
    read_script,
    reported_in,
    source_of,
    stamp_executed,
    was_edited,
)
from tools.check import check_notebook  # noqa: E402
from tools.execute import CellFailed, execute  # noqa: E402
from tools.facts import cited_by, derived_in, select, with_derived  # noqa: E402
from tools.inline import BuildError  # noqa: E402
from tools.prose import read_results  # noqa: E402
from tools.stand_in import NOTE_FILE  # noqa: E402


def write_notebook(notebook, path):
    nbformat.validate(notebook)
    with atomic_write(path) as file:
        file.write((nbformat.writes(notebook).rstrip("\n") + "\n").encode())


def write_results(results, path):
    with atomic_write(path) as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())


def read_deliverable(path, force=False):
    """The notebook at `path`, None where there is none; BuildError if it was edited and not
    `force`.
    """
    if not path.exists():
        return None
    notebook = nbformat.read(path, as_version=4)
    if was_edited(notebook) and not force:
        raise BuildError(
            f"{path.name} was changed after it was built (in Jupyter?): move the changes into "
            f"notebooks/{path.stem}.py and restore it with `git checkout {path.name}`, or overwrite it: "
            f".venv/bin/python tools/nb.py build {path.stem} --force"
        )
    return notebook


def build(name, root=ROOT, force=False):
    """Write the deliverable from its source; outputs are kept where the code is unchanged."""
    path = root / f"{name}.ipynb"
    old = read_deliverable(path, force)
    new = assemble(name, root / "notebooks", root / "results")
    kept = bool(old) and carry_outputs(old, new)
    write_notebook(new, path)
    print(
        f"{path.name}: built, {'outputs kept' if kept else f'not executed: make full NOTEBOOKS={name}'}"
    )


def results_of(name, facts, derived, root=ROOT):
    """What results/ holds of a run: what is cited or reported, and the measures of every model."""
    texts = {other: source_of(other, root).read_text() for other in notebook_names(root)}
    wanted = {
        key for other, text in texts.items() for key in cited_by(text, name, own=other == name)
    }
    for cell in read_script(source_of(name, root)):
        if is_reported(cell):
            wanted |= set(reported_in(cell)[1])
    values = with_derived(facts, derived)
    if missing := sorted(wanted - set(values)):
        raise BuildError(f"{name}: no facts cell defines {', '.join(missing)}")
    return select(values, derived, wanted)


def run_copy(name, profile, root=ROOT):
    """Execute into out/; a row for the table: notebook, profile, data, seconds, headline metrics."""
    out = root / "out"
    env = {"A1_PROFILE": profile}
    if profile == "quick":  # set_num_threads(1), once torch is imported, takes three times as long
        env["OMP_NUM_THREADS"] = "1"
    path = out / "results" / f"{name}.json"
    path.unlink(missing_ok=True)
    notebook = assemble(name, root / "notebooks", root / "results", strict=False, facts=True)
    derived = derived_in(notebook.cells)
    if name in data.NEEDS:
        env["A1_DATA"] = str((place := data.for_run(name)).resolve())
        if profile == "full" and (place / NOTE_FILE).exists():  # it would write weights and charts
            raise BuildError(f"{place} holds drawn stand-in data: `make data`, or PROFILE=quick")
    try:
        seconds, facts = execute(notebook, name, root, env)
    finally:
        write_notebook(notebook, out / f"{name}.ipynb")
    write_results(results_of(name, facts, derived, root), path)
    results = read_results(path.parent, name)
    measures = {"_acc": "{:.1%}", "_r2": "R2 {:.3f}"}
    headline = [
        f"{key.split('.')[0]} {form.format(value)}"
        for key, value in results.items()
        for end, form in measures.items()
        if key.endswith(f".test{end}")
    ]
    return [name, profile, results.get("data", "?"), f"{seconds:.0f}", ", ".join(headline)]


def run_full(name, root=ROOT, force=False):
    """Execute in full on the real data, write results/ and the deliverable."""
    path, sources, results = root / f"{name}.ipynb", root / "notebooks", root / "results"
    read_deliverable(path, force)
    place = data.fetch.named_place() or root / "data"
    if ((place.parent if place.is_file() else place) / NOTE_FILE).exists():
        raise BuildError(f"{place} holds drawn stand-in data: a full run needs the real one")
    executed = assemble(name, sources, results, strict=False, fill=False, facts=True)
    derived = derived_in(executed.cells)

    def before_cell(cell, facts):
        if is_reported(cell):  # the last one: all facts are known
            fill_reported(cell, results_of(name, facts, derived, root))

    env = {"A1_PROFILE": "full"}
    seconds, facts = execute(executed, name, root, env, before_cell)
    stamp_executed(executed, seconds)
    write_results(results_of(name, facts, derived, root), results / f"{name}.json")
    final = assemble(name, sources, results)
    if not carry_outputs(executed, final):
        raise BuildError(f"{name}: the source changed while the notebook ran, run it again")
    write_notebook(final, path)
    print(f"{path.name}: executed in {seconds:.0f} s")


def check(name, root=ROOT):
    """Is one deliverable whole, fresh and true? Its problems, each a sentence."""
    path = root / f"{name}.ipynb"
    if not path.exists():
        return [f"not built: make full NOTEBOOKS={name}"]
    try:
        built = assemble(name, root / "notebooks", root / "results")
        notebook = nbformat.read(path, as_version=4)
        problems = check_notebook(notebook, built, path.stat().st_size)
        return problems + honesty.problems(name, notebook, root)
    except BuildError as error:
        return [str(error)]


def default_profile():
    """full where torch sees a GPU, else quick; asked of a child, so that this process stays light."""
    code = "import torch; print('full' if torch.cuda.is_available() else 'quick')"
    if named := os.environ.get("A1_PROFILE", "").strip().lower():
        if named not in ("quick", "full"):
            sys.exit(f"A1_PROFILE is {named}: set it to quick or full, or unset it")
        return named
    return subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True
    ).stdout.strip()


def print_table(rows):
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(value).ljust(width) for value, width in zip(row, widths)).rstrip())


def check_all(names, everything, root=ROOT):
    """Problems of the notebooks `names`, which may be `everything`, and of the README; prints the
    budget.
    """
    problems = [f"{name}: {problem}" for name in names for problem in check(name, root)]
    rows, found = budget.table(names, root)
    print_table(rows)
    problems += found + rubric.problems(None if everything else names, root)
    return problems + readme.problems(root)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["build", "run", "check"])
    parser.add_argument("names", nargs="*", help="notebooks, such as a1_part_1; all by default")
    parser.add_argument("--full", action="store_true", help="run: write the deliverables")
    parser.add_argument(
        "--profile",
        type=str.lower,
        choices=["quick", "full"],
        help="run: default full on a GPU, else quick",
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite a deliverable that was edited"
    )
    options = parser.parse_intermixed_args()
    there = notebook_names()
    names = [Path(name).stem for name in options.names] or there
    if unknown := [name for name in names if name not in there]:
        sys.exit(f"there is no notebook {', '.join(unknown)}; there are {', '.join(there)}")
    try:
        if options.action == "build":
            for name in names:
                build(name, force=options.force)
            readme.update()
        elif options.action == "check":
            problems = check_all(names, not options.names)
            print(
                *problems or ["whole, fresh, true, within the budget, every item answered"],
                sep="\n",
            )
            sys.exit(bool(problems))
        elif options.full:
            for name in names:
                run_full(name, force=options.force)
            readme.update()
        else:
            profile = options.profile or default_profile()
            rows = [run_copy(name, profile) for name in names]
            print_table([["notebook", "profile", "data", "seconds", "test"], *rows])
            print("executed copies: out/")
    except (BuildError, CellFailed, data.DataError) as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")


if __name__ == "__main__":
    main()
