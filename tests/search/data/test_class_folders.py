"""Images and class folders as people have them: each handled as docs/data.md says, or refused before a training begins."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import arch
import search
from search.data.dataset import Memory
from search.data.decode import MOST_PIXELS, read_image
from tests.support import MICRO

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header speaks of so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1_000)))
        + chunk(b"IEND", b"")
    )


def animation(path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    first.save(path, format="GIF", save_all=True, append_images=[second])


READ: dict[str, tuple[Callable[[Path], object], tuple[int, int]]] = {
    "1 bit.png": (lambda path: Image.fromarray(NOISE[..., 0] > 99).save(path), (40, 60)),
    "16 bit.png": (lambda path: Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257).save(path), (40, 60)),
    "cmyk.jpg": (lambda path: Image.fromarray(NOISE).convert("CMYK").save(path), (40, 60)),
    "palette.png": (lambda path: Image.fromarray(NOISE).quantize(16).save(path), (40, 60)),
    "alpha.png": (lambda path: Image.fromarray(NOISE).convert("RGBA").save(path), (40, 60)),
    "grey alpha.png": (lambda path: Image.fromarray(NOISE).convert("LA").save(path), (40, 60)),
    "png called.jpg": (lambda path: Image.fromarray(NOISE).save(path, format="PNG"), (40, 60)),
    "animated.webp": (lambda path: animation(path), (8, 8)),
    "1x1.png": (lambda path: Image.fromarray(NOISE[:1, :1]).save(path), (1, 1)),
    "wide.png": (lambda path: Image.new("RGB", (10_000, 2)).save(path), (2, 10_000)),
}


@pytest.mark.parametrize("name", READ)
def test_read_as_rgb(name: str, tmp_path: Path) -> None:
    make, size = READ[name]
    make(tmp_path / name)
    pixels = read_image(tmp_path / name)
    assert tuple(pixels.shape) == (3, *size)
    if name == "animated.webp":
        assert pixels[0].float().mean() > 200  # its first picture is red


REFUSED: dict[str, Callable[[Path], object]] = {
    "no bytes.png": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("no image"),
    "cut.jpg": lambda path: (Image.fromarray(NOISE).save(path), path.write_bytes(path.read_bytes()[:600])),
    "cut.png": lambda path: (Image.fromarray(NOISE).save(path), path.write_bytes(path.read_bytes()[:3_000])),
    "bomb.png": lambda path: path.write_bytes(png_of(10_000, 10_000)),
    "large bomb.png": lambda path: path.write_bytes(png_of(60_000, 60_000)),
    "floats.tif": lambda path: Image.fromarray(NOISE[..., 0].astype(np.float32)).save(path),
}


def tree(
    root: Path, classes: tuple[str, ...] = ("a", "b"), size: int = 8, parts: tuple[str, ...] = ("train", "test")
) -> Path:
    for part in parts:
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for i in range(3):
                pixels = RNG.integers(0, 256, (size + (i if size > 96 else 0), size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    return root


@pytest.mark.fault("an image that is cut, empty, a bomb or no image")
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("size", [8, 120], ids=["in memory", "in files"])
def test_refused_by_name_before_training(name: str, size: int, tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree", size=size)
    for other in ("a", "b"):
        REFUSED[name](folder / "train" / other / name)
    with pytest.raises(arch.InputError) as caught:
        search.load_data(str(folder), root=tmp_path)
    assert "2 of 8 images cannot be read" in str(caught.value)
    assert f"train/a/{name}: not readable as an image" in str(caught.value)


def test_no_memory_is_taken_for_a_bomb(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of(9_999, 9_999))
    assert MOST_PIXELS < 9_999 * 9_999
    with pytest.raises(arch.InputError, match="9999x9999 pixels are more than"):
        read_image(tmp_path / "bomb.png")


ODD = (
    "a b",
    "it's",
    '"quoted"',
    "<script>alert(1)",
    "-rf",
    "--help",
    "caf\u00e9",
    "\u732b",
    "100%",
    "a,b",
    "{0}",
    "$HOME",
)


def test_class_folders_with_odd_names_are_classes_like_others(tmp_path: Path) -> None:
    data = search.load_data(str(tree(tmp_path / "tree", ODD)), root=tmp_path, val_fraction=0.34)
    assert data.classes == tuple(sorted(ODD))
    assert isinstance(data.train, Memory)
    spec = arch.load(MICRO)
    from arch.specs.edit import with_classes, with_input

    fitting = with_classes(with_input(spec, (3, 8, 8)), len(ODD))
    recipe = search.load_recipe("default", {"epochs": 1, "batch": 16, "crop": 1, "precision": "fp32"})
    assert [epoch.epoch for epoch in search.fit(fitting, data, recipe, seed=0)] == [1]


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\u202e"])
def test_class_names_that_cannot_be_printed_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(arch.InputError, match="cannot be printed; rename it"):
        search.load_data(str(tree(tmp_path / "tree", ("a", name))), root=tmp_path)


def test_empty_classes_are_refused_and_unequal_ones_are_split_each(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree")
    for i in range(10, 27):
        Image.fromarray(NOISE[:8, :8]).save(folder / "train" / "b" / f"{i}.png")
    data = search.load_data(str(folder), root=tmp_path, val_fraction=0.34)
    assert torch.bincount(data.val.labels).tolist() == [1, 7]
    assert torch.bincount(data.train.labels).tolist() == [2, 13]
    (folder / "train" / "c").mkdir()
    with pytest.raises(arch.InputError, match=r"train: .* c\b"):
        search.load_data(str(folder), root=tmp_path)


@pytest.mark.parametrize("to", ["..", "../b", "."])
def test_links_in_circles_are_refused_and_others_followed(to: str, tmp_path: Path) -> None:
    """A loop would list the images of all classes again and again, as ones of the class that it lies in."""
    for name in "abc":
        (tmp_path / "data" / "train" / name).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(NOISE[:8, :8]).save(tmp_path / "data" / "train" / name / f"{number}.png")
    (tmp_path / "data" / "train" / "a" / "more").symlink_to("../c")
    assert len(search.load_data(f"{tmp_path}/data", val_fraction=0.25).everything) == 16
    (tmp_path / "data" / "train" / "a" / "loop").symlink_to(to)
    if to == "../b":
        (tmp_path / "data" / "train" / "b" / "loop").symlink_to("../a")
    with pytest.raises(arch.InputError, match=r"loop: is a link back to a folder above it; remove it"):
        search.load_data(f"{tmp_path}/data", val_fraction=0.25)


def test_other_classes_or_sizes_in_test_are_named(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree")
    Image.fromarray(NOISE[:9, :8]).save(folder / "test" / "a" / "9.png")
    with pytest.raises(arch.InputError, match=r"test/a/9\.png: is 8x9 .* and the training images are 8x8"):
        search.load_data(str(folder), root=tmp_path).open_test(tmp_path / "log", "a test")
    (folder / "test" / "b").rename(folder / "test" / "c")
    with pytest.raises(arch.InputError, match=r"its classes \(a, c\) are not those of train/ \(a, b\)"):
        search.load_data(str(folder), root=tmp_path).open_test(tmp_path / "log", "a test")


def test_files_that_are_no_images_by_name_are_counted_and_pipes_refused(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree")
    (folder / "train" / "a" / "notes.txt").write_text("left out")
    (folder / "train" / "b" / "photo.heic").write_bytes(b"left out")
    with pytest.warns(
        UserWarning, match=r"2 of 8 files are no images by their names, and left out: a/notes\.txt, b/photo"
    ):
        assert len(search.load_data(str(folder), root=tmp_path).everything) == 6
    os.mkfifo(folder / "train" / "a" / "pipe.png")
    with pytest.raises(arch.InputError, match=r"pipe\.png: is no file"), pytest.warns(UserWarning, match="2 of"):
        search.load_data(str(folder), root=tmp_path)


def test_images_in_files_are_decoded_once_and_again_when_one_changes(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree", size=120)
    search.load_data(str(folder), root=tmp_path)
    notes = list((tmp_path / "cache").glob("*.checked"))
    assert [note.read_text() for note in notes] == ["6 images, all of them readable\n"]
    (folder / "train" / "a" / "0.png").write_bytes(b"")
    with pytest.raises(arch.InputError, match="1 of 6 images cannot be read"):
        search.load_data(str(folder), root=tmp_path)
