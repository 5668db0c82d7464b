"""Part III's data, windows, network and opponents: nothing looks ahead, and each does what it says."""

import http.client
import io
import re
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import empty_machine
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from torch import nn

from a1 import power
from a1.models.forecast import ARCHITECTURES, Forecaster
from a1.opponents import (
    block_interval,
    fit_ridge,
    grow_trees,
    naive_forecasts,
    r2_interval,
    skill,
    tabulate,
)
from a1.power import (
    CONTEXT,
    DAY,
    FILL,
    STEP,
    WEEK,
    Regression,
    Series,
    Windows,
    add_copies,
    create_sequences,
    encode_calendar,
    fill_gaps,
    load_power,
    split_rows,
)
from a1.train import RECIPE, train
from tools.stand_in import draw_power

ROOT = Path(__file__).resolve().parents[1]
NAME = "household_power_consumption"
SHORT = RECIPE | {"loss": "huber", "windows_per_epoch": 64, "batch_size": 16, "optimizer": "adamw"}
SHORT |= {"epochs": 2, "lr": 1e-3, "amp": False, "clip_norm": 1.0}


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """UCI's table of sixty drawn days."""
    path = tmp_path_factory.mktemp("power") / f"{NAME}.txt"
    draw_power(path, days=60)
    return path.read_text()


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path, monkeypatch):
    """An empty working folder and home, no A1_DATA, no internet, Colab's disk inside the folder."""
    empty_machine(tmp_path, monkeypatch)

    def offline(*_, **__):
        raise urllib.request.URLError("no internet")

    monkeypatch.setattr(urllib.request, "urlopen", offline)


def series_of(frame):
    """A frame's series, made as the notebook makes it."""
    rows, measured = split_rows(len(frame)), add_copies(fill_gaps(frame))
    scaler = StandardScaler().fit(measured.to_numpy(np.float64)[rows["train"]])
    return Series(frame, measured, scaler, rows, "drawn", "cpu")


@pytest.fixture(scope="module")
def frame(text):
    """The table as a frame."""
    table = pd.read_csv(io.StringIO(text), sep=";", na_values="?", dtype=dict.fromkeys(power.VARIABLES, "float32"))  # fmt: skip
    times = pd.to_datetime(table["Date"] + table["Time"], format="%d/%m/%Y%H:%M:%S")
    return table[list(power.VARIABLES)].set_index(times.rename("time")).asfreq("min")


@pytest.fixture(scope="module")
def data(frame):
    """Windows of it."""
    return Windows(series_of(frame))


