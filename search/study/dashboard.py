"""optuna-dashboard on the storage of a study, by default for this machine alone."""

from __future__ import annotations

import importlib.util
import ipaddress
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from sqlalchemy.engine import URL

from arch.errors import InputError
from arch.files.safe_yaml import load_yaml
from search.record.layout import allowed_changes
from search.storage.urls import file_of, open_storage, parse, shown

_PATIENCE = 20.0  # seconds that a page waits for a server that does not answer
_HIDDEN = ("***", "hidden")  # what a recorded URL has in a password's place


class Dashboard:
    """A server of optuna-dashboard that listens, and answers within `serve`; a context manager that closes it.

    Parameters
    ----------
    run : a study's run directory.
    port : 0 takes any free one.
    storage : its URL, where that is not the recorded one; that one has no password, so PostgreSQL's driver looks
        where libpq does: PGPASSWORD, ~/.pgpass.

    Raises
    ------
    InputError
        optuna-dashboard is not installed, the folder is no study, the storage is gone or does not hold the study, or
        the address cannot be listened on.
    """

    def __init__(self, run: str | Path, *, host: str, port: int, storage: str | None = None) -> None:
        if not importlib.util.find_spec("optuna_dashboard"):
            raise InputError("optuna-dashboard is not installed: pip install 'inceptory[dashboard]'.")
        from optuna_dashboard import wsgi

        folder = Path(run)
        if not (folder / "study.yaml").exists():
            raise InputError(f"{run}: no study is here; it would hold study.yaml.")
        self.study = study_name(folder)
        url = storage or recorded_storage(folder)
        _check_there(url, folder)
        opened = open_storage(url, patience=_PATIENCE)
        try:
            number = opened.get_study_id_from_name(self.study)
        except KeyError:
            raise InputError(
                f"storage '{shown(url)}': holds no study called {self.study}; name the study's storage with --storage."
            ) from None
        self._server = _listening(host, port)
        address, bound = self._server.server_address[:2]
        self.loopback = ipaddress.ip_address(str(address)).is_loopback
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{bound}/dashboard/studies/{number}"
        application = wsgi(opened)
        self._server.set_app(_for_this_machine(application, host) if self.loopback else application)

    def serve(self) -> None:
        """Answer until `stop` is called from another thread, or an exception such as Ctrl-C ends it."""
        self._server.serve_forever()

    def stop(self) -> None:
        """Let `serve` return."""
        self._server.shutdown()

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


def study_name(run: Path) -> str:
    """Return what a run's study is called in its storage: after a change of choices it continues under another name."""
    later = (change["optuna_study"] for change in reversed(allowed_changes(run)) if "optuna_study" in change)
    return str(next(later, load_yaml(run / "study.yaml")["name"]))


def recorded_storage(run: Path) -> str:
    """Return the URL of a run's storage as it is recorded, so without a password."""
    url = str(load_yaml(run / "study.yaml").get("storage") or f"sqlite:///{run / 'study.db'}")
    return url if file_of(url) else _without_marks(url)


def _check_there(url: str, run: Path) -> None:
    """Refuse a file that is gone: opening it would make an empty one."""
    file = file_of(url)
    if file is not None and not file.is_file():
        raise InputError(
            f"{run}: the storage {file} is not there (a relative path counts from the folder that the study was started "
            "in); name it with --storage."
        )


def _without_marks(url: str) -> str:
    """Return a server's URL without what stands for a password, so that the database driver looks for one."""
    parsed = parse(url)
    query = {key: value for key, value in parsed.query.items() if value not in _HIDDEN}
    password = None if parsed.password in _HIDDEN else parsed.password
    names = (parsed.drivername, parsed.username, password, parsed.host, parsed.port, parsed.database)
    return URL.create(*names, query=query).render_as_string(hide_password=False)


# The server


class _DashboardServer(ThreadingMixIn, WSGIServer):
    """A thread a request, none of which keeps the process alive."""

    daemon_threads = True


class _DashboardServer6(_DashboardServer):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log no request that succeeds."""


def _listening(host: str, port: int) -> _DashboardServer:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return (_DashboardServer6 if family == socket.AF_INET6 else _DashboardServer)((host, port), _Quiet)
    except OSError as error:
        raise InputError(
            f"{host}, port {port}: cannot be listened on ({error.strerror or error}); --port 0 takes any free one."
        ) from None


def _for_this_machine(application: Callable[..., Iterable[bytes]], host: str) -> Callable[..., Iterable[bytes]]:
    """Refuse requests under another host name.

    A web page elsewhere could point its own host name at this machine and so read the answers (DNS rebinding).
    """
    known = {"localhost", "127.0.0.1", "::1", host}

    def guarded(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_HOST", "")
        name = given[1 : given.find("]")] if given.startswith("[") else given.partition(":")[0]
        if name in known:
            return application(environ, start)
        start("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"This dashboard answers this machine alone, as localhost.\n"]

    return guarded
