"""A PostgreSQL server of the tests' own, on the loopback address."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import needs, postgres_programs

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


@pytest.fixture(scope="package")
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
