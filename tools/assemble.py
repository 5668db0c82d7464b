"""From a percent script to a self-contained notebook."""

import ast
import datetime
import hashlib
import json
from pathlib import Path

import jupytext
import nbformat

from tools.facts import derived_in, is_facts
from tools.inline import BuildError, Inliner
from tools.prose import alternative_text, number_captions, read_results, render

ROOT = Path(__file__).resolve().parent.parent
SOURCES, RESULTS = ROOT / "notebooks", ROOT / "results"
MAX_REPORTED = 8


def notebook_names(root=ROOT):
    """All notebooks: those that have a source."""
    return sorted(path.stem for path in (root / "notebooks").glob("*.py"))


def source_of(name, root=ROOT):
    """Path of a notebook's percent script, whether it exists or not."""
    return root / "notebooks" / f"{name}.py"


def digest(content):
    """Short hash of any JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def normal_form(source):
    """What Python makes of a code cell: comments, docstrings and layout do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Module))
            and body
        ):
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree)


def code_hash(notebook):
    """Hash of all code, in normal form: outputs belong to it."""
    return digest([normal_form(cell.source) for cell in notebook.cells if cell.cell_type == "code"])


def without_alt(output):
    """An output without alternative texts: these follow the prose, not the run."""
    if not output.get("metadata"):
        return output
    metadata = {
        kind: {key: value for key, value in entry.items() if key != "alt"}
        if "alt" in entry
        else entry
        for kind, entry in output.metadata.items()
    }
    return {**output, "metadata": {kind: entry for kind, entry in metadata.items() if entry != {}}}


def outputs_hash(notebook):
    """Hash of all outputs as they were saved."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return digest([[cell.execution_count, list(map(without_alt, cell.outputs))] for cell in cells])


def cells_hash(notebook):
    """Hash of what stands in the cells: tells an edited notebook from a built one."""
    return digest([[cell.cell_type, cell.source] for cell in notebook.cells])


def is_reported(cell):
    """Whether a cell is the one that shows the reported numbers."""
    return "reported" in cell.metadata.get("tags", [])


def reported_in(cell):
    """The assignment `REPORTED = {...}` of a reported cell as a syntax node, and the names in it."""
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REPORTED":
            try:
                names = list(ast.literal_eval(node.value))
            except (ValueError, TypeError):
                break
            if 0 < len(names) <= MAX_REPORTED:
                return node, names
    raise BuildError(
        f'the cell tagged reported must hold REPORTED = {{"name": None, ...}} of at most {MAX_REPORTED} names'
    )


def fill_reported(cell, results):
    """Put the results into the dict of the cell tagged "reported"; None stands where there is none."""
    if not is_reported(cell):
        return
    node, names = reported_in(cell)
    values = [results.get(name) for name in names]
    values = [round(value, 6) if isinstance(value, float) else value for value in values]
    lines = [
        f"    {json.dumps(name)}: {json.dumps(value) if isinstance(value, str) else value!r},"
        for name, value in zip(names, values)
    ]
    source = cell.source.splitlines()
    source[node.lineno - 1 : node.end_lineno] = ["REPORTED = {", *lines, "}"]
    cell.source = "\n".join(source)


def read_script(path):
    """Cells of a percent script; BuildError where there is none."""
    path = Path(path)
    if not path.exists():
        raise BuildError(f"there is no source {path.parent.name}/{path.name}")
    return jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells


def assemble(name, sources=SOURCES, results_folder=RESULTS, strict=True, fill=True, facts=False):
    """The notebook that notebooks/`name`.py describes, without outputs.

    Where not `strict`, results that do not exist yet stand as "n/a"; where not `fill`, prose and
    reported cell stay as they are in the source. Cells tagged "facts" are in it where `facts` says
    so. Raises BuildError where the source cannot be built.
    """
    path = Path(sources) / f"{name}.py"
    script = read_script(path)
    results = read_results(results_folder, name)
    prose = [cell.source for cell in script if cell.cell_type == "markdown"]
    captions, inliner = number_captions(name, prose), Inliner(path)
    derived_in(script)
    cells = []
    for cell in script:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            new = nbformat.v4.new_markdown_cell(cell.source)
            if fill:
                new.source = render(
                    cell.source,
                    results,
                    captions,
                    lambda other: read_results(results_folder, other),
                    name,
                    strict,
                )
        elif is_facts(cell):
            if not facts:
                continue
            new = nbformat.v4.new_code_cell(cell.source)
        else:
            try:
                new = nbformat.v4.new_code_cell(inliner.cell(cell.source))
            except SyntaxError as error:
                raise BuildError(f"{path.name}: {error}") from None
            if not new.source.strip():
                continue
        if tags:
            new.metadata["tags"] = tags
        if is_reported(new):
            fill_reported(new, results if fill else {})
        new.id = f"{len(cells):03d}"
        cells.append(new)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "a1": {"source": f"notebooks/{name}.py", "cells": cells_hash(notebook)},
        }
    )
    return notebook


def was_edited(notebook):
    """Whether cells or outputs were changed, in Jupyter say, after a tool of ours wrote the
    notebook.
    """
    ours = notebook.metadata.get("a1", {})
    return ours.get("cells") != cells_hash(notebook) or ours.get(
        "outputs", outputs_hash(notebook)
    ) != outputs_hash(notebook)


def stamp_executed(notebook, seconds):
    """Record what the outputs belong to, so that `check` can tell whether they still do."""
    notebook.metadata["a1"] |= {
        "code": code_hash(notebook),
        "outputs": outputs_hash(notebook),
        "profile": "full",
        "executed": datetime.date.today().isoformat(),
        "seconds": round(seconds),
    }


def carry_outputs(old, new):
    """Give `new` the outputs and stamp of `old`, if they are our run's and the code is the same;
    whether so.
    """
    stamp = old.metadata.get("a1", {})
    if stamp.get("outputs") != outputs_hash(old) or code_hash(old) != code_hash(new):
        return False
    pairs = zip(*([cell for cell in nb.cells if cell.cell_type == "code"] for nb in (old, new)))
    for before, after in pairs:
        after.outputs, after.execution_count = before.outputs, before.execution_count
    new.metadata["a1"] = {**old.metadata["a1"], **new.metadata["a1"]}
    describe_pictures(new)
    return True


def wanted_alt(notebook):
    """(cell number, output, kind, alternative text) of every picture that a caption follows."""
    for number, (cell, below) in enumerate(zip(notebook.cells, notebook.cells[1:]), 1):
        if cell.cell_type == "code" and below.cell_type == "markdown":
            text = alternative_text(below.source)
            for output in cell.outputs if text else []:
                for kind in output.get("data", {}):
                    if kind in ("image/png", "image/jpeg"):
                        yield number, output, kind, text


def describe_pictures(notebook):
    """Give every picture the first sentence of its caption as alternative text."""
    for _, output, kind, text in wanted_alt(notebook):
        output.metadata.setdefault(kind, nbformat.from_dict({}))["alt"] = text
