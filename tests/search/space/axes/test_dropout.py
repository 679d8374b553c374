"""The classifier's dropout as an axis, and an axis of one's own: one class each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import optuna
import pytest
from optuna.trial import FixedTrial

import arch
import search
from arch.specs.spec import FINAL
from search.record.files import read_yaml
from search.record.layout import results
from search.space.axes.base import AXES, Axis, Draft, Range, Setting, axis
from search.space.choosers import Chooser, Sampled
from search.space.encode import encode
from search.space.space import Space, check_space
from search.study.run import run_study
from tests.support import MICRO, study
from tests.support.fake import instant

__all__ = ["instant"]

SPACE = Space.model_validate({"dropout": {"low": 0.0, "high": 0.6}})
RECIPE = search.load_recipe("default")


def test_the_probability_of_the_final_head_is_drawn(micro: arch.Spec) -> None:
    found = search.decode(SPACE, micro, RECIPE, Sampled(FixedTrial({"dropout": 0.45})))  # type: ignore[arg-type]
    assert found.spec.heads[FINAL].args["dropout"] == 0.45
    assert replace(found.spec, heads=micro.heads) == micro
    assert encode(SPACE, micro, RECIPE, found.spec) == {"dropout": 0.45}
    assert encode(SPACE, micro, RECIPE, micro) == {"dropout": 0.2}


@pytest.mark.parametrize(
    ("space", "fragments"),
    [
        ({"dropout": {"low": 0.0, "high": 1.5}}, ["space.dropout", "'dropout' is 1.5"]),
        ({"dropout": {"choices": [0.1, 0.1]}}, ["space.dropout", "two choices are called '0.1'"]),
    ],
)
def test_what_is_no_probability_is_refused(space: dict, fragments: list[str], micro: arch.Spec) -> None:
    with pytest.raises(arch.InputError) as caught:
        check_space(Space.model_validate(space), micro, RECIPE, "study s")
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_head_without_dropout_is_refused() -> None:
    with pytest.raises(arch.InputError, match=r"space.dropout: the final head flattened has no dropout"):
        check_space(SPACE, arch.load("googlenet_conv_relu"), RECIPE, "study s")


@pytest.mark.usefixtures("instant")
def test_a_study_searches_it(tmp_path: Path) -> None:
    config = study(space={"dropout": {"low": 0.0, "high": 0.6}}, trials=3)
    assert run_study(config, tmp_path).ended == "complete"
    values = [result["searched"]["dropout"] for result in results(tmp_path)]
    assert len(set(values)) == 3
    spec = arch.load(tmp_path / "trials" / "00000" / "spec.yaml")
    assert spec.heads[FINAL].args["dropout"] == values[0]


@pytest.mark.usefixtures("instant")
def test_an_axis_of_ones_own_is_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AXES, "_entries", dict(AXES._entries))

    @axis
    class Smoothing(Axis, Range):
        """How much labels are smoothed."""

        key: ClassVar = "smoothing"
        title: ClassVar = "label smoothings"
        turn: ClassVar = 85

        def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
            changes = {"label_smoothing": self.draw("smoothing", chooser)}
            return draft._replace(recipe=search.load_recipe(draft.recipe, changes))

    assert run_study(study(space={"smoothing": {"low": 0.0, "high": 0.2}}, trials=2), tmp_path).finished == 2
    drawn = [result["searched"]["smoothing"] for result in results(tmp_path)]
    assert read_yaml(tmp_path / "trials" / "00001" / "recipe.yaml")["label_smoothing"] == drawn[1]
    assert optuna.load_study(study_name="micro", storage=f"sqlite:///{tmp_path / 'study.db'}").trials[0].params
    with pytest.raises(arch.InputError, match=r"smoothing\.high"):
        search.load_study(study(space={"smoothing": {"low": 0.0, "high": "much"}}))
    with pytest.raises(arch.InputError, match="Did you mean smoothing"):
        search.load_study(study(space={"smothing": {"low": 0.0, "high": 0.2}}))


def test_the_fixture_is_the_network_that_is_meant() -> None:
    assert arch.load(MICRO).heads[FINAL].args["dropout"] == 0.2
