"""The ledger's lines: each printed cost figure of the papers and tutorials, its exact value, verdict and reason.

The figures are data in `published/`, one file a paper: its tables, totals and claims of sizes and costs. It leaves
out accuracies, widths that only program text gives, and the two layer listings of the tutorials 000 and 003, which
tests check. The widths of Inception-v4's figures are those of released code, since the figures were not read; such a
section says so (`source`).

The exact values come from references that were computed elsewhere. Exceptions are our own arithmetic: combinations of
two numbers, the sizes in bytes, and of BN-Inception's claims the depth of 12 and the 6,991,856 parameters of GoogLeNet
with a separable first layer. Our count of the same quantity must equal the exact value, so the ledger is also a
regression test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from arch.errors import InputError, from_validation, near
from arch.files.safe_yaml import load_yaml
from arch.ledger.quantity import Find, Value, networks_of, quantity, tree
from arch.ledger.verdict import FigureKind, Verdict, plain_value, ratio, read, shape_of, verdict
from arch.specs.read import list_networks

PUBLISHED = Path(__file__).parent / "published"
NOTE = (
    "MACs are multiply-adds of convolutions and linear layers, counted exactly from the spec; fvcore counts the same by "
    "operator, conv + linear (`inceptory count --check`). By default fvcore adds batch norm (2 an element in evaluation) and "
    "adaptive pooling."
)
RATIO = "ratio: exact / printed, under the column's own convention."
Source = Literal["paper", "released code"]
_PLAIN_AGREEMENT = "the exact value"
_PATH = re.compile(r"\{([^{}]+)\}")


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PrintedColumn(_Data):
    """A printed column: our measure of the same, the unit in its heading, its K, and what it counts in words."""

    measure: str = ""
    unit: str = ""
    thousand: Literal[1000, 1024] = 1000
    counts: str = ""


class PrintedRow(_Data):
    """A printed row, the exact value of each figure, and reasons, written by hand, for those that do not agree.

    `at` is the path to the row in the network (its name by default). `ours` has the quantities that are not the
    column's measure there (empty: not countable), and `labels` the columns that are not figures.
    """

    row: str
    at: str | None = None
    network: str | None = None
    labels: dict[str, str] = {}
    printed: dict[str, str]
    exact: dict[str, int | str | None]
    ours: dict[str, str] = {}
    reasons: dict[str, str] = {}

    @model_validator(mode="after")
    def _same_figures(self) -> PrintedRow:
        if list(self.printed) != list(self.exact):
            raise ValueError(f"row {self.row}: 'printed' and 'exact' hold the same figures in the same order")
        if unknown := [key for key in (*self.ours, *self.reasons) if key not in self.printed]:
            raise ValueError(f"row {self.row}: '{unknown[0]}' is not among the printed figures")
        return self


class Section(_Data):
    """A table of a paper, or the claims of its text; `source` says where the figures were read."""

    table: str
    kind: FigureKind
    source: Source = "paper"
    network: str | None = None
    columns: dict[str, PrintedColumn] = {}
    rows: list[PrintedRow] = Field(min_length=1)


class Paper(_Data):
    """A paper's printed figures."""

    title: str
    arxiv: str | None = None
    tables: list[Section]


@dataclass(frozen=True)
class Line:
    """One printed figure with its verdict. It is about `networks` and was read in `source`."""

    paper: str
    table: str
    row: str
    quantity: str
    printed: str
    exact: Value | None
    ours: Value | None
    ratio: float | None
    verdict: Verdict
    reason: str
    networks: tuple[str, ...]
    source: Source

    def record(self) -> dict[str, Any]:
        """Return the line as plain data."""
        return {
            "paper": self.paper,
            "table": self.table,
            "row": self.row,
            "quantity": self.quantity,
            "printed": self.printed,
            "exact": plain_value(self.exact),
            "ratio": self.ratio,
            "verdict": self.verdict.value,
            "reason": self.reason,
        }

    def table_cells(self) -> dict[str, Any]:
        """Return the record, without the reason of a plain `agrees`."""
        return self.record() | ({"reason": ""} if self.reason == _PLAIN_AGREEMENT else {})


