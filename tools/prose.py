"""Numbers, figure and table numbers in markdown: `{{resnet18.test_acc:.1%}}`, `{{fig:curves}}`,
`{{tab:final}}`.
"""

import html
import json
import re
from pathlib import Path

from tools.inline import BuildError

PLACEHOLDER = re.compile(r"\{\{([^{}:]+)(?::([^{}]+))?\}\}")
CAPTION_IN_SOURCE = re.compile(
    r"^\*\*(?:Figure|Table) \{\{(fig|tab):([\w-]+)\}\}\.\*\*", re.MULTILINE
)
CAPTION = re.compile(r"\*\*((?:Figure|Table) [\w.]+)\.\*\*\s*(.*?[.!?])(?=\s|$)", re.DOTALL)
PART_OF = {"resnext": "B1", "transfer_learning": "B2"}
ALT_WORDS = 30


def read_results(folder, notebook):
    """Results of one notebook, {} where it has none yet."""
    path = Path(folder) / f"{notebook}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def citations(text):
    """(name, format) of every result that a source text cites; another notebook's as
    "a1_part_1/name".
    """
    found = PLACEHOLDER.findall(text)
    return [(name, form) for name, form in found if name not in ("fig", "tab")]


def number_captions(notebook, texts):
    """{("fig", name): "1.4"} in the order in which captions stand, figures and tables each with their count.

    A part's captions carry its number.
    """
    part = next((code for word, code in PART_OF.items() if notebook.endswith(word)), notebook[-1])
    found = [caption for text in texts for caption in CAPTION_IN_SOURCE.findall(text)]
    twice = sorted({f"{kind}:{name}" for kind, name in found if found.count((kind, name)) > 1})
    if twice:
        raise BuildError(f"{notebook}: two captions for {', '.join(twice)}")
    numbers = {}
    for kind in ("fig", "tab"):
        of_kind = [caption for caption in found if caption[0] == kind]
        numbers |= {caption: f"{part}.{number}" for number, caption in enumerate(of_kind, 1)}
    return numbers


def render(text, results, captions, lookup=None, where="", strict=True):
    """Fill the placeholders of a markdown text.

    `results` are the notebook's own; `{{a1_part_1/resnet18.test_acc:.1%}}` reads another's through
    `lookup(notebook)`. A missing name raises BuildError, or stands as "n/a" where not `strict`.
    Results that are text (a token such as <url>) are escaped, or a browser would take them for
    tags.
    """

    def fill(match):
        name, form = match.groups()
        if name in ("fig", "tab"):
            if (name, form) not in captions:
                kind = "figure" if name == "fig" else "table"
                raise BuildError(f"{where}: there is no {kind} {form}")
            return captions[name, form]
        notebook, _, key = name.rpartition("/")
        values = lookup(notebook) if notebook else results
        if key not in values:
            if strict:
                raise BuildError(f"{where}: prose cites {name}, which is not in the results")
            return "n/a"
        value = values[key]
        try:
            return format(
                html.escape(value, quote=False) if isinstance(value, str) else value, form or ""
            )
        except ValueError as error:
            raise BuildError(f"{where}: {match.group()}: {error}") from None

    return PLACEHOLDER.sub(fill, text)


def caption_of(text):
    """("Figure 1.2", first sentence without markup) of a markdown text that begins with a caption;
    or None.
    """
    found = CAPTION.match(text)
    if not found:
        return None
    sentence = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", found[2])
    return found[1], re.sub(r"\s+", " ", re.sub(r"[*_`$\\]", "", sentence)).strip()


def alternative_text(text):
    """What a picture shows, for those who do not see it: its caption's first sentence, shortened;
    or None.
    """
    found = caption_of(text)
    if not found:
        return None
    words = found[1].split()
    return " ".join(words) if len(words) <= ALT_WORDS else " ".join(words[:ALT_WORDS]) + " ..."
