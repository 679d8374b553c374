from __future__ import annotations

import math

import numpy as np
import pytest

from arch.errors import InputError
from search.statistics.score import SCORES, reliabilities, scores

FIGURES = [
    {"val_accuracy": 0.70, "val_loss": 0.9, "train_accuracy": 0.60},
    {"val_accuracy": 0.72, "val_loss": 0.8, "train_accuracy": 0.60},
    {"val_accuracy": 0.74, "val_loss": 0.7, "train_accuracy": 0.66},
]


def test_accuracy_is_in_points() -> None:
    assert list(scores(FIGURES, "val_accuracy")) == pytest.approx([70.0, 72.0, 74.0])


def test_loss_takes_the_mean_and_the_spread_of_accuracy() -> None:
    assert list(scores(FIGURES, "val_loss")) == pytest.approx([70.0, 72.0, 74.0])
    turned = [figure | {"val_loss": -figure["val_loss"]} for figure in FIGURES]
    assert list(scores(turned, "val_loss")) == pytest.approx([74.0, 72.0, 70.0])


def test_loss_and_training_is_their_mean() -> None:
    """Standardised losses are -1, 0, 1 times 1.2247; training accuracies -1, -1, 2 times 0.7071; accuracy's sd 1.633."""
    sd = math.sqrt(8 / 3)
    loss, training = np.array([-1, 0, 1]) * math.sqrt(1.5), np.array([-1, -1, 2]) * math.sqrt(0.5)
    assert list(scores(FIGURES, "loss_and_training")) == pytest.approx(list(72 + sd * (loss + training) / 2))


@pytest.mark.parametrize("by", SCORES)
def test_no_spread_and_few_trainings(by: str) -> None:
    assert len(scores([], by)) == 0
    assert list(scores(FIGURES[:1], by)) == pytest.approx([70.0])
    assert list(scores([FIGURES[0]] * 3, by)) == pytest.approx([70.0] * 3)
    same_loss = [figure | {"val_loss": 0.5} for figure in FIGURES]
    assert np.isfinite(scores(same_loss, by)).all()


@pytest.mark.parametrize("by", SCORES)
def test_a_diverged_training_changes_no_score_of_the_others(by: str) -> None:
    lost = {"val_accuracy": 0.1, "val_loss": 1e6, "train_accuracy": 0.1}
    more = scores([*FIGURES, *FIGURES, lost], by)
    assert list(more[:-1]) == pytest.approx(list(scores([*FIGURES, *FIGURES], by)))
    assert more[-1] < min(more[:-1]) - 10


def test_errors_of_scores() -> None:
    with pytest.raises(InputError, match="one of val_accuracy, val_loss, loss_and_training; 'loss' came"):
        scores(FIGURES, "loss")
    with pytest.raises(InputError, match="train_accuracy of every training; number 1 has None"):
        scores([FIGURES[0], {"val_accuracy": 0.7, "val_loss": 0.8}], "loss_and_training")
    with pytest.raises(InputError, match="number 0 has nan"):
        scores([{"val_accuracy": 0.7, "val_loss": math.nan}], "val_loss")


def test_reliability_by_hand() -> None:
    """Networks at 70, 72 and 74, 76: mean squares 16 between, 2 within; own variance (16 - 2) / 2 = 7 to 2 of noise."""
    figures = [{"val_accuracy": value / 100, "val_loss": -value} for value in (70, 72, 74, 76)]
    found = reliabilities(figures, ["a", "a", "b", "b"], ["val_accuracy", "val_loss"])
    for one, score in zip(found, ("val_accuracy", "val_loss"), strict=True):
        assert one == (score, pytest.approx(7 / 9), pytest.approx(3.5), 2, 4)


def test_seeds_are_removed() -> None:
    """The same, with a training's difference being its seed's alone: no noise is left."""
    figures = [{"val_accuracy": value / 100} for value in (70, 72, 74, 76)]
    found = reliabilities(figures, ["a", "a", "b", "b"], ["val_accuracy"], seeds=[0, 1, 0, 1])[0]
    assert found.reliability == pytest.approx(1.0)
    assert found.ratio > 1e6
    with pytest.raises(InputError, match="every network has every seed once"):
        reliabilities(figures, ["a", "a", "b", "b"], ["val_accuracy"], seeds=[0, 1, 0, 2])


def test_known_reliability_is_found_with_unequal_numbers() -> None:
    rng, names = np.random.default_rng(0), [str(i) for i in range(400) for _ in range(1 + i % 3)]
    own = rng.normal(0, 0.02, 400)
    figures = [{"val_accuracy": 0.7 + own[int(name)] + rng.normal(0, 0.01)} for name in names]
    assert reliabilities(figures, names, ["val_accuracy"])[0].reliability == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("candidates", [["a", "a", "a"], ["a", "b", "c"]])
def test_nothing_to_compare(candidates: list[str]) -> None:
    with pytest.raises(InputError, match="at least two networks, one of them trained twice"):
        reliabilities(FIGURES, candidates)
