"""A small project with a rubric, as the tests of the rubric, the packer and the site need it."""

import base64
import hashlib
import json
import struct
import zlib

import nbformat

from tools import nb
from tools.assemble import assemble, describe_pictures, stamp_executed

RUBRIC = """
parts:
  - {part: I, points: 30, notebook: a1_part_1, title: "Circles"}
  - {part: II, points: 20, notebook: a1_part_2, title: "More circles"}
  - {part: V, points: 10, notebook: part_v/a1_part_5.pdf, title: "Theory"}
rules:
  - {id: R.1, text: "No <squares>."}
items:
  - {id: I.1, needs: [code, table, prose], text: "Measure circles & count them."}
  - {id: I.2a, needs: [figure, prose], text: "Draw one."}
  - {id: I.2b, needs: [svg], text: "Draw one in vectors."}
  - {id: I.3, needs: [code, file], text: "Save it."}
  - {id: I.4, needs: [prose], cites: false, text: "Argue."}
  - {id: I.bar, needs: [table], text: "More than half."}
  - {id: II.1, needs: [code], text: "Measure more."}
  - {id: V.I.1, needs: [prose], text: "Calculate."}
  - {id: V.II, needs: [prose], text: "Derive."}
"""
SOURCE = r'''
# %% [markdown]
# # Part I. Circles
#
# All but {{gap:.1%}} of them are round.
#
# ## In short <a id="i-bar"></a>
#
# The area is {{circle.test_acc:.1%}}; the proof stands in
# [Part V](part_v/a1_part_5.pdf), data in [a folder](data/README.md).
#
# | the assignment asks for | here | shown in |
# |---|---|---|
# | more than half | [above](#i-bar) | Table {{tab:measures}} |
# | 1 to measure | [1](#i-1) | Table {{tab:measures}} |
# | 2 to draw | [2 (a)](#i-2a), [2 (b)](#i-2b) | Figures {{fig:circle}}, {{fig:vectors}} |
# | 3 to save, 4 to argue | [3](#i-3), [4](#i-4) | |

# %%
def save_weights(name):
    """Say that weights were saved."""
    print("saved", name)

# %% [markdown]
# ## 1. Measuring <a id="i-1"></a>
#
# A circle is measured by its radius, and every other length follows from that one number.

# %%
measure()

# %% tags=["facts"]
facts = {"circle.test_acc": 0.9876, "circle.test_loss": 0.0123, "unused": 1}
derived = {"gap": "1 - circle.test_acc"}

# %% [markdown]
# **Table {{tab:measures}}.** All that was measured.
#
# Of all circles that were drawn on the board, {{circle.test_acc:.1%}} close upon themselves to within the width of the
# chalk line, which is as well as a careful hand can do without a pair of compasses.
#
# ## 2. Drawing
#
# ### 2 (a), (b) Pictures <a id="i-2a"></a><a id="i-2b"></a>

# %%
draw_png()

# %% [markdown]
# **Figure {{fig:circle}}.** A *round* thing. Its area over the square of its radius is $\pi$, drawn here to a relative
# accuracy of {{circle.test_loss:.3f}}, so that nobody in the room could tell the drawing from the true circle by eye.

# %%
draw_svg()

# %% [markdown]
# **Figure {{fig:vectors}}.** The same in vectors.
#
# ### 4 Theory <a id="i-4"></a>
#
# Among all closed curves of one length the circle encloses the largest area. Whoever doubts that may shrink a ring
# of soap film around a loop of thread: the film pulls the thread into a circle, because that leaves the film least.
#
# $$\begin{aligned} A &= \int_0^{2\pi} \tfrac{1}{2} r^2 \,\mathrm{d}\varphi \\ &= \pi r^2 \end{aligned}$$
#
# As in [Part II](a1_part_2.ipynb), and at [the source](https://example.org/circles). See [1](#i-1).

# %% [markdown]
# ## 3. Saving <a id="i-3"></a>

# %%
save_weights("a1_part1_circle.pt")

# %% tags=["reported"]
REPORTED = {"circle.test_acc": None}
print(REPORTED)
'''
RESULTS = {"circle.test_acc": 0.9876, "circle.test_loss": 0.0123, "gap": 1 - 0.9876}
WORDS = (
    "Each output position needs five input rows, so four rows fewer than there are come out. " * 3
)
TEX = r"""
\begin{document}
\section{V.I\texorpdfstring{\enspace}{ }Numbers}
\task{V.I.1}{Size}
WORDS
\begin{answer}{Answer} 28 \end{answer}
\section{V.II\texorpdfstring{\enspace}{ }Gradients}
\subsection{The cell}
WORDS
\begin{equations}{A} x \end{equations}
\section{References}
\end{document}
""".replace("WORDS", WORDS)


