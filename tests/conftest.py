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
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

import a1.files  # noqa: E402
from tools.stand_in import draw_photos  # noqa: E402

# Files whose tests share what takes seconds to make.
WHOLE = ("replay", "records", "site", "part_3")


def rank(nodeid):
    """The notebooks are the slowest and come first, so that no process waits for the other at the
    end; then the files that stay whole."""
    file = nodeid.split("::")[0].removeprefix("tests/test_").removesuffix(".py")
    return ("notebooks", *WHOLE, file).index(file)


class Scheduling(LoadScopeScheduling):
    """A process takes one test at a time, or a file of WHOLE."""

    def _split_scope(self, nodeid):
        return nodeid.split("::")[0] if 0 < rank(nodeid) <= len(WHOLE) else nodeid


def pytest_xdist_make_scheduler(config, log):
    """Called by xdist."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items):
    """In the order of rank."""
    items.sort(key=lambda item: rank(item.nodeid))


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
