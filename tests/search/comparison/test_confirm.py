from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import arch
import inceptory
import reports
import search
from search.comparison.confirm import fresh_seeds
from search.data.dataset import Data
from search.engines.base import EngineConfig
from search.engines.supervisor import run_tasks
from search.engines.task import Task
from search.progress import Silent
from search.record.files import read_json, read_lines, write_json
from search.record.status import status
from search.statistics.standing import standing
from tests.support import ROOT, study
from tests.support.commands import here
from tests.support.engines import Dying
from tests.support.races import raced

ONE = {"base": "default", "epochs": 1, "batch": 256, "precision": "fp32"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished study; each test confirms a copy of it."""
    run = tmp_path_factory.mktemp("runs") / "micro"
    space = {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 0.6}}
    search.run_study(study(recipe=ONE, trials=4, space=space), run)
    return run


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / "micro"))


def ranked(run: Path) -> list[str]:
    return reports.load(run).ranked["trial"].tolist()


def stamps(run: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in run.glob("confirm/*/*/result.json")}


def test_the_best_and_the_base_with_the_same_fresh_seeds_on_everything(run: Path) -> None:
    outcome = search.confirm_study(run, top=2, seeds=2)
    assert (outcome.complete, outcome.total, outcome.signal) == (6, 6, 0)
    names = ["base", *(f"trial-{number}" for number in ranked(run)[:2])]
    assert sorted(path.name for path in (run / "confirm").iterdir() if path.is_dir()) == sorted(names)
    seeds = fresh_seeds(2, [0])
    for name in names:
        source = run / "base" if name == "base" else run / "trials" / f"{int(name.removeprefix('trial-')):05d}"
        assert sorted(path.name for path in (run / "confirm" / name).iterdir()) == sorted(map(str, seeds))
        for seed in seeds:
            folder = run / "confirm" / name / str(seed)
            result = read_json(folder / "result.json")
            assert result["seed"] == seed != 0
            assert result["everything"]
            assert (result["train_images"], result["val_images"]) == (1438, 0)
            assert 0 <= result["test_accuracy"] <= 1
            assert len(read_lines(folder / "test_openings.jsonl")) == 1
            assert arch.load(folder / "spec.yaml").id == arch.load(source / "spec.yaml").id
            own = search.load_recipe(source / "recipe.yaml")
            assert search.load_recipe(folder / "recipe.yaml").aux_weight == own.aux_weight
    assert status(run)["confirmed"] == "6 of 6"
    before = stamps(run)
    again = search.confirm_study(run, top=2, seeds=2)
    assert again.results == outcome.results
    assert stamps(run) == before
    assert [a.get("ended") for a in read_lines(run / "confirm" / "attempts.jsonl")] == [None, "complete"] * 2


def test_a_plan_grows_on_record_and_never_shrinks(run: Path) -> None:
    search.confirm_study(run, top=1, seeds=1)
    before = stamps(run)
    grown = search.confirm_study(run, top=2, seeds=2)
    assert grown.total == 6
    assert {path: stamp for path, stamp in stamps(run).items() if path in before} == before
    assert search.confirm_study(run, top=1, seeds=1).total == 6
    steps = read_json(run / "confirm" / "plan.json")["grown"]
    assert [(s["finished"], s["from"], s["to"]) for s in steps] == [
        (2, {"seeds": 1, "networks": 2}, {"seeds": 2, "networks": 3})
    ]


def test_a_race_is_confirmed_by_what_it_expected_with_seeds_that_it_never_had(tmp_path: Path) -> None:
    run = raced(tmp_path / "micro")
    stand = standing(run)
    assert stand
    taken = {read_json(path)["seed"] for path in run.glob("**/result.json")}
    assert len(taken) > 3
    used = next(seed for seed in sorted(taken) if seed)
    with pytest.raises(arch.InputError, match=f"{used} cannot confirm anything: a search was run with it"):
        search.confirm_study(run, top=1, seeds=[used])
    outcome = search.confirm_study(run, top=1, seeds=1, changes={"epochs": 1, "max_steps": 1})
    assert outcome.complete == 2
    plan = read_json(run / "confirm" / "plan.json")
    assert set(plan["networks"]) == {"base", f"trial-{stand.ranked[0]}"}
    assert not set(plan["seeds"]) & taken
    effect = stand.effects.of(stand.effects.candidates[stand.effects.order()[0]])
    searched = plan["networks"][f"trial-{stand.ranked[0]}"]["searched"]
    assert (searched["expected"], tuple(searched["interval"])) == (effect.gain, effect.interval)
    assert (searched["chance"], searched["epochs"], searched["trainings"]) == (effect.chance, 4, effect.trainings)
    assert "expected" not in plan["networks"]["base"]["searched"]
    # The race goes on: what was predicted when the confirmation was planned stays.
    result = read_json(run / "trials" / f"{stand.ranked[0]:05d}" / "result.json")
    raised = {key: value for key, value in result.items() if key != "seal"} | {"val_accuracy": 0.999, "val_loss": 0.0}
    write_json(run / "trials" / f"{stand.ranked[0]:05d}" / "result.json", raised)
    search.confirm_study(run, top=1, seeds=1, changes={"epochs": 1, "max_steps": 1})
    assert read_json(run / "confirm" / "plan.json")["networks"] == plan["networks"]


def test_another_confirmation_in_the_same_folder_is_refused(run: Path) -> None:
    search.confirm_study(run, top=1, seeds=1, changes={"epochs": 2})
    assert all(
        r["epochs"] == 2 for r in search.confirm_study(run, top=1, seeds=1, changes={"epochs": 2}).results.values()
    )
    with pytest.raises(arch.InputError, match=r"another confirmation \(recipe\.epochs was 2 and is 1\)"):
        search.confirm_study(run, top=1, seeds=1)
    plan = read_json(run / "confirm" / "plan.json")
    name = next(name for name in plan["networks"] if name != "base")
    spec = run / "trials" / f"{int(name.removeprefix('trial-')):05d}" / "spec.yaml"
    spec.write_text((run / "base" / "spec.yaml").read_text())
    with pytest.raises(arch.InputError, match=rf"networks\.{name} was"):
        search.confirm_study(run, top=1, seeds=1, changes={"epochs": 2})


def test_another_recipe_keeps_what_was_searched(run: Path) -> None:
    other = {"base": "default", "epochs": 1, "batch": 128, "lr": 0.05, "precision": "fp32"}
    trial = int(ranked(run)[0])
    search.confirm_study(run, trials=[trial], seeds=[5], recipe=other)
    ours = search.load_recipe(run / "confirm" / f"trial-{trial}" / "5" / "recipe.yaml")
    found = search.load_recipe(run / "trials" / f"{trial:05d}" / "recipe.yaml")
    assert (ours.lr, ours.batch, ours.aux_weight) == (0.05, 128, found.aux_weight)
    assert search.load_recipe(run / "confirm" / "base" / "5" / "recipe.yaml").aux_weight == 0.3


def test_another_study_beside_with_one_base(run: Path, tmp_path: Path) -> None:
    space = {"splits": {"round": 4, "minimum": 4}}
    search.run_study(study(recipe=ONE, trials=2, seed=7, space=space), tmp_path / "other")
    search.run_study(study(recipe=ONE | {"lr": 0.2}, trials=1, seed=7, space=space), tmp_path / "else")
    outcome = search.confirm_study(run, top=1, others=[(tmp_path / "other", 1)], seeds=1)
    assert {r["confirmed"] for r in outcome.results.values()} == {"base", f"trial-{ranked(run)[0]}", "other-trial-1"}
    with pytest.raises(arch.InputError, match="a search was run with it"):
        search.confirm_study(run, top=1, others=[(tmp_path / "other", 1)], seeds=[7])
    with pytest.raises(arch.InputError, match=r"another recipe .*lr was 0\.1 and is 0\.2.*give --recipe"):
        search.confirm_study(run, top=1, others=[(tmp_path / "else", 0)], seeds=1)


@pytest.mark.parametrize(
    ("asked", "fragment"),
    [
        ({"seeds": 0}, "at least one"),
        ({"seeds": [3, 3]}, "each seed is named once"),
        ({"seeds": [1, 0]}, "a search was run with it"),
        ({"seeds": [2**31]}, "below 2147483648"),
        ({"trials": [99]}, "is not finished"),
        ({"trials": [1, 1]}, "the same network and recipe as trial-1"),
        ({"changes": {"aux_weight": 0.1}}, "the search of .* varied it"),
        ({"changes": {"epoch": 1}}, "Did you mean epochs"),
    ],
)
def test_what_cannot_be_confirmed_is_refused(run: Path, asked: dict, fragment: str) -> None:
    with pytest.raises(arch.InputError, match=fragment):
        search.confirm_study(run, **asked)
    assert not (run / "confirm").exists()


def test_trials_without_a_score_are_refused_by_name(run: Path) -> None:
    path = run / "trials" / "00001" / "result.json"
    result = read_json(path)
    path.write_text(json.dumps(result | {"state": "pruned"}))
    with pytest.raises(arch.InputError, match="ended as pruned"):
        search.confirm_study(run, trials=[1])
    path.write_text(json.dumps(result | {"duplicate_of": 0}))
    with pytest.raises(arch.InputError, match="is the same as trial 0"):
        search.confirm_study(run, trials=[1])
    with pytest.raises(arch.InputError, match="no study with trials"):
        search.confirm_study(run / "base")


def test_seeds_are_fresh_and_more_of_them_begin_with_the_same() -> None:
    six = fresh_seeds(6, [0])
    assert fresh_seeds(12, [0])[:6] == six
    assert len(set(six)) == 6
    assert all(0 <= seed < 2**31 for seed in six)
    assert six != fresh_seeds(6, [1])
    assert six[2] not in fresh_seeds(6, [0, six[2]])


# The test set


def test_no_other_command_reaches_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test set that raises when it is read: search, status, best and report work, confirm does not."""

    def opened(*_: object) -> None:
        raise AssertionError("the test set was opened")

    monkeypatch.setattr(Data, "open_test", opened)
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(study(recipe=ONE, trials=2)))
    runner = CliRunner()
    commands = [["search", "study.yaml"], ["status", "runs/micro"], ["best", "runs/micro"], ["report", "runs/micro"]]
    one = ["runs/micro/trials/00000", "--format", "json"]
    for command in [*commands, ["search", "study.yaml", "--trials", "3"], ["evaluate", *one]]:
        done = runner.invoke(inceptory.app, command)
        assert done.exit_code == 0, (command, done.output, done.exception)
    assert not list(tmp_path.rglob("test_openings.jsonl"))
    assert not any("test_accuracy" in path.read_text() for path in tmp_path.rglob("result.json"))
    for command in (["confirm", "runs/micro", "--top", "1", "--seeds", "1"], ["evaluate", *one, "--split", "test"]):
        assert isinstance(runner.invoke(inceptory.app, command).exception, AssertionError)


