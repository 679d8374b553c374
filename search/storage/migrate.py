"""Change the choices of a study that has begun: its trials are copied in order into a new Optuna study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from arch.errors import InputError


def changed_choices(study: optuna.Study, space: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Return the new distributions of parameters whose choices differ from those of the trials.

    Optuna lets ranges change within one study, but not choices.

    Raises
    ------
    InputError
        A trial holds a choice that was removed, or a range became choices; names trial and value.
    """
    found: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        for name, old in trial.distributions.items():
            new = space.get(name, old)
            if type(new) is not type(old):
                raise InputError(
                    f"{name}: was a {_kind(old)} and is a {_kind(new)}; start another study, with this one under start."
                )
            if not isinstance(new, CategoricalDistribution) or new == old:
                continue
            if trial.params[name] not in new.choices:
                raise InputError(
                    f"{name}: the choice {trial.params[name]!r} was removed, but trial {trial.number} has it; put it back, "
                    "or start another study, with this one under start."
                )
            found[name] = new
    return found


def _kind(distribution: BaseDistribution) -> str:
    return "choice" if isinstance(distribution, CategoricalDistribution) else "range"


def migrate(study: optuna.Study, storage: Any, name: str, grown: Mapping[str, BaseDistribution]) -> optuna.Study:
    """Return a new study, `name.2` or the next that is free, with the same trials under the same numbers.

    The old one stays as it is. What a sampler stores with the study rather than with trials is not copied, as it
    names trials of the old one: NSGA-III chooses the parents of its last generation again.
    """
    taken = set(optuna.get_all_study_names(storage))
    free = next(f"{name}.{n}" for n in range(2, len(taken) + 3) if f"{name}.{n}" not in taken)
    new = optuna.create_study(storage=storage, study_name=free, directions=study.directions)
    for key, value in (study.user_attrs | {"migrated_from": study.study_name}).items():
        new.set_user_attr(key, value)
    for trial in study.get_trials():
        trial.distributions = {name: grown.get(name, old) for name, old in trial.distributions.items()}
        new.add_trial(trial)
    return new
