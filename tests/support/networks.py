"""The shipped networks as parameters of a test."""

from __future__ import annotations

import pytest

import arch


def every_network() -> list[object]:
    """Return every shipped network by rising multiply-adds; slow where cheaper ones have all of its blocks and heads."""
    found, seen = [], set()
    for spec in sorted(map(arch.load, arch.list_networks()), key=lambda spec: arch.cost(spec).macs):
        kinds = {row.block for row in spec.rows} | {head.head for head in spec.heads.values()}
        found.append(pytest.param(spec.name, marks=[] if kinds - seen else [pytest.mark.slow]))
        seen |= kinds
    return found
