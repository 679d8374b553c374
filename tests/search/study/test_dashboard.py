"""optuna-dashboard for real: it answers, the study is in it, Chromium opens it, and nobody else can."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import optuna
import pytest

from arch.errors import InputError
from inceptory.studies import LOOPBACK, dashboard
from search.record.files import write_lines, write_yaml
from search.storage.urls import open_storage
from search.study.dashboard import Dashboard, recorded_storage, study_name
from tests.support.browser import EVIL, started


def run_directory(run: Path, name: str, storage: str = "") -> Path:
    """A run directory with a study of two trials in its storage."""
    run.mkdir()
    write_yaml(run / "study.yaml", {"name": name, "storage": storage})
    opened = optuna.create_study(study_name=name, storage=open_storage(storage or f"sqlite:///{run / 'study.db'}"))
    opened.optimize(lambda trial: trial.suggest_float("width", 0, 1), n_trials=2)
    return run


@contextmanager
def serving(run: Path, storage: str | None = None, host: str = LOOPBACK) -> Iterator[Dashboard]:
    with Dashboard(run, host=host, port=0, storage=storage) as served:
        thread = threading.Thread(target=served.serve)
        thread.start()
        try:
            yield served
        finally:
            served.stop()
            thread.join()


def studies(served: Dashboard, **headers: str) -> list[str]:
    """The names of the studies that the server lists."""
    root = served.url.partition("/dashboard")[0]
    with urllib.request.urlopen(urllib.request.Request(f"{root}/api/studies", headers=headers), timeout=20) as answer:
        return [study["study_name"] for study in json.load(answer)["study_summaries"]]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_the_study_is_listed_on_this_machine_alone(tmp_path: Path, kind: str) -> None:
    storage = f"journal://{tmp_path}/journal.log" if kind == "journal" else ""
    with serving(run_directory(tmp_path / "run", "small", storage)) as served:
        assert served.loopback
        assert served.url.startswith("http://127.0.0.1:")
        assert studies(served) == ["small"]
        with pytest.raises(HTTPError, match="403"):  # a name elsewhere that was made to lead here
            studies(served, Host="elsewhere.example")
        with pytest.raises(InputError, match=r"cannot be listened on.*--port 0"):
            Dashboard(tmp_path / "run", host=LOOPBACK, port=int(served.url.split(":")[2].partition("/")[0]))


def test_on_every_address_others_may_ask(tmp_path: Path) -> None:
    with serving(run_directory(tmp_path / "run", "small"), host="0.0.0.0") as served:
        assert not served.loopback
        assert studies(served, Host="machine.example") == ["small"]


def test_chromium_shows_the_study_and_its_name_as_text(tmp_path: Path) -> None:
    with (
        started() as chromium,
        serving(run_directory(tmp_path / "run", EVIL)) as served,
        chromium.open(served.url) as tab,
    ):
        tab.page.get_by_text(EVIL).first.wait_for()
        assert tab.page.title() != "broken in"
        assert tab.pixels().std() > 10
        assert tab.wrong == []


def test_after_a_change_of_the_space_the_later_study_is_shown(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", "small")
    assert study_name(run) == "small"
    write_lines(run / "changes.jsonl", [{"key": "space", "optuna_study": "small.2"}])
    assert study_name(run) == "small.2"
    with pytest.raises(InputError, match=r"holds no study called small\.2"):
        Dashboard(run, host=LOOPBACK, port=0)


def test_a_storage_that_is_gone_is_named_and_not_made(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", "small")
    (run / "study.db").rename(tmp_path / "moved.db")
    with pytest.raises(InputError, match=r"study\.db is not there.*--storage"):
        Dashboard(run, host=LOOPBACK, port=0)
    assert not (run / "study.db").exists()
    with serving(run, f"sqlite:///{tmp_path / 'moved.db'}") as served:
        assert studies(served) == ["small"]
    with pytest.raises(InputError, match="no study is here"):
        Dashboard(tmp_path, host=LOOPBACK, port=0)


@pytest.mark.parametrize(("host", "said"), [(LOOPBACK, "Only this machine can open it"), ("0.0.0.0", "no password")])
def test_the_command_says_who_can_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str, said: str
) -> None:
    run = run_directory(tmp_path / "run", "small")
    monkeypatch.setattr(Dashboard, "serve", lambda self: None)
    dashboard(run, port=0, host=host)
    told = capsys.readouterr()
    assert f"small at http://{host}:" in told.out
    assert said in told.out + told.err


def test_a_recorded_url_has_no_password_and_none_is_made_up(tmp_path: Path) -> None:
    """What stands in its place is left out, so that libpq looks in PGPASSWORD and ~/.pgpass."""
    write_yaml(
        tmp_path / "study.yaml", {"storage": "postgresql+psycopg://me:***@host/db?sslpassword=hidden&sslmode=require"}
    )
    assert recorded_storage(tmp_path) == "postgresql+psycopg://me@host/db?sslmode=require"
