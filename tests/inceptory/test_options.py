"""Every option of every command with values that are missing, wrong, extreme or contradict each other.

The commands and options are read from the application, so that new ones are tested without a word here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from inceptory.app import app, main
from tests.support import MICRO

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EXTREME = (
    "",
    "nonsense",
    "-1",
    "0",
    "9" * 30,
    "1.5",
    "nan",
    "x" * 300,
    "\N{COLLISION SYMBOL}",
    "<b>",
    "a b",
    "--",
    "../..",
)
# What stands for an argument, by its name; others get a name of nothing.
ARGUMENTS = {"network": str(MICRO), "networks": str(MICRO), "a": str(MICRO), "b": str(MICRO), "kind": "networks"}
# Options without which a command would do more than a test has time for, or look at the wrong thing.
QUICK = {
    "train": ["--data", "digits", "--set", "recipe.epochs=1", "--set", "recipe.max_steps=1"],
    "bench": ["--batches", "2"],
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(args: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Return a command's exit code and what it says of errors; an exception that gets through fails the test."""
    monkeypatch.setattr(sys, "argv", ["inceptory", *args])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0, capsys.readouterr().err  # type: ignore[return-value]


def refused(args: list[str], said: str, code: int) -> None:
    assert code == 2, f"{args}: {code}, {said}"
    assert said.strip(), args
    assert "Traceback" not in said
    assert "\n\n" not in said.strip(), said  # one paragraph of ours, or typer's usage and panel
    assert said.count("\N{BOX DRAWINGS LIGHT ARC DOWN AND RIGHT}") <= 1, said
    assert len(said) < 3_000


def given(command: str) -> list[str]:
    """Return a command with its arguments."""
    parameters = COMMANDS[command].params
    arguments = [
        ARGUMENTS.get(p.name, "nothing-here") for p in parameters if p.param_type_name == "argument" and p.required
    ]
    return [command, *arguments, *QUICK.get(command, [])]


def options() -> Iterator[tuple[str, Any]]:
    for command, about in COMMANDS.items():
        for parameter in about.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                yield command, parameter


def kind_of(parameter: Any) -> type:
    """Return the type of an option's values, or of each where it may be repeated."""
    annotation = parameter.type_descriptor.annotation
    return next(iter(get_args(annotation)), annotation)


ids = [f"{command} {parameter.opts[0]}" for command, parameter in options()]


@pytest.mark.parametrize(("command", "parameter"), list(options()), ids=ids)
def test_wrong_values_are_code_2(
    command: str, parameter: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, option = given(command), parameter.opts[0]
    if parameter.is_flag:
        wrong = [[*start, f"{option}=yes"]]
    else:
        wrong = [[*start, option]]  # without a value
        if kind_of(parameter) in (int, float):
            wrong += [[*start, option, value] for value in ("", "nonsense", "1.5x", "<b>")]
        if parameter.min is not None:
            wrong.append([*start, option, str(parameter.min - 1)])
        if issubclass(kind_of(parameter), Enum):
            wrong += [[*start, option, value] for value in ("", "nonsense", "TABLE ")]
    for args in wrong:
        code, said = run(args, capsys, monkeypatch)
        refused(args, said, code)


@pytest.mark.parametrize(
    ("command", "parameter"),
    [(c, p) for c, p in options() if not p.is_flag],
    ids=[f"{c} {p.opts[0]}" for c, p in options() if not p.is_flag],
)
def test_extreme_values_never_end_in_a_traceback(
    command: str, parameter: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in EXTREME:
        args = [*given(command), parameter.opts[0], value]
        if command == "demo" and parameter.name == "run" and value != "x" * 300:
            continue  # a folder's name: the demo would run
        code, said = run(args, capsys, monkeypatch)
        if code:
            refused(args, said, code)


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_arguments_and_unknown_options(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [[*given(command), "--nonsense"], [*given(command), *["more"] * 5]]
    if any(p.param_type_name == "argument" and p.required for p in COMMANDS[command].params):
        wrong.append([command])
    for args in wrong:
        if "more" in args and any(p.nargs == -1 for p in COMMANDS[command].params):
            continue  # takes any number of arguments
        code, said = run(args, capsys, monkeypatch)
        refused(args, said, code)


CONTRADICTIONS = (
    "convert inception_v3 a.pth b.pth --from torchvision --to timm",
    "convert inception_v3 a.pth b.pth",
    "convert inception_v3 a.pth a.pth --from torchvision",
    "ledger googlenet --layout paper --doubtful",
    "ledger inception_v3 --layout paper",
    f"draw {MICRO} --head",
    "best nothing-here --trial 3",
    f"train {MICRO} --data digits --everything --device nonsense",
    f"train {MICRO} --data digits --set recipe.random_resized_crop=true",
    f"train {MICRO} --data digits --classes 11",
    f"train {MICRO} --data digits --input 3x16x16",
    f"train {MICRO} --data digits --set recipe.epochs=1000000000000000000",
    f"train {MICRO} --data digits --set recipe.resize=2048 --input 3x2048x2048 --set recipe.batch=65536",
    f"train {MICRO} --data digits --set recipe",
    f"train {MICRO} --data digits --set network.x=1",
    f"count {MICRO} --input 1000000000x1000000000x3",
    f"count {MICRO} --classes 1000000000",
    "count nothing*",
)


@pytest.mark.parametrize("line", CONTRADICTIONS)
def test_contradictions_are_refused(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = run(line.split(), capsys, monkeypatch)
    refused([line], said, code)
    assert not list(Path().rglob("result.json"))


@pytest.mark.parametrize("line", ["status", "list --format nonsense", "count googlenet --input 0x0x0"])
def test_a_real_process_says_the_same(line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inceptory", *line.split()], capture_output=True, text=True, timeout=120
    )
    refused([line], done.stderr, done.returncode)
    assert not done.stdout
