from __future__ import annotations

from typing import Any

import arch
from arch.analysis.diff import differences

ROWS = [
    {"name": "stem", "block": "conv", "out": 8, "kernel": 3},
    {"name": "pool", "block": "max_pool", "kernel": 3, "padding": "same"},
    {"name": "last", "block": "conv", "out": 4, "kernel": 3},
]
HEADS = {"pool": {"head": "aux_small", "width": 16}, "final": {"head": "classifier"}}


def network(name: str, **changes: Any) -> arch.Spec:
    return arch.from_mapping(
        {"name": name, "input": [3, 8, 8], "classes": 5, "style": {"norm": "none"}, "rows": ROWS, "heads": HEADS}
        | changes
    )


def lines(**changes: Any) -> dict[str, dict[str, Any]]:
    return {line["row"]: line for line in differences(network("a"), network("b", **changes))}


def test_every_quantity_of_a_changed_row() -> None:
    """The last 3x3 on 8 channels of 4x4 becomes a 5x5 of 6 channels and stride 4: only its window at -2 is left."""
    found = lines(rows=[*ROWS[:2], {"name": "last", "block": "conv", "out": 6, "kernel": 5, "stride": 4}])
    weights = (8 * 4 * 9, 8 * 6 * 25)
    assert found["last"] == {
        "row": "last",
        "a": "conv out 4, kernel 3",
        "b": "conv out 6, kernel 5, stride 4",
        "params": weights[1] + 6 - weights[0] - 4,
        "MACs": weights[1] - 16 * weights[0],
        "activations": 6 - 64,
        "dead_weights": 8 * 6 * (25 - 9),  # rows and columns 0 and 1 see padding only
        "depth": 0,
        "peak_memory_bytes": 4 * ((128 + 6) - (128 + 64)),
        "output": "4x4x4 > 6x1x1",
        "receptive_field": "9x9 > 13x13",  # 3, then 5 and jump 2 behind the pool, then 2 (k - 1) more
    }
    assert found["stem"]["b"] == "="
    assert found["final"]["params"] == 5 * 2
    total = found["total without heads"]
    assert total["params"] == found["last"]["params"] + 10
    assert (total["dead_weights"], total["receptive_field"]) == (768, "9x9 > 13x13")
    assert total["peak_memory_bytes"] == 0  # the stem's 512 and the pool's 128 either way
    assert found["auxiliary heads"]["MACs"] == 0


def test_a_row_that_only_one_has_stands_in_its_place() -> None:
    more = {"name": "more", "block": "conv", "out": 8, "kernel": 1}
    found = lines(rows=[ROWS[0], more, *ROWS[1:]])
    assert list(found)[:5] == ["stem", "more", "pool", "last", "final"]
    line = found["more"]
    assert (line["a"], line["b"], line["output"]) == ("-", "conv out 8, kernel 1", "- > 8x8x8")
    assert (line["depth"], line["activations"], line["params"]) == (1, 512, 72)
    assert line["peak_memory_bytes"] is None
    assert found["total without heads"]["depth"] == 1
    back = {line["row"]: line for line in differences(network("b", rows=[ROWS[0], more, *ROWS[1:]]), network("a"))}
    assert (back["more"]["a"], back["more"]["MACs"]) == ("-", -4096)


def test_arguments_of_heads_and_styles_are_listed() -> None:
    found = lines(heads=HEADS | {"pool": {"head": "aux_small", "width": 32}})
    assert found["auxiliary heads"]["a"] == "pool: aux_small width 16"
    assert found["auxiliary heads"]["b"] == "pool: aux_small width 32"
    assert found["auxiliary heads"]["params"] == 8 * 16 + 16 + 16 * 5
    assert (
        lines(heads=HEADS | {"final": {"head": "classifier", "dropout": 0.5}})["final"]["b"] == "classifier dropout 0.5"
    )
    own = lines(rows=[ROWS[0] | {"style": {"norm": "batch"}}, *ROWS[1:]])
    assert own["stem"]["b"] == "conv out 8, kernel 3, style norm batch"
    assert own["stem"]["params"] == 16 - 8
    style = lines(style={"norm": "batch", "eps": 0.001})["style"]
    assert (style["a"], style["b"]) == ("norm none, eps 1e-05", "norm batch, eps 0.001")


def test_switches_are_listed_without_a_value() -> None:
    found = lines(rows=[ROWS[0] | {"style": {"bias": False}}, ROWS[1] | {"ceil": True}, ROWS[2]])
    assert found["stem"]["b"] == "conv out 8, kernel 3, style no bias"
    assert found["pool"]["b"] == "max_pool kernel 3, padding same, ceil"


def test_what_is_written_out_at_its_default_is_no_difference() -> None:
    heads = HEADS | {"pool": {"head": "aux_small", "width": 16, "pool": 2}}
    found = lines(rows=[ROWS[0] | {"stride": 1}, *ROWS[1:]], heads=heads)
    assert {line["b"] for line in found.values()} == {"="}
    assert "style" not in found


def test_another_order_input_and_number_of_classes_are_listed() -> None:
    found = lines(rows=[ROWS[1], ROWS[0], ROWS[2]], input=[3, 16, 16], classes=7)
    assert (found["order"]["a"], found["order"]["b"]) == ("stem, pool, last", "pool, stem, last")
    assert (found["input"]["b"], found["classes"]["b"]) == ("3x16x16", "7")
