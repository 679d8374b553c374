"""What came out: frames, tables, figures and a page, read from a run directory. Nothing here trains."""

from reports.folder import Runs, load_all
from reports.load import Run, load

__all__ = ["Run", "Runs", "load", "load_all"]
