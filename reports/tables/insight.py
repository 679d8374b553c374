"""What a study teaches: which parameters mattered, the front, how good the space is, what the heads did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.runs.frames import scale
from reports.runs.run import Run
from reports.stats import bootstrap_interval, edf_band, spearman
from reports.tables.paired import INTERVAL
from reports.tables.protocol import label, protocol
from reports.tables.run_tables import run_table
from reports.tables.table import Folders, Format, Table, decimals, macs_head
from reports.tables.trace import gathered
from search.record.layout import BASE

_LEAST = 4  # finished trials below which a report says nothing of a study
_SAME_COST = 0.02  # where all MACs are this close, cost is no second objective
_LEAST_CORRELATED = 5  # and below which no correlation is
_AUX = "aux_weight."
HYPERVOLUME = (
    "How the front of accuracy against MACs grew: its share of the box between the worst and the best of both."
)


@run_table(order=80, of=("study",))
def importance(run: Run) -> Table | None:
    """Each searched parameter's share of the objective's variance: fANOVA (Hutter et al. 2014) and a forest's MDI."""
    varying = _varying(run)
    if not enough(run) or not varying or run.ranked[run.objective].nunique() < 2:
        return None
    frame = _shares(run, varying)
    note = (
        f"Importance by fANOVA, and by mean decrease in impurity (MDI) of a random forest, over {len(run.ranked)} trained "
        "trials; with so few trials a ranking, not a measurement; where the two disagree, not even that."
    )
    return Table(
        "importance",
        f"{run.name}: importance of the searched parameters",
        frame,
        dict.fromkeys(("importance", "mdi"), decimals(3)),
        (note, *_censored(run), *protocol(run)),
        {"mdi": "MDI"},
        sources=_all_of(run, len(frame)),
    )


def _varying(run: Run) -> list[str]:
    """Return the searched parameters that every trial has, and not all the same."""
    columns = {name: f"searched.{name}" for name in sorted(run.distributions)}
    complete = {name: column for name, column in columns.items() if column in run.ranked}
    return [
        name
        for name, column in complete.items()
        if run.ranked[column].notna().all() and run.ranked[column].nunique() > 1
    ]


def _shares(run: Run, varying: list[str]) -> pd.DataFrame:
    """Return `parameter`, its `importance` by fANOVA, and its `mdi`, the most important first."""
    import optuna

    study, methods = _study_of(run, varying), optuna.importance
    evaluators = {
        "importance": methods.FanovaImportanceEvaluator(seed=0),
        "mdi": methods.MeanDecreaseImpurityImportanceEvaluator(seed=0),
    }
    shares = {
        column: methods.get_param_importances(study, evaluator=evaluator, params=varying)
        for column, evaluator in evaluators.items()
    }
    order = list(shares["importance"])
    return pd.DataFrame({"parameter": order} | {key: [found[name] for name in order] for key, found in shares.items()})


def _study_of(run: Run, varying: list[str]) -> Any:
    """Return a study of Optuna that holds the finished trials, with the parameters that vary."""
    import optuna
    from optuna.distributions import json_to_distribution
    from optuna.trial import create_trial

    from search.record.quiet import quiet

    with quiet():
        study = optuna.create_study(direction=run.objectives.first.direction)
    distributions = {name: json_to_distribution(run.distributions[name]) for name in varying}
    for _, row in run.ranked.sort_values("trial").iterrows():
        params = {name: row[f"searched.{name}"] for name in varying}
        study.add_trial(create_trial(params=params, distributions=distributions, value=float(row[run.objective])))
    return study


def enough(run: Run) -> bool:
    """Return whether enough trials have finished to say something of the study."""
    return len(run.ranked) >= _LEAST


