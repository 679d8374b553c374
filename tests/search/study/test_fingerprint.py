"""Going on: what a killed study proposes, and what may change between two starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages._cached_storage import _CachedStorage
from typer.testing import CliRunner

import arch
import reports
import search
from inceptory import app
from reports.page.report import report
from search.record.files import read_json, read_lines
from search.record.layout import results
from search.record.objectives import Objectives
from search.record.status import status
from search.study.duplicates import ranked
from search.study.run import run_study
from tests.support import study
from tests.support.fake import Killed
from tests.support.notes import Notes

pytestmark = pytest.mark.usefixtures("instant", "unsafe_but_quick")

SAMPLERS: dict[str, dict[str, Any]] = {
    "random": {},
    "tpe": {"n_startup_trials": 3},
    "nsga2": {"population_size": 3},
    "nsga3": {"population_size": 3},
    "gp": {"n_startup_trials": 3},
    "cmaes": {"popsize": 4},
    "qmc": {"scramble": True},
    "grid": {},
    "mixture": {"startup": 3},
    "surrogate": {"startup": 5, "worth": -1.0, "candidates": 4},
}
FAMILIES = ["inception_v1", "inception_v2"]
SPACES: dict[str, dict[str, Any]] = {
    "splits": {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 0.6}},
    "choices": {"family": {"per": "row", "choices": FAMILIES}, "aux_weight": {"choices": [0.1, 0.2, 0.3]}},
}
OUTCOMES = ("trial", "state", "key", "searched", "val_accuracy", "duplicate_of", "start", "surrogate")


def proposed(run: Path) -> list[dict[str, Any]]:
    return [{name: result.get(name) for name in OUTCOMES} for result in results(run)]


def optuna_study(run: Path, name: str = "micro") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{run / 'study.db'}")


TOLD = ("set_trial_state_values", "set_trial_intermediate_value")
DRAWN = ("set_trial_param", "set_trial_system_attr")


def killed_after(monkeypatch: pytest.MonkeyPatch, writes: int, kinds: tuple[str, ...] = TOLD + DRAWN) -> None:
    """Let the driver die at its so many-th write of these kinds to the storage."""
    left = [writes]

    def dying(name: str) -> None:
        original = getattr(_CachedStorage, name)

        def write(self: Any, *args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return original(self, *args, **kwargs)

        monkeypatch.setattr(_CachedStorage, name, write)

    for name in kinds:
        dying(name)


@pytest.mark.parametrize("sampler", [pytest.param(s, marks=pytest.mark.slow if s == "gp" else ()) for s in SAMPLERS])
def test_a_killed_study_proposes_what_it_would_have_proposed(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SPACES["choices"] if sampler == "grid" else SPACES["splits"]
    config = study(sampler={"name": sampler, **SAMPLERS[sampler]}, space=space, trials=8)
    run_study(config, tmp_path / "whole")
    whole = proposed(tmp_path / "whole")
    assert len({result["key"] for result in whole}) > 5
    kills = 0
    exact = sampler not in ("gp", "nsga3")  # these say so where a trial was partly drawn
    for writes in (3, 11, 23) if exact else (1, 2, 3, 4):
        with monkeypatch.context() as patch:
            killed_after(patch, writes, TOLD + DRAWN if exact else TOLD)
            try:
                run_study(config, tmp_path / "killed")
            except Killed:
                kills += 1
    assert kills > 2
    run_study(config, tmp_path / "killed")
    assert proposed(tmp_path / "killed") == whole
    ours = [(t.params, t.state, t.value) for t in optuna_study(tmp_path / "killed").trials]
    assert ours == [(t.params, t.state, t.value) for t in optuna_study(tmp_path / "whole").trials]


def test_a_change_is_allowed_by_name_and_recorded(tmp_path: Path) -> None:
    run_study(study(trials=2), tmp_path)
    changed = study(trials=4, max_macs=10**9, sampler={"name": "tpe"})
    with pytest.raises(arch.InputError, match=r"max_macs was 0 and is 1000000000.*--allow-change max_macs"):
        run_study(changed, tmp_path)
    with pytest.raises(arch.InputError, match=r"max_macs was"):
        run_study(changed, tmp_path, allow=["sampler"])
    assert run_study(changed, tmp_path, allow=["sampler", "max_macs"]).finished == 4
    changes = read_lines(tmp_path / "changes.jsonl")
    assert {"key": "max_macs", "old": 0, "new": 10**9, "trials": 2}.items() <= changes[0].items()
    assert {change["key"].partition(".")[0] for change in changes} == {"max_macs", "sampler"}
    assert run_study(changed, tmp_path).finished == 4  # recorded, it needs no word any more
    assert status(tmp_path)["changed"] == len(changes)


def test_the_name_and_the_objective_never_change(tmp_path: Path) -> None:
    run_study(study(trials=1), tmp_path)
    for change in ({"name": "other"}, {"objective": "val_loss"}):
        with pytest.raises(arch.InputError, match="take its best along with start"):
            run_study(study(trials=1, **change), tmp_path, allow=list(change))


def test_after_another_recipe_or_split_nothing_old_answers(tmp_path: Path) -> None:
    space = {"family": {"per": "row", "choices": FAMILIES}}
    run_study(study(space=space, trials=9), tmp_path)
    assert any("duplicate_of" in result for result in results(tmp_path))
    data = {"name": "digits", "split_seed": 1}
    run_study(study(space=space, trials=12, data=data), tmp_path, allow=["split"])
    assert (tmp_path / "base.1" / "result.json").exists()
    assert (tmp_path / "base" / "result.json").exists()
    later = [result for result in results(tmp_path) if result["trial"] >= 9]
    assert later
    assert all(result.get("duplicate_of", 9) in ("base", *range(9, 12)) for result in later)


def test_only_like_trials_are_ranked_and_confirmed(tmp_path: Path) -> None:
    long, short = ({"base": "default", "epochs": epochs, "batch": 128, "precision": "fp32"} for epochs in (6, 2))
    run_study(study(recipe=long, trials=3), tmp_path)
    before = reports.load(tmp_path).ranked["trial"].tolist()
    assert sorted(before) == ["0", "1", "2"]
    run_study(study(recipe=short, trials=5), tmp_path, allow=["recipe"])
    assert sorted(reports.load(tmp_path).ranked["trial"]) == ["3", "4"]
    assert sorted(ranked(tmp_path, Objectives("val_accuracy"))) == [3, 4]
    with pytest.raises(arch.InputError, match=r"00000: was trained before the study's recipe, seed or data changed"):
        search.confirm_study(tmp_path, trials=[0], seeds=1)
    data = {"name": "digits_noisy"}
    run_study(study(recipe=short, trials=6, data=data), tmp_path, allow=["data", "split"])
    assert ranked(tmp_path, Objectives("val_accuracy")) == [5]


def test_choices_grow_into_a_copy_of_the_study(tmp_path: Path) -> None:
    def family(*names: str) -> dict[str, Any]:
        return {"family": {"per": "row", "choices": list(names)}, "aux_weight": {"low": 0.0, "high": 0.6}}

    run_study(study(space=family(*FAMILIES), trials=5), tmp_path)
    before = optuna_study(tmp_path).trials
    grown = study(space=family(*FAMILIES, "inception_v3"), trials=14)
    with pytest.raises(arch.InputError, match=r"space\.family\.choices was \['inception_v1', 'inception_v2'\] and is"):
        run_study(grown, tmp_path)
    assert run_study(grown, tmp_path, allow=["space.family.choices"]).finished == 14
    after = optuna_study(tmp_path, "micro.2").trials
    assert [(t.number, t.params, t.value, t.user_attrs) for t in after[:5]] == [
        (t.number, t.params, t.value, t.user_attrs) for t in before
    ]
    assert [t.datetime_start for t in after[:5]] == [t.datetime_start for t in before]
    assert any("inception_v3" in t.params.values() for t in after[5:])
    assert len(optuna_study(tmp_path).trials) == 5  # nothing is deleted
    assert {c["optuna_study"] for c in read_lines(tmp_path / "changes.jsonl")} == {"micro.2"}
    assert run_study(grown, tmp_path, trials=15).finished == 15
    fewer = study(space=family("inception_v1", "inception_v3"), trials=16)
    with pytest.raises(arch.InputError, match="the choice 'inception_v2' was removed, but trial"):
        run_study(fewer, tmp_path, allow=["space"])


def test_an_unfinished_trial_begins_anew_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        killed_after(patch, 6)
        with pytest.raises(Killed):
            run_study(study(trials=2, space={"aux_weight": {"low": 0.0, "high": 1.0}}), tmp_path)
    unfinished = [path for path in tmp_path.glob("trials/*") if not (path / "result.json").exists()]
    for folder in unfinished:
        (folder / "checkpoint.pt").write_text("of the old recipe")
    config = study(trials=2, space={"aux_weight": {"low": 0.0, "high": 1.0}})
    config["recipe"] = {**config["recipe"], "lr": 0.2}  # type: ignore[dict-item]
    assert run_study(config, tmp_path, allow=["recipe.lr"]).finished == 2
    assert all(list(folder.glob("checkpoint.pt.damaged-*")) for folder in unfinished)


def versions_of_the_last_start(run: Path, **versions: str) -> None:
    path = run / "attempts.jsonl"
    lines = read_lines(path)
    for line in lines:
        if "versions" in line:
            line["versions"] |= versions
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_another_major_version_is_refused_and_a_minor_one_is_said(tmp_path: Path) -> None:
    run_study(study(trials=1), tmp_path)
    versions_of_the_last_start(tmp_path, torch="1.13.0")
    with pytest.raises(arch.InputError, match=r"versions\.torch was '1\.13\.0' and is"):
        run_study(study(trials=2), tmp_path)
    assert run_study(study(trials=2), tmp_path, allow=["versions.torch"]).finished == 2
    assert read_lines(tmp_path / "changes.jsonl")[0]["key"] == "versions.torch"
    major = optuna.__version__.partition(".")[0]
    versions_of_the_last_start(tmp_path, optuna=f"{major}.999.0", pandas="0.1")
    said: list[str] = []
    show = Notes(said)
    assert run_study(study(trials=2), tmp_path, show=show).finished == 2
    assert [text for text in said if "versions" in text] == [
        f"versions.optuna was '{major}.999.0' and is '{optuna.__version__}'"
    ]


def test_another_execution_is_said_and_recorded(tmp_path: Path) -> None:
    run_study(study(trials=1), tmp_path)
    said: list[str] = []
    plain = study(trials=2, engine={"workers": 1, "threads": 1, "execution": "plain"})
    assert run_study(plain, tmp_path, show=Notes(said)).finished == 2
    assert any(text.startswith("execution was fused") and "is plain" in text for text in said)
    starts = [a["execution"] for a in read_lines(tmp_path / "attempts.jsonl") if "execution" in a]
    assert starts[0].startswith("fused")
    assert starts[1] == "plain"
    assert read_json(tmp_path / "environment.json")["execution"] == "plain"


def test_an_allowed_change_at_the_command_line_is_shown_by_status_and_report(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(trials=1)))
    run, runner = str(tmp_path / "run"), CliRunner()
    command = ["search", str(tmp_path / "study.yaml"), "--run", run]
    assert runner.invoke(app, command).exit_code == 0
    changed = [*command, "--set", "study.max_macs=99000000", "--trials", "2"]
    assert isinstance(runner.invoke(app, changed).exception, arch.InputError)
    assert runner.invoke(app, [*changed, "--allow-change", "max_macs"]).exit_code == 0
    shown = runner.invoke(app, ["status", run]).stdout
    assert "before trial 1: max_macs was 0 and is 99000000" in shown
    assert json.loads(runner.invoke(app, ["status", run, "--format", "json"]).stdout)[0]["changed"] == 1
    assert "max_macs was 0 and is 99000000" in report(tmp_path / "run").read_text()
    assert reports.load(tmp_path / "run" / "report").changes == read_lines(tmp_path / "run" / "changes.jsonl")
