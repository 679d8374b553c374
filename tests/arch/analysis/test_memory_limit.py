"""Sizes that would explode are refused by their cost, before any memory is taken: under a real limit on it."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from typing import Any

import psutil
import pytest
import yaml

import arch
from arch.analysis.memory_limit import available_memory, check_memory
from tests.support import MICRO, study

LIMIT = 8 * 2**30  # of address space; torch's own libraries take some of it
MOST = 3 * 2**29  # of memory that is held at any time; torch's libraries alone are two thirds of it

# Runs command lines in one process, as importing torch takes longest; prints exit codes, errors and the peak.
RUNNER = f"""
import contextlib, io, json, pathlib, re, resource, sys
import torch
from inceptory.app import main
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT}))
found = []
for args in json.loads(sys.stdin.read()):
    said = io.StringIO()
    sys.argv = ["inceptory", *args]
    from inceptory import app, printing
    printing.err.file = said
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as left:
            found.append((left.code, said.getvalue()))
# not ru_maxrss, which knows the parent's as well
peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]
print(json.dumps([found, int(peak) * 1024]))
"""


def network(rows: list[dict[str, Any]], size: int = 32) -> str:
    head = {"final": {"head": "classifier"}}
    return yaml.safe_dump({"name": "large", "input": [3, size, size], "classes": 10, "rows": rows, "heads": head})


def conv(**more: Any) -> dict[str, Any]:
    return {"name": "a", "block": "conv", "out": 8, "kernel": 3} | more


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


def test_without_limits_on_a_process_all_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Linux and FreeBSD say what a process may have."""
    monkeypatch.delattr(psutil.Process, "rlimit")
    assert available_memory() == psutil.virtual_memory().total


FILES = {
    "channels": (network([conv(out=10**9)]), "row a, conv: 'out' is 1000000000"),
    "kernel": (network([conv(kernel=10**9)]), "row a, conv: 'kernel"),
    "repeated": (network([conv(name=f"r{i}", repeat=1_000) for i in range(1_000)]), "'rows' are more than 1,000"),
    "input": (network([conv()], 10**9), "'input' is 1000000000"),
    "aliases": (bomb(), "line 2: aliases"),
    "digits": ("name: " + "9" * 900_000, "not readable as YAML"),
    "nested": ("[" * 500_000, "nested more than 20 deep"),
    "long": ("a" * 2_000_000, "more than 1,000,000 bytes"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    folder = tmp_path_factory.mktemp("room")
    commands = {name: ["count", str(folder / f"{name}.yaml")] for name in FILES}
    for name, (text, _) in FILES.items():
        (folder / f"{name}.yaml").write_text(text)
    wide = [conv(name=f"r{i}", out=65_536, kernel=1_023) for i in range(1_000)]
    (folder / "wide.yaml").write_text(network(wide))
    quick = ["--data", "digits", "--run", str(folder / "run")]
    commands["counted"] = ["count", str(folder / "wide.yaml")]
    commands["judged"] = ["count", "--check", str(folder / "wide.yaml")]
    commands["trained"] = ["train", str(folder / "wide.yaml"), *quick]
    commands["batch"] = [
        "train",
        str(folder / "map.yaml"),
        *quick,
        "--set",
        "recipe.resize=2048",
        "--set",
        "recipe.batch=65536",
    ]
    (folder / "map.yaml").write_text(network([conv(out=512)], 2_048))
    commands["epochs"] = ["train", str(MICRO), *quick, "--set", "recipe.epochs=1000000000000000000"]
    (folder / "study.yaml").write_text(yaml.safe_dump(study(sampler={"name": "tpe", "n_ei_candidates": 10**12})))
    commands["sampler"] = ["search", str(folder / "study.yaml"), "--run", str(folder / "run")]
    level = {"own": {}, **{f"l{i}": {"recipe": {"lr": 0.01 * i}} for i in range(1, 10)}}
    factors = {
        "name": "f",
        "network": str(MICRO),
        "data": "digits",
        "factors": {f"f{i}": deepcopy(level) for i in range(12)},
    }
    (folder / "ablation.yaml").write_text(yaml.safe_dump(factors))
    commands["factors"] = ["ablate", str(folder / "ablation.yaml"), "--run", str(folder / "run")]
    asked = json.dumps(list(commands.values()))
    done = subprocess.run([sys.executable, "-c", RUNNER], input=asked, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2_000:]
    found, peak = json.loads(done.stdout.splitlines()[-1])
    assert peak < MOST
    assert not (folder / "run").exists()
    return {name: tuple(result) for name, result in zip(commands, found, strict=True)}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_refused(name: str, said: dict[str, tuple[int, str]]) -> None:
    code, text = said[name]
    assert code == 2
    assert FILES[name][1] in text
    assert len(text) < 2_500


def test_what_can_be_counted_is_refused_where_memory_would_be_taken(said: dict[str, tuple[int, str]]) -> None:
    assert said["counted"][0] == 0
    for name in ("judged", "trained", "batch"):
        assert said[name][0] == 2
        assert "needs at least" in said[name][1]
        assert "GiB of memory" in said[name][1]


@pytest.mark.parametrize(
    ("name", "fragment"),
    [("epochs", "'epochs' is 1000000000000000000"), ("sampler", "up to 1,000,000"), ("factors", "combinations")],
)
def test_numbers_that_would_never_end_are_refused(name: str, fragment: str, said: dict[str, tuple[int, str]]) -> None:
    assert said[name][0] == 2
    assert fragment in said[name][1]


def test_the_room_that_is_counted_by_hand(micro: arch.Spec) -> None:
    """Weights in float32, three of each in training; two bytes for each activation."""
    costs = arch.cost(micro)
    weights, maps = 4 * (costs.params + costs.aux_params), 2 * costs.activations
    check_memory(micro, limit=weights)
    check_memory(micro, 10, training=True, limit=3 * weights + 10 * maps)
    with pytest.raises(arch.SpecError, match="needs at least"):
        check_memory(micro, limit=weights - 1)
    with pytest.raises(arch.SpecError, match="with 10 images at a time"):
        check_memory(micro, 10, training=True, limit=3 * weights + 10 * maps - 1)
