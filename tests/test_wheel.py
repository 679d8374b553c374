"""A built wheel, installed beside nothing of this checkout, lists all networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import arch
from arch.ledger.ledger import papers
from search.recipes.load import list_recipes
from tests.support import ROOT

ROOMS = ("arch", "search", "reports", "inceptory")


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_lists_all_networks(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("inceptory-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # it may lead to this checkout
    subprocess.run(install, check=True, capture_output=True, env=bare)
    # The dependencies are lent from this environment; the package itself is the wheel's.
    env = bare | {"PYTHONPATH": sysconfig.get_path("purelib")}
    where = subprocess.run(
        [str(python), "-c", "import arch; print(arch.__file__)"],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        check=True,
    )
    assert str(tmp_path / "env") in where.stdout
    listed = subprocess.run(
        [str(python.parent / "inceptory"), "list", "--format", "json"],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        check=True,
    )
    assert [row["name"] for row in json.loads(listed.stdout)] == arch.list_networks()
    # Every sub-package, and the data files: published figures, recipes, the demo, templates, C++.
    shipped = (
        "import importlib, pkgutil, json\n"
        "names = [m.name for room in ('arch', 'search', 'reports', 'inceptory')"
        " for m in pkgutil.walk_packages(importlib.import_module(room).__path__, f'{room}.') if m.ispkg]\n"
        "for name in names: importlib.import_module(name)\n"
        "from arch.ledger.ledger import papers\n"
        "from arch.modules.fused.native import _SOURCE\n"
        "from reports.page.render import render\n"
        "from search.recipes.load import list_recipes\n"
        "from search.study.config import DEMO\n"
        "render('index.html', name='', reload=0, built='', columns=[], rows=[], notes=[], unread=[])\n"
        "assert DEMO.exists() and _SOURCE.exists()\n"
        "print(json.dumps([names, list(papers()), list_recipes()]))"
    )
    found = subprocess.run(
        [str(python), "-c", shipped], capture_output=True, text=True, env=env, cwd=tmp_path, check=True
    )
    names, figures, recipes = json.loads(found.stdout)
    ours = {path.parent.relative_to(ROOT).parts for room in ROOMS for path in (ROOT / room).glob("*/**/__init__.py")}
    assert {tuple(name.split(".")) for name in names} == ours
    assert (figures, recipes) == (list(papers()), list_recipes())
