from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, safe_open, save_file

import arch
import search
from search.engines.single import train
from search.engines.task import Task
from search.progress import Silent
from search.record.files import read_json, read_lines
from search.record.predictions import (
    Predictions,
    calibration_error,
    class_figures,
    confusion,
    reliability,
    top_accuracy,
)
from search.training.judge import choose_shown, judge
from tests.support import MICRO

RECIPE = {"epochs": 2, "batch": 64, "precision": "fp32"}


def task(folder: Path, **changes: object) -> Task:
    data = {"name": "digits", "val_fraction": 0.2, "split_seed": 3}
    made = Task(str(folder), arch.to_mapping(arch.load(MICRO)), RECIPE, data)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training whose test set was opened."""
    folder = tmp_path_factory.mktemp("trained")
    train(task(folder, test=True), Silent())
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


# From answers to figures, by hand


@pytest.fixture
def four() -> Predictions:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.55, 0.35, 0.1], [0.1, 0.9, 0.0], [0.2, 0.35, 0.45]], np.float32)
    return Predictions(("a", "b", "c"), np.array([0, 1, 1, 0]), probabilities)


def test_confusion_and_classes_by_hand(four: Predictions) -> None:
    assert confusion(four).tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert class_figures(four) == [
        {"class": "a", "images": 2, "accuracy": 0.5, "precision": 0.5},
        {"class": "b", "images": 2, "accuracy": 0.5, "precision": 1.0},
        {"class": "c", "images": 0, "accuracy": None, "precision": 0.0},
    ]
    assert [top_accuracy(four, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


def test_calibration_by_hand(four: Predictions) -> None:
    bins = reliability(four, 2)
    assert [row["images"] for row in bins] == [1, 3]
    assert bins[0]["confidence"] == pytest.approx(0.45)
    assert bins[1]["confidence"] == pytest.approx((0.7 + 0.55 + 0.9) / 3)
    assert bins[1]["accuracy"] == pytest.approx(2 / 3)
    assert calibration_error(bins) == pytest.approx((0.45 + abs(2 - 2.15)) / 4)
    edge = Predictions(("a", "b"), np.array([0, 0]), np.array([[0.5, 0.5], [1.0, 0.0]], np.float32))
    assert [row["images"] for row in reliability(edge, 2)] == [1, 1]  # (lower, upper]
    assert sum(row["images"] for row in reliability(four)) == 4


def test_shown_images_are_drawn_with_a_seed_and_at_most_half_of_them_wrong() -> None:
    right = np.ones(1000, bool)
    right[:100] = False
    shown = choose_shown(right)
    assert (len(shown), int((~right[shown]).sum())) == (40, 20)
    assert shown.tolist() == choose_shown(right).tolist() != choose_shown(right, 1).tolist()
    right[:97] = True
    assert (len(choose_shown(right)), int((~right[choose_shown(right)]).sum())) == (40, 3)
    assert choose_shown(np.array([True, False, True])).tolist() == [0, 1, 2]


def test_answers_are_kept_without_pickles(four: Predictions, tmp_path: Path) -> None:
    kept = replace(
        four, aux={"3b": np.array([0, 1, 2, 0])}, shown=np.array([1]), images=np.zeros((1, 2, 2, 3), np.uint8)
    )
    kept.write(tmp_path / "predictions.npz")
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as found:
        assert sorted(found.files) == ["aux.3b", "classes", "images", "labels", "probabilities", "shown"]
    again = Predictions.read(tmp_path / "predictions.npz")
    assert again.classes == four.classes
    assert np.array_equal(again.probabilities, four.probabilities)
    assert again.aux["3b"].tolist() == [0, 1, 2, 0]
    (tmp_path / "predictions.npz").write_bytes(b"PK no archive")
    with pytest.raises(arch.InputError, match="cannot be read"):
        Predictions.read(tmp_path / "predictions.npz")


# The held-out part


def test_the_held_out_images_give_what_the_training_said(run: Path) -> None:
    opened = read_lines(run / "test_openings.jsonl")
    result = read_json(run / "result.json")
    found = search.evaluate(run)
    assert (found.split, found.data, found.images) == ("val", "digits", result["val_images"])
    assert found.accuracy == result["val_accuracy"]
    assert found.loss == pytest.approx(result["val_loss"], rel=1e-6)
    assert found.heads == result["val_aux_accuracy"]
    assert sum(map(sum, found.confusion)) == found.images
    assert sum(found.confusion[i][i] for i in range(10)) / found.images == pytest.approx(found.accuracy)
    assert found.top5_accuracy is not None
    assert found.top5_accuracy > found.accuracy
    assert 0 < found.calibration_error < 1
    assert read_json(run / "evaluation.json") == json.loads(json.dumps(found.record()))
    assert read_lines(run / "test_openings.jsonl") == opened
    own = search.evaluate(run / "weights.safetensors", "digits")  # by name, the same images
    assert (own.accuracy, own.images) == (found.accuracy, found.images)
    plain = search.evaluate(run, execution="plain")
    assert plain.loss == pytest.approx(found.loss, rel=1e-4)


def test_the_training_normalises_the_other_data_set_too(run: Path) -> None:
    (run / "evaluation.json").unlink(missing_ok=True)
    other = search.evaluate(run, "digits_noisy")
    assert (other.data, other.images) == ("digits_noisy", len(search.load_data("digits_noisy").val))
    assert not (run / "evaluation.json").exists()  # of another data set
    weights = search.read_weights(run)
    noisy = search.load_data("digits_noisy")
    about = weights.about
    normalised = replace(noisy, mean=torch.tensor(about.mean), std=torch.tensor(about.std))
    judged = judge(weights.network(), normalised, noisy.val, about.recipe)
    assert other.loss == pytest.approx(judged.loss, rel=1e-4)
    wrong = judge(weights.network(), noisy, noisy.val, about.recipe)
    assert other.loss != pytest.approx(wrong.loss, rel=1e-3)


def test_weights_that_were_trained_on_the_held_out_images_are_refused(run: Path, tmp_path: Path) -> None:
    train(task(tmp_path / "all", everything=True), Silent())
    with pytest.raises(arch.InputError, match="was trained on everything, the held-out images too"):
        search.evaluate(tmp_path / "all")
    assert search.evaluate(tmp_path / "all", "digits_noisy").images == 143
    old = stripped(run)
    (run / "result.json").rename(run / "elsewhere.json")
    with pytest.raises(arch.InputError, match="name a data set with --data"):
        search.evaluate(old)
    assert not search.evaluate(old, "digits").train_images_known
    (run / "elsewhere.json").rename(run / "result.json")
    result = read_json(run / "result.json")
    assert search.evaluate(old).accuracy == result["val_accuracy"]  # the record beside says which images
    (run / "result.json").write_text(json.dumps(result | {"everything": True}))
    with pytest.raises(arch.InputError, match="was trained on everything"):
        search.evaluate(old)


def stripped(run: Path) -> Path:
    """Weights as an earlier version wrote them: without the data set."""
    path = run / "weights.safetensors"
    with safe_open(path, "pt") as file:
        known = dict(file.metadata())
    about = json.loads(known["about"])
    words = {"spec": known["spec"], "about": json.dumps({k: about[k] for k in ("classes", "recipe", "mean", "std")})}
    tensors = load_file(path)
    path.unlink()
    save_file(tensors, path, words)
    return path


def test_data_that_does_not_fit_or_has_changed_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INCEPTORY_DATA", str(tmp_path))
    for root, size, names in (("two", 32, "01"), ("small", 16, "0123456789"), ("digits", 32, "0123456789")):
        for name in names:
            (tmp_path / root / "train" / name).mkdir(parents=True)
            for i in range(3):
                grey = np.full((size, size, 3), 20 * int(name) + i, np.uint8)
                Image.fromarray(grey).save(tmp_path / root / "train" / name / f"{i}.png")
    with pytest.raises(arch.InputError, match=r"has the classes 0, 1, but .* tells 0, 1, 2, 3 and 6 more apart"):
        search.evaluate(run, "two")
    with pytest.raises(arch.InputError, match="reads 3x32x32 images, but small"):
        search.evaluate(run, "small")
    with pytest.raises(arch.InputError, match="changed since then"):
        search.evaluate(run)  # a folder of that name stands before the embedded one
    with pytest.raises(arch.InputError, match="those of val or of test"):
        search.evaluate(run, split="train")  # type: ignore[arg-type]


# The test set


def test_every_opening_of_the_test_set_is_recorded_and_keeps_the_answers(run: Path) -> None:
    result, first = read_json(run / "result.json"), Predictions.read(run / "predictions.npz")
    (run / "predictions.npz").unlink()
    found = search.evaluate(run, split="test")
    assert [line["reason"] for line in read_lines(run / "test_openings.jsonl")] == [
        "micro after its last epoch",
        "micro by evaluate",
    ]
    assert (found.split, found.images, found.accuracy) == ("test", 359, result["test_accuracy"])
    assert {row["class"]: row["accuracy"] for row in found.classes} == pytest.approx(result["test_class_accuracy"])
    again = Predictions.read(run / "predictions.npz")
    assert np.array_equal(again.shown, first.shown)
    assert np.allclose(again.probabilities, first.probabilities, atol=1e-5)
    assert float((again.predicted == again.labels).mean()) == found.accuracy
    assert again.probabilities.dtype == np.float32
    assert again.probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    assert {row: float((p == again.labels).mean()) for row, p in again.aux.items()} == found.heads
    assert again.images.shape == (len(again.shown), 32, 32, 3)
    assert again.images.dtype == np.uint8
    test = search.load_data("digits").open_test(run / "log", "a test").pixels  # type: ignore[attr-defined]
    assert np.array_equal(again.images[3], test[int(again.shown[3])].permute(1, 2, 0).numpy())


def test_another_test_set_is_recorded_but_its_answers_are_not_the_runs(run: Path) -> None:
    before = (run / "predictions.npz").read_bytes()
    search.evaluate(run, "digits_noisy", "test")
    assert read_lines(run / "test_openings.jsonl")[-1]["data"] == "digits_noisy"
    assert (run / "predictions.npz").read_bytes() == before
    assert not (run / "evaluation.json").exists()
