"""Run a notebook cell by cell in a fresh kernel, showing where it is."""

import os
import sys
import threading
import time

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError


class CellFailed(Exception):
    """A cell that ended in an error; the message names notebook, cell and error."""


class Progress:
    """One line, redrawn twice a second in a terminal; elsewhere a line for every 20 seconds in a cell."""

    def __init__(self, name, cells):
        self.name, self.cells, self.cell = name, cells, 0
        self.started = self.cell_started = time.monotonic()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.show, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)

    def at(self, cell):
        self.cell, self.cell_started = cell, time.monotonic()

    def line(self):
        now = time.monotonic()
        return f"{self.name}: cell {self.cell} of {self.cells}, {now - self.cell_started:.0f} s ({now - self.started:.0f} s in all)"

    def show(self):
        terminal = sys.stderr.isatty()
        while not self.stopped.wait(0.5 if terminal else 20):
            print(
                f"\r\033[K{self.line()}" if terminal else self.line(),
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )


def execute(notebook, name, folder, env, before_cell=None):
    """Run `notebook` (changed in place) in `folder`; seconds taken.

    `env` is added to the environment, None taking a variable out.
    `before_cell(cell)` may change a code cell just before it runs. Raises CellFailed at the first error,
    the outputs so far left in the notebook.
    """
    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=300,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # no word of unencrypted sockets, which stay on this machine
        resources={"metadata": {"path": str(folder)}},
    )
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", **env}
    environment = {name: value for name, value in environment.items() if value is not None}
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this interpreter's environment, no other
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    code_cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    number = 0
    with Progress(name, code_cells) as progress, client.setup_kernel(env=environment):
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            number += 1
            progress.at(number)
            if before_cell:
                before_cell(cell)
            try:
                client.execute_cell(cell, index, execution_count=number)
            except CellExecutionError as error:
                raise CellFailed(
                    f"{name}, code cell {number} of {code_cells} failed:\n{cell.source}\n\n{error.traceback}\n{error.ename}: {error.evalue}"
                ) from None
            except DeadKernelError:
                raise CellFailed(
                    f"{name}, code cell {number} of {code_cells}: the kernel died (out of memory?)"
                ) from None
        notebook.metadata["language_info"] = {"name": "python"}
    return time.monotonic() - progress.started
