"""From a cell of a table to the trainings that it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from arch.errors import InputError, near
from reports.tables.table import Folders, Table


@dataclass(frozen=True)
class Traced:
    """A cell as it is printed, and the folders behind it, relative to the run directory."""

    table: str
    row: str
    column: str
    cell: str
    folders: Folders


def trace(tables: Sequence[Table], name: str, row: str, column: str) -> Traced:
    """Return a cell of a run's tables with the folders of the trainings, or the files, that it is made of.

    Parameters
    ----------
    row : the text of the row's first column, or the row's number from 1.
    column : the column's header, as it is printed or as the CSV has it.

    Raises
    ------
    InputError
        There is no such table, row or column, or several rows begin with that text; says which there are.
    """
    by_name = {table.name: table for table in tables}
    if name not in by_name:
        raise InputError(
            f"--trace {name}: unknown table '{name}'.{near(name, by_name)} Tables of this run: {', '.join(by_name) or 'none'}."
        )
    table = by_name[name]
    key, place = _key(table, column), _row(table, row)
    sources = table.column_sources.get(key, table.sources)
    if not sources:
        raise InputError(f"--trace {name}: this table does not say which trainings it is made of.")
    printed = table.printed()
    shown = table.headers().get(key)  # a spread's own columns are printed in the mean's cell
    cell = printed[shown].iloc[place] if shown else str(table.frame[key].iloc[place])
    return Traced(name, str(printed.iloc[place, 0]), shown or table.head(key), str(cell), sources[place])


def _key(table: Table, column: str) -> str:
    """Return the key of the column of that header, as printed or as in the CSV."""
    known = {header: key for key, header in table.headers().items()} | {table.head(str(c)): str(c) for c in table.frame}
    if column in known:
        return known[column]
    raise InputError(
        f"--trace {table.name}: unknown column '{column}'.{near(column, known)} Columns: {', '.join(table.headers())}."
    )


def _row(table: Table, row: str) -> int:
    """Return the row that begins with a text; failing that, the row of that number, from 1."""
    first = table.printed().iloc[:, 0].tolist()
    found = [index for index, text in enumerate(first) if text == row]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"--trace {table.name}: {len(found)} rows begin with '{row}'; name one by its number: "
            f"{', '.join(str(index + 1) for index in found)}."
        )
    if row.isdigit() and 1 <= int(row) <= len(first):
        return int(row) - 1
    raise InputError(
        f"--trace {table.name}: unknown row '{row}'.{near(row, first)} Rows are named by the text of their first column "
        f"({table.headers()[str(table.frame.columns[0])]}) or by number, 1 to {len(first)}."
    )


def gathered(sources: Iterable[Folders]) -> Folders:
    """Return the folders of several rows, each once."""
    return tuple(dict.fromkeys(folder for folders in sources for folder in folders))
