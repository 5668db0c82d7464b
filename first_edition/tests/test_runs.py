"""The run store: trained once, read ever after, and never wrong after damage, interruption or a kill."""

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TinyData, make_tiny, same_tensors, without_seconds

from a1.files import atomic_write
from a1.gradients import GradientRecorder
from a1.plots import read_events
from a1.runs import (
    DamagedFile,
    Run,
    compute_or_load,
    fit_or_load,
    load_checkpoint,
    read_sealed,
    sha256_of,
    write_sealed,
)
from a1.setup import DEVICE
from a1.train import Recipe, Training, evaluate

RECIPE = Recipe(epochs=3, batch_size=8, lr=0.05, amp=False)


class Store:
    """Asks for a tiny run in a folder of its own, and counts the epochs that were trained for it."""

    def __init__(self, folder):
        self.folder, self.epochs, self.stop_after = folder, 0, None

    def ask(self, make_model=make_tiny, recipe=RECIPE, data=None, folder=None, recorder=None):
        self.epochs = 0
        return fit_or_load(
            "tiny", make_model, recipe, data or TinyData(), folder or self.folder, recorder=recorder
        )

    def interrupt_after(self, epochs, recorder=None):
        """Leave a checkpoint behind, and return its path."""
        self.stop_after = epochs
        with pytest.raises(KeyboardInterrupt):
            self.ask(recorder=recorder)
        self.stop_after = None
        [checkpoint] = self.folder.glob("*.ckpt")
        return checkpoint

    def files(self):
        return sorted(path.suffix for path in self.folder.glob("*.*") if path.suffix != ".lock")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # runs/ is looked for where one works
    monkeypatch.delenv("RETRAIN", raising=False)
    store, epoch = Store(tmp_path / "store"), Training.epoch

    def counted_epoch(training):
        if store.epochs == store.stop_after:
            raise KeyboardInterrupt
        store.epochs += 1
        epoch(training)

    monkeypatch.setattr(Training, "epoch", counted_epoch)
    return store


def weights_of(run):
    return torch.load(run.path.with_suffix(".pt"), weights_only=True)


def undated(record):
    """A record as it is read, less what depends on the clock."""
    record = json.loads(json.dumps(record))
    return {**record, "history": without_seconds(record["history"]), "date": None}


def assert_same_result(run, other):
    """Equal to the bit in all that does not depend on the clock."""
    assert same_tensors(weights_of(run), weights_of(other))
    assert undated(run.record) == undated(other.record)
    assert np.array_equal(run.test_probs, other.test_probs)


def test_trains_once_then_reads(store, monkeypatch, capsys):
    run = store.ask()
    assert store.epochs == 3
    monkeypatch.setattr(Training, "epoch", lambda self: pytest.fail("trained again"))
    capsys.readouterr()
    again = store.ask()
    assert again.record == json.loads(json.dumps(run.record))
    assert again.path == run.path
    said = capsys.readouterr().out
    assert "trained on" in said and "epoch   3" in said


def test_record_holds_what_is_promised(store):
    run, data = store.ask(), TinyData()
    record = read_sealed(run.path)
    assert record["name"] == "tiny" and run.path.stem == f"tiny-{record['key'][:10]}"
    assert record["config"] == {
        "recipe": json.loads(json.dumps(asdict(RECIPE))),
        "architecture": repr(make_tiny()),
        "data": data.fingerprint,
    }
    assert record["data"] == data.about
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2, 3]
    assert all(
        epoch.keys() == {"epoch", "train_loss", "train_acc", "val_loss", "val_acc", "lr", "seconds"}
        for epoch in record["history"]
    )
    parts, measures = ("train", "val", "test"), ("loss", "acc", "macro_f1")
    assert record["metrics"].keys() == {f"{part}_{measure}" for part in parts for measure in measures}
    assert [type(loss) for loss in record["first_losses"]] == [float] * 4
    assert record["parameters"] == sum(parameter.numel() for parameter in make_tiny().parameters())
    assert record["device"] and record["versions"].keys() == {"python", "torch", "numpy"}
    assert datetime.date.fromisoformat(record["date"]) <= datetime.date.today()
    assert store.files() == [".json", ".npz", ".pt"]
    assert list((store.folder / "tensorboard" / run.path.stem).glob("events*"))


def test_metrics_are_of_the_best_epochs_weights(store):
    run, data = store.ask(), TinyData()
    best = max(run.history, key=lambda epoch: epoch["val_acc"])
    assert run.record["best_epoch"] == best["epoch"]
    assert run.metrics["val_acc"] == best["val_acc"]
    model = run.load_weights(make_tiny().to(DEVICE))
    for part in ("train", "val", "test"):
        result = evaluate(model, data.loader(part, RECIPE))
        assert result["acc"] == run.metrics[f"{part}_acc"]
        assert result["loss"] == pytest.approx(run.metrics[f"{part}_loss"], rel=1e-6)
        assert result["macro_f1"] == pytest.approx(run.metrics[f"{part}_macro_f1"])