def png(width=3, height=2):
    """A grey picture."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><circle r='4'/></svg>"
OUTPUTS = {  # what a call in a cell's source leaves below it
    "measure()": {
        "text/html": (
            '<table border="1"><tr><th>accuracy</th><th>loss</th></tr>'
            "<tr><td>0.9876</td><td>0.0123</td></tr></table>"
        ),
        "text/plain": "   accuracy    loss\n0    0.9876  0.0123",
    },
    "draw_png()": {"image/png": base64.b64encode(png()).decode(), "text/plain": "<Figure>"},
    "draw_svg()": {"image/svg+xml": SVG, "image/png": base64.b64encode(png()).decode()},
}


def pdf(tex, titles=("V.I Numbers", "V.I.1 Size", "V.II Gradients")):
    """As much of a PDF as our tools read: bookmarks, and the hash of its source."""
    objects = [f"<< /SourceSHA256 ({hashlib.sha256(tex.encode()).hexdigest()}) >>"]
    for number, title in enumerate(titles):
        text = "".join(f"\\{byte:03o}" for byte in b"\xfe\xff" + title.encode("utf-16-be"))
        objects += [
            f"<< /Title {3 * number + 3} 0 R\n/A {3 * number + 4} 0 R >>",
            f"({text})",
            f"<< /S /GoTo /D (section*.{number}) >>",
        ]
    body = "".join(f"{n} 0 obj\n{content}\nendobj\n" for n, content in enumerate(objects, 1))
    return f"%PDF-1.5\n{body}%%EOF\n".encode()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.lstrip("\n").encode())


def edit(path, old, new):
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new, 1))


def read(root, name="a1_part_1"):
    return nbformat.read(root / f"{name}.ipynb", 4)


def cell_with(notebook, text):
    return next(cell for cell in notebook.cells if text in cell.source)


def execute(root, name="a1_part_1", sources="notebooks"):
    """Build the notebook and write it with the outputs and the stamp that a run would have left."""
    notebook = assemble(name, root / sources, root / "results")
    count = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            data = OUTPUTS.get(cell.source.strip())
            cell.outputs = [nbformat.v4.new_output("display_data", data)] if data else []
            if "print" in cell.source:
                cell.outputs = [nbformat.v4.new_output("stream", text="\x1b[1mdone\x1b[0m\n")]
    describe_pictures(notebook)
    stamp_executed(notebook, 1)
    nb.write_notebook(notebook, root / f"{name}.ipynb")


def write_project(root, rubric=RUBRIC):
    """Part I executed, Part II missing, Part V typeset."""
    weights = {
        "sha256": hashlib.sha256(b"circle").hexdigest(),
        "bytes": 6,
        "metrics": {"val_acc": 0.9},
        "command": "make it",
    }
    write(root / "rubric.yml", rubric)
    write(
        root / "README.md",
        "# Circles\n\nAll about `circles`.\n\n## More\n\n<!-- results -->\n<!-- /results -->\n<!-- times -->\n<!-- /times -->\n",
    )
    write(root / "notebooks/a1_part_1.py", SOURCE)
    write(root / "results/a1_part_1.json", json.dumps(RESULTS))
    write(root / "weights/MANIFEST.json", json.dumps({"a1_part1_circle.pt": weights}))
    write(root / "weights/a1_part1_circle.pt", b"circle")
    write(root / "part_v/a1_part_5.tex", TEX)
    write(root / "part_v/a1_part_5.pdf", pdf(TEX.lstrip("\n")))
    execute(root)
    return root