def front_of(found: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points (score, cost) that none beats in both: higher score, lower cost; cheapest first.

    Of equal points the first one counts.
    """
    front, best = [], -np.inf
    for index in sorted(range(len(found)), key=lambda i: (found[i][1], -found[i][0], i)):
        if found[index][0] > best:
            front.append(index)
            best = found[index][0]
    return front


def hypervolume(found: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Return the area between the points (score, cost) and a reference that is worse in both; exact, by one sweep.

    What is not better than the reference in both adds nothing. Zitzler and Thiele 1998.
    """
    inside = [(score, cost) for score, cost in found if score > reference[0] and cost < reference[1]]
    area, floor = 0.0, reference[0]
    for index in front_of(inside):
        score, cost = inside[index]
        area += (score - floor) * (reference[1] - cost)
        floor = score
    return area


def points(run: Run, frame: pd.DataFrame) -> list[tuple[float, float]]:
    """Return each network's (score, MACs), the score turned so that higher is better."""
    sign = -1.0 if run.objectives.minimise else 1.0
    return [(sign * float(score), float(macs)) for score, macs in zip(frame[run.objective], frame["macs"], strict=True)]


def same_cost(run: Run) -> bool:
    """Return whether a study's trials cost the same but for rounding, so that there is no trade-off to show."""
    return "macs" not in run.ranked or level(run.ranked["macs"])


def level(costs: pd.Series) -> bool:
    """Return whether costs are the same but for rounding; so are those of fewer than two networks."""
    values = costs.astype(float)
    return len(values) < 2 or float(values.max() / values.min() - 1) < _SAME_COST


@run_table(order=50, of=("study",))
def front(run: Run) -> Table | None:
    """The networks that no other one beats in both accuracy and MACs, cheapest first, the base among those compared."""
    if not has_front(run):
        return None
    compared = pd.concat([run.ranked, run.trials[run.trials["trial"] == BASE].loc[lambda f: f["state"] == "complete"]])
    compared = compared[compared[run.objective].notna()]
    best = compared.iloc[front_of(points(run, compared))]
    head, per_mac = macs_head(best["macs"])
    factors = {run.objective: scale(run), "macs": per_mac, "params": 1e-6}
    scaled = pd.DataFrame({name: factor * best[name].astype(float) for name, factor in factors.items()})
    places = {run.objective: 8, "macs": 9, "params": 9}
    once = "One training of each counts" if run.standing else "Each was trained once"
    note = (
        f"Of {len(compared)} trained networks, the base among them. {once}: neighbours on the front may change places with "
        "another seed."
    )
    return Table(
        "front",
        f"{run.name}: the front of accuracy against MACs",
        pd.concat([best["trial"], scaled.round(places)], axis=1).reset_index(drop=True),
        {"macs": decimals(3), "params": decimals(3), run.objective: _places(run)},
        (note, *_censored(run), *protocol(run)),
        {"macs": head, "params": "parameters (M)", run.objective: label(run)},
        sources=run.folders(best),
    )


def has_front(run: Run) -> bool:
    """Return whether there are trials of different costs to compare."""
    return enough(run) and not same_cost(run)


def _places(run: Run) -> Format:
    return decimals(run.objectives.first.digits)


def hypervolume_by_trial(run: Run) -> pd.DataFrame:
    """Return the front's hypervolume after each finished trial, in the order of proposal.

    As a share of the box between the worst and the best of both quantities that any of them had, so its scale
    is the study's own; `trained` counts the trials, `hypervolume` is the share.
    """
    done = run.ranked.assign(order=run.ranked["trial"].astype(int)).sort_values("order")
    found = points(run, done)
    scores, costs = [p[0] for p in found], [p[1] for p in found]
    box = (max(scores) - min(scores)) * (max(costs) - min(costs))
    reference = (min(scores), max(costs))
    shares = [hypervolume(found[: k + 1], reference) / box if box else 0.0 for k in range(len(found))]
    return pd.DataFrame({"trial": done["trial"].tolist(), "trained": range(1, len(found) + 1), "hypervolume": shares})


def distribution(run: Run) -> pd.DataFrame:
    """Return the empirical distribution of the objective over finished trials, with its bootstrap band.

    `value` is the objective, `share` the part of trials at or below it, `low` and `high` the 95 % band.
    """
    values = run.ranked[run.objective].astype(float).tolist()
    points = sorted(set(values))
    share, low, high = edf_band(values, points)
    return pd.DataFrame({"value": points, "share": share, "low": low, "high": high})


@run_table(order=60, of=("study",))
def quantiles(run: Run) -> Table | None:
    """The distribution of the objective over the trials, in quantiles with bootstrap intervals."""
    if not enough(run):
        return None
    values = scale(run) * run.ranked[run.objective].astype(float).to_numpy()
    rows = []
    for name, q in {"lower quarter": 0.25, "median": 0.5, "upper quarter": 0.75}.items():
        low, high = bootstrap_interval(values.tolist(), lambda x, axis, q=q: np.quantile(x, q, axis=axis))
        rows.append({"quantile": name, "score": np.quantile(values, q), "low": low, "high": high})
    note = f"Over {len(values)} finished trials; intervals by bootstrap over trials (percentile, 10,000 resamples, seed 0). {whose(run)}"
    return Table(
        "distribution",
        f"{run.name}: how good the trials are",
        pd.DataFrame(rows).round(8),
        dict.fromkeys(("score", "low", "high"), _places(run)),
        (note, *_censored(run), *protocol(run)),
        INTERVAL | {"quantile": "of the trials", "score": label(run)},
        sources=_all_of(run, len(rows)),
    )


def whose(run: Run) -> str:
    """Return whether the trials stand for the space, or for what a sampler made of it."""
    sampler = (run.config.get("sampler") or {}).get("name", "-")
    if sampler in ("random", "qmc"):
        return f"The sampler ({sampler}) draws evenly, so this is the space as far as it is feasible."
    return f"The sampler ({sampler}) prefers what did well, so this is its proposals, not the space."


def aux_heads(run: Run) -> list[str]:
    """Return the rows of the auxiliary heads whose weights the trials vary and whose accuracies are recorded.

    None where there are too few trials to say anything of them.
    """
    ranked = run.ranked
    heads = [str(column).removeprefix(_AUX) for column in ranked if str(column).startswith(_AUX)]
    varied = [head for head in heads if ranked[f"{_AUX}{head}"].nunique() > 1 and f"val_aux_accuracy.{head}" in ranked]
    return varied if len(ranked) >= _LEAST_CORRELATED else []


@run_table(order=70, of=("study",))
def aux_effect(run: Run) -> Table | None:
    """How each head's loss weight goes with the accuracy of the network and of each head, over the trials."""
    heads = aux_heads(run)
    if not heads:
        return None
    columns = {"network": "val_accuracy"} | {f"head {head}": f"val_aux_accuracy.{head}" for head in heads}
    rows = [
        {"head": head, "of": what} | _correlation(run.ranked[[f"{_AUX}{head}", column]])
        for head in heads
        for what, column in columns.items()
    ]
    note = (
        "Spearman's rank correlation between a head's loss weight and held-out accuracy, intervals by Fisher's z (Bonett "
        "and Wright 2000), not adjusted for their number. Whatever else the search varied is in it too: a correlation, "
        "no effect shown."
    )
    return Table(
        "aux_effect",
        f"{run.name}: auxiliary weights and accuracies",
        pd.DataFrame(rows),
        dict.fromkeys(("rho", "low", "high"), "{:+.2f}".format),
        (note, *_censored(run), *protocol(run)),
        INTERVAL | {"head": "weight of head", "of": "accuracy of"},
        sources=_all_of(run, len(rows)),
    )


def _correlation(both: pd.DataFrame) -> dict[str, float]:
    known = both.dropna().astype(float)
    rho, (low, high) = spearman(known.iloc[:, 0].tolist(), known.iloc[:, 1].tolist())
    return {"n": len(known), "rho": rho, "low": low, "high": high}


def _all_of(run: Run, rows: int) -> list[Folders]:
    """Return the folders of all finished trials, for each of so many rows."""
    return [gathered(run.folders(run.ranked))] * rows


def _censored(run: Run) -> tuple[str, ...]:
    """Say what of the trials is not in a table, as they were ended early and their last accuracy is not known."""
    pruned = int((run.trials["state"] == "pruned").sum())
    if not pruned:
        return ()
    return (
        f"{pruned} pruned trial(s) are left out: they were ended early, so their accuracy after all epochs is not known "
        "(censored); those that remain are the better ones.",
    )
