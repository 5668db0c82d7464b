"""Forecasting: what a forecaster minimises and is judged by, its baselines, and how sure a difference is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch.nn.functional as F
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from a1.data.power import CALENDAR, DAY, SCALED, STEP, WEEK, WindowLoader, split_rows
from a1.runs import compute_or_load, fit_or_load
from a1.train import Recipe

LOSSES = {
    "mse": lambda outputs, y, delta: F.mse_loss(outputs, y),
    "l1": lambda outputs, y, delta: F.l1_loss(outputs, y),
    "huber": lambda outputs, y, delta: F.huber_loss(outputs, y, delta=delta),
}


def same_shape(outputs, y):
    """Stop at the silent mistake of forecasting: [B, 1] against [B] broadcasts to B x B differences."""
    if outputs.shape != y.shape or len(y.shape) != 2:
        raise ValueError(
            f"outputs {tuple(outputs.shape)} and targets {tuple(y.shape)} must both be [B, horizons]"
        )


def scores(y, predicted):
    """R2, MAE and RMSE of forecasts [N, horizons], kW; over all horizons alike."""
    same_shape(predicted, y)
    return {
        "r2": float(r2_score(y, predicted)),
        "mae_kw": float(mean_absolute_error(y, predicted)),
        "rmse_kw": float(mean_squared_error(y, predicted) ** 0.5),
    }


class Regression:
    """What is minimised and measured where outputs and targets are [N, horizons], both in kW.

    Whatever loss is minimised, the loss that is followed is the mean squared error (kW^2), so that runs
    compare.
    """

    @staticmethod
    def loss(outputs, y, recipe):
        same_shape(outputs, y)
        return LOSSES[recipe.loss](outputs, y, recipe.huber_delta)

    @staticmethod
    def sums(outputs, y):
        """Over a batch, of the means over horizons."""
        same_shape(outputs, y)
        error = outputs - y
        return {"loss": error.square().mean(1).sum(), "mae_kw": error.abs().mean(1).sum()}

    @staticmethod
    def score(epoch):
        """How good an epoch of a history is: the lower its validation loss, the better."""
        return -epoch["val_loss"]

    @staticmethod
    def metrics(outputs, y):
        """Mean squared error, R2, MAE, RMSE and the forecasts (float32 [N, horizons])."""
        measured = scores(y.numpy(), outputs.numpy())
        return {"loss": measured["rmse_kw"] ** 2, **measured, "predicted": outputs}


@dataclass(frozen=True)
class ForecastRecipe(Recipe):
    """The decisions about training a forecaster."""

    objective: ClassVar = Regression
    batch_size: int = 256
    optimizer: str = "adamw"
    lr: float = 2e-3
    weight_decay: float = 1e-4
    # The recurrence multiplies gradients: one bad batch must not throw the weights away.
    clip_norm: float | None = 1.0
    amp: bool = False  # errors of 0.1 kW leave no room for bfloat16's three digits
    loss: str = "huber"  # a key of LOSSES
    huber_delta: float = 1.0  # kW: squared error below, absolute above
    windows_per_epoch: int | None = None  # drawn anew for every epoch; None for all
    train_every: int = 1  # minutes between the ends of training windows

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise ValueError(f"loss {self.loss!r}: choose {', '.join(LOSSES)}")


def tabulate(splits, part, every=None):
    """What windows hold, as a table for models without recurrence: X float32 [N, F], y [N, horizons].

    The same numbers that the network reads: all steps of the nine scaled columns, and the calendar of the last
    minute, from which that of the others follows. The windows are those that are scored, or where `every` is
    given, those that end every so many minutes.
    """
    ends = splits.ends[part]
    if every:
        ends = splits.any_minute[part]
        ends = ends[(ends + splits.clock) % every == 0]
    steps, scaled = splits.window.history + splits.window.recent, len(SCALED)
    X = np.empty((len(ends), steps * scaled + len(CALENDAR)), np.float32)
    y, done = np.empty((len(ends), len(splits.window.horizons)), np.float32), 0
    for x, targets in WindowLoader(splits.base, ends, splits.window, batch_size=4096):
        rows = slice(done, done + len(x))
        X[rows, : steps * scaled] = x[:, :, :scaled].flatten(1).cpu()
        X[rows, steps * scaled :] = x[:, -1, scaled:-1].cpu()
        y[rows], done = targets.cpu(), rows.stop
    return X, y


def naive_forecasts(splits, part):
    """{name: kW [N, horizons]}: the last five minutes, the last one, this time a day and a week ago."""
    base, ends = splits.base, splits.ends[part].cpu().numpy()
    ahead = STEP * (np.array(splits.window.horizons) - 1)
    means, (mean, std) = base.means.cpu().numpy(), base.level
    last_minute = base.values[:, 0].cpu().numpy()[ends - 1] * std + mean
    target_end = ends[:, None] + ahead + STEP - 1
    return {
        "persistence": np.repeat(means[ends - 1][:, None], len(ahead), 1),
        "last_minute": np.repeat(last_minute[:, None], len(ahead), 1).astype(np.float32),
        "day_ago": means[target_end - DAY],
        "week_ago": means[target_end - WEEK],
    }


def profile_forecasts(splits, part):
    """kW [N, horizons]: the training part's mean power by weekday and hour, at the time of each target."""

    def hours(name):
        y, times = splits.targets(name)
        starts = [times + pd.Timedelta(minutes=STEP * (horizon - 1)) for horizon in splits.window.horizons]
        return y, np.stack([24 * start.day_of_week + start.hour for start in starts], 1)

    y, known = hours("train")
    sums, counts = (np.bincount(known.ravel(), weights, 7 * 24) for weights in (y.ravel(), None))
    profile = np.where(counts > 0, sums / counts.clip(1), y.mean())
    return profile[hours(part)[1]].astype(np.float32)


