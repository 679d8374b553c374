"""The axis of halvings: after which rows the pools stand that make the map smaller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, RootModel

from arch.analysis.cost import cost
from arch.errors import InputError, near, within
from arch.specs.spec import Spec
from search.space.axes.base import Axis, Decisions, Draft, Setting, axis, check_names, choose
from search.space.choosers import Chooser

_Moves = Annotated[list[Annotated[int, Field(ge=-100, le=100)]], Field(min_length=1)]


@axis
class Halving(Axis, RootModel[dict[str, _Moves]]):
    """By how many rows each pool moves, below 0 towards the image: `{pool2: [-1, 0, 1]}`.

    The pools keep their order, and with it the total stride: one that would pass another moves it along. The first
    one stays behind the first row, and heads stay on their rows.
    """

    key: ClassVar = "halving"
    title: ClassVar = "places of the pools"
    turn: ClassVar = 75  # after all that goes by stages, which end at pools

    model_config = ConfigDict(frozen=True)

    @property
    def varies(self) -> bool:
        """Whether there is a pool that moves."""
        return bool(self.root)

    def check(self, setting: Setting, where: str) -> None:
        """Refuse rows that are no such pools, and places at which a row or head does not fit its map."""
        base, pools = setting.base, list(_places(setting.base))
        for name, moves in self.root.items():
            if name not in pools:
                raise InputError(
                    f"{where}: '{name}' is no pool that makes the map smaller.{near(name, pools)} "
                    f"Pools: {', '.join(pools) or 'none'}."
                )
            check_names(moves, f"{where}.{name}")
            for move in moves:
                with within(f"{where}.{name}"):
                    cost(_moved(base, {name: move}))
        for end in (min, max):
            with within(where):
                cost(_moved(base, {name: end(moves) for name, moves in self.root.items()}))

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Choose by how many rows each pool moves."""
        moves = {name: choose(f"halving.{name}", moves, chooser) for name, moves in self.root.items()}
        return draft._replace(spec=_moved(draft.spec, moves))

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return by how many rows each pool of the wanted network has moved."""
        before, after = _places(draft.spec), _places(wanted.spec)
        found: dict[str, int] = {}
        for name in (name for name in before if name in self.root and name in after):
            exact = after[name] - before[name]
            # Where an end of the network or another pool held it up, a longer move leads to the same place.
            nearest = sorted(self.root[name], key=lambda move: abs(move - exact))
            leading = (
                move for move in nearest if _places(_moved(draft.spec, {**found, name: move}))[name] == after[name]
            )
            found[name] = next(leading, exact)
        return {f"halving.{name}": move for name, move in found.items()}


def _places(spec: Spec) -> dict[str, int]:
    """Return how many other rows stand before each pool that makes the map smaller."""
    places: dict[str, int] = {}
    maps = [spec.input[1:], *(row.output[1:] for row in cost(spec).rows)]
    for index, (row, into, out) in enumerate(zip(spec.rows, maps, maps[1:], strict=False)):
        if into != out and not row.definition.widths:
            places[row.name] = index - len(places)
    return places


def _moved(spec: Spec, moves: Mapping[str, int]) -> Spec:
    """Return the spec with pools moved."""
    return replace(spec, rows=tuple(spec.row(name) for name in _order(spec, moves)))


def _order(spec: Spec, moves: Mapping[str, int]) -> Iterator[str]:
    """Yield the names of all rows, each pool where it moves to."""
    places = _places(spec)
    others = [row.name for row in spec.rows if row.name not in places]
    start = 0
    for name, place in places.items():
        end = min(max(place + moves.get(name, 0), start, min(place, 1)), len(others))
        yield from others[start:end]
        yield name
        start = end
    yield from others[start:]
