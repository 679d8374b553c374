from __future__ import annotations

from dataclasses import replace

import pytest

import arch
from arch.registry import BLOCKS, Definition, Definitions, Reduced
from arch.specs.edit import (
    Split,
    families,
    split_of,
    stages,
    with_args,
    with_depth,
    with_family,
    with_head_moved,
    with_heads_on,
    with_split,
    with_splits,
    with_width,
    without_heads,
)


def test_a_new_spec_comes_out_and_the_old_one_stays(micro: arch.Spec) -> None:
    before = arch.to_yaml(micro)
    split = Split(4, Reduced(4, 4), Reduced(4, 8), 8)
    edited = with_split(micro, "3a", split)
    assert split_of(edited.row("3a")) == split
    assert split.out == split_of(micro.row("3a")).out
    assert edited.id != micro.id
    assert arch.to_yaml(micro) == before


def test_families_swap_and_keep_the_split() -> None:
    base = arch.load("googlenet_cifar_small")
    assert set(families()) >= {"inception_v1", "inception_v2", "inception_v3", "inception_residual"}
    swapped = with_family(base, "inception_v3", n=7)
    assert all(split_of(swapped.row(name)) == split_of(base.row(name)) for name in ("3a", "5b"))
    assert swapped.row("3a").args["n"] == 7
    assert with_family(swapped, "inception_v1") == base
    with pytest.raises(arch.SpecError, match="inception_v1"):
        with_family(base, "inception_v9")
    with pytest.raises(arch.SpecError, match="row pool1"):
        with_family(base, "inception_v2", ["pool1"])


def test_stages_are_groups_between_other_rows() -> None:
    assert stages(arch.load("googlenet")) == {"3": ["3a", "3b"], "4": ["4a", "4b", "4c", "4d", "4e"], "5": ["5a", "5b"]}


def test_width_and_heads(micro: arch.Spec) -> None:
    wide = with_width(micro, 2, round_to=4)
    assert split_of(wide.row("3a")) == Split(16, Reduced(8, 16), Reduced(8, 8), 8)
    assert wide.row("stem").args["out"] == 16
    moved = with_head_moved(micro, "3a", "4a")
    assert moved.aux_rows == ("4a",)
    assert without_heads(micro).aux_rows == ()
    with pytest.raises(arch.SpecError, match="no auxiliary head"):
        with_head_moved(micro, "4a", "3a")


def test_arguments_are_checked(micro: arch.Spec) -> None:
    assert with_args(micro, "stem", {"out": 9}).row("stem").args["out"] == 9
    with pytest.raises(arch.SpecError, match="row stem"):
        with_args(micro, "stem", {"widht": 9})
    with pytest.raises(arch.SpecError, match="no row '3c'"):
        with_args(micro, "3c", {"pool": 8})


def test_the_registry_refuses_duplicates_and_lists_by_wildcard() -> None:
    registry = Definitions("thing", Definition)

    def first() -> None: ...

    registry.register(first)
    with pytest.raises(arch.InputError, match="registered already"):
        registry.register(first)
    assert BLOCKS.names("inception_v?") == ["inception_v1", "inception_v2", "inception_v3"]
    with pytest.raises(arch.InputError, match="inception_v1"):
        BLOCKS.get("inceptionv1")


def test_several_splits_at_once(micro: arch.Spec) -> None:
    split = Split(4, Reduced(4, 4), Reduced(4, 8), 8)
    both = with_splits(micro, {"3a": split, "4a": split})
    assert both == with_split(with_split(micro, "3a", split), "4a", split)
    with pytest.raises(arch.SpecError, match="no row '3c'"):
        with_split(micro, "3c", split)


def test_a_family_keeps_the_arguments_that_it_takes() -> None:
    wide = with_family(arch.load("googlenet_cifar_small"), "inception_v3", n=7)
    assert with_family(wide, "inception_v3").row("3a").args["n"] == 7
    assert with_family(wide, "inception_v3", n=5).row("3a").args["n"] == 5
    assert "n" not in with_family(wide, "inception_residual").row("3a").args


def test_a_stage_grows_by_repeating_its_last_row() -> None:
    base = arch.load("googlenet_cifar_small")
    deeper = with_depth(base, "4", 4)
    assert [row.name for row in deeper.rows] == [
        "stem", "pool1", "3a", "3b", "pool2", "4a", "4b", "4c", "4d", "pool3", "5a", "5b",
    ]  # fmt: skip
    assert deeper.row("4d").args == base.row("4b").args
    assert deeper.aux_rows == base.aux_rows
    assert stages(deeper) == {"3": ["3a", "3b"], "4": ["4a", "4b", "4c", "4d"], "5": ["5a", "5b"]}
    assert with_depth(deeper, "4", 2) == base
    assert arch.cost(deeper).macs > arch.cost(base).macs
    assert arch.from_mapping(arch.to_mapping(deeper)) == deeper


def test_a_stage_shrinks_and_its_heads_move_to_the_last_row() -> None:
    base = arch.load("googlenet")
    assert base.aux_rows == ("4a", "4d")
    three = with_depth(base, "4", 3)
    assert [row.name for row in three.rows if row.name.startswith("4")] == ["4a", "4b", "4c"]
    assert three.aux_rows == ("4a", "4c")
    assert three.heads["4c"] == base.heads["4d"]
    assert arch.cost(three).macs < arch.cost(base).macs
    assert with_depth(base, "4", 1).aux_rows == ("4a",)
    with pytest.raises(arch.SpecError, match="at least one"):
        with_depth(base, "4", 0)
    with pytest.raises(arch.SpecError, match="no stage '6'"):
        with_depth(base, "6", 2)


def test_names_of_new_rows_are_free_and_follow(micro: arch.Spec) -> None:
    renamed = replace(micro, rows=tuple(replace(r, name="4b" if r.name == "pool1" else r.name) for r in micro.rows))
    deeper = with_depth(renamed, "4a", 3)
    assert [row.name for row in deeper.rows][-3:] == ["4a", "4c", "4d"]
    plain = replace(
        micro,
        rows=tuple(replace(r, name={"3a": "mixed", "4a": "m9"}.get(r.name, r.name)) for r in micro.rows),
        heads={"final": micro.heads["final"]},
    )
    assert [row.name for row in with_depth(plain, "mixed", 3).rows][1:4] == ["mixed", "mixed2", "mixed3"]
    assert [row.name for row in with_depth(plain, "m9", 2).rows][-1] == "m10"


def test_heads_hang_on_the_rows_that_are_named() -> None:
    base = arch.load("googlenet_cifar_small")
    small = replace(base.heads["4b"], args={"width": 32})
    base = replace(base, heads={**base.heads, "4b": small})
    moved = with_heads_on(base, ["5a", "3a"])
    assert moved.aux_rows == ("3a", "5a")
    assert list(moved.heads) == ["3a", "5a", "final"]
    assert moved.heads["3a"] == base.heads["3b"]
    assert moved.heads["5a"] == small
    assert with_heads_on(base, ["3b", "4b"]) == base
    assert with_heads_on(base, []) == without_heads(base)
    with pytest.raises(arch.SpecError, match="no row '3c'"):
        with_heads_on(base, ["3c"])
    with pytest.raises(arch.SpecError, match="no auxiliary head"):
        with_heads_on(without_heads(base), ["3a"])
