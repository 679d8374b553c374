"""The ledger: the rule on made-up figures, the verdicts that the papers get, and that it notices a changed network."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

import arch
import arch.ledger.ledger
import arch.ledger.quantity
from arch.analysis.cost import NetworkCost, count, weights
from arch.analysis.layers import layers
from arch.analysis.shapes import place_network
from arch.errors import InputError
from arch.ledger.ledger import Line, ledger, paper_layout, papers, summary
from arch.ledger.quantity import MEASURES, quantity
from arch.ledger.verdict import Verdict, ratio, read, shape_of, verdict
from arch.specs.edit import with_args
from tests.support.commands import here as run

KEYS = ["paper", "table", "row", "quantity", "printed", "exact", "ratio", "verdict", "reason"]


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return ledger()


def _find(lines: list[Line], paper: str, table: str, row: str, figure: str) -> Line:
    (line,) = [
        line for line in lines if (line.paper, line.table, line.row, line.quantity) == (paper, table, row, figure)
    ]
    return line


@pytest.mark.parametrize(
    ("printed", "exact", "options", "expected"),
    [
        ("96", 96, {}, "agrees"),
        ("6,150,062", 6_150_062, {}, "agrees"),
        ("<25 million", 23_834_568, {"kind": "claim"}, "agrees"),
        ("<25 million", 27_161_264, {"kind": "claim"}, "unreproducible"),
        ("128M", 128_049_152, {}, "agrees by rounding"),
        ("119M", 118_500_000, {}, "agrees by rounding"),
        ("118M", 118_500_000, {}, "agrees by rounding"),
        ("1.5", 1_498_677_248, {"unit": "Bn"}, "agrees by rounding"),
        ("about +30%", Fraction("1.3002"), {"kind": "claim"}, "agrees by rounding"),
        ("+25%", Fraction("1.3002"), {"kind": "claim"}, "unreproducible"),
        ("+9 layers", 9, {"kind": "claim"}, "agrees"),
        ("1/20 of it", Fraction(1, 19), {"kind": "claim"}, "unreproducible"),
        ("1/20 of it", Fraction(10, 198), {"kind": "claim"}, "agrees by rounding"),
        ("13.6e6", 13_649_999, {"kind": "claim"}, "agrees by rounding"),
        ("13.6e6", 13_650_001, {"kind": "claim"}, "unreproducible"),
        ("roughly another", Fraction("1.1"), {"kind": "claim"}, "agrees by rounding"),
        ("matches another", Fraction("0.89"), {"kind": "claim"}, "unreproducible"),
        ("73M", 73_608_192, {}, "agrees by truncation"),
        ("73M", 73_608_192, {"kind": "claim"}, "unreproducible"),
        ("1.5 billion", 1_582_671_872, {"kind": "claim"}, "unreproducible"),
        ("112K", 114_688, {"thousand": 1024}, "convention (K = 1024)"),
        ("159K", 163_328 + 100, {"thousand": 1024}, "convention (K = 1024)"),
        ("112K", 114_688, {}, "misprint"),
        ("23.46", 24_600_248, {"unit": "MB", "thousand": 1024}, "convention (K = 1024)"),
        ("98K", 100_000, {}, "unreproducible"),
        ("98K", 100_001, {}, "misprint"),
        ("102K", 100_000, {}, "unreproducible"),
        ("103K", 100_000, {}, "misprint"),
        ("1154", 1152, {}, "misprint"),
        ("42", 48, {"kind": "claim"}, "unreproducible"),
        ("42", 84, {"kind": "claim"}, "unreproducible"),
        ("42", 85, {"kind": "claim"}, "misprint"),
        ("42", 20, {"kind": "claim"}, "misprint"),
        ("<25 million", 50_000_001, {"kind": "claim"}, "misprint"),
        ("<25 million", 25_000_000, {"kind": "claim"}, "unreproducible"),
        ("1K", 0, {}, "misprint"),
        ("3.8", None, {"unit": "Bn"}, "unreproducible"),
    ],
)
def test_the_rule_on_numbers(printed: str, exact: Any, options: dict[str, Any], expected: str) -> None:
    value = None if exact is None else Fraction(exact)
    assert verdict(printed, value, **options) == expected
    if value is not None:
        assert verdict(printed, value, value, **options) == expected
        assert verdict(printed, value, value + 1, **options) == "ours differs"


def test_the_rule_on_shapes() -> None:
    assert verdict("28x28x256", (28, 28, 256)) == "agrees"
    assert verdict("[3, 256, 28, 28]", (28, 28, 256)) == "agrees"
    assert verdict("[batch, 256, 28, 28]", (28, 28, 256)) == "agrees"
    assert verdict("N x 256 x 28 x 28", (28, 28, 256)) == "agrees"
    assert verdict("[32, 1000]", (1, 1, 1000)) == verdict("N x 1000", (1, 1, 1000)) == "agrees"
    assert verdict("28x28x576", (14, 14, 576)) == "misprint"
    assert verdict("28x28x576", (14, 14, 576), kind="claim") == "unreproducible"
    assert verdict("28x28x256", (28, 28, 256), (28, 28, 255)) == "ours differs"


@given(st.integers(1, 10**12), st.integers(0, 3), st.sampled_from(["K", "M"]), st.sampled_from([1000, 1024]))
def test_what_is_rounded_or_cut_agrees_and_the_next_digit_does_not(exact: int, places: int, unit: str, k: Any) -> None:
    digits = Fraction(exact, k ** (1 if unit == "K" else 2)) * 10**places
    cut, rounded = int(digits), int(digits + Fraction(1, 2))

    def judged(last: int) -> Verdict:
        whole, part = divmod(last, 10**places)
        return verdict(
            f"{whole}" + (f".{part:0{places}d}" if places else "") + unit, Fraction(exact), thousand=k, kind="table"
        )

    assert judged(cut).agreeing
    assert judged(rounded).agreeing
    # In the other K the same digits may stand for the exact value too; without it two steps off never agree.
    if k == 1000:
        assert not judged(cut + 2).agreeing
        assert cut == 0 or not judged(cut - 1).agreeing


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("2.7K", "", 2700),
        ("1,388K", "", 1_388_000),
        ("<25 million", "", 25_000_000),
        ("12x fewer", "", 12),
        ("about 2.5x", "", Fraction(5, 2)),
        ("+25%", "", Fraction(5, 4)),
        ("1/20 of VGG", "", Fraction(1, 20)),
        ("4.8", "Bn", 4_800_000_000),
        ("22 layers", "", 22),
        ("6 millions", "", 6_000_000),
    ],
)
def test_reading_what_is_printed(text: str, unit: str, value: Any) -> None:
    assert read(text, unit).value() == value


@pytest.mark.parametrize("text", ["", "many", "28x28x256", "1.2.3", "K"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a printed number"):
        read(text)


def test_ratios() -> None:
    assert ratio("2.7K", Fraction(9408), thousand=1024) == 3.4028
    assert ratio("34M", Fraction(118_013_952)) == 3.471
    assert ratio("0", Fraction(0)) is None
    assert ratio("28x28x256", (28, 28, 256)) is None
    assert shape_of("96") is None


def test_our_counts_are_the_exact_values(lines: list[Line]) -> None:
    assert [line for line in lines if line.ours is not None and line.ours != line.exact] == []
    assert {(line.paper, line.table, line.row) for line in lines if line.ours is None} == {
        ("googlenet", "Table 1", "softmax"),
        ("inception_v3", "Table 3", "Inception-v2"),
        ("inception_v3", "Table 3", "Inception-v2 RMSProp"),
        ("inception_v3", "Table 3", "Inception-v2 Label Smoothing"),
        ("tutorials", "000, listing", "total"),
        ("tutorials", "002, comments", "output"),
        ("tutorials", "003, listing", "total"),
    }


def test_table_1_of_googlenet(lines: list[Line]) -> None:
    table = [line for line in lines if (line.paper, line.table) == ("googlenet", "Table 1")]
    by_verdict = {
        wanted: {(line.row, line.quantity) for line in table if line.verdict == wanted and line.quantity in COSTS}
        for wanted in Verdict
    }
    rows = {row for row, _ in by_verdict["agrees by rounding"]}
    assert by_verdict["misprint"] == {*((r, q) for r in ("conv1", "5a") for q in COSTS), ("4c", "params")}
    assert by_verdict["convention (K = 1024)"] == {(row, "params") for row in ("conv2", "3a", "linear")}
    assert by_verdict["unreproducible"] == {(row, "params") for row in ("3b", "4a", "4b", "4d", "4e", "5b")}
    assert by_verdict["agrees by truncation"] == {("4a", "ops")}
    assert rows == {"conv2", "3a", "3b", "4b", "4c", "4d", "4e", "5b", "linear"}
    assert {line.verdict for line in table if line.quantity not in COSTS} == {Verdict.AGREES}


COSTS = ("params", "ops")
FLOPS = "1.5 billion floating-point operations"


@pytest.mark.parametrize("thousandths", [19, 20, 49, 50])
def test_the_threshold_may_be_anything_from_2_to_5_per_cent(
    thousandths: int, monkeypatch: pytest.MonkeyPatch, lines: list[Line]
) -> None:
    monkeypatch.setattr("arch.ledger.verdict.MISPRINT", Fraction(thousandths, 1000))
    assert [line.verdict for line in ledger()] == [line.verdict for line in lines]


def test_misprints_and_claims_of_the_later_papers(lines: list[Line]) -> None:
    later = [line for line in lines if line.paper != "googlenet"]
    assert {(line.row, line.printed, line.quantity) for line in later if line.verdict is Verdict.MISPRINT} == {
        ("3c", "28x28x576", "output size"),
        ("4c", "14x14x576", "output size"),
        ("4d", "14x14x576", "output size"),
        ("4e", "14x14x1024", "output size"),
        ("B", "1154", "linear"),
        ("C", "2048", "linear"),
        ("B", "1x7", "second kernel of 7x7"),
        ("aux 1 1x1", "[batch, 128, 4, 4]", "output"),
        ("Inception v1, against VGGNet", "1/3 of VGGNet", "params"),
    }
    doubtful = Counter(line.printed for line in lines if line.verdict is Verdict.UNREPRODUCIBLE)
    for printed in ("13.6e6", "+25%", "5 billion", "42 layers", "12x fewer", "about 2.5x", "2.0", "5 million", FLOPS):
        assert doubtful[printed] == 1, printed
    assert (doubtful["3.8"], doubtful["4.8"]) == (3, 2)
    agreeing = {line.printed: line.verdict.value for line in lines if line.verdict.agreeing}
    assert agreeing["<25 million"] == "agrees"
    assert agreeing["about +30%"] == "agrees by rounding"
    assert agreeing["1/20 of VGG"] == "agrees by rounding"
    assert agreeing["6,150,062"] == agreeing["7,012,472"] == "agrees"


def test_every_reason_is_there_where_it_does_not_agree(lines: list[Line]) -> None:
    for line in lines:
        assert line.reason, line
        if not line.verdict.agreeing:
            assert len(line.reason) > 40
            assert line.reason.endswith(".")
        assert "{" not in line.reason


@pytest.mark.parametrize(
    ("paper", "table", "row", "figure", "numbers"),
    [
        ("googlenet", "Table 1", "conv1", "params", [7 * 7 * 3 * 8 + 24 * 64, 9_408]),
        ("googlenet", "Table 1", "conv1", "ops", [(7 * 7 * 3 * 8 + 24 * 64) * 112**2]),
        ("googlenet", "Table 1", "3b", "params", [388_096, 388_736]),
        ("tutorials", "004, text", "Inception v1", "ops", [2 * 1_498_677_248, 2 * 1_582_671_872, 1_498_677_248]),
        ("googlenet", "text", "network", "ops", [1_498_677_248, 1_582_671_872]),
        ("bn_inception", "Figure 5", "4c", "output size", [160 + 160 + 160 + 128, 576]),
        ("bn_inception", "Figure 5", "4d", "output size", [96 + 192 + 192 + 128, 576]),
        ("inception_v3", "Table 3", "Inception-v2 BN-auxiliary", "Bn ops", [5_713_216_096, 6_045_493_856]),
        ("inception_v4", "text", "Inception-ResNet-v2", "ops", [9_257_953_632, 13_155_794_016]),
        ("tutorials", "004, text", "Inception v1", "params", [6_990_272, 6_624_904, 5_977_530]),
    ],
)
def test_alternatives_in_the_reasons(
    paper: str, table: str, row: str, figure: str, numbers: list[int], lines: list[Line]
) -> None:
    reason = _find(lines, paper, table, row, figure).reason
    for number in numbers:
        assert f"{number:,}" in reason


def test_a_doubtful_figure_says_which_reading_agrees(lines: list[Line]) -> None:
    for paper, table, row, figure in (
        ("googlenet", "Table 1", "3b", "params"),
        ("inception_v3", "Table 3", "BN-Inception", "Bn ops"),
        ("inception_v4", "text", "Inception-ResNet-v2", "ops"),
        ("tutorials", "004, text", "Inception v1", "ops"),
    ):
        line = _find(lines, paper, table, row, figure)
        assert line.verdict is Verdict.UNREPRODUCIBLE
        assert line.reason.startswith("Under this reading")


def test_what_was_read_in_code_says_so_and_is_counted_apart(lines: list[Line]) -> None:
    code = [line for line in lines if line.source == "released code"]
    assert len(code) == 97
    assert {line.paper for line in code} == {"inception_v4"}
    assert {line.reason for line in code} == {"as released code has it; the figure itself was not read"}
    assert summary(lines).endswith("; of them 97 read in released code, not in print.")
    assert summary(ledger("googlenet")).startswith("130 figures: 104 agrees, ")
    assert "code" not in summary(ledger("googlenet"))


def _listed(network: str, wrapped: bool) -> int:
    """Return the outputs that torchsummary lists, of a convolution's wrapper too where it is in a module with its norm."""
    left_out = ("Flatten", "Dropout")
    found = [layer for layer in layers(arch.load(network)) if layer.kind not in left_out]
    again = [layer for layer in found if wrapped and layer.kind == "Conv2d"]
    return sum(math.prod(layer.output) for layer in [*found, *again])


