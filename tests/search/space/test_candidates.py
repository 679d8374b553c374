from __future__ import annotations

from collections import Counter

import optuna
import pytest
from scipy.stats import chisquare

import arch
import search
from arch.files.safe_yaml import parse_yaml
from arch.specs.edit import searchable, split_of, stages, without_heads
from search.space.axes.arguments import Kernel
from search.space.axes.base import Range
from search.space.axes.family import Family
from search.space.axes.splits import Splits
from search.space.candidates import Candidate, decode, enumerate_space
from search.space.choosers import Sampled
from search.space.priors import compositions
from search.space.space import Space, check_space

BASE = arch.load("googlenet_cifar_small")
RECIPE = search.load_recipe("default")
V3 = Family(choices=["inception_v3"])
RESIDUAL = Family(choices=["inception_residual"])
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


def fixed(space: Space, params: dict[str, object], base: arch.Spec = BASE) -> Candidate:
    return decode(space, base, RECIPE, Sampled(optuna.trial.FixedTrial(params)))  # type: ignore[arg-type]


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


def test_every_choice_is_suggested_by_name() -> None:
    space = Space(
        splits=Splits(mode="iso_macs", rows=["4a"]),
        family=Family(choices=["inception_v3"]),
        kernel=Kernel(choices=[3, 5, 7]),
        aux={"none": [], "early": ["3b"]},
        depth={"4": [1, 2, 3]},
        recipe={"batch": Range(choices=[64, 128]), "flip": Range(choices=[True, "alternate"])},
    )
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    decode(space, BASE, RECIPE, Sampled(trial))
    categorical = {
        name: distribution.choices
        for name, distribution in trial.distributions.items()
        if isinstance(distribution, optuna.distributions.CategoricalDistribution)
    }
    assert categorical["aux"] == ("none", "early")
    assert categorical["depth.4"] == ("1", "2", "3")
    assert categorical["kernel.3"] == ("3", "5", "7")
    assert categorical["recipe.batch"] == ("64", "128")
    assert categorical["recipe.flip"] == ("true", "alternate")
    assert set(trial.params) - set(categorical) == {f"split.4a.{part}" for part in PARTS}


PARTS = ("b1x1", "b3x3", "b5x5", "b3x3.reduce", "b5x5.reduce")


