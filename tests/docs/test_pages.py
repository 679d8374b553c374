"""The commands and the code in the pages, run as they stand, and their output held against what the pages show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from inceptory.app import app
from tests.support.pages import ROOT, Block, blocks, play

PAGES = sorted((ROOT / "docs").glob("*.md"))
COMMANDS = typer.main.get_command(app)


# Half a minute each.
LONG = {"ablations", "extend", "quickstart", "search", "write_your_own_block", "write_your_own_study"}


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in LONG else []) for p in PAGES]
)
def test_what_a_page_says_can_be_done(page: Path, tmp_path: Path) -> None:
    for block, printed in play(page, tmp_path):
        if block.how == "varies":
            assert printed.strip(), block.code
        elif block.output is not None:
            assert printed == block.output, block.code


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_every_command_and_option_exists(page: Path) -> None:
    """Also of commands that are too long to be run; what a file holds is not looked at."""
    for block in blocks(page):
        if block.language == "sh":
            for command in block.commands:
                for part in re.split(r"[|]|&&", command):
                    _parse(shlex.split(part, comments=True))


def _parse(words: list[str]) -> None:
    if words[:1] == ["python"] and words[1].endswith(".py"):
        words = ["inceptory", *words[2:]]
    if words[:1] == ["inceptory"]:
        command = COMMANDS.commands[words[1]]  # type: ignore[attr-defined]
        command.make_context(words[1], words[2:])


def test_a_wrong_option_would_be_found() -> None:
    with pytest.raises(Exception, match="--nonsense"):
        _parse(["inceptory", "train", "googlenet", "--nonsense"])


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_blocks_and_their_output_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh varies\na\nb \\\n  c # d\n```\n\n```text\nx\n```\n\n```yaml file=f.yaml\ny: 1\n```\n```python\n1\n```\n"
    )
    found = list(blocks(page))
    assert [(b.language, b.how, b.output) for b in found] == [
        ("sh", "varies", "x\n"),
        ("yaml", "file=f.yaml", None),
        ("python", "", None),
    ]
    assert found[0].commands == ["a", "b    c # d"]
    assert isinstance(found[0], Block)
