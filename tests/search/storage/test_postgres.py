"""A real PostgreSQL server that goes away, and commits whose answers are lost."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import OperationalError

import arch
from search.record.files import write_yaml
from search.record.layout import results
from search.storage.postgres import _COMMITS, committed
from search.storage.urls import open_storage, shown
from search.study.dashboard import Dashboard
from search.study.run import run_study
from tests.support import study
from tests.support.driving import finish, start, wait_for
from tests.support.postgres import PASSWORD, Server

LONG = {"base": "default", "epochs": 3, "batch": 64, "precision": "fp32"}


def figures(run: Path) -> dict[int, tuple]:
    return {r["trial"]: (r["state"], r["val_loss"], r["train_loss"], r["key"]) for r in results(run)}


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple]:
    """The figures of the study whose storage does not go away."""
    run = tmp_path_factory.mktemp("whole")
    run_study(study(name="gone", recipe=LONG, trials=3), run)
    return figures(run)


@pytest.mark.fault("the PostgreSQL server stops for 3 to 30 s")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "seconds"),
    [("immediate", 3), ("fast", 3), ("immediate", 30)],
)
def test_a_server_that_goes_away_and_comes_back_costs_only_time(
    server: Server, never_stopped: dict[int, tuple], tmp_path: Path, mode: str, seconds: int
) -> None:
    """Stopped mid-study, in order or as by a crash; the driver is killed after it, too."""
    name = f"gone-{mode}-{seconds}"
    asked = study(name=name, recipe=LONG, trials=3, storage=server.url)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(asked))
    run = tmp_path / "run"
    process = start(tmp_path)
    wait_for(lambda: (run / "trials" / "00000" / "metrics.jsonl").exists(), process)
    server.stop(mode)
    time.sleep(seconds)
    assert process.poll() is None
    server.start()
    wait_for(lambda: (run / "trials" / "00001" / "metrics.jsonl").exists(), process)
    process.kill()
    process.communicate()
    resumed = finish(tmp_path)
    text = resumed.stdout + resumed.stderr
    assert resumed.returncode == 0, text
    trials = optuna.load_study(study_name=name, storage=server.url).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    assert figures(run) == never_stopped
    written = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in written
    assert PASSWORD not in text
    assert f"inceptory:***@127.0.0.1:{server.port}" in (run / "study.yaml").read_text()


def lose(storage: Any, number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of the commits from now on, let the one of that number come through, but not its answer."""
    import psycopg

    commits: list[int] = []
    commit = storage.engine.dialect.do_commit

    def do_commit(connection: Any) -> None:
        commit(connection)
        commits.append(len(commits))
        if commits[-1] == number:
            connection.driver_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(storage.engine.dialect, "do_commit", do_commit)
    return commits


