"""The space of a study: how a point of it becomes a spec and a recipe.

What may vary is in `search.space.axes`, who decides in `search.space.choosers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from arch.analysis.cost import cost
from arch.specs.edit import (
    searchable,
    split_of,
    stages,
    with_args,
    with_depth,
    with_family,
    with_heads_on,
    with_splits,
    with_width,
)
from arch.specs.spec import Spec
from search.recipes.recipe import Recipe, load_recipe
from search.space.axes import Family, Kernel, Range, Space, Splits, named
from search.space.checks import check_space
from search.space.choosers import Chooser, Endless, Enumerated, Sampled
from search.space.compositions import compositions, draw_split
from search.space.iso_macs import solve

__all__ = [
    "Candidate",
    "Chooser",
    "Family",
    "Kernel",
    "Range",
    "Sampled",
    "Space",
    "Splits",
    "check_space",
    "compositions",
    "decode",
    "enumerate_space",
]


@dataclass(frozen=True)
class Candidate:
    """A point of the space: a network and how to train it.

    Attributes
    ----------
    infeasible : why it must not be trained; empty where it may be. The spec is then the nearest that was found.
    violation : by what part of the wanted MACs it misses their tolerance; 0 where it is feasible.
    """

    spec: Spec
    recipe: Recipe
    infeasible: str = ""
    violation: float = 0.0

    @property
    def key(self) -> str:
        """What makes two candidates the same: the hashes of expanded nodes, and of the recipe by heads."""
        update: dict[str, Any] = {"aux_weight": dict(self.recipe.head_weights(self.spec.aux_rows))}
        if not self.spec.aux_rows:
            update["aux_decay"] = "none"  # there is nothing that it could change
        return f"{self.spec.fingerprint}-{self.recipe.model_copy(update=update).id}"

    @property
    def macs(self) -> int:
        """Multiply-adds of the network without auxiliary heads."""
        return cost(self.spec).macs


def decode(space: Space, base: Spec, recipe: Recipe, chooser: Chooser) -> Candidate:
    """Return the candidate that a chooser's decisions make of the base network and recipe.

    A parameter is named by what it decides, such as `family.4` or `split.4a.b3x3`, and drawn only where
    it decides something; what else is drawn never changes its name or its meaning.
    """
    return _candidate(space, base, *_drawn(space, base, recipe, chooser))


def _drawn(space: Space, base: Spec, recipe: Recipe, chooser: Chooser) -> tuple[Spec, Recipe]:
    """Make every decision; the widths of `iso_macs` are still to be solved."""
    spec = _outlined(space, base, chooser)
    for edit in (_with_families, _with_kernels, _with_residual_scale, _with_splits):
        spec = edit(space, base, spec, chooser)
    changes: dict[str, Any] = {key: _value(f"recipe.{key}", r, chooser) for key, r in space.recipe.items()}
    if space.aux_weight:
        changes["aux_weight"] = {row: _value(f"aux_weight.{row}", space.aux_weight, chooser) for row in spec.aux_rows}
    return spec, load_recipe(recipe, changes) if changes else recipe


def _candidate(space: Space, base: Spec, spec: Spec, recipe: Recipe) -> Candidate:
    """Return the candidate of a drawn spec: as it is, or with its widths solved."""
    if not space.splits or space.splits.mode == "keep_width":
        return Candidate(spec, recipe)
    solved = solve(spec, _split_rows(space.splits, spec), cost(base).macs, space.splits)
    return Candidate(solved.spec, recipe, solved.missed, solved.violation)


def _outlined(space: Space, base: Spec, chooser: Chooser) -> Spec:
    """Decide where heads hang, how many rows a stage has, and the width of everything."""
    spec = base
    if space.aux:
        spec = with_heads_on(spec, space.aux[chooser.choice("aux", list(space.aux))])
    for stage, counts in space.depth.items():
        spec = with_depth(spec, stage, _choice(f"depth.{stage}", counts, chooser))
    if space.width:
        spec = with_width(spec, _value("width", space.width, chooser), space.width_round)
    return spec


def _with_families(space: Space, base: Spec, spec: Spec, chooser: Chooser) -> Spec:
    if space.family:
        for name, rows in _groups(space.family.per, base, spec).items():
            spec = with_family(spec, _choice(f"family.{name}", space.family.choices, chooser), rows)
    return spec


def _with_kernels(space: Space, base: Spec, spec: Spec, chooser: Chooser) -> Spec:
    if space.kernel:
        for name, rows in _groups(space.kernel.per, base, spec).items():
            taking = [row for row in rows if "n" in spec.row(row).definition.parameters]
            if taking:
                n = _choice(f"kernel.{name}", space.kernel.choices, chooser)
                for row in taking:
                    spec = with_args(spec, row, {"n": n})
    return spec


def _with_residual_scale(space: Space, base: Spec, spec: Spec, chooser: Chooser) -> Spec:
    taking = [row.name for row in searchable(spec) if "scale" in row.definition.parameters]
    if space.residual_scale and taking:
        scale = _value("residual_scale", space.residual_scale, chooser)
        for row in taking:
            spec = with_args(spec, row, {"scale": scale})
    return spec


def _with_splits(space: Space, base: Spec, spec: Spec, chooser: Chooser) -> Spec:
    if not space.splits:
        return spec
    searched = _split_rows(space.splits, spec)
    drawn = {}
    for name, rows in _groups(space.splits.per, base, spec).items():
        for row in (row for row in rows if row in searched):
            drawn[row] = draw_split(space.splits, split_of(spec.row(row)).out, f"split.{name}", chooser)
    return with_splits(spec, drawn)


def _split_rows(splits: Splits, spec: Spec) -> list[str]:
    """Return the rows whose split varies; one that is listed may have been dropped."""
    return [row.name for row in searchable(spec) if not splits.rows or row.name in splits.rows]


def _groups(per: str, base: Spec, spec: Spec) -> dict[str, list[str]]:
    """Return the rows that share a decision, by the name of the row or by the base network's name of the stage."""
    if per == "row":
        return {row.name: [row.name] for row in searchable(spec)}
    return dict(zip(stages(base), stages(spec).values(), strict=True))


def _value(name: str, values: Range, chooser: Chooser) -> Any:
    if values.choices:
        return _choice(name, values.choices, chooser)
    return chooser.number(name, values.low or 0.0, values.high or 0.0, values.log)


def _choice(name: str, choices: Sequence[Any], chooser: Chooser) -> Any:
    known = named(choices)
    return known[chooser.choice(name, list(known))]


def enumerate_space(space: Space, base: Spec, recipe: Recipe, most: int) -> list[Candidate] | None:
    """Return every candidate of a space, or None where there are more than `most` or endlessly many."""
    found = []
    try:
        for drawn in _walk(space, base, recipe):
            found.append(drawn)
            if len(found) > most:
                return None
    except Endless:
        return None
    return [_candidate(space, base, *drawn) for drawn in found]


def _walk(space: Space, base: Spec, recipe: Recipe) -> Iterator[tuple[Spec, Recipe]]:
    walker = Enumerated()
    while True:
        yield _drawn(space, base, recipe, walker)
        if not walker.advance():
            return
