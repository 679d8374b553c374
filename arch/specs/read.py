"""Reading: from a network file or mapping to a spec, checked row by row."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from arch.errors import InputError, SpecError, from_validation, near
from arch.files.safe_yaml import load_yaml
from arch.registry import BLOCKS, HEADS
from arch.specs.derive import derive
from arch.specs.spec import FINAL, Head, Row, Spec
from arch.specs.style import Style
from arch.specs.write import to_mapping

NETWORKS = Path(__file__).parents[1] / "networks"
_MAX_ROWS = 1_000
_KEYS = ("name", "source", "note", "input", "classes", "style", "rows", "heads")


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
    repeated = _with_repeats(_checked_list(mapping["rows"], where), where)
    rows = tuple(_row(row, index, where) for index, row in enumerate(_checked_list(repeated, where)))
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{where}: two rows are called '{name}'; give each its own name.")
    return Spec(
        name=_text(mapping["name"], f"{where}: 'name'"),
        source=_text(mapping.get("source", ""), f"{where}: 'source'"),
        note=_text(mapping.get("note", ""), f"{where}: 'note'"),
        input=_input_shape(mapping["input"], where),
        classes=_integer(mapping["classes"], f"{where}: 'classes'", 65_536),
        style=_style(mapping.get("style") or {}, where),
        rows=rows,
        heads=_heads(mapping["heads"], names, where),
        where=where,
    )


def _checked_list(rows: Any, where: str) -> list[Any]:
    if not isinstance(rows, list) or not rows:
        raise SpecError(
            f"{where}: 'rows' is a list with at least one row, such as {{name: 3a, block: inception_v1, ...}}."
        )
    if len(rows) > _MAX_ROWS:
        raise SpecError(f"{where}: 'rows' are more than {_MAX_ROWS:,}, the most that a network may have; remove some.")
    return rows


def _with_repeats(rows: list[Any], where: str) -> list[Any]:
    """Return the rows, with n numbered copies in place of each row that has `repeat: n`."""
    result: list[Any] = []
    for row in rows:
        if not isinstance(row, Mapping) or "repeat" not in row:
            result.append(row)
            continue
        times = _integer(row["repeat"], f"{where}, row {row.get('name')}: 'repeat'", _MAX_ROWS)
        once = {key: value for key, value in row.items() if key != "repeat"}
        result += [once | {"name": f"{row.get('name')}{number}"} for number in range(1, times + 1)]
        if len(result) > _MAX_ROWS:
            break  # too many already: the check that follows refuses them before memory is full
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
                f"{here}: there is no row '{after}' to attach it to.{near(after, rows)} Rows: {', '.join(rows)}."
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


def _integer(value: Any, where: str, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
        raise SpecError(f"{where} is {value!r}, but it must be a whole number from 1 to {largest:,}.")
    return value


def _input_shape(value: Any, where: str) -> tuple[int, int, int]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise SpecError(
            f"{where}: 'input' is {value!r}, but it must be [channels, height, width], such as [3, 224, 224]."
        )
    c, h, w = (_integer(part, f"{where}: 'input'", 16_384) for part in value)
    return (c, h, w)
