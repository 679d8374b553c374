from __future__ import annotations

import html.parser
import math

import pandas as pd
import pytest

import arch
from reports.stats import best_supported
from reports.tables.escape import tex
from reports.tables.table import Spread, Table, decimals, macs_unit
from reports.tables.trace import trace


class Cells(html.parser.HTMLParser):
    """The cells of a table as (tag, text, data-value)."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[list[str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append([tag, "", dict(attrs).get("data-value")])

    def handle_data(self, data: str) -> None:
        if self.cells and data.strip():
            self.cells[-1][1] = f"{self.cells[-1][1]}{data}"


def cells(text: str) -> Cells:
    parser = Cells()
    parser.feed(text)
    return parser


@pytest.fixture
def table() -> Table:
    frame = pd.DataFrame(
        {
            "network": ["base", "a_b|<c>*", "one"],
            "accuracy (%)": [90.123, 91.5, 88.0],
            "sd": [0.5, 0.25, math.nan],
            "n": [6, 6, 1],
            "MACs (M)": [32.263, 29.3, None],
        }
    )
    return Table(
        "t",
        "100 % of it",
        frame,
        {"accuracy (%)": decimals(2), "MACs (M)": decimals(1)},
        ("n = 1",),
        spreads={"accuracy (%)": Spread("sd", "n")},
        bold=frozenset({(1, "accuracy (%)")}),
        sources=[("base",), ("trials/00001", "trials/00002"), ("trials/00003",)],
        column_sources={"MACs (M)": [("base",), ("spec.yaml",), ()]},
    )


def test_csv_holds_the_plain_numbers(table: Table) -> None:
    again = table.csv().splitlines()
    assert again[0] == "network,accuracy (%),sd,n,MACs (M)"
    assert again[1] == "base,90.123,0.5,6,32.263"
    assert again[3] == "one,88.0,,1,"


def test_a_mean_is_printed_with_its_spread_in_one_cell(table: Table) -> None:
    printed = table.printed()
    assert list(printed) == ["network", "accuracy (%) ± sd (n)", "MACs (M)"]
    assert printed["accuracy (%) ± sd (n)"].tolist() == ["90.12 ± 0.50 (6)", "91.50 ± 0.25 (6)", "88.00 (1)"]
    assert printed["MACs (M)"].tolist() == ["32.3", "29.3", "-"]


def test_markdown_bolds_what_the_table_says_and_escapes(table: Table) -> None:
    text = table.markdown()
    assert text.startswith("**100 % of it**")
    row = next(line for line in text.splitlines() if "91.50" in line)
    assert "**91.50 ± 0.25 (6)**" in row
    assert "a_b\\|&lt;c>\\*" in row
    assert "**90.12" not in text
    assert text.endswith("n = 1\n")
    assert Table("t", "", pd.DataFrame({"name": ["a\nb"]})).markdown().splitlines()[2] == "| a b    |"


def test_latex_is_booktabs_with_numbers_to_the_right(table: Table) -> None:
    text = table.latex()
    assert text.startswith("% needs \\usepackage{booktabs}\n\\begin{table}\n")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lrr}", r"100 \% of it", r"\label{tab:t}"):
        assert part in text
    assert r"a\_b\textbar{}$<$c$>$* & \textbf{91.50 $\pm$ 0.25 (6)} & 29.3 \\" in text
    assert "caption" not in Table("t", "", table.frame).latex()
    assert tex("50% & more_") == r"50\% \& more\_"


@pytest.mark.parametrize(("columns", "fits"), [(8, True), (9, False)])
def test_latex_of_many_columns_is_shrunk_to_the_page(columns: int, fits: bool) -> None:
    frame = pd.DataFrame([{f"column [{index}]": "a" if index == 0 else index for index in range(columns)}])
    text = Table("t", "Many", frame).latex()
    assert ("adjustbox" not in text) is fits
    if fits:
        return
    assert text.startswith("% needs \\usepackage{booktabs,adjustbox}\n\\begin{table*}\n\\caption{Many.}")
    assert "\\begin{adjustbox}{max width=\\linewidth}\n\\begin{tabular}{lrrrrrrrr}\n" in text
    assert text.endswith("\\end{tabular}\n\\end{adjustbox}\n\\end{table*}\n")
    assert r"\shortstack[l]{column\\{}[0]} & \shortstack[r]{column\\{}[1]} & " in text
    assert Table("t", "", frame).latex().splitlines()[1] == r"\begin{adjustbox}{max width=\linewidth}"


def test_html_is_a_table_that_sorts_by_plain_numbers(table: Table) -> None:
    text = table.html()
    found = cells(text)
    assert found.tags[:3] == ["table", "caption", "thead"]
    assert [tag for tag in found.tags if tag == "button"] == ["button"] * 3
    rows = [cell[1:] for cell in found.cells if cell[0] == "td"]
    assert rows[:3] == [["base", "base"], ["90.12 ± 0.50 (6)", "90.123"], ["32.3", "32.263"]]
    assert rows[3:5] == [["a_b|<c>*", "a_b|<c>*"], ["91.50 ± 0.25 (6)", "91.5"]]
    assert rows[8] == ["-", ""]
    assert "<c>" not in text
    assert "<strong>91.50 ± 0.25 (6)</strong>" in text
    assert text.count("<strong>") == 1
    assert text.count('<td class="number"') == 6
    assert "<caption>" not in table.html(caption=False)
    sneaky = Table('"x', "", pd.DataFrame({'"><script>': ['" onclick="x']})).html()
    assert cells(sneaky).tags == ["table", "thead", "tr", "th", "button", "tbody", "tr", "td"]


def test_nothing_is_bold_for_being_the_largest(table: Table) -> None:
    plain = Table("t", "c", table.frame)
    assert not any(mark in text for mark in ("strong", "textbf") for text in (plain.html(), plain.latex()))
    assert best_supported({"a": "better", "b": "inconclusive", "c": "worse"}, "base") == {"a"}
    assert best_supported({"a": "inconclusive", "b": "no verdict"}, "base") == set()
    assert best_supported({"a": "worse", "b": "worse"}, "base") == {"base"}
    assert best_supported({"a": "worse", "b": "no verdict"}, "base") == set()
    assert best_supported({}, "base") == set()


def test_macs_are_in_millions_or_thousand_millions() -> None:
    assert macs_unit([32e6, None]) == ("M", 1e-6)
    assert macs_unit([32e6, 1.58e9]) == ("G", 1e-9)
    assert macs_unit([]) == ("M", 1e-6)


def test_a_cell_is_traced_by_text_or_number_and_either_header(table: Table) -> None:
    found = trace([table], "t", "a_b|<c>*", "accuracy (%)")
    assert (found.cell, found.folders) == ("91.50 ± 0.25 (6)", ("trials/00001", "trials/00002"))
    assert trace([table], "t", "2", "accuracy (%) ± sd (n)") == found
    assert trace([table], "t", "2", "MACs (M)").folders == ("spec.yaml",)
    assert trace([table], "t", "base", "sd").folders == ("base",)


@pytest.mark.parametrize(
    ("name", "row", "column", "said"),
    [
        ("tt", "1", "n", "unknown table 'tt'. Did you mean t?"),
        ("t", "bas", "n", "unknown row 'bas'. Did you mean base"),
        ("t", "0", "n", "or by number, 1 to 3"),
        ("t", "4", "n", "or by number, 1 to 3"),
        ("t", "1", "MAC (M)", "unknown column 'MAC (M)'. Did you mean MACs (M)"),
    ],
)
def test_what_cannot_be_traced_is_told_with_near_names(
    table: Table, name: str, row: str, column: str, said: str
) -> None:
    with pytest.raises(arch.InputError) as error:
        trace([table], name, row, column)
    assert said in str(error.value)


def test_rows_of_the_same_text_are_named_by_number() -> None:
    table = Table("t", "", pd.DataFrame({"network": ["base", "base", "a"], "x": [1, 2, 3]}), sources=[("1",)] * 3)
    with pytest.raises(arch.InputError, match="2 rows begin with 'base'; name one by its number: 1, 2"):
        trace([table], "t", "base", "x")
    assert trace([table], "t", "2", "x").cell == "2"
    with pytest.raises(arch.InputError, match="does not say which"):
        trace([Table("t", "", table.frame)], "t", "a", "x")


def test_sources_are_held_to_the_rows() -> None:
    with pytest.raises(ValueError, match="1 sources, but 2 rows"):
        Table("t", "", pd.DataFrame({"x": [1, 2]}), sources=[("base",)])
