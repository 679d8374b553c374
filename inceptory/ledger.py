"""The command that holds the papers' printed figures against the exact ones."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from arch.errors import InputError
from arch.ledger.ledger import Line
from inceptory.app import app
from inceptory.options import Format, FormatOption
from inceptory.printing import err, print_rows


class Layout(StrEnum):
    """How the ledger is laid out."""

    lines = "lines"
    paper = "paper"


@app.command()
def ledger(
    which: Annotated[
        str | None,
        typer.Argument(help="a paper's name or arXiv number, or a network; a name of both is the paper's; all without"),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="paper: GoogLeNet's Table 1 as printed, our exact columns beside.")
    ] = Layout.lines,
    format: FormatOption = Format.table,
    doubtful: Annotated[bool, typer.Option("--doubtful", help="List only what does not agree.")] = False,
) -> None:
    """Hold the papers' printed tables, totals and claims against the exact values; 1 if our own count differs."""
    from arch.ledger.ledger import NOTE, RATIO, paper_layout, summary
    from arch.ledger.ledger import ledger as lines_of
    from arch.ledger.verdict import Verdict

    lines = lines_of(which)
    label = "-".join(["ledger", *([which.replace("_", "-")] if which else []), *(["doubtful"] if doubtful else [])])
    if layout is Layout.paper:
        if doubtful or not any((line.paper, line.table) == ("googlenet", "Table 1") for line in lines):
            asked = "with --doubtful" if doubtful else f"'{which}'"
            raise InputError(
                f"--layout paper prints GoogLeNet's Table 1, not {asked}; use `inceptory ledger googlenet --layout paper`."
            )
        title = "Table 1 of arXiv 1409.4842 and the exact counts\n"
        print_rows(paper_layout(), format, title, NOTE, name=f"{label}-table-1")
    else:
        shown = [line for line in lines if not (doubtful and line.verdict.agreeing)]
        about = ", ".join(dict.fromkeys(line.paper for line in lines))
        note = f"{NOTE} {RATIO}\n{summary(lines)}"
        print_rows(
            _ledger_rows(shown, format),
            format,
            f"Printed and exact figures: {about}\n",
            note,
            name=label,
            wide="reason",
        )
    if wrong := [line for line in lines if line.verdict is Verdict.OURS]:
        err.print("\n".join(f"{w.paper}, {w.table}, {w.row}, {w.quantity}: {w.reason}" for w in wrong), markup=False)
        raise typer.Exit(1)


def _ledger_rows(lines: list[Line], kind: Format) -> list[dict[str, Any]]:
    """Return the lines as they are printed: what people read leaves out a paper that is the only one."""
    rows = [line.table_cells() if kind is Format.table else line.record() for line in lines]
    if kind not in (Format.json, Format.csv) and len({line.paper for line in lines}) == 1:
        return [{key: value for key, value in row.items() if key != "paper"} for row in rows]
    return rows