def test_kernels_and_residual_scales_are_drawn_only_where_the_family_takes_them() -> None:
    space = Space(
        family=Family(choices=["inception_v1", "inception_v3", "inception_residual"]),
        kernel=Kernel(choices=[3, 7]),
        residual_scale=Range(low=0.1, high=0.3),
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    kernels, scales = set(), set()
    for _ in range(40):
        trial = study.ask()
        spec = decode(space, BASE, RECIPE, Sampled(trial)).spec
        families = {stage: spec.row(rows[0]).block for stage, rows in stages(spec).items()}
        asymmetric = {stage for stage, family in families.items() if family == "inception_v3"}
        assert {name.partition(".")[2] for name in trial.params if name.startswith("kernel.")} == asymmetric
        assert ("residual_scale" in trial.params) == ("inception_residual" in families.values())
        for row in searchable(spec):
            assert row.block == "inception_v3" or "n" not in row.args
            assert ("scale" in row.args) == (row.block == "inception_residual")
            kernels.add(row.args.get("n", 3 if row.block == "inception_v3" else None))
            scales.add(row.args.get("scale"))
    assert kernels == {None, 3, 7}
    assert len(scales) > 10
    by_row = Space(**(space.model_extra or {}) | {"kernel": Kernel(per="row", choices=[3, 7])})
    params = {"family.3": "inception_v3", "family.4": "inception_v1", "family.5": "inception_v1"}
    spec = fixed(by_row, params | {"kernel.3a": "3", "kernel.3b": "7"}).spec
    assert (spec.row("3a").args.get("n", 3), spec.row("3b").args["n"]) == (3, 7)


def test_heads_move_by_named_positions_and_take_their_own_weights() -> None:
    space = Space(aux={"none": [], "early": ["3a"], "both": ["4b", "3b"]}, aux_weight=Range(low=0.0, high=0.6))
    assert fixed(space, {"aux": "none"}).spec.aux_rows == ()
    assert fixed(space, {"aux": "none"}).recipe.aux_weight == {}
    early = fixed(space, {"aux": "early", "aux_weight.3a": 0.5})
    assert early.spec.aux_rows == ("3a",)
    assert early.spec.heads["3a"] == BASE.heads["3b"]
    assert early.recipe.aux_weight == {"3a": 0.5}
    both = fixed(space, {"aux": "both", "aux_weight.3b": 0.1, "aux_weight.4b": 0.2})
    assert both.spec == BASE
    assert both.macs == early.macs == arch.cost(BASE).macs
    assert len({both.key, early.key, fixed(space, {"aux": "none"}).key}) == 3


def test_the_decay_of_the_auxiliary_weights_is_a_choice_of_the_recipe() -> None:
    space = Space(aux={"none": [], "both": ["3b", "4b"]}, recipe={"aux_decay": Range(choices=["none", "linear"])})
    kept, falling = (fixed(space, {"aux": "both", "recipe.aux_decay": decay}) for decay in ("none", "linear"))
    assert kept.recipe.aux_weights(["3b"], 0.5) == {"3b": RECIPE.head_weights(["3b"])["3b"]}
    assert falling.recipe.aux_weights(["3b"], 0.5) == {"3b": RECIPE.head_weights(["3b"])["3b"] / 2}
    assert kept.key != falling.key
    without = {fixed(space, {"aux": "none", "recipe.aux_decay": decay}).key for decay in ("none", "linear")}
    assert len(without) == 1  # no head, nothing that could decay


def test_a_stage_has_as_many_rows_as_chosen_and_parameters_keep_their_names() -> None:
    space = Space(splits=Splits(rows=[]), family=Family(choices=["inception_v2"]), depth={"4": [1, 2, 4]})
    names = {}
    for count in ("1", "2", "4"):
        study = optuna.create_study(sampler=optuna.samplers.PartialFixedSampler({"depth.4": count}, RANDOM))
        trial = study.ask()
        spec = decode(space, BASE, RECIPE, Sampled(trial)).spec
        assert len([row for row in searchable(spec) if row.name.startswith("4")]) == int(count)
        assert arch.cost(spec).macs > 0
        names[count] = set(trial.params)
    assert names["1"] < names["2"] < names["4"]
    assert names["4"] - names["2"] == {f"split.{row}.{part}" for row in ("4c", "4d") for part in PARTS}
    assert {"family.3", "family.4", "family.5"} <= names["1"]


RANDOM = optuna.samplers.RandomSampler(seed=0)


def test_the_width_scales_every_row() -> None:
    space = Space(splits=Splits(minimum=8), width=Range(choices=[0.5, 1.0, 1.5]))
    study = optuna.create_study(sampler=optuna.samplers.PartialFixedSampler({"width": "1.5"}, RANDOM))
    spec = decode(space, BASE, RECIPE, Sampled(study.ask())).spec
    assert spec.row("stem").args["out"] == 48
    for row in searchable(spec):
        out = split_of(BASE.row(row.name)).out
        assert split_of(row).out % 8 == 0
        assert abs(split_of(row).out - 1.5 * out) <= 4 * 8
    assert fixed(Space(width=Range(low=0.5, high=1.5)), {"width": 1.0}).spec == BASE


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


def test_enumeration_follows_conditional_choices(micro: arch.Spec) -> None:
    """Each row is v1, or v3 with one of two kernels; the head is there or not: (1 + 2) ** 2 * 2."""
    space = Space(
        family=Family(per="row", choices=["inception_v1", "inception_v3"]),
        kernel=Kernel(per="row", choices=[3, 7]),
        aux={"none": [], "early": ["3a"]},
    )
    found = enumerate_space(space, micro, RECIPE, 100)
    assert found is not None
    assert len(found) == len({candidate.key for candidate in found}) == 18
    deeper = Space(**(space.model_extra or {}) | {"depth": {"4a": [1, 2]}})
    assert len(enumerate_space(deeper, micro, RECIPE, 100) or []) == 18 + 54


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
        (Space(), ["nothing varies", "splits"]),
        (Space(family=Family(choices=["inception_v1", "inception_v1"])), ["space.family", "'inception_v1'", "remove"]),
        (Space(kernel=Kernel(choices=[3, 7])), ["space.kernel", "'n'", "add inception_v3"]),
        (Space(kernel=Kernel(choices=[3, 9]), family=V3), ["space.kernel", "row 3a", "'n' is 9", "3, 5 or 7"]),
        (Space(kernel=Kernel(choices=[3, 3]), family=V3), ["space.kernel", "two choices are called '3'"]),
        (Space(residual_scale=Range(low=0.1, high=0.3)), ["space.residual_scale", "add inception_residual"]),
        (Space(residual_scale=Range(low=-1, high=1), family=RESIDUAL), ["space.residual_scale", "'scale' is -1"]),
        (Space(aux={"early": ["3d"]}), ["space.aux.early", "'3d'", "Did you mean 3"]),
        (Space(aux_weight=Range(low=-1, high=1)), ["space.aux_weight", "-1"]),
        (Space(aux_weight=Range(choices=[0.1, 0.1])), ["space.aux_weight", "'0.1'"]),
        (Space(depth={"44": [1, 2]}), ["space.depth", "'44'", "Did you mean 4"]),
        (Space(depth={"4": [2, 2]}), ["space.depth.4", "'2'"]),
        (Space(width=Range(low=0.5, high=1), splits=Splits(mode="iso_macs")), ["space.width", "iso_macs", "remove"]),
        (Space(width=Range(low=0, high=1)), ["space.width", "0", "above 0"]),
        (Space(width=Range(choices=["wide"])), ["space.width", "'wide'", "above 0"]),
        (Space(width=Range(low=0.5, high=1), splits=Splits(minimum=16)), ["row 3a", "40", "raise the lowest width"]),
        (Space(recipe={"batch": Range(choices=[64, 64])}), ["space.recipe.batch", "'64'"]),
    ],
)
def test_spaces_that_do_not_fit_are_refused(space: Space, fragments: list[str]) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(space, BASE, RECIPE, "study s")
    for fragment in ["study s", *fragments]:
        assert fragment in str(caught.value)


