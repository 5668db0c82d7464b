"""From a percent script to a self-contained notebook."""

import ast
import datetime
import hashlib
import json
from pathlib import Path

import jupytext
import nbformat

from tools.inline import BuildError, Inliner
from tools.prose import number_figures, read_results, render

ROOT = Path(__file__).resolve().parent.parent
SOURCES, RESULTS = ROOT / "notebooks", ROOT / "results"


def digest(content):
    """Short hash of any JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def normal_form(source):
    """What Python makes of a code cell: comments, docstrings and layout do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Module)) and body:
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


def outputs_hash(notebook):
    """Hash of all outputs as they were saved."""
    return digest(
        [[cell.execution_count, cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]
    )


def cells_hash(notebook):
    """Hash of what stands in the cells: tells an edited notebook from a built one."""
    return digest([[cell.cell_type, cell.source] for cell in notebook.cells])


def fill_reported(cell, results):
    """Put the reported results into the cell tagged "reported", in place of its empty dict."""
    if "reported" in cell.metadata.get("tags", []):
        if cell.source.count("REPORTED = {}") != 1:
            raise BuildError("the cell tagged reported must hold one line REPORTED = {}")
        lines = "".join(f"    {json.dumps(name)}: {json.dumps(value)},\n" for name, value in results.items())
        cell.source = cell.source.replace(
            "REPORTED = {}", f"REPORTED = {{\n{lines}}}" if lines else "REPORTED = {}"
        )


def assemble(name, sources=SOURCES, results_folder=RESULTS, strict=True, fill=True):
    """The notebook that notebooks/`name`.py describes, without outputs.

    Where not `strict`, results that do not exist yet stand as "n/a"; where not `fill`, the cell of
    reported numbers stays empty. Raises BuildError where the source cannot be built.
    """
    path = Path(sources) / f"{name}.py"
    if not path.exists():
        raise BuildError(
            f"there is no source {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}"
        )
    script = jupytext.reads(path.read_text(), fmt="py:percent")
    results = read_results(results_folder, name)
    prose = [cell.source for cell in script.cells if cell.cell_type == "markdown"]
    figures, inliner = number_figures(name, prose), Inliner(path)
    cells = []
    for cell in script.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            text = render(
                cell.source, results, figures, lambda other: read_results(results_folder, other), name, strict
            )
            new = nbformat.v4.new_markdown_cell(text)
        else:
            try:
                new = nbformat.v4.new_code_cell(inliner.cell(cell.source))
            except SyntaxError as error:
                raise BuildError(f"{path.name}: {error}") from None
            if not new.source.strip():
                continue
            if "toolbox" in tags:  # collapsed in Jupyter and, with the cell's `# @title`, in Colab
                new.metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
        if tags:
            new.metadata["tags"] = tags
        if fill:
            fill_reported(new, results)
        new.id = f"{len(cells):03d}"
        cells.append(new)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "a1": {"source": f"notebooks/{name}.py", "cells": cells_hash(notebook)},
    })  # fmt: skip
    return notebook


def was_edited(notebook):
    """Whether cells or outputs were changed, in Jupyter say, after a tool of ours wrote the notebook."""
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
    """Give `new` the outputs and stamp of `old`, if they are our run's and the code is the same; whether so."""
    stamp = old.metadata.get("a1", {})
    if stamp.get("outputs") != outputs_hash(old) or code_hash(old) != code_hash(new):
        return False
    pairs = zip(*([cell for cell in nb.cells if cell.cell_type == "code"] for nb in (old, new)))
    for before, after in pairs:
        after.outputs, after.execution_count = before.outputs, before.execution_count
    new.metadata["a1"] = {**old.metadata["a1"], **new.metadata["a1"]}
    return True
