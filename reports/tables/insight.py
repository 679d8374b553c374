"""What was learnt from a study: which parameters mattered, the front, how good the space is, what the heads did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.runs.run import Run
from reports.stats import bootstrap_interval, edf_band, spearman
from reports.tables.protocol import label, protocol
from reports.tables.table import Folders, Format, Table, decimals, macs_unit
from reports.tables.trace import gathered
from search.record.layout import BASE

_LEAST = 4  # finished trials below which nothing is said of a study
_SAME_COST = 0.02  # where all MACs are this close, cost is no second objective
_AUX = "aux_weight."
HYPERVOLUME = (
    "How the front of accuracy against MACs grew: its share of the box between the worst and the best of both."
)


def importance(run: Run) -> Table | None:
    """Each searched parameter's share of the objective's variance: fANOVA (Hutter et al. 2014) and a forest's MDI."""
    import optuna
    from optuna.distributions import json_to_distribution
    from optuna.trial import create_trial

    ranked = run.ranked
    names = [
        name
        for name in sorted(run.distributions)
        if f"searched.{name}" in ranked and ranked[f"searched.{name}"].notna().all()
    ]
    varying = [name for name in names if ranked[f"searched.{name}"].nunique() > 1]
    if len(ranked) < _LEAST or not varying or ranked[run.objective].nunique() < 2:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize" if run.objective == "val_loss" else "maximize")
    distributions = {name: json_to_distribution(run.distributions[name]) for name in varying}
    for _, row in ranked.sort_values("trial").iterrows():
        params = {name: row[f"searched.{name}"] for name in varying}
        study.add_trial(create_trial(params=params, distributions=distributions, value=float(row[run.objective])))
    evaluators = {
        "importance": optuna.importance.FanovaImportanceEvaluator(seed=0),
        "MDI": optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=0),
    }
    shares = {
        column: optuna.importance.get_param_importances(study, evaluator=evaluator, params=varying)
        for column, evaluator in evaluators.items()
    }
    order = list(shares["importance"])
    frame = pd.DataFrame(
        {"parameter": order} | {column: [found[name] for name in order] for column, found in shares.items()}
    )
    note = (
        f"Importance by fANOVA, and by mean decrease in impurity (MDI) of a random forest, over {len(ranked)} trained "
        "trials; with so few trials a ranking, not a measurement; where the two disagree, not even that."
    )
    return Table(
        "importance",
        f"{run.name}: importance of the searched parameters",
        frame,
        dict.fromkeys(("importance", "MDI"), decimals(3)),
        (note, *_censored(run), *protocol(run)),
        sources=_all_of(run, len(frame)),
    )


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
    sign = -1.0 if run.objective == "val_loss" else 1.0
    return [(sign * float(score), float(macs)) for score, macs in zip(frame[run.objective], frame["macs"], strict=True)]


def same_cost(run: Run) -> bool:
    """Say whether a study's trials cost the same but for rounding, so that there is no trade-off to show."""
    return "macs" not in run.ranked or level(run.ranked["macs"])


def level(costs: pd.Series) -> bool:
    """Say whether costs are the same but for rounding; so are those of fewer than two networks."""
    values = costs.astype(float)
    return len(values) < 2 or float(values.max() / values.min() - 1) < _SAME_COST


def front(run: Run) -> Table | None:
    """The networks that no other one beats in both accuracy and MACs, cheapest first, the base among those compared."""
    if len(run.ranked) < _LEAST or same_cost(run):
        return None
    compared = pd.concat([run.ranked, run.trials[run.trials["trial"] == BASE].loc[lambda f: f["state"] == "complete"]])
    compared = compared[compared[run.objective].notna()]
    best = compared.iloc[front_of(points(run, compared))]
    factor = 1 if run.objective == "val_loss" else 100
    unit, per_mac = macs_unit(best["macs"])
    frame = pd.DataFrame(
        {
            "trial": best["trial"],
            label(run): (factor * best[run.objective].astype(float)).round(8),
            f"MACs ({unit})": (best["macs"].astype(float) * per_mac).round(9),
            "parameters (M)": (best["params"].astype(float) * 1e-6).round(9),
        }
    ).reset_index(drop=True)
    formats: dict[str, Format] = dict.fromkeys((f"MACs ({unit})", "parameters (M)"), decimals(3))
    formats[label(run)] = decimals(2 if factor == 100 else 4)
    note = (
        f"Of {len(compared)} trained networks, the base among them. Each was trained once: neighbours on the front may "
        "change places with another seed."
    )
    return Table(
        "front",
        f"{run.name}: the front of accuracy against MACs",
        frame,
        formats,
        (note, *_censored(run), *protocol(run)),
        sources=run.folders(best),
    )