def papers(folder: Path | None = None) -> dict[str, Paper]:
    """Return the published figures by the file's name.

    Raises
    ------
    InputError
        A file is wrong; names the file and the key.
    """
    return {path.stem: _paper(path) for path in sorted((folder or PUBLISHED).glob("*.yaml"))}


def _paper(path: Path) -> Paper:
    try:
        return Paper.model_validate(load_yaml(path))
    except ValidationError as error:
        raise from_validation(error, str(path), Paper.model_fields) from None


def ledger(which: str | None = None) -> list[Line]:
    """Return the lines of one paper (by its file's name or arXiv number), of one network, or of all papers.

    A name that both a paper and a network have means the paper.

    Raises
    ------
    InputError
        The ledger has no such paper or network, or a figure names a network or part that does not exist.

    Examples
    --------
    >>> from arch.ledger.ledger import ledger
    >>> [line.verdict.value for line in ledger("googlenet") if line.table == "Table 1" and line.row == "conv1"][-2:]
    ['misprint', 'misprint']
    """
    by_name = papers()
    find = cache(tree)  # a network is placed once for all of its figures
    names = {paper.arxiv: name for name, paper in by_name.items() if paper.arxiv} | {name: name for name in by_name}
    if which in names:
        return list(_lines_of_paper(names[which], by_name[names[which]], find))
    lines = [line for name, paper in by_name.items() for line in _lines_of_paper(name, paper, find)]
    if which is None:
        return lines
    networks = sorted({network for line in lines for network in line.networks})
    if which not in networks:
        if which in list_networks():
            raise InputError(
                f"'{which}' is a shipped network without printed figures in the ledger; it has figures of: "
                f"{', '.join(networks)}."
            )
        every = list(dict.fromkeys([*names, *networks]))
        raise InputError(
            f"the ledger has no printed figure of '{which}'.{near(which, every)} Known: {', '.join(every)}."
        )
    return [line for line in lines if which in line.networks]


def _lines_of_paper(name: str, paper: Paper, find: Find) -> Iterator[Line]:
    for section in paper.tables:
        for row in section.rows:
            for figure in row.printed:
                try:
                    yield _line(name, section, row, figure, find)
                except InputError as error:
                    raise InputError(f"{name}.yaml, {section.table}, row {row.row}, {figure}: {error}") from None


def _line(name: str, section: Section, row: PrintedRow, figure: str, find: Find) -> Line:
    column = section.columns.get(figure, PrintedColumn())
    printed, exact, path = row.printed[figure], _value(row.exact[figure]), _our_quantity(section, row, figure)
    ours = quantity(path, find) if path else None
    about = networks_of(path) or [network for network in (row.network or section.network,) if network]
    found = verdict(printed, exact, ours, kind=section.kind, unit=column.unit, thousand=column.thousand)
    # A reason written by hand may quote quantities, as {googlenet/3a/macs}: our own count is put in their place.
    by_hand = _PATH.sub(lambda match: _text(quantity(match[1], find)), row.reasons.get(figure, ""))
    return Line(
        paper=name,
        table=section.table,
        row=row.row,
        quantity=figure,
        printed=printed,
        exact=exact,
        ours=ours,
        ratio=ratio(printed, exact, column.unit, column.thousand),
        verdict=found,
        reason=_reason(found, exact, ours, column, by_hand or _SOURCE_REASONS.get(section.source, "")),
        networks=tuple(about),
        source=section.source,
    )


