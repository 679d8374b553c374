"""The commands that list, count and compare networks."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Annotated, Any

import typer

import arch
from arch.analysis.diff import SAME, differences, sized
from arch.errors import InputError, near
from arch.nodes import dims
from arch.registry import BLOCKS, HEADS
from inceptory.app import NETWORKS, app
from inceptory.options import ClassesOption, Format, FormatOption, InputOption, NetworkArgument, network_of
from inceptory.printing import Rows, err, mib, print_rows, say

_PARTS = ("optimizers", "schedules", "losses", "augmentations", "datasets", "samplers", "pruners")
_LISTED = ("networks", "blocks", "heads", "recipes", *_PARTS, "axes", "objectives", "proxies")


@app.command("list", rich_help_panel=NETWORKS)
def list_(
    kind: Annotated[str, typer.Argument(help=f"List {', '.join(_LISTED[:-1])} or {_LISTED[-1]}.")] = "networks",
    pattern: Annotated[str, typer.Argument(help="List only names that match, such as 'inception*'.")] = "*",
    format: FormatOption = Format.table,
) -> None:
    """List networks, blocks, recipes, data sets and more."""
    if kind not in _LISTED:
        raise InputError(f"'{kind}' cannot be listed.{near(kind, _LISTED)} Choose from {', '.join(_LISTED)}.")
    own = {"networks": _networks, "recipes": _recipes, "axes": _axes, "objectives": _objectives, "proxies": _proxies}
    listed = own.get(kind)
    rows = listed(pattern) if listed else _registered(kind, pattern)
    if not rows and format is not Format.json:
        err.print(f"nothing among the {kind} matches '{pattern}'", markup=False)
        return
    print_rows(rows, format)


def _networks(pattern: str) -> Rows:
    return [_network_row(arch.load(name)) for name in arch.list_networks(pattern)]


def _network_row(spec: arch.Spec) -> dict[str, Any]:
    total = arch.cost(spec)
    return {
        "name": spec.name,
        "input": dims(spec.input),
        "params": total.params,
        "aux_params": total.aux_params,
        "macs": total.macs,
        "source": spec.source,
    }


def _recipes(pattern: str) -> Rows:
    from search.recipes.load import list_recipes, load_recipe

    keys = ("name", "optimizer", "lr", "schedule", "batch", "epochs", "source")
    return [{key: getattr(recipe, key) for key in keys} for recipe in map(load_recipe, list_recipes(pattern))]


def _axes(pattern: str) -> Rows:
    """Return a row for each key that a study's `space` may hold."""
    import search.space.space  # noqa: F401 - registers ours
    from search.space.axes.base import AXES

    kinds = [AXES.get(name) for name in AXES.names(pattern)]
    return [{"name": kind.key, "keys": ", ".join(kind.known_keys()), "what": kind.summary()} for kind in kinds]


def _objectives(pattern: str) -> Rows:
    from search.record.objectives import OBJECTIVES

    found = [OBJECTIVES.get(name) for name in OBJECTIVES.names(pattern)]
    return [
        {"name": o.name, "what": o.header, "direction": o.direction, "computed from": f"each {o.source}"} for o in found
    ]


def _proxies(pattern: str) -> Rows:
    from search.evaluation.proxies.registry import PROXIES

    return [
        {"name": name, "what": (inspect.getdoc(PROXIES.get(name)) or "").partition("\n")[0]}
        for name in PROXIES.names(pattern)
    ]


def _registered(kind: str, pattern: str) -> Rows:
    """Return a row for each definition in a registry, with its arguments where any takes some."""
    import search

    registry = {"blocks": BLOCKS, "heads": HEADS}.get(kind) or getattr(search, kind.upper())
    found = [registry.get(name) for name in registry.names(pattern)]
    if any(d.parameters for d in found):
        return [{"name": d.name, "arguments": ", ".join(d.parameters), "what": d.summary} for d in found]
    return [{"name": d.name, "what": d.summary} for d in found]


