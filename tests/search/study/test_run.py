from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import optuna
import pytest
import yaml

import arch
import search
from search.data.dataset import Data
from search.record.files import read_json, read_lines
from search.record.layout import results
from search.record.status import status
from search.space.candidates import Candidate
from search.study.run import run_study
from tests.support import study
from tests.support.driving import finish, start, wait_for

FIGURES = ("state", "val_accuracy", "val_loss", "train_loss", "key", "macs", "searched", "epochs")


def outcomes(run: Path) -> dict[int, dict]:
    """What a run's trials came to, without times."""
    return {r["trial"]: {name: r.get(name) for name in FIGURES} for r in results(run)}


def optuna_study(run: Path) -> optuna.Study:
    return optuna.load_study(study_name="micro", storage=f"sqlite:///{run / 'study.db'}")


def test_a_study_is_an_optuna_study_with_a_folder_a_trial(tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = run_study(study(), run)
    assert (outcome.ended, outcome.finished) == ("complete", 3)
    trials = optuna_study(run).trials
    assert [t.state.name for t in trials] == ["COMPLETE"] * 3
    for trial in trials:
        folder = run / "trials" / f"{trial.number:05d}"
        result = read_json(folder / "result.json")
        assert result["val_accuracy"] == trial.value
        assert result["macs"] == arch.cost(arch.load(folder / "spec.yaml")).macs == trial.user_attrs["macs"]
        assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
        assert search.load_recipe(folder / "recipe.yaml").epochs == 2
        assert not (folder / "checkpoint.pt").exists()
        assert (folder / "weights.safetensors").exists()
    resolved = yaml.safe_load((run / "study.yaml").read_text())
    assert resolved["recipe"]["momentum"] == 0.9
    assert resolved["sampler"] == {"name": "random"}
    assert read_json(run / "base" / "result.json")["state"] == "complete"
    assert read_json(run / "environment.json")["versions"]["torch"]
    assert status(run)["finished"] == 3


@pytest.mark.usefixtures("instant")
def test_trials_is_a_total(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_study(study(trials=2), run).finished == 2
    before = outcomes(run)
    assert run_study(study(trials=2), run).finished == 2
    assert run_study(study(), run, trials=4).finished == 4
    assert {n: r for n, r in outcomes(run).items() if n < 2} == before
    assert len(optuna_study(run).trials) == 4
    attempts = read_lines(run / "attempts.jsonl")
    assert [a.get("finished", a.get("ended")) for a in attempts] == [0, "complete", 2, "complete", 2, "complete"]


@pytest.mark.usefixtures("instant")
def test_only_the_best_keep_their_weights(tmp_path: Path) -> None:
    run_study(study(trials=4, keep_weights=1), tmp_path)
    kept = [path.parent.name for path in tmp_path.glob("trials/*/weights.safetensors")]
    assert kept == [f"{optuna_study(tmp_path).best_trial.number:05d}"]


@pytest.mark.usefixtures("instant")
def test_over_the_limit_is_never_trained(tmp_path: Path) -> None:
    base = arch.cost(arch.load(str(study()["network"]))).macs
    run_study(study(max_macs=base, trials=3), tmp_path)
    found = list(results(tmp_path))
    over = [r for r in found if r["macs"] > base]
    assert len(over) > 0
    assert len(found) - len(over) == 3
    for result in over:
        assert result["state"] == "infeasible"
        assert not (tmp_path / "trials" / f"{result['trial']:05d}" / "metrics.jsonl").exists()
    trials = optuna_study(tmp_path).trials
    assert all(
        t.state.name == "PRUNED" and t.constraints["macs"] > 0 for t in trials if t.number in {r["trial"] for r in over}
    )


@pytest.mark.usefixtures("instant")
def test_nothing_feasible_ends_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.study.stopping._MOST_INFEASIBLE", 5)
    space = {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 1.0}}
    assert run_study(study(max_macs=1000, space=space), tmp_path).ended == "nothing feasible"
    assert run_study(study(max_macs=1000), tmp_path / "counted").ended == "nothing feasible"


@pytest.mark.usefixtures("instant")
def test_a_small_space_ends_early_and_duplicates_are_answered(tmp_path: Path) -> None:
    space = {"recipe": {"lr": {"choices": [0.05, 0.1]}, "label_smoothing": {"choices": [0.0, 0.1]}}}
    outcome = run_study(study(space=space, trials=40), tmp_path)
    assert outcome.ended == "space exhausted"
    found = list(results(tmp_path))
    trained = [r for r in found if "duplicate_of" not in r]
    # The base's own recipe is one of the four: its training is not repeated either.
    assert len({r["key"] for r in found}) == 4
    assert len(trained) == len({r["key"] for r in trained})
    again = [r for r in found if "duplicate_of" in r]
    values = {r["trial"]: r["val_accuracy"] for r in found}
    values["base"] = read_json(tmp_path / "base" / "result.json")["val_accuracy"]
    assert all(r["val_accuracy"] == values[r["duplicate_of"]] for r in again)
    assert len(optuna_study(tmp_path).trials) == outcome.finished


@pytest.mark.usefixtures("instant")
def test_duplicates_count_towards_the_total(tmp_path: Path) -> None:
    space = {"recipe": {"lr": {"choices": [0.05, 0.1]}}, "aux_weight": {"choices": [0.1, 0.2, 0.3, 0.4, 0.5]}}
    outcome = run_study(study(space=space, trials=9), tmp_path)
    found = list(results(tmp_path))
    assert outcome.finished == len(found) == 9
    assert any("duplicate_of" in r for r in found)


@pytest.mark.usefixtures("instant")
def test_a_changed_study_is_refused_with_the_difference(tmp_path: Path) -> None:
    run_study(study(trials=1), tmp_path)
    with pytest.raises(arch.InputError, match=r"space\.splits\.round was 4 and is 2"):
        run_study(study(trials=1, space={"splits": {"round": 2, "minimum": 4}}), tmp_path)
    with pytest.raises(arch.InputError, match=r"recipe\.lr was 0\.1 and is 0\.2"):
        run_study(
            study(trials=1, recipe={"base": "default", "epochs": 2, "batch": 128, "precision": "fp32", "lr": 0.2}),
            tmp_path,
        )
    with pytest.raises(arch.InputError, match="split was"):
        run_study(study(trials=1, data={"name": "digits", "split_seed": 1}), tmp_path)


def test_a_study_never_opens_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> None:
        raise AssertionError("the test set was opened")

    monkeypatch.setattr(Data, "open_test", opened)
    assert run_study(study(trials=2), tmp_path).finished == 2
    assert not list(tmp_path.rglob("test_openings.jsonl"))


def test_a_diverging_trial_is_failed_with_its_reason(tmp_path: Path) -> None:
    plain = arch.from_mapping(arch.to_mapping(arch.load(str(study()["network"]))) | {"style": {"norm": "none"}})
    (tmp_path / "plain.yaml").write_text(arch.to_yaml(plain))
    wild = {
        "base": "default",
        "epochs": 2,
        "batch": 16,
        "lr": 99.0,
        "warmup": 0.0,
        "schedule": "constant",
        "weight_decay": 1.0,
    }
    outcome = run_study(study(network=str(tmp_path / "plain.yaml"), recipe=wild, trials=2), tmp_path / "run")
    assert outcome.finished == 2
    assert all("diverged" in r["reason"] for r in results(tmp_path / "run"))
    assert [t.state.name for t in optuna_study(tmp_path / "run").trials] == ["FAIL", "FAIL"]


@pytest.mark.usefixtures("instant")
def test_a_pruner_ends_trials_early(tmp_path: Path) -> None:
    pruner = {"name": "threshold", "lower": 1.1}  # nothing is that accurate
    run_study(study(pruner=pruner, trials=2), tmp_path)
    assert [r["state"] for r in results(tmp_path)] == ["pruned", "pruned"]
    assert all(r["epochs"] == 1 for r in results(tmp_path))
    assert [t.state.name for t in optuna_study(tmp_path).trials] == ["PRUNED", "PRUNED"]
    assert read_json(tmp_path / "base" / "result.json")["state"] == "complete"


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "qmc", "gp", "cmaes"])
def test_samplers_by_name(sampler: str, tmp_path: Path) -> None:
    recipe = {"base": "default", "epochs": 1, "batch": 512, "precision": "fp32"}
    assert run_study(study(sampler={"name": sampler}, recipe=recipe, trials=2), tmp_path).finished == 2


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"sampler": {"name": "tpee"}}, ["no sampler 'tpee'", "Did you mean tpe"]),
        ({"sampler": {"name": "tpe", "n_startup": 3}}, ["unknown option 'n_startup'", "n_startup_trials"]),
        ({"pruner": {"name": "medain"}}, ["no pruner 'medain'", "median"]),
        ({"trails": 3}, ["unknown key 'trails'", "Did you mean trials"]),
        ({"trials": 0}, ["'trials'"]),
        ({"space": {}}, ["nothing varies"]),
        ({"network": "googlenet_cifar_smal"}, ["googlenet_cifar_small"]),
    ],
)
def test_wrong_studies_are_refused(changes: dict, fragments: list[str], tmp_path: Path) -> None:
    with pytest.raises(arch.InputError) as caught:
        run_study(study(**changes), tmp_path / "run")
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert not (tmp_path / "run").exists()


