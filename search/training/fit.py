"""`fit`: the training loop as a generator of epoch records, with exact resume."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from arch.modules.builder import build
from arch.modules.fused.fused import runs_as
from arch.modules.plain import Network, initialise
from arch.specs.spec import Spec
from search.data.batches import mix, steps_an_epoch, training_batches
from search.data.dataset import Data
from search.recipes.recipe import Recipe, load_recipe
from search.training.checkpoint import load_checkpoint, save_checkpoint
from search.training.checks import check_fit
from search.training.hardware import (
    give_back_freed_memory,
    keep_freed_memory,
    pick_device,
    pick_execution,
    pick_precision,
)
from search.training.initial_weights import checksum, initial_weights
from search.training.judge import judge
from search.training.optimizers import make_optimizer

_WATCH_EVERY = 50  # steps between looks at whether the loss is still finite


class Diverged(RuntimeError):
    """The training loss is no longer a number."""


class Stopped(RuntimeError):
    """The training was asked to stop, and has written a checkpoint if it was given a place for one."""


class Control:
    """The reins of a running fit: it reports every step here, and stops where `stop` is true."""

    def __init__(self) -> None:
        self.stop = False
        self.prune = False  # a training left early is over, not interrupted

    def tick(self, done: int, steps: int) -> bool:
        """Take note of how many of all its steps a training has done; return False to stop it there."""
        return not self.stop


@dataclass
class Epoch:
    """One epoch of training. Accuracies are fractions; `images_per_second` is of training alone.

    `val_*` are None where nothing is held out. `network` is the one that is judged (averaged, if the
    recipe averages), as it is now: it goes on changing with the next epoch. `restored` marks an epoch
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

    def told(self) -> dict[str, Any]:
        """Return the record as those hear of it who wait for news: with `restored` where it is none."""
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
    Called again with the same arguments it first yields the finished epochs from there, then goes
    on: on a CPU with the same threads and execution, to the same bits as if it had never been stopped.

    Parameters
    ----------
    on : `train` judges each epoch on the held-out part; `everything` trains on that part too.
    execution : `plain`, `fused` (the same in fewer steps, for CPUs), `compiled` (torch.compile, for GPUs);
        `auto` takes fused on a CPU, else plain. Weights and results mean the same whichever runs.
    init : a file of weights to begin with (.safetensors, .pt, .pth); heads for other classes start anew.

    Raises
    ------
    InputError
        Spec, data and recipe do not fit together, or the checkpoint is of another training.
    Diverged
        The loss is no longer finite.
    Stopped
        `control` asked to stop.

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
    trainer = _Trainer(spec, data, recipe, seed, on, where, how, init, checkpoint, control or Control())
    return trainer.epochs()


