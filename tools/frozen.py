"""Notebooks of the first edition that are not rewritten yet: kept as they are, and only held to be
unchanged.
"""

import hashlib
import json
from pathlib import Path

import nbformat

from a1.files import atomic_write
from tools.inline import BuildError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "first_edition"
STAMP = ("code", "outputs", "executed")
# Frozen notebooks compute in bfloat16 on every CPU; one that only emulates it takes 14 times as
# long, so a rehearsal there begins with this.
FLOAT32 = """
import contextlib, torch
if "AVX512" not in torch.backends.cpu.get_cpu_capability():
    torch.autocast = lambda *args, **options: contextlib.nullcontext()
"""


def read_frozen(root=ROOT):
    """{name: {"sha256", "code", "outputs", "executed"}} of the frozen notebooks, {} where there are none."""
    path = root / FOLDER / "frozen.json"
    return json.loads(path.read_text()) if path.exists() else {}


def notebook_names(root=ROOT):
    """All notebooks: those that have a source, and the frozen ones."""
    return sorted(
        {path.stem for path in (root / "notebooks").glob("*.py")} | set(read_frozen(root))
    )


def source_of(name, root=ROOT):
    """Path of a notebook's percent script, whether it exists or not."""
    return root / (FOLDER if name in read_frozen(root) else "") / "notebooks" / f"{name}.py"


def refuse_frozen(name, root=ROOT):
    """BuildError where the notebook `name` is frozen."""
    if name in read_frozen(root):
        raise BuildError(f"{name} is frozen until it is rewritten: {FOLDER}/frozen.json")


def entry_of(path):
    stamp = nbformat.read(path, as_version=4).metadata.get("a1", {})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"sha256": sha256, **{key: stamp.get(key) for key in STAMP}}


def freeze(name, root=ROOT):
    """Put a deliverable as it is now on the list of frozen ones."""
    listed = read_frozen(root) | {name: entry_of(root / f"{name}.ipynb")}
    with atomic_write(root / FOLDER / "frozen.json") as file:
        file.write((json.dumps(dict(sorted(listed.items())), indent=1) + "\n").encode())


def frozen_problems(name, root=ROOT):
    """Whether a frozen deliverable is missing or not what it was, as sentences."""
    path = root / f"{name}.ipynb"
    if not path.exists():
        return [f"missing, though it is frozen: git checkout {name}.ipynb"]
    found, listed = entry_of(path), read_frozen(root)[name]
    return [
        f"frozen, but its {key} is not that of {FOLDER}/frozen.json: git checkout {name}.ipynb"
        for key in ("sha256", *STAMP)
        if found[key] != listed[key]
    ][:1]
