"""A household's power: found, read, split by time, scaled, and cut into windows that never look ahead."""

import hashlib
import os
import urllib.request
from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from a1.files import atomic_write, data_places
from a1.photos import PARTS
from a1.setup import DEVICE

VARIABLES = {  # UCI's names and their units
    "Global_active_power": "kW",
    "Global_reactive_power": "kvar",
    "Voltage": "V",
    "Global_intensity": "A",
    **{f"Sub_metering_{meter}": "Wh/min" for meter in (1, 2, 3)},
}
UCI = "https://archive.ics.uci.edu/static/public/235/"
URL = UCI + "individual+household+electric+power+consumption.zip"
STEP, DAY, WEEK = 5, 24 * 60, 7 * 24 * 60  # minutes
FILL = 5  # minutes for which the last measured one is repeated into a gap
CONTEXT = 6 * 60  # minutes that must be complete before a target, however few of them are read
LOSSES = {"huber": F.huber_loss, "mse": F.mse_loss}  # Huber's: squared below 1 kW, absolute above


def find_power():
    """UCI's table or zip: in $A1_DATA, here, in data/, on Colab's disk or Drive; else fetched."""
    for place in data_places():
        found = place.glob("[!.]*ousehold*consum*.[tz][xi][tp]")  # no half download, no note
        for path in sorted(filter(os.path.isfile, found), key=lambda path: len(path.name)):
            for note in path.parent.glob("STAND_IN.txt"):
                print(note.read_text())
            return path
    path = Path("data/household_power_consumption.zip")
    try:
        with urllib.request.urlopen(URL, timeout=20) as answer, atomic_write(path) as file:
            file.write(content := answer.read())
            assert b"PK\x05\x06" in content[-22:], "no whole zip"  # but cut, or a web page
    except Exception as error:
        where = "here, in data/, $A1_DATA or /content; put it beside this notebook, or `make data`"
        raise FileNotFoundError(f"no {path.name} {where}; {URL}: {error}") from None
    return path


def load_power():
    """A frame of float32, one row a minute, NaN where nothing was measured, and its hash."""
    table = pd.read_csv(find_power(), sep=";", na_values="?", dtype=dict.fromkeys(VARIABLES, "f4"))
    times = pd.to_datetime(table["Date"] + table["Time"], format="%d/%m/%Y%H:%M:%S")
    frame = table[list(VARIABLES)].set_index(times.rename("time")).asfreq("min")
    values = np.where(frame.isna(), np.float32(np.nan), frame)  # every NaN of the same bits
    return frame, hashlib.sha256(str(frame.index[0]).encode() + values.tobytes()).hexdigest()


def split_rows(n):
    """{part: range of rows}: the first 70%, the next 15%, and the rest."""
    train, val = int(n * 0.70), int(n * 0.15)
    borders = (0, train, train + val, n)
    return {part: range(*borders[k : k + 2]) for k, part in enumerate(PARTS)}


def fill_gaps(frame):
    """Repeat the last measured minute into a gap, for FILL minutes at most, from the past alone."""
    return frame.ffill(limit=FILL)


def means_of_five(power):
    """Mean of each minute and the four before it, float32 [N]; NaN where one of them is missing."""
    return power.astype(np.float64).rolling(STEP).mean().astype(np.float32)


def add_copies(filled):
    """The variables, and the mean of the *next* five minutes as it was a day and a week ago."""
    means = means_of_five(filled["Global_active_power"])
    return filled.assign(day_ago=means.shift(DAY - STEP), week_ago=means.shift(WEEK - STEP))


def encode_calendar(index):
    """Time of day and of week as points on two circles: float32 [N, 4], sine and cosine of each."""
    minute = index.hour.to_numpy() * 60 + index.minute.to_numpy()
    day = 2 * np.pi * minute / DAY
    week = 2 * np.pi * (index.day_of_week.to_numpy() * DAY + minute) / WEEK
    return np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], 1).astype(np.float32)


class Series:
    """What windows are cut from: the frame as measured [N, 7], the filled one with copies [N, 9].

    values float32 [N, 14]: scaled, calendar, 1; NaN where unknown, so that no use goes unnoticed.
    target float32 [N]: mean power of a minute and the next four, kW; NaN unless all were measured.
    power, means float32 [N]: of a minute, of it and the four before it, kW, gaps filled.
    """

    def __init__(self, frame, measured, scaler, rows, files, device=DEVICE):
        scaled = scaler.transform(measured.to_numpy(np.float64))
        columns = [scaled, encode_calendar(frame.index), np.ones((len(frame), 1))]
        self.values = torch.tensor(np.hstack(columns), dtype=torch.float32, device=device)
        following = means_of_five(frame["Global_active_power"]).shift(1 - STEP)
        self.target = torch.tensor(following.to_numpy(), device=device)
        power = measured["Global_active_power"]
        self.power, self.means = (x.to_numpy(np.float32) for x in (power, means_of_five(power)))
        self.index, self.rows = frame.index, rows
        means = self.values.cpu().double().nanmean(0)  # another filling or scaling shows here
        self.id = {"files": files, "means": [round(float(mean), 4) + 0.0 for mean in means]}

    def ends(self, part):
        """Rows t at which a target may begin: all whose week before and five minutes after lie in
        the part, int64 [M], and those without a gap in the CONTEXT before or in the target."""
        rows = self.rows[part]
        t = torch.arange(rows.start + WEEK + CONTEXT, rows.stop - STEP + 1)
        known = self.values.isfinite().all(1).cpu()
        count = F.pad(known.cumsum(0), (1, 0))
        complete = count[t] - count[t - CONTEXT] == CONTEXT
        return t, t[complete & self.target.cpu()[t].isfinite()]


