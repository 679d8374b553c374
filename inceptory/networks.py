"""Commands about networks: what there is, what it costs, what differs, weights carried over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

import arch
from arch.analysis.cost import NetworkCost
from arch.analysis.dead_weights import warning
from arch.analysis.diff import SAME, differences, sized
from arch.analysis.measure import NetworkMeasures
from arch.errors import InputError, near
from arch.registry import BLOCKS, HEADS
from arch.specs.spec import FINAL, described
from inceptory.app import app
from inceptory.options import ClassesOption, Format, FormatOption, InputOption, ShowFormat, network_of
from inceptory.printing import err, print_rows, say


@app.command("list")
def list_(
    kind: Annotated[
        str,
        typer.Argument(
            help="networks, blocks, heads, recipes, or a part of a training: optimizers, schedules, losses, augmentations, datasets, samplers or pruners"
        ),
    ] = "networks",
    pattern: Annotated[str, typer.Argument(help="a wildcard, such as 'inception*'")] = "*",
    format: FormatOption = Format.table,
) -> None:
    """List what there is."""
    import search

    parts = ("optimizers", "schedules", "losses", "augmentations", "datasets", "samplers", "pruners")
    kinds = ("networks", "blocks", "heads", "recipes", *parts)
    if kind == "networks":
        rows = [_network_line(arch.load(name)) for name in arch.list_networks(pattern)]
    elif kind in ("blocks", "heads", *parts):
        registry = {"blocks": BLOCKS, "heads": HEADS}.get(kind) or getattr(search, kind.upper())
        found = [registry.get(name) for name in registry.names(pattern)]
        taking = any(d.parameters for d in found)
        rows = [
            {"name": d.name} | ({"arguments": ", ".join(d.parameters)} if taking else {}) | {"what": d.summary}
            for d in found
        ]
    elif kind == "recipes":
        from search.recipes.load import list_recipes, load_recipe

        recipes = [load_recipe(name) for name in list_recipes(pattern)]
        rows = [
            {
                "name": r.name,
                "optimizer": r.optimizer,
                "lr": r.lr,
                "schedule": r.schedule,
                "batch": r.batch,
                "epochs": r.epochs,
                "source": r.source,
            }
            for r in recipes
        ]
    else:
        raise InputError(f"'{kind}' cannot be listed.{near(kind, kinds)} Choose from {', '.join(kinds)}.")
    if not rows and format is not Format.json:
        err.print(f"nothing among the {kind} matches '{pattern}'", markup=False)
        return
    print_rows(rows, format)


def _network_line(spec: arch.Spec) -> dict[str, Any]:
    total = arch.cost(spec)
    return {
        "name": spec.name,
        "input": _shape(spec.input),
        "params": total.params,
        "aux_params": total.aux_params,
        "macs": total.macs,
        "source": spec.source,
    }


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


@app.command()
def show(
    network: Annotated[str, typer.Argument(help="a network's name or YAML file")],
    format: Annotated[ShowFormat, typer.Option("--format", help="yaml prints the network's file.")] = ShowFormat.table,
    layers: Annotated[
        bool, typer.Option("--layers", help="Every layer in order: output, parameters, memory, with totals.")
    ] = False,
    input: InputOption = None,
    classes: ClassesOption = None,
) -> None:
    """Show a network row by row, with shapes, costs and what is wrong with it."""
    spec = network_of(network, input, classes)
    if layers:
        _show_layers(spec, format)
        return
    if format is ShowFormat.yaml:
        print(arch.to_yaml(spec), end="")
        return
    if format is ShowFormat.latex:
        from reports.tables.architecture import architecture_table

        print(architecture_table(spec), end="")
        return
    total, measures = arch.cost(spec), arch.measure(spec)
    note = f"{spec.note}\n" if spec.note else ""
    title = (
        f"{spec.name}, {spec.source}\n{note}input {_shape(spec.input)}, {spec.classes} classes; without auxiliary heads "
        f"{total.params:,} parameters and {total.macs:,} MACs; heads {total.aux_params:,} and {total.aux_macs:,}\n"
        f"{measures.depth} layers deep; receptive field {sized(measures.receptive_field)}; "
        f"peak activation memory {_mib(measures.peak_memory):.4g} MiB (batch 1, float32)\n"
    )
    print_rows(_show_rows(spec, total, measures), Format(format.value), title, fold=True)
    if found := warning({row.name: row.dead for row in measures.rows}, total.params):
        say(f"\n{found}") if format is ShowFormat.table else err.print(found, markup=False, highlight=False)


def _show_rows(spec: arch.Spec, total: NetworkCost, measures: NetworkMeasures) -> list[dict[str, Any]]:
    args = [row.args for row in spec.rows] + [spec.heads[name].args for name in (FINAL, *spec.aux_rows)]
    names = [row.name for row in total.rows] + [f"aux {row.name}" for row in total.aux]
    parts = zip(names, args, (*total.rows, *total.aux), (*measures.rows, *measures.aux), strict=True)
    return [
        {
            "row": name,
            "block": row.block,
            "arguments": described(given),
            "output": _shape(row.output),
            "depth": found.depth,
            "receptive_field": sized(found.field.size if found.field else None),
            "params": row.params,
            "MACs": row.macs,
            "dead_weights": found.dead_weights,
        }
        for name, given, row, found in parts
    ]


def _show_layers(spec: arch.Spec, format: ShowFormat) -> None:
    from arch.analysis.layers import layers as layers_of
    from arch.analysis.layers import totals

    found = layers_of(spec)
    sums, rest = totals(spec, found), totals(spec, [layer for layer in found if not layer.aux])
    rows = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "output": _shape(layer.output),
            "params": layer.params,
            "memory (bytes)": layer.memory,
        }
        for layer in found
    ]
    all_together = {
        "layers": sums.layers,
        "params": sums.params,
        "params_without_aux": rest.params,
        "input_bytes": sums.input,
        "outputs_bytes": sums.outputs,
        "forward_backward_bytes": sums.passes,
        "params_bytes": sums.parameters,
        "total_bytes": sums.total,
    }
    note = (
        f"{sums.layers:,} layers; {sums.params:,} parameters, {rest.params:,} without auxiliary heads. In MiB: input "
        f"{_mib(sums.input):.2f}, forward and backward pass {_mib(sums.passes):.2f} (all outputs and their gradients), "
        f"parameters {_mib(sums.parameters):.2f}, together {_mib(sums.total):.2f}; batch 1, float32, an estimate "
        "as torchsummary makes it. What must be alive at once in inference: `show` without --layers."
    )
    if format in (ShowFormat.json, ShowFormat.yaml):
        whole = {"network": spec.name, "input": list(spec.input), "layers": rows, "totals": all_together}
        print(json.dumps(whole, indent=2) if format is ShowFormat.json else yaml.safe_dump(whole, sort_keys=False))
        return
    title = f"{spec.name}: layers in the order in which they run\n"
    print_rows(rows, Format(format.value), title, note, name=f"layers-{spec.name.replace('_', '-')}", wide="layer")


def _mib(amount: int) -> float:
    return amount / 2**20


@app.command()
def count(
    networks: Annotated[list[str], typer.Argument(help="names, wildcards or YAML files")],
    check: Annotated[bool, typer.Option("--check", help="Let fvcore and torch count the built network too.")] = False,
    input: InputOption = None,
    classes: ClassesOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Count parameters, MACs, activations and more from the spec.

    `fvcore_adds` is what fvcore's own total counts beside convolutions and linear layers: batch norm, adaptive pooling.
    """
    names = [name for given in networks for name in (arch.list_networks(given) if "*" in given else [given])]
    if not names:
        raise InputError(f"no network matches {', '.join(networks)}; `inceptory list networks` names all.")
    specs = [network_of(name, input, classes) for name in names]
    rows = [_count_row(spec, detailed=format is Format.json) for spec in specs]
    wrong = []
    if check:
        from arch.modules.fvcore_check import check as judge

        for spec, row in zip(specs, rows, strict=True):
            judged = judge(spec)
            differing = [v for v in judged.verdicts if not v.agrees]
            row["fvcore"] = "agrees" if not differing else "DIFFERS"
            row["fvcore_adds"] = judged.adds
            wrong += [f"{spec.name}: {v.quantity} {v.ours:,} from the spec, {v.judged:,} counted" for v in differing]
    print_rows(rows, format, fold=True)
    if wrong:
        err.print("\n".join(wrong), markup=False)
        raise typer.Exit(1)


