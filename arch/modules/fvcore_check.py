"""fvcore as the judge of our counts: it traces the built network and counts on its own."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from arch.analysis.cost import cost
from arch.analysis.memory_limit import check_room
from arch.modules.builder import build
from arch.modules.plain import Network
from arch.specs.spec import Spec

with (
    warnings.catch_warnings()
):  # fvcore scripts a loss when it is imported, which torch deprecates; no user can help it
    warnings.filterwarnings("ignore", ".torch.jit.script", FutureWarning)
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis


@dataclass(frozen=True)
class Verdict:
    """A quantity as the spec gives it and as the judge counted it."""

    quantity: str
    ours: int
    judged: int

    @property
    def agrees(self) -> bool:
        """Whether both are the same to the unit."""
        return self.ours == self.judged


class _Traced(nn.Module):
    """A network that returns plain tensors, since tracing knows no named output."""

    def __init__(self, network: Network, aux: bool) -> None:
        super().__init__()
        self.network, self.aux = network, aux

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.network(images, aux=self.aux)
        return (out.logits, *out.aux.values())


@dataclass(frozen=True)
class Judgement:
    """The verdicts on a network, and what fvcore's total holds beside conv + linear: batch norm and adaptive pooling."""

    verdicts: list[Verdict]
    adds: int


def check(spec: Spec) -> Judgement:
    """Count a network with fvcore and torch, and set each figure beside the spec's.

    fvcore's conv and linear operators are taken, in evaluation mode at batch 1; what it counts by default
    beside them is kept apart, as no paper counts it. `adds` leaves auxiliary heads out.
    """
    ours = cost(spec)
    check_room(spec, images=1)
    network = build(spec).eval()
    image = torch.zeros(1, *spec.input)
    flops, outputs = _traced(_Traced(network, aux=False), image)
    with_aux, _ = _traced(_Traced(network, aux=True), image)
    macs = _layers(flops)
    aux = sum(p.numel() for name, head in network.heads.items() if name in spec.aux_rows for p in head.parameters())
    total = sum(p.numel() for p in network.parameters())
    verdicts = [
        Verdict("params", ours.params, total - aux),
        Verdict("aux_params", ours.aux_params, aux),
        Verdict("macs", ours.macs, macs),
        Verdict("aux_macs", ours.aux_macs, _layers(with_aux) - macs),
        Verdict("activations", ours.activations, _layers(outputs)),
    ]
    return Judgement(verdicts, round(sum(flops.values())) - macs)


def _traced(module: nn.Module, image: Tensor) -> tuple[Counter[str], Counter[str]]:
    """Return fvcore's operations and outputs of a module, by operator."""
    flops = FlopCountAnalysis(module, (image,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    outputs = ActivationCountAnalysis(module, (image,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return flops.by_operator(), outputs.by_operator()


def _layers(counts: Counter[str]) -> int:
    return round(counts["conv"] + counts["linear"])