def test_only_who_asks_for_it_opens_the_test_set() -> None:
    """In the source: `open_test` is called in one function, that by trainings whose task asks for it and by evaluate.

    Tasks with a test are made by comparisons (confirmations, ablations) and train alone, and only the command `evaluate` evaluates.
    """
    openers, judges, makers, evaluators = set(), set(), set(), set()
    for path in [path for room in ("search", "reports", "inceptory") for path in (ROOT / room).rglob("*.py")]:
        name, tree = str(path.relative_to(ROOT)), ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        inside = {id(node): function.name for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "open_test":
                openers.add(f"{name} {inside.get(id(node))}")
            if isinstance(node, ast.Attribute) and node.attr == "_test" and path.name != "dataset.py":
                openers.add(f"{name} {inside.get(id(node))}")
            if getattr(node, "attr", getattr(node, "id", None)) == "judge_test":
                judges.add(f"{name} {inside.get(id(node))}")
            if isinstance(node, ast.ImportFrom) and any(alias.name == "evaluate" for alias in node.names):
                evaluators.add(name)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Task":
                given = {word.arg for word in node.keywords}
                if "test" in given or len(node.args) > 6 or None in given:
                    makers.add(name)
    assert openers == {"search/evaluation/test_set.py judge_test"}
    assert judges == {"search/evaluation/test_set.py figures_on_test_set", "search/evaluation/evaluate.py evaluate"}
    assert makers == {"search/comparison/plan.py", "inceptory/train.py"}
    named_alone = {"search/__init__.py", "inceptory/__init__.py"}  # a public name, and a module of commands
    assert evaluators - named_alone == {"inceptory/evaluate.py"}


# Side by side, killed, stopped


def tasks(folder: Path, amount: int, **changes: object) -> dict[str, Task]:
    spec, recipe = arch.to_mapping(arch.load(str(study()["network"]))), ONE | changes
    recipe.pop("base")
    return {
        f"run {seed}": Task(str(folder / str(seed)), spec, recipe, {"name": "digits"}, seed) for seed in range(amount)
    }


def test_a_batch_answers_from_the_record_and_refuses_anothers(tmp_path: Path) -> None:
    first = run_tasks("batch", tasks(tmp_path, 1), EngineConfig(workers=1, threads=1))
    both = run_tasks("batch", tasks(tmp_path, 2), EngineConfig(workers=1, threads=1))
    assert list(both.results) == ["run 0", "run 1"]
    assert both.results["run 0"] == first.results["run 0"]
    with pytest.raises(arch.InputError, match=r"holds another training \(recipe_id was"):
        run_tasks("batch", tasks(tmp_path, 2, lr=0.2), EngineConfig(workers=1, threads=1))


def test_three_attempts_then_failed_by_name_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Dying()
    monkeypatch.setattr("search.engines.supervisor.make_engine", lambda *_: engine)
    outcome = run_tasks("batch", tasks(tmp_path, 2), EngineConfig(workers=2, threads=1), Silent())
    assert sorted(engine.begun) == ["run 0"] * 3 + ["run 1"] * 3
    assert outcome.complete == 0
    assert outcome.failed == dict.fromkeys(["run 0", "run 1"], "its process ended with signal SIGKILL, 3 times")
    again = run_tasks("batch", tasks(tmp_path, 2), EngineConfig(workers=2, threads=1))
    assert again.failed == outcome.failed
    assert len(engine.begun) == 6


@pytest.mark.fault("a confirmation is stopped or killed")
@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_stopped_or_killed_it_goes_on_to_exactly_its_total(run: Path, number: signal.Signals, workers: int) -> None:
    command = [
        sys.executable,
        "-m",
        "inceptory",
        "confirm",
        str(run),
        "--top",
        "1",
        "--seeds",
        "2",
        "--workers",
        str(workers),
    ]
    command += ["--set", "recipe.epochs=3", "--set", "recipe.batch=64"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    deadline = time.monotonic() + 120
    while not list(run.glob("confirm/*/*/metrics.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    text = process.communicate(timeout=60)[1]
    if number == signal.SIGINT:
        assert process.returncode == 130, text
        assert "To resume: inceptory confirm" in text
        assert list(run.glob("confirm/*/*/checkpoint.pt"))
    before = stamps(run)
    assert len(before) < 4
    done = here(*command[3:])
    assert done.returncode == 0, done.stderr
    after = stamps(run)
    assert len(after) == 4
    assert {path: after[path] for path in before} == before
    for path in after:
        result = read_json(Path(path))
        assert (result["state"], result["epochs"]) == ("complete", 3)
        assert len(read_lines(Path(path).parent / "test_openings.jsonl")) == 1
    assert "no verdict: 2 of 6 seeds" in done.stdout
    assert "2 seed(s) give no verdict: at least 6 are needed." in done.stdout
