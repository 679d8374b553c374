from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import arch
import search
from search.data.dataset import Memory
from search.data.decode import read_image, resized, size_of

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)
GREYS = COLOURS[..., 0]


def pixels(path: Path, channels: int = 3) -> np.ndarray:
    return read_image(path, channels).permute(1, 2, 0).numpy()


def test_grey_transparent_and_palette_images_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(GREYS).save(tmp_path / "l.png")
    Image.fromarray(np.dstack([COLOURS, GREYS])).save(tmp_path / "rgba.png")
    Image.fromarray(COLOURS).quantize(24).save(tmp_path / "p.png")
    assert np.array_equal(pixels(tmp_path / "l.png"), np.dstack([GREYS] * 3))
    assert np.array_equal(pixels(tmp_path / "l.png", 1)[..., 0], GREYS)
    assert np.array_equal(pixels(tmp_path / "rgba.png"), COLOURS)
    assert Image.open(tmp_path / "p.png").mode == "P"
    assert np.array_equal(pixels(tmp_path / "p.png"), COLOURS)


def test_cmyk_by_hand(tmp_path: Path) -> None:
    Image.new("CMYK", (2, 2), (255, 0, 0, 0)).save(tmp_path / "cyan.tif")
    assert pixels(tmp_path / "cyan.tif").tolist() == [[[0, 255, 255]] * 2] * 2


def test_of_16_bits_the_upper_8_are_kept(tmp_path: Path) -> None:
    """Pillow's own conversion makes everything above 255 white."""
    deep = GREYS.astype(np.uint16) * 256 + 200
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(pixels(tmp_path / "deep.png", 1)[..., 0], GREYS)
    assert np.array_equal(pixels(tmp_path / "deep.png"), np.dstack([GREYS] * 3))
    Image.fromarray(GREYS.astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(arch.InputError, match=r"float\.tif: not readable.*no known scale"):
        read_image(tmp_path / "float.tif")


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_a_photograph_is_turned_as_its_exif_says(orientation: int, turns: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOURS).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(COLOURS, turns)
    assert np.array_equal(pixels(tmp_path / "turned.png"), upright)
    assert size_of(str(tmp_path / "turned.png")) == (upright.shape[1], upright.shape[0])


def test_folders_of_images_are_read_by_the_same_rule(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "tree" / "train" / name).mkdir(parents=True)
        for i in range(2):
            deep = np.full((8, 8), 256 * (10 * i + 5), np.uint16)
            Image.fromarray(deep).save(tmp_path / "tree" / "train" / name / f"{i}.png")
    data = search.load_data("tree", root=tmp_path, val_fraction=0.5)
    assert isinstance(data.everything, Memory)
    assert data.everything.pixels[:, 0, 0, 0].tolist() == [5, 15, 5, 15]


def test_damaged_missing_and_truncated_images_are_named(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:500])
    (tmp_path / "text.png").write_text("no image")
    for name in ("cut.png", "text.png", "missing.png"):
        with pytest.raises(arch.InputError, match=f"{name}: not readable as an image"):
            read_image(tmp_path / name)


def test_resizing_leaves_the_right_size_alone_and_averages_when_it_shrinks() -> None:
    image = (
        torch.tensor([[0, 100], [200, 100]], dtype=torch.uint8).repeat_interleave(4, 0).repeat_interleave(4, 1)[None]
    )
    assert resized(image, (8, 8)) is image
    assert resized(image, (1, 1)).tolist() == [[[100]]]
