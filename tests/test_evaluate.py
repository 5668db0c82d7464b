"""Intervals, tables, released weights, and the plots that notebooks share."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from tiny import QUICK, TinyData, make_tiny, same_tensors

import a1.records
from a1 import plots
from a1.evaluate import class_report, metrics_table, release
from a1.records import train_once

matplotlib.use("Agg")
plt = matplotlib.pyplot
pytestmark = [
    pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive"),
    pytest.mark.filterwarnings("ignore:Precision is ill-defined"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, no figure left open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(a1.records, "RETRAIN", False)
    yield
    plt.close("all")


def interval(acc, n):
    """The interval that a table gives for an accuracy."""
    metrics = {"test_acc": acc, "test_loss": 0.5, "test_macro_f1": acc}
    table = metrics_table({"sizes": {"test": n}, "metrics": metrics})
    return [float(bound) for bound in table.filter(like="95%").loc["test"]]


def test_the_interval_has_its_known_values():
    assert interval(0.5, 100) == [0.40383, 0.59617]
    assert interval(1.0, 50) == [0.92865, 1.0]


def test_the_interval_covers_about_95_percent():
    rng = np.random.default_rng(0)
    bounds = [interval(rng.binomial(200, 0.94) / 200, 200) for _ in range(500)]
    assert 0.92 < np.mean([low < 0.94 < high for low, high in bounds]) < 0.98


def test_the_table_has_every_part_and_measure():
    metrics = {f"{p}_{m}": k for k, p in enumerate("ab") for m in ("acc", "loss", "macro_f1")}
    table = metrics_table({"sizes": {"a": 5, "b": 7}, "metrics": metrics})
    assert list(table.index) == ["a", "b"] and len(table.columns) == 5
    assert [float(loss) for loss in table["loss"]] == [0, 1]


def test_the_class_report_counts_per_class():
    table = class_report([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0], ("a", "b", "c"))
    assert table.loc["a"].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3], abs=1e-4)
    assert table.loc["b"].tolist() == pytest.approx([2 / 3, 1, 0.8, 2], abs=1e-4)
    assert table.loc["c"].tolist() == [0, 0, 0, 1]
    assert table.loc["macro avg", "f1-score"] == pytest.approx((2 / 3 + 0.8 + 0) / 3, abs=1e-4)


# Released weights


@pytest.fixture
def released(here, monkeypatch):
    """A trained run, and its weights as they were released."""
    monkeypatch.setattr("a1.evaluate.FULL", True)
    record = train_once("tiny/seed0", make_tiny, QUICK | {"epochs": 9}, TinyData())
    return record, release(record, make_tiny, TinyData(), "tiny.pt")


def test_weights_are_released_in_float16_and_read_back(released):
    record, model = released
    state = torch.load(record["path"].with_suffix(".pt"), weights_only=True)
    written = torch.load("weights/tiny.pt", weights_only=True)
    floats = [name for name, value in state.items() if value.is_floating_point()]
    assert same_tensors({k: written[k] for k in floats}, {k: state[k].half() for k in floats})
    read = {name: value.cpu() for name, value in model.state_dict().items()}
    assert same_tensors({k: read[k] for k in floats}, {k: written[k].float() for k in floats})


def test_weights_are_read_where_the_run_is_not(released, capsys):
    record, model = released
    record["path"].with_suffix(".pt").unlink()
    again = release(record, make_tiny, TinyData(), "tiny.pt")
    assert same_tensors(again.state_dict(), model.state_dict())
    acc = record["metrics"]["test_acc"]
    assert f"{acc:.4f} reloaded, {acc:.4f} recorded" in capsys.readouterr().out


def test_missing_weights_are_said_to_be_missing(released, capsys):
    record, _ = released
    record["path"].with_suffix(".pt").unlink()
    assert release(record, make_tiny, TinyData(), "other.pt") is None
    assert "weights/other.pt is not on this machine" in capsys.readouterr().out


def test_weights_of_another_run_are_refused(released):
    record, model = released
    record["path"].with_suffix(".pt").unlink()
    state = model.state_dict()
    state["6.weight"], state["6.bias"] = state["6.weight"].roll(1, 0), state["6.bias"].roll(1, 0)
    torch.save(state, "weights/tiny.pt")
    with pytest.raises(AssertionError, match="not that run's weights"):
        release(record, make_tiny, TinyData(), "tiny.pt")


def test_a_rehearsal_never_writes_beside_the_released_weights(released, monkeypatch, tmp_path):
    monkeypatch.setattr("a1.evaluate.FULL", False)
    release(released[0], make_tiny, TinyData(), "quick.pt")
    assert [path.name for path in tmp_path.glob("**/quick.pt")] == ["quick.pt"]
    assert (tmp_path / "out/weights/quick.pt").exists()


# Plots


def history(sizes, epochs=6, best=4):
    """A record with just what its plot needs."""
    keys = ("train_acc", "val_acc", "train_loss", "val_loss")
    rows = [{"epoch": n, **{key: n / 10 for key in keys}} for n in range(1, epochs + 1)]
    return {"history": rows, "best_epoch": best, "recipe": {"image_sizes": sizes}}


def marks(ax):
    """Where vertical dotted lines stand, and where dots."""
    lines = [line for line in ax.lines if line.get_linestyle() == ":"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    return [line.get_xdata()[0] for line in lines], [list(dot.get_xdata()) for dot in dots]


@pytest.mark.parametrize(
    "sizes, first, grown",
    [([32] * 2 + [48], 1, [2.5, 3.5]), ([32] * 2 + [48], 3, [3.5]), ([], 1, [])],
)
def test_a_history_marks_where_the_resolution_grew_and_the_best_epoch(sizes, first, grown):
    plots.plot_history({"vgg16c": history(sizes)}, first)
    for ax in plt.gcf().axes:
        assert marks(ax) == (grown, [[4]])
        curves = [line for line in ax.lines if line.get_linestyle() in ("-", "--")]
        assert [list(line.get_xdata()) for line in curves[:2]] == [list(range(first, 7))] * 2


def test_a_history_has_each_models_colour():
    plots.plot_history({name: history([]) for name in ("vgg16c", "resnet18")})
    labels = {line.get_label(): line.get_color() for line in plt.gcf().axes[0].lines}
    assert labels["VGG-16C, val"] == labels["VGG-16C, train"] == plots.COLORS["vgg16c"]
    assert labels["ResNet-18, val"] == plots.COLORS["resnet18"]
    assert len(set(plots.COLORS.values())) == len(plots.COLORS)


def test_the_confusion_matrix_has_true_classes_in_rows():
    table = plots.plot_confusion([0, 0, 0, 1], [0, 1, 1, 1], ("a", "b"))
    assert table.loc["a"].tolist() == [1, 2] and table.loc["b"].tolist() == [0, 1]
    shown = [text.get_text() for text in plt.gca().texts]
    assert sorted(shown) == ["0", "1", "1", "2"], "every count once"


def test_mistakes_are_shown_surest_first_by_kind():
    images = torch.arange(5, dtype=torch.uint8).reshape(-1, 1, 1, 1).repeat(1, 3, 64, 64)
    probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9]])
    plots.plot_mistakes(images, np.array([0, 0, 0, 1, 1]), probs, ("a", "b"), rows=2)
    axes = np.array(plt.gcf().axes).reshape(2, 2).T
    titles = [[ax.get_title() for ax in column] for column in axes]
    assert titles == [["a,\nsaid b\n80%", "60%"], ["b,\nsaid a\n70%", ""]]
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in axes[0]] == [2, 1]


@pytest.mark.parametrize("n, rows", [(6, 2), (5, 2), (2, 1)])
def test_a_grid_shows_every_image(n, rows):
    plots.show_images(torch.zeros(n, 3, 8, 8, dtype=torch.uint8), "abcdef"[:n], columns=3)
    axes = plt.gcf().axes
    assert len(axes) == 3 * rows and sum(bool(ax.images) for ax in axes) == n


def events(record, path="chart.svg"):
    """{measure: {part: (epochs, values)}} as the chart of a run's events has them."""
    plots.plot_events(record, "red", Path(path))
    lines = [{line.get_label(): line.get_data() for line in ax.lines} for ax in plt.gcf().axes]
    return dict(zip(("acc", "loss"), lines))


