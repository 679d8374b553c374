"""The style: norm, bias, activation and initialisation that all layers of a network share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Style(BaseModel):
    """Norm, bias, activation and initialisation of every layer that does not say otherwise.

    `bias` None gives a bias exactly where no norm follows. `momentum` is torch's: the weight of the
    new batch in the running statistics. `batch_shift` is a batch norm without a scale, TF-Slim's default.
    `std` is the deviation of `init: truncated`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: Literal["batch", "batch_shift", "none"] = "batch"
    eps: float = Field(1e-5, gt=0, lt=1)
    momentum: float = Field(0.1, gt=0, le=1)
    bias: bool | None = None
    activation: Literal["relu", "none"] = "relu"
    init: Literal["torch", "kaiming", "glorot", "truncated"] = "torch"
    std: float = Field(0.1, gt=0, le=10)

    def has_bias(self, norm: bool) -> bool:
        """Say whether a convolution with or without `norm` has a bias."""
        return not norm if self.bias is None else self.bias
