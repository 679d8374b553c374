"""A PostgreSQL storage that waits for a server that does not answer, and repeats only what was not committed."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Column, DateTime, MetaData, String, Table, delete, func, insert, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

PATIENCE = 600.0  # seconds to wait for a server that does not answer
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0  # seconds between two tries
# Options of libpq: a server whose machine or network failed is noticed within a minute.
_NOTICE_SILENCE = {"connect_timeout": 10, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}

# A row for each session's last write: it exists if, and only if, that write was committed.
_COMMITS = Table(
    "inceptory_commits",
    MetaData(),
    Column("mark", String(32), primary_key=True),
    Column("made", DateTime(timezone=True), server_default=func.now()),
)
_KEPT = timedelta(days=1)  # no commit is looked up later

Returned = TypeVar("Returned")


def never() -> bool:
    """Return false: never give up."""
    return False


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server that does not answer: `seconds`, or until `give_up` returns true."""

    seconds: float = PATIENCE
    give_up: Callable[[], bool] = never

    def pauses(self) -> Iterator[bool]:
        """Yield true after each pause, until patience ends; the pauses grow."""
        began, pause = time.monotonic(), _FIRST_WAIT
        while not self.give_up() and time.monotonic() - began <= self.seconds:
            time.sleep(pause * random.uniform(0.5, 1))  # several drivers do not retry at the same moment
            pause = min(2 * pause, _LONGEST_WAIT)
            yield True


class _UndecidedError(Exception):
    """It is unknown whether a commit succeeded. Not a StorageInternalError: Optuna would repeat the request."""


class _SureSession(Session):
    """A session that finds out whether a commit succeeded, also where the connection failed meanwhile.

    Each write commits a unique mark in the same transaction. Where the answer to the commit is missing, the session
    inserts the same mark again. PostgreSQL refuses it if, and only if, the transaction was committed, and decides as
    soon as that transaction has ended. So any request can be repeated if its commit raises an error.
    """

    _last = ""

    def __init__(self, patience: Patience, **options: Any) -> None:
        super().__init__(**options)
        self._patience = patience

    def commit(self) -> None:
        """Commit, and raise a connection's error only where nothing was committed."""
        if not (self.new or self.dirty or self.deleted):
            return super().commit()  # a read, or a write that can be repeated without harm
        mark = uuid.uuid4().hex
        try:  # this session's last mark goes in the same transaction, so that the table stays small
            self.execute(delete(_COMMITS).where(_COMMITS.c.mark == self._last))
            self.execute(insert(_COMMITS).values(mark=mark))
            super().commit()
        except DBAPIError as error:
            if not _connection_failed(error):
                raise
            self.invalidate()  # what has not been committed is rolled back as its connection closes
            if not self._was_committed(mark):
                raise
        self._last = mark

    def _was_committed(self, mark: str) -> bool:
        pauses = self._patience.pauses()
        while True:
            try:
                return committed(self.get_bind(), mark)
            except DBAPIError as error:
                if not _connection_failed(error):
                    raise
                if not next(pauses, False):
                    raise _UndecidedError from error


def committed(engine: Any, mark: str) -> bool:
    """Return whether the transaction that holds this mark was committed; waits while it is under way."""
    with engine.connect() as connection:  # leaving rolls back
        connection.execute(text("SET LOCAL lock_timeout = '10s'"))
        try:
            connection.execute(insert(_COMMITS).values(mark=mark))
        except IntegrityError:
            return True
    return False


def _connection_failed(error: BaseException | None) -> bool:
    """Return whether the connection, not the request, was at fault."""
    closed = isinstance(error, DBAPIError) and error.connection_invalidated
    return closed or isinstance(error, OperationalError | InterfaceError)


class PatientStorage(BaseStorage):
    """Optuna's storage in a PostgreSQL database; each request is repeated until the server answers.

    A server that fails in the middle of a study costs time, but no trial is lost or doubled.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        self._url, self._patience = url, patience
        given = make_url(url).query
        noticed = {name: value for name, value in _NOTICE_SILENCE.items() if name not in given}
        database = RDBStorage(url, {"pool_pre_ping": True, "connect_args": noticed})
        self.engine = database.engine
        _COMMITS.metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(delete(_COMMITS).where(_COMMITS.c.made < func.now() - _KEPT))
        sessions: sessionmaker[Any] = sessionmaker(bind=self.engine, class_=_SureSession, patience=patience)
        database.scoped_session = scoped_session(sessions)
        self._storage = get_storage(database)  # with Optuna's cache, which reads finished trials once

    def __reduce__(self) -> tuple[Any, ...]:
        return PatientStorage, (self._url, self._patience)

    def _patiently(self, request: Callable[..., Returned], *arguments: Any) -> Returned:
        pauses = self._patience.pauses()
        while True:
            try:
                return request(*arguments)
            except _UndecidedError as error:
                raise StorageInternalError("The server failed during a commit, which may have succeeded.") from error
            except StorageInternalError as error:
                if not _connection_failed(error.__cause__) or not next(pauses, False):
                    raise

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self._patiently(self._storage.create_new_study, directions, study_name)

    def delete_study(self, study_id: int) -> None:
        self._patiently(self._storage.delete_study, study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._patiently(self._storage.set_study_user_attr, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._patiently(self._storage.set_study_system_attr, study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._patiently(self._storage.get_study_id_from_name, study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._patiently(self._storage.get_study_name_from_id, study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._patiently(self._storage.get_study_directions, study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._patiently(self._storage.get_study_user_attrs, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._patiently(self._storage.get_study_system_attrs, study_id)

    def get_all_studies(self) -> list[Any]:
        return self._patiently(self._storage.get_all_studies)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return self._patiently(self._storage.create_new_trial, study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._patiently(self._storage.set_trial_param, trial_id, param_name, param_value_internal, distribution)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._patiently(self._storage.get_trial_id_from_study_id_trial_number, study_id, trial_number)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        return self._patiently(self._storage.set_trial_state_values, trial_id, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._patiently(self._storage.set_trial_intermediate_value, trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._patiently(self._storage.set_trial_user_attr, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._patiently(self._storage.set_trial_system_attr, trial_id, key, value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._patiently(self._storage.get_trial, trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._patiently(self._storage.get_all_trials, study_id, deepcopy, states)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._patiently(self._storage.get_best_trial, study_id)

    def remove_session(self) -> None:
        self._storage.remove_session()
