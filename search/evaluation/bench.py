"""Time a network's forward passes and training steps, in ms a batch and MACs a second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from arch.analysis.cost import cost
from arch.analysis.memory_limit import check_memory
from arch.errors import InputError
from arch.modules.builder import build
from arch.modules.fused.fused import runs_as
from arch.modules.plain import Network
from arch.specs.spec import Spec
from search.recipes.load import load_recipe
from search.recipes.losses import make_loss
from search.recipes.optimizers import make_optimizer
from search.recipes.recipe import Recipe
from search.record.environment import environment
from search.training.fit import training_loss
from search.training.hardware import (
    keep_freed_memory,
    memory_format,
    pick_device,
    pick_execution,
    pick_precision,
    torch_threads,
)

Mode = Literal["forward", "training"]
BACKWARD = 3  # multiply-adds of a training step over those of its forward pass


@dataclass(frozen=True)
class Timing:
    """The time of a batch in ms over `batches` batches: mean and sample standard deviation.

    `macs` are the multiply-adds of one image in that mode: of a forward pass without auxiliary heads, or three
    times those of a forward pass with them, since the backward pass computes as many for the inputs' gradients
    and as many for the weights'. `images_per_second` and `macs_per_second` follow from the mean.
    """

    mode: Mode
    batch: int
    mean_ms: float
    std_ms: float
    batches: int
    images_per_second: float
    macs: int
    macs_per_second: float


@dataclass(frozen=True)
class Bench:
    """A network's timings, and the machine that they were taken on."""

    network: str
    input: tuple[int, ...]
    recipe: str
    warm_up: int
    timings: tuple[Timing, ...]
    environment: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def bench(
    spec: Spec,
    batches: Sequence[int] = (1, 32, 128),
    *,
    train: bool = False,
    repeats: int = 100,
    warm_up: int = 10,
    threads: int = 1,
    device: str = "auto",
    execution: str = "auto",
    precision: str = "auto",
    recipe: Recipe | None = None,
) -> Bench:
    """Time forward passes, with `train` training steps too, on random images, for each size of batch.

    A forward pass is one in inference mode, without auxiliary heads; a training step is forward with all heads, the
    loss, backward, and the recipe's optimizer. `repeats` batches are timed after `warm_up` that are not.

    Parameters
    ----------
    threads : CPU threads of torch for the whole measurement.
    precision : `fp32`, `bf16`, or `auto`: bf16 where the hardware multiplies it.

    Raises
    ------
    InputError
        A number is out of range, device or execution do not exist here, or a batch needs more memory than there is.
    """
    if repeats < 2 or warm_up < 0 or not batches or min(batches) < 1 or threads < 1:
        raise InputError("a timing takes batches of at least 1 image, 2 timed ones, and at least 1 thread.")
    check_memory(spec, max(batches), training=train)
    chosen, where = recipe or load_recipe("default"), pick_device(device)
    how, bf16 = pick_execution(execution, where), pick_precision(precision, where) == "bf16"
    costs = cost(spec)
    macs: dict[Mode, int] = {"forward": costs.macs, "training": BACKWARD * (costs.macs + costs.aux_macs)}
    if where.type == "cpu":
        keep_freed_memory()
    timings = []
    with torch_threads(threads), torch.random.fork_rng():
        network = _built(spec, how, where)
        for size in batches:
            for mode in ("forward", *(["training"] if train else [])):
                step = _training(network, size, chosen, bf16) if mode == "training" else _forward(network, size, bf16)
                times = [seconds(step, where) for _ in range(warm_up + repeats)][warm_up:]
                timings.append(_timing(mode, size, times, macs[mode]))  # type: ignore[arg-type, index]
    about = environment(
        threads=threads if where.type == "cpu" else 0,
        device=_device_name(where),
        execution=runs_as(how, where.type),
        precision="bf16" if bf16 else "fp32",
    )
    return Bench(spec.name, spec.input, chosen.name if train else "", warm_up, tuple(timings), about)


def _built(spec: Spec, execution: str, device: torch.device) -> Network:
    """Return a network with random weights of seed 0, as it is timed."""
    torch.manual_seed(0)
    network = build(spec, "fused" if execution == "fused" else "plain").to(device)
    network = network.to(memory_format=memory_format(device))
    if execution == "compiled":
        network.compile()
    return network


def seconds(step: Callable[[], object], device: torch.device) -> float:
    """Return how long a step takes on a device, all that it started there included."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    start = time.perf_counter()
    step()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start


def random_images(network: Network, size: int) -> torch.Tensor:
    """Return images (size, C, H, W) as the network reads them, on its device."""
    device = next(network.parameters()).device
    return torch.rand(size, *network.spec.input, device=device).contiguous(memory_format=memory_format(device))


def _forward(network: Network, size: int, bf16: bool) -> Callable[[], None]:
    images = random_images(network, size)

    def step() -> None:
        network.eval()
        with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            network(images)

    return step


def _training(network: Network, size: int, recipe: Recipe, bf16: bool) -> Callable[[], None]:
    images = random_images(network, size)
    labels = torch.randint(0, network.spec.classes, (size,), device=images.device)
    weights, optimizer = recipe.head_weights(network.spec.aux_rows), make_optimizer(recipe, network)
    loss_of = make_loss(recipe)

    def step() -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        try:
            loss, _ = training_loss(network, images, labels, weights, loss_of, bf16)
        except ValueError as error:  # torch's: a batch norm has one value a channel
            raise InputError(
                f"{network.spec.name} cannot be trained in batches of {size} ({error}); use a larger --batch."
            ) from None
        loss.backward()
        optimizer.step()

    return step


def _timing(mode: Mode, batch: int, times: Sequence[float], macs: int) -> Timing:
    mean = statistics.fmean(times)
    rate = batch / mean
    return Timing(mode, batch, 1000 * mean, 1000 * statistics.stdev(times), len(times), rate, macs, macs * rate)


def _device_name(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