def test_the_sizes_of_the_listings(lines: list[Line]) -> None:
    """000 wraps convolution, norm and ReLU in a module; 003's stem has no ReLU modules. Both list a dropout."""
    stem = [layer for layer in layers(arch.load("googlenet_bn_blocks")) if layer.name.startswith("rows.conv")]
    outputs = {
        "000": _listed("googlenet_bn_cifar32", wrapped=True) + 1024 + 2 * 10,  # and the modules of both heads
        "003": _listed("googlenet_bn_blocks", wrapped=False)
        + 1024
        - sum(math.prod(layer.output) for layer in stem if layer.kind == "ReLU"),
    }
    for tutorial, listed in outputs.items():
        of = {line.quantity: line.exact for line in lines if line.table == f"{tutorial}, listing"}
        sizes = [of[f"{what} size (MB)"] for what in ("input", "forward/backward pass", "params", "estimated total")]
        assert sizes[1] == 8 * listed
        assert sizes[3] == sum(sizes[:3])  # type: ignore[arg-type]


def test_numbers_typed_into_reasons(lines: list[Line]) -> None:
    """What no shipped network gives: BN-Inception with a full first layer, other networks' totals, quotients."""
    reasons = {
        name: _find(lines, "bn_inception", "text", row, figure).reason
        for name, row, figure in (
            ("params", "network", "params"),
            ("more", "against GoogLeNet", "params"),
            ("ops", "against GoogLeNet", "ops"),
        )
    }
    for name, more in (("bn_inception_printed", "+61 %"), ("bn_inception", "+60 %")):
        total = _with_full_conv1(name)
        assert f"{total.params:,}" in reasons["params"]
        assert more in reasons["more"]
        quotient = quantity(f"{name}/params over googlenet_separable/params")
        assert f"+{100 * (float(quotient) - 1):.0f} %" == more  # type: ignore[arg-type]
    assert f"{float(quantity('bn_inception_printed/macs over googlenet_separable/macs')):.4f}" in reasons["ops"]  # type: ignore[arg-type]
    bn = _find(lines, "inception_v3", "Table 3", "BN-Inception", "Bn ops").reason
    assert f"{_with_full_conv1('bn_inception_printed').macs:,}" in bn
    for row in ("4a", "4d", "4e", "5b"):
        line = _find(lines, "googlenet", "Table 1", row, "params")
        assert line.ratio is not None
        assert f"{100 * (1 - 1 / line.ratio):.1f} % lower" in line.reason
    assert round(1072 * 1024 * 49 / 1e6, 1) == 53.8


