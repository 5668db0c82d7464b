"""Trained once, read ever after, and never wrong after a change, damage, Ctrl-C or a kill."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import QUICK, TinyData, make_tiny, same_outcome
from torch import nn
from torch.optim import SGD

import a1.records
import a1.train
from a1.models.resnet import ResNet18
from a1.photos import Photos
from a1.records import TOLERANCE, differs, probe, train_once
from a1.setup import DEVICE, LOW, RUNS
from a1.studies import run_study
from a1.train import OPTIMIZERS, RECIPE, evaluate

NAME, PATH = "tiny/seed0", RUNS / "tiny" / "seed0.json"
CHECKPOINT = PATH.with_suffix(".ckpt")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder; every epoch is saved."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(a1.records, "RETRAIN", False)
    monkeypatch.setattr(a1.train, "SAVE_EVERY", 0)


def ask(recipe=QUICK, data=None, make_model=make_tiny, name=NAME):
    """The record, and the epochs that were trained for it."""
    data = data or TinyData()
    record = train_once(name, make_model, recipe, data)
    return record, data.trained


def interrupt(stop_at=2, recipe=QUICK, make_model=make_tiny):
    """Ctrl-C before an epoch: a checkpoint stays behind."""
    data = TinyData()
    data.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        ask(recipe, data, make_model)
    assert CHECKPOINT.exists()


def edit(path, change):
    """Change a record's JSON."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def straight(recipe=QUICK, **changes):
    """Path of the same run, trained without any trouble."""
    return ask(recipe, name="straight", **changes)[0]["path"]


# What a record is, and when it is read


def test_a_run_is_trained_once_then_read(capsys):
    first, trained = ask()
    assert (
        trained == [0, 1, 2] and "no record, training now (run 1 of 1)" in capsys.readouterr().out
    )
    again, trained = ask()
    assert trained == [] and capsys.readouterr().out == ""
    assert np.array_equal(again.pop("test")["test_probs"], first.pop("test")["test_probs"])
    assert again == first


