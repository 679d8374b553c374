"""The command that shows one network: its rows or its layers, as a table, its file or a paper's table."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
import yaml

import arch
from arch.analysis.cost import NetworkCost
from arch.analysis.dead_weights import warning
from arch.analysis.diff import sized
from arch.analysis.layers import Layer, Totals, totals
from arch.analysis.layers import layers as layers_of
from arch.analysis.measure import NetworkMeasures
from arch.nodes import dims
from arch.specs.spec import FINAL, described
from inceptory.app import NETWORKS, app
from inceptory.options import (
    ClassesOption,
    Format,
    InputOption,
    NetworkArgument,
    ShowFormat,
    ShowFormatOption,
    network_of,
)
from inceptory.printing import Rows, err, mib, print_rows, say


@app.command(rich_help_panel=NETWORKS)
def show(
    network: NetworkArgument,
    format: ShowFormatOption = ShowFormat.table,
    layers: Annotated[
        bool, typer.Option("--layers", help="List every layer in order, with its output, parameters and memory.")
    ] = False,
    input: InputOption = None,
    classes: ClassesOption = None,
) -> None:
    """Show a network row by row, with shapes, costs and warnings."""
    spec = network_of(network, input, classes)
    if layers:
        _print_layers(spec, format)
    elif format is ShowFormat.yaml:
        print(arch.to_yaml(spec), end="")
    elif format is ShowFormat.latex:
        from reports.tables.architecture import architecture_table

        print(architecture_table(spec), end="")
    else:
        _print_by_row(spec, Format(format.value))


def _print_by_row(spec: arch.Spec, format: Format) -> None:
    total, measures = arch.cost(spec), arch.measure(spec)
    note = f"{spec.note}\n" if spec.note else ""
    title = (
        f"{spec.name}, {spec.source}\n{note}input {dims(spec.input)}, {spec.classes} classes; without auxiliary heads "
        f"{total.params:,} parameters and {total.macs:,} MACs; heads {total.aux_params:,} and {total.aux_macs:,}\n"
        f"{measures.depth} layers deep; receptive field {sized(measures.receptive_field)}; "
        f"peak activation memory {mib(measures.peak_memory):.4g} MiB (batch 1, float32)\n"
    )
    print_rows(_rows(spec, total, measures), format, title, fold=True)
    if text := warning({row.name: row.dead for row in measures.rows}, total.params):
        say(f"\n{text}") if format is Format.table else err.print(text, markup=False, highlight=False)


def _rows(spec: arch.Spec, total: NetworkCost, measures: NetworkMeasures) -> Rows:
    args = [row.args for row in spec.rows] + [spec.heads[name].args for name in (FINAL, *spec.aux_rows)]
    names = [row.name for row in total.rows] + [f"aux {row.name}" for row in total.aux]
    parts = zip(names, args, (*total.rows, *total.aux), (*measures.rows, *measures.aux), strict=True)
    return [
        {
            "row": name,
            "block": row.block,
            "arguments": described(given),
            "output": dims(row.output),
            "depth": found.depth,
            "receptive_field": sized(found.field.size if found.field else None),
            "params": row.params,
            "MACs": row.macs,
            "dead_weights": found.dead_weights,
        }
        for name, given, row, found in parts
    ]


def _print_layers(spec: arch.Spec, format: ShowFormat) -> None:
    found = layers_of(spec)
    sums, without_aux = totals(spec, found), totals(spec, [layer for layer in found if not layer.aux])
    rows = [_layer_row(layer) for layer in found]
    if format in (ShowFormat.json, ShowFormat.yaml):
        about = {"network": spec.name, "input": list(spec.input)}
        record = about | {"layers": rows, "totals": _totals_record(sums, without_aux.params)}
        print(json.dumps(record, indent=2) if format is ShowFormat.json else yaml.safe_dump(record, sort_keys=False))
        return
    title = f"{spec.name}: layers in the order in which they run\n"
    name = f"layers-{spec.name.replace('_', '-')}"
    print_rows(rows, Format(format.value), title, _totals_note(sums, without_aux.params), name=name, wide="layer")


def _layer_row(layer: Layer) -> dict[str, Any]:
    return {
        "layer": layer.name,
        "kind": layer.kind,
        "output": dims(layer.output),
        "params": layer.params,
        "memory (bytes)": layer.memory,
    }


def _totals_record(sums: Totals, params_without_aux: int) -> dict[str, int]:
    return {
        "layers": sums.layers,
        "params": sums.params,
        "params_without_aux": params_without_aux,
        "input_bytes": sums.input,
        "outputs_bytes": sums.outputs,
        "forward_backward_bytes": sums.passes,
        "params_bytes": sums.parameters,
        "total_bytes": sums.total,
    }


def _totals_note(sums: Totals, params_without_aux: int) -> str:
    return (
        f"{sums.layers:,} layers; {sums.params:,} parameters, {params_without_aux:,} without auxiliary heads. In MiB: "
        f"input {mib(sums.input):.2f}, forward and backward pass {mib(sums.passes):.2f} (all outputs and their "
        f"gradients), parameters {mib(sums.parameters):.2f}, together {mib(sums.total):.2f}; batch 1, float32, an "
        "estimate as torchsummary makes it. `show` without --layers gives the memory that inference needs at once."
    )