def _with_full_conv1(name: str) -> NetworkCost:
    mapping = arch.to_mapping(arch.load(name))
    mapping["rows"][0] = {"name": "conv1", "block": "conv", "out": 64, "kernel": 7, "stride": 2}
    return arch.cost(arch.from_mapping(mapping))


def test_the_totals_of_other_networks() -> None:
    with torch.device("meta"):
        counts = {
            name: sum(part.numel() for part in torchvision.models.get_model(name, weights=None).parameters())
            for name in ("alexnet", "vgg16")
        }
    texts = [path.read_text() for path in sorted(arch.ledger.ledger.PUBLISHED.glob("*.yaml"))]
    for name in counts:
        assert any(str(counts[name]) in text for text in texts), name
    assert counts == {"alexnet": 61_100_840, "vgg16": 138_357_544}


def test_a_changed_network_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from inceptory import ledger as papers

    load = arch.load

    def changed(network: str) -> arch.Spec:
        spec = load(network)
        return with_args(spec, "4b", {"pool": 65}) if network == "googlenet" else spec

    monkeypatch.setattr(arch.ledger.quantity, "load", changed)
    wrong = {(line.row, line.quantity) for line in ledger("googlenet") if line.verdict is Verdict.OURS}
    assert {("4b", "pool proj"), ("4b", "output size"), ("4b", "params"), ("4b", "ops"), ("4c", "params")} <= wrong
    assert not {row for row, _ in wrong} & {"conv1", "3a", "4a", "4d", "5a"}
    with pytest.raises(typer.Exit) as left:
        papers.ledger("googlenet", papers.Layout.lines, papers.Format.json, doubtful=False)
    assert left.value.exit_code == 1
    captured = capsys.readouterr()
    assert "ours differs" in captured.out
    line = next(r for r in json.loads(captured.out) if (r["row"], r["quantity"]) == ("4b", "pool proj"))
    assert line["reason"] == "our count is 65, the exact value 64"


