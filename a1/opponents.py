"""What a recurrent forecaster has to beat, and how sure a difference is."""

import time

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score

from a1.power import DAY, STEP, WEEK


def naive_forecasts(data, part):
    """{name: kW [N, 1]}: the last five minutes, the last one, this time a day and a week ago."""
    power, means, t = data.series.power, data.series.means, data.ends[part].cpu().numpy()
    found = {"persistence": means[t - 1], "last_minute": power[t - 1]}
    found |= {"day_ago": means[t + STEP - 1 - DAY], "week_ago": means[t + STEP - 1 - WEEK]}
    return {name: forecast[:, None] for name, forecast in found.items()}


def tabulate(data, ends):
    """What windows hold, as a table float32 [N, 9 T + 5]: all steps of the nine scaled columns, of
    the last step also the calendar, from which that of the others follows, and 1."""
    batches = (data.inputs(chosen).cpu() for chosen in ends.split(8192))
    return torch.cat([torch.cat([x[:, :, :9].flatten(1), x[:, -1, 9:]], 1) for x in batches])


def fit_ridge(data, penalties):
    """Ridge regression on all training windows, its penalty chosen on validation."""
    started, n = time.process_time(), tabulate(data, data.drawn[:1]).shape[1]
    gram, moment = torch.zeros(n, n, dtype=torch.double), torch.zeros(n, 1, dtype=torch.double)
    for ends, y in zip(data.drawn.split(8192), data.y_drawn.split(8192)):
        x = tabulate(data, ends)
        gram, moment = gram + x.T @ x, moment + x.T @ y.cpu()
    kept = torch.ones(n, dtype=torch.double)
    kept[-1] = 0  # the constant is not punished
    weights = {p: torch.linalg.solve(gram + p * kept.diag(), moment).float() for p in penalties}
    tables = {part: tabulate(data, t) for part, t in data.ends.items() if part != "train"}
    val_r2 = {p: r2_score(data.y["val"].cpu(), tables["val"] @ w) for p, w in weights.items()}
    best = max(val_r2, key=val_r2.get)
    watts = (1000 * tables["test"] @ weights[best]).round().int().flatten().tolist()
    seconds, windows = time.process_time() - started, len(data.drawn)
    found = {"val_r2": val_r2[best], "penalty": best, "windows": windows, "seconds": seconds}
    return found | {"test_watts": watts}


def grow_trees(data, rate, leaves, trees, share, loss="squared_error"):
    """Boosted trees that forecast the change since the last minute, as many as validation wants,
    from every `share`-th training window. Their forecasts, in watts, if there is a test part."""
    started, power = time.process_time(), data.series.power
    ends, y = data.drawn[::share], data.y_drawn[::share, 0].cpu().numpy()
    options = {"max_iter": trees, "max_leaf_nodes": leaves, "min_samples_leaf": 40}
    options |= {"learning_rate": rate, "l2_regularization": 1.0, "early_stopping": False}
    model = HistGradientBoostingRegressor(loss=loss, random_state=0, **options)
    model.fit(tabulate(data, ends).numpy(), y - power[ends.cpu().numpy() - 1])
    said = {}
    for part in data.ends.keys() - {"train"}:
        now = power[data.ends[part].cpu().numpy() - 1]
        stages = model.staged_predict(tabulate(data, data.ends[part]).numpy())
        said[part] = np.array([now + change for change in stages], np.float32)
    r2 = [r2_score(data.y["val"][:, 0].cpu(), stage) for stage in said["val"]]
    best = int(np.argmax(r2))
    found = {"val_r2": r2[best], "trees": best + 1, "of": trees, "rate": rate, "leaves": leaves}
    found |= {"windows": len(y), "seconds": time.process_time() - started}
    if "test" in said:
        found["test_watts"] = (1000 * said["test"][best]).round().astype(int).tolist()
    return found


def block_interval(statistic, *series, block=WEEK // STEP, repeats=2000):
    """95% interval of a statistic of sums by a moving-block bootstrap: (low, high).

    series: [N] each, a value a window in the order of time; `statistic` makes arrays of the sums of
    each. Errors come in storms, so blocks of a week are drawn, the same for all series (Kuensch).
    """
    values = np.stack([np.asarray(one, np.float64) for one in series])
    n, block = values.shape[1], min(block, values.shape[1])
    running = np.concatenate([np.zeros((len(values), 1)), values.cumsum(1)], axis=1)
    blocks = running[:, block:] - running[:, :-block]  # sums over every block
    starts = np.random.default_rng(0).integers(0, blocks.shape[1], (repeats, -(-n // block)))
    low, high = np.nanquantile(statistic(*blocks[:, starts].sum(2)), [0.025, 0.975])
    return float(low), float(high)


def r2_interval(y, predicted):
    """95% interval of R2 of forecasts [N, 1]."""
    y, error = y[:, 0].astype(np.float64), (predicted - y)[:, 0]
    sums = error**2, np.ones(len(y)), y, y**2
    return block_interval(lambda e, n, y1, y2: 1 - e / (y2 - y1**2 / n), *sums)


def skill(y, predicted, reference):
    """Share of a reference's squared error that a forecast saves, and its 95% interval."""
    ours, theirs = (((forecast - y) ** 2)[:, 0] for forecast in (predicted, reference))
    interval = block_interval(lambda a, b: 1 - a / b, ours, theirs)
    return (1 - float(ours.sum() / theirs.sum()), *interval)
