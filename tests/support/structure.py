"""The layout as it stands: sub-packages and their order, circles, sizes. `python -m tests.support.structure` prints it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT
from tests.support.sources import modules

# A line imports only lines above it. What stands in no sub-package comes first in its room.
ORDER = {
    "arch": ["files", "blocks", "specs", "analysis", "modules", "exchange", "ledger"],
    "search": [
        "record",
        "statistics",
        "recipes",
        "data",
        "training",
        "evaluation",
        "space",
        "engines",
        "storage",
        "sampling",
        "study",
        "comparison",
    ],
    "reports": ["runs", "tables", "figures", "drawings", "page"],
}
MAY = {
    "arch": ["arch"],
    "search": ["arch", "search"],
    "reports": ["arch", "reports", "search.record", "search.statistics"],
}
TORCH = ["arch.modules", "arch.exchange"]
MOST_FILES = 16

Imports = dict[str, set[str]]


def imports(root: Path) -> Imports:
    """Return what each module imports of ours: at its top, in functions, and for types alone."""
    known = modules(root)
    found: Imports = {}
    for name, path in known.items():
        found[name] = {other for other in imported(ast.parse(path.read_text()), known) if other != name}
    return found


def imported(tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known or node.module in known:
                    yield full if full in known else node.module


def circles(found: Imports) -> list[str]:
    """Return the pairs of neighbours, at any level, that import each other, directly or through others."""
    edges: dict[str, dict[str, set[str]]] = {}
    for name, others in found.items():
        if (ROOT / name.replace(".", "/")).is_dir() and name.count(".") == 0:
            continue  # a room's own names are its public face, which reaches into all of it
        for other in others:
            here, there = _apart(name, other)
            if here and there:
                edges.setdefault(name[: len(name) - len(here[1])], {}).setdefault(here[0], set()).add(there[0])
    return [f"{level}{a}" for level, graph in edges.items() for a in graph if a in _reached(graph, a)]


def _apart(a: str, b: str) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """Return where two names part: the first differing part of each, and all from there on."""
    one, two = a.split("."), b.split(".")
    same = next((i for i, (x, y) in enumerate(zip(one, two, strict=False)) if x != y), min(len(one), len(two)))
    rest = (".".join(one[same:]), ".".join(two[same:]))
    return ((one[same], rest[0]) if one[same:] else None), ((two[same], rest[1]) if two[same:] else None)


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        if (name := todo.pop()) not in found:
            found.add(name)
            todo += graph.get(name, ())
    return found


def upward(found: Imports) -> list[str]:
    """Return the imports that go against the order of rooms or of sub-packages."""
    wrong = []
    for name, others in found.items():
        room, _, rest = name.partition(".")
        if room not in ORDER or not rest:
            continue
        for other in others:
            if not any(f"{other}.".startswith(f"{may}.") for may in MAY[room]):
                wrong.append(f"{name} imports {other}")
            elif other.partition(".")[0] == room and _place(other) > _place(name):
                wrong.append(f"{name} imports {other}, which stands below it")
    return wrong


def _place(name: str) -> int:
    room, _, rest = name.partition(".")
    package = rest.partition(".")[0]
    return ORDER[room].index(package) if package in ORDER[room] else -1


def sizes(root: Path) -> dict[str, int]:
    """Return how many modules each package holds, `__init__` not counted."""
    return dict(Counter(str(p.parent.relative_to(root)) for p in modules(root).values() if p.name != "__init__.py"))


def longest(root: Path, amount: int) -> list[tuple[int, str]]:
    """Return the longest functions: lines without the docstring, and `module.function`."""
    found = []
    for name, path in modules(root).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                doc = node.body[0] if ast.get_docstring(node) else None
                lines = (node.end_lineno or 0) - node.lineno + 1
                found.append((lines - ((doc.end_lineno or 0) - doc.lineno + 1 if doc else 0), f"{name}.{node.name}"))
    return sorted(found, reverse=True)[:amount]


def main() -> None:
    """Print the order of the sub-packages with the modules of each, circles and the longest functions."""
    amounts, found = sizes(ROOT), imports(ROOT)
    for top, order in ORDER.items():
        print(f"{top}: {amounts.get(top, 0)} modules of its own, then, each importing only those before it")
        for name in order:
            inside = {folder: amount for folder, amount in amounts.items() if f"{folder}/".startswith(f"{top}/{name}/")}
            print(f"  {name:12} {', '.join(f'{folder} {amount}' for folder, amount in sorted(inside.items()))}")
    print(f"inceptory: {amounts['inceptory']} modules")
    print(f"circles: {len(circles(found))}; imports against the order: {len(upward(found))}")
    print(f"largest folder: {max(amounts.values())} modules of at most {MOST_FILES}")
    print("longest functions, lines without docstring:")
    for lines, name in longest(ROOT, 10):
        print(f"  {lines:3} {name}")


if __name__ == "__main__":
    main()
