"""Where a study's trials are kept: SQLite, PostgreSQL or a journal file, by URL."""

from __future__ import annotations

import errno
import fcntl
import functools
import importlib.util
import random
import time
import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from arch.errors import InputError, masked, near
from search.record.files import WriteError, cut_torn, unwritable

PATIENCE = 600.0  # seconds that a lost server is waited for
_SQLITE_BUSY = 60.0  # seconds that SQLite waits for another writer
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0  # seconds between two tries
# libpq's: a server that vanished without a word (its machine, the network) is noticed within a minute
_NOTICE_SILENCE = {"connect_timeout": 10, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
_MARK = "inceptory:mark"  # the system attribute that tells whose request made a trial
JOURNAL = "journal://"
_KNOWN = ("sqlite", "postgresql", "journal")

Returned = TypeVar("Returned")


def open_storage(
    url: str, *, patience: float = PATIENCE, give_up: Callable[[], bool] = lambda: False
) -> RDBStorage | JournalStorage:
    """Return the Optuna storage of a URL, which any Optuna script can open as well.

    `sqlite:///file.db` waits up to 60 s for another writer. `postgresql+psycopg://user@host/database`
    (extra `postgres`) waits for a server that is gone in the middle of a study, and then goes on with
    neither a lost nor a double trial. `journal:///folder/file.log` is a file of lines (`journal://file.log`
    is relative to the working folder); a last line that a crash cut short is set aside in `file.log.torn`.

    Parameters
    ----------
    patience : how long a lost PostgreSQL server is waited for, in s.
    give_up : asked between two tries; true ends the wait.

    Raises
    ------
    InputError
        The URL is of no known kind, its driver is not installed, or nothing answers there. No message
        shows a password.
    """
    if url.startswith(JOURNAL):
        return _open_journal(Path(url.removeprefix(JOURNAL)))
    parsed = parse(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _opened(lambda: RDBStorage(url, {"connect_args": {"timeout": _SQLITE_BUSY}}), url)
    if kind != "postgresql":
        raise InputError(
            f"storage '{shown(url)}': no storage of kind '{kind}'.{near(kind, _KNOWN)} Known: {', '.join(_KNOWN)}."
        )
    if not importlib.util.find_spec("psycopg"):
        raise InputError(f"storage '{shown(url)}' needs psycopg: pip install 'inceptory[postgres]'.")
    full = parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    return _opened(lambda: PatientStorage(full, patience, give_up), url)


def file_of(url: str) -> Path | None:
    """Return the file that a storage lies in; None for a server, or for memory."""
    if url.startswith(JOURNAL):
        return Path(url.removeprefix(JOURNAL))
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def unwritten(url: str, error: Exception) -> WriteError | InputError | None:
    """Return what is told where a storage's file could not be written; None for a server, which says it by itself."""
    path, cause = file_of(url), error if isinstance(error, SQLAlchemyError) else error.__cause__
    if path is None or cause is None:
        return None
    reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
    number = errno.ENOSPC if "full" in reason else errno.EROFS if "readonly" in reason else errno.EIO
    return unwritable(path, OSError(number, reason))


def shown(url: str) -> str:
    """Return a storage URL as it may be shown and recorded: without the passwords in it."""
    if not url or url.startswith(JOURNAL):
        return url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return f"{url.partition('://')[0]}://***" if "://" in url else "***"
    secret = {key: "hidden" for key in parsed.query if "password" in key.lower()}
    return masked(parsed.update_query_dict(secret).render_as_string(hide_password=True))


def parse(url: str) -> URL:
    """Return a storage URL in its parts.

    Raises
    ------
    InputError
        It is none; the message shows no password.
    """
    url = url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise InputError(
            f"storage '{shown(url)}': not a URL such as sqlite:///study.db, "
            "postgresql+psycopg://user@host/database or journal:///folder/study.log."
        ) from None
    if "@" in (parsed.host or ""):
        raise InputError(
            f"storage '{shown(url)}': an @ in a password is written as %40."
        )  # a driver would show its rest
    return parsed


def _opened(make: Callable[[], RDBStorage], url: str) -> RDBStorage:
    try:
        return make()
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
        raise InputError(f"storage '{shown(url)}': cannot be opened ({reason}).") from None


def _lost(error: StorageInternalError) -> bool:
    """Return whether the server, not the request, was at fault."""
    cause = error.__cause__
    gone = isinstance(cause, DBAPIError) and cause.connection_invalidated
    return gone or isinstance(cause, OperationalError | InterfaceError)


class PatientStorage(RDBStorage):
    """An RDBStorage that waits for its server, and asks whether a request came through before repeating it.

    A connection that is lost while a transaction commits leaves open whether it did. Most writes can be
    repeated all the same: they set what is set already. Three cannot. Making a trial would leave a
    second one that nobody trains; so each is made with a mark of its own, and before it is made again
    the mark is looked for, under the lock that the making holds. Taking a waiting trial would find it
    taken; so who takes it leaves a mark in the same transaction. Telling would find the trial finished;
    that is well where it holds what was to be told.
    """

    def __init__(self, url: str, patience: float, give_up: Callable[[], bool]) -> None:
        self._patience, self._give_up = patience, give_up
        self._asked = ""  # the mark of the last request for a trial
        given = make_url(url).query
        noticed = {name: value for name, value in _NOTICE_SILENCE.items() if name not in given}
        super().__init__(url, {"pool_pre_ping": True, "connect_args": noticed})

    def _patiently(self, request: Callable[[], Returned]) -> Returned:
        """Repeat a request until the server answers, with growing pauses."""
        began, pause = time.monotonic(), _FIRST_WAIT
        while True:
            try:
                return request()
            except StorageInternalError as error:
                if not _lost(error) or self._give_up() or time.monotonic() - began > self._patience:
                    raise
            time.sleep(pause * random.uniform(0.5, 1))  # several drivers do not come back at once
            pause = min(2 * pause, _LONGEST_WAIT)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        template = deepcopy(template_trial) or create_trial(state=TrialState.RUNNING)
        if template.state == TrialState.RUNNING:
            template.datetime_start = datetime.now()
        template._system_attrs[_MARK] = uuid.uuid4().hex
        make = super()._create_new_trial  # repeats by itself too, through _get_prepared_new_trial
        return self._patiently(lambda: make(study_id, template))

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        """Return the trial to commit; the study's row is locked here until then."""
        mark = template_trial.system_attrs[_MARK] if template_trial else ""
        repeated, self._asked = mark == self._asked, mark
        found = self._marked(session, study_id, mark) if repeated else None
        return found or super()._get_prepared_new_trial(study_id, template_trial, session)

    @staticmethod
    def _marked(session: Session, study_id: int, mark: str) -> models.TrialModel | None:
        attribute = models.TrialSystemAttributeModel
        query = session.query(models.TrialModel).join(attribute, attribute.trial_id == models.TrialModel.trial_id)
        wanted = (models.TrialModel.study_id == study_id, attribute.key == _MARK, attribute.value_json == f'"{mark}"')
        return query.filter(*wanted).one_or_none()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Take or finish a trial, as RDBStorage does; what came through before is well."""
        if state == TrialState.RUNNING:
            mark = uuid.uuid4().hex
            return self._patiently(lambda: self._take(trial_id, mark))
        tries = 0
        finish = super().set_trial_state_values

        def request() -> bool:
            nonlocal tries
            tries += 1
            try:
                return finish(trial_id, state, values)
            except UpdateFinishedTrialError:
                told = self.get_trial(trial_id)
                if tries > 1 and told.state == state and told.values == (values and list(values)):
                    return True
                raise

        return self._patiently(request)

    def _take(self, trial_id: int, mark: str) -> bool:
        """Turn a waiting trial into a running one; false where someone else has."""
        with _create_scoped_session(self.scoped_session) as session:
            trial: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self.check_trial_is_updatable(trial_id, trial.state)
            if trial.state != TrialState.WAITING:
                attribute = models.TrialSystemAttributeModel
                taken = session.query(attribute).filter(
                    attribute.trial_id == trial_id, attribute.key == f"{_MARK}:{mark}"
                )
                return taken.one_or_none() is not None
            trial.state, trial.datetime_start = TrialState.RUNNING, datetime.now()
            self._set_trial_attr_without_commit(
                session, models.TrialSystemAttributeModel, trial_id, f"{_MARK}:{mark}", True
            )
        return True


def _waiting(name: str) -> Callable[..., Any]:
    original = getattr(RDBStorage, name)

    @functools.wraps(original)
    def method(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return self._patiently(lambda: original(self, *args, **kwargs))

    return method


# All other requests can be repeated as they are. The names with an underscore are what Optuna's cache calls.
for _name in (
    *("get_all_studies", "get_study_id_from_name", "get_study_name_from_id", "get_study_directions"),
    *("get_study_user_attrs", "get_study_system_attrs", "set_study_user_attr", "set_study_system_attr"),
    *("create_new_study", "get_trial", "get_trial_id_from_study_id_trial_number", "_get_trials", "_get_best_trial_id"),
    *("_set_trial_param", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr"),
):
    setattr(PatientStorage, _name, _waiting(_name))


class _Journal(JournalFileBackend):
    """A journal file that shows others, by a shared lock on it, that a writer lives."""

    def __init__(self, path: Path) -> None:
        self._held = open(path, "ab")  # noqa: SIM115 - open, and so locked, as long as the storage lives
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # another writer lives: a last line without its end may be one that it is writing
        else:
            cut_torn(path)
        fcntl.flock(self._held, fcntl.LOCK_SH)
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries; where there is no room, a line that was begun is cut when the journal is opened again."""
        try:
            super().append_logs(logs)
        except OSError as error:
            self._held.close()  # no writer any more: the next one to open it cuts what is torn
            raise unwritable(self._path, error) from error


def _open_journal(path: Path) -> JournalStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(_Journal(path))
    except (OSError, ValueError) as error:
        raise InputError(f"storage '{JOURNAL}{path}': cannot be opened ({error}).") from None
