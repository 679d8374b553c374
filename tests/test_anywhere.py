"""Every module, and a study with two workers, where nothing is that only Unix or Linux has: fcntl, /proc, fork, SIGKILL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search.record.files import read_json
from search.record.layout import results
from tests.support import DATA, ROOT, study
from tests.support.sources import modules

# These two import a library that chooses by the system's name, not by what is there: what is hidden here is missed.
BY_NAME = {"arch.modules.fvcore_check": "fvcore's portalocker", "search.engines.ray.node": "ray"}

IMPORTS = """
import importlib, json, sys
failed = {}
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""
STUDY = """
import json, sys
from search.study.run import run_study
print(run_study(json.loads(sys.argv[1]), sys.argv[2]).finished)
"""
HIDDEN = """
import os, signal, sys, pathlib
for module in ("fcntl", "resource", "pwd", "grp", "termios"):
    try:
        __import__(module)
    except ImportError:
        continue
    sys.exit(module)
exec(compile("import signal; there = hasattr(signal, 'SIGKILL')", "x", "exec"), ours := {"__name__": "search.x"})
names = "fork", "killpg", "setsid", "sched_getaffinity", "O_NOFOLLOW"
sys.exit(ours["there"] or any(hasattr(os, name) for name in names) or pathlib.Path("/proc/cpuinfo").exists())
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which only what every system has is found."""
    (tmp_path / "path").mkdir()
    shutil.copy(DATA / "bare_system.py", tmp_path / "path" / "sitecustomize.py")
    (tmp_path / "kernel").symlink_to("/proc")
    path = os.pathsep.join([str(tmp_path / "path"), str(ROOT)])
    return (
        os.environ
        | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        | {
            "BARE_PROCFS": str(tmp_path / "kernel"),
            "INCEPTORY_CACHE": str(tmp_path / "cache"),  # a lock left by one kind of lock is held for the other
        }
    )


def run(code: str, env: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.skipif(sys.platform != "linux", reason="hides what Linux has")
def test_what_should_be_hidden_is(bare: dict[str, str]) -> None:
    assert run(HIDDEN, bare).returncode == 0
    assert run(HIDDEN, dict(os.environ)).returncode != 0


@pytest.mark.skipif(sys.platform != "linux", reason="hides what Linux has")
def test_every_module_can_be_imported_anywhere(bare: dict[str, str]) -> None:
    names = [name for name in modules(ROOT) if not name.endswith("__main__")]
    done = run(IMPORTS, bare, json.dumps(names))
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout)
    assert set(failed) <= set(BY_NAME), failed


@pytest.mark.skipif(sys.platform != "linux", reason="hides what Linux has")
def test_a_study_with_two_workers_ends_anywhere(bare: dict[str, str], tmp_path: Path) -> None:
    """Also its locks: a driver that was killed holds none, as its marker names a process that is gone."""
    asked = study(trials=3, engine={"name": "local", "workers": 2, "threads": 1})
    done = run(STUDY, bare, json.dumps(asked), str(tmp_path / "run"))
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
    assert [result["state"] for result in results(tmp_path / "run")] == ["complete"] * 3
    environment = read_json(tmp_path / "run" / "environment.json")
    assert environment["processor"]
    assert environment["execution"] in ("fused", "fused+native")
