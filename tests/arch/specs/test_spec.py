from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings

import arch
from arch.files.safe_yaml import parse_yaml
from tests.support import MICRO
from tests.support.specs import specs

pytestmark = pytest.mark.usefixtures("nested_block")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(specs())
def test_yaml_round_trips(spec: arch.Spec) -> None:
    again = arch.from_mapping(parse_yaml(arch.to_yaml(spec), "text"))
    assert again == spec
    assert again.id == spec.id
    assert arch.to_yaml(again) == arch.to_yaml(spec)


@pytest.mark.parametrize("name", arch.list_networks())
def test_shipped_files_round_trip(name: str) -> None:
    spec = arch.load(name)
    assert spec.name == name
    assert spec.source
    assert arch.from_mapping(parse_yaml(arch.to_yaml(spec), name)) == spec


def test_hash_is_the_same_in_another_process_and_key_order() -> None:
    spec = arch.load(MICRO)
    code = f"import arch; print(arch.load({str(MICRO)!r}).id, arch.load({str(MICRO)!r}).fingerprint)"
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
    )
    assert other.stdout.split() == [spec.id, spec.fingerprint]
    mapping = yaml.safe_load(MICRO.read_text())
    mapping["rows"] = [dict(reversed(row.items())) for row in mapping["rows"]]
    shuffled = dict(reversed(mapping.items()))
    assert arch.from_mapping(shuffled).id == spec.id


def test_hash_leaves_out_names_and_keeps_what_is_computed() -> None:
    mapping = yaml.safe_load(MICRO.read_text())
    renamed = mapping | {"name": "other", "source": "elsewhere"}
    renamed["rows"] = [row | ({"name": "first"} if row["name"] == "3a" else {}) for row in mapping["rows"]]
    renamed["heads"] = {"first": mapping["heads"]["3a"], "final": mapping["heads"]["final"]}
    spec = arch.from_mapping(mapping)
    assert arch.from_mapping(renamed).id == spec.id
    wider = yaml.safe_load(MICRO.read_text())
    wider["rows"][1]["pool"] = 5
    assert arch.from_mapping(wider).id != spec.id
    defaults = yaml.safe_load(MICRO.read_text())
    defaults["rows"][2]["padding"] = "valid"  # the block's default, written out
    assert arch.from_mapping(defaults).id == spec.id


BROKEN = {
    "unknown top-level key": (lambda m: m | {"row": []}, ["'row'", "Did you mean rows"]),
    "missing key": (lambda m: {k: v for k, v in m.items() if k != "classes"}, ["'classes' is missing"]),
    "unknown argument": (lambda m: _row(m, 1, pol=4), ["row 3a", "unknown key 'pol'", "Did you mean pool"]),
    "unknown block": (lambda m: _row(m, 1, block="inception_v5"), ["row 3a", "'inception_v5'", "inception_v"]),
    "text for a width": (lambda m: _row(m, 1, pool="4"), ["row 3a", "'pool'", "'4'"]),
    "width zero": (lambda m: _row(m, 1, pool=0), ["row 3a", "greater than or equal to 1"]),
    "half a split": (lambda m: _row(m, 1, b3x3=[4]), ["row 3a", "b3x3"]),
    "doubled name": (lambda m: _row(m, 3, name="3a"), ["two rows", "'3a'"]),
    "style": (lambda m: m | {"style": {"nrom": "batch"}}, ["style", "'nrom'", "Did you mean norm"]),
    "head on no row": (
        lambda m: m | {"heads": m["heads"] | {"3b": {"head": "aux_small"}}},
        ["head 3b", "no row", "Did you mean 3a"],
    ),
    "no final head": (lambda m: m | {"heads": {}}, ["'final' is missing"]),
    "unknown head": (lambda m: m | {"heads": {"final": {"head": "clasifier"}}}, ["clasifier", "classifier"]),
    "input": (lambda m: m | {"input": [3, 32]}, ["'input'", "[channels, height, width]"]),
    "boolean": (lambda m: m | {"classes": True}, ["'classes'", "whole number"]),
    "repeat": (lambda m: _row(m, 1, repeat=0), ["row 3a: 'repeat' is 0", "from 1 to 1,000"]),
    "repeat too often": (lambda m: _row(_row(m, 0, repeat=999), 1, repeat=999), ["'rows' are more than 1,000"]),
}


