"""Notebooks as they come out of Jupyter or Colab: which file is which, what keeps one from being
handed in, and what its team should look at before.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from tools import honesty, rubric
from tools.assemble import source_of, was_edited
from tools.prose import number_captions, read_results, render

MAX_BYTES = 10_000_000  # ten points are lost with a larger file
RERUN = "run it from the top, and save it"
HOW = (
    "from the top: Kernel > Restart Kernel and Run All Cells in Jupyter, "
    "Runtime > Restart session and run all, then File > Download, in Colab"
)
COPY = r"(?:Copy of )?{}((?:_[A-Za-z0-9-]+){{0,2}}?)(?:-Copy\d+| - Copy(?: \(\d+\))?| copy(?: \d+)?| ?\(\d+\))?"
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) ?%|(?<![\w.,])(\d+\.\d{2,})(?![\w%]|\.\d)")
REFERENCE = re.compile(
    r"\b(?:Figure|Table|Section|Equation|Chapter)s?\s+[\d.]+(?:(?:,|,? and|,? to)\s+[\d.]+)*"
)
MAP_ROW = re.compile(r"\|.*\]\(#")  # of the table that leads to the items
SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z*_\[({\d`$])")
NOT_MEANT = {  # what a notebook prints where its numbers are not to be handed in
    "quick rehearsal": "it was run as a quick rehearsal, whose numbers mean nothing: put "
    "`%env A1_PROFILE=full` into a cell above all others, ",
    "stand-in data": "it was run on drawn stand-in data: bring the real one (data/README.md), ",
}


@dataclass
class HandIn:
    """One notebook of a team: its cells, what forbids to hand it in, and what should be looked at."""

    name: str
    path: Path
    cells: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    remarks: list = field(default_factory=list)
    unshown: list = field(default_factory=list)  # (cell number, numbers, sentence)


def find(name, folder, suffix=".ipynb"):
    """Files in `folder` that may be the deliverable `name`, under its own name, with a team's, or
    as a copy that Jupyter, Colab, a browser, Windows or macOS named.
    """
    pattern = re.compile(COPY.format(re.escape(name)))
    found = filter(Path.is_file, folder.glob(f"*{suffix}"))
    return sorted(path for path in found if pattern.fullmatch(path.stem))


def order_fault(cells):
    """Why code cells are not executed from top to bottom, as the end of a sentence; or None."""
    expected = 0
    for number, cell in enumerate(cells, 1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        expected += 1
        if cell.execution_count is None:
            return f"cell {number} is not executed"
        if cell.execution_count != expected:
            return f"cell {number} was run as number {cell.execution_count}, not {expected}: not in order"
    return None


def size_fault(cells, size):
    """Why a notebook is too large, with the cells that make it so; or None."""
    if size <= MAX_BYTES:
        return None
    sizes = [
        (sum(len(str(output)) for output in cell.get("outputs", [])), number)
        for number, cell in enumerate(cells, 1)
    ]
    largest = ", ".join(f"cell {n} {length / 1e6:.1f} MB" for length, n in sorted(sizes)[:-3:-1])
    return (
        f"{size / 1e6:.1f} MB, over the assignment's 10 MB (outputs: {largest}): print less there, or "
        f"draw with a lower dpi, then {RERUN}"
    )


def faults(cells, size):
    """What keeps a notebook from being handed in, as ends of sentences."""
    found = []
    if fault := order_fault(cells):
        found.append(f"{fault}: {RERUN}")
    for number, cell in enumerate(cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append(
                    f"cell {number} ends in {output.ename}: {output.evalue}: mend it, then {RERUN}"
                )
    return found + list(filter(None, [size_fault(cells, size)]))


def section_of(item, found):
    """The section that answers an item: its heading has the anchor, or shows the number."""
    if item["id"] in (by_id := rubric.by_id(found)):
        return by_id[item["id"]]
    if not rubric.NUMBERED.fullmatch(item["id"]):
        return None
    return next((part for part in found[1:] if rubric.shows_number(part.title, item["id"])), None)


def item_remarks(cells, items):
    """What the assignment asks for and a reader would not find, as sentences."""
    found, remarks = rubric.sections(cells), []
    for item in items:
        section, name = section_of(item, found), item["id"]
        if section is None:
            numbered = rubric.NUMBERED.fullmatch(name)
            number = f"{numbered[1]} ({numbered[2]})" if numbered and numbered[2] else ""
            number = number or (numbered[1] if numbered else name)
            remarks.append(
                f'no heading for {number}: "{item["text"][:60]}...": write '
                f'`### {number} ... <a id="{rubric.anchor_of(name)}"></a>` above your answer'
            )
            continue
        named = rubric.WEIGHTS.findall(code_and_prints(section.code))
        gaps = rubric.notebook_gaps(item, section, None, section, named)
        remarks += [f"{name}: {gap}" for gap in gaps if not gap.startswith("a code cell")]
    return remarks


def blocks(text):
    """A markdown text's paragraphs, list items, table rows and headings, each on one line."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    block = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        alone = stripped.startswith(("|", "#"))
        if block and (alone or not stripped or re.match(r"[-*] |\d+\. ", stripped)):
            yield " ".join(block)
            block = []
        if alone:
            yield stripped
        elif stripped:
            block.append(stripped)


