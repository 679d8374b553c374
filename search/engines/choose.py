"""The choice of an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from arch.errors import InputError
from search.engines.base import Engine, EngineConfig, Event
from search.engines.in_process import InProcess
from search.engines.user_blocks import homes


def make_engine(config: EngineConfig, run: Path, note: Callable[[Event], None]) -> Engine:
    """Return the engine of a settled choice, for trainings in folders below `run`.

    `note` hears of steps where trainings run in this process, and events cannot be asked for meanwhile.

    Raises
    ------
    InputError
        Ray is not installed, or no cluster answers; or it would have to train blocks of a user's own.
    """
    if config.name == "ray":
        if own := homes():
            raise InputError(
                f"engine ray: the nodes of a cluster do not know the blocks of {', '.join(own)}; use engine local."
            )
        from search.engines.ray.cluster import Cluster  # ray is an extra, and slow to import

        return Cluster(config, run)
    if config.name == "local":
        from search.engines.local_pool import LocalPool

        return LocalPool(config.workers, config.threads, config.time_limit)
    return InProcess(config.threads, note)
