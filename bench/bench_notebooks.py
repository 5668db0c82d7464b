"""Wall time of whole notebooks in the quick profile: `python -m bench.bench_notebooks`.

Each is executed as `make run` would, into out/, on whatever data it finds, and trains anew: earlier rehearsals' records are
deleted first. The seconds go to bench/notebooks.json, from which the README's table is drawn.
"""

import datetime
import json
import os
import platform
import shutil
from pathlib import Path

from a1.files import atomic_write
from tools import nb, readme
from tools.assemble import notebook_names


def main():
    shutil.rmtree(nb.ROOT / "out/runs", ignore_errors=True)
    measured = {}
    for name in notebook_names():
        _, _, data, seconds, _ = nb.run_copy(name, "quick")
        measured[name] = {"seconds": int(seconds), "data": data}
        print(f"{name}: {seconds} s ({data})")
    record = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "date": datetime.date.today().isoformat(),
        "quick": measured,
    }
    with atomic_write(Path(__file__).with_name("notebooks.json")) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
    readme.update()


if __name__ == "__main__":
    main()