def _our_quantity(section: Section, row: PrintedRow, figure: str) -> str:
    """Return the quantity that we count for a figure, or an empty string."""
    if figure in row.ours:
        return row.ours[figure]
    measure, network = section.columns.get(figure, PrintedColumn()).measure, row.network or section.network
    at = row.row if row.at is None else row.at
    return "/".join(filter(None, (network, at, measure))) if measure and network else ""


def _value(exact: int | str | None) -> Value | None:
    """Return an exact value: a whole number, a fraction such as 61100840/6998552, or a shape."""
    if exact is None or isinstance(exact, int):
        return None if exact is None else Fraction(exact)
    if shape := shape_of(exact):
        return shape
    try:
        return Fraction(exact)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"'{exact}' is not an exact value; write a whole number, a fraction or 28x28x256.") from None


_SOURCE_REASONS = {"released code": "as released code has it; the figure itself was not read"}


def _reason(found: Verdict, exact: Value | None, ours: Value | None, column: PrintedColumn, by_hand: str) -> str:
    """Return why the verdict is what it is: the reason written by hand, except where our count differs."""
    if found is Verdict.OURS:
        return f"our count is {_text(ours)}, the exact value {_text(exact)}"
    if by_hand:
        return by_hand
    counts = f" {column.counts}" if column.counts else ""
    match found:
        case Verdict.CONVENTION if isinstance(exact, Fraction):
            return f"{_text(exact)}{counts} are {float(exact / 1024):,.1f} x 1024"
        case Verdict.ROUNDING | Verdict.TRUNCATION:
            return f"{_text(exact)}{counts}, {'rounded' if found is Verdict.ROUNDING else 'cut'}"
        case Verdict.AGREES:
            return _PLAIN_AGREEMENT
    return ""


def _text(value: Value | None) -> str:
    plain = plain_value(value)
    return f"{plain:,}" if isinstance(plain, int) else f"{plain:,.4g}" if isinstance(plain, float) else str(plain)


def summary(lines: list[Line]) -> str:
    """Return how many figures have each verdict, and how many were read in released code."""
    counted = Counter(line.verdict.value for line in lines).most_common()
    text = f"{len(lines)} figures: {', '.join(f'{number} {verdict}' for verdict, number in counted)}"
    code = sum(line.source == "released code" for line in lines)
    return f"{text}; of them {code} read in released code, not in print." if code else f"{text}."


def paper_layout() -> list[dict[str, Any]]:
    """Return GoogLeNet's Table 1 as the paper lays it out, with our exact weights, parameters and MACs next to it.

    The last row adds the columns up; the paper has none.
    """
    section = next(part for part in papers()["googlenet"].tables if part.table == "Table 1")
    labels = list(dict.fromkeys(label for row in section.rows for label in row.labels))
    find = cache(tree)
    rows: list[dict[str, Any]] = []
    for row in section.rows:
        cells: dict[str, Any] = {label: row.labels.get(label) for label in labels}
        cells |= {column: row.printed.get(column) for column in section.columns}
        cells |= {title: _our_count(section, row, measure, find) for title, measure in _EXACT.items()}
        rows.append(cells)
    return [*rows, dict.fromkeys(rows[0]) | {labels[0]: "sum of the column"} | _sums(rows)]


_EXACT = {"exact weights": "weights", "exact params": "params", "exact MACs": "macs"}


def _our_count(section: Section, row: PrintedRow, measure: str, find: Find) -> int | None:
    """Return our count of a row that prints a cost."""
    if "params" not in row.printed:
        return None
    value = plain_value(quantity(f"{section.network}/{row.at or row.row}/{measure}", find))
    return value if isinstance(value, int) else None


def _sums(rows: list[dict[str, Any]]) -> dict[str, Any]:
    sums: dict[str, Any] = {title: sum(row[title] or 0 for row in rows) for title in _EXACT}
    for column in ("params", "ops"):
        parts = [read(row[column]) for row in rows if row[column]]
        sums[column] = f"{float(sum(part.digits for part in parts)):g}{parts[0].unit}"
    return sums
