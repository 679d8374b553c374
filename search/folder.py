"""Class-folder trees: `train/<class>/<image>`, `test/` and, where it exists, `val/`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from arch.errors import InputError
from search.cache import Pixels
from search.images import read_image, resized, size_of
from search.order import Batch
from search.recipe import Recipe

_SMALL = 96  # images of one size up to this many pixels a side are kept in memory, decoded


@dataclass(frozen=True)
class Listing:
    """The image files of one part with their labels; `signature` changes when a file does."""

    paths: tuple[str, ...]
    labels: Tensor
    classes: tuple[str, ...]
    signature: str


def find_folder(name: str, root: Path) -> Path | None:
    """Return the class-folder tree of that name under `root`, or of that path (with a / in it), if there is one."""
    for folder in (root / name, *([Path(name)] if "/" in name else [])):
        if (folder / "train").is_dir():
            return folder
    return None


def list_images(folder: Path, part: str, classes: Sequence[str] | None = None) -> Listing:
    """Return the images of `folder/part`, in torchvision's ImageFolder order.

    Raises
    ------
    InputError
        The part is missing or a class is empty, or its classes are not `classes`.
    """
    try:
        images = ImageFolder(str(folder / part))
    except FileNotFoundError as error:
        raise InputError(f"{folder / part}: {error}; a data folder holds {part}/<class>/<image>.") from None
    if classes is not None and tuple(images.classes) != tuple(classes):
        raise InputError(
            f"{folder / part}: its classes ({', '.join(images.classes)}) are not those of train/ ({', '.join(classes)}); "
            "make the folders the same."
        )
    digest = hashlib.sha256()
    for path, _ in images.samples:
        stat = os.stat(path)
        digest.update(f"{os.path.relpath(path, folder)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return Listing(
        tuple(path for path, _ in images.samples),
        torch.tensor(images.targets),
        tuple(images.classes),
        digest.hexdigest(),
    )


def is_small(listing: Listing) -> bool:
    """Say whether all images have one size of at most 96 pixels a side (read from their headers)."""
    first = size_of(listing.paths[0])
    return max(first) <= _SMALL and all(size_of(path) == first for path in listing.paths)


def folder_pixels(listing: Listing) -> Pixels:
    """Decode a listing of small images of one size."""
    return Pixels.of(torch.stack([read_image(path) for path in listing.paths]), listing.labels, listing.classes)


class _Decoded(Dataset[Tensor | str]):
    """Whole batches of decoded images, or what was wrong; random choices follow from the batch's seed alone."""

    def __init__(self, paths: Sequence[str], batches: Sequence[Batch], recipe: Recipe, size: tuple[int, int]) -> None:
        self.paths, self.batches, self.recipe = paths, batches, recipe
        self.size = size
        self.crop = v2.RandomResizedCrop(size, antialias=True)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, item: int) -> Tensor | str:
        try:
            return self._batch(self.batches[item])
        except InputError as error:  # raised in a worker process, it would come with that process's traceback
            return str(error)

    def _batch(self, batch: Batch) -> Tensor:
        index, seed = batch.index, batch.seed
        images = [read_image(self.paths[i]) for i in index.tolist()]
        if seed is None or not self.recipe.random_resized_crop:
            return torch.stack([resized(image, self.size) for image in images])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return torch.stack([self.crop(image) for image in images])


@dataclass
class Files:
    """Images of any size, decoded by worker processes each time they are needed."""

    paths: tuple[str, ...]
    labels: Tensor
    workers: int = min(4, os.cpu_count() or 1)

    def __len__(self) -> int:
        return len(self.labels)

    def stream(self, batches: Sequence[Batch], recipe: Recipe, size: tuple[int, int]) -> Iterator[Tensor]:
        """Yield each batch as uint8 (N, 3, H, W) of `size`, before flips and other augmentation."""
        decoded = _Decoded(self.paths, batches, recipe, size)
        for pixels in DataLoader(decoded, batch_size=None, num_workers=self.workers):
            if isinstance(pixels, str):
                raise InputError(pixels)
            yield pixels

    def on(self, device: torch.device) -> Files:
        """Return these images: files stay where they are."""
        return self

    def subset(self, index: Tensor) -> Files:
        """Return only these images."""
        return Files(tuple(self.paths[i] for i in index.tolist()), self.labels[index], self.workers)

    def joined(self, other: Files) -> Files:
        """Return these images and then the other ones."""
        return Files(self.paths + other.paths, torch.cat([self.labels, other.labels]), self.workers)