class _Trainer:
    """The state of one training: what an epoch changes and a checkpoint holds."""

    def __init__(
        self,
        spec: Spec,
        data: Data,
        recipe: Recipe,
        seed: int,
        on: str,
        device: torch.device,
        execution: Literal["plain", "fused", "compiled"],
        init: Path | None,
        checkpoint: Path | None,
        control: Control,
    ) -> None:
        self.spec, self.data, self.recipe, self.seed = spec, data, recipe, seed
        self.device, self.path, self.control = device, checkpoint, control
        if device.type == "cpu":
            give_back_freed_memory()
            keep_freed_memory()
        self.part = (data.train if on == "train" else data.everything).on(device)
        self.judged_on = data.val.on(device) if on == "train" else None
        self.steps_an_epoch = steps_an_epoch(len(self.part), recipe.batch)
        self.steps = recipe.epochs * self.steps_an_epoch
        if recipe.max_steps:
            self.steps = min(self.steps, recipe.max_steps)
        self.all_epochs = -(-self.steps // self.steps_an_epoch)
        self.bf16 = pick_precision(recipe.precision, device) == "bf16"
        with torch.random.fork_rng():
            torch.manual_seed(mix(seed))
            network = build(spec, "fused" if execution == "fused" else "plain")
            if recipe.init:
                initialise(network, recipe.init)
        if init:
            network.load_state_dict(dict(initial_weights(spec, init).tensors), strict=False)  # checked there
        self.network: Network = network.to(device).to(memory_format=torch.channels_last)
        if execution == "compiled":
            self.network.compile()
        self.optimizer = make_optimizer(recipe, self.network)
        self.average = (
            AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
            if recipe.ema
            else None
        )
        self.history: list[Epoch] = []
        self.step = 0  # steps done in the epoch under way
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, correct, images of that epoch
        self.seconds = 0.0  # spent in that epoch
        self.fingerprint = {
            "spec": spec.id,
            "recipe": recipe.id,
            "seed": seed,
            "data": data.fingerprint,
            "split": data.split,
            "on": on,
            "init": checksum(init) if init else None,
            "device": device.type,
            "threads": torch.get_num_threads() if device.type == "cpu" else 0,
            "precision": "bf16" if self.bf16 else "fp32",
            "execution": runs_as(execution, device.type),
            "torch": str(torch.__version__),  # its own type is no plain text, and would not be read back
        }

        state = load_checkpoint(checkpoint, self.fingerprint) if checkpoint else None
        if state:
            self._restore(state)

    def epochs(self) -> Iterator[Epoch]:
        for record in self.history:
            record.network = self.judged_network
            yield record
        while len(self.history) < self.all_epochs:
            record = self._epoch(len(self.history))
            self.history.append(record)
            self.step, self.seconds = 0, 0.0
            self.sums.zero_()
            self._save()
            yield record

    @property
    def judged_network(self) -> Network:
        return cast(Network, self.average.module) if self.average else self.network

    def _epoch(self, epoch: int) -> Epoch:
        recipe = self.recipe
        start = time.perf_counter() - self.seconds
        batches = training_batches(len(self.part), recipe.batch, self.seed, epoch, recipe.flip == "alternate")
        batches = batches[: self.steps - epoch * self.steps_an_epoch]
        losses = [record.train_loss for record in self.history]
        size = self.spec.input[1:]
        self.network.train()
        todo = self.data.stream(self.part, batches[self.step :], recipe, size, self.device)
        with torch.random.fork_rng(devices=_devices(self.device)):
            for images, labels in todo:
                lr, weights = self._rates(epoch, self.step, losses)
                torch.manual_seed(mix(self.seed, epoch, self.step, 1))  # dropout
                self._train_step(images, labels, lr, weights)
                self.step += 1
                # a look at the loss waits for the GPU, so that there it is taken once an epoch
                if self.step == len(batches) or (self.device.type == "cpu" and self.step % _WATCH_EVERY == 0):
                    self._watch(epoch)
                if not self.control.tick(epoch * self.steps_an_epoch + self.step, self.steps):
                    self.seconds = time.perf_counter() - start
                    self._save()
                    raise Stopped(f"stopped in epoch {epoch + 1} after step {self.step} of {len(batches)}")
        trained = time.perf_counter() - start
        loss, correct, images_seen = self.sums.tolist()
        lr, weights = self._rates(epoch, len(batches) - 1, losses)
        judged = judge(self.judged_network, self.data, self.judged_on, recipe, self.bf16) if self.judged_on else None
        if judged and not math.isfinite(judged.loss):
            raise Diverged(f"the held-out loss is {judged.loss} after epoch {epoch + 1}; lower recipe.lr")
        return Epoch(
            epoch=epoch + 1,
            epochs=self.all_epochs,
            train_loss=loss / images_seen,
            train_accuracy=correct / images_seen,
            val_loss=judged.loss if judged else None,
            val_accuracy=judged.accuracy if judged else None,
            val_aux_accuracy=judged.aux_accuracy if judged else {},
            lr=lr,
            aux_weights=weights,
            seconds=time.perf_counter() - start,
            images_per_second=images_seen / trained,
            network=self.judged_network,
        )

    def _rates(self, epoch: int, step: int, losses: list[float]) -> tuple[float, dict[str, float]]:
        """Return the learning rate and the heads' loss weights of a step."""
        done = epoch * self.steps_an_epoch + step
        weights = self.recipe.aux_weights(self.spec.aux_rows, done / self.steps)
        return self.recipe.lr_at(done, self.steps, epoch, losses), weights

    def _train_step(self, images: Tensor, labels: Tensor, lr: float, weights: dict[str, float]) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("scale", 1.0)
        images = images.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        loss, logits = training_loss(self.network, images, labels, weights, self.recipe.label_smoothing, self.bf16)
        loss.backward()
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.network)
        correct = (logits.detach().argmax(1) == labels).sum()
        self.sums += torch.stack(
            [loss.detach().double() * len(labels), correct.double(), torch.full_like(self.sums[2], len(labels))]
        )

    def _watch(self, epoch: int) -> None:
        total = float(self.sums[0])
        if not math.isfinite(total):
            raise Diverged(f"the training loss is {total} after step {self.step} of epoch {epoch + 1}; lower recipe.lr")

    def _save(self) -> None:
        if not self.path:
            return
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "history": [record.metrics() for record in self.history],
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
        }
        save_checkpoint(self.path, state, self.fingerprint)

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.history = [Epoch(**metrics, restored=True) for metrics in state["history"]]
        self.step, self.seconds = state["step"], state["seconds"]
        self.sums.copy_(state["sums"])


def training_loss(
    network: Network, images: Tensor, labels: Tensor, weights: Mapping[str, float], smoothing: float, bf16: bool
) -> tuple[Tensor, Tensor]:
    """Return the loss that is trained on, with each auxiliary head's times its weight, and the logits."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        out = network(images)
    loss = F.cross_entropy(out.logits.float(), labels, label_smoothing=smoothing)
    for row, weight in weights.items():
        if weight:
            loss = loss + weight * F.cross_entropy(out.aux[row].float(), labels, label_smoothing=smoothing)
    return loss, out.logits


def _devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
