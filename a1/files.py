"""Files that are either whole or absent."""

import os
from contextlib import contextmanager
from pathlib import Path


def data_places():
    """Where data may lie: $A1_DATA (or beside the file that it names), here, data/, on Colab."""
    named = Path(os.path.expandvars(os.environ.get("A1_DATA", ".")).strip("\"' ")).expanduser()
    assert named.exists(), f"A1_DATA names {named}, which does not exist: correct or unset it"
    places = named.parent if named.is_file() else named, ".", "data", "/content"
    return [*map(Path, places), Path("/content/drive/MyDrive")]


@contextmanager
def atomic_write(path):
    """Open a binary file that takes the name `path` only when the block has ended well."""
    temporary = Path(f"{path}.tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