LONG = {"base": "default", "epochs": 6, "batch": 32, "precision": "fp32"}


@pytest.mark.slow  # the fast one: tests/benchmarks/test_kills.py
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_resumed_to_exactly_its_total(tmp_path: Path, workers: int) -> None:
    """The driver dies by SIGKILL in its second trial; the next start completes the study."""
    config = study(recipe=LONG | {"epochs": 4, "batch": 64}, trials=3, engine={"workers": workers, "threads": 1})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    killed = start(tmp_path, "killed")
    wait_for(lambda: (tmp_path / "killed" / "trials" / "00001" / "metrics.jsonl").exists(), killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = outcomes(tmp_path / "killed")
    resumed = finish(tmp_path, "killed")
    assert resumed.returncode == 0, resumed.stderr
    after = outcomes(tmp_path / "killed")
    assert {number: after[number] for number in before} == before
    assert sorted(after) == [0, 1, 2]
    assert [t.state.name for t in optuna_study(tmp_path / "killed").trials] == ["COMPLETE"] * 3
    if workers == 1:  # with one worker, to the same bits as never killed
        finish(tmp_path, "whole")
        assert outcomes(tmp_path / "whole") == after


@pytest.mark.fault("SIGTERM or Ctrl-C")
@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [
        (signal.SIGINT, 130, 1),
        pytest.param(signal.SIGTERM, 143, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, 2, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_cleanly_with_a_checkpoint_and_the_command(
    tmp_path: Path, number: signal.Signals, code: int, workers: int
) -> None:
    config = study(recipe=LONG | {"epochs": 400}, trials=2, engine={"workers": workers, "threads": 1})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    under_way = tmp_path / "run" / ("base" if workers == 1 else "trials/00000")
    process = start(tmp_path, "run")
    wait_for(lambda: (under_way / "metrics.jsonl").exists(), process)
    process.send_signal(number)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == code, text
    assert "To resume: inceptory search" in text
    assert (under_way / "checkpoint.pt").exists()
    assert not (under_way / "result.json").exists()


@pytest.mark.fault("a second driver in one directory")
def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(recipe=LONG | {"epochs": 400})))
    first = start(tmp_path, "run")
    wait_for(lambda: (tmp_path / "run" / "base" / "metrics.jsonl").exists(), first)
    second = finish(tmp_path, "run")
    assert "another process is at work on this study" in " ".join(second.stderr.split())
    assert second.returncode == 2
    first.kill()
    first.wait()


@pytest.mark.fault("a worker is killed")
@pytest.mark.slow  # the fast one: tests/search/engines/test_choose.py
def test_a_worker_that_dies_costs_one_attempt(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(study(recipe=LONG, trials=2, engine={"workers": 2, "threads": 1}))
    )
    process = start(tmp_path, "run")
    wait_for(lambda: (tmp_path / "run" / "trials" / "00000" / "metrics.jsonl").exists(), process)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    for child in children:  # the base's worker and the trial's
        os.kill(int(child), signal.SIGKILL)
    text = process.communicate()[0]
    assert process.returncode == 0, text
    assert text.count("its process ended with signal SIGKILL; attempt 2 of 3") == 2
    assert "already reported" not in text  # Optuna's warning of an epoch that is told twice
    assert [r["state"] for r in results(tmp_path / "run")] == ["complete"] * 2
    assert [a.get("ended") for a in read_lines(tmp_path / "run" / "attempts.jsonl")] == [None, "complete"]


def test_a_search_left_by_an_error_keeps_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage fails in the middle of a trial: the trial is no pruned one, and goes on with the next start."""
    calls = []

    def fail_once(self: optuna.trial.Trial, value: float, step: int) -> None:
        calls.append(step)
        if len(calls) == 1:
            raise RuntimeError("the storage is gone")

    monkeypatch.setattr(optuna.trial.Trial, "report", fail_once)
    with pytest.raises(RuntimeError, match="storage is gone"):
        run_study(study(trials=1), tmp_path)
    folder = tmp_path / "trials" / "00000"
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "result.json").exists()
    assert run_study(study(trials=1), tmp_path).finished == 1
    assert read_json(folder / "result.json")["state"] == "complete"


@pytest.mark.usefixtures("instant")
def test_a_storage_that_was_lost_or_is_anothers_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    run_study(study(trials=1, storage=url), tmp_path / "one")
    with pytest.raises(arch.InputError, match=r"another study called micro .*seed was 0 and is 1"):
        run_study(study(trials=1, storage=url, seed=1), tmp_path / "two")
    with pytest.raises(arch.InputError, match=r"is new, but the storage holds 1 trials of a study called micro"):
        run_study(study(trials=2, storage=url), tmp_path / "three")
    (tmp_path / "shared.db").unlink()
    with pytest.raises(arch.InputError, match="holds 1 trials, but the storage holds 0"):
        run_study(study(trials=2, storage=url), tmp_path / "one")


def test_the_same_weights_said_in_two_ways_are_one_candidate() -> None:
    spec = arch.load(str(study()["network"]))
    one, two = (search.load_recipe("default", {"aux_weight": weight}) for weight in (0.3, {"3a": 0.3}))
    assert Candidate(spec, one).key == Candidate(spec, two).key
    kernel = arch.from_mapping(
        arch.to_mapping(spec)
        | {
            "rows": [
                dict(row, **({"kernel": [5, 5]} if row["name"] == "stem" else {}))
                for row in arch.to_mapping(spec)["rows"]
            ]
        }
    )
    assert Candidate(kernel, one).key == Candidate(spec, one).key


@pytest.mark.slow
def test_killed_a_dozen_times_at_random_moments(tmp_path: Path) -> None:
    """Whenever the driver dies: every finished trial stays, and the end is that of a study never killed."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(recipe=LONG, trials=8)))
    moments = random.Random(0)
    seen: dict[int, dict] = {}
    for _ in range(12):
        process = start(tmp_path, "killed")
        time.sleep(moments.uniform(3, 7))  # importing torch takes about 3 s of it
        process.kill()
        process.communicate()
        now = outcomes(tmp_path / "killed") if (tmp_path / "killed" / "trials").exists() else {}
        assert {number: now[number] for number in seen} == seen
        seen = now
    last = start(tmp_path, "killed")
    text = last.communicate()[0]
    assert last.returncode == 0, text
    whole = start(tmp_path, "whole")
    whole.communicate()
    assert outcomes(tmp_path / "killed") == outcomes(tmp_path / "whole")
    assert len(optuna_study(tmp_path / "killed").trials) == 8


def test_a_studys_file_is_named_whatever_is_wrong_in_it(tmp_path: Path) -> None:
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump(study(sampler={"name": "nonsense"})))
    with pytest.raises(arch.InputError, match=r"asked\.yaml: study micro: .*nonsense"):
        run_study(str(file), tmp_path / "run")
