"""Data sets in class folders: `train/<class>/<image>`, `test/` and, where it exists, `val/`."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from arch.errors import InputError
from search.data.batches import Batch
from search.data.cache import Pixels
from search.data.decode import read_image, resized, size_of
from search.recipes.recipe import Recipe
from search.record.files import write_text

_SMALL = 96  # images of one size up to this many pixels a side are kept in memory, decoded
_NAMED = 5  # files that a message names, of however many

T = TypeVar("T")


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
        The part is missing or a class is empty, its classes are not `classes`, or a link leads in circles.
    """
    try:
        _check_loops(str(folder / part))
        images = ImageFolder(str(folder / part))
    except FileNotFoundError as error:
        raise InputError(f"{folder / part}: {error}; a data folder holds {part}/<class>/<image>.") from None
    for name in images.classes:
        if not name.isprintable():
            raise InputError(
                f"{folder / part}: the class folder {name!r} has a name that cannot be printed; rename it."
            )
    if classes is not None and tuple(images.classes) != tuple(classes):
        raise InputError(
            f"{folder / part}: its classes ({', '.join(images.classes)}) are not those of train/ ({', '.join(classes)}); "
            "make the folders the same."
        )
    _tell_left_out(folder / part, len(images.samples))
    digest = hashlib.sha256()
    for path, _ in images.samples:
        stat = os.stat(path)
        if not S_ISREG(stat.st_mode):
            raise InputError(f"{path}: is no file (a pipe or device, by its kind); remove it.")
        digest.update(f"{os.path.relpath(path, folder)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return Listing(
        tuple(path for path, _ in images.samples),
        torch.tensor(images.targets),
        tuple(images.classes),
        digest.hexdigest(),
    )


def _check_loops(folder: str, above: frozenset[str] = frozenset()) -> None:
    """Raise InputError where a link leads back to a folder above it; its images would be listed without end."""
    above |= {os.path.realpath(folder)}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir():
                continue
            if entry.is_symlink() and os.path.realpath(entry.path) in above:
                raise InputError(f"{entry.path}: is a link back to a folder above it; remove it.")
            _check_loops(entry.path, above)


def _tell_left_out(part: Path, images: int) -> None:
    """Warn of files in class folders whose names are not those of images."""
    files = [path for path in part.glob("*/**/*") if path.is_file() and not path.name.startswith(".")]
    left_out = [path for path in files if path.suffix.lower() not in IMG_EXTENSIONS]
    if left_out:
        named = ", ".join(str(path.relative_to(part)) for path in sorted(left_out)[:_NAMED])
        warnings.warn(
            f"{part}: {len(left_out)} of {len(left_out) + images} files are no images by their names, and left out: {named}",
            stacklevel=3,
        )


def is_small(listing: Listing) -> bool:
    """Return whether all images have one size of at most 96 pixels a side (read from their headers)."""
    sizes = set(_each(size_of, listing.paths))
    return len(sizes) == 1 and max(sizes.pop()) <= _SMALL


def folder_pixels(listing: Listing, size: tuple[int, int]) -> Pixels:
    """Decode a listing of small images of one (width, height) `size`.

    Raises
    ------
    InputError
        Some cannot be read, or one is of another size; names it.
    """
    images = list(_each(read_image, listing.paths))
    for path, image in zip(listing.paths, images, strict=True):
        height, width = image.shape[1:]
        if (width, height) != size:
            raise InputError(
                f"{path}: is {width}x{height} (width x height), and the training images are {size[0]}x{size[1]}; resize it."
            )
    return Pixels.of(torch.stack(images), listing.labels, listing.classes)


def check_readable(listing: Listing, note: Path) -> None:
    """Decode every image once, so that a damaged one is found before a training starts.

    The file `note` in the cache records that this was done; its name changes when an image file does.

    Raises
    ------
    InputError
        Some cannot be read; counts them, and names the first.
    """
    if not note.exists():
        for _ in _each(_decodes, listing.paths):
            pass
        write_text(note, f"{len(listing.paths)} images, all of them readable\n")


def _decodes(path: str) -> bool:
    return read_image(path).numel() > 0


def _each(read: Callable[[str], T], paths: Sequence[str]) -> Iterator[T]:
    """Yield the content of each file; InputError at the end where some cannot be read: their number, and the first."""
    wrong: list[InputError] = []

    def attempt(path: str) -> T | None:
        try:
            return read(path)
        except InputError as error:
            wrong.append(error)
            return None

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
        for found in threads.map(attempt, paths):
            if found is not None:
                yield found
    if wrong:
        first = "; ".join(sorted(map(str, wrong))[:_NAMED])
        raise InputError(f"{len(wrong)} of {len(paths)} images cannot be read: {first}")


class _Decoded(Dataset[Tensor | np.ndarray | str]):
    """Batches of decoded images, or an error as text; random choices follow from the batch's seed alone.

    A worker process passes its batch on in shared memory. Where that is full (/dev/shm, small in containers),
    torch would wait for the batch for ever; an array goes through a pipe instead.
    """

    def __init__(self, paths: Sequence[str], batches: Sequence[Batch], recipe: Recipe, size: tuple[int, int]) -> None:
        self.paths, self.batches, self.recipe = paths, batches, recipe
        self.size = size
        self.crop = v2.RandomResizedCrop(size, antialias=True)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, item: int) -> Tensor | np.ndarray | str:
        try:
            pixels = self._batch(self.batches[item])
        except InputError as error:  # raised in a worker process, it would come with that process's traceback
            return str(error)
        try:
            return pixels.share_memory_() if get_worker_info() else pixels
        except RuntimeError:
            return pixels.numpy()

    def _batch(self, batch: Batch) -> Tensor:
        index, seed = batch.index, batch.seed
        images = [read_image(self.paths[i]) for i in index.tolist()]
        if seed is None or not self.recipe.random_resized_crop:
            return torch.stack([resized(image, self.size) for image in images])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return torch.stack([self.crop(image) for image in images])


def _loaded(decoded: _Decoded, workers: int) -> Iterator[Tensor | np.ndarray | str]:
    """Yield the batches, from worker processes where shared memory holds their semaphores."""
    try:
        return iter(DataLoader(decoded, batch_size=None, num_workers=workers, collate_fn=_as_it_is))
    except OSError as error:
        warnings.warn(f"/dev/shm: {error.strerror}; images are decoded without worker processes, slower", stacklevel=2)
        return iter(DataLoader(decoded, batch_size=None, collate_fn=_as_it_is))


def _as_it_is(batch: Any) -> Any:
    """Leave arrays arrays: as tensors they would need shared memory."""
    return batch


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
        for pixels in _loaded(decoded, self.workers):
            if isinstance(pixels, str):
                raise InputError(pixels)
            yield torch.as_tensor(pixels)

    def on(self, device: torch.device) -> Files:
        """Return these images: files stay where they are."""
        return self

    def subset(self, index: Tensor) -> Files:
        """Return only these images."""
        return Files(tuple(self.paths[i] for i in index.tolist()), self.labels[index], self.workers)

    def joined(self, other: Files) -> Files:
        """Return these images and then the other ones."""
        return Files(self.paths + other.paths, torch.cat([self.labels, other.labels]), self.workers)
