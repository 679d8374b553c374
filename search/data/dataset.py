"""Data sets: training and held-out images in memory, and a test set that is opened only with a record."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Generator, Tensor

from arch.errors import InputError, from_validation, near
from arch.registry import shipped
from search.data.batches import Batch, stratified
from search.data.cache import Pixels, cached
from search.data.class_folders import Files, Listing, check_readable, find_folder, folder_pixels, is_small, list_images
from search.data.decode import READING, size_of
from search.data.normalise import prepare
from search.data.sources import DATASETS
from search.recipes.augmentations import Draw, augment
from search.recipes.recipe import Recipe
from search.record.files import append_line


class DataConfig(BaseModel):
    """Which images, and which of the training images are held out to judge by.

    `val_fraction` is the held-out part of each class, drawn with `split_seed`; a folder's own
    `val/` takes its place. `train_fraction` is the part of each class's other images that trials are
    trained on, for studies that must be short; `everything` stays complete.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "digits"
    val_fraction: float = Field(0.1, gt=0, lt=1)
    split_seed: int = Field(0, ge=0)
    train_fraction: float = Field(1.0, gt=0, le=1)


class ImagePart(Protocol):
    """A part of a data set: labelled images that come in batches."""

    labels: Tensor

    def __len__(self) -> int: ...

    def stream(self, batches: Sequence[Batch], recipe: Recipe, size: tuple[int, int]) -> Iterator[Tensor]:
        """Yield each batch as uint8 (N, C, H, W), before augmentation; folders come at `size` pixels."""
        ...

    def on(self, device: torch.device) -> ImagePart:
        """Return the part where `device` reads it fastest."""
        ...

    def subset(self, index: Tensor) -> ImagePart:
        """Return the part with only these images."""
        ...