def test_a_network_without_rows_or_heads_to_search_is_said() -> None:
    plain = arch.load("inception_v4_cifar")
    for key, value in {"splits": Splits(), "family": V3, "depth": {"4": [1]}}.items():
        with pytest.raises(arch.InputError, match=f"space.{key}: .* no row with a split"):
            check_space(Space.model_validate({key: value}), plain, RECIPE, "study s")
    with pytest.raises(arch.InputError, match=r"space.aux.early: .*no auxiliary head"):
        check_space(Space(aux={"early": ["3a"]}), without_heads(BASE), RECIPE, "study s")


@pytest.mark.parametrize("space", [Space(aux={"none": [], "early": ["3a"]}), Space(depth={"3": [1, 2]})])
def test_weights_by_row_do_not_follow_heads_that_move(space: Space) -> None:
    by_row = search.load_recipe(RECIPE, {"aux_weight": {"3b": 0.2, "4b": 0.3}})
    with pytest.raises(arch.InputError, match=r"heads may hang on .* add space.aux_weight"):
        check_space(space, BASE, by_row, "study s")
    check_space(space, BASE, RECIPE, "study s")
    check_space(Space(**(space.model_extra or {}) | {"aux_weight": Range(low=0, high=1)}), BASE, by_row, "study s")


def test_a_space_that_fits_passes_and_reads_from_yaml() -> None:
    text = """
    splits: {mode: iso_macs, per: stage, tolerance: 0.02}
    family: {choices: [inception_v1, inception_v3, inception_residual]}
    kernel: {per: row, choices: [3, 5, 7]}
    residual_scale: {low: 0.1, high: 0.3}
    aux: {none: [], early: [3b], both: [3b, 4b]}
    aux_weight: {low: 0.0, high: 0.6}
    depth: {3: [1, 2], 4: [2, 3]}
    recipe: {aux_decay: {choices: [none, linear, cosine]}}
    """
    space = Space.model_validate(parse_yaml(text, "here"))
    assert list(space.get("depth").root) == ["3", "4"]
    check_space(space, BASE, RECIPE, "study s")
    for candidate in draws(space, n=5):
        assert not candidate.infeasible
        assert abs(candidate.macs / arch.cost(BASE).macs - 1) <= 0.02


def test_a_candidates_key_is_its_spec_and_recipe() -> None:
    one, two = (next(draws(Space(splits=Splits(rows=["3a"])))) for _ in range(2))
    assert one.key == two.key
    assert one.macs == arch.cost(one.spec).macs