def _count_row(spec: arch.Spec, detailed: bool) -> dict[str, Any]:
    total, measures = arch.cost(spec), arch.measure(spec)
    field = measures.receptive_field
    row: dict[str, Any] = {
        "network": spec.name,
        "input": list(spec.input) if detailed else _shape(spec.input),
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
        return row | {"peak_memory_MiB": _mib(measures.peak_memory)}
    rows = [
        {"name": r.name, "block": r.block, "output": list(r.output), "params": r.params, "macs": r.macs}
        for r in total.rows
    ]
    return row | {"peak_memory_bytes": measures.peak_memory, "rows": rows}


@app.command()
def diff(a: str, b: str, format: FormatOption = Format.table) -> None:
    """Set two networks side by side, row by row, with the change in every quantity."""
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
    moved = [key for key in others if any(_changes(line[key]) for line in lines)]
    if moved:
        chosen = [line for line in lines if any(_changes(line[key]) for key in moved)]
        print_rows(
            [{key: line[key] for key in ("row", *moved)} for line in chosen], format, "\nwhat else changes, by row\n"
        )
    if still := [key for key in others if key not in moved]:
        say(f"\nthe same in every row: {', '.join(still)}")


def _changes(value: Any) -> bool:
    return value not in (0, None, SAME)


@app.command()
def convert(
    network: Annotated[str, typer.Argument(help="a network's name")],
    source: Annotated[Path, typer.Argument(help="weights to read: .safetensors, .pt or .pth")],
    target: Annotated[Path, typer.Argument(help="weights to write, with one of the same endings")],
    from_: Annotated[str, typer.Option("--from", help="the library whose weights come in: torchvision or timm")] = "",
    to: Annotated[str, typer.Option("--to", help="the library that the weights are for")] = "",
    classes: ClassesOption = None,
) -> None:
    """Carry weights over from a library's network to ours, or back."""
    from arch.exchange.convert import check_target, from_library, read_weights, to_library, write_weights
    from arch.exchange.library_names import names

    if bool(from_) == bool(to):
        raise InputError("weights go one way: give either --from LIBRARY or --to LIBRARY.")
    if source.resolve() == target.resolve():
        raise InputError(f"{target}: is the file that is read; name another one to write.")
    spec = network_of(network, None, classes)
    names(spec, from_ or to)
    check_target(target)
    weights = read_weights(source)
    carried = from_library(spec, from_, weights) if from_ else to_library(spec, to, weights)
    write_weights(target, carried)
    say(f"{len(carried)} tensors of {spec.name} written to {target}")
