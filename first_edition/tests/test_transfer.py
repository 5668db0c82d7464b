"""Transfer learning: food photos in all their layouts, pre-trained networks and their heads, rates, doubts."""

import io
import itertools
import json
import os
import zipfile
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from PIL import Image
from test_replay import NONE_YET, agree, replay
from tiny import count, on_meta
from torch import nn

from a1.data import food as food_module
from a1.data import images as images_module
from a1.data.food import (
    FOOD11,
    FoodLoader,
    FoodSplits,
    draw_food_stand_in,
    find_food,
    food_banner,
    load_food,
    random_crop,
    share_of,
    split_food,
)
from a1.data.images import DataError
from a1.models.pretrained import (
    RANDOM,
    Architecture,
    TransferNet,
    Weights,
    find_weights,
    in_float32,
    load_pretrained,
    weights_banner,
)
from a1.runs import fit_or_load, read_sealed, run_config
from a1.setup import DEVICE
from a1.train import OPTIMIZERS, Training, evaluate
from a1.transfer import (
    PENALTIES,
    FineTuneRecipe,
    adamw_by_rate,
    doubts_or_load,
    features_of,
    fit_head,
    probe_or_load,
)

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "a1_bonus_transfer_learning.py"
NAMED = {name: os.environ.get(name) for name in ("A1_DATA", "A1_PRETRAINED")}  # before a test takes them away


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path, monkeypatch):
    """An empty working folder, nothing named in the environment, no /content, and the optimizer known."""
    for name in ("A1_DATA", "A1_PRETRAINED", "A1_REQUIRE_DATA", "RETRAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("a1.runs.OUT", tmp_path / "out")
    monkeypatch.setattr(images_module, "Path", lambda place: Path(str(place).replace("/content", "colab")))
    monkeypatch.setitem(OPTIMIZERS, "adamw_by_rate", adamw_by_rate)


def jpeg(shade, size=(40, 30), mode="RGB", spot=None):
    """A photo of one shade, its left and right fifth black; `spot` makes it differ from others."""
    image = Image.new("L", size, shade)
    image.paste(0, (0, 0, size[0] // 5, size[1]))
    image.paste(0, (size[0] - size[0] // 5, 0, size[0], size[1]))
    if spot is not None:
        x, y = size[0] // 2 - 5 + spot // 100, spot % 100
        image.paste(255, (x, y, x + 3, y + 3))
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "PNG" if mode == "P" else "JPEG", quality=95)
    return buffer.getvalue()


def photos_of(classes, parts, name="{part}/{label}/{n}.jpg", per_class=10):
    """{path: bytes}: every class a shade of its own, every photo of a part another one."""
    files, shades = {}, np.linspace(40, 240, len(classes)).astype(int)
    for part, (shade, label) in itertools.product(parts, zip(shades, classes)):
        for n in range(1, per_class + 1):
            spot = 2 * n + 400 * parts.index(part)
            files[name.format(part=part, label=label, n=n)] = jpeg(int(shade), spot=spot)
    return files


def write(place, files):
    """Write {path: bytes} into a folder, or into a zip where `place` ends so."""
    place = Path(place)
    if place.suffix == ".zip":
        place.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(place, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
    return place


THREE = ("apple pie", "baklava", "ramen")
FOOD11_PARTS = ("training", "validation", "evaluation")
LAYOUTS = {  # files, classes, parts, where inside their folder
    "Food-11, numbered": (photos_of(range(11), FOOD11_PARTS, "{part}/{label}_{n}.jpg"), FOOD11, 3, ""),
    "Food-11, folders": (photos_of(FOOD11, FOOD11_PARTS), FOOD11, 3, ""),
    "Food-11, numbered folders": (photos_of(range(11), FOOD11_PARTS), FOOD11, 3, ""),
    "Food-101 subset": (photos_of(THREE, ("train", "test")), THREE, 2, ""),
    "wrapped": (photos_of(THREE, ("train", "test")), THREE, 2, "food101_10class/"),
    "plain tree": (photos_of(THREE, ("",), "{label}/{n}.jpg"), THREE, 0, ""),
    "plain tree, wrapped": (photos_of(THREE, ("",), "{label}/{n}.jpg"), THREE, 0, "images/"),
}


@pytest.mark.parametrize("place", ["data/food11.zip", "data/Food-11", "named/food101_small.zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_found_read_and_divided(layout, place, monkeypatch):
    files, classes, parts, inside = LAYOUTS[layout]
    if place.startswith("named"):
        monkeypatch.setenv("A1_DATA", "named")
    expected = write(place, {inside + name: data for name, data in files.items()})
    write(Path(place).parent, {"cnn_dataset.zip": b"", "food/1.jpg": b"", "README.md": b""})
    assert find_food() == expected
    food = load_food(20)
    assert food.images.shape == (len(files), 3, 20, 20) and food.images.dtype == torch.uint8
    assert food.classes == tuple(classes) and food.notes == []
    assert sorted(food.names) == sorted(inside + name for name in files)
    shades = np.linspace(40, 240, len(classes)).astype(int)
    corner = food.images[:, 0, 10, 3].float()  # inside the middle square, beside the black borders
    assert (corner - torch.tensor(shades)[food.labels]).abs().max() < 12, "labels belong to their photos"

    split = split_food(food)
    together = torch.cat(list(split.values()))
    assert sorted(together.tolist()) == list(range(len(files))), "every photo in one part"
    by_class = {part: torch.bincount(food.labels[index]).tolist() for part, index in split.items()}
    sizes = {3: (10, 10, 10), 2: (8, 2, 10), 0: (7, None, None)}[parts]
    for part, size in zip(split, sizes):
        assert size is None or by_class[part] == [size] * len(classes)
    if parts:
        given = {"train": ("train",), "val": ("val", "train"), "test": ("test", "eval")}
        for part, index in split.items():
            folders = {food.names[i].removeprefix(inside).split("/")[0] for i in index}
            assert all(folder.startswith(given[part]) for folder in folders)


def test_food_11_comes_before_food_101_and_the_named_folder_before_data(monkeypatch):
    small = photos_of(THREE, ("train", "test"), per_class=1)
    write("data/food101.zip", small)
    assert find_food() == Path("data/food101.zip")
    expected = write("data/food-11", small)
    assert find_food() == expected
    monkeypatch.setenv("A1_DATA", "named")
    expected = write("named/food101.zip", small)
    assert find_food() == expected


def test_a_data_folder_that_is_food_11_itself_is_taken(monkeypatch):
    monkeypatch.setenv("A1_DATA", "here")
    write("here", photos_of(FOOD11, FOOD11_PARTS, "{part}/{label}/{n}.jpg", per_class=10))
    write("here", {"dogs/1.jpg": b"of another data set"})
    assert find_food() == Path("here")
    assert set(load_food(8).classes) == set(FOOD11)


def test_the_whole_height_and_the_middle_of_the_width_are_kept():
    write("data/food11", {f"{name}/{n}.jpg": jpeg(200, (60, 20), spot=n) for name in "ab" for n in range(10)})
    image = load_food(10).images[0, 0]
    assert image[:, 0].min() > 150 and image[:, -1].min() > 150, "the black borders are cut off"


def drop(files, start):
    return {name: data for name, data in files.items() if not name.startswith(start)}


NUMBERED, SUBSET, PLAIN = (
    LAYOUTS[name][0] for name in ("Food-11, numbered", "Food-101 subset", "plain tree")
)
SPOILED = {
    "a class missing from a part": (drop(SUBSET, "test/ramen"), "has no photos of: test ramen"),
    "a class of the test part alone": (drop(SUBSET, "train/ramen"), "has no photos of: train ramen"),
    "a class of Food-11 missing everywhere": (
        {name: data for name, data in NUMBERED.items() if "/7_" not in name},
        "has no photos of: test Rice, train Rice, val Rice",
    ),
    "no test part": (drop(SUBSET, "test"), r"has no evaluation/ or test/\. Put"),
    "no training part": (drop(NUMBERED, "training"), "has no training/ or train/"),
    "too few photos": (drop(SUBSET, "train/ramen/1"), "fewer than 10 photos to train on of: ramen"),
    "the tree twice": (PLAIN | {f"copy/{name}": data for name, data in PLAIN.items()}, "once, but they are found in its root and in copy"),
    "one folder": (drop(drop(PLAIN, "ramen"), "baklava"), "but they are found nowhere"),
    "no photos": ({"train/a/1.txt": b"", "test/a/1.txt": b""}, "but they are found nowhere"),
    "mostly damaged": (
        {name: data[:50] if "ramen" in name else data for name, data in SUBSET.items()},
        "20 of 60 photos are damaged, train/ramen/1.jpg first",
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", ["data/food11.zip", "data/food11"])
@pytest.mark.parametrize("case", SPOILED)
def test_what_would_spoil_training_stops_with_one_error(case, place):
    files, message = SPOILED[case]
    write(place, files)
    with pytest.raises(DataError, match=f"^{place}:? .*{message}"):
        load_food(8)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_zip_stops(share):
    place = write("data/food11.zip", SUBSET)
    data = place.read_bytes()
    place.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        DataError, match="data/food11.zip cannot be read as a zip, it is damaged or incomplete"
    ):
        load_food(8)


def test_a_path_out_of_the_zip_stops():
    write("data/food11.zip", SUBSET | {"../train/ramen/x.jpg": b""})
    with pytest.raises(DataError, match="holds the path ../train/ramen/x.jpg, which climbs out"):
        load_food(8)


@pytest.mark.parametrize("place", ["data/food11.zip", "data/food11"])
def test_small_faults_are_mended_and_reported(place):
    files = photos_of(THREE, ("train", "test"), per_class=12)
    files |= {
        "train/ramen/1.jpg": jpeg(240, mode="L"),
        "train/ramen/2.jpg": b"no photo",
        "train/ramen/notes.txt": b"text",
        "train/ramen/.hidden.jpg": b"",
        "__MACOSX/train/ramen/1.jpg": b"",
        "elsewhere/1.jpg": b"",
    }
    write(place, files)
    for _ in range(2):  # decoded, then from the cache
        food = load_food(8)
        assert len(food.images) == 71 and food.notes == [
            "1 x not an image file, passed over: train/ramen/notes.txt",
            "1 x converted to RGB: train/ramen/1.jpg",
            "1 x damaged, left out: train/ramen/2.jpg",
        ]
    assert food_banner(food).count("\n- ") == 3


@pytest.mark.parametrize("place", ["data/food11.zip", "data/food11"])
def test_photos_are_decoded_once_and_again_when_a_file_changes(place, monkeypatch):
    write(place, SUBSET)
    first, decode = load_food(8), food_module.decode_food
    monkeypatch.setattr(
        food_module, "decode_food", lambda *_: pytest.fail("decoded although the cache is good")
    )
    again = load_food(8)
    assert torch.equal(first.images, again.images) and first.fingerprint == again.fingerprint
    assert (first.names, first.parts, first.classes) == (again.names, again.parts, again.classes)
    monkeypatch.setattr(food_module, "decode_food", decode)
    assert load_food(12).images.shape[-1] == 12, "another size is another cache"
    write(place, SUBSET | {"train/ramen/1.jpg": jpeg(10)})
    assert load_food(8).fingerprint != first.fingerprint


def test_without_photos_a_drawn_set_is_used_and_the_banner_says_so(monkeypatch):
    food = load_food(16)
    assert "These are not photos" in food_banner(food)
    assert torch.equal(food.images, draw_food_stand_in(16).images)
    split = split_food(food)
    assert [len(split[part]) for part in split] == [280, 60, 60]
    monkeypatch.setenv("A1_REQUIRE_DATA", "1")
    with pytest.raises(DataError, match="No food photos found"):
        load_food(16)


def test_a_training_photo_that_is_also_a_test_photo_is_left_out():
    files = SUBSET | {"train/ramen/99.jpg": SUBSET["test/ramen/4.jpg"]}
    write("data/food11.zip", files)
    food = load_food(20)
    split = split_food(food)
    assert food.names.index("train/ramen/99.jpg") not in torch.cat(list(split.values()))
    assert food.names.index("test/ramen/4.jpg") in split["test"]
    assert sum(map(len, split.values())) == len(files) - 1


def test_a_share_is_stratified_and_lies_inside_a_larger_one():
    labels = torch.arange(300) % 3
    index = torch.arange(0, 300, 2)
    small, large = (set(share_of(labels, index, share).tolist()) for share in (0.1, 0.5))
    assert len(small) == 15 and len(large) == 75 and small < large <= set(index.tolist())
    assert torch.bincount(labels[list(small)]).tolist() == [5, 5, 5]
    assert torch.equal(share_of(labels, index, 1), index)


def test_per_class_limits_every_part():
    write("data/food11.zip", SUBSET)
    food = load_food(8, per_class=4)
    assert len(food.images) == 24 and food.parts.count("test") == 12
    assert food.fingerprint != load_food(8).fingerprint


def test_a_random_crop_is_a_window_of_its_image():
    column, row = torch.arange(64.0).expand(64, 64), torch.arange(64.0)[:, None].expand(64, 64)
    torch.manual_seed(0)
    crops = random_crop(torch.stack([column, row]).repeat(200, 1, 1, 1), 32)
    assert crops.shape == (200, 2, 32, 32)
    columns, rows = crops[:, 0, 16], crops[:, 1, :, 16]  # [200, 32]: where each pixel comes from
    assert (columns.diff(dim=1) > 0).all() and (rows.diff(dim=1) > 0).all(), "neither mirrored nor turned"
    width, height = (32 * (places[:, 20] - places[:, 10]) / 10 for places in (columns, rows))
    share = width * height / 64**2
    assert 0.45 < share.min() < 0.6 and 0.9 < share.max() < 1.01
    assert 1.15 < (width / height).max() < 1.4 and 0.7 < (width / height).min() < 0.87
    assert columns[:, 0].std() > 3 and rows[:, 0].std() > 3, "windows lie in different places"


def test_loaders_give_whole_photos_for_evaluation_and_windows_for_training():
    food = draw_food_stand_in(32, per_class=10)
    data = FoodSplits(food, split_food(food), DEVICE)
    recipe = FineTuneRecipe(epochs=3, batch_size=8, size=24, test_size=40, image_sizes=(16,))
    sizes = [
        next(iter(data.loader("train", recipe, train=True, epoch=epoch)))[0].shape[-1] for epoch in (0, 1)
    ]
    assert sizes == [16, 24]
    batches = list(data.loader("val", recipe))
    x, y = (torch.cat(column) for column in zip(*batches))
    assert torch.equal(y.cpu(), food.labels[data.indices["val"]]), "in order, none dropped"
    assert x.shape[-1] == 40 and x.min() >= 0 and 0.5 < x.max() <= 1
    same = FoodLoader(data.images["val"], data.labels["val"], 8, 32)
    torch.testing.assert_close(next(iter(same))[0][0] * 255, data.images["val"][0].float())
    assert len(data.loader("train", recipe, train=True)) == len(data.labels["train"]) // 8


def test_the_fingerprint_knows_pixels_split_and_size():
    food = draw_food_stand_in(16, per_class=10)
    split = split_food(food)
    prints = {FoodSplits(food, split).fingerprint, FoodSplits(food, split_food(food, seed=1)).fingerprint}
    prints |= {FoodSplits(draw_food_stand_in(20, per_class=10), split).fingerprint}
    prints |= {FoodSplits(food, {"train": split["train"], "val": split["val"]}).fingerprint}
    assert len(prints) == 4


class TinyBody(nn.Module):
    """A network like those of the libraries: normalised features, then a head of two layers for 7 classes."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(8, 7, 1))

    def forward(self, x):
        return self.classifier(self.features(x)).flatten(1)


def build_tiny(name, pretrained):
    if pretrained:
        raise ConnectionError("offline")
    return TinyBody()


TINY = Architecture("tiny", build_tiny, "classifier", mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.4))


@pytest.fixture
def tiny_weights():
    Path("data/pretrained").mkdir(parents=True)
    torch.manual_seed(1)
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in TinyBody().state_dict().items()
    }
    torch.save(state, "data/pretrained/tiny.pt")
    return state


def test_local_weights_are_found_and_read(tiny_weights, monkeypatch):
    weights = load_pretrained(TINY)
    assert weights.source == "tiny.pt"
    net = TransferNet(TINY, weights, 4)
    for key, value in net.body.state_dict().items():
        torch.testing.assert_close(value, tiny_weights[key].to(value.dtype))
    Path("elsewhere").mkdir()
    torch.save(TinyBody().state_dict(), "elsewhere/tiny-0a1b2c3d.pth")
    monkeypatch.setenv("A1_PRETRAINED", "elsewhere")
    assert find_weights("tiny") == Path("elsewhere/tiny-0a1b2c3d.pth")
    assert load_pretrained(TINY).digest != weights.digest
    monkeypatch.setenv("A1_PRETRAINED", "nowhere")
    with pytest.raises(DataError, match="A1_PRETRAINED is set to nowhere, which is not a folder"):
        find_weights("tiny")


@pytest.mark.parametrize("content", [b"", b"no weights", "another network"])
def test_a_file_that_is_not_this_networks_weights_is_named(content):
    Path("data").mkdir()
    if content == "another network":
        torch.save(nn.Linear(2, 2).state_dict(), "data/tiny.pt")
    else:
        Path("data/tiny.pt").write_bytes(content)
    with pytest.raises(
        DataError, match="data/tiny.pt does not hold the weights of tiny .*: replace it, or delete it"
    ):
        load_pretrained(TINY)


def test_without_weights_the_banner_warns(tiny_weights):
    here = load_pretrained(TINY)
    assert "Not pre-trained" not in weights_banner({"tiny": here})
    Path("data/pretrained/tiny.pt").unlink()
    offline = load_pretrained(TINY)
    assert offline.state is None and "download failed: ConnectionError" in offline.source
    assert load_pretrained(TINY, download=False) == RANDOM
    assert "Not pre-trained" in weights_banner({"one": here, "other": offline})


def test_the_network_standardises_as_its_body_was_used_to():
    net = TransferNet(TINY, RANDOM, 4).eval()
    x = torch.rand(2, 3, 8, 8)
    by_hand = (x - torch.tensor(TINY.mean)[:, None, None]) / torch.tensor(TINY.std)[:, None, None]
    torch.testing.assert_close(net.features(x), net.body.features(by_hand).mean((2, 3)))
    torch.testing.assert_close(net(x), net.head[1](net.features(x)))
    assert not {"mean", "std"} & set(net.state_dict())


def test_a_run_is_known_by_its_weights_and_rates(tiny_weights):
    food = draw_food_stand_in(8, per_class=10)
    data, recipe = FoodSplits(food, split_food(food)), FineTuneRecipe(epochs=1)
    weights = load_pretrained(TINY)
    other = Weights(weights.state, "", "other")
    makers = [
        partial(TransferNet, TINY, *rest)
        for rest in ((weights, 4), (RANDOM, 4), (other, 4), (weights, 4, 0.1))
    ]
    configs = {json.dumps(run_config(make, recipe, data), sort_keys=True) for make in makers}
    assert len(configs) == 4
    assert "size" in run_config(makers[0], recipe, data)["recipe"]


def test_every_parameter_learns_at_its_own_share_under_a_schedule():
    slow, fast = (nn.Parameter(torch.zeros(3)) for _ in range(2))
    slow.rate = 0.1
    optimizer = adamw_by_rate([slow, fast], lr=0.01, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=10, cycle_momentum=False)
    for _ in range(8):
        before, rate = [p.detach().clone() for p in (slow, fast)], optimizer.param_groups[0]["lr"]
        for parameter in (slow, fast):
            parameter.grad = torch.ones(3)
        optimizer.step()
        moved = [float((p - b).detach().abs().mean()) for p, b in zip((slow, fast), before)]
        assert moved == pytest.approx([0.1 * rate, rate], rel=1e-3)  # constant gradients: steps of the rate
        assert all(group["lr"] == rate for group in optimizer.param_groups)
        schedule.step()


def test_body_and_head_move_at_their_rates_in_a_training():
    food = draw_food_stand_in(16, per_class=10)
    data = FoodSplits(food, split_food(food), DEVICE)
    recipe = FineTuneRecipe(
        epochs=1, batch_size=7, lr=1e-3, schedule="constant", size=16, test_size=16, amp=False
    )
    torch.manual_seed(0)
    net = TransferNet(TINY, RANDOM, 4, body_rate=0.01).to(DEVICE, memory_format=torch.channels_last)
    before = {key: value.clone() for key, value in net.named_parameters()}
    training = Training(net, data, recipe)
    training.epoch()
    moved = {key: float((value - before[key]).detach().abs().max()) for key, value in net.named_parameters()}
    steps = len(data.loader("train", recipe, train=True))
    assert 0 < max(value for key, value in moved.items() if "body" in key) < 1.5e-5 * steps
    assert moved["head.1.weight"] > 3e-4
    again = Training(TransferNet(TINY, RANDOM, 4, body_rate=0.01).to(DEVICE), data, recipe)
    again.load_state_dict(training.state_dict())
    assert {group["rate"] for group in again.optimizer.param_groups} == {0.01, 1.0}


def test_depthwise_layers_train_in_float32_and_only_they():
    net, x = TransferNet(TINY, RANDOM, 4), torch.rand(4, 3, 8, 8)
    dense, depthwise = net.body.features[0], net.body.features[3]
    assert isinstance(depthwise.forward, partial) and not isinstance(dense.forward, partial)
    seen = []

    def forward(x):
        seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
        return x

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert in_float32(forward, x.bfloat16()).dtype == torch.bfloat16
        with torch.no_grad():
            in_float32(forward, x.bfloat16())
        net(x).float().square().sum().backward()
    assert seen == [(torch.float32, False), (torch.bfloat16, True)]
    gradient = depthwise.weight.grad.clone()
    assert gradient.abs().sum() > 0 and gradient.dtype == torch.float32


def models_of_the_notebook():
    """MODELS as the notebook writes it, with the further lines that its text offers."""
    path = ROOT / "notebooks" / NOTEBOOK
    cells = jupytext.reads(path.read_text(), fmt="py:percent").cells
    code = next(cell.source for cell in cells if "MODELS = {" in cell.source).split("NAMES |=")[0]
    offered = next(cell.source for cell in cells if '    "shufflenet": Arch' in cell.source)
    lines = [line for line in offered.splitlines() if line.startswith("    ")]
    import timm
    from torchvision.models import get_model

    names = {"timm": timm, "get_model": get_model, "Architecture": Architecture}
    exec(code + "\nMODELS |= {\n" + "\n".join(lines) + "\n}", names)
    return names["MODELS"]


MODELS = models_of_the_notebook()
SIZES = {  # parameters with ImageNet's head, as the libraries document them, and features
    "squeezenet1_1": (1_235_496, 512), "mobilenet_v2": (3_504_872, 1280), "efficientnet_lite0": (4_652_008, 1280),
    "shufflenet": (2_278_604, 1024), "mobilenet_v3": (5_483_032, 960), "inception_v3": (None, 2048),
    "efficientnet_v2": (21_458_488, 1280),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_line_of_the_table_makes_a_network_with_a_new_head(name):
    documented, features = SIZES[name]
    architecture = MODELS[name]
    theirs = on_meta(architecture.build, architecture.name, False, **architecture.options)
    assert documented is None or count(theirs) == documented
    net = on_meta(TransferNet, architecture, RANDOM, 11)
    assert net.head[1].in_features == features
    assert count(net) == count(theirs) - count(theirs.get_submodule(architecture.head)) + 11 * (features + 1)
    with torch.device("meta"):
        assert net(torch.zeros(2, 3, 96, 96)).shape == (2, 11)
    assert {parameter.rate for parameter in net.body.parameters()} == {1.0}


def test_a_head_fitted_to_features_is_a_head_of_the_network():
    """Mean pooling and a linear layer: what is fitted to stored features can be put on the body."""
    torch.manual_seed(0)
    food = draw_food_stand_in(16, per_class=20)
    data, recipe = FoodSplits(food, split_food(food), DEVICE), FineTuneRecipe(epochs=1, test_size=16)
    net = TransferNet(TINY, RANDOM, 4).to(DEVICE)
    train, val = (features_of(net, data.loader(part, recipe)) for part in ("train", "val"))
    assert np.array_equal(train[1], food.labels[data.indices["train"]]), "in the order of the part"
    scaler, regression = (step for _, step in fit_head(train, val, (0.1, 10.0)).steps)
    weight = regression.coef_ / scaler.scale_
    with torch.no_grad():
        net.head[1].weight.copy_(torch.from_numpy(weight))
        net.head[1].bias.copy_(torch.from_numpy(regression.intercept_ - weight @ scaler.mean_))
    head = fit_head(train, val, (0.1, 10.0))
    assert evaluate(net, data.loader("val", recipe))["acc"] == pytest.approx(head.score(*val))


def test_the_penalty_is_chosen_on_validation():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    features = rng.normal(size=(60, 200)).astype(np.float32)
    features[:, 0] += 2 * labels
    train, val = (features[:30], labels[:30]), (features[30:], labels[30:])
    chosen = fit_head(train, val, (1e-4, 1e-1, 1e3)).score(*val)
    assert chosen == max(fit_head(train, val, (C,)).score(*val) for C in (1e-4, 1e-1, 1e3))


def test_a_probe_is_computed_once_and_known_by_weights_and_size(monkeypatch):
    food = draw_food_stand_in(16, per_class=15)
    split = split_food(food)
    data = FoodSplits(food, {part: split[part] for part in ("train", "val")}, DEVICE)
    make, recipe = partial(TransferNet, TINY, RANDOM, 4), FineTuneRecipe(epochs=1, test_size=16)
    result = probe_or_load("tiny", make, recipe, data)
    assert 0 <= result["val_acc"] <= 1 and result["penalty"] in PENALTIES
    with monkeypatch.context() as patch:
        patch.setattr(
            "a1.transfer.features_of", lambda *_: pytest.fail("computed although there is a record")
        )
        assert probe_or_load("tiny", make, recipe, data) == result
        for change in ({"test_size": 12}, {"seed": 1}):
            with pytest.raises(pytest.fail.Exception):
                probe_or_load("tiny", make, replace(recipe, **change), data)
        with pytest.raises(pytest.fail.Exception):
            probe_or_load("tiny", partial(TransferNet, TINY, Weights(None, "", "other"), 4), recipe, data)


def test_a_wrong_label_is_doubted_by_the_other_photos():
    food = draw_food_stand_in(16, per_class=25)
    noise = torch.randint(0, 60, food.images.shape, generator=torch.Generator().manual_seed(0))
    food.images = (noise + 60 * food.labels[:, None, None, None]).byte()  # a brightness for each class
    split = split_food(food)
    wrong = split["train"][3]
    right = int(food.labels[wrong])
    food.labels[wrong] = (right + 1) % 4
    data = FoodSplits(food, {"train": split["train"], "val": split["val"]}, DEVICE)
    recipe = FineTuneRecipe(epochs=1, test_size=16)
    doubts = doubts_or_load("tiny", partial(TransferNet, TINY, RANDOM, 4), recipe, data, penalty=1.0)
    labels = food.labels[split["train"]]
    given = doubts[range(len(labels)), labels]
    assert doubts.shape == (len(labels), 4) and np.allclose(doubts.sum(1), 1, atol=1e-2)
    assert given[3] < np.median(given) / 2 and doubts[3].argmax() == right


def test_a_study_runs_and_is_read_again(capsys):
    food = draw_food_stand_in(16, per_class=10)
    split = split_food(food)
    data = FoodSplits(food, {part: split[part] for part in ("train", "val")}, DEVICE)
    make, recipe = (
        partial(TransferNet, TINY, RANDOM, 4, 0.1),
        FineTuneRecipe(epochs=2, batch_size=8, size=16, test_size=16),
    )
    run = fit_or_load("studies/tiny", make, recipe, data, verbose=False)
    assert read_sealed(run.path) == fit_or_load("studies/tiny", make, recipe, data, verbose=False).record
    assert run.record["config"]["architecture"] == repr(make()) and "at 0.1 of the rate" in repr(make())
    assert set(run.record["config"]["recipe"]) == {field.name for field in fields(FineTuneRecipe)}


RECORDS = [path for path in sorted((ROOT / "runs").glob("*.json")) if path.stem.rpartition("-")[0] in MODELS]


@pytest.mark.parametrize("path", RECORDS or [NONE_YET], ids=lambda path: path.stem)
def test_a_committed_record_replays(path, monkeypatch):
    """The first training steps of a final network, made again from the same photos and weights."""
    record = read_sealed(path)
    recorded_on = "cpu" if " CPU" in record["device"] else "cuda"
    if recorded_on != DEVICE.type:
        pytest.skip(f"recorded on {record['device']}: another kind of device draws other random numbers")
    monkeypatch.chdir(ROOT)
    for name, value in NAMED.items():
        if value:
            monkeypatch.setenv(name, value)
    architecture = MODELS[record["name"]]
    weights = load_pretrained(architecture, download=False)
    if find_food() is None or weights.state is None:
        pytest.skip(
            "no food photos or no pre-trained weights: put them into data/ or name A1_DATA and A1_PRETRAINED"
        )
    food = load_food(160)
    if food.fingerprint != record["data"]["files"]:
        pytest.skip(f"recorded on {record['data']['source']}, found {food.source}")
    values = record["config"]["recipe"]
    assert values.keys() == {field.name for field in fields(FineTuneRecipe)}
    recipe = FineTuneRecipe(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    data = FoodSplits(food, split_food(food), DEVICE)
    makers = [partial(TransferNet, architecture, weights, len(food.classes), rate) for rate in (1.0, 0.1)]
    found = [make for make in makers if repr(on_meta(make)) == record["config"]["architecture"]]
    assert found, "neither these weights nor this network is what was recorded"
    assert json.loads(json.dumps(run_config(found[0], recipe, data))) == record["config"]
    losses = replay(found[0], recipe, data)
    assert agree(losses, record["first_losses"]), (losses, record["first_losses"])
