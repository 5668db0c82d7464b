"""What the README tells a newcomer to do, done."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import pack

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DRIVE = "/content/drive/MyDrive/a1"


def colab_cell():
    """The first cell that the README has a student in Colab insert."""
    [cell] = re.findall(r"\n\n((?:    .*\n)+)", README.split("## In Colab")[1].split("\n## ")[0])
    return "\n".join(line[4:] for line in cell.splitlines())


def test_what_a_student_needs_stands_in_the_first_120_lines():
    first = "\n".join(README.splitlines()[:120])
    for title in ("Start", "In Jupyter", "In VS Code", "In Colab", "Handing in", "Data"):
        assert f"\n## {title}\n" in first
    assert "make notebook" in first and "MPS" in first


def test_the_colab_cell_keeps_finished_runs_and_brings_them_back(tmp_path):
    drive, session = tmp_path / "drive", tmp_path / "session"
    session.mkdir()
    (tmp_path / "google/colab").mkdir(parents=True)
    (tmp_path / "google/colab/drive.py").write_text("def mount(path): pass\n")
    (drive / "runs/init").mkdir(parents=True)
    (drive / "runs/init/earlier.json").write_text("{}")
    cell = colab_cell()
    assert DRIVE in cell
    loop = "while sleep 60; do", "for k in 1 2 3; do sleep 1;"  # one that ends
    cell = cell.replace(DRIVE, str(drive)).replace(*loop)
    assert loop[1] in cell
    code = (
        "import os, sys; from IPython.core.interactiveshell import InteractiveShell; "
        "shell = InteractiveShell.instance(); done = shell.run_cell(sys.argv[1]); "
        "print(os.environ['A1_PROFILE']); sys.exit(not done.success)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, cell],
        cwd=session,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        stdout=(tmp_path / "printed").open("w"),  # no pipe, which the copying would keep open
        timeout=60,
    )
    printed = (tmp_path / "printed").read_text()
    assert done.returncode == 0 and printed.strip().endswith("full"), printed
    assert (session / "runs/init/earlier.json").exists()
    for name in ("new.json", "new.pt", "going.ckpt", "going.lock"):
        (session / "runs/init" / name).write_text("x")
    (session / "weights/net.pt").write_text("x")
    ends = time.monotonic() + 20
    while not (drive / "weights/net.pt").exists() and time.monotonic() < ends:
        time.sleep(0.2)
    there = {path.relative_to(drive).as_posix() for path in drive.rglob("*") if path.is_file()}
    wanted = {"runs/init/earlier.json", "runs/init/new.json", "runs/init/new.pt", "weights/net.pt"}
    assert there == wanted


def test_the_commands_are_those_that_exist(capsys):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|    )make ([a-z]+)", README)) <= targets
    with pytest.raises(SystemExit):
        pack.main(["--help"])
    options = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    section = README.split("## Handing in")[1].split("\n## ")[0]
    assert set(re.findall(r"(?<![\w-])--[\w-]+", section)) <= options
    for path in re.findall(r"\]\(([\w./]+)\)", README):
        assert (ROOT / path).exists(), path
