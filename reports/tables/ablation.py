"""What an ablation says: each change's score and cost, its difference to the base, and the effect of each factor."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from arch.analysis.cost import NetworkCost, cost
from arch.specs.read import from_mapping
from reports.runs.run import Run
from reports.stats import MIN_PAIRS, Compared, compare
from reports.tables.paired import (
    DIFFERENCE_FORMATS,
    INTERVAL,
    JUDGED,
    Scored,
    bold_note,
    comparison_protocol,
    difference,
    difference_heads,
    differences,
    missing_note,
    score,
    scored,
    supported,
    trained,
    trainings,
)
from reports.tables.run_tables import run_table
from reports.tables.table import Folders, Format, Spread, Table, decimals, integer, macs_head
from reports.tables.trace import gathered
from search.record.layout import BASE


@run_table(order=20, of=("ablation",))
def ablation(run: Run) -> Table | None:
    """What each change is, what its network costs, and what it reached."""
    if run.ablation is None:
        return None
    found, networks = scored(run.ablation), run.ablation.plan["networks"]
    costs = {name: cost(from_mapping(n["spec"], f"{run.name}, change {name}")) for name, n in networks.items()}
    head, per_mac = macs_head(total.macs for total in costs.values())
    formats: dict[str, Format] = {"params": decimals(3), "macs": decimals(3), "n": integer}
    formats |= dict.fromkeys(("mean", "sd", "low", "high"), decimals(2))
    heads = {"params": "parameters (M)", "macs": head, "mean": f"{JUDGED[run.ablation.judged]} accuracy, mean (%)"}
    note = "Parameters and MACs without auxiliary heads."
    bold, plan = supported(found, "mean"), [(run.ablation.place_of("plan.json"),)] * len(networks)
    return Table(
        "ablation",
        f"{run.name}: base and changes",
        _scores(found, costs, per_mac),
        formats,
        (note, *bold_note(bold), *missing_note(found), *comparison_protocol(run.ablation)),
        heads | INTERVAL,
        spreads={"mean": Spread("sd", "n")},
        bold=bold,
        sources=[trained(found, name) for name in networks],
        column_sources=dict.fromkeys(("what", "params", "macs"), plan),
    )


def _scores(found: Scored, costs: Mapping[str, NetworkCost], per_mac: float) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"change": name, "what": network["about"]}
            | {"params": costs[name].params / 1e6, "macs": costs[name].macs * per_mac}
            | score(found.scores.loc[name].dropna().tolist())
            for name, network in found.comparison.plan["networks"].items()
        ]
    )


@run_table(order=21, of=("ablation",))
def ablation_differences(run: Run) -> Table | None:
    """Each change's difference to the base, tested."""
    if run.ablation is None:
        return None
    caption, notes = f"{run.name}: differences to the base, same seeds", comparison_protocol(run.ablation)
    return differences("ablation_differences", caption, "change", scored(run.ablation), notes)


@run_table(order=23, of=("ablation",))
def ablation_runs(run: Run) -> Table | None:
    """Every training of the ablation."""
    if run.ablation is None:
        return None
    notes = comparison_protocol(run.ablation)
    return trainings("ablation_runs", f"{run.name}: trainings", "change", run.ablation, notes)


# Factors


@dataclass(frozen=True)
class _Effect:
    """A level of a factor and the base's level, and the networks that differ in that alone, in pairs."""

    factor: str
    level: str
    base: str
    pairs: list[tuple[str, str]]

    def by_seed(self, scores: pd.DataFrame) -> list[float]:
        """Return the mean difference over the pairs, a value for each seed that has all of them."""
        each = [scores.loc[changed] - scores.loc[kept] for changed, kept in self.pairs]
        return pd.concat(each, axis=1).dropna().mean(axis=1).tolist()

    def complete(self, found: Scored) -> bool:
        """Return whether no training of the pairs is missing."""
        return not any(found.missing[name] for pair in self.pairs for name in pair)

    def sources(self, found: Scored) -> Folders:
        """Return the trainings that the effect is made of."""
        return gathered(trained(found, name) for pair in self.pairs for name in pair)


@run_table(order=22, of=("ablation",))
def ablation_factors(run: Run) -> Table | None:
    """The effect of each factor's levels, averaged over all combinations of the other factors."""
    if run.ablation is None or not (effects := list(_effects(run))):
        return None
    found = scored(run.ablation)
    values, complete = [e.by_seed(found.scores) for e in effects], [e.complete(found) for e in effects]
    compared = compare(values, complete)
    note = (
        "A factor's effect is the mean over all combinations of the other factors, one value a seed; where they interact, "
        "it hides that: look at the differences of the single combinations."
    )
    return Table(
        "ablation_factors",
        f"{run.name}: effect of each factor, averaged over the others",
        pd.DataFrame([_effect_row(*pair) for pair in zip(effects, compared, strict=True)]),
        DIFFERENCE_FORMATS,
        (note, *comparison_protocol(run.ablation)),
        difference_heads(compared) | {"base": "compared with", "words": "verdict"},
        sources=[effect.sources(found) for effect in effects],
    )


def _effect_row(effect: _Effect, c: Compared) -> dict[str, Any]:
    words = f"no verdict: {c.n} of {MIN_PAIRS} seeds" if c.verdict == "no verdict" else c.verdict
    return {"factor": effect.factor, "level": effect.level, "base": effect.base} | difference(c) | {"words": words}


def _effects(run: Run) -> Iterator[_Effect]:
    """Yield each level of each factor that is not the base's own."""
    networks = run.ablation.plan["networks"] if run.ablation else {}
    levels = {name: network["levels"] for name, network in networks.items() if network.get("levels")}
    changed = {name: given for name, given in levels.items() if name != BASE}
    if not changed:
        return
    factors = {factor: run.config["factors"][factor] for factor in next(iter(changed.values()))}
    names = {tuple(given.values()): name for name, given in changed.items()}
    own = levels.get(BASE) or _left_over(factors, names)
    names[tuple(own.values())] = BASE
    for place, (factor, all_levels) in enumerate(factors.items()):
        for level in all_levels:
            if level != own[factor]:
                yield _Effect(factor, level, own[factor], _pairs(names, place, level, own[factor]))


def _pairs(names: Mapping[tuple[str, ...], str], place: int, level: str, base: str) -> list[tuple[str, str]]:
    """Return the networks that have a level of the factor at a place, each with the one of the base's level there."""
    return [
        (name, names[(*levels[:place], base, *levels[place + 1 :])])
        for levels, name in names.items()
        if levels[place] == level
    ]


def _left_over(factors: Mapping[str, Iterable[str]], names: Collection[tuple[str, ...]]) -> dict[str, str]:
    """Return the base's levels where the plan is older and does not hold them: the combination that is no change."""
    return next(
        dict(zip(factors, given, strict=True)) for given in itertools.product(*factors.values()) if given not in names
    )
