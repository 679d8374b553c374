"""Arguments of the families as axes: kernels, pooling branches and shortcuts, by stage or row."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import FixedTrial

import arch
import search
from arch.specs.edit import searchable, with_args, with_family
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space, check_space

BASE = arch.load("googlenet_cifar_small")
RECIPE = search.load_recipe("default")
BOTH = {"pooling": {}, "shortcut": {"per": "row"}}
ROWS = ("3a", "3b", "4a", "4b", "5a", "5b")


def fixed(space: Space, values: dict[str, Any], base: arch.Spec = BASE) -> search.Candidate:
    return search.decode(space, base, RECIPE, Sampled(FixedTrial(values)))  # type: ignore[arg-type]


def values(pools: str, shortcuts: str) -> dict[str, Any]:
    """`max avg max` by stage, and the rows with a shortcut."""
    chosen = {f"pooling.{stage}": kind for stage, kind in zip("345", pools.split(), strict=True)}
    return chosen | {f"shortcut.{row}": "true" if row in shortcuts.split() else "false" for row in ROWS}


def test_pools_and_shortcuts_are_chosen_by_stage_and_row() -> None:
    space = Space.model_validate(BOTH)
    drawn = values("max avg max", "3b 5a")
    found = fixed(space, drawn)
    assert {row.name for row in searchable(found.spec) if row.args.get("pool_kind") == "avg"} == {"4a", "4b"}
    assert {row.name for row in searchable(found.spec) if row.args.get("shortcut")} == {"3b", "5a"}
    assert found.macs == arch.cost(BASE).macs
    assert encode(space, BASE, RECIPE, found.spec) == drawn


def test_the_base_stays_as_it_is_written() -> None:
    space = Space.model_validate(BOTH)
    assert fixed(space, values("max max max", "")).spec == BASE
    assert encode(space, BASE, RECIPE, BASE) == values("max max max", "")
    written = with_args(BASE, "3a", {"pool_kind": "max", "shortcut": False})
    assert encode(space, BASE, RECIPE, written) == values("max max max", "")


def test_families_without_a_shortcut_get_none() -> None:
    space = Space.model_validate({"family": {"choices": ["inception_v2", "inception_residual"]}, **BOTH})
    families = {"family.3": "inception_residual", "family.4": "inception_v2", "family.5": "inception_residual"}
    drawn = {
        key: value for key, value in values("avg avg max", "4a").items() if key[-2:] not in ("3a", "3b", "5a", "5b")
    }
    found = fixed(space, families | drawn)
    assert encode(space, BASE, RECIPE, found.spec) == families | drawn
    assert [row.name for row in searchable(found.spec) if "shortcut" in row.args] == ["4a"]


def test_the_n_that_a_network_does_not_give_is_its_blocks() -> None:
    base = with_family(BASE, "inception_v3")
    space = Space.model_validate({"kernel": {"per": "row", "choices": [3, 7]}})
    assert set(encode(space, base, RECIPE, base).values()) == {"3"}
    with pytest.raises(arch.InputError, match=r"kernel\.3a is None, and is none of the choices \(3, 7\)"):
        encode(space, base, RECIPE, BASE)


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        ({"pooling": {"choices": ["max", "mean"]}}, ["space.pooling", "'max' or 'avg'"]),
        ({"pooling": {"choices": ["max", "max"]}}, ["space.pooling", "two choices are called 'max'"]),
        ({"shortcut": {"choices": [True, True]}}, ["space.shortcut", "two choices are called 'true'"]),
        (
            {"shortcut": {}, "family": {"choices": ["inception_residual"]}},
            ["space.shortcut", "no family here takes 'shortcut'", "inception_v1"],
        ),
    ],
)
def test_what_does_not_fit_is_refused(space: dict[str, Any], fragments: list[str]) -> None:
    with pytest.raises((arch.InputError, ValueError)) as caught:
        check_space(Space.model_validate(space), BASE, RECIPE, "study s")
    for fragment in fragments:
        assert fragment.replace("space.pooling", "pooling") in str(caught.value)
