"""Studies: an ordinary Optuna study over a space of networks, with a budget, a record and a safe resume."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from arch.errors import InputError, within
from arch.spec import Spec, load
from search.asked import Asked, beside
from search.data import DataConfig, load_data
from search.driver import Driver, Outcome
from search.engine import EngineConfig
from search.events import check_events
from search.objectives import JUDGED, Objective, Objectives
from search.progress import Silent
from search.proposing import parameters, points
from search.recipe import Recipe, load_recipe
from search.rungs import Rungs
from search.samplers import check_sampler, make_pruner, make_sampler, options_of
from search.space import Space, check_space
from search.training import check_fit
from search.trials import Plan
from search.warm import Earlier, Start, starts

_HARDER = ("crop", "flip", "cutout", "random_resized_crop", "resize")
DEMO = Path(__file__).parent / "demo.yaml"


class StudyConfig(Asked):
    """A study, as its YAML file holds it.

    Attributes
    ----------
    objective : one, or several: the first is `val_accuracy` or `val_loss`, others may be `macs`, `params` and
        `latency` (ms an image, measured at the end of each training, and only where it is asked for).
    max_macs : the limit on multiply-adds without auxiliary heads; 0: none. What is over it is never trained.
    trials : the total number of finished trials, over all restarts.
    start : what is tried first: names of networks, files with specs, run directories (the best of each), or
        `{run: runs/x, top: 5}`.
    storage : a URL for `search.storage.open_storage`; empty: SQLite in the run directory.
    most_failures_in_a_row : so many trainings that fail for the same reason, one after the other, end a call; 0: never.
    keep_weights : how many of the best trials keep their weights; of several objectives those on the front first.
    """

    kind: ClassVar[str] = "study"
    needs: ClassVar[str] = "a study is a mapping with at least name, network and space"

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    network: str
    data: DataConfig = DataConfig()
    recipe: str | dict[str, Any] = "default"
    seed: int = Field(0, ge=0)
    space: Space
    objective: Objective | list[Objective] = "val_accuracy"
    max_macs: int = Field(0, ge=0)
    sampler: dict[str, Any] = {"name": "tpe"}
    pruner: dict[str, Any] = {"name": "none"}
    trials: int = Field(20, ge=1, le=10_000_000)
    start: list[str | Earlier] = []
    storage: str = ""
    keep_weights: int = Field(3, ge=0)
    most_failures_in_a_row: int = Field(10, ge=0)
    engine: EngineConfig = EngineConfig()

    @field_validator("objective")
    @classmethod
    def _judged_first(cls, given: str | list[str]) -> str | list[str]:
        names = Objectives(given).names
        if not names or names[0] not in JUDGED:
            raise ValueError(f"the first objective is {' or '.join(JUDGED)}: what a training is judged by")
        if len(set(names)) < len(names):
            raise ValueError("an objective is named twice")
        return names[0] if len(names) == 1 else list(names)

    @classmethod
    def _beside(cls, values: dict[str, Any], folder: Path) -> dict[str, Any]:
        if "network" in values:
            values["network"] = beside(folder, values["network"])
        if isinstance(values.get("start"), list):
            values["start"] = [beside(folder, entry) for entry in values["start"]]
        return values


def load_study(study: str | Path | Mapping[str, Any], file: str = "") -> StudyConfig:
    """Return a study from its YAML file or a mapping; relative network files are beside the study's.

    Errors name the `file` that a mapping was made of, here and later.

    Raises
    ------
    InputError
        A key is unknown or a value out of range; names file, key and near names.
    """
    return StudyConfig.read(study, file)


def run_study(
    study: StudyConfig | str | Path | Mapping[str, Any],
    run: str | Path | None = None,
    *,
    trials: int | None = None,
    allow: Collection[str] = (),
    show: Silent | None = None,
) -> Outcome:
    """Run a study until it has its total number of finished trials, or go on where it was left.

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
    return Driver(plan, folder, allow, show or Silent()).drive()


def prepared(config: StudyConfig) -> tuple[Spec, Recipe, tuple[Start, ...]]:
    """Return a study's base network, recipe and starts, once all that needs no images is checked.

    Raises
    ------
    InputError
        The space does not fit the network, the sampler cannot draw it, or a start is no point of it.
    """
    with within(config.where):
        base, recipe = load(config.network), load_recipe(config.recipe)
        check_space(config.space, base, recipe, config.where)
        _check_search(config, base, recipe)
        return base, recipe, starts(config.start, config.space, base, recipe)


def _check_search(config: StudyConfig, base: Spec, recipe: Recipe) -> None:
    """Refuse a sampler or pruner that is unknown, or cannot do what this study asks of it."""
    objectives = Objectives(config.objective)
    make_sampler(config.sampler, 0, 0)
    found, sometimes = parameters(config.space, base, recipe)
    check_sampler(config.sampler, found, sometimes, objectives.names, config.max_macs > 0)
    pruner = make_pruner(config.pruner, len(objectives))
    harder = [key for key in _HARDER if key in config.space.recipe]
    if isinstance(pruner, Rungs) and pruner.by == "train_accuracy" and harder:
        raise InputError(
            f"pruner rungs: recipe.{harder[0]} is searched, and makes training images harder or easier; use by: objective."
        )
    if config.sampler["name"] == "grid":
        points(config.space, base, recipe)


def resolved(config: StudyConfig, recipe: Recipe) -> StudyConfig:
    """Return the study with every default written out, and engine, workers and threads chosen for this machine."""
    return config.model_copy(
        update={
            "recipe": recipe.model_dump(),
            "sampler": options_of("sampler", config.sampler),
            "pruner": options_of("pruner", config.pruner),
            "engine": config.engine.settled(),
        }
    )
