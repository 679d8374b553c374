"""A part that is missing skips its tests aloud, unless it is required."""

from __future__ import annotations

import pytest

from tests import support


def test_a_missing_part_skips_and_a_required_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "PARTS", {"ray": lambda: None, "postgres": lambda: True})
    monkeypatch.setenv("INCEPTORY_REQUIRE", "postgres")
    support.needs("postgres")
    with pytest.raises(pytest.skip.Exception, match="ray is missing here"):
        support.needs("ray")
    monkeypatch.setenv("INCEPTORY_REQUIRE", "postgres,ray")
    with pytest.raises(pytest.fail.Exception, match="INCEPTORY_REQUIRE names it"):
        support.needs("ray")
