"""Whether memory can hold a network: a lower bound from its cost, before anything is allocated."""

from __future__ import annotations

import psutil

from arch.analysis.cost import cost
from arch.analysis.measure import FLOAT32, measure
from arch.errors import SpecError
from arch.specs.spec import Spec

_TRAINING_COPIES = 3  # each weight, its gradient, and its momentum in the optimizer


def check_memory(spec: Spec, images: int = 0, training: bool = False, limit: int | None = None) -> None:
    """Refuse a network that needs more memory than there is.

    The least that is needed counts: weights in float32 (auxiliary heads included), and for `images` at a time the
    largest maps that inference needs at once. Training also needs gradients, momentum, and every convolution's output
    (in two bytes) until the backward pass.

    Parameters
    ----------
    limit : bytes; by default `available_memory`.

    Raises
    ------
    SpecError
        Names the memory that is needed and that there is.
    """
    costs = cost(spec)
    weights = FLOAT32 * (costs.params + costs.aux_params) * (_TRAINING_COPIES if training else 1)
    maps = images * (costs.activations * FLOAT32 // 2 if training else measure(spec).peak_memory if images else 0)
    limit = available_memory() if limit is None else limit
    if weights + maps > limit:
        how = f" with {images:,} images at a time" if images else ""
        raise SpecError(
            f"{spec.where or spec.name}: needs at least {_gib(weights + maps)}{how} ({costs.params + costs.aux_params:,} "
            f"parameters), and there are {_gib(limit)}; use narrower rows, a smaller input or a smaller batch."
        )


def available_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its limit on address space if less."""
    machine = int(psutil.virtual_memory().total)
    if not hasattr(psutil.Process, "rlimit"):  # neither Linux nor FreeBSD
        return machine
    limit = psutil.Process().rlimit(psutil.RLIMIT_AS)[0]
    return machine if limit == psutil.RLIM_INFINITY else min(machine, limit)


def _gib(amount: int) -> str:
    return f"{amount / 2**30:,.1f} GiB of memory"
