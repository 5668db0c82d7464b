"""Numbers and figure numbers in markdown: `{{resnet18.test_acc:.1%}}` and `{{fig:curves}}`."""

import html
import json
import re
from pathlib import Path

from tools.inline import BuildError

PLACEHOLDER = re.compile(r"\{\{([^{}:]+)(?::([^{}]+))?\}\}")
FIGURE = re.compile(r"^\*\*Figure \{\{fig:([\w-]+)\}\}\.\*\*", re.MULTILINE)
PART_OF = {"resnext": "B1", "transfer_learning": "B2"}


def read_results(folder, notebook):
    """Results of one notebook, {} where it has none yet."""
    path = Path(folder) / f"{notebook}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def number_figures(notebook, texts):
    """{figure name: "1.4"} in the order in which captions stand; a part's figures carry its number."""
    part = next((code for word, code in PART_OF.items() if notebook.endswith(word)), notebook[-1])
    names = [name for text in texts for name in FIGURE.findall(text)]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise BuildError(f"{notebook}: two captions for figure {', '.join(twice)}")
    return {name: f"{part}.{number}" for number, name in enumerate(names, 1)}


def render(text, results, figures, lookup=None, where="", strict=True):
    """Fill the placeholders of a markdown text.

    `results` are the notebook's own; `{{a1_part_1/resnet18.test_acc:.1%}}` reads another's through
    `lookup(notebook)`. A missing name raises BuildError, or stands as "n/a" where not `strict`. Results that are
    text (a token such as <url>) are escaped, or a browser would take them for tags.
    """

    def fill(match):
        name, form = match.groups()
        if name == "fig":
            if form not in figures:
                raise BuildError(f"{where}: there is no figure {form}")
            return figures[form]
        notebook, _, key = name.rpartition("/")
        values = lookup(notebook) if notebook else results
        if key not in values:
            if strict:
                raise BuildError(f"{where}: prose cites {name}, which is not in the results")
            return "n/a"
        value = values[key]
        try:
            return format(html.escape(value, quote=False) if isinstance(value, str) else value, form or "")
        except ValueError as error:
            raise BuildError(f"{where}: {match.group()}: {error}") from None

    return PLACEHOLDER.sub(fill, text)
