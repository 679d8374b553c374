"""What a study may vary: the keys of `space` in a study's file, an axis a file. A new file needs no other edit."""

from __future__ import annotations

from arch.registry import load_modules

load_modules(__name__, __path__)
