"""What a test must leave as it found it: read before the test, compared after it, and put back.

pytest itself takes back the warnings filters after each test.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import optuna
import pytest
import torch

from arch.registry import Registry

OURS = ("arch", "search", "reports", "inceptory")
_PYTESTS_OWN = ("PYTEST_CURRENT_TEST",)
# What libraries set when they are first imported, whoever does it.
_SET_BY_IMPORTS = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "RAY_CLIENT_MODE")


@dataclass(frozen=True)
class Kept:
    """One part of the process: `read` returns what it is now, `write` makes it that again."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _handler(number: signal.Signals) -> Kept:
    return Kept(f"handler of {number.name}", lambda: signal.getsignal(number), lambda was: signal.signal(number, was))


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _PYTESTS_OWN + _SET_BY_IMPORTS}


def _set_environment(was: dict[str, str]) -> None:
    for name in set(_environment()) - set(was):
        del os.environ[name]
    os.environ.update(was)


def _ray() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def _end_ray(was: bool) -> None:
    if not was:
        sys.modules["ray"].shutdown()


KEPT = (
    _handler(signal.SIGINT),
    _handler(signal.SIGTERM),
    Kept("working directory", os.getcwd, os.chdir),
    Kept("environment", _environment, _set_environment),
    Kept("torch's threads", torch.get_num_threads, torch.set_num_threads),
    Kept("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Kept("torch's default device", torch.get_default_device, torch.set_default_device),
    Kept("whether torch takes gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    Kept("matplotlib's rcParams", lambda: dict(matplotlib.rcParams.copy()), lambda was: dict.update(matplotlib.rcParams, was)),
    Kept("Optuna's verbosity", optuna.logging.get_verbosity, optuna.logging.set_verbosity),
    Kept("Ray session", _ray, _end_ray),
)  # fmt: skip


def _our_modules() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] in OURS}


def registries() -> list[Registry]:
    """Return every registry that a module of ours holds, once."""
    held = [value for module in _our_modules() for value in vars(sys.modules[module]).values()]
    return list({id(value): value for value in held if isinstance(value, Registry)}.values())


def _entries(registry: Registry) -> dict[str, dict[Any, Any]]:
    """Return a copy of a registry's mappings."""
    return {name: dict(value) for name, value in vars(registry).items() if isinstance(value, dict)}


@contextmanager
def registered(registry: Registry, *functions: Callable[..., Any]) -> Iterator[None]:
    """Add definitions to a registry, and take them out again."""
    before = _entries(registry)
    try:
        for function in functions:
            registry.register(function)
        yield
    finally:
        vars(registry).update(before)


@contextmanager
def nothing_left(who: str) -> Iterator[None]:
    """Fail where the process isn't as it was before, after it is made so again.

    A module of ours that is imported for the first time may fill registries: that stays.
    """
    before = [(kept, kept.read()) for kept in KEPT]
    modules, entries = _our_modules(), [(registry, _entries(registry)) for registry in registries()]
    yield
    left = []
    for kept, was in before:
        if (now := kept.read()) != was:
            left.append(f"{kept.name}: {_difference(was, now)}")
            kept.write(was)
    for registry, was in entries:
        if (now := _entries(registry)) != was and modules == _our_modules():
            left.append(f"registry of each {registry.kind}: {_difference(was, now)}")
            vars(registry).update(was)
    if left:
        pytest.fail(f"{who} leaves behind: {'; '.join(left)}", pytrace=False)


def _difference(was: Any, now: Any) -> str:
    if not isinstance(was, dict):
        return f"was {was!r}, is {now!r}"
    keys = [key for key in {**was, **now} if key not in was or key not in now or was[key] != now[key]]
    return ", ".join(f"{key} was {was.get(key)!r}, is {now.get(key)!r}" for key in keys)