@pytest.mark.fault("the answer to a commit is lost")
@pytest.mark.parametrize("request_", ["ask", "ask for an enqueued one", "tell", "tell pruned"])
def test_a_commit_whose_answer_is_lost_is_not_repeated(
    server: Server, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    """Whichever of the commits of a request it is."""
    expected = {"tell": TrialState.COMPLETE, "tell pruned": TrialState.PRUNED}.get(request_, TrialState.RUNNING)
    storage = open_storage(server.url)
    for number in range(20):
        name = f"{request_}, commit {number}"
        known = optuna.create_study(storage=storage, study_name=name)
        if "enqueued" in request_:
            known.enqueue_trial({"x": 0.25})
        trial = known.ask() if "tell" in request_ else None
        with monkeypatch.context() as patch:
            commits = lose(storage, number, patch)
            if request_ == "tell":
                known.tell(trial, 0.5)
            elif request_ == "tell pruned":
                known.tell(trial, state=TrialState.PRUNED)
            else:
                trial = known.ask()
                x = trial.suggest_float("x", 0, 1)
                assert x == 0.25 or "enqueued" not in request_
        assert trial.number == 0
        seen = optuna.load_study(study_name=name, storage=server.url).trials
        assert [found.state for found in seen] == [expected], f"commit {number}"
        if len(commits) <= number:
            break
    assert 2 < number < 20  # the last one was beyond the request's commits


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_commit_under_way_is_waited_for(server: Server, ending: str) -> None:
    """The connection is lost, but the server still works on what it was sent."""
    storage: Any = open_storage(server.url)
    with storage.engine.connect() as under_way:
        under_way.execute(insert(_COMMITS).values(mark=ending))
        answers: list[bool] = []
        asking = threading.Thread(target=lambda: answers.append(committed(storage.engine, ending)))
        asking.start()
        asking.join(0.5)
        assert asking.is_alive()
        getattr(under_way, ending)()
        asking.join(30)
        assert answers == [ending == "commit"]


def test_what_nobody_knows_is_not_repeated(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial is made, but the server does not say so within the given patience."""
    storage: Any = open_storage(server.url, patience=0.5)
    known = optuna.create_study(storage=storage, study_name="undecided")
    with monkeypatch.context() as patch:
        lose(storage, 0, patch)
        patch.setattr("search.storage.postgres.committed", refuse)
        with pytest.raises(optuna.exceptions.StorageInternalError, match="may have succeeded"):
            storage.create_new_trial(known._study_id)
    assert len(optuna.load_study(study_name="undecided", storage=server.url).trials) == 1


def refuse(*_: object) -> bool:
    raise OperationalError("", {}, Exception("refused"))


def test_marks_do_not_pile_up(server: Server) -> None:
    storage: Any = open_storage(server.url)
    known = optuna.create_study(storage=storage, study_name="marks")
    counting = select(func.count()).select_from(_COMMITS)
    with storage.engine.connect() as connection:
        before = connection.execute(counting).scalar_one()
        known.tell(known.ask(), 0.5)
        assert connection.execute(counting).scalar_one() == before
    with storage.engine.begin() as connection:
        connection.execute(update(_COMMITS).values(made=func.now() - timedelta(days=2)))
    again: Any = open_storage(server.url)
    with again.engine.connect() as connection:
        assert connection.execute(counting).scalar_one() == 0


def test_the_dashboard_takes_the_password_from_where_libpq_does(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna.create_study(study_name="watched", storage=open_storage(server.url))
    write_yaml(tmp_path / "study.yaml", {"name": "watched", "storage": shown(server.url)})
    with pytest.raises(arch.InputError, match="password"):
        Dashboard(tmp_path, host="127.0.0.1", port=0)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with Dashboard(tmp_path, host="127.0.0.1", port=0) as served:
        assert served.study == "watched"


def test_what_someone_else_took_or_told_is_theirs(server: Server) -> None:
    one, two = open_storage(server.url), open_storage(server.url)
    known = optuna.create_study(storage=one, study_name="shared")
    known.enqueue_trial({})
    waiting = known.trials[0]._trial_id
    assert one.set_trial_state_values(waiting, TrialState.RUNNING)
    assert not two.set_trial_state_values(waiting, TrialState.RUNNING)
    one.set_trial_state_values(waiting, TrialState.COMPLETE, [0.5])
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        two.set_trial_state_values(waiting, TrialState.COMPLETE, [0.5])


def test_patience_has_an_end(server: Server) -> None:
    patient = open_storage(server.url, patience=1.0)
    stopped = open_storage(server.url, give_up=lambda: True)
    server.stop("fast")
    try:
        began = time.monotonic()
        with pytest.raises(optuna.exceptions.StorageInternalError):
            patient.get_all_studies()
        assert 1.0 <= time.monotonic() - began < 15
        with pytest.raises(optuna.exceptions.StorageInternalError):
            stopped.get_all_studies()
        with pytest.raises(arch.InputError, match=r"inceptory:\*\*\*@127.0.0.1.*cannot be opened.*refused") as caught:
            open_storage(server.url)
        assert PASSWORD not in str(caught.value)
    finally:
        server.start()
