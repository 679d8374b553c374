"""What an ablation says: each change's score and cost, its difference to the base, and the effect of each factor."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from arch.analysis.cost import cost
from arch.specs.read import from_mapping
from reports.runs.run import Run
from reports.stats import MIN_PAIRS, compare
from reports.tables.paired import (
    DIFFERENCE_FORMATS,
    JUDGED,
    Scored,
    bold_note,
    comparison_protocol,
    difference,
    differences,
    missing_note,
    score,
    scored,
    supported,
    trained,
    trainings,
)
from reports.tables.table import Format, Spread, Table, decimals, macs_unit, whole
from reports.tables.trace import gathered
from search.record.layout import BASE


def ablation_tables(run: Run) -> list[Table]:
    """Return the tables of an ablation: scores, differences, effects of its factors, every training."""
    if run.ablation is None:
        return []
    found, notes = scored(run.ablation), comparison_protocol(run.ablation)
    apart = f"{run.name}: differences to the base, same seeds"
    return [
        _scores(run, found, notes),
        differences("ablation_differences", apart, "change", found, notes),
        *_effects(run, found, notes),
        trainings("ablation_runs", f"{run.name}: trainings", "change", run.ablation, notes),
    ]


def _scores(run: Run, found: Scored, notes: tuple[str, ...]) -> Table:
    """What each change is, what its network costs, and what it reached."""
    networks = found.comparison.plan["networks"]
    costs = {name: cost(from_mapping(n["spec"], f"{run.name}, change {name}")) for name, n in networks.items()}
    unit, per_mac = macs_unit(total.macs for total in costs.values())
    macs, params = f"MACs ({unit})", "parameters (M)"
    rows = [
        {"change": name, "what": network["about"], params: costs[name].params / 1e6, macs: costs[name].macs * per_mac}
        | score(found.scores.loc[name].dropna().tolist())
        for name, network in networks.items()
    ]
    frame = pd.DataFrame(rows)
    judged = f"{JUDGED[found.comparison.judged]} accuracy, mean (%)"
    formats: dict[str, Format] = {params: decimals(3), macs: decimals(3), "n": whole, judged: decimals(2)}
    formats |= dict.fromkeys(("sd", "95 % from", "to"), decimals(2))
    note = "Parameters and MACs without auxiliary heads."
    bold, plan = supported(found, judged), [(found.comparison.place_of("plan.json"),)] * len(frame)
    return Table(
        "ablation",
        f"{run.name}: base and changes",
        frame.rename(columns={"mean": judged}),
        formats,
        (note, *bold_note(bold), *missing_note(found), *notes),
        spreads={judged: Spread("sd", "n")},
        bold=bold,
        sources=[trained(found, name) for name in networks],
        column_sources={"what": plan, params: plan, macs: plan},
    )


def _effects(run: Run, found: Scored, notes: tuple[str, ...]) -> list[Table]:
    """Each level of each factor beside the base's level, averaged over all combinations of the others."""
    levels = {name: network.get("levels") for name, network in found.comparison.plan["networks"].items()}
    cells = {name: given for name, given in levels.items() if given and name != BASE}
    if not cells:
        return []
    factors = {factor: run.config["factors"][factor] for factor in next(iter(cells.values()))}
    at = {tuple(given.values()): name for name, given in cells.items()}
    own = levels[BASE] or _left_over(factors, at)
    at[tuple(own.values())] = BASE
    asked = [(factor, level) for factor, names in factors.items() for level in names if level != own[factor]]
    drawn, whole_ones, sources = [], [], []
    for factor, level in asked:
        place = list(factors).index(factor)
        here = [key for key in at if key[place] == level]
        pairs = [(at[key], at[(*key[:place], own[factor], *key[place + 1 :])]) for key in here]
        both = [found.scores.loc[changed] - found.scores.loc[kept] for changed, kept in pairs]
        drawn.append(pd.concat(both, axis=1).dropna().mean(axis=1).tolist())
        sources.append(gathered(trained(found, name) for pair in pairs for name in pair))
        whole_ones.append(not any(found.missing[name] for pair in pairs for name in pair))
    rows: list[dict[str, Any]] = [
        {"factor": factor, "level": level, "beside": own[factor]} | difference(c) | {"verdict": _word(c.verdict, c.n)}
        for (factor, level), c in zip(asked, compare(drawn, whole_ones), strict=True)
    ]
    note = (
        "A factor's effect is the mean over all combinations of the other factors, one value a seed; where they interact, "
        "it hides that: look at the differences of the single combinations."
    )
    caption = f"{run.name}: effect of each factor, averaged over the others"
    frame = pd.DataFrame(rows)
    return [Table("ablation_factors", caption, frame, DIFFERENCE_FORMATS, (note, *notes), sources=sources)]


def _left_over(factors: Mapping[str, Iterable[str]], at: Collection[tuple[str, ...]]) -> dict[str, str]:
    """Return the base's levels where the plan is older and does not hold them: the combination that is no change."""
    return next(
        dict(zip(factors, given, strict=True)) for given in itertools.product(*factors.values()) if given not in at
    )


def _word(verdict: str, pairs: int) -> str:
    return f"no verdict: {pairs} of {MIN_PAIRS} seeds" if verdict == "no verdict" else verdict
