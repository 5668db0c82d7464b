"""Render the deliverables to a static site in site/: `python tools/site.py`, then open
site/index.html.

The pages hold no script and need no network: formulas become MathML, which browsers draw
themselves, and pictures are files beside the pages.
"""

import ast
import base64
import html
import itertools
import re
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import nbformat
from math_core import LatexError, LatexToMathML
from nbconvert.filters.ansi import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import readme, rubric  # noqa: E402
from tools.prose import caption_of  # noqa: E402

STYLE = Path(__file__).with_name("site.css")
LIGHT, DARK = HtmlFormatter(style="default"), HtmlFormatter(style="github-dark")
LINK = re.compile(r"</?a\b[^>]*>")
EXTERNAL = re.compile(r"[a-z]+:", re.IGNORECASE)
ITEM = re.compile(r'<a class="item" id="(.*?)"[^>]*>(.*?)</a>')  # its anchor, its id
LONG_CODE = 12  # lines of definitions; longer ones are shown on demand
DEFINING = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign)
LONG_FORMULA = 16  # symbols that surely fit the width of a phone
STATUS = {
    True: '<span class="covered">covered</span>',
    False: '<span class="gap">gap</span>',
    None: "to come",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
</head>
<body>
<header><nav aria-label="Pages"><ul>
{links}
</ul></nav></header>
<div class="page">
<nav class="contents" aria-label="Contents">
<input type="checkbox" id="contents-shown"><label for="contents-shown">Contents</label>
<ul onclick="document.getElementById('contents-shown').checked = false">
{contents}
</ul>
</nav>
<main>
{body}
</main>
</div>
<footer>Rendered from the executed notebooks by <code>make site</code>.</footer>
</body>
</html>
"""


class SiteError(Exception):
    """Something that cannot be rendered; the message names the page and the place."""


class Renderer(IPythonRenderer):
    """Markdown to HTML for one page: formulas as MathML, links between deliverables, headings with
    their items.
    """

    def __init__(self, name, links, items):
        super().__init__(escape=False)
        self.name, self.links, self.items = name, links, items
        self.needs, self.level = set(), 0  # of the section that is being rendered
        self.latex = LatexToMathML(fancy_error=False)
        self.headings, self.slugs = [], {}

    def math(self, body, display):
        try:
            return self.latex.convert_with_local_state(body.strip(), displaystyle=display)
        except LatexError as error:
            raise SiteError(f"{self.name}: the formula {body.strip()}: {error}") from None

    def inline_math(self, body):
        formula = self.math(body, display=False)
        symbols = len(re.sub(r"<[^>]+>", "", formula))  # browsers do not break formulas into lines
        return f'<span class="long">{formula}</span>' if symbols > LONG_FORMULA else formula

    def block_math(self, body):
        return f'<span class="scroll display">{self.math(body, display=True)}</span>'

    def latex_environment(self, name, body):
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def heading(self, text, level, **attributes):
        items, text = rubric.ids_in(text), rubric.without_marks(text)
        slug = re.sub(
            r"\s+", "-", html.unescape(re.sub(r"<[^>]+>", "", text))
        )  # as Jupyter names its headings
        self.slugs[slug] = self.slugs.get(slug, 0) + 1
        if self.slugs[slug] > 1:
            slug += f"-{self.slugs[slug]}"
        self.headings.append((level, slug, text))
        if items or level <= self.level:
            found = [set(self.items[item]["needs"]) for item in items if item in self.items]
            self.needs, self.level = set().union(*found), level
        marks = "".join(
            f' <a class="item" id="{rubric.anchor_of(item)}" href="index.html#{item}" title="{html.escape(self.items.get(item, {}).get("text", item))}">'
            f"{item}</a>"
            for item in items
        )
        return f'<h{level} id="{html.escape(slug)}">{text}{marks}</h{level}>\n'

    def link(self, text, url, title=None):
        path, _, fragment = url.partition("#")
        if not EXTERNAL.match(url) and path:
            if path not in self.links:
                return text  # a file of the project that is not on the site
            url = self.links[path] + ("#" + fragment if fragment else "")
        return super().link(text, url, title)

    def image(self, text, url, title=None):
        if not EXTERNAL.match(url):
            raise SiteError(
                f"{self.name}: the picture {url} is in no output, so the site does not have it"
            )
        return text  # badges and the like: nothing is loaded from elsewhere

    def table(self, text):
        return f'<div class="scroll table"><table>\n{text}</table></div>\n'

    def block_code(self, code, info=None):
        return f'<div class="scroll source">{super().block_code(code, info)}</div>\n'


def render_markdown(text, renderer):
    return MarkdownWithMath(renderer).render(text)


def source_html(cell, opened=False):
    """A code cell's source; what only defines functions and classes at some length is collapsed
    under their names, unless the code is what is asked for.
    """
    code = highlight(cell.source, PythonLexer(), LIGHT).strip()
    code = f'<div class="scroll source">{code}</div>'
    lines = cell.source.count("\n") + 1
    if opened or lines <= LONG_CODE or not (defined := definitions(cell.source)):
        return code
    name = html.escape(f"Code of {', '.join(defined)}: {lines} lines")
    return f"<details><summary>{name}</summary>\n{code}\n</details>"


def definitions(source):
    """Names of the functions and classes of a cell that does nothing but define and assign; else []."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a line of IPython's
        return []
    if not all(isinstance(node, DEFINING) for node in body):
        return []
    return [node.name for node in body if hasattr(node, "name")]


class Pictures:
    """The pictures of one page, written to files as they come."""

    def __init__(self, folder, name):
        self.folder, self.name, self.count = folder, name, 0

    def add(self, content, suffix, caption):
        """Write one and return its <img>; `caption` is the markdown that follows it."""
        self.count += 1
        path = self.folder / self.name / f"{self.count:02d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        size = ""
        if suffix == "png":
            width, height = struct.unpack(">II", content[16:24])
            size = f' width="{width}" height="{height}"'
        found = caption_of(caption)
        alt = html.escape(f"{found[0]}. {found[1]}" if found else "Picture")
        return f'<img src="{self.name}/{path.name}" alt="{alt}"{size} loading="lazy">'


def output_html(output, caption, pictures, renderer):
    """One output in its richest form that needs no script; None where there is nothing to show."""
    if output.output_type == "error":
        text = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
        return f"<pre>{html.escape(strip_ansi(text))}</pre>"
    if output.output_type == "stream":
        return f"<pre>{html.escape(strip_ansi(output.text))}</pre>"
    data = output.data
    if "image/svg+xml" in data:
        return pictures.add(data["image/svg+xml"].encode(), "svg", caption)
    for kind, suffix in (("image/png", "png"), ("image/jpeg", "jpg")):
        if kind in data:
            return pictures.add(base64.b64decode(data[kind]), suffix, caption)
    if "text/html" in data and "<script" not in data["text/html"]:
        return data["text/html"]
    if "text/markdown" in data:
        return render_markdown(data["text/markdown"], renderer)
    return (
        f"<pre>{html.escape(strip_ansi(data['text/plain']))}</pre>"
        if "text/plain" in data
        else None
    )


def notebook_html(path, folder, links, items):
    """The Body of one notebook's page, its pictures written below `folder`."""
    cells = nbformat.read(path, as_version=4).cells
    renderer, pictures = Renderer(path.name, links, items), Pictures(folder, path.stem)
    pieces = []
    for cell, following in zip(cells, [*cells[1:], None]):
        if cell.cell_type == "markdown":
            pieces.append(render_markdown(cell.source, renderer))
        elif cell.cell_type == "code":
            wants_code = "code" in renderer.needs and not renderer.needs & {
                "table",
                "figure",
                "svg",
            }
            pieces.append(source_html(cell, wants_code))
            caption = following.source if following and following.cell_type == "markdown" else ""
            for output in cell.outputs:
                if text := output_html(output, caption, pictures, renderer):
                    pieces.append(f'<div class="scroll output{kinds_of(output)}">{text}</div>')
    title = next((text for level, _, text in renderer.headings if level == 1), path.stem)
    body = "\n".join(pieces)
    return Body(re.sub(r"<[^>]+>", "", title), body, contents(renderer.headings))


class Body(NamedTuple):
    """What one page shows: its title, its text, and the list of its headings."""

    title: str
    body: str
    contents: str


def kinds_of(output):
    """The classes " table" and " figure" of an output, as the rubric tells them."""
    data = {"text/plain": output.get("text", "")} | output.get("data", {})
    tests = {"table": rubric.is_table, "figure": rubric.is_figure}
    return "".join(f" {kind}" for kind, test in tests.items() if test(data))


def contents(headings):
    """Entries of a list of contents, from (level, anchor, text) of the headings below the title."""
    return "\n".join(
        f'<li class="level{level}"><a href="#{html.escape(slug)}">{LINK.sub("", text)}</a></li>'
        for level, slug, text in headings
        if level in (2, 3, 4)
    )


def short_name(part):
    return part["title"] if part["part"].startswith("B") else f"Part {part['part']}"


def part_rows(coverage, content, anchors):
    """The rubric's rows for one part; an item that a deliverable answers links to its heading
    there.
    """
    rows = []
    for item in content["items"]:
        name = item["id"]
        if name not in coverage.gaps:
            continue
        gaps = coverage.gaps[name]
        status = STATUS[not gaps if coverage.exists else None]
        target = anchors.get(name)
        link = f'<a href="{html.escape(target)}">{name}</a>' if target else name
        faults = (
            f"<br><small>{html.escape('; '.join(gaps))}</small>" if gaps and coverage.exists else ""
        )
        rows.append(
            f'<tr id="{name}"><td>{link}</td><td>{html.escape(item["text"])}{faults}</td><td>{status}</td></tr>'
        )
    return rows


def results_html(root, parts):
    """The results as a table for each notebook, narrow enough for a telephone."""
    pieces, names = [], {coverage.path.stem: short_name(coverage.part) for coverage in parts}
    for notebook, rows in itertools.groupby(readme.rows(root), key=lambda row: row[0]):
        rows = list(rows)
        used = [m for m in readme.COLUMNS if any(values[m] is not None for *_, values in rows)]
        head = "".join(f"<th>{readme.COLUMNS[m][0]}</th>" for m in used)
        pieces.append(
            f"<h3>{names.get(notebook, notebook)}</h3>\n"
            f'<div class="scroll table"><table class="results"><thead><tr><th>model</th>{head}</tr></thead><tbody>'
        )
        for _, model, values in rows:
            cells = "".join(
                f"<td>{'' if values[m] is None else readme.COLUMNS[m][1].format(values[m])}</td>"
                for m in used
            )
            name = html.escape(readme.MODELS.get(model, model))
            pieces.append(f"<tr><th>{name}</th>{cells}</tr>")
        pieces.append("</tbody></table></div>")
    return "\n".join(pieces)


def index_html(root, parts, content, pages, anchors, links):
    """The first page: the items of each part with its points, then results and rules."""
    introduction = (root / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    title, _, introduction = introduction.strip().partition("\n\n")
    renderer = Renderer("README.md", links, {})
    totals = sum(len(coverage.gaps) for coverage in parts)
    met = sum(not gaps for coverage in parts for gaps in coverage.gaps.values())
    pieces = [
        render_markdown(title, renderer),
        f"<p>{met} of {totals} items of the assignment are covered: under the heading to which an item leads a "
        "program found what it needs (executed code, tables, figures, saved weights, an analysis that cites results).</p>",
    ]
    headings = []
    for coverage in parts:
        part, covered = coverage.part, sum(not gaps for gaps in coverage.gaps.values())
        name = html.escape(part["title"])
        page = pages.get(coverage.path)
        title = f'<a href="{page}">{name}</a>' if page else f"{name} (to come)"
        prefix = "" if part["part"].startswith("B") else f"{short_name(part)}. "
        headings.append((2, f"part-{part['part']}", f"{prefix}{name}, {part['points']} points"))
        pieces += [
            f'<h2 id="part-{part["part"]}">{prefix}{title}: {part["points"]} points, '
            f"{covered} of {len(coverage.gaps)} items</h2>",
            '<div class="scroll"><table class="rubric">',
            "<thead><tr><th>item</th><th>asked for</th><th>state</th></tr></thead><tbody>",
            *part_rows(coverage, content, anchors),
            "</tbody></table></div>",
        ]
    rules = "\n".join(f"<li>{html.escape(rule['text'])}</li>" for rule in content["rules"])
    headings += [(2, name.lower(), name) for name in ("Results", "Rules", "About")]
    pieces += [
        '<h2 id="results">Results on the test part</h2>',
        results_html(root, parts),
        '<h2 id="rules">Rules for all parts</h2>',
        f"<ul>\n{rules}\n</ul>",
        '<h2 id="about">About this solution</h2>',
        render_markdown(introduction, renderer),
    ]
    return Body("Overview", "\n".join(pieces), contents(headings))


def pdf_anchors(path, page):
    """{item id: link} to the bookmarks of the typeset part."""
    return {
        title.split()[0]: f"{page}#nameddest={name}" for title, name in rubric.outline(path).items()
    }


def write_style(folder):
    """One style sheet: ours, and the colours of code for light and dark."""
    colors = LIGHT.get_style_defs(".highlight"), DARK.get_style_defs(".highlight")
    plain = ".highlight { background: transparent; }"
    text = f"{STYLE.read_text()}\n{colors[0]}\n@media (prefers-color-scheme: dark) {{\n{colors[1]}\n}}\n{plain}\n"
    (folder / "style.css").write_text(text)


def write_pages(root, folder):
    """Write all pages into the empty `folder`."""
    content, parts = rubric.read_rubric(root), rubric.check(root)
    items = {item["id"]: item for item in content["items"]}
    existing = [coverage for coverage in parts if coverage.exists]
    pages = {part.path: part.path.name.replace(".ipynb", ".html") for part in existing}
    links = {part.path.relative_to(root).as_posix(): pages[part.path] for part in existing}
    bodies, anchors = {}, {}
    for path, page in pages.items():
        if path.suffix == ".pdf":
            shutil.copy(path, folder / page)
            anchors |= pdf_anchors(path, page)
        else:
            bodies[page] = notebook_html(path, folder, links, items)
            anchors |= {
                name: f"{page}#{anchor}" for anchor, name in ITEM.findall(bodies[page].body)
            }
    bodies["index.html"] = index_html(root, parts, content, pages, anchors, links)
    menu = {"index.html": "Overview"} | {
        pages[part.path]: short_name(part.part) for part in existing
    }
    for page, body in bodies.items():
        entries = "\n".join(
            f'<li><a href="{target}"{" aria-current=page" if target == page else ""}>{html.escape(name)}</a></li>'
            for target, name in menu.items()
        )
        (folder / page).write_text(PAGE.format(links=entries, **body._asdict()), encoding="utf-8")
    write_style(folder)


def build(root=ROOT, folder=None):
    """Write the whole site anew, in place of an older one; its folder, by default site/.

    Raises SiteError where a formula cannot be rendered; then the older site stays.
    """
    root = Path(root)
    folder = Path(folder or root / "site")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name) as temporary:
        new = Path(temporary) / "site"
        new.mkdir()
        write_pages(root, new)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        new.rename(folder)
    return folder


if __name__ == "__main__":
    try:
        print(f"written: {build() / 'index.html'}")
    except SiteError as error:
        sys.exit(str(error))
