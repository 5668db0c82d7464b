"""The build, the prose, the deliverable check and the execution, on a small project of their own."""

import json
import re
import textwrap

import nbformat
import pytest

from tools import nb, readme
from tools.assemble import assemble, fill_reported, stamp_executed, was_edited
from tools.check import check_notebook, typed_numbers
from tools.execute import CellFailed, execute
from tools.inline import BuildError, Inliner
from tools.prose import alternative_text

NAME = "a1_part_9"
MODULE = '''
"""A module."""

import math

from a1.base import scale

# How many decimals.
DIGITS = 2


def area(radius):
    """Area of a circle."""
    return scale(round(math.pi * radius**2, DIGITS))


def twice(x):
    """Twice as much."""
    return 2 * x
'''
NOTEBOOK = """
# %% [markdown]
# # Circles
# The area is {{circle.area:.1f}}, see Figure {{fig:line}} and Table {{tab:areas}}.

# %%
import math
import random

import numpy as np

random.seed(0)
np.random.seed(0)

# %%
from a1.base import scale

# %%
from a1.shapes import DIGITS, area

# %% [markdown]
# **Table {{tab:areas}}.** One area.

# %%
value = area(2)
print(value)

# %% tags=["facts"]
import json

drawn = random.random(), np.random.rand()
facts = {"circle.area": value, "net.test_acc": np.float32(0.5), "unused": 1, "data": "drawn"}
derived = {"double": "2 * circle.area"}

# %%
print(random.random(), np.random.rand(), sorted({"json", "drawn", "facts"} & set(globals())))

# %%
from IPython.display import SVG, display

display(SVG("<svg xmlns='http://www.w3.org/2000/svg'/>"))

# %% [markdown]
# **Figure {{fig:line}}.** Nothing but {{double:.3f}}.

# %% tags=["reported"]
REPORTED = {"circle.area": None}
print(REPORTED)
"""
RESULTS = {"circle.area": 18.855, "data": "drawn", "double": 37.71, "net.test_acc": 0.5}


@pytest.fixture
def project(tmp_path):
    """A small project: a package of two modules, one notebook source, results of an earlier run."""
    files = {
        "a1/base.py": 'def scale(x):\n    """Scaled."""\n    return 1.5 * x\n',
        "a1/shapes.py": MODULE,
        f"notebooks/{NAME}.py": NOTEBOOK,
        f"results/{NAME}.json": json.dumps(RESULTS),
        "README.md": "<!-- results -->\n<!-- /results -->\n<!-- times -->\n<!-- /times -->\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def built(project, **options):
    return assemble(NAME, project / "notebooks", project / "results", **options)


def executed(project):
    """The built notebook with the outputs that a run would have left, without running a kernel."""
    notebook = built(project)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code_cells, 1):
        cell.execution_count = count
        if "print" in cell.source:
            cell.outputs = [nbformat.v4.new_output("stream", text="18.855\n")]
        if "display(" in cell.source:
            cell.outputs = [nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>"})]
    stamp_executed(notebook, 1)
    return notebook


def problems(project, notebook, size=1000):
    return check_notebook(notebook, built(project), size)


def code_cell(notebook, text):
    return next(cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source)


def test_imports_are_replaced_by_their_source_in_order_once(project):
    edit(
        project / f"notebooks/{NAME}.py",
        "value = area(2)",
        "from a1.shapes import area, twice\nvalue = area(2)",
    )
    code = "\n".join(cell.source for cell in built(project).cells if cell.cell_type == "code")
    assert "from a1" not in code and "import a1" not in code
    assert [code.count(f"def {name}(") for name in ("scale", "area", "twice")] == [1, 1, 1]
    assert (
        code.index("def scale")
        < code.index("# How many decimals.\nDIGITS = 2")
        < code.index("def area")
    )
    namespace = {}
    exec(code.split("from IPython")[0], namespace)
    assert namespace["value"] == pytest.approx(1.5 * 12.57)


def test_the_script_itself_runs_as_a_module(project):
    compile((project / f"notebooks/{NAME}.py").read_text(), NAME, "exec")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("from a1.base import scale", "pass", "area (a1/shapes.py) needs scale from base.py"),
        ("import DIGITS, area", "import area", "area (a1/shapes.py) needs DIGITS from shapes.py"),
        ("import math\n", "", "area (a1/shapes.py) needs math: add `import math`"),
        ("import math\n", "import cmath as math\n", "needs math: add `import math`"),
        ("import DIGITS, area", "import DIGITS, area as surface", "without `as`"),
        ("from a1.base import scale", "from a1.base import *", "without `as` or `*`"),
        ("from a1.base import scale", "import a1.base", "without `as` or `*`"),
        ("import DIGITS, area", "import DIGITS, volume", "a1.shapes defines no volume"),
        (
            "from a1.base import scale",
            "def f():\n    from a1.base import scale",
            "only at the top level",
        ),
        ("value = area(2)", "value = area(", "was never closed"),
        ("value = area(2)", "def scale(x):\n    return x", "a cell gives scale another meaning"),
        ("value = area(2)", "for area in (1, 2): pass", "a cell gives area another meaning"),
        ('{"circle.area": None}', "dict()", "must hold REPORTED = "),
        ('{"circle.area": None}', "dict.fromkeys(range(9))", "must hold REPORTED = "),
        ('{"circle.area": None}', str(dict.fromkeys("abcdefghi")), "at most 8 names"),
        (
            '{"double": "2 * circle.area"}',
            '{"double": "2 * len(circle)"}',
            "len(circle): only facts",
        ),
        ('{"double": "2 * circle.area"}', '{"double": str(2)}', "in a facts cell: malformed"),
        ("import json\n", "from a1.base import scale\n", "a facts cell imports from a1"),
        ("import json\n", "import json(\n", "a facts cell: invalid syntax"),
    ],
)
def test_what_cannot_be_built_stops_the_build_and_is_named(project, old, new, message):
    edit(project / f"notebooks/{NAME}.py", old, new)
    with pytest.raises(BuildError, match=re.escape(message)):
        built(project)


