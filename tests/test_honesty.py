"""What the prose cites must be readable in what the notebook shows."""

import json

import nbformat
import pytest
from graded import write

from tools import honesty
from tools.assemble import assemble

NAME = "a1_part_9"
HTML = (
    "<style>#T_1 {{ width: 0.7654 }}</style><table><tr><th></th><th>acc</th></tr>"
    "<tr><th>resnet</th><td>{}</td></tr><tr><th>vgg</th><td>{}</td></tr></table>"
)
SOURCE = """
# %% [markdown]
# # Networks
#
# ResNet gets {{resnet.test_acc:.1%}} of {{count:,}} photos, {{lead:.1f}} points more, on {{data}}.
#
# ## 1 Results

# %%
show(1)

# %% [markdown]
# ### 1.1 Lead
#
# It leads by {{lead:.1f}} points.

# %%
show(2)

# %% [markdown]
# ### 1.2 Rest
#
# Nothing more. CITED

# %%
show(3)

# %% tags=["facts"]
facts = {}
derived = {"lead": "100 * (resnet.test_acc - vgg.test_acc)"}

# %% tags=["reported"]
REPORTED = {"resnet.test_acc": None}
"""
RESULTS = {"resnet.test_acc": 0.96893, "vgg.test_acc": 0.95471, "count": 30000, "lead": 1.422}
RESULTS |= {"data": "30,000 photos", "secret": 0.73519, "tiny": 0.000123, "low": -0.4471}


def stream(text):
    return nbformat.v4.new_output("stream", text=text)


def display(**data):
    return nbformat.v4.new_output(
        "display_data", {kind.replace("_", "/"): text for kind, text in data.items()}
    )


def problems(root, shown, cited="", results=RESULTS, name=NAME):
    """Problems of a notebook whose cells show(1) to show(3) have the outputs `shown`."""
    write(root / f"notebooks/{name}.py", SOURCE.replace("CITED", cited))
    write(root / f"results/{name}.json", json.dumps(results))
    notebook = assemble(name, root / "notebooks", root / "results")
    for number, output in shown.items():
        [cell] = [cell for cell in notebook.cells if cell.source == f"show({number})"]
        cell.outputs = [output]
    nbformat.write(notebook, root / f"{name}.ipynb")
    return honesty.problems(name, notebook, root)


TABLE = display(text_html=HTML.format("96.89%", "95.47%"), text_plain="resnet 0.96893, vgg 0.95471")
SHOWN = {1: stream("30,000 photos"), 2: TABLE}


def test_what_is_shown_may_be_cited(tmp_path):
    assert problems(tmp_path, SHOWN) == []
    cited = "{{low:.2f}} {{tiny:.0e}} {{tiny:.1e}} {{resnet.test_acc:.3f}} {{count}}"
    shown = {3: stream("R2 \x1b[31m-0.447\x1b[0m, |loss|=1.23e-04;")}
    assert problems(tmp_path, SHOWN | shown, cited) == []


def test_a_number_that_only_a_facts_cell_knows_is_caught_and_a_random_one_in_its_place(tmp_path):
    [problem] = problems(tmp_path, SHOWN, "{{secret:.1%}}")
    assert problem == (
        "cell 5 (1.2 Rest): {{secret:.1%}} says 73.5%, which no output shows: print it, or drop it"
    )
    [problem] = problems(tmp_path, SHOWN, "{{secret:.1%}}", RESULTS | {"secret": 0.48206})
    assert "says 48.2%, which no output shows" in problem
    [problem] = problems(tmp_path, SHOWN, "{{secret:.4f}}", RESULTS | {"secret": 0.7654})
    assert "says 0.7654" in problem, "a style sheet shows nothing"


def test_a_random_number_in_place_of_a_derived_one_is_caught(tmp_path):
    found = problems(tmp_path, SHOWN, results=RESULTS | {"lead": 2.917})
    assert len(found) == 2
    assert found[1] == (
        "cell 3 (1.1 Lead): {{lead:.1f}} says 2.9, but the shown numbers give 1.4: "
        "show more digits, or cite fewer"
    )


@pytest.mark.parametrize(
    ("token", "shows"),
    [
        ("0.9689", True),
        ("96.89%", True),
        ("96.9 %", True),
        ("96.9", True),  # a column of percentages
        ("0.97", False),  # less precise than what is cited
        ("97%", False),
        ("96.8%", False),
        ("1.9689", False),
        ("resnet0.9689", False),
        ("9,689", False),
    ],
)
def test_a_token_shows_a_fact_if_it_is_its_rounding_and_gives_the_cited_text(token, shows):
    cells = [nbformat.v4.new_code_cell("x", outputs=[stream(f"accuracy {token}\n")])]
    assert (honesty.fault(0.96893, ".1%", honesty.Shown(cells)) is None) == shows


