"""Every deliverable, alone in an empty folder with a small data set: it must run there, in quick."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import write_stand_in

from tools.execute import execute

ROOT = Path(__file__).resolve().parent.parent
DELIVERABLES = sorted(ROOT.glob("a1_*.ipynb"))


def test_there_is_a_deliverable_for_every_source():
    assert {path.stem for path in DELIVERABLES} == {path.stem for path in (ROOT / "notebooks").glob("*.py")}


def run_alone(path, folder):
    """Execute a copy of the notebook in `folder`, out of reach of our package and data; the notebook."""
    shutil.copy(path, folder)
    notebook = nbformat.read(folder / path.name, 4)
    guard = "import importlib.util\nassert importlib.util.find_spec('a1') is None"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(guard))
    execute(
        notebook,
        path.stem,
        folder,
        {"A1_PROFILE": "quick", "A1_DATA": None, "A1_OUT": None, "PYTHONPATH": None},
    )
    return notebook


def text_outputs(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/markdown", "") for output in outputs
    )


@pytest.mark.parametrize("path", DELIVERABLES, ids=lambda path: path.stem)
def test_runs_alone_in_quick(path, tmp_path):
    (tmp_path / "data").mkdir()
    write_stand_in(tmp_path / "data" / "cnn_dataset.zip", per_class=150)
    notebook = run_alone(path, tmp_path)
    stray = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]
    assert stray == []
    assert "Quick rehearsal" in text_outputs(notebook)
    results = json.loads((tmp_path / "out" / "results" / f"{path.stem}.json").read_text())
    for name in [name for name in results if name.endswith(".test_acc")]:
        assert results[name] > 0.5, f"{name}: a quick run must learn something"
    written = {file.relative_to(tmp_path).parts[0] for file in tmp_path.rglob("*")}
    assert written == {path.name, "data", "out"}, "a quick run writes to out/ only"


def test_without_photos_a_drawn_set_is_used_and_the_banner_says_so(tmp_path):
    notebook = run_alone(ROOT / "a1_part_1.ipynb", tmp_path)
    assert "These are not photos" in text_outputs(notebook)