def test_the_command_line() -> None:
    done = run("ledger", "--format", "json")
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert all(list(record) == KEYS for record in records)
    assert {record["paper"] for record in records} == set(papers())
    assert len(records) == len({tuple(record[key] for key in KEYS[:4]) for record in records})
    assert records == [line.record() for line in ledger()]
    table = run("ledger", "1409.4842").stdout
    assert "misprint" in table
    assert "fvcore" in table
    assert "batch norm" in table
    rows = list(csv.DictReader(io.StringIO(run("ledger", "googlenet", "--format", "csv").stdout)))
    assert [row["verdict"] for row in rows] == [line.verdict.value for line in ledger("googlenet")]
    assert next(row["exact"] for row in rows if (row["row"], row["quantity"]) == ("conv1", "params")) == "9408"
    for kind in ("md", "latex"):
        text = run("ledger", "googlenet", "--format", kind).stdout
        assert "fvcore" in text
        assert "2,712" in text
        assert "| paper" not in text


def test_the_table_leaves_out_what_goes_without_saying() -> None:
    table = run("ledger", "inception_resnet_v1").stdout
    assert table.split("\n")[2].split()[:2] == ["table", "row"]
    assert "the exact value" not in table
    assert "26 read in released code" in " ".join(table.split())
    assert run("ledger").stdout.split("\n")[2].split()[:2] == ["paper", "table"]
    plain = json.loads(run("ledger", "inception_resnet_v1", "--format", "json").stdout)
    assert {record["paper"] for record in plain} == {"inception_v4"}
    assert all(record["reason"] for record in plain)


