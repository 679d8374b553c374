"""Comparing two networks: what differs, and by how much every quantity changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arch.analysis.cost import RowCost, cost
from arch.analysis.measure import RowMeasures, measure
from arch.nodes import Pair, dims
from arch.specs.spec import FINAL, Head, Row, Spec, described

MISSING, SAME = "-", "="
QUANTITIES = ("params", "MACs", "activations", "dead_weights", "depth", "peak_memory_bytes")
_MISSING_ROW = {"output": MISSING, "receptive_field": MISSING} | dict.fromkeys(QUANTITIES[:-1], 0)  # a peak is no sum
_NO_CHANGES: dict[str, Any] = dict.fromkeys((*QUANTITIES, "output", "receptive_field"))


@dataclass(frozen=True)
class _Side:
    """One of the two networks: its name, and the quantities of each row."""

    spec: Spec
    rows: Mapping[str, dict[str, Any]]
    aux: Mapping[str, Any]
    total: Mapping[str, Any]


def sized(field: Pair | None) -> str:
    """Return a receptive field as text, `715x715`, or `all` after a flatten."""
    return f"{field[0]}x{field[1]}" if field else "all"


def differences(a: Spec, b: Spec) -> list[dict[str, Any]]:
    """Return a line for each row of either network, then what else differs, auxiliary heads and total.

    Each line holds `row`, both networks under their names (`=` where b is as a, `-` where a row is
    missing), and how many `params`, `MACs`, `activations`, `dead_weights`, layers of `depth` and
    `peak_memory_bytes` b has more; `output` and `receptive_field` read `old > new`, or `=`. What a line
    has no figure for is None. The names must differ.
    """
    one, two = _side(a), _side(b)
    lines = [_row_line(name, one, two) for name in _merged_names(list(one.rows), list(two.rows))]
    lines += [_line(key, a, b, *texts, same=False) for key, texts in _settings(a, b)]
    heads_a, heads_b = (_heads(spec) for spec in (a, b))
    same = [_block_and_args(head) for _, head in heads_a] == [_block_and_args(head) for _, head in heads_b]
    same = same and a.aux_rows == b.aux_rows
    lines.append(_line("auxiliary heads", a, b, _listed(heads_a), _listed(heads_b), same) | _change(one.aux, two.aux))
    old, new = (f"{side.total['params']:,} params, {side.total['MACs']:,} MACs" for side in (one, two))
    return [*lines, _line("total without heads", a, b, old, new) | _change(one.total, two.total)]


def _side(spec: Spec) -> _Side:
    costs, measures = cost(spec), measure(spec)
    rows = {row.name: _quantities(row, found) for row, found in zip(costs.rows, measures.rows, strict=True)}
    aux = [_quantities(row, found) for row, found in zip(costs.aux, measures.aux, strict=True)]
    summed = ("params", "MACs", "activations", "dead_weights")
    total = {
        **{key: sum(row[key] for row in rows.values()) for key in summed},
        "depth": measures.depth,
        "receptive_field": sized(measures.receptive_field),
        "peak_memory_bytes": measures.peak_memory,
    }
    return _Side(spec, rows, {key: sum(row[key] for row in aux) for key in summed}, total)


def _quantities(row: RowCost, found: RowMeasures) -> dict[str, Any]:
    return {
        "output": dims(row.output),
        "params": row.params,
        "MACs": row.macs,
        "activations": row.activations,
        "dead_weights": found.dead_weights,
        "depth": found.depth,
        "receptive_field": sized(found.field.size if found.field else None),
        "peak_memory_bytes": found.peak_memory,
    }


def _row_line(name: str, one: _Side, two: _Side) -> dict[str, Any]:
    same = name in one.rows and name in two.rows and _identity(one.spec, name) == _identity(two.spec, name)
    line = _line(name, one.spec, two.spec, _row_text(one, name), _row_text(two, name), same)
    return line | _change(one.rows.get(name, _MISSING_ROW), two.rows.get(name, _MISSING_ROW))


def _row_text(side: _Side, name: str) -> str:
    if name not in side.rows:
        return MISSING
    item = _row_or_head(side.spec, name)
    style = f"style {described(item.style)}" if isinstance(item, Row) and item.style else ""
    what = item.block if isinstance(item, Row) else item.head
    return ", ".join(filter(None, (f"{what} {described(item.args)}".rstrip(), style)))


def _row_or_head(spec: Spec, name: str) -> Row | Head:
    return spec.heads[FINAL] if name == FINAL else spec.row(name)


def _identity(spec: Spec, name: str) -> Any:
    """Return what must be equal for a row to be the same; arguments at their default need not be written."""
    item = _row_or_head(spec, name)
    return (_block_and_args(item), dict(item.style) if isinstance(item, Row) else {})


def _block_and_args(item: Row | Head) -> tuple[str, dict[str, Any]]:
    return (item.definition.name, item.definition.non_default(item.args))


def _settings(a: Spec, b: Spec) -> Iterable[tuple[str, tuple[str, str]]]:
    """Yield what belongs to no row, where the networks differ: order of rows, input, classes, keys of the style."""
    orders = [
        [row.name for row in spec.rows if row.name in {r.name for r in other.rows}] for spec, other in ((a, b), (b, a))
    ]
    if orders[0] != orders[1]:
        yield "order", (", ".join(orders[0]), ", ".join(orders[1]))
    if a.input != b.input:
        yield "input", (dims(a.input), dims(b.input))
    if a.classes != b.classes:
        yield "classes", (str(a.classes), str(b.classes))
    styles = a.style.model_dump(), b.style.model_dump()
    differing = [key for key in styles[0] if styles[0][key] != styles[1][key]]
    if differing:
        one, two = (described({key: style[key] for key in differing}) for style in styles)
        yield "style", (one, two)


def _heads(spec: Spec) -> list[tuple[str, Head]]:
    return [(row, spec.heads[row]) for row in spec.aux_rows]


def _listed(heads: Sequence[tuple[str, Head]]) -> str:
    return "; ".join(f"{row}: {head.head} {described(head.args)}".rstrip() for row, head in heads) or MISSING


def _merged_names(a: list[str], b: list[str]) -> list[str]:
    """Return the names of both in order; a name of b alone follows the one that precedes it there."""
    names = list(a)
    for index, name in enumerate(b):
        if name not in names:
            names.insert(names.index(b[index - 1]) + 1 if index else 0, name)
    return names


def _line(row: str, a: Spec, b: Spec, one: str, two: str, same: bool | None = None) -> dict[str, Any]:
    equal = one == two if same is None else same
    return {"row": row, a.name: one, b.name: SAME if equal else two} | _NO_CHANGES


def _change(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much more `new` has of each quantity, and `old > new` of texts."""
    change: dict[str, Any] = {key: new[key] - old[key] for key in QUANTITIES if key in old and key in new}
    for key in ("output", "receptive_field"):
        if key in old:
            change[key] = SAME if old[key] == new[key] else f"{old[key]} > {new[key]}"
    return change
