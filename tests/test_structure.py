"""The layout: rooms and their sub-packages in order, no circles, torch only where it belongs, folders of a readable size.

The tests have one too: the same folders, one file a module, and what several of them share in `tests/support`.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.sources import modules

# A line imports only lines above it. What stands in no sub-package comes first in its room.
ORDER = {
    "arch": ["files", "blocks", "specs", "analysis", "modules", "exchange", "ledger"],
    "search": [
        "record",
        "recipes",
        "data",
        "training",
        "evaluation",
        "space",
        "engines",
        "storage",
        "study",
        "comparison",
    ],
    "reports": ["runs", "tables", "figures", "drawings", "page"],
}
MAY = {"arch": ["arch"], "search": ["arch", "search"], "reports": ["arch", "reports", "search.record"]}
TORCH = ["arch.modules", "arch.exchange"]
MOST_FILES = 16
# Tests of a room that are of no single module of it.
OF_NO_MODULE = {
    "arch/test_networks.py": "the network files",
    "inceptory/test_help.py": "the help of every command",
    "reports/page/test_browser.py": "the pages in a real browser",
    "search/storage/test_optuna.py": "Optuna's own tests of storages",
}

Imports = dict[str, set[str]]


def imports(root: Path) -> Imports:
    """Return what each module imports of ours: at its top, in functions, and for types alone."""
    known = modules(root)
    found: Imports = {}
    for name, path in known.items():
        found[name] = {other for other in _imported(ast.parse(path.read_text()), known) if other != name}
    return found


def _imported(tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
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


def test_imports_go_one_way() -> None:
    assert upward(imports(ROOT)) == []


def test_there_are_no_circles() -> None:
    assert circles(imports(ROOT)) == []


@pytest.mark.parametrize(
    ("name", "line", "wrong"),
    [
        ("search.record.files", "from search.study.run import run_study", upward),
        ("arch.specs.edit", "from search.recipes.recipe import Recipe", upward),
        ("search.progress", "from search.study.driver import Driver", upward),
        ("reports.runs.load", "from search.training.fit import fit", upward),
        ("search.study.config", "if TYPE_CHECKING:\n    from search.study.driver import Driver", circles),
        ("search.engines.base", "def later():\n    from search.engines.ray.cluster import Cluster", circles),
        ("arch.errors", "import arch.registry", circles),
    ],
)
def test_what_is_planted_is_found(name: str, line: str, wrong: object) -> None:
    found = imports(ROOT)
    planted = found | {name: found[name] | set(_imported(ast.parse(line), modules(ROOT)))}
    assert planted != found
    assert wrong(planted)  # type: ignore[operator]


def test_every_sub_package_has_its_place() -> None:
    for room, order in ORDER.items():
        folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
        assert folders == set(order)


def test_folders_are_of_a_readable_size() -> None:
    for folder in {path.parent for path in modules(ROOT).values()}:
        amount = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        assert amount <= MOST_FILES, f"{folder.relative_to(ROOT)} holds {amount} modules"


def test_every_module_says_what_it_is() -> None:
    for name, path in modules(ROOT).items():
        assert ast.get_docstring(ast.parse(path.read_text())), name


def test_no_module_hides_a_public_name_of_its_package() -> None:
    for name, path in modules(ROOT).items():
        if path.name == "__init__.py" and name.partition(".")[0] in ORDER:
            public = set(getattr(importlib.import_module(name), "__all__", []))
            inside = {child.stem for child in path.parent.iterdir() if child.suffix == ".py" or child.is_dir()}
            assert not public & inside, name


def test_torch_only_where_networks_are_built() -> None:
    for name, path in modules(ROOT).items():
        if name.startswith("arch.") and not any(f"{name}.".startswith(f"{may}.") for may in TORCH):
            for node in ast.walk(ast.parse(path.read_text())):
                found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {part.partition(".")[0] for part in found} & {"torch", "fvcore"}, name


@pytest.mark.parametrize("module", ["arch", "search", "search.record.layout", "reports", "inceptory"])
def test_importing_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def imports_of_tests(folder: Path) -> list[str]:
    """Return where something under `folder` imports a test or a conftest: what is shared stands in tests/support."""
    found = []
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            parts = ".".join([getattr(node, "module", None) or "", *names]).strip(".").split(".")
            if parts[0] == "tests" and any(part.startswith("test_") or part == "conftest" for part in parts):
                found.append(f"{path.relative_to(folder)}:{node.lineno}")
    return found


def test_no_test_imports_from_another(tmp_path: Path) -> None:
    assert imports_of_tests(ROOT / "tests") == []
    lines = ("from tests.arch.test_networks import x", "from tests import conftest", "import tests.test_wheel")
    (tmp_path / "planted.py").write_text("\n".join(lines))
    assert imports_of_tests(tmp_path) == ["planted.py:1", "planted.py:2", "planted.py:3"]


def test_tests_stand_where_what_they_test_stands() -> None:
    tests = ROOT / "tests"
    for room in (*ORDER, "inceptory", "benchmarks"):
        found = {str(path.relative_to(tests)) for path in (tests / room).rglob("test_*.py")}
        assert {name for name in OF_NO_MODULE if name.startswith(f"{room}/")} <= found
        for name in found - set(OF_NO_MODULE):
            assert (ROOT / name.replace("/test_", "/")).is_file(), f"tests/{name} tests no module of that name"
