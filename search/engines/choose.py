"""From an engine's configuration to the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from arch.errors import InputError
from search.engines.base import Engine, EngineConfig, Event
from search.engines.in_process import InProcess
from search.engines.user_modules import user_modules


def make_engine(config: EngineConfig, run: Path, note: Callable[[Event], None]) -> Engine:
    """Return the engine of a settled choice, for trainings in folders below `run`.

    `note` receives each step of trainings in this process: there no events can be collected meanwhile.

    Raises
    ------
    InputError
        Ray is not installed, or no cluster answers; or a user's own blocks, optimizers or the like are registered.
    """
    if config.name == "ray":
        if own := user_modules():
            raise InputError(
                f"engine ray: the nodes of a cluster do not know what {', '.join(own)} registers; use engine local."
            )
        from search.engines.ray.cluster import Cluster  # ray is an extra, and slow to import

        return Cluster(config, run)
    if config.name == "local":
        from search.engines.local_pool import LocalPool

        return LocalPool(config.workers, config.threads, config.time_limit)
    return InProcess(config.threads, note)
