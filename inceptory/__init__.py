"""The command line of Inceptory: thin, each command a few calls of `arch`, `search` and `reports`."""

from inceptory import networks, papers, drawings, training, models, studies, ablations, pages  # isort: skip  (the order of `inceptory --help`)
from inceptory.app import app, main

__all__ = ["ablations", "app", "drawings", "main", "models", "networks", "pages", "papers", "studies", "training"]