def ridge_forecasts(splits, alphas=(1.0, 100.0, 10_000.0)):
    """Ridge regression on tabulated windows, its penalty chosen on validation: ({part: kW}, the choice)."""
    X, y = tabulate(splits, "train")
    X_val, y_val = tabulate(splits, "val")
    models = [Ridge(alpha).fit(X, y) for alpha in alphas]
    best = min(models, key=lambda model: mean_squared_error(y_val, model.predict(X_val)))
    forecasts = {
        part: best.predict(tabulate(splits, part)[0]).reshape(-1, y.shape[1])
        for part in splits.ends
        if part != "train"
    }
    return forecasts, {"alpha": best.alpha}


def boosting_forecasts(
    splits,
    loss="squared_error",
    max_iter=400,
    learning_rate=0.08,
    max_leaf_nodes=63,
    every=None,
    change=False,
):
    """Gradient-boosted trees on the tabulated windows, their number chosen on validation: as ridge_forecasts.

    One horizon only. `loss` is scikit-learn's; the number of trees is that of the least such loss. With `change`
    they forecast the change from the last minute, as the network does, instead of the power itself.
    """
    mean, std = splits.base.level
    last = (splits.window.history + splits.window.recent - 1) * len(SCALED)  # column of the last step's power

    def level(X):
        return X[:, last] * std + mean if change else np.zeros(len(X), np.float32)

    X, y = tabulate(splits, "train", every)
    if y.shape[1] != 1:
        raise ValueError(f"gradient boosting forecasts one horizon, not {splits.window.horizons}")
    model = HistGradientBoostingRegressor(
        loss=loss, max_iter=max_iter, learning_rate=learning_rate, max_leaf_nodes=max_leaf_nodes,
        min_samples_leaf=40, l2_regularization=1.0, early_stopping=False, random_state=0,
    )  # fmt: skip
    model.fit(X, y[:, 0] - level(X))
    X_val, y_val = tabulate(splits, "val")
    error = {"squared_error": mean_squared_error, "absolute_error": mean_absolute_error}[loss]
    wanted = y_val[:, 0] - level(X_val)
    errors = [error(wanted, predicted) for predicted in model.staged_predict(X_val)]
    trees = 1 + int(np.argmin(errors))

    def predict(X):
        *_, forecast = (predicted for _, predicted in zip(range(trees), model.staged_predict(X)))
        return (forecast + level(X)).astype(np.float32)[:, None]

    forecasts = {part: predict(tabulate(splits, part)[0]) for part in splits.ends if part != "train"}
    return forecasts, {"trees": trees, "of": max_iter, "windows": len(y)}


