"""The commands in `docs/*.md` and the tutorial notebook: found, run, and their output written anew.

    python -m tests.pages docs/quickstart.md docs/tutorial.ipynb

In a page, a block of ```sh holds commands, and a block of ```text right behind it what they print. A word behind the
language says what is done with it:

    sh            run by the test; its output is the text behind it, to the letter
    sh varies     run by the test; the text behind it holds times or accuracies, so its numbers are not compared
    sh no-run     too long, or needs what the test machine has not: only its options are checked
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(r"^```(\w+)(?: ([\w-]+))?\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
_WIDTH = "118"  # columns that the pages' output is made for


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
    for here, after in zip(found, [*found[1:], None], strict=True):
        if here[1] in ("sh", "python"):
            shows = after is not None and after[1] == "text" and not text[here.end() : after.start()].strip()
            output, place = (after[3], after.span(3)) if after and shows else (None, (0, 0))
            yield Block(here[1], here[2] or "", here[3], output, place)


def prepare(folder: Path) -> None:
    """Let a folder look like the project's, as far as the pages name its files."""
    for name in ("docs", "studies"):
        (folder / name).symlink_to(ROOT / name)


def run(command: str) -> str:
    """Run a command of a page in this process and return what it prints on standard output.

    `inceptory ...` is called, `python FILE ...` and others are started; a failure raises.
    """
    words = shlex.split(command, comments=True)
    if words[0] == "inceptory":
        return inceptory(words[1:])
    import subprocess

    if words[0] == "python":
        words[0] = sys.executable
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": _WIDTH}
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def inceptory(words: list[str]) -> str:
    """Call the command line in this process; return what it prints on standard output."""
    from rich.console import Console

    from inceptory import printing
    from inceptory.app import app

    out, err, kept = io.StringIO(), io.StringIO(), printing.out
    printing.out = Console(width=int(_WIDTH))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            app(words, standalone_mode=False)
    finally:
        printing.out = kept
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def execute(notebook: Path, folder: Path) -> object:
    """Execute a notebook in a folder, in a Python of its own, and return it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

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
        folder = Path(name)
        prepare(folder)
        if page.suffix == ".ipynb":
            import nbformat

            found = execute(page.resolve(), folder)
            for cell in found.cells:
                cell.metadata.pop("execution", None)  # the times of the execution: different each time
            nbformat.write(found, page)
            return
        text, found, back = page.read_text(), list(blocks(page)), Path.cwd()
        outputs = []
        os.chdir(folder)
        try:
            for block in found:
                ran = "" if block.how == "no-run" else "".join(output_of(block))
                outputs.append(ran)
        finally:
            os.chdir(back)
        for block, output in reversed(list(zip(found, outputs, strict=True))):
            if block.output is not None and block.how != "no-run":
                text = text[: block.place[0]] + output + text[block.place[1] :]
        page.write_text(text)


def output_of(block: Block) -> list[str]:
    """Run a block and return what each of its commands printed."""
    if block.language == "sh":
        return [run(command) for command in block.commands]
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(block.code, "page", "exec"), {"__name__": "page"})
    return [out.getvalue()]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        refresh(Path(name))
