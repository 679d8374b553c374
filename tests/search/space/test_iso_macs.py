"""Splits at equal MACs: what is solved, and that every rule of a split still holds."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest

import arch
import search
from arch.registry import Reduced
from arch.specs.edit import Split, searchable, split_of, with_depth, with_family
from arch.specs.spec import Row
from search.space.axes.arguments import Kernel
from search.space.axes.base import Range
from search.space.axes.family import Family
from search.space.axes.splits import Splits
from search.space.candidates import Candidate, decode, enumerate_space
from search.space.choosers import Sampled
from search.space.compositions import proportional
from search.space.space import Space

BASE = arch.load("googlenet_cifar_small")
MACS = arch.cost(BASE).macs
RECIPE = search.load_recipe("default")
FAMILIES = Family(choices=["inception_v1", "inception_v2", "inception_v3", "inception_residual"])
optuna.logging.set_verbosity(optuna.logging.WARNING)

FIXED = "reductions that leave no room"  # so that single output widths must be repaired
SPACES = {
    "v1": Space(splits=Splits(mode="iso_macs")),
    "by stage": Space(splits=Splits(mode="iso_macs", per="stage", reduce=(0.25, 0.75))),
    "families": Space(splits=Splits(mode="iso_macs"), family=FAMILIES),
    "everything": Space(
        splits=Splits(mode="iso_macs", round=4, minimum=8, reduce=(0.5, 0.75), tolerance=0.005),
        family=FAMILIES,
        kernel=Kernel(per="row", choices=[3, 5, 7]),
        residual_scale=Range(low=0.1, high=0.3),
        aux={"none": [], "both": ["3b", "4b"]},
        depth={"3": [1, 2, 3], "4": [1, 2, 4]},
    ),
    FIXED: Space(splits=Splits(mode="iso_macs", reduce=(0.5, 0.5))),
    "some rows": Space(splits=Splits(mode="iso_macs", rows=["4a", "4b", "5b"]), depth={"4": [1, 2, 3]}),
}


def pairs(space: Space, count: int, seed: int = 0) -> Iterator[tuple[arch.Spec, Candidate]]:
    """Yield what was drawn at the base's widths, and what was solved from it."""
    assert space.get("splits")
    kept = Space(
        **(space.model_extra or {}) | {"splits": space.get("splits").model_copy(update={"mode": "keep_width"})}
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(count):
        trial = study.ask()
        candidate = decode(space, BASE, RECIPE, Sampled(trial))
        same = optuna.trial.FixedTrial(trial.params)
        yield decode(kept, BASE, RECIPE, Sampled(same)).spec, candidate  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(SPACES))
def test_random_splits_are_solved_and_keep_every_rule(name: str) -> None:
    space = SPACES[name]
    splits = space.get("splits")
    assert splits
    for drawn, candidate in pairs(space, 60):
        assert not candidate.infeasible
        assert candidate.violation == 0
        assert abs(arch.cost(candidate.spec).macs / MACS - 1) <= splits.tolerance
        for row in candidate.spec.rows:
            if row.name not in {r.name for r in searchable(BASE)} | {"3c", "4c", "4d"}:
                assert row == BASE.row(row.name)
            elif splits.rows and row.name not in splits.rows:
                assert row == drawn.row(row.name)
            else:
                _holds(splits, drawn.row(row.name), row)
        if name != FIXED:
            _one_factor(splits, drawn, candidate.spec)


