"""Every deliverable as a student in Colab would run it: alone, in an empty folder, with packages to install."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
from conftest import write_stand_in

ROOT = Path(__file__).resolve().parent.parent
DELIVERABLES = sorted(ROOT.glob("a1_*.ipynb"))
NOT_IN_COLAB = ("torchinfo", "wordcloud")  # what the setup cell has to install there


def test_there_is_a_deliverable_for_every_source():
    assert {path.stem for path in DELIVERABLES} == {path.stem for path in (ROOT / "notebooks").glob("*.py")}


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The python of an environment like Colab's: `google.colab` importable, some packages not yet installed.

    It is our own environment, linked; where no package index can be reached, nothing is left out.
    """
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    [ours] = {
        Path(entry) for entry in sys.path if Path(entry).name == "site-packages" and Path(entry).is_dir()
    }
    [theirs] = folder.glob("lib/python*/site-packages")
    try_out = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--dest",
        folder,
        *NOT_IN_COLAB,
    ]
    left_out = () if subprocess.run(try_out, capture_output=True, timeout=120).returncode else NOT_IN_COLAB
    for entry in ours.iterdir():
        if entry.name != "google" and not entry.name.startswith(left_out):
            (theirs / entry.name).symlink_to(entry)
    if (ours / "google").exists():
        shutil.copytree(ours / "google", theirs / "google")
    (theirs / "google" / "colab").mkdir(parents=True)
    (theirs / "google" / "colab" / "__init__.py").touch()
    return python


def run_alone(path, folder, python):
    """Execute a copy of the notebook in `folder`, out of reach of our package and data; the notebook."""
    notebook = nbformat.read(path, 4)
    guard = "import importlib.util, google.colab\nassert importlib.util.find_spec('a1') is None"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(guard))
    nbformat.write(notebook, folder / path.name)
    taken_out = ("A1_DATA", "A1_OUT", "A1_PRETRAINED", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if name not in taken_out}
    command = [
        python,
        "-m",
        "nbconvert",
        "--execute",
        "--to",
        "notebook",
        "--inplace",
        "--log-level=ERROR",
        path.name,
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"A1_PROFILE": "quick", "A1_OFFLINE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(folder / path.name, 4)


def text_outputs(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/markdown", "") for output in outputs
    )


@pytest.mark.parametrize("path", DELIVERABLES, ids=lambda path: path.stem)
def test_runs_alone_in_quick(path, tmp_path, colab):
    (tmp_path / "data").mkdir()
    write_stand_in(tmp_path / "data" / "cnn_dataset.zip", per_class=150)
    notebook = run_alone(path, tmp_path, colab)
    stray = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]
    assert stray == []
    assert "Quick rehearsal" in text_outputs(notebook)
    results = json.loads((tmp_path / "out" / "results" / f"{path.stem}.json").read_text())
    for model in [name.removesuffix(".test_acc") for name in results if name.endswith(".test_acc")]:
        if model.startswith(
            "vgg"
        ):  # a plain VGG stays near chance in the few steps of a rehearsal, but must not diverge
            assert results[f"{model}.test_loss"] < 1.2, f"{model}: ln 3 is 1.1"
        else:
            assert results[f"{model}.test_acc"] > 0.5, f"{model}: a quick run must learn something"
    written = {file.relative_to(tmp_path).parts[0] for file in tmp_path.rglob("*")}
    assert written == {path.name, "data", "out"}, "a quick run writes to out/ only"


def test_without_photos_a_drawn_set_is_used_and_the_banner_says_so(tmp_path, colab):
    notebook = run_alone(ROOT / "a1_part_1.ipynb", tmp_path, colab)
    assert "These are not photos" in text_outputs(notebook)
