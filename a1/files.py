"""Files that are either whole or absent."""

import os
from contextlib import contextmanager
from pathlib import Path


def data_places():
    """Folders to look for data in: $A1_DATA (or where the file that it names lies), here, data/,
    Colab's disk and Drive."""
    named = Path(os.environ.get("A1_DATA", "").strip("\"' ") or "data").expanduser()
    named = named.parent if named.is_file() else named
    return [named, *map(Path, (".", "data", "/content", "/content/drive/MyDrive"))]


@contextmanager
def atomic_write(path):
    """Open a binary file that takes the name `path` only when the block has ended well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
