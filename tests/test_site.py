"""The static site: links, anchors, nothing from elsewhere, MathML; and what a browser makes of it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from graded import edit, execute, write_frozen, write_project
from tornado.websocket import websocket_connect

from tools import rubric, site

ROOT = Path(__file__).resolve().parent.parent
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
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
    assert {"https://example.org/circles", "a1_part_5.pdf", "#I.1"} <= set(
        pages["a1_part_1.html"].links
    )
    assert "badge.svg" not in pages["a1_part_1.html"].text
    check_links(whole)


def test_every_item_leads_to_its_heading_and_back(small):
    index, page = Page(small / "index.html"), Page(small / "a1_part_1.html")
    for item in ("I.1", "I.2a", "I.2b", "I.3", "I.4", "I.bar"):
        assert f"a1_part_1.html#{item}" in index.links and item in page.ids
        assert f"index.html#{item}" in page.links and item in index.ids
    assert re.search(
        r'<h3 id="2-\(a\),-\(b\)-Pictures">2 \(a\), \(b\) Pictures <a class="item" id="I.2a"',
        page.text,
    )
    assert "a1_part_5.pdf#nameddest=section*.1" in index.links
    assert "II.1" in index.ids and not any("#II.1" in link for link in index.links)


def test_an_item_with_a_gap_is_shown_with_it(project, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("site"))
    edit(copy / "rubric.yml", "needs: [svg]", "needs: [code, file]")
    index = Page(site.build(copy) / "index.html").text
    row = re.search(r'<tr id="I.2b">.*?</tr>', index, re.DOTALL)[0]
    assert "it saves no weights" in row and ">gap<" in row
    assert "5 of 6 items covered" in index and "Measure circles &amp; count them." in index


def test_headline_results_are_those_of_the_results_folder(small):
    text = Page(small / "index.html").text
    assert "<td>98.76%</td>" in text and '<a href="a1_part_1.html">a1_part_1</a>' in text
    assert (
        "No &lt;squares&gt;." in text
        and "All about <code>circles</code>." in text
        and "More" not in text.split("<h2")[0]
    )


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


def test_what_the_first_edition_hides_is_collapsed_and_the_new_cells_are_shown(small, tmp_path):
    assert Page(small / "a1_part_1.html").text.count("<details") == 1, "the contents"
    root = write_project(tmp_path)
    write_frozen(root)
    text = Page(site.build(root) / "a1_part_2.html").text
    [(title, code)] = re.findall(
        r'<details class="toolbox"><summary>(.*?)</summary>(.*?)</details>', text, re.DOTALL
    )
    assert title == "Measuring" and "measure_more" in code and "0.9876" not in code
    assert 'id="II.1" href="index.html#II.1"' in text and "0.9876" in text


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
  return {
    width,
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


class Devtools:
    """A conversation with one browser tab over the DevTools protocol."""

    def __init__(self, socket):
        self.socket, self.session, self.count, self.events = socket, None, 0, []

    async def send(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        await self.socket.write_message(
            json.dumps(message | ({"sessionId": self.session} if self.session else {}))
        )
        while True:
            answer = await self.receive()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    async def receive(self):
        answer = json.loads(await asyncio.wait_for(self.socket.read_message(), 60))
        if "method" in answer:
            self.events.append(answer)
        return answer

    async def wait_for(self, method):
        while not any(event["method"] == method for event in self.events):
            await self.receive()

    def complaints(self):
        """Errors and warnings of the console, and addresses that are not on this disk."""
        found = []
        for event in self.events:
            method, content = event["method"], event["params"]
            if method == "Runtime.exceptionThrown" or method == "Log.entryAdded":
                found.append(str(content))
            elif method == "Runtime.consoleAPICalled" and content["type"] in (
                "error",
                "warning",
                "assert",
            ):
                found.append(str(content["args"]))
            elif method == "Network.requestWillBeSent":
                address = content["request"]["url"]
                found += [] if address.startswith(("file:", "data:")) else [address]
        return found


async def visit(port, path, pages, views):
    """{(page, width, scheme): measurements and complaints}"""
    tab = Devtools(await websocket_connect(f"ws://127.0.0.1:{port}{path}", max_message_size=2**26))
    target = (await tab.send("Target.createTarget", url="about:blank"))["targetId"]
    tab.session = (await tab.send("Target.attachToTarget", targetId=target, flatten=True))[
        "sessionId"
    ]
    for domain in ("Page", "Runtime", "Log", "Network"):
        await tab.send(f"{domain}.enable")
    found = {}
    for width, scheme in views:
        await tab.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
        await tab.send("Emulation.setEmulatedMedia", features=[scheme_feature])
        for page in pages:
            tab.events = []
            await tab.send("Page.navigate", url=page.as_uri())
            await tab.wait_for("Page.loadEventFired")
            result = await tab.send(
                "Runtime.evaluate", expression=MEASURE, awaitPromise=True, returnByValue=True
            )
            found[page.name, width, scheme] = result["result"]["value"] | {
                "complaints": tab.complaints()
            }
    tab.socket.close()
    return found


def browse(pages, views, profile):
    """Open pages in a headless Chromium; see `visit`."""
    options = [
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "--disable-gpu",
    ]
    options += [
        "--no-first-run",
        "--disable-background-networking",
        "--disable-extensions",
        "--disable-dev-shm-usage",
    ]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with subprocess.Popen(
        [CHROMIUM, *options, "about:blank"], stderr=subprocess.PIPE, text=True
    ) as browser:
        try:
            for line in browser.stderr:
                address = re.search(r"DevTools listening on ws://[^:]+:(\d+)(/\S+)", line)
                if address:
                    return asyncio.run(visit(*address.groups(), pages, views))
            raise AssertionError("Chromium did not start")
        finally:
            browser.kill()


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium found: apt-get install chromium")
def test_in_a_browser_the_pages_fit_a_phone_draw_their_formulas_and_complain_of_nothing(
    small, whole, tmp_path
):
    views = [(390, "light"), (390, "dark"), (1280, "light")]
    for folder in (small, whole):
        pages = sorted(folder.glob("*.html"))
        for (page, width, scheme), seen in browse(
            pages, views, tmp_path / folder.parent.name
        ).items():
            where = f"{page} at {width} px, {scheme}"
            assert seen["complaints"] == [], where
            assert seen["broken"] == [], where
            assert seen["width"] == width or width > 390, where  # a desktop's scrollbar takes some
            assert seen["scrollWidth"] <= seen["width"], (where, seen["outside"])
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


def test_the_site_is_that_of_the_rubric_here(whole):
    assert {item["id"] for item in rubric.read_rubric()["items"]} <= set(
        Page(whole / "index.html").ids
    )
