"""Test, measure and train on a machine that reaches nothing: code and data in a few files there,
results in a few files back.

    python tools/bundle.py pack FOLDER data/cnn_dataset.zip ... --wheels FOLDER --mib 48
    cat FOLDER/part.* | python3 -c "import sys, tarfile as t; \\
        t.open(fileobj=sys.stdin.buffer, mode='r|xz').extractall('work', filter='data')"
    cd work && python3 tools/bundle.py run OUT --seconds 540 --train resnet18:3 vgg16c:3
    python3 tools/bundle.py collect OUT --skip 4     # weights that did not fit into OUT at first

`run` installs the wheels of what is missing, and goes through the tests, bench/bench_gpu.py and
tools/train.py; what fails or takes too long does not stop what comes after it. OUT gets log.txt,
records.tar.gz and the first pieces of the weights of each network's first seed (cat weights.* |
tar x). `run --rehearse` is the same on a CPU, with drawn data.
"""

import argparse
import importlib.metadata
import io
import lzma
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("a1", "bench", "tools", "tests", "notebooks", "pyproject.toml", "requirements.txt")
MIB = 2**20
PIECE, PIECES = 15 * MIB, 4  # of the weights: size, and number in one folder
SUITE = [f"tests/test_{name}.py" for name in ("models", "train", "records", "photos", "evaluate")]


class Pieces(io.RawIOBase):
    """A file that is written as several: PREFIX.000, PREFIX.001, ... of at most `size` bytes."""

    def __init__(self, prefix, size):
        self.prefix, self.size, self.paths, self.left = Path(prefix), size, [], 0
        self.prefix.parent.mkdir(parents=True, exist_ok=True)

    def writable(self):
        return True

    def write(self, content):
        content = memoryview(content).cast("B")
        for start in range(0, len(content), MIB):
            self.write_some(content[start : start + MIB])
        return len(content)

    def write_some(self, content):
        while len(content):
            if not self.left:
                path = self.prefix.with_name(f"{self.prefix.name}.{len(self.paths):03}")
                self.paths, self.left = [*self.paths, path], self.size
                path.write_bytes(b"")
            with open(self.paths[-1], "ab") as file:
                file.write(content[: self.left])
            content, self.left = content[self.left :], max(0, self.left - len(content))


def pack(options):
    """Write code, wheels and data as parts; photos out of their zip, where they compress."""
    listed = subprocess.run(["git", "ls-files", *CODE], cwd=ROOT, capture_output=True, text=True)
    pieces = Pieces(options.folder / "part", int(options.mib * MIB))
    with lzma.open(pieces, "wb") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for name in listed.stdout.split():
            archive.add(ROOT / name, name)
        for wheel in sorted(options.wheels.glob("*.whl")) if options.wheels else ():
            archive.add(wheel, f"wheels/{wheel.name}")
        for path in options.files:
            if path.name.startswith("cnn_dataset") and path.suffix == ".zip":
                add_photos(path, archive)
            else:
                archive.add(path.resolve(), f"data/{path.name}")
    for path in pieces.paths:
        print(f"{path}: {path.stat().st_size / MIB:.1f} MiB")


def add_photos(path, archive):
    """Add a zip's photos as data/cnn_dataset/CLASS/N.jpg."""
    with zipfile.ZipFile(path) as photos:
        for name in sorted(name for name in photos.namelist() if not name.endswith("/")):
            entry, content = tarfile.TarInfo("/".join(name.split("/")[-2:])), photos.read(name)
            entry.name, entry.size = f"data/cnn_dataset/{entry.name}", len(content)
            archive.addfile(entry, io.BytesIO(content))


def missing_wheels():
    """The wheels at hand of what is not installed."""
    found = []
    for wheel in sorted(Path("wheels").glob("*.whl")):
        try:
            importlib.metadata.version(wheel.name.split("-")[0])
        except importlib.metadata.PackageNotFoundError:
            found.append(str(wheel))
    return found


