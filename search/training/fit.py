"""`fit`: the training loop as a generator of epoch records, with exact resume."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arch.modules.builder import build
from arch.modules.fused.fused import runs_as
from arch.modules.plain import Network, initialise
from arch.specs.spec import Spec
from search.data.batches import Batch, mix, steps_an_epoch, training_batches
from search.data.dataset import Data, ImagePart
from search.recipes.load import load_recipe
from search.recipes.losses import make_loss
from search.recipes.optimizers import make_optimizer
from search.recipes.recipe import Recipe
from search.recipes.schedules import Moment, make_schedule
from search.training.checkpoint import load_checkpoint, save_checkpoint
from search.training.checks import check_fit
from search.training.hardware import (
    give_back_freed_memory,
    keep_freed_memory,
    memory_format,
    pick_device,
    pick_execution,
    pick_precision,
    sum_type,
)
from search.training.initial_weights import initial_weights, weights_checksum
from search.training.judge import Judged, judge

_Execution = Literal["plain", "fused", "compiled"]
_CHECK_EVERY = 50  # steps between looks at whether the loss is still finite


class Diverged(RuntimeError):
    """The training loss is no longer a number."""


class Stopped(RuntimeError):
    """The training stopped on request, and has written a checkpoint if it was given a path for one."""


class Control:
    """Controls a running `fit`, which reports every step here and stops where `stop` is true."""

    def __init__(self) -> None:
        self.stop = False
        self.prune = False  # whether a training that is left early is pruned, not interrupted

    def tick(self, done: int, steps: int) -> bool:
        """Receive how many of all its steps a training has done; return False to stop it there."""
        return not self.stop


@dataclass
class Epoch:
    """One epoch of training. Accuracies are fractions; `images_per_second` is of training alone.

    `val_*` are None where nothing is held out. `network` is the one that is judged (averaged, if the
    recipe averages), as it is now: the next epoch changes it. `restored` marks an epoch
    that was read back from a checkpoint, whose own weights are no longer at hand.
    """

    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    val_aux_accuracy: dict[str, float]
    lr: float
    aux_weights: dict[str, float]
    seconds: float
    images_per_second: float
    restored: bool = False
    network: Network | None = field(default=None, repr=False, compare=False)

    def metrics(self) -> dict[str, Any]:
        """Return the record as plain values, for a line of JSON."""
        names = [f.name for f in dataclasses.fields(self) if f.name not in ("restored", "network")]
        return {name: getattr(self, name) for name in names}

    def payload(self) -> dict[str, Any]:
        """Return the record as an event carries it: with `restored` where a checkpoint held the epoch."""
        return self.metrics() | ({"restored": True} if self.restored else {})


def fit(
    spec: Spec,
    data: Data,
    recipe: Recipe | str | None = None,
    *,
    seed: int = 0,
    on: Literal["train", "everything"] = "train",
    device: str = "auto",
    execution: str = "auto",
    init: Path | None = None,
    checkpoint: Path | None = None,
    control: Control | None = None,
) -> Iterator[Epoch]:
    """Train a network and yield one record an epoch; leave the loop to stop early.

    With `checkpoint`, the state is saved at the end of each epoch and when stopped by `control`.
    Called again with the same arguments it first yields the finished epochs from there, then resumes:
    on a CPU with the same threads and execution, to the same bits as if it had never been stopped.

    Parameters
    ----------
    on : `train` judges each epoch on the held-out part; `everything` trains on that part too.
    execution : `plain`, `fused` (the same in fewer steps, for CPUs), `compiled` (torch.compile, for GPUs);
        `auto` takes fused on a CPU, else plain. Weights and results mean the same whichever runs.
    init : a file of weights to begin with (.safetensors, .pt, .pth); heads for other classes keep random weights.

    Raises
    ------
    InputError
        Spec, data and recipe do not fit together, or the checkpoint is of another training.
    Diverged
        The loss is no longer finite.
    Stopped
        `control` stopped it.

    Examples
    --------
    >>> import arch, search
    >>> spec, data = arch.load("googlenet_cifar_tiny"), search.load_data("digits")
    >>> recipe = search.load_recipe("default", {"epochs": 1, "batch": 32})
    >>> [epoch.epoch for epoch in search.fit(spec, data, recipe, seed=0)]
    [1]
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe or "default")
    check_fit(spec, data, recipe)
    where = pick_device(device)
    how = pick_execution(execution, where)
    if where.type == "cpu":
        give_back_freed_memory()
        keep_freed_memory()
    plan = _planned(spec, data, recipe, seed, on, where)
    state = _first_state(plan, how, init)
    fingerprint = _fingerprint(plan, on, how, init)
    if checkpoint and (saved := load_checkpoint(checkpoint, fingerprint)):
        state.restore(saved)
    return _Trainer(plan, state, control or Control(), checkpoint, fingerprint).epochs()


