"""Solve widths for equal cost: splits in given proportions are scaled until a network has a wanted number of MACs.

All MACs here are exact, those of `arch.cost` without auxiliary heads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from arch.analysis.cost import cost, row_macs
from arch.analysis.shapes import place_network
from arch.nodes import Shape
from arch.registry import Reduced
from arch.specs.edit import Split, split_of, with_splits
from arch.specs.spec import Spec
from search.space.compositions import SplitRules, proportional, reduction_bounds

_SCALINGS = 40  # factors tried at most
_WIDENINGS = 8  # output widths moved at most


@dataclass(frozen=True)
class _Goal:
    """The wanted MACs, and the drawn proportions and output channels of each searched row."""

    macs: int
    drawn: Mapping[str, Split]
    outs: Mapping[str, float]
    rules: SplitRules

    def misses(self, macs: int) -> int:
        """Return by how many MACs a network is off."""
        return abs(macs - self.macs)

    def met(self, macs: int) -> bool:
        """Return whether a network is within the tolerance."""
        return self.misses(macs) <= self.rules.tolerance * self.macs


@dataclass(frozen=True)
class Solved:
    """The spec nearest to the wanted MACs.

    Attributes
    ----------
    missed : why it is infeasible; empty where it is within the tolerance.
    violation : by what part of the wanted MACs it misses the tolerance; 0 where it does not.
    """

    spec: Spec
    missed: str = ""
    violation: float = 0.0


@dataclass(frozen=True)
class _Network:
    """A spec and its MACs."""

    spec: Spec
    macs: int


@dataclass(frozen=True)
class _Move:
    """A reduction one `round` wider or narrower: the row's split after it, and the change of its MACs."""

    row: str
    split: Split
    gain: int


def solve(
    spec: Spec,
    proportions: Mapping[str, Split],
    macs: int,
    rules: SplitRules,
    outs: Mapping[str, float] = MappingProxyType({}),
    near: float | None = None,
) -> Solved:
    """Return the spec with the widths of some rows scaled by one factor, so that it has the base's `macs`.

    The result is the nearest network of the search; it need not be within the tolerance.

    Parameters
    ----------
    proportions : the split in whose proportions each of these rows is scaled.
    outs : output channels before rounding, where a row's are not those that it has.
    near : by what part of `macs` a spec may miss them and keep its output channels, where reductions make up for it;
        such a spec is not scaled, and one within the tolerance stays as it is. None: every spec is scaled.
    """
    wanted = {name: outs.get(name, split_of(spec.row(name)).out) for name in proportions}
    goal = _Goal(macs, proportions, wanted, rules)
    if near is not None and goal.misses(cost(spec).macs) <= near * macs:
        kept = _with_reductions_moved(_Network(spec, cost(spec).macs), goal)
        if goal.met(kept.macs):
            return Solved(kept.spec)
    # Coarse to fine: one factor scales the output widths of all rows, then single reductions move by one `round`.
    found = _with_reductions_moved(_scaled(spec, goal), goal)
    # Where rounding still leaves too much, single output widths move too, each time with the reductions repaired.
    for _ in range(_WIDENINGS):
        if goal.met(found.macs):
            break
        better = _with_output_moved(found, goal)
        if goal.misses(better.macs) >= goal.misses(found.macs):
            break
        found = better
    if goal.met(found.macs):
        return Solved(found.spec)
    bounds = f"{rules.tolerance * 100:g} % of the base network's {macs:,} MACs"
    reason = f"no widths within {bounds}; the nearest have {found.macs:,}"
    return Solved(found.spec, reason, abs(found.macs / macs - 1) - rules.tolerance)


