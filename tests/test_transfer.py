"""Transfer learning: photos of food, bodies of others, new heads, and what a frozen body must keep."""

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.io import write_jpeg
from torchvision.models import get_model

from a1.food import FoodPhotos, find_food, load_food, random_crop, share_of, split_food
from a1.models.transfer import TransferNet, adamw_by_share, cycle_by_group, load_body
from a1.records import differs, probe
from a1.train import OPTIMIZERS, RECIPE, SCHEDULES, train

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {"squeezenet1_1": 512, "mobilenet_v2": 1280, "efficientnet_lite0": 1280}
RECIPE = RECIPE | {"epochs": 1, "batch_size": 8, "optimizer": "adamw_by_share", "amp": False}
RECIPE |= {"augment": ["crop", "flip", "color"], "size": 32, "test_size": 40, "lr": 1e-3}


@pytest.fixture
def by_share(monkeypatch):
    """The notebook's optimizer and schedule."""
    monkeypatch.setitem(OPTIMIZERS, "adamw_by_share", adamw_by_share)
    monkeypatch.setitem(SCHEDULES, "one_cycle", cycle_by_group)


def drawn(n=24, size=32, seed=0):
    """FoodPhotos of noise on the CPU: 12 training, 6 validation and 6 test photos."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=generator)
    parts = {"train": torch.arange(12), "val": torch.arange(12, 18), "test": torch.arange(18, n)}
    return FoodPhotos(images, torch.arange(n) % 4, parts, "drawn", "cpu")


def write_photos(folder, names, size=(20, 30)):
    """Small random JPEGs under `folder`, the same name always the same photo."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(len(name) * 100 + ord(path.stem[-1]))
        noise = torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator)
        write_jpeg(noise, str(path))


@pytest.mark.parametrize("name", WIDTHS)
def test_new_head_has_an_output_for_each_class(name):
    net = TransferNet(name, 7, pretrained=False)
    assert [type(layer) for layer in net.head] == [nn.Dropout, nn.Linear]
    assert net.head[1].weight.shape == (7, WIDTHS[name])
    x = torch.rand(2, 3, 40, 40)
    assert net.eval()(x).shape == (2, 7)
    assert not any("classifier" in key for key in net.state_dict()), "the old head is gone"


def test_evaluation_averages_over_the_mirror_image_and_training_does_not():
    torch.manual_seed(0)
    net = TransferNet("squeezenet1_1", 4, pretrained=False, dropout=0, mirror=True)
    plain = TransferNet("squeezenet1_1", 4, pretrained=False, dropout=0)
    plain.load_state_dict(net.state_dict())
    x, both = torch.rand(2, 3, 40, 56), (net.eval(), plain.eval())
    assert not torch.allclose(plain(x), plain(x.flip(3)), atol=1e-5), "a photo has a left side"
    mean = (plain(x) + plain(x.flip(3))) / 2
    assert torch.allclose(net(x), mean, atol=1e-6) and torch.equal(net(x), net(x.flip(3)))
    for network in both:
        network.train()
    assert torch.equal(net(x), plain(x))


def test_each_body_sees_pixels_as_in_its_own_training():
    x, seen = torch.rand(1, 3, 32, 32), {}
    for name in WIDTHS:
        net = TransferNet(name, 2, pretrained=False).eval()
        net.body.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
        net(x)
    assert torch.allclose(seen["efficientnet_lite0"], 2 * x - 1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for name in ("squeezenet1_1", "mobilenet_v2"):
        assert torch.allclose(seen[name], (x - mean.view(3, 1, 1)) / std.view(3, 1, 1))


def test_weights_are_read_and_a_random_start_differs(tmp_path, monkeypatch):
    donor = __import__("torchvision").models.mobilenet_v2(weights=None)
    torch.save(donor.state_dict(), tmp_path / "mobilenet_v2.pt")
    monkeypatch.setenv("A1_PRETRAINED", str(tmp_path))
    net = TransferNet("mobilenet_v2", 3)
    for key, value in donor.features.state_dict().items():
        assert torch.equal(net.body.state_dict()[key], value)
    other = TransferNet("mobilenet_v2", 3, pretrained=False).body.state_dict()
    assert not torch.equal(other["0.0.weight"], donor.features[0][0].weight)


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0"])
def test_a_frozen_body_stays_as_it_is_batch_norm_included(name, by_share):
    torch.manual_seed(0)
    net = TransferNet(name, 4, share=0, pretrained=False)
    body = {key: value.clone() for key, value in net.body.state_dict().items()}
    head = net.head[1].weight.clone()
    train(net, RECIPE, drawn())
    assert all(torch.equal(value, body[key]) for key, value in net.body.state_dict().items())
    assert not torch.equal(net.head[1].weight, head)


def test_a_tuned_body_learns_batch_norm_included(by_share):
    torch.manual_seed(0)
    net = TransferNet("mobilenet_v2", 4, share=0.1, pretrained=False)
    body = {key: value.clone() for key, value in net.body.state_dict().items()}
    train(net, RECIPE, drawn())
    for key in ("0.0.weight", "0.1.running_mean", "18.0.weight"):
        assert not torch.equal(net.body.state_dict()[key], body[key]), key


def test_head_and_body_follow_one_cycle_at_their_own_rates():
    net = TransferNet("squeezenet1_1", 4, share=0.1, pretrained=False)
    optimizer = adamw_by_share(net.parameters(), 0.01, 0.0)
    scheduler, seen = cycle_by_group(optimizer, 0.01, 20), []
    for _ in range(19):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    shares = [group["params"][0].share if hasattr(group["params"][0], "share") else 1.0 for group in optimizer.param_groups]  # fmt: skip
    assert shares == [1.0, 0.1], "a group a rate, the head's first: its rate is logged"
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, net.parameters())), "each parameter once"
    assert np.allclose(np.array(seen) / np.array(seen)[:, :1], shares)
    assert max(rates[0] for rates in seen) == pytest.approx(0.01, rel=0.05)


