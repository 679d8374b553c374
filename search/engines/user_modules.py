"""The user's modules that register blocks, optimizers and the like; worker processes import them too."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from arch.errors import InputError
from arch.registry import BLOCKS, HEADS, Registry, module_of, shipped
from search.data.sources import DATASETS
from search.evaluation.measurements.registry import MEASUREMENTS
from search.evaluation.proxies.registry import PROXIES
from search.recipes.augmentations import AUGMENTATIONS
from search.recipes.losses import LOSSES
from search.recipes.optimizers import OPTIMIZERS
from search.recipes.schedules import SCHEDULES

# What a training may need. Samplers, pruners and objectives are not among them: a study's own process uses these.
REGISTRIES: tuple[Registry[Any], ...] = (
    BLOCKS,
    HEADS,
    OPTIMIZERS,
    SCHEDULES,
    LOSSES,
    AUGMENTATIONS,
    DATASETS,
    MEASUREMENTS,
    PROXIES,
)


def user_modules() -> list[str]:
    """Return the user's modules (by name) and script (by path) that register what a training may need.

    Raises
    ------
    InputError
        Something was typed into a notebook or a prompt, where no other process can find it.
    """
    found: dict[str, None] = {}
    for registry in REGISTRIES:
        for name in registry.names():
            entry = registry.get(name)
            if not shipped(entry):
                module = module_of(entry)
                found[_script(f"{registry.kind} '{name}'") if module == "__main__" else module] = None
    return list(found)


def _script(what: str) -> str:
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # started with python -m
        return main.__spec__.name
    path = getattr(main, "__file__", None)
    if path is None or not Path(path).exists():
        raise InputError(
            f"{what} was typed in here, where worker processes cannot find it; put it into a file and "
            "import that, or use engine inprocess."
        )
    return str(Path(path).resolve())


def import_user_module(module: str) -> None:
    """Import what `user_modules` returned in another process; what a script does under `__main__` is not done."""
    if not module.endswith(".py"):
        importlib.import_module(module)
        return
    spec = importlib.util.spec_from_file_location(Path(module).stem, module)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # type hints are looked up there
    spec.loader.exec_module(loaded)
