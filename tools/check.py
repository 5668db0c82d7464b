"""Is a deliverable whole, fresh and true?"""

import re

from tools.assemble import code_hash, normal_form, outputs_hash, wanted_alt

MAX_BYTES = 5_000_000
ABSOLUTE_PATH = re.compile(
    r"(?<![\w./:~-])(?:/(?:home|root|tmp|var|usr|opt|work|mnt|private|Users)/\w[^\s'\"]*|[A-Z]:\\\w[^\s'\"]*)"
)
TYPED_NUMBER = re.compile(r"\d+\.\d+ ?%")


def texts_of(output):
    """All text in one output, pictures aside."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return ""
    return "\n".join(
        str(data) for kind, data in output.get("data", {}).items() if kind != "image/png"
    )


def typed_numbers(text):
    """Percentages with decimals in a text, placeholders aside: they belong to results."""
    return TYPED_NUMBER.findall(re.sub(r"\{\{.*?\}\}", "", text))


def check_cells(notebook, built):
    """Differences between the notebook's cells and those that its source builds."""
    if [cell.cell_type for cell in notebook.cells] != [cell.cell_type for cell in built.cells]:
        return ["its cells are not those that its source builds: run `tools/nb.py build`"]
    problems = []
    for number, (cell, wanted) in enumerate(zip(notebook.cells, built.cells), 1):
        if cell.cell_type == "markdown":
            if cell.source != wanted.source:
                lines = zip(cell.source.splitlines() + [""], wanted.source.splitlines() + [""])
                there, here = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
                problems.append(
                    f"cell {number}: the prose says {there!r}, source and results say {here!r}"
                )
        else:
            try:
                same = normal_form(cell.source) == normal_form(wanted.source)
            except SyntaxError:
                same = False
            if not same:
                problems.append(f"cell {number}: its code differs from what its source builds")
    return problems


def check_outputs(notebook):
    """Outputs that are missing, out of order, wrong, or not for publication."""
    problems, expected = [], 0
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            continue
        expected += 1
        if cell.execution_count is None:
            problems.append(f"cell {number}: not executed")
        elif cell.execution_count != expected:
            problems.append(
                f"cell {number}: execution count {cell.execution_count}, not {expected}: not run top to bottom"
            )
        for output in cell.outputs:
            kinds = output.get("data", {})
            if output.output_type == "error":
                problems.append(f"cell {number}: ends in an error, {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                problems.append(
                    f"cell {number}: a warning or other stray output: {output.text.strip()[:100]!r}"
                )
            if any("widget" in kind for kind in kinds):
                problems.append(f"cell {number}: a widget, which no saved notebook can show")
            if any(kind.startswith("image/") for kind in kinds):
                after = notebook.cells[number].source if number < len(notebook.cells) else ""
                if not after.startswith("**Figure "):
                    problems.append(
                        f"cell {number}: a figure without a caption (**Figure n.m.**) below it"
                    )
    for number, output, kind, text in wanted_alt(notebook):
        if output.metadata.get(kind, {}).get("alt") != text:
            problems.append(
                f"cell {number}: a picture without its caption as alternative text: run `tools/nb.py build`"
            )
    if "widgets" in notebook.metadata:
        problems.append("widget state in the notebook's metadata")
    return problems


def check_notebook(notebook, built, size):
    """All problems of an executed notebook against what its source builds, as sentences."""
    problems = check_cells(notebook, built) + check_outputs(notebook)
    stamp = notebook.metadata.get("a1", {})
    try:
        fresh = stamp.get("code") == code_hash(notebook)
    except SyntaxError:
        fresh = False
    if not fresh:
        problems.append("stale: its outputs come from other code, run `make full`")
    if stamp.get("outputs") != outputs_hash(notebook):
        problems.append("its outputs are not those that `make full` saved")
    if stamp.get("profile") != "full":
        problems.append("not executed in the full profile")
    for number, cell in enumerate(notebook.cells, 1):
        texts = [cell.source] + [texts_of(output) for output in cell.get("outputs", [])]
        for path in ABSOLUTE_PATH.findall("\n".join(texts)):
            problems.append(f"cell {number}: an absolute path, {path}")
    if size > MAX_BYTES:
        problems.append(f"{size / 1e6:.1f} MB, over {MAX_BYTES / 1e6:.0f} MB")
    return problems
