"""The schema of each file of a run: a reader gets an error with file and key where a file was changed by hand.

Further keys are allowed, so that newer runs stay readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from arch.errors import InputError, from_validation

_Figure = float | None
_Share = Annotated[float, Field(ge=0, le=1)] | None  # of images
_Count = Annotated[int, Field(ge=0, le=10**18)] | None
_Figures = dict[str, _Figure] | None
# a network's name is a folder's, and leads nowhere else
_Folder = Annotated[str, StringConstraints(pattern=r"^\.?[A-Za-z0-9_,=+-][A-Za-z0-9_.,=+-]*$", max_length=250)]


class _Extendable(BaseModel):
    model_config = ConfigDict(extra="allow")


class Result(_Extendable):
    """`result.json` of a training."""

    state: str
    reason: str | None = None
    key: str = ""
    trial: Annotated[int, Field(ge=0)] | str | None = None
    epochs: _Count = None
    seconds: _Figure = None
    images_per_second: _Figure = None
    train_images: _Count = None
    val_images: _Count = None
    val_accuracy: _Share = None
    val_loss: _Figure = None
    train_accuracy: _Share = None
    train_loss: _Figure = None
    test_accuracy: _Share = None
    test_loss: _Figure = None
    macs: _Count = None
    params: _Count = None
    activations: _Count = None
    aux_macs: _Count = None
    aux_params: _Count = None
    searched: dict[str, Any] | None = None
    val_aux_accuracy: _Figures = None
    test_aux_accuracy: _Figures = None
    test_class_accuracy: _Figures = None
    proxies: _Figures = None


class Metrics(_Extendable):
    """A line of `metrics.jsonl`: an epoch."""

    epoch: int
    epochs: int | None = None
    images_per_second: float | None
    train_loss: _Figure = None
    val_accuracy: _Figure = None


class Planned(_Extendable):
    """A network of a plan."""

    spec: dict[str, Any]
    recipe: dict[str, Any]
    key: str


class PlanFile(_Extendable):
    """`plan.json` of a confirmation or an ablation."""

    fingerprint: dict[str, Any]
    seeds: list[int]
    networks: dict[_Folder, Planned]
    recipe: dict[str, Any]


class StudyFile(_Extendable):
    """`study.yaml` of a run, as far as reports read it; with a training's exported tables it holds only the recipe."""

    name: str = ""
    objective: str | Annotated[list[str], Field(min_length=1)] = ""
    trials: int = 0
    space: dict[str, Any] = {}


class AblationFile(_Extendable):
    """`ablation.yaml` of a run, as far as reports read it."""

    name: str


class RecipeFile(_Extendable):
    """`recipe.yaml` of a training."""

    aux_weight: float | dict[str, float] = 0.0


class Anything(_Extendable):
    """A mapping."""


KINDS: dict[str, type[_Extendable]] = {
    "result.json": Result,
    "metrics.jsonl": Metrics,
    "plan.json": PlanFile,
    "study.yaml": StudyFile,
    "ablation.yaml": AblationFile,
    "recipe.yaml": RecipeFile,
}


def checked(path: Path, value: Any, line: int = 0) -> dict[str, Any]:
    """Return what a file of a run, or a line of it, holds, as it is; the file's name says what that must be.

    Raises
    ------
    InputError
        It lacks a key, or a value is of another kind; names file, line and key.
    """
    where = f"{path}, line {line}: damaged" if line else f"{path}: damaged"
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: holds no mapping, as it did when it was written; set it aside.")
    kind = KINDS.get(path.name, Anything)
    try:
        kind.model_validate(value)
    except ValidationError as error:
        raise from_validation(error, where, kind.model_fields) from None
    return dict(value)
