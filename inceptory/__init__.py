"""The command line of Inceptory: each command is a few calls of `arch`, `search` and `reports`."""

# Importing a module registers its commands, in the order of `inceptory --help`.
from inceptory import networks, show, ledger, draw, train, evaluate, predict, bench, export, studies, ablate, report  # noqa: F401  # isort: skip
from inceptory.app import app, main

__all__ = ["app", "main"]
