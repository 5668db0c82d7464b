"""Training several runs at once, and the bundle that goes to another machine and comes back."""

import io
import json
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.networks import FOUND, NETWORKS
from tools import bundle, readme, train

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(**changes):
    """What the command line would say."""
    return SimpleNamespace(**{"seconds": 60, "jobs": 2, "rehearse": True} | changes)


@pytest.fixture
def begun(monkeypatch):
    """Runs that are other processes: they sleep for their seed's seconds, or fail. Their order."""
    order = []

    def start(name, seed, _):
        order.append((name, seed))
        code = "import sys, time; time.sleep(float(sys.argv[1])); sys.exit(sys.argv[2] == 'bad')"
        return subprocess.Popen([sys.executable, "-c", code, str(seed), name])

    monkeypatch.setattr(train, "start", start)
    return order


def test_runs_begin_in_order_and_a_failure_stops_no_other(begun):
    ended = train.train_all([("a", 0), ("bad", 0), ("b", 0.1)], options(), time.monotonic())
    assert begun == [("a", 0), ("bad", 0), ("b", 0.1)]
    assert {run: status for run, (status, _) in ended.items()} == {
        ("a", 0): "ended",
        ("bad", 0): "failed: 1",
        ("b", 0.1): "ended",
    }


def test_what_does_not_end_in_time_is_stopped_and_what_would_not_is_not_begun(begun):
    runs = [("a", 1.5), ("b", 60), ("a", 1.6)]
    ended = train.train_all(runs, options(seconds=2.5), time.monotonic())
    assert [ended[run][0] for run in runs] == ["ended", "stopped", "not begun"]
    assert begun == runs[:2] and ended["b", 60][1] < 15


def test_a_stopped_run_leaves_a_checkpoint_and_nothing_half_written(here):
    folder, kept = here / "runs" / "a", {"seed0.ckpt", "seed1.json", "seed1.npz", "seed1.pt"}
    folder.mkdir(parents=True)
    for name in [*kept, "seed0.npz", "seed0.pt", "seed0.json.tmp"]:
        (folder / name).touch()
    train.tidy(here / "runs", ["a/seed0", "a/seed1"])
    assert {path.name for path in folder.iterdir()} == kept


def test_a_rehearsal_trains_records_and_releases(here, capsys, monkeypatch):
    monkeypatch.setattr(train, "RUNS", Path("out/runs"))
    train.train_one("resnet18", 3, rehearse=True)
    record = json.loads(Path("out/runs/resnet18/seed3.json").read_text())
    assert record["recipe"]["seed"] == 3 and record["metrics"]["test_acc"] >= 0
    assert Path("out/weights/resnet18-seed3.pt").stat().st_size < 1e6


RECORDS = {name: f"{name}/seed0" for name in train.FINALS} | {"forecaster": "final/network-seed0"}


@pytest.mark.parametrize("name", train.FINALS)
def test_a_final_run_differs_from_the_reported_one_in_length_alone(name):
    path = ROOT / "runs" / f"{RECORDS[name]}.json"
    reported, recipe = json.loads(path.read_text())["recipe"], train.FINALS[name]().recipe
    changed = {key for key in reported | recipe if reported.get(key) != recipe.get(key)}
    assert changed <= {"epochs", "image_sizes", "windows_per_epoch"}


def test_every_network_written_from_layers_is_on_the_list():
    defined = {path.stem for path in (ROOT / "a1" / "models").glob("*.py")} - {"__init__"}
    source = (ROOT / "bench" / "networks.py").read_text()
    assert {name for name in defined if f"a1.models.{name} " not in source} <= {"small"}
    assert set(NETWORKS) <= {make.__name__ for make in FOUND}