def test_two_definitions_of_one_name_are_refused(project):
    (project / "a1/other.py").write_text("def scale(x):\n    return x\n")
    edit(
        project / f"notebooks/{NAME}.py",
        "value = area(2)",
        "from a1.other import scale\nvalue = area(2)",
    )
    with pytest.raises(BuildError, match="scale is defined in base.py and in other.py"):
        built(project)


def test_needs_are_found_in_every_corner_of_a_definition(project):
    text = """
    from functools import partial, wraps
    BASE, DEFAULT, LIMIT, KIND, HELP = 1, 2, 3, 4, 5

    @wraps(partial)
    def f(x: KIND, y=DEFAULT, *, HELP=0):
        LOCAL = [BASE for BASE in (1, 2)]
        return lambda: LIMIT + HELP
    """
    (project / "a1/corner.py").write_text(textwrap.dedent(text))
    inliner = Inliner(project / f"notebooks/{NAME}.py")
    inliner.cell("from functools import partial, wraps")
    for name in ("DEFAULT", "KIND", "LIMIT"):
        with pytest.raises(BuildError, match=f"needs {name}"):
            inliner.cell("from a1.corner import f")
        inliner.shown.pop("f")
        inliner.shown[name] = project / "a1/corner.py"
    assert inliner.cell("from a1.corner import f").startswith("@wraps")


def test_prose_is_filled_from_results_and_figures_and_tables_are_numbered(project):
    markdown = [cell.source for cell in built(project).cells if cell.cell_type == "markdown"]
    assert "The area is 18.9, see Figure 9.1 and Table 9.1." in markdown[0]
    assert markdown[1].startswith("**Table 9.1.** One area.")
    assert markdown[2].startswith("**Figure 9.1.** Nothing but 37.710.")


def test_another_notebooks_result_can_be_cited(project):
    (project / "results/a1_part_8.json").write_text('{"m.test_acc": 0.5}')
    edit(
        project / f"notebooks/{NAME}.py", "# # Circles", "# # Circles {{a1_part_8/m.test_acc:.0%}}"
    )
    assert "Circles 50%" in built(project).cells[0].source


