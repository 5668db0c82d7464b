"""The image data: found, checked, decoded once, split and batched; and the drawn stand-in."""

import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import write_stand_in
from PIL import Image

from a1.data import images
from a1.data.images import (
    CLASSES,
    DataError,
    ImageLoader,
    ImageSet,
    ImageSplits,
    color_jitter,
    decode_image,
    find_cnn_dataset,
    load_cnn_dataset,
    random_flip,
    random_shift,
    split_indices,
)
from a1.data.standin import draw_stand_in
from a1.train import Recipe, Training

CACHE = "cnn_dataset_64px.cache.npz"


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path, monkeypatch):
    """An empty working folder, no A1_DATA, and Colab's /content inside the working folder."""

    def path(place):
        place = str(place)
        return Path("colab" + place if place.startswith("/content") else place)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("A1_DATA", raising=False)
    monkeypatch.setattr(images, "Path", path)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """The 36 files of a small data set: {"dogs/1.jpg": its bytes}."""
    path = tmp_path_factory.mktemp("photos") / "cnn_dataset.zip"
    write_stand_in(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path, files, inside="", compression=zipfile.ZIP_STORED):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(inside + name, data)
    return path


def write_folder(path, files):
    for name, data in files.items():
        file = Path(path) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return Path(path)


def encode(image, format):
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def assert_same(loaded, expected):
    assert torch.equal(loaded.images, expected.images) and torch.equal(loaded.labels, expected.labels)
    assert (loaded.names, loaded.fingerprint, loaded.notes) == (
        expected.names,
        expected.fingerprint,
        expected.notes,
    )


def forbid_decoding(monkeypatch):
    def decode_all(source):
        raise AssertionError("decoded although the cache is good")

    monkeypatch.setattr(images, "decode_all", decode_all)


@pytest.mark.parametrize("place", ["named", "data", "colab/content", "colab/content/drive/MyDrive"])
@pytest.mark.parametrize(
    "kind",
    ["zip", "zip, wrapped", "zip, second download", "folder", "folder, wrapped", "folder, wrapped twice"],
)
def test_data_set_is_found_and_loaded(place, kind, photos, monkeypatch):
    if place == "named":
        monkeypatch.setenv("A1_DATA", "named")
    if kind.startswith("zip"):
        name = "cnn_dataset (1).zip" if kind == "zip, second download" else "cnn_dataset.zip"
        expected = write_zip(
            Path(place, name), photos, inside="cnn_dataset/" if kind == "zip, wrapped" else ""
        )
    else:
        wrapping = {
            "folder": "",
            "folder, wrapped": "cnn_dataset",
            "folder, wrapped twice": "cnn_dataset/cnn_dataset",
        }
        expected = write_folder(Path(place, wrapping[kind]), photos)
    assert find_cnn_dataset() == expected
    loaded = load_cnn_dataset(find_cnn_dataset())
    assert loaded.images.shape == (36, 3, 64, 64) and loaded.images.dtype == torch.uint8
    assert loaded.names == [f"{name}/{number}.jpg" for name in CLASSES for number in range(1, 13)]
    assert loaded.labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert loaded.notes == []
    assert loaded.source == f"{expected.name}, 36 photos"


def test_named_folder_comes_first(photos, monkeypatch):
    monkeypatch.setenv("A1_DATA", "named")
    write_zip("data/cnn_dataset.zip", photos)
    expected = write_zip("named/cnn_dataset.zip", photos)
    assert find_cnn_dataset() == expected


def test_data_folder_is_searched_where_the_named_one_holds_no_photos(photos, monkeypatch):
    monkeypatch.setenv("A1_DATA", "named")
    write_folder("named", {"tweets.csv": b"text"})
    expected = write_zip("data/cnn_dataset.zip", photos)
    assert find_cnn_dataset() == expected


@pytest.mark.parametrize("named", ["nowhere", "data/cnn_dataset.zip"])
def test_named_place_must_be_a_folder(named, photos, monkeypatch):
    write_zip("data/cnn_dataset.zip", photos)
    monkeypatch.setenv("A1_DATA", named)
    with pytest.raises(
        DataError, match=f"A1_DATA is set to {named}, which is not a folder: correct it or unset it"
    ):
        find_cnn_dataset()


