"""Studies: an ordinary Optuna study over a space of networks, with a budget, a record and a safe resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arch.errors import InputError, from_validation
from arch.spec import load
from arch.strict import load_yaml
from search.data import DataConfig, load_data
from search.driver import Driver, Outcome
from search.engine import EngineConfig
from search.progress import Silent
from search.recipe import Recipe, load_recipe
from search.samplers import make_pruner, make_sampler, options_of
from search.space import Space, check_space
from search.training import check_fit

DEMO = Path(__file__).parent / "demo.yaml"


class StudyConfig(BaseModel):
    """A study, as its YAML file holds it.

    Attributes
    ----------
    max_macs : the limit on multiply-adds without auxiliary heads; 0: none. What is over it is never trained.
    trials : the total number of finished trials, over all restarts.
    storage : a URL for `search.storage.open_storage`; empty: SQLite in the run directory.
    keep_weights : how many of the best trials keep their weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    network: str
    data: DataConfig = DataConfig()
    recipe: str | dict[str, Any] = "default"
    seed: int = Field(0, ge=0)
    space: Space
    objective: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    max_macs: int = Field(0, ge=0)
    sampler: dict[str, Any] = {"name": "tpe"}
    pruner: dict[str, Any] = {"name": "none"}
    trials: int = Field(20, ge=1, le=10_000_000)
    storage: str = ""
    keep_weights: int = Field(3, ge=0)
    engine: EngineConfig = EngineConfig()


def load_study(study: str | Path | Mapping[str, Any]) -> StudyConfig:
    """Return a study from its YAML file or a mapping; a relative network file is beside the study's.

    Raises
    ------
    InputError
        A key is unknown or a value out of range; names file, key and near names.
    """
    where, values = "study", study
    if not isinstance(study, Mapping):
        where, values = str(study), load_yaml(study)
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: a study is a mapping with at least name, network and space.")
    values = dict(values)
    if isinstance(values.get("data"), str):
        values["data"] = {"name": values["data"]}
    network = values.get("network")
    if isinstance(network, str) and network.endswith((".yaml", ".yml")) and not isinstance(study, Mapping):
        values["network"] = str((Path(study).parent / network).resolve())
    try:
        return StudyConfig.model_validate(values)
    except ValidationError as error:
        raise from_validation(error, where, StudyConfig.model_fields) from None


def run_study(
    study: StudyConfig | str | Path | Mapping[str, Any],
    run: str | Path | None = None,
    *,
    trials: int | None = None,
    show: Silent | None = None,
) -> Outcome:
    """Run a study until it has its total number of finished trials, or go on where it was left.

    Parameters
    ----------
    run : the run directory; by default `runs/<name>`.
    trials : another total than the file's.

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
    base, recipe = load(config.network), load_recipe(config.recipe)
    check_space(config.space, base, recipe, f"study {config.name}")
    make_pruner(config.pruner)
    make_sampler(config.sampler, 0, 0)
    data = load_data(config.data)
    check_fit(base, data, recipe)
    folder = Path(run) if run else Path("runs") / config.name
    return Driver(resolved(config, recipe), base, recipe, data, folder, show or Silent()).drive()


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