def assert_shows(chart, record):
    """A chart has every epoch of a record, and no other."""
    for measure, lines in chart.items():
        assert lines.keys() == {"train", "val"}
        for part, (epochs, values) in lines.items():
            assert list(epochs) == [epoch["epoch"] for epoch in record["history"]]
            expected = [epoch[f"{part}_{measure}"] for epoch in record["history"]]
            assert list(values) == pytest.approx(expected)


@pytest.fixture
def formats(monkeypatch):
    """In which formats Jupyter is told to show figures."""
    told = []
    monkeypatch.setattr(plots, "set_matplotlib_formats", lambda *formats: told.append(formats))
    monkeypatch.setattr(plt, "show", lambda: told.append("shown"))
    return told


def test_events_are_read_as_they_were_written(formats):
    record = train_once("tiny/seed0", make_tiny, QUICK, TinyData())
    assert_shows(events(record), record)


def test_events_of_another_run_of_that_name_are_not_mixed_in(formats):
    train_once("tiny/seed0", make_tiny, QUICK, TinyData())
    record = train_once("tiny/seed0", make_tiny, QUICK | {"epochs": 2}, TinyData())
    assert_shows(events(record), record)


def test_a_chart_is_shown_as_svg_and_png_and_always_the_same_file(formats, tmp_path):
    record = train_once("tiny/seed0", make_tiny, QUICK, TinyData())
    with plt.rc_context(plots.STYLE):
        for name in ("one.svg", "other.svg"):
            events(record, tmp_path / "figures" / name)
    assert formats == [("svg", "png"), "shown", ("png",)] * 2
    one, other = (path.read_text() for path in (tmp_path / "figures").iterdir())
    assert one == other and "<svg" in one, "no date and no random ids"
