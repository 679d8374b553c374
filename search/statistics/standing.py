"""Where the candidates of a run stand: what its recorded trainings say of each one's gain over the base network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.record.files import read_json, read_yaml
from search.record.layout import BASE, PILOT, RESULT, allowed_changes, comparable_since, results
from search.statistics.effects import Effects, Training, estimate
from search.statistics.score import scores

_FIGURES = ("val_accuracy", "val_loss", "train_accuracy")
# What makes training images, the loss or the averaging over an epoch another measure, where a recipe varies it.
_CHANGES_TRAINING: tuple[str, ...] = (
    "augment",
    "crop",
    "flip",
    "cutout",
    "random_resized_crop",
    "resize",
    "label_smoothing",
    "batch",
)
_CHANGES_TRAINING += ("epochs", "loss", "normalise", "max_steps")


@dataclass(frozen=True)
class Ran:
    """A complete training of a candidate: its seed, its length and its last figures."""

    key: str
    seed: int
    epochs: int
    figures: Mapping[str, float]

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Ran:
        """Return it from its result."""
        return cls(result["key"], result.get("seed", 0), result["epochs"], {name: result[name] for name in _FIGURES})


@dataclass(frozen=True)
class Standing:
    """What a run's trainings say of its candidates.

    Attributes
    ----------
    score : what they were compared by.
    epochs : the length of the trainings that count; None: any, where the space varies it.
    numbers : the first complete trial of each candidate, by key. One that only the pilot trained has none.
    """

    effects: Effects
    score: str
    epochs: int | None
    numbers: Mapping[str, int]

    @property
    def ranked(self) -> list[int]:
        """The candidates' first complete trials, best first by expected gain."""
        keys = [self.effects.candidates[index] for index in self.effects.order()]
        return [self.numbers[key] for key in keys if key in self.numbers]


def chosen_score(given: str, varied: Sequence[str]) -> str:
    """Return the score that `auto` stands for, by the recipe's keys that a space varies; any other stays.

    Training accuracy compares networks only where all see images of the same kind for equally long.
    """
    if given != "auto":
        return given
    return "val_loss" if set(varied) & set(_CHANGES_TRAINING) else "loss_and_training"


def estimated(ran: Sequence[Ran], base: str, epochs: int | None, score: str) -> Effects | None:
    """Return the gains over the base in points of held-out accuracy; None before both have a training.

    Parameters
    ----------
    epochs : only trainings of this length are compared; None: all, where a space varies the length.
    """
    alike = [t for t in ran if epochs in (None, t.epochs) and None not in t.figures.values()]
    compared = {training.key for training in alike}
    if base not in compared or len(compared) < 2:
        return None
    values = scores([training.figures for training in alike], score)
    trainings = [Training(t.key, t.seed, float(v)) for t, v in zip(alike, values, strict=True)]
    return estimate(trainings, base)


def standing(run: Path) -> Standing | None:
    """Return where the candidates of a study stand by its record; None where `standing_of` has none."""
    return standing_of(read_yaml(run / "study.yaml", "space", "recipe"), recorded_trainings(run))


def standing_of(config: Mapping[str, Any], trainings: Iterable[Mapping[str, Any]]) -> Standing | None:
    """Return where the candidates of a study stand.

    None where nothing tells noise from merit: a study that has no race, and repeats neither its base nor a candidate.
    None too for several objectives, and before base and a candidate have a training.

    Parameters
    ----------
    config : the keys of the study's file, every default written out.
    trainings : the results of its base, trials and pilot (whose `trial` is `pilot`), in this order.
    """
    if not isinstance(config.get("objective", ""), str):
        return None
    ran: dict[tuple[str, int], Ran] = {}
    numbers: dict[str, int] = {}
    base = ""
    for result in trainings:
        if BASE in (result["trial"], result.get("piloted")):
            base = result.get("key", "")
        if result["trial"] == PILOT and result["epochs"] != config["recipe"]["epochs"]:
            continue  # a short training, which says nothing next to full ones
        if result["state"] != "complete" or "duplicate_of" in result or not result.keys() >= {"key", *_FIGURES}:
            continue
        ran.setdefault((result["key"], result.get("seed", 0)), Ran.of(result))
        if isinstance(result["trial"], int):
            numbers.setdefault(result["key"], result["trial"])
    repeated = len({key for key, _ in ran}) < len(ran)
    if not base or not (config.get("race") or repeated):
        return None
    varied = list(config["space"].get("recipe") or ())
    epochs = None if "epochs" in varied else config["recipe"]["epochs"]
    score = chosen_score((config.get("race") or {}).get("score", "auto"), varied)
    effects = estimated(list(ran.values()), base, epochs, score)
    return Standing(effects, score, epochs, numbers) if effects else None


def recorded_trainings(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the results of a study's base, pilot and trials that may be compared with the newest ones."""
    since = comparable_since(allowed_changes(run))
    if (run / BASE / RESULT).exists():
        yield read_json(run / BASE / RESULT, "state")
    yield from (result for result in results(run) if result["trial"] >= since and "key" in result)
    for path in sorted((run / PILOT).glob("*/*/result.json")):
        yield read_json(path, "state", "key") | {"trial": PILOT}
