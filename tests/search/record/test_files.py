"""Files that are written in place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import arch
from search.record.files import append_line, no_link


@pytest.mark.parametrize("refuses", [True, False])
def test_a_link_is_refused_whether_or_not_the_system_can(
    refuses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not refuses:
        monkeypatch.delattr(os, "O_NOFOLLOW")
    (tmp_path / "mine.txt").write_text("mine\n")
    (tmp_path / "attempts.jsonl").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(OSError, match="symbolic link") as caught:
        open(tmp_path / "attempts.jsonl", "ab", opener=no_link)  # noqa: SIM115 - it is refused
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(arch.InputError, match="is a link, and a write there would leave the folder"):
        append_line(tmp_path / "attempts.jsonl", "theirs")
    assert (tmp_path / "mine.txt").read_text() == "mine\n"
    append_line(tmp_path / "lines.jsonl", "ours")
    assert (tmp_path / "lines.jsonl").read_text() == "ours\n"
