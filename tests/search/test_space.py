from __future__ import annotations

from collections import Counter

import optuna
import pytest
from scipy.stats import chisquare

import arch
import search
from arch.edit import split_of, stages
from search.space import Family, Range, Sampled, Space, Splits, check_space, compositions, decode, enumerate_space

BASE = arch.load("googlenet_cifar_small")
RECIPE = search.load_recipe("default")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def draws(space: Space, base: arch.Spec = BASE, n: int = 200):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(n):
        yield decode(space, base, RECIPE, Sampled(study.ask()))


def test_splits_keep_the_output_channels_in_multiples_within_bounds() -> None:
    space = Space(splits=Splits(round=8, minimum=8, reduce=(0.25, 1.0)))
    for candidate in draws(space):
        for name in ("3a", "3b", "4a", "4b", "5a", "5b"):
            split = split_of(candidate.spec.row(name))
            assert split.out == split_of(BASE.row(name)).out
            widths = [split.b1x1, *split.b3x3, *split.b5x5, split.pool]
            assert all(width % 8 == 0 and width >= 8 for width in widths)
            assert all(r.reduce <= r.out and r.reduce >= min(0.25 * r.out, 8) for r in (split.b3x3, split.b5x5))


def test_random_splits_are_uniform_over_all_compositions() -> None:
    """Row 3a's 64 channels in eights: C(7, 3) = 35 compositions of 8 in 4 parts."""
    space = Space(splits=Splits(rows=["3a"], round=8))
    seen: Counter[tuple[int, ...]] = Counter()
    for candidate in draws(space, n=4_000):
        split = split_of(candidate.spec.row("3a"))
        seen[split.b1x1, split.b3x3.out, split.b5x5.out, split.pool] += 1
    assert len(seen) == compositions(8, 4, 1) == 35
    assert chisquare(list(seen.values())).pvalue > 0.001


def test_a_stage_shares_its_proportions() -> None:
    space = Space(splits=Splits(per="stage"))
    candidate = next(draws(space))
    study_params = {name.rpartition(".")[0] for name in _params(space)}
    assert {name.split(".")[1] for name in study_params} == set(stages(BASE))
    for rows in stages(BASE).values():
        shares = [split_of(candidate.spec.row(row)).b1x1 / split_of(BASE.row(row)).out for row in rows]
        assert max(shares) - min(shares) < 0.15


def _params(space: Space) -> list[str]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    trial = study.ask()
    decode(space, BASE, RECIPE, Sampled(trial))
    return list(trial.params)


def test_family_weights_and_recipe_values_vary() -> None:
    space = Space(
        family=Family(per="stage", choices=["inception_v1", "inception_v3"]),
        aux_weight=Range(low=0.0, high=0.6),
        recipe={"lr": Range(low=0.01, high=0.2, log=True), "batch": Range(choices=[64, 128])},
    )
    found = list(draws(space, n=30))
    assert {row.block for candidate in found for row in candidate.spec.rows if row.name == "4a"} == {
        "inception_v1",
        "inception_v3",
    }
    for candidate in found:
        assert candidate.spec.row("4a").block == candidate.spec.row("4b").block
        assert isinstance(candidate.recipe.aux_weight, dict)
        assert set(candidate.recipe.aux_weight) == {"3b", "4b"}
        assert 0.01 <= candidate.recipe.lr <= 0.2
    assert {candidate.recipe.batch for candidate in found} == {64, 128}


def test_enumeration_meets_every_candidate_once(micro: arch.Spec) -> None:
    space = Space(
        splits=Splits(rows=["3a"], round=4, minimum=4),
        family=Family(per="row", choices=["inception_v1", "inception_v2"]),
    )
    found = enumerate_space(space, micro, RECIPE, 10_000)
    assert found is not None
    assert len({candidate.key for candidate in found}) == len(found)
    sampled = {candidate.key for candidate in draws(space, micro, 2_000)}
    assert sampled == {candidate.key for candidate in found}


def test_enumeration_gives_up_where_it_must(micro: arch.Spec) -> None:
    assert enumerate_space(Space(aux_weight=Range(low=0, high=1)), micro, RECIPE, 100) is None
    assert enumerate_space(Space(splits=Splits(round=4, minimum=4)), micro, RECIPE, 5) is None


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        (Space(splits=Splits(round=7)), ["no multiple of round: 7"]),
        (Space(splits=Splits(rows=["3z"])), ["'3z'", "Did you mean 3"]),
        (Space(splits=Splits(minimum=20)), ["row 3a", "64", "at least 20"]),
        (Space(family=Family(choices=["inception_v9"])), ["inception_v9", "Did you mean inception_v"]),
        (Space(recipe={"leraning": Range(low=1, high=2)}), ["leraning"]),
        (Space(recipe={"lr": Range(low=-1, high=2)}), ["'lr'"]),
        (Space(recipe={"batch": Range(low=32, high=128)}), ["recipe.batch", "only choices"]),
        (Space(splits=Splits(reduce=(1.0, 0.25))), ["reduce", "smaller"]),
        (Space(), ["nothing varies"]),
    ],
)
def test_spaces_that_do_not_fit_are_refused(space: Space, fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(space, BASE, RECIPE, "study s")
    for fragment in ["study s", *fragments]:
        assert fragment in str(caught.value)


def test_a_candidates_key_is_its_spec_and_recipe() -> None:
    one, two = (next(draws(Space(splits=Splits(rows=["3a"])))) for _ in range(2))
    assert one.key == two.key
    assert one.macs == arch.cost(one.spec).macs