def test_only_what_is_doubtful() -> None:
    doubtful = json.loads(run("ledger", "--doubtful", "--format", "json").stdout)
    assert doubtful == [line.record() for line in ledger() if not line.verdict.agreeing]
    assert {record["verdict"] for record in doubtful} == {"misprint", "unreproducible"}
    for kind in ("table", "json", "csv", "md", "latex"):
        assert run("ledger", "inception_resnet_v1", "--doubtful", "--format", kind).returncode == 0


def test_latex_goes_on_over_pages() -> None:
    text = run("ledger", "googlenet", "--format", "latex").stdout
    assert text.startswith("% needs \\usepackage{booktabs,longtable}\n\\begin{longtable}{lllllllp{6cm}}\n")
    assert text.count("\\label{tab:ledger-googlenet}") == 1
    assert "`" not in text
    assert text.count("fvcore") == text.split("\\end{longtable}")[1].count("fvcore")
    paper = run("ledger", "googlenet", "--layout", "paper", "--format", "latex").stdout
    assert "\\label{tab:ledger-googlenet-table-1}" in paper
    assert paper.startswith("% needs \\usepackage{booktabs,adjustbox}\n\\begin{table*}\n")
    assert "\\begin{adjustbox}{max width=\\linewidth}\n\\begin{tabular}{llllllllllllrrr}\n" in paper


