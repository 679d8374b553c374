from __future__ import annotations

import time

import pytest
import torch

import arch
import search
from search.evaluation import bench as timing
from search.evaluation.bench import BACKWARD


def test_timings_and_what_follows_from_them(micro: arch.Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    times = iter([9.0, 9.0, 0.1, 0.3] * 4)

    def seconds(step: object, device: torch.device) -> float:
        threads.append(torch.get_num_threads())
        step()  # type: ignore[operator]
        return next(times)

    monkeypatch.setattr(timing, "seconds", seconds)
    before = torch.get_num_threads()
    found = search.bench(micro, [1, 4], train=True, repeats=2, warm_up=2, threads=2, device="cpu", precision="fp32")
    assert torch.get_num_threads() == before
    assert threads == [2] * 16
    assert [(t.mode, t.batch, t.batches) for t in found.timings] == [
        ("forward", 1, 2),
        ("training", 1, 2),
        ("forward", 4, 2),
        ("training", 4, 2),
    ]
    costs = arch.cost(micro)
    for one in found.timings:
        macs = costs.macs if one.mode == "forward" else BACKWARD * (costs.macs + costs.aux_macs)
        assert one.mean_ms == pytest.approx(200)
        assert one.std_ms == pytest.approx(100 * 2**0.5)  # the sample's: divided by n - 1
        assert one.images_per_second == pytest.approx(one.batch / 0.2)
        assert one.macs_per_second == pytest.approx(macs * one.batch / 0.2)
    about = found.environment
    assert (about["threads"], about["precision"], about["device"]) == (2, "fp32", "cpu")
    assert about["processor"]
    assert torch.__version__.startswith(about["versions"]["torch"])


def test_a_step_is_timed_whole() -> None:
    assert timing.seconds(lambda: time.sleep(0.05), torch.device("cpu")) == pytest.approx(0.05, abs=0.04)


def test_a_training_step_trains_and_a_forward_pass_does_not(micro: arch.Spec) -> None:
    torch.manual_seed(0)
    network = arch.build(micro)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    timing._forward(network, 4, False)()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    timing._training(network, 4, search.load_recipe("default"), False)()
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.partition(".")[0] for name in moved} == {"rows", "heads"}
    assert any(name.startswith(f"heads.{micro.aux_rows[0]}") for name in moved)


def test_a_batch_that_cannot_be_trained_is_said() -> None:
    spec = arch.load("googlenet_bn_cifar32")  # its last maps are of one pixel, and a batch norm needs two values
    with pytest.raises(arch.InputError, match="cannot be trained in batches of 1"):
        search.bench(spec, [1], train=True, repeats=2, warm_up=0)


@pytest.mark.parametrize("wrong", [{"batches": [0]}, {"repeats": 1}, {"threads": 0}, {"batches": []}])
def test_what_cannot_be_timed_is_refused(wrong: dict, micro: arch.Spec) -> None:
    with pytest.raises(arch.InputError, match="a timing takes"):
        search.bench(micro, **wrong)
