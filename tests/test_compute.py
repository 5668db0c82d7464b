"""What is computed once belongs to its function, its configuration and its data."""

from types import SimpleNamespace

import pytest

import a1.compute
import a1.records
from a1.compute import compute_once

CALLS = []


def power(data, exponent):
    """A result."""
    CALLS.append(exponent)
    return {"value": helper(data.base) ** exponent}


def helper(x):
    return x


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(a1.compute, "RUNS", tmp_path)
    CALLS.clear()
    return tmp_path


def data(base=2, files="a"):
    return SimpleNamespace(id={"files": files}, base=base)


def test_it_is_computed_once_and_read_then(folder, capsys):
    assert compute_once("sub/p", power, data(), exponent=3) == {"value": 8}
    assert compute_once("sub/p", power, data(), exponent=3) == {"value": 8}
    assert CALLS == [3] and (folder / "sub/p.json").exists()
    assert capsys.readouterr().out == "sub/p: no record, computing now\n"


@pytest.mark.parametrize("change", ["config", "data", "function", "used function", "RETRAIN"])
def test_a_change_is_computed_anew_and_the_old_record_kept(folder, change, monkeypatch, capsys):
    compute_once("p", power, data(), (helper,), exponent=3)
    old = (folder / "p.json").read_text()
    capsys.readouterr()

    def other(data, exponent):
        return {"value": -1}

    monkeypatch.setattr(a1.compute.inspect, "getsource", source_of)
    function, uses, exponent, these = power, (helper,), 3, data()
    if change == "config":
        exponent = 4
    elif change == "data":
        these = data(files="b")
    elif change == "function":
        function = other
    elif change == "used function":
        uses = (power,)
    else:
        monkeypatch.setattr(a1.compute, "RETRAIN", True)
    compute_once("p", function, these, uses, exponent=exponent)
    said = capsys.readouterr().out
    assert "p: no record, computing now" in said
    if change != "RETRAIN":
        assert "is not used: its" in said and (folder / "p.json").read_text() == old
        assert (folder / "p.2.json").exists()


def source_of(function):
    """As inspect gives it, of a nested function without its indentation."""
    return f"def {function.__name__}(): pass" if function.__name__ == "other" else READ(function)


READ = a1.compute.inspect.getsource


def test_comments_and_layout_do_not_count(monkeypatch):
    compute_once("p", power, data(), exponent=3)
    monkeypatch.setattr(
        a1.compute.inspect,
        "getsource",
        lambda f: READ(f).replace("CALLS.append(exponent)", "CALLS.append( exponent )  # noted"),
    )
    compute_once("p", power, data(), exponent=3)
    assert CALLS == [3]


def test_a_damaged_record_is_set_aside_and_computed_anew(folder, capsys):
    compute_once("p", power, data(), exponent=3)
    (folder / "p.json").write_text("{")
    assert compute_once("p", power, data(), exponent=3) == {"value": 8}
    assert "damaged" in capsys.readouterr().out and (folder / "p.json.damaged").exists()
