"""Run a notebook cell by cell in a fresh kernel, showing where it is."""

import os
import sys
import threading
import time

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from tools.facts import is_facts, read_facts, wrap


class CellFailed(Exception):
    """A cell that ended in an error; the message names notebook, cell and error."""


class Progress:
    """One line, redrawn twice a second in a terminal; elsewhere a line for every 20 seconds in a
    cell.
    """

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
    """Run `notebook` (changed in place) in `folder`; seconds taken, and its facts.

    Cells tagged "facts" run at their place, leave no trace in the kernel, and are taken out of the
    notebook, whose execution counts are 1..n. `env` is added to the environment, None taking a
    variable out. `before_cell(cell, facts)` may change a code cell just before it runs. Raises
    CellFailed at the first error, the outputs so far left in the notebook.
    """
    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=300,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # no word of unencrypted sockets
        resources={"metadata": {"path": str(folder)}},
    )
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", **env}
    environment = {name: value for name, value in environment.items() if value is not None}
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this interpreter's environment
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    try:
        return run_cells(client, notebook, name, environment, before_cell)
    finally:
        notebook.cells = [cell for cell in notebook.cells if not is_facts(cell)]
        notebook.metadata["language_info"] = {"name": "python"}


def run_cells(client, notebook, name, environment, before_cell):
    """Run all code cells of `notebook` in a new kernel: seconds, facts."""
    shown = sum(cell.cell_type == "code" and not is_facts(cell) for cell in notebook.cells)
    number, facts = 0, {}
    with Progress(name, shown) as progress, client.setup_kernel(env=environment):
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            if is_facts(cell):
                where = f"{name}, the facts cell after code cell {number} of {shown}"
                source, cell.source = cell.source, wrap(cell.source)
                run_cell(client, cell, index, where, source, store_history=False)
                facts |= new_facts(cell, facts, where)
                continue
            number += 1
            progress.at(number)
            if before_cell:
                before_cell(cell, facts)
            where = f"{name}, code cell {number} of {shown}"
            run_cell(client, cell, index, where, cell.source, execution_count=number)
        return time.monotonic() - progress.started, facts


def run_cell(client, cell, index, where, source, **options):
    """Run one cell; CellFailed says `where` and which `source` where it does not come to its end."""
    try:
        client.execute_cell(cell, index, **options)
    except CellExecutionError as error:
        raise CellFailed(
            f"{where} failed:\n{source}\n\n{error.traceback}\n{error.ename}: {error.evalue}"
        ) from None
    except DeadKernelError:
        raise CellFailed(f"{where}: the kernel died (out of memory?)") from None


def new_facts(cell, known, where):
    """Facts of an executed facts cell; CellFailed where they are no facts, or known already."""
    try:
        found = read_facts(cell.outputs)
    except ValueError as error:
        raise CellFailed(f"{where}: {error}") from None
    if twice := sorted(set(found) & set(known)):
        raise CellFailed(f"{where} defines {', '.join(twice)} again")
    return found
