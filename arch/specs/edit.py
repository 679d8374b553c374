"""Editing: functions from a spec to a new spec, with another split, family, width, depth, heads or input."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from arch.errors import SpecError, near
from arch.registry import BLOCKS, Reduced
from arch.specs.spec import FINAL, Head, Row, Spec


class Split(NamedTuple):
    """How a searchable row divides its channels among its four branches (GoogLeNet's Table 1)."""

    b1x1: int
    b3x3: Reduced
    b5x5: Reduced
    pool: int

    @property
    def out(self) -> int:
        """The row's output channels."""
        return self.b1x1 + self.b3x3.out + self.b5x5.out + self.pool


def families() -> list[str]:
    """Return the blocks that take the common split; any registered block with these arguments is one."""
    return [d.name for d in BLOCKS if set(Split._fields) <= set(d.parameters)]


def searchable(spec: Spec) -> list[Row]:
    """Return the rows of a spec whose block takes the common split."""
    names = families()
    return [row for row in spec.rows if row.block in names]


def stages(spec: Spec) -> dict[str, list[str]]:
    """Return the searchable rows in groups of neighbours, named by the common start of their names.

    GoogLeNet's are `3` (3a, 3b), `4` (4a to 4e) and `5` (5a, 5b).
    """
    groups: list[list[str]] = [[]]
    names = families()
    for row in spec.rows:
        if row.block in names:
            groups[-1].append(row.name)
        elif groups[-1]:
            groups.append([])  # a pool or another row between them ends a stage
    result: dict[str, list[str]] = {}
    for group in filter(None, groups):
        # A common start that is empty or taken names no stage; the first row's name does.
        common = group[0] if len(group) == 1 else _common_start(group)
        result[common if common and common not in result else group[0]] = group
    return result


def _common_start(names: list[str]) -> str:
    first, last = min(names), max(names)  # what the first and last in order share, all between them share
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, names)))
    return first[:length]


def split_of(row: Row) -> Split:
    """Return a searchable row's split."""
    return Split(**{name: row.args[name] for name in Split._fields})


def with_args(spec: Spec, row: str, args: Mapping[str, Any]) -> Spec:
    """Return the spec with some of a row's arguments changed; the others stay.

    Raises
    ------
    SpecError
        There is no such row, or its block does not take these arguments.
    """
    old = spec.row(row)
    checked = old.definition.validate(dict(old.args) | dict(args), f"{spec.name}, row {row}")
    return _with_row(spec, replace(old, args=checked))


def with_split(spec: Spec, row: str, split: Split) -> Spec:
    """Return the spec with another split in a row."""
    spec.row(row)
    return with_splits(spec, {row: split})


def with_splits(spec: Spec, splits: Mapping[str, Split]) -> Spec:
    """Return the spec with other splits in the rows that are named."""
    rows = (
        replace(row, args={**row.args, **splits[row.name]._asdict()}) if row.name in splits else row
        for row in spec.rows
    )
    return replace(spec, rows=tuple(rows))


def with_family(spec: Spec, family: str, rows: Iterable[str] | None = None, **args: Any) -> Spec:
    """Return the spec with rows (all searchable ones by default) rebuilt in another family, splits kept.

    Arguments that the new family does not take are dropped, the others kept. `args` sets arguments of the new family.

    Raises
    ------
    SpecError
        The block does not take the common split, or a row has none.
    """
    if family not in families():
        raise SpecError(
            f"'{family}' does not take the common split.{near(family, families())} Families: {', '.join(families())}."
        )
    chosen = [row.name for row in searchable(spec)] if rows is None else list(rows)
    for name in chosen:
        row = spec.row(name)
        if row.block not in families():
            raise SpecError(f"{spec.name}, row {name}: '{row.block}' has no split to keep; choose other rows.")
        definition = BLOCKS.get(family)
        kept = {key: value for key, value in row.args.items() if key in definition.parameters}
        checked = definition.validate(kept | args, f"{spec.name}, row {name}")
        spec = _with_row(spec, Row(name, family, checked, row.style))
    return spec


def with_width(spec: Spec, factor: float, round_to: int = 8, rows: Collection[str] | None = None) -> Spec:
    """Return the spec with every channel number of `rows` (all by default) times `factor`.

    Each is rounded to a positive multiple of `round_to`.
    """

    def scaled(value: Any) -> Any:
        if isinstance(value, Reduced):
            return Reduced(*(scaled(part) for part in value))
        if isinstance(value, tuple):
            return tuple(scaled(part) for part in value)
        return max(round_to, round(value * factor / round_to) * round_to)

    def widths(row: Row) -> dict[str, Any]:
        names = row.definition.widths
        return {key: scaled(value) if key in names else value for key, value in row.args.items()}

    chosen = {row.name for row in spec.rows} if rows is None else rows
    return replace(spec, rows=tuple(replace(row, args=widths(row)) if row.name in chosen else row for row in spec.rows))


