"""What several test files need, and how the tests share two cores."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported: two processes, one thread each
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for tests of determinism on a GPU

import pytest  # noqa: E402
import torch  # noqa: E402

import a1.files  # noqa: E402
from tools.stand_in import draw_photos  # noqa: E402


def pytest_collection_modifyitems(items):
    """Begin with the slow ones, the notebooks, so that no process waits for the other at the end."""
    items.sort(key=lambda item: item.path.stem != "test_notebooks")


def pytest_runtest_setup(item):
    """Tests marked gpu need one."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


def write_stand_in(path, per_class=12, seed=0):
    """Write a drawn stand-in set to `path`: a zip of JPEGs, dogs/, food/ and vehicles/ at its root."""
    with tempfile.TemporaryDirectory() as folder:
        draw_photos(Path(folder), per_class, seed)
        shutil.make_archive(str(path.with_suffix("")), "zip", folder)


def empty_machine(tmp_path, monkeypatch):
    """An empty working folder and home, no A1_DATA, and Colab's disk in the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("A1_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def moved(first, *more):
        return Path(str(first).replace("/content", "colab", 1), *more)

    monkeypatch.setattr(a1.files, "Path", moved)
