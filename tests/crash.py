"""Tiny runs that are killed: `python crash.py FOLDER` kills one by SIGKILL at every point from
its first checkpoint on, in turn.

Points are the last step of each epoch, the middle of a write to each file, and the moments before
and after it takes its name. Each run is a process of its own, forked from this one, which has
torch loaded. What becomes of them:

FOLDER/straight      the run that nobody killed
FOLDER/<n>           killed at point n, then asked for again
FOLDER/again         its first processes are all killed after one epoch each
FOLDER/together      two processes ask for it at once
FOLDER/report.json   names of the points; how every process ended (minus the signal, or status)
"""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import torch  # noqa: E402
from tiny import QUICK, TinyData, make_tiny  # noqa: E402

import a1.files  # noqa: E402
import a1.train  # noqa: E402
from a1.records import probe, train_once  # noqa: E402

a1.train.SAVE_EVERY = 0
RECIPE = QUICK | {"epochs": 2, "schedule": "plateau"}


class Points:
    """Counts and names the points that a process passes, and kills it at the chosen one."""

    def __init__(self, kill_at, pause):
        self.kill_at, self.pause, self.names = kill_at, pause, []

    def reach(self, name):
        """Pass a point, or die there."""
        time.sleep(self.pause)
        if len(self.names) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)


def watch(points):
    """Put the points into the writing of files and into the data, which are returned."""

    class WatchedData(TinyData):
        def batches(self, part, recipe, epoch=None):
            yield from super().batches(part, recipe, epoch)
            if epoch is not None:
                points.reach("last step")

    class WatchedFile(io.BufferedWriter):
        halved = False

        def write(self, content):
            if self.halved or len(content) < 2:
                return super().write(content)
            self.halved, half = True, len(content) // 2
            super().write(content[:half])
            self.flush()
            points.reach("half written")
            return half + super().write(content[half:])

    def watched_replace(source, target, replace=os.replace):
        points.reach(f"before naming {Path(target).suffix}")
        replace(source, target)
        points.reach(f"after naming {Path(target).suffix}")

    os.replace = watched_replace
    a1.files.open = lambda path, mode: WatchedFile(io.FileIO(path, mode))
    return WatchedData()


def start(folder, kill_at=None, pause=0.0, said="said.txt"):
    """Ask for the run in a new process, whose id is returned; points and prints lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(folder)
        sys.stdout = open(said, "a", buffering=1)
        points = Points(kill_at, pause)
        train_once("tiny/seed0", make_tiny, RECIPE, watch(points))
        Path("points.json").write_text(json.dumps(points.names))
        status = 0
    finally:
        os._exit(status)


def end_of(child):
    """How a process ended: its status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(root):
    """Run and kill."""
    torch.set_num_threads(1)
    probe(make_tiny, RECIPE, TinyData())  # torch loads much of itself with the first optimizer
    ended = {"straight": [end_of(start(root / "straight"))]}
    points = json.loads((root / "straight" / "points.json").read_text())
    one_epoch = points.index("after naming .ckpt")
    for number in range(one_epoch, len(points)):
        folder = root / str(number)
        ended[str(number)] = [end_of(start(folder, kill_at=number)), end_of(start(folder))]
    ended["again"] = [end_of(start(root / "again", kill_at=one_epoch)) for _ in range(2)]
    ended["again"].append(end_of(start(root / "again")))
    both = [start(root / "together", pause=0.02, said=f"said{k}.txt") for k in range(2)]
    ended["together"] = [end_of(child) for child in both]
    (root / "report.json").write_text(json.dumps({"points": points, "ended": ended}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