def test_a_record_says_what_was_done():
    record, _ = ask()
    assert record["recipe"] == QUICK and record["data"] == TinyData().id
    measures = {"train_loss", "train_acc", "val_loss", "val_acc", "lr", "seconds"}
    assert [epoch.keys() == {"epoch"} | measures for epoch in record["history"]] == [True] * 3
    parts = [f"{part}_{m}" for part in TinyData.SIZES for m in ("loss", "acc", "macro_f1")]
    assert list(record["metrics"]) == parts and record["sizes"] == TinyData.SIZES
    assert len(record["first_losses"]) == 3 and record["parameters"] == 255
    kind = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    assert kind in record["device"] and f"{torch.get_num_threads()} threads" in record["device"]
    assert record["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("amp, precision", [(True, str(LOW)[6:]), (False, "float32")])
def test_a_record_names_its_precision(amp, precision):
    assert ask(QUICK | {"amp": amp, "epochs": 1})[0]["precision"] == precision


def test_metrics_are_those_of_the_best_epochs_weights():
    record, _ = ask(QUICK | {"lr": 1.0, "epochs": 6})
    accs = [epoch["val_acc"] for epoch in record["history"]]
    assert record["best_epoch"] == 1 + accs.index(max(accs)) < 6
    model = make_tiny().to(DEVICE)
    model.load_state_dict(torch.load(PATH.with_suffix(".pt"), weights_only=True))
    metrics, logits = evaluate(model, TinyData(), "test", QUICK)
    assert {f"test_{k}": v for k, v in metrics.items()}.items() <= record["metrics"].items()
    assert record["metrics"]["val_acc"] == max(accs)
    assert np.allclose(record["test"]["test_probs"], logits.softmax(1), atol=1e-3)


def test_a_study_keeps_nothing_but_its_record():
    record, _ = ask(data=TinyData(parts=("train", "val")))
    assert {path.suffix for path in PATH.parent.iterdir()} == {".json", ".lock"}
    assert record["arrays"] == [] and record["test"] == {}


CHANGED = {
    "recipe": ({"recipe": QUICK | {"lr": 0.06}}, "its recipe has lr 0.05, this one 0.06"),
    "files": ({"data": TinyData(1)}, "its data has files drawn 0, this one drawn 1"),
    "split": ({"data": TinyData(0, ("train", "val"))}, "this one train+val"),
    "network": ({"make_model": partial(make_tiny, 7)}, "other code made it: eight steps on drawn"),
    "dropout": ({"make_model": partial(make_tiny, 6, 0.4)}, "other code made it"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_run_is_trained_beside_the_old_one_and_both_are_found(change, capsys):
    changes, why = CHANGED[change]
    ask()
    capsys.readouterr()
    second = ask(**changes)[0]["path"]
    said = capsys.readouterr().out
    assert second.name == "seed0.2.json" and f"{PATH} is not used" in said and why in said
    assert ask()[0]["path"] == PATH and ask(**changes)[0]["path"] == second
    assert "training now" not in capsys.readouterr().out


def test_retrain_trains_again_in_the_same_place(monkeypatch):
    ask()
    monkeypatch.setattr(a1.records, "RETRAIN", True)
    record, trained = ask()
    assert trained == [0, 1, 2] and record["path"] == PATH


def test_retrain_leaves_a_record_of_another_recipe_alone(monkeypatch):
    first = ask()[0]
    monkeypatch.setattr(a1.records, "RETRAIN", True)
    ask(QUICK | {"lr": 0.06})
    monkeypatch.setattr(a1.records, "RETRAIN", False)
    assert ask()[0]["history"] == first["history"]


def test_retrain_does_not_go_on_from_a_checkpoint(monkeypatch):
    interrupt()
    monkeypatch.setattr(a1.records, "RETRAIN", True)
    assert ask()[1] == [0, 1, 2]


def test_a_study_counts_its_runs_and_trains_only_what_is_missing(capsys):
    ask(QUICK | {"seed": 1}, name="lr/low-seed1")
    capsys.readouterr()
    data = TinyData()
    rows = run_study("lr", {"low": (make_tiny, QUICK)}, range(3), data)
    said = [line for line in capsys.readouterr().out.splitlines() if "training" in line]
    assert said == [
        "lr/low-seed0: no record, training now (run 1 of 3)",
        "lr/low-seed2: no record, training now (run 3 of 3)",
    ]
    assert data.trained == [0, 1, 2] * 2 and rows["seed"].tolist() == [0, 1, 2]


def test_a_studys_rows_are_its_records():
    variants = {"low": (make_tiny, QUICK), "high": (make_tiny, QUICK | {"lr": 0.2})}
    rows = run_study("lr", variants, (0, 1), TinyData())
    assert rows["variant"].tolist() == ["low"] * 2 + ["high"] * 2
    for _, row in rows.iterrows():
        record = json.loads((RUNS / f"lr/{row['variant']}-seed{row['seed']}.json").read_text())
        assert record["recipe"] == variants[row["variant"]][1] | {"seed": row["seed"]}
        assert [row[f"{p}_acc"] for p in ("train", "val")] == [
            record["metrics"][f"{p}_acc"] for p in ("train", "val")
        ]
        assert row["history"].to_dict("records") == record["history"]


def test_seeds_share_a_probe(monkeypatch):
    made = []
    monkeypatch.setattr("a1.studies.probe", lambda *args: made.append(args) or probe(*args))
    monkeypatch.setattr(a1.records, "probe", None)
    run_study("lr", {"a": (make_tiny, QUICK), "b": (make_tiny, QUICK)}, (0, 1), TinyData())
    assert len(made) == 2


# Damage


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)


DAMAGES = {
    "cut short": lambda: cut(PATH),
    "empty": lambda: PATH.write_bytes(b""),
    "binary": lambda: PATH.write_bytes(b"\xff\xfe\x00" * 50),
    "a list": lambda: PATH.write_text("[1, 2]"),
    "no arrays named": lambda: edit(PATH, lambda record: record.pop("arrays")),
    "other arrays named": lambda: edit(PATH, lambda record: record.update(arrays=["probs"])),
    "arrays missing": lambda: PATH.with_suffix(".npz").unlink(),
    "arrays cut short": lambda: cut(PATH.with_suffix(".npz")),
    "arrays altered": lambda: flip_a_byte(PATH.with_suffix(".npz")),
}


@pytest.mark.parametrize("drop", [("probe",), ("probe", "losses"), ("recipe",)], ids=str)
def test_a_record_that_does_not_say_what_made_it_is_not_used(drop, capsys):
    ask()
    edit(PATH, lambda record: (record["probe"] if len(drop) > 1 else record).pop(drop[-1]))
    assert ask()[0]["path"] == PATH.with_suffix(".2.json")
    assert f"{PATH} is not used: " in capsys.readouterr().out


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_set_aside_and_made_again(damage, capsys):
    ask()
    DAMAGES[damage]()
    capsys.readouterr()
    record, trained = ask()
    assert f"{PATH} is damaged" in capsys.readouterr().out
    assert PATH.with_name("seed0.json.damaged").exists()
    assert trained == [0, 1, 2] and record["path"] == PATH
    assert same_outcome(PATH, straight())


def test_a_second_record_is_found_where_the_first_is_lost():
    ask()
    changed = {"recipe": QUICK | {"lr": 0.06}}
    ask(**changed)
    PATH.unlink()
    assert ask(**changed)[1] == []


@pytest.mark.parametrize("damage", [cut, lambda path: path.write_bytes(b"")], ids=["cut", "empty"])
def test_a_damaged_checkpoint_is_set_aside_and_not_used(damage, capsys):
    interrupt()
    damage(CHECKPOINT)
    capsys.readouterr()
    assert ask()[1] == [0, 1, 2]
    assert f"{CHECKPOINT} is damaged" in capsys.readouterr().out
    assert CHECKPOINT.with_name("seed0.ckpt.damaged").exists() and not CHECKPOINT.exists()
    assert same_outcome(PATH, straight())


# Interruption


@pytest.mark.parametrize("schedule", ["one_cycle", "plateau", "constant"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_interrupted_run_ends_bit_for_bit_as_another(schedule, optimizer):
    recipe = QUICK | {"schedule": schedule, "optimizer": optimizer, "clip_norm": 1.0}
    interrupt(2, recipe)
    assert ask(recipe)[1] == [2]
    assert same_outcome(PATH, straight(recipe)) and not CHECKPOINT.exists()


def test_a_run_out_of_patience_is_not_trained_further(monkeypatch):
    recipe = QUICK | {"epochs": 9, "lr": 0.0, "patience": 2, "schedule": "constant"}
    with monkeypatch.context() as patch:
        patch.setattr(a1.records, "finish", lambda *_: 1 / 0)  # killed before the record is written
        with pytest.raises(ZeroDivisionError):
            ask(recipe)
    assert ask(recipe)[1] == []
    assert same_outcome(PATH, straight(recipe))


@pytest.mark.parametrize(
    "changes",
    [{"recipe": QUICK | {"lr": 0.06}}, {"make_model": partial(make_tiny, 6, 0.4)}],
    ids=["recipe", "code"],
)
def test_a_checkpoint_of_another_recipe_or_code_is_not_used(changes, capsys):
    interrupt()
    assert ask(**changes)[1] == [0, 1, 2]
    assert f"{CHECKPOINT} is not used" in capsys.readouterr().out
    assert same_outcome(PATH, straight(**changes))


@pytest.mark.parametrize("scaler", [{}, torch.amp.GradScaler("cpu").state_dict()])
def test_a_checkpoint_of_another_kind_of_device_is_gone_on_from(scaler, capsys):
    interrupt()
    saved = torch.load(CHECKPOINT, weights_only=True)
    saved |= {"device": "cpu" if DEVICE.type == "cuda" else "cuda", "scaler": scaler}
    torch.save(saved | {"rng": torch.zeros(16, dtype=torch.uint8)}, CHECKPOINT)
    capsys.readouterr()
    record, trained = ask()
    assert trained == [2] and len(record["history"]) == 3
    assert f"on {DEVICE.type}: not bit for bit" in capsys.readouterr().out


@pytest.fixture(scope="module")
def crashes(tmp_path_factory):
    """The folder that tests/crash.py has filled, and its report."""
    folder = tmp_path_factory.mktemp("crashes")
    command = [sys.executable, Path(__file__).with_name("crash.py"), folder]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "RETRAIN": ""}
    subprocess.run(command, env=environment, check=True, timeout=300)
    return folder, json.loads((folder / "report.json").read_text())


def ends_as_straight(folder, name):
    """Whether the run in folder/`name` equals the one that nobody killed, to the bit."""
    path, expected = (folder / place / PATH for place in (name, "straight"))
    return same_outcome(path, expected)


def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(crashes):
    folder, report = crashes
    points = dict(enumerate(report["points"]))
    killed = {n: report["ended"][str(n)] for n in points if str(n) in report["ended"]}
    assert {points[n] for n in killed} == set(points.values()) and "half written" in points.values()
    assert set(map(tuple, killed.values())) == {(-signal.SIGKILL, 0)}
    assert [points[n] for n in killed if not ends_as_straight(folder, str(n))] == []


def test_a_kill_leaves_no_litter(crashes):
    left = {path.suffix for path in crashes[0].glob(f"*/{PATH.parent}/*")}
    assert left == {".json", ".npz", ".pt", ".lock"}


def test_a_run_killed_after_every_epoch_ends_as_one_that_was_not(crashes):
    folder, report = crashes
    assert report["ended"]["again"] == [-signal.SIGKILL] * 2 + [0]
    assert ends_as_straight(folder, "again")


def test_of_two_processes_one_trains_and_the_other_reads(crashes):
    folder, report = crashes
    assert report["ended"]["together"] == [0, 0] and ends_as_straight(folder, "together")
    said = [(folder / "together" / f"said{k}.txt").read_text() for k in range(2)]
    assert sorted("training now" in text for text in said) == [False, True]


# The probe


def test_a_probe_neither_draws_from_the_global_generator_nor_depends_on_it():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = probe(make_tiny, QUICK, TinyData())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert probe(make_tiny, QUICK, TinyData()) == first


def test_a_probe_does_not_depend_on_seed_precision_or_data():
    first = probe(make_tiny, QUICK, TinyData())
    assert probe(make_tiny, QUICK | {"seed": 3, "amp": True, "epochs": 9}, TinyData(7)) == first


def test_a_probe_is_the_same_with_other_threads(monkeypatch):
    images = torch.randint(256, (30, 3, 64, 64), dtype=torch.uint8)
    data = Photos(images, torch.arange(30) % 3, {"train": torch.arange(30)}, "", 32)
    threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            found.append(probe(partial(ResNet18, width=8), RECIPE, data))
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(a1.records, "TOLERANCE", {k: limit / 3 for k, limit in TOLERANCE.items()})
    why = differs({"probe": found[0]}, {"recipe": {}, "data": {}, "probe": found[1]})
    assert why == "" and all(min(numbers) > 0 for numbers in found[0].values())


def test_a_gradient_that_is_rounding_noise_is_left_out_of_a_probe_and_a_small_one_is_not():
    """A bias before a batch norm has no gradient; that of the weights is as true as it is small."""

    def make(scale):
        first, last = nn.Linear(3 * 8 * 8, 8), nn.Linear(8, 3)
        nn.init.normal_(last.weight, std=scale)  # so all behind it gets as little
        return nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(8), nn.ReLU(), last)

    slow = QUICK | {"lr": 1e-6}
    small, other = (probe(partial(make, scale), slow, TinyData()) for scale in (1e-7, 1.1e-7))
    assert len(small["gradients"]) == len(small["moved"]) == 5, "all but one of six"
    assert small["gradients"][0] < 1e-5 * small["gradients"][-1]
    assert "other gradients" in differs(
        {"probe": small}, {"recipe": {}, "data": {}, "probe": other}
    )


@pytest.mark.parametrize(
    "old, new, same",
    [
        # a dead start on two kinds of CPU
        ([4e-11, 4.66e-10, 1e-5], [6e-11, 4.74e-10, 1e-5], True),
        ([0.0, 2e-18, 3e-7], [0.0, 0.0, 3.01e-7], True),
        ([1e-12] * 3, [8e-12] * 3, True),
        ([4e-7, 6e-6, 1e-5], [6e-7, 9e-6, 1e-5], False),
        ([1e-3, 2e-3, 4e-3], [1e-3, 2e-3, 4.4e-3], False),
    ],
)
def test_what_moved_by_less_than_rounding_does_not_tell_code_apart(old, new, same):
    probes = ({"losses": [1.0], "moved": moved} for moved in (old, new))
    first, second = ({"recipe": {}, "data": {}, "probe": made} for made in probes)
    assert ("other moved" in differs(first, second)) is not same
    assert differs(first, second) == "" or not same


def test_gradients_of_every_step_count_in_a_probe_whenever_they_are_cleared(monkeypatch):
    first, made = probe(make_tiny, QUICK, TinyData()), OPTIMIZERS["sgd"]

    class ClearsAfter(SGD):
        def step(self, *args, **options):
            super().step(*args, **options)
            self.zero_grad()

    monkeypatch.setitem(OPTIMIZERS, "sgd", partial(ClearsAfter, **made.keywords))
    assert probe(make_tiny, QUICK, TinyData()) == first
