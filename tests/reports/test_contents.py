"""A new table and a new figure: one module, and no other edit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import reports
from reports.contents import KINDS, Contents, Item
from reports.figures.run_figures import run_figure
from reports.tables.run_tables import TABLES, RunTable, tables_of
from tests.support import RESULTS, ROOT

MODULE = '''
"""How many epochs each training had."""

from reports.figures.run_figures import run_figure
from reports.figures.style import axes_of
from reports.tables.run_tables import run_table
from reports.tables.table import Table


@run_table(order=35, of=("study",))
def lengths(run):
    """The epochs of each training."""
    counted = run.epochs.groupby("trial", sort=False).size().reset_index(name="epochs")
    return Table("lengths", f"{run.name}: how long each training was", counted, heads={"epochs": "epochs done"})


def bars(trainings, epochs, width):
    """A bar a training."""
    figure, axes = axes_of("epochs", "training", width)
    axes.barh(trainings, epochs)
    return figure


@run_figure("lengths", "How long each training was.", bars, order=45, of=("study",))
def counted(run, tables):
    """Return the trainings and their epochs."""
    frame = tables["lengths"].frame
    return frame["trial"].tolist(), frame["epochs"].tolist()
'''


def test_a_table_and_a_figure_of_one_new_module_are_in_the_report(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "reports", tmp_path / "code" / "reports", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "code" / "reports" / "figures" / "lengths.py").write_text(MODULE)
    place = tmp_path / "report"
    code = f"import sys; sys.path[:0] = [{str(tmp_path / 'code')!r}, {str(ROOT)!r}]\n"
    code += f"from reports.page.report import report; report({str(RESULTS / 'splits_cifar10')!r}, {str(place)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (place / "tables" / "lengths.csv").read_text().startswith("trial,epochs done\nbase,")
    assert (place / "figures" / "lengths.svg").exists()
    page = (place / "index.html").read_text()
    assert re.findall(r'<article id="table-(\w+)"', page)[:3] == ["trials", "lengths", "best"]
    figures = re.findall(r'<figure id="figure-(\w+)"', page)
    assert figures[figures.index("lengths") - 1 :][:3] == ["accuracy_against_params", "lengths", "search_progress"]


def test_what_is_added_stands_in_order_for_its_kinds_alone() -> None:
    contents: Contents[Item] = Contents()
    late, early = contents.add(Item(2, KINDS)), contents.add(Item(1, ("study",)))
    assert contents.for_kind("study") == [early, late]
    assert contents.for_kind("training") == [late]
    with pytest.raises(ValueError, match="of the kinds study, ablation, training, not studies"):
        contents.add(Item(3, ("studies",)))


def test_two_of_one_name_are_refused() -> None:
    run = reports.load(RESULTS / "googlenet_cifar_small")
    first = tables_of(run)[0]
    TABLES.add(RunTable(99, KINDS, lambda run: first))
    try:
        with pytest.raises(ValueError, match="summary: two tables have this name"):
            tables_of(run)
    finally:
        TABLES.items.pop()
    with pytest.raises(ValueError, match="learning_curves: there is a figure of this name"):
        run_figure("learning_curves", "", lambda: Figure(), order=1)(lambda run, tables: None)
