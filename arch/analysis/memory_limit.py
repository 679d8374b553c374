"""Whether a network can have a place in memory at all: refused by its cost, before any of it is taken."""

from __future__ import annotations

import psutil

from arch.analysis.cost import cost
from arch.analysis.measure import measure
from arch.errors import SpecError
from arch.specs.spec import Spec

_FLOAT = 4  # bytes
_TRAINED = 3  # of each weight there is its gradient, and the optimiser's memory of one


def check_room(spec: Spec, images: int = 0, training: bool = False, most: int | None = None) -> None:
    """Refuse a network that needs more memory than there is.

    Counted is what cannot be done without: weights in float32 (auxiliary heads included), of `images` at a time
    the largest maps that are needed at once, and in training gradients, momentum, and what every convolution gives
    (in two bytes) until the gradients are taken.

    Parameters
    ----------
    most : bytes; by default all memory of this machine, or what this process may have of it.

    Raises
    ------
    SpecError
        Names what is needed and what there is.
    """
    costs = cost(spec)
    weights = _FLOAT * (costs.params + costs.aux_params) * (_TRAINED if training else 1)
    maps = images * (costs.activations * _FLOAT // 2 if training else measure(spec).peak_memory if images else 0)
    most = memory() if most is None else most
    if weights + maps > most:
        how = f" with {images:,} images at a time" if images else ""
        raise SpecError(
            f"{spec.where or spec.name}: needs at least {_gib(weights + maps)}{how} ({costs.params + costs.aux_params:,} "
            f"parameters), and there are {_gib(most)}; use narrower rows, a smaller input or a smaller batch."
        )


def memory() -> int:
    """Return the bytes of memory that this process may have: the machine's, or its limit on address space if less."""
    machine = int(psutil.virtual_memory().total)
    if not hasattr(psutil.Process, "rlimit"):  # neither Linux nor FreeBSD
        return machine
    limit = psutil.Process().rlimit(psutil.RLIMIT_AS)[0]
    return machine if limit == psutil.RLIM_INFINITY else min(machine, limit)


def _gib(amount: int) -> str:
    return f"{amount / 2**30:,.1f} GiB of memory"
