"""The command that draws a network or one of its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arch.errors import InputError
from arch.specs.spec import FINAL
from inceptory.app import NETWORKS, app
from inceptory.options import ClassesOption, InputOption, NetworkArgument, network_of
from inceptory.printing import check_folder, say


@app.command(rich_help_panel=NETWORKS)
def draw(
    network: NetworkArgument,
    row: Annotated[str | None, typer.Argument(help="Draw the block of this row; 'final' is the classifier.")] = None,
    head: Annotated[bool, typer.Option("--head", help="Draw the auxiliary head of the row.")] = False,
    to: Annotated[Path, typer.Option(help="Write the drawing into this folder.")] = Path(),
    input: InputOption = None,
    classes: ClassesOption = None,
) -> None:
    """Draw a network, or the block of one row, as SVG and PNG."""
    from reports.drawings.diagram import save
    from reports.drawings.graph import head_graph, network_graph, row_graph

    spec = network_of(network, input, classes)
    if head and row is None:
        example = next(iter(spec.aux_rows), "ROW")
        raise InputError(f"--head goes with a row, such as `inceptory draw {network} {example} --head`.")
    if row is None:
        graph = network_graph(spec)
    else:
        graph = head_graph(spec, row) if head or row == FINAL else row_graph(spec, row)
    check_folder(to)
    name = "-".join([spec.name, *([row] if row else []), *(["head"] if head else [])])
    for path in save(graph, to, name):
        say(str(path))
