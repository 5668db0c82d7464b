"""Does every deliverable answer the assignment, item by item of rubric.yml?

python tools/rubric.py              coverage by part; exit status 1 at a gap in a deliverable that exists
python tools/rubric.py --complete   a missing deliverable is a gap, too
"""

import argparse
import hashlib
import json
import re
import sys
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.assemble import read_script, source_of  # noqa: E402
from tools.inline import BuildError  # noqa: E402
from tools.prose import PLACEHOLDER, number_captions, read_results, render  # noqa: E402

MIN_WORDS = 30
HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")
ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
MARK = re.compile(r"[ivxbt]+(?:-\w+)+")  # what an item's anchor looks like
NUMBERED = re.compile(
    r"[IVXBT]+\.(\d+(?:\.\d+)*)([a-z]?)\d*"
)  # handout's number and letter of an id
LINK = re.compile(r"\]\(#([^)\s]+)\)")
MARKDOWN_TABLE = re.compile(r"^ *\|.*\| *\n *\|[ :|-]+\| *\n *\|", re.MULTILINE)
RULE = re.compile(r"[\s=+|─━-]*")
WEIGHTS = re.compile(r"(?<![\w.-])[\w.-]+\.pt\b")  # begins only where a word does: linear
NOT_PROSE = re.compile(
    r"```.*?```|<!--.*?-->|</?[a-z][^<>]*>|^ *\|[^\n]*|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)",
    re.DOTALL | re.MULTILINE,
)


@dataclass
class Section:
    """A heading: its level and text, its item ids, and what stands under it: code cells, and prose
    as str.
    """

    level: int
    title: str
    ids: list
    pieces: list = field(default_factory=list)

    @property
    def prose(self):
        return [piece for piece in self.pieces if isinstance(piece, str)]

    @property
    def code(self):
        return [piece for piece in self.pieces if not isinstance(piece, str)]


@dataclass
class Coverage:
    """One part: its entry in rubric.yml, whether its deliverable exists, the gaps of each item, and
    other faults.
    """

    part: dict
    path: Path
    gaps: dict  # item id -> sentences
    faults: list = field(default_factory=list)
    exists: bool = True

    def problems(self):
        return self.faults + [f"{item}: {gap}" for item, gaps in self.gaps.items() for gap in gaps]


def read_rubric(root=ROOT):
    """The content of rubric.yml: lists of dicts under "parts", "rules" and "items"."""
    return yaml.safe_load((Path(root) / "rubric.yml").read_text(encoding="utf-8"))


def anchor_of(item):
    """Anchor of an item's id: small letters and hyphens, as VS Code rewrites every link within a
    notebook ("#I.2.5b" to "#i25b"), and then finds nothing else.
    """
    return item.lower().replace(".", "-")


def ids_in(heading):
    """Item ids of a heading: I.2.5b of `<a id="i-2-5b"></a>`."""
    marks = (mark.split("-") for mark in filter(MARK.fullmatch, ANCHOR.findall(heading)))
    return [".".join([part.upper(), *numbers]) for part, *numbers in marks]


def without_marks(heading):
    """A heading's text without its item ids; other anchors stay."""
    return ANCHOR.sub(
        lambda anchor: "" if MARK.fullmatch(anchor[1]) else anchor[0], heading
    ).strip()


def split_headings(text):
    """A markdown text's headings as (level, text), and the prose around them as str, in order."""
    prose, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else HEADING.match(line)
        if heading:
            yield "\n".join(prose).strip()
            yield len(heading[1]), heading[2]
            prose = []
        else:
            prose.append(line)
    yield "\n".join(prose).strip()


def sections(cells):
    """All sections of a notebook in order; the first, of level 0, holds everything."""
    found = [Section(0, "", [])]
    current = found[:]
    for cell in cells:
        pieces = split_headings(cell.source) if cell.cell_type == "markdown" else [cell]
        for piece in pieces:
            if isinstance(piece, tuple):
                level, title = piece
                current = [section for section in current if section.level < level]
                current.append(Section(level, title, ids_in(title)))
                found.append(current[-1])
            else:
                for section in current:
                    section.pieces.append(piece)
    return found


def by_id(found):
    """{item id: its first section}"""
    return {name: section for section in reversed(found) for name in section.ids}


def failed(cell):
    return any(output.output_type == "error" for output in cell.outputs)


def outputs_of(cell):
    """An executed cell's outputs as {MIME type: content}; none of a cell that did not run to its
    end.
    """
    if isinstance(cell, str) or cell.execution_count is None or failed(cell):
        return []
    return [
        {"text/plain": out.text} if out.output_type == "stream" else out.data
        for out in cell.outputs
    ]


