"""Channel splits as compositions of a width: how one is drawn, how one is scaled."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from arch.errors import InputError
from arch.registry import Reduced
from arch.specs.edit import Split
from search.space.choosers import Chooser
from search.space.priors import Prior

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


def draw_split(rules: SplitRules, out: int, name: str, chooser: Chooser, prior: Prior) -> Split:
    """Draw a split of `out` channels from a prior by independent uniform picks."""
    # One branch after another takes its width; the last, pool, gets what is left.
    left = total = out // rules.round
    parts = []
    for place, branch in enumerate(Split._fields[:-1]):
        width = rules.least + chooser.pick(f"{name}.{branch}", prior.widths(place, left, total, rules.least))
        parts.append(width * rules.round)
        left -= width
    b1x1, b3x3, b5x5 = parts
    r3, r5 = (_draw_reduction(rules, parts[place], place, name, chooser, prior) for place in (1, 2))
    return Split(b1x1, Reduced(r3, b3x3), Reduced(r5, b5x5), left * rules.round)


def _draw_reduction(rules: SplitRules, out: int, place: int, name: str, chooser: Chooser, prior: Prior) -> int:
    low, high = reduction_bounds(rules, out)
    widths = range(low, high + 1, rules.round)
    weights = prior.reductions(place, [width / out for width in widths])
    return widths[chooser.pick(f"{name}.{Split._fields[place]}.reduce", weights)]


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
