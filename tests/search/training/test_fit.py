from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

import arch
import search
from search.data.dataset import Data
from search.recipes.optimizers import make_optimizer
from search.training.checks import check_fit
from search.training.fit import Control, Diverged, Stopped
from search.training.judge import judge
from tests.support import MICRO, QUICK, ROOT
from tests.support.trainings import digest, lines


def figures(epochs: list[search.Epoch]) -> list[tuple]:
    return [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.val_aux_accuracy, e.lr) for e in epochs]


class StopAt(Control):
    """Stops after so many steps in all."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def tick(self, done: int, steps: int) -> bool:
        self.left -= 1
        return self.left > 0


def test_epochs_come_one_by_one_and_learn(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    epochs = list(search.fit(micro, digits, quick.model_copy(update={"epochs": 6}), seed=1))
    assert [e.epoch for e in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].val_accuracy > 0.6
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert set(epochs[0].val_aux_accuracy) == {"3a"}
    assert json.loads(json.dumps(epochs[0].metrics()))["epochs"] == 6
    assert epochs[0].images_per_second > 0


def test_a_seed_decides_everything(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    torch.manual_seed(1)
    one = list(search.fit(micro, digits, quick, seed=3))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = list(search.fit(micro, digits, quick, seed=3))
    assert torch.equal(torch.get_rng_state(), state)  # the caller's generator is left alone
    assert figures(one) == figures(two)
    assert digest(one[-1].network) == digest(two[-1].network)
    assert figures(list(search.fit(micro, digits, quick, seed=4))) != figures(one)


CHANGES: dict[str, dict[str, object]] = {
    "sgd": {},
    "averaged": {"ema": 0.9},
    "adam": {"optimizer": "adam", "lr": 1e-3},
    "plateau": {"schedule": "plateau", "aux_decay": "linear"},
}


@pytest.fixture(scope="module")
def never_stopped(digits: Data) -> Callable[[str], list[search.Epoch]]:
    """What a training with one of the changes gives that is not stopped; each is run once."""

    @cache
    def trained(name: str) -> list[search.Epoch]:
        return list(search.fit(arch.load(MICRO), digits, search.load_recipe(QUICK, CHANGES[name]), seed=5))

    return trained


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("stop_after", [1, 20, 21, 33])  # the first step, an epoch's end, its beginning, its middle
def test_stopped_anywhere_and_resumed_gives_the_same_bits(
    micro: arch.Spec,
    digits: Data,
    tmp_path: Path,
    never_stopped: Callable[[str], list[search.Epoch]],
    stop_after: int,
    name: str,
) -> None:
    recipe = search.load_recipe(QUICK, CHANGES[name])
    whole = never_stopped(name)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        list(search.fit(micro, digits, recipe, seed=5, checkpoint=path, control=StopAt(stop_after)))
    resumed = list(search.fit(micro, digits, recipe, seed=5, checkpoint=path))
    assert figures(resumed) == figures(whole)
    assert digest(resumed[-1].network) == digest(whole[-1].network)
    assert [e.restored for e in resumed] == [stop_after > 20, False]


@pytest.mark.slow  # the fast one: tests/benchmarks/test_kills.py
def test_sigkill_loses_at_most_the_epoch_under_way(tmp_path: Path) -> None:
    whole = list(lines(tmp_path / "whole.pt"))
    assert len(whole) == 5
    command = [sys.executable, "-m", "tests.support.trainings", str(tmp_path / "killed.pt")]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert killed.stdout is not None
    killed.stdout.readline()
    time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "killed.pt").exists()
    assert list(lines(tmp_path / "killed.pt")) == whole


def test_a_checkpoint_of_another_training_is_refused_and_a_damaged_one_set_aside(
    micro: arch.Spec, digits: Data, quick: search.Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    first = list(search.fit(micro, digits, quick, seed=1, checkpoint=path))
    with pytest.raises(arch.InputError, match="seed was 1 and is 2"):
        list(search.fit(micro, digits, quick, seed=2, checkpoint=path))
    raw = path.read_bytes()
    for damaged in (raw[: len(raw) // 2], b"", b"junk" * 100):
        path.write_bytes(damaged)
        again = list(search.fit(micro, digits, quick, seed=1, checkpoint=path))
        assert figures(again) == figures(first)
        assert not any(e.restored for e in again)
    assert "not readable as a checkpoint" in (tmp_path / "damaged.txt").read_text()


def test_executions_train_alike_and_their_checkpoints_do_not_mix(
    micro: arch.Spec, digits: Data, quick: search.Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    fused = list(search.fit(micro, digits, quick, seed=1, checkpoint=path))
    plain = list(search.fit(micro, digits, quick, seed=1, execution="plain"))
    assert fused[0].train_loss == pytest.approx(plain[0].train_loss, rel=0.02)
    assert list(fused[-1].network.state_dict()) == list(plain[-1].network.state_dict())
    with pytest.raises(arch.InputError, match=r"execution was 'fused.* and is 'plain'"):
        list(search.fit(micro, digits, quick, seed=1, execution="plain", checkpoint=path))


@pytest.mark.parametrize(("execution", "said"), [("fussed", "Did you mean"), ("compiled", "is for GPUs")])
def test_an_execution_that_cannot_be_is_refused(
    execution: str, said: str, micro: arch.Spec, digits: Data, quick: search.Recipe
) -> None:
    with pytest.raises(arch.InputError, match=said):
        search.fit(micro, digits, quick, device="cpu", execution=execution)


@pytest.mark.parametrize("execution", ["plain", "fused"])
def test_an_average_of_weights_is_resumed_in_either_execution(
    execution: str, micro: arch.Spec, digits: Data, quick: search.Recipe, tmp_path: Path
) -> None:
    recipe = search.load_recipe(quick, {"ema": 0.95})
    path = tmp_path / "checkpoint.pt"
    whole = list(search.fit(micro, digits, recipe, seed=5, execution=execution))
    with pytest.raises(Stopped):
        list(search.fit(micro, digits, recipe, seed=5, execution=execution, checkpoint=path, control=StopAt(27)))
    resumed = list(search.fit(micro, digits, recipe, seed=5, execution=execution, checkpoint=path))
    assert figures(resumed) == figures(whole)
    assert digest(resumed[-1].network) == digest(whole[-1].network)


def test_a_checkpoint_runs_no_code(micro: arch.Spec, digits: Data, quick: search.Recipe, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "owned"),))

    torch.save({"fingerprint": Evil()}, tmp_path / "checkpoint.pt")
    assert len(list(search.fit(micro, digits, quick, checkpoint=tmp_path / "checkpoint.pt"))) == 2
    assert not (tmp_path / "owned").exists()


def test_a_diverging_training_says_so(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    wild = search.load_recipe(
        quick, {"lr": 100.0, "warmup": 0.0, "schedule": "constant", "momentum": 0.99, "weight_decay": 1.0, "batch": 16}
    )
    plain = arch.from_mapping(arch.to_mapping(micro) | {"style": {"norm": "none"}})
    with pytest.raises(Diverged, match="loss is"):
        list(search.fit(plain, digits, wild))


def test_max_steps_ends_the_training(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    epochs = list(search.fit(micro, digits, search.load_recipe(quick, {"max_steps": 25, "epochs": 50})))
    assert [e.epoch for e in epochs] == [1, 2]
    assert epochs[-1].epochs == 2


def test_everything_trains_on_the_held_out_part_too(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    epochs = list(search.fit(micro, digits, quick, on="everything"))
    assert epochs[-1].val_accuracy is None


def test_what_does_not_fit_is_said_with_a_remedy(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    with pytest.raises(arch.InputError, match="--input 3x32x32"):
        check_fit(arch.load("googlenet"), digits, quick)
    with pytest.raises(arch.InputError, match="--classes 10"):
        check_fit(arch.from_mapping(arch.to_mapping(micro) | {"classes": 7}), digits, quick)


def test_averaged_weights_are_the_ones_judged(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    plain = list(search.fit(micro, digits, quick, seed=1))[-1]
    averaged = list(search.fit(micro, digits, search.load_recipe(quick, {"ema": 0.95}), seed=1))[-1]
    assert averaged.train_loss == plain.train_loss
    assert digest(averaged.network) != digest(plain.network)
    judged = judge(averaged.network, digits, digits.val, quick)
    assert judged.accuracy == averaged.val_accuracy
    assert judged.predictions.shape == (143,)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_optimizers(micro: arch.Spec, quick: search.Recipe, name: str) -> None:
    optimizer = make_optimizer(search.load_recipe(quick, {"optimizer": name, "weight_decay": 0.01}), arch.build(micro))
    assert type(optimizer).__name__.lower() == name
    assert optimizer.defaults["weight_decay"] == 0.01


def test_sgd_in_one_pass_is_torchs_sgd(micro: arch.Spec, quick: search.Recipe) -> None:
    torch.manual_seed(0)
    ours = arch.build(micro).double().to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours)
    recipe = search.load_recipe(quick, {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01})
    usual = torch.optim.SGD(theirs.parameters(), recipe.lr, momentum=0.9, nesterov=True, weight_decay=0.01)
    for network, optimizer in ((ours, make_optimizer(recipe, ours)), (theirs, usual)):
        torch.manual_seed(1)  # for images and dropout
        for _ in range(3):
            images = torch.randn(4, *micro.input, dtype=torch.float64)
            optimizer.zero_grad()
            network(images.contiguous(memory_format=torch.channels_last)).logits.square().mean().backward()
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.gpu
def test_the_same_recipe_trains_on_a_gpu(micro: arch.Spec, digits: Data, quick: search.Recipe) -> None:
    epochs = list(search.fit(micro, digits, quick, device="cuda"))
    assert epochs[-1].val_accuracy > 0.2
