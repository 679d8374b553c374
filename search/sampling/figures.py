"""The figures of a network by which networks are compared before any is trained: from its spec alone, without torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from arch.analysis.cost import cost
from arch.specs.edit import searchable, split_of
from arch.specs.spec import Row, Spec

Figures = dict[str, float]


def figures(spec: Spec) -> Figures:
    """Return a network's figures by name; what another network has and this one lacks counts as 0.

    - logarithms of its `activations`, `params` and `macs`, and of the channels that its `stem` hands on;
    - `macs at SIZE`: the share of MACs in rows whose map has so many pixels a side, so of each stage;
    - `1x1`, `3x3`, `5x5`, `pool`: the branches' shares of a row's channels, and `reduce 3x3`, `reduce 5x5`: the
      logarithms of a reduction's ratio to the width behind it, each as the mean over rows with a split;
    - how many such `rows` there are; the share of them of each family, with a shortcut and with mean pooling.

    Raises
    ------
    SpecError
        The spec cannot be a network at its input size.
    """
    counted = cost(spec)
    found = {
        "activations": math.log(counted.activations),
        "params": math.log(counted.params),
        "macs": math.log(counted.macs),
    }
    for row in counted.rows:
        if len(row.output) == 3 and row.macs:
            name = f"macs at {row.output[1]}"
            found[name] = found.get(name, 0.0) + row.macs / counted.macs
    rows = searchable(spec)
    if rows:
        before = spec.rows.index(rows[0]) - 1
        found["stem"] = math.log(counted.rows[before].output[0] if before >= 0 else spec.input[0])
        found |= _of_rows(rows)
    return found


def _of_rows(rows: list[Row]) -> Figures:
    """Return the figures of the rows with a split."""
    splits = [split_of(row) for row in rows]
    return {
        "1x1": _mean(split.b1x1 / split.out for split in splits),
        "3x3": _mean(split.b3x3.out / split.out for split in splits),
        "5x5": _mean(split.b5x5.out / split.out for split in splits),
        "pool": _mean(split.pool / split.out for split in splits),
        "reduce 3x3": _mean(math.log(split.b3x3.reduce / split.b3x3.out) for split in splits),
        "reduce 5x5": _mean(math.log(split.b5x5.reduce / split.b5x5.out) for split in splits),
        "rows": float(len(rows)),
        "shortcut": _mean(row.args.get("shortcut", False) for row in rows),
        "mean pooling": _mean(row.args.get("pool_kind") == "avg" for row in rows),
    } | {f"family {name}": amount / len(rows) for name, amount in Counter(row.block for row in rows).items()}


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
