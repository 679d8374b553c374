"""Proxies: held against their definitions on networks of a few units, and in the record of a study."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import arch
import reports
import search
from arch.modules.plain import Output
from reports.tables.run_tables import tables_of
from search.data.dataset import Data
from search.evaluation.proxies.naswot import naswot
from search.evaluation.proxies.zico import zico
from search.evaluation.untrained import proxies_of
from search.record.files import read_json
from search.study.run import run_study
from tests.support import QUICK, study
from tests.support.commands import here


class Tiny(torch.nn.Module):
    """Two inputs to three ReLUs to two logits, and an auxiliary layer that no figure may count."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)
        self.aux, self.also = torch.nn.Linear(3, 2), torch.nn.ReLU()

    def forward(self, images: torch.Tensor, aux: bool | None = None) -> Output:
        hidden = self.relu(self.first(images))
        return Output(self.last(hidden), {"a": self.also(self.aux(hidden))} if aux is not False else {})


def test_naswot_by_hand() -> None:
    """Images switch the ReLUs (1, 0, 1), (1, 1, 1), (0, 0, 1): pairs agree in 2, 2 and 1 of 3."""
    network = Tiny()
    with torch.no_grad():
        network.first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        network.first.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    images = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    agreeing = torch.tensor([[3.0, 2.0, 2.0], [2.0, 3.0, 1.0], [2.0, 1.0, 3.0]])
    wanted = math.log(float(torch.linalg.det(agreeing)))
    assert naswot(network, images, torch.zeros(3)) == pytest.approx(wanted, rel=1e-5)  # type: ignore[arg-type]


def test_zico_by_its_definition() -> None:
    torch.manual_seed(0)
    network, images, labels = Tiny(), torch.randn(8, 2), torch.tensor([0, 1] * 4)
    gradients: dict[str, list[torch.Tensor]] = {"first": [], "last": []}
    for part in (slice(0, 4), slice(4, 8)):
        loss = F.cross_entropy(network(images[part], aux=False).logits, labels[part])
        weights = [getattr(network, name).weight for name in gradients]
        for name, gradient in zip(gradients, torch.autograd.grad(loss, weights), strict=True):
            gradients[name].append(gradient)
    wanted = 0.0
    for one, other in gradients.values():
        mean, deviation = (one.abs() + other.abs()) / 2, (one - other).abs() / 2
        wanted += math.log(sum(m / d for m, d in zip(mean.flatten(), deviation.flatten(), strict=True) if d > 0))
    assert zico(network, images, labels) == pytest.approx(wanted, rel=1e-4)  # type: ignore[arg-type]


def test_figures_follow_from_the_seed_and_leave_random_numbers_alone(micro: arch.Spec, digits: Data) -> None:
    recipe = search.load_recipe(QUICK)
    before = torch.random.get_rng_state()
    one, again, other = (proxies_of(micro, digits, recipe, ["naswot", "zico"], seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one == again
    assert one["naswot"] != other["naswot"]
    assert all(math.isfinite(value) for value in one.values())
    assert proxies_of(micro, digits, recipe, ["zico"])["zico"] == one["zico"]  # whatever else is computed


def test_a_study_records_and_reports_them_and_trains_the_same(tmp_path: Path) -> None:
    quick = {"base": "default", "epochs": 1, "batch": 512, "precision": "fp32"}
    for name, proxies in (("with", ["naswot", "zico"]), ("without", [])):
        run_study(study(recipe=quick, trials=5, proxies=proxies), tmp_path / name)
    results = [read_json(tmp_path / name / "trials" / "00000" / "result.json") for name in ("with", "without")]
    assert results[0]["proxies"].keys() == {"naswot", "zico"}
    assert "proxies" not in results[1]
    assert results[0]["val_loss"] == results[1]["val_loss"]
    table = next(table for table in tables_of(reports.load(tmp_path / "with")) if table.name == "proxies")
    assert table.frame["figure"].tolist()[:2] == ["naswot", "zico"]
    assert set(table.frame["n"]) == {5}
    assert "proxies" not in [table.name for table in tables_of(reports.load(tmp_path / "without"))]


def test_an_unknown_proxy_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(arch.InputError, match=r"no proxy 'naswod'. Did you mean naswot\?.*list proxies"):
        run_study(study(proxies=["naswod"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    listed = here("list", "proxies")
    assert "naswot" in listed.stdout
    assert "zico" in listed.stdout