def _row(mapping: dict, index: int, **changes: object) -> dict:
    rows = [row | changes if i == index else row for i, row in enumerate(mapping["rows"])]
    return mapping | {"rows": rows}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_name_file_row_and_a_near_name(case: str) -> None:
    change, fragments = BROKEN[case]
    with pytest.raises(arch.InputError) as caught:
        arch.from_mapping(change(yaml.safe_load(MICRO.read_text())), "micro.yaml")
    for fragment in ["micro.yaml", *fragments]:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: 1\na: 2\n", "line 2: not readable as YAML: the key 'a' stands twice"),
        ("a: &x [1]\nb: *x\n", "line 2"),
        ("a: [1\n", "line 2"),
        ("? [a, b]\n: 1\n", "a key is not plain text"),
        ("[" * 200_000, "nested more than"),
        ("rows: 1" + ":1" * 200_000, "line 1: not readable as YAML: a number of more than 100 characters"),
        ("rows: 1" + ":1" * 200_000 + ".5", "line 1: not readable as YAML: a number of more than 100 characters"),
        ("rows: 0x" + "f" * 100_000, "line 1: not readable as YAML: a number of more than 100 characters"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
    ],
)
def test_yaml_is_read_strictly(text: str, fragment: str) -> None:
    with pytest.raises(arch.InputError, match=r"file\.yaml") as caught:
        parse_yaml(text, "file.yaml")
    assert fragment in str(caught.value)


def test_repeat_writes_a_row_out() -> None:
    mapping = yaml.safe_load(MICRO.read_text())
    mapping["heads"].pop("3a")
    spec = arch.from_mapping(_row(mapping, 1, name="a", repeat=3))
    assert [row.name for row in spec.rows][1:4] == ["a1", "a2", "a3"]
    assert arch.from_mapping(yaml.safe_load(arch.to_yaml(spec))) == spec


def test_a_derived_file_is_its_base_with_the_edits() -> None:
    edits = {
        "classes": 5,
        "style": {"eps": 0.01},
        "rows": {"conv1": {"stride": 1}, "pool1": "remove", "conv2": {"block": "conv", "out": 8, "kernel": 1}},
        "heads": {"4a": "remove", "4d": {"dropout": 0.1}, "final": {"head": "flattened"}},
    }
    base = arch.load("googlenet")
    spec = arch.from_mapping({"name": "mine", "base": "googlenet", "edits": edits})
    assert (spec.name, spec.source, spec.classes, spec.input) == ("mine", base.source, 5, base.input)
    assert (spec.style.eps, spec.style.norm) == (0.01, base.style.norm)
    assert [row.name for row in spec.rows] == [row.name for row in base.rows if row.name != "pool1"]
    assert dict(spec.row("conv1").args) == {"out": 64, "kernel": 7, "stride": 1}
    assert (spec.row("conv2").block, dict(spec.row("conv2").args)) == ("conv", {"out": 8, "kernel": 1})
    assert (dict(spec.heads["4d"].args), spec.heads["final"].head) == ({"dropout": 0.1}, "flattened")
    assert spec.aux_rows == ("4d",)


BROKEN_EDITS = {
    "unknown base": ({"base": "goglenet"}, ["'goglenet'", "Did you mean googlenet"]),
    "unknown key": ({"base": "googlenet", "rows": []}, ["'rows' next to 'base'"]),
    "unknown edit": ({"base": "googlenet", "edits": {"row": {}}}, ["'row'", "Did you mean rows"]),
    "unknown row": ({"base": "googlenet", "edits": {"rows": {"4f": "remove"}}}, ["row 4f", "Did you mean 4"]),
    "no mapping": ({"base": "googlenet", "edits": {"rows": {"4a": 3}}}, ["row 4a", "is 3", "'remove'"]),
    "unknown argument": ({"base": "googlenet", "edits": {"rows": {"4a": {"pol": 3}}}}, ["row 4a", "Did you mean pool"]),
    "edits as a list": ({"base": "googlenet", "edits": []}, ["'edits'", "mapping"]),
}


@pytest.mark.parametrize("case", BROKEN_EDITS)
def test_errors_of_derived_files(case: str) -> None:
    mapping, fragments = BROKEN_EDITS[case]
    with pytest.raises(arch.InputError) as caught:
        arch.from_mapping({"name": "mine"} | mapping, "mine.yaml")
    for fragment in ["mine.yaml", *fragments]:
        assert fragment in str(caught.value)


def test_load_names_near_networks() -> None:
    with pytest.raises(arch.InputError, match="googlenet"):
        arch.load("goglenet")
    with pytest.raises(arch.InputError, match="cannot be read"):
        arch.load("nowhere.yaml")
