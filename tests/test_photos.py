"""The photos: found in every place and form, read in one order, split, augmented, batched."""

import hashlib
import io
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import empty_machine, write_stand_in
from PIL import Image

from a1.photos import (
    AUGMENTATIONS,
    CLASSES,
    PARTS,
    Photos,
    color_jitter,
    find_photos,
    load_photos,
    random_flip,
    random_shift,
    split_indices,
)
from a1.studies import study_indices
from a1.train import RECIPE

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
PLAIN = RECIPE | {"batch_size": 16, "augment": []}


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path, monkeypatch):
    """An empty working folder and home, no A1_DATA, and Colab's disk inside the folder."""
    empty_machine(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A small set's files: {"dogs/1.jpg": bytes}."""
    path = tmp_path_factory.mktemp("photos") / "cnn_dataset.zip"
    write_stand_in(path)
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        return {name: archive.read(name) for name in names}


def write_folder(path, files):
    """Files under a folder."""
    for name, content in files.items():
        file = Path(path, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def write_zip(path, files, inside=""):
    """Files in a zip."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(inside + name, content)


def in_capitals(path, files):
    """Class folders whose names are written otherwise."""
    write_folder(
        path, {name.replace("dogs", "Dogs").replace("food", "FOOD"): files[name] for name in files}
    )


FORMS = {
    "cnn_dataset/": lambda place, files: write_folder(place / "cnn_dataset", files),
    "class folders": write_folder,
    "wrapped": lambda place, files: write_folder(place / "cnn_dataset" / "cnn_dataset", files),
    "in another folder": lambda place, files: write_folder(place / "my photos", files),
    "capitals": in_capitals,
    "zip": lambda place, files: write_zip(place / "cnn_dataset.zip", files),
    "zip, wrapped": lambda place, files: write_zip(
        place / "cnn_dataset.zip", files, "cnn_dataset/"
    ),
    "zip, second download": lambda place, files: write_zip(place / "cnn_dataset (1).zip", files),
}
PLACES = {"named": "named", "~": "home/photos", "here": ".", "data": "data"}
PLACES |= {"colab": "colab", "drive": "colab/drive/MyDrive"}
CASES = [(place, "zip") for place in PLACES] + [("here", form) for form in FORMS if form != "zip"]


@pytest.mark.parametrize("place, form", [*CASES, ("named", "cnn_dataset/"), ("drive", "wrapped")])
def test_photos_are_found_in_every_place_and_form(place, form, files, monkeypatch):
    names = {"named": "named", "~": "~/photos"}
    if place in names:
        monkeypatch.setenv("A1_DATA", names[place])
    FORMS[form](Path(PLACES[place]), files)
    images, labels, _ = load_photos()
    assert images.shape == (36, 3, 64, 64) and images.dtype == torch.uint8
    assert labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12 and labels.dtype == torch.int64


def test_a_named_folder_comes_first_and_data_where_it_has_none(files, monkeypatch):
    Path("named").mkdir()
    monkeypatch.setenv("A1_DATA", "named")
    write_folder("data", files)
    assert find_photos()["dogs"] == Path("data/dogs")
    write_folder("cnn_dataset", files)
    assert find_photos()["dogs"] == Path("cnn_dataset/dogs"), "beside the notebook, then in data/"
    write_folder("named", files)
    assert find_photos()["dogs"] == Path("named/dogs")


@pytest.mark.parametrize("text", ["nowhere", "~/nowhere", "'$HOME/nowhere.zip'"])
def test_a_named_place_that_does_not_exist_is_one_clear_error(text, files, monkeypatch):
    monkeypatch.setenv("A1_DATA", text)
    write_folder("data", files)
    with pytest.raises(
        AssertionError, match="nowhere.*does not exist: correct or unset it"
    ) as error:
        find_photos()
    assert "$" not in str(error.value) and "~" not in str(error.value)


@pytest.mark.parametrize("text", ['"named"', "'named' ", "named/cnn_dataset.zip", "$PWD/named"])
def test_a_data_place_may_be_quoted_or_be_the_file_itself(text, files, monkeypatch):
    write_zip("named/cnn_dataset.zip", files)
    monkeypatch.setenv("PWD", str(Path.cwd()))
    monkeypatch.setenv("A1_DATA", text)
    assert set(find_photos()) == {"dogs", "food", "vehicles"}


def test_two_notebooks_that_need_the_same_zip_unpack_it_once(files, monkeypatch):
    write_zip("cnn_dataset.zip", files)
    unpack, calls = shutil.unpack_archive, []

    def slow(archive, folder):
        calls.append(folder)
        time.sleep(0.2)
        unpack(archive, folder)

    monkeypatch.setattr(shutil, "unpack_archive", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: find_photos(), range(4)))
    assert len(calls) == 1 and found == 4 * [found[0]]
    assert all(folder.is_dir() for folder in found[0].values())


def test_a_zip_is_unpacked_once_into_data(files, monkeypatch):
    write_zip("cnn_dataset.zip", files)
    found = find_photos()
    assert found["dogs"].parts[0] == "data" and not list(Path("data").glob("*.tmp"))
    monkeypatch.setattr(shutil, "unpack_archive", None)
    assert find_photos() == found


def test_a_zip_whose_unpacking_was_cut_short_is_unpacked_again(files, monkeypatch):
    def killed(archive, folder):
        write_folder(folder, {name: files[name] for name in list(files)[:-6]})
        raise KeyboardInterrupt

    write_zip("cnn_dataset.zip", files)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "unpack_archive", killed)
        with pytest.raises(KeyboardInterrupt):
            find_photos()
    assert len(load_photos()[0]) == 36


def test_what_a_mac_adds_is_passed_over(files):
    write_folder("cnn_dataset", files)
    before = load_photos()
    junk = ("dogs/._1.jpg", ".dogs/1.jpg", "dogs/.DS_Store", "dogs/readme.txt")
    write_folder("cnn_dataset", dict.fromkeys(junk, b"junk"))
    write_folder("__MACOSX/cnn_dataset", {"dogs/._1.jpg": b"junk"})
    assert load_photos()[2] == before[2] and len(load_photos()[0]) == 36


@pytest.mark.parametrize(
    "inside", ["vehicles/notes.txt", "vehicles/vehicles/1.jpg", "vehicles/._1.jpg"]
)
def test_a_class_folder_without_photos_is_none(inside, files):
    others = {name: files[name] for name in files if not name.startswith("vehicles")}
    write_folder("data", others | {inside: b"x"})
    with pytest.raises(FileNotFoundError, match="no dogs, food, vehicles of photos here, in data/"):
        load_photos()


@pytest.mark.parametrize("kept", [(), ("dogs", "food")])
def test_one_clear_error_where_nothing_is_found(kept, files):
    write_folder("data", {name: files[name] for name in files if name.startswith(kept) and kept})
    with pytest.raises(FileNotFoundError, match=r"no cnn_dataset\.zip.*A1_DATA"):
        load_photos()


def test_drawn_photos_are_said_to_be_drawn(files, capsys):
    write_folder("data/cnn_dataset", files)
    find_photos()
    assert capsys.readouterr().out == ""
    Path("data/STAND_IN.txt").write_text("drawn, not photographed")
    find_photos()
    assert "drawn, not photographed" in capsys.readouterr().out


def encode(size, color=(90, 0, 0)):
    """A JPEG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB" if len(color) == 3 else "L", size, color if len(color) == 3 else color[0]).save(
        buffer, "JPEG"
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"text", id="text"),
        pytest.param(encode((65, 64)), id="65x64"),
        pytest.param(b"", id="empty"),
        pytest.param(encode((128, 32)), id="128x32"),
    ],
)
def test_a_file_that_is_no_photo_of_64x64_is_named(content, files):
    write_folder("cnn_dataset", files | {"food/5.jpg": content})
    with pytest.raises(ValueError, match=r"cnn_dataset/food/5\.jpg is no photo of 64x64 pixels"):
        load_photos()