def _scaled(spec: Spec, goal: _Goal) -> _Network:
    """Return the network at the best factor for all output widths.

    MACs grow almost with the square of the factor, which gives the next guess. `low` and `high` bracket the factor:
    a guess outside of them is replaced by their middle.
    """
    best: _Network | None = None
    factor, low, high = 1.0, 0.0, math.inf
    tried: set[tuple[int, ...]] = set()
    for _ in range(_SCALINGS):
        widths = _widths(goal, factor)
        if widths in tried:  # so small a step changes no rounded width
            factor = _between(low, high)
            widths = _widths(goal, factor)
        if widths in tried:
            break
        tried.add(widths)
        now = _with_outputs(spec, goal, dict(zip(goal.drawn, widths, strict=True)))
        if best is None or goal.misses(now.macs) < goal.misses(best.macs):
            best = now
        if goal.met(now.macs):
            break
        low, high = (factor, high) if now.macs < goal.macs else (low, factor)
        factor *= math.sqrt(goal.macs / now.macs)
        if not low < factor < high:
            factor = _between(low, high)
    assert best is not None  # the first factor is always tried
    return best


def _between(low: float, high: float) -> float:
    return 2 * low if high == math.inf else (low + high) / 2


def _widths(goal: _Goal, factor: float) -> tuple[int, ...]:
    """Return the output widths of the rows, scaled and rounded."""
    unit, least = goal.rules.round, 4 * goal.rules.least
    return tuple(unit * max(least, round(factor * out / unit)) for out in goal.outs.values())


def _with_outputs(spec: Spec, goal: _Goal, widths: Mapping[str, int]) -> _Network:
    """Return the spec with rows of other output widths, each split in its drawn proportions."""
    changed = {name: proportional(goal.rules, goal.drawn[name], width) for name, width in widths.items()}
    spec = with_splits(spec, changed)
    return _Network(spec, cost(spec).macs)


def _with_reductions_moved(now: _Network, goal: _Goal) -> _Network:
    """Move one reduction after another by one `round`, each time the one that comes nearest to the goal.

    A reduction changes no other row, so a move in one row leaves the gains in the others as they are.
    """
    if goal.met(now.macs):
        return now
    spec, macs = now.spec, now.macs
    # Compute the gain of every possible move once; after a move only its own row's are computed again.
    inputs = {row.name: part.input for row, part in zip(spec.rows, place_network(spec).rows, strict=True)}
    moves = {name: _moves(spec, name, inputs[name], goal.rules) for name in goal.drawn}
    while not goal.met(macs):
        move = min(itertools.chain(*moves.values()), key=lambda move: goal.misses(macs + move.gain), default=None)
        if not move or goal.misses(macs + move.gain) >= goal.misses(macs):
            break
        spec = with_splits(spec, {move.row: move.split})
        macs += move.gain
        moves[move.row] = _moves(spec, move.row, inputs[move.row], goal.rules)
    return _Network(spec, cost(spec).macs)


def _moves(spec: Spec, name: str, shape: Shape, rules: SplitRules) -> list[_Move]:
    """Return every way to make one reduction of a row one `round` wider or narrower within its bounds."""
    row = spec.row(name)
    split, before = split_of(row), row_macs(spec, row, shape)
    moves = []
    for branch in ("b3x3", "b5x5"):
        reduced: Reduced = getattr(split, branch)
        low, high = reduction_bounds(rules, reduced.out)
        for width in (reduced.reduce - rules.round, reduced.reduce + rules.round):
            if low <= width <= high:
                moved = Split(**(split._asdict() | {branch: Reduced(width, reduced.out)}))
                after = with_splits(spec, {name: moved}).row(name)
                moves.append(_Move(name, moved, row_macs(spec, after, shape) - before))
    return moves


def _with_output_moved(now: _Network, goal: _Goal) -> _Network:
    """Make one row one `round` wider or narrower, and repair the reductions; the nearest of all rows."""
    widths = {name: split_of(now.spec.row(name)).out for name in goal.drawn}
    unit, least = goal.rules.round, 4 * goal.rules.least * goal.rules.round
    options = [
        _with_outputs(now.spec, goal, {name: width + step})
        for name, width in widths.items()
        for step in (-unit, unit)
        if width + step >= least
    ]
    # Nearest first: an early option that meets the goal saves the repair of the others.
    best = now
    for option in sorted(options, key=lambda network: goal.misses(network.macs)):
        repaired = _with_reductions_moved(option, goal)
        if goal.misses(repaired.macs) < goal.misses(best.macs):
            best = repaired
        if goal.met(best.macs):
            break
    return best