def _holds(splits: Splits, drawn: Row, row: Row) -> None:
    """Assert the rules of one split, and that it has the drawn proportions."""
    before, split = split_of(drawn), split_of(row)
    assert dict(row.args) | before._asdict() == dict(drawn.args)  # kernels and scales stay
    widths = (split.b1x1, split.b3x3.out, split.b5x5.out, split.pool)
    assert sum(widths) == split.out
    assert all(width % splits.round == 0 and width >= splits.minimum for width in widths)
    for reduced in (split.b3x3, split.b5x5):
        lowest = max(splits.round, -(-splits.reduce[0] * reduced.out // splits.round) * splits.round)
        assert lowest <= reduced.reduce <= max(lowest, splits.reduce[1] * reduced.out)
        assert reduced.reduce % splits.round == 0
    if min(widths) > splits.minimum:  # where no branch was held up, each is the rounded share
        shares = (before.b1x1, before.b3x3.out, before.b5x5.out, before.pool)
        for width, share in zip(widths, shares, strict=True):
            assert abs(width - share * split.out / before.out) < splits.round


def _one_factor(splits: Splits, drawn: arch.Spec, solved: arch.Spec) -> None:
    """Assert that there is one factor that gives, rounded, all output widths."""
    low, high, slack = 0.0, float("inf"), splits.round / 2 + 1e-9
    for row in searchable(drawn):
        before, after = split_of(row).out, split_of(solved.row(row.name)).out
        if (not splits.rows or row.name in splits.rows) and after > 4 * splits.least * splits.round:
            low, high = max(low, (after - slack) / before), min(high, (after + slack) / before)
    assert low <= high


def test_families_at_equal_splits_differ_in_cost_and_are_brought_to_the_same() -> None:
    costs = [arch.cost(with_family(BASE, family)).macs for family in FAMILIES.choices]
    assert max(costs) / min(costs) > 1.3
    for family in FAMILIES.choices:
        space = Space(splits=Splits(mode="iso_macs"), family=Family(choices=[family]))
        candidate = next(pairs(space, 1))[1]
        assert abs(candidate.macs / MACS - 1) <= 0.01


def test_more_rows_are_narrower_at_the_same_cost() -> None:
    space = Space(splits=Splits(mode="iso_macs"), depth={"4": [1, 6]})
    found = {len(drawn.rows): candidate for drawn, candidate in pairs(space, 6)}
    assert len(found) == 2
    few, many = (split_of(found[size].spec.row("4a")).out for size in sorted(found))
    assert few > many
    assert all(abs(candidate.macs / MACS - 1) <= 0.01 for candidate in found.values())


def test_what_cannot_reach_the_macs_says_so() -> None:
    space = Space(splits=Splits(mode="iso_macs", tolerance=1e-6))
    found = [candidate for _, candidate in pairs(space, 5)]
    assert all(candidate.violation > 0 for candidate in found)
    assert all(f"{MACS:,} MACs" in c.infeasible and f"nearest have {c.macs:,}" in c.infeasible for c in found)
    assert all(c.violation == pytest.approx(abs(c.macs / MACS - 1) - 1e-6) for c in found)
    small = Space(splits=Splits(mode="iso_macs", minimum=8, round=8), depth={"3": [60]})
    for _, candidate in pairs(small, 2):  # 60 rows are too many even at their narrowest
        assert candidate.infeasible
        assert candidate.violation > 0.01
        assert split_of(candidate.spec.row("3a")).out == 32


def test_points_that_round_to_the_same_network_have_the_same_key() -> None:
    space = SPACES["families"]
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3)).ask()
    first = decode(space, BASE, RECIPE, Sampled(trial))
    moved = {
        name: min(1.0, value + 1e-7) if isinstance(value, float) else value for name, value in trial.params.items()
    }
    second = decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(moved)))  # type: ignore[arg-type]
    assert moved != trial.params
    assert first.key == second.key
    other = decode(space, BASE, RECIPE, Sampled(optuna.trial.FixedTrial(moved | {"split.5a.b1x1": 0.999})))  # type: ignore[arg-type]
    assert other.key != first.key


def test_splits_that_differ_may_come_to_one_network(micro: arch.Spec) -> None:
    """Where widths shrink, several drawn splits round to one; their keys say so, their parameters do not."""
    space = Space(splits=Splits(mode="iso_macs", round=4, minimum=4, rows=["4a"], tolerance=0.2))
    found = enumerate_space(space, with_depth(micro, "4a", 1), RECIPE, 10_000)
    assert found is not None
    keys = {candidate.key for candidate in found}
    assert 1 < len(keys) < len(found)
    fingerprints = {candidate.spec.fingerprint for candidate in found}
    assert len(fingerprints) == len(keys)


def test_proportions_by_largest_remainder() -> None:
    """Worked out by hand, in units of 8."""
    splits = Splits(round=8, minimum=8, reduce=(0.25, 1.0))
    drawn = Split(8, Reduced(8, 16), Reduced(8, 8), 32)  # 1 : 2 : 1 : 4
    assert proportional(splits, drawn, 64) == drawn
    assert proportional(splits, drawn, 320) == Split(40, Reduced(40, 80), Reduced(40, 40), 160)
    # 10 units are 1.25, 2.5, 1.25 and 5: the one left over goes to the half
    assert proportional(splits, drawn, 80) == Split(8, Reduced(16, 24), Reduced(8, 8), 40)
    # 5 units are 0.625, 1.25, 0.625 and 2.5: both thin branches are held at one
    assert proportional(splits, drawn, 40) == Split(8, Reduced(8, 8), Reduced(8, 8), 16)
    assert proportional(splits, drawn, 32) == Split(8, Reduced(8, 8), Reduced(8, 8), 8)
