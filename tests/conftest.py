"""What several test files need."""

import io
import zipfile
from pathlib import PurePosixPath

from PIL import Image

from a1.data.standin import draw_stand_in


def write_stand_in(path, per_class=12, seed=0):
    """Write a drawn stand-in set to `path`: a zip of JPEGs with dogs/, food/ and vehicles/ at its root."""
    drawn = draw_stand_in(per_class, seed)
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in zip(drawn.names, drawn.images):
            buffer = io.BytesIO()
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=95)
            archive.writestr(str(PurePosixPath(name).with_suffix(".jpg")), buffer.getvalue())
