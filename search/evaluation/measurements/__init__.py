"""What is measured on each trained network for a study that is judged by it; a measurement a file."""

from __future__ import annotations

from arch.registry import load_modules

load_modules(__name__, __path__)
