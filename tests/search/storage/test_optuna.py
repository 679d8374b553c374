"""Optuna's own tests of storages, run against ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from search.storage.urls import open_storage
from tests.support.postgres import Server


def emptied(storage: BaseStorage) -> BaseStorage:
    """A storage that each test finds empty; to make its tables takes longer than most tests."""
    for study in storage.get_all_studies():
        storage.delete_study(study._study_id)
    return storage


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> BaseStorage:
    return open_storage(f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'study.db'}")


@pytest.fixture(scope="module")
def postgres(server: Server) -> BaseStorage:
    return open_storage(server.url)


class TestSQLite(StorageTestCase):
    @pytest.fixture
    def storage(self, sqlite: BaseStorage) -> BaseStorage:
        return emptied(sqlite)


class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        return open_storage(f"journal://{tmp_path / 'study.log'}")


class TestPostgreSQL(StorageTestCase):
    @pytest.fixture
    def storage(self, postgres: BaseStorage) -> BaseStorage:
        return emptied(postgres)