def test_no_data():
    assert find_cnn_dataset() is None
    write_folder("data", {"README.md": b"text", "other.zip": b"text"})
    assert find_cnn_dataset() is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_zip(share, photos):
    source = write_zip("cnn_dataset.zip", photos)
    data = source.read_bytes()
    source.write_bytes(data[: int(share * len(data))])
    message = r"cnn_dataset.zip cannot be read as a zip, it is damaged or incomplete \(.+\)\. Download cnn_dataset.zip"
    with pytest.raises(DataError, match=message):
        load_cnn_dataset(source)


def test_zip_with_a_damaged_directory(photos):
    source = write_zip("cnn_dataset.zip", photos)
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 99  # "needs zip version 9.9"
    source.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read as a zip, it is damaged or incomplete"):
        load_cnn_dataset(source)


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_empty_class(form, photos):
    files = {name: data for name, data in photos.items() if not name.startswith("food")}
    if form == "zip":
        source = write_zip("cnn_dataset.zip", {**files, "food/": b""})
    else:
        source = write_folder("cnn_dataset", files)
        (source / "food").mkdir()
    with pytest.raises(
        DataError, match=f"{source} has no images in food/; it needs dogs/, food/ and vehicles/"
    ):
        load_cnn_dataset(source)


@pytest.mark.parametrize("form", [write_zip, write_folder])
def test_missing_class(form, photos):
    source = form("cnn_dataset", {name: data for name, data in photos.items() if name.startswith("dogs")})
    with pytest.raises(
        DataError, match="has no images in food/, vehicles/; it needs dogs/, food/ and vehicles/"
    ):
        load_cnn_dataset(source)


@pytest.mark.parametrize("form", [write_zip, write_folder])
def test_text_file_among_images(form, photos):
    loaded = load_cnn_dataset(
        form("cnn_dataset", {**photos, "dogs/readme.txt": b"text", "notes.txt": b"text"})
    )
    assert len(loaded.names) == 36
    assert loaded.notes == ["1 x not an image file, passed over: dogs/readme.txt"]