def test_test_and_validation_photos_are_seen_whole_and_unchanged():
    data = drawn(size=40)
    for part in ("val", "test"):
        batches = list(data.batches(part, RECIPE))
        assert torch.equal(torch.cat([x for x, _ in batches]), data.x[part].float() / 255)
        assert torch.equal(torch.cat([y for _, y in batches]), data.y[part])
    again = [x for x, _ in data.batches("test", RECIPE)]
    assert torch.equal(again[0], next(data.batches("test", RECIPE))[0])


def test_training_photos_are_cropped_anew_and_sizes_follow_the_recipe():
    data = drawn()
    recipe = RECIPE | {"image_sizes": [48], "augment": ["crop"]}
    first, second, later = (next(data.batches("train", recipe, epoch))[0] for epoch in (0, 0, 1))
    assert first.shape == (8, 3, 48, 48) and later.shape == (8, 3, 32, 32)
    assert not torch.equal(first, second) and 0 <= first.min() and first.max() <= 1
    assert next(data.batches("val", recipe))[0].shape[-1] == 40
    assert data.steps(recipe) == 1, "an incomplete last batch is dropped"


def test_a_crop_is_a_part_of_the_photo():
    ramp = torch.arange(64.0).expand(200, 3, 64, 64)
    cut = random_crop(ramp, 64)
    spans = cut[:, 0, 0, -1] - cut[:, 0, 0, 0]
    assert cut.min() >= 0 and cut.max() <= 63
    assert 0.5**0.5 * (3 / 4) ** 0.5 < (spans / 63).min() < 0.75 and (spans / 63).max() > 0.95
    assert cut[:, 0, 0, 0].std() > 1, "each photo has its own window"


