"""`run_study`: an Optuna study over a space of networks, with a budget, a record and a safe resume."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from search.data.dataset import load_data
from search.progress import Silent
from search.study.config import Plan, StudyConfig, load_study
from search.study.driver import StudyOutcome, drive
from search.study.prepare import prepared, resolved
from search.training.checks import check_fit
from search.training.tensorboard import check_events


def run_study(
    study: StudyConfig | str | Path | Mapping[str, Any],
    run: str | Path | None = None,
    *,
    trials: int | None = None,
    allow: Collection[str] = (),
    show: Silent | None = None,
) -> StudyOutcome:
    """Run a study until it has its total number of finished trials, or resume it where it stopped.

    Parameters
    ----------
    run : the run directory; by default `runs/<name>`.
    trials : another total than the file's.
    allow : the keys of what may have changed since the last start; each change is recorded in `changes.jsonl`.

    Raises
    ------
    InputError
        The study is wrong, or the run directory is of another study; names every difference.

    Examples
    --------
    >>> import search
    >>> outcome = search.run_study({
    ...     "name": "tiny", "network": "googlenet_cifar_tiny", "data": "digits", "trials": 1,
    ...     "recipe": {"base": "default", "epochs": 1, "batch": 32},
    ...     "space": {"aux_weight": {"low": 0.0, "high": 0.6}}, "engine": {"workers": 1, "threads": 1},
    ... }, run=tmp)
    >>> outcome.finished, outcome.ended
    (1, 'complete')
    """
    config = study if isinstance(study, StudyConfig) else load_study(study)
    if trials is not None:
        config = config.model_copy(update={"trials": trials})
    base, recipe, known = prepared(config)
    data = load_data(config.data)
    check_fit(base, data, recipe)
    check_events(recipe)
    folder = Path(run) if run else Path("runs") / config.name
    plan = Plan(resolved(config, recipe), base, recipe, data, known)
    return drive(plan, folder, allow, show or Silent())