def is_text_table(text):
    """Whether three lines on end, rules of dashes aside, have the same number of columns, two or
    more.
    """
    widths = [
        len(re.split(r"\s*[|│]\s*|\s{2,}|\t", line.strip()))
        for line in text.splitlines()
        if not RULE.fullmatch(line)
    ]
    return any(a == b == c > 1 for a, b, c in zip(widths, widths[1:], widths[2:]))


def is_table(data):
    return (
        "<td" in data.get("text/html", "")
        or bool(MARKDOWN_TABLE.search(data.get("text/markdown", "")))
        or is_text_table(data.get("text/plain", ""))
    )


def is_svg(data):
    return "image/svg+xml" in data or "<svg" in data.get("text/html", "")


def is_figure(data):
    return is_svg(data) or "image/png" in data or "image/jpeg" in data


def shows(piece, kind):
    """Whether a section's piece, prose or code cell (or None), holds a "table", "figure" or "svg"."""
    if isinstance(piece, str):
        return kind == "table" and bool(MARKDOWN_TABLE.search(piece))
    if piece is None:
        return False
    test = {"table": is_table, "figure": is_figure, "svg": is_svg}[kind]
    return any(test(data) for data in outputs_of(piece))


def count_words(text):
    """Words of prose; code, tables, formulas, link targets and comments do not count."""
    return len(re.findall(r"[^\W\d_]+", NOT_PROSE.sub(" ", text)))


def differences(section, other):
    """Pairs of lines in which the prose of two sections differs."""
    lines = (
        [line for text in part.prose for line in text.splitlines() if line]
        for part in (section, other)
    )
    return [pair for pair in zip_longest(*lines, fillvalue="") if pair[0] != pair[1]]


def prose_gaps(item, section, source):
    """What an item's prose lacks; `source` is the same section before its numbers were filled in,
    or None.
    """
    gaps = []
    words = count_words("\n".join(section.prose))
    if words < MIN_WORDS:
        gaps.append(f"its prose has {words} words, an analysis has {MIN_WORDS} or more")
    if item.get("cites", True) and source:
        shown = [kind for kind in ("table", "figure") if kind in item["needs"]]
        first = next(
            (
                n
                for n, piece in enumerate(section.pieces)
                if any(shows(piece, kind) for kind in shown)
            ),
            0,
        )
        below = len([piece for piece in section.pieces[:first] if isinstance(piece, str)])
        keys = [
            key
            for text in source.prose[below:]
            for key, _ in PLACEHOLDER.findall(text)
            if key not in ("fig", "tab")
        ]
        if not keys:
            where = f"below the {' or '.join(shown)} " if shown else ""
            gaps.append(f"no prose {where}cites a result: write {{{{key}}}} in the source")
    return gaps


def notebook_gaps(item, section, source, rendered, manifest):
    """What one item lacks in its section of the deliverable, as sentences."""
    needs, gaps = item["needs"], []
    if any(cell.execution_count is None for cell in section.code):
        gaps.append("a code cell is not executed")
    if any(failed(cell) for cell in section.code):
        gaps.append("a code cell ends in an error")
    if "code" in needs:
        if not any(cell.execution_count is not None and not failed(cell) for cell in section.code):
            gaps.append("no executed code")
    for kind in ("table", "svg"):
        if kind in needs and not any(shows(piece, kind) for piece in section.pieces):
            gaps.append(f"no {kind}")
    if "figure" in needs:
        images = sum(is_figure(data) for cell in section.code for data in outputs_of(cell))
        wanted = item.get("figures", 1) + ("svg" in needs)
        if images < wanted:
            gaps.append(f"no figure, or too few: {images} of {wanted}")
    for above, caption in zip([None, *section.pieces], section.pieces):
        if (
            isinstance(caption, str)
            and caption.startswith("**Figure ")
            and not shows(above, "figure")
        ):
            gaps.append(f"{caption.split('**')[1]} a caption without its figure above")
    if "file" in needs:
        texts = [
            text
            for cell in section.code
            for text in (cell.source, *(str(data) for data in outputs_of(cell)))
        ]
        if not set(WEIGHTS.findall("\n".join(texts))) & set(manifest):
            gaps.append("it saves no weights that weights/MANIFEST.json lists")
    if "prose" in needs:
        gaps += prose_gaps(item, section, source)
    if any("TODO" in text for text in section.prose):
        gaps.append("its prose holds a TODO")
    if rendered is None:
        gaps.append("its heading is not in the source: run `tools/nb.py build`")
    else:
        gaps += [
            f"the prose says {there!r}, source and results say {here!r}"
            for there, here in differences(section, rendered)[:1]
        ]
    return gaps


