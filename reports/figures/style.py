"""How figures look, fit and are written: style, sizes, colours, long names, footnotes, SVG and PNG."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from search.record.files import replace_file

# Okabe and Ito's palette, which colour-blind readers can distinguish; every colour goes with a marker of its own.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#888888"
PURPLE, YELLOW, SKY, BLACK = "#CC79A7", "#E69F00", "#56B4E9", "#1C1E21"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
VERDICTS = {"better": (GREEN, "^"), "worse": (ORANGE, "v"), "inconclusive": (GREY, "o"), "no verdict": (GREY, "x")}
DASHES = ("-", "--", ":", "-.")
TEXT, COLUMN = 6.0, 3.3  # inches: the text width of most papers, and a column of two
_NARROW = 4.5  # inches below which parts of a figure stand below one another
_STYLE: Any = {
    "font.size": 9,
    "legend.fontsize": 8,
    "axes.titlesize": 9,
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "svg.fonttype": "path",
    "svg.hashsalt": "inceptory",
}


def look(index: int) -> tuple[str, str, str]:
    """Return colour, marker and dash of the series of that number; 28 differ, then they repeat."""
    turn, place = divmod(index, len(PALETTE))
    return PALETTE[place], MARKERS[(place + turn) % len(MARKERS)], DASHES[turn % len(DASHES)]


def narrow(width: float) -> bool:
    """Return whether a figure is for one column of two."""
    return width < _NARROW


def style(width: float) -> Any:
    """Return a context in which figures of that width are made: in one column of two, letters are smaller."""
    small: Any = {"font.size": letters(width), "legend.fontsize": 7, "axes.titlesize": letters(width)}
    return matplotlib.rc_context(_STYLE | small if narrow(width) else _STYLE)


def letters(width: float) -> float:
    """Return how large the letters of a figure of that width are, in points."""
    return 7.5 if narrow(width) else 9.0


def figure_of(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches, laid out so that nothing is clipped."""
    with style(width):
        return Figure(figsize=(width, height), layout="constrained")


def axes_of(x: str, y: str, width: float = TEXT, height: float | None = None) -> tuple[Figure, Any]:
    """Return a figure with one pair of axes, labelled; `height` is that of a landscape unless given."""
    figure = figure_of(width, height or (0.68 if narrow(width) else 0.55) * width)
    axes = panels(figure, 1, 1)[0][0]
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def panels(figure: Figure, rows: int, columns: int, **more: Any) -> Any:
    """Return a grid of axes in the house style, as rows of columns."""
    with style(figure.get_figwidth()):
        return figure.subplots(rows, columns, squeeze=False, **more)


def legend(figure: Figure, axes: Any, most: int = 4) -> None:
    """Put the legend of some axes above the plot, in as many columns as the width carries; the figure grows by it."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    width = figure.get_figwidth()
    letters = (17 if narrow(width) else 14.5) * width
    columns = max(1, min(most, len(labels), int(letters / (max(map(len, labels)) + 7))))
    with style(width):
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.2, handletextpad=0.5)
    figure.set_figheight(figure.get_figheight() + 0.16 * math.ceil(len(labels) / columns))


def shortened(name: str, most: int) -> str:
    """Return a name of at most so many letters: its middle goes, as names differ at their ends."""
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[len(name) - end :]}"


def whole_numbers(axis: Any) -> None:
    """Let an axis have ticks at integers only."""
    axis.get_major_locator().set_params(integer=True)


def footnote(figure: Figure, notes: Sequence[str]) -> None:
    """Put the lines of n, seeds, data, recipe and hardware under a figure, as wide as it is."""
    text = " ".join(notes).removeprefix("Protocol: ").replace(" Hardware: ", " ")
    lines = textwrap.wrap(text, int(22 * figure.get_figwidth()))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=5.5, color=GREY)
    figure.set_figheight(figure.get_figheight() + 0.085 * len(lines))


def write(figure: Figure, folder: Path, name: str) -> None:
    """Write `NAME.svg` and `NAME.png` (200 dots an inch)."""
    with matplotlib.rc_context(_STYLE):
        formats: dict[str, dict[str, Any]] = {"svg": {"metadata": {"Date": None}}, "png": {"dpi": 200}}
        for ending, options in formats.items():
            save = partial(figure.savefig, format=ending, **options)
            replace_file(folder / f"{name}.{ending}", save)


def svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG element."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
