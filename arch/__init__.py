"""What a network is: blocks as data, networks as tables, exact costs, torch modules.

Importing this package does not import torch; `build` does when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arch.analysis.cost import cost
from arch.analysis.measure import measure
from arch.errors import InputError, SpecError
from arch.specs.read import from_mapping, list_networks, load
from arch.specs.spec import Spec
from arch.specs.write import to_mapping, to_yaml

if TYPE_CHECKING:
    from arch.modules.builder import build
    from arch.modules.plain import Network, Output

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
        from arch.modules import builder, plain

        return getattr(builder if name == "build" else plain, name)
    raise AttributeError(f"module 'arch' has no attribute '{name}'")
