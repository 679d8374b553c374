"""A run in the reader's words: what was asked, what came out, how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from reports.runs.run import Comparison, Run
from reports.tables.confirmation import verdicts
from reports.tables.paired import JUDGED, missing_note, said, scored, sentence_of
from reports.tables.protocol import told
from reports.tables.table import absent, macs_unit, percent


class Summary(NamedTuple):
    """Three answers, a sentence or two each."""

    asked: str
    found: str
    sure: str


def summarised(run: Run) -> Summary:
    """Return what was asked, what came out and how sure it is."""
    if run.kind == "study":
        return Summary(_asked_of_study(run), *_found_by_study(run))
    return _ablation(run, run.ablation) if run.ablation else _training(run)


def _asked_of_study(run: Run) -> str:
    config, recipe = run.config, run.config.get("recipe") or {}
    varied = [_VARIED[key] for key, value in (config.get("space") or {}).items() if value and key in _VARIED]
    limit = f" at no more than {_macs(config['max_macs'])}" if config.get("max_macs") else ""
    if ((config.get("space") or {}).get("splits") or {}).get("mode") == "iso_macs":
        limit = " at the base's cost"
    judged = " and ".join(_JUDGED.get(name, name) for name in run.objectives.names)
    return (
        f"Which {' and '.join([', '.join(varied[:-1])] * (len(varied) > 1) + varied[-1:]) or 'variants'} of "
        f"{_base_name(run)} give the best {judged} on {_data(config)}{limit}? {_count(config.get('trials'), 'trial')} of "
        f"{_count(recipe.get('epochs'), 'epoch')} each, recipe {recipe.get('name', '-')}, "
        f"proposed by the sampler {(config.get('sampler') or {}).get('name', '-')}."
    )


_VARIED = {
    "splits": "channel splits",
    "family": "block families",
    "kernel": "kernels",
    "residual_scale": "residual scales",
    "aux": "positions of the auxiliary heads",
    "aux_weight": "auxiliary weights",
    "depth": "depths",
    "width": "widths",
    "recipe": "recipe values",
}
_JUDGED = {
    "val_accuracy": "held-out accuracy",
    "val_loss": "held-out loss",
    "macs": "MACs",
    "params": "parameters",
    "latency": "latency",
}


def _base_name(run: Run) -> str:
    """Return what the base network is called: a study may name it by its file."""
    return run.specs["base"].name if "base" in run.specs else str(run.config.get("network", "the base"))


def _found_by_study(run: Run) -> tuple[str, str]:
    ranked, base = run.ranked, run.base
    if ranked.empty:
        return f"No trial of {run.name} has come to its end yet.", "There is nothing to be sure of yet."
    best, finished = ranked.iloc[0], len(ranked)
    text = (
        f"Of {finished} trained networks, trial {best['trial']} is the best on the held-out images: "
        f"{told(run, best[run.objective])} at {_macs(best['macs'])}"
    )
    if len(run.front) > 1 and len(run.objectives) > 1:
        text += f", by the first objective; {len(run.front)} networks are on the front"
    if base:
        text += f"; the base, {_base_name(run)}, has {told(run, base[run.objective])} at {_macs(base['macs'])}"
    return f"{text}.", verdicts(run) or _unconfirmed(finished)


def _unconfirmed(finished: int) -> str:
    return (
        f"Not sure: every network was trained once (n = 1) and the best was picked out of {finished}, so the difference "
        "is inconclusive until both are trained again with fresh seeds (inceptory confirm)."
    )


def _training(run: Run) -> Summary:
    recipe = run.config.get("recipe") or {}
    row = {} if run.trials.empty else dict(run.trials.iloc[0])
    asked = (
        f"How well does {run.name} do on {row.get('data') or _data(run.config)} after {_count(recipe.get('epochs'), 'epoch')} "
        f"with the recipe {recipe.get('name', '-')}?"
    )
    if not row or row["state"] != "complete":
        why = f" It {row['state']}: {row['reason']}." if row and row["state"] == "failed" else ""
        done = 0 if run.epochs.empty else int(run.epochs["epoch"].max())
        return Summary(
            asked,
            f"The training has not come to its end; {_count(done, 'epoch')} recorded.{why}",
            "Nothing is sure yet.",
        )
    judged = [
        f"{percent(row[column])} % of the {images}"
        for column, images in (("test_accuracy", "test images"), ("val_accuracy", "held-out images"))
        if not absent(row.get(column))
    ]
    found = (
        f"{run.name} classifies {' and '.join(judged) or 'an unknown part'} rightly, with {int(row['params']):,} parameters "
        f"and {_macs(row['macs'])}."
    )
    return Summary(
        asked, found, f"{run.name} was trained once; n = 1, so nothing here says how much a random seed changes."
    )


def _ablation(run: Run, comparison: Comparison) -> Summary:
    found = scored(comparison)
    changes, images = list(found.compared), JUDGED[comparison.judged]
    asked = (
        f"{run.config.get('question') or f'What do changes of {_base_name(run)} do?'} {_count(len(changes), 'change')} "
        f"({', '.join(changes)}) and the base, each trained with the same {_count(len(found.seeds), 'seed')} on "
        f"{_data(run.config)} and judged by {images} accuracy."
    )
    text = f"Beside the base, in points: {sentence_of(found)}."
    by_verdict: dict[str, list[str]] = {}
    for name in changes:
        by_verdict.setdefault(said(found, name).replace(": ", ", "), []).append(name)
    sure = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in by_verdict.items())
    return Summary(asked, " ".join((text, *missing_note(found))), f"{sure[:1].upper()}{sure[1:]}.")


def _data(config: Mapping[str, Any]) -> str:
    data = config.get("data")
    return str(data.get("name", "-") if isinstance(data, Mapping) else data or "its images")


def _count(number: Any, what: str) -> str:
    return f"{'-' if number is None else number} {what}{'' if number == 1 else 's'}"


def _macs(value: float) -> str:
    unit, factor = macs_unit([value])
    return f"{value * factor:.2f} {unit} MACs"
