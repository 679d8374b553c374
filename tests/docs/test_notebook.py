"""What notebooks show, and the tutorial notebook itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

import arch
import reports
from search.engines.supervisor import TaskResults
from tests.support import ROOT
from tests.support.pages import execute


class Balanced(HTMLParser):
    """Holds that every element is closed, in order, and collects the text of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "br":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def test_a_spec_shows_its_rows_and_heads() -> None:
    shown = arch.load("googlenet")._repr_html_()
    cells = Balanced(shown).cells
    at = cells.index("4a")
    assert cells[at : at + 3] == ["4a", "inception_v1", "b1x1 192, b3x3 96>208, b5x5 16>48, pool 64"]
    assert cells[at + 3] == "aux 4a"
    assert "input 3x224x224, 1000 classes" in shown


def test_a_cost_shows_every_row_and_the_total() -> None:
    cost = arch.cost(arch.load("googlenet"))
    cells = Balanced(cost._repr_html_()).cells
    assert cells[cells.index("total") + 3] == "6,998,552"
    assert cells[cells.index("total") + 4] == "1,582,671,872"
    assert [c for c in cells if c.startswith("aux ")] == ["aux 4a", "aux 4d"]
    assert len(cells) == 6 * (1 + len(cost.rows) + 1 + len(cost.aux))


def test_everything_is_escaped_and_small() -> None:
    evil = "<script>alert('x')</script>&"
    spec = replace(arch.load("googlenet_cifar_tiny"), name=evil, source=evil)
    run = replace(reports.load(ROOT / "docs/results/splits_cifar10"), name=evil)
    run.trials.loc[0, "state"] = evil
    batch = TaskResults({evil: {"state": "failed", "reason": evil}}, 2)
    for shown in (spec._repr_html_(), run._repr_html_(), batch._repr_html_()):
        Balanced(shown)
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
    for network in arch.list_networks():
        spec = arch.load(network)
        assert len(spec._repr_html_()) + len(arch.cost(spec)._repr_html_()) < 40_000


def test_a_study_shows_the_base_and_the_best() -> None:
    run = reports.load(ROOT / "docs/results/splits_cifar10")
    cells = Balanced(run._repr_html_()).cells
    width = cells.index("base")
    best = run.ranked.iloc[0]
    assert cells[0] == "trial"
    assert cells[2 * width] == best["trial"]
    assert f"{best['val_accuracy']:.4g}" in cells[2 * width : 3 * width]
    empty = replace(run, trials=run.trials.iloc[:0])
    assert "nothing has ended yet" in empty._repr_html_()


def test_specs_and_costs_are_shown_without_pandas_or_torch() -> None:
    code = (
        "import sys, arch; spec = arch.load('googlenet'); spec._repr_html_(); arch.cost(spec)._repr_html_();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'reports')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_the_tutorial_runs_and_its_outputs_are_its_own(tmp_path: Path) -> None:
    """Executed from above; what a cell shows is committed, and what does not hang on a machine's rounding is the same."""
    page = ROOT / "docs" / "tutorial.ipynb"
    committed = [cell for cell in nbformat.read(page, as_version=4).cells if cell.cell_type == "code"]
    ran = [cell for cell in execute(page, tmp_path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in committed] == list(range(1, len(committed) + 1))
    for old, new in zip(committed, ran, strict=True):
        shown, made = ([(o.output_type, sorted(o.get("data", {}))) for o in cell.outputs] for cell in (old, new))
        assert shown == made
        assert all(output.output_type != "error" and output.get("name") != "stderr" for output in new.outputs)
    for number in (0, 1, 2, 3):  # the spec, its cost, the drawing, the edit
        assert committed[number].outputs[0].data == ran[number].outputs[0].data
    assert (tmp_path / "runs" / "tutorial" / "study.yaml").exists()