@app.command(rich_help_panel=NETWORKS)
def count(
    networks: Annotated[list[str], typer.Argument(help="Names of networks, wildcards or YAML files.")],
    check: Annotated[bool, typer.Option("--check", help="Let fvcore and torch count the built network too.")] = False,
    input: InputOption = None,
    classes: ClassesOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Count parameters, MACs and more, exactly, from the spec.

    The column `fvcore_adds` holds what fvcore's own total counts besides
    convolutions and linear layers: batch norm and adaptive pooling. The exit
    code is 1 if fvcore counts something else than we do.
    """
    names = [name for given in networks for name in (arch.list_networks(given) if "*" in given else [given])]
    if not names:
        raise InputError(f"no network matches {', '.join(networks)}; `inceptory list networks` names all.")
    specs = [network_of(name, input, classes) for name in names]
    rows = [_count_row(spec, detailed=format is Format.json) for spec in specs]
    wrong = _add_fvcore(specs, rows) if check else []
    print_rows(rows, format, fold=True)
    if wrong:
        err.print("\n".join(wrong), markup=False)
        raise typer.Exit(1)


def _add_fvcore(specs: list[arch.Spec], rows: Rows) -> list[str]:
    """Add fvcore's answer to the rows; return a line for each count that differs."""
    from arch.modules.fvcore_check import check

    wrong = []
    for spec, row in zip(specs, rows, strict=True):
        found = check(spec)
        differing = [count for count in found.counts if not count.agrees]
        row["fvcore"] = "DIFFERS" if differing else "agrees"
        row["fvcore_adds"] = found.adds
        wrong += [f"{spec.name}: {c.quantity} {c.ours:,} from the spec, {c.fvcore:,} counted" for c in differing]
    return wrong


def _count_row(spec: arch.Spec, detailed: bool) -> dict[str, Any]:
    total, measures = arch.cost(spec), arch.measure(spec)
    field = measures.receptive_field
    row: dict[str, Any] = {
        "network": spec.name,
        "input": list(spec.input) if detailed else dims(spec.input),
        "params": total.params,
        "aux_params": total.aux_params,
        "macs": total.macs,
        "aux_macs": total.aux_macs,
        "activations": total.activations,
        "dead_weights": measures.dead_weights,
        "depth": measures.depth,
        "receptive_field": field if detailed else sized(field),
    }
    if not detailed:
        return row | {"peak_memory_MiB": mib(measures.peak_memory)}
    rows = [
        {"name": r.name, "block": r.block, "output": list(r.output), "params": r.params, "macs": r.macs}
        for r in total.rows
    ]
    return row | {"peak_memory_bytes": measures.peak_memory, "rows": rows}


@app.command(rich_help_panel=NETWORKS)
def diff(a: NetworkArgument, b: NetworkArgument, format: FormatOption = Format.table) -> None:
    """Compare two networks, row by row."""
    first, second = arch.load(a), arch.load(b)
    if first.name == second.name:
        first, second = replace(first, name=a), replace(second, name=b if a != b else f"{b} (2)")
    lines = differences(first, second)
    if format is not Format.table:
        print_rows(lines, format)
        return
    first_keys = ("row", first.name, second.name, "params", "MACs")
    print_rows([{key: line[key] for key in first_keys} for line in lines], format, f"{first.name} and {second.name}\n")
    others = [key for key in lines[0] if key not in first_keys]
    changed = [key for key in others if any(_is_change(line[key]) for line in lines)]
    if changed:
        chosen = [line for line in lines if any(_is_change(line[key]) for key in changed)]
        print_rows(
            [{key: line[key] for key in ("row", *changed)} for line in chosen], format, "\nwhat else changes, by row\n"
        )
    if unchanged := [key for key in others if key not in changed]:
        say(f"\nthe same in every row: {', '.join(unchanged)}")


def _is_change(value: Any) -> bool:
    return value not in (0, None, SAME)
