"""Is a deliverable short enough to be read, and without tricks?"""

import ast
import importlib.util
import io
import re
import subprocess
import sys
import tokenize

import nbformat

from tools.rubric import count_words, is_figure, outputs_of, split_headings

LIMITS = {  # code lines, words of prose
    "a1_part_1": (850, 5000),
    "a1_part_2": (1050, 5000),
    "a1_part_3": (1000, 4800),
    "a1_part_4": (1100, 5000),
    "a1_bonus_resnext": (750, 3300),
    "a1_bonus_transfer_learning": (650, 3500),
}
LARGEST = (1100, 5000)  # for any other notebook
BEFORE_FIGURE, CELL, LARGE_CELL, COLUMNS, CAPTION_WORDS = 150, 40, 80, 100, 50
SENTENCE = 8  # words of a printed line that make it prose
CAPTION = re.compile(
    r"^\*\*(?:Figure|Table) [\w.]+\.\*\*(.*?)(?=\n\s*\n|\Z)", re.DOTALL | re.MULTILINE
)
HIDING_TAG = re.compile(r"(hide|remove|collapse)[-_].*|hide|toolbox")
LAYOUT_COMMENT = re.compile(r"#\s*fmt:\s*(skip|off|on)")
OTHER_FILE = re.compile(
    r"^\s*%(?:run|load)\b|import_module\(|run_path\(|run_module\(|git clone|git\+|https?://\S+\.py\b"
    r"|\b(?:wget|curl)\b.*\.py\b",
    re.MULTILINE,
)
OURS = {"a1", "tools"}
HEADINGS = ["notebook", "code", "to figure", "longest cell", "columns", "words", "caption", "MB"]


def code_lines(cell):
    """Lines of a cell that are not empty."""
    return [line for line in cell.source.splitlines() if line.strip()]


def tree_of(cell):
    """Syntax tree of a cell, lines for IPython left out; an empty one of a cell that is no Python."""
    lines = ["" if re.match(r"\s*[%!]", line) else line for line in cell.source.splitlines()]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:
        return ast.parse("")


def lines_allowed(cell):
    """How long a cell may be: networks and the training function may be longer."""
    definitions = [
        node for node in tree_of(cell).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    ]
    networks = [
        isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith("Module") for base in node.bases)
        for node in definitions
    ]
    trains = any(node.name == "train" for node in definitions)
    return LARGE_CELL if trains or (definitions and all(networks)) else CELL


def prose_words(cells):
    """Words of the prose, references, tables and the map aside, and of printed sentences."""
    texts, level_of_references = [], None
    for cell in cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                lines = output.text.splitlines() if output.output_type == "stream" else []
                texts += [line for line in lines if count_words(line) >= SENTENCE]
            continue
        for piece in split_headings(cell.source):
            if isinstance(piece, tuple):
                level, piece = piece
                if level_of_references is None or level <= level_of_references:
                    level_of_references = level if "references" in piece.lower() else None
            if level_of_references is None:
                texts.append(piece)
    return count_words("\n\n".join(texts))