def test_numbers_are_read_as_outputs_print_them():
    texts = "1,234,567 1.5e3 2.50e-03 -0.5 −7 0.95-0.97 12x34 v3.11.2 7% a5 [1,2]"
    found = {(token.value, token.decimals, token.percent) for token in honesty.tokens_in(texts)}
    assert found == {
        *((1234567.0, 0, False), (1500.0, -2, False), (0.0025, 5, False), (-0.5, 1, False)),
        *((-7.0, 0, False), (0.95, 2, False), (0.97, 2, False), (12.0, 0, False)),
        *((7.0, 0, True), (1.0, 0, False), (2.0, 0, False)),
    }


def test_pictures_and_the_reported_cell_show_no_numbers(tmp_path):
    picture = {"image_png": "iVBORw0KGgo=", "text_plain": "<Figure 0.73519>"}
    svg = {"image_svg+xml": "<svg>0.73519</svg>"}
    for data in (picture, svg):
        [problem] = problems(tmp_path, SHOWN | {3: display(**data)}, "{{secret:.1%}}")
        assert "which no output shows" in problem
    cell = nbformat.v4.new_code_cell("x", outputs=[stream("0.73519")])
    assert honesty.texts_shown(cell) == ["0.73519"]
    cell.metadata["tags"] = ["reported"]
    assert honesty.texts_shown(cell) == []


def test_a_derived_number_follows_from_what_its_own_section_shows(tmp_path):
    found = problems(tmp_path, {1: stream("30,000 photos"), 3: TABLE})
    assert found == [
        "cell 3 (1.1 Lead): {{lead:.1f}} says 1.4, but no output of its section shows resnet.test_acc: "
        "print it there"
    ], "the title's section is the whole notebook, that of 1.1 ends with it"
    rough = display(text_html=HTML.format("97%", "95%"))
    found = problems(tmp_path, {1: stream("30,000 photos, 96.9%"), 2: rough})
    assert [problem for problem in found if "1.1 Lead" in problem] == [
        "cell 3 (1.1 Lead): {{lead:.1f}} says 1.4, but the shown numbers give 2.0: "
        "show more digits, or cite fewer"
    ]


def test_a_result_without_what_it_is_derived_from_is_a_problem(tmp_path):
    results = {name: value for name, value in RESULTS.items() if name != "vgg.test_acc"}
    assert any(
        "needs vgg.test_acc" in problem for problem in problems(tmp_path, SHOWN, "", results)
    )


def test_cited_text_stands_in_an_output_or_in_the_code(tmp_path):
    [problem] = problems(tmp_path, SHOWN, results=RESULTS | {"data": "all photos"})
    assert "{{data}} is neither in an output nor in the code: print it" in problem
    assert problems(tmp_path, SHOWN, results=RESULTS | {"data": "show(2)"}) == []


def test_another_notebooks_number_stands_in_its_outputs_or_here(tmp_path):
    problems(tmp_path, SHOWN, name="a1_part_8")
    cited = "{{a1_part_8/resnet.test_acc:.1%}} {{a1_part_8/lead:.1f}}"
    assert problems(tmp_path, SHOWN, cited) == []
    [problem] = problems(tmp_path, SHOWN, "{{a1_part_8/secret:.3f}}")
    assert "{{a1_part_8/secret:.3f}} says 0.735, which no output shows" in problem
    assert problems(tmp_path, SHOWN | {3: stream("0.735")}, "{{a1_part_8/secret:.3f}}") == []


def test_numbers_of_some_precision_are_not_typed(tmp_path):
    cited = "It is 3.2%, 0.05 and 1.25 times so, 30 of 40, 0.5, 7%."
    found = problems(tmp_path, SHOWN, cited)
    assert [problem.split(": ", 1)[1] for problem in found] == [
        f"the number {number} is typed: cite a fact, or write it as code"
        for number in ("3.2%", "0.05", "1.25")
    ]
    cited = "`0.05`, $p < 0.05$, [a link](https://example.org/1.25), {{count:,.2f}}, Python 3.11.2."
    assert "typed" not in str(problems(tmp_path, SHOWN | {3: stream("30000.00")}, cited))
    assert (
        problems(tmp_path, SHOWN, "A paper.\n#\n# ## References\n#\n# arXiv 1409.1556, 3.25%.")
        == []
    )


def test_a_typed_number_may_repeat_the_code(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("A rate of 0.05, not 0.051, nor 0.005, and 2.5%.")]
    cells.append(nbformat.v4.new_code_cell("lr, p = 0.05, 2.5"))
    assert [number for _, _, number in honesty.typed_numbers(cells)] == ["0.051", "0.005"]
