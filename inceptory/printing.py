"""How commands speak: tables on the terminal or as text for other programs, plain lines, errors."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

from arch.errors import InputError, masked, printable
from inceptory.options import Format

out = Console(width=None if sys.stdout.isatty() else 160)  # a file or pipe is wider than 80 columns
err = Console(stderr=True, soft_wrap=True)


def print_rows(
    rows: list[dict[str, Any]],
    kind: Format,
    title: str = "",
    note: str = "",
    fold: bool = False,
    name: str = "table",
    wide: str = "",
) -> None:
    """Print rows of plain values as a table, or as text for other programs.

    A note stands under what people read; `fold` breaks headers over narrow numbers. In LaTeX the label is
    `tab:NAME`, and a table with a `wide` column of text goes on over pages.
    """
    if kind is Format.json:
        print(json.dumps(rows, indent=2))
    elif kind is Format.table:
        grid = RichTable(
            title=printable(title, "\n").replace("[", r"\[") or None, title_justify="left", box=None, pad_edge=False
        )
        columns = list(rows[0]) if rows else []
        for column in columns:
            numbers = all(isinstance(row[column], int | float) or row[column] is None for row in rows)
            whole = numbers or column == columns[0]
            broken = fold and numbers and len(column) > max(len(_cell(row[column])) for row in rows)
            header = _cell(column).replace("_", "_\n") if broken else _cell(column)
            grid.add_column(header, justify="right" if numbers else "left", overflow="fold", no_wrap=whole)
        for row in rows:
            grid.add_row(*(_cell(row[column]) for column in columns))
        out.print(grid)
        if note:
            out.print(f"\n{note}", markup=False, highlight=False)
    else:
        import pandas as pd

        from reports.tables.table import Table, longtable

        caption, notes = (title.strip(), (note,)) if note else ("", ())
        table = Table(name, caption, pd.DataFrame(rows, dtype=object), notes=notes)
        if wide and kind is Format.latex:
            print(longtable(table, wide), end="")
            return
        print({"csv": table.csv, "md": table.markdown, "latex": table.latex}[kind.value](), end="")


def check_folder(folder: Path) -> None:
    """Raise InputError where the folder to write to is a file."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but what is written goes into a folder; name one.")


def say(text: str) -> None:
    """Print a line as it is, unbroken; what a terminal would take for commands is escaped."""
    out.print(printable(text, "\n"), markup=False, highlight=False, soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return printable(str(value), "\n").replace("[", r"\[")
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def print_tables(tables: list[Any], format: Format) -> None:
    """Print tables of one subject: for reading, as one JSON object by name, or the last, fullest one as CSV."""
    if format is Format.json:
        print(
            json.dumps({table.name: json.loads(table.plain().to_json(orient="records")) for table in tables}, indent=2)
        )
    elif format is Format.csv:
        print(tables[-1].csv(), end="")
    elif format is Format.table:
        notes = list(dict.fromkeys(note for table in tables for note in table.notes))
        for table in tables:
            print_rows(records(table.printed()), format, f"{table.caption}\n", fold=True)
            say("")
        say("\n".join(notes))
    else:
        print("\n".join(table.markdown() if format is Format.md else table.latex() for table in tables), end="")


def records(frame: Any) -> list[dict[str, Any]]:
    """Return a frame's rows as mappings."""
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def again() -> str:
    """Return the command that was given, as it may be given to a shell again, without passwords."""
    program = sys.argv[0]
    own = Path(program).suffix == ".py" and Path(program).name != "__main__.py"  # a script that calls inceptory.main()
    return masked(shlex.join([*(["python", program] if own else ["inceptory"]), *sys.argv[1:]]))


def stopped(number: int) -> None:
    """Say how to go on, and leave with the code that a shell gives to that signal."""
    err.print(f"stopped by {signal.Signals(number).name}; a checkpoint is written. To go on: {again()}", markup=False)
    raise typer.Exit(128 + number)
