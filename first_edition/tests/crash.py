"""Tiny runs that are killed: `python crash.py FOLDER` kills one by SIGKILL at every point of its life, in turn.

Points are the last training step of each epoch, the middle of the first two writes to each file, the moment
before the file reaches the disk, and those before and after it takes its name. Each run is a process of its own, forked
from this one, which has torch loaded: importing it anew would take most of the time.

FOLDER/straight             the run that nobody killed
FOLDER/<n>-killed           what the process killed at point n left behind
FOLDER/<n>                  the same folder after the next process has asked for the run
FOLDER/again                a run whose first processes are all killed after one epoch each
FOLDER/together             a run that two processes ask for at once
FOLDER/handed_over          the same, where the first is killed while the second waits
FOLDER/report.json          the names of the points, and how every process ended (minus the signal, or its exit status)
"""

import io
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import torch  # noqa: E402
from tiny import TinyData, TinyLoader, make_tiny  # noqa: E402

from a1.runs import fit_or_load  # noqa: E402
from a1.train import Recipe, Training  # noqa: E402

RECIPE = Recipe(epochs=3, batch_size=8, lr=0.05, amp=False, schedule="plateau")


class Points:
    """Counts and names the points that a process passes, and kills it at the chosen one."""

    def __init__(self, kill_at, pause):
        self.kill_at, self.pause, self.names = kill_at, pause, []

    def reach(self, name):
        time.sleep(self.pause)
        if len(self.names) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)


def watch(points):
    """Put the points into everything that fit_or_load calls to train and to write."""

    class WatchedLoader(TinyLoader):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__(), start=1):
                yield batch
                if self.train and number == len(self):
                    points.reach("last step")

    class WatchedData(TinyData):
        def loader(self, part, recipe, train=False, epoch=0):
            return WatchedLoader(*self.parts[part], recipe.batch_size, train)

    class WatchedFile(io.BufferedWriter):
        writes = 0

        def write(self, content):
            self.writes += 1
            if self.writes > 2 or len(content) < 2:
                return super().write(content)
            half = len(content) // 2
            super().write(content[:half])
            self.flush()
            points.reach("half written")
            return half + super().write(content[half:])

    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle):
        points.reach("before fsync")
        fsync(handle)

    def watched_replace(source, target):
        points.reach("before naming " + Path(target).suffix)
        replace(source, target)
        points.reach("after naming " + Path(target).suffix)

    os.fsync, os.replace = watched_fsync, watched_replace
    os.fdopen = lambda handle, mode: WatchedFile(io.FileIO(handle, mode))
    return WatchedData()


def start(folder, kill_at=None, pause=0.0, said="said.txt"):
    """Ask for the run in a new process; its points and prints stand in `folder` afterwards. Returns its id."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        sys.stdout = open(folder / said, "a", buffering=1)
        points = Points(kill_at, pause)
        fit_or_load("tiny", make_tiny, RECIPE, watch(points), folder=folder)
        (folder / "points.json").write_text(json.dumps(points.names))
        status = 0
    finally:
        os._exit(status)


def end_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(root):
    torch.set_num_threads(1)
    Training(make_tiny(), TinyData(), RECIPE)  # torch loads much of itself with the first optimizer
    ended = {"straight": [end_of(start(root / "straight"))]}
    points = json.loads((root / "straight" / "points.json").read_text())

    for number in range(len(points)):
        folder = root / str(number)
        killed = end_of(start(folder, kill_at=number))
        shutil.copytree(folder, root / f"{number}-killed")
        ended[str(number)] = [killed, end_of(start(folder))]

    one_epoch = points.index("after naming .ckpt")
    ended["again"] = [end_of(start(root / "again", kill_at=one_epoch)) for _ in range(RECIPE.epochs)]
    ended["again"].append(end_of(start(root / "again")))

    first = start(root / "together", pause=0.02)
    second = start(root / "together", pause=0.02, said="said_too.txt")
    ended["together"] = [end_of(first), end_of(second)]

    first = start(root / "handed_over", kill_at=len(points) // 2, pause=0.02)
    while not list((root / "handed_over").glob("*.ckpt")):
        time.sleep(0.005)
    second = start(root / "handed_over", said="said_too.txt")
    ended["handed_over"] = [end_of(first), end_of(second)]

    (root / "report.json").write_text(json.dumps({"points": points, "ended": ended}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
