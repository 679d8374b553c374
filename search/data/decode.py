"""How an image file becomes pixels: one rule for data sets in folders and for images to predict."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import v2

from arch.errors import InputError

READING = "upright, 16 bits to 8"  # names this rule in a cache's file name: another rule gives other pixels
MOST_PIXELS = 89_478_485  # Pillow's bound, above which it only warns
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such images are refused here
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # modes of 16 bits a value


def read_image(source: str | Path | BinaryIO, channels: int = 3, name: str = "") -> Tensor:
    """Return an image as uint8 (channels, H, W): upright as its EXIF says, in RGB, or grey where `channels` is 1.

    Palettes, CMYK and grey become RGB, transparency is dropped, of 16 bits a value the upper 8 are kept, and of an
    animation its first picture. More than 89 million pixels are refused by the header.

    Raises
    ------
    InputError
        The file is missing, damaged or no image, or its values have no known scale; names it.
    """
    with _opened(source, name) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in _DEEP:
            upright = Image.fromarray((np.asarray(upright).clip(0, 65_535) >> 8).astype(np.uint8))
        elif upright.mode == "F":
            raise ValueError("its values are floating-point numbers of no known scale")
        pixels: Tensor = v2.functional.pil_to_tensor(upright.convert("L" if channels == 1 else "RGB"))
        return pixels


def size_of(path: str) -> tuple[int, int]:
    """Return an image's (width, height) as it is read, from its header alone; InputError where it is none."""
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(0x0112) in _TURNED else (width, height)


def resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return uint8 pixels (C, H, W) at (height, width) `size`: bilinear, antialiased, the full image."""
    if tuple(pixels.shape[1:]) == size:
        return pixels
    result: Tensor = v2.functional.resize(pixels, list(size), antialias=True)
    return torch.as_tensor(result)


@contextmanager
def _opened(source: str | Path | BinaryIO, name: str = "") -> Iterator[Image.Image]:
    try:
        with Image.open(source) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(
                    f"{image.width}x{image.height} pixels are more than {MOST_PIXELS:,}: too large to be sound"
                )
            yield image
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error) as error:
        raise _unreadable(name or str(source), error) from None
    except Image.DecompressionBombError as error:
        raise _unreadable(name or str(source), error) from None


def _unreadable(name: str, error: Exception) -> InputError:
    what = (isinstance(error, OSError) and error.strerror) or str(error)
    return InputError(f"{name}: not readable as an image ({what}); repair or remove it.")
