"""The PostgreSQL server that the tests of storages share."""

from tests.support.postgres import server

__all__ = ["server"]
