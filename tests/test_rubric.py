"""The rubric check: what it takes for covered, and every way in which a deliverable can fall short
of it.
"""

import nbformat
import pytest
from graded import (
    SOURCE,
    TEX,
    WORDS,
    cell_with,
    edit,
    execute,
    pdf,
    read,
    write,
    write_project,
)

from tools import nb, rubric


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path)


def change(root, text, spoil):
    """Change the cell of the saved notebook that holds `text`."""
    notebook = read(root)
    spoil(cell_with(notebook, text))
    nb.write_notebook(notebook, root / "a1_part_1.ipynb")


def rewrite(root, old, new):
    """Change source and notebook alike, as an author who builds and runs would."""
    edit(root / "notebooks/a1_part_1.py", old, new)
    execute(root)


def test_a_project_that_answers_everything_has_no_gap(project):
    assert rubric.problems(root=project) == []
    parts = {coverage.part["part"]: coverage for coverage in rubric.check(project)}
    assert parts["I"].exists and not parts["II"].exists
    assert list(parts["I"].gaps) == ["I.1", "I.2a", "I.2b", "I.3", "I.4", "I.bar"]


ANALYSIS_SOURCE = SOURCE[SOURCE.index("# Of all circles") : SOURCE.index("# ## 2. Drawing")]
ANALYSIS = "\n".join(line[2:] for line in ANALYSIS_SOURCE.splitlines()).replace(
    "{{circle.test_acc:.1%}}", "98.8%"
)
THEORY = SOURCE[SOURCE.index("Among all") : SOURCE.index("#\n# $$")].rstrip()


def unexecuted(cell):
    cell.execution_count, cell.outputs = None, []


def with_error(cell):
    cell.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])]


def drop_outputs(cell):
    cell.outputs = []


def replacing(old, new):
    return lambda cell: cell.update(source=cell.source.replace(old, new))


