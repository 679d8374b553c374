"""Cheap proxies of untrained networks, one a file. A new file needs no other edit."""

from __future__ import annotations

from arch.registry import load_modules

load_modules(__name__, __path__)
