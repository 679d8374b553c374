"""What came out: frames, tables, figures and a page, read from a run directory. Nothing here trains."""

from reports.runs.collection import Runs, load_all
from reports.runs.load import load
from reports.runs.run import Run

__all__ = ["Run", "Runs", "load", "load_all"]
