"""Export to ONNX and torch.export; a file is kept only if it computes what the original network does."""

from __future__ import annotations

import copy
import importlib.util
import io
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from arch.errors import InputError, near
from arch.files.atomic import atomic_file
from arch.modules.plain import Named, Network
from arch.specs.spec import FINAL

TOLERANCE = 1e-4  # the largest difference that an export may have, relative to the largest logit
BATCHES = (1, 2, 5)  # sizes of the batches on which it is compared with the original
ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2"}
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Export:
    """A file that was written, and its largest difference from the original relative to the largest logit."""

    file: Path
    kind: str
    difference: float
    bytes: int


class _Logits(nn.Module):
    """The network as a function from images to logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, classes)."""
        return cast(Tensor, self.network(images, False).logits)


def export(network: Network, file: Path, kind: str, metadata: Mapping[str, str] | None = None) -> Export:
    """Write a network, without auxiliary heads, from normalised images (N, C, H, W) to logits (N, classes).

    The batch may have any size. The written file is loaded and run on random images in batches of 1, 2 and 5. It is
    kept only if no logit differs by more than 1e-4 of the largest one.

    Parameters
    ----------
    network : on the CPU, built `plain`, in float32.
    kind : `onnx` (needs the extra `onnx`) or `torch-export`.
    metadata : text by key, kept in the file.

    Raises
    ------
    InputError
        The kind is unknown, a package that it needs is not installed, or the folder does not exist.
    RuntimeError
        The exported network computes something else; says by how much. Nothing is written.
    OSError
        The disk is full; names the file.
    """
    check_export(kind, file)
    network = _without_aux_heads(network)
    write, load = (_write_onnx, _load_onnx) if kind == "onnx" else (_write_program, _load_program)
    with atomic_file(file, file.suffix) as part:
        write(_Logits(network), _images(network, 2), part, dict(metadata or {}))
        difference = _difference(network, load(part))
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f"{file}: not written: the exported network's logits differ by {difference:.3g} of the largest one, "
                f"and at most {TOLERANCE:g} is allowed; use the other kind of export, or report it."
            )
        size = part.stat().st_size
    return Export(file, kind, difference, size)


def check_export(kind: str, file: Path) -> None:
    """Raise InputError where an export cannot be exported: kind, packages, folder."""
    if kind not in ENDINGS:
        raise InputError(f"there is no export to '{kind}'.{near(kind, ENDINGS)} Known: {', '.join(ENDINGS)}.")
    absent = [name for name in _ONNX_PACKAGES if kind == "onnx" and importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(
            f"export to onnx needs {', '.join(absent)}: `pip install 'inceptory[onnx]'`; torch-export needs none."
        )
    if not file.parent.is_dir():
        raise InputError(f"{file}: the folder {file.parent} does not exist; make it first.")


def _without_aux_heads(network: Network) -> Network:
    """Return a copy for inference without auxiliary heads, its weights in torch's usual order."""
    bare = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)
    bare.heads = Named({FINAL: bare.heads[FINAL]})
    return bare


def _difference(network: Network, exported: Run) -> float:
    """Return the largest difference of two networks' logits, relative to the largest logit."""
    worst = 0.0
    for size in BATCHES:
        images = _images(network, size)
        with torch.inference_mode():
            expected = network(images, False).logits
        actual = exported(images)
        if actual.shape != expected.shape or not bool(actual.isfinite().all()):
            return float("inf")
        scale = max(float(expected.abs().max()), 1e-12)
        worst = max(worst, float((actual - expected).abs().max()) / scale)
    return worst


def _images(network: Network, size: int) -> Tensor:
    return torch.randn(size, *network.spec.input, generator=torch.Generator().manual_seed(size))


def _dynamic() -> dict[str, Any]:
    return {"images": {0: torch.export.Dim("batch")}}


def _write_program(module: nn.Module, images: Tensor, part: Path, metadata: dict[str, str]) -> None:
    program = torch.export.export(module, (images,), dynamic_shapes=_dynamic())
    memory = io.BytesIO()  # torch ends the process if it cannot write a file
    torch.export.save(program, memory, extra_files=metadata)
    part.write_bytes(memory.getvalue())


def _load_program(part: Path) -> Run:
    program = torch.export.load(part).module()

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return cast(Tensor, program(images))

    return run


def _write_onnx(module: nn.Module, images: Tensor, part: Path, metadata: dict[str, str]) -> None:
    import onnx

    program = torch.export.export(module, (images,), dynamic_shapes=_dynamic())
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # the exporter prints its steps
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(
            program, input_names=["images"], output_names=["logits"], external_data=False, verbose=False
        )
    assert exported is not None
    exported.save(str(part), external_data=False)
    model = onnx.load(str(part))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"  # torch.export names it otherwise
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(part))


def _load_onnx(part: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(part), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