def test_a_photo_cut_short_is_named(files):
    write_folder("cnn_dataset", files | {"food/5.jpg": files["food/5.jpg"][:400]})
    with pytest.raises(ValueError, match=r"cnn_dataset/food/5\.jpg is no photo"):
        load_photos()


def test_a_gray_photo_gets_three_channels(files):
    write_folder("cnn_dataset", files | {"dogs/1.jpg": encode((64, 64), (90,))})
    assert (load_photos()[0][0].float() - 90).abs().max() <= 2


def test_photos_are_read_by_number(files):
    write_folder("cnn_dataset", files)
    images, _, _ = load_photos(per_class=3)
    for label, name in enumerate(CLASSES):
        for number in (1, 2, 3):
            with Image.open(io.BytesIO(files[f"{name}/{number}.jpg"])) as image:
                pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            assert torch.equal(images[3 * label + number - 1], pixels)


def test_the_hash_is_of_names_and_bytes_in_order(files):
    write_folder("cnn_dataset", files)
    expected = hashlib.sha256()
    for name in CLASSES:
        for number in range(1, 13):
            path = f"{name}/{number}.jpg"
            expected.update(path.encode() + hashlib.sha256(files[path]).digest())
    assert load_photos()[2] == expected.hexdigest()


@pytest.mark.parametrize("change", ["name", "class", "bytes"])
def test_the_hash_changes_with_names_classes_and_bytes(change, files):
    write_folder("cnn_dataset", files)
    before, path = load_photos()[2], Path("cnn_dataset/dogs/12.jpg")
    if change == "bytes":
        path.write_bytes(encode((64, 64)))
    else:
        path.rename({"name": "cnn_dataset/dogs/99.jpg", "class": "cnn_dataset/food/99.jpg"}[change])
    assert load_photos()[2] != before


