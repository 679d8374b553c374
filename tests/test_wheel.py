"""A built wheel, installed beside nothing of this checkout, lists all networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import arch
from arch.ledger import papers

ROOT = Path(__file__).parent.parent


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
    subprocess.run(install, check=True, capture_output=True)
    # The dependencies are lent from this environment; the package itself is the wheel's.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "PYTHONPATH": sysconfig.get_path("purelib")
    }
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
    published = "from arch.ledger import papers; print(*papers())"
    figures = subprocess.run(
        [str(python), "-c", published], capture_output=True, text=True, env=env, cwd=tmp_path, check=True
    )
    assert figures.stdout.split() == list(papers())
    demo = "from search.study import DEMO; from search.recipe import list_recipes; from reports.offline import render; render('index.html', name='', reload=0, built='', columns=[], rows=[], notes=[], unread=[]); from arch.native import _SOURCE; assert _SOURCE.exists(); print(DEMO.exists(), len(list_recipes()))"
    shipped = subprocess.run(
        [str(python), "-c", demo], capture_output=True, text=True, env=env, cwd=tmp_path, check=True
    )
    assert shipped.stdout.split()[0] == "True"