def stages(options):
    """{stage: (command, seconds it may take)}; what remains of the time is the training's."""
    python, rehearse = sys.executable, ["--rehearse"] * options.rehearse
    gpu = "not gpu" if options.rehearse else "gpu"
    pytest = [python, "-m", "pytest", "-o", "addopts=", "-q", "-ra", "--durations=8", "-n"]
    train = [python, "tools/train.py", *options.train, "--jobs", str(options.jobs), *rehearse]
    return {
        "tests": ([*pytest, "4", "-m", gpu, "tests/test_device.py"], 120),
        "suite": ([*pytest, "8", *SUITE], 120),
        "bench": ([python, "-m", "bench.bench_gpu", *rehearse], 180),
        "train": (train, options.seconds),
    }


def run(options):
    """Go through the stages, then collect; the exit status is 1 where one failed."""
    started, failed = time.monotonic(), []
    options.folder.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"PYTHONUNBUFFERED": "1", "A1_DATA": "data"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, ["site", os.environ.get("PYTHONPATH")]))
    with open(options.folder / "log.txt", "ab", buffering=0) as log:

        def call(name, command, seconds):
            began = time.monotonic()
            log.write(f"\n== {name}: {' '.join(map(str, command))}\n".encode())
            try:
                done = subprocess.run(command, env=env, stdout=log, stderr=log, timeout=seconds)
                status = done.returncode
            except subprocess.TimeoutExpired:
                status = "too long"
            print(f"{name}: {status or 'done'} after {time.monotonic() - began:.0f} s", flush=True)
            failed.extend([name] * bool(status))

        if wheels := missing_wheels():
            install = "-m pip install -q --no-index --no-deps --no-compile --target site".split()
            call("wheels", [sys.executable, *install, *wheels], 60)
        for name, (command, limit) in stages(options).items():
            left = options.seconds - (time.monotonic() - started) - 10  # to collect
            if name in options.stages and left > 0:
                if name == "train":
                    command += ["--seconds", str(round(left - 15))]  # it stops its runs itself
                call(name, command, min(limit, left))
                collect(options)
    print((options.folder / "log.txt").read_text(errors="replace")[-8000:])
    return int(bool(failed))


def collect(options):
    """Put records, measurements and logs, and weights piece by piece, into the folder."""
    out = Path("out") if getattr(options, "rehearse", False) else Path(".")
    with tarfile.open(options.folder / "records.tar.gz", "w:gz") as archive:
        for path in [*sorted(out.glob("runs/**/*")), *sorted(Path("out/logs").glob("*"))]:
            if path.is_file() and path.suffix not in (".pt", ".ckpt", ".lock"):
                archive.add(path)
        for path in filter(Path.exists, (Path("bench/gpu.json"), Path("out/gpu.json"))):
            archive.add(path)
    for path in options.folder.glob("weights.*"):
        path.unlink()
    pieces = Pieces(options.folder / "weights", PIECE)
    with tarfile.open(fileobj=pieces, mode="w|") as archive:
        for path in sorted(out.glob("weights/*-seed0.pt"), key=lambda path: path.stat().st_size):
            archive.add(path)
    for number, path in enumerate(pieces.paths):
        if not options.skip <= number < options.skip + PIECES:
            path.unlink()
    for path in sorted(options.folder.iterdir()):
        print(f"  {path.name}: {path.stat().st_size / MIB:.2f} MiB")


def main():
    """Pack, run or collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for function in (pack, run, collect):
        command = commands.add_parser(function.__name__, help=function.__doc__.splitlines()[0])
        command.set_defaults(function=function)
        command.add_argument("folder", type=Path)
        if function is pack:
            command.add_argument("files", nargs="*", type=Path, help="data, as in data/")
            command.add_argument("--wheels", type=Path)
            command.add_argument("--mib", type=float, default=48, help="a part's size at most")
            continue
        command.add_argument("--skip", type=int, default=0, help="pieces of weights to leave out")
        command.add_argument("--rehearse", action="store_true")
        if function is run:
            command.add_argument("--train", nargs="*", default=[], help="for tools/train.py")
            command.add_argument("--stages", nargs="+", default=["tests", "bench", "train"])
            command.add_argument("--seconds", type=float, default=540, help="for all of it")
            command.add_argument("--jobs", type=int, default=4)
    options = parser.parse_args()
    return options.function(options)


if __name__ == "__main__":
    sys.exit(main())
