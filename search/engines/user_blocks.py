"""Where blocks and heads of a user's own are defined, so that worker processes come to know them too."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from arch.errors import InputError
from arch.registry import BLOCKS, HEADS

_OURS = "arch."


def homes() -> list[str]:
    """Return the modules, by name, and the script, by its path, that registered blocks or heads beside ours.

    Raises
    ------
    InputError
        A block was typed into a notebook or a prompt, where no other process can find it.
    """
    found: dict[str, None] = {}
    for definition in (*BLOCKS, *HEADS):
        module = definition.function.__module__
        if not module.startswith(_OURS):
            found[_script(definition.name) if module == "__main__" else module] = None
    return list(found)


def _script(block: str) -> str:
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # started with python -m
        return main.__spec__.name
    path = getattr(main, "__file__", None)
    if path is None or not Path(path).exists():
        raise InputError(
            f"block '{block}' was typed in here, where worker processes cannot find it; put it into a file of its own and "
            "import that, or use engine inprocess."
        )
    return str(Path(path).resolve())


def know(home: str) -> None:
    """Import what `homes` returned in another process; what a script does under `__main__` is not done."""
    if not home.endswith(".py"):
        importlib.import_module(home)
        return
    spec = importlib.util.spec_from_file_location(Path(home).stem, home)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # type hints are looked up there
    spec.loader.exec_module(module)
