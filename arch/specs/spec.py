"""A spec: a network as a table of named rows, with a stable id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import arch.blocks  # noqa: F401  (fills the registries)
from arch.errors import SpecError, near
from arch.files.html_table import table
from arch.nodes import Node, dims, signature
from arch.registry import BLOCKS, HEADS, Definition
from arch.specs.style import Style

FINAL = "final"  # the name under which a spec's heads hold the classifier
RowKey = tuple[str, tuple[tuple[str, Any], ...], tuple[tuple[str, Any], ...]]
HeadKey = tuple[str, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True)
class Row:
    """One line of the table: a block and its channel numbers; `style` overrides the network's keys."""

    name: str
    block: str
    args: Mapping[str, Any] = field(default_factory=dict)
    style: Mapping[str, Any] = field(default_factory=dict)

    @property
    def definition(self) -> Definition:
        """The block's definition in the registry."""
        return BLOCKS.get(self.block, f"row {self.name}")

    @cached_property
    def key(self) -> RowKey:
        """Block, arguments and style as one hashable value: rows with equal keys are the same nodes."""
        return (self.block, tuple(self.args.items()), tuple(self.style.items()))


@dataclass(frozen=True)
class Head:
    """A head and its arguments; the number of classes comes from the spec."""

    head: str
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def definition(self) -> Definition:
        """The head's definition in the registry."""
        return HEADS.get(self.head)

    @cached_property
    def key(self) -> HeadKey:
        """Head and arguments as one hashable value: heads with equal keys are the same nodes."""
        return (self.head, tuple(self.args.items()))


@dataclass(frozen=True)
class Spec:
    """A network. `heads` maps a row's name to its auxiliary head, and `final` to the classifier.

    Attributes
    ----------
    input : (C, H, W) of one image.
    note : what a reader should know, such as deviations from the source; not part of its identity.
    where : the file that it came from, for errors; not part of its identity.
    """

    name: str
    input: tuple[int, int, int]
    classes: int
    style: Style
    rows: tuple[Row, ...]
    heads: Mapping[str, Head]
    source: str = ""
    note: str = ""
    where: str = field(default="", compare=False, repr=False)

    @property
    def aux_rows(self) -> tuple[str, ...]:
        """The rows that carry an auxiliary head, in the order of the rows."""
        return tuple(row.name for row in self.rows if row.name in self.heads)

    def row(self, name: str) -> Row:
        """Return a row by name, or raise SpecError that names near ones."""
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows]
        raise SpecError(f"{self.name}: there is no row '{name}'.{near(name, names)} Rows: {', '.join(names)}.")

    def style_of(self, row: Row) -> Style:
        """Return the style in force in a row."""
        return self.style.model_copy(update=dict(row.style)) if row.style else self.style

    @cached_property
    def id(self) -> str:
        """Sixteen hex digits that identify what the network computes. Names, source and defaults do not count."""
        return _digest(self._canonical(nodes=False))

    @cached_property
    def fingerprint(self) -> str:
        """Like `id`, but of every block's expanded nodes: it changes when a block's definition changes."""
        return _digest(self._canonical(nodes=True))

    def _repr_html_(self) -> str:
        """Return the table of rows, for a notebook."""
        return spec_html(self)

    def _canonical(self, nodes: bool) -> dict[str, Any]:
        """Return everything that is computed, as plain data; `nodes` expands the blocks and heads."""
        position = {row.name: index for index, row in enumerate(self.rows)}
        return {
            "input": self.input,
            "classes": self.classes,
            "style": self.style.model_dump(exclude_defaults=True),
            "rows": [
                [
                    signature(expand_row(row)) if nodes else [row.block, row.definition.non_default(row.args)],
                    self.style_of(row).model_dump(exclude_defaults=True),
                ]
                for row in self.rows
            ],
            "heads": [
                [
                    position.get(after, FINAL),
                    signature(expand_head(head, self.classes))
                    if nodes
                    else [head.head, [head.definition.non_default(head.args), self.classes]],
                ]
                for after, head in sorted(self.heads.items(), key=lambda item: position.get(item[0], len(position)))
            ],
        }


def expand_row(row: Row) -> Node:
    """Return the tree of nodes that a row stands for."""
    node: Node = row.definition.function(**row.args)
    return node


def expand_head(head: Head, classes: int) -> Node:
    """Return the tree of nodes that a head stands for."""
    node: Node = head.definition.function(classes=classes, **head.args)
    return node


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def described(args: Mapping[str, Any]) -> str:
    """Return a row's arguments in a line, `b1x1 64, b3x3 96>128, ceil, no count_pad`."""
    return ", ".join(_argument_text(key, value) for key, value in args.items())


def _argument_text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else f"no {key}"  # printed where false too: count_pad is true by default
    return f"{key} {'>'.join(map(str, value)) if isinstance(value, tuple) else value}"


def spec_html(spec: Spec) -> str:
    """Return a network as its table of rows, each auxiliary head after its row, the classifier last."""
    rows = []
    for row in spec.rows:
        rows.append({"row": row.name, "block": row.block, "arguments": described(row.args)})
        if row.name in spec.aux_rows:
            head = spec.heads[row.name]
            rows.append({"row": f"aux {row.name}", "block": head.head, "arguments": described(head.args)})
    final = spec.heads["final"]
    rows.append({"row": "final", "block": final.head, "arguments": described(final.args)})
    about = f"input {dims(spec.input)}, {spec.classes} classes, id {spec.id}"
    return table(spec.name, rows, [line for line in (spec.source, about) if line])
