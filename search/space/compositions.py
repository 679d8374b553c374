"""Channel splits as compositions of a width: how many there are, how one is drawn, how one is scaled."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from arch.errors import InputError
from arch.registry import Reduced
from arch.specs.edit import Split
from search.space.choosers import Chooser

_Ratio = Annotated[float, Field(gt=0, le=4)]


class SplitRules(BaseModel):
    """Which splits are allowed.

    Attributes
    ----------
    round : every width is a multiple of it.
    minimum : the narrowest branch.
    reduce : bounds of a reduction's width as parts of the width behind it. Where no multiple of `round` lies
        between them, it is the next one above.
    tolerance : by what part of wanted MACs a network may miss them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    round: int = Field(8, ge=1, le=1024)
    minimum: int = Field(8, ge=1)
    reduce: tuple[_Ratio, _Ratio] = (0.25, 1.0)
    tolerance: float = Field(0.01, gt=0, le=0.5)

    @property
    def least(self) -> int:
        """The narrowest branch, in `round`s."""
        return -(-self.minimum // self.round)


def check_shareable(rules: SplitRules, out: int, where: str, remedy: str = "") -> None:
    """Refuse output channels that four branches cannot share by the rules."""
    if out % rules.round:
        raise InputError(
            f"{where}: {out} output channels are no multiple of round: {rules.round}; choose a divisor of {out}."
        )
    if out < 4 * rules.least * rules.round:
        raise InputError(
            f"{where}: {out} output channels cannot be four branches of at least {rules.minimum}; "
            f"lower minimum or round{remedy}."
        )


def compositions(total: int, parts: int, least: int) -> int:
    """Return in how many ways `total` is an ordered sum of `parts` whole numbers of at least `least`."""
    # Give every part its least; the rest is shared freely, which stars and bars counts.
    free = total - parts * least
    return math.comb(free + parts - 1, parts - 1) if free >= 0 else 0


def draw_split(rules: SplitRules, out: int, name: str, chooser: Chooser) -> Split:
    """Draw a split of `out` channels: independent uniform picks make every composition equally likely."""
    # One branch after another takes its width; the last, pool, gets what is left. A width weighs as much as there
    # are compositions of the rest, so that all splits together are equally likely.
    left = out // rules.round
    parts = []
    for branch, after in (("b1x1", 3), ("b3x3", 2), ("b5x5", 1)):
        most = left - after * rules.least
        weights = [compositions(left - width, after, rules.least) for width in range(rules.least, most + 1)]
        width = rules.least + chooser.pick(f"{name}.{branch}", weights)
        parts.append(width * rules.round)
        left -= width
    b1x1, b3x3, b5x5 = parts
    r3 = _draw_reduction(rules, b3x3, f"{name}.b3x3.reduce", chooser)
    r5 = _draw_reduction(rules, b5x5, f"{name}.b5x5.reduce", chooser)
    return Split(b1x1, Reduced(r3, b3x3), Reduced(r5, b5x5), left * rules.round)


def _draw_reduction(rules: SplitRules, out: int, name: str, chooser: Chooser) -> int:
    low, high = reduction_bounds(rules, out)
    return low + rules.round * chooser.pick(name, [1] * ((high - low) // rules.round + 1))


def reduction_bounds(rules: SplitRules, out: int) -> tuple[int, int]:
    """Return the narrowest and the widest reduction in front of `out` channels."""
    low, high = rules.reduce
    first = max(1, math.ceil(low * out / rules.round))
    return first * rules.round, max(first, math.floor(high * out / rules.round)) * rules.round


def proportional(rules: SplitRules, drawn: Split, out: int) -> Split:
    """Return a split of `out` channels in the proportions of another one, as near as rounding and bounds allow.

    The branches are rounded by largest remainder, so that they sum exactly to `out`.
    """
    factor = out / drawn.out / rules.round
    wanted = [width * factor for width in (drawn.b1x1, drawn.b3x3.out, drawn.b5x5.out, drawn.pool)]
    # Round down, then give or take one `round` at a time where it comes nearest to the wanted widths.
    parts = [max(rules.least, math.floor(part + 1e-9)) for part in wanted]
    while (left := out // rules.round - sum(parts)) != 0:
        step = 1 if left > 0 else -1
        able = [i for i, part in enumerate(parts) if part + step >= rules.least]
        parts[max(able, key=lambda i: step * (wanted[i] - parts[i]))] += step
    b1x1, b3x3, b5x5, pool = (part * rules.round for part in parts)
    r3 = _reduction(rules, drawn.b3x3, b3x3)
    r5 = _reduction(rules, drawn.b5x5, b5x5)
    return Split(b1x1, Reduced(r3, b3x3), Reduced(r5, b5x5), pool)


def _reduction(rules: SplitRules, drawn: Reduced, out: int) -> int:
    low, high = reduction_bounds(rules, out)
    return min(max(low, round(drawn.reduce / drawn.out * out / rules.round) * rules.round), high)
