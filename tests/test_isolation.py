"""What a test leaves behind is found, named and taken back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace

import matplotlib
import optuna
import pytest
import torch

from arch.nodes import Node, conv
from arch.registry import BLOCKS, HEADS, Width
from tests.support.isolation import KEPT, nothing_left, registries


def planted(out: Width) -> Node:
    """A block of a test's own."""
    return conv(out, 1)


def begin_ray() -> None:
    left = SimpleNamespace(is_initialized=lambda: True, shutdown=lambda: setattr(left, "is_initialized", bool))
    sys.modules["ray"] = left  # type: ignore[assignment]


LEFT: dict[str, Callable[[], object]] = {
    "handler of SIGINT": lambda: signal.signal(signal.SIGINT, lambda *_: None),
    "handler of SIGTERM": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "working directory": lambda: os.chdir("/"),
    "environment": lambda: os.environ.update(LEFT_BY_A_TEST="1", HOME="/nowhere"),
    "torch's threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "whether torch takes gradients": lambda: torch.set_grad_enabled(False),
    "matplotlib's rcParams": lambda: matplotlib.rcParams.update({"font.size": 77}),
    "Optuna's verbosity": lambda: optuna.logging.set_verbosity(optuna.logging.ERROR),
    "Ray session": begin_ray,
    "registry of each block": lambda: BLOCKS.register(planted),
}


def test_all_that_is_kept_has_its_trial() -> None:
    assert {kept.name for kept in KEPT} == {name for name in LEFT if not name.startswith("registry ")}
    assert {id(BLOCKS), id(HEADS)} <= {id(registry) for registry in registries()}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_is_named_and_taken_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    before = [kept.read() for kept in KEPT], BLOCKS.names()
    with pytest.raises(pytest.fail.Exception, match=f"^this test leaves behind: {name}: "), nothing_left("this test"):
        LEFT[name]()
    assert ([kept.read() for kept in KEPT], BLOCKS.names()) == before


def test_nothing_is_left_where_a_test_clears_up() -> None:
    with nothing_left("this test"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/nowhere")
        patch.chdir("/")
