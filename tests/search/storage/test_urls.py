"""Storages by URL: a real PostgreSQL server that goes away, journals with torn lines, passwords that stay hidden."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

import arch
from search.record.files import write_yaml
from search.record.layout import results
from search.storage.urls import open_storage, shown
from search.study.dashboard import Dashboard
from search.study.run import run_study
from tests.support import needs, postgres_programs, study
from tests.support.driving import finish, start, wait_for

PASSWORD = "only-for-the-test"


@dataclass
class Server:
    """A PostgreSQL server of the test's own, on the loopback address."""

    folder: Path
    port: int
    url: str

    def call(self, program: str, *arguments: str) -> None:
        account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        command = [str((postgres_programs() or Path()) / program), "-D", str(self.folder / "data"), *arguments]
        with open(self.folder / "out", "a") as out:  # not a pipe: the server would keep it open
            done = subprocess.run(command, stdout=out, stderr=out, cwd=self.folder, check=False, **account)
        assert done.returncode == 0, (self.folder / "out").read_text()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self.call("pg_ctl", "start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str) -> None:
        self.call("pg_ctl", "stop", "-w", "-m", mode)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The server refuses to run as root: then it runs as Debian's user for it."""
    needs("postgres")
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Server(folder, port, f"postgresql+psycopg://inceptory:{PASSWORD}@127.0.0.1:{port}/postgres")
    (folder / "password").write_text(PASSWORD)
    (folder / "out").touch()
    if os.geteuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    try:
        made.call("initdb", "-U", "inceptory", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync")
        made.start()
        yield made
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            made.stop("immediate")
        shutil.rmtree(folder)


LONG = {"base": "default", "epochs": 5, "batch": 64, "precision": "fp32"}


def figures(run: Path) -> dict[int, tuple]:
    return {r["trial"]: (r["state"], r["val_loss"], r["train_loss"], r["key"]) for r in results(run)}


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple]:
    """The figures of the study whose storage does not go away."""
    run = tmp_path_factory.mktemp("whole")
    run_study(study(name="gone", recipe=LONG, trials=3), run)
    return figures(run)


@pytest.mark.fault("the PostgreSQL server stops for 3 to 30 s")
@pytest.mark.parametrize(
    ("mode", "seconds"),
    [
        ("immediate", 3),
        *(pytest.param(mode, seconds, marks=pytest.mark.slow) for mode, seconds in (("fast", 3), ("immediate", 30))),
    ],
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


@pytest.mark.fault("a line is torn at the end of a file, or broken in the middle")
def test_a_journal_is_cut_after_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "study.log"
    url = f"journal://{path}"
    assert run_study(study(trials=1, storage=url), tmp_path / "run").finished == 1
    gc.collect()  # in one process, the first storage is a writer that lives until it is forgotten
    whole = path.read_bytes()
    torn = b'{"op_code":4,"worker_id":"7f2'
    path.write_bytes(whole + torn)
    assert run_study(study(trials=2, storage=url), tmp_path / "run").finished == 2
    assert path.read_bytes().startswith(whole)
    assert torn not in path.read_bytes()
    assert repr(torn) in path.with_name("study.log.torn").read_text()
    plain = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    assert [t.state.name for t in optuna.load_study(study_name="micro", storage=plain).trials] == ["COMPLETE"] * 2


def test_a_journal_is_left_alone_while_a_writer_lives(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    writer = open_storage(f"journal://{path}")
    optuna.create_study(storage=writer, study_name="one")
    with open(path, "ab") as file:
        file.write(b'{"op_code":0,')  # a line that the writer is still writing
    content = path.read_bytes()
    open_storage(f"journal://{path}")
    assert path.read_bytes() == content
    assert not path.with_name("study.log.torn").exists()


def test_sqlite_waits_for_another_writer(tmp_path: Path) -> None:
    storage: Any = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


@pytest.mark.parametrize(
    ("url", "as_shown"),
    [
        ("", ""),
        ("sqlite:///runs/study.db", "sqlite:///runs/study.db"),
        ("journal:///runs/study.log", "journal:///runs/study.log"),
        ("postgresql+psycopg://me:se%40cret@host:1/db", "postgresql+psycopg://me:***@host:1/db"),
        ("postgresql://host/db?password=secret&user=me", "postgresql://host/db?password=hidden&user=me"),
        ("postgresql://me:secret@host:port/db", "postgresql://***"),
        ("secret", "***"),
    ],
)
def test_no_password_is_shown(url: str, as_shown: str) -> None:
    assert shown(url) == as_shown


@pytest.mark.parametrize(
    ("url", "fragments"),
    [
        ("postgresql://me:secret@127.0.0.1:1/db", ["cannot be opened", "me:***@"]),
        ("mysql://me:secret@host/db", ["no storage of kind 'mysql'", "postgresql", "me:***@"]),
        ("sqllite:///x.db", ["Did you mean sqlite"]),
        ("study.db", ["not a URL"]),
        ("journal:///proc/none/study.log", ["cannot be opened"]),
        ("sqlite:////proc/none/study.db", ["cannot be opened"]),
    ],
)
def test_wrong_urls_are_refused_without_their_password(url: str, fragments: list[str]) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(arch.InputError) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(arch.InputError, match=r"pip install 'inceptory\[postgres\]'"):
        open_storage("postgresql://host/db")
