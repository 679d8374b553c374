"""The layout: packages and their sub-packages in order, no circles, torch only where it belongs, folders of a readable size.

The tests have one too: the same folders, one file a module, and what several of them share in `tests/support`.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.sources import modules
from tests.support.structure import MOST_FILES, ORDER, TORCH, circles, imported, imports, sizes, upward

# Tests of a room that are of no single module of it.
OF_NO_MODULE = {
    "arch/test_networks.py": "the network files",
    "inceptory/test_help.py": "the help of every command",
    "reports/page/test_browser.py": "the pages in a real browser",
    "search/storage/test_optuna.py": "Optuna's own tests of storages",
}


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
    planted = found | {name: found[name] | set(imported(ast.parse(line), modules(ROOT)))}
    assert planted != found
    assert wrong(planted)  # type: ignore[operator]


def test_every_sub_package_has_its_place() -> None:
    for room, order in ORDER.items():
        folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
        assert folders == set(order)


def test_folders_are_of_a_readable_size() -> None:
    assert {folder: amount for folder, amount in sizes(ROOT).items() if amount > MOST_FILES} == {}


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
