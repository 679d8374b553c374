"""Splits as compositions: how many there are, how one is drawn, and one split in the proportions of another."""

from __future__ import annotations

import math

from arch.registry import Reduced
from arch.specs.edit import Split
from search.space.axes import Splits
from search.space.choosers import Chooser


def compositions(total: int, parts: int, least: int) -> int:
    """Return in how many ways `total` is an ordered sum of `parts` whole numbers of at least `least`."""
    free = total - parts * least
    return math.comb(free + parts - 1, parts - 1) if free >= 0 else 0


def draw_split(splits: Splits, out: int, name: str, chooser: Chooser) -> Split:
    """Draw a split of `out` channels: independent uniform picks make every composition equally likely."""
    left = out // splits.round
    parts = []
    for branch, after in (("b1x1", 3), ("b3x3", 2), ("b5x5", 1)):
        most = left - after * splits.least
        weights = [compositions(left - width, after, splits.least) for width in range(splits.least, most + 1)]
        width = splits.least + chooser.pick(f"{name}.{branch}", weights)
        parts.append(width * splits.round)
        left -= width
    b1x1, b3x3, b5x5 = parts
    r3 = _draw_reduction(splits, b3x3, f"{name}.b3x3.reduce", chooser)
    r5 = _draw_reduction(splits, b5x5, f"{name}.b5x5.reduce", chooser)
    return Split(b1x1, Reduced(r3, b3x3), Reduced(r5, b5x5), left * splits.round)


def _draw_reduction(splits: Splits, out: int, name: str, chooser: Chooser) -> int:
    low, high = reduction_bounds(splits, out)
    return low + splits.round * chooser.pick(name, [1] * ((high - low) // splits.round + 1))


def reduction_bounds(splits: Splits, out: int) -> tuple[int, int]:
    """Return the narrowest and the widest reduction in front of `out` channels."""
    low, high = splits.reduce
    first = max(1, math.ceil(low * out / splits.round))
    return first * splits.round, max(first, math.floor(high * out / splits.round)) * splits.round


def proportional(splits: Splits, drawn: Split, out: int) -> Split:
    """Return a split of `out` channels in the proportions of another one, as near as rounding and bounds allow.

    The branches are rounded by largest remainder, so that they sum exactly to `out`.
    """
    factor = out / drawn.out / splits.round
    wanted = [width * factor for width in (drawn.b1x1, drawn.b3x3.out, drawn.b5x5.out, drawn.pool)]
    parts = [max(splits.least, math.floor(part + 1e-9)) for part in wanted]
    while (left := out // splits.round - sum(parts)) != 0:
        step = 1 if left > 0 else -1
        able = [i for i, part in enumerate(parts) if part + step >= splits.least]
        parts[max(able, key=lambda i: step * (wanted[i] - parts[i]))] += step
    b1x1, b3x3, b5x5, pool = (part * splits.round for part in parts)
    r3 = _reduction(splits, drawn.b3x3, b3x3)
    r5 = _reduction(splits, drawn.b5x5, b5x5)
    return Split(b1x1, Reduced(r3, b3x3), Reduced(r5, b5x5), pool)


def _reduction(splits: Splits, drawn: Reduced, out: int) -> int:
    low, high = reduction_bounds(splits, out)
    return min(max(low, round(drawn.reduce / drawn.out * out / splits.round) * splits.round), high)