@pytest.mark.parametrize(
    ("args", "fragment"),
    [
        (["ledger", "gogglenet"], "Did you mean googlenet"),
        (["ledger", "googlenet_bn"], "is a shipped network without printed figures in the ledger"),
        (["ledger", "inception_v4", "--layout", "paper"], "Table 1"),
        (["ledger", "--layout", "paper", "--doubtful"], "not with --doubtful"),
    ],
)
def test_wrong_input(args: list[str], fragment: str) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert fragment in " ".join(done.stderr.split())


def test_by_network_and_by_number() -> None:
    assert ledger("1602.07261") == ledger("inception_v4")
    resnet = ledger("inception_resnet_v1")
    assert {line.paper for line in resnet} == {"inception_v4"}
    assert {line.table for line in resnet} == {"Table 1", "figures 10 to 15", "text"}
    assert {line.networks for line in resnet} == {
        ("inception_resnet_v1",),
        ("inception_resnet_v1", "inception_v3"),
    }
    assert {line.paper for line in ledger("googlenet")} == {"googlenet"}


def test_the_papers_layout() -> None:
    rows = paper_layout()
    assert list(rows[0])[:4] == ["type", "patch size/stride", "output size", "depth"]
    assert list(rows[0])[-5:] == ["params", "ops", "exact weights", "exact params", "exact MACs"]
    by_type = {row["type"]: row for row in rows}
    assert by_type["inception (3a)"] == {
        "type": "inception (3a)",
        "patch size/stride": None,
        "output size": "28x28x256",
        "depth": "2",
        "1x1": "64",
        "3x3 reduce": "96",
        "3x3": "128",
        "5x5 reduce": "16",
        "5x5": "32",
        "pool proj": "32",
        "params": "159K",
        "ops": "128M",
        "exact weights": 163_328,
        "exact params": 163_696,
        "exact MACs": 128_049_152,
    }
    assert by_type["max pool"]["exact MACs"] is None
    total = rows[-1]
    assert (total["params"], total["ops"]) == ("6797.7K", "1502M")
    assert (total["exact weights"], total["exact params"], total["exact MACs"]) == (6_990_272, 6_998_552, 1_582_671_872)
    printed = json.loads(run("ledger", "googlenet", "--layout", "paper", "--format", "json").stdout)
    assert printed == rows
    assert len(printed) == 20


@pytest.mark.parametrize("name", arch.list_networks())
def test_weights_are_what_is_left_of_the_parameters(name: str) -> None:
    """A weight is a parameter and works at least once; a row without weights has no parameters."""
    for part in place_network(arch.load(name)).rows:
        params, macs, _ = count(part)
        assert 0 <= weights(part) <= params
        assert weights(part) <= macs
        assert (weights(part) == 0) == (params == 0)