def test_probabilities_are_stored_in_half_precision(store):
    run, data = store.ask(), TinyData()
    with np.load(run.path.with_suffix(".npz")) as file:
        assert file.files == ["test_probs"] and file["test_probs"].dtype == np.float16
    assert run.test_probs.shape == (7, 3) and run.test_probs.dtype == np.float32
    accuracy = (run.test_probs.argmax(1) == data.parts["test"][1].cpu().numpy()).mean()
    assert accuracy == pytest.approx(run.metrics["test_acc"])


def test_a_run_says_when_where_and_how_long(store):
    run = store.ask()
    date, device = run.record["date"], run.record["device"]
    minutes = sum(epoch["seconds"] for epoch in run.history) / 60
    assert str(run).startswith(
        f"tiny: trained on {date} on {device}, 3 epochs in {minutes:.1f} min (best: epoch"
    )


def test_another_recipe_architecture_or_data_set_is_another_run(store):
    runs = [
        store.ask(),
        store.ask(recipe=replace(RECIPE, seed=1)),
        store.ask(recipe=replace(RECIPE, lr=0.051)),
        store.ask(make_model=partial(make_tiny, width=7)),
        store.ask(data=TinyData(seed=1)),
    ]
    assert len({run.record["key"] for run in runs}) == len({run.path for run in runs}) == 5
    store.ask()
    assert store.epochs == 0


def test_a_record_in_runs_is_read_where_the_folder_has_none(store):
    run = store.ask()
    store.folder.rename("runs")
    again = store.ask()
    assert store.epochs == 0
    assert again.path == Path("runs") / run.path.name


def test_retrain_trains_again(store, monkeypatch):
    run = store.ask()
    monkeypatch.setenv("RETRAIN", "1")
    again = store.ask()
    assert store.epochs == 3
    assert_same_result(run, again)


def test_retrain_ignores_a_checkpoint(store, monkeypatch):
    store.interrupt_after(2)
    monkeypatch.setenv("RETRAIN", "1")
    store.ask()
    assert store.epochs == 3


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip_a_byte(path, position=-40):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def edit_a_number(path):
    record = json.loads(path.read_text())
    record["metrics"]["test_acc"] = 0.99
    path.write_text(json.dumps(record, indent=1))


def drop_the_seal(path):
    record = json.loads(path.read_text())
    del record["seal"]
    path.write_text(json.dumps(record))


def become_a_list(path):
    path.write_text("[1, 2]")


def become_binary(path):
    path.write_bytes(b"\xff\xfe\x00" * 50)


def tell_of_another_run(path):
    record = json.loads(path.read_text())
    del record["seal"]
    write_sealed(path, {**record, "key": "0" * 64})


def lose_probabilities(path):
    path.with_suffix(".npz").unlink()


def alter_probabilities(path):
    flip_a_byte(path.with_suffix(".npz"))


@pytest.mark.parametrize(
    "damage",
    [
        cut, empty, edit_a_number, drop_the_seal, become_a_list, become_binary, tell_of_another_run,
        lose_probabilities, alter_probabilities,
    ],
)  # fmt: skip
def test_a_damaged_record_is_reported_set_aside_and_made_again(store, damage, capsys):
    run = store.ask()
    shutil.copytree(store.folder, "good")
    damage(run.path)
    capsys.readouterr()
    again = store.ask()
    said = capsys.readouterr().out
    assert str(run.path) in said and f"set aside as {run.path.name}.damaged" in said
    assert run.path.with_name(run.path.name + ".damaged").exists()
    assert store.epochs == 3
    assert_same_result(again, replace(run, path=Path("good") / run.path.name))
    store.ask()
    assert store.epochs == 0


@pytest.mark.parametrize("damage", [cut, empty, flip_a_byte, partial(flip_a_byte, position=3), become_binary])
def test_a_damaged_checkpoint_is_reported_set_aside_and_not_used(store, damage, capsys):
    checkpoint = store.interrupt_after(2)
    damage(checkpoint)
    capsys.readouterr()
    run = store.ask()
    assert f"set aside as {checkpoint.name}.damaged" in capsys.readouterr().out
    assert checkpoint.with_name(checkpoint.name + ".damaged").exists() and not checkpoint.exists()
    assert store.epochs == 3
    assert_same_result(run, store.ask(folder=store.folder / "other"))


def test_a_good_checkpoint_is_gone_on_from(store, capsys):
    store.interrupt_after(2)
    capsys.readouterr()
    run = store.ask()
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    assert store.epochs == 1
    assert store.files() == [".json", ".npz", ".pt"]
    assert_same_result(run, store.ask(folder=store.folder / "other"))