def test_text_results_are_no_html(project):
    (project / "results/a1_part_8.json").write_text('{"token": "<url> & more"}')
    edit(project / f"notebooks/{NAME}.py", "# # Circles", "# # Circles {{a1_part_8/token}}")
    assert "Circles &lt;url&gt; &amp; more" in built(project).cells[0].source


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("circle.area:.1f", "circle.volume:.1f", "cites circle.volume"),
        ("circle.area:.1f", "circle.area:.1q", "circle.area:.1q"),
        ("see Figure {{fig:line}}", "see Figure {{fig:curve}}", "no figure curve"),
        ("# # Circles", "# **Figure {{fig:line}}.** Twice.", "two captions for fig:line"),
        ("{{tab:areas}}.\n\n# %%", "{{tab:sizes}}.\n\n# %%", "no table sizes"),
    ],
)
def test_wrong_citations_stop_the_build(project, old, new, message):
    edit(project / f"notebooks/{NAME}.py", old, new)
    with pytest.raises(BuildError, match=re.escape(message)):
        built(project)


def test_a_missing_result_may_wait_for_the_first_run(project):
    (project / f"results/{NAME}.json").unlink()
    assert "The area is n/a" in built(project, strict=False).cells[0].source
    with pytest.raises(BuildError, match="cites circle.area"):
        built(project)


def test_typed_percentages_are_found_and_placeholders_are_not():
    assert typed_numbers("reaches 94.2% and {{a.test_acc:.1%}}, 95% interval") == ["94.2%"]


def test_a_whole_fresh_and_true_notebook_has_no_problems(project):
    assert problems(project, executed(project)) == []


def test_comments_and_docstrings_may_differ(project):
    notebook = executed(project)
    edit(project / "a1/base.py", '"""Scaled."""', '"""Larger."""\n    # so much')
    assert problems(project, notebook) == []


def change_code(project, notebook):
    cell = code_cell(notebook, "value = area(2)")
    cell.source = cell.source.replace("area(2)", "area(3)")


def change_source(project, notebook):
    edit(project / "a1/base.py", "1.5 * x", "1.6 * x")


def rebuild_with_other_code(project, notebook):
    change_source(project, notebook)
    for cell, new in zip(notebook.cells, built(project).cells):
        cell.source = new.source


def change_output(project, notebook):
    code_cell(notebook, "print(value)").outputs[0].text = "99.9\n"


def drop_output(project, notebook):
    code_cell(notebook, "print(value)").outputs = []


def drop_count(project, notebook):
    code_cell(notebook, "print(value)").execution_count = None


def swap_counts(project, notebook):
    code_cell(notebook, "print(value)").execution_count = 17


def add_error(project, notebook):
    code_cell(notebook, "print(value)").outputs.append(
        nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])
    )


def add_warning(project, notebook):
    code_cell(notebook, "print(value)").outputs.append(
        nbformat.v4.new_output("stream", name="stderr", text="UserWarning")
    )


def add_widget(project, notebook):
    data = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"}
    code_cell(notebook, "print(value)").outputs.append(nbformat.v4.new_output("display_data", data))


def add_path(project, notebook):
    code_cell(notebook, "print(value)").outputs[0].text = "saved in /home/ada/a1/x.pt\n"


def change_number_in_prose(project, notebook):
    notebook.cells[0].source = notebook.cells[0].source.replace("18.9", "19.9")


def change_result(project, notebook):
    (project / f"results/{NAME}.json").write_text(json.dumps(RESULTS | {"circle.area": 20.0}))


def drop_caption(project, notebook):
    edit(project / f"notebooks/{NAME}.py", "# **Figure {{fig:line}}.** Nothing", "# Nothing")
    edit(project / f"notebooks/{NAME}.py", "see Figure {{fig:line}} and", "see")
    for cell, new in zip(notebook.cells, built(project).cells):
        cell.source = new.source


def drop_cell(project, notebook):
    notebook.cells.pop(0)


def change_profile(project, notebook):
    notebook.metadata["a1"]["profile"] = "quick"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change_code, "its code differs"),
        (change_source, "its code differs"),
        (rebuild_with_other_code, "stale"),
        (change_output, "outputs are not those"),
        (drop_output, "outputs are not those"),
        (drop_count, "not executed"),
        (swap_counts, "not run top to bottom"),
        (add_error, "ends in an error, ValueError: bad"),
        (add_warning, "stray output"),
        (add_widget, "a widget"),
        (add_path, "an absolute path, /home/ada/a1/x.pt"),
        (
            change_number_in_prose,
            "the prose says 'The area is 19.9, see Figure 9.1 and Table 9.1.'",
        ),
        (change_result, "source and results say 'The area is 20.0, see Figure 9.1 and Table 9.1.'"),
        (drop_caption, "without a caption"),
        (drop_cell, "its cells are not those"),
        (change_profile, "not executed in the full profile"),
    ],
)
def test_each_fault_is_caught(project, spoil, message):
    notebook = executed(project)
    spoil(project, notebook)
    found = problems(project, notebook)
    assert any(message in problem for problem in found), found


