"""The committed records come from this code: their first training steps are made again."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

import a1.records
from a1.models.resnet import ResNet18
from a1.models.resnext import ResNeXt, zero_last_gamma
from a1.models.vgg import VGG16C
from a1.photos import Photos, find_photos, load_photos, split_indices
from a1.records import train_once
from a1.setup import DEVICE
from a1.train import RECIPE
from bench.networks import drawn_photos
from tools.replay import WITHIN, agree, elsewhere, replay, rescored

ROOT = Path(__file__).parents[1]
RECORDS = sorted(path.relative_to(ROOT) for path in (ROOT / "runs").glob("**/*.json"))
MODELS = {"resnet18": ResNet18, "vgg16c": VGG16C, "resnext": ResNeXt}  # by the record's folder
MODELS["resnext50"] = partial(ResNeXt, (3, 4, 6, 3), 256)
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")


def read(path):
    """A record as JSON."""
    return json.loads((ROOT / path).read_text())


RECORDS = [path for path in RECORDS if "history" in read(path)]  # the others were not trained
SCORED = [path for path in RECORDS if "test" in read(path)["sizes"]]
PHOTOS = [path for path in SCORED if path.parent.name in (*MODELS, "own_rates")]  # of this data


@pytest.fixture(scope="module")
def photos():
    """The course's photos and their split, as every run on all of them gets them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        try:
            found = find_photos()
        except FileNotFoundError as error:
            pytest.skip(str(error))
        if sum(1 for folder in found.values() for _ in folder.iterdir()) < 30_000:
            pytest.skip(f"{found['dogs'].parent} is not the course's whole set")
        images, labels, files = load_photos()
    return Photos(images, labels, split_indices(images, labels), files)


@pytest.mark.parametrize("path", PHOTOS, ids=str)
def test_a_record_is_of_these_photos_and_replays_and_another_seed_does_not(path, photos):
    own, record = path.parent.name == "own_rates", read(path)
    make = MODELS[path.stem.split("-")[0] if own else path.parent.name]
    make_model = (lambda: zero_last_gamma(make())) if own else make
    assert record["data"] == photos.id
    if elsewhere(record):
        pytest.skip(f"recorded on {record['device']}: other devices draw other numbers")
    losses = replay(make_model, record["recipe"], photos)
    assert agree(losses, record["first_losses"]), (losses, record["first_losses"][:3])
    other = replay(make_model, record["recipe"] | {"seed": 9}, photos, steps=1)
    assert not agree(other, record["first_losses"])


@pytest.mark.parametrize(
    "change",
    [{"seed": 4}, {"augment": ["flip", "shift"]}, {"label_smoothing": 0.0}, {"lr": 0.3}],
    ids=str,
)
def test_a_run_of_another_recipe_does_not_replay(change):
    images = torch.randint(256, (60, 3, 64, 64), dtype=torch.uint8, generator=torch.manual_seed(0))
    parts = {"train": torch.arange(48), "val": torch.arange(48, 60)}
    data, make_model = (
        Photos(images, torch.arange(60) % 3, parts, "drawn"),
        partial(ResNet18, width=8),
    )
    recipe = read("runs/resnet18/seed0.json")["recipe"] | {"batch_size": 16, "epochs": 1}
    losses = replay(make_model, recipe, data)
    assert agree(replay(make_model, recipe, data), losses, (0, 0, 0))
    assert not agree(replay(make_model, recipe | change, data), losses)


def test_every_record_can_be_read(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(Path, "replace", lambda path, _: pytest.fail(f"{path} is damaged"))
    needed = set("recipe data probe history best_epoch metrics first_losses parameters".split())
    needed |= set("sizes arrays device precision date versions path test".split())
    assert RECORDS
    for path in RECORDS:
        record = a1.records.read(path)
        assert record.keys() == needed, path
        scores = [epoch.get("val_acc", -epoch["val_loss"]) for epoch in record["history"]]
        kept = record["metrics"].get("val_acc", -record["metrics"]["val_loss"])
        assert record["best_epoch"] == 1 + scores.index(max(scores)), path
        few = record["sizes"]["val"] < 1000  # a photo counts for more
        assert kept == pytest.approx(max(scores), abs=0.02 if few else 0.005), path  # float32


def test_kept_probabilities_give_the_recorded_accuracy(photos):
    y = photos.y["test"].cpu().numpy()
    for path in PHOTOS:
        probs = a1.records.read(ROOT / path)["test"]["test_probs"]
        accuracy = (probs.argmax(1) == y).mean()
        assert abs(accuracy - read(path)["metrics"]["test_acc"]) < 1.5 / len(y), path


@pytest.mark.parametrize(
    "name, run",
    [
        ("a1_part1_vgg16c.pt", "vgg16c/seed1"),
        ("a1_part1_resnet18.pt", "resnet18/seed0"),
        ("a1_bonus_resnext.pt", "resnext/seed0"),
    ],
)
def test_released_weights_give_the_kept_probabilities(name, run, photos):
    """Whatever device trained them: on 64 test photos here, as the record has them."""
    path, model = Path(f"runs/{run}.json"), MODELS[run.split("/")[0]]()
    weights = torch.load(ROOT / "weights" / name, weights_only=True)
    model.load_state_dict(weights)
    with torch.no_grad():
        x, _ = next(photos.batches("test", {"batch_size": 64}))
        probs = model.eval()(x.cpu()).softmax(1).numpy()
    kept = a1.records.read(ROOT / path)["test"]["test_probs"][:64]
    assert (probs.argmax(1) == kept.argmax(1)).all() and abs(probs - kept).max() < 0.02


RELEASED = {"resnet18/seed0": ("a1_part1_resnet18.pt", ResNet18)}  # by the run they are of


@pytest.mark.parametrize("run", RELEASED)
def test_weights_trained_elsewhere_have_the_recorded_accuracy_here(run, photos):
    record, (name, make_model) = read(f"runs/{run}.json"), RELEASED[run]
    if not elsewhere(record):
        pytest.skip("trained on such a device: its first steps are made again above")
    recorded, here = rescored(record, ROOT / "weights" / name, make_model, photos)
    assert abs(recorded - here) <= WITHIN


def test_weights_of_a_run_made_up_elsewhere_are_told_from_other_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, make_model = drawn_photos(48), partial(ResNet18, width=8)
    recipe = RECIPE | {"epochs": 2, "batch_size": 16, "lr": 0.02, "augment": []}
    made = train_once("drawn/seed0", make_model, recipe, data)
    weights = torch.load(made["path"].with_suffix(".pt"), weights_only=True)
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in weights.items()}, "w.pt")
    record = json.loads(made["path"].read_text()) | {"device": "NVIDIA H100, 16 threads"}
    assert elsewhere(record) == (DEVICE.type == "cpu")
    recorded, here = rescored(record, "w.pt", make_model, data)
    assert abs(recorded - here) <= WITHIN
    shares = data.y["test"].bincount() / len(data.y["test"])
    always = int((shares - recorded).abs().argmax())
    weights["classifier.bias"][:] = 100 * torch.eye(3)[always]
    torch.save(weights, "w.pt")
    _, here = rescored(record, "w.pt", make_model, data)
    assert here == pytest.approx(float(shares[always])) and abs(recorded - here) > WITHIN


def test_studies_never_saw_a_test_part():
    studies = [path for path in RECORDS if path not in SCORED]
    assert len(studies) > 90
    for path in studies:
        record = read(path)
        assert record["arrays"] == [] and set(record["sizes"]) == {"train", "val"}, path
        assert not any(name.startswith("test") for name in record["metrics"]), path
