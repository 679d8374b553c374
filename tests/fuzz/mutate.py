"""Wrong files made from right ones: changes of what a file says, of how it says it, and of its bytes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from typing import Any

import yaml

NUMBERS = (0, -1, 1, 2, 3, 7, 10**9, 10**18, 10**30, 10**400, 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"))
TEXTS = (
    *(
        "",
        " ",
        "a" * 5_000,
        "\N{COLLISION SYMBOL}\u202e",
        "<script>alert(1)</script>",
        "\x00",
        "\ud800",
        "a\nb",
        "\x1b[31m",
    ),
    *(
        "../../../etc/passwd",
        "/dev/zero",
        "x/" * 3_000 + ".yaml",
        "a\x00.yaml",
        "no.yaml",
        "~",
        "null",
        "1e3",
        "nan",
        "%s{0}",
    ),
    *("base", "remove", "final", "inception_v3", "googlenet", "random", "iso_macs", "rungs", "grid"),
)
OTHERS = (None, True, False, [], {}, [[]], {"": None}, [None], {"a": {"b": [1]}})
RAW = (
    *(
        "*x",
        "&x [*x]",
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!!set {a, b}",
        "!foreign 1",
    ),
    *(
        "!!binary aGVsbG8=",
        "2020-01-01",
        "2020-13-45",
        "1:30:00",
        "0x1F",
        "0o17",
        "1_000",
        "{",
        "]",
        "'",
        '"\\ud800"',
        "? [a]",
    ),
    *(
        "<<: {a: 1}",
        "\t",
        "---",
        "...",
        "%YAML 9.9",
        "# x",
        "{a: 1, a: 2}",
        ".nan",
        "-.inf",
        "!!int x",
        "!!float [1]",
        "9" * 5_000,
    ),
)

Pieces = list[tuple[Any, Any]]  # containers with a key or index of each


def pieces(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value in nested mappings and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from pieces(value)


def odd_value(draw: random.Random) -> Any:
    """Return a value that hardly belongs anywhere."""
    kind = draw.randrange(5)
    if kind == 0:
        return draw.choice(NUMBERS)
    if kind == 1:
        return draw.choice(TEXTS)
    if kind == 2:
        return copy.deepcopy(draw.choice(OTHERS))
    if kind == 3:
        return nested(draw, draw.choice([1, 2, 5, 18, 25, 300]))
    return [draw.choice(NUMBERS) for _ in range(draw.choice([1, 2, 3, 40]))]


def nested(draw: random.Random, depth: int) -> Any:
    """Return lists in mappings in lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if draw.random() < 0.5 else {"a": value}
    return value


def changed(draw: random.Random, tree: Any) -> Any:
    """Return a tree with one to three changes of its values and keys."""
    tree = copy.deepcopy(tree)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        places = list(pieces(tree))
        if not places:
            return odd_value(draw)
        container, key = draw.choice(places)
        tree = _CHANGES[draw.randrange(len(_CHANGES))](draw, tree, container, key, places)
    return tree