def test_a_large_notebook_is_caught(project):
    assert "5.1 MB, over 5 MB" in problems(project, executed(project), size=5_100_000)


def test_check_reports_a_missing_result_and_a_missing_notebook(project):
    assert nb.check(NAME, project) == [f"not built: make full NOTEBOOKS={NAME}"]
    nb.write_notebook(executed(project), project / f"{NAME}.ipynb")
    assert nb.check(NAME, project) == []
    (project / f"results/{NAME}.json").write_text("{}")
    assert any("cites circle.area" in problem for problem in nb.check(NAME, project))
    (project / f"results/{NAME}.json").write_text(json.dumps(RESULTS))
    edit(project / f"notebooks/{NAME}.py", "# # Circles", "# # Circles, 97.3% round")
    assert any("the number 97.3% is typed" in problem for problem in nb.check(NAME, project))


def test_build_keeps_outputs_while_only_prose_changes(project):
    path = project / f"{NAME}.ipynb"
    nb.write_notebook(executed(project), path)
    edit(project / f"notebooks/{NAME}.py", "# # Circles", "# # Round things")
    nb.build(NAME, project)
    notebook = nbformat.read(path, 4)
    assert "Round things" in notebook.cells[0].source
    assert code_cell(notebook, "print(value)").outputs and nb.check(NAME, project) == []
    change_source(project, notebook)
    nb.build(NAME, project)
    assert any("not executed" in problem for problem in nb.check(NAME, project))


@pytest.mark.parametrize("where", ["source", "outputs"])
def test_a_notebook_edited_in_jupyter_is_not_overwritten(project, where):
    path = project / f"{NAME}.ipynb"
    notebook = executed(project)
    assert not was_edited(notebook)
    if where == "source":
        notebook.cells[0].source += "\nMy own thoughts."
    else:
        change_output(project, notebook)
    nb.write_notebook(notebook, path)
    before = path.read_bytes()
    for action in (nb.build, nb.run_full):
        with pytest.raises(BuildError, match="was changed after it was built"):
            action(NAME, project)
    assert path.read_bytes() == before
    nb.build(NAME, project, force=True)
    assert path.read_bytes() != before


