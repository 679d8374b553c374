"""Journal files with torn lines, with and without another writer."""

from __future__ import annotations

import threading
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileSymlinkLock

from search.storage.urls import open_storage
from search.study.run import run_study
from tests.support import study


@pytest.mark.fault("a line is torn at the end of a file, or broken in the middle")
def test_a_journal_is_cut_after_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "study.log"
    url = f"journal://{path}"
    assert run_study(study(trials=1, storage=url), tmp_path / "run").finished == 1
    whole = path.read_bytes()
    torn = b'{"op_code":4,"worker_id":"7f2'
    path.write_bytes(whole + torn)
    assert run_study(study(trials=2, storage=url), tmp_path / "run").finished == 2
    assert path.read_bytes().startswith(whole)
    assert torn not in path.read_bytes()
    assert repr(torn) in path.with_name("study.log.torn").read_text()
    plain = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    assert [t.state.name for t in optuna.load_study(study_name="micro", storage=plain).trials] == ["COMPLETE"] * 2


def test_a_line_that_another_writer_is_writing_is_not_torn(tmp_path: Path) -> None:
    """A plain Optuna script holds its lock, which is a link, until its line is whole."""
    path = tmp_path / "study.log"
    optuna.create_study(storage=open_storage(f"journal://{path}"), study_name="one")
    line, lock = path.read_bytes().splitlines(keepends=True)[0], JournalFileSymlinkLock(str(path))
    whole = path.read_bytes() + line
    lock.acquire()
    with open(path, "ab", buffering=0) as file:
        file.write(line[:10])
        opening = threading.Thread(target=open_storage, args=(f"journal://{path}",))
        opening.start()
        opening.join(1.0)
        assert opening.is_alive()
        file.write(line[10:])
    lock.release()
    opening.join(30.0)
    assert not opening.is_alive()
    assert path.read_bytes() == whole
    assert not path.with_name("study.log.torn").exists()


@pytest.mark.parametrize("whole", [True, False])
def test_a_line_is_cut_while_others_have_the_journal_open(tmp_path: Path, whole: bool) -> None:
    """Another writer lives, but appends nothing now: what is torn is another one's, which died."""
    path = tmp_path / "study.log"
    alive = open_storage(f"journal://{path}")
    optuna.create_study(storage=alive, study_name="one")
    content = path.read_bytes()
    path.write_bytes(content + (b"" if whole else b'{"op_code":0,'))
    open_storage(f"journal://{path}")
    assert path.read_bytes() == content
    assert path.with_name("study.log.torn").exists() != whole
