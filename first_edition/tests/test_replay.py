"""The committed records come from this code: their first training steps are made again and compared."""

import hashlib
import itertools
import json
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from a1.data.images import (
    ImageSet,
    ImageSplits,
    find_cnn_dataset,
    load_cnn_dataset,
    split_indices,
)
from a1.models.resnet import ResNet18
from a1.models.resnext import ResNeXt
from a1.models.vgg import VGG16C
from a1.models.vgg_deep import VGGDeep
from a1.runs import fit_or_load, read_sealed, run_config, sha256_of
from a1.setup import DEVICE, seed_everything
from a1.train import Recipe, Training, train_epoch

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "runs").glob("*.json"))
CONSTRUCTORS = {
    "resnet18": [ResNet18, partial(ResNet18, stem="3x3")],
    "vgg16c": [VGG16C],
    "vgg_deep": [VGGDeep],
    "resnext": [ResNeXt],
}
# Relative, one per step. In bfloat16 another number of threads or another instruction set moved the losses of
# the photos by up to 0.1%, 0.3% and 0.3%; another seed moved one of them by 5% at least.
TOLERANCES = np.array([0.005, 0.01, 0.01])


def recipe_of(record):
    """The Recipe of a record, whose fields must be today's."""
    values = record["config"]["recipe"]
    assert values.keys() == {field.name for field in fields(Recipe)}
    return Recipe(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def constructor_of(record):
    """The constructor among those known for the record's name whose network is the recorded one; else None."""
    for make_model in CONSTRUCTORS[record["name"]]:
        with torch.device("meta"):
            if repr(make_model()) == record["config"]["architecture"]:
                return make_model
    return None


def replay(make_model, recipe, data):
    """Losses of a run's first training steps, made again."""
    seed_everything(recipe.seed)
    model = make_model().to(DEVICE, memory_format=torch.channels_last)
    run = Training(model, data, recipe)
    batches = itertools.islice(data.loader("train", recipe, train=True, epoch=0), len(TOLERANCES))
    losses = []
    train_epoch(model, batches, run.optimizer, recipe, run.scaler, run.step_scheduler, losses.append)
    return [float(loss) for loss in losses]


def agree(losses, recorded):
    """Whether losses equal the first recorded ones within the tolerances."""
    recorded = np.array(recorded[: len(losses)])
    return bool((abs(losses - recorded) <= TOLERANCES * recorded).all())


NONE_YET = pytest.param(None, marks=pytest.mark.skip("no record in runs/ yet"), id="none")
for_each_record = pytest.mark.parametrize("path", RECORDS or [NONE_YET], ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def photos():
    """The course's photos and their split, as every run on all of them gets them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        source = find_cnn_dataset()
        if source is None:
            pytest.skip("no CNN data set: put cnn_dataset.zip into data/ or name its folder in A1_DATA")
        image_set = load_cnn_dataset(source)
    indices = split_indices(image_set.images, image_set.labels, seed=0)
    return image_set, ImageSplits(image_set, indices, DEVICE)


@for_each_record
def test_a_committed_record_is_whole(path):
    record = read_sealed(path)
    key = hashlib.sha256(json.dumps(record["config"], sort_keys=True).encode()).hexdigest()
    assert record["key"] == key and path.stem == f"{record['name']}-{key[:10]}"
    assert sha256_of(path.with_suffix(".npz")) == record["probs_sha256"]


@for_each_record
def test_a_committed_record_replays(path, photos):
    record = read_sealed(path)
    if record["name"] not in CONSTRUCTORS:
        pytest.skip(f"{record['name']} is replayed by the tests of its own part")
    recorded_on = "cpu" if " CPU" in record["device"] else "cuda"
    if recorded_on != DEVICE.type:
        pytest.skip(f"recorded on {record['device']}: another kind of device draws other random numbers")
    image_set, data = photos
    if len(image_set.names) != sum(record["data"]["sizes"].values()):
        pytest.skip(f"recorded on {record['data']['source']}, found {image_set.source}")

    assert data.about["files"] == record["data"]["files"]
    assert data.about["split"] == record["data"]["split"]
    assert data.fingerprint == record["config"]["data"]
    make_model, recipe = constructor_of(record), recipe_of(record)
    assert make_model, f"no network that {record['name']} builds today is the recorded one"
    config = {
        name: value for name, value in record["config"].items() if name != "recorder"
    }  # it only watches
    assert json.loads(json.dumps(run_config(make_model, recipe, data))) == config
    losses = replay(make_model, recipe, data)
    assert agree(losses, record["first_losses"]), (losses, record["first_losses"])


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """The record of a short run on drawn images, and its data."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.arange(60) % 3
    image_set = ImageSet(images, labels, [f"{n}.jpg" for n in range(60)], "drawn", "60 drawn images", [])
    data = ImageSplits(image_set, split_indices(images, labels), DEVICE)
    augment = ("flip", "shift", "color")
    recipe = Recipe(epochs=1, batch_size=10, label_smoothing=0.1, augment=augment, image_sizes=(32,), seed=3)
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RETRAIN", raising=False)
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        run = fit_or_load("resnet18", partial(ResNet18, stem="3x3"), recipe, data, folder)
    return read_sealed(run.path), data


def test_recipe_and_network_are_read_back_from_a_record(short_run):
    record, data = short_run
    make_model = constructor_of(record)
    assert make_model.keywords == {"stem": "3x3"}
    assert json.loads(json.dumps(run_config(make_model, recipe_of(record), data))) == record["config"]


def test_a_record_of_this_code_replays(short_run):
    record, data = short_run
    assert agree(replay(constructor_of(record), recipe_of(record), data), record["first_losses"])


@pytest.mark.parametrize("change", [{"seed": 4}, {"augment": ["flip", "shift"]}, {"lr": 0.2}], ids=str)
def test_a_record_of_another_recipe_does_not(short_run, change):
    record, data = short_run
    other = {**record, "config": {**record["config"], "recipe": {**record["config"]["recipe"], **change}}}
    losses = replay(constructor_of(record), recipe_of(other), data)
    assert not agree(losses, record["first_losses"])


def test_a_network_that_is_not_ours_is_noticed(short_run):
    record, _ = short_run
    other = {**record["config"], "architecture": record["config"]["architecture"].replace("512", "256")}
    assert constructor_of({**record, "config": other}) is None