def test_a_recorder_changes_nothing_but_the_record(store):
    plain, watched = store.ask(), store.ask(recorder=GradientRecorder(every=5))
    assert store.epochs == 3
    assert plain.path != watched.path and same_tensors(weights_of(plain), weights_of(watched))
    recorded = watched.record["recorded"]
    assert recorded["layers"] == ["conv1", "fc1"] and recorded["iterations"] == [0, 5, 10]  # of 3 epochs of 4
    assert np.shape(recorded["norms"]) == (3, 2) and "recorded" not in plain.record


def test_a_run_is_known_by_its_recorder(store):
    runs = [store.ask(recorder=GradientRecorder(every)) for every in (5, 6)]
    assert runs[0].path != runs[1].path
    store.ask(recorder=GradientRecorder(5))
    assert store.epochs == 0


def test_an_interrupted_run_goes_on_recording(store):
    store.interrupt_after(2, GradientRecorder(every=3))
    run = store.ask(recorder=GradientRecorder(every=3))
    assert store.epochs == 1
    straight = store.ask(folder=store.folder / "other", recorder=GradientRecorder(every=3))
    assert run.record["recorded"]["iterations"] == [0, 3, 6, 9]
    assert_same_result(run, straight)


def test_the_result_is_asked_for_when_the_model_has_its_best_weights(store):
    class LastLook(GradientRecorder):
        def start(self, model, scaler=None):
            super().start(model, scaler)
            self.model = model

        def result(self):
            return {"bias": self.model[-1].bias.tolist()}

    run = store.ask(recipe=replace(RECIPE, lr=2.0, epochs=6), recorder=LastLook())
    assert run.record["best_epoch"] < 6
    assert run.record["recorded"]["bias"] == weights_of(run)["6.bias"].tolist()


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setattr("a1.runs.OUT", tmp_path / "out")
    return tmp_path / "out" / "runs" / "computed"


@pytest.mark.parametrize("arrays", [{}, {"a": np.ones(3)}], ids=["without arrays", "with arrays"])
def test_what_is_computed_is_known_by_its_config(arrays, out):
    counts = iter(range(9))

    def compute():
        return {"count": next(counts)}, arrays

    results = [
        compute_or_load("thing", config, compute) for config in ({"net": "a"}, {"net": "a"}, {"net": "b"})
    ]
    assert [computed.result for computed in results] == [{"count": 0}, {"count": 0}, {"count": 1}]
    assert all(computed.path.parent == out for computed in results)
    assert len(list(out.glob("*.npz"))) == 2 * len(arrays)
    for name, values in arrays.items():
        assert results[1].array(name).tolist() == values.tolist()


@pytest.mark.parametrize("damage", ["record", "arrays missing", "arrays", "retrain"])
def test_what_is_damaged_is_computed_again(damage, out, monkeypatch, capsys):
    counts = iter(range(9))

    def compute():
        return {"count": next(counts)}, {"a": np.ones(3)}

    first = compute_or_load("thing", {"a": 1}, compute)
    arrays = first.path.with_suffix(".npz")
    if damage == "record":
        first.path.write_text(first.path.read_text().replace('"count": 0', '"count": 7'))
    elif damage == "arrays missing":
        arrays.unlink()
    elif damage == "arrays":
        np.savez_compressed(arrays, a=np.zeros(3, np.float16))
    else:
        monkeypatch.setenv("RETRAIN", "1")
    again = compute_or_load("thing", {"a": 1}, compute)
    assert again.result == {"count": 1} and again.array("a").tolist() == [1, 1, 1]
    assert ("set aside" in capsys.readouterr().out) == (damage != "retrain")


def test_what_is_computed_in_runs_is_read_where_out_has_none(store, monkeypatch):
    monkeypatch.setattr("a1.runs.OUT", Path("."))
    compute_or_load("norms", {}, lambda: ({"conv1": 0.5}, {}))
    monkeypatch.setattr("a1.runs.OUT", Path("out"))
    again = compute_or_load("norms", {}, lambda: pytest.fail("computed again"))
    assert again.result == {"conv1": 0.5}


def test_weights_reproduce_the_test_probabilities(store):
    run = store.ask()
    model = run.load_weights(make_tiny().to(DEVICE))
    probs = evaluate(model, TinyData().loader("test", RECIPE))["probs"].numpy()
    np.testing.assert_allclose(run.test_probs, probs, atol=1e-3)