@dataclass(frozen=True)
class _Plan:
    """What a training does, settled before its first step. `steps` are those of the training from start to end."""

    spec: Spec
    data: Data
    recipe: Recipe
    seed: int
    part: ImagePart
    judged_on: ImagePart | None
    device: torch.device
    bf16: bool
    steps: int

    @property
    def steps_an_epoch(self) -> int:
        return steps_an_epoch(len(self.part), self.recipe.batch)

    @property
    def epochs(self) -> int:
        """Epochs begun: `max_steps` may end the last one early."""
        return -(-self.steps // self.steps_an_epoch)

    def batches(self, epoch: int) -> list[Batch]:
        """Return the batches of an epoch (from 0), of the last one as far as the steps go."""
        alternate = self.recipe.flip == "alternate"
        found = training_batches(len(self.part), self.recipe.batch, self.seed, epoch, alternate)
        return found[: self.steps - epoch * self.steps_an_epoch]


@dataclass
class _State:
    """What a training changes, and so what a checkpoint holds.

    `step`, `seconds` and `sums` (loss, correct answers, images) are of the epoch under way.
    """

    network: Network
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    sums: Tensor
    history: list[Epoch] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0

    @property
    def judged_network(self) -> Network:
        """The network whose accuracy counts: the average of the weights, if the recipe averages."""
        return cast(Network, self.average.module) if self.average else self.network

    def finish_epoch(self, record: Epoch) -> None:
        """Add an epoch's record, and begin the next one at its first step."""
        self.history.append(record)
        self.step, self.seconds = 0, 0.0
        self.sums.zero_()

    def to_save(self) -> dict[str, Any]:
        """Return the state as tensors and plain values, which are read back without running code."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "history": [record.metrics() for record in self.history],
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Load what `to_save` returned."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average:
            self.average.load_state_dict(saved["average"])
        self.history = [Epoch(**metrics, restored=True) for metrics in saved["history"]]
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.sums.copy_(saved["sums"])


def _planned(spec: Spec, data: Data, recipe: Recipe, seed: int, on: str, device: torch.device) -> _Plan:
    """Return the plan of a training, with its images where the device reads them fastest."""
    part = (data.train if on == "train" else data.everything).on(device)
    judged_on = data.val.on(device) if on == "train" else None
    bf16 = pick_precision(recipe.precision, device) == "bf16"
    steps = recipe.epochs * steps_an_epoch(len(part), recipe.batch)
    if recipe.max_steps:
        steps = min(steps, recipe.max_steps)
    return _Plan(spec, data, recipe, seed, part, judged_on, device, bf16, steps)


def _first_state(plan: _Plan, execution: _Execution, init: Path | None) -> _State:
    """Return the state before the first step."""
    network = (
        first_network(plan.spec, plan.recipe, plan.seed, execution, init)
        .to(plan.device)
        .to(memory_format=memory_format(plan.device))
    )
    if execution == "compiled":
        network.compile()
    # The optimizer and the average hold on to the network's tensors: both come after its last move.
    optimizer = make_optimizer(plan.recipe, network)
    average = None
    if plan.recipe.ema:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(plan.recipe.ema), use_buffers=True)
    return _State(network, optimizer, average, torch.zeros(3, dtype=sum_type(plan.device), device=plan.device))


def first_network(
    spec: Spec, recipe: Recipe, seed: int, execution: _Execution = "plain", init: Path | None = None
) -> Network:
    """Return the network with the weights that its seed draws, or those of a file; the caller's generator stays as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(mix(seed))
        network = build(spec, "fused" if execution == "fused" else "plain")
        if recipe.init:
            initialise(network, recipe.init)
    if init:
        # Not strict, as heads for other classes keep what was drawn; `initial_weights` checks all else.
        network.load_state_dict(dict(initial_weights(spec, init).tensors), strict=False)
    return network


def _fingerprint(plan: _Plan, on: str, execution: _Execution, init: Path | None) -> dict[str, Any]:
    """Return all that decides a training's bits: a checkpoint is resumed only where every value is the same."""
    return {
        "spec": plan.spec.id,
        "recipe": plan.recipe.id,
        "seed": plan.seed,
        "data": plan.data.fingerprint,
        "split": plan.data.split,
        "on": on,
        "init": weights_checksum(init) if init else None,
        "device": plan.device.type,
        "threads": torch.get_num_threads() if plan.device.type == "cpu" else 0,
        "precision": "bf16" if plan.bf16 else "fp32",
        "execution": runs_as(execution, plan.device.type),
        "torch": str(torch.__version__),  # its own type is no plain text, and would not be read back
    }


class _Trainer:
    """Takes a state through a plan, an epoch at a time."""

    def __init__(
        self, plan: _Plan, state: _State, control: Control, checkpoint: Path | None, fingerprint: Mapping[str, Any]
    ) -> None:
        self.plan, self.state, self.control = plan, state, control
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.rate, self.loss = make_schedule(plan.recipe), make_loss(plan.recipe)

    def epochs(self) -> Iterator[Epoch]:
        """Yield the epochs that a checkpoint held, then train the others."""
        state = self.state
        for record in state.history:
            record.network = state.judged_network
            yield record
        while (epoch := len(state.history)) < self.plan.epochs:
            record = self._epoch(epoch)
            # Saved before it is yielded: a caller that leaves the loop now loses nothing.
            state.finish_epoch(record)
            self._save()
            yield record

    def _epoch(self, epoch: int) -> Epoch:
        """Train an epoch (from 0), from its first step or from where a checkpoint stopped it, and judge it."""
        plan, state = self.plan, self.state
        start = time.perf_counter() - state.seconds
        batches = plan.batches(epoch)
        self._train(epoch, batches, start)
        trained = time.perf_counter() - start
        loss, correct, images = state.sums.tolist()
        lr, weights = self._rates(epoch, len(batches) - 1)
        judged = self._judged(epoch)
        return Epoch(
            epoch=epoch + 1,
            epochs=plan.epochs,
            train_loss=loss / images,
            train_accuracy=correct / images,
            val_loss=judged.loss if judged else None,
            val_accuracy=judged.accuracy if judged else None,
            val_aux_accuracy=judged.aux_accuracy if judged else {},
            lr=lr,
            aux_weights=weights,
            seconds=time.perf_counter() - start,
            images_per_second=images / trained,
            network=state.judged_network,
        )

    def _train(self, epoch: int, batches: Sequence[Batch], start: float) -> None:
        """Take the steps of an epoch that are not done yet; stop at a checkpoint where `control` says so."""
        plan, state = self.plan, self.state
        state.network.train()
        to_do = plan.data.stream(plan.part, batches[state.step :], plan.recipe, plan.spec.input[1:], plan.device)
        with torch.random.fork_rng(devices=_devices(plan.device)):
            for images, labels in to_do:
                lr, weights = self._rates(epoch, state.step)
                # Dropout draws by the step's own seed, so that a step does the same after a restart.
                torch.manual_seed(mix(plan.seed, epoch, state.step, 1))
                self._step(images, labels, lr, weights)
                state.step += 1
                # A look at the loss waits for the GPU, so that there it is taken once an epoch.
                if state.step == len(batches) or (plan.device.type == "cpu" and state.step % _CHECK_EVERY == 0):
                    self._check_finite(epoch)
                if not self.control.tick(epoch * plan.steps_an_epoch + state.step, plan.steps):
                    state.seconds = time.perf_counter() - start
                    self._save()
                    raise Stopped(f"stopped in epoch {epoch + 1} after step {state.step} of {len(batches)}")

    def _step(self, images: Tensor, labels: Tensor, lr: float, weights: Mapping[str, float]) -> None:
        state = self.state
        for group in state.optimizer.param_groups:
            group["lr"] = lr * group.get("scale", 1.0)
        images = images.contiguous(memory_format=memory_format(images.device))
        state.optimizer.zero_grad(set_to_none=True)
        loss, logits = training_loss(state.network, images, labels, weights, self.loss, self.plan.bf16)
        loss.backward()
        state.optimizer.step()
        if state.average:
            state.average.update_parameters(state.network)
        # Summed on the device: to read a value at every step would make a GPU wait for it.
        correct = (logits.detach().argmax(1) == labels).sum()
        n = torch.full_like(state.sums[2], len(labels))
        kind = state.sums.dtype
        state.sums += torch.stack([loss.detach().to(kind) * len(labels), correct.to(kind), n])

    def _rates(self, epoch: int, step: int) -> tuple[float, dict[str, float]]:
        """Return the learning rate and the heads' loss weights of a step."""
        plan = self.plan
        done = epoch * plan.steps_an_epoch + step
        losses = [record.train_loss for record in self.state.history]
        weights = plan.recipe.aux_weights(plan.spec.aux_rows, done / plan.steps)
        return self.rate(Moment(done, plan.steps, epoch, losses)), weights

    def _check_finite(self, epoch: int) -> None:
        total = float(self.state.sums[0])
        if not math.isfinite(total):
            raise Diverged(
                f"the training loss is {total} after step {self.state.step} of epoch {epoch + 1}; lower recipe.lr"
            )

    def _judged(self, epoch: int) -> Judged | None:
        """Return how the network does on the held-out images, where there are any."""
        plan = self.plan
        if not plan.judged_on:
            return None
        judged = judge(self.state.judged_network, plan.data, plan.judged_on, plan.recipe, plan.bf16)
        if not math.isfinite(judged.loss):
            raise Diverged(f"the held-out loss is {judged.loss} after epoch {epoch + 1}; lower recipe.lr")
        return judged

    def _save(self) -> None:
        if self.checkpoint:
            save_checkpoint(self.checkpoint, self.state.to_save(), self.fingerprint)


def training_loss(
    network: Network,
    images: Tensor,
    labels: Tensor,
    weights: Mapping[str, float],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    bf16: bool,
) -> tuple[Tensor, Tensor]:
    """Return the loss that is trained on, with each auxiliary head's times its weight, and the logits (N, C).

    `loss_of` is a function of logits (N, C) in float32 and labels (N,).
    """
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        out = network(images)
    loss = loss_of(out.logits.float(), labels)
    for row, weight in weights.items():
        if weight:
            loss = loss + weight * loss_of(out.aux[row].float(), labels)
    return loss, out.logits


def _devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