@pytest.mark.parametrize("folders", [("training", "validation", "evaluation"), ("train", "test")])
@pytest.mark.parametrize("flat", [False, True])
def test_food_is_read_from_class_folders_and_from_numbered_names(
    folders, flat, tmp_path, monkeypatch
):
    form = "{part}/{label}_{k}.jpg" if flat else "{part}/dish{label}/{k}.jpg"
    names = [
        form.format(part=part, label=label, k=k)
        for part in folders
        for label in (0, 1)
        for k in (2, 10)
    ]
    write_photos(tmp_path / "food11", names)
    monkeypatch.setenv("A1_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    images, labels, parts, classes, files = load_food(size=16)
    assert images.shape == (len(names), 3, 16, 16) and classes == (
        ["0", "1"] if flat else ["dish0", "dish1"]
    )
    assert parts.tolist() == sorted(parts) and set(parts) == (
        {0, 1, 2} if len(folders) == 3 else {0, 2}
    )
    assert labels.tolist() == [0, 0, 1, 1] * len(folders)
    assert load_food(1, 16)[0].shape[0] == 2 * len(folders), "the first of each class and part"
    assert load_food(size=16)[4] == files != load_food(1, 16)[4]


def test_other_programs_folders_and_capitals_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("A1_DATA", str(tmp_path))
    names = [f"{part}/{k % 2}_{k}.jpg" for part in ("training", "evaluation") for k in range(4)]
    write_photos(tmp_path / "food11", names)
    expected = load_food(size=16)
    (tmp_path / "food11" / "evaluation").rename(tmp_path / "food11" / "Evaluation")
    (tmp_path / "food11" / "training").rename(tmp_path / "food11" / "Training")
    strangers = ("Training/.ipynb_checkpoints", ".cache", "samples", "Evaluation/@eaDir")
    write_photos(tmp_path / "food11", [f"{folder}/1_0-copy.jpg" for folder in strangers])
    found = load_food(size=16)
    assert found[3:] == expected[3:] and torch.equal(found[0], expected[0])


@pytest.mark.parametrize("place", ["A1_PRETRAINED", "A1_DATA", "the file's", "beside", "data"])
def test_weights_are_found_where_data_may_lie(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("A1_PRETRAINED", raising=False)
    monkeypatch.delenv("A1_DATA", raising=False)
    folder = Path({"beside": ".", "data": "data"}.get(place, "named"), "pretrained")
    folder.mkdir(parents=True)
    saved = get_model("squeezenet1_1", weights=None)
    torch.save(saved.state_dict(), folder / "squeezenet1_1.pt")
    named = {"A1_PRETRAINED": folder, "A1_DATA": "'named'", "the file's": "named/food11.zip"}
    Path("named").mkdir(exist_ok=True)
    Path("named/food11.zip").touch()
    if place in named:
        variable = "A1_PRETRAINED" if place == "A1_PRETRAINED" else "A1_DATA"
        monkeypatch.setenv(variable, str(named[place]))
    body = load_body("squeezenet1_1")
    assert torch.equal(body[0].weight, saved.features[0].weight)
    assert not torch.equal(load_body("squeezenet1_1", False)[0].weight, body[0].weight)


def test_food_11_comes_before_the_subset_and_nothing_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("A1_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="food11.zip"):
        find_food()
    write_photos(tmp_path / "food101_10class_160" / "inner", ["train/a/1.jpg", "test/a/1.jpg"])
    assert find_food().name == "inner"
    write_photos(tmp_path / "food11", ["training/a/1.jpg", "evaluation/a/1.jpg"])
    assert find_food().name == "food11"
    for aside in ("food11.as_found", "food11.as_found2"):
        write_photos(tmp_path / aside, ["training/a/1.jpg"])
    assert find_food().name == "food11", "not what `make data` set aside"


def test_split_is_stratified_disjoint_and_without_copies():
    images = torch.randint(256, (120, 3, 4, 4), dtype=torch.uint8)
    labels, parts = torch.arange(120) % 4, np.array([0] * 80 + [2] * 40)
    images[3], images[7] = images[83], images[11]  # a copy of a test photo, two of one in training
    split = split_food(images, labels, parts)
    assert not set(split["train"].tolist()) & set(split["val"].tolist())
    assert split["test"].tolist() == list(range(80, 120))
    both = torch.cat([split["train"], split["val"]]).tolist()
    assert sorted(both) == [i for i in range(80) if i != 3], "test's copy is left out of training"
    assert len({7 in split["val"].tolist(), 11 in split["val"].tolist()}) == 1
    assert labels[split["val"]].bincount().tolist() == [4] * 4
    kept = split_food(images, labels, np.array([0] * 60 + [1] * 20 + [2] * 40))
    assert set(kept["val"].tolist()) == set(range(60, 80)), "a validation part of its own stays"


def test_a_smaller_share_lies_in_a_larger_one_and_has_every_class():
    labels, index = torch.arange(400) % 4, torch.arange(300)
    small, large = (share_of(labels, index, share) for share in (0.05, 0.5))
    assert set(small.tolist()) < set(large.tolist()) <= set(range(300))
    assert labels[small].bincount().tolist() == [4] * 4
    assert torch.equal(share_of(labels, index, 1), index)


def test_drawn_photos_make_two_steps_an_epoch():
    tiny = drawn().tiny()
    assert tiny.steps({"batch_size": 4}) == 2 and set(tiny.y) == {"train", "val"}
    assert isinstance(tiny, FoodPhotos) and tiny.x["train"].device.type == "cpu"


@pytest.mark.parametrize(
    "change", [{}, {"pretrained": False}, {"dropout": 0.9}, {"mirror": True}], ids=str
)
def test_a_record_belongs_to_its_weights_and_network(change, by_share):
    """Needs the ImageNet weights with which the record was made."""
    if not (Path(os.environ.get("A1_PRETRAINED", "data/pretrained")) / "squeezenet1_1.pt").exists():
        pytest.skip("no pre-trained weights here")
    path = ROOT / "runs" / "transfer" / "rates" / "squeezenet1_1-0.001-0.01-seed0.json"
    record, data = json.loads(path.read_text()), drawn()
    data.y["train"] = torch.tensor([9])  # ten classes, as the record's data
    made_by = {"recipe": record["recipe"], "data": record["data"]}
    make_model = partial(TransferNet, "squeezenet1_1", 10, 0.1, **change)
    made_by["probe"] = probe(make_model, record["recipe"], data)
    why = differs(record, made_by)
    assert bool(why) == bool(change), why


def test_a_mean_of_probabilities_can_be_right_where_one_is_wrong():
    sure, unsure = np.array([[0.9, 0.1]]), np.array([[0.4, 0.6]])
    assert np.mean([sure, unsure], axis=0).argmax(1).tolist() == [0]
