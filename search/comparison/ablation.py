"""Ablations: a base and named changes of it, each trained with the same seeds.

runs/<ablation>/ is a comparison (see `search.comparison.plan`) of `base` and the changes, next to `ablation.yaml`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from arch.analysis.cost import cost
from arch.errors import InputError, SpecError, near, within
from arch.specs.derive import derive
from arch.specs.edit import searchable, split_of, stages, with_args, with_family, with_heads_on
from arch.specs.read import from_mapping, load
from arch.specs.spec import Spec
from arch.specs.write import to_mapping
from search.comparison.confirm import fresh_seeds
from search.comparison.plan import carry_out, grown, make_plan
from search.config_file import ConfigFile, network_path
from search.data.dataset import DataConfig, load_data
from search.engines.base import EngineConfig
from search.engines.supervisor import TaskResults
from search.progress import Silent
from search.recipes.load import load_recipe
from search.recipes.recipe import Recipe
from search.record.files import write_yaml
from search.record.layout import BASE, check_kind
from search.record.lock import locked
from search.space.candidates import Candidate
from search.space.compositions import SplitRules
from search.space.iso_macs import solve
from search.training.checks import check_fit
from search.training.tensorboard import check_events

_MOST = 1_000  # combinations of levels
JOIN = "+"  # between the levels that a factorial combines
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.,=-]+$", max_length=80)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Change(BaseModel):
    """One change of a network or of its recipe, or both. They apply in the order of the attributes.

    Attributes
    ----------
    about : what it is, for readers.
    network : another network in place of the base, by name or file.
    edits : what differs, as the `edits` of a network file say it: input, style, rows, heads.
    family : the block family of all searchable rows, splits kept; or by stage or row.
    args : arguments for every row whose block takes them, such as `{n: 5}` or `{scale: 0.1}`.
    heads : the rows with an auxiliary head; an empty list takes all away.
    iso_macs : solve the widths of the searchable rows for the base's MACs within 1 %, proportions kept. With
        `network` or `edits` that leave no such row it is refused.
    recipe : values of the recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = ""
    network: str = ""
    edits: dict[str, Any] = {}
    family: str | dict[str, str] = ""
    args: dict[str, Any] = {}
    heads: list[str] | None = None
    iso_macs: bool = False
    recipe: dict[str, Any] = {}


