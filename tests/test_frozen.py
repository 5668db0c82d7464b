"""Notebooks that are not rewritten yet: held to be unchanged, never built, run from their own
cells.
"""

import json

import nbformat
import pytest
from graded import edit, read, write_frozen, write_project

from tools import nb, readme
from tools.frozen import frozen_problems, notebook_names, read_frozen, source_of
from tools.inline import BuildError

NAME = "a1_part_2"


@pytest.fixture
def project(tmp_path):
    root = write_project(tmp_path)
    write_frozen(root)
    return root


def test_a_frozen_notebook_is_listed_and_checked_for_its_hash_and_stamp_only(project):
    assert notebook_names(project) == ["a1_part_1", NAME]
    assert source_of(NAME, project).parts[-3:] == ("first_edition", "notebooks", f"{NAME}.py")
    assert set(read_frozen(project)[NAME]) == {"sha256", "code", "outputs", "executed"}
    edit(source_of(NAME, project), "measure()", "other()")
    edit(project / f"results/{NAME}.json", "0.9876", "0.5")
    assert nb.check(NAME, project) == []


def test_a_changed_or_missing_one_is_a_problem(project):
    path = project / f"{NAME}.ipynb"
    path.write_text(path.read_text() + "\n")
    [problem] = nb.check(NAME, project)
    assert problem.startswith("frozen, but its sha256 is not that of first_edition/frozen.json")
    edit(project / "first_edition/frozen.json", '"executed": "2', '"executed": "1')
    assert len(frozen_problems(NAME, project)) == 1
    path.unlink()
    assert nb.check(NAME, project) == [f"missing, though it is frozen: git checkout {NAME}.ipynb"]


def test_it_is_neither_built_nor_run_in_full(project):
    before = (project / f"{NAME}.ipynb").read_bytes()
    for action in (nb.build, nb.run_full):
        with pytest.raises(BuildError) as error:
            action(NAME, project, force=True)
        message = "a1_part_2 is frozen until it is rewritten: first_edition/frozen.json"
        assert str(error.value) == message
    assert (project / f"{NAME}.ipynb").read_bytes() == before


@pytest.mark.parametrize(("profile", "folder"), [("quick", "."), ("full", "first_edition")])
def test_a_copy_runs_from_its_own_cells_where_its_records_are(
    project, profile, folder, monkeypatch
):
    monkeypatch.setenv("A1_DATA", "drawn")
    (project / "drawn").mkdir()
    path = project / f"{NAME}.ipynb"
    code = (
        "import json, os\nfrom pathlib import Path\nout = Path(os.environ['A1_OUT'])\n"
        "assert Path(os.environ['A1_DATA']).is_dir() and os.environ['A1_PROFILE'] == '"
        + profile
        + "'\n"
        "(out / 'results').mkdir(parents=True, exist_ok=True)\n"
        "text = json.dumps({'net.test_acc': 0.5, 'data': os.getcwd()})\n"
        f"(out / 'results' / '{NAME}.json').write_text(text)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(notebook, path)
    before = path.read_bytes()
    row = nb.run_copy(NAME, profile, project)
    assert row == [NAME, profile, str((project / folder).resolve()), row[3], "net 50.0%"]
    assert read(project / "out", NAME).cells[0].execution_count == 1
    assert path.read_bytes() == before


def test_times_come_from_the_runs_of_its_edition(project):
    def record(path, seconds):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(json.dumps({"history": [{"seconds": seconds}] * 2}))

    def add_results(name, **more):
        path = project / f"results/{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    record("first_edition/runs/net-1a.json", 60)
    record("first_edition/runs/studies/try-2b.json", 120)
    add_results(NAME, **{"net.run": "net-1a", "study_runs": "try-2b"})
    assert readme.training_time(NAME, project) == "6 min"
    record("runs/net/seed0.json", 180)
    record("runs/study/a-0.1-seed0.json", 7200)
    assert readme.training_time("a1_part_1", project) == ""
    add_results("a1_part_1", **{"net.run": "net/seed0", "gone.run": "gone/seed0"})
    assert readme.training_time("a1_part_1", project) == "6 min"
    add_results("a1_part_1", runs="net/seed0 study/a-0.1-seed0")
    assert readme.training_time("a1_part_1", project) == "4.1 h"
