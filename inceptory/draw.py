"""Commands that draw networks: one, or the page of all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arch.errors import InputError
from arch.specs.spec import FINAL
from inceptory.app import app
from inceptory.options import ClassesOption, InputOption, network_of
from inceptory.printing import check_folder, say


@app.command()
def gallery(to: Annotated[Path, typer.Argument(help="the folder of the page")] = Path("docs")) -> None:
    """Write the page of all networks, with drawings of the main blocks."""
    from reports.drawings.gallery import gallery as write_gallery

    check_folder(to)
    say(str(write_gallery(to)))


@app.command()
def draw(
    network: Annotated[str, typer.Argument(help="a network's name or YAML file")],
    row: Annotated[str | None, typer.Argument(help="one row's block; 'final' is the classifier")] = None,
    head: Annotated[bool, typer.Option("--head", help="Draw the auxiliary head of the row.")] = False,
    to: Annotated[Path, typer.Option(help="the folder of the drawing")] = Path(),
    input: InputOption = None,
    classes: ClassesOption = None,
) -> None:
    """Draw a network, or the block of one row, as SVG and PNG."""
    from reports.drawings.diagram import save
    from reports.drawings.graph import head_graph, network_graph, row_graph

    spec = network_of(network, input, classes)
    if head and row is None:
        raise InputError(
            f"--head goes with a row, such as `inceptory draw {network} {next(iter(spec.aux_rows), 'ROW')} --head`."
        )
    if row is None:
        graph = network_graph(spec)
    else:
        graph = head_graph(spec, row) if head or row == FINAL else row_graph(spec, row)
    check_folder(to)
    name = "-".join([spec.name, *([row] if row else []), *(["head"] if head else [])])
    for path in save(graph, to, name):
        say(str(path))
