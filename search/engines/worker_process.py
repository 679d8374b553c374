"""A worker process of the local pool: `python -m search.engines.worker_process CPUS [MODULE ...]`.

The modules and scripts register blocks, optimizers and the like of the user (`search.engines.user_modules`).
The driver and this process connect as follows, on any system:

1. The driver writes a key of 32 bytes to standard input.
2. This process answers with a port of the loopback address, the only line on its standard output.
3. The driver connects; both prove that they know the key. Tasks and events go through that connection.
4. A further byte on standard input requests a checkpoint and a stop. Standard input closes when the driver ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, Listener
from pathlib import Path

import psutil

KEY = 32  # bytes
HOST = "127.0.0.1"


def _watch_driver(stopping: threading.Event) -> None:
    """Wait for a request to stop; end this process at once where the driver has ended."""
    while os.read(sys.stdin.fileno(), 1):
        stopping.set()
    os._exit(1)


def _connect(key: bytes) -> Connection:
    """Return the connection to the driver. What a user's module prints goes to standard error from here on."""
    with Listener((HOST, 0), authkey=key) as listener:
        print(listener.address[1], flush=True)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        return listener.accept()


def _configure(cpus: list[int]) -> None:
    """Pin this process to its cores, and make it the first to be killed where memory runs out, if the system can."""
    if hasattr(psutil.Process, "cpu_affinity"):
        psutil.Process().cpu_affinity(cpus)
    try:
        Path("/proc/self/oom_score_adj").write_text("500")  # a training is killed, not its driver
    except OSError:
        pass  # only Linux has this setting


def main() -> None:
    """Connect, pin the process, and work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    key = os.read(sys.stdin.fileno(), KEY)
    threading.Thread(target=_watch_driver, args=(stopping,), daemon=True).start()
    pipe = _connect(key)
    cpus = [int(cpu) for cpu in sys.argv[1].split(",")]
    _configure(cpus)

    import torch  # it takes seconds, and the driver has waited for the port

    from search.engines.user_modules import import_user_module
    from search.engines.worker import work

    torch.set_num_threads(len(cpus))
    for module in sys.argv[2:]:
        import_user_module(module)
    try:
        work(pipe, stopping)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)


if __name__ == "__main__":
    main()