class Ablation(ConfigFile):
    """The keys of an ablation's YAML file.

    Attributes
    ----------
    question : what it asks, in a sentence; the report opens with it.
    base : how the base differs from `network` and `recipe`; the changes apply to the base.
    changes : each makes one network of the base, by name.
    factors : levels by factor; every combination of them is a change. One level of each is `{}`, the base's own.
    seeds : how many, or which.
    test : judge on the test set, once a training, at its last epoch, trained on all training images;
        otherwise on held-out images, for ablations that something is to be chosen by.
    """

    kind: ClassVar[str] = "ablation"
    needs: ClassVar[str] = "an ablation is a mapping with at least name, network and changes"

    name: Name
    question: str = ""
    network: str
    base: Change = Change()
    data: DataConfig = DataConfig()
    recipe: str | dict[str, Any] = "default"
    changes: dict[Name, Change] = {}
    factors: dict[Name, dict[Name, Change]] = {}
    seeds: Annotated[int, Field(ge=1, le=10_000)] | Annotated[list[Seed], Field(min_length=1)] = 6
    test: bool = True
    engine: EngineConfig = EngineConfig()

    @model_validator(mode="after")
    def _sound(self) -> Ablation:
        if not self.changes and not self.factors:
            raise ValueError("an ablation has at least one change or factor")
        if BASE in self.changes:
            raise ValueError(f"a change cannot be called '{BASE}': that is what they are compared with")
        if isinstance(self.seeds, list) and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("each seed is named once")
        if (amount := math.prod(map(len, self.factors.values()))) > _MOST:
            raise ValueError(f"the factors have {amount:,} combinations, and at most {_MOST:,} are trained")
        for name, levels in self.factors.items():
            if len(levels) < 2:
                raise ValueError(f"factor {name} has one level; it takes two or more")
            if sum(level == Change() for level in levels.values()) != 1:
                raise ValueError(f"factor {name}: one level, the base's own, is {{}}; the others change something")
        return self

    @classmethod
    def _with_network_paths(cls, values: dict[str, Any], folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = _with_paths(values, folder)
        return found

    @classmethod
    def _keys_allowed(cls, error: ValidationError) -> Iterable[str]:
        return Change.model_fields if len(error.errors()[0]["loc"]) > 1 else cls.model_fields


def _with_paths(values: Any, folder: Path) -> Any:
    """Return the values with the path of every `network` file resolved from the ablation's folder."""
    if not isinstance(values, Mapping):
        return values
    found = {key: _with_paths(value, folder) for key, value in values.items() if key != "edits"}
    if "network" in found:
        found["network"] = network_path(folder, found["network"])
    return {key: found.get(key, value) for key, value in values.items()}


def load_ablation(ablation: str | Path | Mapping[str, Any], file: str = "") -> Ablation:
    """Return an ablation from its YAML file or a mapping; network files are relative to the ablation's.

    Errors name the `file` that a mapping was made of, here and later.

    Raises
    ------
    InputError
        A key is unknown or a value out of range; names file, key and near names.
    """
    return Ablation.read(ablation, file)


def run_ablation(
    ablation: Ablation | str | Path | Mapping[str, Any],
    run: str | Path | None = None,
    *,
    show: Silent | None = None,
) -> TaskResults:
    """Train the base and every change with each seed, or resume; nothing is trained twice.

    With more seeds or changes than before the plan grows, which it records.

    Parameters
    ----------
    run : the run directory; by default `runs/<name>`.

    Raises
    ------
    InputError
        A change cannot be made or changes nothing, or the run directory holds another ablation.

    Examples
    --------
    >>> import search
    >>> outcome = search.run_ablation({
    ...     "name": "heads", "network": "googlenet_cifar_tiny", "data": "digits", "seeds": 1,
    ...     "recipe": {"base": "default", "epochs": 1, "batch": 64},
    ...     "changes": {"none": {"heads": []}}, "engine": {"workers": 1, "threads": 1},
    ... }, run=tmp)
    >>> outcome.complete
    2
    """
    config = ablation if isinstance(ablation, Ablation) else load_ablation(ablation)
    networks = candidates(config)
    seeds = fresh_seeds(config.seeds, [0]) if isinstance(config.seeds, int) else list(config.seeds)
    data = load_data(config.data)
    for candidate, _ in networks.values():
        check_fit(candidate.spec, data, candidate.recipe)
        check_events(candidate.recipe)
    folder = Path(run) if run else Path("runs") / config.name
    recipe = networks[BASE][0].recipe
    engine = config.engine.settled()
    new = make_plan(networks, seeds, recipe.model_dump(), data, config.data, engine, test=config.test)
    check_kind(folder, "ablation.yaml")
    with locked(folder, "this ablation") as held:
        plan = grown(folder, new, "ablation")
        write_yaml(folder / "ablation.yaml", _resolved(config, recipe, engine).model_dump(), sealed=True)
        return carry_out(held, f"{config.name}, ablation", "change", plan, engine, show or Silent())


def _resolved(config: Ablation, recipe: Recipe, engine: EngineConfig) -> Ablation:
    return config.model_copy(update={"recipe": recipe.model_dump(), "engine": engine})


def candidates(config: Ablation) -> dict[str, tuple[Candidate, dict[str, Any]]]:
    """Return the base and each change by name: network and recipe, and what the record holds of it.

    Raises
    ------
    InputError
        A change cannot be made, or is the same network and recipe as another; names it.
    """
    with within(config.where):
        start = Candidate(load(config.network), load_recipe(config.recipe))
    base = _applied(config.base, start, f"{config.where}, base", cost(start.spec).macs)
    macs = cost(base.spec).macs
    found: dict[str, tuple[Candidate, dict[str, Any]]] = {BASE: (base, _record_of([config.base], _own_levels(config)))}
    for name, changes, levels in _named(config):
        candidate = base
        for change in changes:
            candidate = _applied(change, candidate, f"{config.where}, change {name}", macs)
        for other, (known, _) in found.items():
            if known.key == candidate.key:
                raise InputError(
                    f"{config.where}, change {name}: is the same network and recipe as {other}; leave it out or correct it."
                )
        found[name] = (candidate, _record_of(changes, levels))
    return found


def _record_of(changes: Sequence[Change], levels: dict[str, str]) -> dict[str, Any]:
    about = "; ".join(change.about for change in changes if change.about)
    return {"about": about, **({"levels": levels} if levels else {})}


def _own_levels(config: Ablation) -> dict[str, str]:
    """Return the base's own level of each factor."""
    return {
        factor: next(name for name, change in levels.items() if change == Change())
        for factor, levels in config.factors.items()
    }


def _named(config: Ablation) -> Iterator[tuple[str, Sequence[Change], dict[str, str]]]:
    """Yield the changes, then every combination of levels but the base's own: name, changes, level by factor."""
    for name, change in config.changes.items():
        yield name, [change], {}
    for levels in itertools.product(*(factor.items() for factor in config.factors.values())):
        changing = [(name, change) for name, change in levels if change != Change()]
        if changing:
            name = JOIN.join(name for name, _ in changing)
            if name in config.changes:
                raise InputError(f"{config.where}: '{name}' is both a change and a combination of levels; rename one.")
            yield (
                name,
                [change for _, change in changing],
                dict(zip(config.factors, (n for n, _ in levels), strict=True)),
            )


def _applied(change: Change, to: Candidate, where: str, macs: int) -> Candidate:
    """Return a candidate with a change made; `macs` is what `iso_macs` solves for."""
    with within(where):
        spec = _edited(change, to.spec, where)
        if change.iso_macs:
            spec = _solved(spec, macs, where)
        changed = Candidate(spec, load_recipe(to.recipe, change.recipe) if change.recipe else to.recipe)
        changed.recipe.head_weights(spec.aux_rows)
        return changed


def _edited(change: Change, spec: Spec, where: str) -> Spec:
    if change.network:
        spec = load(change.network)
    if change.edits:
        spec = from_mapping(derive(to_mapping(spec), {"name": spec.name, "edits": change.edits}, where), where)
    for family, rows in _families(change.family, spec):
        spec = with_family(spec, family, rows)
    for key, value in change.args.items():
        taking = [row.name for row in spec.rows if key in row.definition.parameters]
        if not taking:
            known = sorted({name for row in spec.rows for name in row.definition.parameters})
            raise SpecError(f"args: no row takes '{key}'.{near(key, known)} Rows take: {', '.join(known)}.")
        for row in taking:
            spec = with_args(spec, row, {key: value})
    return with_heads_on(spec, change.heads) if change.heads is not None else spec


def _families(given: str | Mapping[str, str], spec: Spec) -> Iterator[tuple[str, list[str]]]:
    """Yield each family with the rows that are to have it; a stage stands for its rows."""
    if isinstance(given, str):
        if given:
            yield given, [row.name for row in searchable(spec)]
        return
    groups = stages(spec)
    for name, family in given.items():
        yield family, groups.get(name, [name])


def _solved(spec: Spec, macs: int, where: str) -> Spec:
    splits = {row.name: split_of(row) for row in searchable(spec)}
    if not splits:
        raise SpecError(f"{where}: iso_macs solves the widths of searchable rows, but {spec.name} has none.")
    solved = solve(spec, splits, macs, SplitRules())
    if solved.missed:
        raise SpecError(f"{where}: {solved.missed}.")
    return solved.spec
