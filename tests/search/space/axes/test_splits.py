"""Splits around a network: which row is compared with which, what is refused, and that the base is in the space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

import arch
import search
from arch.specs.edit import searchable, split_of, with_width
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.encode import encode
from search.space.space import Space, check_space
from search.study.config import load_study
from search.study.fingerprint import fingerprint
from tests.support import study

BASE, RECIPE = arch.load("googlenet_cifar_small"), search.load_recipe("default")
TIGHT = {"spread": 0.01}  # so near that any draw is the nearest split
optuna.logging.set_verbosity(optuna.logging.WARNING)


def space(**splits: Any) -> Space:
    return Space.model_validate({"splits": splits})


def drawn(given: Space, base: arch.Spec = BASE, **fixed: str) -> Candidate:
    sampler = optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=3))
    return decode(given, base, RECIPE, Sampled(optuna.create_study(sampler=sampler).ask()))


@pytest.mark.parametrize("mode", ["keep_width", "iso_macs"])
@pytest.mark.parametrize(
    ("per", "spread"), [("row", 0.1), ("row", 0.35), ("row", 1.0), ("stage", 0.1), ("stage", 0.35)]
)
def test_the_base_is_in_the_space(mode: str, per: str, spread: float) -> None:
    given = space(mode=mode, per=per, around={"spread": spread})
    values = encode(given, BASE, RECIPE, BASE)
    found = decode(given, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]
    assert found.spec == BASE


def test_the_base_is_in_the_space_next_to_axes_of_stem_scales_and_depth() -> None:
    macro = {"stem": {"choices": [32, 64]}, "stage_scale": {}, "depth": {"4": [1, 2, 3]}}
    given = Space.model_validate({"splits": {"mode": "iso_macs", "around": {}}, **macro})
    values = encode(given, BASE, RECIPE, BASE)
    found = decode(given, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(values)))  # type: ignore[arg-type]
    assert found.spec == BASE


def test_rows_of_a_stage_that_differ_too_much_for_a_wide_spread_are_named() -> None:
    """No quantile is near enough to the middle of each row's distribution."""
    with pytest.raises(arch.InputError, match="no common proportions"):
        encode(space(per="stage", around={"spread": 1.0}), BASE, RECIPE, BASE)


def test_a_small_spread_draws_the_base_itself() -> None:
    assert drawn(space(around=TIGHT)).spec == BASE
    assert drawn(space(around=TIGHT, mode="iso_macs", per="stage")).spec == BASE
    assert drawn(space()).spec != BASE


def test_draws_keep_the_shares_where_another_axis_scales_the_width() -> None:
    wide = with_width(BASE, 2.0)
    given = Space.model_validate({"splits": {"around": TIGHT}, "width": {"choices": [1.0, 2.0]}})
    assert drawn(given, width="2.0").spec == wide


def test_another_network_is_the_point() -> None:
    found = drawn(space(around=TIGHT | {"network": "googlenet_cifar"}, rows=["3a"])).spec
    shares = [width / 256 for width in (64, 128, 32, 32)]  # the printed row
    split = split_of(found.row("3a"))
    assert [split.b1x1, split.b3x3.out, split.b5x5.out, split.pool] == [share * 64 for share in shares]
    assert found.row("3b") == BASE.row("3b")


def test_an_added_row_is_drawn_around_the_nearest_of_its_stage() -> None:
    given = Space.model_validate({"splits": {"around": TIGHT}, "depth": {"4": [1, 4], "5": [3]}})
    found = drawn(given, **{"depth.4": "4"}).spec
    for row, like in {"4c": "4b", "4d": "4b", "5c": "5b", "4a": "4a"}.items():
        assert split_of(found.row(row)) == split_of(BASE.row(like))
    assert "4b" not in [row.name for row in searchable(drawn(given, **{"depth.4": "1"}).spec)]


@pytest.mark.parametrize(
    ("around", "fragments"),
    [
        ({"network": "googlenet_cifar_tini"}, ["x, space.splits.around", "no network", "googlenet_cifar_tiny"]),
        ({"network": "inception_v3"}, ["space.splits.around", "has no row '3a' with a split", "splits.rows"]),
    ],
)
def test_a_point_without_the_rows_is_refused(around: dict[str, Any], fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(space(around=around), BASE, RECIPE, "x")
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_an_unknown_key_is_named_with_those_of_the_point() -> None:
    with pytest.raises(arch.InputError, match=r"space\.splits\.around\.sprad.*mean spread.*: network, spread\."):
        load_study(study(space={"splits": {"around": {"sprad": 0.2}}}))


@pytest.mark.parametrize("spread", [0, -1, float("nan"), float("inf")])
def test_a_spread_is_a_positive_number(spread: float) -> None:
    with pytest.raises(ValueError, match="spread"):
        space(around={"spread": spread})


def test_a_file_is_named_from_the_studys_folder_and_must_not_change(tmp_path: Path) -> None:
    network, file = tmp_path / "point.yaml", tmp_path / "study.yaml"

    def described(point: arch.Spec) -> dict[str, Any]:
        network.write_text(arch.to_yaml(point))
        file.write_text(yaml.safe_dump(study(space={"splits": {"around": {"network": "point.yaml"}}})))
        return fingerprint(load_study(file), BASE, RECIPE, search.load_data("digits"))

    before = described(BASE)
    assert before["space"]["splits"]["around"]["network"] == str(network)
    assert described(BASE) == before
    assert described(with_width(BASE, 2.0)) != before
