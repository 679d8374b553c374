from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import arch
import search
from arch.specs.edit import with_classes
from search.data.dataset import Data
from search.engines.single import train
from search.engines.task import Task, run
from search.progress import Silent
from search.record.files import read_json
from search.training.initial_weights import initial_weights, weights_checksum

RECIPE = {"epochs": 2, "batch": 128, "precision": "fp32"}


def weights_of(spec: arch.Spec, seed: int = 7) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return arch.build(spec).state_dict()


def first_state(spec: arch.Spec, data: Data, init: Path | None) -> dict[str, torch.Tensor]:
    """The weights after one step so small that nothing moves."""
    still = {"lr": 1e-12, "weight_decay": 0.0, "max_steps": 1, "epochs": 1, "schedule": "constant", "precision": "fp32"}
    epoch = next(search.fit(spec, data, search.load_recipe("default", still), init=init, execution="plain"))
    assert epoch.network is not None
    return dict(epoch.network.named_parameters())


def test_a_training_begins_with_the_files_weights(micro: arch.Spec, digits: Data, tmp_path: Path) -> None:
    tensors = weights_of(micro)
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pth")
    for file in ("a.safetensors", "a.pth"):
        begun = first_state(micro, digits, tmp_path / file)
        assert all(torch.allclose(value, tensors[name], atol=1e-9) for name, value in begun.items())
    fresh = first_state(micro, digits, None)
    assert not torch.allclose(fresh["rows.stem.conv5x5.conv.weight"], tensors["rows.stem.conv5x5.conv.weight"])


def test_heads_of_another_class_count_start_anew_and_are_named(micro: arch.Spec, digits: Data, tmp_path: Path) -> None:
    tensors = weights_of(with_classes(micro, 100))
    save_file(tensors, tmp_path / "hundred.safetensors")
    found = initial_weights(micro, tmp_path / "hundred.safetensors")
    heads = (*micro.aux_rows, "final")
    assert dict(found.skipped) == dict.fromkeys(heads, "100 classes there, 10 here")
    assert sorted(found.tensors) == sorted(name for name in tensors if name.startswith("rows."))
    begun = first_state(micro, digits, tmp_path / "hundred.safetensors")
    fresh = first_state(micro, digits, None)
    for name, value in begun.items():
        expected = tensors[name] if name.startswith("rows.") else fresh[name]
        assert torch.allclose(value, expected, atol=1e-9), name


def test_an_auxiliary_head_that_is_absent_is_named_and_anything_else_is_an_error(
    micro: arch.Spec, tmp_path: Path
) -> None:
    path, tensors = tmp_path / "w.safetensors", weights_of(micro)
    without = {name: value for name, value in tensors.items() if not name.startswith(f"heads.{micro.aux_rows[0]}.")}
    save_file(without, path)
    assert dict(initial_weights(micro, path).skipped) == {micro.aux_rows[0]: "not in the file"}
    key = "rows.stem.conv5x5.conv.weight"
    half = next(name for name in tensors if name.startswith(f"heads.{micro.aux_rows[0]}."))
    for changed, fragment in (
        ({name: value for name, value in tensors.items() if name != key}, f"missing: {key}"),
        (tensors | {"rows.extra.weight": torch.zeros(1)}, "unknown: rows.extra.weight"),
        (tensors | {key: torch.zeros(1, 1, 5, 5)}, f"{key} is 1x1x5x5 and must be"),
        ({name: value for name, value in tensors.items() if name != half}, f"missing: {half}"),
        (
            {name: value for name, value in tensors.items() if not name.startswith("heads.final")},
            "missing: heads.final",
        ),
        (tensors | {"heads.final.linear.weight": torch.zeros(10, 5)}, "heads.final.linear.weight is 10x5"),
    ):
        save_file(changed, path)
        with pytest.raises(arch.InputError) as raised:
            initial_weights(micro, path)
        assert fragment in str(raised.value)
        assert str(path) in str(raised.value)


def test_a_file_that_would_run_code_is_refused(micro: arch.Spec, tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "objects.pt")
    with pytest.raises(arch.InputError, match="would run code"):
        initial_weights(micro, tmp_path / "objects.pt")


def test_the_file_is_part_of_what_a_training_is(micro: arch.Spec, tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save_file(weights_of(micro, 1), one)
    save_file(weights_of(micro, 2), two)
    begun = Task(str(tmp_path / "run"), arch.to_mapping(micro), RECIPE, {"name": "digits"}, init=str(one))
    epochs = run(begun)
    next(epochs)
    epochs.close()
    for other in (str(two), ""):
        with pytest.raises(arch.InputError, match="init was"):
            next(run(Task(begun.folder, begun.spec, RECIPE, begun.data, init=other)))
    resumed = [epoch.metrics() for epoch in run(begun)]
    assert read_json(tmp_path / "run" / "result.json")["init"] == weights_checksum(one)
    straight = [
        epoch.metrics() for epoch in run(Task(str(tmp_path / "other"), begun.spec, RECIPE, begun.data, init=str(one)))
    ]
    for a, b in zip(resumed, straight, strict=True):
        assert (a["train_loss"], a["val_loss"]) == (b["train_loss"], b["val_loss"])
    with pytest.raises(arch.InputError, match="holds another training"):
        train(Task(begun.folder, begun.spec, RECIPE, begun.data), Silent())
