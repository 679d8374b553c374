"""The command line of Inceptory: thin, each command a few calls of `arch`, `search` and `reports`."""

# Importing a module registers its commands, in the order of `inceptory --help`.
from inceptory import networks, ledger, draw, train, trained, studies, ablate, report  # noqa: F401  # isort: skip
from inceptory.app import app, main

__all__ = ["app", "main"]
