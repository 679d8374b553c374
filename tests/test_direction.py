"""The three rooms and their direction: arch <- search <- reports; torch only where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY = {"arch": {"arch"}, "search": {"arch", "search"}, "reports": {"arch", "reports", "search.record"}}
TORCH = {"modules", "fuse", "norms", "passes", "pools", "native", "convert", "judge", "export"}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {node.module}
                if "." in node.module
                else {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            )
    return found


@pytest.mark.parametrize("room", MAY)
def test_imports_go_one_way(room: str) -> None:
    for path in (ROOT / room).glob("*.py"):
        for name in _imports(path):
            top = name.partition(".")[0]
            if top in MAY:
                allowed = any(name == may or name.startswith(f"{may}.") for may in MAY[room])
                assert allowed, f"{path.name} imports {name}"


def test_torch_only_where_networks_are_built() -> None:
    for path in (ROOT / "arch").glob("*.py"):
        if path.stem not in TORCH:
            assert not any(name.partition(".")[0] in ("torch", "fvcore") for name in _imports(path)), path.name


@pytest.mark.parametrize("module", ["arch", "search", "search.record", "reports.load", "inceptory"])
def test_importing_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