def with_depth(spec: Spec, stage: str, rows: int) -> Spec:
    """Return the spec with another number of rows in a stage, as `stages` names it.

    The last row is repeated under the names that follow its own (after 4b: 4c, 4d), or the last rows are
    dropped. A head on a dropped row moves to the stage's last row, unless that row has one.

    Raises
    ------
    SpecError
        There is no such stage, or `rows` is less than one.
    """
    groups = stages(spec)
    if stage not in groups:
        raise SpecError(
            f"{spec.name}: there is no stage '{stage}'.{near(stage, groups)} Stages: {', '.join(groups) or 'none'}."
        )
    if rows < 1:
        raise SpecError(f"{spec.name}, stage {stage}: {rows} rows; a stage keeps at least one.")
    members = groups[stage]
    return _shortened(spec, members, rows) if rows < len(members) else _deepened(spec, members, rows)


def _deepened(spec: Spec, members: list[str], rows: int) -> Spec:
    """Return the spec with copies of a stage's last row after it, up to `rows` rows."""
    last = spec.row(members[-1])
    copies: list[Row] = []
    taken = {row.name for row in spec.rows} | {FINAL}
    while len(members) + len(copies) < rows:
        name = _next_name((copies or [last])[-1].name, taken)
        taken.add(name)
        copies.append(replace(last, name=name))
    end = spec.rows.index(last) + 1
    return replace(spec, rows=(*spec.rows[:end], *copies, *spec.rows[end:]))


def _shortened(spec: Spec, members: list[str], rows: int) -> Spec:
    """Return the spec with the first `rows` rows of a stage; a head on a dropped row moves to the last of them."""
    last, dropped = members[rows - 1], members[rows:]
    heads = {after: head for after, head in spec.heads.items() if after not in dropped}
    for after in dropped:
        if after in spec.heads:
            heads.setdefault(last, spec.heads[after])  # where the last row has a head already, the moved one is lost
    return _with_heads(replace(spec, rows=tuple(row for row in spec.rows if row.name not in dropped)), heads)


def _next_name(name: str, taken: Collection[str]) -> str:
    """Return the first free name after a row's: 4c after 4b, mixed3 after mixed2, stem2 after stem."""
    while name in taken:
        if match := re.fullmatch(r"(.*?)(\d+)", name):
            name = f"{match[1]}{int(match[2]) + 1}"
        elif match := re.fullmatch(r"(.*\d)([a-y])", name):
            name = f"{match[1]}{chr(ord(match[2]) + 1)}"
        else:
            name += "2"
    return name


def with_head_moved(spec: Spec, old: str, new: str) -> Spec:
    """Return the spec with the auxiliary head of row `old` on row `new`."""
    if old not in spec.heads or old == FINAL:
        raise SpecError(f"{spec.name}: row '{old}' has no auxiliary head. Heads: {', '.join(spec.aux_rows) or 'none'}.")
    spec.row(new)
    return _with_heads(spec, {new if after == old else after: head for after, head in spec.heads.items()})


def with_heads_on(spec: Spec, rows: Iterable[str]) -> Spec:
    """Return the spec with auxiliary heads on these rows and no others.

    A row that has a head keeps it; another one gets a copy of the nearest head, of two the earlier one.

    Raises
    ------
    SpecError
        There is no such row, or no auxiliary head to copy.
    """
    order = {row.name: index for index, row in enumerate(spec.rows)}
    heads = {FINAL: spec.heads[FINAL]}
    for name in rows:
        spec.row(name)
        if not spec.aux_rows:
            raise SpecError(f"{spec.name}: there is no auxiliary head to put on row '{name}'; give the network one.")
        nearest = min(spec.aux_rows, key=lambda after: abs(order[after] - order[name]))
        heads[name] = spec.heads[nearest]
    return _with_heads(spec, heads)


def _with_heads(spec: Spec, heads: Mapping[str, Head]) -> Spec:
    """Return the spec with these heads, in the order of the rows and the classifier last."""
    order = {row.name: index for index, row in enumerate(spec.rows)}
    return replace(spec, heads=dict(sorted(heads.items(), key=lambda item: order.get(item[0], len(order)))))


def without_heads(spec: Spec) -> Spec:
    """Return the spec without auxiliary heads."""
    return with_heads_on(spec, [])


def with_input(spec: Spec, shape: tuple[int, int, int]) -> Spec:
    """Return the spec for images of another (C, H, W)."""
    return replace(spec, input=shape)


def with_classes(spec: Spec, classes: int) -> Spec:
    """Return the spec for another number of classes."""
    return replace(spec, classes=classes)


def _with_row(spec: Spec, row: Row) -> Spec:
    return replace(spec, rows=tuple(row if old.name == row.name else old for old in spec.rows))