def hypervolume_by_trial(run: Run) -> pd.DataFrame:
    """Return the front's hypervolume after each trial that came to its end, in the order of proposal.

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


def quantiles(run: Run) -> Table | None:
    """The distribution of the objective over the trials, in quantiles with bootstrap intervals."""
    values = run.ranked[run.objective].astype(float).to_numpy() if len(run.ranked) else np.empty(0)
    if len(values) < _LEAST:
        return None
    factor = 1 if run.objective == "val_loss" else 100
    rows = []
    for name, q in {"lower quarter": 0.25, "median": 0.5, "upper quarter": 0.75}.items():
        low, high = bootstrap_interval(values.tolist(), lambda x, axis, q=q: np.quantile(x, q, axis=axis))
        rows.append({"of the trials": name, label(run): np.quantile(values, q), "95 % from": low, "to": high})
    frame = pd.DataFrame(rows)
    frame.iloc[:, 1:] = (factor * frame.iloc[:, 1:]).round(8)
    places = decimals(2 if factor == 100 else 4)
    note = f"Over {len(values)} finished trials; intervals by bootstrap over trials (percentile, 10,000 resamples, seed 0). {whose(run)}"
    return Table(
        "distribution",
        f"{run.name}: how good the trials are",
        frame,
        dict.fromkeys(map(str, frame.columns[1:]), places),
        (note, *_censored(run), *protocol(run)),
        sources=_all_of(run, len(frame)),
    )


def whose(run: Run) -> str:
    """Say whether the trials stand for the space, or for what a sampler made of it."""
    sampler = (run.config.get("sampler") or {}).get("name", "-")
    if sampler in ("random", "qmc"):
        return f"The sampler ({sampler}) draws evenly, so this is the space as far as it is feasible."
    return f"The sampler ({sampler}) prefers what did well, so this is its proposals, not the space."


def aux_heads(run: Run) -> list[str]:
    """Return the rows of the auxiliary heads whose weights the trials vary and whose accuracies are recorded."""
    ranked = run.ranked
    heads = [str(column).removeprefix(_AUX) for column in ranked if str(column).startswith(_AUX)]
    return [head for head in heads if ranked[f"{_AUX}{head}"].nunique() > 1 and f"val_aux_accuracy.{head}" in ranked]


def aux_effect(run: Run) -> Table | None:
    """How each head's loss weight goes with the accuracy of the network and of each head, over the trials."""
    heads, ranked = aux_heads(run), run.ranked
    if len(ranked) < 5 or not heads:
        return None
    rows = []
    for head in heads:
        for what, column in [("network", "val_accuracy"), *((f"head {h}", f"val_aux_accuracy.{h}") for h in heads)]:
            both = ranked[[f"{_AUX}{head}", column]].dropna().astype(float)
            rho, (low, high) = spearman(both.iloc[:, 0].tolist(), both.iloc[:, 1].tolist())
            rows.append(
                {"weight of head": head, "accuracy of": what, "n": len(both), "rho": rho, "95 % from": low, "to": high}
            )
    note = (
        "Spearman's rank correlation between a head's loss weight and held-out accuracy, intervals by Fisher's z (Bonett "
        "and Wright 2000), not adjusted for their number. Whatever else the search varied is in it too: a correlation, "
        "no effect shown."
    )
    formats: dict[str, Format] = dict.fromkeys(("rho", "95 % from", "to"), "{:+.2f}".format)
    return Table(
        "aux_effect",
        f"{run.name}: auxiliary weights and accuracies",
        pd.DataFrame(rows),
        formats,
        (note, *_censored(run), *protocol(run)),
        sources=_all_of(run, len(rows)),
    )


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


def learnt_tables(run: Run) -> list[Table]:
    """Return the tables of what a study taught, as far as there is something."""
    return [table for table in (front(run), quantiles(run), aux_effect(run), importance(run)) if table is not None]
