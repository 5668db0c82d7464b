"""The static site: links, anchors, nothing from elsewhere, MathML; and what a browser makes of it."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from graded import edit, execute, write_project

from tools import look, rubric, site

ROOT = Path(__file__).resolve().parent.parent
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
WIDE = """
# %% [markdown]
# ### Wide things
#
# | a | b | c |
# |---|---|---|
# | `one_rather_long_name_of_a_column` | `one_rather_long_name_of_a_column` | `one_rather_long_name_of_a_column` |
#
# $$x_1 + x_2 + x_3 + x_4 + x_5 + x_6 + x_7 + x_8 + x_9 + x_{10} + x_{11} + x_{12} + x_{13} + x_{14} + x_{15} + x_{16}$$
#
# In a line: $f(x_1) = \\lVert \\mathbf{W}_1 x_1 + \\mathbf{W}_2 x_2 + \\mathbf{W}_3 x_3 + \\mathbf{W}_4 x_4 + \\mathbf{b} \\rVert_2 < 1$.
#
# ![badge](https://example.org/badge.svg)
#
# ```python
# a = "a line of code that is far too long for a telephone, and that must therefore scroll in a box of its own"
# ```

# %%
a = "a line of code that is far too long for a telephone, and that must therefore scroll in a box of its own"

# %% [markdown]
# ## 3. Saving <a"""


