from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import arch
from arch.modules.fused.fused import runs_as
from search.data.cache import Pixels, cached
from search.data.dataset import Memory
from search.engines.single import train
from search.engines.task import run
from search.progress import Silent
from search.record.files import read_json, read_lines, write_lines
from search.training.fit import Control
from tests.support.trainings import task


def test_leaving_the_loop_keeps_the_checkpoint_unless_it_is_pruned(micro: arch.Spec, tmp_path: Path) -> None:
    epochs = run(task(tmp_path / "left", micro))
    next(epochs)
    epochs.close()
    assert (tmp_path / "left" / "checkpoint.pt").exists()
    assert not (tmp_path / "left" / "result.json").exists()
    assert [e.restored for e in run(task(tmp_path / "left", micro))] == [True, False]
    control = Control()
    epochs = run(task(tmp_path / "pruned", micro), control)
    next(epochs)
    control.prune = True
    epochs.close()
    assert read_json(tmp_path / "pruned" / "result.json")["state"] == "pruned"


def test_a_refused_checkpoint_stays_as_it_is(micro: arch.Spec, tmp_path: Path) -> None:
    epochs = run(task(tmp_path, micro))
    next(epochs)
    epochs.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(arch.InputError, match="seed was 0 and is 1"):
        next(run(task(tmp_path, micro, seed=1)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_result_holds_what_the_network_costs(micro: arch.Spec, tmp_path: Path) -> None:
    result, costs = train(task(tmp_path, micro), Silent())[0], arch.cost(micro)
    for name in ("params", "aux_params", "macs", "aux_macs", "activations"):
        assert result[name] == getattr(costs, name) > 0


def test_a_finished_training_answers_only_for_itself(micro: arch.Spec, tmp_path: Path) -> None:
    first, _ = train(task(tmp_path, micro), Silent())
    assert train(task(tmp_path, micro), Silent())[0] == first
    for change in ({"everything": True}, {"data": {"name": "digits", "split_seed": 7}}, {"seed": 3}):
        with pytest.raises(arch.InputError, match="holds another training"):
            train(task(tmp_path, micro, **change), Silent())
    with_test, _ = train(task(tmp_path, micro, test=True), Silent())
    assert with_test["seconds"] == first["seconds"]  # not trained again
    whole, _ = train(task(tmp_path / "whole", micro, test=True), Silent())
    assert with_test["test_accuracy"] == whole["test_accuracy"]
    assert len(read_lines(tmp_path / "test_openings.jsonl")) == 1


def test_a_missing_test_set_is_said_before_training(
    micro: arch.Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INCEPTORY_DATA", str(tmp_path))
    for name in "0123456789":
        (tmp_path / "tree" / "train" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((32, 32, 3), 20 * int(name) + i, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "tree" / "train" / name / f"{i}.png")
    with pytest.raises(arch.InputError, match="has no test/"):
        train(task(tmp_path / "run", micro, data={"name": "tree"}, test=True), Silent())
    assert not (tmp_path / "run").exists()


def test_parts_share_their_pixels() -> None:
    pixels = Pixels.of(torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8), torch.arange(10) % 2, ("a", "b"))
    whole = Memory.of(pixels)
    part = whole.subset(torch.tensor([3, 5])).subset(torch.tensor([1]))
    assert part.pixels.data_ptr() == pixels.pixels.data_ptr()
    assert part.index.tolist() == [5]
    assert part.labels.tolist() == [1]
    assert len(whole.joined(part)) == 11


def test_a_large_part_stays_mapped_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Pixels.of(torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8), torch.arange(64) % 2, ("a", "b"))

    def mapped(path: Path) -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    small, large = tmp_path / "small.safetensors", tmp_path / "large.safetensors"
    in_memory = cached(small, lambda: drawn)
    monkeypatch.setattr("search.data.cache.MOST_IN_MEMORY", 1000)
    from_file = cached(large, lambda: drawn)  # on the first reading too
    assert torch.equal(in_memory.pixels, from_file.pixels)
    assert mapped(large)


def test_only_leftovers_of_our_own_are_cleared(micro: arch.Spec, tmp_path: Path) -> None:
    """A run directory may be any folder, also one that holds a person's hidden files."""
    (tmp_path / ".bashrc.local").write_text("mine")
    (tmp_path / ".checkpoint.pt.abc.inceptory-part").write_text("half")
    list(run(task(tmp_path, micro)))
    assert (tmp_path / ".bashrc.local").read_text() == "mine"
    assert not (tmp_path / ".checkpoint.pt.abc.inceptory-part").exists()


def test_a_half_written_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    write_lines(path, [{"epoch": 1}, {"epoch": float("nan")}])
    with open(path, "a") as file:
        file.write('{"epoch": ')
    assert read_lines(path) == [{"epoch": 1}, {"epoch": None}]
    path.write_text('{"epoch": \n{"epoch": 2}\n')
    with pytest.raises(arch.InputError, match="line 1: damaged"):
        read_lines(path)


@pytest.mark.parametrize("execution", ["plain", "fused"])
def test_a_result_says_what_computed_it(execution: str, micro: arch.Spec, tmp_path: Path) -> None:
    list(run(task(tmp_path, micro, execution=execution, device="cpu")))
    said = read_json(tmp_path / "result.json")["execution"]
    assert said == read_json(tmp_path / "environment.json")["execution"] == runs_as(execution)