def test_weights_by_hand() -> None:
    assert quantity("googlenet/conv1/weights") == 7 * 7 * 3 * 64
    assert quantity("googlenet_separable/conv1/weights") == 7 * 7 * 3 * 8 + 24 * 64
    assert quantity("googlenet/final/linear/weights") == 1024 * 1000
    assert quantity("googlenet/weights") == 6_990_272


def test_depths_by_hand() -> None:
    assert quantity("googlenet/depth") == 1 + 2 + 9 * 2 + 1
    assert quantity("googlenet/layers") == 22 + 4 + 1
    assert quantity("googlenet_separable/depth") == 22
    assert quantity("inception_v3/depth") == 47 + 1
    assert quantity("bn_inception_printed/depth") == 1 + 2 + 10 * 3 + 1
    assert quantity("inception_resnet_v1/a1/depth") == 4


def test_quantities() -> None:
    assert quantity("googlenet/all/params") == 13_378_280
    assert quantity("googlenet/aux/macs") == 8_372_224
    assert quantity("googlenet/aux/4a/linear/width") == 1024
    assert quantity("googlenet/3b/output") == (28, 28, 480)
    assert quantity("googlenet/3b/grid") == (28, 28)
    assert quantity("googlenet/3b/input") == (28, 28, 256)
    assert quantity("4 times googlenet/params") == 4 * 6_998_552
    assert quantity("googlenet/conv1/inputs") == 3 * 224 * 224
    assert quantity("inception_v4/b1/b7x7/conv7x1/kernel") == (7, 1)


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        ("goglenet/params", "Did you mean googlenet"),
        ("googlenet/3z/params", "no part '3z'.*3a"),
        ("googlenet/3a/b4x4/width", "no part 'b4x4'.*b3x3"),
        ("googlenet/3a/parms", "Did you mean params"),
        ("googlenet", "no measure"),
        ("googlenet/output", "name a row"),
        ("googlenet/3a/kernel", "no kernel"),
        ("googlenet/params by googlenet/macs", "over"),
        ("googlenet/3a/output over googlenet/macs", "joins shapes"),
    ],
)
def test_wrong_paths_say_what_there_is(path: str, fragment: str) -> None:
    with pytest.raises(InputError, match=fragment):
        quantity(path)


def test_every_measure_is_used(lines: list[Line]) -> None:
    texts = "".join(path.read_text() for path in arch.ledger.ledger.PUBLISHED.glob("*.yaml"))
    assert [measure for measure in MEASURES if measure not in texts] == []


FILE = """
title: A paper
tables:
  - table: Table 1
    kind: table
    network: googlenet
    columns: {ops: {measure: macs}}
    rows:
      - {row: 3a, printed: {ops: 128M}, exact: {ops: 128049152}}
"""


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ("title: A paper", "title: A paper\ntitel: x", "Did you mean title"),
        ("ops: 128049152", "opps: 128049152", "the same figures"),
        ("exact: {ops: 128049152}", "exact: {ops: 128049152}, reasons: {params: low}", "not among the printed"),
        ("ops: 128M}", "ops: 128}", "string"),
        ("ops: 128M", "ops: many", "row 3a, ops: 'many' is not a printed number"),
        ("128049152", "1.28e8x", "row 3a, ops: '1.28e8x' is not an exact value"),
        ("row: 3a", "row: 3z", "row 3z, ops: 'googlenet/3z/macs'"),
        ("network: googlenet", "network: goglenet", "there is no network 'goglenet'"),
    ],
)
def test_a_wrong_file_says_where(
    old: str, new: str, fragment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arch.ledger.ledger, "PUBLISHED", tmp_path)
    (tmp_path / "mine.yaml").write_text(FILE)
    assert [line.verdict for line in ledger()] == [Verdict.ROUNDING]
    assert old in FILE
    (tmp_path / "mine.yaml").write_text(FILE.replace(old, new))
    with pytest.raises(InputError, match=fragment) as error:
        ledger()
    assert "mine.yaml" in str(error.value)
