"""Recipes: everything about training except the network and the data, by name or from a YAML file."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arch.errors import InputError, from_validation, near, within
from arch.files.safe_yaml import load_yaml

RECIPES = Path(__file__).parent
Weight = Annotated[float, Field(ge=0, le=10)]
APART = ("name", "source", "tensorboard")  # keys that decide nothing about what a training computes


class Recipe(BaseModel):
    """How a network is trained. Every field has a value; nothing is left to chance.

    Attributes
    ----------
    lr : peak learning rate; `warmup` is the part of all steps that climbs to it.
    plain_lr : with `muon`, the peak rate of what is no matrix before a batch norm; unused otherwise.
    schedule : `constant`; `one_cycle` (linear up, linear down to `min_lr`); `cosine`; `step` (times
        `gamma` every `step_epochs`); `plateau` (times `gamma` once the training loss has not fallen
        for more than `patience` epochs).
    crop, flip, cutout : shift in pixels, mirroring, side of the blackened square; 0 and false: off. `flip:
        alternate` mirrors each image in every other epoch (Jordan 2024, arXiv 2404.00498).
    random_resized_crop : part of each image, resized, for folders of larger images.
    resize : side in pixels that images are brought to; 0 keeps them.
    normalise : `data` (mean and deviation of the training images), `half` ([-1, 1]), `unit` ([0, 1]).
    aux_weight : weight of each auxiliary loss, one for all heads or by the head's row.
    aux_decay : how these weights fall to zero over the training.
    ema : decay of the exponential average of weights that is evaluated; 0: none.
    precision : `auto` takes bf16 where the hardware multiplies it, else fp32.
    max_steps : stops after so many steps, 0: never; the schedule ends there.
    init : overrides the network's initialisation; empty: the network's own.
    tensorboard : writes TensorBoard's event files into the folder of each training (extra `tensorboard`); it
        changes nothing in the training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "default"
    source: str = ""
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "muon"] = "sgd"
    lr: float = Field(0.1, gt=0, le=100)
    plain_lr: float = Field(0.05, gt=0, le=100)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0, le=1)
    schedule: Literal["constant", "one_cycle", "cosine", "step", "plateau"] = "one_cycle"
    warmup: float = Field(0.25, ge=0, lt=1)
    min_lr: float = Field(0.0, ge=0)
    gamma: float = Field(0.5, gt=0, lt=1)
    step_epochs: int = Field(8, ge=1)
    patience: int = Field(5, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    crop: int = Field(4, ge=0, le=64)
    flip: bool | Literal["alternate"] = True
    cutout: int = Field(0, ge=0, le=512)
    random_resized_crop: bool = False
    resize: int = Field(0, ge=0, le=2048)
    normalise: Literal["data", "half", "unit"] = "data"
    aux_weight: Weight | dict[str, Weight] = 0.3
    aux_decay: Literal["none", "linear", "cosine"] = "none"
    ema: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batch: int = Field(128, ge=1, le=65_536)
    epochs: int = Field(8, ge=1, le=100_000)
    max_steps: int = Field(0, ge=0)
    init: Literal["", "torch", "kaiming", "glorot", "truncated"] = ""
    tensorboard: bool = False

    @property
    def id(self) -> str:
        """Sixteen hex digits of all values that are not at their default; those `APART` are left out."""
        values = self.model_dump(exclude=set(APART), exclude_defaults=True)
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def lr_at(self, step: int, steps: int, epoch: int, losses: Sequence[float]) -> float:
        """Return the learning rate of a step (from 0) of `steps`, in `epoch` (from 0).

        `losses` are the training losses of the epochs before; only `plateau` looks at them.
        """
        ramp = self.warmup * steps if self.schedule in ("one_cycle", "cosine") else 0
        if step < ramp:
            return self.lr * (step + 1) / (ramp + 1)
        rest = (step - ramp) / max(1, steps - ramp)
        match self.schedule:
            case "one_cycle":
                return self.min_lr + (self.lr - self.min_lr) * (1 - rest)
            case "cosine":
                return self.min_lr + (self.lr - self.min_lr) * (1 + math.cos(math.pi * rest)) / 2
            case "step":
                return max(self.min_lr, self.lr * self.gamma ** (epoch // self.step_epochs))
            case "plateau":
                return plateau(self.lr, losses, self.gamma, self.patience, self.min_lr)
        return self.lr

    def aux_weights(self, rows: Sequence[str], progress: float) -> dict[str, float]:
        """Return each head's loss weight at `progress` (0 to 1) of the training.

        Raises
        ------
        InputError
            A weight is given for a row that has no auxiliary head.
        """
        factor = {"none": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        return {row: weight * factor[self.aux_decay] for row, weight in self.head_weights(rows).items()}

    def head_weights(self, rows: Sequence[str]) -> dict[str, float]:
        """Return each head's loss weight before any decay; InputError where a row has no head."""
        given = self.aux_weight
        if not isinstance(given, Mapping):
            return dict.fromkeys(rows, given)
        for row in given:
            if row not in rows:
                heads = ", ".join(rows) or "none"
                raise InputError(
                    f"recipe {self.name}: aux_weight names row '{row}', which has no head.{near(row, rows)} Heads: {heads}."
                )
        return {row: given.get(row, 0.0) for row in rows}


def plateau(lr: float, losses: Sequence[float], gamma: float, patience: int, min_lr: float) -> float:
    """Return the learning rate after these training losses, as torch's ReduceLROnPlateau would (mode min)."""
    best, waited = math.inf, 0
    for loss in losses:
        if loss < best * (1 - 1e-4):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            lr, waited = max(lr * gamma, min_lr), 0
    return lr


def list_recipes(pattern: str = "*") -> list[str]:
    """Return the names of the shipped recipes that match a shell wildcard, sorted."""
    return sorted(fnmatch.filter((path.stem for path in RECIPES.glob("*.yaml")), pattern))


def load_recipe(recipe: str | Path | Mapping[str, Any] | Recipe, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe by name, from a YAML file or from a mapping, with some values changed.

    A mapping may name another recipe as its `base`.

    Raises
    ------
    InputError
        There is no such recipe, or a key or value is wrong; names the key and near names.
    """
    if isinstance(recipe, Recipe):
        return _validated(recipe.model_dump() | dict(changes or {}), f"recipe {recipe.name}")
    if isinstance(recipe, Mapping):
        values = dict(recipe)
        base = values.pop("base", None)
        start = load_recipe(str(base)).model_dump() if base else {}
        return _validated(start | values | dict(changes or {}), f"recipe {values.get('name', base or '')}".rstrip())
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{recipe}.yaml"
        if str(recipe) not in list_recipes():
            raise InputError(
                f"there is no recipe '{recipe}'.{near(recipe, list_recipes())} `inceptory list recipes` names all."
            )
    mapping = load_yaml(path)
    if not isinstance(mapping, dict):
        raise InputError(f"{path}: a recipe is a mapping with keys such as lr, batch and epochs.")
    mapping.setdefault("name", path.stem)
    base = mapping.pop("base", None)
    with within(str(path)):
        start = load_recipe(str(base)).model_dump(exclude={"source"}) if base else {}
    return _validated(start | mapping | dict(changes or {}), str(path))


def _validated(values: Mapping[str, Any], where: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise from_validation(error, where, Recipe.model_fields) from None
