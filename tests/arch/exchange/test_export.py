from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

import arch
from arch.exchange import export as module
from arch.exchange.export import ENDINGS, TOLERANCE, export
from arch.modules.plain import Network


@pytest.fixture
def network(micro: arch.Spec) -> Network:
    torch.manual_seed(0)
    made = arch.build(micro)
    made(torch.randn(8, *micro.input))  # running statistics of their own
    return made


def test_onnx_runs_elsewhere_with_any_batch(network: Network, tmp_path: Path) -> None:
    file = tmp_path / "micro.onnx"
    done = export(network, file, "onnx", {"spec": arch.to_yaml(network.spec)})
    assert done.file == file
    assert 0 <= done.difference <= TOLERANCE
    assert done.bytes == file.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["micro.onnx"]
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    images = torch.randn(7, *network.spec.input)
    with torch.no_grad():
        wanted = network.eval()(images).logits
    logits = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    assert torch.allclose(logits, wanted, atol=1e-4)
    model = onnx.load(str(file))
    assert {prop.key: prop.value for prop in model.metadata_props}["spec"] == arch.to_yaml(network.spec)
    names = {name for weight in model.graph.initializer for name in [weight.name]}
    assert not any(f"heads.{network.spec.aux_rows[0]}" in name for name in names)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "logits"]
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_torch_export_runs_with_any_batch(network: Network, tmp_path: Path) -> None:
    done = export(network, tmp_path / "micro.pt2", "torch-export", {"spec": "a spec"})
    assert done.difference <= TOLERANCE
    extra = {"spec": ""}
    program = torch.export.load(tmp_path / "micro.pt2", extra_files=extra)
    images = torch.randn(7, *network.spec.input)
    with torch.no_grad():
        assert torch.allclose(program.module()(images), network.eval()(images).logits, atol=1e-5)
    assert extra["spec"] == "a spec"
    assert not any("heads." + network.spec.aux_rows[0] in name for name in program.state_dict)


@pytest.mark.parametrize(("off", "figure"), [(1e-3, r"differ by 0\.001"), (float("nan"), "differ by inf")])
def test_an_export_that_computes_something_else_is_not_kept(
    off: float, figure: str, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skewed(part: Path) -> module.Run:
        def run(images: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                logits = network(images, False).logits
            place = int(logits.abs().argmax())
            logits.view(-1)[place] *= 1 + off
            return logits

        return run

    monkeypatch.setattr(module, "_write_program", lambda *args: args[2].write_bytes(b"written"))
    monkeypatch.setattr(module, "_load_program", skewed)
    with pytest.raises(RuntimeError, match=f"{figure}.*at most 0.0001"):
        export(network.eval(), tmp_path / "micro.pt2", "torch-export")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said_first(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(arch.InputError, match="Did you mean onnx"):
        export(network, tmp_path / "x", "onxx")
    with pytest.raises(arch.InputError, match="make it first"):
        export(network, tmp_path / "no" / "x.onnx", "onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else True)
    with pytest.raises(arch.InputError, match=r"needs onnxscript: `pip install 'inceptory\[onnx\]'`"):
        export(network, tmp_path / "x.onnx", "onnx")
    assert sorted(ENDINGS) == ["onnx", "torch-export"]


@pytest.mark.parametrize("kind", ENDINGS)
def test_a_file_that_cannot_be_written_is_named_and_the_old_one_is_whole(
    kind: str, network: Network, tmp_path: Path
) -> None:
    """In a process of its own: at a full disk, torch's writer would end it."""
    file = tmp_path / f"micro{ENDINGS[kind]}"
    file.write_bytes(b"the old one")
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        try:
            export(network, file, kind)
        except OSError as error:
            os._exit(3 if error.filename == str(file) and error.errno == errno.EFBIG else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert file.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [file]
