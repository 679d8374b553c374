"""The proxies by name: figures of a network before it is trained."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from arch.modules.plain import Network
from arch.registry import Registry

# From a network with its initial weights, in training mode, images (N, C, H, W) and labels (N,) to one figure.
Proxy = Callable[[Network, Tensor, Tensor], float]
PROXIES: Registry[Proxy] = Registry("proxy", "proxies")


def proxy(function: Proxy) -> Proxy:
    """Register a function under its name, by which a study's `proxies` names it."""
    return PROXIES.add(function.__name__, function)
