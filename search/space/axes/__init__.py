"""The axes of a search space: the keys of `space` in a study's file, one axis a file. A new file needs no other edit."""

from __future__ import annotations

from arch.registry import load_modules

load_modules(__name__, __path__)