def create_sequences(values, ends, history, recent):
    """Windows float32 [B, history + recent, 14] before the rows `ends` of values [N, 14]: means of
    five minutes, marked 0 in the last column, then single minutes, marked 1."""
    span = STEP * history + recent
    views = values.unfold(0, span, 1).transpose(1, 2)  # a view of all windows, no copy
    minutes = views.index_select(0, ends - span)  # [B, span, 14]: row t itself is not in it
    means = minutes[:, : STEP * history].unflatten(1, (history, STEP)).mean(2)
    means[:, :, -1] = 0
    return torch.cat([means, minutes[:, STEP * history :]], 1)


class Regression:
    """What is minimised and measured where forecasts and targets are [B, 1], kW."""

    def loss(self, outputs, y, recipe):
        assert outputs.shape == y.shape, "[B, 1] against [B] would broadcast to B x B differences"
        return LOSSES[recipe["loss"]](outputs, y)

    def measures(self, outputs, y):
        error = outputs - y
        return {"loss": error.square().sum(), "mae_kw": error.abs().sum()}

    def metrics(self, outputs, y):
        assert outputs.isfinite().all(), "the training diverged: try a lower learning rate"
        return scores(y, outputs)

    def score(self, epoch):
        return -epoch["val_loss"]

    def keep(self, outputs):
        return {"test_predicted": outputs}


def scores(y, predicted):
    """Mean squared error, R2, MAE and RMSE of forecasts [N, 1], kW."""
    loss = float(mean_squared_error(y, predicted))
    r2, mae = float(r2_score(y, predicted)), float(mean_absolute_error(y, predicted))
    return {"loss": loss, "r2": r2, "mae_kw": mae, "rmse_kw": loss**0.5}


class Windows(Regression):
    """Windows of a Series by part, and the batches made of them.

    For training they end at any minute, and each epoch draws `windows_per_epoch` of them anew; all
    scores are of those that end `every` minutes by the clock. `tiny` draws numbers instead.
    """

    def __init__(self, series, history=24, recent=15, parts=PARTS, every=STEP):
        assert STEP * history + recent <= CONTEXT, "more than is known to be complete"
        self.series, self.values, self.history, self.recent = series, series.values, history, recent
        self.clock = series.index[0].hour * 60 + series.index[0].minute
        device = series.values.device
        ends = {part: series.ends(part)[1].to(device) for part in parts}
        self.drawn = ends["train"]
        self.ends = {part: t[(t + self.clock) % every == 0] for part, t in ends.items()}
        self.y = {part: series.target[t][:, None] for part, t in self.ends.items()}
        assert all(map(len, self.y.values())), "a part has no whole window: take more days of data"
        self.y_drawn = series.target[self.drawn][:, None]
        self.id = series.id | {"window": [history, recent], "every": every}
        self.id |= {"sizes": {part: len(y) for part, y in self.y.items()}, "drawn": len(self.drawn)}

    def steps(self, recipe):
        count = min(recipe["windows_per_epoch"], len(self.drawn))
        return max(1, count // recipe["batch_size"])

    def inputs(self, ends):
        return create_sequences(self.values, ends, self.history, self.recent)

    def batches(self, part, recipe, epoch=None):
        """x float32 [B, T, 14], y float32 [B, 1]; for training, given an epoch, shuffled."""
        if epoch is None:
            for ends, y in zip(self.ends[part].split(2048), self.y[part].split(2048)):
                yield self.inputs(ends), y
            return
        order = torch.randperm(len(self.drawn), device=self.drawn.device)
        for chosen in order.split(recipe["batch_size"])[: self.steps(recipe)]:
            yield self.inputs(self.drawn[chosen]), self.y_drawn[chosen]

    def tiny(self):
        generator, drawn, span = torch.Generator().manual_seed(0), copy(self), CONTEXT
        drawn.values = torch.randn(span + 50, 14, generator=generator)
        drawn.drawn, later = torch.arange(span, span + 10), torch.arange(span + 10, span + 18)
        drawn.ends = {"train": drawn.drawn, "val": later}
        drawn.y = {p: torch.rand(len(t), 1, generator=generator) for p, t in drawn.ends.items()}
        drawn.y_drawn = drawn.y["train"]
        return drawn
