"""The reader's budget: what is measured, each limit, and each trick against it."""

import nbformat
import pytest
from graded import write_project

from tools import budget, nb

CODE, MARKDOWN = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
PICTURE = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
NETWORK = 'class Net(nn.Module):\n    """A network."""\n\n'


def lines(count):
    return "\n\n".join(f"x{number} = {number}" for number in range(count))


def notebook_of(*cells):
    for cell in cells:
        if cell.cell_type == "code":
            cell.execution_count = 1
    return nbformat.v4.new_notebook(cells=list(cells))


def test_each_measure_is_that_of_the_reader():
    sentence = nbformat.v4.new_output(
        "stream", text="one two three four five six seven eight\nloss 0.5\n"
    )
    table = "\n\n| a table | of words |\n|---|---|\n| not | counted |\n"
    notebook = notebook_of(
        MARKDOWN("# Title of four words" + table + "| [1](#i-1) | the map |"),
        CODE("import os\n\n\n# why\nx = 1"),
        CODE("plot()", outputs=[PICTURE]),
        MARKDOWN("**Figure 1.1.** It says this.\nAnd that, of $x$.\n\nFive more words stand here."),
        CODE("y = " + "1 + " * 30 + "1", outputs=[sentence]),
        MARKDOWN("## References\n\nNone of these is counted.\n\n### Papers\n\nNor these."),
        MARKDOWN("## Last two"),
    )
    found = budget.measure(notebook, 123)
    assert found == {
        "code": 5,
        "to_figure": 4,
        "longest_cell": 3,
        "long_cells": [],
        "columns": 125,
        "words": 4 + 7 + 5 + 8 + 2,
        "caption": 6,
        "bytes": 123,
    }
    assert budget.problems("a1_part_1", found) == [
        "125 columns in the longest line, at most 100 are allowed"
    ]


def filled(measure, value):
    measures = dict.fromkeys(["code", "to_figure", "columns", "words", "caption"], 0)
    return measures | {"long_cells": [], measure: value}


@pytest.mark.parametrize(
    ("name", "measure", "limit"),
    [
        ("a1_part_1", "code", 850),
        ("a1_part_2", "code", 1050),
        ("a1_part_3", "code", 1000),
        ("a1_part_4", "code", 1100),
        ("a1_bonus_resnext", "code", 750),
        ("a1_bonus_transfer_learning", "code", 650),
        ("a1_part_1", "words", 5000),
        ("a1_part_3", "words", 4800),
        ("a1_bonus_resnext", "words", 3300),
        ("a1_bonus_transfer_learning", "words", 3500),
        ("a1_part_1", "to_figure", 150),
        ("a1_part_1", "columns", 100),
        ("a1_part_1", "caption", 50),
    ],
)
def test_each_limit_is_that_of_the_contract(name, measure, limit):
    assert budget.problems(name, filled(measure, limit)) == []
    [problem] = budget.problems(name, filled(measure, limit + 1))
    assert problem.startswith(f"{limit + 1:,} ") and problem.endswith(
        f"at most {limit:,} are allowed"
    )


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        (lines(1), 40),
        (NETWORK + "    x = 1", 80),
        (
            NETWORK + "    x = 1\n\n\n" + NETWORK.replace("Net", "Other") + "    y = 1\n\n\nNet()",
            80,
        ),
        (NETWORK + '    x = 1\n\n\ndef helper():\n    """Help."""', 40),
        ('def train(model):\n    """Train."""\n\n\ndef helper():\n    """Help."""', 80),
        ('class Data(Dataset):\n    """Data."""', 40),
    ],
)
def test_networks_and_the_training_function_may_be_longer(source, allowed):
    assert budget.lines_allowed(CODE(source)) == allowed
    for more, wanted in ((0, []), (1, [(1, allowed + 1, allowed)])):
        padding = "\n\n" + lines(allowed - len(budget.code_lines(CODE(source))) + more)
        assert budget.measure(notebook_of(CODE(source + padding)))["long_cells"] == wanted
    assert budget.problems("a1_part_1", filled("long_cells", wanted)) == [
        f"cell 1: {allowed + 1} lines, at most {allowed} are allowed"
    ]


HONEST = 'import os\n\n\ndef double(x):\n    """Twice x."""\n    return 2 * x\n\n\nmodel.eval()\ndouble(3);'
TRICKS = {
    "fmt skip": ("x = [1,2]  # fmt: skip", "switches the formatter off"),
    "fmt off": ("# fmt: off\nx = 1", "switches the formatter off"),
    "layout": ("x = [1,2]", "not as `ruff format` writes it"),
    "a long line": ("xs = [" + "1, " * 40 + "1]", "not as `ruff format` writes it"),
    "one blank line": ('import os\n\ndef f():\n    """F."""', "not as `ruff format` writes it"),
    "a bare function": ("def f(x):\n    return x", "defines f without a docstring"),
    "a bare class": ("class F:\n    x = 1", "defines F without a docstring"),
    "exec": ('exec("x = 1")', "calls exec()"),
    "eval": ('x = eval("1")', "calls eval()"),
    "our package": (
        "from a1.train import train",
        "imports the project's own code: from a1.train import",
    ),
    "our tools": ("import tools.facts", "imports the project's own code: import tools.facts"),
    "deep import": (
        'def f():\n    """F."""\n    import a1',
        "imports the project's own code: import a1",
    ),
    "importlib": ('importlib.import_module("a1")', "takes code from another file"),
    "run": ("%run train.py", "takes code from another file"),
    "a download": ('urlretrieve("https://example.org/train.py")', "takes code from another file"),
    "wget": ("!wget example.org/train.py", "takes code from another file"),
    "a clone": ("!git clone example", "takes code from another file"),
    "semicolons": ("x = 1; y = 2", "has two statements on a line"),
}


@pytest.mark.parametrize("case", TRICKS)
def test_each_trick_is_caught(case):
    source, message = TRICKS[case]
    found = budget.tricks(notebook_of(CODE(HONEST), CODE(source)))
    assert any(problem.startswith(f"cell 2: {message}") for problem in found), found
    assert not any(problem.startswith("cell 1") for problem in found), found


@pytest.mark.parametrize(
    "metadata",
    [
        {"jupyter": {"source_hidden": True}},
        {"cellView": "form"},
        {"collapsed": True},
        {"tags": ["hide-input"]},
        {"tags": ["remove_cell"]},
        {"tags": ["toolbox"]},
    ],
)
def test_a_hidden_cell_is_caught(metadata):
    notebook = notebook_of(
        CODE("x = 1", metadata=metadata), CODE("y = 1", metadata={"tags": ["reported"]})
    )
    assert budget.tricks(notebook) == ["cell 1: is hidden"]


def test_the_check_prints_the_table(tmp_path, capsys):
    root = write_project(tmp_path)
    rows, found = budget.table(["a1_part_1", "a1_part_3"], root)
    assert rows[1][0] == "a1_part_1" and rows[1][1] == "11 of 850"
    assert rows[2][1] == "-" and found == []
    nb.check_all(["a1_part_1"], True, root)
    assert "11 of 850" in capsys.readouterr().out