def test_missing_weights_say_how_to_get_them(store):
    run = store.ask()
    run.path.with_suffix(".pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"tiny-\w+\.pt.*RETRAIN=1"):
        run.load_weights(make_tiny())


@pytest.mark.parametrize("damage", [cut, flip_a_byte])
def test_altered_weights_are_not_loaded(store, damage):
    run, model = store.ask(), make_tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    damage(run.path.with_suffix(".pt"))
    with pytest.raises(DamagedFile, match=r"tiny-\w+\.pt does not match its record"):
        run.load_weights(model)
    assert same_tensors(model.state_dict(), before)


def test_a_failing_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"), atomic_write(path) as file:
        file.write(b"half of the new")
        raise OSError("disk full")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def crashes(tmp_path_factory):
    """The folder that tests/crash.py has filled, and its report."""
    folder = tmp_path_factory.mktemp("crashes")
    command = [sys.executable, Path(__file__).with_name("crash.py"), folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("RETRAIN", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, json.loads((folder / "report.json").read_text())


def left_in(folder):
    """Files of a run by suffix, less its lock."""
    return {path.suffix: path for path in folder.glob("tiny-*") if path.suffix != ".lock"}


def assert_ended_like_straight(folder, straight):
    """The folder holds one finished run, equal to the bit, and no litter."""
    found, expected = left_in(folder), left_in(straight)
    assert found.keys() == expected.keys() == {".json", ".npz", ".pt"}
    assert same_tensors(*(torch.load(files[".pt"], weights_only=True) for files in (found, expected)))
    assert found[".npz"].read_bytes() == expected[".npz"].read_bytes()
    records = [undated(read_sealed(files[".json"])) | {"weights_sha256": None} for files in (found, expected)]
    assert records[0] == records[1]
    assert read_sealed(found[".json"])["weights_sha256"] == sha256_of(found[".pt"])
    assert_events_are_the_history(Run(read_sealed(found[".json"]), found[".json"]))


def assert_events_are_the_history(run):
    """The TensorBoard files hold every epoch once, whatever became of those that a kill cut short."""
    events = read_events(run)
    assert events.keys() == {"loss/train", "loss/val", "acc/train", "acc/val"}
    for tag, (epochs, values) in events.items():
        measure, part = tag.split("/")
        assert epochs == [epoch["epoch"] for epoch in run.history]
        assert values == pytest.approx([epoch[f"{part}_{measure}"] for epoch in run.history], rel=1e-6)


def test_kills_come_at_every_kind_of_point(crashes):
    names = [name.split(" .")[0] for name in crashes[1]["points"]]
    files = 3 + 3  # checkpoints; weights, probabilities, record
    counts = {name: names.count(name) for name in set(names)}
    assert counts.pop("half written") >= files
    assert counts == {"last step": 3, "before fsync": files, "before naming": files, "after naming": files}


def test_no_half_written_file_ever_has_a_final_name(crashes):
    folder, report = crashes
    training = Training(make_tiny(), TinyData(), replace(RECIPE, schedule="plateau"))
    for number, point in enumerate(report["points"]):
        left = left_in(folder / f"{number}-killed")
        assert left.keys() <= {".json", ".npz", ".pt", ".ckpt", ".tmp"}, point
        if ".ckpt" in left:
            load_checkpoint(left[".ckpt"], training)
        if ".pt" in left:
            torch.load(left[".pt"], weights_only=True)
        if ".npz" in left:
            with np.load(left[".npz"]) as file:
                assert file["test_probs"].shape == (7, 3), point
        if ".json" in left:
            record = read_sealed(left[".json"])
            assert record["probs_sha256"] == sha256_of(left[".npz"]), point
            assert record["weights_sha256"] == sha256_of(left[".pt"]), point


def test_a_killed_run_ends_like_one_that_was_not(crashes):
    folder, report = crashes
    assert report["ended"]["straight"] == [0]
    for number, point in enumerate(report["points"]):
        assert report["ended"][str(number)] == [-signal.SIGKILL, 0], point
        assert_ended_like_straight(folder / str(number), folder / "straight")


def test_a_run_killed_after_every_epoch_ends_like_one_that_was_not(crashes):
    folder, report = crashes
    assert report["ended"]["again"] == [-signal.SIGKILL] * 3 + [0]
    assert_ended_like_straight(folder / "again", folder / "straight")


def test_of_two_processes_one_trains_and_the_other_reads(crashes):
    folder, report = crashes
    assert report["ended"]["together"] == [0, 0]
    said = [(folder / "together" / name).read_text() for name in ("said.txt", "said_too.txt")]
    assert sorted("trained on" in text for text in said) == [False, True]
    assert_ended_like_straight(folder / "together", folder / "straight")


def test_who_waits_goes_on_where_the_other_was_killed(crashes):
    folder, report = crashes
    assert report["ended"]["handed_over"] == [-signal.SIGKILL, 0]
    assert "going on after epoch" in (folder / "handed_over" / "said_too.txt").read_text()
    assert_ended_like_straight(folder / "handed_over", folder / "straight")