def read_source(name, root):
    """Sections of a notebook's source by item id: with its placeholders, and filled in. May raise
    BuildError.
    """
    cells = read_script(source_of(name, root))
    raw, texts = by_id(sections(cells)), [cell for cell in cells if cell.cell_type == "markdown"]
    captions = number_captions(name, [cell.source for cell in texts])
    results = root / "results"
    for cell in texts:
        cell.source = render(
            cell.source,
            read_results(results, name),
            captions,
            lambda other: read_results(results, other),
            name,
            strict=False,
        )
    return raw, by_id(sections(cells))


def shows_number(title, name):
    """Whether a heading shows the handout's number of an item, such as 2.3 (a) of I.2.3a; bars have
    none.
    """
    numbered = NUMBERED.fullmatch(name)
    if not numbered:
        return True
    number, letter = numbered.groups()
    text = re.sub(r"<[^>]*>", "", title)
    letters = re.findall(r"\b[a-z]\b", " ".join(re.findall(r"\(([^)]*)\)", text)))
    there = re.search(rf"(?<![\d.]){re.escape(number)}(?!\d|\.\d)", text)
    return bool(there) and (not letter or letter in letters)


def map_links(cells):
    """Where the tables link to that stand above the first answer."""
    found = set()
    for cell in cells:
        for piece in split_headings(cell.source) if cell.cell_type == "markdown" else []:
            if isinstance(piece, tuple):
                if any(map(NUMBERED.fullmatch, ids_in(piece[1]))):
                    return found
            else:
                rows = [line for line in piece.splitlines() if line.lstrip().startswith("|")]
                found |= set(LINK.findall("\n".join(rows)))
    return found


def check_anchors(coverage, cells, found):
    """Add what keeps a reader from finding an item: its number, its place in the map, links that
    lead nowhere.
    """
    for section in found:
        for name in set(section.ids) & set(coverage.gaps):
            if not shows_number(section.title, name):
                number, letter = NUMBERED.fullmatch(name).groups()
                wanted = f"{number} ({letter})" if letter else number
                coverage.gaps[name].append(
                    f"its heading does not show the handout's number, {wanted}"
                )
    linked = map_links(cells)
    for name, gaps in coverage.gaps.items():
        if anchor_of(name) not in linked:
            gaps.append(
                f"the map does not link to it: a table above the first answer with [...](#{anchor_of(name)})"
            )
    texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for name in dict.fromkeys(LINK.findall(texts)):
        if name not in ANCHOR.findall(texts):
            coverage.faults.append(f"a link to #{name} leads nowhere")
        elif not re.fullmatch(r"[a-z\d-]+", name):
            coverage.faults.append(
                f"VS Code cannot follow a link to #{name}: small letters, digits and hyphens only"
            )


def check_notebook(coverage, items, root):
    """Fill in the gaps of one part whose deliverable is a notebook."""
    cells, name = nbformat.read(coverage.path, as_version=4).cells, coverage.path.stem
    found = sections(cells)
    marks, here = [item for section in found for item in section.ids], by_id(found)
    try:
        raw, rendered = read_source(name, root)
    except BuildError as error:
        coverage.faults.append(str(error))
        raw, rendered = {}, here
    manifest_path = root / "weights" / "MANIFEST.json"
    manifest = json.loads(manifest_path.read_text()) if manifest_path.exists() else {}
    known = {item["id"] for item in items}
    coverage.faults += [
        f"a heading names {mark}, which is no item of this part"
        for mark in marks
        if mark not in known
    ]
    if any(ids_in(text) for text in found[0].prose):
        coverage.faults.append("a rubric mark stands outside of a heading")
    for item in items:
        mark = item["id"]
        if mark not in here:
            coverage.gaps[mark] = ["no heading names it"]
            continue
        coverage.gaps[mark] = notebook_gaps(
            item, here[mark], raw.get(mark), rendered.get(mark), manifest
        )
        if marks.count(mark) > 1:
            coverage.gaps[mark].append("two headings name it")
    check_anchors(coverage, cells, found)


