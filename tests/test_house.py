"""Rules of the house that a search can check."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = [*(ROOT / "a1").rglob("*.py"), *(ROOT / "notebooks").glob("*.py")]


def test_weights_are_read_as_weights_only():
    for path in [*SHOWN, *(ROOT / "tests").glob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for call in re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", path.read_text()):
            assert "weights_only=True" in call, f"{path.name}: {call}"


def test_seeds_are_set_in_one_place():
    seeding = re.compile(r"(?<!Generator\(\)\.)\b(torch\.manual_seed|random\.seed|cuda\.manual_seed\w*)\(")
    assert [path.name for path in SHOWN if seeding.search(path.read_text())] == ["setup.py"]


def test_the_project_does_not_need_what_its_users_lack():
    for path in [*SHOWN, *(ROOT / "tools").glob("*.py"), ROOT / "Makefile", ROOT / "README.md"]:
        assert "../shared" not in path.read_text(), path


def test_part_1s_final_recipes_are_the_same_in_every_notebook():
    folder = ROOT / "notebooks"
    stated = {
        path.stem: set(re.findall(r'"(?:vgg16c|resnet18)": Recipe\(epochs=20.*', path.read_text()))
        for path in folder.glob("*.py")
    }
    readers = {name: recipes for name, recipes in stated.items() if recipes}
    assert len(readers) >= 3 and len(stated["a1_part_1"]) == 2
    assert all(recipes == stated["a1_part_1"] for recipes in readers.values())
