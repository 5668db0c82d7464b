"""Test, measure and train on a machine that reaches nothing: code and data in a few files there,
results in a few files back.

    python tools/bundle.py wheels WHEELS --python 3.12 --present names-of-what-is-there.txt
    python tools/bundle.py pack FOLDER/code --wheels WHEELS
    python tools/bundle.py pack FOLDER/data data/cnn_dataset.zip ... --mib 42
    cat FOLDER/data/part.* | python3 -c "import sys, tarfile as t; \\
        t.open(fileobj=sys.stdin.buffer, mode='r|xz').extractall('work', filter='data')"   # code, too
    cd work && python3 tools/bundle.py run OUT --seconds 540 --train resnet18:3 vgg16c:3
    python3 tools/bundle.py collect OUT --skip 4     # weights that did not fit into OUT at first

`run` installs the wheels of what is missing and goes through the tests, bench/bench_gpu.py and
tools/train.py, beside which the other tests and the notebooks in quick may run (--stages). What
fails or takes too long does not stop what comes after it. OUT gets records.tar.gz, logs included,
and the first pieces of the weights of each network's first seed (cat weights.* | tar x). With
--rehearse it is the same on a CPU, with drawn data.
"""

import argparse
import importlib.metadata
import io
import lzma
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("a1", "bench", "tools", "tests", "notebooks", "pyproject.toml", "requirements.txt")
MIB = 2**20
NOTEBOOKS = (  # on stand-ins, so that nobody moves the photos that others read
    "{python} tools/data.py --stand-in --to out"
    " && A1_DATA=out/stand_in {python} tools/nb.py run --profile quick"
)
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


def wheels(options):
    """Download for another Python what is installed here and not present there."""
    present = set(re.split(r"[\s,]+", options.present.read_text().lower().replace("_", "-")))
    wanted = []
    for found in importlib.metadata.distributions():
        name = found.name.lower().replace("_", "-")
        if name not in present and not name.startswith(("cuda", "nvidia", "torch", "pip", "ruff")):
            wanted.append(f"{found.name}=={found.version}")
    flags = "-m pip download -q --no-deps --only-binary=:all: --implementation cp".split()
    flags += [f"--python-version={options.python}", f"--dest={options.folder}"]
    flags += [f"--platform=manylinux_2_{n}_x86_64" for n in (34, 31, 28, 27, 26, 24, 17, 5)]
    flags += [f"--platform=manylinux{year}_x86_64" for year in (2014, 2010, 1)]
    for names in ([*wanted], *([name] for name in wanted)):  # all at once, or what can be had
        done = subprocess.run([sys.executable, *flags, *names], capture_output=True)
        if done.returncode == 0 and names == wanted:
            break
        if done.returncode and names != wanted:
            print(f"{names[0]}: no wheel")


def pack(options):
    """Write data, or where none are named code and wheels, as parts. Photos leave their zip, so
    that they compress."""
    listed = subprocess.run(["git", "ls-files", *CODE], cwd=ROOT, capture_output=True, text=True)
    code = [] if options.files else listed.stdout.split()
    pieces = Pieces(options.folder / "part", int(options.mib * MIB))
    with lzma.open(pieces, "wb") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        for name in code:
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


def commands(options):
    """{stage: (command, seconds it may take)}; what remains of the time is the training's."""
    python, rehearse = sys.executable, ["--rehearse"] * options.rehearse
    gpu = "not gpu" if options.rehearse else "gpu"
    pytest = [python, "-m", "pytest", "-o", "addopts=", "-q", "-ra", "--durations=8", "-n", "4"]
    train = [python, "tools/train.py", *options.train, "--jobs", str(options.jobs), *rehearse]
    return {
        "tests": ([*pytest, "-m", gpu, "tests/test_device.py"], 150),
        "bench": ([python, "-m", "bench.bench_gpu", *rehearse], 180),
        "suite": ([*pytest, *SUITE], 300),
        "notebooks": (["sh", "-c", NOTEBOOKS.format(python=python)], 300),
        "train": (train, options.seconds),
    }


class Stage:
    """A command that runs, what it prints in out/logs/."""

    def __init__(self, name, command, env):
        self.name, self.began = name, time.monotonic()
        self.path = Path("out", "logs", f"{name}.txt")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, process_group=0
            )

    def ended(self, seconds):
        """Wait so long at most, then stop it with all that it started; whether it ended well."""
        try:
            status = self.process.wait(max(0, seconds)) or "done"
        except subprocess.TimeoutExpired:
            status = "too long"
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        print(f"{self.name}: {status} after {time.monotonic() - self.began:.0f} s", flush=True)
        return status == "done"


def run(options):
    """Go through the stages, then collect; the exit status is 1 where one failed."""
    deadline, good = time.monotonic() + options.seconds - 10, []  # to collect
    left = lambda: deadline - time.monotonic()  # noqa: E731
    options.folder.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"PYTHONUNBUFFERED": "1", "A1_DATA": "data"}
    env["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path("site").resolve()), os.environ.get("PYTHONPATH")])
    )
    missing = [] if Path("site").exists() else missing_wheels()  # from an earlier call
    if missing:
        install = "-m pip install -q --no-index --no-deps --no-compile --target site".split()
        good.append(Stage("wheels", [sys.executable, *install, *missing], env).ended(60))
    known = {name: known for name, known in commands(options).items() if name in options.stages}
    beside = [name for name in ("suite", "notebooks") if {name, "train"} <= known.keys()]
    for name, (command, limit) in known.items():
        if left() < 20 or name in beside:
            continue
        others = []
        if name == "train":  # which leaves most cores idle; it stops its runs itself
            command = [*command, "--seconds", str(round(left() - 15))]
            others = [Stage(other, known[other][0], env) for other in beside]
        limit = left() if options.rehearse else min(limit, left())  # a CPU may be slow
        good.append(Stage(name, command, env).ended(limit))
        good += [other.ended(left()) for other in others]
        collect(options)
    for path in sorted(Path("out", "logs").glob("*.txt")):
        print(f"== {path.name}", path.read_text(errors="replace")[-2500:], sep="\n")
    return int(not all(good))


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
    for function in (wheels, pack, run, collect):
        command = commands.add_parser(function.__name__, help=function.__doc__.splitlines()[0])
        command.set_defaults(function=function)
        command.add_argument("folder", type=Path)
        if function is wheels:
            command.add_argument("--python", default="3.12", help="its version there")
            command.add_argument("--present", type=Path, required=True, help="file of names")
            continue
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