@dataclass
class Memory:
    """Small images of one size, all in memory (or mapped from the cache) as uint8 (N, C, H, W).

    `index` picks this part out of `pixels`, which several parts share.
    """

    pixels: Tensor
    labels: Tensor
    index: Tensor

    @classmethod
    def of(cls, pixels: Pixels) -> Memory:
        """Return all of the decoded images as one part."""
        return cls(pixels.pixels, pixels.labels, torch.arange(len(pixels.labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def stream(self, batches: Sequence[Batch], recipe: Recipe, size: tuple[int, int]) -> Iterator[Tensor]:
        """Yield each batch as it is stored."""
        return (self.pixels[self.index[batch.index.to(self.index.device)]] for batch in batches)

    def on(self, device: torch.device) -> Memory:
        """Return these images where they train: on a GPU, if they take less than half of what is free there."""
        if device.type != "cuda" or 2 * self.pixels.nbytes > torch.cuda.mem_get_info(device)[0]:
            return self
        return Memory(self.pixels.to(device), self.labels.to(device), self.index.to(device))

    def subset(self, index: Tensor) -> Memory:
        """Return only these images; none is copied."""
        return Memory(self.pixels, self.labels[index], self.index[index])

    def joined(self, other: Memory) -> Memory:
        """Return these images and then the other ones."""
        pixels = torch.cat([self.pixels[self.index], other.pixels[other.index]])
        labels = torch.cat([self.labels, other.labels])
        return Memory(pixels, labels, torch.arange(len(labels)))


@dataclass(frozen=True)
class Data:
    """A data set split for honest use.

    `train` and `val` are disjoint; `everything` is both. The test set is reached through
    `open_test` alone, which leaves a record.

    Attributes
    ----------
    mean, std : per channel, of the training images on the scale 0 to 1.
    fingerprint : of the training images and labels.
    split : of the indices that are held out.
    """

    name: str
    classes: tuple[str, ...]
    train: ImagePart
    val: ImagePart
    everything: ImagePart
    mean: Tensor
    std: Tensor
    fingerprint: str
    split: str
    _test: Callable[[], ImagePart]

    def size_at(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) of this data set's batches before `prepare`, where folders come at `size`."""
        return tuple(self.train.pixels.shape[2:]) if isinstance(self.train, Memory) else size  # type: ignore[return-value]

    def open_test(self, log: Path, reason: str) -> ImagePart:
        """Return the test set, once `log` says when, why and for which training images it was opened.

        Raises
        ------
        InputError
            There is no test set, or its classes are not those of the training images.
        """
        part = self._test()
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "reason": reason,
            "data": self.name,
            "train": self.fingerprint,
        }
        append_line(log, json.dumps(entry))
        return part

    def stream(
        self, part: ImagePart, batches: Sequence[Batch], recipe: Recipe, size: tuple[int, int], device: torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, labels) for each batch: float32 (N, C, H, W), augmented and normalised on `device`."""
        mean, std = self.mean.to(device), self.std.to(device)
        at_once = device.type == "cuda"  # elsewhere such a copy may read what was freed (PyTorch's issue 189690)
        for batch, pixels in zip(batches, part.stream(batches, recipe, size), strict=True):
            pixels = pixels.to(device, non_blocking=at_once)
            if batch.seed is not None:
                pixels = augment(pixels, recipe, Draw(Generator().manual_seed(batch.seed), batch.flip))
            labels = part.labels[batch.index.to(part.labels.device)]
            yield prepare(pixels, recipe, mean, std), labels.to(device, non_blocking=at_once)


def data_root() -> Path:
    """Return where data sets and their caches are: `INCEPTORY_DATA`, or `~/.cache/inceptory`."""
    return Path(os.environ.get("INCEPTORY_DATA") or Path.home() / ".cache" / "inceptory")


def load_data(
    name: str | DataConfig,
    *,
    root: str | Path | None = None,
    val_fraction: float = 0.1,
    split_seed: int = 0,
    download: bool = False,
) -> Data:
    """Return a data set by name (`inceptory list datasets`) or by the path of a folder of class folders.

    Nothing is downloaded unless `download`. Small images of one size are decoded once into a
    checksummed cache; the held-out part is stratified by class.

    Raises
    ------
    InputError
        The data set is unknown or not at hand; names the places searched and what to do.

    Examples
    --------
    >>> import search
    >>> data = search.load_data("digits")
    >>> len(data.train), len(data.val), len(data.classes)
    (1295, 143, 10)
    """
    config = (
        name
        if isinstance(name, DataConfig)
        else DataConfig(name=name, val_fraction=val_fraction, split_seed=split_seed)
    )
    place = Path(root) if root else data_root()
    folder = find_folder(config.name, place)
    if folder:
        return _from_folder(config, folder, place)
    if config.name not in DATASETS:
        known = DATASETS.names()
        raise InputError(
            f"there is no data set '{config.name}'.{near(config.name, known)} Known: {', '.join(known)}; "
            f"or a folder with train/ and test/ in it, by its path or by its name under {place}."
        )
    source = DATASETS.get(config.name)

    def decode(part: str) -> Pixels:
        pixels: Pixels = source.function(place, part, download)
        return pixels

    def read(part: Literal["train", "test"]) -> Pixels:
        if not shipped(source):  # a user's data set changes with its code, which the cache would not notice
            return decode(part)
        return cached(place / "cache" / f"{config.name}-{part}.safetensors", lambda: decode(part))

    train = read("train")
    return _split(config, Memory.of(train), None, train, lambda: Memory.of(read("test")))


def data_config(values: Mapping[str, Any]) -> DataConfig:
    """Return a checked data configuration; InputError where a key or value is wrong."""
    try:
        return DataConfig.model_validate(values)
    except ValidationError as error:
        raise from_validation(error, "data", DataConfig.model_fields) from None


def _from_folder(config: DataConfig, folder: Path, place: Path) -> Data:
    listing = list_images(folder, "train")

    def kept(part: str, images: Listing, ending: str) -> Path:
        content = f"{folder.resolve()} {part} {images.signature} {READING}"
        key = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        return place / "cache" / f"{folder.name}-{part}-{key}{ending}"

    def listed(part: str) -> Listing:
        return listing if part == "train" else list_images(folder, part, listing.classes)

    def read(part: str) -> Pixels:
        images, size = listed(part), size_of(listing.paths[0])
        return cached(kept(part, images, ".safetensors"), lambda: folder_pixels(images, size))

    held_out = (folder / "val").is_dir()
    if is_small(listing):
        train = read("train")
        val = read("val") if held_out else None
        own = (Memory.of(val), val.checksum) if val else None
        return _split(config, Memory.of(train), own, train, lambda: Memory.of(read("test")))

    def open_files(part: str) -> tuple[Files, str]:
        images = listed(part)
        check_readable(images, kept(part, images, ".checked"))
        return Files(images.paths, images.labels), images.signature

    half = (0.5, 0.5, 0.5)  # unused: a recipe cannot ask for the mean of images that are not in memory
    summary = Pixels(torch.empty(0), listing.labels, listing.classes, listing.signature, half, half)
    own_files = open_files("val") if held_out else None
    return _split(config, open_files("train")[0], own_files, summary, lambda: open_files("test")[0])


P = TypeVar("P", Memory, Files)


def _split(config: DataConfig, everything: P, own: tuple[P, str] | None, about: Pixels, test: Callable[[], P]) -> Data:
    """Divide the training images, by the folder's own `val/` and its checksum where there is one."""
    if own is None:
        held_out = stratified(about.labels, config.val_fraction, config.split_seed)
        kept = torch.ones(len(about.labels), dtype=torch.bool)
        kept[held_out] = False
        train, val = everything.subset(kept.nonzero().flatten()), everything.subset(held_out)
        split = hashlib.sha256(held_out.numpy().tobytes()).hexdigest()[:16]
    else:
        train, val, split = everything, own[0], f"own val/ {own[1][:16]}"
        everything = train.joined(val)
    if config.train_fraction < 1 and len(train):
        train = train.subset(stratified(train.labels, config.train_fraction, config.split_seed))
        split = f"{split}, {config.train_fraction:g} of the others"
    if not len(train):
        raise InputError(f"data {config.name}: nothing is left to train on; lower val_fraction or add images.")
    return Data(
        config.name,
        about.classes,
        train,
        val,
        everything,
        torch.tensor(about.mean),
        torch.tensor(about.std),
        about.checksum[:16],
        split,
        test,
    )
