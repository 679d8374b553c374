"""fvcore's count of a built network, compared with ours from the spec."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from arch.analysis.cost import cost
from arch.analysis.memory_limit import check_memory
from arch.modules.builder import build
from arch.modules.plain import Network
from arch.specs.spec import Spec

with warnings.catch_warnings():
    # fvcore scripts a loss when it is imported, which torch deprecates; a user can do nothing about it.
    warnings.filterwarnings("ignore", ".torch.jit.script", FutureWarning)
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
    from fvcore.nn.jit_analysis import JitModelAnalysis


@dataclass(frozen=True)
class CheckedCount:
    """One quantity, counted from the spec (`ours`) and by fvcore or torch from the built network (`fvcore`)."""

    quantity: str
    ours: int
    fvcore: int

    @property
    def agrees(self) -> bool:
        """Whether both counts are exactly equal."""
        return self.ours == self.fvcore


@dataclass(frozen=True)
class Check:
    """A network's counts, and what fvcore's total adds to conv + linear: batch norm and adaptive pooling."""

    counts: list[CheckedCount]
    adds: int


class _Traced(nn.Module):
    """A network that returns plain tensors, as tracing does not take named outputs."""

    def __init__(self, network: Network, aux: bool) -> None:
        super().__init__()
        self.network, self.aux = network, aux

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.network(images, aux=self.aux)
        return (out.logits, *out.aux.values())


def check(spec: Spec) -> Check:
    """Count a network with fvcore and torch, and compare each count with the spec's.

    Of fvcore's operators conv and linear are taken, in evaluation mode at batch 1. What else it counts by default is
    kept apart in `adds` (without auxiliary heads), as no paper counts it.

    Raises
    ------
    SpecError
        The spec cannot be a network at its input size, or memory cannot hold it.
    """
    ours = cost(spec)
    check_memory(spec, images=1)
    network = build(spec).eval()
    image = torch.zeros(1, *spec.input)
    # fvcore counts what a forward pass runs, so the auxiliary heads are the difference of two passes.
    flops = _count_by_operator(FlopCountAnalysis, _Traced(network, aux=False), image)
    flops_with_aux = _count_by_operator(FlopCountAnalysis, _Traced(network, aux=True), image)
    outputs = _count_by_operator(ActivationCountAnalysis, _Traced(network, aux=False), image)
    macs = _conv_and_linear(flops)
    aux = sum(p.numel() for name, head in network.heads.items() if name in spec.aux_rows for p in head.parameters())
    total = sum(p.numel() for p in network.parameters())
    counts = [
        CheckedCount("params", ours.params, total - aux),
        CheckedCount("aux_params", ours.aux_params, aux),
        CheckedCount("macs", ours.macs, macs),
        CheckedCount("aux_macs", ours.aux_macs, _conv_and_linear(flops_with_aux) - macs),
        CheckedCount("activations", ours.activations, _conv_and_linear(outputs)),
    ]
    return Check(counts, round(sum(flops.values())) - macs)


def _count_by_operator(analysis: type[JitModelAnalysis], module: nn.Module, image: Tensor) -> Counter[str]:
    """Return what an analysis of fvcore counts in a module, by operator."""
    found = analysis(module, (image,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counts: Counter[str] = found.by_operator()
    return counts


def _conv_and_linear(counts: Counter[str]) -> int:
    return round(counts["conv"] + counts["linear"])
