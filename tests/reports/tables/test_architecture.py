from __future__ import annotations

import re

import pytest

import arch
from reports.tables.architecture import architecture_table


def cells(text: str) -> list[list[str]]:
    """The lines of a tabular as lists of cells, a spanning cell as many times as it spans."""
    found = []
    for line in text.splitlines():
        if line.endswith(r"\\"):
            parts = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
            spans = [re.match(r" ?\\multicolumn\{(\d+)\}", part) for part in parts]
            found.append(
                [p.strip() for p, span in zip(parts, spans, strict=True) for _ in range(int(span[1]) if span else 1)]
            )
    return found


@pytest.mark.parametrize("name", arch.list_networks())
def test_every_line_has_a_cell_for_every_column_and_nothing_unescaped(name: str) -> None:
    text = architecture_table(arch.load(name))
    alignment = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert alignment
    assert {len(line) for line in cells(text)} == {len(alignment[1])}
    assert text.startswith("% needs \\usepackage{booktabs,adjustbox}\n\\begin{table*}\n")
    assert "\\begin{adjustbox}{max width=\\linewidth}\n\\begin{tabular}" in text
    assert "\\end{tabular}\n\\end{adjustbox}\n\\end{table*}" in text
    body = text.partition("\n")[2]
    assert not re.search(r"(?<!\\)[_#%](?! needs)", body)
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    assert body.count("$") % 2 == 0
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 2, 1]


def test_googlenet_as_table_1() -> None:
    """The columns of arXiv 1409.4842's Table 1; params are our counts, with biases."""
    lines = cells(architecture_table(arch.load("googlenet")))
    t = r"$\times$"
    assert lines[0][4:10] == [rf"\#{a}" for a in (f"1{t}1", f"3{t}3 reduce", f"3{t}3", f"5{t}5 reduce", f"5{t}5")] + [
        "pool proj"
    ]
    by_type = {line[0]: line[1:] for line in lines}
    assert by_type["convolution (conv1)"] == [f"7{t}7/2", f"112{t}112{t}64", "1", *[""] * 6, "9.5", "118"]
    assert by_type["max pool (pool1)"] == [f"3{t}3/2", f"56{t}56{t}64", *[""] * 9]
    assert by_type["convolution (conv2)"] == [
        f"3{t}3/1",
        f"56{t}56{t}192",
        "2",
        "",
        "64",
        "192",
        "",
        "",
        "",
        "115",
        "360",
    ]
    assert by_type["inception v1 (4e)"][2:] == ["2", "256", "160", "320", "32", "128", "128", "868", "170"]
    assert by_type["avg pool"][:2] == [f"7{t}7/1", f"1{t}1{t}1024"]
    assert by_type[r"dropout (40 \%)"][1:3] == [f"1{t}1{t}1024", ""]
    assert by_type["linear"] == ["", f"1{t}1{t}1000", "1", *[""] * 6, "1025", "1.0"]
    assert by_type["total"] == ["", "", "22", *[""] * 6, "6999", "1583"]


def test_other_blocks_show_their_arguments() -> None:
    """A stem among splits spans their columns; a network of other blocks has one column of arguments."""
    rows = [
        {"name": "the_stem", "block": "reduction_a", "k": 1, "l": 1, "m": 2, "n": 3},
        {"name": "a", "block": "inception_v3", "b1x1": 1, "b3x3": [2, 3], "b5x5": [4, 5], "pool": 7, "n": 7},
        {"name": "b1", "block": "inception_v1", "b1x1": 1, "b3x3": [2, 3], "b5x5": [4, 5], "pool": 7},
        {"name": "b2", "block": "inception_v1", "b1x1": 1, "b3x3": [2, 3], "b5x5": [4, 5], "pool": 7},
    ]
    spec = arch.from_mapping({
        "name": "n_1", "input": [3, 17, 17], "classes": 5, "rows": rows, "heads": {"final": {"head": "classifier"}},
    })  # fmt: skip
    text = architecture_table(spec)
    lines = {line[0]: line[1:] for line in cells(text)}
    assert lines[r"reduction a (the\_stem)"][3:9] == [r"\multicolumn{6}{l}{k 1, l 1, m 2, n 3}"] * 6
    assert lines["inception v3 (a), n 7"][3:9] == ["1", "2", "3", "4", "5", "7"]
    twice = lines[r"2$\times$ inception v1 (b1 to b2)"]  # two layers deep each
    weights = 16 * (1 + 2 + 4 + 7) + 2 * 3 * 9 + 4 * 5 * 25
    assert twice[2] == "4"
    assert twice[-2:] == [f"{2 * (weights + 2 * (1 + 2 + 3 + 4 + 5 + 7)) / 1000:.1f}", f"{2 * weights * 64 / 1e6:.1f}"]
    assert "sums of their figures" in text
    assert r"\label{tab:n-1}" in text
    v4 = cells(architecture_table(arch.load("inception_v4")))
    assert v4[0][4] == "arguments"
    assert r"4$\times$ inception v4 a (a1 to a4)" in {line[0] for line in v4}