class Page(HTMLParser):
    """What the tests ask of a page: its ids, links, resources, tags, and whether all tags are
    closed.
    """

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.resources, self.tags, self.open, self.style = (
            [],
            [],
            [],
            [],
            [],
            "",
        )
        self.text = path.read_text()
        self.feed(self.text)
        self.close()
        assert self.open == [], f"{path.name}: never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" and "href" in attributes else []
        names = ("src", "srcset", "poster", "data", *(["href", "xlink:href"] if tag != "a" else []))
        self.resources += [attributes[name] for name in names if name in attributes]
        self.style += attributes.get("style", "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data


def check_links(folder):
    """Every link and resource of a site leads to a file of it, or, a link, elsewhere on the web."""
    pages = {path.name: Page(path) for path in folder.glob("*.html")}
    for name, page in pages.items():
        assert len(set(page.ids)) == len(page.ids), f"{name}: an id twice"
        for link in page.links:
            if re.match(r"https?://|mailto:", link):
                continue
            path, _, fragment = link.partition("#")
            assert (folder / path).is_file() if path else True, f"{name} links to {link}"
            if path in pages or not path:
                assert fragment in [*pages[path or name].ids, ""], f"{name} links to {link}"
        for resource in page.resources:
            assert resource.startswith("data:") or (folder / resource).is_file(), (
                f"{name} needs {resource}"
            )
        assert not {"script", "iframe", "object", "embed"} & set(page.tags), name
        assert not re.search(r"url\(|@import", page.style), name
    assert not re.search(r"url\(|@import", (folder / "style.css").read_text())
    return pages


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = write_project(tmp_path_factory.mktemp("project"))
    edit(root / "notebooks/a1_part_1.py", "\n# %% [markdown]\n# ## 3. Saving <a", WIDE)
    execute(root)
    return root


@pytest.fixture(scope="module")
def small(project):
    return site.build(project)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The site of this project as it is."""
    return site.build(ROOT, tmp_path_factory.mktemp("whole") / "site")


def test_every_link_resolves_and_nothing_comes_from_elsewhere(small, whole):
    pages = check_links(small)
    assert set(pages) == {"index.html", "a1_part_1.html"}
    assert {"https://example.org/circles", "a1_part_5.pdf", "#i-1"} <= set(
        pages["a1_part_1.html"].links
    )
    assert "badge.svg" not in pages["a1_part_1.html"].text
    check_links(whole)


def test_every_item_leads_to_its_heading_and_back(small):
    index, page = Page(small / "index.html"), Page(small / "a1_part_1.html")
    for item in ("I.1", "I.2a", "I.2b", "I.3", "I.4", "I.bar"):
        anchor = rubric.anchor_of(item)
        assert f"a1_part_1.html#{anchor}" in index.links and anchor in page.ids
        assert f"index.html#{item}" in page.links and item in index.ids
    assert re.search(
        r'<h3 id="2-\(a\),-\(b\)-Pictures">2 \(a\), \(b\) Pictures <a class="item" id="i-2a"',
        page.text,
    )
    assert "a1_part_5.pdf#nameddest=section*.1" in index.links
    assert "II.1" in index.ids and not any("#ii-1" in link for link in index.links)


def test_an_item_with_a_gap_is_shown_with_it(project, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("site"))
    edit(copy / "rubric.yml", "needs: [svg]", "needs: [code, file]")
    index = Page(site.build(copy) / "index.html").text
    row = re.search(r'<tr id="I.2b">.*?</tr>', index, re.DOTALL)[0]
    assert "it saves no weights" in row and ">gap<" in row
    assert "5 of 6 items" in index and "Measure circles &amp; count them." in index


def test_the_items_come_first_then_the_results_of_the_results_folder(small):
    text = Page(small / "index.html").text
    order = ['class="rubric"', 'id="results"', 'class="results"', 'id="rules"', 'id="about"']
    places = [text.index(mark) for mark in order]
    assert places == sorted(places) and text.index("<main>") + 500 > text.index('id="part-I"')
    assert 'Part I. <a href="a1_part_1.html">Circles</a>: 30 points, 6 of 6 items' in text
    assert "<h3>Part I</h3>" in text and "<td>98.76%</td>" in text
    assert "No &lt;squares&gt;." in text and "All about <code>circles</code>." in text
    assert "More" not in text.split('id="about"')[1].split("</main>")[0]


def test_the_contents_lead_to_every_heading_down_to_the_letters(small, whole):
    def contents(path):
        nav = re.search(r'<nav class="contents".*?</nav>', Page(path).text, re.DOTALL)[0]
        return re.findall(r'<li class="(level\d)"><a href="#(.*?)">(.*?)</a>', nav)

    found = contents(small / "a1_part_1.html")
    assert ("level3", "2-(a),-(b)-Pictures", "2 (a), (b) Pictures") in found
    texts = " ".join(text for _, _, text in contents(whole / "a1_part_1.html"))
    assert all(f"2.5 ({letter})" in texts for letter in "abdefg") and "(b) and (c)" in texts
    assert ("level2", "part-I", "Part I. Circles, 30 points") in contents(small / "index.html")
    closes = "<ul onclick=\"document.getElementById('contents-shown').checked = false\">"
    assert closes in Page(small / "a1_part_1.html").text, "it would cover the heading on a phone"


def test_formulas_are_mathml(small):
    page = Page(small / "a1_part_1.html")
    assert page.tags.count("math") == 4 and "msubsup" in page.tags and "mtable" in page.tags
    assert not re.search(
        r"\$|\\[a-z]+", re.sub(r'<(code|pre).*?</\1>|alt=".*?"', "", page.text, flags=re.DOTALL)
    )


def test_a_formula_that_cannot_be_rendered_stops_the_build_and_the_old_site_stays(
    project, tmp_path
):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    before = (copy / "site/a1_part_1.html").read_bytes()
    edit(copy / "notebooks/a1_part_1.py", r"$\pi$", r"$\pie$")
    execute(copy)
    with pytest.raises(site.SiteError, match=r"a1_part_1.ipynb: the formula \\pie: .*pie"):
        site.build(copy)
    assert (copy / "site/a1_part_1.html").read_bytes() == before
    assert not [
        path for path in copy.iterdir() if path.name.startswith("site") and path.name != "site"
    ]


def test_a_picture_that_is_no_output_stops_the_build(project, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    edit(copy / "notebooks/a1_part_1.py", "https://example.org/badge.svg", "figures/badge.svg")
    execute(copy)
    with pytest.raises(site.SiteError, match="the picture figures/badge.svg"):
        site.build(copy)


def test_long_definitions_are_shown_on_demand_and_all_else_at_once():
    def shown(source):
        return site.source_html(nbformat.v4.new_code_cell(source))

    body = "\n    x = 1" * 20
    assert "<details" not in shown("def f():\n    x = 1") and "<details" not in shown(
        "x = 1\n" * 40
    )
    assert "<summary>Code of f, A: 44 lines</summary>" in shown(
        f"import a\ndef f():{body}\n\nclass A:{body}"
    )
    assert "<details" not in shown(f"def f():{body}\nf()"), "it calls"
    assert "<details" not in shown(f"%env A=1\ndef f():{body}")


def test_the_code_of_an_item_that_asks_for_code_alone_is_shown(whole):
    text = (whole / "a1_part_1.html").read_text()
    block = text[text.index('id="i-3-1"') : text.index('id="i-3-2"')]
    assert "BasicBlock" in block and "<details" not in block
    assert "Code of VGG16C" in text[text.index('id="i-2-1"') : text.index('id="i-2-2"')]


def test_pictures_are_files_with_their_caption_as_text(small):
    text = Page(small / "a1_part_1.html").text
    assert (
        '<img src="a1_part_1/01.png" alt="Figure 1.1. A round thing." width="3" height="2"' in text
    )
    assert (small / "a1_part_1/01.png").read_bytes().startswith(b"\x89PNG")
    assert (small / "a1_part_1/02.svg").read_text().startswith("<svg")
    assert text.count("<img ") == 2, "a chart that is there as PNG, too, is shown once"


def test_a_second_build_replaces_the_first(project, small):
    (small / "old.html").write_text("<p>old</p>")
    site.build(project)
    assert not (small / "old.html").exists() and (small / "index.html").exists()


# ------------------------------------------------------------------------------------------ in a browser

MEASURE = """
(async () => {
  document.querySelectorAll('details').forEach(part => part.open = true);
  const images = await Promise.all([...document.images].map(image => {
    image.loading = 'eager';
    return image.decode().then(() => null, () => image.src);
  }));
  const width = document.documentElement.clientWidth;
  const boxes = [...document.querySelectorAll('math')].map(math => math.getBoundingClientRect());
  const style = getComputedStyle(document.body);
  const wide = box => box.scrollWidth > box.clientWidth;
  return {
    width,
    scrolledCode: [...document.querySelectorAll('.source')].filter(wide).length,
    cutResults: [...document.querySelectorAll('.scroll:has(.results)')].filter(wide).length,
    scrollWidth: document.documentElement.scrollWidth,
    outside: [...document.querySelectorAll('main *')]
      .filter(part => part.getBoundingClientRect().right > width + 1 && !part.closest('.scroll, .long'))
      .map(part => part.outerHTML.slice(0, 100)).slice(0, 5),
    cut: [...document.querySelectorAll('.scroll')].filter(box => box.scrollHeight > box.clientHeight).length,
    formulas: boxes.length,
    drawn: boxes.filter(box => box.width > 1 && box.height > 4).length,
    understood: [...document.querySelectorAll('math')].every(math => /math/.test(getComputedStyle(math).display)),
    broken: images.filter(source => source),
    color: style.color, background: style.backgroundColor,
  };
})()
"""


@pytest.mark.skipif(not look.CHROMIUM, reason="no Chromium found: apt-get install chromium")
def test_in_a_browser_the_pages_fit_a_phone_draw_their_formulas_and_complain_of_nothing(
    small, whole
):
    views = [(390, "light"), (390, "dark"), (1280, "light")]
    for folder in (small, whole):
        pages = sorted(folder.glob("*.html"))
        for (page, width, scheme), (seen, complaints) in look.browse(pages, views, MEASURE).items():
            where = f"{page} at {width} px, {scheme}"
            assert complaints == [], where
            assert seen["broken"] == [], where
            assert seen["width"] == width or width > 390, where  # a desktop's scrollbar takes some
            assert seen["scrollWidth"] <= seen["width"], (where, seen["outside"])
            assert not seen["cutResults"], where
            if width == 1280 and folder == whole:
                assert not seen["scrolledCode"], f"{where}: code wider than the page"
            assert seen["drawn"] == seen["formulas"] and seen["understood"] and not seen["cut"], (
                where
            )
            dark = [
                sum(map(int, re.findall(r"\d+", seen[name])[:3])) < 384
                for name in ("background", "color")
            ]
            assert dark == [scheme == "dark", scheme == "light"], where
            if page == "a1_part_1.html" and folder == small:
                assert seen["formulas"] == 4


@pytest.mark.skipif(not look.CHROMIUM, reason="no Chromium found: apt-get install chromium")
def test_the_first_table_or_figure_of_an_item_is_within_a_screen_of_its_heading(whole):
    found = look.distances(whole)
    far = {item: pixels for item, pixels in found.items() if pixels > look.SCREEN}
    assert len(found) > 50 and not far, far


def test_the_site_is_that_of_the_rubric_here(whole):
    assert {item["id"] for item in rubric.read_rubric()["items"]} <= set(
        Page(whole / "index.html").ids
    )
