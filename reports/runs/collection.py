"""A folder of runs as tidy frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from arch.errors import InputError
from reports.runs.load import is_run, load
from reports.runs.run import Run


@dataclass(frozen=True)
class Runs:
    """Several runs, and their frames as one each, with the run's folder in the column `run`.

    Attributes
    ----------
    runs : each by its folder, relative to `folder`.
    trials : one row a training, as in `Run.trials`. epochs : one row an epoch, as in `Run.epochs`.
    confirmations : one row a planned training of a confirmation, as in `Comparison.runs`.
    unread : runs that could not be read, and why.
    """

    folder: Path
    runs: dict[str, Run]
    trials: pd.DataFrame
    epochs: pd.DataFrame
    confirmations: pd.DataFrame
    unread: dict[str, str]


def load_all(folder: str | Path) -> Runs:
    """Return every run in a folder, at any depth, as frames to write your own tables from.

    What lies inside a run (its trials, its report) is no run of its own. A run that cannot be read is named in
    `unread` and left out of the frames.

    Raises
    ------
    InputError
        There is no such folder, or no run in it.

    Examples
    --------
    >>> import reports
    >>> found = reports.load_all("docs/results")
    >>> "splits_cifar10" in set(found.trials["run"])
    True
    """
    place, runs, unread = Path(folder), {}, {}
    if not place.is_dir():
        raise InputError(f"{place}: is no folder; name the one that holds the runs, such as runs/.")
    for path in _runs_in(place):
        name = path.relative_to(place).as_posix()
        try:
            runs[name] = load(path)
        except InputError as error:
            unread[name] = str(error)
    if not runs and not unread:
        raise InputError(f"{place}: no run is in it; a run's folder holds study.yaml, spec.yaml or trials.csv.")
    return Runs(
        place,
        runs,
        _joined({name: run.trials for name, run in runs.items()}),
        _joined({name: run.epochs for name, run in runs.items()}),
        _joined({name: run.confirmation.runs for name, run in runs.items() if run.confirmation}),
        unread,
    )


def _runs_in(folder: Path) -> Iterator[Path]:
    if is_run(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            yield from _runs_in(path)


def _joined(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return frames below one another, each row with the run that it came from."""
    parts = []
    for name, frame in frames.items():
        part = frame.copy()
        part.insert(0, "run", name)
        parts += [part] if len(part) else []
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"run": pd.Series(dtype=str)})
