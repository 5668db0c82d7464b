"""Every deliverable as a student in Colab would run it: alone, in an empty folder, with packages to
install.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
from conftest import write_stand_in

from tools.assemble import assemble, notebook_names
from tools.data import NEEDS
from tools.facts import is_facts, read_facts, wrap
from tools.stand_in import draw_food, draw_power, draw_tweets, draw_vectors

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(path.stem for path in ROOT.glob("a1_*.ipynb"))
NOT_IN_COLAB = ("torchinfo", "wordcloud")  # what the setup cell has to install there


def test_every_notebook_has_a_source():
    assert NAMES == notebook_names(ROOT)


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The python of an environment like Colab's: `google.colab` importable, some packages not yet
    installed.

    It is our own environment, linked; where no package index can be reached, nothing is left out.
    """
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    [ours] = {
        Path(entry)
        for entry in sys.path
        if Path(entry).name == "site-packages" and Path(entry).is_dir()
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
    left_out = (
        () if subprocess.run(try_out, capture_output=True, timeout=120).returncode else NOT_IN_COLAB
    )
    for entry in ours.iterdir():
        if entry.name != "google" and not entry.name.startswith(left_out):
            (theirs / entry.name).symlink_to(entry)
    if (ours / "google").exists():
        shutil.copytree(ours / "google", theirs / "google")
    (theirs / "google" / "colab").mkdir(parents=True)
    (theirs / "google" / "colab" / "__init__.py").touch()
    return python


@pytest.fixture(scope="module")
def photos_zip(tmp_path_factory):
    """A drawn cnn_dataset.zip."""
    path = tmp_path_factory.mktemp("drawn") / "cnn_dataset.zip"
    write_stand_in(path, per_class=150)
    return path


GUARD = "import importlib.util, google.colab\nassert importlib.util.find_spec('a1') is None\n"


def runnable(name):
    """The notebook as it is executed, its facts cells in it."""
    notebook = assemble(name, strict=False, facts=True)
    for cell in filter(is_facts, notebook.cells):
        cell.source = wrap(cell.source)
    return notebook


def run_alone(name, folder, python):
    """Execute a notebook in `folder`, out of reach of our package and data: (exit status, errors,
    notebook).
    """
    notebook, path = runnable(name), folder / f"{name}.ipynb"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(GUARD))
    nbformat.write(notebook, path)
    taken_out = ("A1_DATA", "A1_PRETRAINED", "PYTHONPATH")
    environment = {key: value for key, value in os.environ.items() if key not in taken_out}
    environment |= {"A1_PROFILE": "quick", "OMP_NUM_THREADS": "1"}
    environment |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = [python, "-m", "nbconvert", "--execute", "--to=notebook", "--inplace"]
    done = subprocess.run(
        [*command, "--log-level=ERROR", path.name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr, nbformat.read(path, 4)


def results_of(notebook):
    """What a run found: its facts."""
    facts = [read_facts(cell.outputs) for cell in notebook.cells if is_facts(cell)]
    return {key: value for found in facts for key, value in found.items()}


def text_outputs(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text", "") + output.get("data", {}).get("text/markdown", "")
        for output in outputs
    )


@pytest.mark.parametrize("name", NAMES)
def test_runs_alone_in_quick(name, tmp_path, colab, photos_zip):
    (tmp_path / "data").mkdir()
    if name == "a1_part_3":
        draw_power(tmp_path / "data" / "household_power_consumption.txt")
    elif name == "a1_part_4":
        draw_tweets(tmp_path / "data")
        draw_vectors(tmp_path / "data" / "glove.6B.100d.txt")
    else:
        shutil.copy(photos_zip, tmp_path / "data")
    if "food" in NEEDS.get(name, ()):
        draw_food(tmp_path / "data" / "food11")
    status, errors, notebook = run_alone(name, tmp_path, colab)
    assert status == 0, errors[-3000:]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert "quick rehearsal" in text_outputs(notebook).lower()
    results = results_of(notebook)
    assert results, "its results are there"
    for key in [key for key in results if key.endswith(".test_acc")]:
        model = key.removesuffix(".test_acc")
        if model == "squeezenet1_1":  # from random weights it stays near chance, too
            assert results[f"{model}.test_loss"] < 1.6, f"{model}: ln 4 is 1.4"
        elif model.startswith(
            "vgg"
        ):  # stays near chance in a rehearsal's few steps, but must not diverge
            assert results[f"{model}.test_loss"] < 1.2, f"{model}: ln 3 is 1.1"
        else:
            assert results[key] > 0.5, f"{model}: a quick run must learn something"
    if "final.test_r2" in results:
        assert results["final.test_r2"] > results["persistence.test_r2"], "it learned something"
    written = {file.relative_to(tmp_path).parts[0] for file in tmp_path.rglob("*")}
    assert written - {"data"} == {f"{name}.ipynb", "out"}, "a quick run writes to out/ only"


def test_without_its_data_a_notebook_ends_in_one_clear_error(tmp_path, colab):
    status, errors, _ = run_alone("a1_part_1", tmp_path, colab)
    assert status != 0 and "FileNotFoundError" in errors and "cnn_dataset" in errors
