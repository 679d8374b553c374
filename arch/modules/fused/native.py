"""The compiled passes of native.cpp: built on first use if there is a C++ compiler, and called through ctypes.

The library is kept under `INCEPTORY_CACHE` (by default `~/.cache/inceptory`). Its name holds a digest of the source,
the compiler and the processor. `INCEPTORY_NATIVE=0` turns it off. Tensors here are rows of channels (M, C), each row
contiguous; a map's rows are its positions, image after image.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch
from filelock import FileLock
from torch import Tensor

from arch.nodes import Pair

_SOURCE = Path(__file__).with_suffix(".cpp")
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_COMPILE_TIMEOUT = 300  # seconds; a compiler takes about 3
_ONE_THREAD_BELOW = 32_768  # values; for fewer, starting a second thread costs more than it saves
DTYPES = (torch.bfloat16, torch.float32, torch.float64)

# The arguments of each function of native.cpp in order, the number of threads last: pointers (p), int64 (l) and int (i).
_SIGNATURES = {
    "norm_stats": "pl ll pp i",
    "norm_apply": "pl pl ll ppp ii",
    "norm_grad": "pl pl pl ll pppp pp iii",
    "max_pool": "pl pl p p i",
    "max_pool_grad": "pl p p p i",
    "avg_pool": "pl pl p ii",
    "avg_pool_grad": "pl p p ii",
}
_KINDS = {"p": ctypes.c_void_p, "l": ctypes.c_int64, "i": ctypes.c_int}


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return the compiled passes, built if needed; None if they are turned off or cannot be built."""
    compiler = shutil.which(os.environ.get("CXX") or "g++") or shutil.which("c++")
    if os.environ.get("INCEPTORY_NATIVE") == "0" or compiler is None:
        return None
    try:
        return _with_types(ctypes.CDLL(str(_built(compiler))))
    except (OSError, subprocess.SubprocessError, AttributeError):
        return None


def _built(compiler: str) -> Path:
    """Return the library's file. If several processes need it at once, one builds it and the others wait."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=_COMPILE_TIMEOUT, check=True).stdout
    about = [_SOURCE.read_bytes(), " ".join(_FLAGS).encode(), version, _processor().encode()]
    key = hashlib.sha256(b"\0".join(about)).hexdigest()[:16]
    folder = Path(os.environ.get("INCEPTORY_CACHE") or Path.home() / ".cache" / "inceptory") / "native"
    path = folder / f"passes-{key}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=_COMPILE_TIMEOUT):
            if not path.exists():  # another process may have built it while this one waited for the lock
                fresh = path.with_suffix(f".{os.getpid()}.part")
                command = [compiler, *_FLAGS, str(_SOURCE), "-o", str(fresh)]
                subprocess.run(command, capture_output=True, timeout=_COMPILE_TIMEOUT, check=True)
                os.replace(fresh, path)
    return path


def _processor() -> str:
    """Return what `-march=native` depends on: the processor's model and features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(sorted({line for line in lines if line.startswith(("model", "flags", "Features", "CPU part"))}))


def _with_types(loaded: ctypes.CDLL) -> ctypes.CDLL:
    for name, kinds in _SIGNATURES.items():
        for dtype in DTYPES:
            function = getattr(loaded, _symbol(name, dtype))
            function.argtypes = [_KINDS[kind] for kind in kinds.replace(" ", "")]
            function.restype = None
    return loaded


def _symbol(name: str, dtype: torch.dtype) -> str:
    return f"{name}_{str(dtype).removeprefix('torch.')}"


@lru_cache
def _function(name: str, dtype: torch.dtype) -> Callable[..., None]:
    return cast(Callable[..., None], getattr(library(), _symbol(name, dtype)))


def _call(name: str, data: Tensor, *arguments: object) -> None:
    """Call the function of that name for the data's type, on as many threads as torch would use."""
    threads = torch.get_num_threads() if data.numel() >= _ONE_THREAD_BELOW else 1
    _function(name, data.dtype)(*arguments, threads)


