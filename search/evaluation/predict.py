"""Predict the classes of single images, from files, folders or URLs, with trained weights."""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from arch.errors import InputError
from arch.modules.plain import Execution, Network
from search.data.decode import read_image, resized
from search.data.normalise import prepare
from search.training.hardware import memory_format, pick_device, pick_execution, pick_precision
from search.training.weights import Weights, read_classes, read_weights

_BATCH = 64
MOST_BYTES = 20 * 2**20  # of an image behind an address
TIMEOUT = 15.0  # seconds that fetching it may take in all


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for one image: (class, probability) by falling probability, or why it was not read."""

    image: str
    top: tuple[tuple[str, float], ...] = ()
    error: str = ""

    def record(self) -> dict[str, Any]:
        """Return it as plain values."""
        if self.error:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "top": [{"class": name, "probability": value} for name, value in self.top]}


def predict(
    run_or_weights: str | Path,
    images: Sequence[str | Path] = (),
    *,
    urls: Sequence[str] = (),
    top: int = 5,
    classes_file: str | Path | None = None,
    device: str = "auto",
    execution: str = "auto",
) -> list[Prediction]:
    """Return what the weights in a file, or in a training's folder, predict for images, in the order given.

    Images are read, resized and normalised as in the training. An image that cannot be read is among the results
    with its error, and the others are predicted.

    Parameters
    ----------
    images : files, and folders, whose images are taken by name, those of folders inside too.
    urls : http or https addresses of images of at most 20 MiB; nothing is fetched otherwise.
    top : how many classes are named.
    classes_file : a `class_indices.json` whose names replace those in the weights.

    Raises
    ------
    InputError
        The weights or the file of classes cannot be read, or no image is named.
    """
    if not images and not urls:
        raise InputError("no image is named; give files, folders or --url.")
    weights = read_weights(run_or_weights)
    if weights.spec.input[0] not in (1, 3):
        raise InputError(
            f"{weights.path}: reads images of {weights.spec.input[0]} channels; image files have 1 or 3 of them."
        )
    names = read_classes(Path(classes_file), weights.spec.classes) if classes_file else weights.about.classes
    where = pick_device(device)
    how: Execution = "fused" if pick_execution(execution, where) == "fused" else "plain"
    network = weights.network(where, how)
    results: list[Prediction] = []
    entries = _read(images, urls, weights)
    while batch := list(islice(entries, _BATCH)):
        results += _predicted(batch, network, weights, names, top)
    return results


def _predicted(
    batch: Sequence[tuple[str, Tensor | str]], network: Network, weights: Weights, names: Sequence[str], top: int
) -> Iterator[Prediction]:
    """Yield the predictions of a batch of images by name: pixels (C, H, W), or the error of one that was not read."""
    pixels = [image for _, image in batch if isinstance(image, Tensor)]
    probabilities: Iterator[Tensor] = iter(())
    if pixels:
        device = next(network.parameters()).device
        bf16 = pick_precision(weights.about.recipe.precision, device) == "bf16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            out = network(transformed(torch.stack(pixels).to(device), weights))
        probabilities = iter(out.logits.float().softmax(1).cpu())
    for name, image in batch:
        if isinstance(image, str):
            yield Prediction(name, error=image)
        else:
            values, order = next(probabilities).sort(descending=True, stable=True)
            best = zip(values[:top], order, strict=False)
            yield Prediction(name, tuple((names[int(i)], float(value)) for value, i in best))


def transformed(pixels: Tensor, weights: Weights) -> Tensor:
    """Return uint8 images (N, C, H, W) of the weights' size as the network reads them, as in the training."""
    about = weights.about
    mean, std = (torch.tensor(values, device=pixels.device) for values in (about.mean, about.std))
    return prepare(pixels, about.recipe, mean, std).contiguous(memory_format=memory_format(pixels.device))


def _read(images: Sequence[str | Path], urls: Sequence[str], weights: Weights) -> Iterator[tuple[str, Tensor | str]]:
    """Yield each image's name with its pixels at the weights' size, or with the error."""
    channels = weights.spec.input[0]
    for given in images:
        files = _files(Path(given))
        if not files:
            yield str(given), f"{given}: is a folder without images ({', '.join(IMG_EXTENSIONS)})."
        for file in files:
            try:
                yield str(file), resized(read_image(file, channels), weights.size)
            except InputError as error:
                yield str(file), str(error)
    for url in urls:
        try:
            yield url, resized(read_image(io.BytesIO(fetch(url)), channels, url), weights.size)
        except InputError as error:
            yield url, str(error)


def _files(path: Path) -> list[Path]:
    """Return a file itself, or the images in a folder by name."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS and file.is_file())


def fetch(url: str, most: int = MOST_BYTES, timeout: float = TIMEOUT) -> bytes:
    """Return what is behind an http or https address: at most `most` bytes, within `timeout` s in all.

    Raises
    ------
    InputError
        The address is of another kind (also one that it redirects to), does not answer in time, or is too large.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{url}: is no http or https address; files are named without --url.")
    opener = urllib.request.OpenerDirector()  # without handlers for file:, ftp: and data:
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    until, parts, size = time.monotonic() + timeout, [], 0
    try:
        with opener.open(urllib.request.Request(url, headers={"User-Agent": "inceptory"}), timeout=timeout) as answer:
            while part := answer.read1(1 << 16):
                parts.append(part)
                size += len(part)
                if size > most:
                    raise InputError(f"{url}: is larger than {most:,} bytes; fetch it yourself and name the file.")
                if time.monotonic() > until:
                    raise TimeoutError
    except TimeoutError:
        raise InputError(f"{url}: took longer than {timeout:g} s; fetch it yourself and name the file.") from None
    except (urllib.error.URLError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "reason", None)
        if isinstance(reason, TimeoutError):
            raise InputError(f"{url}: did not answer within {timeout:g} s.") from None
        raise InputError(f"{url}: cannot be fetched ({error}); check the address.") from None
    return b"".join(parts)
