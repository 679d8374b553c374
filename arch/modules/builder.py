"""Building a spec as a torch module, plain or fused."""

from __future__ import annotations

import torch

from arch.analysis.memory_limit import check_memory
from arch.modules.plain import Execution, Network
from arch.specs.spec import Spec


def build(spec: Spec, execution: Execution = "plain") -> Network:
    """Return a spec as a torch module with freshly initialised weights.

    Draws from torch's global generator: `torch.manual_seed` before it makes the weights repeatable.

    Parameters
    ----------
    execution : `plain`, one torch layer a node; `fused` (arch.modules.fused), the same in fewer steps, for CPUs.

    Raises
    ------
    SpecError
        The spec cannot be a network at its input size, or memory cannot hold its weights.

    Examples
    --------
    >>> import arch, torch
    >>> network = arch.build(arch.load("googlenet_cifar_small"))
    >>> out = network(torch.zeros(2, 3, 32, 32))
    >>> out.logits.shape, sorted(out.aux)
    (torch.Size([2, 10]), ['3b', '4b'])
    """
    if torch.get_default_device().type != "meta":  # tensors there take no memory
        check_memory(spec)
    if execution == "fused":
        from arch.modules.fused.fused import fuse

        return fuse(Network(spec))
    return Network(spec)
