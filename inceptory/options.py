"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
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


class ProgressStyle(StrEnum):
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


NetworkArgument = Annotated[str, typer.Argument(help="The name of a shipped network, or a YAML file.")]
StudyArgument = Annotated[Path, typer.Argument(help="The run directory of a study.")]
WeightsArgument = Annotated[Path, typer.Argument(help="A file of weights (.safetensors), or the folder of a training.")]

FormatOption = Annotated[
    Format, typer.Option("--format", metavar="FORMAT", help="Print as table, json, csv, md or latex.")
]
ShowFormatOption = Annotated[
    ShowFormat,
    typer.Option(
        "--format", metavar="FORMAT", help="Print as table, json, csv, md or latex, or as yaml: the network's file."
    ),
]
InputOption = Annotated[
    str | None, typer.Option("--input", metavar="CxHxW", help="Use another input size, such as 3x32x32.")
]
ClassesOption = Annotated[
    int | None, typer.Option("--classes", min=1, max=65_536, help="Use another number of classes.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, such as recipe.lr=0.05; may be repeated."),
]
ProgressOption = Annotated[
    ProgressStyle,
    typer.Option(
        "--progress",
        metavar="HOW",
        help="Show progress as bars, lines, json or quiet; auto means bars on a terminal and lines elsewhere.",
    ),
]
SeedsOption = Annotated[
    str | None, typer.Option("--seeds", help="Train with so many seeds, or with these, such as 11,12,13.")
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Download the data set if it is missing.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Run on this device: auto, cpu, cuda or mps.")]
InferenceOption = Annotated[
    str, typer.Option("--execution", help="Compute the maps this way: auto, plain or fused (for CPUs).")
]


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
        old = result[section]
        if section == "recipe" and isinstance(old, str):
            old = {"base": old}  # the file names a recipe; the changes derive from it
        if not isinstance(old, dict):
            raise InputError(f"--set {section}.KEY=VALUE goes with a mapping, but {own}.{section} is {old!r}.")
        result[section] = old | dict(change)
    return result


def seeds_of(text: str) -> int | list[int]:
    """Return what `--seeds` says: how many, or which."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        raise InputError(f"--seeds is '{text}', but it must be a number of seeds, as 6, or a list, as 11,12,13.")
    return int(parts[0]) if "," not in text else [int(part) for part in parts]
