"""The commands in `docs/*.md` and the tutorial notebook: found, run, and their output written anew.

    python -m tests.support.pages docs/quickstart.md docs/tutorial.ipynb

In a page, a block of ```sh holds commands, one of ```python code, and a block of ```text right behind it what they print.
Words behind the language say what is done with it:

    sh              run by the test; its output is the text behind it, to the letter
    sh varies       run by the test; the text behind it holds times or accuracies, so its numbers are not compared
    sh no-run       too long, or needs what a test machine has not: only its commands and options are checked
    python no-run   not run
    yaml file=NAME  written to that file, whatever the language
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.support import ROOT, commands

_FENCE = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of commands or code, and the output that the page shows behind it, if any."""

    language: str
    how: str
    code: str
    output: str | None
    place: tuple[int, int]  # of that output in the page

    @property
    def commands(self) -> list[str]:
        """The commands of a block of shell, continued lines joined, comments left out."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    text = page.read_text()
    found = list(_FENCE.finditer(text))
    for here, after in zip(found, [*found[1:], None], strict=False):
        shows = after is not None and after[1] == "text" and not text[here.end() : after.start()].strip()
        output, place = (after[3], after.span(3)) if after and shows else (None, (0, 0))
        if here[1] != "text":
            yield Block(here[1], here[2] or "", here[3], output, place)


def play(page: Path, folder: Path) -> list[tuple[Block, str]]:
    """Do what a page says in a folder that looks like the project's, and return what each block that was run printed."""
    for name in ("docs", "studies"):
        (folder / name).symlink_to(ROOT / name)
    names = {"__name__": page.name}
    with chdir(folder):
        return [(block, _played(block, names)) for block in blocks(page) if _runs(block)]


def _runs(block: Block) -> bool:
    return block.how != "no-run" and (block.language in ("sh", "python") or block.how.startswith("file="))


def _played(block: Block, names: dict[str, object]) -> str:
    if block.how.startswith("file="):
        Path(block.how.removeprefix("file=")).write_text(block.code)
        return ""
    if block.language == "sh":
        return "".join(map(run, block.commands))
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(block.code, str(names["__name__"]), "exec"), names)
    return out.getvalue()


def run(command: str) -> str:
    """Run a command of a page and return what it prints on standard output; `inceptory` is called in this process."""
    words = shlex.split(command, comments=True)
    if words[0] == "inceptory" and "|" not in words:
        return inceptory(words[1:])
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ours = f'set -e -o pipefail; python() {{ {sys.executable} "$@"; }}; inceptory() {{ python -m inceptory "$@"; }}; '
    done = subprocess.run(["bash", "-c", ours + command], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return _trimmed(done.stdout)


def inceptory(words: list[str]) -> str:
    """Call the command line in this process; return what it prints on standard output."""
    done = commands.here(*words)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return _trimmed(done.stdout)


def _trimmed(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def execute(notebook: Path, folder: Path) -> nbformat.NotebookNode:
    """Execute a notebook in a folder, in a Python of its own, and return it with its outputs."""
    found = nbformat.read(notebook, as_version=4)
    quiet = {"PYTHONWARNINGS": "ignore:IProgress not found"}  # tqdm's, where there are no ipywidgets; names a path
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | quiet
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(found, timeout=300, kernel_name="python3", resources=where, coalesce_streams=True)
    client.execute(env=env)
    return found


def refresh(page: Path) -> None:
    """Write a page's outputs, or a notebook's, anew."""
    with tempfile.TemporaryDirectory() as name:
        if page.suffix == ".ipynb":
            found = execute(page, Path(name))
            for cell in found.cells:
                cell.metadata.pop("execution", None)  # the times of the execution: different each time
            nbformat.write(found, page)
            return
        played = play(page.resolve(), Path(name))
    text = page.read_text()
    for block, output in reversed(played):
        if block.output is not None:
            text = text[: block.place[0]] + output + text[block.place[1] :]
    page.write_text(text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        refresh(Path(name))
