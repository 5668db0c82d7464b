"""Can a reader find every number that the prose cites in what the notebook shows?

A cited fact must stand in an output. A derived number must follow from numbers that stand in the
outputs of the section that cites it. Numbers of some precision are cited, not typed.
"""

import html
import re
from dataclasses import dataclass

import nbformat

from tools.assemble import assemble, is_reported, read_script, source_of
from tools.facts import derived_in, evaluate, names_in
from tools.prose import citations, read_results

NUMBER = re.compile(
    r"(?<![\w.])([-−+]?)(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.(\d*))?(?:[eE]([-+]?\d+))?(?: ?(%))?"
)
TYPED = re.compile(r"(?<![\w.])\d+\.\d+ ?%|(?<![\w.])\d+\.\d{2,}(?!\d|\.\d| ?%)")
NOT_TYPED = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\{\{.*?\}\}|<!--.*?-->|\]\([^)]*\)|</?\w[^>]*>|https?://\S+",
    re.DOTALL,
)
NOT_SHOWN = re.compile(r"<(style|script)\b.*?</\1>|<[^>]+>", re.DOTALL)
COLOR = re.compile(r"\x1b\[[0-9;]*m")
HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")
SECTION_LEVEL = 3


@dataclass(frozen=True)
class Token:
    """A number as an output shows it: its value, how many decimals, whether a % follows."""

    value: float
    decimals: int
    percent: bool

    def shows(self, value, percents):
        """What the reader takes the fact `value` to be, or None where this token is not its
        rounding.

        Where `percents`, a number without % may be a percentage, too.
        """
        for scale in [100] if self.percent else [1, 100] if percents else [1]:
            if abs(value * scale - self.value) <= 0.5000001 * 10.0**-self.decimals:
                shown = self.value / scale
                return int(shown) if isinstance(value, int) and shown == int(shown) else shown
        return None


def tokens_in(text):
    """All numbers in a text."""
    found = set()
    for sign, whole, fraction, exponent, percent in NUMBER.findall(text):
        number = f"{whole.replace(',', '')}.{fraction or 0}e{exponent or 0}"
        value = -float(number) if sign in ("-", "−") and sign else float(number)
        found.add(Token(value, len(fraction) - int(exponent or 0), bool(percent)))
    return found


def texts_shown(cell):
    """The texts that a code cell's outputs show; what stands in a picture does not count."""
    texts = []
    for output in cell.outputs if cell.cell_type == "code" and not is_reported(cell) else []:
        data = output.get("data", {})
        if output.output_type == "stream":
            texts.append(COLOR.sub("", output.text))
        elif any(kind.startswith("image/") for kind in data):
            continue
        elif "text/html" in data:
            texts.append(html.unescape(NOT_SHOWN.sub(" ", data["text/html"])))
        else:
            texts += [data[kind] for kind in ("text/markdown", "text/plain") if kind in data][:1]
    return texts


def pieces_of(cells):
    """(cell number, heading or None as (level, title), text) of each part of a markdown source, in
    order.
    """
    for number, cell in enumerate(cells, 1):
        if cell.cell_type != "markdown":
            continue
        heading, lines, fenced = None, [], False
        for line in cell.source.splitlines():
            fenced ^= line.lstrip().startswith("```")
            found = None if fenced else HEADING.match(line)
            if found:
                yield number, heading, "\n".join(lines)
                heading, lines = (len(found[1]), found[2]), [line]
            else:
                lines.append(line)
        yield number, heading, "\n".join(lines)


def sections(cells):
    """(cell number, title, text, cell numbers of the section) of every part of the prose.

    A section is all that stands under its heading of level 3 or higher, deeper ones included.
    """
    parts, open_at = [], []  # open sections as (level, title, first cell)
    ends, found = {}, list(pieces_of(cells))
    for index, (number, heading, text) in enumerate(found):
        if heading and heading[0] <= SECTION_LEVEL:
            level, title = heading
            for section in [section for section in open_at if section[0] >= level]:
                ends[section] = number
            open_at = [section for section in open_at if section[0] < level]
            open_at.append((level, re.sub(r"<.*?>", "", title).strip(), number, index))
        parts.append((number, open_at[-1] if open_at else (0, "the beginning", 1, -1), text))
    for number, section, text in parts:
        yield number, section[1], text, range(section[2], ends.get(section, len(cells)) + 1)