def write_zip(path, text):
    """A table in a zip, as UCI gives it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{NAME}.txt", text)


PLACES = {"named": "named", "~": "home/power", "here": ".", "data": "data", "colab": "colab"}


@pytest.mark.parametrize("place", [*PLACES, "drive", "zip", "UCI's zip"])
def test_the_table_is_found_and_read(place, text, frame, monkeypatch):
    text, frame = "".join(text.splitlines(True)[:2001]), frame.iloc[:2000]
    if place in ("named", "~"):
        monkeypatch.setenv("A1_DATA", {"named": "named", "~": "~/power"}[place])
    if "zip" in place:
        name = NAME if place == "zip" else "individual+household+electric+power+consumption"
        write_zip(Path(f"{name}.zip"), text)
    else:
        folder = Path({**PLACES, "drive": "colab/drive/MyDrive"}[place])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{NAME}.txt").write_text(text)
    found, _ = load_power()
    pd.testing.assert_frame_equal(found, frame, check_freq=False)
    assert (found.dtypes == np.float32).all()


def test_without_the_table_there_is_one_clear_error():
    with pytest.raises(
        FileNotFoundError, match="household_power_consumption.*make data.*archive.ics"
    ):
        load_power()
    assert not list(Path().rglob("*.tmp"))


def test_a_folder_that_cannot_be_written_is_named(text, monkeypatch):
    write_zip(Path("uci/a.zip"), "".join(text.splitlines(True)[:101]))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Path("uci/a.zip").open("rb"))
    Path("data").write_text("a file where the folder should be")
    with pytest.raises(FileNotFoundError, match=r"no household_power.*Errno.*'data'"):
        load_power()


def test_the_table_is_downloaded_once(text, monkeypatch):
    write_zip(Path("uci/a.zip"), "".join(text.splitlines(True)[:101]))
    opened = []

    def answer(url, timeout):
        opened.append(url)
        return Path("uci/a.zip").open("rb")

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    frame, _ = load_power()
    assert len(frame) == 100 and Path(f"data/{NAME}.zip").exists()
    load_power()
    assert opened == [power.URL]


class Broken(io.BytesIO):
    """An answer whose connection ends early."""

    def read(self, *_):
        raise http.client.IncompleteRead(b"PK", 100)


@pytest.mark.parametrize(
    "answer", [io.BytesIO(b"PK" + bytes(500)), io.BytesIO(b"<html>moved</html>"), Broken()]
)
def test_a_cut_download_or_a_web_page_is_never_kept(answer, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: answer)
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="household_power_consumption.*make data"):
            load_power()
    assert not list(Path().rglob("*.zip*"))


def test_a_folder_of_that_name_is_passed_over():
    Path(NAME).mkdir()
    with pytest.raises(FileNotFoundError, match="make data"):
        load_power()


@pytest.mark.parametrize(
    "beside", [f"{NAME}.zip.tmp", f"._{NAME}.txt", f"{NAME} (1).txt", f"{NAME}.csv", f"{NAME}.pdf"]
)
def test_what_lies_beside_the_table_is_not_read_for_it(beside, text, frame):
    Path(f"{NAME}.txt").write_text("".join(text.splitlines(True)[:2001]))
    Path(beside).write_bytes(b"\0 not a table")
    pd.testing.assert_frame_equal(load_power()[0], frame.iloc[:2000], check_freq=False)


def test_question_marks_and_minutes_without_a_row_are_missing(text):
    lines = text.splitlines()
    Path(f"{NAME}.txt").write_text("\n".join(lines[:10] + lines[13:100]) + "\n")
    frame, files = load_power()
    assert len(frame) == 99 and frame.isna().all(axis=1)[9:12].all()
    assert frame.index.freqstr == "min"
    changed = ";".join([*lines[1].split(";")[:2], "9.0", *lines[1].split(";")[3:]])
    Path(f"{NAME}.txt").write_text("\n".join([lines[0], changed, *lines[2:10], *lines[13:100]]))
    assert load_power()[1] != files, "the hash is of the values"


def test_split_is_sequential():
    rows = split_rows(1001)
    assert [len(span) for span in rows.values()] == [700, 150, 151]
    assert [list(span) for span in rows.values()] == [
        list(range(700)),
        list(range(700, 850)),
        list(range(850, 1001)),
    ]


def test_gaps_are_filled_from_the_past_and_for_five_minutes():
    values = pd.DataFrame({"x": [1.0, *[np.nan] * 8, 2.0, np.nan, 3.0]})
    filled = fill_gaps(values)["x"]
    assert filled[:6].tolist() == [1.0] * 6 and filled[6:9].isna().all() and filled[10] == 2.0
    later = values.assign(x=values["x"].where(values.index < 9, 7.0))
    assert fill_gaps(later)["x"][:9].equals(filled[:9]) and FILL == 5


def test_copies_are_the_next_five_minutes_of_yesterday(frame):
    filled = fill_gaps(frame)
    copies, load = add_copies(filled), filled["Global_active_power"].to_numpy(np.float64)
    for t in (9 * DAY + 17, 12 * DAY):  # the last minute known
        for name, period in (("day_ago", DAY), ("week_ago", WEEK)):
            expected = load[t + 1 - period : t + 1 + STEP - period].mean()
            assert copies[name].iloc[t] == pytest.approx(expected, rel=1e-5)


def test_the_calendar_is_a_circle():
    times = pd.to_datetime(["2007-01-01 00:00", "2007-01-01 23:59", "2007-01-08 00:00"])
    code = encode_calendar(times)
    assert np.abs(code[0] - code[1])[:2].max() < 0.01 and np.allclose(code[0], code[2])


def test_no_input_looks_ahead_and_the_target_begins_where_the_inputs_end(frame, data):
    t = int(data.ends["val"][100])
    target = frame["Global_active_power"].iloc[t : t + STEP].mean()
    assert float(data.y["val"][100]) == pytest.approx(target, rel=1e-5)
    inputs = data.inputs(torch.tensor([t]))
    later, last = frame.copy(), frame.copy()
    later.iloc[t:] = 99.0
    last.iloc[t - 1] = 99.0
    scaler = StandardScaler().fit(add_copies(fill_gaps(frame)).to_numpy(np.float64)[data.series.rows["train"]])  # fmt: skip
    for changed, same in ((later, True), (last, False)):
        measured = add_copies(fill_gaps(changed))
        series = Series(changed, measured, scaler, data.series.rows, "drawn", "cpu")
        again = create_sequences(series.values, torch.tensor([t]), 24, 15)
        assert torch.equal(again, inputs) == same


def test_windows_and_what_they_read_lie_in_their_part(data):
    for part, rows in data.series.rows.items():
        ends = data.ends[part]
        assert ends.min() - WEEK - CONTEXT >= rows.start and ends.max() + STEP <= rows.stop
        clock = data.series.index[ends.numpy()]
        assert (clock.minute % STEP == 0).all()
    assert len(data.drawn) > 4.9 * len(data.ends["train"]), "training windows end at any minute"


def test_every_window_is_known_and_its_target_measured(frame, data):
    for part in data.y:
        for x, y in data.batches(part, SHORT):
            assert x.isfinite().all() and y.isfinite().all() and y.shape == (len(x), 1)
        t = data.ends[part].numpy()
        measured = frame["Global_active_power"].notna().to_numpy()
        assert all(measured[t + k].all() for k in range(STEP)), "not filled"
    assert len(data.series.ends("train")[0]) > len(data.drawn), "some stand beside a gap"


def test_targets_of_all_window_lengths_are_the_same(data):
    other = Windows(data.series, 48, 30)
    assert all(torch.equal(other.ends[part], data.ends[part]) for part in data.ends)
    assert other.id != data.id and data.id == Windows(data.series).id
    with pytest.raises(AssertionError):
        Windows(data.series, 100, 0)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_part_of_gaps_alone_is_one_clear_error(part, frame):
    gaps = frame.copy()
    rows = split_rows(len(frame))[part]
    gaps.iloc[rows.start + 700 : rows.stop] = np.nan
    gaps.iloc[rows.start : rows.start + 700 : 20] = np.nan
    with pytest.raises(AssertionError, match="a part has no whole window: take more days"):
        Windows(series_of(gaps))


def test_sequences_are_means_of_five_then_single_minutes(data):
    values, t = data.series.values, data.ends["val"][:3]
    x = create_sequences(values, t, 4, 7)
    for window, end in zip(x, t):
        past = values[end - 27 : end]
        means = past[:20].reshape(4, 5, 14).mean(1)
        torch.testing.assert_close(window[:4, :13], means[:, :13])
        assert torch.equal(window[4:], past[20:]) and (window[:4, 13] == 0).all()


def test_another_scaling_or_filling_is_other_data(frame, data):
    rows, filled = split_rows(len(frame)), add_copies(fill_gaps(frame))
    for measured, part in ((filled, slice(None)), (add_copies(frame.ffill()), rows["train"])):
        scaler = StandardScaler().fit(measured.to_numpy(np.float64)[part])
        assert Series(frame, measured, scaler, rows, "drawn", "cpu").id != data.series.id


def test_the_notebook_fits_its_scaler_on_the_training_part_only():
    source = (ROOT / "notebooks" / "a1_part_3.py").read_text()
    assert re.findall(r"StandardScaler\(\)\.fit\((.*)\)", source) == ['table[rows["train"]]']
    assert "fit_transform" not in source and "shuffle" not in source.replace("shuffled", "")


def test_training_batches_are_drawn_anew(data):
    torch.manual_seed(0)
    epochs = [torch.cat([y for _, y in data.batches("train", SHORT, epoch)]) for epoch in (0, 1)]
    assert len(epochs[0]) == 64 and not torch.equal(*epochs) and data.steps(SHORT) == 4
    assert data.steps(SHORT | {"windows_per_epoch": 10**9}) == len(data.drawn) // 16


def test_the_probes_data_give_two_steps(data):
    tiny, recipe = data.tiny(), SHORT | {"batch_size": 4}
    assert len(list(tiny.batches("train", recipe, 0))) == tiny.steps(recipe) == 2
    assert [len(y) for y in tiny.y.values()] == [10, 8]
    assert torch.equal(tiny.values, data.tiny().values) and "test" not in tiny.y
    assert len(data.ends["train"]) > 20, "its own windows are as they were"


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(AssertionError, match="broadcast"):
        Regression().loss(torch.zeros(4, 1), torch.zeros(4), SHORT)


def test_losses_are_squared_below_a_kilowatt_and_absolute_above():
    y, said = torch.zeros(2, 1), torch.tensor([[0.5], [3.0]])
    assert float(Regression().loss(said, y, SHORT)) == pytest.approx((0.125 + 2.5) / 2)
    assert float(Regression().loss(said, y, SHORT | {"loss": "mse"})) == pytest.approx(9.25 / 2)
    sums, metrics = (
        Regression().measures(said, y),
        Regression().metrics(said, torch.tensor([[0.0], [1.0]])),
    )
    assert float(sums["loss"]) == 9.25 and float(sums["mae_kw"]) == 3.5
    assert metrics["rmse_kw"] == pytest.approx(metrics["loss"] ** 0.5) and metrics["mae_kw"] == 1.25
    assert Regression().score({"val_loss": 1.0}) > Regression().score({"val_loss": 2.0})
    for broken in (float("nan"), float("inf")):
        with pytest.raises(AssertionError, match="diverged: try a lower learning rate"):
            Regression().metrics(torch.tensor([[broken], [1.0]]), torch.zeros(2, 1))


@pytest.mark.parametrize("layers", ARCHITECTURES)
def test_networks_have_three_layers_and_start_as_persistence(layers, data):
    x, _ = next(data.batches("val", SHORT))
    mean, std = 1.1, 0.9
    network = Forecaster(ARCHITECTURES[layers], 8, 0.1, (mean, std)).eval()
    recurrent = [layer for layer in network.modules() if isinstance(layer, nn.RNNBase)]
    assert len(recurrent) == 3 and any(isinstance(m, nn.Dropout) for m in network.modules())
    torch.testing.assert_close(network(x), x[:, -1, :1] * std + mean)
    level = Forecaster(ARCHITECTURES[layers], 8, 0.1, (mean, std), residual=False)
    torch.testing.assert_close(level(x), torch.full((len(x), 1), mean))


@pytest.mark.parametrize("layers", ARCHITECTURES)
def test_forecasts_depend_on_the_first_and_the_last_step(layers, data):
    torch.manual_seed(0)
    network = Forecaster(ARCHITECTURES[layers], 8, 0.0, (1.0, 1.0)).eval()
    nn.init.normal_(network.head[-1].weight)
    x = next(data.batches("val", SHORT))[0][:4, -4:]
    for step in (0, -1):
        changed = x.clone()
        changed[:, step, 1:] += 3
        assert not torch.allclose(network(changed), network(x), atol=1e-6)


def test_a_watt_hour_of_a_meter_joins_as_its_logarithm(data):
    x = next(data.batches("val", SHORT))[0][:4]
    network = Forecaster(ARCHITECTURES["lstm"], 8, 0.0, (1.0, 1.0), True, [(4, 1.5, 6.0)])
    assert network.recurrent[0].input_size == 15
    seen = []
    network.recurrent[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(x)
    torch.testing.assert_close(seen[0][:, :, 14], torch.log1p((6 * x[:, :, 4] + 1.5).clamp(min=0)))


def test_naive_forecasts(frame, data):
    load, t = (
        fill_gaps(frame)["Global_active_power"].to_numpy(np.float64),
        data.ends["test"].numpy(),
    )
    naive, k = naive_forecasts(data, "test"), 40
    expected = {"persistence": load[t[k] - STEP : t[k]].mean(), "last_minute": load[t[k] - 1]}
    expected |= {f"{name}_ago": load[t[k] - p : t[k] - p + STEP].mean() for name, p in (("day", DAY), ("week", WEEK))}  # fmt: skip
    assert naive.keys() == expected.keys()
    for name, value in expected.items():
        assert naive[name].shape == (len(t), 1) and naive[name][k, 0] == pytest.approx(
            value, rel=1e-4
        )


def test_a_network_learns_more_than_persistence(data):
    torch.manual_seed(0)
    mean, std = float(data.y["train"].mean()), float(data.y["train"].std())
    recipe = SHORT | {"epochs": 4, "windows_per_epoch": 2048, "lr": 5e-3, "batch_size": 64}
    small = Windows(data.series, 6, 5, every=35)
    state = train(Forecaster(ARCHITECTURES["lstm"], 8, 0.0, (mean, std)), recipe, small)
    y, naive = small.y["val"].numpy(), naive_forecasts(small, "val")["last_minute"]
    assert min(epoch["val_loss"] for epoch in state["history"]) < ((naive - y) ** 2).mean()


def test_ridge_is_sklearns_on_all_windows(data):
    small = Windows(data.series, 2, 5, every=35)
    found = fit_ridge(small, [1e3, 1e-2])
    x, y = tabulate(small, small.drawn)[:, :-1].numpy(), small.y_drawn.numpy()
    model = Ridge(found["penalty"]).fit(x, y[:, 0])
    said = model.predict(tabulate(small, small.ends["test"])[:, :-1].numpy())
    assert np.abs(said - np.array(found["test_watts"]) / 1000).max() < 5e-3
    assert found["windows"] == len(small.drawn) and found["seconds"] > 0


def test_trees_read_their_windows_and_never_choose_by_the_test_part(data):
    small = Windows(data.series, 2, 5, every=35)
    options = {"rate": 0.3, "leaves": 4, "trees": 8, "share": 3}
    found = grow_trees(small, **options)
    assert found["windows"] == len(small.drawn[::3]) and found["of"] == 8
    study = Windows(data.series, 2, 5, ("train", "val"), every=35)
    assert "test_watts" not in (again := grow_trees(study, **options))
    assert again["val_r2"] == found["val_r2"] and again["trees"] == found["trees"]
    for part in ("val", "test"):
        y, naive = small.y[part].numpy(), naive_forecasts(small, part)["last_minute"]
        said = (
            found["val_r2"] if part == "val" else r2_score(y, np.array(found["test_watts"]) / 1000)
        )
        assert said > r2_score(y, naive), "they forecast the change since the last minute"
    medians, y = grow_trees(small, **options, loss="absolute_error"), small.y["test"].numpy()[:, 0]
    off = [np.abs(np.array(run["test_watts"]) / 1000 - y).mean() for run in (medians, found)]
    assert off[0] < off[1], "each is best at what it minimises"


def test_intervals_hold_the_value_and_blocks_widen_them():
    rng = np.random.default_rng(0)
    y = rng.normal(1, 1, (20_000, 1))
    storms = np.repeat(rng.exponential(1, (20, 1)), 1000, 0) * rng.normal(0, 0.3, y.shape)
    said, other = y + storms, y + 2 * storms
    low, high = r2_interval(y, said)
    assert low < r2_score(y, said) < high
    errors = ((said - y) ** 2)[:, 0]
    narrow = block_interval(np.divide, errors, np.ones(len(y)), block=20)
    wide = block_interval(np.divide, errors, np.ones(len(y)))
    assert np.diff(wide) > 3 * np.diff(narrow)
    assert skill(y, said, said) == (0, 0, 0) and skill(y, said, other)[0] == pytest.approx(0.75)