def _drop(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    del container[key]
    return tree


def _replace(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    container[key] = odd_value(draw)
    return tree


def _rename(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    if isinstance(container, MutableMapping):
        name = str(key)
        spelt = [name[:-1], name + "s", name.upper(), draw.choice(TEXTS), draw.choice(NUMBERS), None, True]
        container[draw.choice(spelt)] = container.pop(key)
    return tree


def _copy(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    other, there = draw.choice(places)
    container[key] = copy.deepcopy(other[there])
    return tree


def _double(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    if isinstance(container, MutableSequence):
        times = draw.choice([1, 1, 2, 50])
        container[key:key] = [copy.deepcopy(container[key]) for _ in range(times)]
    else:
        container[f"{key}2"] = copy.deepcopy(container[key])
    return tree


def _number(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    value = container[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        factor = draw.choice([-1, 0, 0.5, 1.001, 2, 10, 1000, 10**9, 10**18])
        try:
            container[key] = value * factor
        except OverflowError:
            container[key] = -value
    elif isinstance(value, str):
        at = draw.randrange(len(value) + 1)
        container[key] = value[:at] + draw.choice(["", " ", "x", "0", "\u00e9", "\u0000", "/", ".."]) + value[at + 1 :]
    else:
        container[key] = odd_value(draw)
    return tree


def _wrap(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    container[key] = [container[key]] if draw.random() < 0.5 else {draw.choice(["a", "name", "run"]): container[key]}
    return tree


def _add(draw: random.Random, tree: Any, container: Any, key: Any, places: Pieces) -> Any:
    if isinstance(container, MutableMapping):
        container[draw.choice(["base", "edits", "repeat", "style", "stlye", "space", "n", 7, None])] = odd_value(draw)
    return tree


_CHANGES: tuple[Callable[..., Any], ...] = (
    _drop,
    _replace,
    _replace,
    _rename,
    _copy,
    _double,
    _number,
    _number,
    _wrap,
    _add,
)


def as_yaml(draw: random.Random, tree: Any) -> bytes:
    """Return a tree as YAML, now and then with something in it that YAML's own rules are about."""
    try:
        text = yaml.dump(
            tree, Dumper=_Plain, sort_keys=False, allow_unicode=True, default_flow_style=draw.random() < 0.3
        )
    except (yaml.YAMLError, RecursionError, UnicodeError):
        text = json.dumps(tree, default=str)
    if draw.random() < 0.25:
        lines = text.split("\n")
        at = draw.randrange(len(lines))
        before, colon, _ = lines[at].rpartition(": ")
        what = draw.choice(RAW)
        lines[at : at + draw.randrange(2)] = [f"{before}{colon}{what}" if draw.random() < 0.7 else what]
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogatepass")


class _Plain(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes every value out: what stands twice is no alias here."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_json(draw: random.Random, tree: Any) -> bytes:
    """Return a tree as JSON, with NaN and infinities as Python writes them."""
    return _json(tree).encode("utf-8", "surrogatepass")


def as_json_lines(draw: random.Random, rows: Any) -> bytes:
    """Return a list of rows as JSON lines, sometimes with a line that is none, or in another order."""
    lines = [_json(row) for row in rows] if isinstance(rows, list) else [_json(rows)]
    if lines and draw.random() < 0.3:
        at = draw.randrange(len(lines))
        lines[at] = draw.choice(["", "{", "[1]", "null", "7", lines[at][: len(lines[at]) // 2], '"x"', "\u2028", "NaN"])
    return ("\n".join(lines) + draw.choice(["\n", "\n", "", "\n\n"])).encode("utf-8", "surrogatepass")


def _json(tree: Any) -> str:
    try:
        return json.dumps(tree, default=str)
    except TypeError:  # keys that JSON has not
        return json.dumps(str(tree))


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Return bytes that were cut short, flipped, doubled, or are of another kind altogether."""
    content = content or b"a"
    kind = draw.randrange(8)
    at = draw.randrange(len(content))
    if kind == 0:
        return content[:at]
    if kind == 1:
        flipped = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 8, 64])):
            flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        return bytes(flipped)
    if kind == 2:
        return content[:at] + draw.randbytes(draw.choice([1, 2, 16])) + content[at:]
    if kind == 3:
        end = min(len(content), at + draw.choice([1, 8, 100]))
        return content[:at] + content[end:]
    if kind == 4:
        return content[:at] + content[at : at + 200] * draw.choice([2, 3]) + content[at + 200 :]
    if kind == 5:
        return draw.choice(
            [b"", b"\x00" * 64, b"\xef\xbb\xbf" + content, b"\xff\xfe" + content, b"\n" * 100, b"{" * 500, b"[" * 3000]
        )
    if kind == 6:
        return content.decode("utf-8", "replace").encode(draw.choice(["utf-16", "utf-32", "latin-1"]), "replace")
    return content.replace(b"\n", draw.choice([b"\r", b"\r\n", b"\x85", b"\x0c", b" "]), draw.choice([1, 3, -1]))