class Shown:
    """What a deliverable's outputs show, cell by cell."""

    def __init__(self, cells):
        self.texts = {number: texts_shown(cell) for number, cell in enumerate(cells, 1)}
        self.tokens = {
            number: set().union(*map(tokens_in, texts)) for number, texts in self.texts.items()
        }
        self.code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")

    def says(self, text):
        """Whether an output or the code holds `text`."""
        return text in self.code or any(
            text in shown for texts in self.texts.values() for shown in texts
        )

    def readings(self, value, percents=False, where=None):
        """What the outputs of the cells `where` (all by default) show `value` to be, the nearest
        first.
        """
        tokens = set().union(*(self.tokens[number] for number in where or self.tokens))
        found = {token.shows(value, percents) for token in tokens} - {None}
        return sorted(found, key=lambda reading: abs(reading - value))


def fault(value, form, shown):
    """Why the outputs do not show the fact `value` as the prose cites it, as the end of a sentence;
    or None.
    """
    if isinstance(value, str):
        return None if shown.says(value) else "is neither in an output nor in the code: print it"
    cited = format(value, form)
    readings = shown.readings(value, form.endswith("%"))
    if not readings:
        return f"says {cited}, which no output shows: print it, or drop it"
    texts = [formatted(reading, form) for reading in readings]
    return None if cited in texts else disagreement(cited, texts[0])


def derived_fault(value, form, expression, facts, shown, where):
    """The same for a number that follows from facts which the outputs of the cells `where` show."""
    cited, readings = format(value, form), {}
    for fact in names_in(expression):
        if fact not in facts:
            return f"needs {fact}, which is not in the results: run the notebook in full"
        found = shown.readings(facts[fact], form.endswith("%"), where)
        if not found:
            return f"says {cited}, but no output of its section shows {fact}: print it there"
        readings[fact] = found[0]
    try:
        text = formatted(evaluate(expression, readings), form)
    except ValueError as error:
        return f"says {cited}, but cannot be computed from what is shown: {error}"
    return None if text == cited else disagreement(cited, text)


def formatted(number, form):
    try:
        return format(number, form)
    except ValueError:  # a format of whole numbers
        return format(round(number), form)


def disagreement(cited, text):
    return f"says {cited}, but the shown numbers give {text}: show more digits, or cite fewer"


def typed_numbers(cells):
    """(cell number, title, number) of what is typed into the prose where a citation belongs."""
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for number, title, text, _ in sections(cells):
        if "references" in title.lower():
            continue
        for typed in TYPED.findall(NOT_TYPED.sub(" ", text)):
            if not re.search(rf"(?<![\d.]){re.escape(typed.rstrip(' %'))}(?!\d)", code):
                yield number, title, typed


class Notebook:
    """What the check needs of one notebook: results, derived numbers, and what its outputs show."""

    def __init__(self, name, root, cells=None):
        path = root / f"{name}.ipynb"
        if cells is None:
            cells = nbformat.read(path, as_version=4).cells if path.exists() else []
        self.results, self.shown = read_results(root / "results", name), Shown(cells)
        self.derived = derived_in(read_script(source_of(name, root)))

    def fault(self, key, form, where=None):
        """What is wrong with a citation of the result `key`; None where nothing is, or the build
        says so.
        """
        if key not in self.results:
            return None
        if key in self.derived:
            expression = self.derived[key]
            return derived_fault(
                self.results[key], form, expression, self.results, self.shown, where
            )
        return fault(self.results[key], form, self.shown)


def problems(name, notebook, root):
    """Citations and typed numbers that a reader cannot verify in the deliverable, as sentences.

    A number of another notebook must stand in that one's outputs, or here.
    """
    raw = assemble(name, root / "notebooks", root / "results", strict=False, fill=False)
    if len(raw.cells) != len(notebook.cells):
        return []  # not what its source builds, which another check tells
    own, others, found = Notebook(name, root, notebook.cells), {}, []
    for number, title, text, where in sections(raw.cells):
        for cited, form in citations(text):
            other, _, key = cited.rpartition("/")
            if other:
                if other not in others:
                    others[other] = Notebook(other, root)
                error = others[other].fault(key, form)
                if error and not fault(others[other].results[key], form, own.shown):
                    error = None
            else:
                error = own.fault(key, form, where)
            if error:
                citation = "{{" + cited + (f":{form}" if form else "") + "}}"
                found.append(f"cell {number} ({title}): {citation} {error}")
    for number, title, typed in typed_numbers(raw.cells):
        found.append(
            f"cell {number} ({title}): the number {typed} is typed: cite a fact, or write it as code"
        )
    return found
