"""The same function as torchvision's and timm's networks, with the same weights."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import arch
from arch.errors import InputError
from arch.exchange.convert import from_library, read_weights, to_library, write_weights
from arch.exchange.library_names import NAMINGS, library_keys

LIBRARIES: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "googlenet_torchvision": ("torchvision", lambda: torchvision.models.googlenet(init_weights=False)),
    "inception_v3": ("torchvision", lambda: torchvision.models.inception_v3(init_weights=False)),
    "inception_v4": ("timm", lambda: timm.create_model("inception_v4")),
    "inception_resnet_v2": ("timm", lambda: timm.create_model("inception_resnet_v2")),
}


def randomised(network: nn.Module) -> nn.Module:
    """Fill in weights and statistics that keep signals alive through every layer, so that a slip would show."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def apart(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest logit."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="module", params=LIBRARIES)
def pair(request: pytest.FixtureRequest) -> tuple[str, arch.Network, nn.Module]:
    library, make = LIBRARIES[request.param]
    theirs = without_dropout(randomised(make()))
    ours = without_dropout(arch.build(arch.load(request.param)))
    weights = from_library(ours.spec, library, theirs.state_dict())  # type: ignore[attr-defined]
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith("heads.b20.") for name in missing)  # timm leaves this head out
    return library, ours, theirs  # type: ignore[return-value]


def test_the_function_is_equal(pair: tuple[str, arch.Network, nn.Module]) -> None:
    same_function(pair, torch.float64, 1e-10)


@pytest.mark.parametrize("pair", ["googlenet_torchvision", "inception_v3"], indirect=True)
def test_the_function_is_equal_in_single_precision(pair: tuple[str, arch.Network, nn.Module]) -> None:
    same_function(pair, torch.float32, 1e-5)


def same_function(pair: tuple[str, arch.Network, nn.Module], dtype: torch.dtype, most: float) -> None:
    _, ours, theirs = pair
    images = torch.randn(1, *ours.spec.input, dtype=dtype)
    ours.to(dtype).eval()
    theirs.to(dtype).eval()
    with torch.no_grad():
        a, b = ours(images).logits, theirs(images)
    assert b.std() > 0
    assert apart(a, b) <= most


@pytest.mark.parametrize("pair", ["googlenet_torchvision", "inception_v3"], indirect=True)
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_auxiliary_outputs_are_equal_in_training(
    pair: tuple[str, arch.Network, nn.Module], dtype: torch.dtype, most: float
) -> None:
    _, ours, theirs = pair
    images = torch.randn(2, *ours.spec.input, dtype=dtype)
    statistics = [{k: v.clone() for k, v in network.state_dict().items()} for network in (ours, theirs)]
    with torch.no_grad():
        out, reference = ours.to(dtype).train()(images), theirs.to(dtype).train()(images)
    heads = {"6e": "aux_logits"} if "6e" in out.aux else {"4a": "aux_logits1", "4d": "aux_logits2"}
    assert apart(out.logits, reference.logits) <= most
    for row, name in heads.items():
        assert apart(out.aux[row], getattr(reference, name)) <= most
    for network, before in zip((ours, theirs), statistics, strict=True):
        network.load_state_dict(before)


def test_weights_go_both_ways(pair: tuple[str, arch.Network, nn.Module]) -> None:
    library, ours, theirs = pair
    there = to_library(ours.spec, library, ours.state_dict())
    assert list(there)
    assert set(there) == set(theirs.state_dict())
    assert all(torch.equal(there[name], tensor) for name, tensor in theirs.state_dict().items())
    back = from_library(ours.spec, library, there)
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in back.items())
    again = to_library(ours.spec, library, back)  # what came from timm has no auxiliary head
    assert set(again) == set(there)
    assert all(torch.equal(again[name], tensor) for name, tensor in there.items())


def test_old_files_and_networks_without_heads() -> None:
    theirs = torchvision.models.inception_v3(init_weights=False, aux_logits=False).state_dict()
    old = {name: tensor for name, tensor in theirs.items() if not name.endswith("num_batches_tracked")}
    ours = from_library(arch.load("inception_v3"), "torchvision", old)
    network = arch.build(arch.load("inception_v3"))
    missing, unexpected = network.load_state_dict(ours, strict=False)
    assert not unexpected
    assert missing
    assert all(name.startswith("heads.6e.") for name in missing)
    back = to_library(arch.load("inception_v3"), "torchvision", ours)
    assert set(back) == set(theirs)
    assert all(torch.equal(back[name], tensor) for name, tensor in old.items())
    del ours["rows.conv1a.conv3x3.conv.weight"]
    with pytest.raises(InputError, match=r"missing: rows\.conv1a\.conv3x3\.conv\.weight"):
        to_library(arch.load("inception_v3"), "torchvision", ours)


def test_every_naming_is_one_to_one() -> None:
    for library, networks in NAMINGS.items():
        for network in networks:
            keys = library_keys(arch.load(network), library)
            assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_files(tmp_path: Path, ending: str) -> None:
    weights = {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    write_weights(tmp_path / f"w.{ending}", weights)
    again = read_weights(tmp_path / f"w.{ending}")
    assert set(again) == {"a", "n"}
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_that_cannot_be_written_is_named_and_the_old_one_is_whole(tmp_path: Path, ending: str) -> None:
    file, limit = tmp_path / f"w.{ending}", resource.getrlimit(resource.RLIMIT_FSIZE)
    file.write_bytes(b"the old one")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limit[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large.*w\.{ending}"):
            write_weights(file, {"a": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert file.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_refused(tmp_path: Path) -> None:
    spec = arch.load("googlenet_torchvision")
    weights = arch.build(spec).state_dict()
    with pytest.raises(InputError, match=r"not the weights of googlenet_torchvision: missing: conv1\.conv\.weight"):
        from_library(spec, "torchvision", weights)
    weights["heads.final.linear.bias"] = torch.zeros(10)
    with pytest.raises(InputError, match=r"for 1000 classes: .*is 10 and must be 1000"):
        to_library(spec, "torchvision", weights)
    with pytest.raises(InputError, match="has no network 'googlenet'"):
        library_keys(arch.load("googlenet"), "torchvision")
    with pytest.raises(InputError, match=r"no naming of 'tim'\. Did you mean timm"):
        library_keys(spec, "tim")
    quantised = weights | {"heads.final.linear.bias": torch.zeros(1000).to(torch.int8)}
    with pytest.raises(InputError, match=r"floating-point numbers: heads\.final\.linear\.bias is torch\.int8"):
        to_library(spec, "torchvision", quantised)
    diverged = weights | {"heads.final.linear.bias": torch.zeros(1000) * torch.nan}
    with pytest.raises(InputError, match=r"NaN or infinite: heads\.final\.linear\.bias"):
        to_library(spec, "torchvision", diverged)
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match="not a torch file"):
        read_weights(tmp_path / "w.pth")
    for name in ("empty.pth", "empty.safetensors"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match="is empty, damaged or not a file of weights"):
            read_weights(tmp_path / name)
    torch.save(torch.nn.Linear(1, 1), tmp_path / "module.pth")
    with pytest.raises(InputError, match="would run code from the file"):
        read_weights(tmp_path / "module.pth")
    with pytest.raises(InputError, match="does not exist; make it first"):
        write_weights(tmp_path / "nowhere" / "w.pth", {})
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "nested.pth")
    with pytest.raises(InputError, match="no plain state dict"):
        read_weights(tmp_path / "nested.pth")
    with pytest.raises(InputError, match="choose one of these endings"):
        write_weights(tmp_path / "w.npz", {})