SPOILED = {
    "a removed table": ("measure()", drop_outputs, ["I.1: no table"]),
    "a removed figure": ("draw_png()", drop_outputs, ["I.2a: Figure 1.1. a caption without its figure above"]),
    "a removed chart": ("draw_svg()", drop_outputs, ["I.2b: no svg", "I.2b: Figure 1.2. a caption without its figure above"]),
    "an unexecuted cell": ("measure()", unexecuted, ["I.1: a code cell is not executed", "I.1: no executed code", "I.1: no table"]),
    "an error": ("measure()", with_error, ["I.1: a code cell ends in an error", "I.1: no executed code"]),
    "an emptied analysis": ("Of all circles", replacing(ANALYSIS, ""), ["I.1: its prose has 21 words", "I.1: the prose says ''"]),
    "a changed number": ("Of all circles", replacing("98.8%", "99.9%"), ["I.1: the prose says 'Of all circles that were drawn on the board, 99.9%"]),
    "a lost heading": ("### 2 (a)", replacing('<a id="i-2a"></a>', ""), ["I.2a: no heading names it", "a link to #i-2a leads nowhere"]),
    "an item of another part": ("### 2 (a)", replacing("i-2a", "ii-1"), ["a heading names II.1, which is no item of this part", "I.2a: no heading names it"]),
    "an item twice": ("### 2 (a)", replacing("i-2b", 'i-2b"></a><a id="i-3'), ["I.3: two headings name it"]),
    "a mark in the text": ("### 2 (a)", replacing("Pictures", 'Pictures\n\nHere. <a id="i-2a"></a>'), ["a rubric mark stands outside of a heading"]),
    "a number that is not shown": ("### 2 (a)", replacing("2 (a)", "2.1 (a)"), ["I.2a: its heading does not show the handout's number, 2 (a)", "I.2b: its heading does not show"]),
    "a letter that is not shown": ("### 2 (a)", replacing("(a), (b)", "(b)"), ["I.2a: its heading does not show the handout's number, 2 (a)"]),
    "an item that the map leaves out": ("# Part I", replacing("[3](#i-3)", "3"), ["I.3: the map does not link to it"]),
    "a link that leads nowhere": ("# Part I", replacing("(#i-3)", "(#3.-Saving)"), ["I.3: the map does not link to it", "a link to #3.-Saving leads nowhere"]),
    "a link that VS Code rewrites": ("# Part I", replacing("[3](#i-3)", '[3](#i-3), [aims](#Our.aims)<a id="Our.aims"></a>'), ["VS Code cannot follow a link to #Our.aims"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_notebook_is_caught(project, case):
    text, spoil, wanted = SPOILED[case]
    change(project, text, spoil)
    found = rubric.problems(root=project)
    for start in wanted:
        assert any(problem.startswith(f"a1_part_1: {start}") for problem in found), found


REWRITTEN = {
    "an emptied analysis": (ANALYSIS_SOURCE, "", ["I.1: its prose has 21 words", "I.1: no prose below the table cites a result"]),
    "an analysis without a result": ("drawn on the board, {{circle.test_acc:.1%}}", "drawn on the board, most", ["I.1: no prose below the table cites a result"]),
    "a caption that cites nothing but itself": ("{{circle.test_loss:.3f}}", "little", ["I.2a: no prose below the figure cites a result"]),
    "a theory of one line": (THEORY, "Circles are best.", ["I.4: its prose has 12 words"]),
    "something left to write": ("Whoever doubts", "TODO(read): Whoever doubts", ["I.4: its prose holds a TODO"]),
    "weights that no manifest lists": ("a1_part1_circle.pt", "a1_part1_square.pt", ["I.3: it saves no weights"]),
    "a table under the next heading": ("# %%\nmeasure()", "# %%\nmeasured = 1\n\n# %% [markdown]\n# ## 1b. More\n\n# %%\nmeasure()", ["I.1: no table", "I.1: its prose has 16 words", "I.1: no prose below the table cites a result"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REWRITTEN)
def test_a_source_that_falls_short_is_caught_though_notebook_and_source_agree(project, case):
    old, new, wanted = REWRITTEN[case]
    rewrite(project, old, new)
    found = rubric.problems(root=project)
    assert len(found) == len(wanted), found
    for problem, start in zip(found, wanted):
        assert problem.startswith(f"a1_part_1: {start}"), found


def test_a_lower_heading_does_not_end_a_section(project):
    rewrite(project, "# %%\nmeasure()", "# %% [markdown]\n# ### In detail\n\n# %%\nmeasure()")
    assert rubric.problems(root=project) == []


def test_a_number_is_stale_once_the_results_have_changed(project):
    edit(project / "results/a1_part_1.json", "0.9876", "0.5")
    found = rubric.problems(root=project)
    assert len(found) == 2 and "98.8% close" in found[0] and "50.0% close" in found[0]


def test_a_missing_source_and_a_wrong_citation_are_one_problem_each(project):
    edit(project / "notebooks/a1_part_1.py", "Among all", "{{fig:square}} Among all")
    assert rubric.problems(root=project) == ["a1_part_1: a1_part_1: there is no figure square"]
    (project / "notebooks/a1_part_1.py").unlink()
    assert rubric.problems(root=project) == ["a1_part_1: there is no source notebooks/a1_part_1.py"]


def test_a_link_below_the_first_answer_is_no_map(project):
    table = SOURCE[SOURCE.index("#\n# | the assignment") : SOURCE.index("\n# %%\ndef save")]
    edit(project / "notebooks/a1_part_1.py", table, "")
    rewrite(project, "# chalk line", table.lstrip("#\n") + "#\n# chalk line")
    found = rubric.problems(root=project)
    assert sum("the map does not link to it" in problem for problem in found) == 6, found


def test_three_figures_are_counted(project):
    edit(project / "rubric.yml", "needs: [figure, prose]", "needs: [figure, prose], figures: 3")
    assert rubric.problems(root=project) == ["a1_part_1: I.2a: no figure, or too few: 2 of 3"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"\task{V.I.1}", r"\subsection", r"V.I.1: no \task or \section of a1_part_5.tex names it"),
        (r"\begin{equations}", "", "V.II: no final answer is marked"),
        (WORDS, "Done.", "V.I.1: its answer has 5 words"),
    ],
)
def test_a_typeset_part_that_falls_short_is_caught(project, old, new, message):
    tex = TEX.replace(old, new, 1).lstrip("\n")
    write(project / "part_v/a1_part_5.tex", tex)
    write(project / "part_v/a1_part_5.pdf", pdf(tex))
    (found,) = rubric.problems(root=project)
    assert found.startswith(f"a1_part_5: {message}")


def test_a_pdf_of_another_source_or_without_a_bookmark_is_caught(project):
    tex = TEX.lstrip("\n")
    write(
        project / "part_v/a1_part_5.pdf",
        pdf(tex, titles=("V.I Numbers", "V.I.10 Size", "V.II Gradients")),
    )
    assert rubric.problems(root=project) == ["a1_part_5: V.I.1: the PDF has no bookmark for it"]
    write(project / "part_v/a1_part_5.pdf", pdf(tex + " "))
    assert rubric.problems(root=project) == [
        "a1_part_5: not built from a1_part_5.tex as it is now: run `make pdf`"
    ]


def test_a_missing_deliverable_fails_only_where_all_is_asked_for(project, capsys):
    for arguments, status in (([], 0), (["--complete"], 1)):
        with pytest.raises(SystemExit) as stop:
            rubric.main(arguments, project)
        lines = capsys.readouterr().out.splitlines()
        assert stop.value.code == status
        assert lines[1:3] == [
            "I         30  6/6       a1_part_1.ipynb",
            "II        20  0/1       a1_part_2.ipynb is missing",
        ]
        assert (lines[-1] == "a1_part_2: missing") == bool(status)
    change(project, "measure()", drop_outputs)
    with pytest.raises(SystemExit) as stop:
        rubric.main([], project)
    assert stop.value.code == 1 and "5/6" in capsys.readouterr().out
    assert rubric.problems(["a1_part_5"], project) == []


@pytest.mark.parametrize(
    ("text", "is_table"),
    [
        (
            "layer    shape    parameters\n====================\nconv     [3, 3]   81\nlinear   [9, 3]   27",
            True,
        ),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |", True),
        ("epoch 1: loss 0.3\nepoch 2: loss 0.2\nepoch 3: loss 0.1", False),
        ("accuracy   0.9\nloss   0.1", False),
        ("a  b\na  b  c\na  b", False),
    ],
)
def test_text_tables_are_columns(text, is_table):
    assert rubric.is_text_table(text) == is_table


def test_a_heading_in_a_code_block_is_no_heading(project):
    text = "```\n# not a heading\n```\n\n## A heading"
    assert list(rubric.split_headings(text)) == ["```\n# not a heading\n```", (2, "A heading"), ""]


def test_words_are_those_of_the_prose():
    text = "Two words.\n\n| a | b |\n|---|---|\n```\ncode here\n```\n<!-- none --> $x + y$ $$\\frac{a}{b}$$ and [a link](https://example.org)"
    assert rubric.count_words(text) == 5


def test_the_projects_own_rubric_is_whole():
    content = rubric.read_rubric()
    ids = [item["id"] for item in content["items"]]
    parts = {part["part"]: part["points"] for part in content["parts"]}
    assert len(set(ids)) == len(ids) == 103
    assert {name.split(".")[0] for name in ids} == set(parts)
    assert sum(points for part, points in parts.items() if not part.startswith("B")) == 100
    assert parts["BX"] + parts["BT"] == 10
    kinds = {"code", "table", "figure", "svg", "prose", "file"}
    for item in content["items"]:
        assert item["needs"] and set(item["needs"]) <= kinds, item["id"]
        assert set(item) <= {"id", "needs", "text", "cites", "figures"}, item["id"]
        assert "cites" not in item or "prose" in item["needs"], item["id"]


def test_names_of_weights_are_sought_from_a_words_start_alone():
    assert rubric.WEIGHTS.findall("in weights/a1-x.y.pt, b.pt.c and c.pth, not .pt") == [
        "a1-x.y.pt",
        "b.pt",
    ]
    assert rubric.WEIGHTS.match("ab.pt") and not rubric.WEIGHTS.match("ab.pt", 1), (
        "from a word's start"
    )
