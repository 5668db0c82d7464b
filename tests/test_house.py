"""Rules of the house that a search can check."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = [*(ROOT / "a1").rglob("*.py"), *(ROOT / "notebooks").glob("*.py")]


def test_weights_are_read_as_weights_only():
    for path in [*SHOWN, *(ROOT / "tests").glob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for call in re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", path.read_text()):
            assert "weights_only=True" in call, f"{path.name}: {call}"


def test_seeds_are_set_in_one_place():
    seeding = re.compile(
        r"(?<!Generator\(\)\.)\b(torch\.manual_seed|random\.seed|cuda\.manual_seed\w*)\("
    )
    forked = re.compile(
        r"with torch\.random\.fork_rng\(devices=\[\]\):\n +torch\.manual_seed"
    )  # forgotten at its end
    texts = {path.name: forked.sub("", path.read_text()) for path in SHOWN}
    assert [name for name, text in texts.items() if seeding.search(text)] == ["setup.py"]


def test_the_project_does_not_need_what_its_users_lack():
    for path in [*SHOWN, *(ROOT / "tools").glob("*.py"), ROOT / "Makefile", ROOT / "README.md"]:
        assert "../shared" not in path.read_text(), path


def test_tensorboard_starts_with_todays_setuptools():
    """The README's command: 2.20 and older import pkg_resources, which setuptools has lost."""
    sources = Path(importlib.util.find_spec("tensorboard").origin).parent
    needing = [path for path in sources.rglob("*.py") if "import pkg_resources" in path.read_text()]
    assert needing == [] or importlib.util.find_spec("pkg_resources")
    lowest = re.search(r"^tensorboard>=(\d+)\.(\d+)", (ROOT / "requirements.txt").read_text(), re.M)
    assert (int(lowest[1]), int(lowest[2])) >= (2, 21)
