"""A part of a training, a data set, a sampler or a pruner of one's own: one object in one file, and no other edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import arch
import search
from arch.registry import Definitions
from search.data.dataset import Data
from search.engines.user_modules import import_user_module
from search.recipes.augmentations import Draw, augment
from search.study.run import run_study
from tests.support import study
from tests.support.commands import here
from tests.support.fake import instant

__all__ = ["instant"]

# What each file holds: one registration. `calls` is for the test alone.
FILES = {
    "optimizers": """
def mine(recipe, network, *, rho: float = 0.9):
    calls.append(rho)
    return torch.optim.Adadelta(network.parameters(), recipe.lr, rho=rho)
""",
    "schedules": """
def mine(recipe, now, *, rho: float = 0.9):
    calls.append(rho)
    return recipe.lr * rho**now.step
""",
    "losses": """
def mine(recipe, logits, labels, *, rho: float = 0.9):
    calls.append(rho)
    return rho * torch.nn.functional.multi_margin_loss(logits, labels)
""",
    "augmentations": """
def mine(recipe, pixels, draw, *, rho: float = 0.9):
    calls.append(rho)
    return (pixels * rho).to(torch.uint8)
""",
    "datasets": """
def mine(root, part, download):
    calls.append(0.5)
    from search.data.cache import Pixels
    return Pixels.of(torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(40) % 2, ("a", "b"))
""",
    "samplers": """
def mine(seed: int, rho: float = 0.9):
    calls.append(rho)
    from optuna.samplers import RandomSampler
    return RandomSampler(seed=seed)
""",
    "pruners": """
def mine(rho: float = 0.9):
    calls.append(rho)
    from optuna.pruners import NopPruner
    return NopPruner()
""",
}
IDS = ("44136fa355b3678a", "e720c5964a8af0c5")  # of the recipes default and muon, as earlier runs recorded them
KEYS = {"optimizers": "optimizer", "schedules": "schedule", "losses": "loss", "augmentations": "augment"}
MINE = {"name": "mine", "rho": 0.5}


def registry(kind: str) -> Definitions[Any]:
    found: Definitions[Any] = getattr(search, kind.upper())
    return found


@pytest.fixture
def mine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a kind's file registers, until the test is over; the options that it was called with."""
    kind: str = request.param
    monkeypatch.setattr(registry(kind), "_entries", dict(registry(kind)._entries))
    file = tmp_path / f"my_{kind}.py"
    file.write_text(f"import search, torch\n\ncalls = []\n\n@search.{kind.upper()}.register{FILES[kind]}")
    import_user_module(str(file))
    calls: list[float] = registry(kind).get("mine").function.__globals__["calls"]
    return calls


@pytest.mark.parametrize(("mine", "kind"), [(kind, kind) for kind in KEYS], indirect=["mine"])
def test_a_part_is_listed_and_trained_with(
    mine: list[float], kind: str, micro: arch.Spec, digits: Data, quick: search.Recipe
) -> None:
    rows = json.loads(here("list", kind, "m*ne", "--format", "json").stdout)
    assert [(row["name"], row["arguments"]) for row in rows] == [("mine", "rho")]
    choice = [MINE] if kind == "augmentations" else MINE
    recipe = search.load_recipe(quick, {KEYS[kind]: choice, "max_steps": 2})
    assert mine == []
    assert next(search.fit(micro, digits, recipe)).epoch == 1
    assert set(mine) == {0.5}
    assert search.load_recipe(recipe.model_dump()) == recipe


@pytest.mark.parametrize("mine", ["datasets"], indirect=True)
def test_a_data_set_is_listed_and_read_whenever_it_is_asked_for(mine: list[float], tmp_path: Path) -> None:
    assert here("list", "datasets", "mine").returncode == 0
    first, again = search.load_data("mine", root=tmp_path), search.load_data("mine", root=tmp_path)
    assert first.classes == ("a", "b")
    assert first.fingerprint == again.fingerprint
    assert len(mine) == 2
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("instant")
@pytest.mark.parametrize(("mine", "kind"), [("samplers", "sampler"), ("pruners", "pruner")], indirect=["mine"])
def test_a_sampler_or_pruner_is_listed_and_used(mine: list[float], kind: str, tmp_path: Path) -> None:
    assert "rho" in here("list", f"{kind}s", "mine").stdout
    assert run_study(study(**{kind: MINE}, trials=2), tmp_path / "run").finished == 2
    assert set(mine) == {0.5}


@pytest.mark.parametrize("mine", ["samplers"], indirect=True)
def test_a_sampler_says_what_it_cannot_draw(mine: list[float], tmp_path: Path) -> None:
    search.SAMPLERS.register(search.SAMPLERS.get("mine").function, "numbers_alone", choices=False)
    family = {"family": {"choices": ["inception_v1", "inception_v2"]}}
    with pytest.raises(arch.InputError, match=r"numbers_alone: cannot draw family.*, a choice among 2; use tpe or"):
        run_study(study(sampler={"name": "numbers_alone"}, space=family), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"optimizer": "sdg"}, r"optimizer: there is no optimizer 'sdg'. Did you mean sgd"),
        ({"schedule": "cosin"}, r"schedule: there is no schedule 'cosin'. Did you mean cosine"),
        ({"loss": "cross_entropi"}, r"Did you mean cross_entropy\? `inceptory list losses` names all"),
        ({"augment": ["crop", "cutuot"]}, r"augment: there is no augmentation 'cutuot'. Did you mean cutout"),
        ({"optimizer": {"name": "sgd", "beta": 1}}, r"optimizer, sgd: unknown key 'beta'"),
        ({"optimizer": {"beta": 1}}, r"'optimizer' .* a mapping has a name"),
        ({"loss": 3}, r"'loss' is 3.* give a name"),
        ({"augment": "crop"}, r"'augment' is 'crop'"),
    ],
)
def test_what_is_not_registered_is_refused_as_it_is_loaded(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(arch.InputError, match=text):
        search.load_recipe("default", changes)


@pytest.mark.parametrize("mine", ["losses"], indirect=True)
def test_options_are_checked_by_their_types(mine: list[float]) -> None:
    with pytest.raises(arch.InputError, match=r"loss, mine: 'rho' is 'much', but it must satisfy"):
        search.load_recipe("default", {"loss": {"name": "mine", "rho": "much"}})


def test_files_and_ids_of_recipes_are_those_from_before_losses_and_augmentations_had_names() -> None:
    default = search.load_recipe("default")
    assert (default.id, search.load_recipe("muon").id) == IDS
    assert not {"loss", "augment"} & set(default.model_dump())
    written = search.load_recipe("default", {"loss": {"name": "cross_entropy"}, "augment": ["crop", "flip", "cutout"]})
    assert written == default
    assert written.id == default.id
    other = search.load_recipe("default", {"augment": ["flip", "crop"]})
    assert other.model_dump()["augment"] == ["flip", "crop"]
    assert other.id != default.id
    assert default.differing(other) == other.differing(default) == ["augment"]


def test_an_augmentation_returns_uint8_images_of_the_same_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.AUGMENTATIONS, "_entries", dict(search.AUGMENTATIONS._entries))
    search.AUGMENTATIONS.register(lambda recipe, pixels, draw: pixels.float(), "floats")
    search.AUGMENTATIONS.register(lambda recipe, pixels, draw: pixels[:, :, :2], "smaller")
    for name in ("floats", "smaller"):
        recipe = search.load_recipe("default", {"augment": [name]})
        with pytest.raises(arch.InputError, match=f"augment: {name} returns .* returns uint8 of the shape"):
            augment(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), recipe, Draw(torch.Generator()))
