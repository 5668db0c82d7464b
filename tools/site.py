"""Render the deliverables to a static site in site/: `python tools/site.py`, then open
site/index.html.

The pages hold no script and need no network: formulas become MathML, which browsers draw
themselves, and pictures are files beside the pages.
"""

import base64
import html
import re
import shutil
import struct
import sys
import tempfile
from pathlib import Path

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
EXTERNAL = re.compile(r"[a-z]+:", re.IGNORECASE)
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
<main>
{body}
</main>
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

    def __init__(self, name, links, texts):
        super().__init__(escape=False)
        self.name, self.links, self.texts = name, links, texts
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
        marks = "".join(
            f' <a class="item" id="{item}" href="index.html#{item}" title="{html.escape(self.texts.get(item, item))}">'
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
        return f'<div class="scroll"><table>\n{text}</table></div>\n'

    def block_code(self, code, info=None):
        return f'<div class="scroll source">{super().block_code(code, info)}</div>\n'


def render_markdown(text, renderer):
    return MarkdownWithMath(renderer).render(text)


def source_html(cell):
    """A code cell's source; what the first edition's notebooks hide is collapsed under its title."""
    code = highlight(cell.source, PythonLexer(), LIGHT).strip()
    code = f'<div class="scroll source">{code}</div>'
    tags = cell.metadata.get("tags", [])
    if "toolbox" not in tags and not ("reported" in tags and cell.source.count("\n") > 40):
        return code
    title = re.match(r"# @title (.*)", cell.source)
    name = html.escape(title[1] if title else "Reported numbers")
    return f'<details class="toolbox"><summary>{name}</summary>\n{code}\n</details>'


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


def notebook_html(path, folder, links, texts):
    """The body of one notebook's page, its pictures written below `folder`; (title, html)."""
    cells = nbformat.read(path, as_version=4).cells
    renderer, pictures = Renderer(path.name, links, texts), Pictures(folder, path.stem)
    pieces = []
    for cell, following in zip(cells, [*cells[1:], None]):
        if cell.cell_type == "markdown":
            pieces.append(render_markdown(cell.source, renderer))
        elif cell.cell_type == "code":
            pieces.append(source_html(cell))
            caption = following.source if following and following.cell_type == "markdown" else ""
            outputs = [output_html(output, caption, pictures, renderer) for output in cell.outputs]
            pieces += [f'<div class="scroll output">{text}</div>' for text in outputs if text]
    entries = "\n".join(
        f'<li style="margin-left: {level - 2}rem"><a href="#{html.escape(slug)}">{text}</a></li>'
        for level, slug, text in renderer.headings
        if level in (2, 3)
    )
    contents = f"<details><summary>Contents</summary>\n<ul>\n{entries}\n</ul>\n</details>"
    title = next((text for level, _, text in renderer.headings if level == 1), path.stem)
    first = pieces[0].find("</h1>") + len("</h1>") if "</h1>" in pieces[0] else 0
    pieces[0] = pieces[0][:first] + contents + pieces[0][first:]
    return re.sub(r"<[^>]+>", "", title), "\n".join(pieces)


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


def index_html(root, parts, content, pages, anchors, links):
    """The body of the first page: what this is, headline results, parts, and the rubric row by row."""
    introduction = (root / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    renderer = Renderer("README.md", links, {})
    pieces = [
        render_markdown(introduction, renderer),
        '<h2 id="results">Results on the test part</h2>',
        render_markdown(readme.table(root), renderer),
        '<h2 id="rubric">What the assignment asks, and where it stands</h2>',
        "<p>Each item's number leads to the heading that answers it, and back. "
        "An item is covered if a program found under that heading what it needs: executed code, tables, figures, "
        "saved weights, an analysis that cites results.</p>",
    ]
    for coverage in parts:
        part, covered = coverage.part, sum(not gaps for gaps in coverage.gaps.values())
        name = html.escape(part["title"])
        page = pages.get(coverage.path)
        title = f'<a href="{page}">{name}</a>' if page else f"{name} (to come)"
        prefix = "" if part["part"].startswith("B") else f"{short_name(part)}. "
        pieces += [
            f'<h3 id="part-{part["part"]}">{prefix}{title}</h3>',
            f"<p>{part['points']} points; {covered} of {len(coverage.gaps)} items covered.</p>",
            '<div class="scroll"><table class="rubric">',
            "<thead><tr><th>item</th><th>asked for</th><th>state</th></tr></thead><tbody>",
            *part_rows(coverage, content, anchors),
            "</tbody></table></div>",
        ]
    rules = "\n".join(f"<li>{html.escape(rule['text'])}</li>" for rule in content["rules"])
    return "\n".join([*pieces, '<h2 id="rules">Rules for all parts</h2>', f"<ul>\n{rules}\n</ul>"])


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
    texts = {item["id"]: item["text"] for item in content["items"]}
    existing = [coverage for coverage in parts if coverage.exists]
    pages = {part.path: part.path.name.replace(".ipynb", ".html") for part in existing}
    links = {part.path.relative_to(root).as_posix(): pages[part.path] for part in existing}
    bodies, anchors = {}, {}
    for path, page in pages.items():
        if path.suffix == ".pdf":
            shutil.copy(path, folder / page)
            anchors |= pdf_anchors(path, page)
        else:
            bodies[page] = notebook_html(path, folder, links, texts)
            anchors |= {
                name: f"{page}#{name}"
                for name in re.findall(r'class="item" id="(.*?)"', bodies[page][1])
            }
    bodies["index.html"] = "Overview", index_html(root, parts, content, pages, anchors, links)
    menu = {"index.html": "Overview"} | {
        pages[part.path]: short_name(part.part) for part in existing
    }
    for page, (title, body) in bodies.items():
        entries = "\n".join(
            f'<li><a href="{target}"{" aria-current=page" if target == page else ""}>{html.escape(name)}</a></li>'
            for target, name in menu.items()
        )
        (folder / page).write_text(
            PAGE.format(title=title, links=entries, body=body), encoding="utf-8"
        )
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