@pytest.mark.parametrize("form", [write_zip, write_folder])
def test_few_damaged_images_are_left_out_and_named(form, photos):
    cut = photos["food/5.jpg"][: len(photos["food/5.jpg"]) // 2]
    damaged = {"dogs/3.jpg": b"", "dogs/4.jpg": b"text", "food/5.jpg": cut}
    loaded = load_cnn_dataset(form("cnn_dataset", photos | damaged))
    healthy = load_cnn_dataset(form("healthy", photos))
    kept = [i for i, name in enumerate(healthy.names) if name not in damaged]
    assert loaded.notes == ["3 x damaged, left out: dogs/3.jpg, dogs/4.jpg, food/5.jpg"]
    assert loaded.names == [healthy.names[i] for i in kept]
    assert torch.equal(loaded.images, healthy.images[kept]) and torch.equal(
        loaded.labels, healthy.labels[kept]
    )


def test_long_lists_of_repairs_are_cut_short(photos):
    loaded = load_cnn_dataset(
        write_zip("cnn_dataset.zip", {**photos, **{f"dogs/{n}.jpg": b"" for n in range(1, 5)}})
    )
    assert loaded.notes == ["4 x damaged, left out: dogs/1.jpg, dogs/2.jpg, dogs/3.jpg ..."]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_damaged_bytes_inside_a_zip(compression, place, photos):
    source = write_zip("cnn_dataset.zip", photos, compression=compression)
    with zipfile.ZipFile(source) as archive:
        info = archive.getinfo("food/7.jpg")
    at = info.header_offset + 30 + len(info.filename) + int(place * info.compress_size)
    data = bytearray(source.read_bytes())
    data[at : at + 20] = bytes(255 - byte for byte in data[at : at + 20])
    source.write_bytes(data)
    loaded = load_cnn_dataset(source)
    assert loaded.notes == ["1 x damaged, left out: food/7.jpg"]
    assert len(loaded.names) == 35


@pytest.mark.parametrize("per_class, allowed", [(12, 10), (400, 12)])
def test_many_damaged_images_are_an_error(per_class, allowed, photos):
    good = photos["dogs/1.jpg"]
    files = {f"{name}/{number}.jpg": good for name in CLASSES for number in range(1, per_class + 1)}
    damaged = {f"food/{number}.jpg": b"" for number in range(1, allowed + 1)}
    assert (
        len(load_cnn_dataset(write_zip("cnn_dataset.zip", files | damaged)).names) == 3 * per_class - allowed
    )
    message = (
        f"{allowed + 1} of {3 * per_class} images are damaged, dogs/2.jpg first. Download the data set again"
    )
    with pytest.raises(DataError, match=message):
        load_cnn_dataset(write_zip("cnn_dataset.zip", files | damaged | {"dogs/2.jpg": b""}))


def test_class_without_a_readable_image(photos):
    files = {name: data for name, data in photos.items() if name.startswith(("dogs", "food"))}
    with pytest.raises(DataError, match="a class has no readable image left"):
        load_cnn_dataset(
            write_zip("cnn_dataset.zip", {**files, "vehicles/1.jpg": b"", "vehicles/2.jpg": b""})
        )


@pytest.mark.parametrize(
    "mode, format, color, rgb",
    [
        ("L", "JPEG", 90, (90, 90, 90)),
        ("1", "PNG", 1, (255, 255, 255)),
        ("LA", "PNG", (90, 128), (90, 90, 90)),
        ("RGBA", "PNG", (200, 100, 50, 128), (200, 100, 50)),
        ("CMYK", "JPEG", (0, 255, 255, 0), (255, 0, 0)),
    ],
)
def test_other_color_modes_become_rgb(mode, format, color, rgb, photos):
    name = "food/1.jpg" if format == "JPEG" else "food/13.png"
    files = {**photos, name: encode(Image.new(mode, (64, 64), color), format)}
    loaded = load_cnn_dataset(write_zip("cnn_dataset.zip", files))
    assert loaded.notes == [f"1 x converted to RGB: {name}"]
    pixels = loaded.images[loaded.names.index(name)].float()
    assert (pixels - torch.tensor(rgb)[:, None, None]).abs().max() <= 2


def test_palette_image_becomes_rgb(photos):
    image = Image.new("RGB", (64, 64), (200, 100, 50)).convert("P", palette=Image.Palette.ADAPTIVE)
    pixels, repair = decode_image(encode(image, "PNG"))
    assert repair == "converted to RGB"
    assert (pixels == np.array([200, 100, 50]).reshape(3, 1, 1)).all()


@pytest.mark.parametrize("size", [(160, 128), (128, 160), (40, 32), (65, 64)])
def test_other_sizes_are_cropped_to_the_central_square(size, photos):
    image = Image.new("RGB", size, (255, 0, 0))
    side, (width, height) = min(size), size
    left, top = (width - side) // 2, (height - side) // 2
    image.paste((0, 0, 255), (left, top, left + side, top + side))
    loaded = load_cnn_dataset(write_zip("cnn_dataset.zip", {**photos, "dogs/13.png": encode(image, "PNG")}))
    assert loaded.notes == ["1 x cropped and resized to 64x64: dogs/13.png"]
    pixels = loaded.images[loaded.names.index("dogs/13.png")].float()
    difference = (pixels - torch.tensor([0, 0, 255])[:, None, None]).abs()
    assert (
        difference[:, 8:-8, 8:-8].max() == 0 and difference.max() < 100
    )  # the filter reaches over the crop's border


def test_both_repairs_of_one_image_are_stated():
    pixels, repair = decode_image(encode(Image.new("L", (100, 80), 90), "PNG"))
    assert repair == "converted to RGB and cropped and resized to 64x64"
    assert pixels.shape == (3, 64, 64) and (pixels == 90).all()


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_unwritable_cache_folder(form, photos, monkeypatch):
    source = (
        write_zip("read_only/cnn_dataset.zip", photos) if form == "zip" else write_folder("read_only", photos)
    )
    folder = Path("read_only")
    before = sorted(os.listdir(folder))
    folder.chmod(0o555)
    loaded = load_cnn_dataset(source)
    note = (
        "read_only is read-only or full: the decoded data is not cached and will be decoded again next time"
    )
    assert loaded.notes == [note] and len(loaded.names) == 36
    Path("data").mkdir()
    cached_in_data = load_cnn_dataset(source)
    assert cached_in_data.notes == []
    assert os.listdir("data") == [CACHE] and sorted(os.listdir(folder)) == before
    forbid_decoding(monkeypatch)
    assert_same(load_cnn_dataset(source), cached_in_data)
    folder.chmod(0o755)


def test_full_disk(photos, monkeypatch):
    def savez(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    loaded = load_cnn_dataset(write_zip("here/cnn_dataset.zip", photos))
    assert (
        len(loaded.names) == 36
        and "here is read-only or full: the decoded data is not cached" in loaded.notes[0]
    )
    assert os.listdir("here") == ["cnn_dataset.zip"]


@pytest.mark.parametrize(
    "path", ["../dogs/1.jpg", "dogs/../../1.jpg", "/dogs/1.jpg", "..\\dogs\\1.jpg", "../other"]
)
def test_zip_with_paths_that_climb_out(path, photos):
    source = write_zip("inside/cnn_dataset.zip", {**photos, path: b"text"})
    with pytest.raises(DataError, match="which climbs out of its folder: do not use this file") as error:
        load_cnn_dataset(source)
    assert f"cnn_dataset.zip holds the path {path}," in str(error.value)
    assert os.listdir("inside") == ["cnn_dataset.zip"] and os.listdir(".") == ["inside"]


def test_class_folders_at_two_places(photos):
    source = write_zip(
        "cnn_dataset.zip", {**photos, **{f"copy/{name}": data for name, data in photos.items()}}
    )
    message = r"holds the class folders more than once \(in copy, the root\): keep one of them"
    with pytest.raises(DataError, match=message):
        load_cnn_dataset(source)


def test_what_macos_and_windows_add_to_a_zip(photos):
    plain = load_cnn_dataset(write_zip("plain.zip", photos))
    Path(CACHE).unlink()
    extra = {"__MACOSX/dogs/._1.jpg": b"text", "__MACOSX/cnn_dataset/food/._2.jpg": b"text"}
    assert_same(load_cnn_dataset(write_zip("macos.zip", photos | extra)), plain)
    backslashes = {f"cnn_dataset\\{name}".replace("/", "\\"): data for name, data in photos.items()}
    assert_same(load_cnn_dataset(write_zip("windows.zip", backslashes)), plain)


def test_same_photos_give_the_same_set_however_they_are_packed(photos):
    expected = load_cnn_dataset(write_zip("a/cnn_dataset.zip", photos))
    backwards = dict(reversed(photos.items()))
    for source in (
        write_folder("b", photos),
        write_zip("c/cnn_dataset.zip", photos, inside="cnn_dataset/"),
        write_zip("d/cnn_dataset.zip", backwards, compression=zipfile.ZIP_DEFLATED),
    ):
        assert_same(load_cnn_dataset(source), expected)


def test_names_that_differ_in_leading_zeros_keep_one_order(photos):
    extra = {f"dogs/{name}.jpg": photos["dogs/1.jpg"] for name in ("01", "001", "x²1")}
    backwards = dict(reversed({**photos, **extra}.items()))
    there = load_cnn_dataset(write_zip("a/cnn_dataset.zip", {**photos, **extra}))
    assert_same(load_cnn_dataset(write_zip("b/cnn_dataset.zip", backwards)), there)


@pytest.mark.parametrize("change", ["name", "class", "pixel"])
def test_fingerprint_changes_with_names_and_contents(change, photos):
    before = load_cnn_dataset(write_zip("a/cnn_dataset.zip", photos))
    changed = dict(photos)
    if change == "pixel":
        changed["food/1.jpg"] = encode(Image.new("RGB", (64, 64)), "JPEG")
    else:
        changed["dogs/99.jpg" if change == "name" else "food/99.jpg"] = changed.pop("dogs/12.jpg")
    assert load_cnn_dataset(write_zip("b/cnn_dataset.zip", changed)).fingerprint != before.fingerprint


@pytest.mark.parametrize("form", [write_zip, write_folder])
def test_second_load_does_not_decode(form, photos, monkeypatch):
    source = form("here/cnn_dataset", {**photos, "dogs/1.jpg": b"", "dogs/readme.txt": b"text"})
    first = load_cnn_dataset(source)
    assert (source / CACHE if source.is_dir() else source.parent / CACHE).is_file()
    forbid_decoding(monkeypatch)
    second = load_cnn_dataset(source)
    assert len(first.notes) == 2
    assert_same(second, first)
    assert (
        second.source == first.source
        and second.images.dtype == torch.uint8
        and second.labels.dtype == torch.int64
    )


def test_cache_is_rebuilt_when_the_zip_changes(photos):
    first = load_cnn_dataset(write_zip("cnn_dataset.zip", photos))
    swapped = {**photos, "dogs/1.jpg": photos["dogs/2.jpg"], "dogs/2.jpg": photos["dogs/1.jpg"]}
    second = load_cnn_dataset(write_zip("cnn_dataset.zip", swapped))
    assert second.fingerprint != first.fingerprint
    assert torch.equal(second.images[:2], first.images[:2].flip(0))
    assert_same(load_cnn_dataset(Path("cnn_dataset.zip")), second)


@pytest.mark.parametrize("change", ["added", "removed", "edited", "moved"])
def test_cache_is_rebuilt_when_the_folder_changes(change, photos):
    source = write_folder("cnn_dataset", photos)
    first = load_cnn_dataset(source)
    if change == "added":
        write_folder(source, {"dogs/13.jpg": photos["food/1.jpg"]})
    elif change == "removed":
        (source / "dogs/3.jpg").unlink()
    elif change == "edited":
        write_folder(source, {"dogs/3.jpg": photos["food/1.jpg"]})
    else:
        (source / "food/1.jpg").rename(source / "dogs/z.jpg")
    second = load_cnn_dataset(source)
    assert second.fingerprint != first.fingerprint
    assert_same(second, images.decode_all(source))


def test_image_moved_to_the_next_class_is_noticed():
    photo = encode(Image.new("RGB", (64, 64)), "PNG")
    names = ("dogs/a.png", "dogs/b.png", "food/c.png", "vehicles/d.png")
    source = write_folder("cnn_dataset", dict.fromkeys(names, photo))
    assert load_cnn_dataset(source).labels.tolist() == [0, 0, 1, 2]
    (source / "dogs/b.png").rename(source / "food/b.png")
    assert load_cnn_dataset(source).labels.tolist() == [0, 1, 1, 2]


def flip(data, at, bits=255):
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "text": lambda data: b"text" * 1000,
    "cut in the middle": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "byte of the header": lambda data: flip(data, 0),
    "byte of an image": lambda data: flip(data, len(data) // 2),
    "byte of the directory": lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x03"),
    "marked as encrypted": lambda data: flip(data, data.index(b"PK\x01\x02") + 8, bits=1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cache_is_rebuilt(damage, photos, monkeypatch):
    source = write_zip("cnn_dataset.zip", photos)
    first = load_cnn_dataset(source)
    good = Path(CACHE).read_bytes()
    Path(CACHE).write_bytes(DAMAGES[damage](good))
    assert Path(CACHE).read_bytes() != good
    assert_same(load_cnn_dataset(source), first)
    forbid_decoding(monkeypatch)
    assert_same(load_cnn_dataset(source), first)


@pytest.mark.parametrize(
    "content", [{}, {"meta": "{}"}, {"meta": "[1]"}, {"meta": "{"}, {"meta": np.array([{}])}]
)
def test_cache_of_another_version_is_rebuilt(content, photos):
    source = write_zip("cnn_dataset.zip", photos)
    for signature in ("of another version", images.source_signature(source)):
        np.savez(CACHE, signature=signature, **content)
        assert len(load_cnn_dataset(source).names) == 36


@pytest.mark.parametrize("earlier", [False, True])
def test_interrupted_cache_write_leaves_nothing(earlier, photos, monkeypatch):
    source = write_zip("here/cnn_dataset.zip", photos)
    if earlier:
        load_cnn_dataset(source)
        os.utime(source, (1, 1))
    before = {file.name: file.read_bytes() for file in source.parent.iterdir()}

    def savez(file, **arrays):
        file.write(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", savez)
        with pytest.raises(KeyboardInterrupt):
            load_cnn_dataset(source)
    assert {file.name: file.read_bytes() for file in source.parent.iterdir()} == before
    assert len(load_cnn_dataset(source).names) == 36


def random_set(*counts, seed=0):
    """ImageSet of random pixels, counts[k] images of class k."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (sum(counts), 3, 64, 64), generator=generator, dtype=torch.uint8)
    labels = torch.repeat_interleave(torch.tensor(counts))
    return ImageSet(
        pixels, labels, [str(n) for n in range(sum(counts))], f"files {counts} {seed}", "random pixels", []
    )


@pytest.mark.parametrize("counts", [(20, 20, 20), (33, 20, 47), (100, 60, 21)])
@pytest.mark.parametrize("seed", [0, 1])
def test_split_is_stratified_disjoint_and_complete(counts, seed):
    data = random_set(*counts)
    split = split_indices(data.images, data.labels, seed)
    assert sorted(torch.cat(list(split.values())).tolist()) == list(range(sum(counts)))
    for part, share in {"train": 0.70, "val": 0.15, "test": 0.15}.items():
        found = torch.bincount(data.labels[split[part]], minlength=3)
        assert ((found - share * torch.tensor(counts)).abs() <= 1).all()


def test_split_is_fixed_by_its_seed():
    data = random_set(30, 30, 30)
    first, again, other = (split_indices(data.images, data.labels, seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[part], again[part]) for part in first)
    assert not torch.equal(first["test"], other["test"])


def test_identical_photos_stay_on_one_side():
    data = random_set(40, 40, 40)
    twins = [(n, n + 1) for n in range(0, 120, 4)] + [(2, 7), (42, 47)]
    for one, other in twins:
        data.images[other] = data.images[one]
    side = {}
    for part, index in split_indices(data.images, data.labels).items():
        side.update(dict.fromkeys(index.tolist(), part))
    assert len(side) == 120 and set(side.values()) == {"train", "val", "test"}
    assert all(side[one] == side[other] for one, other in twins)


def test_record_states_the_split():
    data = random_set(20, 20, 20)
    first, again, other = (
        ImageSplits(data, split_indices(data.images, data.labels, seed)) for seed in (0, 0, 1)
    )
    assert first.about == again.about and first.fingerprint == again.fingerprint
    assert first.about["split"] != other.about["split"] and first.fingerprint != other.fingerprint
    assert first.about["sizes"] == {"train": 42, "val": 9, "test": 9}
    assert (first.about["source"], first.about["files"]) == (data.source, data.fingerprint)
    other_files = ImageSplits(random_set(20, 20, 20, seed=1), first.indices)
    assert other_files.about["split"] == first.about["split"] and other_files.fingerprint != first.fingerprint


@pytest.fixture(scope="module")
def splits():
    data = random_set(20, 20, 20)
    return ImageSplits(data, split_indices(data.images, data.labels))


EVERYTHING = Recipe(epochs=3, batch_size=16, augment=("flip", "shift", "color"), image_sizes=(16, 32))
PLAIN = Recipe(epochs=3, batch_size=16)


def gather(loader):
    x, y = (torch.cat(column) for column in zip(*loader))
    return x, y


@pytest.mark.parametrize("recipe", [PLAIN, EVERYTHING])
def test_batches_have_the_promised_form(recipe, splits):
    loader = splits.loader("train", recipe, train=True, epoch=2)
    batches = list(loader)
    assert len(batches) == len(loader) == 2
    for x, y in batches:
        assert x.shape == (16, 3, 64, 64) and x.dtype == torch.float32
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert y.shape == (16,) and y.dtype == torch.int64


def test_pixels_are_standardised_with_the_training_part_alone():
    data = random_set(20, 20, 20)
    indices = split_indices(data.images, data.labels)
    before = ImageSplits(data, indices)
    for part in ("val", "test"):
        data.images[indices[part]] //= 4
    after = ImageSplits(data, indices)
    assert torch.equal(before.mean, after.mean) and torch.equal(before.std, after.std)
    train = after.images["train"].double()
    assert torch.allclose(after.mean.double(), train.mean((0, 2, 3))[:, None, None])
    assert torch.allclose(after.std.double(), train.std((0, 2, 3), correction=0)[:, None, None])
    x, _ = gather(after.loader("train", PLAIN))
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    x, _ = gather(after.loader("test", PLAIN))
    assert torch.allclose(x * after.std + after.mean, after.images["test"].float(), atol=1e-3)
    assert (x.mean((0, 2, 3)) < -1).all()


@pytest.mark.parametrize("part", ["val", "test"])
def test_evaluation_batches_are_neither_augmented_nor_shuffled(part, splits):
    loader = splits.loader(part, EVERYTHING)
    (x, y), (x_again, y_again) = gather(loader), gather(loader)
    assert torch.equal(x, x_again) and torch.equal(y, y_again)
    assert torch.equal(x, (splits.images[part].float() - splits.mean) / splits.std)
    assert torch.equal(y, splits.labels[part])


def test_batches_leave_the_stored_images_alone(splits):
    before = splits.images["train"].clone()
    gather(splits.loader("train", EVERYTHING, train=True, epoch=2))
    assert torch.equal(splits.images["train"], before)


def test_training_batches_are_reproducible(splits):
    loader = splits.loader("train", EVERYTHING, train=True, epoch=2)
    torch.manual_seed(1)
    x, y = gather(loader)
    x_next, _ = gather(loader)
    torch.manual_seed(1)
    x_again, y_again = gather(loader)
    assert torch.equal(x, x_again) and torch.equal(y, y_again)
    assert not torch.equal(x, x_next)


def test_every_epoch_is_a_new_order_of_the_training_part(splits):
    loader = ImageLoader(
        torch.arange(40.0).reshape(40, 1, 1, 1), torch.arange(40), 8, 0.0, 1.0, train=True, size=1
    )
    first, second = gather(loader), gather(loader)
    for x, y in (first, second):
        assert sorted(y.tolist()) == list(range(40)) and torch.equal(x.flatten(), y.float())
    assert not torch.equal(first[1], second[1]) and not torch.equal(first[1], torch.arange(40))


@pytest.mark.parametrize(
    "batch_size, sizes", [(16, [16, 16]), (21, [21, 21]), (41, [41]), (42, [42]), (64, [42])]
)
def test_incomplete_last_training_batch_is_dropped_unless_it_is_the_only_one(batch_size, sizes, splits):
    recipe = Recipe(epochs=1, batch_size=batch_size)
    loader = splits.loader("train", recipe, train=True)
    assert [len(y) for _, y in loader] == sizes and len(loader) == len(sizes)
    evaluation = splits.loader("train", recipe)
    assert sum(len(y) for _, y in evaluation) == 42 and len(list(evaluation)) == len(evaluation)


def test_first_epochs_are_smaller(splits):
    sides = [
        next(iter(splits.loader("train", EVERYTHING, train=True, epoch=epoch)))[0].shape[2:]
        for epoch in range(4)
    ]
    assert sides == [(16, 16), (32, 32), (64, 64), (64, 64)]
    assert next(iter(splits.loader("val", EVERYTHING, epoch=0)))[0].shape[2:] == (64, 64)


def test_smaller_images_are_averages_of_blocks(splits):
    loader = ImageLoader(splits.images["val"], splits.labels["val"], 9, splits.mean, splits.std, size=16)
    whole = (splits.images["val"].float() - splits.mean) / splits.std
    assert torch.allclose(gather(loader)[0], whole.reshape(9, 3, 16, 4, 16, 4).mean((3, 5)), atol=1e-5)


def test_random_flip_mirrors_about_half_of_the_images(splits):
    x = splits.images["train"]
    torch.manual_seed(0)
    flipped = random_flip(x.clone())
    assert flipped.dtype == torch.uint8 and flipped.shape == x.shape
    same = [torch.equal(a, b) for a, b in zip(flipped, x)]
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, x)]
    assert all(a != b for a, b in zip(same, mirrored)) and 10 <= sum(mirrored) <= 32


def test_random_shift_cuts_each_image_from_its_reflected_surroundings(splits):
    x = splits.images["train"]
    torch.manual_seed(0)
    shifted = random_shift(x.clone(), pixels=3)
    assert shifted.dtype == torch.uint8 and shifted.shape == x.shape
    padded = F.pad(x, (3, 3, 3, 3), mode="reflect")
    offsets = []
    for image, surroundings in zip(shifted, padded):
        windows = {
            (dy, dx): surroundings[:, dy : dy + 64, dx : dx + 64] for dy in range(7) for dx in range(7)
        }
        found = [offset for offset, window in windows.items() if torch.equal(image, window)]
        assert len(found) == 1
        offsets += found
    assert {dy for dy, _ in offsets} == {dx for _, dx in offsets} == set(range(7))
    assert Counter(offsets).most_common(1)[0][1] < 10


def test_color_jitter_stays_in_range_and_treats_every_image_on_its_own(splits):
    x = splits.images["train"][:1].repeat(20, 1, 1, 1)
    torch.manual_seed(0)
    jittered = color_jitter(x.clone(), strength=0.5)
    assert jittered.shape == x.shape and jittered.min() >= 0 and jittered.max() <= 255
    assert len({image.sum().item() for image in jittered}) == 20
    assert torch.allclose(color_jitter(x.clone(), strength=0.0), x.float(), atol=1e-3)


def test_color_jitter_keeps_gray_images_gray():
    x = torch.randint(60, 180, (8, 1, 64, 64)).repeat(1, 3, 1, 1)
    jittered = color_jitter(x)
    assert torch.allclose(jittered[:, 0], jittered[:, 1], atol=1e-3)
    assert torch.allclose(jittered[:, 1], jittered[:, 2], atol=1e-3)


def test_stand_in_is_a_deterministic_image_set():
    drawn, again, other = draw_stand_in(5), draw_stand_in(5), draw_stand_in(5, seed=1)
    assert drawn.images.shape == (15, 3, 64, 64) and drawn.images.dtype == torch.uint8
    assert drawn.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 and drawn.labels.dtype == torch.int64
    assert drawn.names[0] == "dogs/1.png" and drawn.names[-1] == "vehicles/5.png"
    assert drawn.source == "drawn stand-in set, 15 images"
    assert_same(again, drawn)
    assert other.fingerprint != drawn.fingerprint
    assert len({image.numpy().tobytes() for image in drawn.images}) == 15


def test_stand_in_is_learnt_from_shapes_not_from_mean_colors():
    drawn = draw_stand_in(200)
    data = ImageSplits(drawn, split_indices(drawn.images, drawn.labels))
    torch.manual_seed(0)
    layers = []
    for inputs, outputs, stride in ((3, 16, 2), (16, 32, 1), (32, 64, 1)):
        convolution = torch.nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        layers += [convolution, torch.nn.BatchNorm2d(outputs), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    model = torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 3)
    )
    recipe = Recipe(epochs=8, batch_size=20, optimizer="adamw", lr=5e-3, augment=("flip",), amp=False)
    training = Training(model, data, recipe)
    while not training.finished:
        training.epoch()
    assert training.history[-1]["val_acc"] > 0.75

    centres = torch.stack(
        [data.images["train"][data.labels["train"] == k].float().mean((0, 2, 3)) for k in range(3)]
    )
    nearest = torch.cdist(data.images["val"].float().mean((2, 3)), centres).argmin(1)
    assert (nearest == data.labels["val"]).float().mean() < 0.5
