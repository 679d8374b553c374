"""The command that compares the papers' printed figures with the exact ones."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from arch.errors import InputError
from arch.ledger.ledger import Line
from inceptory.app import NETWORKS, app
from inceptory.options import Format, FormatOption
from inceptory.printing import err, print_rows


class Layout(StrEnum):
    """How the ledger is laid out."""

    lines = "lines"
    paper = "paper"


@app.command(rich_help_panel=NETWORKS)
def ledger(
    which: Annotated[
        str | None,
        typer.Argument(
            help="Show one paper, by its name or arXiv number, or one network. A name of both means the paper."
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="Print one figure a line, or GoogLeNet's Table 1 in the paper's layout.")
    ] = Layout.lines,
    format: FormatOption = Format.table,
    doubtful: Annotated[bool, typer.Option("--doubtful", help="List only the figures that do not agree.")] = False,
) -> None:
    """Compare the papers' printed figures with the exact ones.

    The exit code is 1 if our own count differs from the exact value.
    """
    from arch.ledger.ledger import ledger as lines_of
    from arch.ledger.verdict import Verdict

    lines = lines_of(which)
    name = "-".join(["ledger", *([which.replace("_", "-")] if which else []), *(["doubtful"] if doubtful else [])])
    if layout is Layout.paper:
        if doubtful or not any((line.paper, line.table) == ("googlenet", "Table 1") for line in lines):
            conflict = "with --doubtful" if doubtful else f"'{which}'"
            raise InputError(
                f"--layout paper prints GoogLeNet's Table 1, not {conflict}; use `inceptory ledger googlenet --layout paper`."
            )
        _print_paper_layout(format, name)
    else:
        _print_lines(lines, format, name, only_disagreeing=doubtful)
    if wrong := [line for line in lines if line.verdict is Verdict.OURS]:
        err.print("\n".join(f"{w.paper}, {w.table}, {w.row}, {w.quantity}: {w.reason}" for w in wrong), markup=False)
        raise typer.Exit(1)


def _print_paper_layout(format: Format, name: str) -> None:
    from arch.ledger.ledger import NOTE, paper_layout

    title = "Table 1 of arXiv 1409.4842 and the exact counts\n"
    print_rows(paper_layout(), format, title, NOTE, name=f"{name}-table-1")


def _print_lines(lines: list[Line], format: Format, name: str, only_disagreeing: bool) -> None:
    from arch.ledger.ledger import NOTE, RATIO, summary

    listed = [line for line in lines if not (only_disagreeing and line.verdict.agreeing)]
    title = f"Printed and exact figures: {', '.join(dict.fromkeys(line.paper for line in lines))}\n"
    note = f"{NOTE} {RATIO}\n{summary(lines)}"
    print_rows(_rows(listed, format), format, title, note, name=name, wide="reason")


def _rows(lines: list[Line], format: Format) -> list[dict[str, Any]]:
    """Return the lines as they are printed: what people read leaves out a paper that is the only one."""
    rows = [line.table_cells() if format is Format.table else line.record() for line in lines]
    if format not in (Format.json, Format.csv) and len({line.paper for line in lines}) == 1:
        return [{key: value for key, value in row.items() if key != "paper"} for row in rows]
    return rows
