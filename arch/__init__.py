"""What a network is: blocks as data, networks as tables, exact costs, torch modules.

Importing this package does not import torch; `build` does when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arch.cost import cost
from arch.errors import InputError, SpecError
from arch.measure import measure
from arch.spec import Spec, from_mapping, list_networks, load, to_mapping, to_yaml

if TYPE_CHECKING:
    from arch.modules import Network, Output, build

__all__ = [
    "InputError",
    "Network",
    "Output",
    "Spec",
    "SpecError",
    "build",
    "cost",
    "from_mapping",
    "list_networks",
    "load",
    "measure",
    "to_mapping",
    "to_yaml",
]

_NEED_TORCH = ("Network", "Output", "build")


def __getattr__(name: str) -> Any:
    if name in _NEED_TORCH:
        from arch import modules

        return getattr(modules, name)
    raise AttributeError(f"module 'arch' has no attribute '{name}'")
