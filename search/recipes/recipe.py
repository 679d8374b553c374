"""A recipe: everything about training except the network and the data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from arch.errors import InputError, near
from search.recipes.parts import Choice

Weight = Annotated[float, Field(ge=0, le=10)]
APART = ("name", "source", "tensorboard")  # keys that decide nothing about what a training computes
_AUGMENT: list[Choice] = ["crop", "flip", "cutout"]


class Recipe(BaseModel):
    """How a network is trained. Every field has a value; nothing is left to chance.

    Optimizer, schedule, loss and augmentations are those registered by these names (`inceptory list optimizers`, ...),
    yours among them; a mapping such as `{name: lion, beta: 0.99}` sets options of one.

    Attributes
    ----------
    lr : peak learning rate; `warmup` is the part of all steps that climbs to it.
    plain_lr : with `muon`, the peak rate of what is no matrix before a batch norm; unused otherwise.
    schedule : the rate after that; `min_lr`, `gamma`, `step_epochs` and `patience` are read by those that need them.
    augment : what changes training images, in this order; `crop`, `flip` and `cutout` read the keys of their names.
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
    optimizer: Choice = "sgd"
    lr: float = Field(0.1, gt=0, le=100)
    plain_lr: float = Field(0.05, gt=0, le=100)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0, le=1)
    schedule: Choice = "one_cycle"
    warmup: float = Field(0.25, ge=0, lt=1)
    min_lr: float = Field(0.0, ge=0)
    gamma: float = Field(0.5, gt=0, lt=1)
    step_epochs: int = Field(8, ge=1)
    patience: int = Field(5, ge=0)
    # Files and ids from before these two keys lack them, and are those of the same training: left out at their default.
    loss: Choice = Field("cross_entropy", exclude_if=lambda given: given == "cross_entropy")
    augment: list[Choice] = Field(_AUGMENT, exclude_if=lambda given: given == _AUGMENT)
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

    def differing(self, other: Recipe) -> list[str]:
        """Return the keys in which two recipes differ; those `APART` are left out."""
        keys = (key for key in Recipe.model_fields if key not in APART)
        return [key for key in keys if getattr(self, key) != getattr(other, key)]

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
