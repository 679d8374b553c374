from __future__ import annotations

import pytest
import torch

import arch
import search
from search.recipes.load import list_recipes
from search.recipes.schedules import Moment, make_schedule


def test_plateau_is_torchs() -> None:
    losses = [2.0, 1.5, 1.5, 1.49999, 1.6, 1.4, 1.5, 1.5, 1.5, 1.5, 1.39, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", factor=0.5, patience=2, min_lr=0.02)
    changes = {"schedule": "plateau", "lr": 0.1, "gamma": 0.5, "patience": 2, "min_lr": 0.02}
    rate = make_schedule(search.load_recipe("default", changes))
    for seen, loss in enumerate(losses):
        assert rate(Moment(0, 1, seen, losses[:seen])) == pytest.approx(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)


def test_one_cycle_climbs_and_falls_to_nearly_nothing() -> None:
    one_cycle = make_schedule(search.load_recipe("default", {"lr": 0.1, "warmup": 0.25}))
    rates = [one_cycle(Moment(step, 100, 0)) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 25
    assert rates[0] < 0.005
    assert rates[-1] < 0.002
    cosine = make_schedule(search.load_recipe("default", {"schedule": "cosine", "warmup": 0.0, "min_lr": 0.01}))
    assert cosine(Moment(0, 100, 0)) == pytest.approx(0.1)
    assert cosine(Moment(50, 100, 0)) == pytest.approx(0.055)
    step = make_schedule(search.load_recipe("default", {"schedule": "step", "step_epochs": 2, "gamma": 0.1}))
    assert [round(step(Moment(0, 1, epoch)), 6) for epoch in range(4)] == [0.1, 0.1, 0.01, 0.01]


def test_aux_weights_by_head_and_decay() -> None:
    recipe = search.load_recipe("default", {"aux_weight": {"4a": 0.4}, "aux_decay": "linear"})
    assert recipe.aux_weights(("4a", "4d"), 0.25) == {"4a": pytest.approx(0.3), "4d": 0.0}
    with pytest.raises(arch.InputError, match=r"row '4a', which has no head.* Did you mean 4b"):
        recipe.aux_weights(("4b", "3a"), 0.0)
    assert search.load_recipe("default", {"aux_decay": "cosine"}).aux_weights(("x",), 1.0) == {"x": pytest.approx(0)}


# What the tutorials' texts print, by recipe.
TUTORIALS = {
    "tutorial_000": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "plateau", "gamma": 0.5,
                     "patience": 5, "min_lr": 1e-6, "aux_weight": 0.3, "epochs": 20, "batch": 256, "normalise": "half", "init": "kaiming"},
    "tutorial_002_flowers": {"optimizer": "adam", "lr": 3e-4, "batch": 16, "epochs": 30, "aux_weight": 0.3, "random_resized_crop": True},
    "tutorial_003": {"optimizer": "sgd", "lr": 1e-4, "momentum": 0.0, "batch": 32, "epochs": 20},
    "tutorial_004_d2l": {"optimizer": "adam", "lr": 1e-3, "batch": 128, "epochs": 5, "resize": 96},
    "tutorial_004_mini": {"optimizer": "adam", "lr": 1e-3, "batch": 20, "max_steps": 10_000, "init": "glorot"},
    "tutorial_004_conv_relu": {"optimizer": "sgd", "lr": 0.01, "batch": 64, "epochs": 20, "resize": 96},
}  # fmt: skip


@pytest.mark.parametrize("name", TUTORIALS)
def test_tutorial_recipes(name: str) -> None:
    values = search.load_recipe(name).model_dump()
    assert {key: values[key] for key in TUTORIALS[name]} == TUTORIALS[name]
    assert values["precision"] == "fp32"
    assert values["label_smoothing"] == 0
    assert values["source"].startswith("tutorial")


def test_ids_leave_out_names() -> None:
    assert search.load_recipe("default").id == search.load_recipe("default", {"name": "mine"}).id
    assert search.load_recipe("default").id != search.load_recipe("default", {"lr": 0.2}).id


def test_errors_name_key_and_near_name() -> None:
    with pytest.raises(arch.InputError, match="Did you mean tutorial_00"):
        search.load_recipe("tutorial_00")
    with pytest.raises(arch.InputError, match=r"unknown key 'epoch'.*Did you mean epochs"):
        search.load_recipe({"base": "default", "epoch": 3})
    with pytest.raises(arch.InputError, match="'lr'"):
        search.load_recipe("default", {"lr": "fast"})
    assert set(TUTORIALS) < set(list_recipes())


def test_a_name_with_a_null_byte_is_no_file() -> None:
    with pytest.raises(arch.InputError, match=r"no.x00thing.yaml: cannot be read"):
        search.load_recipe("no\0thing.yaml")
