"""What several commands take: options, overrides of files, and the networks that are named."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

import arch
from arch.errors import InputError, near
from arch.files.safe_yaml import parse_yaml
from arch.specs.edit import with_classes, with_input


class Format(StrEnum):
    """How a table is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    md = "md"
    latex = "latex"


class Progress(StrEnum):
    """How progress is shown."""

    auto = "auto"
    bars = "bars"
    lines = "lines"
    json = "json"
    quiet = "quiet"


class ShowFormat(StrEnum):
    """How a network is shown."""

    table = "table"
    yaml = "yaml"
    json = "json"
    csv = "csv"
    md = "md"
    latex = "latex"


FormatOption = Annotated[Format, typer.Option("--format", help="How the table is printed.")]
InputOption = Annotated[str | None, typer.Option("--input", help="Another input, as 3x32x32.")]
ClassesOption = Annotated[int | None, typer.Option("--classes", min=1, max=65_536, help="Another number of classes.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override, as recipe.lr=0.05; may be repeated.")]
ProgressOption = Annotated[
    Progress, typer.Option("--progress", help="How progress is shown; auto: bars on a terminal, lines elsewhere.")
]
SeedsOption = Annotated[str | None, typer.Option("--seeds", help="How many seeds, or which, as 11,12,13.")]
DownloadOption = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is not at hand.")]


def network_of(name: str, shape: str | None = None, classes: int | None = None) -> arch.Spec:
    """Return the network that is named, for another input (`3x32x32`) or number of classes where given."""
    spec = arch.load(name)
    if shape:
        parts = shape.lower().split("x")
        if len(parts) != 3 or not all(part.isdigit() and 0 < int(part) <= 16_384 for part in parts):
            raise InputError(f"--input is '{shape}', but it must be channels x height x width, such as 3x32x32.")
        spec = with_input(spec, (int(parts[0]), int(parts[1]), int(parts[2])))
    return with_classes(spec, classes) if classes else spec


def overrides(settings: list[str] | None, sections: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return `--set section.key=value` as a mapping by section; values are read as YAML."""
    result: dict[str, dict[str, Any]] = {section: {} for section in sections}
    for setting in settings or []:
        path, equals, text = setting.partition("=")
        section, dot, key = path.partition(".")
        if not equals or not dot or not key:
            raise InputError(f"--set is '{setting}', but it must read {sections[0]}.KEY=VALUE.")
        if section not in sections:
            raise InputError(
                f"--set {setting}: unknown section '{section}'.{near(section, sections)} Sections: {', '.join(sections)}."
            )
        result[section][key] = parse_yaml(text, f"--set {setting}")
    return result


def overridden(values: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]], own: str) -> dict[str, Any]:
    """Return a file's values with `overrides`: those of the section `own` are keys of the file, others keys in theirs.

    Raises
    ------
    InputError
        The file has something else than a mapping in a section of which a key is set.
    """
    result = dict(values) | dict(changes[own])
    for section, change in changes.items():
        if section == own or not change:
            continue
        held = result[section]
        if section == "recipe" and isinstance(held, str):
            held = {"base": held}
        if not isinstance(held, dict):
            raise InputError(f"--set {section}.KEY=VALUE goes with a mapping, but {own}.{section} is {held!r}.")
        result[section] = held | dict(change)
    return result


def seeds_of(text: str) -> int | list[int]:
    """Return what `--seeds` says: how many, or which."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        raise InputError(f"--seeds is '{text}', but it must be a number of seeds, as 6, or a list, as 11,12,13.")
    return int(parts[0]) if "," not in text else [int(part) for part in parts]
