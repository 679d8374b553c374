"""The status of a run, from its folder alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arch.errors import InputError
from search.record.files import (
    read_json,
    read_lines,
    read_yaml,
)
from search.record.layout import objectives_of, read_study, results
from search.record.objectives import front
from search.record.work import spent, work_of


def status(run: Path) -> dict[str, Any]:
    """Return how far a run is, from its folders alone.

    Raises
    ------
    InputError
        The folder is no run.
    """
    for name, of_kind in (("study.yaml", _of_study), ("ablation.yaml", _of_ablation), ("spec.yaml", _of_training)):
        if (run / name).exists():
            return of_kind(run)
    raise InputError(
        f"{run}: no run is here; it would hold study.yaml (a study), ablation.yaml or spec.yaml (a training)."
    )


def _of_study(run: Path) -> dict[str, Any]:
    config, objectives = read_study(run), objectives_of(run)
    found = list(results(run))
    states = Counter(result["state"] for result in found)
    begun = sum(1 for _ in (run / "trials").glob("[0-9]*"))
    ended = {r["key"]: values for r in found if (values := objectives.values(r))}
    losses = [objectives.losses(values) for values in ended.values()]
    best = [list(ended.values())[i] for i in front(losses)]
    return {
        "run": config["name"],
        "finished": len(found) - states["infeasible"],
        "of": config["trials"] or None,  # none where only a budget ends the study
        **_spent(run, config),
        "complete": sum(objectives.values(result) is not None for result in found),
        "pruned": states["pruned"],
        **_raced(found, config),
        "failed": states["failed"],
        "over the limit": states["infeasible"],
        "begun": begun - len(found),
        **({"on the front": len(best)} if len(objectives) > 1 else {}),
        f"best {objectives.judged}": best[0][0] if best else None,
        "changed": len(read_lines(run / "changes.jsonl")),
        **_confirmed(run / "confirm"),
    }


def _spent(run: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the work done of a study's budget, where it has one."""
    budget = config.get("budget")
    return {"work": str(spent(work_of(run), budget, config["engine"]["threads"]))} if budget else {}


def _raced(found: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> dict[str, int]:
    """Return how many trainings of a race repeat a network with another seed, and how many wait after a pause."""
    if not config.get("race"):
        return {}
    own = [result for result in found if "duplicate_of" not in result]
    continued = {result.get("continues") for result in own}
    paused = [r for r in own if r["state"] == "pruned" and r["trial"] not in continued]
    return {"repeated": sum("replicate_of" in result for result in own), "paused": len(paused)}


def _of_ablation(run: Path) -> dict[str, Any]:
    plan, states = read_json(run / "plan.json"), _states(run)
    return {
        "run": read_yaml(run / "ablation.yaml")["name"],
        "finished": states.total(),
        "of": len(plan["networks"]) * len(plan["seeds"]),
        "complete": states["complete"],
        "failed": states["failed"],
        "changes": len(plan["networks"]) - 1,
        "seeds": len(plan["seeds"]),
    }


def _of_training(run: Path) -> dict[str, Any]:
    done = read_lines(run / "metrics.jsonl")
    last = done[-1] if done else {}
    finished = (run / "result.json").exists()
    return {
        "run": run.name,
        "state": read_json(run / "result.json")["state"] if finished else "begun",
        "epoch": last.get("epoch", 0),
        "of": last.get("epochs"),
        "val_accuracy": last.get("val_accuracy"),
    }


def _states(comparison: Path) -> Counter[str]:
    """Return how many trainings of a comparison ended how."""
    return Counter(read_json(path)["state"] for path in comparison.glob("*/*/result.json"))


def _confirmed(folder: Path) -> dict[str, str]:
    """Return how far a confirmation is, where one was begun."""
    if not (folder / "plan.json").exists():
        return {}
    plan = read_json(folder / "plan.json")
    return {"confirmed": f"{_states(folder).total()} of {len(plan['networks']) * len(plan['seeds'])}"}
