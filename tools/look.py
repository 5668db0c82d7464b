"""Look at the site in a headless Chromium: how far must a grader scroll?

python tools/look.py            items whose first table or figure is over a screen below their heading

In a test it also tells whether pages fit, draw their formulas and complain of nothing.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tornado.websocket import websocket_connect

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import rubric, site  # noqa: E402

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
SCREEN = 900  # pixels
TIMEOUT = 300  # seconds for one answer of the browser, on a busy machine
DESK = (1280, "light")
# {item: pixels from the top of its heading to the first table and the first figure under it}
DISTANCES = """
(async () => {
  await Promise.all([...document.images].map(image => {
    image.loading = 'eager';
    return image.decode().catch(() => null);
  }));
  const parts = [...document.querySelectorAll('main :is(h1, h2, h3, h4, h5, h6), main .table, main .figure')];
  const level = part => /^H[1-6]$/.test(part.tagName) ? Number(part.tagName[1]) : 9;
  const top = part => Math.round(part.getBoundingClientRect().top + window.scrollY);
  const found = {};
  parts.forEach((heading, index) => {
    const below = {};
    for (const part of parts.slice(index + 1)) {
      if (level(part) <= level(heading)) break;
      for (const kind of ['table', 'figure'])
        if (part.classList.contains(kind) && !(kind in below)) below[kind] = top(part) - top(heading);
    }
    if (level(heading) < 9)
      heading.querySelectorAll('.item').forEach(item => { found[item.textContent] = below; });
  });
  return found;
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
        answer = json.loads(await asyncio.wait_for(self.socket.read_message(), TIMEOUT))
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


async def visit(port, path, pages, views, script):
    """{(page, width, scheme): what the script returns, and complaints}"""
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
                "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
            )
            seen = result["result"]["value"], tab.complaints()
            found[page.name, width, scheme] = seen
    tab.socket.close()
    return found


def browse(pages, views, script):
    """Open pages in a headless Chromium and run a script in each; see `visit`."""
    with tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True) as profile:
        return browse_with(profile, pages, views, script)


def browse_with(profile, pages, views, script):
    """The same, with a folder for the browser's own files."""
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
                    return asyncio.run(visit(*address.groups(), pages, views, script))
            raise AssertionError("Chromium did not start")
        finally:
            browser.kill()


def distances(folder):
    """{item: pixels from its heading to the first table or figure that it needs} of a built site."""
    needs = {
        item["id"]: {"figure" if kind == "svg" else kind for kind in item["needs"]}
        for item in rubric.read_rubric()["items"]
    }
    pages = [page for page in sorted(folder.glob("*.html")) if page.stem != "index"]
    found = {}
    for measured, _ in browse(pages, [DESK], DISTANCES).values():
        for item, below in measured.items():
            seen = [below[kind] for kind in needs.get(item, set()) & set(below)]
            if seen:
                found[item] = min(seen)
    return found


def main():
    if not CHROMIUM:
        sys.exit("no Chromium found: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        found = distances(site.build(folder=Path(folder) / "site"))
    far = {item: pixels for item, pixels in found.items() if pixels > SCREEN}
    for item, pixels in sorted(far.items(), key=lambda pair: -pair[1]):
        print(f"{item:<10}{pixels:>6} px")
    print(f"{len(found)} items need a table or figure; at {len(far)} it is over {SCREEN} px below")


if __name__ == "__main__":
    main()
