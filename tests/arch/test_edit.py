from __future__ import annotations

import pytest

import arch
from arch.edit import (
    Split,
    families,
    split_of,
    stages,
    with_args,
    with_family,
    with_head_moved,
    with_split,
    with_width,
    without_heads,
)
from arch.registry import BLOCKS, Reduced, Registry


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
    registry = Registry("thing")

    def first() -> None: ...

    registry.register(first)
    with pytest.raises(arch.InputError, match="registered already"):
        registry.register(first)
    assert BLOCKS.names("inception_v?") == ["inception_v1", "inception_v2", "inception_v3"]
    with pytest.raises(arch.InputError, match="inception_v1"):
        BLOCKS.get("inceptionv1")
