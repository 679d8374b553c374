"""The proxy `naswot`: how differently a network's ReLUs answer to different images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arch.modules.plain import Network, ResidualModule
from search.evaluation.proxies.registry import proxy


@proxy
@torch.no_grad()
def naswot(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the logarithm of the determinant of K (N, N): for each pair of images how many ReLUs agree.

    A ReLU agrees where it is positive for both images or for neither. Auxiliary heads are left out. The figure
    grows with the number of ReLUs. Mellor et al. 2021, arXiv 2006.04647.
    """
    agreeing = torch.zeros(len(images), len(images), dtype=torch.float64)

    def count(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> None:
        positive = (out.flatten(1) > 0).float()
        both = positive @ positive.T + (1 - positive) @ (1 - positive).T
        agreeing.add_(both.double().cpu())

    hooks = [module.register_forward_hook(count) for module in network.modules() if _rectifies(module)]
    try:
        network(images, aux=False)
    finally:
        for hook in hooks:
            hook.remove()
    return float(torch.linalg.slogdet(agreeing).logabsdet)


def _rectifies(module: nn.Module) -> bool:
    return isinstance(module, nn.ReLU) or (isinstance(module, ResidualModule) and module.activation)
