"""What `inceptory --help` and the commands' own help say, as a terminal of 80 columns shows it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from inceptory.app import NETWORKS, REPORTS, STUDIES, TRAINING, app

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PANELS = [NETWORKS, TRAINING, STUDIES, REPORTS]
WIDTH = 80
SIDES = 2  # columns around a paragraph


def shown(*args: str) -> str:
    done = CliRunner().invoke(app, [*args, "--help"], env={"COLUMNS": str(WIDTH)})
    assert done.exit_code == 0, done.output
    return done.output


def is_sentence(text: str) -> bool:
    return text.endswith(".") and (text[0].isupper() or text[0].isdigit())


def test_commands_are_shown_in_panels() -> None:
    lines = shown().splitlines()
    titles = [line.strip("╭╮─ ") for line in lines if line.startswith("╭")]
    assert titles == ["Options", *PANELS]
    assert {command.rich_help_panel for command in COMMANDS.values()} == set(PANELS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_line_is_one_sentence_that_fits(name: str) -> None:
    summary = inspect.cleandoc(COMMANDS[name].help).splitlines()[0]
    assert is_sentence(summary)
    assert ". " not in summary
    [line] = [line for line in shown().splitlines() if line.startswith(f"│ {name} ")]
    assert line.split(maxsplit=2)[2].rstrip("│ ") == summary


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_is_of_whole_sentences_and_not_cut(name: str) -> None:
    text = shown(name)
    assert "…" not in text
    assert max(map(len, text.splitlines())) == WIDTH
    for paragraph in inspect.cleandoc(COMMANDS[name].help).split("\n\n"):
        assert is_sentence(paragraph)
        assert max(map(len, paragraph.splitlines())) <= WIDTH - SIDES  # typer keeps a docstring's line breaks
    for parameter in COMMANDS[name].params:
        assert is_sentence(parameter.help or ""), parameter.name
        assert all(word in text for word in parameter.help.split()), (
            parameter.name
        )  # a column breaks only between words