def test_a_full_run_writes_results_and_a_deliverable_without_problems(project):
    (project / f"results/{NAME}.json").unlink()
    nb.run_full(NAME, project)
    assert nb.check(NAME, project) == []
    assert json.loads((project / f"results/{NAME}.json").read_text()) == RESULTS
    notebook = nbformat.read(project / f"{NAME}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5, 6, 7]
    assert not any("derived" in cell.source for cell in code)
    draws = code_cell(notebook, "random.random()").outputs[0].text
    assert draws == "0.8444218515250481 0.5488135039273248 []\n", (
        "as after the seeds, and no name more"
    )
    last = notebook.cells[-1]
    assert '"circle.area": 18.855' in last.source and "18.855" in last.outputs[0].text
    assert "The area is 18.9" in notebook.cells[0].source

    row = nb.run_copy(NAME, "quick", project)
    assert row == [NAME, "quick", "drawn", row[3], "net 50.0%"]
    assert json.loads((project / f"out/results/{NAME}.json").read_text()) == RESULTS
    assert nbformat.read(project / f"{NAME}.ipynb", 4) == notebook


def test_drawn_data_are_for_rehearsals_alone(project, monkeypatch):
    (project / "drawn").mkdir()
    (project / "drawn" / nb.NOTE_FILE).write_text("drawn")
    monkeypatch.setattr(nb.data, "NEEDS", {NAME: ("photos",)})
    monkeypatch.setattr(nb.data, "for_run", lambda name: project / "drawn")
    with pytest.raises(nb.BuildError, match="drawn holds drawn stand-in data: `make data`, or"):
        nb.run_copy(NAME, "full", project)
    assert nb.run_copy(NAME, "quick", project)[1] == "quick"
    for text in (project / "drawn", f"'{project / 'drawn'}' ", project / "drawn" / nb.NOTE_FILE):
        monkeypatch.setenv("A1_DATA", str(text))
        with pytest.raises(nb.BuildError, match="a full run needs the real one"):
            nb.run_full(NAME, project)


def picture(notebook):
    cell = code_cell(notebook, "display(")
    cell.outputs[0].data["image/png"] = "iVBORw0KGgo="
    return cell.outputs[0]


def test_pictures_get_their_captions_first_sentence_as_alternative_text(project):
    path, notebook = project / f"{NAME}.ipynb", executed(project)
    picture(notebook)
    stamp_executed(notebook, 1)
    nb.write_notebook(notebook, path)
    assert any(
        "without its caption as alternative text" in line for line in nb.check(NAME, project)
    )
    nb.build(NAME, project)
    assert picture(nbformat.read(path, 4)).metadata["image/png"]["alt"] == "Nothing but 37.710."
    assert nb.check(NAME, project) == [] and not was_edited(nbformat.read(path, 4))
    edit(project / f"notebooks/{NAME}.py", "Nothing but", "A *line* in `SVG`. Nothing but")
    nb.build(NAME, project)
    assert picture(nbformat.read(path, 4)).metadata["image/png"]["alt"] == "A line in SVG."
    assert nb.check(NAME, project) == []


def test_alternative_texts_are_short():
    assert (
        alternative_text("**Figure 1.2.** " + "word " * 40 + "end. More.") == "word " * 30 + "..."
    )
    assert (
        alternative_text("**Figure 1.2.** See [this](#there), 0.5 of it.") == "See this, 0.5 of it."
    )
    assert alternative_text("No caption.") is None


def test_the_reported_cell_holds_values_of_six_digits(project):
    cell = code_cell(built(project), "REPORTED")
    fill_reported(cell, {"circle.area": 1 / 3})
    assert cell.source == 'REPORTED = {\n    "circle.area": 0.333333,\n}\nprint(REPORTED)'
    fill_reported(cell, {})
    assert '"circle.area": None,' in cell.source


def test_a_failing_cell_is_named(tmp_path, capfd):
    cells = [nbformat.v4.new_code_cell(source) for source in ("x = 1", "x / 0")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    with pytest.raises(
        CellFailed,
        match=r"demo, code cell 2 of 2 failed:\nx / 0(.|\n)*ZeroDivisionError: division by zero",
    ):
        execute(notebook, "demo", tmp_path, {})
    assert "Warning" not in capfd.readouterr().err


def test_the_readme_table_comes_from_results(project):
    (project / f"results/{NAME}.json").write_text(
        '{"net.test_acc": 0.9512, "net.test_loss": 0.2, "circle.area": 1}'
    )
    assert readme.problems(project)
    readme.update(project)
    assert (
        f"| [{NAME}]({NAME}.ipynb) | `net` |  | 95.12% | 0.200 |"
        in (project / "README.md").read_text()
    )
    assert readme.problems(project) == []
    edit(project / "README.md", "95.12%", "99.12%")
    assert "its table of results is not the current one" in readme.problems(project)[0]
    (project / "README.md").write_text(
        "Our net is right in 99.1% of cases.\n<!-- results -->\n"
        + readme.table(project)
        + "<!-- /results -->\n"
    )
    typed, missing = readme.problems(project)
    assert "99.1%" in typed and "<!-- times -->" in missing


def test_the_readme_tells_how_long_notebooks_take(project):
    notebook = assemble(NAME, project / "notebooks", project / "results", strict=False)
    notebook.metadata["a1"] = notebook.metadata.get("a1", {}) | {"seconds": 41}
    nbformat.write(notebook, project / f"{NAME}.ipynb")
    readme.update(project)
    assert f"| {NAME} |  | 41 s |  |" in (project / "README.md").read_text()
    (project / "bench").mkdir()
    (project / "bench/notebooks.json").write_text(json.dumps({"quick": {NAME: {"seconds": 7}}}))
    assert "its table of times is not the current one" in readme.problems(project)[0]
    readme.update(project)
    assert f"| {NAME} |  | 41 s | 7 s |" in (project / "README.md").read_text()