def supports(x: Tensor) -> bool:
    """Say whether there are compiled passes for tensors like this one."""
    return x.device.type == "cpu" and x.dtype in DTYPES and library() is not None


def stats_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which statistics of `dtype` are computed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def norm_stats(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance (C,) of the channels of rows (M, C)."""
    rows, c = y.shape
    mean, var = y.new_empty((2, c), dtype=stats_dtype(y.dtype))
    _call("norm_stats", y, y.data_ptr(), y.stride(0), rows, c, mean.data_ptr(), var.data_ptr())
    return mean, var


def norm_apply(y: Tensor, out: Tensor, mean: Tensor, scale: Tensor, shift: Tensor, relu: bool) -> None:
    """Write `(y - mean) * scale + shift`, through a ReLU if `relu`, into `out`."""
    rows, c = y.shape
    vectors = (mean.data_ptr(), scale.data_ptr(), shift.data_ptr(), relu)
    _call("norm_apply", y, y.data_ptr(), y.stride(0), out.data_ptr(), out.stride(0), rows, c, *vectors)


def norm_grad(
    y: Tensor,
    grad: Tensor,
    into: Tensor,
    mean: Tensor,
    rstd: Tensor,
    scale: Tensor,
    shift: Tensor,
    relu: bool,
    training: bool,
) -> tuple[Tensor, Tensor]:
    """Write the gradient of `y` into `into`; return the gradients of the norm's weight and bias, each (C,)."""
    rows, c = y.shape
    of_weight, of_bias = mean.new_empty((2, c))
    places = [number for part in (y, grad, into) for number in (part.data_ptr(), part.stride(0))]
    vectors = [vector.data_ptr() for vector in (mean, rstd, scale, shift, of_weight, of_bias)]
    _call("norm_grad", y, *places, rows, c, *vectors, relu, training)
    return of_weight, of_bias


class Window(ctypes.Structure):
    """A pool's geometry, as native.cpp lays it out."""

    _fields_ = [(name, ctypes.c_int64) for name in ("n", "h", "w", "c", "kh", "kw", "sh", "sw", "ph", "pw", "oh", "ow")]

    n: int
    h: int
    w: int
    c: int

    @classmethod
    def of(cls, x: Tensor, kernel: Pair, stride: Pair, padding: Pair, grid: Pair) -> Window:
        """Return the geometry of a pool over maps (N, C, H, W) onto `grid`."""
        n, c, h, w = x.shape
        return cls(n, h, w, c, *kernel, *stride, *padding, *grid)


def max_pool(x: Tensor, out: Tensor, window: Window) -> Tensor:
    """Write the maxima of windows over rows `x` into rows `out`; return the tap of each one in its window, as uint8."""
    taps = torch.empty(out.shape, dtype=torch.uint8)
    places = (x.data_ptr(), x.stride(0), out.data_ptr(), out.stride(0), taps.data_ptr())
    _call("max_pool", x, *places, ctypes.addressof(window))
    return taps


def max_pool_grad(grad: Tensor, taps: Tensor, window: Window) -> Tensor:
    """Return the gradient of the pool's input as rows."""
    into = grad.new_empty((window.n * window.h * window.w, window.c))
    places = (grad.data_ptr(), grad.stride(0), taps.data_ptr(), into.data_ptr())
    _call("max_pool_grad", into, *places, ctypes.addressof(window))
    return into


def avg_pool(x: Tensor, out: Tensor, window: Window, count_pad: bool) -> None:
    """Write the means of windows over rows `x` into rows `out`."""
    places = (x.data_ptr(), x.stride(0), out.data_ptr(), out.stride(0))
    _call("avg_pool", x, *places, ctypes.addressof(window), count_pad)


def avg_pool_grad(grad: Tensor, window: Window, count_pad: bool) -> Tensor:
    """Return the gradient of the pool's input as rows."""
    into = grad.new_empty((window.n * window.h * window.w, window.c))
    places = (grad.data_ptr(), grad.stride(0), into.data_ptr())
    _call("avg_pool_grad", into, *places, ctypes.addressof(window), count_pad)
    return into
