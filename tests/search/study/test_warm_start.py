"""Warm starts: known networks and earlier runs come first, by name."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import yaml

import arch
from arch.specs.edit import with_family
from search.record.files import read_json
from search.record.layout import results
from search.space.candidates import Candidate
from search.study.run import run_study
from tests.support import MICRO, study

pytestmark = pytest.mark.usefixtures("instant")
SPACE = {
    "splits": {"round": 4, "minimum": 4},
    "family": {"per": "row", "choices": ["inception_v1", "inception_v2"]},
    "aux_weight": {"low": 0.0, "high": 0.6},
}


def test_files_and_earlier_runs_are_tried_first(tmp_path: Path) -> None:
    run_study(study(space=SPACE, trials=6), tmp_path / "first")
    earlier = sorted(results(tmp_path / "first"), key=lambda r: -r["val_accuracy"])[:2]
    other = with_family(arch.load(MICRO), "inception_v2", ["4a"])
    (tmp_path / "other.yaml").write_text(arch.to_yaml(other))
    first = str(tmp_path / "first")
    config = study(space=SPACE, trials=5, seed=1, start=["other.yaml", {"run": first, "top": 2}])
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    assert run_study(tmp_path / "study.yaml", tmp_path / "second").finished == 5
    found = list(results(tmp_path / "second"))
    names = [str(tmp_path / "other.yaml"), *(f"{first} trial {r['trial']}" for r in earlier)]
    assert [r.get("start") for r in found] == [*names, None, None]
    assert [r["key"] for r in found[1:3]] == [r["key"] for r in earlier]
    spec = arch.load(tmp_path / "second" / "trials" / "00000" / "spec.yaml")
    assert spec.fingerprint == other.fingerprint
    storage = f"sqlite:///{tmp_path / 'second' / 'study.db'}"
    trials = optuna.load_study(study_name="micro", storage=storage).trials
    assert [t.user_attrs.get("start") for t in trials] == [*names, None, None]
    assert run_study(tmp_path / "study.yaml", tmp_path / "second", trials=6).finished == 6
    assert sum("start" in r for r in results(tmp_path / "second")) == 3


def test_a_single_training_is_a_start_with_its_recipe(tmp_path: Path) -> None:
    run_study(study(space=SPACE, trials=2), tmp_path / "first")
    folder = tmp_path / "first" / "trials" / "00001"
    run_study(study(space=SPACE, trials=1, start=[str(folder)]), tmp_path / "second")
    assert next(results(tmp_path / "second"))["key"] == read_json(folder / "result.json")["key"]


def test_the_base_as_a_start_is_answered_from_its_training(tmp_path: Path) -> None:
    run_study(study(space=SPACE, trials=2, start=[str(MICRO)]), tmp_path)
    result = next(results(tmp_path))
    assert result["duplicate_of"] == "base"
    assert result["key"].startswith(Candidate(arch.load(MICRO), _recipe(tmp_path)).spec.fingerprint)


def _recipe(run: Path) -> object:
    import search

    return search.load_recipe(run / "base" / "recipe.yaml")


@pytest.mark.parametrize(
    ("start", "fragments"),
    [
        ("googlenet_cifar_smal", ["no network", "googlenet_cifar_small"]),
        ("googlenet_cifar_small", ["start googlenet_cifar_small", "has a row"]),
        ({"run": "nowhere", "top": 2}, ["start nowhere", "no run is here"]),
        ({"run": "nowhere", "best": 2}, ["start"]),
    ],
)
def test_what_is_no_start_is_named_before_anything_is_trained(
    start: object, fragments: list[str], tmp_path: Path
) -> None:
    with pytest.raises(arch.InputError) as caught:
        run_study(study(space=SPACE, start=[start]), tmp_path / "run")
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_earlier_trial_of_the_same_space_is_taken_over_as_it_was_drawn(tmp_path: Path) -> None:
    """Widths that follow from a budget cannot be expressed anew, but were drawn once."""
    space = {"splits": {"mode": "iso_macs", "round": 2, "minimum": 2, "tolerance": 0.1}}
    run_study(study(space=space, trials=3), tmp_path / "first")
    best = max(results(tmp_path / "first"), key=lambda r: r.get("val_accuracy") or 0)
    run_study(study(space=space, trials=1, seed=1, start=[str(tmp_path / "first")]), tmp_path / "second")
    assert next(results(tmp_path / "second"))["searched"] == best["searched"]
