"""Specs: a network as a table of named rows. Reading, checking, writing, hashing."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import arch.blocks
import arch.heads
import arch.printed  # noqa: F401  (importing these three fills the registries)
from arch.derive import derive
from arch.errors import InputError, SpecError, from_validation, near
from arch.nodes import Node, signature
from arch.registry import BLOCKS, HEADS, Definition
from arch.strict import load_yaml
from arch.style import Style

NETWORKS = Path(__file__).parent / "networks"
FINAL = "final"  # the name under which a spec's heads hold the classifier
RowKey = tuple[str, tuple[tuple[str, Any], ...], tuple[tuple[str, Any], ...]]
HeadKey = tuple[str, tuple[tuple[str, Any], ...]]
_MOST_ROWS = 1_000
_KEYS = ("name", "source", "note", "input", "classes", "style", "rows", "heads")


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
        """What decides the row's nodes and style, hashable; its name is not part of it."""
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
        """What decides the head's nodes, hashable."""
        return (self.head, tuple(self.args.items()))


@dataclass(frozen=True)
class Spec:
    """A network. `heads` maps a row's name to its auxiliary head, and `final` to the classifier.

    Attributes
    ----------
    input : (C, H, W) of one image.
    note : what a reader should know: quirks of the source, deviations from it. Not part of its identity.
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
        """Return a row by name, or raise SpecError with the near names."""
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
        """Sixteen hex digits of everything that is computed; names, source and what is at its default are left out."""
        return _digest(self._canonical(nodes=False))

    @cached_property
    def fingerprint(self) -> str:
        """Like `id`, with every block as its expanded nodes: changes when a definition changes."""
        return _digest(self._canonical(nodes=True))

    def _repr_html_(self) -> str:
        """Return the table of rows, for a notebook."""
        from arch.html import spec_html

        return spec_html(self)

    def _canonical(self, nodes: bool) -> dict[str, Any]:
        position = {row.name: index for index, row in enumerate(self.rows)}
        return {
            "input": self.input,
            "classes": self.classes,
            "style": self.style.model_dump(exclude_defaults=True),
            "rows": [
                [
                    signature(expand_row(row)) if nodes else [row.block, row.definition.chosen(row.args)],
                    self.style_of(row).model_dump(exclude_defaults=True),
                ]
                for row in self.rows
            ],
            "heads": [
                [
                    position.get(after, FINAL),
                    signature(expand_head(head, self.classes))
                    if nodes
                    else [head.head, [head.definition.chosen(head.args), self.classes]],
                ]
                for after, head in sorted(self.heads.items(), key=lambda item: position.get(item[0], len(position)))
            ],
        }


def expand_row(row: Row) -> Node:
    """Return the tree of nodes that a row stands for."""
    return row.definition.function(**row.args)


def expand_head(head: Head, classes: int) -> Node:
    """Return the tree of nodes that a head stands for."""
    return head.definition.function(classes=classes, **head.args)


def load(network: str | Path) -> Spec:
    """Return the spec of a network, by its name in `arch/networks` or by the path of a YAML file.

    Raises
    ------
    InputError
        There is no such network, or its file is not a spec; names the file, the row and a near name.

    Examples
    --------
    >>> import arch
    >>> arch.load("googlenet").classes
    1000
    """
    path = Path(network)
    if path.suffix not in (".yaml", ".yml"):
        path = NETWORKS / f"{network}.yaml"
        if str(network) not in list_networks():
            raise InputError(
                f"there is no network '{network}'.{near(network, list_networks())} "
                "`inceptory list networks` names all; a file of your own ends in .yaml."
            )
    return from_mapping(load_yaml(path), str(path))


def list_networks(pattern: str = "*") -> list[str]:
    """Return the names of the shipped networks that match a shell wildcard, sorted.

    Examples
    --------
    >>> import arch
    >>> arch.list_networks("googlenet_cifar*")
    ['googlenet_cifar', 'googlenet_cifar_small', 'googlenet_cifar_tiny']
    """
    return sorted(fnmatch.filter((path.stem for path in NETWORKS.glob("*.yaml")), pattern))


def from_mapping(mapping: Any, where: str = "spec") -> Spec:
    """Check a mapping as a network file holds it, and return the spec.

    Raises
    ------
    SpecError
        Something is unknown, missing, doubled or out of range; the text names `where`, row and key.
    """
    if not isinstance(mapping, Mapping):
        raise SpecError(f"{where}: a network file is a mapping with the keys {', '.join(_KEYS)}.")
    if "base" in mapping:
        mapping = derive(to_mapping(_base(mapping["base"], where)), mapping, where)
    for key in mapping:
        if key not in _KEYS:
            raise SpecError(f"{where}: unknown key '{key}'.{near(key, _KEYS)} Known keys: {', '.join(_KEYS)}.")
    for key in ("name", "input", "classes", "rows", "heads"):
        if key not in mapping:
            raise SpecError(f"{where}: '{key}' is missing; add it.")
    listed = _repeated(_listed(mapping["rows"], where), where)
    rows = tuple(_row(row, index, where) for index, row in enumerate(_listed(listed, where)))
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{where}: two rows are called '{name}'; give each its own name.")
    return Spec(
        name=_text(mapping["name"], f"{where}: 'name'"),
        source=_text(mapping.get("source", ""), f"{where}: 'source'"),
        note=_text(mapping.get("note", ""), f"{where}: 'note'"),
        input=_extents(mapping["input"], where),
        classes=_whole(mapping["classes"], f"{where}: 'classes'", 65_536),
        style=_style(mapping.get("style") or {}, where),
        rows=rows,
        heads=_heads(mapping["heads"], names, where),
        where=where,
    )


def _listed(rows: Any, where: str) -> list[Any]:
    if not isinstance(rows, list) or not rows:
        raise SpecError(
            f"{where}: 'rows' is a list with at least one row, such as {{name: 3a, block: inception_v1, ...}}."
        )
    if len(rows) > _MOST_ROWS:
        raise SpecError(f"{where}: 'rows' are more than {_MOST_ROWS:,}; a network has at most so many.")
    return rows


def _repeated(rows: list[Any], where: str) -> list[Any]:
    """Return the rows with each `repeat: n` written out, numbered from 1."""
    result: list[Any] = []
    for row in rows:
        if not isinstance(row, Mapping) or "repeat" not in row:
            result.append(row)
            continue
        times = _whole(row["repeat"], f"{where}, row {row.get('name')}: 'repeat'", _MOST_ROWS)
        once = {key: value for key, value in row.items() if key != "repeat"}
        result += [once | {"name": f"{row.get('name')}{number}"} for number in range(1, times + 1)]
        if len(result) > _MOST_ROWS:
            break  # enough to be refused, before millions of rows are written out
    return result


def _base(network: Any, where: str) -> Spec:
    """Return the shipped network that a file derives from."""
    if network not in list_networks():
        raise SpecError(
            f"{where}: 'base' is {network!r}, but it must be a shipped network.{near(network, list_networks())}"
        )
    return load(network)


def _row(row: Any, index: int, where: str) -> Row:
    if not isinstance(row, Mapping) or "name" not in row or "block" not in row:
        raise SpecError(f"{where}, row {index + 1}: a row is a mapping with at least 'name' and 'block'.")
    name = _text(row["name"], f"{where}, row {index + 1}: 'name'")
    if not name.replace("_", "").replace("-", "").isalnum() or name == FINAL:
        raise SpecError(
            f"{where}, row {index + 1}: '{name}' is no name for a row; use letters, digits, - and _ (and not '{FINAL}')."
        )
    here = f"{where}, row {name}"
    definition = BLOCKS.get(_text(row["block"], f"{here}: 'block'"), here)
    style = _style(row.get("style") or {}, here).model_dump(exclude_unset=True)
    args = {str(key): value for key, value in row.items() if key not in ("name", "block", "style")}
    return Row(name, definition.name, definition.validate(args, here), style)


def _heads(heads: Any, rows: list[str], where: str) -> dict[str, Head]:
    if not isinstance(heads, Mapping) or FINAL not in heads:
        raise SpecError(
            f"{where}: 'heads' maps '{FINAL}' to the classifier and rows to auxiliary heads; '{FINAL}' is missing."
        )
    result = {}
    for after, head in heads.items():
        here = f"{where}, head {after}"
        if after != FINAL and after not in rows:
            raise SpecError(
                f"{here}: there is no row '{after}' to hang it on.{near(after, rows)} Rows: {', '.join(rows)}."
            )
        if not isinstance(head, Mapping) or "head" not in head:
            raise SpecError(f"{here}: a head is a mapping with at least 'head'.")
        definition = HEADS.get(_text(head["head"], f"{here}: 'head'"), here)
        args = {str(key): value for key, value in head.items() if key != "head"}
        if "classes" in args:
            raise SpecError(f"{here}: 'classes' comes from the network; remove it here.")
        checked = definition.validate(args | {"classes": 1}, here)
        del checked["classes"]
        result[str(after)] = Head(definition.name, checked)
    order = {name: index for index, name in enumerate([*rows, FINAL])}
    return dict(sorted(result.items(), key=lambda item: order[item[0]]))


def _style(style: Any, where: str) -> Style:
    try:
        return Style.model_validate(style)
    except ValidationError as error:
        raise from_validation(error, f"{where}, style", Style.model_fields) from None


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SpecError(f"{where} is {value!r}, but it must be text; put it in quotes.")
    return value


def _whole(value: Any, where: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise SpecError(f"{where} is {value!r}, but it must be a whole number from 1 to {most:,}.")
    return value


def _extents(value: Any, where: str) -> tuple[int, int, int]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise SpecError(
            f"{where}: 'input' is {value!r}, but it must be [channels, height, width], such as [3, 224, 224]."
        )
    c, h, w = (_whole(part, f"{where}: 'input'", 16_384) for part in value)
    return (c, h, w)


def to_mapping(spec: Spec) -> dict[str, Any]:
    """Return the spec as a network file holds it; `from_mapping` takes it back."""
    return {
        "name": spec.name,
        "source": spec.source,
        **({"note": spec.note} if spec.note else {}),
        "input": list(spec.input),
        "classes": spec.classes,
        "style": spec.style.model_dump(exclude_defaults=True),
        "rows": [
            {"name": row.name, "block": row.block}
            | ({"style": dict(row.style)} if row.style else {})
            | _plain(row.args)
            for row in spec.rows
        ],
        "heads": {after: {"head": head.head} | _plain(head.args) for after, head in spec.heads.items()},
    }


def to_yaml(spec: Spec) -> str:
    """Return the text of a network file, one line a row, columns aligned."""
    mapping = to_mapping(spec)
    keys = [key for key in ("name", "source", "note", "input", "classes", "style") if key in mapping]
    lines = [f"{key}: {_flow(mapping[key])}" for key in keys]
    lines += ["rows:", *(f"  - {row}" for row in _aligned(mapping["rows"]))]
    lines += ["heads:", *(f"  {_flow(after)}: {_flow(head)}" for after, head in mapping["heads"].items())]
    return "\n".join(lines) + "\n"


def renamed(spec: Spec, name: str, source: str | None = None) -> Spec:
    """Return the spec under another name."""
    return replace(spec, name=name, source=spec.source if source is None else source)


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in args.items()}


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _aligned(rows: list[dict[str, Any]]) -> list[str]:
    """Return each row as a flow mapping; rows with the same keys have their columns under each other."""
    cells = [[f"{key}: {_flow(value)}" for key, value in row.items()] for row in rows]
    widths: dict[tuple[str, ...], list[int]] = {}
    for row, texts in zip(rows, cells, strict=True):
        known = widths.setdefault(tuple(row), [0] * len(texts))
        widths[tuple(row)] = [max(a, len(b)) for a, b in zip(known, texts, strict=True)]
    result = []
    for row, texts in zip(rows, cells, strict=True):
        padded = [f"{text}, ".ljust(width + 2) for text, width in zip(texts[:-1], widths[tuple(row)], strict=False)]
        result.append("{" + "".join(padded) + texts[-1] + "}")
    return result


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