def sentences(text):
    """Sentences and table rows of a markdown text."""
    for block in blocks(text):
        yield from [block] if block.startswith("|") else SENTENCE_END.split(block)


def is_shown(number, percent, tokens):
    """Whether a number of the prose, such as "96.9", is the rounding of one among `tokens`."""
    value, decimals = float(number), len(number.partition(".")[2])
    for token in tokens:
        scales = (1, 100) if percent and not token.percent else (1,)
        if any(abs(token.value * k - value) <= 0.5000001 * 10.0**-decimals for k in scales):
            return True
    return False


def citations_of(name, root):
    """{sentence as the deliverable has it: [(result, format)]} of our own source."""
    if not source_of(name, root).exists():
        return {}
    cells = rubric.read_script(source_of(name, root))
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    captions, results = number_captions(name, texts), read_results(root / "results", name)

    def other(notebook):
        return read_results(root / "results", notebook)

    cited = {}
    for sentence in (sentence for text in texts for sentence in sentences(text)):
        if found := honesty.citations(sentence):
            cited[render(sentence, results, captions, other, name, strict=False)] = found
    return cited


def unshown(name, cells, root, others=None):
    """(cell number, numbers, sentence) of the prose whose numbers stand in no output.

    A sentence of ours says what its numbers follow from; of any other one, percentages and numbers
    of two decimals or more are looked for. `others` are the cells of the team's other notebooks.
    """
    notebooks = {
        key: honesty.Notebook(key, root, without_reported(those))
        for key, those in ((others or {}) | {name: cells}).items()
    }
    own, found = notebooks[name], []
    tokens = set().union(*own.shown.tokens.values(), honesty.tokens_in(own.shown.code))
    cited = citations_of(name, root)
    for number, title, text, _ in honesty.sections(cells):
        if "references" in title.lower():
            continue
        for sentence in sentences(text):
            if sentence in cited:
                wrong = [
                    text_of(notebook.results[key], form)
                    for notebook, key, form in resolved(cited[sentence], name, notebooks)
                    if notebook.fault(key, form)
                ]
            elif not MAP_ROW.match(sentence):
                plain = REFERENCE.sub(" ", honesty.NOT_TYPED.sub(" ", sentence))
                wrong = [
                    f"{share}%" if share else number
                    for share, number in NUMBER.findall(plain)
                    if not is_shown(share or number, bool(share), tokens)
                ]
            else:
                wrong = []
            if wrong:
                found.append((number, list(dict.fromkeys(wrong)), sentence))
    return found


def resolved(citations, name, notebooks):
    """(notebook, result, format) of the citations in `name`; those of a notebook that is not there
    are left out.
    """
    for cited, form in citations:
        other, _, key = cited.rpartition("/")
        if notebook := notebooks.get(other or name):
            yield notebook, key, form


def text_of(value, form):
    return value if isinstance(value, str) else format(value, form)


def without_reported(cells):
    """The cells, less the one that holds the numbers of the project's own run."""
    return [cell for cell in cells if not cell.source.startswith("REPORTED")]


def prints_of(cells):
    """All text that the cells printed."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text", "") for output in outputs)


def code_and_prints(cells):
    """All code and all text that it printed; no pictures."""
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    return "\n".join([*code, prints_of(cells)])


def read(name, path, items, root):
    """The HandIn of one file; the sentences to look at come with `unshown`, which needs the others."""
    found = HandIn(name, path)
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook, relax_add_props=True)  # VS Code writes ids into 4.4, too
    except Exception as error:  # nbformat raises errors of many kinds
        reason = str(error).strip().splitlines() or [repr(error)]
        found.faults = [f"it is no notebook ({reason[0][:100]}): save or download it again"]
        return found
    found.cells = notebook.cells
    found.faults = faults(found.cells, path.stat().st_size)
    printed = prints_of(found.cells).lower()
    found.remarks = [text + RERUN for mark, text in NOT_MEANT.items() if mark in printed]
    found.remarks += item_remarks(found.cells, items)
    if "a1" in notebook.metadata and not was_edited(notebook):
        found.remarks.append("it is this project's notebook as published: yours may be elsewhere")
    return found
