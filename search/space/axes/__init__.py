"""The axes of a search space, one a file: the keys of `space` in a study. A new file needs no other edit."""

from __future__ import annotations

from arch.registry import load_modules

load_modules(__name__, __path__)