def measure(notebook, size=0):
    """{measure: number} of a notebook; its `long_cells` are (number, lines, lines allowed)."""
    code = [
        (number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"
    ]
    lines = {number: len(code_lines(cell)) for number, cell in code}
    first = next(
        (number for number, cell in code if any(map(is_figure, outputs_of(cell)))),
        len(notebook.cells) + 1,
    )
    captions = [
        count_words(caption)
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for caption in CAPTION.findall(cell.source)
    ]
    return {
        "code": sum(lines.values()),
        "to_figure": sum(count for number, count in lines.items() if number <= first),
        "longest_cell": max(lines.values(), default=0),
        "long_cells": [
            (number, lines[number], allowed)
            for number, cell in code
            if lines[number] > (allowed := lines_allowed(cell))
        ],
        "columns": max((len(line) for _, cell in code for line in code_lines(cell)), default=0),
        "words": prose_words(notebook.cells),
        "caption": max(captions, default=0),
        "bytes": size,
    }


def problems(name, measures):
    """What in a notebook's measures is over the budget, as sentences."""
    code, words = LIMITS.get(name, LARGEST)
    limits = {
        "code": (code, "lines of code"),
        "to_figure": (BEFORE_FIGURE, "lines of code up to the first figure"),
        "columns": (COLUMNS, "columns in the longest line"),
        "words": (words, "words of prose"),
        "caption": (CAPTION_WORDS, "words in the longest caption"),
    }
    found = [
        f"{measures[key]:,} {text}, at most {limit:,} are allowed"
        for key, (limit, text) in limits.items()
        if measures[key] > limit
    ]
    return found + [
        f"cell {number}: {lines} lines, at most {allowed} are allowed"
        for number, lines, allowed in measures["long_cells"]
    ]


def format_problems(notebook):
    """Cells that `ruff format` would write otherwise; none are named where ruff is not installed."""
    if importlib.util.find_spec("ruff") is None:
        return []
    command = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={COLUMNS}"]
    done = subprocess.run(
        [*command, "--stdin-filename=notebook.ipynb", "-"],
        input=nbformat.writes(notebook),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return [f"ruff cannot read it: {done.stderr.strip()}"]
    formatted = nbformat.reads(done.stdout, as_version=4)
    return [
        f"cell {number}: not as `ruff format` writes it"
        for number, (cell, other) in enumerate(zip(notebook.cells, formatted.cells), 1)
        if cell.cell_type == "code" and cell.source != other.source
    ]


def has_two_statements_on_a_line(source):
    """Whether a semicolon stands between two statements; one at a cell's end is silence."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return False
    quiet = (tokenize.NEWLINE, tokenize.COMMENT, tokenize.ENDMARKER)
    return any(
        token.type == tokenize.OP and token.string == ";" and after.type not in quiet
        for token, after in zip(tokens, tokens[1:])
    )


def tricks_in(cell):
    """How one cell makes itself look shorter than it is, as ends of a sentence."""
    found, metadata, tree = [], cell.metadata, tree_of(cell)
    jupyter = metadata.get("jupyter", {})
    hidden = [
        jupyter.get("source_hidden"),
        jupyter.get("outputs_hidden"),
        metadata.get("collapsed"),
    ]
    if (
        any(hidden)
        or "cellView" in metadata
        or any(map(HIDING_TAG.fullmatch, metadata.get("tags", [])))
    ):
        found.append("is hidden")
    if LAYOUT_COMMENT.search(cell.source):
        found.append("switches the formatter off")
    if has_two_statements_on_a_line(cell.source):
        found.append("has two statements on a line")
    if OTHER_FILE.search(cell.source):
        found.append("takes code from another file")
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not ast.get_docstring(node):
                found.append(f"defines {node.name} without a docstring")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("exec", "eval"):
                found.append(f"calls {node.func.id}()")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if OURS & {name.split(".")[0] for name in names}:
            found.append(f"imports the project's own code: {ast.unparse(node)}")
    return found


def tricks(notebook):
    """All tricks in a notebook, as sentences."""
    found = [
        f"cell {number}: {trick}"
        for number, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code"
        for trick in tricks_in(cell)
    ]
    return found + format_problems(notebook)


def table(names, root):
    """Rows of measures for the notebooks `names`, heading first, and the problems of those that are
    rewritten.
    """
    rows, found = [HEADINGS], []
    for name in names:
        path = root / f"{name}.ipynb"
        if not path.exists():
            rows.append([name, *["-"] * (len(HEADINGS) - 1)])
            continue
        notebook = nbformat.read(path, as_version=4)
        measures = measure(notebook, path.stat().st_size)
        row = [
            measures[key]
            for key in ("code", "to_figure", "longest_cell", "columns", "words", "caption")
        ]
        row = [name, *(f"{value:,}" for value in row), f"{measures['bytes'] / 1e6:.1f}"]
        code, words = LIMITS.get(name, LARGEST)
        rows.append(
            [*row[:1], f"{row[1]} of {code:,}", *row[2:5], f"{row[5]} of {words:,}", *row[6:]]
        )
        found += [f"{name}: {problem}" for problem in problems(name, measures) + tricks(notebook)]
    return rows, found
