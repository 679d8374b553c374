"""Two networks side by side: what differs, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arch.cost import cost
from arch.spec import FINAL, Spec


def described(args: Mapping[str, Any]) -> str:
    """Return a row's arguments in a line, `b1x1 64, b3x3 96>128`."""
    return ", ".join(f"{key} {'>'.join(map(str, v)) if isinstance(v, tuple) else v}" for key, v in args.items())


def differences(a: Spec, b: Spec) -> list[dict[str, Any]]:
    """Return a line for each row of either network, then input, classes and style where they differ, heads and total.

    Each line holds `row`, both networks under their names (`=` where b is as a, `-` where a row is
    missing), and how many `params` and `MACs` b has more. The names must differ.
    """
    cost_a, cost_b = cost(a), cost(b)
    rows_a, rows_b = ({row.name: row for row in total.rows} for total in (cost_a, cost_b))
    texts_a, texts_b = _texts(a), _texts(b)
    lines = []
    for name in dict.fromkeys([*rows_a, *rows_b]):
        old, new = rows_a.get(name), rows_b.get(name)
        params = (new.params if new else 0) - (old.params if old else 0)
        macs = (new.macs if new else 0) - (old.macs if old else 0)
        lines.append(_line(name, a, b, texts_a.get(name, "-"), texts_b.get(name, "-"), params, macs))
    for key in ("input", "classes", "style"):
        one, two = str(getattr(a, key)), str(getattr(b, key))
        if one != two:
            lines.append(_line(key, a, b, one, two, None, None))
    heads_a, heads_b = (", ".join(f"{row}: {spec.heads[row].head}" for row in spec.aux_rows) or "-" for spec in (a, b))
    more_params, more_macs = cost_b.aux_params - cost_a.aux_params, cost_b.aux_macs - cost_a.aux_macs
    lines.append(_line("auxiliary heads", a, b, heads_a, heads_b, more_params, more_macs))
    total = (cost_b.params - cost_a.params, cost_b.macs - cost_a.macs)
    return [*lines, _line("total without heads", a, b, f"{cost_a.macs:,} MACs", f"{cost_b.macs:,} MACs", *total)]


def _texts(spec: Spec) -> dict[str, str]:
    final = spec.heads[FINAL]
    rows = {row.name: f"{row.block} {described(row.args)}" for row in spec.rows}
    return rows | {FINAL: f"{final.head} {described(final.args)}".rstrip()}


def _line(row: str, a: Spec, b: Spec, one: str, two: str, params: int | None, macs: int | None) -> dict[str, Any]:
    return {"row": row, a.name: one, b.name: "=" if one == two else two, "params": params, "MACs": macs}
