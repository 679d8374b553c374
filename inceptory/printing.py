"""How commands print: tables for people or other programs, plain lines, errors, and how to resume."""

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

Rows = list[dict[str, Any]]


def print_rows(
    rows: Rows, kind: Format, title: str = "", note: str = "", fold: bool = False, name: str = "table", wide: str = ""
) -> None:
    """Print rows of plain values as a table, or as text for other programs.

    A note follows what people read; `fold` breaks long headers of narrow number columns. In LaTeX the label is
    `tab:NAME`, and a table with a `wide` column of text may break over pages.
    """
    if kind is Format.json:
        print(json.dumps(rows, indent=2))
    elif kind is Format.table:
        out.print(_terminal_table(rows, title, fold))
        if note:
            out.print(f"\n{note}", markup=False, highlight=False)
    else:
        print(_document_table(rows, kind, title, note, name, wide), end="")


def _terminal_table(rows: Rows, title: str, fold: bool) -> RichTable:
    """Return a table without lines: numbers to the right, and the first column and numbers never broken."""
    table = RichTable(title=_escaped(title) or None, title_justify="left", box=None, pad_edge=False)
    columns = list(rows[0]) if rows else []
    for column in columns:
        numeric = all(isinstance(row[column], int | float) or row[column] is None for row in rows)
        header = _cell(column)
        if fold and numeric and len(column) > max(len(_cell(row[column])) for row in rows):
            header = header.replace("_", "_\n")
        unbroken = numeric or column == columns[0]
        table.add_column(header, justify="right" if numeric else "left", overflow="fold", no_wrap=unbroken)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    return table


def _document_table(rows: Rows, kind: Format, title: str, note: str, name: str, wide: str) -> str:
    """Return rows as CSV, Markdown or LaTeX."""
    import pandas as pd

    from reports.tables.table import Table, longtable

    caption, notes = (title.strip(), (note,)) if note else ("", ())
    table = Table(name, caption, pd.DataFrame(rows, dtype=object), notes=notes)
    if wide and kind is Format.latex:
        return longtable(table, wide)
    return {"csv": table.csv, "md": table.markdown, "latex": table.latex}[kind.value]()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _escaped(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _escaped(text: str) -> str:
    """Return a text that neither a terminal nor rich's markup takes for commands."""
    return printable(text, "\n").replace("[", r"\[")


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


def records(frame: Any) -> Rows:
    """Return a frame's rows as mappings."""
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def say(text: str) -> None:
    """Print a line as it is, unbroken; what a terminal would take for commands is escaped."""
    out.print(printable(text, "\n"), markup=False, highlight=False, soft_wrap=True)


def mib(amount: int) -> float:
    """Return bytes as MiB."""
    return amount / 2**20


def check_folder(folder: Path) -> None:
    """Raise InputError where the folder to write to is a file."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but the output goes into a folder; name one.")


def command_line() -> str:
    """Return this process's command as a shell takes it again, without passwords."""
    program = sys.argv[0]
    is_script = Path(program).suffix == ".py" and Path(program).name != "__main__.py"  # it calls inceptory.main()
    return masked(shlex.join([*(["python", program] if is_script else ["inceptory"]), *sys.argv[1:]]))


def exit_stopped(number: int) -> None:
    """Say how to resume, and exit with the code that a shell gives to this signal."""
    name = signal.Signals(number).name
    err.print(f"stopped by {name}; a checkpoint is written. To resume: {command_line()}", markup=False)
    raise typer.Exit(128 + number)