# The split


def drawn(*counts, seed=0):
    """Random images, counts[k] of class k, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    shape = (sum(counts), 3, 64, 64)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return images, torch.repeat_interleave(torch.tensor(counts))


@pytest.mark.parametrize("counts", [(20, 20, 20), (33, 20, 47)])
def test_the_split_is_stratified_disjoint_and_complete(counts):
    images, labels = drawn(*counts)
    split = split_indices(images, labels, seed=1)
    assert tuple(split) == PARTS
    assert torch.cat(list(split.values())).sort().values.tolist() == list(range(sum(counts)))
    for part, share in zip(PARTS, (0.70, 0.15, 0.15)):
        found = labels[split[part]].bincount(minlength=3)
        assert ((found - share * torch.tensor(counts)).abs() <= 1).all()


def test_the_split_is_fixed_by_its_seed():
    data = drawn(30, 30, 30)
    first, again, other = (split_indices(*data, seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[part], again[part]) for part in PARTS)
    assert not torch.equal(first["test"], other["test"])


def test_copies_of_a_photo_stay_together():
    images, labels = drawn(40, 40, 40)
    twins = [(n, n + 1) for n in range(0, 120, 4)]
    for one, other in twins:
        images[other] = images[one]
    side = {int(i): part for part, index in split_indices(images, labels).items() for i in index}
    assert len(side) == 120 and all(side[one] == side[other] for one, other in twins)


def test_a_studys_photos_are_the_first_of_each_class_and_no_test_photos():
    images, labels = drawn(30, 30, 30)
    split = split_indices(images, labels)
    chosen = study_indices(labels, split, 5, 2)
    assert list(chosen) == ["train", "val"]
    for part, n in (("train", 5), ("val", 2)):
        assert labels[chosen[part]].tolist() == [c for c in range(3) for _ in range(n)]
        for c in range(3):
            of_class = split[part][labels[split[part]] == c]
            assert torch.equal(chosen[part][c * n : c * n + n], of_class[:n])


# Augmentation


def test_a_flip_mirrors_about_half_of_the_images_and_leaves_the_rest():
    x = torch.randint(256, (400, 3, 4, 6), dtype=torch.uint8)
    torch.manual_seed(0)
    flipped = random_flip(x)
    mirrored = (flipped == x.flip(3)).all((1, 2, 3))
    assert ((flipped == x).all((1, 2, 3)) != mirrored).all()
    assert 160 < mirrored.sum() < 240 and flipped.dtype == torch.uint8


def test_a_shift_cuts_each_image_out_of_its_reflected_surroundings():
    x = torch.randint(256, (300, 3, 16, 16), dtype=torch.uint8)
    torch.manual_seed(0)
    shifted, offsets = random_shift(x), set()
    surroundings = F.pad(x, (8,) * 4, mode="reflect")
    windows = {
        (i, j): surroundings[:, :, i : i + 16, j : j + 16] for i in range(17) for j in range(17)
    }
    matches = {at: (window == shifted).all((1, 2, 3)) for at, window in windows.items()}
    assert (sum(match.int() for match in matches.values()) == 1).all()
    offsets = {at for at, match in matches.items() if match.any()}
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(17))
    assert len(offsets) > 100, "one draw an image"


def test_color_jitter_scales_brightness_contrast_and_saturation_by_a_fifth_at_most():
    x = torch.rand(500, 3, 8, 8) * 40 + 100  # far from 0 and 255
    torch.manual_seed(0)
    y = color_jitter(x.clone())
    means, gray = (z.mean((1, 2, 3)) for z in (x, y)), (z.mean(1) for z in (x, y))
    (before, after), (plain, jittered) = means, gray
    brightness = after / before
    contrast = jittered.std((1, 2)) / plain.std((1, 2)) / brightness
    colour = [(z - z.mean(1, keepdim=True)).std((1, 2, 3)) for z in (x, y)]
    saturation = colour[1] / colour[0] / contrast / brightness
    for factor in (brightness, contrast, saturation):
        assert 0.8 - 1e-3 < factor.min() < 0.82 and 1.18 < factor.max() < 1.2 + 1e-3


def test_color_jitter_stays_in_range_and_leaves_the_input_alone():
    x = torch.randint(256, (50, 3, 8, 8), dtype=torch.uint8)
    before, y = x.clone(), color_jitter(x)
    assert y.min() >= 0 and y.max() <= 255 and torch.equal(x, before)


# Batches


@pytest.fixture(scope="module")
def data():
    """Sixty drawn images and their parts."""
    images, labels = drawn(20, 20, 20)
    return Photos(images, labels, split_indices(images, labels), "drawn", device="cpu")


def gather(batches):
    """All batches as one."""
    x, y = (torch.cat(column) for column in zip(*batches))
    return x, y


def test_batches_have_the_promised_form(data):
    batches = list(data.batches("train", PLAIN | {"augment": list(AUGMENTATIONS)}, 0))
    assert len(batches) == data.steps(PLAIN) == 2
    for x, y in batches:
        assert x.shape == (16, 3, 64, 64) and x.dtype == torch.float32
        assert y.shape == (16,) and y.dtype == torch.int64
        assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "batch_size, sizes", [(16, [16, 16]), (21, [21, 21]), (41, [41]), (64, [42])]
)
def test_an_incomplete_batch_is_dropped_unless_it_is_the_only_one(batch_size, sizes, data):
    recipe = PLAIN | {"batch_size": batch_size}
    assert [len(y) for _, y in data.batches("train", recipe, 0)] == sizes
    assert data.steps(recipe) == len(sizes)
    assert sum(len(y) for _, y in data.batches("train", recipe)) == 42


def test_pixels_are_standardised_by_the_training_part_alone():
    images, labels = drawn(20, 20, 20)
    split = split_indices(images, labels)
    images[split["val"]] //= 4
    data = Photos(images, labels, split, "drawn", device="cpu")
    x, _ = gather(data.batches("train", PLAIN))
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    x, _ = gather(data.batches("val", PLAIN))
    assert torch.allclose(x * data.std + data.mean, images[split["val"]].float(), atol=1e-3)


@pytest.mark.parametrize("part", ["val", "test"])
def test_evaluation_is_neither_augmented_nor_shuffled_nor_shrunk(part, data):
    recipe = RECIPE | {"batch_size": 4, "image_sizes": [32]}
    x, y = gather(data.batches(part, recipe))
    assert torch.equal(x, (data.x[part].float() - data.mean) / data.std)
    assert torch.equal(y, data.y[part])


def labelled(n=40):
    """Photos whose red channel is their number and whose label is the same."""
    images = torch.arange(n, dtype=torch.uint8).reshape(-1, 1, 1, 1).repeat(1, 3, 64, 64)
    return Photos(images, torch.arange(n), {"train": torch.arange(n)}, "numbers", device="cpu")


def test_every_epoch_is_a_new_order_and_labels_follow_their_images():
    data, orders = labelled(), []
    for epoch in range(2):
        x, y = gather(data.batches("train", PLAIN | {"batch_size": 8, "augment": ["shift"]}, epoch))
        number = (x * data.std + data.mean)[:, 0, 0, 0].round().long()
        assert torch.equal(number, y) and sorted(y.tolist()) == list(range(40))
        orders.append(y.tolist())
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


def test_batches_leave_the_stored_photos_alone(data):
    before = data.x["train"].clone()
    gather(data.batches("train", RECIPE | {"batch_size": 16}, 0))
    assert torch.equal(data.x["train"], before)


def test_batches_are_drawn_from_torchs_generator_alone(data):
    recipe = RECIPE | {"batch_size": 16}
    torch.manual_seed(1)
    first, second = (gather(data.batches("train", recipe, 0)) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(gather(data.batches("train", recipe, 0))[0], first[0])
    assert not torch.equal(first[0], second[0])


def test_the_first_epochs_are_smaller(data):
    recipe = PLAIN | {"image_sizes": [16, 32]}
    sides = [next(data.batches("train", recipe, epoch))[0].shape[-1] for epoch in range(4)]
    assert sides == [16, 32, 64, 64]


def test_a_studys_photos_are_shrunk_to_means_of_blocks_in_every_part():
    images, labels = drawn(20, 20, 20)
    small = Photos(images, labels, split_indices(images, labels), "drawn", size=16, device="cpu")
    x, _ = gather(small.batches("val", PLAIN))
    whole = (small.x["val"].float() - small.mean) / small.std
    assert torch.allclose(x, whole.reshape(-1, 3, 16, 4, 16, 4).mean((3, 5)), atol=1e-5)
    first = next(small.batches("train", PLAIN | {"image_sizes": [32]}, 0))[0]
    assert first.shape[-1] == 16, "never larger than the study's"


def test_data_are_known_by_files_split_and_size():
    images, labels = drawn(20, 20, 20)
    split, other = (split_indices(images, labels, seed) for seed in (0, 1))
    made = [Photos(images, labels, split, "a"), Photos(images, labels, other, "a")]
    made += [Photos(images, labels, split, "b"), Photos(images, labels, split, "a", size=32)]
    assert len({tuple(data.id.values()) for data in made}) == 4
    assert Photos(images, labels, split, "a").id == made[0].id


def test_what_the_probe_trains_on_is_always_the_same(data):
    tiny, again = data.tiny(), Photos(*drawn(9, 9, 9), split_indices(*drawn(9, 9, 9)), "").tiny()
    assert torch.equal(tiny.x["train"], again.x["train"]) and tiny.x["train"].device.type == "cpu"
    assert list(tiny.y) == ["train", "val"] and tiny.size == data.size
