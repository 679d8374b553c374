"""What an ablation says: each change's score and cost, its difference to the base, and the effect of each factor."""

from __future__ import annotations

from typing import Any

import pandas as pd

from arch.cost import cost
from arch.spec import from_mapping
from reports.comparison import (
    DIFFERENCE_FORMATS,
    JUDGED,
    Scored,
    comparison_protocol,
    difference,
    differences,
    missing_note,
    score,
    scored,
    sentence_of,
    trainings,
)
from reports.load import Run
from reports.stats import MIN_PAIRS, compare
from reports.table import Format, Table, decimals, whole
from search.record import BASE


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
    rows = []
    for name, network in found.comparison.plan["networks"].items():
        values = found.scores.loc[name].dropna().tolist()
        total = cost(from_mapping(network["spec"], f"{run.name}, change {name}"))
        rows.append(
            {"change": name, "what": network["about"], "params (M)": total.params / 1e6, "MACs (M)": total.macs / 1e6}
            | score(values)
        )
    frame = pd.DataFrame(rows)
    judged = f"{JUDGED[found.comparison.judged]} accuracy, mean (%)"
    formats: dict[str, Format] = {"params (M)": decimals(3), "MACs (M)": decimals(3), "n": whole, judged: decimals(2)}
    formats |= dict.fromkeys(("sd", "95 % from", "to"), decimals(2))
    note = "Parameters and MACs without auxiliary heads."
    every = (note, *missing_note(found), *notes)
    return Table("ablation", f"{run.name}: base and changes", frame.rename(columns={"mean": judged}), formats, every)


def _effects(run: Run, found: Scored, notes: tuple[str, ...]) -> list[Table]:
    """Each level of each factor beside the base's level, averaged over all combinations of the others."""
    levels = {name: network.get("levels") for name, network in found.comparison.plan["networks"].items()}
    cells = {name: given for name, given in levels.items() if given}
    if not cells:
        return []
    factors = {factor: run.config["factors"][factor] for factor in next(iter(cells.values()))}
    own = {factor: next(name for name, change in of.items() if not _changes(change)) for factor, of in factors.items()}
    at = {tuple(given.values()): name for name, given in cells.items()} | {tuple(own.values()): BASE}
    asked = [(factor, level) for factor, names in factors.items() for level in names if level != own[factor]]
    drawn, whole_ones = [], []
    for factor, level in asked:
        place = list(factors).index(factor)
        here = [key for key in at if key[place] == level]
        pairs = [(at[key], at[(*key[:place], own[factor], *key[place + 1 :])]) for key in here]
        both = [found.scores.loc[changed] - found.scores.loc[kept] for changed, kept in pairs]
        drawn.append(pd.concat(both, axis=1).dropna().mean(axis=1).tolist())
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
    return [Table("ablation_factors", caption, pd.DataFrame(rows), DIFFERENCE_FORMATS, (note, *notes))]


def _changes(change: dict[str, Any]) -> bool:
    return any(value not in ("", {}, None, False) for value in change.values())


def _word(verdict: str, pairs: int) -> str:
    return f"no verdict: {pairs} of {MIN_PAIRS} seeds" if verdict == "no verdict" else verdict


def answer(run: Run) -> str:
    """Return in a few sentences what was asked, what came out and how sure it is."""
    if run.ablation is None:
        return ""
    found = scored(run.ablation)
    where = "the test set" if run.ablation.judged == "test_accuracy" else "held-out images"
    question = run.config.get("question") or f"What do the changes of {run.name} do?"
    return (
        f"{question} Each of {len(found.compared)} changes and the base were trained with the same {len(found.seeds)} seed(s) "
        f"and judged on {where}; beside the base in points: {sentence_of(found)}."
    )