def test_pieces_are_of_their_size_and_make_the_whole(here):
    content = bytes(range(256)) * 20
    pieces = bundle.Pieces(here / "out" / "part", 1500)
    for start in range(0, len(content), 700):
        pieces.write(content[start : start + 700])
    sizes = [path.stat().st_size for path in pieces.paths]
    assert sizes == [1500] * 3 + [620]
    assert b"".join(path.read_bytes() for path in pieces.paths) == content


def test_what_is_packed_comes_out_with_code_wheels_and_data(here):
    with zipfile.ZipFile("cnn_dataset.zip", "w") as photos:
        for name in ("cnn_dataset/dogs/1.jpg", "food/7.jpg"):
            photos.writestr(name, name)
    Path("power.txt").write_text("watts")
    Path("wheels").mkdir()
    Path("wheels/x-1.0-py3-none-any.whl").touch()
    files = [here / "cnn_dataset.zip", here / "power.txt"]
    given = {
        "data": {"files": files, "wheels": None},
        "code": {"files": [], "wheels": here / "wheels"},
    }
    for name, what in given.items():
        bundle.pack(options(folder=here / name, mib=0.05, **what))
        parts = sorted((here / name).iterdir())
        assert all(path.stat().st_size <= 0.05 * 2**20 for path in parts)
        whole = io.BytesIO(b"".join(path.read_bytes() for path in parts))
        with tarfile.open(fileobj=whole, mode="r|xz") as archive:
            archive.extractall("work", filter="data")
    assert len(parts) > 1
    assert Path("work/data/cnn_dataset/dogs/1.jpg").read_text() == "cnn_dataset/dogs/1.jpg"
    assert (
        Path("work/data/cnn_dataset/food/7.jpg").exists() and Path("work/data/power.txt").exists()
    )
    needed = ("a1/train.py", "tools/bundle.py", "bench/networks.py", "tests/conftest.py")
    assert all(Path("work", name).exists() for name in needed)
    assert Path("work/wheels/x-1.0-py3-none-any.whl").exists()


def test_records_come_back_whole_and_weights_in_pieces(here, monkeypatch):
    monkeypatch.setattr(bundle, "PIECE", 2000)
    for name, size in {"weights/a-seed0.pt": 500, "weights/b-seed0.pt": 9000}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(bytes(size))
    for name in ("runs/a/seed0.json", "runs/a/seed0.pt", "weights/a-seed1.pt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("back").mkdir()
    found = b""
    for skip in (0, 4, 8):
        bundle.collect(options(folder=here / "back", skip=skip, rehearse=False))
        pieces = sorted(Path("back").glob("weights.*"))
        assert len(pieces) <= 4 and len(list(Path("back").iterdir())) <= 8
        found += b"".join(path.read_bytes() for path in pieces)
    with tarfile.open(fileobj=io.BytesIO(found)) as archive:
        assert archive.getnames() == ["weights/a-seed0.pt", "weights/b-seed0.pt"]
    with tarfile.open("back/records.tar.gz") as archive:
        assert archive.getnames() == ["runs/a/seed0.json"]


def test_the_readme_draws_what_a_gpu_did_only_where_it_was_measured(here):
    assert readme.NO_GPU in readme.times(here)
    measured = {
        "device": "NVIDIA T4",
        "training": {"resnet18": {"float32": 1234, "float16": 5678}},
        "loader": {"resnet18": 90123},
        "gb": {"resnet18": {"float32": 1.26, "float16": 0.8}},
        "unit": {"resnet18": "photos"},
        "to_accuracy": {
            "0.9": {"epochs": 3, "runs": 5, "seconds": 12.34, "val_acc": 0.9123, "reached": True}
        },
    }
    (here / "bench").mkdir()
    (here / "bench" / "gpu.json").write_text(json.dumps(measured))
    drawn = readme.times(here)
    assert readme.NO_GPU not in drawn and "one NVIDIA T4" in drawn
    assert "| `resnet18`, photos | 1,234 | 5,678 | 90,123 | 1.3 |" in drawn
    assert "90% validation accuracy there: 12.3 s" in drawn and "91.23%)" in drawn