def fit_baseline(name, forecast, splits, **settings):
    """A baseline, fitted or loaded, as Computed.

    Its result has {val,test}_{r2,mae_kw,rmse_kw} and what was chosen, its arrays are forecasts by part, kW.
    `forecast(splits, **settings)` returns ({part: kW [N, horizons]}, what was chosen on validation).
    """

    def compute():
        forecasts, chosen = forecast(splits, **settings)
        measured = {
            f"{part}_{measure}": value
            for part, predicted in forecasts.items()
            for measure, value in scores(splits.targets(part)[0], predicted).items()
        }
        return measured | chosen, forecasts

    config = {"baseline": forecast.__name__, "settings": settings, "data": splits.fingerprint}
    return compute_or_load(name, config, compute)


def score_at_step(frame, step, lags=60, most=100_000, trees=200):
    """Validation R2 and MAE of three simple forecasts of the mean power of the next `step` minutes.

    From the target's own last `lags` such means: the last one (persistence), ridge regression, gradient
    boosting; the latter two fitted on at most `most` windows, evenly spread over the training part. Windows
    with a missing minute are left out.
    """
    power, clock = frame["Global_active_power"].to_numpy(), frame.index[0].hour * 60 + frame.index[0].minute
    power = power[-clock % step :]
    means = power[: len(power) // step * step].reshape(-1, step).mean(1)
    windows = {}
    for part, rows in split_rows(len(means)).items():
        views = np.lib.stride_tricks.sliding_window_view(means[rows.start : rows.stop], lags + 1)
        windows[part] = views[np.isfinite(views).all(1)]
    train, val = windows["train"][:: -(-len(windows["train"]) // most)], windows["val"]
    boosting = HistGradientBoostingRegressor(max_iter=trees, early_stopping=False, random_state=0)
    forecasts = {
        "persistence": val[:, -2],
        "ridge": Ridge(1.0).fit(train[:, :-1], train[:, -1]).predict(val[:, :-1]),
        "boosting": boosting.fit(train[:, :-1], train[:, -1]).predict(val[:, :-1]),
    }
    measured = {name: scores(val[:, -1:], predicted[:, None]) for name, predicted in forecasts.items()}
    return {f"{name}_{measure}": values[measure] for name, values in measured.items() for measure in values}


def run_search(name, tries):
    """Train every try of a search and return a DataFrame, one row a try, in their order.

    tries: {label: (make_model, recipe, splits)}, splits without a test part. Measures are those of the
    epoch with the lowest validation loss, kW; `seconds` is the whole training.
    """
    rows = []
    for label, (make_model, recipe, splits) in tries.items():
        run = fit_or_load(f"studies/{name}", make_model, recipe, splits, verbose=False)
        rows.append({
            "try": label, "run": run, "parameters": run.record["parameters"],
            "train_r2": run.metrics["train_r2"], "val_r2": run.metrics["val_r2"],
            "val_mae_kw": run.metrics["val_mae_kw"], "best_epoch": run.record["best_epoch"],
            "seconds": sum(epoch["seconds"] for epoch in run.history),
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("try")


def skill(y, predicted, reference, error=np.square):
    """Share of a reference forecast's error that is saved: 1 - MSE / MSE of the reference (np.abs: of MAE)."""
    return float(1 - error(y - predicted).sum(dtype=np.float64) / error(y - reference).sum(dtype=np.float64))


def block_interval(statistic, *series, block=DAY // STEP, repeats=2000, seed=0):
    """95% interval of a statistic of sums by a moving-block bootstrap: (low, high).

    series: [N] each, one value a window, in the order of time; `statistic` makes arrays [repeats] of the sums of each
    series, [repeats] as well. Errors of neighbouring windows are alike, so whole blocks of `block` windows (a day)
    are drawn, with replacement, the same for all series.
    Source: Kuensch, The Jackknife and the Bootstrap for General Stationary Observations, Ann. Stat. 1989.
    """
    values = np.stack([np.asarray(one, np.float64) for one in series])
    n, block = values.shape[1], min(block, values.shape[1])
    running = np.concatenate([np.zeros((len(values), 1)), values.cumsum(1)], axis=1)
    blocks = running[:, block:] - running[:, :-block]  # [series, N - block + 1]: sums over every block
    starts = np.random.default_rng(seed).integers(0, blocks.shape[1], (repeats, -(-n // block)))
    low, high = np.nanquantile(statistic(*blocks[:, starts].sum(2)), [0.025, 0.975])
    return float(low), float(high)


def skill_interval(y, predicted, reference, error=np.square, **settings):
    """95% interval of the skill: (low, high). y, predicted, reference: [N, horizons]; settings: block_interval's."""
    errors = (error(y - forecast).mean(1, dtype=np.float64) for forecast in (predicted, reference))
    return block_interval(lambda ours, theirs: 1 - ours / theirs, *errors, **settings)


def score_intervals(y, predicted):
    """95% intervals of R2 and of the mean absolute error (kW): two pairs. y, predicted: [N], in the order of time."""
    y, error = y.astype(np.float64), predicted.astype(np.float64) - y

    def r2(squared, n, total, squares):
        return 1 - squared / (squares - total**2 / n)

    ones = np.ones(len(y))
    return block_interval(r2, error**2, ones, y, y**2), block_interval(np.divide, np.abs(error), ones)


def autocorrelation(values, lags):
    """Autocorrelation of a series [N] at lags 0 to `lags`; pairs with a missing value are left out."""
    known = np.isfinite(values)
    centred = np.where(known, values - values[known].mean(), 0.0).astype(np.float64)
    size = 2 ** int(np.ceil(np.log2(len(values) + lags + 1)))  # zeros behind the series: no wrapping round

    def products(series):
        return np.fft.irfft(np.abs(np.fft.rfft(series, size)) ** 2)[: lags + 1]

    covariance = products(centred) / np.maximum(products(known.astype(np.float64)).round(), 1)
    return covariance / covariance[0]


def ratio_interval(part, whole):
    """Ratio of the sums of two series [N], and its 95% interval over days: [ratio, low, high]; NaN where none."""
    if not np.any(whole):
        return [np.nan] * 3
    with np.errstate(invalid="ignore"):  # a draw without any such window
        return [float(np.sum(part) / np.sum(whole)), *block_interval(np.divide, part, whole)]


def error_by(groups, y, predicted):
    """Errors by group: a DataFrame of windows, mean actual, bias (forecast less actual), MAE and RMSE, kW.

    groups: [N] labels; y, predicted: [N].
    """
    table = pd.DataFrame({"group": groups, "actual": y, "error": predicted - y})
    grouped = table.groupby("group", observed=True)
    return pd.DataFrame({
        "windows": grouped.size(),
        "mean actual": grouped["actual"].mean(),
        "bias": grouped["error"].mean(),
        "MAE": grouped["error"].agg(lambda error: error.abs().mean()),
        "RMSE": grouped["error"].agg(lambda error: (error**2).mean() ** 0.5),
    })  # fmt: skip
