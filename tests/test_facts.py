"""Cells of facts: what they compute comes back, and nothing else of them stays."""

import nbformat
import pytest

from tools.execute import CellFailed, execute
from tools.facts import cited_by, evaluate, names_in, select, with_derived
from tools.inline import BuildError


def notebook_of(*sources):
    """A notebook of code cells; those that define `facts` are tagged."""
    cells = []
    for source in sources:
        metadata = {"tags": ["facts"]} if "facts =" in source else {}
        cells.append(nbformat.v4.new_code_cell(source, metadata=metadata))
    return nbformat.v4.new_notebook(cells=cells)


DRAW = "random.random(), np.random.rand(), torch.rand(1).item()"


def test_counts_stay_names_do_not_leak_and_generators_are_restored(tmp_path):
    notebook = notebook_of(
        "import random\nimport numpy as np\nimport torch\nstart = set(globals())\n"
        "random.seed(0), np.random.seed(0), torch.manual_seed(0);",
        f"import math\nmore = [{DRAW}]\nprint('said aloud')\n"
        "facts = {'a.test_acc': np.float32(0.5), 'b': torch.tensor(2), 'c': 'text', 'd': math.floor(3.5)}",
        f"print({DRAW}, 'facts' in globals(), 'more' in globals(), 'math' in globals())",
        "facts = {'e': more_than_before if False else 7}",
        f"random.seed(0), np.random.seed(0), torch.manual_seed(0)\nprint({DRAW}, *[False] * 3)\n"
        "print(sorted(name for name in set(globals()) - start if not name.startswith('_')))",
    )
    _, facts = execute(notebook, "demo", tmp_path, {})
    assert facts == {"a.test_acc": 0.5, "b": 2, "c": "text", "d": 3, "e": 7}
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3]
    after_facts, after_seeds = (cell.outputs[0].text for cell in notebook.cells[1:])
    assert after_facts + "['start']\n" == after_seeds


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nfacts = {'a': x / 0}", r"x / 0}\n(.|\n)*ZeroDivisionError"),
        ("facts = {'a': [1, 2]}", "a is .1, 2.: a fact is a number or text"),
        ("facts = {'a': True}", "a is True: a fact is a number or text"),
        ("facts = {'a-b': 1}", "'a-b' is no name for a fact"),
        ("facts = {'known': 1}", "defines known again"),
        ("raise SystemExit(0)\nfacts = 0", "SystemExit"),
    ],
)
def test_a_cell_that_gives_no_facts_is_named(tmp_path, source, message):
    notebook = notebook_of("one = 1", "facts = {'known': one}", source, "two = 2")
    where = "demo, the facts cell after code cell 1 of 2"
    with pytest.raises(CellFailed, match=f"^{where}(.|\n)*{message}"):
        execute(notebook, "demo", tmp_path, {})
    assert [cell.source for cell in notebook.cells] == ["one = 1", "two = 2"]


FACTS = {"net.test_acc": 0.75, "other.test_acc": 0.5, "count": 4, "data": "drawn"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("100 * (net.test_acc - other.test_acc)", 25),
        ("-count ** 2 / 8", -2),
        ("max(net.test_acc, other.test_acc, 0.6)", 0.75),
        ("sqrt(count) + abs(-count) + exp(0) + log(1) + min(1, 2)", 8),
        ("count", 4),
    ],
)
def test_expressions_over_facts_are_evaluated(expression, value):
    assert evaluate(expression, FACTS) == pytest.approx(value)


@pytest.mark.parametrize(
    "expression",
    [
        "open('x')",
        "count.real()",
        "[count]",
        "count if count else 1",
        "count @ count",
        "'a'",
        "f.max(1)",
    ]
    + [
        "max(count, key=abs)",
        "True",
        "count[0]",
        "(count",
        "__import__('os')",
        "lambda: 0",
        "~count",
    ],
)
def test_anything_else_is_no_expression(expression):
    with pytest.raises(ValueError):
        evaluate(expression, FACTS)


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ({"a": "missing + 1"}, "derived a needs 'missing', which no facts cell defines"),
        ({"a": "1 / (count - 4)"}, "derived a: .*division by zero"),
        ({"a": "data * 2 - 1"}, "derived a: "),
        ({"count": "1 + 1"}, "count is a fact and derived"),
    ],
)
def test_a_derived_number_that_cannot_be_computed_is_named(derived, message):
    with pytest.raises(BuildError, match=message):
        with_derived(FACTS, derived)


def test_results_hold_what_is_cited_what_that_needs_and_every_models_measures():
    text = "{{lead:.1f}} {{fig:a}} {{tab:b}} {{a1_part_2/depth}} {{a1_part_1/old:.2f}} {{data}}"
    assert cited_by(text, "a1_part_1", own=True) == {"lead", "data"}
    assert cited_by(text, "a1_part_2", own=False) == {"depth"}
    derived = {"lead": "study.a - study.b", "unused": "study.a + study.c"}
    facts = {
        "study.a": 3,
        "study.b": 2,
        "study.c": 1,
        "net.test_acc": 0.5,
        "net.mean_test_acc": 0.4,
    }
    facts |= {"net.run": "net/seed0", "data": "drawn", "study.net.test_acc": 0.3, "net.seconds": 9}
    values = with_derived(facts, derived)
    assert list(select(values, derived, ["lead"])) == [
        *("study.a", "study.b", "net.test_acc", "net.mean_test_acc", "net.run", "data", "lead")
    ]
    assert names_in("a.b + a.b * max(c, 1)") == ["a.b", "c"]
