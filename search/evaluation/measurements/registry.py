"""The measurements by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arch.modules.plain import Network
from arch.registry import Registry

# From a trained network and whether it runs in bf16 to figures for its result; one has the measurement's name.
Measurement = Callable[[Network, bool], dict[str, Any]]
MEASUREMENTS: Registry[Measurement] = Registry("measurement")


def measurement(function: Measurement) -> Measurement:
    """Register a function under its name; an objective of that name, `source="trained network"`, is computed by it."""
    return MEASUREMENTS.add(function.__name__, function)
