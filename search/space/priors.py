"""How likely each channel split is: all alike, or those around a reference's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from arch.registry import Reduced
from arch.specs.edit import Split

_Logs = NDArray[np.float64]
_BRANCHES = len(Split._fields)
_LEAST_WEIGHT = 1e-9  # of the likeliest choice's: what `Around` gives to the unlikeliest


class Prior(Protocol):
    """Weighs what `search.space.compositions.draw_split` picks from; widths are counted in `round`s."""

    def widths(self, place: int, left: int, total: int, least: int) -> Sequence[float]:
        """Return the weight of each width of the branch at `place` from `least` on, with `left` of `total` to share."""
        ...

    def reductions(self, place: int, ratios: Sequence[float]) -> Sequence[float]:
        """Return the weight of each reduction of the branch at `place`, given as parts of the width behind it."""
        ...


class Uniform:
    """Every composition is equally likely, and every reduction."""

    def widths(self, place: int, left: int, total: int, least: int) -> Sequence[float]:
        """Weigh a width by how many compositions of the rest there are."""
        after = _BRANCHES - 1 - place
        return [compositions(left - width, after, least) for width in range(least, left - after * least + 1)]

    def reductions(self, place: int, ratios: Sequence[float]) -> Sequence[float]:
        """Weigh all alike."""
        return [1] * len(ratios)


class Around(NamedTuple):
    """Splits around a reference's, compared by shares, so that a scaled row has the same distribution.

    A composition weighs the product over its branches of `exp(-(log(share / reference's share) / spread)^2 / 2)`, and
    a reduction the same of its ratio to the width behind it. A spread of infinity would be `Uniform`.

    Picks in order draw exactly from it: a branch's width weighs its own factor times the sum over all ways to share
    the rest. Only what is less than 1e-9 as likely as the likeliest width is raised to that, so that each split has a
    quantile that a float can hold.
    """

    reference: Split
    spread: float

    def widths(self, place: int, left: int, total: int, least: int) -> Sequence[float]:
        """Weigh a width by its share, and by the weights of all ways to share the rest."""
        widths = self.reference.b1x1, self.reference.b3x3.out, self.reference.b5x5.out, self.reference.pool
        shares = tuple(width / self.reference.out for width in widths)
        kernels, sums = _tables(shares, self.spread, total, least)
        after = _BRANCHES - 1 - place
        rest = sums[place + 1][after * least : left - least + 1]
        return _floored(kernels[place][least : left - after * least + 1] + rest[::-1])

    def reductions(self, place: int, ratios: Sequence[float]) -> Sequence[float]:
        """Weigh a reduction by its ratio."""
        reduced: Reduced = self.reference[place]  # type: ignore[assignment]
        return _floored(_log_kernel(np.asarray(ratios), reduced.reduce / reduced.out, self.spread))


def compositions(total: int, parts: int, least: int) -> int:
    """Return in how many ways `total` is an ordered sum of `parts` whole numbers of at least `least`."""
    # Give every part its least; the rest is shared freely, which stars and bars counts.
    free = total - parts * least
    return math.comb(free + parts - 1, parts - 1) if free >= 0 else 0


@lru_cache(maxsize=1024)
def _tables(shares: tuple[float, ...], spread: float, total: int, least: int) -> tuple[list[_Logs], list[_Logs]]:
    """Return by branch the log weights of its widths 0 to `total`, and of all ways to share these from it on."""
    kernels = []
    for share in shares:
        kernel = np.full(total + 1, -np.inf)
        kernel[least:] = _log_kernel(np.arange(least, total + 1) / total, share, spread)
        kernels.append(kernel)
    # From the last branch, which takes all that is left, to the first. Logarithms do not underflow.
    sums = [kernels[-1]]
    for kernel in reversed(kernels[:-1]):
        rest = sums[0]
        sums.insert(0, np.array([np.logaddexp.reduce(kernel[: n + 1] + rest[n::-1]) for n in range(total + 1)]))
    return kernels, sums


def _log_kernel(values: _Logs, center: float, spread: float) -> _Logs:
    return -0.5 * (np.log(values / center) / spread) ** 2


def _floored(logs: _Logs) -> list[float]:
    """Return weights from their logarithms, the largest as 1."""
    return [float(weight) for weight in np.maximum(np.exp(logs - logs.max()), _LEAST_WEIGHT)]