def outline(path):
    """{title: destination} of the bookmarks in a PDF that pdfTeX wrote with uncompressed objects."""
    text = path.read_bytes().decode("latin-1")
    objects = dict(re.findall(r"^(\d+) 0 obj\s*(.*?)\s*endobj", text, re.DOTALL | re.MULTILINE))
    found = {}
    for title, action in re.findall(r"/Title (\d+) 0 R\s*/A (\d+) 0 R", text):
        raw = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), objects[title][1:-1])
        raw = re.sub(r"\\(.)", r"\1", raw).encode("latin-1")
        name = raw.decode("utf-16") if raw.startswith(b"\xfe\xff") else raw.decode("latin-1")
        found[name] = re.search(r"/D \((.*?)\)", objects[action])[1]
    return found


def answers_in(tex):
    r"""{item id: text} of the tasks, \task{V.I.1}{...}, and the numbered sections of a LaTeX source."""
    body = tex.split(r"\begin{document}")[-1]
    marks = list(re.finditer(r"\\(?:task|section)\{(V[.\w]*)?", body))
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    return {mark[1]: body[mark.end() : end] for mark, end in zip(marks, ends) if mark[1]}


def is_from(pdf, tex):
    """Whether the PDF states the hash of this LaTeX source."""
    stated = re.findall(rb"/SourceSHA256 ?\((\w+)\)", pdf.read_bytes())
    return stated == [hashlib.sha256(tex.read_bytes()).hexdigest().encode()]


def check_pdf(coverage, items):
    """Fill in the gaps of the part whose deliverable is typeset: the source holds the answers, the
    PDF shows them.
    """
    tex = coverage.path.with_suffix(".tex")
    if not tex.exists():
        coverage.faults.append(f"its source {tex.name} is missing")
        return
    if not is_from(coverage.path, tex):
        coverage.faults.append(f"not built from {tex.name} as it is now: run `make pdf`")
    answers, titles = answers_in(tex.read_text(encoding="utf-8")), outline(coverage.path)
    for item in items:
        text, gaps = answers.get(item["id"]), []
        if text is None:
            gaps.append(rf"no \task or \section of {tex.name} names it")
        else:
            words = count_words(re.sub(r"\\[a-zA-Z]+", " ", text))
            if words < MIN_WORDS:
                gaps.append(f"its answer has {words} words, a derivation has {MIN_WORDS} or more")
            if not re.search(r"\\begin\{(answer|equations)\}", text):
                gaps.append("no final answer is marked (answer or equations box)")
            if item["id"] not in [title.split()[0] for title in titles]:
                gaps.append("the PDF has no bookmark for it")
        coverage.gaps[item["id"]] = gaps


def check(root=ROOT):
    """The Coverage of every part, in the order of rubric.yml."""
    root, rubric, parts = Path(root), read_rubric(root), []
    for part in rubric["parts"]:
        name = part["notebook"]
        items = [item for item in rubric["items"] if item["id"].split(".")[0] == part["part"]]
        path = root / (name if name.endswith(".pdf") else f"{name}.ipynb")
        coverage = Coverage(part, path, {item["id"]: [] for item in items}, exists=path.exists())
        parts.append(coverage)
        if not coverage.exists:
            coverage.gaps = {item["id"]: ["its deliverable is missing"] for item in items}
        elif path.suffix == ".pdf":
            check_pdf(coverage, items)
        else:
            check_notebook(coverage, items, root)
    return parts


def gaps_in(parts, names=None, complete=False):
    """All gaps of `parts` as sentences, of the deliverables `names` (all by default).

    A missing deliverable counts only where the check is `complete`.
    """
    found = []
    for coverage in parts:
        name = coverage.path.stem
        if names is not None and name not in names:
            continue
        if coverage.exists:
            found += [f"{name}: {problem}" for problem in coverage.problems()]
        elif complete:
            found.append(f"{name}: missing")
    return found


def problems(names=None, root=ROOT):
    """What keeps the deliverables that exist from answering the assignment, as sentences."""
    return gaps_in(check(root), names)


def table(parts):
    """Coverage by part, a line each."""
    lines = [f"{'part':<6}{'points':>6}  {'items':<10}deliverable"]
    for coverage in parts:
        covered = sum(not gaps for gaps in coverage.gaps.values())
        note = "" if coverage.exists else " is missing"
        share = f"{covered}/{len(coverage.gaps)}"
        lines.append(
            f"{coverage.part['part']:<6}{coverage.part['points']:>6}  {share:<10}{coverage.path.name}{note}"
        )
    return "\n".join(lines)


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--complete", action="store_true", help="a missing deliverable is a gap, too"
    )
    options = parser.parse_args(arguments)
    parts = check(root)
    print(table(parts))
    found = gaps_in(parts, complete=options.complete)
    print(*found, sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
