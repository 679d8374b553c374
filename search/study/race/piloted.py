"""What a race takes over from its pilot: trainings that are not repeated, and candidates that it knows already."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from search.record.files import read_json, replace_file, write_json
from search.record.layout import CONTINUED, PILOT, RESULT, write_result
from search.study.warm_start import Start

Trainings = dict[tuple[str, int], Path]


def pilot_trainings(run: Path) -> Trainings:
    """Return the folders of a pilot's complete trainings, by the candidate's key and the seed."""
    found = {}
    for path in sorted((run / PILOT).glob("*/*/result.json")):
        result = read_json(path, "state", "key")
        if result["state"] == "complete":
            found[result["key"], result["seed"]] = path.parent
    return found


def pilot_starts(run: Path, epochs: int) -> tuple[Start, ...]:
    """Return the candidates that a pilot drew, at the length of the study's trainings, as starts of the race."""
    path = run / PILOT / "plan.json"
    networks = read_json(path)["networks"] if path.exists() else {}
    drawn = ((name, n) for name, n in networks.items() if n.get("values") and n["epochs"] == epochs)
    return tuple(Start(f"{PILOT} {name}", network["values"]) for name, network in drawn)


def take_over(source: Path, folder: Path, about: Mapping[str, Any]) -> None:
    """Make a training's folder the record of a trial; its epochs count as work of the pilot alone."""
    for path in source.iterdir():
        if path.is_file() and path.name != RESULT and not path.name.startswith("."):
            replace_file(folder / path.name, partial(shutil.copyfile, path))
    result = read_json(source / RESULT)
    write_json(folder / CONTINUED, {"trial": "/".join(source.parts[-3:]), "epochs": result["epochs"]})
    write_result(folder, {key: value for key, value in result.items() if key != "piloted"} | dict(about))
