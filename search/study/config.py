"""The configuration of a study: the keys of its YAML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from arch.specs.spec import Spec
from search.config_file import ConfigFile, network_path
from search.data.dataset import Data, DataConfig
from search.engines.base import EngineConfig
from search.recipes.recipe import Recipe
from search.record.objectives import OBJECTIVES, Objectives
from search.space.axes.base import AXES
from search.space.space import Space
from search.study.race.budget import Budget
from search.study.race.policy import RaceConfig
from search.study.warm_start import Earlier, Start

DEMO = Path(__file__).parent / "demo.yaml"


class StudyConfig(ConfigFile):
    """The keys of a study's YAML file.

    Attributes
    ----------
    objective : one, or several, by their names in `search.record.objectives`; the first is a figure of each epoch.
    max_macs : the limit on multiply-adds without auxiliary heads; 0: none. What is over it is never trained.
    trials : the total number of finished trials, over all restarts; 0, the default with a budget: no limit.
    budget : how much work the study may take, `{epochs: 500}` or `{core_hours: 3}`.
    race : how candidates are repeated with further seeds (`search.study.race.policy`); without it each is trained once.
    start : what is tried first: names of networks, files with specs, run directories (the best of each), or
        `{run: runs/x, top: 5}`.
    storage : a URL for `search.storage.urls.open_storage`; empty: SQLite in the run directory.
    most_failures_in_a_row : a call ends after so many trainings in a row that fail for the same reason; 0: never.
    proxies : figures of each network before it is trained, by their names in `search.evaluation.proxies`.
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
    objective: str | list[str] = "val_accuracy"
    max_macs: int = Field(0, ge=0)
    sampler: dict[str, Any] = {"name": "tpe"}
    pruner: dict[str, Any] = {"name": "none"}
    trials: int = Field(20, ge=0, le=10_000_000)
    budget: Budget | None = None
    race: RaceConfig | None = None
    start: list[str | Earlier] = []
    storage: str = ""
    proxies: list[str] = []
    keep_weights: int = Field(3, ge=0)
    most_failures_in_a_row: int = Field(10, ge=0)
    engine: EngineConfig = EngineConfig()

    @model_validator(mode="before")
    @classmethod
    def _no_limit_with_a_budget(cls, values: Any) -> Any:
        return {"trials": 0, **values} if isinstance(values, Mapping) and values.get("budget") else values

    @model_validator(mode="after")
    def _ends(self) -> StudyConfig:
        if not self.trials and not self.budget:
            raise ValueError("a study ends: give trials, at least 1, or a budget")
        if self.race and len(Objectives(self.objective)) > 1:
            raise ValueError("a race has one objective; remove race, or all objectives but the first")
        return self

    @field_validator("objective")
    @classmethod
    def _judged_first(cls, given: str | list[str]) -> str | list[str]:
        objectives = Objectives(given)
        if not len(objectives) or objectives.first.source != "epoch":
            able = [objective.name for objective in OBJECTIVES if objective.source == "epoch"]
            raise ValueError(f"the first objective is one of {', '.join(able)}: what a training is judged by")
        if len(set(objectives.names)) < len(objectives):
            raise ValueError("an objective is named twice")
        return objectives.judged if len(objectives) == 1 else list(objectives.names)

    @classmethod
    def _keys_allowed(cls, error: ValidationError) -> Iterable[str]:
        """Return the keys allowed in the part of the file that holds an unknown one."""
        if not (path := error.errors()[0]["loc"]):  # the keys do not go together
            return cls.model_fields
        part, *rest = path
        kind = cls.model_fields[str(part)].annotation if part in cls.model_fields else None
        if part == "space" and rest:
            axis, *inside = map(str, rest)
            return AXES.get(axis).known_keys(inside[0] if len(inside) > 1 else "") if inside else AXES.names()
        return (
            kind.model_fields if rest and isinstance(kind, type) and issubclass(kind, BaseModel) else cls.model_fields
        )

    @classmethod
    def _with_network_paths(cls, values: dict[str, Any], folder: Path) -> dict[str, Any]:
        if "network" in values:
            values["network"] = network_path(folder, values["network"])
        if isinstance(values.get("start"), list):
            values["start"] = [network_path(folder, entry) for entry in values["start"]]
        if "space" in values:
            values["space"] = _with_paths_inside(folder, values["space"])
        return values


def _with_paths_inside(folder: Path, part: Any) -> Any:
    """Return a part of a file with the network files under its keys `network`, at any level, resolved from a folder."""
    if not isinstance(part, Mapping):
        return part
    return {
        key: network_path(folder, value) if key == "network" else _with_paths_inside(folder, value)
        for key, value in part.items()
    }


def load_study(study: str | Path | Mapping[str, Any], file: str = "") -> StudyConfig:
    """Return a study from its YAML file or a mapping; network files are relative to the study's.

    Errors name the `file` that a mapping was made of, here and later.

    Raises
    ------
    InputError
        A key is unknown or a value out of range; names file, key and near names.
    """
    return StudyConfig.read(study, file)


@dataclass(frozen=True)
class Plan:
    """A study that is ready to run: its configuration with every default written out, and all that it names, loaded."""

    config: StudyConfig
    base: Spec
    recipe: Recipe
    data: Data
    starts: tuple[Start, ...] = ()
